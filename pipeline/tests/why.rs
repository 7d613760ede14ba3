//! Everything that the engine ever says must be given again by `why` from the records alone, in random histories and
//! in every scenario. The engine is the judge: `why` recomputes from what had arrived, and knows nothing of its state.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test may panic, read the environment and print"
)]

#[path = "subjected/log.rs"]
mod log;
#[path = "subjected/policies.rs"]
mod policies;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use log::{Log, played};
use serde_json::{Value, json};
use tocsin_oracle::histories::history;
use tocsin_oracle::{History, OraclePolicy, Step, scenario};
use tocsin_pipeline::why::{
    AlertExplained, CaseView, Changed, FieldChange, Given, How, Known, LeftBy, LinkBy, Numbers, Records,
    Rules, SeverityWhy, TakenBy, Wanted, Why,
};
use tocsin_schemas::codes::{Change, Level, Reason, Rule, Source, State};
use tocsin_schemas::door::{admit, admit_line};
use tocsin_schemas::records::Alert;
use tocsin_schemas::wire::NoIds;

/// The part of the log that concerns an alert, as the command reads it: pass after pass.
fn concerning(log: &Records, alert: &Alert) -> Records {
    let mut wanted = Wanted::default();
    wanted.enterprise(alert.uscc);
    wanted.alert(alert);
    let mut records = Records::default();
    while !wanted.settled() {
        records.arrivals = log.arrivals.iter().filter(|k| wanted.wants(&k.arrival.record)).cloned().collect();
        records.alerts = log.alerts.iter().filter(|a| wanted.wants_alert(a)).cloned().collect();
        records.incidents = log.incidents.iter().filter(|i| wanted.wants_incident(i)).cloned().collect();
    }
    records
}

fn explained(log: &Log, alert: &Alert) -> AlertExplained {
    let of = |hash: &str| log.policies.iter().find(|p| hash == &**p.hash());
    let records = concerning(&log.records, alert);
    let why = Why::new(
        &records,
        Rules { at_hand: log.policies.last().unwrap(), of: &of, likely: &|_| None },
        log.clock,
    );
    why.alert(&alert.alert_id).unwrap()
}

#[derive(Default)]
struct Count {
    kinds: BTreeMap<String, u64>,
    /// The log's order says what was known.
    certain: u64,
    /// It does not: late records, records stamped ahead, several decisions at one instant.
    uncertain: u64,
    wrong: Vec<String>,
    /// Changes that name what cannot have brought them about.
    misnamed: Vec<String>,
    unsettled: Vec<String>,
    /// Changes that name a record that did it.
    brought: u64,
    /// Those that name none.
    unnamed: u64,
    /// Why an escalation does not count an incident any more that the message before counted.
    left: BTreeMap<LeftBy, u64>,
}

