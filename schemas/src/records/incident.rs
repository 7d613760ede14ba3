use serde::{Deserialize, Serialize};

use crate::codes::{Category, Severity, State};
use crate::ids::{IncidentId, ReportKey, Uscc};
use crate::time::{Day, Instant};

/// One incident as last decided (topic `incidents`, key `incident_id`): a *source of truth*, because the
/// ids stand nowhere else. A report stands in exactly one record. A dead incident stays as `gone` and
/// keeps the reports withdrawn with it, which bring its id back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number; never given twice.
    pub incident_id: IncidentId,
    /// The insured employer, where known.
    pub uscc: Option<Uscc>,
    /// The day of the accident. Of a `gone` one: as it last stood.
    pub occurred_on: Day,
    /// That of the worst case.
    pub category: Category,
    /// That of the worst case.
    pub severity: Severity,
    /// Number of its cases; 0 when gone.
    pub persons: u32,
    /// Whether it counts.
    pub state: State,
    /// The present reports, sorted.
    pub reports: Vec<ReportKey>,
    /// Reports that were withdrawn while they stood here, sorted.
    pub withdrawn: Vec<ReportKey>,
    /// The earliest arrival of its reports.
    pub first_arrived_at: Instant,
}
