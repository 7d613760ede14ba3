//! The model that shrunken rates come from: how the true rates of the firms of the city are spread.
//!
//! It is taken at a midnight from one window and then kept, so that one incident does not change every firm's figure.
//! It says how risky the firms are compared with the city: a firm's expected incidents are its person-years times the
//! city's rate, its true risk beside that is gamma-distributed ([`crate::statistics::shrinkage`]). Person-years scale
//! with the days, so one model serves windows of every length.

use serde::{Deserialize, Serialize};
use tocsin_schemas::codes::FittedBy;
use tocsin_schemas::records::Model as Recorded;
use tocsin_schemas::time::Day;

use crate::dataflow::PARTS;
use crate::statistics::shrinkage::Prior;
use crate::statistics::{Observed, Uncomputable, chance_above, rounded};

/// The days of a person-year, also in a leap year: a constant, so that a window of 366 days weighs a day more.
const YEAR: f64 = 365.0;

/// The firms' true rates, as fitted at one midnight. All numbers are finite and above 0; nu and alpha have 12 digits,
/// so that machines whose logarithms differ in the last one publish the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The day at whose midnight it was taken.
    pub taken_on: Day,
    /// The shape of the true relative risks.
    pub nu: f64,
    /// Their rate: how many expected incidents weigh as much as the model.
    pub alpha: f64,
    /// Incidents for each person-year (365 days) in all firms it was fitted to: the relative risk 1.
    pub per_person_year: f64,
    /// How nu and alpha were found.
    pub fitted_by: FittedBy,
    /// How many firms it was fitted to.
    pub firms: u32,
    /// How many incidents they had.
    pub incidents: u32,
}

impl From<&Recorded> for Model {
    fn from(model: &Recorded) -> Model {
        let Recorded { taken_on, nu, alpha, per_person_year, fitted_by, firms, incidents } = *model;
        Model { taken_on, nu, alpha, per_person_year, fitted_by, firms, incidents }
    }
}

impl From<&Model> for Recorded {
    fn from(model: &Model) -> Recorded {
        let Model { taken_on, nu, alpha, per_person_year, fitted_by, firms, incidents } = *model;
        Recorded { taken_on, nu, alpha, per_person_year, fitted_by, firms, incidents }
    }
}

impl Model {
    /// Fits a model to the firms of a window of so many days (365, or 366): by counted production incidents and mean
    /// headcount (in the dataflow's parts of a person), how many firms have these. Firms without headcount
    /// must not be among them.
    ///
    /// Each such pair is there once, and they are sorted: their order is that in which floats are added, so the same
    /// firms give the same bits whoever counted them.
    ///
    /// # Errors
    /// [`Uncomputable::NoSpread`] or [`Uncomputable::NotSettled`] where the firms differ by no more than chance,
    /// [`Uncomputable::TooFew`] below two firms or without an incident, [`Uncomputable::NoExposure`] where a firm has
    /// no headcount or the window no day, [`Uncomputable::OutOfRange`] where a firm is so small beside the others that
    /// less than 1e-9 incidents are expected of it.
    pub fn fit(taken_on: Day, days: u32, firms: &[((i32, i128), u32)]) -> Result<Model, Uncomputable> {
        let incidents: i128 = firms.iter().map(|((n, _), many)| i128::from(*n) * i128::from(*many)).sum();
        let parts: i128 = firms.iter().map(|((_, parts), many)| parts * i128::from(*many)).sum();
        if parts <= 0 || days == 0 {
            return Err(Uncomputable::NoExposure);
        }
        if incidents <= 0 {
            return Err(Uncomputable::TooFew { what: "events", needed: 1, got: 0 });
        }
        let per_part = incidents as f64 / parts as f64;
        let alike: Vec<(Observed, u32)> = firms
            .iter()
            .map(|((count, parts), many)| {
                let count = (*count).max(0) as u64;
                (Observed { count, exposure: *parts as f64 * per_part }, *many)
            })
            .collect();
        let (prior, fitted_by) = Prior::fit_alike(&alike)?;
        Ok(Model {
            taken_on,
            nu: rounded(prior.nu()),
            alpha: rounded(prior.alpha()),
            per_person_year: per_part * PARTS as f64 * YEAR / f64::from(days),
            fitted_by,
            firms: firms.iter().map(|(_, many)| many).sum(),
            incidents: u32::try_from(incidents).unwrap_or(u32::MAX),
        })
    }

