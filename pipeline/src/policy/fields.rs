//! Every threshold: one line each, with its row of the notice, its default and what it may be.
//!
//! That one line makes the field of the struct, its default, its check with line and column, its line in
//! `tocsin policy show` and `diff`, and its entry in the schema for editors. A new one needs nothing else here but
//! its row in `docs/policy.md` and its line in `deploy/policy.toml`; a test asks for both.

use serde::{Deserialize, Serialize};
use tocsin_schemas::time::Day;

use super::field::{Field, Kind, Section, Value};

/// Makes the structs of a policy, and [`SECTIONS`] that tells of them. A whole or decimal number names its range;
/// `rising` lists numbers that may not fall from one to the next.
macro_rules! policy {
    ($(
        $(#[doc = $about:literal])*
        $section:ident: $Section:ident $(, rising [$($step:ident)*])? {
            $(
                $(#[doc = $doc:literal])*
                $field:ident: $ty:ident = $default:literal $(, $min:literal..=$max:literal)?;
            )*
        }
    )*) => {
        /// One table.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Policy {
            /// The first day on which this table holds (S1; the default file: 2020-11-20).
            pub effective_from: Day,
            $($(#[doc = $about])* #[serde(default)] pub $section: $Section,)*
        }

        $(
            $(#[doc = $about])*
            #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub struct $Section {
                $($(#[doc = $doc])* pub $field: $ty,)*
            }

            impl Default for $Section {
                fn default() -> Self {
                    $Section { $($field: $default,)* }
                }
            }
        )*

        /// What a table is made of, beside `effective_from`.
        pub const SECTIONS: &[Section] = &[$(Section {
            name: stringify!($section),
            about: concat!($($about),*),
            rising: &[$($(stringify!($step)),*)?],
            fields: &[$(Field {
                name: stringify!($field),
                about: concat!($($doc),*),
                kind: policy!(@kind $ty, $default $(, $min, $max)?),
            },)*],
        },)*];

        impl Policy {
            /// Every value, in the order of [`SECTIONS`].
            pub fn values(&self) -> Vec<Value> {
                vec![$($(Value::from(self.$section.$field),)*)*]
            }
        }
    };
    (@kind bool, $default:literal) => { Kind::Flag { default: $default } };
    (@kind f64, $default:literal, $min:literal, $max:literal) => {
        Kind::Number { default: $default, min: $min, max: $max }
    };
    // Through the field's own type, so that a default or an end of the range that it cannot hold does not compile.
    (@kind $ty:ident, $default:literal, $min:literal, $max:literal) => {
        Kind::Whole {
            default: { const IT: $ty = $default; IT as i64 },
            min: { const IT: $ty = $min; IT as i64 },
            max: { const IT: $ty = $max; IT as i64 },
        }
    };
}

policy! {
    /// Escalation to township and departments (S20).
    escalation: Escalation, rising [blue yellow orange red] {
        /// Days of the rolling window (S20).
        window_days: u16 = 365, 1..=3660;
        /// Counted production incidents in the window that open blue (S20).
        blue: u32 = 2, 1..=100_000;
        /// Incidents for yellow (S20).
        yellow: u32 = 3, 1..=100_000;
        /// Incidents for orange (S20).
        orange: u32 = 4, 1..=100_000;
        /// Incidents for red (S20).
        red: u32 = 5, 1..=100_000;
        /// Whether a single severe or fatal incident is red (S20).
        severe_is_red: bool = true;
    }

    /// The alert to the owner (S15).
    owner_alert: OwnerAlert {
        /// Days between accident and first counting arrival beyond which the owner is not told (S15).
        max_age_days: u32 = 90, 0..=36_500;
    }

    /// What counts as one case and one incident (S15: what is one 起).
    merge: Merge {
        /// A gap of more days than this between two reports of a person begins a new case (S15).
        case_days: u32 = 3, 0..=3660;
        /// Cases of one cause whose times differ by at most these minutes are one incident (S15).
        incident_minutes: u32 = 30, 0..=1440;
    }

    /// What counts as severe, by GB 6441-1986 (S26).
    severity: SeverityLimits {
        /// Lost days from which an injury is severe (S26).
        severe_lost_days: u32 = 105, 0..=100_000;
        /// The mildest disability grade (1 worst, 10 mildest) that is severe; 0: none (S26).
        severe_grade_max: u8 = 6, 0..=10;
    }

    /// The lists of a year: key enterprises (重点) and general ones (一般) (S11); beside them what `tocsin lists` ranks
    /// (S27, S32, S45, S54).
    lists: Lists, rising [benchmark_least benchmark_most] {
        /// Incidents in the year from which an enterprise is key if its shrunken rate is above the city's (S11).
        key_incidents: u32 = 3, 1..=100_000;
        /// How sure that must be: the credible interval of this width lies above the city's rate (S11).
        confidence: f64 = 0.95, 0.5..=0.9999;
        /// Incidents in the year from which an enterprise is key if its raw rate is high (S11).
        rate_incidents: u32 = 2, 1..=100_000;
        /// High: above so many times the city's rate (S11).
        rate_factor: f64 = 2.0, 1.0..=1000.0;
        /// And chance alone would give as many incidents less often than this (S11).
        chance_below: f64 = 0.01, 0.000001..=1.0;
        /// Whether a single severe or fatal incident makes an enterprise key (S11).
        severe_is_key: bool = true;
        /// Years running as key enterprise from which it is one persistently (S36).
        persistent_years: u32 = 2, 2..=100;
        /// Mean insured persons of the last 365 days from which a streak without injury is listed (S54).
        streak_headcount: u32 = 10, 1..=1_000_000;
        /// Incidents in the year from which an industry can be one of many incidents (S27).
        industry_incidents: u32 = 3, 1..=100_000;
        /// Of the industries that are named for their rate, so many may be innocent on average: a share (S27).
        industry_innocent: f64 = 0.05, 0.000001..=0.5;
        /// Mean insured persons in the year from which an enterprise can be a benchmark (S27).
        benchmark_headcount: u32 = 50, 1..=1_000_000;
        /// Its incidents for each insured person fell by so many percent at least (S27).
        benchmark_fall_percent: u8 = 30, 1..=100;
        /// With fewer incidents the year before, a fall is marked as too little to go by (S27).
        benchmark_sure_from: u32 = 8, 1..=100_000;
        /// The fewest enterprises to choose in an industry (S27).
        benchmark_least: u32 = 2, 1..=100;
        /// The most (S27).
        benchmark_most: u32 = 4, 1..=100;
        /// Fewer incidents than this of one post, process and equipment are marked as few (S32, S45).
        hazard_incidents: u32 = 3, 1..=100_000;
    }

    /// What stands beside a raw rate, which chance makes high where numbers are small.
    statistics: Statistics {
        /// How surely the limits of a rate hold the true one (S10).
        confidence: f64 = 0.95, 0.5..=0.999;
        /// Incidents from which a raw rate may be ranked (S10).
        rank_min_incidents: u32 = 3, 0..=100_000;
    }

    /// What the clerk is asked to look at, though it counts as it is (S36: what rates are divided by).
    quality: Quality {
        /// A headcount of at least so many times that of the month before is shown to the clerk (S36).
        headcount_jump: u32 = 100, 2..=1_000_000;
    }
}
