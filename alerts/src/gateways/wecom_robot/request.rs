//! One POST: the key in the query, the text in the body.

use serde_json::json;

use super::PROFILE;
use super::config::WecomConfig;
use crate::channel::Outgoing;
use crate::gateways::http::HttpRequest;
use crate::gateways::{Endpoint, Verdict};

/// The request that sends a message.
pub(super) fn send(
    config: &WecomConfig,
    endpoint: &Endpoint,
    message: &Outgoing,
) -> Result<HttpRequest, Verdict> {
    if PROFILE.limits.text_bytes.is_some_and(|most| message.text.len() > most) {
        return Err(Verdict::permanent("text_too_long"));
    }
    let mut url = endpoint.url.clone();
    url.query_pairs_mut().clear().append_pair("key", config.key.reveal());
    Ok(HttpRequest::post_json(url, &json!({"msgtype": "text", "text": {"content": message.text}})))
}
