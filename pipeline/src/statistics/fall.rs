//! The notice's "fell by 30 %": how often luck alone brings it about, and how strongly it speaks for a true fall.
//!
//! A year with `k` events has fallen by `d` percent if the next has at most `floor(k (100 - d) / 100)`. Two numbers
//! belong beside such a verdict:
//!
//! - **by luck**: P(X <= that limit) for X Poisson with mean `k` times the true ratio (1: nothing has changed). At
//!   `k` = 3 and 30 % this is 42 %.
//! - **conditional p**: given `n = a + b` events in both years, those of the second are binomial with the second's
//!   share of the exposure if the rate is the same (Przyborowski and Wilenski 1940, *Biometrika* 31:313):
//!   `p = P(B <= b | n, exposure2 / (exposure1 + exposure2))`.
//!
//! Both are exact and one-sided. Luck takes last year's count for the true mean, which itself was lucky or not; the
//! conditional p does not, so decide by that. With fewer than 8 events before, neither supports an automatic verdict:
//! publish the fall, and say that it may be chance.

use super::special::{binomial_at_most, poisson_at_most};
use super::{Observed, Uncomputable, count};

/// The largest count that is a fall by `percent` from `before`, in events: `floor(before (100 - percent) / 100)`.
///
/// # Errors
/// A percentage above 100; a count of 0 (nothing can fall from it) or above 1e9.
pub fn at_most(before: u64, percent: u8) -> Result<u64, Uncomputable> {
    count("the count before", before)?;
    if before == 0 {
        return Err(Uncomputable::TooFew { what: "events before", needed: 1, got: 0 });
    }
    let Some(left) = 100_u64.checked_sub(u64::from(percent)) else {
        let (what, allowed) = ("the percentage", "between 0 and 100");
        return Err(Uncomputable::OutOfRange { what, allowed, value: f64::from(percent) });
    };
    // Whole numbers: 0.7 * 10 as a float need not be 7.
    Ok(before * left / 100)
}

/// How often a fall by `percent` is seen if the true mean is `before` times `true_ratio`. With a ratio of 1 this is
/// the chance that luck alone passes the rule; with 0.7, that a true fall by 30 % is recognised.
///
/// # Errors
/// As [`at_most`]; a ratio of which the mean is not between 1e-9 and 1e9.
pub fn chance(before: u64, percent: u8, true_ratio: f64) -> Result<f64, Uncomputable> {
    let limit = at_most(before, percent)?;
    let mean = super::positive("the true mean", before as f64 * true_ratio)?;
    Ok(poisson_at_most(limit, mean))
}

/// The conditional p of a fall: how often, at an unchanged rate, as few of all events or fewer belong to the second
/// period. The exposures are person-years, or simply 1 and 1. Small means: hardly by chance.
///
/// # Errors
/// No event in either period; an exposure of 0 ([`Uncomputable::NoExposure`]) or out of range; counts above 1e9.
pub fn conditional_p(before: Observed, after: Observed) -> Result<f64, Uncomputable> {
    for period in [before, after] {
        count("the count", period.count)?;
        super::expected("the exposure", period.exposure)?;
    }
    let events = before.count + after.count;
    if events == 0 {
        return Err(Uncomputable::TooFew { what: "events", needed: 1, got: 0 });
    }
    let share = super::probability("the share", after.exposure / (before.exposure + after.exposure))?;
    Ok(binomial_at_most(after.count, events, share))
}
