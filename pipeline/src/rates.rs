//! Rates from the dataflow's exact sums (records.md section 3 and 5).

use std::sync::Arc;

use compact_str::CompactString;
use hashbrown::HashMap;
use tocsin_schemas::codes::{CITY, Category, RateReason, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Rates, Window, WindowRate};
use tocsin_schemas::time::{Day, Instant};

use crate::dataflow::{PARTS, ScopeKey, Sum, Sums, Tally, Total, Updates};
use crate::windows::{MEMBERSHIP, SHOWN, slot};

/// The sums as they now are.
#[derive(Default)]
pub(crate) struct Figures {
    totals: HashMap<Uscc, Arc<Total>>,
    sums: HashMap<ScopeKey, Sums>,
    city_shown: bool,
}

/// What every published number carries beside itself.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub as_of: Day,
    pub decided_at: Instant,
    pub policy_hash: Arc<str>,
}

/// Rates that changed; `None`: there are none any more.
pub(crate) type RatesChange = ((Scope, String), Option<Rates>);

impl Figures {
    /// The counts of an enterprise in a window that is kept; zeros if nothing is known.
    pub fn tally(&self, root: &Uscc, window: Window) -> Tally {
        self.totals.get(root).map(|total| total.tallies[slot(window)]).unwrap_or_default()
    }

    /// Takes the changes of an epoch; the rates that changed, sorted. `shifted` hears of each enterprise
    /// whose counts in `watched` are others than before.
    pub fn apply(
        &mut self,
        totals: Vec<(Uscc, Option<Arc<Total>>)>,
        sums: Updates<(ScopeKey, Sums)>,
        stamp: &Stamp,
        watched: Window,
        mut shifted: impl FnMut(Uscc),
    ) -> Vec<RatesChange> {
        let mut changed = Vec::new();
        for (root, new) in totals {
            let old = match &new {
                Some(total) => self.totals.insert(root, Arc::clone(total)),
                None => self.totals.remove(&root),
            };
            let (old, new) = (old.as_deref(), new.as_deref());
            let seen = |total: Option<&Total>| total.map(|t| t.tallies[slot(watched)]).unwrap_or_default();
            if seen(old) != seen(new) {
                shifted(root);
            }
            let shown = |total: Option<&Total>| total.filter(|t| member(t)).map(Shown::of);
            if shown(old) != shown(new) {
                changed.push((Scope::Enterprise, root.as_str().into()));
            }
        }
        changed.extend(settle(&mut self.sums, sums));
        if !std::mem::replace(&mut self.city_shown, true) {
            changed.push((Scope::City, CITY.into()));
        }
        changed.sort_unstable();
        changed.dedup();
        changed.into_iter().map(|key| self.change(key, stamp)).collect()
    }

    /// All rates, sorted by scope and key as text.
    pub fn all(&self, stamp: &Stamp) -> Vec<Rates> {
        let members = self.totals.iter().filter(|(_, total)| member(total));
        let members = members.map(|(root, _)| (Scope::Enterprise, CompactString::from(root.as_str())));
        let city = (Scope::City, CompactString::const_new(CITY));
        let mut keys: Vec<ScopeKey> = members.chain(self.sums.keys().cloned()).chain([city]).collect();
        keys.sort_unstable_by(|(s, k), (t, l)| (s.as_str(), k).cmp(&(t.as_str(), l)));
        keys.dedup();
        keys.into_iter().filter_map(|key| self.change(key, stamp).1).collect()
    }

    fn change(&self, (scope, key): ScopeKey, stamp: &Stamp) -> RatesChange {
        let windows = match scope {
            Scope::Enterprise => {
                let root: Option<Uscc> = key.parse().ok();
                let total = root.and_then(|root| self.totals.get(&root)).filter(|total| member(total));
                total.map(|total| Shown::of(total).windows())
            }
            Scope::City => {
                let sums = self.sums.get(&(scope, key.clone())).copied().unwrap_or_default();
                Some(of_sums(&sums))
            }
            _ if scope.of_enterprises() => {
                self.sums.get(&(scope, key.clone())).filter(|sums| sums.members > 0).map(of_sums)
            }
            _ => self.sums.get(&(scope, key.clone())).map(of_circumstance),
        };
        let rates = windows.map(|windows| Rates {
            scope,
            key: key.to_string(),
            as_of: stamp.as_of,
            decided_at: stamp.decided_at,
            policy_hash: Arc::clone(&stamp.policy_hash),
            windows,
        });
        ((scope, key.into_string()), rates)
    }
}

