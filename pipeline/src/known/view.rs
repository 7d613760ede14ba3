//! What a comparison consists of: plain values with named reasons, to be shown as text or JSON.
//!
//! No name, note or phone of a person stands in any of it; a person is told apart by at most six digits of its key.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tocsin_schemas::codes::{
    Category, Cause, EnterpriseStatus, ListClass, ListReason, Scope, Severity, State, Status, Undetermined,
};
use tocsin_schemas::ids::{ReportKey, Uscc};
use tocsin_schemas::records::{Reference, Window, WindowRate};
use tocsin_schemas::time::{Day, Instant, Month, TimeOfDay};

/// The figures of one scope for one day, as known at two instants, and what lies between them.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// What it is of.
    pub scope: Scope,
    /// Which one.
    pub key: String,
    /// As known at the past instant.
    pub then: Side,
    /// As known at the end of the history.
    pub now: Side,
    /// What changed the figures, or an incident behind them: the policy first, then each record in the order in which
    /// it was taken in. A record's effect is that on top of everything before it.
    pub differences: Vec<Difference>,
    /// The sum of all effects, by window; windows without one are left out.
    pub explained: Vec<Effect>,
    /// Where `then` and `explained` together do not give `now`. Not empty: it does not add up, and that is a defect.
    pub unexplained: Vec<Gap>,
    /// Entries in lists that the differences do not lead to: by year, as they make it (`before`) and as it is (`since`). Not
    /// empty: it does not add up.
    pub lists_unexplained: Vec<ListMoved>,
    /// Records that were taken in after the past instant and changed nothing here.
    pub without_effect: u64,
}

impl Comparison {
    /// Whether `then` and the named differences give `now`: incidents, persons, headcount, in every window, and the
    /// entries in lists.
    pub fn adds_up(&self) -> bool {
        self.unexplained.is_empty() && self.lists_unexplained.is_empty()
    }
}

/// Figures as known at an instant.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// The day that they are for (Asia/Shanghai).
    pub as_of: Day,
    /// Everything that was taken in by this instant is known, and nothing else.
    pub known_at: Instant,
    /// SHA-256 (hex) of the policy that decided what counts as one incident.
    pub policy_hash: Arc<str>,
    /// How many records were known.
    pub records: u64,
    /// The row as `rates` has it but for the shrunken rate, one for each window; `None`: there was none, see `absent`.
    pub windows: Option<Vec<WindowRate>>,
    /// Why there is no row.
    pub absent: Option<Absent>,
    /// Of an enterprise: its entries in the lists of the day's year and the one before, compared with the city's rate and the
    /// model that the end of the day would take from the same records.
    pub lists: Vec<ListEntry>,
}

/// An entry of an enterprise in the list of a year (S11). The fields are those of the topic `lists`, without for how
/// many years running it is key: that hangs on what was frozen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields are those of the topic lists")]
pub struct ListEntry {
    pub year: i32,
    pub class: ListClass,
    pub reasons: Vec<ListReason>,
    pub undetermined: BTreeMap<ListReason, Undetermined>,
    pub incidents: u32,
    pub persons: u32,
    pub severe: u32,
    pub headcount: Option<f64>,
    pub per_thousand: Option<f64>,
    pub shrunken_per_thousand: Option<f64>,
    pub chance_above_city: Option<f64>,
    pub chance_of_as_many: Option<f64>,
}

/// An entry before and since.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListMoved {
    /// Of which year.
    pub year: i32,
    /// `None`: not on the list.
    pub before: Option<ListEntry>,
    /// `None`: not on the list.
    pub since: Option<ListEntry>,
}

/// What the list of a year is compared with, by what was known then and by what is known now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// The year.
    pub year: i32,
    /// By what was known then.
    pub then: Reference,
    /// By what is known now.
    pub now: Reference,
}

/// Why a scope has no figures. Its counts are taken as 0 and its headcount as none in what is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Absent {
    /// The register has no such enterprise.
    NotRegistered,
    /// What is the enterprise's is read as another's, which took it over.
    ReadAs {
        /// The other.
        uscc: Uscc,
    },
    /// No counted production incident in 365 days, this year or the year before to date: no row is published.
    NoIncident,
    /// No registered enterprise belongs to it, or nothing ever happened in it.
    Empty,
}

/// One thing that changed the figures.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// The clock at which it was taken in; `None`: the policy, which is looked at before any record.
    pub taken_in_at: Option<Instant>,
    /// What it is.
    #[serde(flatten)]
    pub cause: Because,
    /// Whether a row came or went with it.
    pub row: Option<Row>,
    /// What it changed, by window; windows without a change are left out.
    pub effect: Vec<Effect>,
    /// What became of the incidents of this scope, in any of its windows.
    pub incidents: Vec<Transition>,
    /// What became of the entries in lists, compared as then.
    pub lists: Vec<ListMoved>,
}

/// Whether a row is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// From here on.
    Appeared,
    /// No longer.
    Vanished,
}

