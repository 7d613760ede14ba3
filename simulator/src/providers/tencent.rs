//! Tencent Cloud SMS, version 2021-01-11: `SendSms`, `PullSmsSendStatusByPhoneNumber`.

use serde_json::{Value, json};

use crate::http::{Request, Response};
use crate::providers::Gateway;
use crate::state::{Message, State};
use crate::verify;

/// How far the time of a signature may be off, in seconds.
const SKEW_SECONDS: i64 = 300;
const A_DAY: u32 = 2;
const SAME_TEXT_MS: i64 = 30_000;

/// An error of the whole call.
pub(crate) fn error(code: &str) -> Value {
    json!({"Response": {"Error": {"Code": code, "Message": code}, "RequestId": "S-1"}})
}

fn refused(code: &str) -> (String, Response) {
    (code.to_owned(), Response::json(200, &error(code)))
}

pub(super) fn answer(state: &mut State, request: &Request, now: i64) -> (String, Response) {
    let header = |name: &str| request.header(name).unwrap_or_default();
    if !verify::tc3(request, &state.account.id, &state.account.secret) {
        return refused("AuthFailure.SignatureFailure");
    }
    let at: i64 = header("x-tc-timestamp").parse().unwrap_or(0);
    if (at - now.div_euclid(1000)).abs() > SKEW_SECONDS {
        return refused("AuthFailure.SignatureExpire");
    }
    match (header("x-tc-version"), header("x-tc-action")) {
        ("2021-01-11", "SendSms") => send(state, &request.json(), now),
        ("2021-01-11", "PullSmsSendStatusByPhoneNumber") => pull(state, &request.json(), now),
        _ => refused("InvalidAction"),
    }
}

fn send(state: &mut State, body: &Value, now: i64) -> (String, Response) {
    let Some(phones) = body["PhoneNumberSet"].as_array().filter(|phones| (1..=200).contains(&phones.len()))
    else {
        return refused("MissingParameter.EmptyPhoneNumberSet");
    };
    let mut first = String::new();
    let mut set = Vec::new();
    for phone in phones {
        let phone = phone.as_str().unwrap_or_default();
        let (code, serial) = match one(state, phone, body, now) {
            Ok(serial) => ("Ok", serial),
            Err(code) => (code, String::new()),
        };
        if first.is_empty() {
            first = code.to_owned();
        }
        set.push(json!({
            "SerialNo": serial,
            "PhoneNumber": phone,
            "Fee": i32::from(code == "Ok"),
            "SessionContext": body["SessionContext"],
            "Code": code,
            "Message": code,
            "IsoCode": "CN",
        }));
    }
    (first, Response::json(200, &json!({"Response": {"SendStatusSet": set, "RequestId": "S-1"}})))
}

fn one(state: &mut State, phone: &str, body: &Value, now: i64) -> Result<String, &'static str> {
    let bare = phone.strip_prefix("+86").filter(|p| p.len() == 11 && p.bytes().all(|b| b.is_ascii_digit()));
    let bare = bare.ok_or("InvalidParameterValue.IncorrectPhoneNumber")?;
    let sign_name = body["SignName"].as_str().unwrap_or_default();
    if !state.account.signs(sign_name) {
        return Err("FailedOperation.SignatureIncorrectOrUnapproved");
    }
    let template = body["TemplateId"].as_str().unwrap_or_default();
    let words = state.account.templates.get(template);
    let mut words = words.ok_or("FailedOperation.TemplateUnapprovedOrNotExist")?.clone();
    for (n, value) in body["TemplateParamSet"].as_array().into_iter().flatten().enumerate() {
        let value = value.as_str().unwrap_or_default();
        if value.chars().count() > 6 {
            return Err("InvalidParameterValue.TemplateParameterLengthLimit");
        }
        let slot = format!("{{{}}}", n + 1);
        if !words.contains(&slot) {
            return Err("FailedOperation.TemplateParamSetNotMatchApprovedTemplate");
        }
        words = words.replace(&slot, value);
    }
    if words.contains('{') {
        return Err("FailedOperation.TemplateParamSetNotMatchApprovedTemplate");
    }
    let words = format!("【{sign_name}】{words}");
    let quotas = state.quotas(Gateway::Tencent);
    if quotas.today(bare, now) >= A_DAY {
        return Err("LimitExceeded.PhoneNumberDailyLimit");
    }
    if !quotas.every(&format!("{bare}|{words}"), SAME_TEXT_MS, now) {
        return Err("LimitExceeded.PhoneNumberThirtySecondLimit");
    }
    quotas.a_day(bare, A_DAY, now);
    let id = body["SessionContext"].as_str();
    Ok(state.take(Gateway::Tencent, bare, words, Some(template), id, now))
}

/// What the carrier has answered: a message without an answer has no row.
fn pull(state: &State, body: &Value, now: i64) -> (String, Response) {
    let phone = body["PhoneNumber"].as_str().unwrap_or_default();
    let (Some(bare), Some(from), Some(limit)) =
        (phone.strip_prefix("+86"), body["BeginTime"].as_i64(), body["Limit"].as_u64())
    else {
        return refused("InvalidParameter");
    };
    if limit > 100 || body["Offset"] != 0 || now.div_euclid(1000) - from > 7 * 86_400 {
        return refused("InvalidParameterValue");
    }
    let until = body["EndTime"].as_i64().unwrap_or(i64::MAX);
    let wanted = |m: &&Message| {
        let sent = m.at.div_euclid(1000);
        m.gateway == Gateway::Tencent
            && m.to == bare
            && now >= m.answered_at
            && (from..=until).contains(&sent)
    };
    let rows: Vec<Value> = state
        .messages
        .iter()
        .filter(wanted)
        .take(usize::try_from(limit).unwrap_or(100))
        .map(|m| {
            json!({
                "UserReceiveTime": m.answered_at.div_euclid(1000),
                "CountryCode": "86",
                "SubscriberNumber": bare,
                "PhoneNumber": phone,
                "SerialNo": m.gateway_ref,
                "ReportStatus": if m.reaches { "SUCCESS" } else { "FAIL" },
                "Description": if m.reaches { "DELIVRD" } else { "UNDELIV" },
                "SessionContext": m.id,
            })
        })
        .collect();
    let response = json!({"Response": {"PullSmsSendStatusSet": rows, "RequestId": "S-1"}});
    ("Ok".into(), Response::json(200, &response))
}
