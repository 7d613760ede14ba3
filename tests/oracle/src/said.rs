//! What was said, as plain values.

use tocsin_schemas::codes::{Change, Level, Reason, Role, Rule, Severity};
use tocsin_schemas::ids::{IncidentId, ReportKey, Uscc};
use tocsin_schemas::records::Alert;
use tocsin_schemas::time::{Day, Instant};

/// One message of one decision: the fields of [`Alert`] that the contract fixes. Lists are sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the fields are those of `Alert`")]
pub struct Said {
    pub decided_at: Instant,
    pub as_of: Day,
    pub rule: Rule,
    pub subject: String,
    pub episode: u32,
    pub revision: u32,
    pub change: Change,
    pub reason: Option<Reason>,
    pub uscc: Uscc,
    /// Role, subject, year to date.
    pub audiences: Vec<(Role, String, Option<u32>)>,
    pub level: Option<Level>,
    pub severity: Option<Severity>,
    pub count: u32,
    pub incident_ids: Vec<IncidentId>,
    pub reports: Vec<ReportKey>,
}

impl Said {
    /// The comparable part of an alert of the engine.
    pub fn of(alert: &Alert) -> Said {
        let mut audiences: Vec<_> =
            alert.audiences.iter().map(|a| (a.role, a.subject.clone(), a.year_to_date)).collect();
        audiences.sort();
        let mut incident_ids = alert.incident_ids.clone();
        incident_ids.sort();
        let mut reports = alert.reports.clone();
        reports.sort();
        Said {
            decided_at: alert.decided_at,
            as_of: alert.as_of,
            rule: alert.rule,
            subject: alert.subject.clone(),
            episode: alert.episode,
            revision: alert.revision,
            change: alert.change,
            reason: alert.reason,
            uscc: alert.uscc,
            audiences,
            level: alert.level,
            severity: alert.severity,
            count: alert.count,
            incident_ids,
            reports,
        }
    }
}
