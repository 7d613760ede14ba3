//! What was said, as plain values.

use tocsin_schemas::codes::{Cause, Change, Level, Reason, Role, Rule, Severity};
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
    /// What the message says beside the above; see [`told_facts`].
    pub facts: Facts,
}

/// The facts of an alert that follow from the contract alone. Of `corrected` and `suppressed` ones only what
/// concerns the enterprise is compared: which day and cause a correction names is nowhere laid down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
#[allow(missing_docs, reason = "the fields are those of `AlertFacts`")]
pub struct Facts {
    pub enterprise_name: Option<String>,
    pub short_name: Option<String>,
    pub area: Option<String>,
    pub occurred_on: Option<Day>,
    pub cause: Option<Cause>,
    pub window_days: Option<u32>,
    pub severe_incident_ids: Vec<IncidentId>,
    pub worst: Option<Severity>,
}

/// The comparable facts of an alert.
fn told_facts(alert: &Alert) -> Facts {
    let f = alert.facts.clone();
    let whole = !matches!(alert.change, Change::Corrected | Change::Suppressed);
    let mut severe_incident_ids = f.severe_incident_ids;
    severe_incident_ids.sort();
    Facts {
        enterprise_name: f.enterprise_name.map(|n| n.to_string()),
        short_name: f.short_name.map(|n| n.to_string()),
        area: f.area.map(|n| n.to_string()),
        occurred_on: f.occurred_on.filter(|_| whole),
        cause: f.cause.filter(|_| whole),
        window_days: f.window_days,
        severe_incident_ids,
        worst: f.worst,
    }
}

impl Said {
    /// The comparable part of an alert of the engine.
    pub fn of(alert: &Alert) -> Said {
        let mut audiences: Vec<_> =
            alert.audiences.iter().map(|a| (a.role, a.subject.to_string(), a.year_to_date)).collect();
        audiences.sort();
        let mut incident_ids = alert.incident_ids.clone();
        incident_ids.sort();
        let mut reports = alert.reports.clone();
        reports.sort();
        Said {
            decided_at: alert.decided_at,
            as_of: alert.as_of,
            rule: alert.rule,
            subject: alert.subject.to_string(),
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
            facts: told_facts(alert),
        }
    }
}
