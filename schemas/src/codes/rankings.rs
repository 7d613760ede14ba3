//! The reasons of what `tocsin lists` ranks (S27, S54).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{UnknownCode, codes};

codes! {
    /// What a streak without injury is counted from (S54).
    StreakSince: "start of a streak" {
        /// The day of the last counted production incident.
        LastIncident = "last_incident",
        /// There never was one: the first day of the first month with insured persons.
        FirstHeadcount = "first_headcount",
    }
}

codes! {
    /// Why an enterprise has no streak without injury (S54).
    NoStreak: "missing streak" {
        /// It is closed.
        Closed = "closed",
        /// No month of the last 365 days has a headcount.
        HeadcountUnknown = "headcount_unknown",
        /// Fewer insured persons than the policy asks for.
        TooSmall = "too_small",
    }
}

codes! {
    /// Whether an industry has many incidents in a year and a high rate (多发高发, S27), or why not.
    IndustryVerdict: "verdict on an industry" {
        /// Many, and more than chance explains.
        High = "high",
        /// Too few incidents to speak of.
        FewIncidents = "few_incidents",
        /// Chance explains as many.
        ByChance = "by_chance",
        /// No member has a headcount in the year.
        HeadcountUnknown = "headcount_unknown",
        /// The headcounts of its members are all zero.
        HeadcountZero = "headcount_zero",
        /// The city has no rate to compare with.
        NoCityRate = "no_city_rate",
    }
}

codes! {
    /// Why an enterprise is no candidate for a benchmark (S27): the first that applies.
    NoBenchmark: "missing candidacy" {
        /// It is closed.
        Closed = "closed",
        /// No month of the year has a headcount.
        HeadcountUnknown = "headcount_unknown",
        /// Fewer insured persons than the policy asks for.
        TooSmall = "too_small",
        /// A severe or fatal incident in the year.
        Severe = "severe",
        /// No headcount above 0 in the year before: there is no rate that could have fallen.
        NoRateBefore = "no_rate_before",
        /// No incident in the year before: nothing can fall from 0.
        NoneBefore = "none_before",
        /// Its rate did not fall by as much as the policy asks for.
        NotFallen = "not_fallen",
        /// Its rate is not below that of its industry.
        NotBelowIndustry = "not_below_industry",
    }
}
