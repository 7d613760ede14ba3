//! What the answers mean. With `errcode` 88 the true code stands in `sub_code`.

use serde_json::Value;
use tocsin_schemas::time::Instant;

use crate::gateways::http::{Answer, short};
use crate::gateways::verdict::{Class, Row, Until};
use crate::gateways::{Fate, Grant, Question, Secret, Told, Verdict};

use Class::{Account, Permanent, Transient, Window};

/// Values of `errcode`, and of `sub_code` where that is 88.
pub(super) const CODES: &[Row] = &[
    ("-1", Transient),
    // The access token is over; the next attempt fetches another.
    ("40014", Transient),
    ("42001", Transient),
    ("33001", Account),
    ("40001", Account),
    ("40089", Account),
    ("40096", Account),
    ("60011", Account),
    ("60020", Account),
    ("50002", Account),
    ("33012", Permanent),
    ("40003", Permanent),
    ("40031", Permanent),
    ("34014", Permanent),
    ("34016", Permanent),
    ("40035", Permanent),
    ("90018", Window(Until::Seconds(60))),
    ("90002", Window(Until::Seconds(60))),
    ("143103", Window(Until::Seconds(60))),
    ("143104", Window(Until::Seconds(60))),
    ("143105", Window(Until::Midnight)),
    ("143106", Window(Until::Midnight)),
];

/// The answer's own code, if it has one.
fn code(body: &Value) -> Option<String> {
    match body["errcode"].as_i64()? {
        88 => Some(short(&body["sub_code"]).unwrap_or_else(|| "88".into())),
        code => Some(code.to_string()),
    }
}

/// `Ok` on the gateway's own yes.
fn yes(body: &Value, answer: &Answer, now: Instant) -> Result<(), Verdict> {
    match code(body) {
        Some(code) if code == "0" && answer.ok() => Ok(()),
        Some(code) if code != "0" => Err(Verdict::of_code(CODES, &code, answer, now)),
        _ => Err(Verdict::of_status(answer)),
    }
}

/// What came of `gettoken`.
pub(super) fn token(answer: &Answer, now: Instant) -> Result<Grant, Verdict> {
    let body = answer.json();
    yes(&body, answer, now)?;
    let lasts = body["expires_in"].as_i64().unwrap_or(0);
    match body["access_token"].as_str().map(Secret::new) {
        Some(token) if !token.is_empty() => Ok(Grant { token, until: now.plus_millis(lasts * 1000) }),
        _ => Err(Verdict::of_status(answer)),
    }
}

/// Whether the access token is not valid (any more).
pub(super) fn token_refused(answer: &Answer) -> bool {
    code(&answer.json()).is_some_and(|code| matches!(code.as_str(), "40014" | "42001" | "33001" | "40001"))
}

/// What came of `asyncsend_v2`. A yes without a task's number is none: that number is all that is ever
/// heard of the message.
pub(super) fn sent(answer: &Answer, now: Instant) -> Verdict {
    let body = answer.json();
    match yes(&body, answer, now) {
        Err(verdict) => verdict,
        Ok(()) => match short(&body["task_id"]) {
            Some(task) => Verdict::accepted(Some(task)),
            None => Verdict::unknown("unreadable_answer"),
        },
    }
}

/// What `getsendresult` says of the message's one person.
pub(super) fn told(question: &Question, answer: &Answer, now: Instant) -> Told {
    let body = answer.json();
    if let Err(verdict) = yes(&body, answer, now) {
        return Told::CannotTell(verdict);
    }
    let result = &body["send_result"];
    if !result.is_object() {
        return Told::CannotTell(Verdict::unknown("unreadable_answer"));
    }
    let user = question.to.trim();
    let listed = |name: &str| {
        let list = result[name].as_array();
        list.is_some_and(|list| list.iter().any(|id| id.as_str() == Some(user)))
    };
    let failed = ["failed_user_id_list", "invalid_user_id_list", "forbidden_user_id_list"]
        .into_iter()
        .find(|name| listed(name));
    let fate = if listed("read_user_id_list") || listed("unread_user_id_list") {
        Fate::Delivered
    } else if let Some(list) = failed {
        Fate::Failed(list.trim_end_matches("_user_id_list").to_owned())
    } else {
        // The task is still being worked on.
        Fate::Accepted
    };
    Told::Known { fate, gateway_ref: question.gateway_ref.clone() }
}

/// What came of `recall`.
pub(super) fn recalled(answer: &Answer, now: Instant) -> Verdict {
    match yes(&answer.json(), answer, now) {
        Ok(()) => Verdict::accepted(None),
        Err(verdict) => verdict,
    }
}
