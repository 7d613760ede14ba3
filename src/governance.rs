//! Governance events of ours, appended to `governance.events`: what somebody answers for by name.

use std::sync::Arc;

use tocsin_schemas::log::{EventLog, LogError, NewRecord};
use tocsin_schemas::records::{Digest, GovernanceEvent, Record};
use tocsin_schemas::topics::GOVERNANCE;
use tocsin_schemas::wire::{Encoding, SchemaIds, encode_in};

use crate::run::pipeline::admit::{AtDoor, admit};
use crate::run::pipeline::start::read_all;
use crate::run::wall::WallClock;

/// Appends them, all or none. `writer`: of several who write at once by one name each is heard; `wall`: the clock whose day
/// the records bear ([`WallClock::stamp`]); `there`: whether the topic holds them, asked where the append's outcome is unknown.
///
/// # Errors
/// Those of the log; after one of them nothing was written, but for `Uncertain`: nobody knows.
pub fn append(
    log: &dyn EventLog,
    writer: &str,
    events: &[GovernanceEvent],
    wall: &WallClock,
    there: impl FnOnce() -> Result<bool, LogError>,
) -> Result<(), LogError> {
    let record = |event: &GovernanceEvent| {
        let value = encode_in(&Record::Governance(event.clone()), Encoding::Json);
        let value = value.map_err(|e| LogError::Damaged(e.to_string()))?;
        let key = event.event_id.clone().into_bytes();
        Ok(NewRecord {
            topic: Arc::from(GOVERNANCE),
            key,
            value: Some(value),
            stamp: wall.stamp(),
            route: None,
        })
    };
    let records = events.iter().map(record).collect::<Result<Vec<_>, LogError>>()?;
    match log.writer(writer)?.append(&records) {
        Err(LogError::Uncertain { why }) => {
            // A new writer settles the old one, and then the topic tells.
            let settled = log.writer(writer).and_then(|_| there());
            let there = settled.map_err(|e| LogError::Uncertain { why: format!("{why}; then: {e}") })?;
            if there { Ok(()) } else { Err(LogError::Retry { what: "write the event", why }) }
        }
        written => written,
    }
}

/// Calls `each` with every event that stands on the topic, and the digest of its canonical JSON. What the door refuses
/// stands in quarantine and says nothing.
///
/// # Errors
/// Those of the log.
pub fn each(
    log: &dyn EventLog,
    schemas: &dyn SchemaIds,
    mut each: impl FnMut(&GovernanceEvent, Digest),
) -> Result<(), LogError> {
    read_all(log, GOVERNANCE, &mut |record| {
        if let AtDoor::In(arrival, _) = admit(record, schemas)
            && let Record::Governance(event) = &arrival.record
        {
            each(event, arrival.digest);
        }
        Ok(())
    })
    .map(drop)
}
