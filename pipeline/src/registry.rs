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
use crate::findings::{Finding, Loop};

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
    /// The same the other way round: who is read as an enterprise beside itself.
    read_as: HashMap<Uscc, Vec<Uscc>>,
    /// Of each enterprise in a loop, the loop.
    loops: BTreeMap<Uscc, Loop>,
    /// Loops that came to be since [`Registry::found`] was asked.
    found: Vec<Finding>,
    as_of: Option<Day>,
    /// Enterprises of which a version came that has not been looked at, and the place of the last one in its batch.
    taken: BTreeMap<Uscc, usize>,
}

/// Who is claimed, by those whose claim on it has begun, ended or another date.
type Shaken = BTreeMap<Uscc, BTreeSet<Uscc>>;

#[derive(Default)]
struct Entry {
    versions: BTreeMap<u64, (Digest, Arc<Enterprise>)>,
    /// Today's one of them; `None` before the first day.
    in_force: Option<Arc<Enterprise>>,
    /// Whom it claims today, and from which day on.
    claim: Option<(Uscc, Day)>,
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
    /// Takes a version in, the `place`th record of its batch. All versions are kept; a late lower one is accepted
    /// (records.md section 1). What it moves is said by [`Registry::moved`], once for a whole batch.
    pub fn take(&mut self, enterprise: Enterprise, digest: Digest, place: usize) -> Verdict {
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
        self.taken.insert(uscc, place);
        verdict
    }

    /// What the versions taken in since the last call move.
    pub fn moved(&mut self) -> Vec<Moved> {
        if self.taken.is_empty() || self.as_of.is_none() {
            // Before the first day nothing is in force: the first call of `advance` looks at everything.
            return Vec::new();
        }
        let taken = std::mem::take(&mut self.taken);
        self.refresh(taken.keys().copied().collect(), &taken)
    }

