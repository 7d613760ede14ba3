//! Gamma-Poisson shrinkage: a relative risk for every firm that can be ranked, however small the firm.
//!
//! Clayton and Kaldor 1987 (*Biometrics* 43:671). A firm's count is Poisson with mean `theta E`; the true relative
//! risks `theta` of all firms follow a gamma distribution with shape `nu` and rate `alpha`. Given `O` events, `theta`
//! is again gamma, with shape `O + nu` and rate `E + alpha`:
//!
//! ```text
//! shrunken value = (O + nu) / (E + alpha)        P(theta > r) = Q(O + nu, (E + alpha) r)
//! ```
//!
//! A firm with little to go by stays near the common mean `nu / alpha`; a large one near its raw `O / E`. `nu` and
//! `alpha` are found from all firms together:
//!
//! - by **likelihood** ([`Prior::by_likelihood`]): counts are then negative binomial. For a given `nu` the mean has one
//!   best value, found by Newton's method; `nu` is where the slope of the likelihood along these best values is 0.
//! - by **moments** ([`Prior::by_moments`]), the paper's iteration: with `m` the mean of the shrunken values,
//!   `nu/alpha = m` and `nu/alpha^2 = sum (1 + alpha/E)(shrunken - m)^2 / (n - 1)`, until nothing changes.
//!
//! [`Prior::fit`] takes the likelihood, and the moments only where the likelihood has no maximum. That happens with few
//! firms, or when one large steady firm hides that small ones differ; the moments, which give every firm the same say,
//! are then a cautious answer and no more, so it is said which it was. One round of either passes over all firms once;
//! a fit takes some tens of rounds (12,000 firms: about 4 ms).
//!
//! Trust it from some dozens of firms with together some dozens of events. Where firms differ by no more than chance
//! there is nothing to fit ([`Uncomputable::NoSpread`]): then no firm may be ranked above another, and each has the
//! common ratio. Do not mix industries with quite different risks under one prior; let `E` carry the industry.

pub use tocsin_schemas::codes::FittedBy;

use super::special::{gamma_above, reciprocals};
use super::{Observed, Uncomputable};

/// Beyond this shape the true risks differ by less than 0.1 %: nothing that counts of incidents could show.
const LARGEST_SHAPE: f64 = 1e6;

/// Below this shape nearly all events would fall on single firms; no real data lie there.
const SMALLEST_SHAPE: f64 = 1e-6;

/// How the relative risks of all firms are spread: gamma with this shape and rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// The shape; 1/nu is the squared coefficient of variation of the true relative risks.
    nu: f64,
    /// The rate, in expected events: how many expected events weigh as much as the prior.
    alpha: f64,
}

/// Firms that are alike: what each saw, and how many there are.
#[derive(Debug, Clone, Copy)]
struct Alike {
    count: u64,
    exposure: f64,
    firms: f64,
}

impl Alike {
    fn one(firm: &Observed) -> Alike {
        Alike::many((firm, &1))
    }

    fn many((firm, firms): (&Observed, &u32)) -> Alike {
        Alike { count: firm.count, exposure: firm.exposure, firms: f64::from(*firms) }
    }
}

impl Prior {
    /// A prior of known shape and rate, e.g. last midnight's.
    ///
    /// # Errors
    /// A shape or rate that is not between 1e-9 and 1e9.
    pub fn new(nu: f64, alpha: f64) -> Result<Prior, Uncomputable> {
        for (what, value) in [("nu", nu), ("alpha", alpha)] {
            if !(1e-9..=1e9).contains(&value) {
                return Err(Uncomputable::OutOfRange { what, allowed: "between 1e-9 and 1e9", value });
            }
        }
        Ok(Prior { nu, alpha })
    }

    /// The shape.
    pub fn nu(&self) -> f64 {
        self.nu
    }

    /// The rate, in expected events.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The mean relative risk of all firms, which values are drawn to.
    pub fn mean(&self) -> f64 {
        self.nu / self.alpha
    }

    /// The shrunken relative risk of a firm: between its raw count / exposure and [`Prior::mean`].
    ///
    /// # Errors
    /// [`Uncomputable::NoExposure`] for 0 expected events; a count or exposure out of range.
    pub fn posterior_mean(&self, firm: Observed) -> Result<f64, Uncomputable> {
        let (seen, expected) = checked(firm)?;
        Ok((seen + self.nu) / (expected + self.alpha))
    }

