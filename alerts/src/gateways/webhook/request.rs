//! One POST of one event.

use serde::Serialize;
use tocsin_schemas::codes::Role;

use super::sign;
use crate::channel::Outgoing;
use crate::gateways::http::{HttpRequest, Method};
use crate::gateways::{Call, Endpoint, Secret};

/// The event's type. A change that breaks a reader gets another.
pub const EVENT_TYPE: &str = "tocsin.alert.message.v1";

/// CloudEvents 1.0, structured mode. `source` and `id` name the message for ever: the same in every attempt.
#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: &'a str,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    idempotency_key: &'a str,
    to: &'a str,
    text: &'a str,
    template: &'a str,
    alert_id: &'a str,
    case_no: &'a str,
    role: Role,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'a str>,
}

/// The request that sends a message.
pub(super) fn post(
    endpoint: &Endpoint,
    token: Option<&Secret>,
    secret: Option<&Secret>,
    message: &Outgoing,
    call: &Call<'_>,
) -> HttpRequest {
    let key = &message.idempotency_key;
    let event = Event {
        specversion: "1.0",
        id: key,
        source: "/tocsin/alerts",
        kind: EVENT_TYPE,
        subject: &message.case_no,
        datacontenttype: "application/json",
        data: Data {
            idempotency_key: key,
            to: &message.to,
            text: &message.text,
            template: &message.template,
            alert_id: &message.alert_id,
            case_no: &message.case_no,
            role: message.role,
            attempt: message.attempt,
            link: message.link.as_deref(),
        },
    };
    // Nothing in it can fail to become JSON: texts and a number.
    let body = serde_json::to_vec(&event).unwrap_or_default();
    let mut headers = vec![
        ("content-type", "application/cloudevents+json; charset=utf-8".to_owned()),
        ("idempotency-key", key.clone()),
    ];
    if let Some(token) = token {
        headers.push(("authorization", format!("Bearer {}", token.reveal())));
    }
    if let Some(secret) = secret {
        let seconds = call.now.0.div_euclid(1000);
        headers.push(("webhook-id", key.clone()));
        headers.push(("webhook-timestamp", seconds.to_string()));
        headers.push(("webhook-signature", sign::signature(secret.reveal(), key, seconds, &body)));
    }
    HttpRequest { method: Method::Post, url: endpoint.url.clone(), headers, body }
}
