//! The one place that knows how records stand in the log.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tocsin_schemas::log::{LogRecord, NewRecord};

/// The topics that this crate reads and writes.
pub(crate) mod topic {
    pub const ALERTS: &str = "alerts";
    pub const CONTACTS: &str = "registry.contacts";
    pub const DELIVERIES: &str = "deliveries";
    pub const PROGRESS: &str = "progress";
}

/// The record in `value`, or what is wrong with it. The text quotes nothing of the value: contacts pass here.
pub(crate) fn decode<T: DeserializeOwned>(record: &LogRecord, value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|e| {
        format!(
            "{} partition {} offset {}: {} at column {}",
            record.topic,
            record.partition,
            record.offset,
            match e.classify() {
                serde_json::error::Category::Data => "a field is missing or has a wrong value",
                _ => "no well-formed record",
            },
            e.column()
        )
    })
}

/// The record to append for `value`.
pub(crate) fn encode<T: Serialize>(topic: &str, key: &str, value: &T) -> Result<NewRecord, String> {
    let value = serde_json::to_vec(value).map_err(|e| format!("{topic}: {e}"))?;
    Ok(NewRecord { topic: topic.into(), key: key.as_bytes().to_vec(), value: Some(value), stamp: None })
}
