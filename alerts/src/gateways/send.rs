//! The one client: it does what a gateway's protocol says, and tells *certainly not sent* from *nobody
//! knows*. Nothing is tried again in here, no redirect followed, and no more than [`ANSWER_LIMIT`] of an
//! answer is read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;

use super::guard::{LeadsInside, NoSuchName, Resolver};
use super::http::{Answer, HttpRequest, Method, redacted};
use super::{Call, ConfigError, Gateway, Grant, Kind, Question, Secret, SharedStanding, Told, Verdict};
use crate::channel::{Channel, Outcome, Outgoing};
use crate::clock::{BoxFuture, Clock};

/// The most of an answer that is read, in bytes.
pub const ANSWER_LIMIT: usize = 64 * 1024;

/// Pages from this one on are not read.
const PAGES: u32 = 20;

/// A token is not used in its last minute.
const TOKEN_MARGIN_MS: i64 = 60_000;

/// How long a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect, in milliseconds. Ends it as *certainly not sent*.
    pub connect_ms: u64,
    /// For the whole request, in milliseconds. Ends it as *nobody knows*.
    pub total_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts { connect_ms: 3_000, total_ms: 10_000 }
    }
}

/// A gateway with the client that speaks to it.
pub struct Post {
    gateway: Arc<dyn Gateway>,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    grant: Mutex<Option<Grant>>,
    standing: SharedStanding,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Post({:?})", self.gateway)
    }
}

impl Post {
    /// A client for this gateway. Signatures carry the instant of `clock`. Makes no request.
    ///
    /// # Errors
    /// A time-out of 0, or a client that cannot be made.
    pub fn new(
        gateway: Arc<dyn Gateway>,
        timeouts: Timeouts,
        clock: Arc<dyn Clock>,
    ) -> Result<Post, ConfigError> {
        for (name, value) in [("connect_timeout_ms", timeouts.connect_ms), ("timeout_ms", timeouts.total_ms)]
        {
            if value == 0 {
                return Err(ConfigError::ZeroTimeout(name));
            }
        }
        let mut client = reqwest::Client::builder()
            .connect_timeout(Duration::from_millis(timeouts.connect_ms))
            .timeout(Duration::from_millis(timeouts.total_ms))
            // A redirect would carry phone and key to a place that nobody configured.
            .redirect(Policy::none())
            // A proxy would resolve the gateway's name where the guard cannot see it.
            .no_proxy()
            // The ledger counts attempts; one request is one attempt.
            .retry(reqwest::retry::never())
            .dns_resolver(Resolver { allow_private: gateway.endpoint().allow_private })
            .user_agent(concat!("tocsin/", env!("CARGO_PKG_VERSION")));
        if gateway.profile().kind == Kind::Neither {
            // A kept connection that the gateway closes just then ends in "nobody knows", which here nobody
            // can settle. It is twenty messages a minute at most.
            client = client.pool_max_idle_per_host(0);
        }
        let client = client.build().map_err(|e| ConfigError::Client(e.without_url().to_string()))?;
        Ok(Post { gateway, client, clock, grant: Mutex::new(None), standing: SharedStanding::default() })
    }

    /// The same, with what is known of whether the gateway has ever said yes: shared with whoever else keeps it.
    #[must_use]
    pub fn with_standing(mut self, standing: SharedStanding) -> Post {
        self.standing = standing;
        self
    }

    /// The gateway.
    pub fn gateway(&self) -> &dyn Gateway {
        &*self.gateway
    }

    /// Sends one message once and tells what came of it.
    pub async fn deliver(&self, message: &Outgoing) -> Verdict {
        let verdict = self.try_deliver(message).await.unwrap_or_else(|verdict| verdict);
        let gateway = self.gateway.profile().name;
        if matches!(verdict.outcome, Outcome::Accepted { .. }) {
            self.standing.prove();
        }
        if let (Some(advice), Outcome::Account { reason }) = (verdict.advice, &verdict.outcome) {
            tracing::error!(gateway, reason = &**reason, "{advice}");
        }
        if let Outcome::Unknown { reason, .. } = &verdict.outcome
            && reason == "unknown_code"
        {
            tracing::warn!(
                gateway,
                code = verdict.code,
                "unknown code: the gateway's table does not have it"
            );
        }
        tracing::debug!(
            delivery_id = %message.idempotency_key,
            attempt = message.attempt,
            gateway,
            host = %redacted(&self.gateway.endpoint().url),
            code = verdict.code,
            outcome = ?verdict.outcome,
            "gateway answered"
        );
        verdict
    }

