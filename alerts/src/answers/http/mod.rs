//! The server that answers come to. It decides who may speak and what is ours; what an answer does is decided elsewhere.
//!
//! | path | who | what |
//! |---|---|---|
//! | `POST /{secret}/receipts/{gateway}` | a gateway | receipts, as its [`Pushes`](crate::gateways::Pushes) reads them |
//! | `POST /{secret}/replies/{gateway}` | a gateway | SMS that persons wrote back |
//! | `POST /{secret}/answers/webhook` | the operator's own gateway | signed as our requests to it are |
//! | `GET /a/{token}` | whoever got the link | the case, and two buttons. Never an answer: previews of links fetch them |
//! | `POST /a/{token}` | the same | one answer, once |
//!
//! Everything else, a wrong secret and an address that is not allowed are one and the same 404.
//!
//! # In this order, for what gateways push
//! address, secret (constant time), rate, body (at most 64 KiB, within 10 s), its form, ids that we gave, the sink. The provider hears yes in its own words
//! after the sink has said that all of it is durable; else 503 with `Retry-After`, and it pushes again.
//!
//! # What is not kept
//! Of an id that we never gave, of a phone that is no contact's: nothing but one more in a counter; no line in the log either.
//! An unknown id that is *young* is answered with 503: a receipt may overtake the record that tells its gateway's number.
//! So is everything after a start until all is read that we gave before it.

mod counts;
mod door;
mod page;
mod pushed;
mod serve;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tocsin_schemas::codes::Says;
use tocsin_schemas::records::Answer;
use tocsin_schemas::time::Instant;

use super::link::{Prefix, Signer};
use crate::clock::{BoxFuture, Clock};
use crate::gateways::Secret;
use crate::phone_key::PhoneKey;

pub use counts::{Counts, Outcome};
pub use door::{Door, Proxy, Rates};
pub use serve::serve;

/// The largest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 64 << 10;

/// What a page may show of a delivery, and what was answered to it. No person is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The delivery.
    pub delivery_id: String,
    /// The gateway that carried it.
    pub gateway: String,
    /// The number that people quote.
    pub case_no: String,
    /// Which text it was, such as `T1` or `T7_fallback`.
    pub template: String,
    /// What the message said, where it can be worded again.
    pub text: Option<String>,
    /// What the person has said so far.
    pub said: Option<Says>,
}

/// The ids that we gave. Read at each request, so it must not block, and its memory is bounded by whoever keeps it: what it has
/// forgotten is unknown.
pub trait Given: Send + Sync {
    /// Whether all is known that we gave before the server started. Until then what is unknown may be ours, and
    /// nothing is taken or turned away for good.
    fn ready(&self) -> bool;
    /// The delivery of this id.
    fn delivery(&self, delivery_id: &str) -> Option<Case>;
    /// The delivery that this gateway knows by this number of its own.
    fn numbered(&self, gateway: &str, gateway_ref: &str) -> Option<Case>;
    /// The delivery whose id begins so.
    fn linked(&self, prefix: Prefix) -> Option<Case>;
    /// Whether this is the hash of a contact's phone.
    fn has_phone(&self, phone_hash: &str) -> bool;
}

/// The answers are not durable: nothing was taken, and it may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answers could not be written")]
pub struct NotDurable;

/// Where answers go. `Ok` only when they survive a power loss.
pub type Sink = Arc<dyn Fn(Vec<Answer>) -> BoxFuture<'static, Result<(), NotDurable>> + Send + Sync>;

/// What the server is made of.
#[derive(Clone)]
pub struct Parts {
    /// Who may speak, and how much.
    pub door: Arc<Door>,
    /// Reads the tokens of links; `None`: there are no pages.
    pub links: Option<Signer>,
    /// Hashes the phones of replies; `None`: replies are not taken.
    pub phones: Option<PhoneKey>,
    /// The key of the webhook's signature; `None`: its answers are not taken.
    pub webhook: Option<Secret>,
    /// Whom a page tells people to call.
    pub call: String,
    /// The ids that we gave.
    pub given: Arc<dyn Given>,
    /// Where answers go.
    pub sink: Sink,
    /// The clock: of expiry and of `received_at`.
    pub clock: Arc<dyn Clock>,
    /// What was done, by outcome.
    pub counts: Counts,
}

impl Parts {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Counts an outcome and gives its plain answer.
    fn refuse(&self, outcome: Outcome) -> Response {
        self.counts.count(outcome, 1);
        let status = match outcome {
            Outcome::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Outcome::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Outcome::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Outcome::Unreadable => StatusCode::BAD_REQUEST,
            Outcome::NotSigned => StatusCode::UNAUTHORIZED,
            Outcome::NotDurable | Outcome::NotYet => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::NOT_FOUND,
        };
        let wait = match outcome {
            Outcome::TooMany => Some("1"),
            Outcome::NotDurable => Some("30"),
            Outcome::NotYet => Some("60"),
            _ => None,
        };
        match wait {
            Some(wait) => (status, [(RETRY_AFTER, wait)]).into_response(),
            None => status.into_response(),
        }
    }
}

/// The routes. [`serve`] puts the peer's address into each request; without it nobody is let in.
pub fn router(parts: Parts) -> Router {
    Router::new()
        .route("/{secret}/receipts/{gateway}", post(pushed::receipts))
        .route("/{secret}/replies/{gateway}", post(pushed::replies))
        .route("/{secret}/answers/webhook", post(pushed::webhook))
        .route("/a/{token}", get(page::show).post(page::answer))
        .fallback(nothing)
        .method_not_allowed_fallback(nothing)
        .with_state(parts)
}

async fn nothing(axum::extract::State(parts): axum::extract::State<Parts>) -> Response {
    parts.refuse(Outcome::Nowhere)
}
