//! Governance events of ours, appended to `governance.events`: what somebody answers for by name.

use std::sync::Arc;

use tocsin_schemas::log::{EventLog, LogError, NewRecord};
use tocsin_schemas::records::{GovernanceEvent, Record};
use tocsin_schemas::topics::GOVERNANCE;
use tocsin_schemas::wire::{Encoding, encode_in};

/// Appends them, all or none. `writer`: of several who write at once by one name each is heard; `there`: whether the topic
/// holds them, asked where the append's outcome is unknown.
///
/// # Errors
/// Those of the log; after one of them nothing was written.
pub fn append(
    log: &dyn EventLog,
    writer: &str,
    events: &[GovernanceEvent],
    there: impl FnOnce() -> Result<bool, LogError>,
) -> Result<(), LogError> {
    let record = |event: &GovernanceEvent| {
        let value = encode_in(&Record::Governance(event.clone()), Encoding::Json);
        let value = value.map_err(|e| LogError::Damaged(e.to_string()))?;
        let key = event.event_id.clone().into_bytes();
        Ok(NewRecord { topic: Arc::from(GOVERNANCE), key, value: Some(value), stamp: None, route: None })
    };
    let records = events.iter().map(record).collect::<Result<Vec<_>, LogError>>()?;
    match log.writer(writer)?.append(&records) {
        Err(LogError::Uncertain { why }) => {
            // A new writer settles the old one, and then the topic tells.
            log.writer(writer)?;
            if there()? { Ok(()) } else { Err(LogError::Retry { what: "write the event", why }) }
        }
        written => written,
    }
}
