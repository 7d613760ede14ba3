//! What an operator says about the account.

use serde::Deserialize;

use crate::gateways::Secret;
use crate::gateways::settings::Templates;

/// The section `[gateways.aliyun]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliyunConfig {
    /// The access key's id. No secret, but whose it is.
    pub access_key_id: String,
    /// The access key's secret. Not read from the section.
    #[serde(skip)]
    pub access_key_secret: Secret,
    /// The approved signature, without its brackets.
    pub sign_name: String,
    /// The approved templates.
    pub templates: Templates,
    /// Where to ask.
    #[serde(default = "endpoint")]
    pub endpoint: String,
}

fn endpoint() -> String {
    "https://dysmsapi.aliyuncs.com/".into()
}
