//! Farrington's threshold: from which count on a week of a town or industry stands out from the same weeks of past
//! years.
//!
//! Farrington, Andrews, Beale and Catchpole 1996 (*Journal of the Royal Statistical Society* A 159:547). A regression
//! on 3 to 5 years predicts the mean `mu` with variance `v` and dispersion `phi`. Counts to the power 2/3 are nearly
//! symmetric, so the limit is taken there:
//!
//! ```text
//! tau = phi + v / mu        U = (mu^(2/3) + z sqrt(4/9 mu^(1/3) tau))^(3/2),   z = normal quantile of 1 - alpha/2
//! ```
//!
//! Only the threshold is built; the regression is the caller's. Trust it for weekly means from about 0.5 on, with at
//! least three years behind them, past outbreaks weighted down; the method's papers give no alarm below 5 cases in four
//! weeks. Do not use it for one firm.

use super::special::normal_quantile;
use super::{Uncomputable, not_negative, probability};

/// The upper threshold, in events of the week: alarm above it. Always above `mu`.
///
/// # Arguments
/// `mu`: predicted mean, events. `dispersion`: variance over mean, at least 1 (take 1 where the fit says less).
/// `mean_variance`: variance of the predicted mean, events squared. `alpha`: two-sided, 0.01 in the paper's use.
///
/// # Errors
/// [`Uncomputable::NoExposure`] for a mean of 0; anything out of its range.
pub fn threshold(mu: f64, dispersion: f64, mean_variance: f64, alpha: f64) -> Result<f64, Uncomputable> {
    let mu = super::expected("the predicted mean", mu)?;
    let mean_variance = not_negative("the variance of the mean", mean_variance)?;
    if !(1.0..=1e9).contains(&dispersion) {
        let (what, allowed) = ("the dispersion", "between 1 and 1e9");
        return Err(Uncomputable::OutOfRange { what, allowed, value: dispersion });
    }
    let z = -normal_quantile(probability("alpha", alpha)? / 2.0);
    let tau = dispersion + mean_variance / mu;
    let spread = (4.0 / 9.0 * mu.cbrt() * tau).sqrt();
    let bound = (mu.powf(2.0 / 3.0) + z * spread).powf(1.5);
    // The smallest alphas that a float knows have no finite quantile.
    if bound.is_finite() { Ok(bound) } else { Err(Uncomputable::NotSettled) }
}
