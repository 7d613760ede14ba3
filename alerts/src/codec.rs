//! The one place that knows how records stand in the log.

use tocsin_schemas::door;
use tocsin_schemas::log::{LogRecord, NewRecord};
use tocsin_schemas::records::{Contact, Digest, GovernanceEvent, Record};
use tocsin_schemas::wire::{self, OutputRecord, SchemaIds};

/// The topics that this crate reads and writes.
pub(crate) mod topic {
    pub use tocsin_schemas::topics::{ALERTS, ANSWERS, CONTACTS, DELIVERIES, GOVERNANCE, MEMBERS, PROGRESS};
}

/// A record of our own, or what is wrong with it and where it stands.
pub(crate) fn decode<T: OutputRecord>(record: &LogRecord, value: &[u8]) -> Result<T, String> {
    wire::decode(value)
        .map_err(|e| format!("{} partition {} offset {}: {e}", record.topic, record.partition, record.offset))
}

/// The record to append for `value`.
pub(crate) fn encode<T: OutputRecord>(value: &T) -> NewRecord {
    NewRecord {
        topic: T::TOPIC.into(),
        key: value.key(),
        value: Some(wire::encode(value)),
        stamp: None,
        route: value.route(),
    }
}

/// A contact as the door lets it in, or why it does not. The text holds nothing personal.
pub(crate) fn contact(
    record: &LogRecord,
    value: &[u8],
    schemas: &dyn SchemaIds,
) -> Result<(Contact, Digest), String> {
    let admitted = door::admit(&record.topic, value, record.stamp, schemas).map_err(|e| e.to_string())?;
    match admitted.record {
        Record::Contact(contact) => Ok((contact, admitted.digest)),
        _ => Err("not a contact".into()),
    }
}

/// A governance event as the door lets it in, or why it does not.
pub(crate) fn governance(
    record: &LogRecord,
    value: &[u8],
    schemas: &dyn SchemaIds,
) -> Result<(GovernanceEvent, Digest), String> {
    let admitted = door::admit(&record.topic, value, record.stamp, schemas).map_err(|e| e.to_string())?;
    match admitted.record {
        Record::Governance(event) => Ok((event, admitted.digest)),
        _ => Err("not a governance event".into()),
    }
}
