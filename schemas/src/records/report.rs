use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::codes::{Category, Cause, Source, Status};
use crate::ids::{PersonKey, ReportKey, Uscc};
use crate::time::{Day, Instant, TimeOfDay};

/// What one source says about one injured person (topic `reports.<source>`, key `source_record_id`).
///
/// Versioned: a higher version replaces a lower one, whatever the order of arrival.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the contract, records.md section 1")]
pub struct Report {
    pub source: Source,
    pub source_record_id: CompactString,
    #[serde(with = "crate::wire::long")]
    pub version: u64,
    pub status: Status,
    pub category: Category,
    pub occurred_on: Day,
    pub occurred_time: Option<TimeOfDay>,
    pub reported_at: Instant,
    pub uscc: Option<Uscc>,
    pub employer_name: Option<CompactString>,
    pub host_uscc: Option<Uscc>,
    pub person_key: Option<PersonKey>,
    pub incident_no: Option<CompactString>,
    pub cause: Option<Cause>,
    pub post: Option<CompactString>,
    pub process: Option<CompactString>,
    pub equipment: Option<CompactString>,
    /// Personal data: masked before it leaves the source's connector, or absent.
    pub note: Option<CompactString>,
    pub lost_days: Option<u32>,
    pub disability_grade: Option<u8>,
    pub died_on: Option<Day>,
}

impl Report {
    /// What names this report for ever.
    pub fn key(&self) -> ReportKey {
        ReportKey { source: self.source, id: self.source_record_id.clone() }
    }
}
