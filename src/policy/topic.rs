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
    Policies::parse_bytes(raw).map_err(|e| refused(e.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn whatever_stands_on_the_topic_is_a_policy_or_refused_with_its_place() {
        let of = |value: Option<&[u8]>| {
            let (topic, value) = (Arc::from(POLICY), value.map(<[u8]>::to_vec));
            let record = LogRecord { topic, partition: 0, offset: 0, stamp: Instant(0), key: None, value };
            admit(&record).map(|p| p.hash().to_string()).map_err(|r| r.to_string())
        };
        let text = Policies::default().to_toml().unwrap();
        assert_eq!(of(Some(text.as_bytes())), Ok(Policies::default().hash().to_string()));
        for (value, said) in [
            (None, "bad_policy: line 1, column 1: expected at least one [[policy]] table, found none"),
            (Some(&b"{}"[..]), "bad_policy: line 1, column 1: "),
            (Some(b"[[policy]]\neffective_from = \xFF"), "bad_policy: line 2, column 18: "),
        ] {
            let found = of(value).unwrap_err();
            assert!(found.starts_with(said), "{found}");
        }
        let long = vec![b'#'; MAX_RECORD_BYTES + 1];
        assert!(of(Some(&long)).unwrap_err().contains("at most 1048576 bytes, found 1048577"));
    }
}
