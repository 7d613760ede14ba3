//! Freezing the list of a year (S11: a yearly snapshot): opened by a governance event with a named approver.
//!
//! The event has the kind `freeze_list` and the year as its subject. What is frozen is the list as known at the decision
//! that takes the event in; the same log gives the same list for ever. The first version of an event decides: a later
//! one, or a later report, changes nothing, and who wants another list freezes it under another event.

use tocsin_schemas::codes::FreezeRefusal;
use tocsin_schemas::records::GovernanceEvent;
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
}

impl Freeze {
    /// The wish of an event, if it is one.
    pub fn of(event: &GovernanceEvent) -> Option<Freeze> {
        let named = |approver: &&String| !approver.trim().is_empty();
        (event.kind == KIND).then(|| Freeze {
            event_id: event.event_id.clone(),
            year: event.subject.trim().parse().ok(),
            approver: event.approver.as_ref().filter(named).map(|approver| approver.trim().to_owned()),
        })
    }

    /// The year to freeze, as seen from a day, and who answers for it.
    ///
    /// # Errors
    /// Why it is not frozen: no year, no name, a year that is not over, one whose list is not kept any more, or an event
    /// id that is too long.
    pub fn decide(&self, as_of: Day) -> Result<(i32, &str), FreezeRefusal> {
        let this_year = i32::from(as_of.date().year());
        match (self.year, self.approver.as_deref()) {
            (None, _) => Err(FreezeRefusal::NotAYear),
            (Some(year), _) if year >= this_year => Err(FreezeRefusal::YearNotOver),
            (Some(year), _) if year < this_year - 1 => Err(FreezeRefusal::YearTooOld),
            (Some(_), None) => Err(FreezeRefusal::NoApprover),
            _ if self.event_id.len() > LONGEST_ID => Err(FreezeRefusal::EventIdTooLong),
            (Some(year), Some(approver)) => Ok((year, approver)),
        }
    }
}
