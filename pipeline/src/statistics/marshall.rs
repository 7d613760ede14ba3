//! Marshall's global estimator: rates of small areas drawn towards the common rate, without any iteration.
//!
//! Marshall 1991 (*Applied Statistics* 40:283). With counts `O`, person-years `N` of `n` areas and raw rates `r = O/N`:
//!
//! ```text
//! b = sum O / sum N        a = sum N (r - b)^2 / sum N  -  b / (sum N / n),  at least 0
//! shrunken rate = b + (r - b) a / (a + b/N)
//! ```
//!
//! Trust it as a plain check beside [`super::shrinkage`]: it supposes no shape of the spread between areas. With a few
//! areas or rare events `a` is often 0; then all areas get the common rate, which means "no difference could be seen",
//! not "there is none". It gives a value to rank by, no probability.

use super::{Observed, Uncomputable};

/// What was measured over all areas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Common {
    /// The common rate, events per unit of exposure. Above 0.
    pub rate: f64,
    /// The variance of the true rates between areas, in rate squared. 0 where none could be seen.
    pub variance: f64,
}

impl Common {
    /// Measures rate and variance over all areas.
    ///
    /// # Errors
    /// Fewer than two areas; an area without exposure ([`Uncomputable::NoExposure`]); no event in any.
    pub fn of(areas: &[Observed]) -> Result<Common, Uncomputable> {
        if areas.len() < 2 {
            return Err(Uncomputable::TooFew { what: "areas", needed: 2, got: areas.len() });
        }
        let (mut events, mut exposure) = (0.0, 0.0);
        for area in areas {
            events += super::count("the count", area.count)?;
            exposure += super::expected("the exposure", area.exposure)?;
        }
        if events == 0.0 {
            return Err(Uncomputable::TooFew { what: "events", needed: 1, got: 0 });
        }
        let rate = events / exposure;
        let from_common = |o: &Observed| o.exposure * (o.count as f64 / o.exposure - rate).powi(2);
        let seen = areas.iter().map(from_common).sum::<f64>() / exposure;
        let by_chance = rate / (exposure / areas.len() as f64);
        Ok(Common { rate, variance: (seen - by_chance).max(0.0) })
    }

    /// The shrunken rate of one area, events per unit of exposure: between its raw rate and the common rate.
    ///
    /// # Errors
    /// [`Uncomputable::NoExposure`] for an exposure of 0; a count or exposure out of range.
    pub fn shrunken(&self, area: Observed) -> Result<f64, Uncomputable> {
        let seen = super::count("the count", area.count)?;
        let exposure = super::expected("the exposure", area.exposure)?;
        let weight = self.variance / (self.variance + self.rate / exposure);
        let shrunken = self.rate + (seen / exposure - self.rate) * weight;
        // The fields are open: values that no measurement gives must not come out as NaN.
        if shrunken.is_finite() { Ok(shrunken) } else { Err(Uncomputable::NoSpread) }
    }
}
