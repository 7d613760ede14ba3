//! Tencent Cloud SMS (腾讯云短信), API version 2021-01-11, signed with TC3-HMAC-SHA256.
//!
//! - Success is per phone: `SendStatusSet[].Code == "Ok"`, and HTTP says 200 whatever happened.
//! - `SessionContext` is our delivery id; it comes back with the answer and when we ask.
//! - `PullSmsSendStatusByPhoneNumber` lists what the carrier has answered, of the last 7 days. A message whose
//!   phone is off has no row yet, so "not found" is never "not sent" here.
//! - Receipts carry the serial number alone.

mod config;
mod receipt;
mod reply;
mod request;
mod response;
mod sign;
#[cfg(test)]
mod tests;

pub use config::TencentConfig;

use std::sync::Arc;

use tocsin_schemas::time::Instant;

use super::http::{Answer, HttpRequest};
use super::limits::{Per, Quota, Window};
use super::{
    Asks, Call, ConfigError, Endpoint, Gateway, Kind, Limits, Marks, NotAReceipt, Page, Profile, Pushes,
    Question, Receipt, Settings, Standing, Told, Verdict, Written,
};
use crate::channel::Outgoing;

/// What is published of it: the limits of a new account.
pub const PROFILE: Profile = Profile {
    name: "tencent",
    kind: Kind::Askable,
    not_found_counts_after_seconds: None,
    hosts: &["sms.tencentcloudapi.com"],
    marks: Some(Marks::Numbered),
    limits: Limits {
        text_chars: Some(500),
        text_bytes: None,
        variable_chars: Some(6),
        quotas: &[
            Quota { max: 2, per: Per::Phone, window: Window::Day },
            Quota { max: 1, per: Per::PhoneAndText, window: Window::Seconds(30) },
        ],
        calls_per_minute: None,
        penalty_seconds: None,
        max_in_flight: 32,
    },
};

/// Its secrets: the API key's.
pub const SECRETS: &[&str] = &["secret_key"];

/// Tencent SMS with its account.
#[derive(Debug)]
pub struct Tencent {
    config: TencentConfig,
    endpoint: Endpoint,
}

/// See [`super::Entry::make`].
pub fn make(settings: &Settings) -> Result<Arc<dyn Gateway>, ConfigError> {
    let mut config: TencentConfig = settings.section()?;
    config.secret_key = settings.secret("secret_key")?;
    let endpoint = Endpoint::new(&config.endpoint, PROFILE.hosts, settings.allow_private)?;
    Ok(Arc::new(Tencent { config, endpoint }))
}

impl Gateway for Tencent {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
    fn request(&self, message: &Outgoing, call: &Call<'_>) -> Result<HttpRequest, Verdict> {
        request::send(&self.config, &self.endpoint, message, call)
    }
    fn response(&self, message: &Outgoing, answer: &Answer, now: Instant, _: Standing) -> Verdict {
        response::sent(message, answer, now)
    }
    fn asks(&self) -> Option<&dyn Asks> {
        Some(self)
    }
    fn pushes(&self) -> Option<&dyn Pushes> {
        Some(&Pushed)
    }
}

impl Asks for Tencent {
    fn request(&self, question: &Question, page: Page, call: &Call<'_>) -> Option<HttpRequest> {
        // The offset is fixed at 0 by the API: there is one page, of 100.
        (page == 0).then(|| request::ask(&self.config, &self.endpoint, question, call))?
    }
    fn response(&self, question: &Question, _: Page, answer: &Answer, now: Instant) -> Told {
        response::told(question, answer, now)
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
        r#"{"result":0,"errmsg":"OK"}"#
    }
}
