//! What came after a decision: later versions, what they changed, later alerts.

use std::collections::BTreeSet;
use std::sync::Arc;

use tocsin_schemas::codes::Rule;
use tocsin_schemas::ids::{ReportKey, Uscc};
use tocsin_schemas::records::{Alert, Record};

use super::check::Judged;
use super::knowledge::{Cut, Found};
use super::picture::{self, as_report, digits};
use super::view::{Changed, Registered, Since};
use super::{Records, Why};
use crate::engine::Arrival;
use crate::facts::{Facts, Shared};
use crate::policy::Policies;
use crate::versions::{Replaced, Versions};

/// What came after an alert was decided. Of a warning also what came of those that left it.
pub(super) fn since(why: &Why<'_, '_>, alert: &Alert, judged: &Judged, policies: &Policies) -> Since {
    let known = &judged.known;
    // What its reports make now may hold reports that came later.
    let now = why.now_of(&alert.reports);
    let cases = now.iter().flat_map(|i| &i.cases);
    let reports = cases.flat_map(|c| &c.reports).map(|r| r.report.clone());
    let left = judged.became.iter().flat_map(Found::keys).chain(judged.numbers.gone());
    let mut keys: BTreeSet<ReportKey> = alert.reports.iter().cloned().chain(reports).chain(left).collect();
    keys.extend(came_and_went(why, alert, judged, policies));
    let later = |a: &&Alert| match alert.rule {
        // A suppressed decision has revision 0, and there may be two.
        Rule::OwnerIncident => (a.decided_at, a.revision) > (alert.decided_at, alert.revision),
        Rule::Escalation => (a.episode, a.revision) > (alert.episode, alert.revision),
    };
    let same =
        |a: &&Alert| a.rule == alert.rule && a.subject == alert.subject && a.alert_id != alert.alert_id;
    let mut alerts: Vec<Alert> = why.records.alerts.iter().filter(same).filter(later).cloned().collect();
    alerts.extend(why.told_as(alert, |a| a.decided_at > alert.decided_at));
    alerts.sort_by_key(|a| (a.decided_at, a.episode, a.revision));
    Since {
        reports: changed(why, known, &keys),
        registered: register_after(why.records, alert.uscc, known),
        incidents: now,
        alerts,
    }
}

/// Reports that joined what the alert is about after it, and are not in it any more: withdrawn there, or moved away.
fn came_and_went(
    why: &Why<'_, '_>,
    alert: &Alert,
    judged: &Judged,
    policies: &Policies,
) -> BTreeSet<ReportKey> {
    let own = why.records.incidents.iter().filter(|i| alert.incident_ids.contains(&i.incident_id));
    let mut keys: BTreeSet<ReportKey> =
        own.flat_map(|i| i.reports.iter().chain(&i.withdrawn)).cloned().collect();
    // Of the same person, at the same enterprise, within the days that make one case.
    let arrivals = why.records.arrivals.iter().zip(&judged.known).filter(|(_, known)| !**known);
    let case_days = policies.on(alert.as_of).merge.case_days;
    for report in arrivals.filter_map(|(k, _)| as_report(&k.arrival.record)) {
        let near = |found: &Found| {
            let one_case = |r: &Shared| {
                let days = r.occurred_on.0.abs_diff(report.occurred_on.0);
                report.person_key.is_some() && r.person_key == report.person_key && days <= case_days
            };
            (report.uscc.is_none() || found.seen.uscc == report.uscc)
                && found.seen.reports.iter().any(one_case)
        };
        if judged.stood_on.iter().any(near) {
            keys.insert(report.key());
        }
    }
    keys
}

/// The versions of these reports that were not known, each with what it changed.
pub(super) fn changed(why: &Why<'_, '_>, known: &Cut, keys: &BTreeSet<ReportKey>) -> Vec<Changed> {
    changed_between(why, known, &vec![true; why.records.arrivals.len()], keys)
}