impl Count {
    fn take(&mut self, name: &str, history: &History) {
        let log = played(history);
        for (alert, had) in log.records.alerts.iter().zip(&log.known) {
            let found = explained(&log, alert);
            *self.kinds.entry(format!("{} {}", alert.rule, alert.change)).or_default() += 1;
            let midnight = alert.decided_at == alert.as_of.midnight();
            let by_then = |k: &Known| match midnight {
                // What comes at the very instant of a midnight may have come before or after this one.
                true if k.not_before == alert.decided_at => None,
                _ => Some(k.not_before <= alert.decided_at),
            };
            let all =
                || log.records.arrivals.iter().enumerate().all(|(i, k)| by_then(k) == Some(i < had.arrivals));
            let certain = !had.adopts && all();
            let guessed = !found.taken_later.is_empty() || !found.stamped_ahead.is_empty();
            *(if certain { &mut self.certain } else { &mut self.uncertain }) += 1;
            let mut since = log.records.arrivals[had.earlier..had.arrivals].iter();
            let late = since.any(|k| k.not_before < alert.decided_at);
            // Whatever brought a change about was taken in at that decision; where a record was, one is named.
            let places = |all: &[Known]| -> BTreeSet<(String, u64)> {
                all.iter().map(|k| (k.topic.to_string(), k.offset)).collect()
            };
            let taken_in = places(&log.records.arrivals[had.earlier..had.arrivals]);
            let named = found.brought.reports.iter().map(|c| &c.version.place);
            let named: BTreeSet<(String, u64)> = named.map(|p| (p.topic.to_string(), p.offset)).collect();
            let registered = !found.brought.registered.is_empty();
            let first = matches!(alert.change, Change::New | Change::Suppressed);
            let expected = !first && !matches!(alert.reason, Some(Reason::Expired | Reason::Policy));
            let midnight = had.arrivals == had.earlier;
            if certain && !late && !midnight && expected {
                let list =
                    if registered || !named.is_empty() { &mut self.brought } else { &mut self.unnamed };
                *list += 1;
            }
            // At a midnight only a registration can take effect.
            let wrong = if midnight { !named.is_empty() } else { !named.is_subset(&taken_in) };
            // Where days went by nothing is named, but a registration that made an incident another's on that very day.
            let begins = found.brought.registered.iter().all(|r| r.valid_from == alert.as_of);
            let by_register = alert.reason == Some(Reason::Expired) && named.is_empty() && begins;
            // A first message has none of its own reports there, but what else was taken in.
            let unexpected =
                !expected && !by_register && alert.change != Change::New && (registered || !named.is_empty());
            if certain && !late && (wrong || unexpected) {
                self.misnamed.push(format!(
                    "{name}: {} {} {:?} of {} at {} was brought about by {:?}",
                    alert.rule, alert.change, alert.reason, alert.subject, alert.decided_at, found.brought
                ));
            }
            self.sum(name, &log.records.alerts, alert, &found.numbers);
            let needless = !late && !found.taken_last.is_empty();
            if !found.check.adds_up() || (certain && (guessed || needless)) {
                let list = if certain { &mut self.wrong } else { &mut self.unsettled };
                list.push(format!(
                    "{name}: {} {} of {} rev {} at {}: {:?}",
                    alert.rule, alert.change, alert.subject, alert.revision, alert.decided_at, found.check
                ));
            }
        }
    }

    /// What the message before counted, less what left, and with what came, is what an escalation counts.
    fn sum(&mut self, name: &str, all: &[Alert], alert: &Alert, numbers: &Numbers) {
        let Numbers::Escalation { before, .. } = numbers else { return };
        let earlier = |a: &&Alert| {
            a.rule == Rule::Escalation
                && (a.uscc, a.episode) == (alert.uscc, alert.episode)
                && a.revision + 1 == alert.revision
        };
        let earlier = all.iter().find(earlier);
        assert_eq!(before.as_ref().map(|b| b.revision), earlier.map(|a| a.revision), "{name}: {alert:?}");
        let (Some(before), Some(earlier)) = (before, earlier) else { return };
        let mut sum: BTreeSet<_> = earlier.incident_ids.iter().copied().collect();
        assert_eq!(before.count, earlier.count, "{name}: {alert:?}");
        assert!(before.left.iter().all(|left| sum.remove(&left.incident_id)), "{name}: {before:?}");
        assert!(before.came.iter().all(|came| sum.insert(*came)), "{name}: {before:?}");
        assert_eq!(sum, alert.incident_ids.iter().copied().collect(), "{name}: {before:?}");
        for left in &before.left {
            *self.left.entry(left.by).or_default() += 1;
        }
    }
}

