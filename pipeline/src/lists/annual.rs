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

use tocsin_schemas::codes::{ListClass, ListReason, Undetermined};
use tocsin_schemas::records::{Member, Reference};

use crate::dataflow::{Heads, PARTS, Tally, Total};
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
    pub limits: &'a Limits,
}

/// What the rule says of an enterprise. Plain bytes: no entry of a million has memory of its own for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub class: ListClass,
    pub reasons: ByReason<bool>,
    pub undetermined: ByReason<Option<Undetermined>>,
}

/// Something of each reason, in the order of [`ListReason::ALL`].
pub(crate) type ByReason<T> = [T; ListReason::ALL.len()];

/// Whether a test is passed, or why that cannot be said.
type Test = Result<bool, Undetermined>;

impl Year {
    /// An enterprise in the window of a year, by its slot.
    pub fn of(total: &Total, slot: usize) -> Year {
        Year { tally: total.tallies[slot], heads: total.heads[slot] }
    }

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
        Ok(self.model()?.chance_above(year.incidents(), headcount, city))
    }

    /// The enterprise's rate shrunken towards the city's, for each thousand insured persons, not annualised.
    pub fn shrunken(&self, year: Year) -> Result<f64, Undetermined> {
        let (headcount, city) = (year.known()?, self.city()?);
        Ok(self.model()?.shrunken_towards(year.incidents(), headcount, city))
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

impl Verdict {
    /// That of a record.
    pub fn of(member: &Member) -> Verdict {
        let (mut reasons, mut undetermined) = (ByReason::default(), ByReason::default());
        member.reasons.iter().for_each(|reason| reasons[*reason as usize] = true);
        member.undetermined.iter().for_each(|(test, why)| undetermined[*test as usize] = Some(*why));
        Verdict { class: member.class, reasons, undetermined }
    }

    /// Those that hold, in their order.
    pub fn reasons(&self) -> impl Iterator<Item = ListReason> + '_ {
        ListReason::ALL.iter().zip(self.reasons).filter(|(_, holds)| *holds).map(|(reason, _)| *reason)
    }

    /// The tests that could not be made, and why.
    pub fn undetermined(&self) -> impl Iterator<Item = (ListReason, Undetermined)> + '_ {
        ListReason::ALL.iter().zip(self.undetermined).filter_map(|(test, why)| Some((*test, why?)))
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
    let (mut reasons, mut undetermined) = (ByReason::default(), ByReason::default());
    for (reason, test) in tests {
        reasons[reason as usize] = test == Ok(true);
        undetermined[reason as usize] = test.err();
    }
    let class = if reasons.contains(&true) { ListClass::Key } else { ListClass::General };
    reasons[ListReason::Incidents as usize] = class == ListClass::General;
    Some(Verdict { class, reasons, undetermined })
}

#[cfg(test)]
mod tests {
    use tocsin_schemas::codes::FittedBy;
    use tocsin_schemas::time::Day;

    use super::*;

    /// So many incidents, severe ones among them, of so many insured persons in each of 12 months; none: no record.
    fn year(incidents: i32, severe: i32, insured: Option<i64>) -> Year {
        let heads = insured.map(|n| Heads { insured: 12 * n, months: 12 }).unwrap_or_default();
        Year { tally: Tally { incidents, persons: incidents, severe, ..Tally::default() }, heads }
    }

    /// 5 incidents for each thousand insured persons; true rates spread by gamma(1, 1) around that.
    fn against<T>(limits: &Limits, model: bool, judged: impl Fn(&Against) -> T) -> T {
        beside(5.0, limits, model, judged)
    }

    /// The same where so many for each thousand are known.
    fn beside<T>(per_thousand: f64, limits: &Limits, model: bool, judged: impl Fn(&Against) -> T) -> T {
        let (taken_on, per_person_year) = (Day(20_000), 0.005);
        let reference = Reference {
            taken_on,
            incidents: 500,
            headcount: Some(100_000.0),
            per_thousand: Some(per_thousand),
            modelled_on: Some(taken_on),
            model: None,
        };
        let fitted_by = FittedBy::Likelihood;
        let fitted =
            Model { taken_on, nu: 1.0, alpha: 1.0, per_person_year, fitted_by, firms: 1000, incidents: 500 };
        let model = model.then_some(&fitted);
        judged(&Against { reference: Some(&reference), model, limits })
    }

    fn said(year: Year, limits: &Limits, model: bool) -> (ListClass, String) {
        let verdict = against(limits, model, |against| judge(year, against)).unwrap();
        let reasons: Vec<String> = verdict.reasons().map(|reason| reason.to_string()).collect();
        let open: Vec<String> = verdict.undetermined().map(|(t, why)| format!("{t}?{why}")).collect();
        (verdict.class, [reasons, open].concat().join(" "))
    }

