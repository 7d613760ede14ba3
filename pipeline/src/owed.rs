//! What an incident is owed, judged from its record in `incidents` and the policy alone: the other half of the books,
//! which knows nothing of what the decider remembers.
//!
//! A record does not say when a counting report of it first arrived, only when any report did. So what is due is often
//! certain and sometimes not; [`FirstCounting`] says what is known, and [`Owed::Unknown`] that it does not suffice.

use tocsin_schemas::codes::{Reason, State};
use tocsin_schemas::records::Incident;
use tocsin_schemas::time::{Day, Instant};

pub use crate::decider::escalation::warning_number;
use crate::decider::owner_incident::not_due_since;
use crate::policy::Policies;

/// The earliest arrival, over an incident's present reports by sources that do more than suspect, of a version whose
/// status counts (records.md section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstCounting {
    /// It was then.
    At(Instant),
    /// Not before this: the arrival of its first report of any kind (`first_arrived_at`).
    NotBefore(Instant),
}

/// What the owner of the insured employer is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    /// A message, and each change after it.
    Message,
    /// Nothing, unless somebody was told before; and the reason stands in `alerts`.
    Reason(Reason),
    /// One of the two: which one hangs on the first counting arrival.
    Unknown,
    /// Nothing: it does not count. Whoever was told has to be corrected.
    Correction,
}

/// What an incident is owed, seen from a day.
pub fn owed(incident: &Incident, first: FirstCounting, policies: &Policies, as_of: Day) -> Owed {
    if incident.state != State::Counted {
        return Owed::Correction;
    }
    let reason = |first| not_due_since(first, incident.occurred_on, policies, as_of);
    let (earliest, latest) = match first {
        FirstCounting::At(first) => (reason(first), reason(first)),
        // The later the first counting arrival, the older the incident then and the surer the policy has begun. So what
        // holds at both ends holds between them.
        FirstCounting::NotBefore(first) => (reason(first), reason(Instant(i64::MAX))),
    };
    match (earliest, latest) {
        (None, None) => Owed::Message,
        (Some(earliest), Some(latest)) if earliest == latest => Owed::Reason(earliest),
        _ => Owed::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use tocsin_schemas::codes::{Category, Severity};
    use tocsin_schemas::ids::IncidentId;

    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn incident(state: State, occurred_on: &str) -> Incident {
        Incident {
            incident_id: IncidentId(1),
            uscc: "91330784XX00000190".parse().ok(),
            occurred_on: day(occurred_on),
            category: Category::Production,
            severity: Severity::Minor,
            persons: 1,
            state,
            reports: Vec::new(),
            withdrawn: Vec::new(),
            first_arrived_at: Instant(0),
        }
    }

    fn judged(occurred_on: &str, first: FirstCounting, as_of: &str) -> Owed {
        owed(&incident(State::Counted, occurred_on), first, &Policies::default(), day(as_of))
    }

    #[test]
    fn the_ninetieth_day_is_due_and_the_next_one_is_not() {
        let at = |text: &str| FirstCounting::At(day(text).midnight());
        assert_eq!(judged("2025-01-01", at("2025-04-01"), "2025-06-01"), Owed::Message);
        assert_eq!(judged("2025-01-01", at("2025-04-02"), "2025-06-01"), Owed::Reason(Reason::TooOld));
        assert_eq!(judged("2020-11-18", at("2020-11-19"), "2025-06-01"), Owed::Reason(Reason::BeforePolicy));
        assert_eq!(judged("2020-11-19", at("2020-11-20"), "2025-06-01"), Owed::Message);
    }

    #[test]
    fn only_what_holds_for_every_possible_arrival_is_said() {
        let from = |text: &str| FirstCounting::NotBefore(day(text).midnight());
        // By the as-of day it is not 90 days old yet, so it was not when it was first heard of.
        assert_eq!(judged("2025-01-01", from("2025-01-03"), "2025-04-01"), Owed::Message);
        assert_eq!(judged("2025-01-01", from("2025-01-03"), "2025-04-02"), Owed::Unknown);
        assert_eq!(judged("2025-01-01", from("2025-04-02"), "2025-06-01"), Owed::Reason(Reason::TooOld));
        assert_eq!(judged("2020-11-18", from("2020-11-19"), "2020-12-01"), Owed::Unknown);
    }

    #[test]
    fn what_does_not_count_is_owed_a_correction_at_most() {
        for state in [State::Suspected, State::Unmatched, State::Refused, State::Gone] {
            let first = FirstCounting::NotBefore(Instant(0));
            let found = owed(&incident(state, "2025-01-01"), first, &Policies::default(), day("2025-01-02"));
            assert_eq!(found, Owed::Correction);
        }
    }
}