#[test]
fn every_alert_of_random_histories_adds_up() {
    let many = std::env::var("TOCSIN_TEST_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let mut count = Count::default();
    for seed in 0..many {
        let mut history = history(seed, 40);
        history.steps.iter_mut().for_each(|step| step.adopt = None);
        count.take(&format!("seed {seed}"), &history);
    }
    let unsettled = count.unsettled.len() as u64;
    let (certain, uncertain) = (count.certain, count.uncertain);
    writeln!(
        std::io::stdout().lock(),
        "{:?}\n{certain} whose records are certain, {uncertain} not, of these {unsettled} unsettled; {} changes name \
         what brought them about, {} do not; left {:?}",
        count.kinds, count.brought, count.unnamed, count.left
    )
    .unwrap();
    assert!(count.wrong.is_empty(), "{} of all: {:#?}", count.wrong.len(), &count.wrong);
    // Several decisions at one instant: one in a thousand histories.
    let misnamed = count.misnamed.len() as u64;
    assert!(misnamed * 4_000 <= count.brought, "{:#?}", count.misnamed);
    let left = |by| count.left.get(&by).copied().unwrap_or(0);
    for by in [LeftBy::Window, LeftBy::State, LeftBy::Withdrawn, LeftBy::Merged] {
        assert!(left(by) > 0, "{by:?} was never tried: {:?}", count.left);
    }
    let all: u64 = count.left.values().sum();
    assert!(left(LeftBy::Unknown) * 20 <= all, "{:?}", count.left);
    assert!(certain > many * 10, "hardly any is certain");
    assert!(
        count.brought > many && count.unnamed * 200 <= count.brought,
        "{} of {}",
        count.unnamed,
        count.brought
    );
    // The histories shuffle time as no office does. What cannot be told from the log must stay rare even there.
    assert!(unsettled * 100 <= uncertain, "{:#?}", count.unsettled);
}

/// A policy that was taken over changes what was so without a record of an injury. What was said before and after it
/// adds up under the policy of each; here and there `why` assumes an order of arrival that it need not, and says so.
#[test]
fn where_policies_are_taken_over_every_alert_still_adds_up() {
    let mut count = Count::default();
    for seed in 0..100 {
        count.take(&format!("seed {seed}"), &history(seed, 40));
    }
    let adds_not = |line: &&String| !line.ends_with("Check { differences: [], unchecked: [] }");
    let wrong: Vec<&String> = count.wrong.iter().filter(adds_not).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count.wrong.len() as u64 * 500 <= count.certain, "{:#?}", count.wrong);
    assert!(count.unsettled.len() as u64 * 100 <= count.uncertain, "{:#?}", count.unsettled);
}

#[test]
fn every_alert_of_every_scenario_adds_up() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios");
    let mut count = Count::default();
    for (name, scenario) in &scenario::load(&folder).unwrap() {
        count.take(name, &scenario.history());
    }
    assert!(
        count.wrong.is_empty() && count.misnamed.is_empty() && count.unsettled.is_empty(),
        "{:#?} {:#?} {:#?}",
        count.misnamed,
        count.wrong,
        count.unsettled
    );
    for kind in [
        "owner_incident new",
        "owner_incident upgraded",
        "owner_incident downgraded",
        "owner_incident corrected",
        "owner_incident suppressed",
        "escalation new",
        "escalation raised",
        "escalation eased",
        "escalation closed",
        "escalation added",
    ] {
        assert!(count.kinds.contains_key(kind), "{kind} never occurred");
    }
}

/// A town in which everything happens once: `tests/why/town.jsonl`, decided line by line.
fn town() -> Log {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/why/town.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    decided(text.lines().map(str::to_owned))
}

/// Lines of a stream, decided instant by instant.
fn decided(lines: impl Iterator<Item = String>) -> Log {
    let mut steps: Vec<Step> = Vec::new();
    for line in lines {
        let line = admit_line(line.as_bytes()).unwrap();
        let at = line.arrived_at;
        let admitted = admit(&line.topic, line.value, at, &NoIds).unwrap();
        let arrival = (admitted.record, admitted.digest, at);
        match steps.last_mut().filter(|step| step.at == at) {
            Some(step) => step.arrivals.push(arrival),
            None => steps.push(Step { at, arrivals: vec![arrival], flagged: 0, adopt: None }),
        }
    }
    played(&History { policies: vec![OraclePolicy::from("2020-11-20".parse().unwrap())], steps })
}

