//! What an operator says about a robot.

use serde::Deserialize;

use crate::gateways::Secret;

/// The section `[gateways.dingtalk_robot]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RobotConfig {
    /// The token of the robot's URL. Not read from the section.
    #[serde(skip)]
    pub access_token: Secret,
    /// The key of its signature (`SEC…`). Not read from the section.
    #[serde(skip)]
    pub sign_secret: Secret,
    /// Where to post, without the token.
    #[serde(default = "endpoint")]
    pub endpoint: String,
}

fn endpoint() -> String {
    "https://oapi.dingtalk.com/robot/send".into()
}
