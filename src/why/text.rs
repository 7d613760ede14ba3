//! The explanation for people: a township officer and the enterprise's lawyer read it together.
//!
//! Every figure stands beside the record that it comes from. Nothing personal is in it: see the pipeline's views.

mod incidents;
mod lists;
mod said;
mod sum;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use tocsin_pipeline::Verdict;
use tocsin_pipeline::why::{
    AlertExplained, Changed, Difference, EnterpriseExplained, FieldChange, IncidentExplained, Numbers, Place,
    PolicyUsed, RefusedView, Registered, UsedBecause, YearCount,
};
use tocsin_schemas::areas;
use tocsin_schemas::codes::{Cause, Change, Level, Reason, Rule};
use tocsin_schemas::ids::ReportKey;
use tocsin_schemas::records::{Alert, Delivery};
use tocsin_schemas::time::Instant;

use super::{Answer, What};
use crate::output::plain;
use incidents::left_out;
pub use lists::modelled;

/// So many incidents of a count are named; JSON has all.
const SHOWN: usize = 30;

/// The whole text.
pub fn of(answer: &Answer) -> String {
    let mut page = Page {
        text: String::new(),
        deliveries: &answer.deliveries,
        beside: &answer.beside,
        delivered: answer.delivered,
        deep: answer.deep.is_some(),
    };
    match &answer.what {
        What::Alert(alert) => page.alert(alert),
        What::Case(all) => page.each(all),
        What::Incident(incident) => page.incident_page(incident),
        What::Enterprise(enterprise) => page.enterprise_page(enterprise),
        What::Listed(listed) => page.listed(listed),
    }
    if let Some(again) = &answer.deep {
        page.deep(again);
    }
    page.line(0, "");
    page.line(
        0,
        format!(
            "Read: {} records of the event log, in each pass anew; everything decided up to {}. A place such as reports.hr/2@0 is topic/partition@offset.",
            answer.read.records, answer.read.clock
        ),
    );
    page.text.trim_end().to_owned()
}

struct Page<'a> {
    text: String,
    deliveries: &'a [Delivery],
    /// Those that say what became of the messages before, and of what joined a digest.
    beside: &'a [Delivery],
    /// Whether the log holds any delivery.
    delivered: bool,
    /// Whether what a list was compared with is made again.
    deep: bool,
}

