//! Rates from the dataflow's exact sums (records.md section 3 and 5). What stands beside the raw ones is in `beside`.

mod beside;
mod changed;

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use hashbrown::{DefaultHashBuilder, HashMap};
use indexmap::IndexMap;
use tocsin_schemas::codes::{CITY, Category, RateReason, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Rates, Window, WindowRate};
use tocsin_schemas::time::{Day, Instant};

use self::beside::{Beside, Renewed};
pub use self::changed::RatesChanged;
use self::changed::{How, Now};
use crate::cores;
use crate::dataflow::{Exact, Heads, OfOne, PARTS, ScopeKey, Sum, Sums, Tally, Told, Total, Turned, Updates};
use crate::lists::Year;
use crate::model::Model;
use crate::policy::Statistics;
use crate::windows::{LAST_YEAR, MEMBERSHIP, SHOWN, SUMMED, Turn, YEAR, slot};

/// The windows of last year and this one.
const LISTED: [usize; 2] = [LAST_YEAR, YEAR];

/// The sums as they now are.
#[derive(Default)]
pub(crate) struct Figures {
    /// In one vector, so that many of them are brought up to date in parts, on all cores. Each keeps its place: who looks
    /// at many finds them by it and not by their codes.
    totals: IndexMap<Uscc, Row, DefaultHashBuilder>,
    sums: HashMap<ScopeKey, Sums>,
    city_shown: bool,
    beside: Arc<Beside>,
}

/// An enterprise, and of it what is asked of all of them at midnights: whoever looks through a million need not look
/// into each.
#[derive(Default)]
struct Row {
    /// `None`: without a counted incident in any window.
    total: Option<Arc<Total>>,
    /// Its production incidents of last year and this one.
    years: [i32; 2],
    /// Whether it has rates.
    member: bool,
}

impl Row {
    fn of(total: Option<Arc<Total>>) -> Row {
        let mut row = Row { total, ..Row::default() };
        row.look();
        row
    }

    /// Something of the memory that its figures are in; see [`cores::touch`].
    fn lines(&self) -> i32 {
        let Some(total) = self.total.as_deref() else { return 0 };
        let tallies = total.tallies.iter().step_by(2).map(|tally| tally.incidents);
        let heads = total.heads.iter().step_by(3).map(|heads| heads.months);
        tallies.chain(heads).fold(0, i32::wrapping_add)
    }

    fn look(&mut self) {
        let total = self.total.as_deref();
        self.years = LISTED.map(|slot| total.map_or(0, |total| total.tallies[slot].incidents));
        self.member = total.is_some_and(member);
    }

    /// What its rates are divided from, if it has any.
    fn now(&self) -> Option<Now> {
        self.total.as_ref().filter(|_| self.member).map(|total| Now::Enterprise(Arc::clone(total)))
    }

    /// Where somebody has yet to make the former figures out, those are left to him; else they are changed where they are.
    fn turn(&mut self, place: usize, turn: &Turn, heads: &[Heads; SUMMED], watched: usize) -> Option<Moved> {
        let total = Arc::make_mut(self.total.as_mut()?);
        let former = *total;
        total.heads = *heads;
        turn.apply(&mut total.tallies);
        let moved = Moved::of(place, Some(&former), Some(total), watched);
        self.look();
        moved
    }
}

/// What an enterprise's other figures move.
struct Moved {
    place: usize,
    /// Its rates.
    rates: bool,
    /// What it is in last year and in this one.
    years: [bool; 2],
    /// Its counts in the window that is watched.
    watched: bool,
}

/// What the changes of an epoch move: enterprises by place, in no order.
#[derive(Default)]
pub(crate) struct Moves {
    /// Whose rates are others than before.
    pub rates: Vec<usize>,
    /// Who is otherwise than before in last year, and in this one.
    pub years: [Vec<usize>; 2],
    /// The scopes whose rates are others.
    pub scopes: Vec<ScopeKey>,
}