    /// The probability that a firm's true relative risk is above `ratio` (1: above what is expected of it).
    ///
    /// # Errors
    /// As [`Prior::posterior_mean`]; a ratio that is not between 1e-9 and 1e9.
    pub fn chance_above(&self, firm: Observed, ratio: f64) -> Result<f64, Uncomputable> {
        let (seen, expected) = checked(firm)?;
        let ratio = super::positive("the ratio", ratio)?;
        Ok(gamma_above(seen + self.nu, (expected + self.alpha) * ratio))
    }

    /// The prior of these firms, by likelihood if it has a maximum, else by moments.
    ///
    /// # Errors
    /// [`Uncomputable::NoSpread`] or [`Uncomputable::NotSettled`] where neither finds a spread; fewer than two firms;
    /// no event at all; a firm without expected events ([`Uncomputable::NoExposure`]: leave such firms out).
    pub fn fit(firms: &[Observed]) -> Result<(Prior, FittedBy), Uncomputable> {
        fit(&firms.iter().map(Alike::one).collect::<Vec<_>>())
    }

    /// [`Prior::fit`] where many firms are alike: each with how many of it there are.
    ///
    /// # Errors
    /// As [`Prior::fit`].
    pub fn fit_alike(firms: &[(Observed, u32)]) -> Result<(Prior, FittedBy), Uncomputable> {
        let present = firms.iter().filter(|(_, firms)| *firms > 0);
        fit(&present.map(|(firm, firms)| Alike::many((firm, firms))).collect::<Vec<_>>())
    }

    /// The maximum of the negative-binomial likelihood.
    ///
    /// # Errors
    /// [`Uncomputable::NoSpread`] where the likelihood rises for ever as the spread goes to 0; otherwise as
    /// [`Prior::fit`].
    pub fn by_likelihood(firms: &[Observed]) -> Result<Prior, Uncomputable> {
        by_likelihood(&firms.iter().map(Alike::one).collect::<Vec<_>>())
    }

    /// The fixed point of the moment iteration.
    ///
    /// # Errors
    /// [`Uncomputable::NoSpread`] where the spread goes to 0, [`Uncomputable::NotSettled`] where it does not come to
    /// rest in 1,000 rounds (the spread is then next to 0); otherwise as [`Prior::fit`].
    pub fn by_moments(firms: &[Observed]) -> Result<Prior, Uncomputable> {
        by_moments(&firms.iter().map(Alike::one).collect::<Vec<_>>())
    }
}

fn fit(firms: &[Alike]) -> Result<(Prior, FittedBy), Uncomputable> {
    match by_likelihood(firms) {
        Ok(prior) => Ok((prior, FittedBy::Likelihood)),
        Err(Uncomputable::NoSpread | Uncomputable::NotSettled) => {
            by_moments(firms).map(|prior| (prior, FittedBy::Moments))
        }
        Err(other) => Err(other),
    }
}

fn by_likelihood(firms: &[Alike]) -> Result<Prior, Uncomputable> {
    check_all(firms)?;
    let mut mean = raw_mean(firms);
    // The slope is above 0 where nu is too small, below 0 where it is too large.
    let mut slope = |log_nu: f64| -> Result<f64, Uncomputable> {
        let nu = log_nu.exp();
        mean = best_mean(firms, nu, mean)?;
        Ok(slope_of_likelihood(firms, nu, mean))
    };
    let log_nu = falling_root(&mut slope)?;
    let nu = log_nu.exp();
    let mean = best_mean(firms, nu, mean)?;
    Prior::new(nu, nu / mean)
}

fn by_moments(firms: &[Alike]) -> Result<Prior, Uncomputable> {
    check_all(firms)?;
    let n = firms.iter().map(|f| f.firms).sum::<f64>();
    // The first round has the raw ratios in place of shrunken ones: a prior without weight.
    let (mut nu, mut alpha) = (0.0, 0.0);
    for _ in 0..1_000 {
        let shrunken = |f: &Alike| (f.count as f64 + nu) / (f.exposure + alpha);
        let mean = firms.iter().map(|f| f.firms * shrunken(f)).sum::<f64>() / n;
        let square = |f: &Alike| f.firms * (1.0 + alpha / f.exposure) * (shrunken(f) - mean).powi(2);
        let variance = firms.iter().map(square).sum::<f64>() / (n - 1.0);
        let (next_nu, next_alpha) = (mean * mean / variance, mean / variance);
        // A variance of 0 gives infinity, which is above as well.
        if next_nu.is_nan() || next_nu > LARGEST_SHAPE {
            return Err(Uncomputable::NoSpread);
        }
        let settled = (next_nu - nu).abs() <= 1e-13 * nu && (next_alpha - alpha).abs() <= 1e-13 * alpha;
        (nu, alpha) = (next_nu, next_alpha);
        if settled {
            return Prior::new(nu, alpha);
        }
    }
    Err(Uncomputable::NotSettled)
}

