//! What a change came from: the records that its decision took in.

use std::collections::BTreeSet;

use tocsin_schemas::codes::{Change, Reason, Rule};
use tocsin_schemas::ids::{ReportKey, Uscc};
use tocsin_schemas::records::{Alert, Record, Report};
use tocsin_schemas::time::Instant;

use super::check::Judged;
use super::knowledge::{Cut, Found, Knowledge, TRIES};
use super::picture::as_report;
use super::view::{Brought, Changed, LeftBy, Numbers};
use super::{Known, Why, since};
use crate::policy::Policies;

/// The versions of the reports concerned, or of registrations, that made this message a change of the one before. Of a
/// first message nothing where one of its own reports came with it, as that stands above; else what else was taken in.
///
/// A record is decided at the clock of its arrival or later. So it is what was taken in at the decision's instant; of a
/// correction, what was not known just before it. Where a late record did it, which shows no such instant: what changed
/// since the message before. At a midnight nothing is taken in, but a registration may take effect.
pub(super) fn brought(why: &Why<'_, '_>, alert: &Alert, judged: &Judged, policies: &Policies) -> Brought {
    if alert.change == Change::Suppressed || alert.reason == Some(Reason::Policy) {
        return Brought::default();
    }
    let arrivals = &why.records.arrivals;
    let came_with_it = |i: &usize| {
        judged.known[*i]
            && arrivals[*i].not_before == alert.decided_at
            && as_report(&arrivals[*i].arrival.record).is_some_and(|r| alert.reports.contains(&r.key()))
    };
    let first = alert.change == Change::New && alert.revision == 1;
    if first && (0..arrivals.len()).any(|i| came_with_it(&i)) {
        return Brought::default();
    }
    if alert.reason == Some(Reason::Expired) {
        // Days went by; but what is another's since this midnight is so by a registration.
        let lost = judged.numbers.left().iter().any(|left| left.by == LeftBy::Enterprise);
        return if lost { taking_effect(why, alert, judged) } else { Brought::default() };
    }
    let up_to = |instant: Instant, included: bool| -> Cut {
        let earlier = |at: Instant| at < instant || (included && at == instant);
        judged.known.iter().zip(arrivals).map(|(known, k)| *known && earlier(k.not_before)).collect()
    };
    let before = judged.was_known.clone().unwrap_or_else(|| up_to(alert.decided_at, false));
    let found = between(why, alert, judged, policies, &before);
    if !found.reports.is_empty() || !found.registered.is_empty() {
        return found;
    }
    if alert.decided_at == alert.as_of.midnight() {
        return taking_effect(why, alert, judged);
    }
    let earlier = why.records.alerts.iter().filter(|a| precedes(a, alert)).map(|a| a.decided_at);
    let Some(last) = earlier.max() else { return found };
    let mut since = between(why, alert, judged, policies, &up_to(last, true));
    // All that time brought more than what did it.
    only_what_moved_it(why, alert, judged, policies, &mut since.reports);
    since
}

/// Whether a message comes before another one about the same.
fn precedes(earlier: &Alert, than: &Alert) -> bool {
    earlier.rule == than.rule
        && earlier.subject == than.subject
        && match than.rule {
            Rule::OwnerIncident => (earlier.decided_at, earlier.revision) < (than.decided_at, than.revision),
            Rule::Escalation => earlier.episode == than.episode && earlier.revision < than.revision,
        }
}

