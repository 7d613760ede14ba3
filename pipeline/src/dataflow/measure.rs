//! The difference types: what is added up. Exact integers, so the order of adding never shows.

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Multiply, Semigroup};
use serde::{Deserialize, Serialize};
use tocsin_schemas::codes::{Category, Severity};

use crate::incidents::Seen;

/// Least common multiple of 1..=13: a mean over at most 13 months is an exact integer in these parts.
/// A policy with a longer escalation window reads no headcount from it.
pub(crate) const PARTS: i64 = 360_360;

macro_rules! measure {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $t:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub(crate) struct $name { $($(#[$fdoc])* pub $field: $t,)* }
        impl IsZero for $name {
            fn is_zero(&self) -> bool { *self == $name::default() }
        }
        impl Semigroup for $name {
            fn plus_equals(&mut self, rhs: &Self) { $(self.$field += rhs.$field;)* }
        }
        impl Monoid for $name {
            fn zero() -> Self { $name::default() }
        }
        impl Abelian for $name {
            fn negate(&mut self) { $(self.$field = -self.$field;)* }
        }
        impl Multiply<isize> for $name {
            type Output = $name;
            fn multiply(self, rhs: &isize) -> $name { $name { $($field: self.$field * *rhs as $t,)* } }
        }
    };
}

measure! {
    /// Counted incidents of one enterprise on one day.
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
    /// Monthly headcounts of an enterprise: sum, and how many records stand in it.
    Insured {
        /// Insured persons.
        sum: i64,
        /// Records.
        records: i32,
    }
}

measure! {
    /// An enterprise in a window.
    Total {
        /// Incidents and persons.
        incidents: i32,
        /// Persons of the production incidents.
        persons: i32,
        /// Severe and fatal production incidents.
        severe: i32,
        /// See [`Tally`].
        commuting: i32,
        /// See [`Tally`].
        sudden_illness: i32,
        /// See [`Tally`].
        occupational_disease: i32,
        /// Sum of the insured of the window's months.
        insured: i64,
        /// How many of its months have a record.
        months: i32,
    }
}

measure! {
    /// An industry, an area or the city in a window.
    Sum {
        /// See [`Tally`].
        incidents: i32,
        /// See [`Tally`].
        persons: i32,
        /// See [`Tally`].
        commuting: i32,
        /// See [`Tally`].
        sudden_illness: i32,
        /// See [`Tally`].
        occupational_disease: i32,
        /// Production incidents of the members with a headcount above 0.
        with_headcount: i32,
        /// Sum of the members' mean headcounts, in `PARTS` of a person.
        headcount_parts: i64,
        /// Members with a record in the window.
        known: i32,
        /// Registered members, so that an empty industry has its row of zeros.
        members: i32,
    }
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
}

impl From<Tally> for Total {
    fn from(t: Tally) -> Total {
        Total {
            incidents: t.incidents,
            persons: t.persons,
            severe: t.severe,
            commuting: t.commuting,
            sudden_illness: t.sudden_illness,
            occupational_disease: t.occupational_disease,
            ..Total::default()
        }
    }
}

impl Total {
    /// The mean headcount, in `PARTS` of a person; `None` if no month has a record.
    pub fn headcount_parts(&self) -> Option<i64> {
        (self.months > 0).then(|| self.insured * (PARTS / i64::from(self.months)))
    }

    /// What this enterprise adds to its industry, area and city.
    pub fn share(&self) -> Sum {
        let parts = self.headcount_parts();
        Sum {
            incidents: self.incidents,
            persons: self.persons,
            commuting: self.commuting,
            sudden_illness: self.sudden_illness,
            occupational_disease: self.occupational_disease,
            with_headcount: if parts.is_some_and(|p| p > 0) { self.incidents } else { 0 },
            headcount_parts: parts.unwrap_or(0),
            known: i32::from(parts.is_some()),
            members: 0,
        }
    }
}
