//! What the message before counted and this one does not, and the other way round: so that a reader can do the sum.

use tocsin_schemas::codes::{Category, Rule};
use tocsin_schemas::ids::{IncidentId, ReportKey};
use tocsin_schemas::records::Alert;
use tocsin_schemas::time::Day;

use super::Why;
use super::knowledge::{Found, Knowledge};
use super::picture;
use super::view::{CountedBefore, How, Left, LeftBy};

/// An alert of an escalation, whose window begins on that day, beside the message before it in its episode; with the
/// incidents that left, as they stand at the decision. Of the first message nothing.
pub(super) fn since_before(
    why: &Why<'_, '_>,
    alert: &Alert,
    then: &Knowledge,
    stood_on: &[Found],
    from: Day,
) -> (Option<CountedBefore>, Vec<Found>) {
    let earlier = |a: &&Alert| {
        a.rule == Rule::Escalation
            && a.uscc == alert.uscc
            && a.episode == alert.episode
            && a.revision < alert.revision
    };
    let Some(before) = why.records.alerts.iter().filter(earlier).max_by_key(|a| a.revision) else {
        return (None, Vec::new());
    };
    let (was, is) = (why.numbers(Some(before)), why.numbers(Some(alert)));
    let mut became: Vec<Found> = Vec::new();
    let mut leaves = |id: IncidentId| {
        let own = |key: &&ReportKey| was.get(*key).is_some_and(|(of, _)| *of == id);
        let keys: Vec<ReportKey> = before.reports.iter().filter(own).cloned().collect();
        let all: Vec<&Found> = then.holding(&keys).collect();
        let counted = |f: &&&Found| stood_on.iter().any(|s| s.seen == f.seen);
        if let Some(other) = all.iter().find(counted) {
            let counted_as = picture::number(other, &is);
            return Left { incident_id: id, by: LeftBy::Merged, counted_as, reports: Vec::new() };
        }
        let by = match all.first() {
            None if keys.is_empty() => LeftBy::Unknown,
            None => LeftBy::Withdrawn,
            Some(f) if !f.seen.counted() => LeftBy::State,
            Some(f) if f.seen.category != Category::Production => LeftBy::Category,
            Some(f) if f.seen.root != Some(alert.uscc) => LeftBy::Enterprise,
            Some(f) if f.seen.occurred_on < from => LeftBy::Window,
            Some(_) => LeftBy::Unknown,
        };
        for found in all {
            if !became.iter().any(|b| b.seen == found.seen) {
                became.push(found.clone());
            }
        }
        // What stands nowhere is in no incident that could be shown.
        let gone = keys.iter().filter(|key| then.reports.get(*key).is_some_and(|r| !r.stands()));
        let reports = gone.map(|key| picture::report(key, How::Withdrawn, then, why)).collect();
        Left { incident_id: id, by, counted_as: None, reports }
    };
    let (ids, ids_before) = (&alert.incident_ids, &before.incident_ids);
    let left = ids_before.iter().filter(|id| !ids.contains(id)).map(|id| leaves(*id)).collect();
    let came = ids.iter().filter(|id| !ids_before.contains(id)).copied().collect();
    let counted = CountedBefore { revision: before.revision, count: ids_before.len() as u32, left, came };
    (Some(counted), became)
}
