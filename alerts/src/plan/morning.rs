//! The list that a township gets in the morning of each workday (S49, people.md 5.1) instead of a message for each: every
//! new incident of its area that is not told at once, and warnings below yellow. What is yellow or more, or severe, is told
//! at once. So are corrections of what was told in a message of its own; those of an incident that a list told of stand in
//! the next list.
//!
//! Warnings that a change of the policy opened or raised go as one list, whoever is told: a new threshold is not news of
//! many accidents (S20).
//!
//! A message of the list is a delivery like any other. Its sender lets it join the digest of the next morning at once
//! ([`crate::quota`]), so it can be added up, corrected and found as all the others.

use tocsin_schemas::codes::{Change, Reason, Role, Rule, Severity, Urgency};
use tocsin_schemas::records::{Alert, Audience};

use crate::decide::{self, hold};

/// When the message of an alert to a role may ring, where townships get their mornings.
pub fn urgency(alert: &Alert, role: Role) -> Urgency {
    let urgency = hold::urgency(alert, role);
    let opens = matches!(alert.change, Change::New | Change::Raised);
    let by_policy = opens && alert.reason == Some(Reason::Policy);
    let owner = matches!(role, Role::Owner | Role::SafetyOfficer);
    let listed = match alert.rule {
        Rule::OwnerIncident => !owner,
        Rule::Escalation => !owner && (urgency == Urgency::Workday || by_policy),
    };
    if listed && urgency != Urgency::AtOnce { Urgency::Morning } else { urgency }
}

/// What a township's lists have of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Nothing, or that it is no more.
    No,
    /// Something that was decided before.
    Before,
    /// This very decision: it is read again after a restart.
    ByThis,
}

/// The township that reads of a decision in the morning. Once of an incident, however many employers and hosts join or
/// leave it; and of its end, when the whole incident is no more. (One that moves to an enterprise of another township
/// stays in the list of the first one: the decision does not say where it went.)
pub fn township(alert: &Alert, listed: impl FnOnce(&Audience) -> Listed) -> Option<Audience> {
    if alert.rule != Rule::OwnerIncident || alert.audiences.is_empty() {
        return None;
    }
    let subject = alert.facts.area.as_deref()?.into();
    let audience = Audience { role: Role::TownshipDuty, subject, year_to_date: None };
    let minor = alert.severity.is_none_or(|severity| severity < Severity::Severe);
    let stands = matches!(alert.reason, Some(Reason::HostChanged | Reason::Moved));
    let reads = match (alert.change, listed(&audience)) {
        (_, Listed::ByThis) => true,
        (Change::New, Listed::No) => minor,
        (change, Listed::Before) => decide::looks_back(change) && !stands,
        (_, Listed::No) => false,
    };
    reads.then_some(audience)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::owner_alert;

    #[test]
    fn a_township_reads_once_of_an_incident_and_of_its_end() {
        use Listed::{Before, ByThis, No};
        for (change, severity, reason, listed, reads) in [
            (Change::New, Severity::Minor, None, No, true),
            (Change::New, Severity::Severe, None, No, false),
            (Change::New, Severity::Minor, None, Before, false),
            (Change::New, Severity::Minor, None, ByThis, true),
            (Change::Corrected, Severity::Minor, Some(Reason::Withdrawn), Before, true),
            (Change::Corrected, Severity::Minor, Some(Reason::Withdrawn), No, false),
            (Change::Corrected, Severity::Minor, Some(Reason::HostChanged), Before, false),
            (Change::Corrected, Severity::Minor, Some(Reason::Moved), Before, false),
            (Change::Downgraded, Severity::Minor, None, Before, true),
            (Change::Upgraded, Severity::Fatal, None, Before, false),
        ] {
            let alert = Alert { reason, ..owner_alert("a", change, severity) };
            let found = township(&alert, |_| listed).is_some();
            assert_eq!(found, reads, "{change} {severity:?} {reason:?} {listed:?}");
        }
    }
}
