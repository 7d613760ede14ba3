//! What the rules need of a report: compact, shared by pointer through the whole engine.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use tocsin_schemas::codes::{Category, Cause, Source, Status};
use tocsin_schemas::ids::{PersonKey, ReportKey, Uscc};
use tocsin_schemas::records::{Digest, Report};
use tocsin_schemas::time::{Day, Instant, TimeOfDay};

/// The newest version of one report, and when the log first heard of it.
///
/// Post, process, equipment, names and note stay in the log: no rule of this crate reads them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Facts {
    pub key: ReportKey,
    /// Earliest arrival of any version.
    pub first_arrived_at: Instant,
    /// Earliest arrival of a version whose status counts.
    pub first_counting_at: Option<Instant>,
    pub version: u64,
    pub digest: Digest,
    pub status: Status,
    pub category: Category,
    pub occurred_on: Day,
    pub occurred_time: Option<TimeOfDay>,
    pub uscc: Option<Uscc>,
    pub host_uscc: Option<Uscc>,
    pub person_key: Option<PersonKey>,
    pub incident_no: Option<CompactString>,
    pub cause: Option<Cause>,
    pub lost_days: Option<u32>,
    pub disability_grade: Option<u8>,
    pub died: bool,
}

/// A report as it is handed around.
pub type Shared = Arc<Facts>;

/// The age of a report (records.md 2.6): first arrival, then source order, then record id.
pub type Age = (Instant, ReportKey);

impl Facts {
    /// The facts of a report that arrived now for the first time.
    pub fn of(report: &Report, digest: Digest, arrived_at: Instant) -> Facts {
        Facts {
            key: report.key(),
            first_arrived_at: arrived_at,
            first_counting_at: report.status.counts().then_some(arrived_at),
            version: report.version,
            digest,
            status: report.status,
            category: report.category,
            occurred_on: report.occurred_on,
            occurred_time: report.occurred_time,
            uscc: report.uscc,
            host_uscc: report.host_uscc,
            person_key: report.person_key,
            incident_no: report.incident_no.clone(),
            cause: report.cause,
            lost_days: report.lost_days,
            disability_grade: report.disability_grade,
            died: report.died_on.is_some(),
        }
    }

    /// Who says it.
    pub fn source(&self) -> Source {
        self.key.source
    }

    /// Its age.
    pub fn age(&self) -> Age {
        (self.first_arrived_at, self.key.clone())
    }

    /// Whether it is in a case at all.
    pub fn stands(&self) -> bool {
        self.status != Status::Withdrawn
    }
}

impl Hash for Facts {
    /// By key alone: two facts of one report never stand side by side.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}
