//! What a gateway's answer, or its absence, means. Pure.
//!
//! | what came | outcome | reason |
//! |---|---|---|
//! | 2xx, JSON object, `accepted: true` | accepted | |
//! | 2xx, JSON object, `accepted: false` | permanent | `not_accepted` |
//! | 2xx, anything else (HTML, nothing, broken off) | unknown | `unreadable_answer` |
//! | 429, 503 | transient: it was turned away at the door | `http_429`, `http_503` |
//! | 408, 425 | transient | `http_408`, `http_425` |
//! | other 5xx | unknown: it may have been sent before the failure | `http_500` … |
//! | 3xx, other 4xx | permanent | `http_301` … |
//! | no connection | transient | `connection_refused` |
//! | connected, no answer in time | unknown | `timeout` |
//! | connection lost before the answer | unknown | `connection_lost` |
//!
//! `Retry-After` is honoured wherever another attempt follows.

pub use super::request::Answer;
use crate::channel::Outcome;

/// The outcome of a request that was answered.
pub fn of_answer(answer: &Answer) -> Outcome {
    let retry_after_ms = answer.retry_after_ms;
    let reason = format!("http_{}", answer.status).into();
    match answer.status {
        200..=299 => of_body(answer.body.as_deref().unwrap_or_default(), retry_after_ms),
        408 | 425 | 429 | 503 => Outcome::Transient { reason, retry_after_ms },
        500.. => Outcome::Unknown { reason, retry_after_ms },
        _ => Outcome::Permanent { reason },
    }
}

fn of_body(body: &[u8], retry_after_ms: Option<i64>) -> Outcome {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match body.get("accepted").and_then(serde_json::Value::as_bool) {
        Some(true) => Outcome::Accepted { gateway_ref: body.get("ref").and_then(receipt) },
        Some(false) => Outcome::Permanent { reason: "not_accepted".into() },
        None => Outcome::Unknown { reason: "unreadable_answer".into(), retry_after_ms },
    }
}

/// A receipt number: text or number, at most 64 characters of it.
fn receipt(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.chars().take(64).collect()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The outcome of a request without an answer.
pub(super) fn of_error(error: &reqwest::Error) -> Outcome {
    if error.is_builder() {
        Outcome::Permanent { reason: "bad_request".into() }
    } else if error.is_connect() {
        Outcome::Transient { reason: "connection_refused".into(), retry_after_ms: None }
    } else if error.is_timeout() {
        Outcome::Unknown { reason: "timeout".into(), retry_after_ms: None }
    } else {
        Outcome::Unknown { reason: "connection_lost".into(), retry_after_ms: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(outcome: Outcome) -> String {
        match outcome {
            Outcome::Accepted { gateway_ref } => format!("accepted {}", gateway_ref.unwrap_or_default()),
            Outcome::Transient { reason, .. } => format!("transient {reason}"),
            Outcome::Permanent { reason } => format!("permanent {reason}"),
            Outcome::Unknown { reason, .. } => format!("unknown {reason}"),
        }
    }

    #[test]
    fn only_the_gateways_own_yes_is_a_yes() {
        for (status, body, expected) in [
            (200, Some(r#"{"accepted":true,"ref":"m-1"}"#), "accepted m-1"),
            (202, Some(r#"{"accepted":true,"ref":17}"#), "accepted 17"),
            (200, Some(r#"{"accepted":true}"#), "accepted "),
            (200, Some(r#"{"accepted":false,"errcode":7}"#), "permanent not_accepted"),
            (200, Some(r#"{"accepted":"true"}"#), "unknown unreadable_answer"),
            (200, Some(r#"{"errcode":40058}"#), "unknown unreadable_answer"),
            (200, Some(r#"[{"accepted":true}]"#), "unknown unreadable_answer"),
            (200, Some("<html>please log in</html>"), "unknown unreadable_answer"),
            (200, Some(""), "unknown unreadable_answer"),
            (200, None, "unknown unreadable_answer"),
            (302, Some(r#"{"accepted":true}"#), "permanent http_302"),
            (400, Some(r#"{"accepted":true}"#), "permanent http_400"),
            (404, None, "permanent http_404"),
            (408, None, "transient http_408"),
            (429, None, "transient http_429"),
            (500, Some(r#"{"accepted":true}"#), "unknown http_500"),
            (502, None, "unknown http_502"),
            (503, None, "transient http_503"),
        ] {
            let answer = Answer { status, retry_after_ms: None, body: body.map(|b| b.as_bytes().to_vec()) };
            assert_eq!(name(of_answer(&answer)), expected, "{status} {body:?}");
        }
    }
}
