//! What Aliyun's answers mean.

use serde_json::Value;
use tocsin_schemas::time::Instant;

use super::request::{ROWS, SECOND_DAY, days};
use crate::gateways::http::{Answer, short};
use crate::gateways::verdict::{Class, Row, Until};
use crate::gateways::{Fate, Page, Question, Told, Verdict};

use Class::{Account, Permanent, Text, Transient, Unknown, Window};

/// Codes of `SendSms`, and of the API's own front door.
pub(super) const CODES: &[Row] = &[
    ("isp.SYSTEM_ERROR", Transient),
    ("ServiceUnavailable*", Transient),
    ("Throttling*", Transient),
    ("isv.BUSINESS_LIMIT_CONTROL", Window(Until::Midnight)),
    ("isv.OUT_OF_SERVICE", Account),
    ("isv.AMOUNT_NOT_ENOUGH", Account),
    ("isv.DAY_LIMIT_CONTROL", Account),
    ("isv.MONTH_LIMIT_CONTROL", Account),
    ("isv.SMS_SIGN_ILLEGAL", Account),
    ("isv.SIGN_STATE_ILLEGAL", Account),
    ("isv.SMS_SIGNATURE_ILLEGAL", Account),
    ("isv.SMS_SIGNATURE_SCENE_ILLEGAL", Account),
    ("isv.SMS_TEMPLATE_ILLEGAL", Text),
    ("isv.TEMPLATE_COUNT_OVER_LIMIT", Account),
    ("isv.EXTEND_CODE_ERROR", Account),
    ("isv.DOMESTIC_NUMBER_NOT_SUPPORTED", Account),
    ("isv.DENY_IP_RANGE", Account),
    ("isp.RAM_PERMISSION_DENY", Account),
    ("isv.PRODUCT_UN_SUBSCRIPT", Account),
    ("isv.PRODUCT_UNSUBSCRIBE", Account),
    ("isv.ACCOUNT_NOT_EXISTS", Account),
    ("isv.ACCOUNT_ABNORMAL", Account),
    ("SignatureDoesNotMatch", Account),
    ("IncompleteSignature", Account),
    ("InvalidTimeStamp*", Account),
    ("InvalidAccessKeyId*", Account),
    ("InvalidSecurityToken*", Account),
    ("Forbidden*", Account),
    ("NoPermission", Account),
    ("InvalidVersion", Account),
    ("InvalidAction*", Account),
    ("isv.MOBILE_NUMBER_ILLEGAL", Permanent),
    ("isv.MOBILE_COUNT_OVER_LIMIT", Permanent),
    ("isv.TEMPLATE_MISSING_PARAMETERS", Permanent),
    ("isv.TEMPLATE_PARAMS_ILLEGAL", Permanent),
    ("isv.INVALID_PARAMETERS", Permanent),
    ("isv.INVALID_JSON_PARAM", Permanent),
    ("isv.PARAM_LENGTH_LIMIT", Permanent),
    ("isv.PARAM_NOT_SUPPORT_URL", Permanent),
    ("isv.BLACK_KEY_CONTROL_LIMIT", Permanent),
    ("isv.SMS_CONTENT_ILLEGAL", Permanent),
    // The request with this nonce may have been the one that was taken, carried twice by something in between.
    ("SignatureNonceUsed", Unknown),
    ("InternalError*", Unknown),
];

/// What came of `SendSms`.
pub(super) fn sent(answer: &Answer, now: Instant) -> Verdict {
    let body = answer.json();
    match body["Code"].as_str() {
        Some("OK") if answer.ok() => Verdict::accepted(short(&body["BizId"])),
        Some("OK") | None => Verdict::of_status(answer),
        Some(code) => {
            let mut verdict = Verdict::of_code(CODES, code, answer, now);
            if let crate::channel::Outcome::WindowUsedUp { until, .. } = &mut verdict.outcome {
                *until = window(&body["Message"], now).or(*until);
            }
            verdict
        }
    }
}

/// The message of a used-up window names it: 触发分钟级流控, 触发小时级流控, 触发天级流控.
fn window(message: &Value, now: Instant) -> Option<Instant> {
    let message = message.as_str().unwrap_or_default();
    let seconds = if message.contains("分钟级") {
        60
    } else if message.contains("小时级") {
        3600
    } else {
        return None;
    };
    Some(now.plus_millis(seconds * 1000))
}

/// What `QuerySendDetails` says of one of our messages: the row with its `OutId`. Of several see
/// [`Fate::of_rows`].
pub(super) fn told(question: &Question, page: Page, answer: &Answer, now: Instant) -> Told {
    let body = answer.json();
    match body["Code"].as_str() {
        Some("OK") if answer.ok() => {}
        Some("OK") | None => return Told::CannotTell(Verdict::of_status(answer)),
        Some(code) => return Told::CannotTell(Verdict::of_code(CODES, code, answer, now)),
    }
    let no_rows = Vec::new();
    let rows = match &body["SmsSendDetailDTOs"]["SmsSendDetailDTO"] {
        Value::Array(rows) => rows,
        Value::Null => &no_rows,
        _ => return Told::CannotTell(Verdict::unknown("unreadable_answer")),
    };
    let ours = rows.iter().filter(|row| row["OutId"].as_str() == Some(&question.delivery_id));
    if let Some(fate) = Fate::of_rows(ours.map(fate)) {
        return Told::Known { fate, gateway_ref: question.gateway_ref.clone() };
    }
    let total = short(&body["TotalCount"]).and_then(|total| total.parse::<u32>().ok());
    let Some(total) = total else { return Told::CannotTell(Verdict::unknown("unreadable_answer")) };
    let read = (page % SECOND_DAY + 1) * ROWS;
    if total > read {
        // One that has more than this on a day cannot be told; no phone gets 500 messages a day.
        return if page % SECOND_DAY + 1 < SECOND_DAY {
            Told::NextPage(page + 1)
        } else {
            Told::CannotTell(Verdict::transient("too_many_pages"))
        };
    }
    match days(question, now) {
        [_, Some(_)] if page < SECOND_DAY => Told::NextPage(SECOND_DAY),
        // Our clock was set back: on which day it was sent is not known, so not on which day it is missing.
        _ if question.sent_at > now => Told::CannotTell(Verdict::unknown("sent_in_the_future")),
        _ => Told::NotFound,
    }
}

fn fate(row: &Value) -> Fate {
    match row["SendStatus"].as_i64() {
        Some(3) => Fate::Delivered,
        Some(2) => Fate::Failed(short(&row["ErrCode"]).unwrap_or_default()),
        // 1: the carrier has not answered yet. Another number: it has the message, that much is known.
        _ => Fate::Accepted,
    }
}
