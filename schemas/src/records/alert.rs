use std::sync::Arc;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::codes::{Cause, Change, Level, Reason, Role, Rule, Severity};
use crate::ids::{IncidentId, ReportKey, Uscc};
use crate::time::{Day, Instant};

/// The decision to tell one audience something (topic `alerts`, key `uscc`). It carries every fact that
/// its message uses, as of the decision: the worker joins nothing but contacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Hash of rule, subject, episode, revision (and, of a suppressed one, the reason): 26 characters.
    pub alert_id: String,
    /// At most 10 characters that people quote: the incident's number, or the escalation's.
    pub case_no: CompactString,
    /// Which rule decided.
    pub rule: Rule,
    /// What it changes for those who get it.
    pub change: Change,
    /// The incident's id (`owner_incident`) or the USCC (`escalation`).
    pub subject: CompactString,
    /// The enterprise that it is about.
    pub uscc: Uscc,
    /// 1 for `owner_incident`; counts openings of an `escalation`.
    pub episode: u32,
    /// Counts the messages of the episode from 1. A suppressed decision has 0.
    pub revision: u32,
    /// Who is to be told. Empty: recorded, not sent.
    pub audiences: Vec<Audience>,
    /// The level after the change; absent in `closed` and for `owner_incident`.
    pub level: Option<Level>,
    /// `owner_incident`: the present severity; in `corrected` the one last told.
    pub severity: Option<Severity>,
    /// The incidents it is about, sorted.
    pub incident_ids: Vec<IncidentId>,
    /// The reports of those incidents, sorted; in `corrected` as they stood before it.
    pub reports: Vec<ReportKey>,
    /// `owner_incident`: persons, 0 in `corrected`. `escalation`: incidents in the window.
    pub count: u32,
    /// The local day of the decision.
    pub as_of: Day,
    /// The instant of the decision.
    pub decided_at: Instant,
    /// Why, where the change alone does not say it.
    pub reason: Option<Reason>,
    /// SHA-256 (hex) of the policy that decided.
    pub policy_hash: Arc<str>,
    /// What the message says beside the above.
    pub facts: AlertFacts,
}

/// One role to tell, and what is true for it alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// The role.
    pub role: Role,
    /// Whose role: a USCC, an area, a two-digit industry, or the city.
    pub subject: CompactString,
    /// `owner_incident`: incidents of every category at this enterprise (its own, and those at which it
    /// is the host) in the calendar year of the accident, up to `as_of`.
    pub year_to_date: Option<u32>,
}

/// Facts that the texts of people.md section 5.3 use, as of the decision.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AlertFacts {
    /// The enterprise's registered name.
    pub enterprise_name: Option<Arc<str>>,
    /// Its short name, where registered.
    pub short_name: Option<Arc<str>>,
    /// Code of its area at the decision.
    pub area: Option<Arc<str>>,
    /// `owner_incident`: the day of the accident.
    pub occurred_on: Option<Day>,
    /// `owner_incident`: the cause, where known.
    pub cause: Option<Cause>,
    /// `escalation`: days of its window.
    pub window_days: Option<u32>,
    /// `escalation`: the severe and fatal ones among `incident_ids`.
    pub severe_incident_ids: Vec<IncidentId>,
    /// `escalation`: the worst severity among `incident_ids`.
    pub worst: Option<Severity>,
}