/// What the decision knew and a state before it did not, of what the alert is about.
fn between(why: &Why<'_, '_>, alert: &Alert, judged: &Judged, policies: &Policies, before: &Cut) -> Brought {
    let was = Knowledge::at(why.records, before, policies, alert.as_of);
    let both = || was.incidents.iter().chain(&judged.then.incidents);
    let about: Vec<&Found> = both().filter(|f| is_about(f, alert, &judged.numbers)).collect();
    let keys: Vec<ReportKey> = about.iter().flat_map(|f| f.keys()).collect();
    // A report that moves a case elsewhere is only where the case is now.
    let near = was.holding(&keys).chain(judged.then.holding(&keys));
    let near: BTreeSet<ReportKey> = near.flat_map(Found::keys).chain(alert.reports.iter().cloned()).collect();
    let taken_in = |keys: &BTreeSet<ReportKey>| {
        let mut reports = since::changed_between(why, before, &judged.known, keys);
        reports.retain(|change| !change.fields.is_empty());
        reports
    };
    let new = || (0..before.len()).filter(|i| judged.known[*i] && !before[*i]);
    let mut reports = taken_in(&near);
    if reports.is_empty() {
        // Where one report without a person's key joins another case, the next one of its place does, too.
        let places: BTreeSet<_> = about.iter().map(|f| (f.seen.uscc, f.seen.occurred_on)).collect();
        let there = both().filter(|f| places.contains(&(f.seen.uscc, f.seen.occurred_on)));
        reports = taken_in(&there.flat_map(Found::keys).collect());
        only_what_moved_it(why, alert, judged, policies, &mut reports);
    }
    let mut registered = Vec::new();
    if reports.is_empty() || alert.reason == Some(Reason::Succeeded) {
        let mut of: BTreeSet<Uscc> =
            about.iter().flat_map(|f| [f.seen.uscc, f.seen.root]).flatten().collect();
        of.insert(alert.uscc);
        let of_it = |i: &usize| since::registration(&why.records.arrivals[*i].arrival, &of).is_some();
        let all: Vec<usize> = new().filter(of_it).collect();
        let moves = moved_by(why, alert, judged, policies);
        let needed: Vec<usize> = all.iter().copied().filter(|i| moves(*i)).collect();
        // A first message may have come of none of them; any other change has a cause.
        let first = alert.change == Change::New;
        let named = if needed.is_empty() && !first { all } else { needed };
        let arrivals = &why.records.arrivals;
        registered.extend(named.iter().filter_map(|i| since::registration(&arrivals[*i].arrival, &of)));
    }
    if reports.is_empty() && registered.is_empty() {
        // A registration of a third one may end a chain of successions; a report that went leaves its place to another.
        let moves = moved_by(why, alert, judged, policies);
        let moved: Vec<usize> = new().rev().take(TRIES).filter(|i| moves(*i)).collect();
        let records = || moved.iter().map(|i| &why.records.arrivals[*i].arrival);
        reports = taken_in(&records().filter_map(|a| as_report(&a.record)).map(Report::key).collect());
        registered.extend(records().filter_map(|arrival| match &arrival.record {
            Record::Enterprise(e) => since::registration(arrival, &BTreeSet::from([e.uscc])),
            _ => None,
        }));
    }
    Brought { reports, registered }
}

/// Leaves out the records without which the outcome would be the same. Where each alone could be missed, all stay.
fn only_what_moved_it(
    why: &Why<'_, '_>,
    alert: &Alert,
    judged: &Judged,
    policies: &Policies,
    reports: &mut Vec<Changed>,
) {
    if reports.len() > TRIES {
        return;
    }
    let moved = moved_by(why, alert, judged, policies);
    let needed = |change: &&Changed| index_of(why, change).is_some_and(&moved);
    let needed: Vec<Changed> = reports.iter().filter(needed).cloned().collect();
    if !needed.is_empty() {
        *reports = needed;
    }
}

fn index_of(why: &Why<'_, '_>, change: &Changed) -> Option<usize> {
    let place = &change.version.place;
    let is = |k: &Known| (&k.topic, k.partition, k.offset) == (&place.topic, place.partition, place.offset);
    why.records.arrivals.iter().position(is)
}

/// Whether what the alert is about would be otherwise without one of the records that were known.
fn moved_by(
    why: &Why<'_, '_>,
    alert: &Alert,
    judged: &Judged,
    policies: &Policies,
) -> impl Fn(usize) -> bool {
    let outcome = |of: &Knowledge| -> BTreeSet<_> {
        let about = of.incidents.iter().filter(|f| is_about(f, alert, &judged.numbers)).map(|f| &f.seen);
        about
            .map(|seen| {
                let reports: Vec<ReportKey> = seen.reports.iter().map(|r| r.key.clone()).collect();
                let place = (seen.uscc, seen.root, seen.hosts.clone(), seen.occurred_on);
                (reports, seen.state, seen.severity, seen.category, place)
            })
            .collect()
    };
    let is = outcome(&judged.then);
    move |index| {
        let mut without = judged.known.clone();
        without[index] = false;
        outcome(&Knowledge::at(why.records, &without, policies, alert.as_of)) != is
    }
}

/// Whether an alert speaks of an incident: of an escalation, whether it lies in the window.
fn is_about(found: &Found, alert: &Alert, numbers: &Numbers) -> bool {
    match numbers {
        Numbers::OwnerIncident { .. } => found.seen.reports.iter().any(|r| alert.reports.contains(&r.key)),
        Numbers::Escalation { from, to, .. } => {
            let day = found.seen.occurred_on;
            [found.seen.uscc, found.seen.root].contains(&Some(alert.uscc)) && (*from..=*to).contains(&day)
        }
    }
}

/// Registrations that begin to hold on the day of a midnight: of the enterprise, and of those whose incidents are no more its own.
fn taking_effect(why: &Why<'_, '_>, alert: &Alert, judged: &Judged) -> Brought {
    let begins = |i: &usize| {
        let record = &why.records.arrivals[*i].arrival.record;
        judged.known[*i] && matches!(record, Record::Enterprise(e) if e.valid_from == alert.as_of)
    };
    let mut of: BTreeSet<Uscc> = judged.became.iter().filter_map(|found| found.seen.uscc).collect();
    of.insert(alert.uscc);
    let begin = (0..why.records.arrivals.len()).filter(begins);
    let registered = begin.filter_map(|i| since::registration(&why.records.arrivals[i].arrival, &of));
    Brought { reports: Vec::new(), registered: registered.collect() }
}
