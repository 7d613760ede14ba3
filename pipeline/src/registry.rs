//! The register of enterprises: dated versions, who is in force on a day, who is read as whose.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compact_str::CompactString;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Digest, Enterprise};
use tocsin_schemas::time::Day;

use crate::Verdict;

/// Every version of every enterprise, seen from one day.
#[derive(Default)]
pub(crate) struct Registry {
    enterprises: HashMap<Uscc, Entry>,
    /// Enterprises that have a version which begins on a later day.
    pending: BTreeMap<Day, BTreeSet<Uscc>>,
    /// Who claims whom today: predecessor -> its claimants.
    claims: BTreeMap<Uscc, BTreeSet<Uscc>>,
    /// Only those that are read as another's.
    roots: BTreeMap<Uscc, Uscc>,
    as_of: Option<Day>,
    /// Enterprises of which a version came that has not been looked at.
    taken: BTreeSet<Uscc>,
}

#[derive(Default)]
struct Entry {
    versions: BTreeMap<u64, (Digest, Arc<Enterprise>)>,
    /// Today's one of them; `None` before the first day.
    in_force: Option<Arc<Enterprise>>,
    /// Whom it claims today.
    claim: Option<Uscc>,
    /// What was last told to the caller: whose it is read as, and its profile if it is its own.
    told: Option<(Uscc, Option<Profile>)>,
}

/// Where an enterprise belongs on a day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub division: CompactString,
    pub area: CompactString,
    /// Sorted, each once.
    pub tags: Vec<CompactString>,
}

/// A change of the register as the dataflow sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub uscc: Uscc,
    /// Whose it was read as (its own mostly), and its profile if it was its own. `None`: not registered.
    pub old: Option<(Uscc, Option<Profile>)>,
    /// The same from now on.
    pub new: (Uscc, Option<Profile>),
}

impl Entry {
    /// The version in force on a day: the highest of those not after it; none: the earliest.
    fn on(&self, day: Day) -> Option<&Arc<Enterprise>> {
        let versions = || self.versions.values().map(|(_, e)| e);
        let newest = versions().rev().find(|e| e.valid_from <= day);
        newest.or_else(|| versions().min_by_key(|e| (e.valid_from, std::cmp::Reverse(e.version))))
    }
}

impl Registry {
    /// Takes a version in. All versions are kept; a late lower one is accepted (records.md section 1). What
    /// it moves is said by [`Registry::moved`], once for a whole batch.
    pub fn take(&mut self, enterprise: Enterprise, digest: Digest) -> Verdict {
        let uscc = enterprise.uscc;
        let entry = self.enterprises.entry(uscc).or_default();
        let verdict = match entry.versions.get(&enterprise.version) {
            None => Verdict::Accepted,
            Some((standing, _)) if *standing == digest => return Verdict::Duplicate,
            Some((standing, _)) if *standing > digest => return Verdict::Conflict,
            Some(_) => Verdict::Conflict,
        };
        if self.as_of.is_none_or(|today| enterprise.valid_from > today) {
            self.pending.entry(enterprise.valid_from).or_default().insert(uscc);
        }
        entry.versions.insert(enterprise.version, (digest, Arc::new(enterprise)));
        if self.as_of.is_some() {
            self.taken.insert(uscc);
        }
        verdict
    }

    /// What the versions taken in since the last call move.
    pub fn moved(&mut self) -> Vec<Moved> {
        let taken = std::mem::take(&mut self.taken);
        if taken.is_empty() { Vec::new() } else { self.refresh(taken) }
    }

    /// Moves to a later day: versions that begin take effect. The first call sets the day.
    pub fn advance(&mut self, day: Day) -> Vec<Moved> {
        let first = self.as_of.is_none();
        self.as_of = Some(day);
        let later = self.pending.split_off(&day.plus(1));
        let mut touched: BTreeSet<Uscc> =
            std::mem::replace(&mut self.pending, later).into_values().flatten().collect();
        if first {
            touched = self.enterprises.keys().copied().collect();
        }
        self.refresh(touched)
    }

