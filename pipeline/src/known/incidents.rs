//! What became of incidents between two pictures of them: those that share reports belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_schemas::ids::ReportKey;

use super::view::{How, Picture, Transition};
use crate::incidents::Seen;

/// An incident that went or came, and whether it is counted in the scope that is asked about.
pub(super) type Side = Vec<(Arc<Seen>, bool)>;

/// What became of them: only what touches the scope, and only where something differs that anybody reads.
pub(super) fn transitions(went: Side, came: Side) -> Vec<Transition> {
    let mut groups: Vec<(Side, Side)> = Vec::new();
    let mut of: BTreeMap<ReportKey, usize> = BTreeMap::new();
    let sides = went.into_iter().map(|one| (one, true)).chain(came.into_iter().map(|one| (one, false)));
    for (one, before) in sides {
        let keys: Vec<ReportKey> = one.0.reports.iter().map(|r| r.key.clone()).collect();
        let near: BTreeSet<usize> = keys.iter().filter_map(|key| of.get(key).copied()).collect();
        let mut near = near.into_iter();
        let group = near.next().unwrap_or_else(|| {
            groups.push((Vec::new(), Vec::new()));
            groups.len() - 1
        });
        for other in near {
            let (before, after) = std::mem::take(&mut groups[other]);
            groups[group].0.extend(before);
            groups[group].1.extend(after);
            of.values_mut().filter(|g| **g == other).for_each(|g| *g = group);
        }
        of.extend(keys.into_iter().map(|key| (key, group)));
        let side = &mut groups[group];
        if before { &mut side.0 } else { &mut side.1 }.push(one);
    }
    let here = |side: &Side| side.iter().any(|(_, here)| *here);
    let touching = groups.into_iter().filter(|(before, after)| here(before) || here(after));
    let mut all: Vec<Transition> = touching
        .map(|(before, after)| Transition {
            how: how(&before, &after),
            before: pictures(&before),
            after: pictures(&after),
        })
        .filter(|t| !t.how.is_empty())
        .collect();
    all.sort_by_key(|t| t.before.iter().chain(&t.after).flat_map(|p| p.reports.clone()).min());
    all
}

fn how(before: &Side, after: &Side) -> Vec<How> {
    let counted = |side: &Side| side.iter().any(|(seen, _)| seen.counted());
    let mut how = match (before.len(), after.len()) {
        (0, _) => return vec![How::Came],
        (_, 0) => return vec![How::Went],
        (1, 1) => Vec::new(),
        (b, a) if b > a => vec![How::Merged],
        (b, a) if b < a => vec![How::Split],
        // As many as before, made up otherwise.
        _ => vec![How::Merged, How::Split],
    };
    fn differs<T: Ord>(before: &Side, after: &Side, of: impl Fn(&Seen) -> T) -> bool {
        let all = |side: &Side| side.iter().map(|(seen, _)| of(seen)).collect::<BTreeSet<T>>();
        all(before) != all(after)
    }
    let persons = |side: &Side| side.iter().map(|(seen, _)| seen.persons).sum::<u32>();
    how.extend((counted(before) != counted(after)).then_some(How::State));
    how.extend(differs(before, after, |s| s.uscc).then_some(How::Enterprise));
    let read_as = |s: &Seen| s.root.filter(|root| s.uscc != Some(*root));
    how.extend(differs(before, after, read_as).then_some(How::ReadAs));
    how.extend(differs(before, after, |s| s.occurred_on).then_some(How::Day));
    how.extend(differs(before, after, |s| s.category).then_some(How::Category));
    how.extend(differs(before, after, |s| s.severity).then_some(How::Severity));
    how.extend((persons(before) != persons(after)).then_some(How::Persons));
    // The parts of one incident may well have times of their own.
    let one = before.len() == 1 && after.len() == 1;
    how.extend((one && differs(before, after, |s| (s.cause, s.time))).then_some(How::Circumstances));
    how
}

fn pictures(side: &Side) -> Vec<Picture> {
    let mut all: Vec<Picture> = side.iter().map(|(seen, here)| picture(seen, *here)).collect();
    all.sort_by(|a, b| a.reports.cmp(&b.reports));
    all
}

fn picture(seen: &Seen, here: bool) -> Picture {
    Picture {
        uscc: seen.uscc,
        read_as: seen.root.filter(|root| seen.uscc != Some(*root)),
        occurred_on: seen.occurred_on,
        occurred_time: seen.time,
        cause: seen.cause,
        category: seen.category,
        severity: seen.severity,
        state: seen.state,
        persons: seen.persons,
        here,
        reports: seen.reports.iter().map(|r| r.key.clone()).collect(),
    }
}