    /// `Err` where it came to no answer of the gateway to the message itself.
    async fn try_deliver(&self, message: &Outgoing) -> Result<Verdict, Verdict> {
        let token = self.token().await?;
        let nonce = nonce();
        let call = Call { now: self.clock.now(), nonce: &nonce, token: token.as_ref() };
        let request = self.gateway.request(message, &call)?;
        let answer = self.exchange(request).await?;
        self.drop_refused_token(&answer);
        Ok(self.gateway.response(message, &answer, self.clock.now(), self.standing.now()))
    }

    /// Asks what became of a message, page by page.
    pub async fn ask(&self, question: &Question) -> Told {
        self.try_ask(question).await.unwrap_or_else(Told::CannotTell)
    }

    async fn try_ask(&self, question: &Question) -> Result<Told, Verdict> {
        let asks = self.gateway.asks().ok_or_else(|| Verdict::permanent("cannot_be_asked"))?;
        let mut page = 0;
        while page < PAGES {
            let token = self.token().await?;
            let nonce = nonce();
            let call = Call { now: self.clock.now(), nonce: &nonce, token: token.as_ref() };
            let request =
                asks.request(question, page, &call).ok_or_else(|| Verdict::permanent("cannot_be_asked"))?;
            let answer = self.exchange(request).await?;
            self.drop_refused_token(&answer);
            match asks.response(question, page, &answer, self.clock.now()) {
                Told::NextPage(next) if next > page => page = next,
                told => return Ok(told),
            }
        }
        Err(Verdict::transient("too_many_pages"))
    }

    /// Takes a message back: `Accepted` if the gateway says so.
    pub async fn recall(&self, gateway_ref: &str) -> Verdict {
        self.try_recall(gateway_ref).await.unwrap_or_else(|verdict| verdict)
    }

    async fn try_recall(&self, gateway_ref: &str) -> Result<Verdict, Verdict> {
        let recalls = self.gateway.recalls().ok_or_else(|| Verdict::permanent("cannot_be_recalled"))?;
        let token = self.token().await?;
        let nonce = nonce();
        let call = Call { now: self.clock.now(), nonce: &nonce, token: token.as_ref() };
        let request =
            recalls.request(gateway_ref, &call).ok_or_else(|| Verdict::permanent("cannot_be_recalled"))?;
        let answer = self.exchange(request).await?;
        self.drop_refused_token(&answer);
        Ok(recalls.response(&answer, self.clock.now()))
    }

    /// The access token, fetched when there is none that lasts. Whatever goes wrong here, no message went out.
    async fn token(&self) -> Result<Option<Secret>, Verdict> {
        let Some(tokens) = self.gateway.tokens() else { return Ok(None) };
        let now = self.clock.now();
        {
            let grant = self.grant.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(grant) = &*grant
                && now.plus_millis(TOKEN_MARGIN_MS) < grant.until
            {
                return Ok(Some(grant.token.clone()));
            }
        }
        let fetched = match self.exchange(tokens.request()).await {
            Ok(answer) => tokens.response(&answer, self.clock.now()),
            Err(lost) => Err(lost),
        };
        match fetched {
            Ok(grant) => {
                let token = grant.token.clone();
                *self.grant.lock().unwrap_or_else(PoisonError::into_inner) = Some(grant);
                Ok(Some(token))
            }
            Err(verdict) => Err(certainly_not_sent(verdict)),
        }
    }

