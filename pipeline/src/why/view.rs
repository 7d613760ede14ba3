//! What an explanation consists of: plain values with named reasons, to be shown as text or JSON.
//!
//! No name, note or phone of a person stands in any of it; a person is told apart by at most six digits of its key.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tocsin_schemas::codes::{
    Category, Cause, EnterpriseStatus, Level, Problem, Severity, Source, State, Status,
};
use tocsin_schemas::ids::{IncidentId, ReportKey, Uscc};
use tocsin_schemas::records::{Alert, Incident};
use tocsin_schemas::time::{Day, Instant};

use super::listed::EntryExplained;
use super::since::FieldChange;
use crate::Verdict;

/// Why one alert was said.
#[derive(Debug, Clone, Serialize)]
pub struct AlertExplained {
    /// What was said, as the topic `alerts` holds it.
    pub alert: Alert,
    /// By which policy.
    pub policy: PolicyUsed,
    /// The rule's numbers, recomputed from what was known at the decision.
    pub numbers: Numbers,
    /// The incidents it stood on, as known at the decision; of `corrected` as known before it.
    pub incidents: Vec<IncidentView>,
    /// `corrected`: what the decision found in their place. Of an escalation: those that the message before counted and
    /// this one does not; why not stands in [`Numbers::Escalation`].
    pub became: Vec<IncidentView>,
    /// Records that arrived by the decision's instant but, to give what was said, were taken in after it: the log
    /// has no order between partitions.
    pub taken_later: Vec<Place>,
    /// Records that are stamped after the decision's instant but, to give what was said, were known at it: an arrival
    /// far ahead of the wall clock does not move the decision clock.
    pub stamped_ahead: Vec<Place>,
    /// Of a correction: late records, stamped before the decision's instant, that must have been taken in only at it if
    /// what it took back is to have stood before. What was known at the decision is not touched by it. The log does not
    /// say when a late record was taken in: of those that fit, the newest is named.
    pub taken_last: Vec<Place>,
    /// The records that made it a change of what was said before; of a first message none.
    pub brought: Brought,
    /// What came after the decision.
    pub since: Since,
    /// Whether the records give the alert's numbers again.
    pub check: Check,
}

/// Why an incident is as it is.
#[derive(Debug, Clone, Serialize)]
pub struct IncidentExplained {
    /// Its number.
    pub incident_id: IncidentId,
    /// Seen from this day.
    pub as_of: Day,
    /// The record of the topic `incidents`.
    pub record: Option<Incident>,
    /// What its reports make today; more than one where it was split, none where all were withdrawn.
    pub incidents: Vec<IncidentView>,
    /// Where record and recomputation differ.
    pub differences: Vec<Difference>,
    /// Every alert of it, in the order of decision.
    pub alerts: Vec<AlertExplained>,
    /// Escalations that counted it.
    pub named_in: Vec<Alert>,
}

/// What is known of an enterprise.
#[derive(Debug, Clone, Serialize)]
pub struct EnterpriseExplained {
    /// Its code.
    pub uscc: Uscc,
    /// Seen from this day.
    pub as_of: Day,
    /// As whose its incidents are read today, if not as its own.
    pub read_as: Option<Uscc>,
    /// Its versions in the register, in the order of arrival.
    pub registered: Vec<Registered>,
    /// The window that escalations look at, today.
    pub escalation: Numbers,
    /// Its incidents of today, its own and those it hosts, by day.
    pub incidents: Vec<IncidentView>,
    /// Where records and recomputation differ.
    pub differences: Vec<Difference>,
    /// Every alert about it, in the order of decision.
    pub alerts: Vec<AlertExplained>,
    /// Reports in quarantine that name it, in the order of arrival; not those accepted under the same id.
    pub refused: Vec<RefusedView>,
    /// Its newest entry on each list, live and frozen, by key.
    pub lists: Vec<EntryExplained>,
}

/// A report that was refused at the door, as far as it can be read.
#[derive(Debug, Clone, Serialize)]
pub struct RefusedView {
    /// Which; null where its id cannot be read.
    pub report: Option<ReportKey>,
    /// When it arrived.
    pub arrived_at: Instant,
    /// Where the log holds it.
    pub place: Place,
    /// The contract's reason.
    pub reason: String,
    /// The day of the accident that it names, sound or not.
    pub occurred_on: Option<Day>,
}

/// One version of an enterprise's registration.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the fields are those of the contract, records.md section 1")]
pub struct Registered {
    pub uscc: Uscc,
    pub version: u64,
    pub arrived_at: Instant,
    pub name: Arc<str>,
    pub area: Arc<str>,
    pub industry: String,
    pub valid_from: Day,
    pub status: EnterpriseStatus,
    pub successor_of: Option<Uscc>,
}

/// The policy that decided.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyUsed {
    /// Its SHA-256.
    pub hash: Arc<str>,
    /// Whether a policy of this hash is at hand.
    pub at_hand: bool,
    /// The SHA-256 of the one by which the picture is drawn.
    pub used_hash: Arc<str>,
    /// Why that one.
    pub used_because: UsedBecause,
    /// First day of its table that held at the decision; `None`: it is only the one at hand.
    pub effective_from: Option<Day>,
}

