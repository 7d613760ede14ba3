//! Enterprises in windows, and what they add to their industries, areas and the city.
//!
//! The state holds of each enterprise its counts by window and its insured persons by month. A mean
//! headcount is not linear in what it is made of, so what an enterprise adds to its industry is worked out
//! as it was before an epoch and as it is after it; the difference goes on, summed over all enterprises that
//! the epoch touched. That makes a month that enters or leaves a window, which touches every enterprise, one
//! pass over the state, and one change for each industry.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::{CompactString, ToCompactString};
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use hashbrown::HashMap;
use smallvec::SmallVec;
use tocsin_schemas::areas::sector;
use tocsin_schemas::codes::{CITY, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::Month;

use super::measure::{Heads, Sum, Sums, Tally, Total};
use crate::registry::Profile;
use crate::windows::{KEPT, Mask, SUMMED};

/// A group of incidents: an industry, an area, the city, a cause, an hour.
pub(crate) type ScopeKey = (Scope, CompactString);

/// What the enterprises hear of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) enum Change {
    /// From now on a month belongs to these windows. Every worker is told, each by its number.
    Month(usize, Month, Mask),
    /// How many enterprises there are with how many incidents and insured persons in a window, asked of every worker.
    Census(usize, usize),
    /// An enterprise that is read as its own, and where it belongs.
    Profile(Uscc, Profile),
    /// Insured persons of a month, of the enterprise itself or of one that is read as it.
    Insured(Uscc, Month, u32),
    /// Counted incidents enter windows, or leave them.
    Counted(Uscc, Mask, Tally),
}

/// What they say.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// An enterprise as it is now; `None`: without a counted incident in any window.
    Total(Uscc, Option<Arc<Total>>),
    /// What a scope gained or lost.
    Sums(ScopeKey, Box<Sums>),
    /// The enterprises of a window, as they are after the epoch.
    Census(usize, Census),
}

/// Registered enterprises with a mean headcount above 0: production incidents and headcount (in `PARTS` of a person),
/// and how many enterprises have just these. What a model of all of them is fitted to.
pub(crate) type Census = BTreeMap<(i32, i128), u32>;

/// See the module's page.
#[derive(Default)]
pub(crate) struct Enterprises {
    all: HashMap<Uscc, Enterprise>,
    months: Months,
    /// Every scope that had a member, by number.
    scopes: Vec<ScopeKey>,
    numbers: HashMap<ScopeKey, u32>,
    /// What the epoch under way changed of each scope, by number, and of which it did.
    gained: Vec<Sums>,
    touched: Touched,
}

/// Some of the scopes, by number.
#[derive(Default)]
struct Touched {
    which: Vec<u32>,
    /// By number, whether it is among them.
    among: Vec<bool>,
}

impl Touched {
    fn touch(&mut self, scopes: &[u32]) {
        for scope in scopes {
            let at = *scope as usize;
            if at >= self.among.len() {
                self.among.resize(at + 1, false);
            }
            if !std::mem::replace(&mut self.among[at], true) {
                self.which.push(*scope);
            }
        }
    }

    /// Takes them all out, sorted.
    fn take(&mut self) -> Vec<u32> {
        let mut which = std::mem::take(&mut self.which);
        which.iter().for_each(|scope| self.among[*scope as usize] = false);
        which.sort_unstable();
        which
    }
}

/// The windows that share a day with each month: those of `first`, of the month after it, and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Months {
    first: Month,
    windows: Vec<Mask>,
    /// By window: its first month and the one after its last, counted from `first`. A window has no gaps.
    spans: [(usize, usize); SUMMED],
}

impl Default for Months {
    fn default() -> Months {
        Months::from(Month(0), Vec::new())
    }
}

/// Sums over the months before each, so that those of any window are a difference: a window has up to 13 months, and
/// there are eight of them.
struct Running(SmallVec<[Heads; 32]>);

impl Running {
    fn within(&self, (from, to): (usize, usize)) -> Heads {
        let (mut sum, before) = (self.0[to], self.0[from]);
        sum.plus_equals(&before.multiply(&-1));
        sum
    }
}