    fn drop_refused_token(&self, answer: &Answer) {
        if self.gateway.tokens().is_some_and(|tokens| tokens.refused(answer)) {
            *self.grant.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// One request and its answer, or what is known without one.
    async fn exchange(&self, request: HttpRequest) -> Result<Answer, Verdict> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let mut builder = self.client.request(method, request.url);
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        let mut response = builder.body(request.body).send().await.map_err(|e| self.lost(e))?;
        let status = response.status().as_u16();
        let retry_after_ms = retry_after(response.headers());
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_LIMIT => body.extend(&chunk),
                Ok(None) => return Ok(Answer { status, retry_after_ms, body: Some(body) }),
                // Too long, broken off, or not whole in time.
                _ => return Ok(Answer { status, retry_after_ms, body: None }),
            }
        }
    }

    fn lost(&self, error: reqwest::Error) -> Verdict {
        let error = error.without_url();
        let verdict = if error.is_builder() {
            Verdict::permanent("bad_request")
        } else if error.is_connect() && error.is_timeout() {
            Verdict::transient("connect_timeout")
        } else if error.is_connect() {
            not_connected(&error)
        } else if error.is_timeout() {
            Verdict::unknown("timeout")
        } else {
            Verdict::unknown("connection_lost")
        };
        let causes: Vec<String> = std::iter::successors(std::error::Error::source(&error), |e| e.source())
            .map(ToString::to_string)
            .collect();
        let gateway = self.gateway.profile().name;
        tracing::debug!(gateway, %error, causes = causes.join(": "), "no answer");
        verdict
    }
}

impl Channel for Post {
    fn name(&self) -> &'static str {
        self.gateway.profile().name
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Outcome> {
        Box::pin(async move { self.deliver(message).await.outcome })
    }

    fn kind(&self) -> Kind {
        self.gateway.profile().kind
    }

    fn not_found_counts_after_ms(&self) -> i64 {
        i64::from(self.gateway.profile().not_found_counts_after_seconds.unwrap_or(u32::MAX)) * 1_000
    }

    fn asks(&self) -> bool {
        self.gateway.asks().is_some()
    }

    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Told> {
        Box::pin(Post::ask(self, question))
    }

    fn recalls(&self) -> bool {
        self.gateway.recalls().is_some()
    }

    fn recall<'a>(&'a self, gateway_ref: &'a str) -> BoxFuture<'a, Outcome> {
        Box::pin(async move { Post::recall(self, gateway_ref).await.outcome })
    }
}

/// Why there is no connection: certainly not sent. By the types of what went wrong; a text may change.
pub(super) fn not_connected(error: &(dyn std::error::Error + 'static)) -> Verdict {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.is::<LeadsInside>() {
            let advice = "the gateway's name leads to an address inside this house: set allow_private = true if it \
                          really is there. Nothing was sent";
            return Verdict { advice: Some(advice), ..Verdict::account("leads_inside") };
        }
        if cause.is::<NoSuchName>() {
            return Verdict::transient("dns");
        }
        match cause.downcast_ref::<rustls::Error>() {
            // It stays so until somebody has renewed it, or it is not the gateway at all.
            Some(rustls::Error::InvalidCertificate(_)) => {
                let advice = "the gateway's certificate is over, or not one for its name: nothing was sent";
                return Verdict { advice: Some(advice), ..Verdict::account("tls") };
            }
            Some(_) => return Verdict::transient("tls"),
            None => {}
        }
        // What an I/O error wraps is not its source, and one may wrap another.
        next = match cause.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static)),
            None => cause.source(),
        };
    }
    Verdict::transient("connection_refused")
}

/// A verdict on the request for a token, as one on the message that was to follow.
fn certainly_not_sent(verdict: Verdict) -> Verdict {
    let outcome = match verdict.outcome {
        Outcome::Unknown { reason, retry_after_ms } => Outcome::Transient { reason, retry_after_ms },
        Outcome::Accepted { .. } => Outcome::Transient { reason: "no_token".into(), retry_after_ms: None },
        other => other,
    };
    Verdict { outcome, ..verdict }
}

/// 128 random bits: gateways refuse a nonce that they have seen.
fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// `Retry-After` in seconds. Its other form, a date, is left to our own delay: clocks differ.
fn retry_after(headers: &HeaderMap) -> Option<i64> {
    let seconds: u32 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(i64::from(seconds) * 1000)
}