/// What changed something.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are those of the contract, records.md section 1")]
pub enum Because {
    /// Another policy, over the same records.
    Policy {
        /// SHA-256 of the one that was in force at the past instant.
        from: Arc<str>,
        /// That of the newest one.
        to: Arc<str>,
    },
    /// The lists compared with the city's rate and the model of what is known now, after every record.
    ComparedWith {
        /// The lists on which the entry differs by it. Named otherwise in JSON: what became of the entries stands beside it.
        #[serde(rename = "compared")]
        lists: Vec<Compared>,
    },
    /// A version of a report.
    Report {
        report: ReportKey,
        version: u64,
        arrived_at: Instant,
        verdict: &'static str,
        status: Status,
        did: ReportDid,
        /// What a rule reads and what differs: name, before, since.
        fields: Vec<(&'static str, Option<String>, Option<String>)>,
    },
    /// A month's headcount of an enterprise.
    Headcount {
        uscc: Uscc,
        /// As whose it is read, if not as its own.
        read_as: Option<Uscc>,
        month: Month,
        version: u64,
        arrived_at: Instant,
        verdict: &'static str,
        /// What was known before; `None`: nothing.
        before: Option<u32>,
        insured: u32,
    },
    /// A version of an enterprise's registration.
    Register {
        uscc: Uscc,
        version: u64,
        arrived_at: Instant,
        verdict: &'static str,
        name: Arc<str>,
        area: Arc<str>,
        industry: String,
        valid_from: Day,
        status: EnterpriseStatus,
        successor_of: Option<Uscc>,
        /// Whom it moved, as seen from the as-of day: more than one where enterprises are taken over.
        moved: Vec<Moved>,
    },
}

/// What a version of a report did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportDid {
    /// Nothing was known of it.
    Arrived,
    /// Its status counted and does not any more.
    Refused,
    /// Its status did not count and does now.
    Admitted,
    /// It was taken back by its source.
    Withdrawn,
    /// It had been taken back and stands again.
    Restored,
    /// It says something else.
    Replaced,
}

/// Where an enterprise belongs, before and since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Which.
    pub uscc: Uscc,
    /// `None`: not registered.
    pub before: Option<Belongs>,
    /// `None`: not registered.
    pub since: Option<Belongs>,
    /// Whether it was counted in this scope before, and since.
    pub here: (bool, bool),
}

/// Where an enterprise belongs on the as-of day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Belongs {
    /// As whose it is read, if not as its own; then it has no area and no industry.
    pub read_as: Option<Uscc>,
    /// Its area.
    pub area: Option<String>,
    /// Its industry, two digits.
    pub industry: Option<String>,
    /// Its tags, sorted.
    pub tags: Vec<String>,
}

/// What something adds to the figures of one window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    /// Which.
    pub window: Window,
    /// Counted production incidents.
    pub incidents: i64,
    /// Their persons.
    pub persons: i64,
    /// Those incidents whose enterprise has a headcount above 0 in the window.
    pub incidents_with_headcount: i64,
    /// Insured persons; a headcount that is not known counts as 0 here.
    pub headcount: f64,
    /// Enterprises with a headcount record in the window.
    pub known_headcounts: i64,
    /// Incidents of the other categories, without zeros.
    pub other: BTreeMap<Category, i64>,
}

/// A figure that the named differences do not explain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gap {
    /// Where.
    pub window: Window,
    /// Which.
    pub figure: &'static str,
    /// As known then.
    pub then: f64,
    /// The sum of the named differences.
    pub explained: f64,
    /// As known now.
    pub now: f64,
}

/// What became of one incident, or of several that share reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// In words.
    pub how: Vec<How>,
    /// As it was.
    pub before: Vec<Picture>,
    /// As it is.
    pub after: Vec<Picture>,
}

/// What happened to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Nothing was known of it.
    Came,
    /// None of its reports stands any more.
    Went,
    /// Several became one.
    Merged,
    /// One became several.
    Split,
    /// It counts now and did not, or the other way.
    State,
    /// It is another enterprise's.
    Enterprise,
    /// It is read as another enterprise's.
    ReadAs,
    /// It happened on another day.
    Day,
    /// It is of another category.
    Category,
    /// It is more or less severe.
    Severity,
    /// It has more or fewer persons.
    Persons,
    /// It has another cause or time.
    Circumstances,
}

/// An incident as it is known. It has no number here: numbers are history, see `tocsin why`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields are those of an incident, records.md section 5")]
pub struct Picture {
    pub uscc: Option<Uscc>,
    /// Whose it is read as, if another's.
    pub read_as: Option<Uscc>,
    pub occurred_on: Day,
    pub occurred_time: Option<TimeOfDay>,
    pub cause: Option<Cause>,
    pub category: Category,
    pub severity: Severity,
    pub state: State,
    pub persons: u32,
    /// Whether it is counted in this scope and in one of its windows.
    pub here: bool,
    pub reports: Vec<ReportKey>,
}
