//! The webhook channel: one JSON POST a message.
//!
//! # Request
//! `POST url`, header `Idempotency-Key`, `Authorization: Bearer …` where a token is set, body:
//! ```json
//! {"idempotency_key":"…","to":"…","text":"【…】…","template":"T1","alert_id":"…","case_no":"…","role":"owner","attempt":1}
//! ```
//! # Answer
//! Only a 2xx whose body is a JSON object with `"accepted": true` is a yes; `"ref"` (text or number) is the
//! receipt number. A gateway must treat a key that it has accepted before as accepted, without sending
//! again. Everything else: see [`outcome`].

mod config;
pub mod outcome;
mod request;

pub use config::{ConfigError, Token, WebhookConfig};

use std::time::Duration;

use reqwest::redirect::Policy;

use super::{Channel, Outcome, Outgoing};
use crate::clock::BoxFuture;

/// The channel's name.
pub const NAME: &str = "webhook";

/// A webhook gateway.
pub struct Webhook {
    client: reqwest::Client,
    url: reqwest::Url,
    token: Option<Token>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhook({})", config::redacted(&self.url))
    }
}

impl Webhook {
    /// A channel to the gateway of this configuration. Makes no request.
    ///
    /// # Errors
    /// A URL that is not https (or http on loopback), or a client that cannot be made.
    pub fn new(config: &WebhookConfig) -> Result<Webhook, ConfigError> {
        let url = config.checked_url()?;
        let mut client = reqwest::Client::builder()
            .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
            .timeout(Duration::from_millis(config.timeout_ms))
            // A redirect would carry phone and token to a place that nobody configured.
            .redirect(Policy::none())
            .user_agent(concat!("tocsin/", env!("CARGO_PKG_VERSION")));
        if config::on_loopback(&url) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|e| ConfigError::Client(e.without_url().to_string()))?;
        Ok(Webhook { client, url, token: config.token.clone() })
    }
}

impl Channel for Webhook {
    fn name(&self) -> &'static str {
        NAME
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let outcome = match request::post(&self.client, &self.url, self.token.as_ref(), message).await {
                Ok(answer) => outcome::of_answer(&answer),
                Err(error) => outcome::of_error(&error),
            };
            tracing::debug!(
                delivery_id = %message.idempotency_key,
                attempt = message.attempt,
                gateway = %config::redacted(&self.url),
                ?outcome,
                "gateway answered"
            );
            outcome
        })
    }
}
