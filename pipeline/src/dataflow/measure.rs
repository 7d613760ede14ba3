//! The difference types: what is added up. Exact integers, so the order of adding never shows.

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Multiply, Semigroup};
use serde::{Deserialize, Serialize};
use tocsin_schemas::codes::{Category, Severity};

use crate::incidents::Seen;
use crate::windows::{KEPT, Mask, SHOWN, SUMMED};

/// Least common multiple of 1..=13: a mean over at most 13 months is an exact integer in these parts. No
/// window that is shown touches more months.
pub(crate) const PARTS: i64 = 360_360;

/// The parts that one month of a mean over so many weighs: a division for each of five million enterprises is
/// dearer than all the rest of its mean.
const SHARES: [i64; 14] = {
    let mut shares = [0; 14];
    let mut months = 1;
    while months < shares.len() {
        shares[months] = PARTS / months as i64;
        months += 1;
    }
    shares
};

/// A group under addition, as every field of a difference is.
trait Group: Copy {
    fn add(&mut self, other: Self);
    fn times(self, factor: isize) -> Self;
}

impl Group for i32 {
    fn add(&mut self, other: i32) {
        *self += other;
    }
    fn times(self, factor: isize) -> i32 {
        self * factor as i32
    }
}

impl Group for i64 {
    fn add(&mut self, other: i64) {
        *self += other;
    }
    fn times(self, factor: isize) -> i64 {
        self * factor as i64
    }
}

impl Group for i128 {
    fn add(&mut self, other: i128) {
        *self += other;
    }
    fn times(self, factor: isize) -> i128 {
        self * factor as i128
    }
}

impl<T: Group, const N: usize> Group for [T; N] {
    fn add(&mut self, other: [T; N]) {
        self.iter_mut().zip(other).for_each(|(to, what)| to.add(what));
    }
    fn times(self, factor: isize) -> [T; N] {
        self.map(|of| of.times(factor))
    }
}

macro_rules! measure {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $t:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub(crate) struct $name { $($(#[$fdoc])* pub $field: $t,)* }
        impl Group for $name {
            fn add(&mut self, other: $name) { $(self.$field.add(other.$field);)* }
            fn times(self, factor: isize) -> $name { $name { $($field: self.$field.times(factor),)* } }
        }
        impl IsZero for $name {
            fn is_zero(&self) -> bool { *self == $name::default() }
        }
        impl Semigroup for $name {
            fn plus_equals(&mut self, other: &Self) { self.add(*other); }
        }
        impl Monoid for $name {
            fn zero() -> Self { $name::default() }
        }
        impl Abelian for $name {
            fn negate(&mut self) { *self = self.times(-1); }
        }
        impl Multiply<isize> for $name {
            type Output = $name;
            fn multiply(self, factor: &isize) -> $name { self.times(*factor) }
        }
    };
}

measure! {
    /// Counted incidents.
    Tally {
        /// Production incidents.
        incidents: i32,
        /// Their persons.
        persons: i32,
        /// The severe and fatal ones among them.
        severe: i32,
        /// Incidents on the way to work.
        commuting: i32,
        /// Sudden illnesses.
        sudden_illness: i32,
        /// Occupational diseases.
        occupational_disease: i32,
    }
}

measure! {
    /// Insured persons of an enterprise in the months of a window.
    Heads {
        /// The sum over its months.
        insured: i64,
        /// How many of its months have a record.
        months: i32,
    }
}

measure! {
    /// What belongs together in a window: an industry, an area, the city.
    Sum {
        /// Its incidents.
        tally: Tally,
        /// Production incidents of the members with a headcount above 0.
        with_headcount: i32,
        /// Sum of the members' mean headcounts, in `PARTS` of a person. Wide: a source may give its greatest number for
        /// "unknown", and some thousands of those are more than an i64 holds.
        headcount_parts: i128,
        /// Members with a record in the window.
        known: i32,
    }
}

measure! {
    /// The same in all windows that are summed.
    Sums {
        /// Registered members, so that an empty industry has its row of zeros.
        members: i32,
        /// By window: those that are shown, in their order, and last year.
        windows: [Sum; SUMMED],
    }
}

/// What the rates of one scope are divided from, by window as [`SHOWN`] names them.
pub(crate) type Exact = [Sum; SHOWN.len()];

/// An enterprise in all windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Total {
    /// By window that is kept.
    pub tallies: [Tally; KEPT],
    /// By window that is summed.
    pub heads: [Heads; SUMMED],
}

impl Tally {
    /// What one counted incident adds.
    pub fn of(seen: &Seen) -> Tally {
        let mut t = Tally::default();
        match seen.category {
            Category::Production => {
                t.incidents = 1;
                t.persons = seen.persons as i32;
                t.severe = i32::from(seen.severity >= Severity::Severe);
            }
            Category::Commuting => t.commuting = 1,
            Category::SuddenIllness => t.sudden_illness = 1,
            Category::OccupationalDisease => t.occupational_disease = 1,
        }
        t
    }

    /// Adds to each of the windows.
    pub fn spread(self, windows: Mask, to: &mut [Tally; KEPT]) {
        windows.slots().for_each(|slot| to[slot].add(self));
    }
}

impl Heads {
    /// Adds a month with a record.
    pub fn month(&mut self, insured: i64) {
        self.add(Heads { insured, months: 1 });
    }

    /// The mean, in `PARTS` of a person; `None` if no month has a record.
    #[inline]
    pub fn parts(self) -> Option<i128> {
        let months = usize::try_from(self.months).ok().filter(|months| *months > 0)?;
        let share = SHARES.get(months).copied().unwrap_or_else(|| PARTS / i64::from(self.months));
        Some(i128::from(self.insured) * i128::from(share))
    }
}

impl Sum {
    /// What an enterprise adds to its industry, area and city.
    #[inline]
    pub fn of(tally: Tally, heads: Heads) -> Sum {
        let parts = heads.parts();
        Sum {
            tally,
            with_headcount: if parts.is_some_and(|p| p > 0) { tally.incidents } else { 0 },
            headcount_parts: parts.unwrap_or(0),
            known: i32::from(parts.is_some()),
        }
    }

    /// What it adds now more than before.
    #[inline]
    pub fn gained(before: (Tally, Heads), after: (Tally, Heads)) -> Sum {
        let mut gained = Sum::of(after.0, after.1);
        gained.plus_equals(&Sum::of(before.0, before.1).multiply(&-1));
        gained
    }
}

impl Sums {
    /// Adds incidents to each of the windows that are shown: of what is no enterprise nothing else is asked.
    pub fn count(&mut self, windows: Mask, tally: Tally) {
        let shown = windows.slots().take_while(|slot| *slot < SHOWN.len());
        shown.for_each(|slot| self.windows[slot].tally.add(tally));
    }

    /// What a member adds, or a former one takes away.
    pub fn of_member(tallies: &[Tally; KEPT], heads: &[Heads; SUMMED], members: i32) -> Sums {
        let windows = std::array::from_fn(|slot| Sum::of(tallies[slot], heads[slot]));
        Sums { members: 1, windows }.times(members as isize)
    }
}
