//! What an operator says about a robot.

use serde::Deserialize;

use crate::gateways::Secret;

/// The section `[gateways.wecom_robot]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WecomConfig {
    /// The key of the robot's URL. Not read from the section.
    #[serde(skip)]
    pub key: Secret,
    /// Where to post, without the key.
    #[serde(default = "endpoint")]
    pub endpoint: String,
}

fn endpoint() -> String {
    "https://qyapi.weixin.qq.com/cgi-bin/webhook/send".into()
}
