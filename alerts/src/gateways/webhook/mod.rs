//! The webhook: a gateway of the operator's own, or a relay in front of any other. `docs/gateway.md` is its
//! contract, in words for whoever builds the other side.
//!
//! # Request
//! `POST url`: a CloudEvents 1.0 event in structured JSON, the message in its `data`, the delivery's id as its
//! `id` and in `Idempotency-Key`; signed as in the Standard Webhooks specification where a secret is set.
//!
//! # Answer
//! Only a 2xx whose body is a JSON object with `"accepted": true` is a yes; `"ref"` (text or number) is the
//! receipt number, `"acknowledged": true` the person's own answer. A gateway must treat a key that it has
//! accepted before as accepted, without sending again: of kind *idempotent*.

mod config;
mod request;
mod response;
mod sign;
#[cfg(test)]
mod tests;

pub use config::WebhookConfig;
pub use request::EVENT_TYPE;

use std::sync::Arc;

use tocsin_schemas::time::Instant;

use super::http::{Answer, HttpRequest};
use super::limits::NO_LIMITS;
use super::{Call, ConfigError, Endpoint, Gateway, Kind, Profile, Secret, Settings, Standing, Verdict};
use crate::channel::Outgoing;

/// The gateway's name.
pub const NAME: &str = "webhook";

/// What is known of it: the operator's gateway has limits of its own.
pub const PROFILE: Profile = Profile {
    name: NAME,
    kind: Kind::Idempotent,
    not_found_counts_after_seconds: None,
    hosts: &[],
    marks: None,
    limits: NO_LIMITS,
};

/// Its secrets, both optional: a bearer token, and the key of the signature.
pub const SECRETS: &[&str] = &["token", "secret"];

/// A webhook gateway.
#[derive(Debug)]
pub struct Webhook {
    endpoint: Endpoint,
    token: Option<Secret>,
    secret: Option<Secret>,
}

/// See [`super::Entry::make`].
pub fn make(settings: &Settings) -> Result<Arc<dyn Gateway>, ConfigError> {
    let mut config: WebhookConfig = settings.section()?;
    let given = |name: &'static str| settings.secrets.contains_key(name);
    config.token = given("token").then(|| settings.secret("token")).transpose()?;
    config.secret = given("secret").then(|| settings.secret("secret")).transpose()?;
    config.allow_private = settings.allow_private;
    Ok(Arc::new(Webhook::new(&config)?))
}

impl Webhook {
    /// The gateway of this configuration.
    ///
    /// # Errors
    /// A URL that requests may not go to, or secrets that no header may hold.
    pub fn new(config: &WebhookConfig) -> Result<Webhook, ConfigError> {
        for (name, secret) in [("token", &config.token), ("secret", &config.secret)] {
            if !secret.as_ref().is_none_or(|secret| secret.plain() && !secret.is_empty()) {
                return Err(ConfigError::BadSecret(name));
            }
        }
        // Else it would be taken for the key itself, and every request refused.
        if config.secret.as_ref().is_some_and(|secret| !sign::readable(secret.reveal())) {
            return Err(ConfigError::BadKey("secret"));
        }
        let endpoint = Endpoint::new(&config.url, PROFILE.hosts, config.allow_private)?;
        Ok(Webhook { endpoint, token: config.token.clone(), secret: config.secret.clone() })
    }
}

/// Whether a request of the other side was signed as ours are: `headers` are `webhook-id`, `webhook-timestamp` and
/// `webhook-signature`.
pub fn signed(secret: &Secret, headers: [&str; 3], body: &[u8], now: Instant) -> bool {
    let [id, seconds, signature] = headers;
    !secret.is_empty() && sign::verified(secret.reveal(), id, seconds, body, signature, now)
}

impl Gateway for Webhook {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
    fn request(&self, message: &Outgoing, call: &Call<'_>) -> Result<HttpRequest, Verdict> {
        Ok(request::post(&self.endpoint, self.token.as_ref(), self.secret.as_ref(), message, call))
    }
    fn response(&self, _: &Outgoing, answer: &Answer, _: Instant, standing: Standing) -> Verdict {
        response::sent(answer, standing)
    }
}
