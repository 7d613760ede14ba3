//! A WeCom group robot (企业微信群机器人).
//!
//! Its key stands in the URL. HTTP says 200 whatever happened: success is `errcode == 0`. It gives no receipt
//! number, cannot be asked and knows no key: of kind *neither*. 20 messages a minute. It speaks to a group, so
//! a message's address is not used.

mod config;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use config::WecomConfig;

use std::sync::Arc;

use tocsin_schemas::time::Instant;

use super::http::{Answer, HttpRequest};
use super::{Call, ConfigError, Endpoint, Gateway, Kind, Limits, Profile, Settings, Standing, Verdict};
use crate::channel::Outgoing;

/// What is published of it.
pub const PROFILE: Profile = Profile {
    name: "wecom_robot",
    kind: Kind::Neither,
    not_found_counts_after_seconds: None,
    hosts: &["qyapi.weixin.qq.com"],
    marks: None,
    limits: Limits {
        text_chars: None,
        text_bytes: Some(2048),
        variable_chars: None,
        quotas: &[],
        calls_per_minute: Some(20),
        penalty_seconds: None,
        max_in_flight: 2,
    },
};

/// Its secret: the key in its URL.
pub const SECRETS: &[&str] = &["key"];

/// One robot.
#[derive(Debug)]
pub struct Wecom {
    config: WecomConfig,
    endpoint: Endpoint,
}

/// See [`super::Entry::make`].
pub fn make(settings: &Settings) -> Result<Arc<dyn Gateway>, ConfigError> {
    let mut config: WecomConfig = settings.section()?;
    config.key = settings.secret("key")?;
    let endpoint = Endpoint::new(&config.endpoint, PROFILE.hosts, settings.allow_private)?;
    Ok(Arc::new(Wecom { config, endpoint }))
}

impl Gateway for Wecom {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
    fn request(&self, message: &Outgoing, _: &Call<'_>) -> Result<HttpRequest, Verdict> {
        request::send(&self.config, &self.endpoint, message)
    }
    fn response(&self, _: &Outgoing, answer: &Answer, now: Instant, _: Standing) -> Verdict {
        response::sent(answer, now)
    }
}