    /// The shrunken rate of a firm per thousand persons in a window of so many days, not per year: the mean of what its
    /// true rate may be, after these incidents of this mean headcount. It lies between the raw rate and the mean of
    /// all firms.
    pub fn shrunken_per_thousand(&self, incidents: u32, headcount: f64, days: u32) -> f64 {
        self.shrunken_towards(incidents, headcount, 1000.0 * self.per_person(days))
    }

    /// The same where all firms together have this rate per thousand persons in the window, as far as it is known: what is
    /// reported late, and what a season has more or less of, then moves a firm and all others alike.
    pub fn shrunken_towards(&self, incidents: u32, headcount: f64, per_thousand: f64) -> f64 {
        let each = per_thousand / 1000.0;
        per_thousand * (f64::from(incidents) + self.nu) / (headcount * each + self.alpha)
    }

    /// The probability, 0 to 1, that a firm's true rate is above that of all firms together, which is so many incidents
    /// per thousand persons in a window, after these incidents of this mean headcount in that window.
    pub fn chance_above(&self, incidents: u32, headcount: f64, per_thousand: f64) -> f64 {
        chance_above(f64::from(incidents) + self.nu, headcount * per_thousand / 1000.0 + self.alpha)
    }

    /// What is expected of one person in so many days.
    fn per_person(&self, days: u32) -> f64 {
        self.per_person_year * f64::from(days) / YEAR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    /// Firms as (incidents, persons, how many).
    fn firms(of: &[(i32, i64, u32)]) -> Vec<((i32, i128), u32)> {
        let firm = |(n, persons, many): &(i32, i64, u32)| ((*n, i128::from(persons * PARTS)), *many);
        let mut firms: Vec<_> = of.iter().map(firm).collect();
        firms.sort_unstable();
        firms
    }

    const CITY: [(i32, i64, u32); 8] = [
        (0, 5, 400),
        (0, 40, 150),
        (1, 5, 12),
        (1, 40, 40),
        (2, 40, 9),
        (3, 200, 6),
        (9, 200, 2),
        (0, 200, 10),
    ];

    /// The log likelihood of the negative binomial, written down a second time, firm by firm: for each of its `O`
    /// incidents the factor (nu + j) / (j + 1), then `(alpha/(alpha+E))^nu (E/(alpha+E))^O`.
    fn log_likelihood(nu: f64, alpha: f64, per_person: f64) -> f64 {
        let mut sum = 0.0;
        for (n, persons, many) in CITY {
            let expected = persons as f64 * per_person;
            let mut one = nu * (alpha / (alpha + expected)).ln();
            for j in 0..n {
                one += ((nu + f64::from(j)) / f64::from(j + 1)).ln() + (expected / (alpha + expected)).ln();
            }
            sum += f64::from(many) * one;
        }
        sum
    }

    #[test]
    fn no_neighbour_of_the_fit_is_likelier() {
        let model = Model::fit(day("2025-02-01"), 365, &firms(&CITY)).unwrap();
        let incidents: i32 = CITY.iter().map(|(n, _, many)| n * *many as i32).sum();
        let persons: i64 = CITY.iter().map(|(_, persons, many)| persons * i64::from(*many)).sum();
        assert_eq!((incidents, persons), (106, 13_620));
        assert_eq!((model.firms, model.incidents, model.fitted_by), (629, 106, FittedBy::Likelihood));
        let per_person = 106.0 / 13_620.0;
        assert!((model.per_person_year / per_person - 1.0).abs() < 1e-14);
        let best = log_likelihood(model.nu, model.alpha, per_person);
        for (nu, alpha) in
            [(1.001, 1.0), (0.999, 1.0), (1.0, 1.001), (1.0, 0.999), (1.001, 1.001), (0.999, 0.999)]
        {
            assert!(log_likelihood(model.nu * nu, model.alpha * alpha, per_person) < best, "{nu} {alpha}");
        }
        // The same firms in a leap year: a day more for the same incidents.
        let leap = Model::fit(day("2025-02-01"), 366, &firms(&CITY)).unwrap();
        assert_eq!((leap.nu, leap.alpha), (model.nu, model.alpha));
        assert!((leap.per_person_year / per_person - 365.0 / 366.0).abs() < 1e-14);
    }

    #[test]
    fn firms_that_are_alike_weigh_as_if_each_stood_alone() {
        let model = Model::fit(day("2025-02-01"), 365, &firms(&CITY)).unwrap();
        let mut each = Vec::new();
        for (n, persons, many) in CITY {
            let one = Observed { count: n as u64, exposure: persons as f64 * 106.0 / 13_620.0 };
            each.extend(std::iter::repeat_n(one, many as usize));
        }
        let (prior, _) = Prior::fit(&each).unwrap();
        assert!((prior.nu() / model.nu - 1.0).abs() < 1e-9, "{} {}", prior.nu(), model.nu);
        assert!((prior.alpha() / model.alpha - 1.0).abs() < 1e-9);
    }

    /// Shape 2, 3 expected incidents weigh as much as the model, 0.01 incidents a person-year.
    fn plain() -> Model {
        Model {
            taken_on: day("2025-02-01"),
            nu: 2.0,
            alpha: 3.0,
            per_person_year: 0.01,
            fitted_by: FittedBy::Likelihood,
            firms: 500,
            incidents: 400,
        }
    }

    #[test]
    fn a_shrunken_rate_by_hand() {
        let near = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-13, "{a} {b}");
        // 500 persons in 365 days: 5 expected, 4 seen: (4 + 2) / (5 + 3) = 0.75 of the city's 10 per thousand.
        near(plain().shrunken_per_thousand(4, 500.0, 365), 7.5);
        // In 73 days, a fifth of a year, 1 is expected: (4 + 2) / (1 + 3) = 1.5 of 2 per thousand.
        near(plain().shrunken_per_thousand(4, 500.0, 73), 3.0);
        // Of 365 days in which only a fifth is known yet.
        near(plain().shrunken_towards(4, 500.0, 2.0), 3.0);
        // Next to nobody: the mean of all firms, 2/3 of 10 per thousand.
        near(plain().shrunken_per_thousand(0, 1e-9, 365), 1000.0 * 0.01 * 2.0 / (3.0 + 1e-11));
        // Very many: the raw rate.
        near(plain().shrunken_per_thousand(300_000, 1e7, 365), 1000.0 * 0.01 * 300_002.0 / 100_003.0);
    }

