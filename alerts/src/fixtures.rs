//! Small builders for this crate's tests.

use tocsin_schemas::codes::{Change, Level, Role, Rule, Severity, Urgency};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::records::{Alert, AlertFacts, Audience, Delivery, DeliveryState};
use tocsin_schemas::time::{Day, Instant};

pub(crate) fn uscc() -> Uscc {
    "91330784XX00000190".parse().unwrap()
}

pub(crate) fn day() -> Day {
    "2025-03-01".parse().unwrap()
}

/// A new minor incident, told to its owner.
pub(crate) fn owner_alert(id: &str, change: Change, severity: Severity) -> Alert {
    Alert {
        alert_id: id.into(),
        case_no: IncidentId(42).to_string().into(),
        rule: Rule::OwnerIncident,
        change,
        subject: IncidentId(42).to_string().into(),
        uscc: uscc(),
        episode: 1,
        revision: 1,
        audiences: vec![audience(Role::Owner, uscc().as_str())],
        level: None,
        severity: Some(severity),
        incident_ids: vec![IncidentId(42)],
        reports: Vec::new(),
        count: 1,
        as_of: day(),
        decided_at: day().midnight(),
        reason: None,
        policy_hash: "".into(),
        facts: AlertFacts {
            enterprise_name: Some("永康市长城五金工具制造有限责任公司".into()),
            short_name: Some("长城五金".into()),
            area: Some("330784001".into()),
            occurred_on: Some(day().plus(-2)),
            cause: "03".parse().ok(),
            ..AlertFacts::default()
        },
    }
}

/// An escalation, told to the township.
pub(crate) fn escalation(change: Change, level: Option<Level>, count: u32) -> Alert {
    let owner = owner_alert("e1", change, Severity::Minor);
    Alert {
        rule: Rule::Escalation,
        subject: uscc().to_string().into(),
        audiences: vec![audience(Role::TownshipDuty, "330784001")],
        level,
        severity: None,
        count,
        facts: AlertFacts {
            occurred_on: None,
            cause: None,
            window_days: Some(365),
            worst: Some(Severity::Minor),
            ..owner.facts.clone()
        },
        ..owner
    }
}

pub(crate) fn audience(role: Role, subject: &str) -> Audience {
    Audience { role, subject: subject.into(), year_to_date: (role == Role::Owner).then_some(3) }
}

pub(crate) fn delivery(alert_id: &str, state: DeliveryState) -> Delivery {
    Delivery {
        delivery_id: crate::ledger::delivery_id(alert_id, Role::Owner, uscc().as_str(), "webhook", &[]),
        alert_id: alert_id.into(),
        case_no: IncidentId(42).to_string(),
        uscc: uscc(),
        role: Role::Owner,
        subject: uscc().to_string(),
        contact_rank: None,
        contact_version: None,
        channel: "webhook".into(),
        template: "T1".into(),
        state,
        reason: None,
        attempt: 0,
        at: Instant(0),
        due_at: None,
        gateway_ref: None,
        uncertain: false,
        contact_role: None,
        sent_at: None,
        contact_subject: None,
        phone_hash: None,
        address_hash: None,
        change: Change::New,
        urgency: Urgency::Daytime,
        decided_at: None,
        episode: 1,
        revision: 1,
        area: None,
        slots: Default::default(),
    }
}
