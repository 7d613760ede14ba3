//! Which incident after a batch is which incident of before (reading 8): claims, split, merge, return.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_schemas::codes::State;
use tocsin_schemas::ids::{IncidentId, ReportKey, Uscc};
use tocsin_schemas::time::Instant;

use crate::cases::Found;
use crate::owner::Told;

/// An incident with its number: what is so of it, or what it was when it went.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// As it stands; of a `gone` one as it last stood.
    pub(crate) found: Found,
    pub(crate) gone: bool,
    /// Reports that were withdrawn while they stood here.
    pub(crate) withdrawn: BTreeSet<ReportKey>,
}

pub(crate) type Ages = BTreeMap<ReportKey, Instant>;

/// What happened to identities at one batch, for the census.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    pub(crate) merges: u64,
    pub(crate) splits: u64,
    pub(crate) reinstatements: u64,
}

/// First arrival, then source order, then record id of the oldest of some reports.
fn age(reports: &BTreeSet<ReportKey>, ages: &Ages) -> (Instant, ReportKey) {
    let oldest = reports.iter().map(|r| (ages.get(r).copied().unwrap_or(Instant(i64::MAX)), r.clone())).min();
    oldest.unwrap_or((
        Instant(i64::MAX),
        ReportKey { source: tocsin_schemas::codes::Source::Health, id: "".into() },
    ))
}

/// What of the history the choice looks at.
pub(crate) struct Before<'a> {
    pub(crate) known: &'a BTreeMap<IncidentId, Known>,
    pub(crate) told: &'a BTreeMap<IncidentId, Told>,
    /// First arrivals as they stood before the batch.
    pub(crate) ages: &'a Ages,
}

impl Before<'_> {
    fn told_now(&self, id: IncidentId) -> BTreeSet<Uscc> {
        self.told.get(&id).map(|t| t.now.clone()).unwrap_or_default()
    }
    fn told_ever(&self, id: IncidentId) -> BTreeSet<Uscc> {
        self.told.get(&id).map(|t| t.ever.clone()).unwrap_or_default()
    }

    /// The oldest told to `uscc`, else the oldest told to anybody, else the oldest.
    fn best_of(
        &self,
        ids: &BTreeSet<IncidentId>,
        uscc: Option<Uscc>,
        told: impl Fn(IncidentId) -> BTreeSet<Uscc>,
    ) -> Option<IncidentId> {
        let rank = |id: &IncidentId| {
            let told = told(*id);
            let here = uscc.is_some_and(|u| told.contains(&u));
            let class = if here {
                0
            } else if !told.is_empty() {
                1
            } else {
                2
            };
            let old = &self.known[id];
            let reports = if old.gone { &old.withdrawn } else { &old.found.reports };
            (class, age(reports, self.ages))
        };
        ids.iter().min_by_key(|id| rank(id)).copied()
    }
}

/// Gives every incident of after the batch its number.
///
/// `ages` are the first arrivals after the batch, `withdrawn` the reports that stand withdrawn.
pub(crate) fn identify(
    before: &Before<'_>,
    found: Vec<Found>,
    ages: &Ages,
    next_id: &mut u32,
) -> (BTreeMap<IncidentId, Known>, Moves) {
    let mut moves = Moves::default();
    // Ids are given in the order of the new incidents' oldest reports.
    let mut found = found;
    found.sort_by_cached_key(|f| age(&f.reports, ages));
    let holder: BTreeMap<ReportKey, usize> =
        found.iter().enumerate().flat_map(|(i, f)| f.reports.iter().map(move |r| (r.clone(), i))).collect();

    // a, b: each living id chooses one of the incidents that its living reports claim.
    let mut choosers: BTreeMap<usize, BTreeSet<IncidentId>> = BTreeMap::new();
    for (id, old) in before.known.iter().filter(|(_, k)| !k.gone) {
        let claimed: BTreeSet<usize> =
            old.found.reports.iter().filter_map(|r| holder.get(r).copied()).collect();
        if claimed.len() > 1 {
            moves.splits += 1;
        }
        let told = before.told_now(*id);
        let still_told = |i: &usize| {
            found[*i].state == State::Counted && found[*i].uscc.is_some_and(|u| told.contains(&u))
        };
        let oldest = |of: &mut dyn Iterator<Item = usize>| of.min_by_key(|i| age(&found[*i].reports, ages));
        let chosen = oldest(&mut claimed.iter().copied().filter(still_told))
            .or_else(|| oldest(&mut claimed.iter().copied()));
        if let Some(i) = chosen {
            choosers.entry(i).or_default().insert(*id);
        }
    }

    // c, d, e: each new incident keeps one id, takes back a gone one, or gets a new one.
    let mut id_of: BTreeMap<usize, IncidentId> = BTreeMap::new();
    let mut used: BTreeSet<IncidentId> = BTreeSet::new();
    for (i, ids) in &choosers {
        moves.merges += ids.len() as u64 - 1;
        if let Some(id) = before.best_of(ids, found[*i].uscc, |id| before.told_now(id)) {
            id_of.insert(*i, id);
            used.insert(id);
        }
    }
    for (i, f) in found.iter().enumerate() {
        if id_of.contains_key(&i) {
            continue;
        }
        // Gone before, or going now: none of its reports lives on.
        let over = |k: &Known| k.gone || !k.found.reports.iter().any(|r| holder.contains_key(r));
        let gone: BTreeSet<IncidentId> = before
            .known
            .iter()
            .filter(|(id, k)| over(k) && !used.contains(id) && !k.withdrawn.is_disjoint(&f.reports))
            .map(|(id, _)| *id)
            .collect();
        let id = match before.best_of(&gone, f.uscc, |id| before.told_ever(id)) {
            Some(id) => {
                moves.reinstatements += 1;
                id
            }
            None => {
                *next_id += 1;
                IncidentId(*next_id)
            }
        };
        id_of.insert(i, id);
        used.insert(id);
    }

    // f: what stays on each record.
    let mut after: BTreeMap<IncidentId, Known> = BTreeMap::new();
    for (id, old) in before.known {
        let mut withdrawn = old.withdrawn.clone();
        if !old.gone {
            withdrawn.extend(old.found.reports.iter().cloned());
        }
        withdrawn.retain(|r| !holder.contains_key(r));
        after.insert(*id, Known { found: old.found.clone(), gone: true, withdrawn });
    }
    for (i, f) in found.into_iter().enumerate() {
        let id = id_of[&i];
        let withdrawn = after.remove(&id).map(|k| k.withdrawn).unwrap_or_default();
        after.insert(id, Known { found: f, gone: false, withdrawn });
    }
    (after, moves)
}
