//! A request and an answer as data, so that making the one and reading the other need no network.

use reqwest::Url;

/// One HTTP request, ready to be sent as it stands: what is signed is byte-equal to what is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET` or `POST`.
    pub method: Method,
    /// Where to. May hold a key or a phone, so `Debug` shows no more than its host.
    pub url: Url,
    /// Headers besides those that the client writes itself (host, length, agent). Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body: personal data.
    pub body: Vec<u8>,
}

/// The methods that gateways ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of HTTP")]
pub enum Method {
    Get,
    Post,
}

impl HttpRequest {
    /// A request without headers or body.
    pub fn new(method: Method, url: Url) -> HttpRequest {
        HttpRequest { method, url, headers: Vec::new(), body: Vec::new() }
    }

    /// A POST of JSON.
    pub fn post_json(url: Url, body: &serde_json::Value) -> HttpRequest {
        HttpRequest {
            method: Method::Post,
            url,
            headers: vec![("content-type", "application/json; charset=utf-8".into())],
            body: body.to_string().into_bytes(),
        }
    }
}

impl std::fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| *name).collect();
        let (method, bytes) = (self.method, self.body.len());
        write!(f, "HttpRequest({method:?} {}, headers {headers:?}, {bytes} bytes)", redacted(&self.url))
    }
}

/// What a gateway answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After` in milliseconds, where it is given in seconds.
    pub retry_after_ms: Option<i64>,
    /// The body; `None` when it broke off or was longer than is read.
    pub body: Option<Vec<u8>>,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.body.as_deref().unwrap_or_default()).unwrap_or_default()
    }

    /// Whether the status is 2xx.
    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Scheme, host and port only: paths and queries hold keys.
pub fn redacted(url: &Url) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}://{}{port}/…", url.scheme(), url.host_str().unwrap_or_default())
}

/// A value of a gateway's answer as text: a text, or a number; at most 64 characters of it.
pub(super) fn short(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) if !text.is_empty() => Some(text.chars().take(64).collect()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