    #[test]
    fn the_chance_above_is_a_sum_of_poisson_terms() {
        // A gamma with whole shape k lies above x as often as a Poisson count of mean x is below k.
        let below = |k: i32, x: f64| {
            let (mut term, mut sum) = ((-x).exp(), 0.0);
            for j in 1..=k {
                sum += term;
                term *= x / f64::from(j);
            }
            sum
        };
        let model = plain();
        for (incidents, per_thousand, x) in [
            (4, 10.0, 8.0), // 5 expected, and 3 of the model
            (4, 20.0, 13.0),
            (0, 10.0, 8.0),
            (4, 2.0, 4.0),
        ] {
            let chance = model.chance_above(incidents, 500.0, per_thousand);
            let expected = below(incidents as i32 + 2, x);
            assert!((chance - expected).abs() < 1e-13, "{incidents} {per_thousand}: {chance} {expected}");
        }
        assert!(model.chance_above(0, 1e9, 1e9) < 1e-300);
    }

    #[test]
    fn what_cannot_be_fitted_says_why() {
        let fit = |of: &[(i32, i64, u32)], days| Model::fit(day("2025-02-01"), days, &firms(of));
        assert_eq!(fit(&[], 365), Err(Uncomputable::NoExposure));
        assert_eq!(fit(&CITY, 0), Err(Uncomputable::NoExposure));
        assert_eq!(fit(&[(1, 5, 1)], 365), Err(Uncomputable::TooFew { what: "firms", needed: 2, got: 1 }));
        assert_eq!(fit(&[(0, 5, 9)], 365), Err(Uncomputable::TooFew { what: "events", needed: 1, got: 0 }));
        assert_eq!(fit(&[(1, 100, 50)], 365), Err(Uncomputable::NoSpread));
        assert_eq!(fit(&[(1, 5, 3), (1, 0, 3)], 365), Err(Uncomputable::NoExposure));
    }
}
