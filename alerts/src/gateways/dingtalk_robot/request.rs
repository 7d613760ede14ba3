//! One POST: token, time and signature in the query, the text in the body.

use serde_json::json;

use super::config::RobotConfig;
use super::{PROFILE, sign};
use crate::channel::Outgoing;
use crate::gateways::http::HttpRequest;
use crate::gateways::{Call, Endpoint, Verdict};

/// The request that sends a message.
pub(super) fn send(
    config: &RobotConfig,
    endpoint: &Endpoint,
    message: &Outgoing,
    call: &Call<'_>,
) -> Result<HttpRequest, Verdict> {
    if PROFILE.limits.text_bytes.is_some_and(|most| message.text.len() > most) {
        return Err(Verdict::permanent("text_too_long"));
    }
    let mut url = endpoint.url.clone();
    url.query_pairs_mut()
        .clear()
        .append_pair("access_token", config.access_token.reveal())
        .append_pair("timestamp", &call.now.0.to_string())
        .append_pair("sign", &sign::signature(call.now.0, config.sign_secret.reveal()));
    Ok(HttpRequest::post_json(url, &json!({"msgtype": "text", "text": {"content": message.text}})))
}
