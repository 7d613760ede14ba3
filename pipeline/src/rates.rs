//! Rates from the dataflow's exact sums (records.md section 3 and 5). What stands beside the raw ones is in `beside`.

mod beside;

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use hashbrown::HashMap;
use tocsin_schemas::codes::{CITY, Category, RateReason, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Rates, Window, WindowRate};
use tocsin_schemas::time::{Day, Instant};

use self::beside::{Beside, Renewed};
use crate::cores;
use crate::dataflow::{Exact, PARTS, ScopeKey, Sum, Sums, Tally, Total, Updates};
use crate::lists::Year;
use crate::model::Model;
use crate::policy::Statistics;
use crate::windows::{LAST_YEAR, MEMBERSHIP, SHOWN, YEAR, slot};

/// The sums as they now are.
#[derive(Default)]
pub(crate) struct Figures {
    totals: HashMap<Uscc, Row>,
    sums: HashMap<ScopeKey, Sums>,
    city_shown: bool,
    beside: Beside,
}

/// An enterprise, and of it what is asked of all of them at midnights: whoever looks through a million need not look
/// into each.
struct Row {
    total: Arc<Total>,
    /// Its production incidents of last year and this one.
    years: [i32; 2],
    /// Whether it has rates.
    member: bool,
}

impl Row {
    fn of(total: Arc<Total>) -> Row {
        let incidents = |slot: usize| total.tallies[slot].incidents;
        Row { years: [incidents(LAST_YEAR), incidents(YEAR)], member: member(&total), total }
    }
}

/// What every published number carries beside itself.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub as_of: Day,
    pub decided_at: Instant,
    pub policy_hash: Arc<str>,
    /// How the limits of rates are made, and which raw ones may be ranked.
    pub statistics: Statistics,
    /// What shrunken rates come from; `None` while there is none.
    pub model: Option<Arc<Model>>,
}

/// Rates that changed; `None`: there are none any more.
pub(crate) type RatesChange = ((Scope, String), Option<Rates>);

impl Figures {
    /// The counts of an enterprise in a window that is kept; zeros if nothing is known.
    pub fn tally(&self, root: &Uscc, window: Window) -> Tally {
        self.totals.get(root).map(|row| row.total.tallies[slot(window)]).unwrap_or_default()
    }

    /// An enterprise in a window that is summed; `None`: without a counted incident in any window.
    pub fn year(&self, root: &Uscc, slot: usize) -> Option<Year> {
        self.totals.get(root).map(|row| Year { tally: row.total.tallies[slot], heads: row.total.heads[slot] })
    }

    /// The enterprises with at least so many production incidents this year or in the last, by its slot; in no order.
    pub fn with_incidents(&self, slot: usize, least: u32) -> impl Iterator<Item = Uscc> {
        let year = usize::from(slot == YEAR);
        let many = move |row: &Row| i64::from(row.years[year]) >= i64::from(least);
        self.totals.iter().filter(move |(_, row)| many(row)).map(|(root, _)| *root)
    }

    /// What belongs together in a window that is summed.
    pub fn sum(&self, scope: Scope, key: &str, slot: usize) -> Sum {
        self.sums.get(&(scope, key.into())).map(|sums| sums.windows[slot]).unwrap_or_default()
    }

