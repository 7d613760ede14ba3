//! Rows of rates from the dataflow's exact sums (records.md section 3 and 5).

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use hashbrown::{HashMap, HashSet};
use tocsin_schemas::codes::{CITY, Category, RateReason, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Rate, Window};
use tocsin_schemas::time::Day;

use crate::dataflow::{PARTS, ScopeKey, Sum, Total, Updates};
use crate::windows::{MEMBERSHIP, PUBLISHED};

/// The sums as they now are, and which enterprises have rows.
#[derive(Default)]
pub(crate) struct Rates {
    totals: HashMap<(Uscc, Window), Total>,
    sums: HashMap<ScopeKey, Sum>,
    members: HashSet<Uscc>,
    city_shown: bool,
}

/// A row that changed; `None`: it is no more.
pub(crate) type RowChange = ((Scope, String, Window), Option<Rate>);

impl Rates {
    /// An enterprise in a window; zeros if nothing is known.
    pub fn total(&self, root: &Uscc, window: Window) -> Total {
        self.totals.get(&(*root, window)).copied().unwrap_or_default()
    }

    /// Takes the changes of an epoch; the rows that changed, sorted.
    pub fn apply(
        &mut self,
        totals: Updates<((Uscc, Window), Total)>,
        sums: Updates<(ScopeKey, Sum)>,
        as_of: Day,
    ) -> Vec<RowChange> {
        let mut totals = settle(&mut self.totals, totals);
        totals.sort_unstable();
        let mut changed: Vec<ScopeKey> = settle(&mut self.sums, sums);
        for of_one in totals.chunk_by(|(a, _), (b, _)| a == b) {
            let root = of_one[0].0;
            let member = MEMBERSHIP.iter().any(|w| self.total(&root, *w).incidents > 0);
            let was = if member { !self.members.insert(root) } else { self.members.remove(&root) };
            let rows = PUBLISHED.iter().filter(|w| member != was || of_one.contains(&(root, **w)));
            if member || was {
                let key = CompactString::from(root.as_str());
                changed.extend(rows.map(|w| (Scope::Enterprise, key.clone(), *w)));
            }
        }
        if !self.city_shown {
            self.city_shown = true;
            changed.extend(PUBLISHED.iter().map(|w| (Scope::City, CITY.into(), *w)));
        }
        changed.sort_unstable();
        changed.dedup();
        changed.into_iter().map(|key| self.row_change(key, as_of)).collect()
    }

    /// Every row, sorted by scope, key and window as text.
    pub fn rows(&self, as_of: Day) -> Vec<Rate> {
        let of_members =
            self.members.iter().map(|root| (Scope::Enterprise, CompactString::from(root.as_str())));
        let of_scopes = self.sums.keys().map(|(scope, key, _)| (*scope, key.clone()));
        let city = (Scope::City, CompactString::const_new(CITY));
        let keys: BTreeSet<_> = of_members.chain(of_scopes).chain([city]).collect();
        let all =
            keys.into_iter().flat_map(|(scope, key)| PUBLISHED.iter().map(move |w| (scope, key.clone(), *w)));
        let mut rows: Vec<Rate> = all.filter_map(|key| self.row_change(key, as_of).1).collect();
        rows.sort_by_cached_key(|r| (r.scope.as_str(), r.key.clone(), r.window.to_string()));
        rows
    }

    fn row_change(&self, key: ScopeKey, as_of: Day) -> RowChange {
        let row = match key.0 {
            Scope::Enterprise => {
                let root: Option<Uscc> = key.1.parse().ok();
                root.filter(|r| self.members.contains(r))
                    .map(|r| of_enterprise(&key, &self.total(&r, key.2), as_of))
            }
            Scope::City => Some(of_sum(&key, &self.sums.get(&key).copied().unwrap_or_default(), as_of)),
            _ => self.sums.get(&key).filter(|s| s.members > 0).map(|s| of_sum(&key, s, as_of)),
        };
        ((key.0, key.1.into_string(), key.2), row)
    }
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

fn of_enterprise(key: &ScopeKey, t: &Total, as_of: Day) -> Rate {
    let other = [
        (Category::Commuting, t.commuting),
        (Category::SuddenIllness, t.sudden_illness),
        (Category::OccupationalDisease, t.occupational_disease),
    ];
    row(key, as_of, [t.incidents, t.persons, t.share().with_headcount], t.headcount_parts(), other)
}

fn of_sum(key: &ScopeKey, s: &Sum, as_of: Day) -> Rate {
    let other = [
        (Category::Commuting, s.commuting),
        (Category::SuddenIllness, s.sudden_illness),
        (Category::OccupationalDisease, s.occupational_disease),
    ];
    let parts = (s.known > 0).then_some(s.headcount_parts);
    row(key, as_of, [s.incidents, s.persons, s.with_headcount], parts, other)
}

/// The one place where a rate is divided: an exact numerator by an exact denominator.
fn row(
    key: &ScopeKey,
    as_of: Day,
    counts: [i32; 3],
    parts: Option<i64>,
    other: [(Category, i32); 3],
) -> Rate {
    let [incidents, persons, with_headcount] = counts.map(|n| n.max(0) as u32);
    let reason = match parts {
        None => Some(RateReason::HeadcountUnknown),
        Some(0) => Some(RateReason::HeadcountZero),
        Some(_) => None,
    };
    let per_thousand = |parts: i64| (i64::from(with_headcount) * 1000 * PARTS) as f64 / parts as f64;
    Rate {
        scope: key.0,
        key: key.1.to_string(),
        window: key.2,
        as_of,
        incidents,
        persons,
        incidents_with_headcount: with_headcount,
        headcount: parts.map(|p| p as f64 / PARTS as f64),
        per_thousand: if reason.is_none() { parts.map(per_thousand) } else { None },
        reason,
        other: other
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .map(|(c, n)| (c, n as u32))
            .collect::<BTreeMap<_, _>>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_headcount_is_one_division() {
        let t = Total { incidents: 2, persons: 3, insured: 12 + 12 + 14, months: 3, ..Total::default() };
        let key = (Scope::Enterprise, "x".into(), Window::Rolling(365));
        let r = of_enterprise(&key, &t, Day(20_000));
        assert_eq!(r.headcount, Some(38.0 / 3.0));
        assert_eq!(r.per_thousand, Some(6000.0 / 38.0));
        let none = of_enterprise(&key, &Total { incidents: 2, ..Total::default() }, Day(20_000));
        assert_eq!(
            (none.headcount, none.per_thousand, none.reason),
            (None, None, Some(RateReason::HeadcountUnknown))
        );
        let zero = of_enterprise(&key, &Total { months: 1, ..t }, Day(20_000));
        assert_eq!(zero.reason, None);
        let zero = of_enterprise(&key, &Total { months: 1, insured: 0, ..t }, Day(20_000));
        assert_eq!((zero.headcount, zero.incidents_with_headcount), (Some(0.0), 0));
        assert_eq!(zero.reason, Some(RateReason::HeadcountZero));
    }
}
