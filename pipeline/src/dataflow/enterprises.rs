//! Enterprises in windows, and what they add to their industries, areas and the city.
//!
//! The state holds of each enterprise its counts by window and its insured persons by month. A mean
//! headcount is not linear in what it is made of, so what an enterprise adds to its industry is worked out
//! as it was before an epoch and as it is after it; the difference goes on, summed over all enterprises that
//! the epoch touched. That makes a month that enters or leaves a window, which touches every enterprise, one
//! pass over the state, on all cores, and one change for each industry.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use compact_str::{CompactString, ToCompactString};
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use hashbrown::{DefaultHashBuilder, HashMap};
use indexmap::IndexMap;
use smallvec::SmallVec;
use tocsin_schemas::areas::sector;
use tocsin_schemas::codes::{CITY, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::Month;

use super::insured::{Insured, Span, Spans};
use super::measure::{Heads, Sum, Sums, Tally, Total};
use crate::cores;
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
    /// In one vector, so that a pass over all of them reads it in a row.
    all: IndexMap<Uscc, Enterprise, DefaultHashBuilder>,
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
    /// By window. A window has no gaps.
    spans: [Span; SUMMED],
}

impl Default for Months {
    fn default() -> Months {
        Months::from(Month(0), Vec::new())
    }
}

#[derive(Default)]
struct Enterprise {
    /// The scopes it is a member of, by number; empty while it is not registered or read as another's.
    scopes: SmallVec<[u32; 4]>,
    insured: Insured,
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
    fn heads(&self, spans: &Spans) -> [Heads; SUMMED] {
        let mut heads = [Heads::default(); SUMMED];
        self.insured.within(spans, |slot, of| heads[slot] = of);
        heads
    }

    /// What it is in all windows; `None`: without a counted incident in any.
    fn total(&self, heads: &[Heads; SUMMED]) -> Option<Total> {
        self.tallies.as_deref().map(|tallies| Total { tallies: *tallies, heads: *heads })
    }

    /// Whether nothing is known of it any more.
    fn is_gone(&self) -> bool {
        self.tallies.is_none() && self.insured.is_empty() && self.scopes.is_empty()
    }

    /// What it adds to each of its scopes.
    fn sums(&self, heads: &[Heads; SUMMED]) -> Sums {
        Sums::of_member(self.tallies(), heads, 1)
    }

    fn tallies(&self) -> &[Tally; KEPT] {
        self.tallies.as_deref().unwrap_or(&NONE)
    }

    fn count(&mut self, windows: Mask, tally: Tally) {
        let tallies = self.tallies.get_or_insert_with(|| Box::new(NONE));
        tally.spread(windows, tallies);
    }
}

