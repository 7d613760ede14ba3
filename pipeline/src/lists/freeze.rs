//! Freezing the list of a year (S11: a yearly snapshot): opened by a governance event with a named approver.
//!
//! The event has the kind `freeze_list` and the year as its subject. What is frozen is the list as known at the decision
//! that takes the event in; the same log gives the same list for ever. The first version of an event decides: a later
//! one, or a later report, changes nothing, and who wants another list freezes it under another event.
//!
//! A list that says what the one that was last frozen of the year says, by the same policy, names that one instead of
//! saying it again: a sender that tries again under new ids would write the whole list each time.
//!
//! So every event that was taken in has a record in the topic `lists`. A restart holds it to that: one that has none was
//! lost, and is not frozen anew from what is known since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_schemas::codes::FreezeRefusal;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{GovernanceEvent, Member};
use tocsin_schemas::time::Day;

/// The kind of event that freezes a list.
const KIND: &str = "freeze_list";

/// The longest event id, in bytes, that a list is frozen under: it stands in the key and the value of every record.
const LONGEST_ID: usize = 256;

/// A wish to freeze a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Freeze {
    pub event_id: String,
    /// The year that it names, if it names one.
    pub year: Option<i32>,
    /// Who approved it, if anybody did.
    pub approver: Option<String>,
    /// It was taken in before, and nothing is known of what was made of it.
    pub lost: bool,
}

/// The list that was last frozen in full.
#[derive(Debug)]
pub(super) struct Frozen {
    pub year: i32,
    pub event_id: String,
    pub policy_hash: Arc<str>,
    pub members: BTreeMap<Uscc, Member>,
}

impl Frozen {
    /// The event that froze it, if that is what would be frozen now.
    pub fn same(&self, year: i32, policy_hash: &str, members: &BTreeMap<Uscc, Member>) -> Option<&str> {
        let same = self.year == year && *self.policy_hash == *policy_hash && self.members == *members;
        same.then_some(&*self.event_id)
    }
}

/// The events that a rebuild brings, by id: which of them asked to freeze a list.
#[derive(Debug, Default)]
pub(crate) struct Asked(BTreeMap<String, Option<Freeze>>);

impl Asked {
    /// A rebuild brings events in any order, and only the first one to arrive decided. So one that asks for something
    /// else in another version is left alone.
    pub fn by(&mut self, event: &GovernanceEvent) {
        match Freeze::of(event) {
            Some(freeze) => drop(self.0.entry(event.event_id.clone()).or_insert(Some(freeze))),
            None => drop(self.0.insert(event.event_id.clone(), None)),
        }
    }

    /// Those of which nothing is known, by id.
    pub fn lost(&self, decided: &BTreeSet<String>) -> impl Iterator<Item = Freeze> {
        let all = self.0.values().flatten().filter(|freeze| !decided.contains(&freeze.event_id));
        all.map(|freeze| Freeze { lost: true, ..freeze.clone() })
    }
}

impl Freeze {
    /// The wish of an event, if it is one.
    pub fn of(event: &GovernanceEvent) -> Option<Freeze> {
        let named = |approver: &&String| !approver.trim().is_empty();
        (event.kind == KIND).then(|| Freeze {
            event_id: event.event_id.clone(),
            year: event.subject.trim().parse().ok(),
            approver: event.approver.as_ref().filter(named).map(|approver| approver.trim().to_owned()),
            lost: false,
        })
    }

    /// The year to freeze, as seen from a day, and who answers for it.
    ///
    /// # Errors
    /// Why it is not frozen: it was, and that is lost; no year, no name, a year that is not over, one whose list is not kept
    /// any more, or an event id that is too long.
    pub fn decide(&self, as_of: Day) -> Result<(i32, &str), FreezeRefusal> {
        let this_year = i32::from(as_of.date().year());
        match (self.year, self.approver.as_deref()) {
            _ if self.lost => Err(FreezeRefusal::NoRecord),
            (None, _) => Err(FreezeRefusal::NotAYear),
            (Some(year), _) if year >= this_year => Err(FreezeRefusal::YearNotOver),
            (Some(year), _) if year < this_year - 1 => Err(FreezeRefusal::YearTooOld),
            (Some(_), None) => Err(FreezeRefusal::NoApprover),
            _ if self.event_id.len() > LONGEST_ID => Err(FreezeRefusal::EventIdTooLong),
            (Some(year), Some(approver)) => Ok((year, approver)),
        }
    }
}
