//! The list of a year (S11): which enterprises are key (重点) and which general (一般), and why.
//!
//! | | reason | holds when |
//! |---|---|---|
//! | key | `several_and_above_average` | `key_incidents` or more, and the lower bound of the shrunken rate is above the city's rate |
//! | key | `high_rate` | `rate_incidents` or more, a raw rate above `rate_factor` times the city's, and chance alone gives as many less often than `chance_below` |
//! | key | `severe` | a severe or fatal one |
//! | general | `incidents` | at least one, and none of the above |
//!
//! Counts and rates are of production incidents in the calendar year, the enterprise's and the city's over the same
//! days. A test that has the incidents and not the headcount is neither passed nor failed: it is *undetermined*, with
//! the reason, for a person to judge.

use std::collections::BTreeMap;

use tocsin_schemas::codes::{ListClass, ListReason, Undetermined};
use tocsin_schemas::records::Reference;

use crate::dataflow::{Heads, PARTS, Tally};
use crate::model::Model;
use crate::policy::Lists as Limits;
use crate::statistics::tail;

/// An enterprise in a year.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Year {
    pub tally: Tally,
    pub heads: Heads,
}

/// What the tests of a year look at beside the enterprise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Against<'a> {
    pub reference: Option<&'a Reference>,
    pub model: Option<&'a Model>,
    /// Days of the year so far.
    pub days: u32,
    pub limits: &'a Limits,
}

/// What the rule says of an enterprise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub class: ListClass,
    pub reasons: Vec<ListReason>,
    pub undetermined: BTreeMap<ListReason, Undetermined>,
}

/// Whether a test is passed, or why that cannot be said.
type Test = Result<bool, Undetermined>;

impl Year {
    /// Counted production incidents.
    pub fn incidents(self) -> u32 {
        self.tally.incidents.max(0) as u32
    }

    /// Mean insured persons; `None` where no month has a record.
    pub fn headcount(self) -> Option<f64> {
        self.heads.parts().map(|parts| parts as f64 / PARTS as f64)
    }

    /// Incidents for each thousand insured persons, not annualised; `None` where it cannot be computed.
    pub fn per_thousand(self) -> Option<f64> {
        let parts = self.heads.parts().filter(|parts| *parts > 0)?;
        Some((i64::from(self.incidents()) * 1000 * PARTS) as f64 / parts as f64)
    }

    fn known(self) -> Result<f64, Undetermined> {
        match self.headcount() {
            None => Err(Undetermined::HeadcountUnknown),
            Some(0.0) => Err(Undetermined::HeadcountZero),
            Some(headcount) => Ok(headcount),
        }
    }
}

impl<'a> Against<'a> {
    /// The city's rate of the year, for each thousand insured persons; above 0.
    pub fn city(&self) -> Result<f64, Undetermined> {
        let rate = self.reference.and_then(|reference| reference.per_thousand);
        rate.filter(|rate| *rate > 0.0).ok_or(Undetermined::NoCityRate)
    }

    fn model(&self) -> Result<&'a Model, Undetermined> {
        self.model.ok_or(Undetermined::NoModel)
    }

    /// The probability that the enterprise's true rate is above the city's.
    pub fn chance_above_city(&self, year: Year) -> Result<f64, Undetermined> {
        let (headcount, city) = (year.known()?, self.city()?);
        Ok(self.model()?.chance_above(year.incidents(), headcount, self.days, city))
    }

    /// The enterprise's rate shrunken towards all others, for each thousand insured persons, not annualised.
    pub fn shrunken(&self, year: Year) -> Result<f64, Undetermined> {
        let headcount = year.known()?;
        Ok(self.model()?.shrunken_per_thousand(year.incidents(), headcount, self.days))
    }

    /// How often chance alone gives as many incidents, if the enterprise's true rate is the city's.
    pub fn chance_of_as_many(&self, year: Year) -> Result<f64, Undetermined> {
        let expected = year.known()? * self.city()? / 1000.0;
        // Out of its range only where nothing at all is expected.
        tail::at_least(year.incidents().into(), expected).map_err(|_| Undetermined::NoCityRate)
    }

    fn several_and_above_average(&self, year: Year) -> Test {
        if year.incidents() < self.limits.key_incidents {
            return Ok(false);
        }
        year.known()?;
        // The lower end of the interval is above the city's rate: what lies below it is half of what lies outside.
        let (city, outside) = (self.city()?, (1.0 - self.limits.confidence) / 2.0);
        // A mean that is not above it has no lower end that is.
        Ok(self.shrunken(year)? > city && self.chance_above_city(year)? > 1.0 - outside)
    }

    fn high_rate(&self, year: Year) -> Test {
        if year.incidents() < self.limits.rate_incidents {
            return Ok(false);
        }
        year.known()?;
        let high = self.limits.rate_factor * self.city()?;
        let above = year.per_thousand().is_some_and(|rate| rate > high);
        Ok(above && self.chance_of_as_many(year)? < self.limits.chance_below)
    }
}

/// What an enterprise is in a year; `None`: not on the list, as it has no incident.
pub(crate) fn judge(year: Year, against: &Against) -> Option<Verdict> {
    if year.incidents() == 0 {
        return None;
    }
    let severe = against.limits.severe_is_key && year.tally.severe > 0;
    let tests = [
        (ListReason::SeveralAndAboveAverage, against.several_and_above_average(year)),
        (ListReason::HighRate, against.high_rate(year)),
        (ListReason::Severe, Ok(severe)),
    ];
    let mut reasons: Vec<ListReason> =
        tests.iter().filter(|(_, test)| *test == Ok(true)).map(|(reason, _)| *reason).collect();
    let undetermined = tests.iter().filter_map(|(reason, test)| Some((*reason, test.err()?))).collect();
    let class = if reasons.is_empty() { ListClass::General } else { ListClass::Key };
    if class == ListClass::General {
        reasons.push(ListReason::Incidents);
    }
    Some(Verdict { class, reasons, undetermined })
}
