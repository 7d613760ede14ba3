//! What a correction takes back: its incident as it stood before the decision.

use std::collections::BTreeMap;

use tocsin_schemas::records::Alert;

use super::knowledge::{Cut, FEW, Found, Knowledge, Reading, TRIES, leave_out};
use super::{Known, Records, Why, picture};
use crate::policy::Policies;

/// The reports of a correction as they made one incident before.
#[derive(Clone)]
pub(super) struct Before {
    pub found: Found,
    /// What was known then.
    pub known: Cut,
    /// What arrived before the decision's instant and is not in it: taken in late, by the decision or by an earlier
    /// one at its instant.
    pub taken_last: Vec<usize>,
}

/// The policy of a correction, and those that spoke of its incident at other times.
pub(super) fn spoken_under<'x>(
    why: &'x Why<'_, '_>,
    alert: &Alert,
    policies: &'x Policies,
) -> Vec<&'x Policies> {
    let others = why.records.alerts.iter().filter(|a| a.subject == alert.subject);
    let of = |a: &Alert| (why.rules.of)(&a.policy_hash).or_else(|| (why.rules.likely)(a.decided_at));
    let others: BTreeMap<&str, &Policies> = others
        .filter_map(of)
        .map(|p| (&**p.hash(), p))
        .filter(|(hash, _)| *hash != &**policies.hash())
        .collect();
    let others = others.into_values();
    std::iter::once(policies).chain(others).collect()
}

/// Every state before that the reading allows, the plainest first (see [`cuts`]), under each of the policies.
pub(super) fn before<'x>(
    records: &'x Records,
    alert: &'x Alert,
    policies: &'x [&'x Policies],
    reading: &'x Reading,
) -> impl Iterator<Item = Before> + 'x {
    let arrivals = records.arrivals.as_slice();
    let of = move |known: &[bool], policies: &Policies| {
        let was = Knowledge::at(records, known, policies, alert.as_of);
        let found = was.of_exactly(&alert.reports)?.clone();
        let is_late =
            |i: &usize| reading.known[*i] && !known[*i] && arrivals[*i].not_before < alert.decided_at;
        let taken_last = (0..arrivals.len()).filter(is_late).collect();
        Some(Before { found, known: known.to_vec(), taken_last })
    };
    cuts(arrivals, alert, reading).flat_map(move |known| {
        policies.iter().filter_map(|policies| of(&known, policies)).collect::<Vec<_>>()
    })
}

/// What may have been known before: first everything that arrived before the instant; then, where several decisions
/// fell at it, what arrived at it taken back one record after the other; then without late records.
///
/// That a record came late can be seen from its stamp and its partition; *when* it was taken in cannot, because the
/// clock then was that of another partition. So any record may have been: one is left out (with what follows it in its
/// partition), then two, then many, the newest first.
/// Where the reading itself assumes something, or is of a midnight, which takes nothing in, no single late record is
/// tried on top of it.
fn cuts<'x>(arrivals: &'x [Known], alert: &'x Alert, reading: &'x Reading) -> impl Iterator<Item = Cut> + 'x {
    let mut newest: Vec<usize> = (0..arrivals.len()).filter(|i| reading.known[*i]).collect();
    newest.sort_by_key(|i| std::cmp::Reverse((arrivals[*i].not_before, *i)));
    let own = |i: &usize| {
        picture::as_report(&arrivals[*i].arrival.record).is_some_and(|r| alert.reports.contains(&r.key()))
    };
    let own: Vec<usize> = newest.iter().copied().filter(own).take(TRIES).collect();
    newest.truncate(TRIES);
    let at_instant = |i: &usize| arrivals[*i].not_before >= alert.decided_at;
    let now = &reading.known;
    let earlier: Cut = (0..arrivals.len()).map(|i| now[i] && !at_instant(&i)).collect();
    // The records before which `list` is cut: each of it, and all that stand before it.
    let prefixes = |list: &[usize], of_instant: bool| {
        let upto = |n: &usize| at_instant(&list[*n - 1]) == of_instant;
        (1..=list.len()).filter(upto).map(|n| list[..n].to_vec()).collect::<Vec<_>>()
    };
    let without = |out: &[usize]| {
        let mut known = now.clone();
        out.iter().for_each(|index| known[*index] = false);
        known
    };
    let mut plain: Vec<Cut> = vec![earlier.clone()];
    let steps = prefixes(&newest, true).into_iter().chain(prefixes(&own, true));
    plain.extend(steps.map(|out| without(&out)));
    let many: Vec<Cut> =
        prefixes(&newest, false).into_iter().chain(prefixes(&own, false)).map(|out| without(&out)).collect();

    let bare = reading.taken_later.is_empty() && reading.stamped_ahead.is_empty() && !reading.midnight;
    let bases = if bare { vec![now.clone(), earlier] } else { Vec::new() };
    let few = newest.len().min(FEW);
    let pairs = (0..few).flat_map(move |a| (a + 1..few).map(move |b| (a, b)));
    let pairs = pairs.map(|(a, b)| vec![newest[a], newest[b]]);
    let late: Vec<Vec<usize>> = newest.iter().map(|i| vec![*i]).chain(pairs).collect();
    let late = late.into_iter().flat_map(move |out| {
        let cut = |mut known: Cut| {
            out.iter().for_each(|index| leave_out(arrivals, &mut known, *index));
            known
        };
        bases.iter().cloned().map(cut).collect::<Vec<_>>()
    });
    plain.into_iter().chain(late).chain(many)
}
