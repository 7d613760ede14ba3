//! The digest of a record: what the door computes.
use sha2::{Digest as _, Sha256};
use tocsin_schemas::records::{Digest, Record};

/// SHA-256 of the record's JSON with sorted keys and without absent fields.
pub(crate) fn of(record: &Record) -> Digest {
    let value = match record {
        Record::Report(r) => serde_json::to_value(r),
        Record::Enterprise(e) => serde_json::to_value(e),
        Record::Headcount(h) => serde_json::to_value(h),
        Record::Contact(c) => serde_json::to_value(c),
        Record::Governance(g) => serde_json::to_value(g),
    };
    let mut value = value.unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, v| !v.is_null());
    }
    Sha256::digest(value.to_string().as_bytes()).into()
}
