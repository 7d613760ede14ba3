//! Reports that were refused at the door and name an enterprise: nobody knows whether an injury stands behind one, so it
//! breaks no streak, but whoever reads "days without injury" has to know of it.

use serde::Serialize;
use tocsin_schemas::door::Glimpse;
use tocsin_schemas::time::{Day, Instant};

/// A report that was refused, as far as it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// When it arrived.
    pub arrived_at: Instant,
    /// What it says.
    pub glimpse: Glimpse,
}

/// The refused reports that name one enterprise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RefusedReports {
    /// How many; not those that were accepted under the same source and record id.
    pub reports: u32,
    /// The day on which the first one arrived.
    pub first_arrived_on: Day,
    /// The latest day on which one of them says that somebody was hurt; null where none can be read.
    pub last_occurred_on: Option<Day>,
}

impl RefusedReports {
    /// One more of them.
    pub(crate) fn add(sum: &mut Option<RefusedReports>, refused: &Refused) {
        let (arrived_on, occurred_on) = (refused.arrived_at.day(), refused.glimpse.occurred_on);
        let one = RefusedReports { reports: 1, first_arrived_on: arrived_on, last_occurred_on: occurred_on };
        *sum = Some(sum.map_or(one, |sum| RefusedReports {
            reports: sum.reports + 1,
            first_arrived_on: sum.first_arrived_on.min(arrived_on),
            last_occurred_on: sum.last_occurred_on.max(occurred_on),
        }));
    }
}
