//! What the topic `policy` holds: TOML texts in the order in which they were published. The newest valid one is in
//! force; one that cannot be used changes nothing and stands in quarantine.

use tocsin_pipeline::Policies;
use tocsin_schemas::door::{MAX_RECORD_BYTES, Refusal, RefusalReason};
use tocsin_schemas::log::{EventLog, LogError, LogRecord};
use tocsin_schemas::records::Quarantined;
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics::POLICY;

use crate::run::pipeline::admit::quarantined;
use crate::run::pipeline::start;

/// A policy of the topic.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its number among the valid ones of the topic, from 1.
    pub version: u32,
    /// Where it stands.
    pub offset: u64,
    /// When it was published.
    pub published_at: Instant,
    /// What it says.
    pub policies: Policies,
}

/// What the topic holds.
#[derive(Debug, Default)]
pub struct Held {
    /// Those that can be used, oldest first.
    pub valid: Vec<Published>,
    /// Those that cannot, oldest first.
    pub refused: Vec<Quarantined>,
    /// The offset after them all.
    pub next: u64,
}

impl Held {
    /// The one in force, if there is one.
    pub fn newest(&self) -> Option<&Published> {
        self.valid.last()
    }
}

/// Reads the topic to its present end.
///
/// # Errors
/// Those of the log.
pub fn read(log: &dyn EventLog) -> Result<Held, LogError> {
    let mut held = Held::default();
    let ends = start::read_all(log, POLICY, &mut |record| {
        match admit(&record) {
            Ok(policies) => {
                let (version, offset) = (held.valid.len() as u32 + 1, record.offset);
                held.valid.push(Published { version, offset, published_at: record.stamp, policies });
            }
            Err(refusal) => held.refused.push(quarantined(&record, refusal)),
        }
        Ok(())
    })?;
    // It has one partition, for life.
    held.next = ends.first().copied().unwrap_or_default();
    Ok(held)
}

/// The door of the topic.
///
/// # Errors
/// What is wrong with the text, with line and column.
pub fn admit(record: &LogRecord) -> Result<Policies, Refusal> {
    let refused = |detail: String| Refusal { reason: RefusalReason::BadPolicy, detail };
    let raw = record.value.as_deref().unwrap_or_default();
    if raw.len() > MAX_RECORD_BYTES {
        let found = raw.len();
        return Err(refused(format!("a policy has at most {MAX_RECORD_BYTES} bytes, found {found}")));
    }
    let text = std::str::from_utf8(raw).map_err(|e| {
        let line = raw[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        refused(format!("line {line}: expected a TOML text in UTF-8, found other bytes"))
    })?;
    Policies::parse(text).map_err(|e| refused(e.to_string()))
}
