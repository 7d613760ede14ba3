//! What Tencent's answers mean.

use serde_json::Value;
use tocsin_schemas::time::Instant;

use super::request::ROWS;
use crate::channel::Outgoing;
use crate::gateways::http::{Answer, short};
use crate::gateways::verdict::{Class, Row, Until};
use crate::gateways::{Fate, Question, Told, Verdict, phone};

use Class::{Account, Permanent, Text, Transient, Unknown, Window};

/// Codes of one phone (`SendStatusSet[].Code`) and of the whole call (`Response.Error.Code`).
pub(super) const CODES: &[Row] = &[
    ("RequestLimitExceeded*", Transient),
    // The provider says that it may be tried again.
    ("InternalError.Timeout", Transient),
    ("InternalError.RequestTimeException", Account),
    ("InternalError.SigVerificationFail", Account),
    ("InternalError.SigFieldMissing", Account),
    ("InternalError.RestApiInterfaceNotExist", Account),
    ("InternalError*", Unknown),
    ("LimitExceeded.PhoneNumberDailyLimit", Window(Until::Midnight)),
    ("LimitExceeded.PhoneNumberSameContentDailyLimit", Window(Until::Midnight)),
    ("LimitExceeded.PhoneNumberOneHourLimit", Window(Until::Seconds(3600))),
    ("LimitExceeded.PhoneNumberThirtySecondLimit", Window(Until::Seconds(30))),
    ("LimitExceeded.DeliveryFrequencyLimit", Window(Until::Unstated)),
    ("LimitExceeded.PhoneNumberCountLimit", Permanent),
    ("LimitExceeded*", Account),
    ("AuthFailure.*", Account),
    ("UnauthorizedOperation*", Account),
    ("SignatureExpire*", Account),
    ("InvalidAction*", Account),
    ("NoSuchVersion*", Account),
    ("IpInBlacklist", Account),
    ("IpNotInWhitelist", Account),
    ("FailedOperation.InsufficientBalanceInSmsPackage", Account),
    ("FailedOperation.SignatureIncorrectOrUnapproved", Account),
    ("FailedOperation.TemplateIncorrectOrUnapproved", Text),
    ("FailedOperation.TemplateUnapprovedOrNotExist", Text),
    ("FailedOperation.TemplateIdNotExist", Text),
    ("FailedOperation.MissingSignature", Account),
    ("FailedOperation.MarketingSendTimeConstraint", Account),
    ("InvalidParameterValue.SdkAppIdNotExist", Account),
    ("FailedOperation.ContainSensitiveWord", Permanent),
    ("FailedOperation.PhoneNumberInBlacklist", Permanent),
    ("FailedOperation.TemplateParamSetNotMatchApprovedTemplate", Permanent),
    ("FailedOperation.FailResolvePacket", Permanent),
    ("FailedOperation.JsonParseFail", Permanent),
    ("InvalidParameterValue*", Permanent),
    ("InvalidParameter*", Permanent),
    ("MissingParameter*", Permanent),
    ("UnsupportedOperation*", Permanent),
];

/// What came of `SendSms` for the message's phone.
pub(super) fn sent(message: &Outgoing, answer: &Answer, now: Instant) -> Verdict {
    let body = answer.json();
    let response = &body["Response"];
    if let Some(code) = response["Error"]["Code"].as_str() {
        return Verdict::of_code(CODES, code, answer, now);
    }
    let ours = response["SendStatusSet"].as_array().and_then(|set| {
        let phone = phone::mainland(&message.to).ok()?;
        set.iter().find(|status| is_phone(&status["PhoneNumber"], phone))
    });
    // An answer that does not speak of our phone, or not of our message, says nothing of it.
    let Some(status) = ours else { return Verdict::of_status(answer) };
    let theirs = status["SessionContext"].as_str().unwrap_or_default();
    if !theirs.is_empty() && theirs != message.idempotency_key {
        return Verdict::unknown("answer_to_another_message");
    }
    match status["Code"].as_str() {
        Some("Ok") if answer.ok() => Verdict::accepted(short(&status["SerialNo"])),
        Some("Ok") | None => Verdict::of_status(answer),
        Some(code) => Verdict::of_code(CODES, code, answer, now),
    }
}

/// Whether this text (`+8613…`, or bare) is the phone with these eleven digits.
fn is_phone(text: &Value, digits: &str) -> bool {
    text.as_str().is_some_and(|text| phone::mainland(text) == Ok(digits))
}

/// What the carrier has answered about one of our messages: the row with its `SessionContext`, or with its
/// serial number.
pub(super) fn told(question: &Question, answer: &Answer, now: Instant) -> Told {
    let body = answer.json();
    let response = &body["Response"];
    if let Some(code) = response["Error"]["Code"].as_str() {
        return Told::CannotTell(Verdict::of_code(CODES, code, answer, now));
    }
    let Some(rows) = response["PullSmsSendStatusSet"].as_array().filter(|_| answer.ok()) else {
        return Told::CannotTell(Verdict::of_status(answer));
    };
    let serial = |row: &Value| short(&row["SerialNo"]);
    let ours = rows.iter().filter(|row| {
        row["SessionContext"].as_str() == Some(&question.delivery_id)
            || (question.gateway_ref.is_some() && serial(row) == question.gateway_ref)
    });
    let ours: Vec<&Value> = ours.collect();
    if let Some(best) = Fate::of_rows(ours.iter().map(|row| fate(row))) {
        let row = ours.into_iter().find(|row| fate(row) == best);
        return Told::Known { fate: best, gateway_ref: row.and_then(serial) };
    }
    // Where we know its number, one with another is not ours.
    let other = |row: &Value| question.gateway_ref.is_some() && serial(row).is_some();
    let nameless = |row: &&Value| row["SessionContext"].as_str().is_none_or(str::is_empty) && !other(row);
    if rows.len() >= ROWS {
        Told::CannotTell(Verdict::unknown("too_many_rows"))
    } else if rows.iter().any(|row| nameless(&row)) {
        // One of them may be ours.
        Told::CannotTell(Verdict::unknown("row_without_our_id"))
    } else {
        Told::NotFound
    }
}

fn fate(row: &Value) -> Fate {
    match row["ReportStatus"].as_str() {
        Some("SUCCESS") => Fate::Delivered,
        Some("FAIL") => Fate::Failed(short(&row["Description"]).unwrap_or_default()),
        _ => Fate::Accepted,
    }
}