/// The versions of these reports that were known after and not before, each with what it changed.
pub(super) fn changed_between(
    why: &Why<'_, '_>,
    before: &Cut,
    after: &Cut,
    keys: &BTreeSet<ReportKey>,
) -> Vec<Changed> {
    let mut versions = Versions::default();
    let mut changes = Vec::new();
    for (index, arrived) in why.records.arrivals.iter().enumerate().filter(|(i, _)| before[*i] || after[*i]) {
        let Some(report) = as_report(&arrived.arrival.record).filter(|r| keys.contains(&r.key())) else {
            continue;
        };
        let (verdict, replaced) = versions.report(report, arrived.arrival.digest, arrived.arrival.arrived_at);
        if before[index] {
            continue;
        }
        let (old, new) = replaced.map_or((None, None), |Replaced { old, new }| (old, new));
        let Some(mut version) = picture::version(why, index, verdict) else { continue };
        version.stands = new.as_ref().is_some_and(|n| n.digest == arrived.arrival.digest);
        changes.push((
            arrived.not_before,
            Changed { report: report.key(), version, fields: between(old.as_ref(), new.as_ref()) },
        ));
    }
    changes.sort_by_key(|(not_before, _)| *not_before);
    changes.into_iter().map(|(_, change)| change).collect()
}

/// A field that differs: its name, what stood before, what stands since.
pub type FieldChange = (&'static str, Option<String>, Option<String>);

/// The fields that differ.
pub(crate) fn between(old: Option<&Shared>, new: Option<&Shared>) -> Vec<FieldChange> {
    let Some(new) = new else { return Vec::new() };
    let before = old.map(|o| fields(o)).unwrap_or_default();
    let pairs = fields(new).into_iter().enumerate();
    pairs
        .map(|(place, (name, now))| (name, before.get(place).and_then(|(_, value)| value.clone()), now))
        .filter(|(_, before, now)| before != now)
        .collect()
}

/// What the rules read of a report, as text; of its person only so much as is shown.
fn fields(f: &Facts) -> Vec<(&'static str, Option<String>)> {
    fn text<T: ToString>(value: Option<T>) -> Option<String> {
        value.map(|v| v.to_string())
    }
    vec![
        ("status", text(Some(f.status))),
        ("category", text(Some(f.category))),
        ("occurred_on", text(Some(f.occurred_on))),
        ("occurred_time", text(f.occurred_time)),
        ("uscc", text(f.uscc)),
        ("host_uscc", text(f.host_uscc)),
        ("person", f.person_key.map(digits)),
        ("incident_no", text(f.incident_no.as_ref())),
        ("cause", text(f.cause)),
        ("lost_days", text(f.lost_days)),
        ("disability_grade", text(f.disability_grade)),
        // Nobody says that a person lives: the date of death is there, or it is not.
        ("died", text(f.died.then_some(true))),
    ]
}

/// Every version of an enterprise's registration, and of those that took it over, in the order of arrival.
pub(super) fn register(records: &Records, uscc: Uscc) -> Vec<Registered> {
    register_after(records, uscc, &vec![false; records.arrivals.len()])
}

pub(super) fn register_after(records: &Records, uscc: Uscc, known: &Cut) -> Vec<Registered> {
    let unknown = records.arrivals.iter().zip(known).filter(|(_, known)| !**known).map(|(k, _)| &k.arrival);
    let of = BTreeSet::from([uscc]);
    unknown.filter_map(|arrival| registration(arrival, &of)).collect()
}

/// A version of the registration of one of these, or of who takes one of them over.
pub(super) fn registration(arrival: &Arrival, of: &BTreeSet<Uscc>) -> Option<Registered> {
    match &arrival.record {
        Record::Enterprise(e)
            if of.contains(&e.uscc) || e.successor_of.is_some_and(|before| of.contains(&before)) =>
        {
            Some(Registered {
                uscc: e.uscc,
                version: e.version,
                arrived_at: arrival.arrived_at,
                name: Arc::clone(&e.name),
                area: Arc::clone(&e.area),
                industry: e.industry.clone(),
                valid_from: e.valid_from,
                status: e.status,
                successor_of: e.successor_of,
            })
        }
        _ => None,
    }
}
