use serde::{Deserialize, Serialize};

use crate::time::Instant;

/// How far a writer has come (topic `progress`, key `writer`), written in the transaction whose
/// decisions it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Which writer: `pipeline` or `alerts`.
    pub writer: String,
    /// The log that the offsets belong to: another cluster's progress must not be believed.
    pub log_id: String,
    /// The decision clock; absent before the first arrival.
    pub clock: Option<Instant>,
    /// For each input partition the offset of the next record to read, sorted by topic and partition.
    pub offsets: Vec<Offset>,
    /// What became of the records so far.
    pub counters: Counters,
    /// SHA-256 (hex) of the policy that decided.
    pub policy_hash: String,
    /// The next incident number.
    pub next_incident: u32,
    /// How many records stand in the topic `lists`; null of a release that did not count them, and of `alerts`.
    #[serde(default)]
    pub lists: Option<u32>,
}

/// A place in one partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Offset {
    /// The topic.
    pub topic: String,
    /// The partition, from 0.
    pub partition: u32,
    /// The offset of the next record to read.
    #[serde(with = "crate::wire::long")]
    pub next: u64,
}

/// What became of the records at the door: they add up to what arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of summary.json, records.md section 5")]
pub struct Counters {
    #[serde(with = "crate::wire::long")]
    pub accepted: u64,
    #[serde(with = "crate::wire::long")]
    pub duplicates: u64,
    #[serde(with = "crate::wire::long")]
    pub stale: u64,
    #[serde(with = "crate::wire::long")]
    pub conflicts: u64,
    #[serde(with = "crate::wire::long")]
    pub quarantined: u64,
    /// Accepted records with a slip in an optional field; not a class of its own.
    #[serde(with = "crate::wire::long")]
    pub flagged: u64,
}

impl Counters {
    /// All that arrived.
    pub fn arrived(&self) -> u64 {
        self.accepted + self.duplicates + self.stale + self.conflicts + self.quarantined
    }
}
