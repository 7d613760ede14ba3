//! A governance event of ours, appended to `governance.events`: what somebody answers for by name.

use std::sync::Arc;

use tocsin_schemas::log::{EventLog, LogError, NewRecord};
use tocsin_schemas::records::{GovernanceEvent, Record};
use tocsin_schemas::topics::GOVERNANCE;
use tocsin_schemas::wire::{Encoding, encode_in};

/// Appends it. `writer`: of several who write at once by one name each is heard; `there`: whether the topic holds it,
/// asked where the append's outcome is unknown.
///
/// # Errors
/// Those of the log; after one of them nothing was written.
pub fn append(
    log: &dyn EventLog,
    writer: &str,
    event: &GovernanceEvent,
    there: impl FnOnce() -> Result<bool, LogError>,
) -> Result<(), LogError> {
    let record = Record::Governance(event.clone());
    let value = encode_in(&record, Encoding::Json).map_err(|e| LogError::Damaged(e.to_string()))?;
    let key = event.event_id.clone().into_bytes();
    let record =
        NewRecord { topic: Arc::from(GOVERNANCE), key, value: Some(value), stamp: None, route: None };
    match log.writer(writer)?.append(&[record]) {
        Err(LogError::Uncertain { why }) => {
            // A new writer settles the old one, and then the topic tells.
            log.writer(writer)?;
            if there()? { Ok(()) } else { Err(LogError::Retry { what: "write the event", why }) }
        }
        written => written,
    }
}
