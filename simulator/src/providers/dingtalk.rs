//! DingTalk: the group robot, and work notices of an application.

use serde_json::{Value, json};

use super::{errcode, text_of};
use crate::fault::Call;
use crate::http::{Request, Response};
use crate::providers::Gateway;
use crate::state::State;
use crate::verify;

const HOUR_MS: i64 = 3_600_000;
const TOKEN_MS: i64 = 2 * HOUR_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// `POST /robot/send?access_token=&timestamp=&sign=`.
pub(super) fn robot(state: &mut State, request: &Request, now: i64) -> (String, Response) {
    let query = request.query();
    let text = |name: &str| query.get(name).map_or("", String::as_str);
    if text("access_token") != state.account.secret {
        return errcode(300_001, "token is not exist");
    }
    let at: i64 = text("timestamp").parse().unwrap_or(0);
    if (at - now).abs() > HOUR_MS {
        return errcode(310_000, "invalid timestamp");
    }
    if !verify::dingtalk(text("timestamp"), text("sign"), &state.account.secret) {
        return errcode(310_000, "sign not match");
    }
    let body = request.json();
    let Some(words) = text_of(&body) else { return errcode(40_035, "缺少参数 json") };
    if words.len() > 20_000 {
        return errcode(460_101, "message too long");
    }
    if !state.quotas(Gateway::DingtalkRobot).a_minute("robot", 20, 600_000, now) {
        return errcode(130_101, "send too fast, exceed 20 times per minute");
    }
    state.take(Gateway::DingtalkRobot, "robot", words.to_owned(), None, None, now);
    errcode(0, "ok")
}

/// `gettoken`, `asyncsend_v2`, `getsendresult`, `recall`.
pub(super) fn notice(state: &mut State, call: Call, request: &Request, now: i64) -> (String, Response) {
    let query = request.query();
    let text = |name: &str| query.get(name).map_or("", String::as_str);
    if call == Call::Token {
        if text("appkey") != state.account.id || text("appsecret") != state.account.secret {
            return errcode(40_096, "不合法的appKey或appSecret");
        }
        let token = format!("token-{}", state.tokens.len() + 1);
        state.tokens.insert(token.clone(), now + TOKEN_MS);
        let body =
            json!({"errcode": 0, "errmsg": "ok", "access_token": token, "expires_in": TOKEN_MS / 1000});
        return ("0".into(), Response::json(200, &body));
    }
    if state.tokens.get(text("access_token")).is_none_or(|until| now >= *until) {
        let body = json!({"errcode": 88, "sub_code": "40014", "sub_msg": "不合法的access_token"});
        return ("88.40014".into(), Response::json(200, &body));
    }
    let body = request.json();
    match call {
        Call::Send => send(state, &body, now),
        Call::Ask => result(state, &body, now),
        _ => recall(state, &body, now),
    }
}

fn send(state: &mut State, body: &Value, now: i64) -> (String, Response) {
    let user = body["userid_list"].as_str().unwrap_or_default();
    let words = text_of(&body["msg"]);
    let (Some(words), true, false) = (words, body["agent_id"].is_u64(), user.is_empty()) else {
        return errcode(40_035, "缺少参数");
    };
    let quotas = state.quotas(Gateway::DingtalkNotice);
    // One text a day to a person; a repetition is answered like a first one, and forbidden in the result.
    let fresh = quotas.a_day(&format!("{user}|{words}"), 1, now) && quotas.a_day(user, 500, now);
    let task = if fresh {
        state.take(Gateway::DingtalkNotice, user, words.to_owned(), None, None, now)
    } else {
        format!("{}", 999_000_000_000_u64 + state.handled.len() as u64)
    };
    let body = json!({"errcode": 0, "errmsg": "ok", "task_id": task.parse::<u64>().unwrap_or(0)});
    ("0".into(), Response::json(200, &body))
}

fn result(state: &State, body: &Value, now: i64) -> (String, Response) {
    let task = body["task_id"].as_u64().unwrap_or(0).to_string();
    let found = state.messages.iter().find(|m| m.gateway == Gateway::DingtalkNotice && m.gateway_ref == task);
    let result = match found {
        Some(message) if now < message.answered_at => json!({}),
        Some(message) if message.reaches => json!({"unread_user_id_list": [message.to]}),
        Some(message) => json!({"failed_user_id_list": [message.to]}),
        None => json!({"forbidden_list": []}),
    };
    let body = json!({"errcode": 0, "errmsg": "ok", "send_result": result});
    ("0".into(), Response::json(200, &body))
}

fn recall(state: &mut State, body: &Value, now: i64) -> (String, Response) {
    let task = body["msg_task_id"].as_u64().unwrap_or(0).to_string();
    let found = state
        .messages
        .iter_mut()
        .find(|m| m.gateway == Gateway::DingtalkNotice && m.gateway_ref == task && now - m.at <= DAY_MS);
    match found {
        Some(message) => {
            message.recalled_at.get_or_insert(now);
            errcode(0, "ok")
        }
        None => errcode(40_035, "msg_task_id"),
    }
}
