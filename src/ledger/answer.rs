//! What a reconciliation answers: how each case stands, and what is missing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tocsin_schemas::codes::Role;
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::time::Instant;

/// What a case is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// An incident that counts.
    Counted,
    /// An incident that does not, of which somebody was told once.
    NotCounted,
    /// An episode of an escalation.
    Warning,
}

impl What {
    /// Every kind.
    pub const ALL: [What; 3] = [What::Counted, What::NotCounted, What::Warning];

    /// The name in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            What::Counted => "counted",
            What::NotCounted => "not_counted",
            What::Warning => "warning",
        }
    }
}

/// The step that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It had to be said, and no alert says it.
    NoAlert,
    /// It was suppressed for a reason that the policy does not bear out.
    WrongReason,
    /// It was said, and `incidents` does not know of it.
    NoIncident,
    /// The alert worker has passed the alert, and there is no delivery to this audience.
    NoDelivery,
    /// A delivery is planned and has no due time, so nothing will move it.
    OpenWithoutDueTime,
    /// A delivery is open, but the alert worker has passed its alert and will not look at it again.
    LeftBehind,
    /// A delivery has failed or was skipped, and no reason is named.
    NoReason,
}

impl Step {
    /// Every step.
    pub const ALL: [Step; 7] = [
        Step::NoAlert,
        Step::WrongReason,
        Step::NoIncident,
        Step::NoDelivery,
        Step::OpenWithoutDueTime,
        Step::LeftBehind,
        Step::NoReason,
    ];

    /// The name in tables, JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Step::NoAlert => "no_alert",
            Step::WrongReason => "wrong_reason",
            Step::NoIncident => "no_incident",
            Step::NoDelivery => "no_delivery",
            Step::OpenWithoutDueTime => "open_without_due_time",
            Step::LeftBehind => "left_behind",
            Step::NoReason => "no_reason",
        }
    }

    /// What somebody has to do next.
    pub const fn next_step(self) -> &'static str {
        match self {
            Step::NoAlert | Step::WrongReason | Step::NoIncident => {
                "stop `tocsin run` and start it again: the guard at its start counts what is missing and sends nothing; \
                 restore the topic, or accept the difference; until then tell by hand"
            }
            Step::NoDelivery => {
                "tell this audience by hand, then see whether the topic deliveries was emptied or half restored"
            }
            Step::OpenWithoutDueTime | Step::LeftBehind | Step::NoReason => {
                "tell this audience by hand, and report it with this output: a defect of the alert worker"
            }
        }
    }
}

/// How a case stands. The first that applies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "standing", content = "reason", rename_all = "snake_case")]
pub enum Standing {
    /// Something is missing.
    Unaccounted(Step),
    /// A message is on its way: not taken in yet, planned with a due time, or being sent.
    Pending(&'static str),
    /// The newest message to somebody was not delivered, for this reason.
    NotDelivered(String),
    /// Nobody had to be told, for this reason.
    Suppressed(&'static str),
    /// Everybody who had to be was told.
    Told,
    /// It is recorded and has nobody to be told.
    Recorded,
}

impl Standing {
    /// Every name.
    pub const NAMES: [&'static str; 6] =
        ["unaccounted", "pending", "not_delivered", "suppressed", "told", "recorded"];

    /// Its name without the reason.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Standing::Unaccounted(_) => "unaccounted",
            Standing::Pending(_) => "pending",
            Standing::NotDelivered(_) => "not_delivered",
            Standing::Suppressed(_) => "suppressed",
            Standing::Told => "told",
            Standing::Recorded => "recorded",
        }
    }

    /// The reason, or nothing.
    pub fn reason(&self) -> &str {
        match self {
            Standing::Unaccounted(step) => step.as_str(),
            Standing::Pending(why) | Standing::Suppressed(why) => why,
            Standing::NotDelivered(why) => why,
            Standing::Told | Standing::Recorded => "",
        }
    }
}

/// Something that is missing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Missing {
    /// The number that people quote.
    pub case_no: String,
    /// The step.
    pub step: Step,
    /// What is missing, in words.
    pub detail: String,
    /// The enterprise, where one is known.
    pub uscc: Option<Uscc>,
    /// The alert, where there is one.
    pub alert_id: Option<String>,
    /// The audience, where it is about one.
    pub role: Option<Role>,
    /// See `role`.
    pub subject: Option<String>,
    /// What to do next.
    pub next_step: &'static str,
}

/// Cases that stand alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What they are.
    pub what: What,
    /// How they stand.
    #[serde(flatten)]
    pub standing: Standing,
    /// How many.
    pub cases: u64,
}

/// What a look missed: case and step.
pub type Looked = BTreeSet<(String, Step)>;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Reconciliation {
    /// Cases by what they are and how they stand. Their sum is every counted incident, every other one of which
    /// anybody was told, and every warning.
    pub rows: Vec<Row>,
    /// Cases of which something is missing. Must be 0.
    pub unaccounted: u64,
    /// What is missing, by case.
    pub missing: Vec<Missing>,
    /// Messages, which are audiences of alerts, by the state of their delivery and its reason; those without one yet
    /// are `not_taken_in`.
    pub messages: BTreeMap<String, BTreeMap<String, u64>>,
    /// The oldest decision of which a message is pending.
    pub pending_since: Option<Instant>,
    /// Suppressed incidents of which the records at hand do not say whether the reason is right.
    pub unjudged: Vec<IncidentId>,
    /// Everything that this look missed, confirmed or not: for the next one.
    #[serde(skip)]
    pub in_sight: Looked,
}

impl Reconciliation {
    /// How many cases are such and stand so.
    pub fn count(&self, what: What, standing: &str) -> u64 {
        let of = |row: &&Row| row.what == what && row.standing.as_str() == standing;
        self.rows.iter().filter(of).map(|row| row.cases).sum()
    }
}
