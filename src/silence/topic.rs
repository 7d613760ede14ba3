//! The silences on the topic `governance.events`: read, and a version appended.

use tocsin_alerts::silences::{Details, KIND, Silence, Silences};
use tocsin_schemas::log::{EventLog, LogError};
use tocsin_schemas::records::GovernanceEvent;
use tocsin_schemas::wire::SchemaIds;

use crate::governance;
use crate::run::wall::WallClock;

/// The name of the writer: of several who write at once each is heard; one version counts by its digest.
const WRITER: &str = "silence";

/// What the topic holds.
#[derive(Debug, Default)]
pub struct Held {
    /// The silences as they stand.
    pub silences: Silences,
    /// What is wrong with silences that say nothing valid.
    pub wrong: Vec<String>,
}

/// Reads the topic to its present end.
///
/// # Errors
/// Those of the log.
pub fn read(log: &dyn EventLog, schemas: &dyn SchemaIds) -> Result<Held, LogError> {
    let mut held = Held::default();
    governance::each(log, schemas, |event, digest| {
        if let Err(wrong) = held.silences.apply(event, digest) {
            held.wrong.push(wrong);
        }
    })?;
    Ok(held)
}

/// The event that says this silence.
fn event(silence: &Silence) -> Result<GovernanceEvent, LogError> {
    let details =
        serde_json::to_string::<Details>(&silence.details).map_err(|e| LogError::Damaged(e.to_string()))?;
    Ok(GovernanceEvent {
        event_id: silence.event_id.clone(),
        kind: KIND.to_owned(),
        subject: silence.subject.clone(),
        on: silence.on,
        version: silence.version,
        actor: silence.author.clone(),
        approver: None,
        details,
    })
}

/// Appends it, with the day of this clock.
///
/// # Errors
/// Those of the log; after one of them nothing was written, but for `Uncertain`: nobody knows.
pub fn append(
    log: &dyn EventLog,
    schemas: &dyn SchemaIds,
    silence: &Silence,
    wall: &WallClock,
) -> Result<(), LogError> {
    governance::append(log, WRITER, &[event(silence)?], wall, || {
        Ok(read(log, schemas)?.silences.all().any(|standing| standing == silence))
    })
}
