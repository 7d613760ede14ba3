//! What was known at an instant: the records up to it, merged by the engine's own rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_schemas::ids::{PersonKey, ReportKey, Uscc};
use tocsin_schemas::records::Record;
use tocsin_schemas::time::{Day, Instant};

use super::Records;
use crate::Verdict;
use crate::cases::{Case, keyed};
use crate::facts::Shared;
use crate::incidents::{LinkedBy, Seen, alone, of_place_by};
use crate::policy::Policies;
use crate::registry::Registry;
use crate::versions::{Replaced, Versions};

/// Which of [`Records::arrivals`] were known.
pub(super) type Cut = Vec<bool>;

/// How many records that may have been taken in later are tried, at most.
pub(super) const TRIES: usize = 48;

/// The records of a cut, merged.
pub(super) struct Knowledge {
    /// The version of each report that stands, withdrawn ones too.
    pub reports: BTreeMap<ReportKey, Shared>,
    /// What the door said of each known report, in order: its place in [`Records::arrivals`].
    pub verdicts: BTreeMap<ReportKey, Vec<(usize, Verdict)>>,
    pub registry: Registry,
    pub incidents: Vec<Found>,
}

/// An incident with what it was made of.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub seen: Seen,
    pub cases: Vec<Case>,
    pub links: Vec<(ReportKey, ReportKey, LinkedBy)>,
}

impl Found {
    /// Its reports as lists outside have them.
    pub fn keys(&self) -> Vec<ReportKey> {
        let mut keys: Vec<ReportKey> = self.seen.reports.iter().map(|r| r.key.clone()).collect();
        keys.sort_unstable_by(|a, b| a.text_order().cmp(&b.text_order()));
        keys
    }
}

impl Knowledge {
    /// The records of a cut, seen from a day.
    pub fn at(records: &Records, known: &[bool], policies: &Policies, day: Day) -> Knowledge {
        let (mut versions, mut registry) = (Versions::default(), Registry::default());
        let mut reports: BTreeMap<ReportKey, Shared> = BTreeMap::new();
        let mut verdicts: BTreeMap<ReportKey, Vec<(usize, Verdict)>> = BTreeMap::new();
        for (index, arrival) in
            records.arrivals.iter().enumerate().filter(|(i, _)| known[*i]).map(|(i, k)| (i, &k.arrival))
        {
            match &arrival.record {
                Record::Report(report) => {
                    let (verdict, replaced) = versions.report(report, arrival.digest, arrival.arrived_at);
                    if let Some(Replaced { new: Some(new), .. }) = replaced {
                        reports.insert(report.key(), new);
                    }
                    verdicts.entry(report.key()).or_default().push((index, verdict));
                }
                Record::Enterprise(enterprise) => {
                    registry.take(enterprise.clone(), arrival.digest);
                }
                Record::Headcount(_) | Record::Contact(_) | Record::Governance(_) => {}
            }
        }
        registry.advance(day);
        let incidents = incidents(&reports, &registry, policies);
        Knowledge { reports, verdicts, registry, incidents }
    }

    /// The incidents that hold any of these reports.
    pub fn holding<'k>(&'k self, keys: &'k [ReportKey]) -> impl Iterator<Item = &'k Found> {
        self.incidents.iter().filter(|f| f.seen.reports.iter().any(|r| keys.contains(&r.key)))
    }

    /// The incident of exactly these reports.
    pub fn of_exactly(&self, keys: &[ReportKey]) -> Option<&Found> {
        self.incidents.iter().find(|f| f.keys() == keys)
    }

    /// Whether an enterprise is registered.
    pub fn registered(&self, uscc: &Uscc) -> bool {
        self.registry.in_force(uscc).is_some()
    }
}

/// Rules 1 to 4 over all reports that stand.
fn incidents(reports: &BTreeMap<ReportKey, Shared>, registry: &Registry, policies: &Policies) -> Vec<Found> {
    let mut persons: BTreeMap<PersonKey, Vec<Shared>> = BTreeMap::new();
    let mut pieces: Vec<Case> = Vec::new();
    for report in reports.values().filter(|r| r.stands()) {
        match report.person_key {
            Some(person) => persons.entry(person).or_default().push(Arc::clone(report)),
            None => pieces.push(Case::of(vec![Arc::clone(report)])),
        }
    }
    pieces.extend(persons.values().flat_map(|reports| keyed(reports, policies)));
    let mut places: BTreeMap<(Uscc, Day), Vec<Case>> = BTreeMap::new();
    let mut found = Vec::new();
    for case in pieces {
        match case.uscc() {
            Some(uscc) => places.entry((uscc, case.occurred_on())).or_default().push(case),
            None => {
                found.push(Found { seen: alone(&case, policies), cases: vec![case], links: Vec::new() });
            }
        }
    }
    for ((uscc, _), pieces) in places {
        let root = registry.in_force(&uscc).map(|_| registry.root(&uscc));
        let of_place = of_place_by(&pieces, uscc, root, policies);
        found.extend(of_place.into_iter().map(|(seen, cases, links)| Found { seen, cases, links }));
    }
    found
}

/// What may have been known at a decision, the plain reading first; with what it leaves out of that, and
/// whether it is that of a midnight (which comes before the arrivals of its instant).
pub(super) fn readings(records: &Records, decided_at: Instant) -> impl Iterator<Item = Reading> + '_ {
    let upto =
        move |limit: Instant| -> Cut { records.arrivals.iter().map(|k| k.not_before <= limit).collect() };
    let midnight = (decided_at == decided_at.day().midnight()).then(|| Reading {
        known: upto(decided_at.plus_millis(-1)),
        midnight: true,
        left_out: Vec::new(),
    });
    let plain = Reading { known: upto(decided_at), midnight: false, left_out: Vec::new() };
    let mut newest: Vec<usize> = (0..records.arrivals.len()).filter(|i| plain.known[*i]).collect();
    newest.sort_by_key(|i| std::cmp::Reverse((records.arrivals[*i].not_before, *i)));
    newest.truncate(TRIES);
    let without = move |out: Vec<usize>| {
        let mut reading = Reading { known: upto(decided_at), midnight: false, left_out: Vec::new() };
        for index in out {
            // What comes after it in its partition was taken in after it.
            let from = &records.arrivals[index];
            for (i, k) in records.arrivals.iter().enumerate().skip(index) {
                if reading.known[i] && k.topic == from.topic && k.partition == from.partition {
                    reading.known[i] = false;
                    reading.left_out.push(i);
                }
            }
        }
        reading.left_out.sort_unstable();
        reading
    };
    let suffixes: Vec<Vec<usize>> = (1..=newest.len()).map(|n| newest[..n].to_vec()).collect();
    let singles: Vec<Vec<usize>> = newest.iter().skip(1).map(|i| vec![*i]).collect();
    let pairs: Vec<Vec<usize>> = (0..newest.len().min(12))
        .flat_map(|a| (a + 1..newest.len().min(12)).map(move |b| (a, b)))
        .map(|(a, b)| vec![newest[a], newest[b]])
        .collect();
    let guesses = suffixes.into_iter().chain(singles).chain(pairs).map(without);
    midnight.into_iter().chain([plain]).chain(guesses)
}

/// See [`readings`].
pub(super) struct Reading {
    pub known: Cut,
    pub midnight: bool,
    pub left_out: Vec<usize>,
}