    /// 50 insured: 0.25 are expected of them. By hand: P(X >= 2 | 0.25) = 1 - 1.25 e^-0.25 = 0.026,
    /// P(X >= 3 | 0.25) = 0.0022; P(gamma(4, 1.25) > 1) = 0.962, P(gamma(5, 1.25) > 1) = 0.991.
    #[test]
    fn each_reason_begins_where_it_should() {
        let limits = Limits::default();
        let of = |n, severe, insured| said(year(n, severe, insured), &limits, true);
        let (key, general) = (ListClass::Key, ListClass::General);
        let list = |class, text: &str| (class, text.to_owned());
        assert_eq!(against(&limits, true, |a| judge(year(0, 0, Some(50)), a)), None);
        assert_eq!(of(1, 0, Some(50)), list(general, "incidents"));
        assert_eq!(of(2, 0, Some(50)), list(general, "incidents"));
        assert_eq!(of(3, 0, Some(50)), list(key, "high_rate"));
        assert_eq!(of(4, 0, Some(50)), list(key, "several_and_above_average high_rate"));
        assert_eq!(of(1, 1, Some(50)), list(key, "severe"));
        // Five incidents of a thousand are just what is expected.
        assert_eq!(of(5, 0, Some(1000)), list(general, "incidents"));
    }

    /// At the begin of a year most of it is not reported yet: the city's rate is half of what the model of the year before
    /// has. 400 insured, two expected by that, one by what is known; three seen are as many beside the city as six
    /// would be later: P(gamma(4, 2) > 1) = e^-2 (1 + 2 + 2 + 4/3) = 0.857, and not P(gamma(4, 1 + 2) > 1/2).
    #[test]
    fn what_is_not_reported_yet_is_missing_for_the_enterprise_and_the_city_alike() {
        let of = year(3, 0, Some(400));
        let (chance, shrunken) = beside(2.5, &Limits::default(), true, |against| {
            (against.chance_above_city(of).unwrap(), against.shrunken(of).unwrap())
        });
        assert!((chance - (-2.0_f64).exp() * (1.0 + 2.0 + 2.0 + 4.0 / 3.0)).abs() < 1e-12, "{chance}");
        // (3 + 1) / (1 + 1) of 2.5.
        assert!((shrunken - 5.0).abs() < 1e-12, "{shrunken}");
    }

    #[test]
    fn what_cannot_be_tested_is_said_and_not_guessed() {
        let limits = Limits::default();
        let open = |why: &str| format!("several_and_above_average?{why} high_rate?{why}");
        let general = |rest: &str| (ListClass::General, format!("incidents {rest}"));
        assert_eq!(said(year(3, 0, None), &limits, true), general(&open("headcount_unknown")));
        assert_eq!(said(year(3, 0, Some(0)), &limits, true), general(&open("headcount_zero")));
        let no_model = "high_rate several_and_above_average?no_model";
        assert_eq!(said(year(3, 0, Some(50)), &limits, false), (ListClass::Key, no_model.to_owned()));
        let verdict = judge(year(3, 0, Some(50)), &Against { reference: None, model: None, limits: &limits });
        let open: Vec<_> = verdict.unwrap().undetermined().map(|(_, why)| why).collect();
        assert_eq!(open, [Undetermined::NoCityRate; 2]);
    }

    #[test]
    fn every_limit_is_the_policys() {
        let of = |limits: Limits, n, insured| said(year(n, 0, Some(insured)), &limits, true).1;
        let rare = Limits { chance_below: 0.002, ..Limits::default() };
        assert_eq!(of(rare, 3, 50), "incidents");
        let often = Limits { chance_below: 0.03, ..Limits::default() };
        assert_eq!(of(often, 2, 50), "high_rate");
        let factor = Limits { rate_factor: 12.0, ..Limits::default() };
        assert_eq!(of(factor, 3, 50), "incidents", "60 for a thousand is not above 12 times 5");
        let sure = Limits { confidence: 0.92, ..Limits::default() };
        assert_eq!(of(sure, 3, 50), "several_and_above_average high_rate");
        let few = Limits { key_incidents: 5, rate_incidents: 5, ..Limits::default() };
        assert_eq!(of(few, 4, 50), "incidents");
        let mild = Limits { severe_is_key: false, ..Limits::default() };
        assert_eq!(said(year(1, 1, Some(50)), &mild, true).0, ListClass::General);
    }
}
