//! The rule again, over what was known at the decision, held against what was said.

use std::collections::BTreeSet;

use tocsin_schemas::codes::{Change, Reason, Role, Rule, State};
use tocsin_schemas::ids::{IncidentId, ReportKey, Uscc};
use tocsin_schemas::records::{Alert, Incident};
use tocsin_schemas::time::Day;

use super::before::{Before, before, spoken_under};
use super::knowledge::{
    Cut, Found, Knowledge, Reading, TRIES, guesses, late_registrations, leave_out, plain_readings,
};
use super::sum::since_before;
use super::view::{Check, Difference, Numbers};
use super::window::{Windowed, open_before};
use super::{Why, picture, year};
use crate::decider::escalation::{self, Now};
use crate::decider::owner_incident::{self, End};
use crate::decider::{Memory, Told};
use crate::engine::Occasion;
use crate::incidents::Seen;
use crate::policy::Policies;

/// Fields that only the policy's values can give again.
const BY_POLICY: [&str; 16] = [
    "change",
    "reason",
    "level",
    "severity",
    "audiences",
    "uscc",
    "occurred_on",
    "cause",
    "count",
    "incident_ids",
    "severe_incident_ids",
    "reports",
    "as_of",
    "window_days",
    "worst",
    "year_to_date",
];

/// What was found for one alert.
pub(super) struct Judged {
    pub known: Cut,
    pub then: Knowledge,
    /// Of a correction: what was known before it.
    pub was: Option<Knowledge>,
    /// Which records those were.
    pub was_known: Option<Cut>,
    pub stood_on: Vec<Found>,
    pub became: Vec<Found>,
    pub numbers: Numbers,
    pub taken_later: Vec<usize>,
    pub stamped_ahead: Vec<usize>,
    pub taken_last: Vec<usize>,
    pub check: Check,
}

/// One reading of what was known, judged.
struct Attempt {
    was: Option<Cut>,
    stood_on: Vec<Found>,
    became: Vec<Found>,
    numbers: Numbers,
    taken_last: Vec<usize>,
    differences: Vec<Difference>,
}

/// Judges an alert under these policies. With `at_hand` false they are not those that decided: then the picture
/// is drawn, but only what no policy moves is checked.
pub(super) fn alert(why: &Why<'_, '_>, alert: &Alert, policies: &Policies, at_hand: bool) -> Judged {
    let numbers = why.numbers(Some(alert));
    let judge = |reading: Reading| judge(why, alert, policies, at_hand, &numbers, reading);
    let mut best: Option<Judged> = None;
    // Where nothing adds up the plain readings are shown, the nearer of them; a guess proves nothing.
    for reading in plain_readings(why.records, alert.decided_at) {
        let judged = judge(reading);
        if judged.check.adds_up() {
            return judged;
        }
        if best.as_ref().is_none_or(|b| judged.check.differences.len() < b.check.differences.len()) {
            best = Some(judged);
        }
    }
    for reading in late_registrations(why.records, alert.decided_at) {
        let mut judged = judge(reading.clone());
        for _ in 0..TRIES {
            let Some(known) = without_what_is_too_much(why, alert, &judged) else { break };
            judged = judge(reading.with(why.records, known));
            if judged.check.adds_up() {
                return judged;
            }
        }
    }
    let guessed = guesses(why.records, alert.decided_at).map(judge).find(|judged| judged.check.adds_up());
    guessed.or(best).unwrap_or_else(|| unreachable!("there is a plain reading"))
}

/// What was known without the newest record of those reports that are there and were not spoken of, or the other way
/// round. `None`: there is no such report.
fn without_what_is_too_much(why: &Why<'_, '_>, alert: &Alert, judged: &Judged) -> Option<Cut> {
    let found: BTreeSet<ReportKey> = judged.stood_on.iter().flat_map(Found::keys).collect();
    let said: BTreeSet<ReportKey> = alert.reports.iter().cloned().collect();
    let apart: BTreeSet<&ReportKey> = found.symmetric_difference(&said).collect();
    let arrivals = &why.records.arrivals;
    let of_them = |i: &usize| {
        judged.known[*i]
            && picture::as_report(&arrivals[*i].arrival.record).is_some_and(|r| apart.contains(&r.key()))
    };
    let newest = (0..arrivals.len()).filter(of_them).max_by_key(|i| (arrivals[*i].not_before, *i))?;
    let mut known = judged.known.clone();
    leave_out(arrivals, &mut known, newest);
    Some(known)
}