    /// Everything that was told so far, for somebody who knows nothing.
    pub fn standing(&self) -> Vec<Moved> {
        let told =
            |(uscc, entry): (&Uscc, &Entry)| Some(Moved { uscc: *uscc, old: None, new: entry.told.clone()? });
        self.enterprises.iter().filter_map(told).collect()
    }

    /// The version in force today: the highest of those not after the day; none: the earliest.
    pub fn in_force(&self, uscc: &Uscc) -> Option<&Arc<Enterprise>> {
        self.enterprises.get(uscc)?.in_force.as_ref()
    }

    /// Where an enterprise belongs today.
    pub fn profile(&self, uscc: &Uscc) -> Option<Profile> {
        self.in_force(uscc).map(|e| {
            let mut tags: Vec<CompactString> = e.tags.iter().map(Into::into).collect();
            tags.sort_unstable();
            tags.dedup();
            Profile { division: e.division().into(), area: (*e.area).into(), tags }
        })
    }

    /// Whose this enterprise's incidents are read as today; mostly its own.
    pub fn root(&self, uscc: &Uscc) -> Uscc {
        self.roots.get(uscc).copied().unwrap_or(*uscc)
    }

    fn refresh(&mut self, mut touched: BTreeSet<Uscc>) -> Vec<Moved> {
        if self.reclaim(&touched) {
            let before = std::mem::take(&mut self.roots);
            self.roots = self.successions();
            let differs = |u: &Uscc| before.get(u) != self.roots.get(u);
            touched.extend(before.keys().chain(self.roots.keys()).filter(|u| differs(u)).copied());
        }
        let mut moved = Vec::new();
        for uscc in touched {
            let root = self.root(&uscc);
            let profile = self.profile(&uscc).filter(|_| root == uscc);
            // A predecessor may be claimed without being registered itself: it has nothing to move.
            let Some(entry) = self.enterprises.get_mut(&uscc) else { continue };
            let new = (root, profile);
            if entry.told.as_ref() != Some(&new) {
                moved.push(Moved { uscc, old: entry.told.replace(new.clone()), new });
            }
        }
        moved
    }

    /// Brings versions in force and claims of the touched enterprises up to date; whether a claim changed.
    /// A claim also depends on the version's date, so a touched claimant counts as changed.
    fn reclaim(&mut self, touched: &BTreeSet<Uscc>) -> bool {
        let Some(today) = self.as_of else { return false };
        let mut changed = false;
        for uscc in touched {
            let Some(entry) = self.enterprises.get_mut(uscc) else { continue };
            entry.in_force = entry.on(today).cloned();
            let begun = entry.in_force.as_ref().filter(|e| e.valid_from <= today);
            let claim = begun.and_then(|e| e.successor_of);
            let before = std::mem::replace(&mut entry.claim, claim);
            if let Some(left) = before.filter(|left| Some(*left) != claim)
                && let Some(claimants) = self.claims.get_mut(&left)
            {
                claimants.remove(uscc);
                if claimants.is_empty() {
                    self.claims.remove(&left);
                }
            }
            if let Some(predecessor) = claim {
                self.claims.entry(predecessor).or_default().insert(*uscc);
            }
            changed |= before.is_some() || claim.is_some();
        }
        changed
    }

