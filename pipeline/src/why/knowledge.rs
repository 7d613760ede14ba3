//! What was known at an instant: the records up to it, merged by the engine's own rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_schemas::ids::{PersonKey, ReportKey, Uscc};
use tocsin_schemas::records::Record;
use tocsin_schemas::time::{Day, Instant, Month};

use super::{Known, Records};
use crate::Verdict;
use crate::cases::{Case, keyed};
use crate::facts::Shared;
pub(super) use crate::incidents::Made as Found;
use crate::incidents::{alone, of_place_by};
use crate::policy::Policies;
use crate::registry::Registry;
use crate::versions::{Replaced, Versions};

/// Which of [`Records::arrivals`] were known.
pub(super) type Cut = Vec<bool>;

/// How many records that may have been taken in later are tried, at most.
pub(super) const TRIES: usize = 48;

/// How many of them are tried two by two, and how many that are stamped ahead.
pub(super) const FEW: usize = 12;

/// The records of a cut, merged.
pub(super) struct Knowledge {
    /// The version of each report that stands, withdrawn ones too.
    pub reports: BTreeMap<ReportKey, Shared>,
    /// What the door said of each known report, in order: its place in [`Records::arrivals`].
    pub verdicts: BTreeMap<ReportKey, Vec<(usize, Verdict)>>,
    /// The headcount of each month that stands: its place in [`Records::arrivals`].
    pub headcounts: BTreeMap<(Uscc, Month), usize>,
    pub registry: Registry,
    pub incidents: Vec<Found>,
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
        let mut headcounts = BTreeMap::new();
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
                    registry.take(enterprise.clone(), arrival.digest, 0);
                }
                Record::Headcount(headcount) => {
                    let (_, replaced) = versions.headcount(headcount, arrival.digest);
                    if replaced.is_some() {
                        headcounts.insert((headcount.uscc, headcount.month), index);
                    }
                }
                Record::Contact(_) | Record::Governance(_) => {}
            }
        }
        registry.advance(day);
        let incidents = incidents(&reports, &registry, policies);
        Knowledge { reports, verdicts, headcounts, registry, incidents }
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
        found.extend(of_place);
    }
    found
}

/// What may have been known at a decision.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub known: Cut,
    /// The last instant that it takes in.
    limit: Instant,
    /// Whether it is that of a midnight, which comes before the arrivals of its instant.
    pub midnight: bool,
    /// What can have been decided by then and is left out here.
    pub taken_later: Vec<usize>,
    /// What cannot, by its stamp, and is taken in here.
    pub stamped_ahead: Vec<usize>,
}

impl Reading {
    /// The same with other records known.
    pub fn with(&self, records: &Records, known: Cut) -> Reading {
        let usual = |i: usize| records.arrivals[i].not_before <= self.limit;
        let places = 0..records.arrivals.len();
        Reading {
            taken_later: places.clone().filter(|i| usual(*i) && !known[*i]).collect(),
            stamped_ahead: places.filter(|i| known[*i] && !usual(*i)).collect(),
            known,
            ..*self
        }
    }
}

/// The plain readings (see [`super`]): everything that can have been decided by then; and the same by stamps alone,
/// where a record was stamped ahead of the clock. Of a midnight's instant, first without what arrived at it.
pub(super) fn plain_readings(records: &Records, decided_at: Instant) -> Vec<Reading> {
    let midnight = decided_at == decided_at.day().midnight();
    let limits =
        midnight.then_some((decided_at.plus_millis(-1), true)).into_iter().chain([(decided_at, false)]);
    let by_clock = |k: &Known| k.not_before;
    let by_stamp = |k: &Known| k.followed_at.map_or(k.arrival.arrived_at, |t| t.min(k.arrival.arrived_at));
    let reading = |of: &dyn Fn(&Known) -> Instant, (limit, midnight)| {
        let known = records.arrivals.iter().map(|k| of(k) <= limit).collect();
        Reading { known: Vec::new(), limit, midnight, taken_later: Vec::new(), stamped_ahead: Vec::new() }
            .with(records, known)
    };
    let mut all: Vec<Reading> = limits.clone().map(|l| reading(&by_clock, l)).collect();
    all.extend(limits.map(|l| reading(&by_stamp, l)));
    all
}

/// The plain readings, and each without the newest versions of the register: one, two, three.
pub(super) fn late_registrations(records: &Records, decided_at: Instant) -> Vec<Reading> {
    let mut all = Vec::new();
    for base in plain_readings(records, decided_at) {
        let enterprise = |i: &usize| matches!(records.arrivals[*i].arrival.record, Record::Enterprise(_));
        let mut newest: Vec<usize> =
            (0..records.arrivals.len()).filter(|i| base.known[*i]).filter(enterprise).collect();
        newest.sort_by_key(|i| std::cmp::Reverse((records.arrivals[*i].not_before, *i)));
        let mut known = base.known.clone();
        all.push(base.clone());
        for index in newest.into_iter().take(3) {
            leave_out(&records.arrivals, &mut known, index);
            all.push(base.with(records, known.clone()));
        }
    }
    all
}

/// Variations of the plain readings: one record more, or some of the newest left out.
pub(super) fn guesses(records: &Records, decided_at: Instant) -> impl Iterator<Item = Reading> + '_ {
    plain_readings(records, decided_at).into_iter().flat_map(move |base| {
        let cuts = variations(&records.arrivals, base.known.clone());
        cuts.map(move |known| base.with(records, known))
    })
}

/// Takes a record out. The order of its partition is kept: what comes after it was taken in after it.
pub(super) fn leave_out(arrivals: &[Known], known: &mut Cut, index: usize) {
    let from = &arrivals[index];
    let after = |k: &Known| k.topic == from.topic && k.partition == from.partition;
    for (i, _) in arrivals.iter().enumerate().skip(index).filter(|(_, k)| after(k)) {
        known[i] = false;
    }
}

fn variations(arrivals: &[Known], base: Cut) -> impl Iterator<Item = Cut> + '_ {
    let mut newest: Vec<usize> = (0..arrivals.len()).filter(|i| base[*i]).collect();
    newest.sort_by_key(|i| std::cmp::Reverse((arrivals[*i].not_before, *i)));
    newest.truncate(TRIES);
    let few: Vec<usize> = newest.iter().copied().take(FEW).collect();
    let suffixes = (1..=newest.len()).map(|n| newest[..n].to_vec());
    let singles = newest.iter().skip(1).map(|i| vec![*i]);
    let pairs = (0..few.len()).flat_map(|a| (a + 1..few.len()).map(move |b| (a, b)));
    let pairs = pairs.map(|(a, b)| vec![few[a], few[b]]);
    let outs: Vec<Vec<usize>> = suffixes.chain(singles).chain(pairs).collect();
    let ahead: Vec<usize> = (0..arrivals.len()).filter(|i| !base[*i]).take(FEW).collect();
    let without = base.clone();
    let fewer = outs.into_iter().map(move |out| {
        let mut known = without.clone();
        out.into_iter().for_each(|index| leave_out(arrivals, &mut known, index));
        known
    });
    let more = ahead.into_iter().map(move |index| {
        let mut known = base.clone();
        known[index] = true;
        known
    });
    more.chain(fewer)
}
