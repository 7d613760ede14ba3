//! The exact Poisson tail: is this count too high for what was expected, and from which count on would it be.
//!
//! ```text
//! p = P(X >= O | E) = 1 - sum over j < O of e^-E E^j / j!
//! ```
//!
//! computed as the regularised incomplete gamma function P(O, E). Textbook (Johnson, Kemp and Kotz, *Univariate
//! Discrete Distributions*, 4.5).
//!
//! Trust it for one firm that was chosen beforehand, where the expected count comes from enough others to be taken as
//! known. Over all firms of a city put the p-values through [`super::discoveries`]: at p < 0.001, twelve of 12,000
//! innocent firms may alarm every month. It counts events as independent: use incidents, not persons.

use super::special::poisson_at_least;
use super::{Uncomputable, count, probability};

/// P(X >= observed | expected): how often chance alone gives at least this many. 1 for a count of 0; 0 where it is
/// below 1e-308.
///
/// # Errors
/// [`Uncomputable::NoExposure`] for 0 expected, otherwise if it is not between 1e-9 and 1e9; a count above 1e9.
pub fn at_least(observed: u64, expected: f64) -> Result<f64, Uncomputable> {
    count("the count", observed)?;
    Ok(poisson_at_least(observed, super::expected("the expected count", expected)?))
}

/// The smallest alarming count: the smallest `c` with P(X >= c | expected) < alpha. At least 1.
///
/// # Errors
/// As [`at_least`]; an alpha that is not above 0 and below 1.
pub fn alarm_count(expected: f64, alpha: f64) -> Result<u64, Uncomputable> {
    let expected = super::expected("the expected count", expected)?;
    let alpha = probability("alpha", alpha)?;
    let alarms = |c: u64| poisson_at_least(c, expected) < alpha;
    // Doubling ends: at a few standard deviations and a few hundred above the mean the tail is below any float.
    let mut above = 1;
    while !alarms(above) {
        above *= 2;
    }
    let mut below = above / 2;
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        if alarms(middle) { above = middle } else { below = middle }
    }
    Ok(above)
}

/// How many firms reach the count by chance alone, if each has exactly the events expected of it: the false alarms of
/// a rule "alarm at `observed`". A number of firms, 0 for no firms.
///
/// # Errors
/// As [`at_least`], for any firm.
pub fn firms_by_chance(expected: &[f64], observed: u64) -> Result<f64, Uncomputable> {
    expected.iter().map(|e| at_least(observed, *e)).sum()
}