#[derive(Default)]
struct Enterprise {
    /// The scopes it is a member of, by number; empty while it is not registered or read as another's.
    scopes: SmallVec<[u32; 4]>,
    /// By month, sorted: the sum of what the records say, and how many there are.
    insured: Vec<(Month, u32, i64)>,
    /// By window; `None`: no counted incident in any.
    tallies: Option<Box<[Tally; KEPT]>>,
}

const NONE: [Tally; KEPT] = [const { Tally::NONE }; KEPT];

impl Tally {
    const NONE: Tally = Tally {
        incidents: 0,
        persons: 0,
        severe: 0,
        commuting: 0,
        sudden_illness: 0,
        occupational_disease: 0,
    };
}

impl Change {
    /// The enterprise that it is about, if it is about one.
    fn uscc(&self) -> Option<Uscc> {
        match self {
            Change::Month(..) | Change::Census(..) => None,
            Change::Profile(uscc, _) | Change::Insured(uscc, ..) | Change::Counted(uscc, ..) => Some(*uscc),
        }
    }

    /// Which worker takes it.
    pub fn route(&self) -> u64 {
        match self {
            Change::Month(worker, ..) | Change::Census(worker, _) => *worker as u64,
            _ => super::keyed::route(&self.uscc()),
        }
    }
}

impl Enterprise {
    /// Its insured persons by window.
    fn heads(&self, months: &Months) -> [Heads; SUMMED] {
        let running = self.running(months);
        std::array::from_fn(|slot| running.within(months.spans[slot]))
    }

    /// Its insured persons before each of the months, and before the one after them.
    fn running(&self, months: &Months) -> Running {
        let (first, count) = (months.first, months.windows.len());
        let begin =
            self.insured.iter().rposition(|(month, ..)| *month < first).map_or(0, |before| before + 1);
        let mut insured = self.insured[begin..].iter().peekable();
        let (mut running, mut sum) = (SmallVec::with_capacity(count + 1), Heads::default());
        running.push(sum);
        for month in (first.0..).take(count) {
            if let Some((_, _, insured)) = insured.next_if(|(m, ..)| m.0 == month) {
                sum.month(*insured);
            }
            running.push(sum);
        }
        Running(running)
    }

    fn tallies(&self) -> &[Tally; KEPT] {
        self.tallies.as_deref().unwrap_or(&NONE)
    }

    /// A month's records come or go.
    fn insure(&mut self, month: Month, insured: u32, diff: isize) {
        let at = match self.insured.binary_search_by_key(&month, |(m, ..)| *m) {
            Ok(at) => at,
            Err(at) => {
                self.insured.insert(at, (month, 0, 0));
                at
            }
        };
        let (_, records, sum) = &mut self.insured[at];
        *records = records.wrapping_add_signed(diff as i32);
        *sum += i64::from(insured) * diff as i64;
        if *records == 0 {
            self.insured.remove(at);
        }
    }

    fn count(&mut self, windows: Mask, tally: Tally) {
        let tallies = self.tallies.get_or_insert_with(|| Box::new(NONE));
        tally.spread(windows, tallies);
    }
}