/// Whether an enterprise has rates: a counted production incident in one of three windows.
fn member(total: &Total) -> bool {
    MEMBERSHIP.iter().any(|slot| total.tallies[*slot].incidents > 0)
}

/// What is published of an enterprise: not the window that only the policy asks for.
#[derive(PartialEq)]
struct Shown([Sum; SHOWN.len()], [Option<i64>; SHOWN.len()]);

impl Shown {
    fn of(total: &Total) -> Shown {
        Shown(
            std::array::from_fn(|at| Sum::of(total.tallies[at], total.heads[at])),
            total.heads.map(|heads| heads.parts()),
        )
    }

    fn windows(&self) -> Vec<WindowRate> {
        let each = SHOWN.iter().zip(self.0.iter().zip(self.1));
        each.map(|(window, (sum, parts))| row(*window, sum, parts)).collect()
    }
}

fn of_sums(sums: &Sums) -> Vec<WindowRate> {
    let each = SHOWN.iter().zip(&sums.windows);
    each.map(|(window, sum)| row(*window, sum, (sum.known > 0).then_some(sum.headcount_parts))).collect()
}

/// A cause or an hour: counts, and nothing to divide them by.
fn of_circumstance(sums: &Sums) -> Vec<WindowRate> {
    let mut windows = of_sums(sums);
    windows.iter_mut().for_each(|w| w.reason = Some(RateReason::NoHeadcount));
    windows
}

/// Brings a map up to date; the keys that changed, each once. Of one key the old value goes right before
/// the new one comes, as [`crate::dataflow`] sums them.
fn settle<K: Clone + Eq + std::hash::Hash, V>(
    map: &mut HashMap<K, V>,
    changes: Vec<((K, V), isize)>,
) -> Vec<K> {
    let mut keys: Vec<K> = Vec::with_capacity(changes.len());
    let mut changes = changes.into_iter().peekable();
    while let Some(((key, value), diff)) = changes.next() {
        if diff > 0 {
            map.insert(key.clone(), value);
        } else if changes.peek().is_none_or(|((next, _), _)| *next != key) {
            map.remove(&key);
        } else {
            continue; // What comes next overwrites it.
        }
        keys.push(key);
    }
    keys
}

/// The one place where a rate is divided: an exact numerator by an exact denominator.
fn row(window: Window, sum: &Sum, parts: Option<i64>) -> WindowRate {
    let count = |n: i32| n.max(0) as u32;
    let reason = match parts {
        None => Some(RateReason::HeadcountUnknown),
        Some(0) => Some(RateReason::HeadcountZero),
        Some(_) => None,
    };
    let per_thousand = |parts: i64| (i64::from(sum.with_headcount) * 1000 * PARTS) as f64 / parts as f64;
    let tally = &sum.tally;
    let other = [
        (Category::Commuting, tally.commuting),
        (Category::SuddenIllness, tally.sudden_illness),
        (Category::OccupationalDisease, tally.occupational_disease),
    ];
    WindowRate {
        window,
        incidents: count(tally.incidents),
        persons: count(tally.persons),
        incidents_with_headcount: count(sum.with_headcount),
        headcount: parts.map(|p| p as f64 / PARTS as f64),
        per_thousand: parts.filter(|_| reason.is_none()).map(per_thousand),
        reason,
        other: other.into_iter().filter(|(_, n)| *n > 0).map(|(c, n)| (c, n as u32)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::Heads;

    #[test]
    fn a_mean_headcount_is_one_division() {
        let of = |insured, months| {
            let tally = Tally { incidents: 2, persons: 3, ..Tally::default() };
            let heads = Heads { insured, months };
            row(Window::Rolling(365), &Sum::of(tally, heads), heads.parts())
        };
        let r = of(12 + 12 + 14, 3);
        assert_eq!((r.incidents, r.persons, r.incidents_with_headcount), (2, 3, 2));
        assert_eq!(r.headcount, Some(38.0 / 3.0));
        assert_eq!(r.per_thousand, Some(6000.0 / 38.0));
        let none = of(0, 0);
        assert_eq!(
            (none.headcount, none.per_thousand, none.reason),
            (None, None, Some(RateReason::HeadcountUnknown))
        );
        let zero = of(0, 1);
        assert_eq!((zero.headcount, zero.incidents_with_headcount), (Some(0.0), 0));
        assert_eq!((zero.per_thousand, zero.reason), (None, Some(RateReason::HeadcountZero)));
    }
}
