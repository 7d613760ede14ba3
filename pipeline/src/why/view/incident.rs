//! One incident in an explanation: its cases, their fields, and the reports with all their versions.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tocsin_schemas::codes::{Category, Cause, Problem, Severity, Source, State, Status};
use tocsin_schemas::ids::{IncidentId, ReportKey, Uscc};
use tocsin_schemas::time::{Day, Instant};

use crate::Verdict;
use crate::why::since::FieldChange;

/// One incident, merged.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the fields are those of an incident, records.md section 5")]
pub struct IncidentView {
    /// `None`: no record gives it a number.
    pub incident_id: Option<IncidentId>,
    pub uscc: Option<Uscc>,
    /// Whose it is read as, if another's.
    pub read_as: Option<Uscc>,
    pub hosts: Vec<Uscc>,
    pub occurred_on: Day,
    pub category: Category,
    pub severity: Severity,
    pub state: State,
    pub persons: u32,
    pub cases: Vec<CaseView>,
    /// What made one incident of several cases.
    pub links: Vec<LinkView>,
    /// Other counted incidents of its enterprise and day, and what keeps each apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<ApartView>,
    /// Reports that were withdrawn while they stood here.
    pub withdrawn: Vec<ReportView>,
}

/// One injured person in one incident.
#[derive(Debug, Clone, Serialize)]
pub struct CaseView {
    /// At most six digits of the person's key.
    pub person: Option<String>,
    /// What it is.
    pub state: State,
    /// Why.
    pub state_by: StateWhy,
    /// How bad.
    pub severity: Severity,
    /// Why.
    pub severity_by: SeverityWhy,
    /// Its fields, each with the report that gives it.
    pub fields: Vec<Given>,
    /// Where its reports do not say the same.
    pub differ: Vec<Differ>,
    /// Its reports, the one that is believed first first.
    pub reports: Vec<ReportView>,
}

/// A field of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Given {
    /// Its name.
    pub field: &'static str,
    /// What it says.
    pub value: String,
    /// The first report, in source order, that has it.
    pub from: ReportKey,
}

/// Reports of one case that say different things of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Differ {
    /// The field; `severity` is what each report makes of the case by itself.
    pub field: &'static str,
    /// What the case has.
    pub taken: String,
    /// By which rule (records.md section 2).
    pub by: TakenBy,
    /// What each report says that gives it, the one that is believed first first.
    pub said: Vec<Said>,
}

/// What one report says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// The report.
    pub from: ReportKey,
    /// Its version that stands; what lower ones said is replaced.
    pub version: u64,
    /// What it says.
    pub value: String,
}

/// The rule that takes one of several values (records.md section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TakenBy {
    /// The first report that gives it, by source order.
    SourceOrder,
    /// All are of one source: the smallest record id.
    RecordId,
    /// Fatal if any report says that the person died; else the lost days and the grade that are taken decide.
    Severity,
}

/// Why a case counts, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum StateWhy {
    /// The status of the report that is believed first.
    Status {
        /// The status.
        status: Status,
        /// The report.
        from: ReportKey,
    },
    /// Only hospitals or the police know of it.
    OnlySuspects,
    /// No report names an enterprise.
    NoEnterprise,
    /// The enterprise is not registered.
    NotRegistered,
}

/// What makes a case as severe as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum SeverityWhy {
    /// The person died.
    Died {
        /// Who says so.
        from: ReportKey,
    },
    /// Lost days at or over the limit.
    LostDays {
        /// Days.
        days: u32,
        /// The policy's limit.
        limit: u32,
        /// Who says so.
        from: ReportKey,
    },
    /// A disability grade at or under the limit.
    Grade {
        /// The grade, 1 worst.
        grade: u8,
        /// The policy's limit.
        limit: u8,
        /// Who says so.
        from: ReportKey,
    },
    /// Nothing known reaches a limit.
    Neither,
}

/// One report with its versions.
#[derive(Debug, Clone, Serialize)]
pub struct ReportView {
    /// Which.
    pub report: ReportKey,
    /// At most six digits of the person's key.
    pub person: Option<String>,
    /// How it came into its case.
    pub how: How,
    /// What arrived, in the order of the log.
    pub versions: Vec<VersionView>,
}

/// How a report came into its case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// By the key of its person.
    Keyed,
    /// It has no key and joined the first case of its enterprise and day that had no report of its source.
    Joined,
    /// It has no key and found no case to join: it began this one.
    Alone,
    /// It was taken back by its source.
    Withdrawn,
}

/// One version of a report as it arrived.
#[derive(Debug, Clone, Serialize)]
pub struct VersionView {
    /// Its version.
    pub version: u64,
    /// When it arrived.
    pub arrived_at: Instant,
    /// Where the log holds it.
    pub place: Place,
    /// Its status.
    pub status: Status,
    /// What the door made of it.
    #[serde(serialize_with = "verdict")]
    pub verdict: Verdict,
    /// Whether it is the one that stands.
    pub stands: bool,
    /// What it changed of the version that stood before: field, what that said, what it says itself. In a list of
    /// changes those stand beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<FieldChange>,
    /// What the door left out of it, so that it is *not given*.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Slip>,
}

/// A bad value in an optional field (`flags.jsonl` in the contract). Nothing personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slip {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
    /// What came; of a personal field only its size.
    pub found: String,
}

fn verdict<S: serde::Serializer>(verdict: &Verdict, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(verdict.as_str())
}

/// A place in the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Place {
    pub topic: Arc<str>,
    pub partition: u32,
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// Two cases that are one incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkView {
    /// The best report of the one.
    pub first: ReportKey,
    /// The best report of the other.
    pub second: ReportKey,
    /// By what.
    pub by: LinkBy,
}

/// Another incident of one enterprise and day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApartView {
    /// Its number; `None`: no record gives it one.
    pub other: Option<IncidentId>,
    /// Its best report.
    pub report: ReportKey,
    /// What keeps them apart, beside that no source gives both one number of the event.
    pub by: ApartBy,
}

/// What keeps two incidents apart; the nearest to being one comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum ApartBy {
    /// One cause, but their times are too far apart.
    Minutes {
        /// Minutes between them.
        minutes_apart: u16,
        /// The cause.
        cause: Cause,
        /// The policy's limit.
        limit: u32,
    },
    /// One cause, but a time is not given.
    NoTime {
        /// The cause.
        cause: Cause,
        /// The policy's limit, which cannot be asked for.
        limit: u32,
    },
    /// A cause is not given.
    NoCause,
    /// Their causes differ.
    Causes {
        /// Of the one.
        one: Cause,
        /// Of the other.
        other: Cause,
    },
}

/// What makes two cases one incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum LinkBy {
    /// One source gives both the same number of the event.
    IncidentNo {
        /// The source.
        source: Source,
        /// The number.
        number: String,
    },
    /// One cause, and times that are near enough.
    TimeAndCause {
        /// The cause.
        cause: Cause,
        /// Minutes between them.
        minutes_apart: u16,
        /// The policy's limit.
        limit: u32,
    },
}
