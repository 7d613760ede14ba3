//! `gettoken`, `asyncsend_v2`, `getsendresult`, `recall`.

use reqwest::Url;
use serde_json::json;

use super::PROFILE;
use super::config::NoticeConfig;
use crate::channel::Outgoing;
use crate::gateways::http::{HttpRequest, Method};
use crate::gateways::{Call, Endpoint, Question, Verdict};

const BASE: &str = "/topapi/message/corpconversation/";

/// The request for an access token.
pub(super) fn token(config: &NoticeConfig, endpoint: &Endpoint) -> HttpRequest {
    let mut url = endpoint.url.clone();
    url.set_path("/gettoken");
    url.query_pairs_mut()
        .clear()
        .append_pair("appkey", &config.app_key)
        .append_pair("appsecret", config.app_secret.reveal());
    HttpRequest::new(Method::Get, url)
}

/// The request that sends a message.
pub(super) fn send(
    config: &NoticeConfig,
    endpoint: &Endpoint,
    message: &Outgoing,
    call: &Call<'_>,
) -> Result<HttpRequest, Verdict> {
    let content = match &message.link {
        Some(link) => format!("{}\n查看并回复：{link}", message.text),
        None => message.text.clone(),
    };
    if PROFILE.limits.text_bytes.is_some_and(|most| content.len() > most) {
        return Err(Verdict::permanent("text_too_long"));
    }
    let user = message.to.trim();
    // A comma would make two people of one.
    if user.is_empty() || user.contains(',') {
        return Err(Verdict::permanent("not_a_userid"));
    }
    let body = json!({
        "agent_id": config.agent_id,
        "userid_list": user,
        "msg": {"msgtype": "text", "text": {"content": content}},
    });
    Ok(HttpRequest::post_json(url(endpoint, "asyncsend_v2", call), &body))
}

/// The request that asks about a task; `None` without its number.
pub(super) fn ask(
    config: &NoticeConfig,
    endpoint: &Endpoint,
    question: &Question,
    call: &Call<'_>,
) -> Option<HttpRequest> {
    let task: u64 = question.gateway_ref.as_deref()?.parse().ok()?;
    let body = json!({"agent_id": config.agent_id, "task_id": task});
    Some(HttpRequest::post_json(url(endpoint, "getsendresult", call), &body))
}

/// The request that takes a task's message back; `None` where that is no task's number.
pub(super) fn recall(
    config: &NoticeConfig,
    endpoint: &Endpoint,
    gateway_ref: &str,
    call: &Call<'_>,
) -> Option<HttpRequest> {
    let task: u64 = gateway_ref.parse().ok()?;
    let body = json!({"agent_id": config.agent_id, "msg_task_id": task});
    Some(HttpRequest::post_json(url(endpoint, "recall", call), &body))
}

fn url(endpoint: &Endpoint, call_name: &str, call: &Call<'_>) -> Url {
    let mut url = endpoint.url.clone();
    url.set_path(&format!("{BASE}{call_name}"));
    let token = call.token.map_or("", |token| token.reveal());
    url.query_pairs_mut().clear().append_pair("access_token", token);
    url
}
