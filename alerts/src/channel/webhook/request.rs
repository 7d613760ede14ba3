//! One POST to the gateway, and what came back.

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Url};
use serde::Serialize;
use tocsin_schemas::codes::Role;

use super::config::Token;
use crate::channel::Outgoing;

/// The most of an answer that is read, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

#[derive(Serialize)]
struct Body<'a> {
    idempotency_key: &'a str,
    to: &'a str,
    text: &'a str,
    template: &'a str,
    alert_id: &'a str,
    case_no: &'a str,
    role: Role,
    attempt: u32,
}

/// A gateway's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After` in milliseconds, where it is given in seconds.
    pub retry_after_ms: Option<i64>,
    /// The body, as far as it was read; `None` when it broke off or was too long.
    pub body: Option<Vec<u8>>,
}

/// Posts a message.
///
/// # Errors
/// Whatever kept an answer's status from arriving.
pub(super) async fn post(
    client: &Client,
    url: &Url,
    token: Option<&Token>,
    message: &Outgoing,
) -> Result<Answer, reqwest::Error> {
    let body = Body {
        idempotency_key: &message.idempotency_key,
        to: &message.to,
        text: &message.text,
        template: &message.template,
        alert_id: &message.alert_id,
        case_no: &message.case_no,
        role: message.role,
        attempt: message.attempt,
    };
    let mut request =
        client.post(url.clone()).header("Idempotency-Key", &message.idempotency_key).json(&body);
    if let Some(token) = token {
        request = request.bearer_auth(token.reveal());
    }
    let mut response = request.send().await?;
    let status = response.status().as_u16();
    let retry_after_ms = retry_after(response.headers());
    let mut read = Some(Vec::new());
    loop {
        match (response.chunk().await, &mut read) {
            (Ok(Some(chunk)), Some(bytes)) if bytes.len() + chunk.len() <= ANSWER_LIMIT => {
                bytes.extend(&chunk)
            }
            (Ok(None), _) => break,
            _ => {
                read = None;
                break;
            }
        }
    }
    Ok(Answer { status, retry_after_ms, body: read })
}

/// `Retry-After` in seconds. Its other form, a date, is left to our own delay: clocks differ.
fn retry_after(headers: &HeaderMap) -> Option<i64> {
    let seconds: u32 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(i64::from(seconds) * 1000)
}