/// Why a policy was used to draw the picture of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UsedBecause {
    /// The alert names it.
    Named,
    /// None has the hash that the alert names, as after a release whose policies have further fields; this one was in
    /// force then. If all adds up under it, that is the check; else nothing is judged by it.
    Likely,
    /// None has the hash, and none is known to have been in force then: nothing is judged by it.
    AtHand,
}

/// A rule's numbers.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Numbers {
    /// S15.
    OwnerIncident {
        /// First counting arrival, from a source that does more than suspect.
        first_counting_at: Option<Instant>,
        /// Days from the accident to it.
        days_after: Option<i64>,
        /// The policy's limit.
        max_age_days: u32,
        /// First day of the policy.
        policy_begins: Day,
        /// Enterprises told before and not corrected.
        told_before: Vec<Uscc>,
        /// The severity last told.
        severity_told: Option<Severity>,
    },
    /// S20.
    Escalation {
        /// Days of the window.
        window_days: u16,
        /// Its first day.
        from: Day,
        /// Its last day.
        to: Day,
        /// Counted production incidents in it.
        incidents: u32,
        /// The severe and fatal ones among them.
        severe: u32,
        /// The steps: incidents for blue, yellow, orange, red.
        steps: [u32; 4],
        /// Whether one severe or fatal incident is red.
        severe_is_red: bool,
        /// The level that these numbers reach.
        reaches: Option<Level>,
        /// The level told before; `None`: no escalation was open.
        told_before: Option<Level>,
        /// As whose its incidents are read, if not as its own.
        read_as: Option<Uscc>,
        /// First day of the policy: nothing is opened before.
        policy_begins: Day,
        /// What the message before counted; of the first one of an episode, and of an enterprise as it stands, nothing.
        before: Option<CountedBefore>,
    },
}

impl Numbers {
    /// Of a warning, what left it since the message before.
    pub(super) fn left(&self) -> &[Left] {
        let Numbers::Escalation { before: Some(before), .. } = self else { return &[] };
        &before.left
    }

    /// The reports of those that were withdrawn.
    pub(super) fn gone(&self) -> Vec<ReportKey> {
        self.left().iter().flat_map(|left| &left.reports).map(|r| r.report.clone()).collect()
    }
}

/// What the message before counted. `count` less those that `left`, and with those that `came`, is the alert's count.
#[derive(Debug, Clone, Serialize)]
pub struct CountedBefore {
    /// Which message of the episode.
    pub revision: u32,
    /// How many incidents.
    pub count: u32,
    /// Those that are not counted any more.
    pub left: Vec<Left>,
    /// Those that were not counted then.
    pub came: Vec<IncidentId>,
}

/// An incident that an escalation does not count any more.
#[derive(Debug, Clone, Serialize)]
pub struct Left {
    /// Its number then.
    pub incident_id: IncidentId,
    /// Why.
    pub by: LeftBy,
    /// Where its reports are counted now, if they are.
    pub counted_as: Option<IncidentId>,
    /// Those that the message before counted under its number and that are in no incident now: withdrawn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<ReportView>,
}

/// Why an escalation does not count an incident any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftBy {
    /// Its day is before the window.
    Window,
    /// Its state is not `counted`: refused, suspected.
    State,
    /// All its reports were withdrawn.
    Withdrawn,
    /// It is no production incident any more.
    Category,
    /// It is another enterprise's, or read as another's.
    Enterprise,
    /// It is one with an incident that is counted, under another number.
    Merged,
    /// The records do not say which of its reports were counted then.
    Unknown,
}

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

/// The records that a decision took in, which made it a change of the one before.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Brought {
    /// Versions of the reports concerned, in the order of arrival.
    pub reports: Vec<Changed>,
    /// Versions of the enterprise's registration.
    pub registered: Vec<Registered>,
}

/// What came after a decision.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Since {
    /// Versions of the reports concerned that were taken in later, in the order of arrival.
    pub reports: Vec<Changed>,
    /// Versions of the enterprise's registration that were taken in later.
    pub registered: Vec<Registered>,
    /// What those reports make now.
    pub incidents: Vec<IncidentView>,
    /// Later alerts about the same.
    pub alerts: Vec<Alert>,
}

/// A version that arrived later, and what it changed.
#[derive(Debug, Clone, Serialize)]
pub struct Changed {
    /// The report.
    pub report: ReportKey,
    /// The version.
    pub version: VersionView,
    /// Field, what stood before, what stands since. Empty: nothing that a rule reads.
    pub fields: Vec<FieldChange>,
}

/// Whether an explanation and the record agree.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Check {
    /// What the records do not give again. Not empty: it does not add up, and that is a defect.
    pub differences: Vec<Difference>,
    /// Fields of the alert that could not be checked, because the policy that decided is not at hand.
    pub unchecked: Vec<&'static str>,
}

impl Check {
    /// Whether everything that could be checked agrees.
    pub fn adds_up(&self) -> bool {
        self.differences.is_empty()
    }
}

/// One number that the records do not give again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which.
    pub field: &'static str,
    /// What the record says.
    pub said: String,
    /// What comes out today.
    pub recomputed: String,
}
