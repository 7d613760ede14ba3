//! The statistics of S10 that go by what happened, not by where: by cause, and by period (hour of day, shift,
//! weekday, month, quarter). Those by area, industry, sector and tag come from the enterprises
//! ([`super::enterprises`]); both end in the same sums.
//!
//! All of it is linear, so there is no state: what an epoch changes of each bucket is gathered and goes on.

use compact_str::{CompactString, ToCompactString, format_compact};
use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use tocsin_schemas::codes::{Cause, Scope};
use tocsin_schemas::time::Day;

use super::enterprises::ScopeKey;
use super::measure::{Sums, Tally};
use crate::cores;
use crate::incidents::Seen;
use crate::windows::Mask;

/// What a day does not say of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Circumstances {
    cause: Option<Cause>,
    /// The hour of the day, local.
    hour: Option<u8>,
}

/// Counted incidents of one kind enter windows, or leave them.
pub(crate) type Change = (Day, Circumstances, Mask, Tally);

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

/// Changes of an epoch in; what each bucket gained or lost, out.
pub(crate) fn step(changes: Vec<(Change, isize)>, out: &mut Vec<((ScopeKey, Box<Sums>), isize)>) {
    let (all, many) = (changes.len(), cores::parts_of(changes.len()));
    let mut parts =
        cores::parts(many, |n| gathered(&changes[all * n / many..all * (n + 1) / many])).into_iter();
    let mut gained = parts.next().unwrap_or_default();
    for (bucket, sums) in parts.flatten() {
        let all: &mut Sums = gained.entry(bucket).or_default();
        all.plus_equals(&*sums);
    }
    let gained = gained.into_iter().filter(|(_, sums)| !sums.is_zero());
    out.extend(gained.map(|(bucket, sums)| (((bucket.0, named(bucket)), sums), 1)));
}

/// What these changes come to.
fn gathered(changes: &[(Change, isize)]) -> HashMap<Bucket, Box<Sums>> {
    let mut gained: HashMap<Bucket, Box<Sums>> = HashMap::new();
    for ((day, circumstances, windows, tally), diff) in changes {
        let tally = tally.multiply(diff);
        for bucket in circumstances.buckets(*day) {
            gained.entry(bucket).or_default().count(*windows, tally);
        }
    }
    gained
}
