//! EARS C1 and C2: is this week's count of a town or industry above its last weeks.
//!
//! Hutwagner, Thompson, Seeman and Treadwell 2003 (*Journal of Urban Health* 80:i89). With mean and standard deviation
//! (divisor n - 1) of the baseline, by default 7 periods:
//!
//! ```text
//! upper bound = mean + z max(sd, min sigma),   z = normal quantile of 1 - alpha
//! ```
//!
//! C1's baseline ends just before the judged period; C2 leaves out the two periods between, so that the beginning of an
//! outbreak does not raise its own bound.
//!
//! Trust it for counts with a mean of 3 or more and little history. **Never for one firm**: seven weeks without an
//! incident have sd 0, and any first incident would alarm. The minimum sigma (0.5 to 1) softens that for small
//! towns; 0 gives the published method. There is no season and no trend in it. C3 is not built: it adds up the
//! excess of three periods, and so alarms late and unclearly about which period it means.

use super::special::normal_quantile;
use super::{Uncomputable, count, not_negative, probability};

/// The settings of a chart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chart {
    /// How many periods the baseline has; at least 2.
    pub baseline: usize,
    /// How many periods between baseline and judged period are left out.
    pub guard: usize,
    /// The chance of a false alarm a period, one-sided, if the counts were normal.
    pub alpha: f64,
    /// The standard deviation is taken to be at least this, in events.
    pub min_sigma: f64,
}

impl Chart {
    /// C1: seven periods just before the judged one.
    pub fn c1(alpha: f64, min_sigma: f64) -> Chart {
        Chart { baseline: 7, guard: 0, alpha, min_sigma }
    }

    /// C2: seven periods, and two left out before the judged one.
    pub fn c2(alpha: f64, min_sigma: f64) -> Chart {
        Chart { baseline: 7, guard: 2, alpha, min_sigma }
    }

    /// The upper bound of the period that follows `before`, in events: alarm above it. `before` holds the counts of
    /// the periods before it without gaps, the latest last; those older than the baseline are not looked at.
    ///
    /// # Errors
    /// Fewer periods than baseline and guard together (C1 judges from the 8th, C2 from the 10th period on); settings
    /// or counts out of range.
    pub fn upper_bound(&self, before: &[u64]) -> Result<f64, Uncomputable> {
        if self.baseline < 2 {
            return Err(Uncomputable::TooFew { what: "periods of baseline", needed: 2, got: self.baseline });
        }
        let z = -normal_quantile(probability("alpha", self.alpha)?);
        let min_sigma = not_negative("the minimum sigma", self.min_sigma)?;
        let needed = self.baseline.saturating_add(self.guard);
        let Some(start) = before.len().checked_sub(needed) else {
            return Err(Uncomputable::TooFew { what: "periods before", needed, got: before.len() });
        };
        let mut baseline = Vec::with_capacity(self.baseline);
        for seen in &before[start..start + self.baseline] {
            baseline.push(count("the count", *seen)?);
        }
        let mean = baseline.iter().sum::<f64>() / baseline.len() as f64;
        let squares: f64 = baseline.iter().map(|x| (x - mean).powi(2)).sum();
        let sigma = (squares / (baseline.len() as f64 - 1.0)).sqrt();
        Ok(mean + z * sigma.max(min_sigma))
    }
}