impl Page<'_> {
    /// One line, whatever the texts of records in it try.
    fn line(&mut self, indent: usize, text: impl AsRef<str>) {
        let text = plain(text.as_ref());
        if text.is_empty() {
            self.text.push('\n');
        } else {
            let _ = writeln!(self.text, "{:indent$}{text}", "", indent = indent * 2);
        }
    }

    fn head(&mut self, text: &str) {
        self.line(0, "");
        self.line(0, text);
    }

    fn each(&mut self, all: &[AlertExplained]) {
        for (place, alert) in all.iter().enumerate() {
            if place > 0 {
                self.head(&"-".repeat(78));
            }
            self.alert(alert);
        }
    }

    fn alert(&mut self, why: &AlertExplained) {
        let alert = &why.alert;
        self.line(0, format!("ALERT {}: {}", alert.alert_id, what(alert)));
        self.line(0, format!("about {}", enterprise(alert)));
        let (at, as_of, case_no) = (alert.decided_at, alert.as_of, &alert.case_no);
        let place = match alert.change {
            Change::Suppressed => format!("no message: recorded under case {case_no}"),
            _ => format!("message {} of case {case_no}", alert.revision),
        };
        self.line(0, format!("decided {at}, as of {as_of}; {place}"));
        self.head("By which rule");
        self.numbers(&why.numbers, alert);
        self.told_as(why);
        self.line(1, policy(&why.policy));
        self.head(match alert.change {
            Change::Corrected => "What it took back, as known before the decision",
            _ => "What it stood on, as known at the decision",
        });
        self.incidents(1, &why.incidents);
        if alert.change == Change::Corrected {
            self.head("What the decision found instead");
            self.incidents(1, &why.became);
        } else if let Numbers::Escalation { before: Some(before), .. } = &why.numbers {
            self.since_before(before, why);
        }
        self.order(&why.taken_later, "can have been decided by then, but what was said only follows if it was taken in later (it came late, or at the same instant)");
        self.order(&why.stamped_ahead, "is stamped later, but what was said only follows if it was known (its stamp was ahead of the clock)");
        self.order(&why.taken_last, "arrived before the decision's instant, but what was taken back only stood before if it was taken in at that instant (it came late; the log does not say when)");
        self.brought(why);
        self.head("What was said to whom");
        self.said(why);
        self.head("What came since");
        self.since(why);
        self.head("Does it add up");
        if why.check.adds_up() {
            let all = match alert.rule {
                Rule::OwnerIncident if alert.audiences.is_empty() => {
                    "change, reason, severity, persons, day, cause, area and reports"
                }
                Rule::OwnerIncident => {
                    "change, reason, severity, persons, day, cause, area, count of the year, reports and audience"
                }
                Rule::Escalation => {
                    "change, reason, level, window, count, incidents, area, reports and audience"
                }
            };
            let assumed = [&why.taken_later, &why.stamped_ahead, &why.taken_last];
            let how = match assumed.iter().all(|places| places.is_empty()) {
                true => "",
                false => ", if records were taken in as assumed under \"The order of arrival\"",
            };
            match why.check.unchecked.as_slice() {
                [] if why.policy.at_hand => {
                    self.line(1, format!("yes{how}: {all} come out again from the records above"));
                }
                [] => self.line(
                    1,
                    format!(
                        "yes{how}, under the policy of that time, though its hash is another one now: {all} come out again \
                         from the records above"
                    ),
                ),
                unchecked => self.line(
                    1,
                    format!(
                        "not checked: {} (the policy that decided is not at hand). Every report named was known then",
                        unchecked.join(", ")
                    ),
                ),
            }
        }
        self.differences(&why.check.differences);
    }

    /// The records behind a change of what was said before; of a first message those that are none of its own reports.
    fn brought(&mut self, why: &AlertExplained) {
        let alert = &why.alert;
        let none = why.brought.reports.is_empty() && why.brought.registered.is_empty();
        if alert.change == Change::Suppressed || (alert.change == Change::New && none) {
            return;
        }
        self.head("What brought it about");
        for c in &why.brought.reports {
            self.line(1, format!("{}  {}", changed(c), c.version.place));
        }
        why.brought.registered.iter().for_each(|r| self.line(1, registered(r)));
        if none {
            self.line(
                1,
                match alert.reason {
                    Some(Reason::Expired) => "no record: days went by, and an incident left the window",
                    Some(Reason::Policy) => "no record: another policy, or another table of it, took effect",
                    _ => "none of the records above was taken in at this decision: what else changed with it, such as a \
                          table of the policy, is not on record",
                },
            );
        }
    }

    fn differences(&mut self, differences: &[Difference]) {
        if !differences.is_empty() {
            self.line(
                1,
                "IT DOES NOT ADD UP. This is a defect of Tocsin or of the log: report it with this page.",
            );
        }
        for d in differences {
            self.line(2, format!("{}: said {}; the records give {}", d.field, d.said, d.recomputed));
        }
    }

    fn numbers(&mut self, numbers: &Numbers, alert: &Alert) {
        match numbers {
            Numbers::OwnerIncident {
                first_counting_at,
                days_after,
                max_age_days,
                policy_begins,
                told_before,
                severity_told,
                year,
            } => {
                self.line(
                    1,
                    "S15: the owner is told of each counted incident, and of each change of what was told",
                );
                if let (Some(at), Some(days)) = (first_counting_at, days_after) {
                    let when = match *days {
                        // The day that a report gives may not be over yet.
                        days if days < 0 => format!("{} before the day that it gives", counted(-days, "day")),
                        days => format!("{} after it occurred", counted(days, "day")),
                    };
                    self.line(1, format!("first counting arrival {at}, {when}; limit {max_age_days} days; the policy begins on {policy_begins}"));
                }
                year.iter().for_each(|count| self.year(count));
                self.before(alert, told_before, *severity_told);
            }
            Numbers::Escalation { told_before, .. } => {
                self.line(1, "S20: the township is warned of an enterprise with several incidents, then the departments");
                self.line(1, window(numbers));
                self.severe(alert);
                self.line(
                    1,
                    match told_before {
                        Some(level) => format!("decided before: {level}"),
                        None => "decided before: no escalation was open".to_owned(),
                    },
                );
            }
        }
        if let Some(reason) = alert.reason {
            self.line(1, format!("reason {reason}"));
        }
    }

    /// What an owner was told of the year.
    fn year(&mut self, count: &YearCount) {
        let YearCount { subject, said, from, to, incidents, .. } = count;
        let said = said.map_or_else(|| "no number".to_owned(), |n| n.to_string());
        let each = incidents.iter().map(|one| {
            let number = one.incident_id.map_or_else(|| "without a number".to_owned(), |id| id.to_string());
            format!("{number} of {}{}", one.occurred_on, if one.hosted { " as the host" } else { "" })
        });
        let mut each: Vec<String> = each.collect();
        let more = each.len().saturating_sub(SHOWN);
        each.truncate(SHOWN);
        let more = if more > 0 { format!(" and {more} more (--json has all)") } else { String::new() };
        let each = if each.is_empty() { "none".to_owned() } else { each.join(", ") + &more };
        self.line(
            1,
            format!(
                "count of the year for the owner of {subject}: {said}; counted incidents of every category from {from} to \
                 {to}: {each}"
            ),
        );
    }

    /// Other numbers under which its reports were told.
    fn told_as(&mut self, why: &AlertExplained) {
        if why.told_as.is_empty() {
            return;
        }
        self.line(1, "its reports were told of under other numbers, too");
        for other in &why.told_as {
            let own: Vec<String> = other
                .reports
                .iter()
                .filter(|key| why.alert.reports.contains(key))
                .map(ToString::to_string)
                .collect();
            let (at, id) = (other.decided_at, &other.alert_id);
            self.line(2, format!("{at} alert {id}: {}, with {}", what(other), own.join(", ")));
        }
    }

    /// Which incidents of a warning are severe or fatal, and so may make it red.
    fn severe(&mut self, alert: &Alert) {
        if !alert.facts.severe_incident_ids.is_empty() {
            let ids: Vec<String> = alert.facts.severe_incident_ids.iter().map(ToString::to_string).collect();
            let s = if ids.len() == 1 { "" } else { "s" };
            self.line(1, format!("severe or fatal: incident{s} {}", ids.join(", ")));
        }
    }

    fn order(&mut self, places: &[Place], what: &str) {
        if !places.is_empty() {
            self.head("The order of arrival");
        }
        for place in places {
            self.line(1, format!("{place} {what}"));
        }
    }

    fn since(&mut self, why: &AlertExplained) {
        let since = &why.since;
        if since.reports.is_empty() && since.alerts.is_empty() && since.registered.is_empty() {
            self.line(1, "nothing: every report stands as it stood");
            return;
        }
        let mut lines: Vec<(Instant, String)> = Vec::new();
        lines.extend(since.reports.iter().map(|c| (c.version.arrived_at, changed(c))));
        lines.extend(since.registered.iter().map(|r| (r.arrived_at, registered(r))));
        for alert in &since.alerts {
            let text = format!("{} alert {}: {}", alert.decided_at, alert.alert_id, what(alert));
            lines.push((alert.decided_at, text));
        }
        lines.sort_by_key(|(at, _)| *at);
        lines.iter().for_each(|(_, text)| self.line(1, text));
        for i in &since.incidents {
            let number = i.incident_id.map_or_else(|| "without a number".to_owned(), |id| id.to_string());
            let at = i.uscc.map_or_else(|| "an unknown enterprise".to_owned(), |u| u.to_string());
            self.line(
                1,
                format!(
                    "now: incident {number}, {} at {at}, persons {}, {}, {}",
                    i.occurred_on, i.persons, i.severity, i.state
                ),
            );
        }
        if since.incidents.is_empty() {
            self.line(1, "now: none of its reports stands");
            return;
        }
        let cases = since.incidents.iter().flat_map(|i| &i.cases);
        let standing: BTreeSet<&ReportKey> = cases.flat_map(|c| &c.reports).map(|r| &r.report).collect();
        let gone = why.alert.reports.iter().filter(|key| !standing.contains(key));
        // Whatever is not withdrawn stands in an incident, counted or not.
        let gone: Vec<String> = gone.map(|key| format!("{key} (withdrawn)")).collect();
        if !gone.is_empty() {
            self.line(1, format!("now: in no incident: {}", gone.join(", ")));
        }
    }

    fn incident_page(&mut self, why: &IncidentExplained) {
        self.line(0, format!("INCIDENT {}, as of {}", why.incident_id, why.as_of));
        match &why.record {
            Some(r) => self.line(
                1,
                format!(
                    "on record: {} at {}, persons {}, {}, {}, {}; first arrived {}",
                    r.occurred_on,
                    r.uscc.map_or_else(|| "an unknown enterprise".to_owned(), |u| u.to_string()),
                    r.persons,
                    r.category,
                    r.severity,
                    r.state,
                    r.first_arrived_at
                ),
            ),
            None => self.line(1, "the topic incidents has no record of it"),
        }
        self.head("What its reports make today");
        self.incidents(1, &why.incidents);
        self.differences(&why.differences);
        for alert in &why.named_in {
            self.line(
                1,
                format!("counted in {} alert {}: {}", alert.decided_at, alert.alert_id, what(alert)),
            );
        }
        self.head(&"=".repeat(78));
        if why.alerts.is_empty() {
            self.line(0, "Nobody was told of it.");
        }
        self.each(&why.alerts);
    }

    fn refused(&mut self, all: &[RefusedView]) {
        let Some(first) = all.first() else { return };
        let (number, since) = (counted(all.len() as i64, "report"), first.arrived_at.day());
        self.head("In quarantine");
        self.line(1, format!("{number} that the door refused, since {since}: counted nowhere, and nobody knows whether it is an injury"));
        all.iter().for_each(|r| self.line(1, refused(r)));
    }

    fn enterprise_page(&mut self, why: &EnterpriseExplained) {
        self.line(0, format!("ENTERPRISE {}, as of {}", why.uscc, why.as_of));
        if let Some(other) = why.read_as {
            self.line(1, format!("its incidents are read as {other}'s, which took it over"));
        }
        if why.registered.is_empty() {
            self.line(1, "it is not registered: its incidents are unmatched and count nowhere");
        }
        why.registered.iter().for_each(|r| self.line(1, registered(r)));
        self.line(1, window(&why.escalation));
        if let Numbers::Escalation { told_before, policy_begins, .. } = why.escalation {
            if why.as_of < policy_begins {
                self.line(1, format!("the policy begins on {policy_begins}: nothing is opened before"));
            }
            if let Some(level) = told_before {
                self.line(1, format!("an escalation is open: {level}"));
            }
        }
        self.head("Its incidents today");
        self.incidents(1, &why.incidents);
        self.refused(&why.refused);
        self.differences(&why.differences);
        self.entries(&why.lists);
        self.head(&"=".repeat(78));
        if why.alerts.is_empty() {
            self.line(0, "Nothing was said of it.");
        }
        self.each(&why.alerts);
    }
}

