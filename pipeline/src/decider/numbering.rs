//! Brings the entries up to date with what the dataflow changed, and gives new incidents their numbers.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashSet;
use tocsin_schemas::codes::{Source, State};
use tocsin_schemas::ids::{IncidentId, ReportKey};
use tocsin_schemas::time::Instant;

use super::entry::{Entry, Few, Standing, Told};
use super::identity::{Claims, Former, assign};
use super::owner_incident::{self, End};
use super::{Context, Decider, Touched};
use crate::incidents::Seen;
use crate::versions::Versions;

impl Decider {
    /// After a restart: takes over, as they are, the incidents that stand as they are recorded and of which
    /// nothing is to be said, which should be all of them. An incident with exactly the reports of its
    /// record keeps its number: nobody else has a claim to it. Returns the rest, which [`Decider::renumber`]
    /// judges, and the counted ones among those taken over that nobody was told of.
    pub(super) fn as_recorded(
        &mut self,
        changes: Vec<(Arc<Seen>, isize)>,
        context: &Context<'_>,
    ) -> (Vec<(Arc<Seen>, isize)>, Vec<IncidentId>) {
        let (mut rest, mut quiet) = (Vec::new(), Vec::new());
        for (seen, diff) in changes {
            let id = self.numbers.get(&seen.reports[0].key).copied();
            let entry = id.and_then(|id| self.entries.get_mut(id));
            let (Some(id), Some(entry)) = (id, entry.filter(|e| diff > 0 && e.stands_as(&seen))) else {
                rest.push((seen, diff));
                continue;
            };
            let (policies, as_of) = (context.policies, context.as_of);
            if !owner_incident::decide(&entry.told, Ok(&seen), seen.uscc, policies, as_of).is_empty() {
                rest.push((seen, diff));
                continue;
            }
            if seen.counted() && entry.told.to.is_empty() {
                quiet.push(id);
            }
            self.book.enter(&seen, id, as_of);
            entry.standing = Standing::Live(seen);
        }
        (rest, quiet)
    }

    /// Gives every changed incident its number (records.md 2.6). With `all`, incidents that stand recorded
    /// from before a restart are matched too. Returns what was touched, as it was before, sorted by number.
    pub(super) fn renumber(
        &mut self,
        changes: Vec<(Arc<Seen>, isize)>,
        all: bool,
        versions: &Versions,
    ) -> Vec<(IncidentId, Touched)> {
        let (gone, come): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, diff)| *diff < 0);
        let mut parts: Vec<Arc<Seen>> = come.into_iter().map(|(seen, _)| seen).collect();
        parts.sort_by_cached_key(|seen| seen.age());
        // Those whose former state is over: they are carried on by a part, or end.
        let mut over: BTreeSet<IncidentId> =
            gone.iter().filter_map(|(seen, _)| self.numbers.get(&seen.reports[0].key)).copied().collect();
        if all {
            let recorded = |e: &Entry| e.seen().is_none() && !e.gone();
            over.extend(self.entries.iter().filter(|(_, e)| recorded(e)).map(|(id, _)| id));
        }
        let (claims, returned) = self.claims(&parts, &over);
        let kept = assign(&parts, &claims, |id| self.former(id, versions));

        let present: HashSet<&ReportKey> = if over.is_empty() && returned.is_empty() {
            HashSet::new()
        } else {
            parts.iter().flat_map(|p| p.reports.iter().map(|r| &r.key)).collect()
        };
        // Old numbers in order, then the new ones in order: sorted.
        let mut touched: Vec<(IncidentId, Touched)> = Vec::with_capacity(parts.len());
        for id in over.union(&returned) {
            let Some(entry) = self.entries.get_mut(*id) else { continue };
            let mut touch =
                Touched { before: Some(entry.record(*id)), former: entry.seen().cloned(), end: End::Merged };
            // Reports that come back leave the withdrawn list of wherever they stood.
            entry.withdrawn.retain(|key| !present.contains(key));
            if over.contains(id) {
                let mut left = entry.reports();
                let all = left.len();
                left.retain(|key| !present.contains(key));
                if left.len() == all {
                    touch.end = End::Withdrawn;
                }
                entry.withdrawn.append(&mut left);
                entry.withdrawn.sort_unstable();
            }
            touched.push((*id, touch));
        }
        let mut carried = BTreeSet::new();
        for (part, id) in parts.iter().zip(kept) {
            let id = id.unwrap_or_else(|| IncidentId(self.next_number()));
            carried.insert(id);
            for report in part.reports.iter() {
                self.numbers.insert(report.key.clone(), id);
            }
            let standing = Standing::Live(Arc::clone(part));
            match self.entries.get_mut(id) {
                Some(entry) => entry.standing = standing,
                None => {
                    touched.push((id, Touched { before: None, former: None, end: End::Merged }));
                    let new = Entry { standing, withdrawn: Vec::new(), told: Told::default() };
                    self.entries.put(id, new);
                }
            }
        }
        for id in over.difference(&carried) {
            if let Some(entry) = self.entries.get_mut(*id) {
                entry.bury(*id);
            }
        }
        touched
    }

    /// Which old numbers each incident of today has a claim to, and all numbers that a withdrawn report
    /// came back from.
    fn claims(
        &self,
        parts: &[Arc<Seen>],
        over: &BTreeSet<IncidentId>,
    ) -> (Vec<Claims>, BTreeSet<IncidentId>) {
        let mut claims = vec![Claims::default(); parts.len()];
        let mut back: Vec<(usize, IncidentId)> = Vec::new();
        for (part, seen) in parts.iter().enumerate() {
            for report in seen.reports.iter() {
                let Some(id) = self.numbers.get(&report.key) else { continue };
                let Some(entry) = self.entry(*id) else { continue };
                if entry.withdrawn.binary_search(&report.key).is_ok() {
                    back.push((part, *id));
                } else {
                    claims[part].live.insert(*id);
                }
            }
        }
        let returned = back.iter().map(|(_, id)| *id).collect();
        if !back.is_empty() {
            let alive: BTreeSet<IncidentId> = claims.iter().flat_map(|c| &c.live).copied().collect();
            // A number that lives on is not claimed by a report that comes back; one that ended, or ends
            // with this very decision, is.
            let ended =
                |id| !alive.contains(&id) && (over.contains(&id) || self.entry(id).is_some_and(Entry::gone));
            for (part, id) in back.into_iter().filter(|(_, id)| ended(*id)) {
                claims[part].returning.insert(id);
            }
        }
        (claims, returned)
    }

    /// A number as it was before: a dead one is as old as its withdrawn reports.
    fn former(&self, id: IncidentId, versions: &Versions) -> Former {
        let entry = self.entry(id);
        let oldest = |keys: &[ReportKey]| keys.iter().filter_map(|key| versions.age_before(key)).min();
        let age = entry.and_then(|e| match &e.standing {
            Standing::Live(seen) => Some(seen.age()),
            Standing::Recorded(record) if record.state == State::Gone => oldest(&e.withdrawn),
            Standing::Recorded(record) => oldest(&record.reports),
        });
        // A number without a known age is the youngest.
        let youngest = || (Instant(i64::MAX), ReportKey { source: Source::Health, id: "".into() });
        let told = |of: fn(&Told) -> &Few| entry.map(|e| of(&e.told).clone()).unwrap_or_default();
        Former { age: age.unwrap_or_else(youngest), told: told(|t| &t.to), ever: told(|t| &t.ever_to) }
    }
}
