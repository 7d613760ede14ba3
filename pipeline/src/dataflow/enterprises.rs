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
use differential_dataflow::difference::{Multiply, Semigroup};
use hashbrown::{DefaultHashBuilder, HashMap};
use indexmap::IndexMap;
use indexmap::map::Slice;
use smallvec::SmallVec;
use tocsin_schemas::areas::sector;
use tocsin_schemas::codes::{CITY, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::Month;

use super::gains::Gains;
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
    /// Enterprises as they are now.
    Totals(Vec<OfOne>),
    /// Enterprises that have other headcounts and are otherwise as they were.
    Turned(Vec<Turned>),
    /// What a scope gained or lost.
    Sums(ScopeKey, Box<Sums>),
    /// The enterprises of a window, as they are after the epoch.
    Census(usize, Census),
}

/// An enterprise as it is; `None`: without a counted incident in any window.
pub(crate) type OfOne = (Uscc, Option<Arc<Total>>);

/// The insured persons of an enterprise, by window that is summed, where nothing else of it changed.
pub(crate) type Turned = (Uscc, [Heads; SUMMED]);

/// Registered enterprises with a mean headcount above 0: production incidents and headcount (in `PARTS` of a person),
/// and how many enterprises have just these; sorted, each once. What a model of all of them is fitted to.
pub(crate) type Census = Vec<((i32, i128), u32)>;

/// Counts that were taken apart, as one.
pub(super) fn together(mut counts: Census) -> Census {
    counts.sort_unstable_by_key(|(like, _)| *like);
    counts.dedup_by(|(next, many), (like, all)| {
        let same = next == like;
        *all += if same { *many } else { 0 };
        same
    });
    counts
}

/// See the module's page.
#[derive(Default)]
pub(crate) struct Enterprises {
    /// In one vector, so that a pass over all of them reads it in a row.
    all: IndexMap<Uscc, Enterprise, DefaultHashBuilder>,
    months: Months,
    /// Every scope that had a member, by number.
    scopes: Vec<ScopeKey>,
    numbers: HashMap<ScopeKey, u32>,
    gains: Gains,
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
                Change::Counted(uscc, windows, tally) => counted.push((uscc, windows, tally.multiply(&diff))),
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
        let counted = self.placed(counted);
        let mut moved: Vec<u32> = own.iter().map(|(at, ..)| *at).collect();
        moved.dedup();
        let (theirs, counted): (Vec<Counted>, Vec<Counted>) = match moved.is_empty() {
            true => (Vec::new(), counted),
            false => counted.into_iter().partition(|(at, ..)| moved.binary_search(at).is_ok()),
        };
        let old_months = self.months.clone();
        if !months.is_empty() {
            self.months = old_months.with(&months);
        }
        let (old_spans, spans) = (old_months.spans(), self.months.spans());
        let (mut totals, mut gone) = (Vec::new(), Vec::new());
        self.recount(&counted, &old_spans, &spans, &mut totals, &mut gone);
        let (mut own, mut theirs) = (own.into_iter().peekable(), theirs.into_iter().peekable());
        for at in &moved {
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
            while let Some((_, windows, tally)) = theirs.next_if(|(a, ..)| a == at) {
                enterprise.count(windows, tally);
            }
            enterprise.tallies = enterprise.tallies.filter(|tallies| **tallies != NONE);
            let heads = enterprise.heads(&spans);
            let (mut gain, has) = (enterprise.sums(&heads), enterprise.total(&heads));
            match former.filter(|former| *former != enterprise.scopes) {
                Some(former) => self.gains.add(&former, &before.multiply(&-1)),
                None => gain.plus_equals(&before.multiply(&-1)),
            }
            self.gains.add(&enterprise.scopes, &gain);
            if had != has {
                totals.push((self.uscc(*at), has.map(Arc::new)));
            }
            if enterprise.is_gone() {
                gone.push(*at);
            }
            self.all[*at as usize] = enterprise;
        }
        if !totals.is_empty() {
            out.push((Answer::Totals(totals), 1));
        }
        let turned = old_months.turned(&self.months);
        if !turned.is_empty() || !asked.is_empty() {
            let mut settled: Vec<u32> = moved.into_iter().chain(counted.iter().map(|(at, ..)| *at)).collect();
            cores::sort(&mut settled);
            self.pass(&old_months, turned, &settled, asked, out);
        }
        for (number, gained) in self.gains.take() {
            out.push((Answer::Sums(self.scopes[number as usize].clone(), Box::new(gained)), 1));
        }
        // The last first: each place is filled from the end.
        gone.sort_unstable();
        gone.into_iter().rev().for_each(|at| drop(self.all.swap_remove_index(at as usize)));
    }

    /// With the place of each enterprise, sorted by it.
    fn placed(&mut self, counted: Vec<(Uscc, Mask, Tally)>) -> Vec<Counted> {
        let places = cores::each(&counted, |(uscc, ..)| self.all.get_index_of(uscc));
        let placed = counted.into_iter().zip(places).map(|((uscc, windows, tally), at)| {
            (at.map_or_else(|| self.place(uscc), |at| at as u32), windows, tally)
        });
        let mut placed: Vec<Counted> = placed.collect();
        cores::order(&mut placed, |(at, ..)| *at);
        placed
    }

    /// Takes counts (sorted by place) to enterprises of which nothing else changed. At New Year these are many, and each
    /// is for itself: so they are taken in parts, on all cores.
    fn recount(
        &mut self,
        counted: &[Counted],
        old: &Spans,
        new: &Spans,
        totals: &mut Vec<OfOne>,
        gone: &mut Vec<u32>,
    ) {
        let many = cores::parts_of(counted.len());
        if many == 1 {
            let rows = self.all.as_mut_slice();
            let (told, left) = recounted(rows, 0, counted, old, new, &mut self.gains);
            totals.extend(told);
            gone.extend(left);
            return;
        }
        let (mut parts, mut from) = (Vec::with_capacity(many), 0);
        let (mut rows, mut rest) = (self.all.as_mut_slice(), counted);
        for n in 1..=many {
            let end =
                counted.get(counted.len() * n / many).map_or(from + rows.len(), |(at, ..)| *at as usize);
            let (mine, others) = rows.split_at_mut(end - from);
            let (of_mine, of_others) = rest.split_at(rest.partition_point(|(at, ..)| (*at as usize) < end));
            parts.push((mine, from, of_mine));
            (rows, rest, from) = (others, of_others, end);
        }
        let parts = cores::each_of(parts, |(rows, from, counted)| {
            let mut gains = Gains::default();
            let (told, left) = recounted(rows, from, counted, old, new, &mut gains);
            (told, left, gains.take())
        });
        for (told, left, gains) in parts {
            totals.extend(told);
            gone.extend(left);
            gains.iter().for_each(|(scope, gain)| self.gains.add(&[*scope], gain));
        }
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
        let mut census: Vec<Census> = vec![Vec::new(); asked.len()];
        let turning: Vec<usize> = turned.slots().collect();
        let of = |months: &Months, slots: &[usize]| -> Vec<Span> {
            slots.iter().map(|slot| months.spans[*slot]).collect()
        };
        let spans = [of(old_months, &turning), of(&self.months, &turning), of(&self.months, &asked)];
        let (spans, all) = (Spans::of(spans.concat()), self.months.spans());
        let parts = Pass { of: self, turning: &turning, asked: &asked, spans, all, settled }.parts();
        for part in parts {
            if !part.turned.is_empty() {
                out.push((Answer::Turned(part.turned), 1));
            }
            for (number, shifts) in (0..).zip(&part.shifts) {
                for (slot, shift) in
                    turning.iter().zip(shifts).filter(|(_, shift)| **shift != Shift::default())
                {
                    shift.apply(&mut self.gains.of(number).windows[*slot]);
                }
            }
            census.iter_mut().zip(part.census).for_each(|(all, part)| all.extend(part));
        }
        let counted = cores::each_of(census, together);
        out.extend(asked.into_iter().zip(counted).map(|(slot, counts)| (Answer::Census(slot, counts), 1)));
    }

    fn number(&mut self, scope: ScopeKey) -> u32 {
        *self.numbers.entry(scope).or_insert_with_key(|scope| {
            self.scopes.push(scope.clone());
            self.scopes.len() as u32 - 1
        })
    }
}

