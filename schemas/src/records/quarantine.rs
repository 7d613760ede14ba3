use serde::{Deserialize, Serialize};

use crate::time::Instant;

/// A record that was refused at the door (topic `quarantine`, key `topic/partition/offset`). May hold
/// personal data: whatever the source sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Where it was read.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    #[serde(with = "crate::wire::long")]
    pub offset: u64,
    /// When it arrived.
    pub arrived_at: Instant,
    /// The contract's reason, such as `missing_field:occurred_on`.
    pub reason: String,
    /// What was expected and what came.
    pub detail: String,
    /// The first 1 MiB of its bytes.
    #[serde(with = "serde_bytes")]
    pub raw: Vec<u8>,
    /// Length of the whole record in bytes.
    #[serde(with = "crate::wire::long")]
    pub raw_length: u64,
    /// SHA-256 (hex) of the whole record.
    pub raw_sha256: String,
}

impl Quarantined {
    /// How many bytes of a record are kept.
    pub const RAW_LIMIT: usize = 1 << 20;
}