/// One reading of what was known.
fn judge(
    why: &Why<'_, '_>,
    alert: &Alert,
    policies: &Policies,
    at_hand: bool,
    numbers: &picture::Numbers,
    reading: Reading,
) -> Judged {
    let then = Knowledge::at(why.records, &reading.known, policies, alert.as_of);
    let attempt = match alert.rule {
        Rule::OwnerIncident => owner(why, alert, policies, (&then, numbers), &reading),
        Rule::Escalation => escalation(why, alert, policies, (&then, numbers), &reading),
    };
    let check = if at_hand {
        let differences = attempt.differences.into_iter().chain(facts_differ(alert, &then));
        Check { differences: differences.collect(), unchecked: Vec::new() }
    } else {
        let differences = unknown_reports(alert, &then).into_iter().chain(facts_differ(alert, &then));
        Check { differences: differences.collect(), unchecked: BY_POLICY.to_vec() }
    };
    let was_known = attempt.was;
    let was = was_known.as_ref().map(|known| Knowledge::at(why.records, known, policies, alert.as_of));
    Judged {
        known: reading.known,
        then,
        was,
        was_known,
        stood_on: attempt.stood_on,
        became: attempt.became,
        numbers: attempt.numbers,
        taken_later: reading.taken_later,
        stamped_ahead: reading.stamped_ahead,
        taken_last: attempt.taken_last,
        check,
    }
}

/// Whatever the policy: what a message says beside its rule's numbers. Names are not held against the register: they are
/// for reading.
fn facts_differ(alert: &Alert, then: &Knowledge) -> Vec<Difference> {
    let mut differences = Vec::new();
    let facts = &alert.facts;
    let day = alert.decided_at.day();
    if alert.as_of != day {
        differ(&mut differences, "as_of", alert.as_of, day);
    }
    let area = then.registry.in_force(&alert.uscc).map(|e| &*e.area);
    if facts.area.as_deref() != area {
        differ(&mut differences, "area", option(facts.area.as_deref()), option(area));
    }
    let case_no = match alert.rule {
        Rule::OwnerIncident => alert.subject.clone(),
        Rule::Escalation => escalation::warning_number(&alert.subject, alert.episode),
    };
    if alert.case_no != case_no {
        differ(&mut differences, "case_no", &alert.case_no, case_no);
    }
    differences
}

/// Whatever the policy: a report cannot have been spoken of before it arrived.
fn unknown_reports(alert: &Alert, then: &Knowledge) -> Vec<Difference> {
    let unknown = alert.reports.iter().filter(|key| !then.reports.contains_key(key));
    let unknown: Vec<ReportKey> = unknown.cloned().collect();
    let mut differences = Vec::new();
    if !unknown.is_empty() {
        differ(&mut differences, "reports", list(&unknown), "not known at the decision");
    }
    differences
}

/// S15.
fn owner(
    why: &Why<'_, '_>,
    alert: &Alert,
    policies: &Policies,
    (then, numbers): (&Knowledge, &picture::Numbers),
    reading: &Reading,
) -> Attempt {
    let told = told_before(why, alert);
    if alert.change == Change::Corrected {
        return correction(why, alert, policies, (then, numbers), reading, &told);
    }
    let Some(found) = then.of_exactly(&alert.reports) else {
        return none_of_it(alert, then, owner_numbers(None, &told, policies, alert.as_of));
    };
    let seen = &found.seen;
    let messages = owner_incident::decide(&told, Ok(seen), seen.uscc, policies, alert.as_of);
    let mut differences = message_differs(alert, messages.first(), seen.persons, seen.uscc);
    if alert.facts.cause != seen.cause {
        differ(&mut differences, "cause", option(alert.facts.cause), option(seen.cause));
    }
    day_differs(&mut differences, alert, found);
    let year = year::counts(alert, then, numbers);
    differences.extend(year::differences(&year));
    let numbers = owner_numbers(Some(found), &told, policies, alert.as_of).with_year(year);
    let stood_on = vec![found.clone()];
    Attempt { was: None, stood_on, became: Vec::new(), numbers, taken_last: Vec::new(), differences }
}

