//! What stands beside a raw rate, so that nobody takes chance for risk: its limits, its shrunken value, and whether it
//! may be ranked (`docs/statistics.md`).

use std::sync::Arc;

use tocsin_schemas::codes::{Scope, ShrunkenReason};
use tocsin_schemas::records::{Window, WindowRate};

use super::Stamp;
use crate::model::Model;
use crate::policy::Statistics;
use crate::statistics::Confidence;
use crate::statistics::limits::KeptLimits;

/// How it is made at present; the same for all rates that stand.
pub(super) struct Beside {
    policy: Statistics,
    limits: Arc<KeptLimits>,
    model: Option<Arc<Model>>,
}

/// Which rates have something else beside them than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewed {
    Nothing,
    Enterprises,
    All,
}

impl Default for Beside {
    fn default() -> Beside {
        Beside::new(Statistics::default(), None)
    }
}

impl Beside {
    fn new(policy: Statistics, model: Option<Arc<Model>>) -> Beside {
        // The policy's range lies within what a level may be.
        let confidence = Confidence::new(policy.confidence).unwrap_or(Confidence::P95);
        Beside { policy, limits: Arc::new(KeptLimits::new(confidence)), model }
    }

    /// How it is made from now on, if that is otherwise, as the stamp says; which rates have to be made anew because of it.
    pub fn renewed(&self, stamp: &Stamp) -> (Option<Beside>, Renewed) {
        let model = || stamp.model.clone();
        if self.policy != stamp.statistics {
            (Some(Beside::new(stamp.statistics, model())), Renewed::All)
        } else if self.model != stamp.model {
            let (policy, limits) = (self.policy, Arc::clone(&self.limits));
            (Some(Beside { policy, limits, model: model() }), Renewed::Enterprises)
        } else {
            (None, Renewed::Nothing)
        }
    }

    /// Raw rates, with what stands beside them.
    pub fn of(&self, scope: Scope, mut windows: Vec<WindowRate>) -> Vec<WindowRate> {
        for rate in &mut windows {
            let headcount = rate.headcount.filter(|_| rate.reason.is_none());
            // No city has so many incidents that a count has no limits.
            let limits = self.limits.of(u64::from(rate.incidents_with_headcount)).ok();
            if let Some((headcount, limits)) = headcount.zip(limits) {
                rate.low = Some(1000.0 * limits.lower / headcount);
                rate.high = Some(1000.0 * limits.upper / headcount);
            }
            rate.rankable =
                rate.reason.is_none() && rate.incidents_with_headcount >= self.policy.rank_min_incidents;
            match self.shrunken(scope, rate) {
                Ok(shrunken) => rate.shrunken = Some(shrunken),
                Err(reason) => rate.shrunken_reason = Some(reason),
            }
        }
        windows
    }

    fn shrunken(&self, scope: Scope, rate: &WindowRate) -> Result<f64, ShrunkenReason> {
        if let Some(reason) = rate.reason {
            return Err(reason.into());
        }
        if scope != Scope::Enterprise {
            return Err(ShrunkenReason::Group);
        }
        let Window::Rolling(days) = rate.window else { return Err(ShrunkenReason::ToDate) };
        match (&self.model, rate.headcount) {
            (Some(model), Some(headcount)) => {
                Ok(model.shrunken_per_thousand(rate.incidents_with_headcount, headcount, u32::from(days)))
            }
            _ => Err(ShrunkenReason::NoModel),
        }
    }
}