    /// Takes the changes of an epoch; the enterprises and scopes whose rates changed. `shifted` hears of each enterprise whose counts in `watched` are others than before.
    pub fn apply(
        &mut self,
        totals: Vec<(Uscc, Option<Arc<Total>>)>,
        sums: Updates<(ScopeKey, Sums)>,
        watched: Window,
        mut shifted: impl FnMut(Uscc),
    ) -> (Vec<Uscc>, Vec<ScopeKey>) {
        let mut enterprises = Vec::new();
        for (root, new) in totals {
            let old = match &new {
                Some(total) => self.totals.insert(root, Row::of(Arc::clone(total))),
                None => self.totals.remove(&root),
            };
            let (old, new) = (old.as_ref().map(|row| &*row.total), new.as_deref());
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
        (enterprises, settle(&mut self.sums, sums))
    }

    /// The rates of these as they now are, and of all others where what stands beside them is made otherwise than before:
    /// of all enterprises by another model, of everything by another policy. Sorted.
    pub fn changes(
        &mut self,
        mut enterprises: Vec<Uscc>,
        mut scopes: Vec<ScopeKey>,
        stamp: &Stamp,
    ) -> Vec<RatesChange> {
        let renewed = self.beside.renew(stamp);
        if renewed != Renewed::Nothing {
            enterprises.extend(self.totals.iter().filter(|(_, row)| row.member).map(|(root, _)| *root));
        }
        if renewed == Renewed::All {
            let stands = |(key, sums): &(&ScopeKey, &Sums)| !key.0.of_enterprises() || sums.members > 0;
            scopes.extend(self.sums.iter().filter(stands).map(|(key, _)| key.clone()));
        }
        cores::sort(&mut enterprises);
        if !std::mem::replace(&mut self.city_shown, true) || renewed == Renewed::All {
            scopes.push((Scope::City, CITY.into()));
        }
        scopes.sort_unstable();
        scopes.dedup();
        // Enterprises come first among the scopes.
        let mut changes = cores::each(&enterprises, |root| self.of_enterprise(*root, stamp));
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
            let total = &self.totals.get(&key.parse::<Uscc>().ok()?).filter(|row| row.member)?.total;
            return Some(std::array::from_fn(|slot| Sum::of(total.tallies[slot], total.heads[slot])));
        }
        match self.sums.get(&(scope, key.into())) {
            Some(sums) if !scope.of_enterprises() || sums.members > 0 => Some(shown(sums)),
            _ => (scope == Scope::City && key == CITY).then(|| shown(&Sums::default())),
        }
    }

    /// The keys of a scope that have rates, sorted.
    pub fn keys(&self, scope: Scope) -> Vec<String> {
        let enterprises = self.totals.iter().filter(|(_, row)| scope == Scope::Enterprise && row.member);
        let mut keys: Vec<String> = enterprises.map(|(root, _)| root.as_str().to_owned()).collect();
        let shown = |sums: &Sums| !scope.of_enterprises() || sums.members > 0;
        let scopes = self.sums.iter().filter(|((of, _), sums)| *of == scope && shown(sums));
        keys.extend(scopes.map(|((_, key), _)| key.to_string()));
        keys.sort_unstable();
        keys
    }

