//! Enterprises in windows, and what they add to their industries, areas and the city.
//!
//! The state holds of each enterprise its counts by window and its insured persons by month. A mean
//! headcount is not linear in what it is made of, so what an enterprise adds to its industry is worked out
//! as it was before an epoch and as it is after it; the difference goes on, summed over all enterprises that
//! the epoch touched. That makes a month that enters or leaves a window, which touches every enterprise, one
//! pass over the state, on all cores, and one change for each industry.

use std::sync::Arc;

use compact_str::{CompactString, ToCompactString};
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use hashbrown::{DefaultHashBuilder, HashMap};
use indexmap::IndexMap;
use indexmap::map::Slice;
use smallvec::SmallVec;
use tocsin_schemas::areas::sector;
use tocsin_schemas::codes::{CITY, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::{Day, Month};

use super::gains::Gains;
use super::insured::{Insured, Span, Spans};
use super::measure::{Heads, Sum, Sums, Tally, Total};
use crate::cores;
use crate::registry::Profile;
use crate::windows::{Calendar, KEPT, Mask, SUMMED, Turn};

/// A group of incidents: an industry, an area, the city, a cause, an hour.
pub(crate) type ScopeKey = (Scope, CompactString);

/// What the enterprises hear of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) enum Change {
    /// From now on it is this day. Every worker is told, each by its number.
    Today(usize, Box<Calendar>),
    /// How many enterprises there are with how many incidents and insured persons in a window, asked of every worker.
    Census(usize, usize),
    /// An enterprise that is read as its own, and where it belongs.
    Profile(Uscc, Profile),
    /// Insured persons of a month, of the enterprise itself or of one that is read as it.
    Insured(Uscc, Month, u32),
    /// Counted incidents of a day come to bear these marks, or do no longer.
    Counted(Uscc, Day, Mask, Tally),
}

/// What they say.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Enterprises as they are now.
    Totals(Vec<OfOne>),
    /// Enterprises that turned with the calendar and are otherwise as they were, in parts.
    Turned(Box<Turn>, Vec<Vec<Turned>>),
    /// What a scope gained or lost.
    Sums(ScopeKey, Box<Sums>),
    /// The enterprises of a window, as they are after the epoch, in parts.
    Census(usize, Census),
}

/// An enterprise as it is; `None`: without a counted incident in any window.
pub(crate) type OfOne = (Uscc, Option<Arc<Total>>);

/// The insured persons of an enterprise, by window that is summed, after a turn of the calendar.
pub(crate) type Turned = (Uscc, [Heads; SUMMED]);

/// Registered enterprises with a mean headcount above 0: production incidents and headcount (in `PARTS` of a person),
/// and how many enterprises have just these. What a model of all of them is fitted to, once they are [`together`].
pub(crate) type Census = Vec<((i32, i128), u32)>;

/// Counts that were taken apart, as one: sorted, each once.
pub(crate) fn together(mut counts: Census) -> Census {
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
    calendar: Calendar,
    /// Every scope that had a member, by number.
    scopes: Vec<ScopeKey>,
    numbers: HashMap<ScopeKey, u32>,
    /// By number, the scopes that a scope is part of.
    above: Vec<SmallVec<[u32; 2]>>,
    gains: Gains,
}

#[derive(Default)]
struct Enterprise {
    /// The scopes it is a member of, by number, but for those that its industry is part of; empty while it is not registered
    /// or read as another's.
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
            Change::Today(..) | Change::Census(..) => None,
            Change::Profile(uscc, _) | Change::Insured(uscc, ..) | Change::Counted(uscc, ..) => Some(*uscc),
        }
    }

    /// Which worker takes it.
    pub fn route(&self) -> u64 {
        match self {
            Change::Today(worker, _) | Change::Census(worker, _) => *worker as u64,
            _ => super::keyed::route(&self.uscc()),
        }
    }
}

impl Enterprise {
    /// Its insured persons by window.
    fn heads(&self, spans: &Spans) -> [Heads; SUMMED] {
        let mut heads = [Heads::default(); SUMMED];
        self.insured.within(&mut spans.places(), |slot, of| heads[slot] = of);
        heads
    }

    /// What it is in all windows; `None`: without a counted incident in any.
    fn total(&self, heads: &[Heads; SUMMED]) -> Option<Total> {
        self.tallies.as_deref().map(|tallies| Total { tallies: *tallies, heads: *heads })
    }

    /// Something of the memory that it is in; see [`cores::touch`].
    fn lines(&self) -> i32 {
        let tallies = self.tallies.as_deref().into_iter().flatten().step_by(2).map(|tally| tally.incidents);
        tallies.fold(self.insured.lines(), i32::wrapping_add)
    }

