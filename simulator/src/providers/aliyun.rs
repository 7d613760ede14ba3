//! Aliyun SMS, version 2017-05-25: `SendSms`, `QuerySendDetails`.

use serde_json::{Value, json};

use crate::http::{Request, Response};
use crate::providers::Gateway;
use crate::receipts::local;
use crate::state::{Message, State};
use crate::verify;

/// How far the date of a signature may be off, in milliseconds.
const SKEW_MS: i64 = 15 * 60_000;
const A_DAY: u32 = 50;

fn said(status: u16, code: &str, message: &str, more: Value) -> (String, Response) {
    let mut body = json!({"Code": code, "Message": message, "RequestId": "S-1"});
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    (code.to_owned(), Response::json(status, &body))
}

fn refused(code: &str) -> (String, Response) {
    said(200, code, code, Value::Null)
}

pub(super) fn answer(state: &mut State, request: &Request, now: i64) -> (String, Response) {
    let header = |name: &str| request.header(name).unwrap_or_default();
    if !verify::acs3(request, &state.account.id, &state.account.secret) {
        return said(400, "SignatureDoesNotMatch", "signature", Value::Null);
    }
    let date: Option<jiff::Timestamp> = header("x-acs-date").parse().ok();
    if date.is_none_or(|date| (date.as_millisecond() - now).abs() > SKEW_MS) {
        return said(400, "InvalidTimeStamp.Expired", "time", Value::Null);
    }
    if !state.nonces.insert(header("x-acs-signature-nonce").to_owned()) {
        return said(400, "SignatureNonceUsed", "nonce", Value::Null);
    }
    if header("x-acs-version") != "2017-05-25" {
        return said(400, "InvalidVersion", "version", Value::Null);
    }
    match header("x-acs-action") {
        "SendSms" => send(state, request, now),
        "QuerySendDetails" => details(state, request, now),
        _ => said(404, "InvalidAction.NotFound", "action", Value::Null),
    }
}

fn send(state: &mut State, request: &Request, now: i64) -> (String, Response) {
    let query = request.query();
    let text = |name: &str| query.get(name).map_or("", String::as_str);
    let (phone, template) = (text("PhoneNumbers"), text("TemplateCode"));
    if phone.len() != 11 || !phone.bytes().all(|b| b.is_ascii_digit()) {
        return refused("isv.MOBILE_NUMBER_ILLEGAL");
    }
    if !state.account.signs(text("SignName")) {
        return refused("isv.SMS_SIGNATURE_ILLEGAL");
    }
    let Some(mut words) = state.account.templates.get(template).cloned() else {
        return refused("isv.SMS_TEMPLATE_ILLEGAL");
    };
    let Ok(Value::Object(values)) = serde_json::from_str(text("TemplateParam")) else {
        return refused("isv.INVALID_JSON_PARAM");
    };
    for (name, value) in &values {
        let value = value.as_str().unwrap_or_default();
        if value.chars().count() > 35 {
            return refused("isv.PARAM_LENGTH_LIMIT");
        }
        words = words.replace(&format!("${{{name}}}"), value);
    }
    if words.contains("${") {
        return refused("isv.TEMPLATE_MISSING_PARAMETERS");
    }
    let key = format!("{}|{template}|{phone}", text("SignName"));
    if !state.quotas(Gateway::Aliyun).a_day(&key, A_DAY, now) {
        return said(200, "isv.BUSINESS_LIMIT_CONTROL", "触发天级流控Permits:50", Value::Null);
    }
    let words = format!("【{}】{words}", text("SignName"));
    let id = query.get("OutId").map(String::as_str);
    let biz_id = state.take(Gateway::Aliyun, phone, words, Some(template), id, now);
    said(200, "OK", "OK", json!({"BizId": biz_id}))
}

fn details(state: &State, request: &Request, now: i64) -> (String, Response) {
    let query = request.query();
    let text = |name: &str| query.get(name).map_or("", String::as_str);
    let number = |name: &str| text(name).parse::<usize>().ok().filter(|n| *n > 0);
    let (Some(size), Some(page)) = (number("PageSize").filter(|n| *n <= 50), number("CurrentPage")) else {
        return refused("isv.INVALID_PARAMETERS");
    };
    let wanted = |m: &&Message| {
        let day = local(m.at)[..10].replace('-', "");
        m.gateway == Gateway::Aliyun && m.to == text("PhoneNumber") && day == text("SendDate")
    };
    let all: Vec<&Message> = state.messages.iter().filter(wanted).collect();
    let rows: Vec<Value> = all.iter().skip((page - 1) * size).take(size).map(|m| row(m, now)).collect();
    let more = json!({"TotalCount": all.len().to_string(), "SmsSendDetailDTOs": {"SmsSendDetailDTO": rows}});
    said(200, "OK", "OK", more)
}

fn row(message: &Message, now: i64) -> Value {
    let answered = now >= message.answered_at;
    json!({
        "PhoneNum": message.to,
        "SendStatus": if !answered { 1 } else if message.reaches { 3 } else { 2 },
        "ErrCode": if !answered { "" } else if message.reaches { "DELIVERED" } else { "UNDELIV" },
        "TemplateCode": message.template,
        "Content": message.text,
        "SendDate": local(message.at),
        "ReceiveDate": answered.then(|| local(message.answered_at)),
        "OutId": message.id,
    })
}
