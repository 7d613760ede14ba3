//! Aliyun SMS (阿里云短信), API version 2017-05-25, signed with ACS3-HMAC-SHA256.
//!
//! - `SendSms` is not idempotent: after a lost answer it must be asked (`QuerySendDetails`), whose rows carry
//!   the `OutId` that we chose, our delivery id.
//! - Success is `Code == "OK"` in the body. One phone a call.
//! - Days, in quotas and in `SendDate`, are natural days of UTC+8.

mod config;
mod receipt;
mod reply;
mod request;
mod response;
mod sign;
#[cfg(test)]
mod tests;

pub use config::AliyunConfig;

use std::sync::Arc;

use tocsin_schemas::time::Instant;

use super::http::{Answer, HttpRequest};
use super::limits::{Per, Quota, Window};
use super::{
    Asks, Call, ConfigError, Endpoint, Gateway, Kind, Limits, Marks, NotAReceipt, Page, Profile, Pushes,
    Question, Receipt, Settings, Standing, Told, Verdict, Written,
};
use crate::channel::Outgoing;

/// What is published of it.
pub const PROFILE: Profile = Profile {
    name: "aliyun",
    kind: Kind::Askable,
    not_found_counts_after_seconds: Some(1800),
    hosts: &["dysmsapi.aliyuncs.com"],
    marks: Some(Marks::Named),
    limits: Limits {
        text_chars: Some(500),
        text_bytes: None,
        variable_chars: Some(35),
        quotas: &[Quota { max: 50, per: Per::PhoneAndTemplate, window: Window::Day }],
        calls_per_minute: None,
        penalty_seconds: None,
        max_in_flight: 32,
    },
};

/// Its secrets: the access key's.
pub const SECRETS: &[&str] = &["access_key_secret"];

/// Aliyun SMS with its account.
#[derive(Debug)]
pub struct Aliyun {
    config: AliyunConfig,
    endpoint: Endpoint,
}

/// See [`super::Entry::make`].
pub fn make(settings: &Settings) -> Result<Arc<dyn Gateway>, ConfigError> {
    let mut config: AliyunConfig = settings.section()?;
    config.access_key_secret = settings.secret("access_key_secret")?;
    let endpoint = Endpoint::new(&config.endpoint, PROFILE.hosts, settings.allow_private)?;
    Ok(Arc::new(Aliyun { config, endpoint }))
}

impl Gateway for Aliyun {
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
    fn pushes(&self) -> Option<&dyn Pushes> {
        Some(&Pushed)
    }
}

impl Asks for Aliyun {
    fn request(&self, question: &Question, page: Page, call: &Call<'_>) -> Option<HttpRequest> {
        request::ask(&self.config, &self.endpoint, question, page, call)
    }
    fn response(&self, question: &Question, page: Page, answer: &Answer, now: Instant) -> Told {
        response::told(question, page, answer, now)
    }
}

/// What it pushes.
#[derive(Debug, Clone, Copy)]
pub struct Pushed;

impl Pushes for Pushed {
    fn receipts(&self, body: &[u8]) -> Result<Vec<Receipt>, NotAReceipt> {
        receipt::receipts(body)
    }
    fn replies(&self, body: &[u8]) -> Result<Vec<Written>, NotAReceipt> {
        reply::replies(body)
    }
    fn taken(&self) -> &'static str {
        r#"{"code":0,"msg":"ok"}"#
    }
}
