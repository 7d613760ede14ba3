//! What an explanation consists of: plain values with named reasons, to be shown as text or JSON.
//!
//! No name, note or phone of a person stands in any of it; a person is told apart by at most six digits of its key.

mod incident;

use std::sync::Arc;

use serde::Serialize;
use tocsin_schemas::codes::{EnterpriseStatus, Level, Severity};
use tocsin_schemas::ids::{IncidentId, ReportKey, Uscc};
use tocsin_schemas::records::{Alert, Incident};
use tocsin_schemas::time::{Day, Instant};

pub use self::incident::{
    ApartBy, ApartView, CaseView, Differ, Given, How, IncidentView, LinkBy, LinkView, Place, ReportView,
    Said, SeverityWhy, Slip, StateWhy, TakenBy, VersionView,
};
use super::listed::EntryExplained;
use super::since::FieldChange;

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
    /// Of an owner's message: those of other numbers, up to its instant, that spoke of a report of its own. Where cases are
    /// joined or come apart, a number may end and the next one begin.
    pub told_as: Vec<Alert>,
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
    /// The records that made it a change of what was said before; of a first message those behind it that are none of its
    /// own reports, such as a registration.
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
    /// Every alert about it or for its owner, in the order of decision.
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
        /// What the count of the year that each owner was told consists of.
        year: Vec<YearCount>,
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
    /// An owner's, with the counts of the year.
    pub(super) fn with_year(mut self, counts: Vec<YearCount>) -> Numbers {
        if let Numbers::OwnerIncident { year, .. } = &mut self {
            *year = counts;
        }
        self
    }

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

/// The incidents behind `year_to_date`: every category, own ones and those at which it is the host, in the calendar year
/// of the accident up to the decision's day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct YearCount {
    /// The enterprise whose owner was told.
    pub subject: Uscc,
    /// Its registered name, as known then.
    pub name: Option<Arc<str>>,
    /// The count that was told.
    pub said: Option<u32>,
    /// First day.
    pub from: Day,
    /// Last day.
    pub to: Day,
    /// What the records give, by day and number: own ones, then hosted ones.
    pub incidents: Vec<InYear>,
}

/// An incident of a year's count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InYear {
    /// `None`: no record gives it a number.
    pub incident_id: Option<IncidentId>,
    /// Its day.
    pub occurred_on: Day,
    /// Whether the enterprise was its host, and not the employer.
    pub hosted: bool,
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

/// The records that a decision took in, which made it a change of the one before; of a first message those that are none
/// of its own reports.
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
    /// Later alerts about the same; of an owner's message also those of other numbers that speak of a report of its own.
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
