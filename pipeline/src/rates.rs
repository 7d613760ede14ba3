//! Rates from the dataflow's exact sums (records.md section 3 and 5).

use std::sync::Arc;

use compact_str::CompactString;
use hashbrown::HashMap;
use tocsin_schemas::codes::{CITY, Category, RateReason, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Rates, Window, WindowRate};
use tocsin_schemas::time::{Day, Instant};

use crate::dataflow::{Exact, PARTS, ScopeKey, Sum, Sums, Tally, Total, Updates};
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
        let mut enterprises = Vec::new();
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
            match (old.filter(|total| member(total)), new.filter(|total| member(total))) {
                (None, None) => {}
                (Some(old), Some(new)) if same(old, new) => {}
                _ => enterprises.push(root),
            }
        }
        enterprises.sort_unstable();
        enterprises.dedup();
        let mut scopes = settle(&mut self.sums, sums);
        if !std::mem::replace(&mut self.city_shown, true) {
            scopes.push((Scope::City, CITY.into()));
        }
        scopes.sort_unstable();
        scopes.dedup();
        // Enterprises come first among the scopes.
        let mut changes = Vec::with_capacity(enterprises.len() + scopes.len());
        changes.extend(enterprises.into_iter().map(|root| self.of_enterprise(root, stamp)));
        changes.extend(scopes.into_iter().map(|key| self.of_scope(key, stamp)));
        changes
    }

    /// All rates, sorted by scope and key as text.
    pub fn all(&self, stamp: &Stamp) -> Vec<Rates> {
        let mut all: Vec<Rates> =
            self.totals.keys().filter_map(|root| self.of_enterprise(*root, stamp).1).collect();
        let city = (Scope::City, CompactString::const_new(CITY));
        let unseen = (!self.sums.contains_key(&city)).then_some(city);
        let scopes = self.sums.keys().cloned().chain(unseen);
        all.extend(scopes.filter_map(|key| self.of_scope(key, stamp).1));
        all.sort_unstable_by(|a, b| (a.scope.as_str(), &a.key).cmp(&(b.scope.as_str(), &b.key)));
        all
    }

    /// The rates of one scope; `None`: it has none.
    pub fn one(&self, scope: Scope, key: &str, stamp: &Stamp) -> Option<Rates> {
        match scope {
            Scope::Enterprise => self.of_enterprise(key.parse().ok()?, stamp).1,
            _ => self.of_scope((scope, key.into()), stamp).1,
        }
    }

    /// What those rates are divided from.
    pub fn exact(&self, scope: Scope, key: &str) -> Option<Exact> {
        if scope == Scope::Enterprise {
            let total = self.totals.get(&key.parse::<Uscc>().ok()?).filter(|total| member(total))?;
            return Some(std::array::from_fn(|slot| Sum::of(total.tallies[slot], total.heads[slot])));
        }
        match self.sums.get(&(scope, key.into())) {
            Some(sums) if !scope.of_enterprises() || sums.members > 0 => Some(sums.windows),
            _ => (scope == Scope::City && key == CITY).then(|| Sums::default().windows),
        }
    }

    /// The keys of a scope that have rates, sorted.
    pub fn keys(&self, scope: Scope) -> Vec<String> {
        let enterprises = self.totals.iter().filter(|(_, total)| scope == Scope::Enterprise && member(total));
        let mut keys: Vec<String> = enterprises.map(|(root, _)| root.as_str().to_owned()).collect();
        let shown = |sums: &Sums| !scope.of_enterprises() || sums.members > 0;
        let scopes = self.sums.iter().filter(|((of, _), sums)| *of == scope && shown(sums));
        keys.extend(scopes.map(|((_, key), _)| key.to_string()));
        keys.sort_unstable();
        keys
    }

    fn of_enterprise(&self, root: Uscc, stamp: &Stamp) -> RatesChange {
        let key = (Scope::Enterprise, root.as_str().to_owned());
        let windows = self.totals.get(&root).filter(|total| member(total)).map(|total| of_total(total));
        let rates = windows.map(|windows| stamp.on(&key, windows));
        (key, rates)
    }

    fn of_scope(&self, key: ScopeKey, stamp: &Stamp) -> RatesChange {
        let sums = self.sums.get(&key);
        let windows = match key.0 {
            Scope::City => Some(of_sums(sums.unwrap_or(&Sums::default()))),
            scope if scope.of_enterprises() => sums.filter(|sums| sums.members > 0).map(of_sums),
            _ => sums.map(of_circumstance),
        };
        let key = (key.0, key.1.into_string());
        let rates = windows.map(|windows| stamp.on(&key, windows));
        (key, rates)
    }
}

impl Stamp {
    fn on(&self, (scope, key): &(Scope, String), windows: Vec<WindowRate>) -> Rates {
        Rates {
            scope: *scope,
            key: key.clone(),
            as_of: self.as_of,
            decided_at: self.decided_at,
            policy_hash: Arc::clone(&self.policy_hash),
            windows,
        }
    }
}

/// Whether an enterprise has rates: a counted production incident in one of three windows.
fn member(total: &Total) -> bool {
    MEMBERSHIP.iter().any(|slot| total.tallies[*slot].incidents > 0)
}

/// Whether nothing that is published differs: the window that only the policy asks for is not.
fn same(a: &Total, b: &Total) -> bool {
    a.tallies[..SHOWN.len()] == b.tallies[..SHOWN.len()]
        && a.heads.iter().zip(&b.heads).all(|(a, b)| a == b || a.parts() == b.parts())
}

fn of_total(total: &Total) -> Vec<WindowRate> {
    let each = SHOWN.iter().zip(&total.tallies).zip(&total.heads);
    each.map(|((window, tally), heads)| row(*window, &Sum::of(*tally, *heads), heads.parts())).collect()
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
fn row(window: Window, sum: &Sum, parts: Option<i128>) -> WindowRate {
    let count = |n: i32| n.max(0) as u32;
    let reason = match parts {
        None => Some(RateReason::HeadcountUnknown),
        Some(0) => Some(RateReason::HeadcountZero),
        Some(_) => None,
    };
    let per_thousand = |parts: i128| (i64::from(sum.with_headcount) * 1000 * PARTS) as f64 / parts as f64;
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
