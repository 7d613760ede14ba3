//! What an operator says about a webhook gateway.

use std::net::IpAddr;

use reqwest::Url;
use serde::Deserialize;

/// A secret that no log line shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// From what was read from environment or file; white space at the ends is dropped.
    pub fn new(text: &str) -> Token {
        Token(text.trim().to_owned())
    }
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Settings of a webhook.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where to post: https, or http on loopback. May hold a key, so it is never printed whole.
    pub url: String,
    /// The bearer token. Not read from the configuration file: whoever builds this sets it from
    /// environment or a file.
    #[serde(skip)]
    pub token: Option<Token>,
    /// Time to connect, in milliseconds.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Time for a whole request, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

fn default_connect_timeout_ms() -> u64 {
    3_000
}
fn default_timeout_ms() -> u64 {
    10_000
}

impl std::fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = Url::parse(&self.url).map_or("(not a URL)".into(), |url| redacted(&url));
        write!(f, "WebhookConfig({url}, {} ms)", self.timeout_ms)
    }
}

/// Why a webhook cannot be set up. The operator acts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a URL at all.
    #[error("the webhook's url is not a URL: {0}")]
    NotAUrl(String),
    /// Phones would travel in the clear.
    #[error("the webhook's url must be https (http only on loopback), found {0}")]
    NotSafe(String),
    /// A time-out of 0 would fail every request.
    #[error("the webhook's {0} must be above 0")]
    ZeroTimeout(&'static str),
    /// The token holds what no header may.
    #[error("the webhook's token holds characters that no header may hold")]
    BadToken,
    /// The client cannot be made.
    #[error("cannot make the webhook's client: {0}")]
    Client(String),
}

impl WebhookConfig {
    /// A gateway at `url` with the default time-outs and no token.
    pub fn new(url: &str) -> WebhookConfig {
        WebhookConfig {
            url: url.to_owned(),
            token: None,
            connect_timeout_ms: default_connect_timeout_ms(),
            timeout_ms: default_timeout_ms(),
        }
    }

    /// The URL, if this configuration can be used.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn checked_url(&self) -> Result<Url, ConfigError> {
        let url = Url::parse(&self.url).map_err(|e| ConfigError::NotAUrl(e.to_string()))?;
        let safe = url.scheme() == "https" || (url.scheme() == "http" && on_loopback(&url));
        if !safe || url.host_str().is_none() {
            return Err(ConfigError::NotSafe(redacted(&url)));
        }
        for (name, value) in
            [("connect_timeout_ms", self.connect_timeout_ms), ("timeout_ms", self.timeout_ms)]
        {
            if value == 0 {
                return Err(ConfigError::ZeroTimeout(name));
            }
        }
        let good = |t: &Token| t.reveal().bytes().all(|b| (0x21..0x7f).contains(&b));
        if !self.token.as_ref().is_none_or(good) {
            return Err(ConfigError::BadToken);
        }
        Ok(url)
    }
}

/// Whether the URL's host is this machine.
pub(super) fn on_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Scheme, host and port only: paths and queries hold keys.
pub(super) fn redacted(url: &Url) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}://{}{port}/…", url.scheme(), url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_loopback_will_do() {
        for good in [
            "https://gateway.example/send?key=k",
            "http://127.0.0.1:9/x",
            "http://[::1]:9",
            "http://localhost/",
        ] {
            assert!(WebhookConfig::new(good).checked_url().is_ok(), "{good}");
        }
        for bad in ["http://gateway.example/", "http://127.0.0.1.example/", "ftp://localhost/", "file:///x"] {
            assert!(matches!(WebhookConfig::new(bad).checked_url(), Err(ConfigError::NotSafe(_))), "{bad}");
        }
        assert!(matches!(WebhookConfig::new("gateway").checked_url(), Err(ConfigError::NotAUrl(_))));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let mut config = WebhookConfig::new("https://user:pass@gateway.example:8443/secret?key=secret");
        config.token = Some(Token::new(" secret\n"));
        let shown = format!("{config:?} {:?} {:?}", config.token, Webhook::new(&config).unwrap());
        assert!(shown.contains("gateway.example:8443"), "{shown}");
        assert!(!shown.contains("secret") && !shown.contains("pass"), "{shown}");
        config.url = "http://gateway.example/secret".into();
        let error = Webhook::new(&config).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    use super::super::Webhook;
}