/// The one alert of the town that is so.
fn the(log: &Log, rule: Rule, change: Change, so: impl Fn(&Alert) -> bool) -> AlertExplained {
    let all: Vec<&Alert> =
        log.records.alerts.iter().filter(|a| a.rule == rule && a.change == change && so(a)).collect();
    let [one] = all.as_slice() else { panic!("{} alerts are {rule} {change}", all.len()) };
    let found = explained(log, one);
    assert!(found.check.adds_up() && found.check.unchecked.is_empty(), "{:?}", found.check);
    found
}

fn keys(case: &CaseView) -> Vec<(String, How)> {
    case.reports.iter().map(|r| (r.report.to_string(), r.how)).collect()
}

#[test]
fn an_owners_first_message_names_sources_joins_and_links_as_they_were_known() {
    let town = town();
    let new = the(&town, Rule::OwnerIncident, Change::New, |a| a.count == 2 && a.subject == "000000018");
    let [incident] = new.incidents.as_slice() else { panic!("{:?}", new.incidents) };
    let [first, second] = incident.cases.as_slice() else { panic!("two persons: {incident:?}") };
    assert_eq!(keys(first), [("hr/HR-1".to_owned(), How::Keyed), ("health/H-1".to_owned(), How::Joined)]);
    assert_eq!(keys(second), [("hr/HR-2".to_owned(), How::Keyed)], "the employer's report came later");
    assert_eq!(first.person.as_ref().unwrap().len(), 6);
    let [link] = incident.links.as_slice() else { panic!("{:?}", incident.links) };
    assert_eq!(link.by, LinkBy::IncidentNo { source: Source::Hr, number: "2025-17".into() });
    let Numbers::OwnerIncident { days_after: Some(1), max_age_days: 90, ref told_before, .. } = new.numbers
    else {
        panic!("{:?}", new.numbers)
    };
    assert!(told_before.is_empty());
    let since: Vec<String> =
        new.since.reports.iter().map(|c| format!("{} {}", c.report, c.version.version)).collect();
    assert_eq!(since, ["employer/E-7 1", "hr/HR-1 2", "hr/HR-1 3", "hr/HR-1 1"]);
    let later: Vec<Change> = new.since.alerts.iter().map(|a| a.change).collect();
    assert_eq!(later, [Change::Upgraded, Change::Downgraded]);
}

#[test]
fn a_change_of_severity_names_the_report_and_the_version_that_stood_then() {
    let town = town();
    let up = the(&town, Rule::OwnerIncident, Change::Upgraded, |_| true);
    let [first, second] = up.incidents[0].cases.as_slice() else { panic!("{:?}", up.incidents) };
    let from = |key: &str| key.parse().unwrap();
    assert_eq!(first.severity_by, SeverityWhy::LostDays { days: 130, limit: 105, from: from("hr/HR-1") });
    let versions: Vec<(u64, bool)> =
        first.reports[0].versions.iter().map(|v| (v.version, v.stands)).collect();
    assert_eq!(versions, [(1, false), (2, true)]);
    assert!(second.fields.contains(&Given {
        field: "lost_days",
        value: "20".into(),
        from: from("employer/E-7")
    }));
    let down = the(&town, Rule::OwnerIncident, Change::Downgraded, |_| true);
    assert_eq!(down.incidents[0].cases[0].severity_by, SeverityWhy::Neither);
}

/// What brought a change about, in one line each.
fn brought(found: &AlertExplained) -> Vec<String> {
    let line = |c: &Changed| {
        let field = |(field, before, now): &FieldChange| {
            let said = |side: &Option<String>| side.clone().unwrap_or_else(|| "not given".to_owned());
            format!("{field} {} -> {}", said(before), said(now))
        };
        let fields: Vec<String> = c.fields.iter().map(field).collect();
        let v = &c.version;
        assert_eq!(v.arrived_at, found.alert.decided_at);
        format!("{} {} {}: {}", c.report, v.version, v.status, fields.join(", "))
    };
    found.brought.reports.iter().map(line).collect()
}