/// Of S15 what was told and does not hold: the incident before the decision against what came of it.
fn correction(
    why: &Why<'_, '_>,
    alert: &Alert,
    policies: &Policies,
    (then, numbers): (&Knowledge, &picture::Numbers),
    reading: &Reading,
    told: &Told,
) -> Attempt {
    let became: Vec<Found> = then.holding(&alert.reports).cloned().collect();
    let lives = alert.reports.iter().any(|key| then.reports.get(key).is_some_and(|r| r.stands()));
    let ends = [Err(if lives { End::Merged } else { End::Withdrawn })];
    let options: Vec<Result<&Seen, End>> = became.iter().map(|f| Ok(&f.seen)).chain(ends).collect();
    let mut best: Option<(Before, Vec<Difference>)> = None;
    let all = spoken_under(why, alert, policies);
    'search: for before in before(why.records, alert, &all, reading) {
        let home = before.found.seen.uscc;
        for seen in &options {
            let messages = owner_incident::decide(told, *seen, home, policies, alert.as_of);
            let mut wrong = message_differs(alert, messages.first(), 0, home);
            day_differs(&mut wrong, alert, &before.found);
            let adds_up = wrong.is_empty();
            // As of readings: what is assumed and does not add up proves nothing.
            let shown = adds_up || before.taken_last.is_empty();
            if shown && best.as_ref().is_none_or(|(_, least)| wrong.len() < least.len()) {
                best = Some((before.clone(), wrong));
            }
            if adds_up {
                break 'search;
            }
        }
    }
    let Some((Before { found, known, taken_last }, mut differences)) = best else {
        let numbers = owner_numbers(None, told, policies, alert.as_of);
        return Attempt { became, ..none_of_it(alert, then, numbers) };
    };
    let year = year::counts(alert, then, numbers);
    differences.extend(year::differences(&year));
    let numbers = owner_numbers(Some(&found), told, policies, alert.as_of).with_year(year);
    Attempt { was: Some(known), stood_on: vec![found], became, numbers, taken_last, differences }
}

/// No incident consists of the reports that were named: what they make is shown instead.
fn none_of_it(alert: &Alert, then: &Knowledge, numbers: Numbers) -> Attempt {
    let stood_on: Vec<Found> = then.holding(&alert.reports).cloned().collect();
    let near: Vec<String> = stood_on.iter().map(|f| list(&f.keys())).collect();
    let near = if near.is_empty() { "none of them stands".to_owned() } else { near.join("; ") };
    let mut differences = Vec::new();
    differ(&mut differences, "reports", list(&alert.reports), near);
    Attempt { was: None, stood_on, became: Vec::new(), numbers, taken_last: Vec::new(), differences }
}

fn day_differs(differences: &mut Vec<Difference>, alert: &Alert, found: &Found) {
    let day = found.seen.occurred_on;
    if alert.facts.occurred_on != Some(day) {
        differ(differences, "occurred_on", option(alert.facts.occurred_on), day);
    }
}

/// What the rule says against what was said.
fn message_differs(
    alert: &Alert,
    message: Option<&owner_incident::Message>,
    count: u32,
    home: Option<Uscc>,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let Some(message) = message else {
        differ(&mut differences, "change", alert.change, "nothing to say");
        return differences;
    };
    if message.change != alert.change {
        differ(&mut differences, "change", alert.change, message.change);
    }
    if message.reason != alert.reason {
        differ(&mut differences, "reason", option(alert.reason), option(message.reason));
    }
    if Some(message.severity) != alert.severity {
        differ(&mut differences, "severity", option(alert.severity), message.severity);
    }
    let said: BTreeSet<&str> = alert.audiences.iter().map(|a| a.subject.as_str()).collect();
    let wanted: BTreeSet<&str> = message.to.iter().map(Uscc::as_str).collect();
    if said != wanted {
        differ(&mut differences, "audiences", words(&said), words(&wanted));
    }
    if count != alert.count {
        differ(&mut differences, "count", alert.count, count);
    }
    let first = home.filter(|u| message.change != Change::Corrected || message.to.contains(u));
    let uscc = first.or(message.to.iter().min().copied()).or(home);
    if uscc != Some(alert.uscc) {
        differ(&mut differences, "uscc", alert.uscc, option(uscc));
    }
    differences
}

