//! The funnel of a peer chart: how far from the target a firm may be by chance, given its size.
//!
//! For a firm with `E` expected events and the target ratio `T` (1: as expected), with `a` left out at each end:
//!
//! ```text
//! lower = chi2(a, 2 T E) / (2 E)          upper = chi2(1 - a, 2 T E + 2) / (2 E)
//! ```
//!
//! Source: Spiegelhalter 2005, *Statistics in Medicine* 24:1185, with the limits of a Poisson count read as a smooth
//! function of `E`. Draw 95 % and 99.8 %.
//!
//! Trust it for firms measured with the *same* denominators as the target. Do not name anybody while far more than 5 %
//! of the firms lie outside the 95 % lines: then they differ by more than this chart knows of, and the spread between
//! them has to be added first (not built). Below about one expected event the lower line says nothing.

use super::limits::Interval;
use super::special::{gamma_quantile, gamma_upper_quantile};
use super::{Confidence, Uncomputable};

/// The limits of the ratio observed / expected around the target ratio, for a firm with this many expected events.
///
/// # Errors
/// [`Uncomputable::NoExposure`] for 0 expected; otherwise where one of them, or their product, is not between 1e-9 and
/// 1e9.
pub fn limits(expected: f64, target: f64, confidence: Confidence) -> Result<Interval, Uncomputable> {
    let expected = super::expected("the expected count", expected)?;
    let target = super::positive("the target", target)?;
    let at_target = super::positive("the expected count at the target", expected * target)?;
    Ok(Interval {
        lower: gamma_quantile(at_target, confidence.tail())? / expected,
        upper: gamma_upper_quantile(at_target + 1.0, confidence.tail())? / expected,
    })
}
