//! The cumulative sum: slow upward drift of a firm or town that no single month shows.
//!
//! ```text
//! S = max(0, S + x - k),   alarm when S >= h
//! ```
//!
//! What is summed can be
//! - **counts**, with the reference value between the usual mean `m0` and the bad mean `m1`:
//!   `k = (m1 - m0) / (ln m1 - ln m0)` (Lucas 1985, *Technometrics* 27:129);
//! - **standardised counts** `z = (c - m) / sqrt m`;
//! - **variance-stabilised counts** `z = (c - 3 m + 2 sqrt(c m)) / (2 sqrt m)`, nearer to a normal for small means
//!   (Rossi, Lampugnani and Marchi 1999, *Statistics in Medicine* 18:2111).
//!
//! `k` and `h` set how long it takes to a false alarm and to a true one; `k` = 1.04, `h` = 2.26 are common for the two
//! `z`. Start at 0, or at h/2 for a head start after a change. After an alarm that was acted upon, restart; going on
//! without it repeats the alarm for as long as the sum stays high.
//!
//! Trust it where the usual mean is known and steady (headcount!), from about 0.25 events a period on. It says *that*
//! the mean has risen and since when the sum has been above 0, not by how much.

use super::{Uncomputable, count, expected, not_negative, positive};

/// What the sum does after an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterAlarm {
    /// It begins anew from the chart's start: the firm was visited.
    Restart,
    /// It goes on: nobody has acted. The published anchor sequences go on.
    GoOn,
}

/// The settings of a chart, in the unit of what is summed (events, or standard deviations).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chart {
    /// `k`: what is taken off each period.
    pub reference: f64,
    /// `h`: alarm when the sum reaches this. Above 0.
    pub threshold: f64,
    /// Where the sum begins: 0, or half the threshold. Below the threshold.
    pub start: f64,
    /// What happens after an alarm.
    pub after_alarm: AfterAlarm,
}

/// The sum after one period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The sum, at least 0; also where it alarms, the sum that alarmed.
    pub sum: f64,
    /// Whether the sum has reached the threshold.
    pub alarm: bool,
}

impl Chart {
    /// The step from the sum of the period before (None: the chart begins) by this period's value.
    ///
    /// # Errors
    /// Settings, a sum or a value that are out of range or no numbers.
    pub fn step(&self, before: Option<Step>, value: f64) -> Result<Step, Uncomputable> {
        let threshold = positive("the threshold", self.threshold)?;
        let reference = not_negative("the reference value", self.reference)?;
        if !(0.0..threshold).contains(&self.start) {
            let (what, allowed) = ("the start", "at least 0 and below the threshold");
            return Err(Uncomputable::OutOfRange { what, allowed, value: self.start });
        }
        not_negative("the size of the value", value.abs())?;
        let sum = match before {
            None => self.start,
            Some(step) if step.alarm && self.after_alarm == AfterAlarm::Restart => self.start,
            Some(step) => not_negative("the sum", step.sum)?,
        };
        let sum = (sum + value - reference).max(0.0);
        Ok(Step { sum, alarm: sum >= threshold })
    }

    /// The steps of a whole sequence, one for each value, the oldest first. Empty for no values.
    ///
    /// # Errors
    /// As [`Chart::step`].
    pub fn run(&self, values: &[f64]) -> Result<Vec<Step>, Uncomputable> {
        let mut steps = Vec::with_capacity(values.len());
        let mut before = None;
        for value in values {
            let step = self.step(before, *value)?;
            steps.push(step);
            before = Some(step);
        }
        Ok(steps)
    }
}

/// The reference value for counts, events a period: between the usual and the bad mean.
///
/// # Errors
/// A usual mean of 0 ([`Uncomputable::NoExposure`]); a mean that is not between 1e-9 and 1e9; a bad mean that is not
/// above the usual.
pub fn reference(usual_mean: f64, bad_mean: f64) -> Result<f64, Uncomputable> {
    let usual = expected("the usual mean", usual_mean)?;
    let bad = positive("the bad mean", bad_mean)?;
    if bad <= usual {
        let (what, allowed) = ("the bad mean", "above the usual mean");
        return Err(Uncomputable::OutOfRange { what, allowed, value: bad });
    }
    // ln(bad) - ln(usual), also where they are close.
    Ok((bad - usual) / ((bad - usual) / usual).ln_1p())
}

/// A count as standard deviations from the mean: `(c - m) / sqrt m`.
///
/// # Errors
/// A mean of 0 ([`Uncomputable::NoExposure`]) or not between 1e-9 and 1e9; a count above 1e9.
pub fn standardised(seen: u64, mean: f64) -> Result<f64, Uncomputable> {
    let (c, m) = (count("the count", seen)?, expected("the mean", mean)?);
    Ok((c - m) / m.sqrt())
}

/// A count as standard deviations from the mean, with Rossi's stabilised variance: `(c - 3 m + 2 sqrt(c m)) / (2 sqrt
/// m)`.
///
/// # Errors
/// As [`standardised`].
pub fn rossi(seen: u64, mean: f64) -> Result<f64, Uncomputable> {
    let (c, m) = (count("the count", seen)?, expected("the mean", mean)?);
    Ok((c - 3.0 * m + 2.0 * (c * m).sqrt()) / (2.0 * m.sqrt()))
}