/// Three sources and two reports of one source tell of one person; of each field the first in source order holds.
#[test]
fn where_reports_of_one_case_differ_each_is_named_with_what_it_says_and_the_rule_that_took_one() {
    let report = |source: &str, id: &str, version: u64, at: &str, more: Value| {
        let mut value = json!({"source": source, "source_record_id": id, "version": version, "status": "reported",
            "occurred_on": "2025-03-03", "reported_at": at, "uscc": "91330784XX00000190",
            "person_key": "24".repeat(32)});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (format!("reports.{source}"), at.to_owned(), value)
    };
    let firm = json!({"uscc": "91330784XX00000190", "version": 1, "name": "E", "area": "330784001",
        "industry": "3382", "valid_from": "2024-01-01", "status": "active"});
    let lines = [
        ("registry.enterprises".to_owned(), "2025-03-01T08:00:00+08:00".to_owned(), firm),
        report("hr", "2", 1, "2025-03-05T08:00:00+08:00", json!({"cause": "03", "lost_days": 5})),
        report("hr", "2", 2, "2025-03-05T09:00:00+08:00", json!({"cause": "03", "lost_days": 10})),
        report("hr", "3", 1, "2025-03-05T09:00:00+08:00", json!({"cause": "05", "lost_days": 10})),
        report("emergency", "E", 1, "2025-03-05T09:00:00+08:00", json!({"occurred_on": "2025-03-04"})),
        report("employer", "M", 1, "2025-03-05T09:00:00+08:00", json!({"cause": "03", "lost_days": 120})),
    ];
    let town = decided(
        lines
            .iter()
            .map(|(topic, at, value)| json!({"topic": topic, "arrived_at": at, "value": value}).to_string()),
    );
    let last = town.records.alerts.iter().rfind(|a| a.rule == Rule::OwnerIncident).unwrap();
    let incident = explained(&town, last).since.incidents.remove(0);
    let case = &incident.cases[0];
    let said = |field: &str| {
        let differ = case.differ.iter().find(|d| d.field == field).unwrap();
        let said = differ.said.iter().map(|s| format!("{} {} {}", s.from, s.version, s.value));
        (differ.taken.clone(), differ.by, said.collect::<Vec<_>>().join(", "))
    };
    let fields: Vec<&str> = case.differ.iter().map(|d| d.field).collect();
    assert_eq!(fields, ["occurred_on", "cause", "lost_days", "severity"]);
    let days = "hr/2 2 2025-03-03, hr/3 1 2025-03-03, emergency/E 1 2025-03-04, employer/M 1 2025-03-03";
    assert_eq!(said("occurred_on"), ("2025-03-03".into(), TakenBy::SourceOrder, days.into()));
    assert_eq!(
        said("cause"),
        ("03".into(), TakenBy::RecordId, "hr/2 2 03, hr/3 1 05, employer/M 1 03".into())
    );
    let lost = "hr/2 2 10, hr/3 1 10, employer/M 1 120";
    assert_eq!(said("lost_days"), ("10".into(), TakenBy::SourceOrder, lost.into()));
    let severity = "hr/2 2 minor, hr/3 1 minor, employer/M 1 severe";
    assert_eq!(said("severity"), ("minor".into(), TakenBy::Severity, severity.into()));
    // And what a higher version of one report replaced.
    let versions: Vec<_> = case.reports[0].versions.iter().map(|v| v.changed.clone()).collect();
    assert_eq!(versions, [vec![], vec![("lost_days", Some("5".into()), Some("10".into()))]]);
}