/// Counts that enter windows of the enterprise at a place, or leave them.
type Counted = (u32, Mask, Tally);

/// Takes counts to the enterprises of a row of places that begins at `from`: which are otherwise than before, and of which
/// nothing is known any more.
fn recounted(
    rows: &mut Slice<Uscc, Enterprise>,
    from: usize,
    counted: &[Counted],
    old: &Spans,
    new: &Spans,
    gains: &mut Gains,
) -> (Vec<OfOne>, Vec<u32>) {
    let (mut totals, mut gone) = (Vec::new(), Vec::new());
    for of_one in counted.chunk_by(|a, b| a.0 == b.0) {
        let at = of_one[0].0;
        let Some((uscc, enterprise)) = rows.get_index_mut(at as usize - from) else { continue };
        let (had, before) = (enterprise.tallies.is_some(), *enterprise.tallies());
        of_one.iter().for_each(|(_, windows, tally)| enterprise.count(*windows, *tally));
        let after = *enterprise.tallies();
        if after == NONE {
            enterprise.tallies = None;
        }
        let (was, heads) = (enterprise.heads(old), enterprise.heads(new));
        let mut gain = Sums::default();
        for (slot, sum) in gain.windows.iter_mut().enumerate() {
            if before[slot] != after[slot] || was[slot] != heads[slot] {
                *sum = Sum::of(before[slot], was[slot]).multiply(&-1);
                sum.plus_equals(&Sum::of(after[slot], heads[slot]));
            }
        }
        gains.add(&enterprise.scopes, &gain);
        let has = enterprise.tallies.is_some();
        if had != has || has && (before, was) != (after, heads) {
            totals.push((*uscc, has.then(|| Arc::new(Total { tallies: after, heads }))));
        }
        if enterprise.is_gone() {
            gone.push(at);
        }
    }
    (totals, gone)
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
    turned: Vec<Turned>,
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
            turned: Vec::new(),
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
                    part.turned.push((*uscc, enterprise.heads(&self.all)));
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
