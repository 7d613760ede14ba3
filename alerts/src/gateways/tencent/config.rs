//! What an operator says about the account.

use serde::Deserialize;

use crate::gateways::Secret;
use crate::gateways::settings::Templates;

/// The section `[gateways.tencent]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TencentConfig {
    /// The API key's id. No secret, but whose it is.
    pub secret_id: String,
    /// The API key's secret. Not read from the section.
    #[serde(skip)]
    pub secret_key: Secret,
    /// The SMS application, such as `1400006666`.
    pub sdk_app_id: String,
    /// The approved signature, without its brackets.
    pub sign_name: String,
    /// The approved templates.
    pub templates: Templates,
    /// The region that requests name.
    #[serde(default = "region")]
    pub region: String,
    /// Where to ask.
    #[serde(default = "endpoint")]
    pub endpoint: String,
}

fn region() -> String {
    "ap-guangzhou".into()
}

fn endpoint() -> String {
    "https://sms.tencentcloudapi.com/".into()
}
