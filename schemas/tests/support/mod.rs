//! Records to test with, as JSON that single tests change.
#![allow(dead_code, reason = "each test file uses a part")]

use serde_json::{Value, json};
use tocsin_schemas::door::{self, Admitted, Refusal};
use tocsin_schemas::time::Instant;
use tocsin_schemas::wire::NoIds;

pub const USCC: &str = "91330784XX00000190";
pub const OTHER_USCC: &str = "91330784XX000006X3";
/// The check symbol is wrong by one.
pub const SLIPPED_USCC: &str = "91330784XX00000191";
pub const DETAILS: &str = r#"{"no":"2025-7","due":{"days":15}}"#;

/// Every topic for records in, with a record that has every field.
pub fn full_records() -> Vec<(&'static str, Value)> {
    vec![
        ("reports.hr", report()),
        ("registry.enterprises", enterprise()),
        ("registry.headcount", headcount()),
        ("registry.contacts", contact()),
        ("governance.events", governance()),
    ]
}

pub fn report() -> Value {
    json!({
        "source": "hr", "source_record_id": "HR-1", "version": 1, "status": "recognised",
        "category": "production", "occurred_on": "2025-02-28", "occurred_time": "08:30",
        "reported_at": "2025-03-01T08:00:00+08:00", "uscc": USCC, "employer_name": "某某五金厂",
        "host_uscc": OTHER_USCC, "person_key": "0123456789abcdef".repeat(4), "incident_no": "7",
        "cause": "03", "post": "冲压工", "process": "冲压", "equipment": "冲床", "note": "右手",
        "lost_days": 120, "disability_grade": 7, "died_on": "2025-03-01",
    })
}

pub fn enterprise() -> Value {
    json!({
        "uscc": USCC, "version": 3, "name": "永康市某某五金厂", "short_name": "某某五金", "area": "330784106",
        "industry": "3311", "valid_from": "2025-01-01", "status": "active",
        "tags": ["special_equipment", "state_owned"], "successor_of": OTHER_USCC,
    })
}

pub fn headcount() -> Value {
    json!({"uscc": USCC, "month": "2025-02", "insured": 88, "version": 1})
}

pub fn contact() -> Value {
    json!({
        "role": "owner", "subject": USCC, "rank": 2, "name": "王某", "phone": "+8613800000000",
        "addresses": {"webhook": "https://example.org/x", "dingtalk": "u1"}, "valid_from": "2025-01-01",
        "valid_to": "2025-12-31", "verified_on": "2025-01-02", "version": 4,
    })
}

pub fn governance() -> Value {
    json!({
        "event_id": "e1", "kind": "letter", "subject": USCC, "on": "2025-03-01", "version": 1,
        "actor": "clerk-1", "approver": "head-1", "details": {"no": "2025-7", "due": {"days": 15}},
    })
}

pub fn arrived() -> Instant {
    "2025-03-01T12:00:00+08:00".parse().unwrap()
}

pub fn admit(topic: &str, value: &Value) -> Result<Admitted, Refusal> {
    door::admit(topic, value.to_string().as_bytes(), arrived(), &NoIds)
}

pub fn with(mut record: Value, field: &str, value: Value) -> Value {
    record[field] = value;
    record
}

pub fn without(mut record: Value, field: &str) -> Value {
    record.as_object_mut().unwrap().remove(field);
    record
}
