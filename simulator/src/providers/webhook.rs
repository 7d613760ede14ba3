//! A webhook gateway as `docs/gateway.md` asks for it: `POST /send`, a CloudEvents event, each key once.

use serde_json::{Value, json};

use crate::http::{Request, Response};
use crate::providers::Gateway;
use crate::state::State;
use crate::verify;

/// How far the time of a signature may be off, in seconds (Standard Webhooks: 5 minutes).
const SKEW_SECONDS: i64 = 300;

fn said(status: u16, body: &Value) -> (String, Response) {
    (status.to_string(), Response::json(status, body))
}

pub(super) fn answer(state: &mut State, request: &Request, now: i64) -> (String, Response) {
    let header = |name: &str| request.header(name).unwrap_or_default();
    if header("authorization") != format!("Bearer {}", state.account.secret) {
        return said(401, &json!({"error": "token"}));
    }
    let at: i64 = header("webhook-timestamp").parse().unwrap_or(0);
    if !verify::standard_webhooks(request, &state.account.secret)
        || (at - now.div_euclid(1000)).abs() > SKEW_SECONDS
    {
        return said(403, &json!({"error": "signature"}));
    }
    let event = request.json();
    let key = header("idempotency-key");
    let data = &event["data"];
    let (Some(to), Some(words)) = (data["to"].as_str(), data["text"].as_str()) else {
        return said(400, &json!({"error": "data.to and data.text"}));
    };
    if event["specversion"] != "1.0" || event["id"] != key || key.is_empty() {
        return said(400, &json!({"error": "not a CloudEvents 1.0 event with the key as its id"}));
    }
    let known = state.messages.iter().find(|m| m.gateway == Gateway::Webhook && m.id.as_deref() == Some(key));
    let number = match known {
        Some(message) => message.gateway_ref.clone(),
        None => state.take(Gateway::Webhook, to, words.to_owned(), data["template"].as_str(), Some(key), now),
    };
    said(200, &json!({"accepted": true, "ref": number}))
}