impl Enterprises {
    /// The changes of an epoch in; what they come to, out.
    pub fn step(&mut self, mut changes: Vec<(Change, isize)>, out: &mut Vec<(Answer, isize)>) {
        // One batch may move an enterprise twice: what nets to nothing never was.
        consolidate(&mut changes);
        let mut by_enterprise = Vec::with_capacity(changes.len());
        let (mut months, mut asked) = (BTreeMap::new(), Vec::new());
        for (change, diff) in changes {
            match (change.uscc(), change) {
                (_, Change::Month(_, month, windows)) => drop(months.insert(month, windows)),
                (_, Change::Census(_, slot)) => asked.push(slot),
                (Some(uscc), change) => by_enterprise.push((uscc, diff, change)),
                (None, _) => {}
            }
        }
        // Of one enterprise what goes comes before what comes.
        by_enterprise.sort_unstable_by_key(|(uscc, diff, _)| (*uscc, *diff));
        let old_months = self.months.clone();
        if !months.is_empty() {
            self.months = old_months.with(&months);
        }
        let turned = old_months != self.months;
        let mut by_enterprise = by_enterprise.into_iter().peekable();
        let mut touched = Vec::new();
        while let Some(uscc) = by_enterprise.peek().map(|(uscc, ..)| *uscc) {
            let mut enterprise = self.all.remove(&uscc).unwrap_or_default();
            let heads = enterprise.heads(&old_months);
            self.gain(&enterprise.scopes, &Sums::of_member(enterprise.tallies(), &heads, -1));
            let had = enterprise.tallies.is_some();
            while let Some((_, diff, change)) = by_enterprise.next_if(|(u, ..)| *u == uscc) {
                match change {
                    Change::Profile(_, profile) if diff > 0 => {
                        enterprise.scopes = scopes(&profile).map(|scope| self.number(scope)).collect();
                    }
                    Change::Profile(..) => enterprise.scopes.clear(),
                    Change::Insured(_, month, insured) => enterprise.insure(month, insured, diff),
                    Change::Counted(_, windows, tally) => {
                        enterprise.count(windows, tally.multiply(&diff));
                    }
                    Change::Month(..) | Change::Census(..) => {}
                }
            }
            enterprise.tallies = enterprise.tallies.filter(|tallies| **tallies != NONE);
            let heads = enterprise.heads(&self.months);
            self.gain(&enterprise.scopes, &Sums::of_member(enterprise.tallies(), &heads, 1));
            let total = enterprise.tallies.as_deref().map(|tallies| Total { tallies: *tallies, heads });
            if had || total.is_some() {
                out.push((Answer::Total(uscc, total.map(Arc::new)), 1));
            }
            if turned {
                touched.push(uscc);
            }
            if enterprise.tallies.is_some() || !enterprise.insured.is_empty() || !enterprise.scopes.is_empty()
            {
                self.all.insert(uscc, enterprise);
            }
        }
        if turned {
            self.turn(&old_months, &touched, out);
        }
        for number in self.touched.take() {
            let (scope, gained) = (&self.scopes[number as usize], &mut self.gained[number as usize]);
            if !gained.is_zero() {
                out.push((Answer::Sums(scope.clone(), Box::new(std::mem::take(gained))), 1));
            }
        }
        if !asked.is_empty() {
            out.extend(self.census(asked).map(|(slot, census)| (Answer::Census(slot, census), 1)));
        }
    }

    /// The enterprises of these windows: one pass over the state.
    fn census(&self, slots: Vec<usize>) -> impl Iterator<Item = (usize, Census)> {
        let mut counts: Vec<HashMap<(i32, i128), u32>> = vec![HashMap::new(); slots.len()];
        for enterprise in self.all.values().filter(|enterprise| !enterprise.scopes.is_empty()) {
            let (running, tallies) = (enterprise.running(&self.months), enterprise.tallies());
            for (slot, counts) in slots.iter().zip(&mut counts) {
                let parts = running.within(self.months.spans[*slot]).parts();
                if let Some(parts) = parts.filter(|parts| *parts > 0) {
                    *counts.entry((tallies[*slot].incidents, parts)).or_default() += 1;
                }
            }
        }
        slots.into_iter().zip(counts.into_iter().map(|counts| counts.into_iter().collect()))
    }

