//! Limits of a count: between which values the true mean lies, given what was seen.
//!
//! **Exact** (Garwood 1936, *Biometrika* 28:437), by the chi-square form, with `a` left out at each end:
//!
//! ```text
//! lower = chi2(a, 2 O) / 2          upper = chi2(1 - a, 2 O + 2) / 2
//! ```
//!
//! **Byar's** approximation (Breslow and Day 1987, *Statistical Methods in Cancer Research* II, IARC 82, p. 69):
//!
//! ```text
//! lower = O (1 - 1/(9 O) - z/(3 sqrt O))^3          upper = P (1 - 1/(9 P) + z/(3 sqrt P))^3,  P = O + 1
//! ```
//!
//! Trust the exact limits always: they hold the true mean at least as often as they say. Byar's are what public-health
//! tables print; from a count of 10 on they agree with the exact ones to 2 % at the levels in use (below that, take
//! the exact ones). Neither covers anything but chance: not missing reports, and not events that come in groups (count
//! incidents, not persons).

use super::special::{gamma_quantile, gamma_upper_quantile};
use super::{Confidence, Uncomputable, count};

/// From a lower to an upper limit, both finite and at least 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower limit.
    pub lower: f64,
    /// The upper limit.
    pub upper: f64,
}

impl Interval {
    /// Whether the value lies between the limits or on one of them.
    pub fn contains(self, value: f64) -> bool {
        self.lower <= value && value <= self.upper
    }

    /// Limits of a count as limits of a rate (per unit of exposure) or of a ratio (exposure = expected count).
    ///
    /// # Errors
    /// An exposure of 0, or one that is no positive number.
    pub fn over(self, exposure: f64) -> Result<Interval, Uncomputable> {
        let exposure = super::expected("the exposure", exposure)?;
        Ok(Interval { lower: self.lower / exposure, upper: self.upper / exposure })
    }
}

/// Exact limits of the mean, in events. A count of 0 gives 0 to a positive upper limit (3.69 at 95 %).
///
/// # Errors
/// A count above [`super::LARGEST_COUNT`].
pub fn exact(observed: u64, confidence: Confidence) -> Result<Interval, Uncomputable> {
    let seen = count("the count", observed)?;
    let lower = if observed == 0 { 0.0 } else { gamma_quantile(seen, confidence.tail())? };
    Ok(Interval { lower, upper: gamma_upper_quantile(seen + 1.0, confidence.tail())? })
}

/// Byar's limits of the mean, in events. A count of 0 gives a lower limit of 0; where the cube would be negative (a
/// count of 1 at 99.8 %) the lower limit is 0 too.
///
/// # Errors
/// A count above [`super::LARGEST_COUNT`].
pub fn byar(observed: u64, confidence: Confidence) -> Result<Interval, Uncomputable> {
    let seen = count("the count", observed)?;
    let z = confidence.z();
    let cube = |at: f64, z: f64| at * (1.0 - 1.0 / (9.0 * at) + z / (3.0 * at.sqrt())).max(0.0).powi(3);
    let lower = if observed == 0 { 0.0 } else { cube(seen, -z) };
    Ok(Interval { lower, upper: cube(seen + 1.0, z) })
}
