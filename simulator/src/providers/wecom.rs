//! WeCom's group robot: `POST /cgi-bin/webhook/send?key=`.

use super::{errcode, text_of};
use crate::http::{Request, Response};
use crate::providers::Gateway;
use crate::state::State;

pub(super) fn answer(state: &mut State, request: &Request, now: i64) -> (String, Response) {
    if request.query().get("key") != Some(&state.account.secret) {
        return errcode(93_000, "invalid webhook url");
    }
    let body = request.json();
    let Some(words) = text_of(&body) else { return errcode(44_004, "empty content") };
    if words.len() > 2048 {
        return errcode(40_058, "text.content exceed max length 2048");
    }
    if !state.quotas(Gateway::WecomRobot).a_minute("robot", 20, 0, now) {
        return errcode(45_009, "api freq out of limit");
    }
    state.take(Gateway::WecomRobot, "robot", words.to_owned(), None, None, now);
    errcode(0, "ok")
}
