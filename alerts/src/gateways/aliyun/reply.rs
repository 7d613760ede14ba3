//! `SmsUp`, pushed as a JSON array: what persons wrote back. It names a phone and no message.

use serde::Deserialize;

use super::receipt::local;
use crate::gateways::{NotAReceipt, Written};

#[derive(Deserialize)]
struct Up {
    phone_number: String,
    content: String,
    #[serde(default)]
    send_time: Option<String>,
}

/// The replies of a pushed body.
pub(super) fn replies(body: &[u8]) -> Result<Vec<Written>, NotAReceipt> {
    let all: Vec<Up> = serde_json::from_slice(body).map_err(|e| NotAReceipt {
        expected: "a JSON array of objects with phone_number and content",
        found: format!("{} bytes that are not one ({:?})", body.len(), e.classify()),
    })?;
    let written = |up: Up| Written {
        phone: up.phone_number,
        text: up.content,
        at: up.send_time.as_deref().and_then(local),
    };
    Ok(all.into_iter().map(written).collect())
}
