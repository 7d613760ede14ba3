//! What an operator says about a webhook.

use reqwest::Url;
use serde::Deserialize;

use crate::gateways::Secret;
use crate::gateways::http::redacted;

/// The section `[alerts.webhook]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where to post. May hold a key, so it is never printed whole.
    pub url: String,
    /// The bearer token. Not read from the section.
    #[serde(skip)]
    pub token: Option<Secret>,
    /// The key of the signature. Not read from the section.
    #[serde(skip)]
    pub secret: Option<Secret>,
    /// Whether the gateway may be at a private address. Not read from the section.
    #[serde(skip)]
    pub allow_private: bool,
}

impl WebhookConfig {
    /// A gateway at `url` without secrets.
    pub fn new(url: &str) -> WebhookConfig {
        WebhookConfig { url: url.to_owned(), token: None, secret: None, allow_private: false }
    }
}

impl std::fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = Url::parse(&self.url).map_or("(not a URL)".into(), |url| redacted(&url));
        write!(f, "WebhookConfig({url})")
    }
}