/// What the owners had been told before an alert.
fn told_before(why: &Why<'_, '_>, alert: &Alert) -> Told {
    let own =
        why.records.alerts.iter().filter(|a| a.rule == Rule::OwnerIncident && a.subject == alert.subject);
    Memory::told(own.filter(|other| {
        // Those of an episode are numbered; a suppressed one is not, and comes before all that are.
        match (other.change == Change::Suppressed, alert.change == Change::Suppressed) {
            (true, true) => {
                (other.decided_at, &other.alert_id) != (alert.decided_at, &alert.alert_id)
                    && other.decided_at <= alert.decided_at
            }
            (true, false) => true,
            (false, true) => false,
            (false, false) => other.revision < alert.revision,
        }
    }))
}

fn owner_numbers(found: Option<&Found>, told: &Told, policies: &Policies, as_of: Day) -> Numbers {
    let first = found.and_then(|f| owner_incident::first_heard(&f.seen, as_of));
    Numbers::OwnerIncident {
        first_counting_at: first.map(|(at, _)| at),
        days_after: first.map(|(_, days)| days),
        max_age_days: policies.on(as_of).owner_alert.max_age_days,
        policy_begins: policies.begins(),
        told_before: told.to.to_vec(),
        severity_told: told.severity,
        year: Vec::new(),
    }
}

/// S20.
fn escalation(
    why: &Why<'_, '_>,
    alert: &Alert,
    policies: &Policies,
    (then, numbers): (&Knowledge, &picture::Numbers),
    reading: &Reading,
) -> Attempt {
    let open = open_before(&why.records.alerts, alert.uscc, Some(alert));
    let seen = Windowed::of(alert.uscc, then, policies, alert.as_of, numbers);
    let mut differences = Vec::new();
    let occasions: &[Occasion] = match (reading.midnight, alert.reason) {
        (_, Some(Reason::Policy)) => &[Occasion::Midnight, Occasion::Policy],
        (true, _) => &[Occasion::Midnight],
        (false, _) => &[Occasion::Batch],
    };
    // Which number an incident kept may not be certain; the alert says it, and was decided by it.
    let said = &alert.facts.severe_incident_ids;
    let severe = if seen.may_be_severe(said, &alert.incident_ids) {
        said.clone()
    } else {
        differ(&mut differences, "severe_incident_ids", words(said), words(&seen.severe()));
        seen.severe()
    };
    let steps = &policies.on(alert.as_of).escalation;
    let verdict_on = |occasion: Occasion| {
        escalation::decide(
            open.as_ref(),
            steps,
            Now {
                incidents: seen.count() as i32,
                severe: seen.severe().len() as i32,
                succeeded: seen.succeeded,
                begun: policies.begun_on(alert.as_of),
                occasion,
            },
            || severe.clone(),
            || escalation::under_yesterday(&seen.book, &alert.uscc, policies, alert.as_of),
        )
    };
    let verdicts: Vec<_> = occasions.iter().map(|o| verdict_on(*o)).collect();
    let fits = |v: &&Option<escalation::Verdict>| v.as_ref().is_some_and(|v| v.reason == alert.reason);
    match verdicts.iter().find(fits).or(verdicts.first()).and_then(Option::as_ref) {
        None => differ(&mut differences, "change", alert.change, "nothing to say"),
        Some(verdict) => {
            if verdict.change != alert.change {
                differ(&mut differences, "change", alert.change, verdict.change);
            }
            if verdict.level != alert.level {
                differ(&mut differences, "level", option(alert.level), option(verdict.level));
            }
            if verdict.reason != alert.reason {
                differ(&mut differences, "reason", option(alert.reason), option(verdict.reason));
            }
            let audience = escalation::told_of(verdict, open.as_ref(), then.registry.profile(&alert.uscc));
            let wanted: BTreeSet<(Role, &str)> = audience.iter().map(|(r, s)| (*r, s.as_str())).collect();
            let said: BTreeSet<(Role, &str)> =
                alert.audiences.iter().map(|a| (a.role, a.subject.as_str())).collect();
            if said != wanted {
                let text = |of: &BTreeSet<(Role, &str)>| {
                    words(&of.iter().map(|(r, s)| format!("{r} {s}")).collect::<Vec<_>>())
                };
                differ(&mut differences, "audiences", text(&said), text(&wanted));
            }
        }
    }
    let falls = matches!(alert.change, Change::Eased | Change::Closed);
    if !falls && !policies.begun_on(alert.as_of) {
        differ(&mut differences, "as_of", alert.as_of, format!("not before {}", policies.begins()));
    }
    if seen.count() != alert.count as usize {
        differ(&mut differences, "count", alert.count, seen.count());
    }
    let days = Some(u32::from(steps.window_days));
    if alert.facts.window_days != days {
        differ(&mut differences, "window_days", option(alert.facts.window_days), option(days));
    }
    if seen.worst() != alert.facts.worst {
        differ(&mut differences, "worst", option(alert.facts.worst), option(seen.worst()));
    }
    let reports = seen.reports();
    if reports != alert.reports {
        differ(&mut differences, "reports", list(&alert.reports), list(&reports));
    }
    let ids = &alert.incident_ids;
    let other: Vec<IncidentId> = seen.sure.iter().filter(|id| !ids.contains(id)).copied().collect();
    if ids.len() != seen.count() || !other.is_empty() {
        differ(&mut differences, "incident_ids", words(ids), words(&seen.ids));
    }
    let stood_on: Vec<Found> = seen.found.iter().map(|f| (*f).clone()).collect();
    let (before, became) = since_before(why, alert, then, &stood_on, seen.days.0);
    let mut numbers = seen.numbers(policies, alert.as_of, open.as_ref(), alert.uscc, then);
    if let Numbers::Escalation { before: counted, .. } = &mut numbers {
        *counted = before;
    }
    Attempt { was: None, stood_on, became, numbers, taken_last: Vec::new(), differences }
}

