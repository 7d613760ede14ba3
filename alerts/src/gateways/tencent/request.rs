//! `SendSms` and `PullSmsSendStatusByPhoneNumber`: JSON by POST to `/`, the action in a header.

use serde_json::{Value, json};

use super::config::TencentConfig;
use super::{PROFILE, sign};
use crate::channel::Outgoing;
use crate::gateways::http::{HttpRequest, Method};
use crate::gateways::settings::filled;
use crate::gateways::{Call, Endpoint, Question, Verdict, phone};

const VERSION: &str = "2021-01-11";

/// Rows of an answer: the most it gives, and there is no second page.
pub(super) const ROWS: usize = 100;

/// How far apart our clock and the gateway's may be: that much before "sending" is looked through.
const BEFORE_SECONDS: i64 = 600;

/// The request that sends a message.
pub(super) fn send(
    config: &TencentConfig,
    endpoint: &Endpoint,
    message: &Outgoing,
    call: &Call<'_>,
) -> Result<HttpRequest, Verdict> {
    let phone = phone::mainland(&message.to)?;
    let filled = filled(&config.templates, message, PROFILE.limits.variable_chars)?;
    let sign_name = filled.sign_name.unwrap_or(&config.sign_name);
    let slots: Vec<&str> = filled.values.into_iter().map(|(_, value)| value).collect();
    let body = json!({
        "PhoneNumberSet": [format!("+86{phone}")],
        "SmsSdkAppId": config.sdk_app_id,
        "TemplateId": filled.template,
        "SignName": sign_name,
        "TemplateParamSet": slots,
        "SessionContext": message.idempotency_key,
    });
    Ok(signed(config, endpoint, "SendSms", &body, call))
}

/// The request that asks about a message. It cannot look back further than 7 days.
pub(super) fn ask(
    config: &TencentConfig,
    endpoint: &Endpoint,
    question: &Question,
    call: &Call<'_>,
) -> Option<HttpRequest> {
    let phone = phone::mainland(&question.to).ok()?;
    let body = json!({
        "SmsSdkAppId": config.sdk_app_id,
        "PhoneNumber": format!("+86{phone}"),
        "BeginTime": question.sent_by(call.now).0.div_euclid(1000) - BEFORE_SECONDS,
        "EndTime": call.now.0.div_euclid(1000) + BEFORE_SECONDS,
        "Offset": 0,
        "Limit": ROWS,
    });
    Some(signed(config, endpoint, "PullSmsSendStatusByPhoneNumber", &body, call))
}

fn signed(
    config: &TencentConfig,
    endpoint: &Endpoint,
    action: &str,
    body: &Value,
    call: &Call<'_>,
) -> HttpRequest {
    let body = body.to_string().into_bytes();
    let signed = sign::Signed { host: &endpoint.host(), service: "sms", at: call.now, payload: &body };
    let authorization = sign::authorization(&signed, &config.secret_id, config.secret_key.reveal());
    let mut url = endpoint.url.clone();
    url.set_path("/");
    HttpRequest {
        method: Method::Post,
        url,
        headers: vec![
            ("content-type", sign::CONTENT_TYPE.into()),
            ("x-tc-action", action.into()),
            ("x-tc-version", VERSION.into()),
            ("x-tc-region", config.region.clone()),
            ("x-tc-timestamp", call.now.0.div_euclid(1000).to_string()),
            ("authorization", authorization),
        ],
        body,
    }
}
