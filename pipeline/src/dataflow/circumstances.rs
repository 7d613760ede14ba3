//! The statistics of S10 that go by what happened, not by where: by cause, and by period (hour of day, shift,
//! weekday, month, quarter). Those by area, industry, sector and tag come from the enterprises
//! ([`super::enterprises`]); both end in the same sums.
//!
//! All of it is linear: what an epoch changes of each bucket is gathered and goes on. A bucket is kept for the turns of
//! the calendar, which make other windows of what is in it.

use compact_str::{CompactString, ToCompactString, format_compact};
use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use tocsin_schemas::codes::{Cause, Scope};
use tocsin_schemas::time::Day;

use super::enterprises::ScopeKey;
use super::measure::{Sum, Sums, Tally};
use crate::cores;
use crate::incidents::Seen;
use crate::windows::{Calendar, LAST_YEAR, Mask, Turn};

/// What a day does not say of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Circumstances {
    cause: Option<Cause>,
    /// The hour of the day, local.
    hour: Option<u8>,
}

/// What they hear of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Change {
    /// From now on it is this day. Every worker is told, each by its number.
    Today(usize, Box<Calendar>),
    /// Counted incidents of one kind and day come to bear these marks, or do no longer.
    Counted(Day, Circumstances, Mask, Tally),
}

impl Change {
    /// Which worker takes it.
    pub fn route(&self) -> u64 {
        match self {
            Change::Today(worker, _) => *worker as u64,
            Change::Counted(day, ..) => super::keyed::route(day),
        }
    }
}

/// What is in each bucket; there are fewer than a hundred.
#[derive(Default)]
pub(crate) struct Buckets {
    all: Gained,
    calendar: Calendar,
}

type Gained = HashMap<Bucket, Box<Sums>>;

/// One bucket of one dimension, as a number: 0 is what is not known.
type Bucket = (Scope, u8);

impl Circumstances {
    /// Those of an incident.
    pub fn of(seen: &Seen) -> Circumstances {
        Circumstances { cause: seen.cause, hour: seen.time.map(|time| (time.0 / 60) as u8) }
    }

    /// One bucket of each dimension.
    fn buckets(self, day: Day) -> [Bucket; 6] {
        let date = day.date();
        let month = date.month().unsigned_abs();
        [
            (Scope::Cause, self.cause.map_or(0, Cause::code)),
            (Scope::Hour, self.hour.map_or(0, |hour| hour + 1)),
            (Scope::Shift, self.hour.map_or(0, |hour| hour / 8 + 1)),
            (Scope::Weekday, date.weekday().to_monday_one_offset().unsigned_abs()),
            (Scope::Month, month),
            (Scope::Quarter, (month - 1) / 3 + 1),
        ]
    }
}

/// A bucket by its name.
fn named((scope, number): Bucket) -> CompactString {
    match (scope, number) {
        (_, 0) => CompactString::const_new("unknown"),
        (Scope::Hour, n) => format_compact!("{:02}", n - 1),
        // Of eight hours each, from midnight on.
        (Scope::Shift, n) => CompactString::const_new(["night", "day", "evening"][usize::from(n - 1) % 3]),
        (Scope::Cause | Scope::Month, n) => format_compact!("{n:02}"),
        (_, n) => n.to_compact_string(),
    }
}

/// The buckets that a counted incident is in.
pub(crate) fn scopes(seen: &Seen) -> impl Iterator<Item = ScopeKey> {
    let buckets = Circumstances::of(seen).buckets(seen.occurred_on);
    buckets.into_iter().map(|bucket| (bucket.0, named(bucket)))
}

impl Buckets {
    /// Changes of an epoch in; what each bucket gained or lost, out.
    pub fn step(&mut self, changes: Vec<(Change, isize)>, out: &mut Vec<((ScopeKey, Box<Sums>), isize)>) {
        let today = changes.iter().find_map(|(change, _)| match change {
            Change::Today(_, calendar) => Some(**calendar),
            Change::Counted(..) => None,
        });
        let mut gained = Gained::new();
        if let Some(today) = today {
            let turn = Turn::new(std::mem::replace(&mut self.calendar, today), today);
            if turn.begins() {
                gained.extend(self.all.iter().map(|(bucket, sums)| (*bucket, turned(sums, &turn))));
            }
        }
        let (all, many) = (changes.len(), cores::parts_of(changes.len()));
        let part = |n| gathered(&changes[all * n / many..all * (n + 1) / many], &self.calendar);
        for (bucket, sums) in cores::parts(many, part).into_iter().flatten() {
            plus(&mut gained, bucket, &sums);
        }
        for (bucket, sums) in gained.into_iter().filter(|(_, sums)| !sums.is_zero()) {
            plus(&mut self.all, bucket, &sums);
            out.push((((bucket.0, named(bucket)), sums), 1));
        }
    }
}

/// What a turn of the calendar makes a bucket gain.
fn turned(sums: &Sums, turn: &Turn) -> Box<Sums> {
    let mut after = *sums;
    turn.apply(&mut after.windows);
    // What is no enterprise is on no list.
    after.windows[LAST_YEAR] = Sum::default();
    after.plus_equals(&sums.multiply(&-1));
    Box::new(after)
}

fn plus(all: &mut Gained, bucket: Bucket, sums: &Sums) {
    let of: &mut Sums = all.entry(bucket).or_default();
    of.plus_equals(sums);
}

/// What these changes come to.
fn gathered(changes: &[(Change, isize)], calendar: &Calendar) -> Gained {
    let mut gained = Gained::new();
    for (change, diff) in changes {
        let Change::Counted(day, circumstances, marks, tally) = change else { continue };
        let windows = calendar.windows(*day, *marks);
        if windows.is_empty() {
            continue;
        }
        let tally = tally.multiply(diff);
        for bucket in circumstances.buckets(*day) {
            gained.entry(bucket).or_default().count(windows, tally);
        }
    }
    gained
}
