use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codes::{Category, RateReason, Scope, ShrunkenReason, UnknownCode};
use crate::time::{Day, Instant};

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

/// What is known of one enterprise, industry, area or the city, in all windows (topic `rates`, key
/// `scope|key`). One record, so that a reader never sees windows of two decisions side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// What it is of.
    pub scope: Scope,
    /// Which one: USCC, two-digit industry, area code, or `330784`.
    pub key: String,
    /// The day it is seen from (Asia/Shanghai).
    pub as_of: Day,
    /// The clock of the decision that made it what it is.
    pub decided_at: Instant,
    /// SHA-256 (hex) of the policy that decided what counts as one incident.
    pub policy_hash: Arc<str>,
    /// One for each window, in a fixed order.
    pub windows: Vec<WindowRate>,
}

/// A rate in one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowRate {
    /// The days looked at.
    pub window: Window,
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
    /// The lower exact Poisson limit of `per_thousand`, at the policy's `statistics.confidence`; null with it, and in
    /// records from before limits were published.
    pub low: Option<f64>,
    /// The upper one.
    pub high: Option<f64>,
    /// The shrunken rate per thousand in the window: what is left of `per_thousand` once chance is taken out of it.
    pub shrunken: Option<f64>,
    /// Why there is none.
    pub shrunken_reason: Option<ShrunkenReason>,
    /// Whether `per_thousand` may be ranked: it can be computed, and is of `statistics.rank_min_incidents` or more.
    #[serde(default)]
    pub rankable: bool,
    /// Incidents of the other categories, without zeros.
    pub other: BTreeMap<Category, u32>,
}

/// One row, as `rates.jsonl` has it (records.md section 5): a [`WindowRate`] with what it is of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rate {
    /// What it is of.
    pub scope: Scope,
    /// Which one.
    pub key: String,
    /// The days looked at.
    pub window: Window,
    /// The day it is seen from (Asia/Shanghai).
    pub as_of: Day,
    /// Counted production incidents.
    pub incidents: u32,
    /// Their persons.
    pub persons: u32,
    /// The numerator.
    pub incidents_with_headcount: u32,
    /// The denominator.
    pub headcount: Option<f64>,
    /// A thousand times the one over the other.
    pub per_thousand: Option<f64>,
    /// Why it cannot be computed.
    pub reason: Option<RateReason>,
    /// Its lower limit.
    pub low: Option<f64>,
    /// Its upper limit.
    pub high: Option<f64>,
    /// What is left of it once chance is taken out.
    pub shrunken: Option<f64>,
    /// Why there is none.
    pub shrunken_reason: Option<ShrunkenReason>,
    /// Whether it may be ranked.
    pub rankable: bool,
    /// Incidents of the other categories, without zeros.
    pub other: BTreeMap<Category, u32>,
}

impl Rates {
    /// Its rows, sorted by window as text.
    pub fn rows(&self) -> Vec<Rate> {
        let mut windows: Vec<&WindowRate> = self.windows.iter().collect();
        windows.sort_by_cached_key(|w| w.window.to_string());
        let row = |w: &WindowRate| Rate {
            scope: self.scope,
            key: self.key.clone(),
            window: w.window,
            as_of: self.as_of,
            incidents: w.incidents,
            persons: w.persons,
            incidents_with_headcount: w.incidents_with_headcount,
            headcount: w.headcount,
            per_thousand: w.per_thousand,
            reason: w.reason,
            low: w.low,
            high: w.high,
            shrunken: w.shrunken,
            shrunken_reason: w.shrunken_reason,
            rankable: w.rankable,
            other: w.other.clone(),
        };
        windows.into_iter().map(row).collect()
    }

    /// The rate in a window.
    pub fn on(&self, window: Window) -> Option<&WindowRate> {
        self.windows.iter().find(|w| w.window == window)
    }
}
