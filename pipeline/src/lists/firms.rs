//! Enterprises as the rankings look at them: plain figures, read once at the end of what arrived.
//!
//! The windows of the dataflow end today and hold neither the last incident ever nor the year before the last one, so
//! these are read from what stands, by the rules of records.md section 3: counted production incidents; the mean of
//! `insured` over those months that share a day with the days looked at and have a record; successors with their
//! predecessors; registered enterprises only. Sums stay whole numbers, so that a figure that is published as a rate too
//! is the same to the last digit.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::{Day, Month};

use super::Year;
use crate::dataflow::{Heads, Tally};

/// A registered enterprise that is read as its own, with those that are read as it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Firm {
    pub uscc: Uscc,
    /// As registered on the day; so are area and division.
    pub name: Arc<str>,
    pub area: CompactString,
    /// The two digits of its industry.
    pub division: CompactString,
    /// Whether it is not closed.
    pub active: bool,
    /// Insured persons by month.
    pub insured: BTreeMap<Month, i64>,
    /// Its counted production incidents, in no order.
    pub incidents: Vec<Happened>,
}

/// A counted production incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Happened {
    pub on: Day,
    pub severe: bool,
}

impl Firm {
    /// Its figures over these days, both included; at most 13 months may share a day with them.
    pub fn over(&self, (from, to): (Day, Day)) -> Year {
        let mut tally = Tally::default();
        for happened in self.incidents.iter().filter(|i| (from..=to).contains(&i.on)) {
            tally.incidents += 1;
            tally.severe += i32::from(happened.severe);
        }
        let mut heads = Heads::default();
        self.insured.range(from.month()..=to.month()).for_each(|(_, insured)| heads.month(*insured));
        Year { tally, heads }
    }
}