/// A record of `incidents` against what its reports make today.
pub(super) fn record(record: &Incident, now: &Knowledge) -> Vec<Difference> {
    let mut differences = Vec::new();
    if record.state == State::Gone {
        return differences;
    }
    let Some(found) = now.of_exactly(&record.reports) else {
        let near: Vec<String> = now.holding(&record.reports).map(|f| list(&f.keys())).collect();
        differ(&mut differences, "reports", list(&record.reports), near.join("; "));
        return differences;
    };
    let seen = &found.seen;
    let mut hold = |field, said: String, recomputed: String| {
        if said != recomputed {
            differences.push(Difference { field, said, recomputed });
        }
    };
    hold("state", record.state.to_string(), seen.state.to_string());
    hold("severity", record.severity.to_string(), seen.severity.to_string());
    hold("category", record.category.to_string(), seen.category.to_string());
    hold("persons", record.persons.to_string(), seen.persons.to_string());
    hold("uscc", option(record.uscc), option(seen.uscc));
    hold("occurred_on", record.occurred_on.to_string(), seen.occurred_on.to_string());
    hold("first_arrived_at", record.first_arrived_at.to_string(), seen.first_arrived_at().to_string());
    differences
}

pub(super) fn differ(
    all: &mut Vec<Difference>,
    field: &'static str,
    said: impl ToString,
    recomputed: impl ToString,
) {
    all.push(Difference { field, said: said.to_string(), recomputed: recomputed.to_string() });
}

pub(super) fn option<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "none".to_owned(), |v| v.to_string())
}

fn list(keys: &[ReportKey]) -> String {
    words(keys)
}

pub(super) fn words<'x, T: ToString + 'x>(all: impl IntoIterator<Item = &'x T>) -> String {
    let all: Vec<String> = all.into_iter().map(ToString::to_string).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}