fn checked(firm: Observed) -> Result<(f64, f64), Uncomputable> {
    Ok((super::count("the count", firm.count)?, super::expected("the expected count", firm.exposure)?))
}

fn check_all(firms: &[Alike]) -> Result<(), Uncomputable> {
    let all = firms.iter().map(|f| f.firms).sum::<f64>();
    if all < 2.0 {
        return Err(Uncomputable::TooFew { what: "firms", needed: 2, got: all as usize });
    }
    for firm in firms {
        checked(Observed { count: firm.count, exposure: firm.exposure })?;
    }
    if firms.iter().all(|f| f.count == 0) {
        return Err(Uncomputable::TooFew { what: "events", needed: 1, got: 0 });
    }
    Ok(())
}

fn raw_mean(firms: &[Alike]) -> f64 {
    let events: f64 = firms.iter().map(|f| f.firms * f.count as f64).sum();
    events / firms.iter().map(|f| f.firms * f.exposure).sum::<f64>()
}

/// The mean relative risk of highest likelihood for this shape: the root of `sum (O - m E) / (nu + m E)`.
///
/// That sum falls and is convex in `m`, so Newton's steps from the left of the root never pass it, and one from its
/// right lands at its left. A step below 0 is cut short.
fn best_mean(firms: &[Alike], nu: f64, start: f64) -> Result<f64, Uncomputable> {
    let mut mean = start;
    for _ in 0..200 {
        let (mut value, mut slope) = (0.0, 0.0);
        for firm in firms {
            let count = firm.count as f64;
            let total = nu + mean * firm.exposure;
            value += firm.firms * ((count - mean * firm.exposure) / total);
            slope += firm.firms * (firm.exposure * (count + nu) / (total * total));
        }
        let next = (mean + value / slope).max(mean / 10.0);
        if !next.is_finite() {
            break;
        }
        let settled = (next - mean).abs() <= 1e-14 * mean;
        mean = next;
        if settled {
            return Ok(mean);
        }
    }
    Err(Uncomputable::NotSettled)
}

/// The slope of the log likelihood in `nu`, at the best mean for it:
/// `sum [ 1/nu + ... + 1/(nu + O - 1)  -  ln(1 + m E / nu) ]`; the remaining terms add up to 0 at that mean.
fn slope_of_likelihood(firms: &[Alike], nu: f64, mean: f64) -> f64 {
    firms.iter().map(|f| f.firms * (reciprocals(nu, f.count) - (mean * f.exposure / nu).ln_1p())).sum()
}

/// Where the function of ln(nu) falls through 0: steps outwards from 0 until the signs differ, then regula falsi with
/// the Illinois rule, which halves the weight of an end that stays.
fn falling_root(f: &mut impl FnMut(f64) -> Result<f64, Uncomputable>) -> Result<f64, Uncomputable> {
    let step = 2.0;
    let (mut low, mut high) = (0.0, 0.0);
    let (mut at_low, mut at_high) = (f(0.0)?, f(0.0)?);
    while at_low <= 0.0 {
        (high, at_high) = (low, at_low);
        low -= step;
        if low < SMALLEST_SHAPE.ln() {
            return Err(Uncomputable::NotSettled);
        }
        at_low = f(low)?;
    }
    while at_high > 0.0 {
        (low, at_low) = (high, at_high);
        high += step;
        if high > LARGEST_SHAPE.ln() {
            return Err(Uncomputable::NoSpread);
        }
        at_high = f(high)?;
    }
    let mut stayed = 0;
    for _ in 0..200 {
        let middle = (low * at_high - high * at_low) / (at_high - at_low);
        let value = f(middle)?;
        // A value of 0 makes it the upper end, which then stands at the root.
        if value > 0.0 {
            let moved = middle - low;
            (low, at_low) = (middle, value);
            at_high /= if stayed == 1 { 2.0 } else { 1.0 };
            stayed = 1;
            if moved.abs() < 1e-14 {
                return Ok(middle);
            }
        } else {
            let moved = high - middle;
            (high, at_high) = (middle, value);
            at_low /= if stayed == -1 { 2.0 } else { 1.0 };
            stayed = -1;
            if value == 0.0 || moved.abs() < 1e-14 {
                return Ok(middle);
            }
        }
        if high - low < 1e-14 {
            return Ok(middle);
        }
    }
    Err(Uncomputable::NotSettled)
}