#[test]
fn a_correction_shows_what_it_took_back_and_what_it_found() {
    let town = town();
    let of = |reason| the(&town, Rule::OwnerIncident, Change::Corrected, |a| a.reason == Some(reason));
    let withdrawn = of(Reason::Withdrawn);
    let version = &withdrawn.incidents[0].cases[0].reports[0].versions;
    assert!(version.len() == 1 && version[0].stands, "as known before: {version:?}");
    assert!(withdrawn.became.is_empty());
    assert_eq!(brought(&withdrawn), ["hr/HR-4 2 withdrawn: status reported -> withdrawn"]);
    let refused = of(Reason::Refused);
    assert_eq!(brought(&refused), ["hr/HR-3 2 refused: status reported -> refused"]);
    assert_eq!((refused.incidents[0].state, refused.became[0].state), (State::Counted, State::Refused));
    let host = of(Reason::HostChanged);
    assert_eq!((host.incidents[0].hosts.len(), host.became[0].hosts.len()), (1, 0));
    assert_eq!(host.incidents[0].links[0].by, {
        LinkBy::TimeAndCause { cause: "09".parse().unwrap(), minutes_apart: 20, limit: 30 }
    });
}

#[test]
fn what_was_due_and_not_said_has_its_days() {
    let old = the(&town(), Rule::OwnerIncident, Change::Suppressed, |_| true);
    let Numbers::OwnerIncident { days_after, max_age_days, .. } = old.numbers else {
        panic!("{:?}", old.numbers)
    };
    assert_eq!((days_after, max_age_days), (Some(141), 90));
}

#[test]
fn an_escalation_has_its_window_its_steps_and_what_left_it() {
    let town = town();
    let of = |change, so: &dyn Fn(&Alert) -> bool| the(&town, Rule::Escalation, change, so);
    let numbers = |e: &AlertExplained| match e.numbers {
        Numbers::Escalation { incidents, severe, reaches, told_before, .. } => {
            (incidents, severe, reaches, told_before)
        }
        Numbers::OwnerIncident { .. } => panic!("{:?}", e.numbers),
    };
    let new = of(Change::New, &|a| a.level == Some(Level::Blue));
    assert_eq!(numbers(&new), (2, 0, Some(Level::Blue), None));
    let added = of(Change::Added, &|_| true);
    assert_eq!(numbers(&added), (4, 2, Some(Level::Red), Some(Level::Red)));
    let raised = of(Change::Raised, &|a| a.count == 3);
    assert_eq!(numbers(&raised), (3, 1, Some(Level::Red), Some(Level::Blue)));
    let eased = of(Change::Eased, &|a| a.as_of.to_string() == "2025-05-09");
    assert_eq!(numbers(&eased), (2, 0, Some(Level::Blue), Some(Level::Yellow)));
    let left = |e: &AlertExplained| match &e.numbers {
        Numbers::Escalation { before: Some(b), .. } => {
            (b.count, b.left.iter().map(|left| left.by).collect::<Vec<_>>(), b.came.len())
        }
        _ => panic!("{:?}", e.numbers),
    };
    assert_eq!(left(&eased), (3, vec![LeftBy::State], 0));
    assert_eq!((eased.became.len(), eased.became[0].state), (1, State::Refused));
    assert_eq!(brought(&eased), ["hr/HR-3 2 refused: status reported -> refused"]);
    let closed = of(Change::Closed, &|a| a.reason == Some(Reason::Corrected));
    assert_eq!(numbers(&closed), (1, 0, None, Some(Level::Blue)));
    // What was refused before is none of it.
    assert_eq!(left(&closed), (2, vec![LeftBy::Withdrawn], 0));
    assert!(closed.became.is_empty());
    assert_eq!(left(&raised), (2, vec![], 1));
    assert_eq!(brought(&closed), ["hr/HR-4 2 withdrawn: status reported -> withdrawn"]);
    // Taken over: closed here, opened at the successor.
    let over = of(Change::Closed, &|a| a.reason == Some(Reason::Succeeded));
    let Numbers::Escalation { read_as: Some(heir), .. } = over.numbers else { panic!("{:?}", over.numbers) };
    assert!(over.brought.reports.is_empty());
    assert_eq!(over.brought.registered[0].successor_of, Some(over.alert.uscc));
    let heirs = of(Change::New, &|a| a.uscc == heir);
    assert_eq!(numbers(&heirs), (4, 2, Some(Level::Red), None));
    assert!(heirs.incidents.iter().all(|i| i.read_as == Some(heir)));
}