    fn of_enterprise(&self, root: Uscc, stamp: &Stamp) -> RatesChange {
        let key = (Scope::Enterprise, root.as_str().to_owned());
        let windows = self.totals.get(&root).filter(|row| row.member).map(|row| of_total(&row.total));
        let rates = windows.map(|windows| stamp.on(&key, self.beside.of(key.0, windows)));
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
        let rates = windows.map(|windows| stamp.on(&key, self.beside.of(key.0, windows)));
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

/// The windows that are published.
fn shown(sums: &Sums) -> Exact {
    std::array::from_fn(|slot| sums.windows[slot])
}

/// Whether an enterprise has rates: a counted production incident in one of three windows.
fn member(total: &Total) -> bool {
    MEMBERSHIP.iter().any(|slot| total.tallies[*slot].incidents > 0)
}

/// Whether nothing that is published differs: the window that only the policy asks for is not.
fn same(a: &Total, b: &Total) -> bool {
    a.tallies[..SHOWN.len()] == b.tallies[..SHOWN.len()]
        && SHOWN.iter().zip(&a.heads).zip(&b.heads).all(|((_, a), b)| a == b || a.parts() == b.parts())
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

/// The one place where a rate is divided: an exact numerator by an exact denominator. Nothing stands beside it yet.
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
        low: None,
        high: None,
        shrunken: None,
        shrunken_reason: None,
        rankable: false,
        // Mostly there is none: then nothing is built.
        other: match other.iter().any(|(_, n)| *n > 0) {
            true => other.into_iter().filter(|(_, n)| *n > 0).map(|(c, n)| (c, n as u32)).collect(),
            false => BTreeMap::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use tocsin_schemas::codes::{FittedBy, ShrunkenReason};

    use super::*;
    use crate::dataflow::Heads;
    use crate::windows::{KEPT, SUMMED};

    /// One enterprise and its area, in all windows: three incidents of 500 persons in each.
    fn three() -> Figures {
        let mut figures = Figures::default();
        let tally = Tally { incidents: 3, persons: 3, ..Tally::default() };
        let total = Total { tallies: [tally; KEPT], heads: [Heads { insured: 500, months: 1 }; SUMMED] };
        let sums = Sums::of_member(&total.tallies, &total.heads, 1);
        let root = "91330784XX00000190".parse().unwrap();
        let area = (Scope::Area, "330784106".into());
        let stamp = stamp(Statistics::default(), None);
        let totals = vec![(root, Some(Arc::new(total)))];
        let (enterprises, scopes) = figures.apply(totals, vec![((area, sums), 1)], Window::Year, drop);
        let changes = figures.changes(enterprises, scopes, &stamp);
        assert_eq!(keys(&changes), ["91330784XX00000190", "330784106", CITY]);
        figures
    }

    fn stamp(statistics: Statistics, model: Option<Model>) -> Stamp {
        let decided_at: Instant = "2025-03-01T00:00:00+08:00".parse().unwrap();
        let model = model.map(Arc::new);
        Stamp { as_of: decided_at.day(), decided_at, policy_hash: "ab".into(), statistics, model }
    }

    fn keys(changes: &[RatesChange]) -> Vec<&str> {
        changes.iter().map(|((_, key), _)| key.as_str()).collect()
    }

    fn renewed(figures: &mut Figures, stamp: &Stamp) -> Vec<RatesChange> {
        figures.changes(Vec::new(), Vec::new(), stamp)
    }

    #[test]
    fn another_model_makes_every_enterprises_rates_anew_and_another_policy_all() {
        let mut figures = three();
        let plain = stamp(Statistics::default(), None);
        assert!(renewed(&mut figures, &plain).is_empty());
        let on = |changes: &[RatesChange], at: usize, window| {
            changes[at].1.clone().unwrap().on(window).cloned().unwrap()
        };
        let model = Model {
            taken_on: plain.as_of,
            nu: 2.0,
            alpha: 3.0,
            per_person_year: 0.01,
            fitted_by: FittedBy::Likelihood,
            firms: 500,
            incidents: 400,
        };
        let modelled = stamp(Statistics::default(), Some(model));
        let changes = renewed(&mut figures, &modelled);
        assert_eq!(keys(&changes), ["91330784XX00000190"], "only enterprises have a shrunken rate");
        // 365 days: 5 expected, so (3 + 2) / (5 + 3) of 10 per thousand; 3 of 500 persons have limits 0.6187 and 8.767.
        let firm = on(&changes, 0, Window::Rolling(365));
        assert_eq!((firm.per_thousand, firm.shrunken, firm.shrunken_reason), (Some(6.0), Some(6.25), None));
        assert!(
            (firm.low.unwrap() - 2.0 * 0.618672).abs() < 2e-6
                && (firm.high.unwrap() - 2.0 * 8.767273).abs() < 2e-6
        );
        assert!(firm.rankable);
        let year = on(&changes, 0, Window::Year);
        assert_eq!((year.shrunken, year.shrunken_reason), (None, Some(ShrunkenReason::ToDate)));
        let area = figures.all(&modelled)[0].on(Window::Rolling(365)).cloned().unwrap();
        assert_eq!((area.shrunken, area.shrunken_reason), (None, Some(ShrunkenReason::Group)));
        assert_eq!((area.low, area.high), (firm.low, firm.high));
        assert!(renewed(&mut figures, &modelled).is_empty());
        let stricter = Statistics { confidence: 0.8, rank_min_incidents: 4 };
        let changes = renewed(&mut figures, &Stamp { statistics: stricter, ..modelled.clone() });
        let narrower = on(&changes, 0, Window::Rolling(365));
        assert!(!narrower.rankable && narrower.low > firm.low && narrower.high < firm.high);
        assert_eq!(narrower.shrunken, firm.shrunken);
        assert_eq!(figures.all(&modelled)[2].windows, changes[0].1.clone().unwrap().windows);
        let changes = renewed(&mut figures, &plain);
        assert_eq!(on(&changes, 0, Window::Rolling(30)).shrunken_reason, Some(ShrunkenReason::NoModel));
    }

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
