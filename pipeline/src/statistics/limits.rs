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

use std::sync::OnceLock;

use super::special::{gamma_quantile, gamma_upper_quantile};
use super::{Confidence, Uncomputable, count, rounded};

/// [`exact`] limits at one level for thousands of rates a second: small counts come again and again and are kept,
/// large ones differ each time and are written down at once by the Cornish-Fisher expansion of the gamma quantile
/// (Goldberg and Levine 1946, *Ann. Math. Statist.* 17:216), whose error is below 1e-12 of the value from
/// a count of 1,000 on at levels up to 99.9 %. Both rest on numbers of 12 digits, so that all machines give the same.
#[derive(Debug)]
pub struct KeptLimits {
    confidence: Confidence,
    z: f64,
    small: Box<[OnceLock<Interval>]>,
}

/// Below it limits are kept, from it on expanded.
const LARGE: usize = 1_000;

impl KeptLimits {
    /// Nothing is computed before it is asked for.
    pub fn new(confidence: Confidence) -> KeptLimits {
        let small = (0..LARGE).map(|_| OnceLock::new()).collect();
        KeptLimits { confidence, z: rounded(confidence.z()), small }
    }

    /// Exact limits of the mean, in events.
    ///
    /// # Errors
    /// As [`exact`].
    pub fn of(&self, observed: u64) -> Result<Interval, Uncomputable> {
        let Some(kept) = usize::try_from(observed).ok().and_then(|at| self.small.get(at)) else {
            let seen = count("the count", observed)?;
            return Ok(Interval { lower: expanded(seen, -self.z), upper: expanded(seen + 1.0, self.z) });
        };
        match kept.get() {
            Some(interval) => Ok(*interval),
            None => exact(observed, self.confidence).map(|Interval { lower, upper }| {
                *kept.get_or_init(|| Interval { lower: rounded(lower), upper: rounded(upper) })
            }),
        }
    }
}

/// The quantile of a gamma distribution of this large shape at a normal quantile.
fn expanded(shape: f64, z: f64) -> f64 {
    let (root, z2) = (shape.sqrt(), z * z);
    let terms = [
        root * z,
        (z2 - 1.0) / 3.0,
        z * (z2 - 7.0) / (36.0 * root),
        -(z2 * (3.0 * z2 + 7.0) - 16.0) / (810.0 * shape),
        z * (z2 * (9.0 * z2 + 256.0) - 433.0) / (38_880.0 * shape * root),
        (z2 * (z2 * (12.0 * z2 - 243.0) - 923.0) + 1_472.0) / (204_120.0 * shape * shape),
        -z * (z2 * (z2 * (3_753.0 * z2 + 4_353.0) - 289_517.0) - 289_717.0)
            / (146_966_400.0 * shape * shape * root),
    ];
    // The small ones first, so that their digits are not lost.
    shape + terms.iter().rev().sum::<f64>()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_limits_are_the_exact_ones() {
        let mut judged = 0;
        for level in [0.5, 0.9, 0.95, 0.998, 0.999] {
            let confidence = Confidence::new(level).unwrap();
            let kept = KeptLimits::new(confidence);
            for observed in [0, 1, 2, 17, 998, 999, 1_000, 1_001, 1_500, 4_000, 9_999] {
                let (ours, exact) = (kept.of(observed).unwrap(), exact(observed, confidence).unwrap());
                assert_eq!(kept.of(observed), Ok(ours), "again");
                for (a, b) in [(ours.lower, exact.lower), (ours.upper, exact.upper)] {
                    let tolerance = if observed < LARGE as u64 { 5e-12 } else { 1e-11 };
                    assert!((a - b).abs() <= tolerance * b, "{observed} at {level}: {a} {b}");
                    judged += 1;
                }
            }
        }
        assert_eq!(judged, 110);
        let kept = KeptLimits::new(Confidence::P95);
        assert!(kept.of(1_000_000_001).is_err());
        // Found with 40 digits: a chi-square quantile of 2,000 and one of 2,002 degrees of freedom, halved.
        let thousand = kept.of(1_000).unwrap();
        assert!((thousand.lower / 938.973_018_407_695_5 - 1.0).abs() < 1e-12, "{}", thousand.lower);
        assert!((thousand.upper / 1_063.952_136_016_302 - 1.0).abs() < 1e-12, "{}", thousand.upper);
    }
}
