//! The door's memory: which version of each record stands (records.md section 1).
//!
//! A higher version replaces a lower one, whatever the order of arrival; of one version with two
//! contents the one with the greater digest stands. So what stands does not depend on the order; only
//! the verdicts do.

use std::hash::BuildHasher;
use std::sync::Arc;

use compact_str::{CompactString, ToCompactString, format_compact};
use hashbrown::hash_map::Entry as Slot;
use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use tocsin_schemas::ids::{ReportKey, Uscc};
use tocsin_schemas::records::{Contact, Digest, GovernanceEvent, Headcount, Report};
use tocsin_schemas::time::{Instant, Month};

use crate::Verdict;
use crate::facts::{Age, Facts, Shared};

/// What stands, by key.
#[derive(Default)]
pub(crate) struct Versions {
    reports: HashTable<Shared>,
    hasher: DefaultHashBuilder,
    /// First arrivals as they were before this batch, where it brought an earlier one.
    moved_back: HashMap<ReportKey, Instant>,
    headcounts: HashMap<(Uscc, Month), (Stamp, u32)>,
    others: HashMap<CompactString, Stamp>,
}

type Stamp = (u64, Digest);

/// A change of what stands: out with the old, in with the new.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Replaced<T> {
    pub old: Option<T>,
    pub new: Option<T>,
}

/// The verdict on `new`, and whether it stands from now on.
pub(crate) fn judge(standing: Option<&Stamp>, new: &Stamp) -> (Verdict, bool) {
    match standing {
        None => (Verdict::Accepted, true),
        Some((version, _)) if new.0 > *version => (Verdict::Accepted, true),
        Some((version, _)) if new.0 < *version => (Verdict::Stale, false),
        Some((_, digest)) if new.1 == *digest => (Verdict::Duplicate, false),
        Some((_, digest)) => (Verdict::Conflict, new.1 > *digest),
    }
}

impl Versions {
    /// Takes a report in. `None`: nothing that a rule reads has changed.
    pub fn report(
        &mut self,
        report: &Report,
        digest: Digest,
        arrived_at: Instant,
    ) -> (Verdict, Option<Replaced<Shared>>) {
        let mut new = Facts::of(report, digest, arrived_at);
        let hasher = &self.hasher;
        let hash = hasher.hash_one(&new.key);
        match self.reports.entry(hash, |f| f.key == new.key, |f| hasher.hash_one(&f.key)) {
            Entry::Vacant(place) => {
                let new = Arc::new(new);
                place.insert(Arc::clone(&new));
                (Verdict::Accepted, Some(Replaced { old: None, new: Some(new) }))
            }
            Entry::Occupied(mut place) => {
                let old = Arc::clone(place.get());
                let (verdict, stands) = judge(Some(&(old.version, old.digest)), &(new.version, new.digest));
                let counting = [old.first_counting_at, new.first_counting_at].into_iter().flatten().min();
                let first = old.first_arrived_at.min(new.first_arrived_at);
                if first < old.first_arrived_at {
                    self.moved_back.entry(new.key.clone()).or_insert(old.first_arrived_at);
                }
                if !stands {
                    if first == old.first_arrived_at && counting == old.first_counting_at {
                        return (verdict, None);
                    }
                    new = (*old).clone();
                }
                (new.first_arrived_at, new.first_counting_at) = (first, counting);
                let new = Arc::new(new);
                *place.get_mut() = Arc::clone(&new);
                (verdict, Some(Replaced { old: Some(old), new: Some(new) }))
            }
        }
    }

    /// Takes a headcount in.
    pub fn headcount(&mut self, h: &Headcount, digest: Digest) -> (Verdict, Option<Replaced<u32>>) {
        let new = (h.version, digest);
        match self.headcounts.entry((h.uscc, h.month)) {
            Slot::Vacant(place) => {
                place.insert((new, h.insured));
                (Verdict::Accepted, Some(Replaced { old: None, new: Some(h.insured) }))
            }
            Slot::Occupied(mut place) => {
                let (standing, insured) = place.get();
                let (verdict, stands) = judge(Some(standing), &new);
                let replaced = Replaced { old: Some(*insured), new: Some(h.insured) };
                if !stands {
                    return (verdict, None);
                }
                place.insert((new, h.insured));
                (verdict, Some(replaced))
            }
        }
    }

    /// The headcounts that stand of the month before and the month after.
    pub fn headcounts_beside(&self, uscc: Uscc, month: Month) -> [Option<u32>; 2] {
        [-1, 1].map(|step| self.headcounts.get(&(uscc, Month(month.0 + step))).map(|(_, insured)| *insured))
    }

    /// Takes a contact in: only the verdict matters here, delivery reads the contacts itself.
    pub fn contact(&mut self, c: &Contact, digest: Digest) -> Verdict {
        self.other(format_compact!("c/{}/{}/{}", c.role, c.subject, c.rank), (c.version, digest))
    }

    /// Takes a governance event in.
    pub fn governance(&mut self, g: &GovernanceEvent, digest: Digest) -> Verdict {
        self.other(format_compact!("g/{}", g.event_id.to_compact_string()), (g.version, digest))
    }

    fn other(&mut self, key: CompactString, new: Stamp) -> Verdict {
        let (verdict, stands) = judge(self.others.get(&key), &new);
        if stands {
            self.others.insert(key, new);
        }
        verdict
    }

    /// The version of a report that stands; withdrawn reports have one too.
    pub fn report_of(&self, key: &ReportKey) -> Option<&Shared> {
        self.reports.find(self.hasher.hash_one(key), |f| f.key == *key)
    }

    /// The reports that stand and were not withdrawn.
    pub fn standing(&self) -> impl Iterator<Item = &Shared> {
        self.reports.iter().filter(|report| report.stands())
    }

    /// The headcounts that stand.
    pub fn headcounts(&self) -> impl Iterator<Item = (Uscc, (Month, u32))> {
        self.headcounts.iter().map(|((uscc, month), (_, insured))| (*uscc, (*month, *insured)))
    }

    /// A batch begins.
    pub fn begin(&mut self) {
        self.moved_back.clear();
    }

    /// The age of a report as it stood before this batch; withdrawn reports have one too.
    pub fn age_before(&self, key: &ReportKey) -> Option<Age> {
        let report = self.report_of(key)?;
        let first = self.moved_back.get(key).copied().unwrap_or(report.first_arrived_at);
        Some((first, key.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_verdicts() {
        let stamp = |version, byte| (version, [byte; 32]);
        let standing = stamp(2, 5);
        assert_eq!(judge(None, &stamp(1, 1)), (Verdict::Accepted, true));
        assert_eq!(judge(Some(&standing), &stamp(3, 1)), (Verdict::Accepted, true));
        assert_eq!(judge(Some(&standing), &stamp(1, 9)), (Verdict::Stale, false));
        assert_eq!(judge(Some(&standing), &stamp(2, 5)), (Verdict::Duplicate, false));
        assert_eq!(judge(Some(&standing), &stamp(2, 4)), (Verdict::Conflict, false));
        assert_eq!(judge(Some(&standing), &stamp(2, 6)), (Verdict::Conflict, true));
    }
}
