//! The reply callback, one JSON object: what a person wrote back. It names a phone and no message.

use serde::Deserialize;
use tocsin_schemas::time::Instant;

use crate::gateways::{NotAReceipt, Written};

#[derive(Deserialize)]
struct Reply {
    mobile: String,
    text: String,
    /// Seconds since 1970.
    #[serde(default)]
    time: Option<i64>,
}

/// The reply of a pushed body.
pub(super) fn replies(body: &[u8]) -> Result<Vec<Written>, NotAReceipt> {
    let reply: Reply = serde_json::from_slice(body).map_err(|e| NotAReceipt {
        expected: "a JSON object with mobile and text",
        found: format!("{} bytes that are not one ({:?})", body.len(), e.classify()),
    })?;
    let at = reply.time.and_then(|seconds| seconds.checked_mul(1000)).map(Instant);
    Ok(vec![Written { phone: reply.mobile, text: reply.text, at }])
}
