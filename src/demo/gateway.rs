//! The telephones of the simulated city: a gateway on loopback that takes messages as a real webhook
//! gateway does, and now and then fails as real ones do.
//!
//! Which requests fail follows from the idempotency key alone, so a seed's run can be repeated:
//! about one message in eleven meets trouble at its first request: *busy* (429, wait a minute), *broken*
//! (500, nothing sent) or *rang, but the answer was lost* (500 after the phone rang). The last kind is why
//! keys exist: the second request is answered "accepted" and rings no phone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tocsin_schemas::codes::Role;

/// A request as the webhook channel makes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Message {
    /// The alert it delivers.
    pub alert_id: String,
    /// Whose phone.
    pub to: String,
    /// Equal for every request of one message.
    pub idempotency_key: String,
    /// The words.
    pub text: String,
    /// Which text it is, such as `T1`.
    pub template: String,
    /// The number that people quote.
    pub case_no: String,
    /// The role that is told.
    pub role: Role,
    /// Which request it is, from 1.
    pub attempt: u32,
}

/// The event that carries it.
#[derive(Deserialize)]
struct Event {
    data: Message,
}

/// What the gateway has seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Every phone that rang, in order.
    pub rings: Vec<Message>,
    /// Requests, failed ones included.
    pub requests: u64,
    /// Answered 429.
    pub busy: u64,
    /// Answered 500 before anything was sent.
    pub broken: u64,
    /// Answered 500 after the phone had rung.
    pub answer_lost: u64,
    /// A key that had rung before: accepted without ringing again.
    pub repeated: u64,
    /// Requests that are no message; must stay 0.
    pub unreadable: u64,
    rung: BTreeMap<String, usize>,
}

/// The gateway. Cheap to clone; all clones see the same phones.
#[derive(Debug, Clone, Default)]
pub struct Gateway {
    seen: Arc<Mutex<Seen>>,
}

/// What happens to the first request of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    Fine,
    Busy,
    Broken,
    AnswerLost,
}

fn luck(key: &str, attempt: u32) -> Luck {
    if attempt > 1 {
        return Luck::Fine;
    }
    match Sha256::digest(key)[0] % 33 {
        0 => Luck::Busy,
        1 => Luck::Broken,
        2 => Luck::AnswerLost,
        _ => Luck::Fine,
    }
}

impl Gateway {
    /// What it has seen so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes requests on a free port of loopback until the runtime ends.
    ///
    /// # Errors
    /// Those of opening the port.
    pub async fn serve(&self) -> std::io::Result<SocketAddr> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let app = Router::new().route("/send", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(address)
    }

    fn take(&self, body: &[u8]) -> Response {
        let mut seen = self.seen();
        seen.requests += 1;
        let Ok(Event { data: message }) = serde_json::from_slice(body) else {
            seen.unreadable += 1;
            return StatusCode::BAD_REQUEST.into_response();
        };
        if let Some(place) = seen.rung.get(&message.idempotency_key).copied() {
            seen.repeated += 1;
            return accepted(place);
        }
        let luck = luck(&message.idempotency_key, message.attempt);
        match luck {
            Luck::Busy => {
                seen.busy += 1;
                return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "60")]).into_response();
            }
            Luck::Broken => {
                seen.broken += 1;
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
            Luck::Fine | Luck::AnswerLost => {}
        }
        let place = seen.rings.len();
        seen.rung.insert(message.idempotency_key.clone(), place);
        seen.rings.push(message);
        if luck == Luck::AnswerLost {
            seen.answer_lost += 1;
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        accepted(place)
    }
}

fn accepted(place: usize) -> Response {
    axum::Json(json!({"accepted": true, "ref": format!("phone-{place}")})).into_response()
}

async fn take(State(gateway): State<Gateway>, body: axum::body::Bytes) -> Response {
    gateway.take(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(key: &str, attempt: u32) -> Vec<u8> {
        json!({"data": {"idempotency_key": key, "to": "1", "text": "t", "template": "T1", "alert_id": "a",
            "case_no": "c", "role": "owner", "attempt": attempt}})
        .to_string()
        .into_bytes()
    }
    fn key_with(wanted: Luck) -> String {
        (0..).map(|n| format!("k{n}")).find(|k| luck(k, 1) == wanted).unwrap()
    }

    #[test]
    fn a_key_rings_once_whatever_was_answered() {
        for wanted in [Luck::Fine, Luck::Busy, Luck::Broken, Luck::AnswerLost] {
            let (gateway, key) = (Gateway::default(), key_with(wanted));
            let first = gateway.take(&body(&key, 1)).status();
            assert_eq!(first == StatusCode::OK, wanted == Luck::Fine);
            for attempt in 2..4 {
                assert_eq!(gateway.take(&body(&key, attempt)).status(), StatusCode::OK);
            }
            assert_eq!(gateway.seen().rings.len(), 1, "{wanted:?}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused_and_counted() {
        let gateway = Gateway::default();
        assert_eq!(gateway.take(b"<html>").status(), StatusCode::BAD_REQUEST);
        let seen = gateway.seen().clone();
        assert_eq!((seen.unreadable, seen.rings.len()), (1, 0));
    }
}
