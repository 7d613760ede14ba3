//! The files that `tocsin replay` leaves: their shapes, field by field as records.md section 5 names them,
//! and how they are written (all or none of a file: a temporary name first, then a rename).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tocsin_pipeline::{Accounts, Finding};
use tocsin_schemas::codes::{
    Category, Change, Level, RateReason, Reason, Role, Rule, Scope, Severity, ShrunkenReason, State,
};
use tocsin_schemas::door::Flag;
use tocsin_schemas::ids::{IncidentId, ReportKey, Uscc};
use tocsin_schemas::records::{Alert, Counters, Incident, Rate, Window};
use tocsin_schemas::time::{Day, Instant};

/// A line of `incidents.jsonl`.
#[derive(Debug, Serialize)]
pub struct IncidentLine<'a> {
    incident_id: IncidentId,
    uscc: Option<Uscc>,
    occurred_on: Day,
    category: Category,
    severity: Severity,
    persons: u32,
    state: State,
    reports: &'a [ReportKey],
    first_arrived_at: Instant,
}

impl<'a> IncidentLine<'a> {
    /// What the file says of an incident; nothing of one that is gone.
    pub fn of(incident: &'a Incident) -> Option<IncidentLine<'a>> {
        (incident.state != State::Gone).then(|| IncidentLine {
            incident_id: incident.incident_id,
            uscc: incident.uscc,
            occurred_on: incident.occurred_on,
            category: incident.category,
            severity: incident.severity,
            persons: incident.persons,
            state: incident.state,
            reports: &incident.reports,
            first_arrived_at: incident.first_arrived_at,
        })
    }
}

/// A line of `flags.jsonl`: a slip in an optional field of a record that was accepted, or what it made odd beside
/// the records that stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlagLine {
    /// The line of the stream, from 1; `None`: no line brought it about, but a midnight.
    pub line: Option<u64>,
    /// Its topic.
    pub topic: String,
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
    /// What stood there.
    pub found: String,
}

impl FlagLine {
    /// What the file says of a slip.
    pub fn of_slip(line: u64, topic: &str, flag: &Flag) -> FlagLine {
        FlagLine {
            line: Some(line),
            topic: topic.to_owned(),
            field: flag.field.to_owned(),
            problem: flag.problem.to_string(),
            found: flag.found.clone(),
        }
    }

    /// What the file says of a finding; `lines` are those of the records that were admitted with it.
    pub fn of_finding(finding: &Finding, lines: &[u64]) -> FlagLine {
        FlagLine {
            line: finding.arrival().and_then(|arrival| lines.get(arrival).copied()),
            topic: finding.topic().to_owned(),
            field: finding.field().to_owned(),
            problem: finding.problem().to_string(),
            found: finding.to_string(),
        }
    }
}

/// A line of `rates.jsonl`.
#[derive(Debug, Serialize)]
pub struct RateLine<'a> {
    scope: Scope,
    key: &'a str,
    window: Window,
    as_of: Day,
    incidents: u32,
    persons: u32,
    incidents_with_headcount: u32,
    headcount: Option<f64>,
    per_thousand: Option<f64>,
    reason: Option<RateReason>,
    low: Option<f64>,
    high: Option<f64>,
    shrunken: Option<f64>,
    shrunken_reason: Option<ShrunkenReason>,
    rankable: bool,
    other: &'a BTreeMap<Category, u32>,
}

impl<'a> From<&'a Rate> for RateLine<'a> {
    fn from(rate: &'a Rate) -> RateLine<'a> {
        RateLine {
            scope: rate.scope,
            key: &rate.key,
            window: rate.window,
            as_of: rate.as_of,
            incidents: rate.incidents,
            persons: rate.persons,
            incidents_with_headcount: rate.incidents_with_headcount,
            headcount: rate.headcount,
            per_thousand: rate.per_thousand,
            reason: rate.reason,
            low: rate.low,
            high: rate.high,
            shrunken: rate.shrunken,
            shrunken_reason: rate.shrunken_reason,
            rankable: rate.rankable,
            other: &rate.other,
        }
    }
}

/// One who is told, without the facts that only the text needs.
#[derive(Debug, Serialize)]
pub struct AudienceLine<'a> {
    role: Role,
    subject: &'a str,
}

/// A line of `alerts.jsonl`.
#[derive(Debug, Serialize)]
pub struct AlertLine<'a> {
    alert_id: &'a str,
    rule: Rule,
    change: Change,
    subject: &'a str,
    episode: u32,
    revision: u32,
    audiences: Vec<AudienceLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<Level>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    incident_ids: &'a [IncidentId],
    reports: &'a [ReportKey],
    count: u32,
    as_of: Day,
    decided_at: Instant,
    reason: Option<Reason>,
    policy_hash: &'a str,
}

