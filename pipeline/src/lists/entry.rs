//! What an entry of a list says, and the record that says it.

use std::sync::Arc;

use tocsin_schemas::codes::{List, ListClass, RateReason};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Listed, Member, Reference, Whole};

use super::annual::{Against, Verdict, Year};
use crate::policy::Lists as Limits;
use crate::rates::Stamp;

/// What an entry says that makes it be said again when it changes. All else in it follows from this and from what was
/// taken at a midnight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Said {
    pub verdict: Verdict,
    pub incidents: u32,
    pub persons: u32,
    pub severe: u32,
    pub headcount: Option<f64>,
    pub key_years: u32,
    pub persistent: bool,
}

/// How many are on a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    pub key: u32,
    pub persistent: u32,
    pub general: u32,
}

impl Said {
    /// The entry of an enterprise that is key for so many years running (0: it is not).
    pub fn new(year: Year, verdict: Verdict, key_years: u32, persistent_years: u32) -> Said {
        Said {
            verdict,
            incidents: year.incidents(),
            persons: year.tally.persons.max(0).unsigned_abs(),
            severe: year.tally.severe.max(0).unsigned_abs(),
            headcount: year.headcount(),
            key_years,
            persistent: key_years >= persistent_years,
        }
    }

    /// Whether it is that of an enterprise that nobody need judge again: with the figures it was said with, so few
    /// incidents that they are compared with nothing, and none of them severe. Most are.
    pub fn stays(&self, year: Year, limits: &Limits) -> bool {
        let incidents = year.incidents();
        incidents < limits.key_incidents.min(limits.rate_incidents)
            && self.verdict.class == ListClass::General
            && self.verdict.undetermined().next().is_none()
            && self.key_years == 0
            && self.persistent == (limits.persistent_years == 0)
            && (self.incidents, self.severe) == (incidents, 0)
            && year.tally.severe <= 0
            && self.persons == year.tally.persons.max(0).unsigned_abs()
            && self.headcount == year.headcount()
    }

    /// The entry that a record says.
    pub fn of(member: &Member) -> Said {
        Said {
            verdict: Verdict::of(member),
            incidents: member.incidents,
            persons: member.persons,
            severe: member.severe,
            headcount: member.headcount,
            key_years: member.key_years,
            persistent: member.persistent,
        }
    }

    /// Whether the enterprise is key.
    pub fn is_key(&self) -> bool {
        self.verdict.class == ListClass::Key
    }

    /// With everything that explains it: its year, and what that is compared with.
    pub fn member(&self, uscc: Uscc, year: Year, against: &Against) -> Member {
        Member {
            uscc,
            class: self.verdict.class,
            reasons: self.verdict.reasons().collect(),
            undetermined: self.verdict.undetermined().collect(),
            incidents: self.incidents,
            persons: self.persons,
            severe: self.severe,
            headcount: self.headcount,
            per_thousand: year.per_thousand(),
            reason: match self.headcount {
                None => Some(RateReason::HeadcountUnknown),
                Some(0.0) => Some(RateReason::HeadcountZero),
                Some(_) => None,
            },
            shrunken_per_thousand: against.shrunken(year).ok(),
            chance_above_city: against.chance_above_city(year).ok(),
            chance_of_as_many: against.chance_of_as_many(year).ok(),
            key_years: self.key_years,
            persistent: self.persistent,
        }
    }
}

impl Sizes {
    /// An entry comes, or goes.
    pub fn count(&mut self, said: &Said, comes: bool) {
        let add = |to: &mut u32, holds: bool| match (holds, comes) {
            (false, _) => {}
            (true, true) => *to += 1,
            (true, false) => *to = to.saturating_sub(1),
        };
        add(&mut self.key, said.is_key());
        add(&mut self.general, !said.is_key());
        add(&mut self.persistent, said.persistent);
    }

    /// As a record has them.
    pub fn whole(self) -> Whole {
        let Sizes { key, persistent, general } = self;
        Whole { key, persistent, general, approver: None, refused: None, same_as: None }
    }
}

impl From<&Whole> for Sizes {
    fn from(whole: &Whole) -> Sizes {
        Sizes { key: whole.key, persistent: whole.persistent, general: whole.general }
    }
}

/// A record of the list of a year with nothing in it yet.
pub(super) fn bare(year: i32, reference: Option<&Reference>, stamp: &Stamp) -> Listed {
    Listed {
        list: List::Annual,
        year,
        event_id: None,
        as_of: stamp.as_of,
        decided_at: stamp.decided_at,
        policy_hash: Arc::clone(&stamp.policy_hash),
        reference: reference.cloned(),
        whole: None,
        member: None,
    }
}
