//! A DingTalk group robot (钉钉群机器人), secured by a signature.
//!
//! HTTP says 200 whatever happened: success is `errcode == 0`. It gives no receipt number, cannot be asked and
//! knows no key: of kind *neither*. Over 20 messages a minute it refuses everything for 10 minutes.
//! It speaks to a group, so a message's address is not used (and no phone is put into the group).

mod config;
mod request;
mod response;
mod sign;
#[cfg(test)]
mod tests;

pub use config::RobotConfig;

use std::sync::Arc;

use tocsin_schemas::time::Instant;

use super::http::{Answer, HttpRequest};
use super::{Call, ConfigError, Endpoint, Gateway, Kind, Limits, Profile, Settings, Standing, Verdict};
use crate::channel::Outgoing;

/// What is published of it.
pub const PROFILE: Profile = Profile {
    name: "dingtalk_robot",
    kind: Kind::Neither,
    not_found_counts_after_seconds: None,
    hosts: &["oapi.dingtalk.com"],
    marks: None,
    limits: Limits {
        text_chars: None,
        text_bytes: Some(20_000),
        variable_chars: None,
        quotas: &[],
        calls_per_minute: Some(20),
        penalty_seconds: Some(600),
        max_in_flight: 2,
    },
};

/// Its secrets: the token in its URL, and the key of its signature.
pub const SECRETS: &[&str] = &["access_token", "sign_secret"];

/// One robot.
#[derive(Debug)]
pub struct Robot {
    config: RobotConfig,
    endpoint: Endpoint,
}

/// See [`super::Entry::make`].
pub fn make(settings: &Settings) -> Result<Arc<dyn Gateway>, ConfigError> {
    let mut config: RobotConfig = settings.section()?;
    config.access_token = settings.secret("access_token")?;
    config.sign_secret = settings.secret("sign_secret")?;
    let endpoint = Endpoint::new(&config.endpoint, PROFILE.hosts, settings.allow_private)?;
    Ok(Arc::new(Robot { config, endpoint }))
}

impl Gateway for Robot {
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
}
