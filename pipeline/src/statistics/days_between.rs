//! Days between events: do the incidents of one firm come closer together, or further apart.
//!
//! For a firm with a few incidents a year, monthly counts are nearly all 0 or 1 and say nothing; the gaps between
//! incidents do. Gaps of random events are far from symmetric, but to the power 0.2777 they nearly are (Nelson 1994,
//! *Journal of Quality Technology* 26:239), and an individuals chart can be drawn there:
//!
//! ```text
//! y = x^0.2777        limits = mean(y) -+ 2.66 mean |y(i) - y(i-1)|,   taken back by ^(1/0.2777)
//! ```
//!
//! Trust it from about 10 gaps on. With fewer the limits jump about; below 2 there are none. Often there is no lower
//! limit: then no gap, not even 0 days, is too short, and the tail probability of the last months is the better tool.
//! A change of headcount changes the gaps; compare spans in which it was steady.

use super::Uncomputable;

/// The power at which gaps of random events are nearly symmetric.
const POWER: f64 = 0.2777;

/// How many mean moving ranges lie between the centre and a limit of an individuals chart: 3 / 1.128.
const RANGES: f64 = 2.66;

/// Limits of the days between two incidents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Below this many days the gap is alarmingly short. None: no gap is.
    pub lower: Option<f64>,
    /// The usual gap, days.
    pub centre: f64,
    /// Above this many days the firm has become safer.
    pub upper: f64,
}

/// What a gap says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The incidents come closer together than chance explains.
    TooShort,
    /// Within the limits.
    Usual,
    /// Longer without an incident than chance explains.
    Longer,
}

impl Limits {
    /// The limits from past gaps in days, in the order of time; 0 for two incidents on one day.
    ///
    /// # Errors
    /// Fewer than two gaps; all gaps alike ([`Uncomputable::NoSpread`]).
    pub fn of(gaps: &[u32]) -> Result<Limits, Uncomputable> {
        if gaps.len() < 2 {
            return Err(Uncomputable::TooFew { what: "gaps", needed: 2, got: gaps.len() });
        }
        let y: Vec<f64> = gaps.iter().map(|x| f64::from(*x).powf(POWER)).collect();
        let mean = y.iter().sum::<f64>() / y.len() as f64;
        let range = y.windows(2).map(|w| (w[1] - w[0]).abs()).sum::<f64>() / (y.len() as f64 - 1.0);
        if range == 0.0 {
            return Err(Uncomputable::NoSpread);
        }
        let days = |y: f64| y.powf(1.0 / POWER);
        let low = mean - RANGES * range;
        Ok(Limits {
            lower: (low > 0.0).then(|| days(low)),
            centre: days(mean),
            upper: days(mean + RANGES * range),
        })
    }

    /// What a new gap of this many days says.
    pub fn judge(&self, gap: u32) -> Verdict {
        let gap = f64::from(gap);
        if self.lower.is_some_and(|lower| gap < lower) {
            Verdict::TooShort
        } else if gap > self.upper {
            Verdict::Longer
        } else {
            Verdict::Usual
        }
    }
}