    /// predecessor -> whose it is read as at last, loops ignored (records.md section 3, succession).
    fn successions(&self) -> BTreeMap<Uscc, Uscc> {
        let begins = |u: &Uscc| self.in_force(u).map(|e| e.valid_from);
        let parents: BTreeMap<Uscc, Uscc> = self
            .claims
            .iter()
            .filter_map(|(predecessor, claimants)| {
                let best = claimants.iter().max_by_key(|c| (begins(c), std::cmp::Reverse(**c)))?;
                Some((*predecessor, *best))
            })
            .collect();
        let in_loop = |start: &Uscc| {
            let mut at = start;
            for _ in 0..=parents.len() {
                match parents.get(at) {
                    None => return false,
                    Some(next) if next == start => return true,
                    Some(next) => at = next,
                }
            }
            false
        };
        let sound: BTreeMap<Uscc, Uscc> =
            parents.iter().filter(|(p, _)| !in_loop(p)).map(|(p, s)| (*p, *s)).collect();
        let last = |start: &Uscc| {
            let mut at = start;
            while let Some(next) = sound.get(at) {
                at = next;
            }
            *at
        };
        sound.keys().map(|p| (*p, last(p))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_schemas::codes::EnterpriseStatus;

    fn uscc(n: u32) -> Uscc {
        let body = format!("91330784XX{n:07}");
        let check = Uscc::check_symbol(body.as_bytes()).unwrap();
        format!("{body}{}", check as char).parse().unwrap()
    }

    fn version(n: u32, version: u64, from: &str, successor_of: Option<u32>) -> Enterprise {
        Enterprise {
            uscc: uscc(n),
            version,
            name: format!("E{n}").into(),
            short_name: None,
            area: format!("33078400{version}").into(),
            industry: "3382".into(),
            valid_from: from.parse().unwrap(),
            status: EnterpriseStatus::Active,
            tags: Vec::new(),
            successor_of: successor_of.map(uscc),
        }
    }

    fn at(day: &str, versions: &[Enterprise]) -> Registry {
        let mut r = Registry::default();
        for (i, e) in versions.iter().enumerate() {
            r.take(e.clone(), [i as u8; 32]);
        }
        r.advance(day.parse().unwrap());
        r
    }

    #[test]
    fn the_highest_version_that_began_is_in_force_else_the_earliest() {
        let all = [
            version(1, 2, "2025-03-01", None),
            version(1, 1, "2025-01-01", None),
            version(1, 3, "2025-06-01", None),
        ];
        let in_force = |day| at(day, &all).in_force(&uscc(1)).unwrap().version;
        assert_eq!((in_force("2024-01-01"), in_force("2025-02-01"), in_force("2025-03-01")), (1, 1, 2));
        assert_eq!(in_force("2026-01-01"), 3);
    }

    #[test]
    fn a_successor_reads_from_its_day_on_and_chains_are_followed() {
        let all = [
            version(1, 1, "2025-01-01", None),
            version(2, 1, "2025-02-01", Some(1)),
            version(3, 1, "2025-03-01", Some(2)),
        ];
        assert_eq!(at("2025-01-15", &all).root(&uscc(1)), uscc(1));
        assert_eq!(at("2025-02-15", &all).root(&uscc(1)), uscc(2));
        assert_eq!(at("2025-03-15", &all).root(&uscc(1)), uscc(3));
    }

    #[test]
    fn of_several_claims_the_latest_wins_and_loops_are_ignored() {
        let all = [
            version(3, 1, "2025-01-02", Some(1)),
            version(2, 1, "2025-01-02", Some(1)),
            version(4, 1, "2025-01-01", Some(1)),
        ];
        assert_eq!(at("2025-02-01", &all).root(&uscc(1)), uscc(2));
        let ring = [version(1, 1, "2025-01-01", Some(2)), version(2, 1, "2025-01-01", Some(1))];
        assert_eq!(at("2025-02-01", &ring).root(&uscc(1)), uscc(1));
    }

    #[test]
    fn only_what_changes_is_moved() {
        let mut r = at("2025-01-01", &[version(1, 1, "2025-01-01", None)]);
        r.take(version(1, 2, "2025-02-01", None), [9; 32]);
        assert_eq!(r.moved(), []);
        assert_eq!(r.advance("2025-01-31".parse().unwrap()), []);
        assert_eq!(r.advance("2025-02-01".parse().unwrap()).len(), 1);
    }
}