    /// Its counts turn with the calendar.
    fn turn(&mut self, turn: &Turn) {
        self.tallies.iter_mut().for_each(|tallies| turn.apply(tallies));
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
        let (mut today, mut asked) = (self.calendar, Vec::new());
        let (mut own, mut counted) = (Vec::new(), Vec::new());
        for (change, diff) in changes {
            match change {
                Change::Today(_, calendar) => today = *calendar,
                Change::Census(_, slot) => asked.push(slot),
                Change::Counted(uscc, day, marks, tally) => {
                    counted.push((uscc, day, marks, tally.multiply(&diff)));
                }
                Change::Profile(..) | Change::Insured(..) => own.push((change, diff)),
            }
        }
        let around = Around::new(std::mem::replace(&mut self.calendar, today), today);
        let counted = counted.into_iter().filter_map(|(uscc, day, marks, tally)| {
            let windows = today.windows(day, marks);
            (!windows.is_empty()).then_some((uscc, windows, tally))
        });
        // One batch may move an enterprise twice: what nets to nothing never was. Counts are only added up.
        consolidate(&mut own);
        let own =
            own.into_iter().filter_map(|(change, diff)| Some((self.place(change.uscc()?), diff, change)));
        let mut own: Vec<_> = own.collect();
        // Of one enterprise what goes comes before what comes.
        own.sort_unstable_by_key(|(at, diff, _)| (*at, *diff));
        let counted = self.placed(counted.collect());
        let mut moved: Vec<u32> = own.iter().map(|(at, ..)| *at).collect();
        moved.dedup();
        let (theirs, counted): (Vec<Counted>, Vec<Counted>) = match moved.is_empty() {
            true => (Vec::new(), counted),
            false => counted.into_iter().partition(|(at, ..)| moved.binary_search(at).is_ok()),
        };
        let (mut totals, mut gone) = (Vec::new(), Vec::new());
        self.recount(&counted, &around, &mut totals, &mut gone);
        let (mut own, mut theirs) = (own.into_iter().peekable(), theirs.into_iter().peekable());
        for at in &moved {
            let mut enterprise = std::mem::take(&mut self.all[*at as usize]);
            let heads = enterprise.heads(&around.before);
            let (before, had) = (enterprise.sums(&heads), enterprise.total(&heads));
            enterprise.turn(&around.turn);
            // Where it may go elsewhere, what it added there.
            let former = own.peek().filter(|(a, ..)| a == at).map(|_| enterprise.scopes.clone());
            while let Some((_, diff, change)) = own.next_if(|(a, ..)| a == at) {
                match change {
                    Change::Profile(_, profile) if diff > 0 => {
                        enterprise.scopes = direct(&profile).map(|scope| self.number(scope)).collect();
                    }
                    Change::Profile(..) => enterprise.scopes.clear(),
                    Change::Insured(_, month, insured) => enterprise.insured.insure(month, insured, diff),
                    Change::Counted(..) | Change::Today(..) | Change::Census(..) => {}
                }
            }
            while let Some((_, windows, tally)) = theirs.next_if(|(a, ..)| a == at) {
                enterprise.count(windows, tally);
            }
            enterprise.tallies = enterprise.tallies.filter(|tallies| **tallies != NONE);
            let heads = enterprise.heads(&around.after);
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
        let turning: Vec<usize> = around.turn.months().collect();
        if !turning.is_empty() || !asked.is_empty() {
            let mut settled: Vec<u32> = moved.into_iter().chain(counted.iter().map(|(at, ..)| *at)).collect();
            cores::sort(&mut settled);
            self.pass(&around, &turning, &settled, asked, out, &mut gone);
        }
        let gained = self.gains.take();
        gained.iter().for_each(|(number, gain)| self.gains.add(&self.above[*number as usize], gain));
        for (number, gained) in gained.into_iter().chain(self.gains.take()) {
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

    /// Takes counts (sorted by place) to enterprises of which nothing else changed but what turned with the calendar.
    /// They may be many, and each is for itself: so they are taken in parts, on all cores.
    fn recount(
        &mut self,
        counted: &[Counted],
        around: &Around,
        totals: &mut Vec<OfOne>,
        gone: &mut Vec<u32>,
    ) {
        let many = cores::parts_of(counted.len());
        if many == 1 {
            let rows = self.all.as_mut_slice();
            let (told, left) = recounted(rows, 0, counted, around, &mut self.gains);
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
            let (told, left) = recounted(rows, from, counted, around, &mut gains);
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

    /// What touches all enterprises: the windows that a month entered or left, which are those that begin anew too, but for
    /// enterprises that were settled already (sorted); and the census of the windows that are asked for.
    fn pass(
        &mut self,
        around: &Around,
        turning: &[usize],
        settled: &[u32],
        asked: Vec<usize>,
        out: &mut Vec<(Answer, isize)>,
        gone: &mut Vec<u32>,
    ) {
        let both = Spans::of(around.turn.sides().map(|calendar| months_of(&calendar)).concat());
        let pass = Pass { around, turning, asked: &asked, both, settled, scopes: self.scopes.len() };
        let (mut turned, mut census) = (Vec::new(), vec![Census::new(); asked.len()]);
        for part in pass.parts(self.all.as_mut_slice()) {
            if !part.ended.is_empty() {
                out.push((Answer::Totals(part.ended), 1));
            }
            if !part.turned.is_empty() {
                turned.push(part.turned);
            }
            for (number, sums) in (0..).zip(&part.gained) {
                for (slot, sum) in sums.iter().enumerate().filter(|(_, sum)| !sum.is_zero()) {
                    self.gains.of(number).windows[slot].plus_equals(sum);
                }
            }
            gone.extend(part.gone);
            census.iter_mut().zip(part.census).for_each(|(all, part)| all.extend(part));
        }
        if !turned.is_empty() {
            out.push((Answer::Turned(Box::new(around.turn), turned), 1));
        }
        out.extend(asked.into_iter().zip(census).map(|(slot, counts)| (Answer::Census(slot, counts), 1)));
    }

    fn number(&mut self, scope: ScopeKey) -> u32 {
        if let Some(number) = self.numbers.get(&scope) {
            return *number;
        }
        let above = match scope.0 {
            Scope::Industry => above(&scope.1).map(|above| self.number(above)).collect(),
            _ => SmallVec::new(),
        };
        let number = self.scopes.len() as u32;
        self.scopes.push(scope.clone());
        self.above.push(above);
        self.numbers.insert(scope, number);
        number
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
    around: &Around,
    gains: &mut Gains,
) -> (Vec<OfOne>, Vec<u32>) {
    let (mut totals, mut gone) = (Vec::new(), Vec::new());
    for of_one in counted.chunk_by(|a, b| a.0 == b.0) {
        let at = of_one[0].0;
        let Some((uscc, enterprise)) = rows.get_index_mut(at as usize - from) else { continue };
        let (had, before) = (enterprise.tallies.is_some(), *enterprise.tallies());
        enterprise.turn(&around.turn);
        of_one.iter().for_each(|(_, windows, tally)| enterprise.count(*windows, *tally));
        let after = *enterprise.tallies();
        if after == NONE {
            enterprise.tallies = None;
        }
        let (was, heads) = (enterprise.heads(&around.before), enterprise.heads(&around.after));
        let mut gain = Sums::default();
        for (slot, sum) in gain.windows.iter_mut().enumerate() {
            if before[slot] != after[slot] || was[slot] != heads[slot] {
                *sum = Sum::gained((before[slot], was[slot]), (after[slot], heads[slot]));
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

/// Before and after an epoch, in which the day may have become another.
struct Around {
    turn: Turn,
    /// The months of every window that is summed.
    before: Spans,
    after: Spans,
}

impl Around {
    fn new(from: Calendar, to: Calendar) -> Around {
        let spans = |calendar: &Calendar| Spans::of(months_of(calendar).to_vec());
        Around { turn: Turn::new(from, to), before: spans(&from), after: spans(&to) }
    }
}

/// The months of each window that is summed.
fn months_of(calendar: &Calendar) -> [Span; SUMMED] {
    std::array::from_fn(|slot| match calendar.months.of(slot) {
        Some((first, last)) => (Month(first), Month(last + 1)),
        None => (Month(0), Month(0)),
    })
}

/// One pass over the state, in parts that any core may take; see [`Enterprises::pass`].
struct Pass<'a> {
    around: &'a Around,
    /// Windows that a month entered or left.
    turning: &'a [usize],
    /// Those that are asked for.
    asked: &'a [usize],
    /// The months of every window that is summed, before and after.
    both: Spans,
    settled: &'a [u32],
    /// How many scopes there are.
    scopes: usize,
}

/// What a part of the enterprises comes to.
struct Part {
    turned: Vec<Turned>,
    /// Those that have no counted incident in any window now.
    ended: Vec<OfOne>,
    /// Those of which nothing is known any more.
    gone: Vec<u32>,
    /// By scope and window.
    gained: Vec<[Sum; SUMMED]>,
    /// By window that is asked for.
    census: Vec<HashMap<(i32, i128), u32>>,
}

impl Pass<'_> {
    /// All parts, in their order. What they add up to is the same whoever took them.
    fn parts(&self, mut rows: &mut Slice<Uscc, Enterprise>) -> Vec<Part> {
        let (all, many) = (rows.len(), cores::parts_of(rows.len()));
        let mut parts = Vec::with_capacity(many);
        for n in 0..many {
            let (from, end) = (all * n / many, all * (n + 1) / many);
            let (mine, others) = rows.split_at_mut(end - from);
            parts.push((from, mine));
            rows = others;
        }
        cores::each_of(parts, |(from, rows)| self.part(from, rows))
    }

    fn part(&self, from: usize, rows: &mut Slice<Uscc, Enterprise>) -> Part {
        let mut part = Part {
            turned: Vec::with_capacity(rows.len()),
            ended: Vec::new(),
            gone: Vec::new(),
            gained: vec![[Sum::default(); SUMMED]; self.scopes],
            census: vec![HashMap::new(); self.asked.len()],
        };
        let begins = self.around.turn.begins();
        let settled = &self.settled[self.settled.partition_point(|at| (*at as usize) < from)..];
        let mut settled = settled.iter().map(|at| *at as usize).peekable();
        let (mut heads, mut places) = ([[Heads::default(); SUMMED]; 2], self.both.places());
        let many = rows.len();
        for at in from..from + many {
            let nth = at - from;
            if nth.is_multiple_of(cores::AT_HAND) {
                let some = nth..(nth + cores::AT_HAND).min(many);
                cores::touch(
                    some.filter_map(|nth| rows.get_index(nth)).map(|(_, enterprise)| enterprise.lines()),
                );
            }
            let Some((uscc, enterprise)) = rows.get_index_mut(nth) else { break };
            let is_settled = settled.next_if_eq(&at).is_some();
            if enterprise.insured.is_empty() && !(begins && enterprise.tallies.is_some()) {
                continue;
            }
            enterprise.insured.within(&mut places, |at, of| heads[at / SUMMED][at % SUMMED] = of);
            if !is_settled {
                self.turn(at, *uscc, enterprise, &heads, &mut part);
            }
            if enterprise.scopes.is_empty() {
                continue;
            }
            for (slot, counts) in self.asked.iter().zip(&mut part.census) {
                if let Some(parts) = heads[1][*slot].parts().filter(|parts| *parts > 0) {
                    *counts.entry((enterprise.tallies()[*slot].incidents, parts)).or_default() += 1;
                }
            }
        }
        part
    }

    /// Turns an enterprise. What it adds in other windows than those that turn has not changed.
    fn turn(
        &self,
        at: usize,
        uscc: Uscc,
        enterprise: &mut Enterprise,
        heads: &[[Heads; SUMMED]; 2],
        part: &mut Part,
    ) {
        let tallies = *enterprise.tallies();
        enterprise.turn(&self.around.turn);
        let mut differs = false;
        for slot in self.turning {
            let before = (tallies[*slot], heads[0][*slot]);
            let after = (enterprise.tallies()[*slot], heads[1][*slot]);
            if before == after {
                continue;
            }
            differs = true;
            let gained = Sum::gained(before, after);
            for scope in &enterprise.scopes {
                part.gained[*scope as usize][*slot].plus_equals(&gained);
            }
        }
        if !differs || enterprise.tallies.is_none() {
            return;
        }
        if *enterprise.tallies() != NONE {
            part.turned.push((uscc, heads[1]));
            return;
        }
        enterprise.tallies = None;
        part.ended.push((uscc, None));
        if enterprise.is_gone() {
            part.gone.push(at as u32);
        }
    }
}

/// What an enterprise is a member of (S10: by area, industry, sector and cluster).
pub(crate) fn scopes(profile: &Profile) -> impl Iterator<Item = ScopeKey> {
    direct(profile).chain(above(&profile.division))
}

/// The same but for what its industry is part of.
fn direct(profile: &Profile) -> impl Iterator<Item = ScopeKey> {
    let industry = (Scope::Industry, profile.division.clone());
    let area = (Scope::Area, profile.area.clone());
    let tags = profile.tags.iter().map(|tag| (Scope::Tag, tag.clone()));
    [industry, area].into_iter().chain(tags)
}

/// What an industry is part of.
fn above(division: &str) -> impl Iterator<Item = ScopeKey> {
    let city = (Scope::City, CompactString::const_new(CITY));
    std::iter::once(city).chain(sector(division).map(|sector| (Scope::Sector, sector.to_compact_string())))
}
