//! Made-up records go the way of real ones: as JSON through the door, which gives digests and flags.

use serde_json::Value;
use tocsin_schemas::door::{Admitted, admit};
use tocsin_schemas::records::Record;
use tocsin_schemas::time::Instant;
use tocsin_schemas::wire::NoIds;

/// A record as its source would send it, with one field overwritten by a slip if there is one; `None` if the
/// door refuses it.
pub(crate) fn through(record: &Record, slip: Option<(&str, Value)>, arrived_at: Instant) -> Option<Admitted> {
    let (topic, value) = match record {
        Record::Report(r) => (format!("reports.{}", r.source), serde_json::to_value(r)),
        Record::Enterprise(e) => ("registry.enterprises".into(), serde_json::to_value(e)),
        Record::Headcount(h) => ("registry.headcount".into(), serde_json::to_value(h)),
        Record::Contact(c) => ("registry.contacts".into(), serde_json::to_value(c)),
        Record::Governance(g) => ("governance.events".into(), serde_json::to_value(g)),
    };
    let mut value = value.ok()?;
    if let (Some(fields), Some((field, wrong))) = (value.as_object_mut(), slip) {
        fields.insert(field.to_string(), wrong);
    }
    admit(&topic, value.to_string().as_bytes(), arrived_at, &NoIds).ok()
}