impl Enterprises {
    /// The changes of an epoch in; what they come to, out.
    pub fn step(&mut self, changes: Vec<(Change, isize)>, out: &mut Vec<(Answer, isize)>) {
        let (mut months, mut asked) = (BTreeMap::new(), Vec::new());
        let (mut own, mut counted) = (Vec::new(), Vec::new());
        for (change, diff) in changes {
            match change {
                Change::Month(_, month, windows) => drop(months.insert(month, windows)),
                Change::Census(_, slot) => asked.push(slot),
                Change::Counted(uscc, windows, tally) => {
                    counted.push((self.place(uscc), windows, tally.multiply(&diff)));
                }
                Change::Profile(..) | Change::Insured(..) => own.push((change, diff)),
            }
        }
        // One batch may move an enterprise twice: what nets to nothing never was. Counts are only added up.
        consolidate(&mut own);
        let own =
            own.into_iter().filter_map(|(change, diff)| Some((self.place(change.uscc()?), diff, change)));
        let mut own: Vec<_> = own.collect();
        // Of one enterprise what goes comes before what comes.
        own.sort_unstable_by_key(|(at, diff, _)| (*at, *diff));
        counted.sort_unstable_by_key(|(at, ..)| *at);
        let mut settled: Vec<u32> =
            own.iter().map(|(at, ..)| *at).chain(counted.iter().map(|(at, ..)| *at)).collect();
        settled.sort_unstable();
        settled.dedup();
        let old_months = self.months.clone();
        if !months.is_empty() {
            self.months = old_months.with(&months);
        }
        let (old_spans, spans) = (old_months.spans(), self.months.spans());
        let (mut own, mut counted) = (own.into_iter().peekable(), counted.into_iter().peekable());
        let mut gone = Vec::new();
        for at in &settled {
            let mut enterprise = std::mem::take(&mut self.all[*at as usize]);
            let heads = enterprise.heads(&old_spans);
            let (before, had) = (enterprise.sums(&heads), enterprise.total(&heads));
            // Where it may go elsewhere, what it added there.
            let former = own.peek().filter(|(a, ..)| a == at).map(|_| enterprise.scopes.clone());
            while let Some((_, diff, change)) = own.next_if(|(a, ..)| a == at) {
                match change {
                    Change::Profile(_, profile) if diff > 0 => {
                        enterprise.scopes = scopes(&profile).map(|scope| self.number(scope)).collect();
                    }
                    Change::Profile(..) => enterprise.scopes.clear(),
                    Change::Insured(_, month, insured) => enterprise.insured.insure(month, insured, diff),
                    Change::Counted(..) | Change::Month(..) | Change::Census(..) => {}
                }
            }
            while let Some((_, windows, tally)) = counted.next_if(|(a, ..)| a == at) {
                enterprise.count(windows, tally);
            }
            enterprise.tallies = enterprise.tallies.filter(|tallies| **tallies != NONE);
            let heads = enterprise.heads(&spans);
            let (mut gain, has) = (enterprise.sums(&heads), enterprise.total(&heads));
            match former.filter(|former| *former != enterprise.scopes) {
                Some(former) => self.gain(&former, &before.multiply(&-1)),
                None => gain.plus_equals(&before.multiply(&-1)),
            }
            self.gain(&enterprise.scopes, &gain);
            if had != has {
                out.push((Answer::Total(self.uscc(*at), has.map(Arc::new)), 1));
            }
            if enterprise.is_gone() {
                gone.push(*at);
            }
            self.all[*at as usize] = enterprise;
        }
        let turned = old_months.turned(&self.months);
        if !turned.is_empty() || !asked.is_empty() {
            self.pass(&old_months, turned, &settled, asked, out);
        }
        for number in self.touched.take() {
            let (scope, gained) = (&self.scopes[number as usize], &mut self.gained[number as usize]);
            if !gained.is_zero() {
                out.push((Answer::Sums(scope.clone(), Box::new(std::mem::take(gained))), 1));
            }
        }
        // The last first: each place is filled from the end.
        gone.into_iter().rev().for_each(|at| drop(self.all.swap_remove_index(at as usize)));
    }

    /// Where an enterprise is, until the epoch is over.
    fn place(&mut self, uscc: Uscc) -> u32 {
        let entry = self.all.entry(uscc);
        let at = entry.index() as u32;
        entry.or_default();
        at
    }

    fn uscc(&self, at: u32) -> Uscc {
        self.all
            .get_index(at as usize)
            .map(|(uscc, _)| *uscc)
            .unwrap_or_else(|| unreachable!("it has a place"))
    }

    /// What touches all enterprises: the windows that a month entered or left, but for those that were settled already
    /// (sorted); and the census of the windows that are asked for.
    fn pass(
        &mut self,
        old_months: &Months,
        turned: Mask,
        settled: &[u32],
        asked: Vec<usize>,
        out: &mut Vec<(Answer, isize)>,
    ) {
        let mut census: Vec<Vec<((i32, i128), u32)>> = vec![Vec::new(); asked.len()];
        let turning: Vec<usize> = turned.slots().collect();
        let of = |months: &Months, slots: &[usize]| -> Vec<Span> {
            slots.iter().map(|slot| months.spans[*slot]).collect()
        };
        let spans = [of(old_months, &turning), of(&self.months, &turning), of(&self.months, &asked)];
        let (spans, all) = (Spans::of(spans.concat()), self.months.spans());
        let parts = Pass { of: self, turning: &turning, asked: &asked, spans, all, settled }.parts();
        for part in parts {
            out.extend(part.totals.into_iter().map(|total| (total, 1)));
            for (number, shifts) in (0..).zip(&part.shifts) {
                for (slot, shift) in
                    turning.iter().zip(shifts).filter(|(_, shift)| **shift != Shift::default())
                {
                    self.touched.touch(&[number]);
                    shift.apply(&mut self.gained[number as usize].windows[*slot]);
                }
            }
            census.iter_mut().zip(part.census).for_each(|(all, part)| all.extend(part));
        }
        for (slot, mut counts) in asked.into_iter().zip(census) {
            counts.sort_unstable_by_key(|(like, _)| *like);
            counts.dedup_by(|(next, many), (like, all)| {
                let same = next == like;
                *all += if same { *many } else { 0 };
                same
            });
            out.push((Answer::Census(slot, counts.into_iter().collect()), 1));
        }
    }