    /// The loops that came to be since the last call, in the order in which they did.
    pub fn found(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.found)
    }

    /// The loops that stand.
    pub fn loops(&self) -> BTreeSet<Loop> {
        self.loops.values().cloned().collect()
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
        let taken = std::mem::take(&mut self.taken);
        self.refresh(touched, &taken)
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

    /// Who is read as this enterprise today beside itself, sorted; the other way round from [`Registry::root`].
    pub fn read_as(&self, root: &Uscc) -> &[Uscc] {
        self.read_as.get(root).map(Vec::as_slice).unwrap_or_default()
    }

    fn refresh(&mut self, mut touched: BTreeSet<Uscc>, taken: &BTreeMap<Uscc, usize>) -> Vec<Moved> {
        let shaken = self.reclaim(&touched);
        if !shaken.is_empty() {
            self.find_loops(&shaken, taken);
            let before = std::mem::take(&mut self.roots);
            self.roots = self.successions();
            self.read_as.clear();
            self.roots.iter().for_each(|(former, root)| self.read_as.entry(*root).or_default().push(*former));
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

    /// Brings versions in force and claims of the touched enterprises up to date.
    fn reclaim(&mut self, touched: &BTreeSet<Uscc>) -> Shaken {
        let mut shaken = Shaken::new();
        let Some(today) = self.as_of else { return shaken };
        for uscc in touched {
            let Some(entry) = self.enterprises.get_mut(uscc) else { continue };
            entry.in_force = entry.on(today).cloned();
            let begun = entry.in_force.as_ref().filter(|e| e.valid_from <= today);
            let claim = begun.and_then(|e| Some((e.successor_of?, e.valid_from)));
            let before = std::mem::replace(&mut entry.claim, claim);
            if before == claim {
                continue;
            }
            if let Some((left, _)) = before {
                if let Some(claimants) = self.claims.get_mut(&left) {
                    claimants.remove(uscc);
                    if claimants.is_empty() {
                        self.claims.remove(&left);
                    }
                }
                shaken.entry(left).or_default().insert(*uscc);
            }
            if let Some((predecessor, _)) = claim {
                self.claims.entry(predecessor).or_default().insert(*uscc);
                shaken.entry(predecessor).or_default().insert(*uscc);
            }
        }
        shaken
    }

    /// Who takes an enterprise over today, loops not looked at: of several the latest, then the smallest USCC.
    fn heir(&self, predecessor: &Uscc) -> Option<Uscc> {
        let since = |u: &Uscc| self.enterprises.get(u).and_then(|e| e.claim).map(|(_, since)| since);
        let claimants = self.claims.get(predecessor)?;
        claimants.iter().max_by_key(|c| (since(c), std::cmp::Reverse(**c))).copied()
    }

    /// Brings the loops up to date. One that came to be, or went, holds somebody whose heir is another now: only
    /// from those on the successions are followed.
    fn find_loops(&mut self, shaken: &Shaken, taken: &BTreeMap<Uscc, usize>) {
        let Some(since) = self.as_of else { return };
        let before: BTreeSet<Loop> = shaken.keys().filter_map(|p| self.loops.get(p)).cloned().collect();
        for member in before.iter().flat_map(|members| members.iter()) {
            self.loops.remove(member);
        }
        for start in shaken.keys() {
            if self.loops.contains_key(start) {
                continue;
            }
            let Some(members) = self.loop_through(start) else { continue };
            self.loops.extend(members.iter().map(|member| (*member, Arc::clone(&members))));
            if !before.contains(&members) {
                let by = members.iter().filter_map(|member| shaken.get(member)).flatten();
                let arrival = by.filter_map(|claimant| taken.get(claimant)).max().copied();
                self.found.push(Finding::SuccessionLoop { members, arrival, since });
            }
        }
    }

    /// The loop that an enterprise is in.
    fn loop_through(&self, start: &Uscc) -> Option<Loop> {
        let mut members = vec![*start];
        let mut seen = BTreeSet::new();
        let mut at = self.heir(start)?;
        while at != *start {
            if !seen.insert(at) {
                // It leads into a loop, and is not in it.
                return None;
            }
            members.push(at);
            at = self.heir(&at)?;
        }
        let smallest = members.iter().enumerate().min_by_key(|(_, member)| **member).map_or(0, |(n, _)| n);
        members.rotate_left(smallest);
        Some(members.into())
    }

    /// predecessor -> whose it is read as at last, loops ignored (records.md section 3, succession).
    fn successions(&self) -> BTreeMap<Uscc, Uscc> {
        let sound: BTreeMap<Uscc, Uscc> = self
            .claims
            .keys()
            .filter(|predecessor| !self.loops.contains_key(*predecessor))
            .filter_map(|predecessor| Some((*predecessor, self.heir(predecessor)?)))
            .collect();
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
            r.take(e.clone(), [i as u8; 32], i);
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
        assert_eq!(at("2025-02-15", &all).read_as(&uscc(2)), [uscc(1)]);
        let mut read_as = at("2025-03-15", &all).read_as(&uscc(3)).to_vec();
        read_as.sort();
        assert_eq!((read_as.len(), at("2025-03-15", &all).read_as(&uscc(2)).len()), (2, 0));
        assert!(read_as.contains(&uscc(1)) && read_as.contains(&uscc(2)));
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

    /// The members of a loop by number, its cause, and its day.
    type Found = (Vec<u32>, Option<usize>, String);

    fn found(r: &mut Registry) -> Vec<Found> {
        let number = |u: &Uscc| (1..9).find(|n| uscc(*n) == *u).unwrap();
        let of = |finding: Finding| match finding {
            Finding::SuccessionLoop { members, arrival, since } => {
                (members.iter().map(number).collect(), arrival, since.to_string())
            }
            other => panic!("{other:?}"),
        };
        r.found().into_iter().map(of).collect()
    }

    fn batch(r: &mut Registry, versions: &[Enterprise]) -> Vec<Found> {
        for (place, e) in versions.iter().enumerate() {
            r.take(e.clone(), [place as u8; 32], place);
        }
        r.moved();
        found(r)
    }

    #[test]
    fn a_loop_is_told_once_with_its_members_and_again_when_it_comes_back() {
        let mut r =
            at("2025-02-01", &[version(2, 1, "2025-01-01", Some(3)), version(3, 1, "2025-01-01", Some(1))]);
        assert_eq!(found(&mut r), []);
        // 3 is read as 2's, 1 as 3's, and now 2 as 1's. What else comes with it does not close it.
        let closing = [
            version(5, 1, "2025-01-01", None),
            version(1, 1, "2025-01-01", Some(2)),
            version(6, 1, "2025-01-01", Some(5)),
        ];
        let ring = vec![1, 3, 2];
        assert_eq!(batch(&mut r, &closing), [(ring.clone(), Some(1), "2025-02-01".into())]);
        assert_eq!(r.loops().len(), 1);
        assert_eq!(r.root(&uscc(2)), uscc(2), "and is ignored");
        // The same again is not told: another version with the same claim, somebody who leads into it.
        assert_eq!(
            batch(&mut r, &[version(1, 2, "2025-01-02", Some(2)), version(2, 2, "2025-01-01", Some(3))]),
            []
        );
        assert_eq!(batch(&mut r, &[version(7, 1, "2025-01-01", Some(6))]), []);
        assert_eq!(batch(&mut r, &[version(1, 3, "2025-01-03", None)]), []);
        assert!(r.loops().is_empty());
        let again = batch(&mut r, &[version(1, 4, "2025-01-03", Some(2))]);
        assert_eq!(again, [(ring, Some(0), "2025-02-01".into())]);
    }

    #[test]
    fn a_loop_may_begin_with_a_day_by_its_own_claim_or_when_a_competitor_goes() {
        let mut r = at(
            "2025-01-01",
            &[
                version(1, 1, "2024-01-01", Some(2)),
                version(2, 1, "2025-03-01", Some(1)),
                version(3, 1, "2025-03-01", Some(1)),
                version(3, 2, "2025-05-01", None),
                version(4, 1, "2025-04-01", Some(4)),
            ],
        );
        let advance = |r: &mut Registry, day: &str| {
            r.advance(day.parse().unwrap());
            found(r)
        };
        assert_eq!(found(&mut r), []);
        // Of two that claim 1 since the same day it is 2, the smaller one.
        assert_eq!(advance(&mut r, "2025-03-01"), [(vec![1, 2], None, "2025-03-01".into())]);
        // One alone that claims itself.
        assert_eq!(advance(&mut r, "2025-04-01"), [(vec![4], None, "2025-04-01".into())]);
        // A later claim on 1 opens the circle; when it is given up, that record closes it, though none of a member.
        assert_eq!(batch(&mut r, &[version(3, 3, "2025-03-15", Some(1))]), []);
        assert_eq!(r.loops().len(), 1);
        let given_up = batch(&mut r, &[version(5, 1, "2025-01-01", None), version(3, 4, "2025-03-16", None)]);
        assert_eq!(given_up, [(vec![1, 2], Some(1), "2025-04-01".into())]);
    }

    #[test]
    fn a_loop_of_the_very_first_batch_names_its_record() {
        let mut r =
            at("2025-02-01", &[version(1, 1, "2025-01-01", Some(2)), version(2, 1, "2025-01-01", Some(1))]);
        assert_eq!(found(&mut r), [(vec![1, 2], Some(1), "2025-02-01".into())]);
    }

    #[test]
    fn only_what_changes_is_moved() {
        let mut r = at("2025-01-01", &[version(1, 1, "2025-01-01", None)]);
        r.take(version(1, 2, "2025-02-01", None), [9; 32], 0);
        assert_eq!(r.moved(), []);
        assert_eq!(r.advance("2025-01-31".parse().unwrap()), []);
        assert_eq!(r.advance("2025-02-01".parse().unwrap()).len(), 1);
    }
}