/// A report in quarantine, as far as it can be read.
fn refused(r: &RefusedView) -> String {
    let report =
        r.report.as_ref().map_or_else(|| "a report without an id".to_owned(), |key| format!("report {key}"));
    let day = r.occurred_on.map(|day| format!(", accident of {day}")).unwrap_or_default();
    format!("{} {report} refused: {}{day}  {}", r.arrived_at, r.reason, r.place)
}

/// A later version of a report, and what it changed.
fn changed(c: &Changed) -> String {
    let v = &c.version;
    let (report, number, verdict) = (&c.report, v.version, v.verdict.as_str());
    let mut text =
        format!("{} report {report} version {number}, status {}: {verdict}", v.arrived_at, v.status);
    if !c.fields.is_empty() {
        let _ = write!(text, "; {}", changes(&c.fields));
    } else if v.verdict == Verdict::Conflict {
        text.push_str(if v.stands {
            "; it stands, and says the same to every rule"
        } else {
            "; the one that stood before stands"
        });
    }
    if !v.left_out.is_empty() {
        let _ = write!(text, "; {}", left_out(&v.left_out));
    }
    text
}

/// What a version changed; of the first one what it says.
fn changes(fields: &[FieldChange]) -> String {
    // A status is always there: whoever had none before is new.
    let new = fields.iter().any(|(field, before, _)| *field == "status" && before.is_none());
    let words = fields.iter().map(|(field, before, now)| match (new, now) {
        (true, Some(now)) => format!("{field} {}", value(field, now)),
        _ => format!("{field} {} -> {}", said(field, before.as_deref()), said(field, now.as_deref())),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// What a report says of a field.
pub fn said(field: &str, what: Option<&str>) -> String {
    what.map_or_else(|| "not given".to_owned(), |text| value(field, text))
}

/// A version of an enterprise's registration.
fn registered(r: &Registered) -> String {
    let mut text = format!(
        "{} register: {} version {} {}, area {}, industry {}, {}, from {}",
        r.arrived_at,
        r.uscc,
        r.version,
        r.name,
        place_name(&r.area),
        r.industry,
        r.status,
        r.valid_from
    );
    if let Some(before) = r.successor_of {
        let _ = write!(text, ", took over {before}");
    }
    text
}

/// What an alert says, in a line, with its reason.
fn what(alert: &Alert) -> String {
    let reason = alert.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    match alert.rule {
        Rule::OwnerIncident => {
            let severity = alert.severity.map(|s| format!(" ({s})")).unwrap_or_default();
            let (subject, change, persons) = (&alert.subject, alert.change, alert.count);
            format!("incident {subject} {change}{severity}, persons {persons}{reason}")
        }
        Rule::Escalation => {
            let level = alert.level.map(colour).unwrap_or_default();
            format!(
                "escalation {} {}{level}, incidents in the window {}{reason}",
                alert.episode, alert.change, alert.count
            )
        }
    }
}

fn colour(level: Level) -> String {
    format!(" {level}")
}

fn enterprise(alert: &Alert) -> String {
    let name = alert.facts.enterprise_name.as_deref().unwrap_or("not registered");
    let area = alert.facts.area.as_deref().map(|a| format!(", {}", place_name(a))).unwrap_or_default();
    format!("{} {name}{area}", alert.uscc)
}

/// A code with its name, where there is one.
pub fn place_name(code: &str) -> String {
    match (areas::area(code), areas::division(code)) {
        (Some(area), _) => format!("{code} {}", area.name),
        (None, Some(division)) => format!("{code} {}", division.name),
        (None, None) => code.to_owned(),
    }
}

fn policy(used: &PolicyUsed) -> String {
    let PolicyUsed { hash, used_hash, used_because, effective_from, .. } = used;
    let table = effective_from.map_or_else(String::new, |day| format!(", table effective from {day}"));
    match used_because {
        UsedBecause::Named => format!("policy {hash}{table}"),
        UsedBecause::Likely => format!(
            "policy {hash}: no policy at hand has this hash. Used instead: the one of that time, given or the newest \
             that had been published, hash {used_hash}{table}. A release whose policies have further fields gives each \
             of them another hash; if it is the same policy, all adds up under it"
        ),
        UsedBecause::AtHand => format!(
            "policy {hash}: NOT AT HAND. The picture below is drawn by the policy at hand, hash {used_hash}, so merges \
             and severities may have been others then. Give the one of that time with --policy FILE, or with \
             --policy-from DATE alone where it was the default one from another day"
        ),
    }
}

fn window(numbers: &Numbers) -> String {
    let Numbers::Escalation {
        window_days,
        from,
        to,
        incidents,
        severe,
        steps,
        severe_is_red,
        reaches,
        read_as,
        ..
    } = numbers
    else {
        return String::new();
    };
    if let Some(other) = read_as {
        return format!("its incidents are read as {other}'s: no level applies to it");
    }
    let [blue, yellow, orange, red] = steps;
    let single = if *severe_is_red { " or one severe or fatal" } else { "" };
    let level = reaches.map_or_else(|| "no level".to_owned(), |level| level.to_string());
    format!(
        "{incidents} counted production incidents in {window_days} days ({from} to {to}), {severe} of them severe or \
         fatal: {level} (blue from {blue}, yellow {yellow}, orange {orange}, red {red}{single})"
    )
}

/// "1 day", "2 days".
fn counted(n: i64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A value as people read it.
pub fn value(field: &str, text: &str) -> String {
    match field {
        "cause" => text.parse::<Cause>().map_or_else(|_| text.to_owned(), |c| format!("{text} {}", c.name())),
        _ => text.to_owned(),
    }
}