impl Moved {
    /// `None`: nothing.
    fn of(place: usize, old: Option<&Total>, new: Option<&Total>, watched: usize) -> Option<Moved> {
        let seen = |total: Option<&Total>| total.map(|t| t.tallies[watched]).unwrap_or_default();
        let year = |total: Option<&Total>, slot| total.map(|total| Year::of(total, slot));
        let rates = match (old.filter(|total| member(total)), new.filter(|total| member(total))) {
            (None, None) => false,
            (Some(old), Some(new)) => !same(old, new),
            _ => true,
        };
        let years = LISTED.map(|slot| year(old, slot) != year(new, slot));
        let watched = seen(old) != seen(new);
        (rates || watched || years.contains(&true)).then_some(Moved { place, rates, years, watched })
    }
}

/// Does something to the row of each of these, in parts, on all cores; what came of it.
fn each_row<T: Sync, R: Send>(
    rows: &mut IndexMap<Uscc, Row, DefaultHashBuilder>,
    of: &[&(Uscc, T)],
    make: impl Fn(usize, &mut Row, &T) -> Option<R> + Sync + Send,
) -> Vec<R> {
    let places = cores::each(of, |(root, _)| rows.get_index_of(root));
    let places = places
        .into_iter()
        .zip(of)
        .map(|(place, &(root, of))| (place.unwrap_or_else(|| rows.insert_full(*root, Row::default()).0), of));
    let mut found: Vec<(usize, &T)> = places.collect();
    // Of many the greater part is in order: they come in rows.
    found.sort_by_key(|(place, _)| *place);
    let (all, many) = (rows.len(), cores::parts_of(found.len()));
    let (mut parts, mut rest, mut found) = (Vec::with_capacity(many), rows.as_mut_slice(), &found[..]);
    for n in 0..many {
        let (from, end) = (all * n / many, all * (n + 1) / many);
        let (mine, others) = rest.split_at_mut(end - from);
        let (of_mine, of_others) = found.split_at(found.partition_point(|(row, _)| *row < end));
        parts.push((from, mine, of_mine));
        (rest, found) = (others, of_others);
    }
    let made = cores::each_of(parts, |(from, mine, found)| {
        let mut made = Vec::with_capacity(found.len());
        for some in found.chunks(cores::AT_HAND) {
            cores::touch(some.iter().map(|(place, _)| mine[*place - from].lines()));
            made.extend(some.iter().filter_map(|(place, of)| make(*place, &mut mine[*place - from], of)));
        }
        made
    });
    cores::joined(made)
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

impl Figures {
    /// The counts of an enterprise in a window that is kept; zeros if nothing is known.
    pub fn tally(&self, root: &Uscc, window: Window) -> Tally {
        let total = self.totals.get(root).and_then(|row| row.total.as_ref());
        total.map(|total| total.tallies[slot(window)]).unwrap_or_default()
    }

    /// Where an enterprise is kept, that had a counted incident in a window once.
    pub fn place(&self, root: &Uscc) -> Option<usize> {
        self.totals.get_index_of(root)
    }

    /// The enterprise at a place.
    pub fn root(&self, place: usize) -> Option<Uscc> {
        self.totals.get_index(place).map(|(root, _)| *root)
    }

    /// The enterprise at a place in a window that is summed; `None`: without a counted incident in any window.
    pub fn year(&self, place: usize, slot: usize) -> Option<Year> {
        self.totals[place].total.as_ref().map(|total| Year::of(total, slot))
    }

    /// The places of those with at least so many production incidents this year or in the last, by its slot.
    pub fn with_incidents(&self, slot: usize, least: u32) -> impl Iterator<Item = usize> {
        let year = usize::from(slot == YEAR);
        let many = move |row: &Row| i64::from(row.years[year]) >= i64::from(least);
        self.totals.values().enumerate().filter(move |(_, row)| many(row)).map(|(place, _)| place)
    }

    /// What belongs together in a window that is summed.
    pub fn sum(&self, scope: Scope, key: &str, slot: usize) -> Sum {
        self.sums.get(&(scope, key.into())).map(|sums| sums.windows[slot]).unwrap_or_default()
    }

    /// Takes the changes of an epoch; what they move. `shifted` hears of each enterprise whose counts in `watched` are others than before.
    pub fn apply(
        &mut self,
        totals: Vec<Told>,
        sums: Updates<(ScopeKey, Sums)>,
        watched: Window,
        mut shifted: impl FnMut(Uscc),
    ) -> Moves {
        let (mut moves, watched) = (Moves::default(), slot(watched));
        for told in totals {
            let moved = match told {
                Told::Totals(totals) => self.replace(&totals, watched),
                Told::Turned(turn, parts) => self.turn(&turn, &parts, watched),
            };
            for Moved { place, rates, years, watched } in moved {
                moves.rates.extend(rates.then_some(place));
                for (year, moved) in moves.years.iter_mut().zip(years) {
                    year.extend(moved.then_some(place));
                }
                if watched {
                    self.root(place).into_iter().for_each(&mut shifted);
                }
            }
        }
        moves.scopes = settle(&mut self.sums, sums);
        moves
    }

    /// Takes enterprises as they now are.
    fn replace(&mut self, totals: &[OfOne], watched: usize) -> Vec<Moved> {
        let totals: Vec<&OfOne> = totals.iter().collect();
        each_row(&mut self.totals, &totals, |place, row, now| {
            let moved = Moved::of(place, row.total.as_deref(), now.as_deref(), watched);
            *row = Row::of(now.clone());
            moved
        })
    }

    /// Turns enterprises with the calendar.
    fn turn(&mut self, turn: &Turn, parts: &[Vec<Turned>], watched: usize) -> Vec<Moved> {
        let mut turned: Vec<&Turned> = Vec::with_capacity(parts.iter().map(Vec::len).sum());
        parts.iter().for_each(|part| turned.extend(part));
        each_row(&mut self.totals, &turned, |place, row, heads| row.turn(place, turn, heads, watched))
    }

    /// The rates of these as they now are, and of all others where what stands beside them is made otherwise than before:
    /// of all enterprises by another model, of everything by another policy.
    pub fn changes(
        &mut self,
        mut enterprises: Vec<usize>,
        mut scopes: Vec<ScopeKey>,
        stamp: &Stamp,
    ) -> RatesChanged {
        let renewed = self.renew(stamp);
        if renewed != Renewed::Nothing {
            let members = self.totals.values().enumerate().filter(|(_, row)| row.member);
            enterprises.extend(members.map(|(place, _)| place));
        }
        if renewed == Renewed::All {
            let stands = |(key, sums): &(&ScopeKey, &Sums)| !key.0.of_enterprises() || sums.members > 0;
            scopes.extend(self.sums.iter().filter(stands).map(|(key, _)| key.clone()));
        }
        // Of many the greater part is in order: they came in rows.
        enterprises.sort();
        enterprises.dedup();
        if !std::mem::replace(&mut self.city_shown, true) || renewed == Renewed::All {
            scopes.push((Scope::City, CITY.into()));
        }
        scopes.sort_unstable();
        scopes.dedup();
        if enterprises.is_empty() && scopes.is_empty() {
            return RatesChanged::default();
        }
        let mut rows = cores::some(&enterprises, |place| {
            self.totals.get_index(*place).map(|(root, row)| (of_root(root), row.now()))
        });
        rows.extend(scopes.into_iter().map(|key| {
            let now = self.scope(&key);
            (key, now)
        }));
        RatesChanged::new(rows, self.how(stamp))
    }

    /// The rates of these as they now are.
    pub fn these(&self, keys: Vec<ScopeKey>, stamp: &Stamp) -> RatesChanged {
        let rows = keys.into_iter().map(|key| {
            let now = self.now(&key);
            (key, now)
        });
        RatesChanged::new(rows.collect(), self.how(stamp))
    }

    /// All rates, sorted by scope and key as text.
    pub fn all(&self, stamp: &Stamp) -> Vec<Rates> {
        let how = self.how(stamp);
        let city = (Scope::City, CompactString::const_new(CITY));
        let unseen = (!self.sums.contains_key(&city)).then_some(city);
        let keys = self.totals.keys().map(of_root).chain(self.sums.keys().cloned()).chain(unseen);
        let mut all: Vec<Rates> =
            keys.filter_map(|key| self.now(&key).map(|now| how.rates(&key, &now))).collect();
        all.sort_unstable_by(|a, b| (a.scope.as_str(), &a.key).cmp(&(b.scope.as_str(), &b.key)));
        all
    }

    /// The rates of one scope; `None`: it has none.
    pub fn one(&self, scope: Scope, key: &str, stamp: &Stamp) -> Option<Rates> {
        let key = (scope, key.into());
        self.now(&key).map(|now| self.how(stamp).rates(&key, &now))
    }

    /// What those rates are divided from.
    pub fn exact(&self, scope: Scope, key: &str) -> Option<Exact> {
        if scope == Scope::Enterprise {
            let row = self.totals.get(&key.parse::<Uscc>().ok()?).filter(|row| row.member)?;
            let total = row.total.as_ref()?;
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

    fn now(&self, key: &ScopeKey) -> Option<Now> {
        match key.0 {
            Scope::Enterprise => self.totals.get(&key.1.parse::<Uscc>().ok()?)?.now(),
            _ => self.scope(key),
        }
    }

    fn scope(&self, key: &ScopeKey) -> Option<Now> {
        let sums = self.sums.get(key);
        let sums = match key.0 {
            Scope::City => Some(sums.copied().unwrap_or_default()),
            scope if scope.of_enterprises() => sums.filter(|sums| sums.members > 0).copied(),
            _ => sums.copied(),
        };
        sums.map(|sums| Now::Scope(Box::new(sums)))
    }

    /// How rates are made out as of this decision.
    fn how(&self, stamp: &Stamp) -> How {
        How { stamp: stamp.clone(), beside: Arc::clone(&self.beside) }
    }

    fn renew(&mut self, stamp: &Stamp) -> Renewed {
        let (beside, renewed) = self.beside.renewed(stamp);
        if let Some(beside) = beside {
            self.beside = Arc::new(beside);
        }
        renewed
    }
}

fn of_root(root: &Uscc) -> ScopeKey {
    (Scope::Enterprise, root.as_str().into())
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
    use crate::windows::KEPT;

    /// One enterprise and its area, in all windows: three incidents of 500 persons in each.
    fn three() -> Figures {
        let mut figures = Figures::default();
        let tally = Tally { incidents: 3, persons: 3, ..Tally::default() };
        let total = Total { tallies: [tally; KEPT], heads: [Heads { insured: 500, months: 1 }; SUMMED] };
        let sums = Sums::of_member(&total.tallies, &total.heads, 1);
        let root = "91330784XX00000190".parse().unwrap();
        let area = (Scope::Area, "330784106".into());
        let stamp = stamp(Statistics::default(), None);
        let totals = vec![Told::Totals(vec![(root, Some(Arc::new(total)))])];
        let moves = figures.apply(totals, vec![((area, sums), 1)], Window::Year, drop);
        let changes: Vec<_> = figures.changes(moves.rates, moves.scopes, &stamp).iter().collect();
        assert_eq!(keys(&changes), ["91330784XX00000190", "330784106", CITY]);
        figures
    }

    fn stamp(statistics: Statistics, model: Option<Model>) -> Stamp {
        let decided_at: Instant = "2025-03-01T00:00:00+08:00".parse().unwrap();
        let model = model.map(Arc::new);
        Stamp { as_of: decided_at.day(), decided_at, policy_hash: "ab".into(), statistics, model }
    }

    type RatesChange = ((Scope, String), Option<Rates>);

    fn keys(changes: &[RatesChange]) -> Vec<&str> {
        changes.iter().map(|((_, key), _)| key.as_str()).collect()
    }

    fn renewed(figures: &mut Figures, stamp: &Stamp) -> Vec<RatesChange> {
        figures.changes(Vec::new(), Vec::new(), stamp).iter().collect()
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
