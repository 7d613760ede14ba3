//! What an operator says about the application.

use serde::Deserialize;

use crate::gateways::Secret;

/// The section `[gateways.dingtalk_notice]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeConfig {
    /// The application's key. No secret, but whose it is.
    pub app_key: String,
    /// The application's secret. Not read from the section.
    #[serde(skip)]
    pub app_secret: Secret,
    /// The application's number within the company.
    pub agent_id: u64,
    /// The host to ask.
    #[serde(default = "endpoint")]
    pub endpoint: String,
}

fn endpoint() -> String {
    "https://oapi.dingtalk.com/".into()
}
