//! DingTalk work notices (钉钉工作通知): a message from a company's application to one of its people.
//!
//! - `gettoken` gives an access token for 2 hours; `asyncsend_v2` takes a message and gives a task's number;
//!   `getsendresult` tells of a task; `recall` takes its message back, within a day.
//! - It can only be asked by the task's number, so a lost answer cannot be settled: of kind *neither*. The
//!   provider says that it drops the same text to the same person on one day; that is not built upon.
//! - The address is a `userid` of the company, never a phone.

mod config;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use config::NoticeConfig;

use std::sync::Arc;

use tocsin_schemas::time::Instant;

use super::http::{Answer, HttpRequest};
use super::limits::{Per, Quota, Window};
use super::{
    Asks, Call, ConfigError, Endpoint, Gateway, Grant, Kind, Limits, Page, Profile, Question, Recalls,
    Settings, Standing, Tokens, Told, Verdict,
};
use crate::channel::Outgoing;

/// What is published of it.
pub const PROFILE: Profile = Profile {
    name: "dingtalk_notice",
    kind: Kind::Neither,
    not_found_counts_after_seconds: None,
    hosts: &["oapi.dingtalk.com"],
    marks: None,
    limits: Limits {
        text_chars: None,
        text_bytes: Some(2048),
        variable_chars: None,
        quotas: &[
            Quota { max: 500, per: Per::Phone, window: Window::Day },
            Quota { max: 1, per: Per::PhoneAndText, window: Window::Day },
        ],
        calls_per_minute: None,
        penalty_seconds: None,
        max_in_flight: 16,
    },
};

/// Its secret: the application's.
pub const SECRETS: &[&str] = &["app_secret"];

/// One application.
#[derive(Debug)]
pub struct Notice {
    config: NoticeConfig,
    endpoint: Endpoint,
}

/// See [`super::Entry::make`].
pub fn make(settings: &Settings) -> Result<Arc<dyn Gateway>, ConfigError> {
    let mut config: NoticeConfig = settings.section()?;
    config.app_secret = settings.secret("app_secret")?;
    let endpoint = Endpoint::new(&config.endpoint, PROFILE.hosts, settings.allow_private)?;
    Ok(Arc::new(Notice { config, endpoint }))
}

impl Gateway for Notice {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
    fn request(&self, message: &Outgoing, call: &Call<'_>) -> Result<HttpRequest, Verdict> {
        request::send(&self.config, &self.endpoint, message, call)
    }
    fn response(&self, _: &Outgoing, answer: &Answer, now: Instant, _: Standing) -> Verdict {
        response::sent(answer, now)
    }
    fn asks(&self) -> Option<&dyn Asks> {
        Some(self)
    }
    fn recalls(&self) -> Option<&dyn Recalls> {
        Some(self)
    }
    fn tokens(&self) -> Option<&dyn Tokens> {
        Some(self)
    }
}

impl Asks for Notice {
    fn request(&self, question: &Question, _: Page, call: &Call<'_>) -> Option<HttpRequest> {
        request::ask(&self.config, &self.endpoint, question, call)
    }
    fn response(&self, question: &Question, _: Page, answer: &Answer, now: Instant) -> Told {
        response::told(question, answer, now)
    }
}

impl Recalls for Notice {
    fn request(&self, gateway_ref: &str, call: &Call<'_>) -> Option<HttpRequest> {
        request::recall(&self.config, &self.endpoint, gateway_ref, call)
    }
    fn response(&self, answer: &Answer, now: Instant) -> Verdict {
        response::recalled(answer, now)
    }
}

impl Tokens for Notice {
    fn request(&self) -> HttpRequest {
        request::token(&self.config, &self.endpoint)
    }
    fn response(&self, answer: &Answer, now: Instant) -> Result<Grant, Verdict> {
        response::token(answer, now)
    }
    fn refused(&self, answer: &Answer) -> bool {
        response::token_refused(answer)
    }
}
