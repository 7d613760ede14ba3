//! The registry on a day: which version holds, and who is read as whom (records.md section 3).

use std::collections::{BTreeMap, BTreeSet};

use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::Enterprise;
use tocsin_schemas::time::Day;

/// Every version of every enterprise, seen from one day.
pub(crate) struct Registry<'a> {
    versions: BTreeMap<Uscc, Vec<&'a Enterprise>>,
    day: Day,
    /// Who took an enterprise over, loops left out.
    successor: BTreeMap<Uscc, Uscc>,
    /// The loops: each in the order of succession, the smallest USCC first.
    pub(crate) loops: BTreeSet<Vec<Uscc>>,
}

impl<'a> Registry<'a> {
    pub(crate) fn new(versions: BTreeMap<Uscc, Vec<&'a Enterprise>>, day: Day) -> Registry<'a> {
        let mut registry = Registry { versions, day, successor: BTreeMap::new(), loops: BTreeSet::new() };
        // For each enterprise that is claimed: the claim with the latest valid_from, then the smallest USCC.
        let mut claims: BTreeMap<Uscc, Vec<&Enterprise>> = BTreeMap::new();
        for uscc in registry.versions.keys() {
            if let Some(version) = registry.in_force(uscc)
                && let Some(taken_over) = version.successor_of
            {
                claims.entry(taken_over).or_default().push(version);
            }
        }
        for (taken_over, mut by) in claims {
            by.sort_by(|a, b| b.valid_from.cmp(&a.valid_from).then(a.uscc.cmp(&b.uscc)));
            registry.successor.insert(taken_over, by[0].uscc);
        }
        // A loop is ignored: every step of it.
        let all: Vec<Uscc> = registry.successor.keys().copied().collect();
        let looped: Vec<Uscc> = all.into_iter().filter(|u| registry.comes_back_to(*u)).collect();
        for start in &looped {
            let mut members = vec![*start];
            while registry.successor[&members[members.len() - 1]] != *start {
                members.push(registry.successor[&members[members.len() - 1]]);
            }
            // Found from each of its members: kept as seen from the smallest.
            if members.iter().min() == Some(start) {
                registry.loops.insert(members);
            }
        }
        for uscc in looped {
            registry.successor.remove(&uscc);
        }
        registry
    }

    fn comes_back_to(&self, start: Uscc) -> bool {
        let mut at = start;
        for _ in 0..=self.successor.len() {
            match self.successor.get(&at) {
                None => return false,
                Some(next) if *next == start => return true,
                Some(next) => at = *next,
            }
        }
        false
    }

    /// The highest version whose valid_from is not after the day.
    pub(crate) fn in_force(&self, uscc: &Uscc) -> Option<&'a Enterprise> {
        let versions = self.versions.get(uscc)?;
        versions.iter().filter(|e| e.valid_from <= self.day).max_by_key(|e| e.version).copied()
    }

    /// The version that gives area and industry: the one in force, else the earliest.
    pub(crate) fn seen(&self, uscc: &Uscc) -> Option<&'a Enterprise> {
        let versions = self.versions.get(uscc)?;
        let earliest =
            versions.iter().min_by(|a, b| a.valid_from.cmp(&b.valid_from).then(b.version.cmp(&a.version)));
        self.in_force(uscc).or(earliest.copied())
    }

    /// Whether any version of it is known.
    pub(crate) fn registered(&self, uscc: &Uscc) -> bool {
        self.versions.contains_key(uscc)
    }

    /// Whose incidents they are read as.
    pub(crate) fn root(&self, uscc: Uscc) -> Uscc {
        let mut at = uscc;
        while let Some(next) = self.successor.get(&at) {
            at = *next;
        }
        at
    }

    /// The registered enterprises that are not read as another's.
    pub(crate) fn roots(&self) -> BTreeSet<Uscc> {
        self.versions.keys().copied().filter(|u| self.root(*u) == *u).collect()
    }

    /// The registered enterprises.
    pub(crate) fn all(&self) -> impl Iterator<Item = Uscc> {
        self.versions.keys().copied()
    }
}