    fn gain(&mut self, scopes: &[u32], gain: &Sums) {
        if gain.is_zero() {
            return;
        }
        self.touched.touch(scopes);
        let changed = || gain.windows.iter().enumerate().filter(|(_, sum)| !sum.is_zero());
        for scope in scopes {
            let gained = &mut self.gained[*scope as usize];
            gained.members += gain.members;
            changed().for_each(|(slot, sum)| gained.windows[slot].plus_equals(sum));
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

/// What a month that enters or leaves a window changes of a sum: no count of incidents is another.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Shift {
    with_headcount: i32,
    headcount_parts: i128,
    known: i32,
}

impl Shift {
    fn add(&mut self, old: &Sum, new: &Sum) {
        self.with_headcount += new.with_headcount - old.with_headcount;
        self.headcount_parts += new.headcount_parts - old.headcount_parts;
        self.known += new.known - old.known;
    }

    fn apply(&self, to: &mut Sum) {
        to.with_headcount += self.with_headcount;
        to.headcount_parts += self.headcount_parts;
        to.known += self.known;
    }
}

/// One pass over the state, in parts that any core may take; see [`Enterprises::pass`].
struct Pass<'a> {
    of: &'a Enterprises,
    /// Windows that a month entered or left.
    turning: &'a [usize],
    /// Those that are asked for.
    asked: &'a [usize],
    /// Of the former as they were and as they are, and of the latter.
    spans: Spans,
    /// Of all windows.
    all: Spans,
    settled: &'a [u32],
}

/// What a part of the enterprises comes to.
struct Part {
    totals: Vec<Answer>,
    /// By scope, and by window that turns.
    shifts: Vec<[Shift; SUMMED]>,
    /// By window that is asked for.
    census: Vec<HashMap<(i32, i128), u32>>,
}

impl Pass<'_> {
    /// All parts, in their order. What they add up to is the same whoever took them.
    fn parts(&self) -> Vec<Part> {
        let all = self.of.all.len();
        let many = cores::parts_of(all);
        cores::parts(many, |n| self.part(all * n / many..all * (n + 1) / many))
    }

    fn part(&self, range: Range<usize>) -> Part {
        let mut part = Part {
            totals: Vec::new(),
            shifts: vec![[Shift::default(); SUMMED]; self.of.scopes.len()],
            census: vec![HashMap::new(); self.asked.len()],
        };
        let settled = &self.settled[self.settled.partition_point(|at| (*at as usize) < range.start)..];
        let mut settled = settled.iter().map(|at| *at as usize).peekable();
        let enterprises = self.of.all.get_range(range.clone()).into_iter().flatten();
        // By span: at most each window before, after, and asked for.
        let mut heads = [Heads::default(); 3 * SUMMED];
        let turning = self.turning.len();
        for (at, (uscc, enterprise)) in range.zip(enterprises) {
            let is_settled = settled.next_if_eq(&at).is_some();
            if enterprise.insured.is_empty() {
                continue;
            }
            enterprise.insured.within(&self.spans, |at, of| heads[at] = of);
            let (old, others) = heads.split_at(turning);
            let (new, asked) = others.split_at(turning);
            if !is_settled && old != new {
                self.turn(enterprise, old, new, &mut part.shifts);
                if enterprise.tallies.is_some() {
                    let total = enterprise.total(&enterprise.heads(&self.all)).map(Arc::new);
                    part.totals.push(Answer::Total(*uscc, total));
                }
            }
            if enterprise.scopes.is_empty() {
                continue;
            }
            for ((slot, heads), counts) in self.asked.iter().zip(asked).zip(&mut part.census) {
                if let Some(parts) = heads.parts().filter(|parts| *parts > 0) {
                    *counts.entry((enterprise.tallies()[*slot].incidents, parts)).or_default() += 1;
                }
            }
        }
        part
    }

    /// What an enterprise adds to its scopes in windows that a month entered or left, if it has other headcounts there than
    /// before. That of other windows has not changed.
    fn turn(&self, enterprise: &Enterprise, old: &[Heads], new: &[Heads], shifts: &mut [[Shift; SUMMED]]) {
        for (at, (old, new)) in old.iter().zip(new).enumerate().filter(|(_, (old, new))| old != new) {
            let tally = enterprise.tallies()[self.turning[at]];
            let (old, new) = (Sum::of(tally, *old), Sum::of(tally, *new));
            for scope in &enterprise.scopes {
                shifts[*scope as usize][at].add(&old, &new);
            }
        }
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
            let month = |at: usize| Month(first.0 + at as i32);
            span.map_or((first, first), |(from, last)| (month(from), month(last + 1)))
        });
        Months { first, windows, spans }
    }

    /// The months of each window, to be asked of enterprises.
    fn spans(&self) -> Spans {
        Spans::of(self.spans.to_vec())
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
