//! What gateways push.

use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tocsin_schemas::codes::{AnswerKind, Says};
use tocsin_schemas::records::Answer;
use tocsin_schemas::time::Instant;

use super::serve::Peer;
use super::{MAX_BODY_BYTES, Outcome, Parts};
use crate::answers::{Came, gateway_said, person_said, replied};
use crate::gateways::{self, Fate, webhook};

/// How long reading a body may take.
const BODY: Duration = Duration::from_secs(10);
/// How old an unknown id may be to be asked for again: as long as Aliyun pushes (after 1, 5 and 10 minutes).
const YOUNG_MS: u64 = 16 * 60_000;

/// `POST /{secret}/receipts/{gateway}`.
pub(super) async fn receipts(
    State(parts): State<Parts>,
    Path((secret, gateway)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (body, _) = match let_in(&parts, &secret, request).await {
        Ok(body) => body,
        Err(outcome) => return parts.refuse(outcome),
    };
    let Some(pushes) = gateways::pushes(&gateway) else { return parts.refuse(Outcome::Nowhere) };
    let Ok(receipts) = pushes.receipts(&body) else { return parts.refuse(Outcome::Unreadable) };
    let now = parts.now();
    let (mut answers, mut unknown, mut young) = (Vec::new(), 0, false);
    for receipt in receipts {
        let by_id = receipt.delivery_id.as_deref().map(|id| parts.given.delivery(id));
        let by_number = || parts.given.numbered(&gateway, receipt.gateway_ref.as_deref()?);
        let case = by_id.unwrap_or_else(by_number).filter(|case| case.gateway == gateway);
        let Some(case) = case else {
            unknown += 1;
            young |= receipt.at.is_some_and(|at| at.0.abs_diff(now.0) <= YOUNG_MS);
            continue;
        };
        let came = Came { gateway: gateway.clone(), kind: AnswerKind::Receipt, received_at: now };
        let number = receipt.gateway_ref;
        answers.extend(gateway_said(came, &case.delivery_id, number, &receipt.fate, receipt.at));
    }
    parts.counts.count(Outcome::Unknown, unknown);
    match take(&parts, answers).await {
        Err(outcome) => parts.refuse(outcome),
        Ok(()) if young => parts.refuse(Outcome::NotYet),
        Ok(()) => json(pushes.taken()),
    }
}

/// `POST /{secret}/replies/{gateway}`.
pub(super) async fn replies(
    State(parts): State<Parts>,
    Path((secret, gateway)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (body, _) = match let_in(&parts, &secret, request).await {
        Ok(body) => body,
        Err(outcome) => return parts.refuse(outcome),
    };
    let (Some(pushes), Some(phones)) = (gateways::pushes(&gateway), &parts.phones) else {
        return parts.refuse(Outcome::Nowhere);
    };
    let Ok(replies) = pushes.replies(&body) else { return parts.refuse(Outcome::Unreadable) };
    let received_at = parts.now();
    let (mut answers, mut unknown) = (Vec::new(), 0);
    for reply in replies {
        let Some(hash) = phones.number(&reply.phone).filter(|hash| parts.given.has_phone(hash)) else {
            unknown += 1;
            continue;
        };
        let came = Came { gateway: gateway.clone(), kind: AnswerKind::Reply, received_at };
        answers.push(replied(came, hash, &reply.text, reply.at));
    }
    parts.counts.count(Outcome::Unknown, unknown);
    match take(&parts, answers).await {
        Err(outcome) => parts.refuse(outcome),
        Ok(()) => json(pushes.taken()),
    }
}

/// What the operator's own gateway says.
#[derive(Deserialize)]
struct Said {
    idempotency_key: String,
    answer: Says,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    at: Option<Instant>,
}

/// `POST /{secret}/answers/webhook`.
pub(super) async fn webhook(
    State(parts): State<Parts>,
    Path(secret): Path<String>,
    request: Request,
) -> Response {
    let (body, headers) = match let_in(&parts, &secret, request).await {
        Ok(body) => body,
        Err(outcome) => return parts.refuse(outcome),
    };
    let Some(key) = &parts.webhook else { return parts.refuse(Outcome::Nowhere) };
    let now = parts.now();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(header);
    if !webhook::signed(key, signed, &body, now) {
        return parts.refuse(Outcome::NotSigned);
    }
    let Ok(said) = serde_json::from_slice::<Said>(&body) else { return parts.refuse(Outcome::Unreadable) };
    let case = parts.given.delivery(&said.idempotency_key).filter(|case| case.gateway == webhook::NAME);
    let Some(case) = case else { return parts.refuse(Outcome::Unknown) };
    let came = Came { gateway: webhook::NAME.to_owned(), kind: AnswerKind::Webhook, received_at: now };
    let answer = match said.answer {
        Says::Delivered => gateway_said(came, &case.delivery_id, None, &Fate::Delivered, said.at),
        Says::Failed => {
            gateway_said(came, &case.delivery_id, None, &Fate::Failed(said.code.unwrap_or_default()), said.at)
        }
        says => Some(person_said(came, &case.delivery_id, says, said.at)),
    };
    match take(&parts, answer.into_iter().collect()).await {
        Err(outcome) => parts.refuse(outcome),
        Ok(()) => json(r#"{"taken":true}"#),
    }
}

/// The body and headers of a request that is let in.
async fn let_in(
    parts: &Parts,
    secret: &str,
    request: Request,
) -> Result<(Bytes, axum::http::HeaderMap), Outcome> {
    let (head, body) = request.into_parts();
    let peer = head.extensions.get::<Peer>().ok_or(Outcome::WrongAddress)?;
    parts.door.gateway(peer.0, &head.headers, secret)?;
    if !parts.given.ready() {
        return Err(Outcome::NotYet);
    }
    Ok((read(body).await?, head.headers))
}

/// A whole body, if it comes in time and is small enough.
pub(super) async fn read(body: axum::body::Body) -> Result<Bytes, Outcome> {
    match tokio::time::timeout(BODY, to_bytes(body, MAX_BODY_BYTES)).await {
        Err(_) => Err(Outcome::TooSlow),
        Ok(Err(_)) => Err(Outcome::TooLarge),
        Ok(Ok(bytes)) => Ok(bytes),
    }
}

/// Makes answers durable. None are durable at once.
pub(super) async fn take(parts: &Parts, answers: Vec<Answer>) -> Result<(), Outcome> {
    let n = answers.len() as u64;
    if n > 0 {
        (parts.sink)(answers).await.map_err(|_| Outcome::NotDurable)?;
    }
    parts.counts.count(Outcome::Taken, n);
    Ok(())
}

fn json(body: &'static str) -> Response {
    ([(CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}
