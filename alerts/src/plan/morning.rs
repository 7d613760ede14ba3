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

/// The township that reads of an incident in the morning. `told`: whether one of its lists told of it before.
pub fn township(alert: &Alert, told: impl FnOnce(&Audience) -> bool) -> Option<Audience> {
    if alert.rule != Rule::OwnerIncident || alert.audiences.is_empty() {
        return None;
    }
    let subject = alert.facts.area.as_deref()?.into();
    let audience = Audience { role: Role::TownshipDuty, subject, year_to_date: None };
    let minor = alert.severity.is_none_or(|severity| severity < Severity::Severe);
    let reads = match alert.change {
        Change::New => minor,
        change if decide::looks_back(change) => told(&audience),
        _ => false,
    };
    reads.then_some(audience)
}
