use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::codes::{Category, RateReason, Scope, UnknownCode};
use crate::time::Day;

/// The days that a rate looks at, seen from an as-of day. All are named, none is a free number, except
/// that the policy may choose the length of a rolling one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// The last N days, the as-of day included: `30d`, `90d`, `365d`.
    Rolling(u16),
    /// The calendar month to date.
    Month,
    /// The calendar quarter to date.
    Quarter,
    /// The calendar year to date.
    Year,
    /// The year to date one year earlier; 29 February is taken as the 28th.
    YearAgo,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Window::Rolling(days) => write!(f, "{days}d"),
            Window::Month => f.write_str("month"),
            Window::Quarter => f.write_str("quarter"),
            Window::Year => f.write_str("year"),
            Window::YearAgo => f.write_str("year_ago"),
        }
    }
}

impl FromStr for Window {
    type Err = UnknownCode;
    fn from_str(s: &str) -> Result<Window, UnknownCode> {
        let unknown = || UnknownCode { list: "window", found: s.chars().take(64).collect() };
        match s {
            "month" => Ok(Window::Month),
            "quarter" => Ok(Window::Quarter),
            "year" => Ok(Window::Year),
            "year_ago" => Ok(Window::YearAgo),
            _ => s.strip_suffix('d').and_then(|n| n.parse().ok()).map(Window::Rolling).ok_or_else(unknown),
        }
    }
}

impl Serialize for Window {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(crate::codes::FromText(std::marker::PhantomData))
    }
}

/// One row of rates (topic `rates`, key `scope|key|window`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// What it is of.
    pub scope: Scope,
    /// Which one: USCC, two-digit industry, area code, or `330784`.
    pub key: String,
    /// The days looked at.
    pub window: Window,
    /// The day it is seen from.
    pub as_of: Day,
    /// Counted production incidents.
    pub incidents: u32,
    /// Their persons.
    pub persons: u32,
    /// Those incidents whose enterprise has a headcount above 0 in the window: the numerator.
    pub incidents_with_headcount: u32,
    /// Mean insured persons of the window's months with a record; null when none has one.
    pub headcount: Option<f64>,
    /// `incidents_with_headcount / headcount * 1000`; null when it cannot be computed.
    pub per_thousand: Option<f64>,
    /// Why it cannot be computed.
    pub reason: Option<RateReason>,
    /// Incidents of the other categories, without zeros.
    pub other: BTreeMap<Category, u32>,
}