    /// Months entered or left windows: every enterprise but those that were settled already (sorted). Only the
    /// windows that a month entered or left are worked out: no headcount of another has changed.
    fn turn(&mut self, old_months: &Months, settled: &[Uscc], out: &mut Vec<(Answer, isize)>) {
        let turned = old_months.turned(&self.months);
        // Over the same months both ways, so that these are summed once.
        let (before, after) = (old_months.among(&self.months), self.months.among(old_months));
        for (uscc, enterprise) in &self.all {
            if settled.binary_search(uscc).is_ok() {
                continue;
            }
            let running = enterprise.running(&after);
            let mut differs = false;
            for slot in turned.slots() {
                let (old, new) = (running.within(before.spans[slot]), running.within(after.spans[slot]));
                if old == new {
                    continue;
                }
                differs = true;
                let tally = enterprise.tallies()[slot];
                let mut gain = Sum::of(tally, new);
                gain.plus_equals(&Sum::of(tally, old).multiply(&-1));
                for scope in &enterprise.scopes {
                    self.gained[*scope as usize].windows[slot].plus_equals(&gain);
                }
            }
            if !differs {
                continue;
            }
            self.touched.touch(&enterprise.scopes);
            if let Some(tallies) = enterprise.tallies.as_deref() {
                let heads = std::array::from_fn(|slot| running.within(after.spans[slot]));
                let total = Total { tallies: *tallies, heads };
                out.push((Answer::Total(*uscc, Some(Arc::new(total))), 1));
            }
        }
    }

    fn gain(&mut self, scopes: &[u32], gain: &Sums) {
        self.touched.touch(scopes);
        for scope in scopes {
            self.gained[*scope as usize].plus_equals(gain);
        }
    }

    fn number(&mut self, scope: ScopeKey) -> u32 {
        *self.numbers.entry(scope).or_insert_with_key(|scope| {
            self.scopes.push(scope.clone());
            self.gained.push(Sums::default());
            self.scopes.len() as u32 - 1
        })
    }
}

impl Months {
    /// The windows of a month; none of one that is not known.
    fn of(&self, month: Month) -> Mask {
        let at = usize::try_from(i64::from(month.0) - i64::from(self.first.0));
        at.ok().and_then(|at| self.windows.get(at)).copied().unwrap_or_default()
    }

    fn all(&self) -> impl Iterator<Item = Month> {
        (self.first.0..).map(Month).take(self.windows.len())
    }

    /// With these months in other windows than before.
    fn with(&self, changed: &BTreeMap<Month, Mask>) -> Months {
        let mut all: BTreeMap<Month, Mask> = self.all().map(|month| (month, self.of(month))).collect();
        all.extend(changed);
        all.retain(|_, windows| !windows.is_empty());
        let (Some((first, _)), Some((last, _))) = (all.first_key_value(), all.last_key_value()) else {
            return Months::default();
        };
        let months = (first.0..=last.0).map(Month);
        let windows = months.map(|month| all.get(&month).copied().unwrap_or_default());
        Months::from(*first, windows.collect())
    }

    fn from(first: Month, windows: Vec<Mask>) -> Months {
        let spans = std::array::from_fn(|slot| {
            let holds = |windows: &Mask| windows.slots().any(|s| s == slot);
            let span = windows.iter().position(holds).zip(windows.iter().rposition(holds));
            span.map_or((0, 0), |(from, last)| (from, last + 1))
        });
        Months { first, windows, spans }
    }

    /// All months of this and another, in the windows that they are in here.
    fn among(&self, other: &Months) -> Months {
        let all = || self.all().chain(other.all());
        let (Some(first), Some(last)) = (all().min(), all().max()) else { return Months::default() };
        Months::from(first, (first.0..=last.0).map(|month| self.of(Month(month))).collect())
    }

    /// The windows that a month entered or left.
    fn turned(&self, new: &Months) -> Mask {
        let months = self.all().chain(new.all());
        months.fold(Mask::default(), |all, month| all.or(self.of(month).differs(new.of(month))))
    }
}

/// What an enterprise is a member of (S10: by area, industry, sector and cluster).
pub(crate) fn scopes(profile: &Profile) -> impl Iterator<Item = ScopeKey> {
    let industry = (Scope::Industry, profile.division.clone());
    let area = (Scope::Area, profile.area.clone());
    let city = (Scope::City, CompactString::const_new(CITY));
    let sector = sector(&profile.division).map(|sector| (Scope::Sector, sector.to_compact_string()));
    let tags = profile.tags.iter().map(|tag| (Scope::Tag, tag.clone()));
    [industry, area, city].into_iter().chain(sector).chain(tags)
}
