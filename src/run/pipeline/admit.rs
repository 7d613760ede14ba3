//! Records through the door: an arrival for the engine, or a record for `quarantine`.

use sha2::{Digest as _, Sha256};
use tocsin_pipeline::Arrival;
use tocsin_schemas::door::{self, Flag, Refusal};
use tocsin_schemas::log::LogRecord;
use tocsin_schemas::records::Quarantined;
use tocsin_schemas::topics;
use tocsin_schemas::wire::SchemaIds;

/// What the door made of a record.
#[derive(Debug)]
pub enum AtDoor {
    /// Accepted, with the slips that were flagged.
    In(Box<Arrival>, Vec<Flag>),
    /// Refused.
    Refused(Box<Quarantined>),
    /// Of the topic `policy`, which has a door of its own: see `super::policy::Standing::judge`.
    Policy(LogRecord),
    /// Nothing that arrived: a tombstone that compaction needs.
    Nothing,
}

/// Gives a record to the door.
pub fn admit(record: LogRecord, schemas: &dyn SchemaIds) -> AtDoor {
    if record.value.is_none() && &*record.topic == topics::CONTACTS {
        return AtDoor::Nothing;
    }
    if &*record.topic == topics::POLICY {
        return AtDoor::Policy(record);
    }
    let raw = record.value.as_deref().unwrap_or_default();
    match door::admit(&record.topic, raw, record.stamp, schemas) {
        Ok(admitted) => {
            for flag in &admitted.flags {
                tracing::debug!(
                    topic = &*record.topic, partition = record.partition, offset = record.offset,
                    field = flag.field, problem = %flag.problem, "slip in an optional field left out"
                );
            }
            let (digest, arrived_at) = (admitted.digest, record.stamp);
            AtDoor::In(Box::new(Arrival { record: admitted.record, digest, arrived_at }), admitted.flags)
        }
        Err(refusal) => AtDoor::Refused(Box::new(quarantined(&record, refusal))),
    }
}

/// What stands in `quarantine` for a refused record.
pub fn quarantined(record: &LogRecord, refusal: Refusal) -> Quarantined {
    let raw = record.value.as_deref().unwrap_or_default();
    Quarantined {
        topic: record.topic.to_string(),
        partition: record.partition,
        offset: record.offset,
        arrived_at: record.stamp,
        reason: refusal.reason.to_string(),
        detail: refusal.detail,
        raw: raw[..raw.len().min(Quarantined::RAW_LIMIT)].to_vec(),
        raw_length: raw.len() as u64,
        raw_sha256: data_encoding::HEXLOWER.encode(&Sha256::digest(raw)),
    }
}