impl<'a> AlertLine<'a> {
    /// What the file says of an alert; nothing of a suppressed one (`not_due` counts those).
    pub fn of(alert: &'a Alert) -> Option<AlertLine<'a>> {
        (alert.change != Change::Suppressed).then(|| AlertLine {
            alert_id: &alert.alert_id,
            rule: alert.rule,
            change: alert.change,
            subject: &alert.subject,
            episode: alert.episode,
            revision: alert.revision,
            audiences: alert
                .audiences
                .iter()
                .map(|a| AudienceLine { role: a.role, subject: &a.subject })
                .collect(),
            level: alert.level,
            severity: alert.severity,
            incident_ids: &alert.incident_ids,
            reports: &alert.reports,
            count: alert.count,
            as_of: alert.as_of,
            decided_at: alert.decided_at,
            reason: alert.reason,
            policy_hash: &alert.policy_hash,
        })
    }
}

/// A line of `quarantine.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuarantineLine {
    /// The line of the stream, from 1.
    pub line: u64,
    /// Its topic, where it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The contract's reason.
    pub reason: String,
    /// What was expected and what came.
    pub detail: String,
    /// Its bytes (the first 1 MiB) as text; what is no UTF-8 is replaced.
    pub raw: String,
    /// Its bytes, where they are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
}

impl QuarantineLine {
    /// With the bytes that were kept.
    pub fn new(
        line: u64,
        topic: Option<String>,
        reason: String,
        detail: String,
        raw: &[u8],
    ) -> QuarantineLine {
        let (raw, raw_base64) = match std::str::from_utf8(raw) {
            Ok(text) => (text.to_owned(), None),
            Err(_) => (String::from_utf8_lossy(raw).into_owned(), Some(data_encoding::BASE64.encode(raw))),
        };
        QuarantineLine { line, topic, reason, detail, raw, raw_base64 }
    }
}

/// `summary.json`.
#[derive(Debug, Serialize)]
pub struct Summary<'a> {
    /// Lines of the stream: the sum of the next five.
    pub lines: u64,
    accepted: u64,
    duplicates: u64,
    stale: u64,
    conflicts: u64,
    quarantined: u64,
    /// Records with a flag.
    flagged: u64,
    incidents: BTreeMap<State, u64>,
    alerts: &'a BTreeMap<Rule, BTreeMap<Change, u64>>,
    not_due: BTreeMap<Reason, u64>,
    unaccounted: u64,
    as_of: Option<Day>,
    policy_hash: &'a str,
}

impl<'a> Summary<'a> {
    /// Puts the counts together.
    pub fn new(
        lines: u64,
        counters: Counters,
        incidents: &[Incident],
        alerts: &'a BTreeMap<Rule, BTreeMap<Change, u64>>,
        accounts: Accounts,
        as_of: Option<Day>,
        policy_hash: &'a str,
    ) -> Summary<'a> {
        let mut states = BTreeMap::new();
        for incident in incidents.iter().filter(|i| i.state != State::Gone) {
            *states.entry(incident.state).or_insert(0) += 1;
        }
        Summary {
            lines,
            accepted: counters.accepted,
            duplicates: counters.duplicates,
            stale: counters.stale,
            conflicts: counters.conflicts,
            quarantined: counters.quarantined,
            flagged: counters.flagged,
            incidents: states,
            alerts,
            not_due: accounts.not_due,
            unaccounted: accounts.unaccounted,
            as_of,
            policy_hash,
        }
    }
}

/// A file under way: it gets its name when it is complete and on the disk.
pub struct Pending {
    out: BufWriter<fs::File>,
    temporary: PathBuf,
    path: PathBuf,
}

impl Pending {
    /// Begins `dir/name` under a temporary name; an older file stays until [`Pending::keep`].
    ///
    /// # Errors
    /// Those of creating a file.
    pub fn begin(dir: &Path, name: &str) -> io::Result<Pending> {
        let temporary = dir.join(format!(".{name}.{}", std::process::id()));
        let out = BufWriter::with_capacity(1 << 16, fs::File::create(&temporary)?);
        Ok(Pending { out, temporary, path: dir.join(name) })
    }

    /// Adds a record as a line of JSON. Numbers keep their full double precision.
    ///
    /// # Errors
    /// Those of writing.
    pub fn line(&mut self, record: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, record)?;
        self.out.write_all(b"\n")
    }

    /// Adds a record as JSON for people, over several lines.
    ///
    /// # Errors
    /// Those of writing.
    pub fn pretty(&mut self, record: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.out, record)?;
        self.out.write_all(b"\n")
    }

    /// Gives the complete file its name.
    ///
    /// # Errors
    /// Those of writing and renaming; an older file of the name is then still there.
    pub fn keep(mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for Pending {
    /// Leaves nothing half done: after `keep` the temporary name is not there any more.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary);
    }
}
