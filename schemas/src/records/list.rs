use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codes::{FittedBy, FreezeRefusal, List, ListClass, ListReason, RateReason, Undetermined};
use crate::ids::Uscc;
use crate::time::{Day, Instant};

/// An enterprise on the list of a year, or the list as a whole (topic `lists`; key `annual|YEAR`, `annual|YEAR|USCC`,
/// `frozen|YEAR|EVENT`, `frozen|YEAR|EVENT|USCC`; in EVENT `%` is `%25` and `|` is `%7C`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Which list.
    pub list: List,
    /// Of which calendar year.
    pub year: i32,
    /// The governance event that froze it; of a frozen list only.
    pub event_id: Option<String>,
    /// The day it is seen from (Asia/Shanghai).
    pub as_of: Day,
    /// The clock of the decision that made it what it is.
    pub decided_at: Instant,
    /// SHA-256 (hex) of the policy that decided.
    pub policy_hash: Arc<str>,
    /// What the enterprises of the year were compared with; null before the first midnight.
    pub reference: Option<Reference>,
    /// Of the list as a whole: how many are on it, and who froze it.
    pub whole: Option<Whole>,
    /// Of an enterprise: why it is on it.
    pub member: Option<Member>,
}

/// What the enterprises of a year are compared with: taken at a midnight, so that one incident does not move the lists
/// of all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// The midnight that began this day.
    pub taken_on: Day,
    /// The city's production incidents in the year at enterprises with a headcount above 0.
    pub incidents: u32,
    /// The city's headcount in the year.
    pub headcount: Option<f64>,
    /// A thousand times the one over the other, not annualised; null where it cannot be computed.
    pub per_thousand: Option<f64>,
    /// When a model of all enterprises was last fitted, whether it could be or not.
    pub modelled_on: Option<Day>,
    /// That model: how the rates of all enterprises are spread.
    pub model: Option<Model>,
}

/// How the rates of all enterprises are spread: gamma, fitted to 365 days or a whole calendar year. One for all windows,
/// since it is in person-years.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The midnight that began this day.
    pub taken_on: Day,
    /// The shape.
    pub nu: f64,
    /// The rate, in expected incidents.
    pub alpha: f64,
    /// Incidents of the city for each person and year, in the window that it was fitted to.
    pub per_person_year: f64,
    /// How.
    pub fitted_by: FittedBy,
    /// Enterprises with a headcount above 0.
    pub firms: u32,
    /// Their incidents.
    pub incidents: u32,
}

/// A list as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole {
    /// Key enterprises (重点).
    pub key: u32,
    /// The key enterprises among them that are so for years running (S36).
    pub persistent: u32,
    /// General enterprises (一般).
    pub general: u32,
    /// Who approved that it was frozen. Personal data.
    pub approver: Option<String>,
    /// Why it was not frozen: there is nothing else of it then.
    pub refused: Option<FreezeRefusal>,
    /// Of a frozen list that is equal to the one that was last frozen of the year: the event that froze that one. The
    /// enterprises on it stand there, and not a second time.
    #[serde(default)]
    pub same_as: Option<String>,
}

/// An enterprise on a list. All counts are of the year, to date while it runs; production incidents only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The enterprise.
    pub uscc: Uscc,
    /// Key or general.
    pub class: ListClass,
    /// Why, in the order of the rule.
    pub reasons: Vec<ListReason>,
    /// Tests that could not be made, and why.
    pub undetermined: BTreeMap<ListReason, Undetermined>,
    /// Counted incidents.
    pub incidents: u32,
    /// Their persons.
    pub persons: u32,
    /// The severe and fatal ones among them.
    pub severe: u32,
    /// Mean insured persons; null where no month has a record.
    pub headcount: Option<f64>,
    /// Incidents over headcount, times a thousand, not annualised.
    pub per_thousand: Option<f64>,
    /// Why that cannot be computed.
    pub reason: Option<RateReason>,
    /// The same shrunken towards the city's rate, by the model of the reference.
    pub shrunken_per_thousand: Option<f64>,
    /// The probability that its true rate is above the city's, by the same model.
    pub chance_above_city: Option<f64>,
    /// How often chance alone would give as many incidents, if its true rate were the city's.
    pub chance_of_as_many: Option<f64>,
    /// For how many years running it is key, this one included; 0 for a general one.
    pub key_years: u32,
    /// Whether that makes it persistently so (S36).
    pub persistent: bool,
}

impl Listed {
    /// The year and enterprise of an entry of a live list, by its key; `None` for every other key.
    pub fn live_entry(key: &str) -> Option<(i32, Uscc)> {
        let (year, uscc) = key.strip_prefix(List::Annual.as_str())?.strip_prefix('|')?.split_once('|')?;
        Some((year.parse().ok()?, uscc.parse().ok()?))
    }

    /// An event's id as it stands in a key, whose parts are held apart by `|`.
    pub fn event_in_key(event_id: &str) -> String {
        event_id.replace('%', "%25").replace('|', "%7C")
    }

    /// Its key in the topic. An event's id is free text: what parts a key is written otherwise in it, so that no event
    /// writes over what another one froze.
    pub fn key(&self) -> String {
        let Listed { list, year, .. } = self;
        let event = self.event_id.iter().map(|id| Listed::event_in_key(id));
        let uscc = self.member.iter().map(|member| member.uscc.to_string());
        event.chain(uscc).fold(format!("{list}|{year}"), |key, part| format!("{key}|{part}"))
    }
}
