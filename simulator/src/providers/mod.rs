//! The providers. Each turns a call into its answer and names the code that it answered.

mod aliyun;
mod dingtalk;
mod tencent;
mod webhook;
mod wecom;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::fault::Call;
use crate::http::{Request, Response};
use crate::state::State;

/// A simulated gateway, by the name that Tocsin gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names of the providers")]
pub enum Gateway {
    Aliyun,
    Tencent,
    DingtalkRobot,
    DingtalkNotice,
    WecomRobot,
    Webhook,
}

impl Gateway {
    /// Every one.
    pub const ALL: [Gateway; 6] = [
        Gateway::Aliyun,
        Gateway::Tencent,
        Gateway::DingtalkRobot,
        Gateway::DingtalkNotice,
        Gateway::WecomRobot,
        Gateway::Webhook,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Gateway::Aliyun => "aliyun",
            Gateway::Tencent => "tencent",
            Gateway::DingtalkRobot => "dingtalk_robot",
            Gateway::DingtalkNotice => "dingtalk_notice",
            Gateway::WecomRobot => "wecom_robot",
            Gateway::Webhook => "webhook",
        }
    }
}

/// Which gateway is called, and what for.
pub(crate) fn called(request: &Request) -> Option<(Gateway, Call)> {
    match (request.path(), request.header("x-acs-action"), request.header("x-tc-action")) {
        ("/", Some("SendSms"), _) => Some((Gateway::Aliyun, Call::Send)),
        ("/", Some(_), _) => Some((Gateway::Aliyun, Call::Ask)),
        ("/", None, Some("SendSms")) => Some((Gateway::Tencent, Call::Send)),
        ("/", None, Some(_)) => Some((Gateway::Tencent, Call::Ask)),
        ("/robot/send", ..) => Some((Gateway::DingtalkRobot, Call::Send)),
        ("/gettoken", ..) => Some((Gateway::DingtalkNotice, Call::Token)),
        ("/topapi/message/corpconversation/asyncsend_v2", ..) => Some((Gateway::DingtalkNotice, Call::Send)),
        ("/topapi/message/corpconversation/getsendresult", ..) => Some((Gateway::DingtalkNotice, Call::Ask)),
        ("/topapi/message/corpconversation/recall", ..) => Some((Gateway::DingtalkNotice, Call::Recall)),
        ("/cgi-bin/webhook/send", ..) => Some((Gateway::WecomRobot, Call::Send)),
        ("/send", ..) => Some((Gateway::Webhook, Call::Send)),
        _ => None,
    }
}

/// What a call is about: the sender's own id of the message; of a question the phone and the day. `None`: the protocol does
/// not say.
pub(crate) fn about(gateway: Gateway, request: &Request) -> Option<String> {
    match gateway {
        Gateway::Aliyun => {
            let query = request.query();
            let said = |name: &str| query.get(name).cloned();
            said("OutId").or_else(|| Some(said("PhoneNumber")? + &said("SendDate")?))
        }
        Gateway::Tencent => {
            let body = request.json();
            let said = |name: &str| body[name].as_str().map(ToOwned::to_owned);
            said("SessionContext").or_else(|| said("PhoneNumber"))
        }
        Gateway::Webhook => request.header("idempotency-key").map(ToOwned::to_owned),
        Gateway::DingtalkRobot | Gateway::DingtalkNotice | Gateway::WecomRobot => None,
    }
}

/// What the gateway answers, and the code in it.
pub(crate) fn answer(
    state: &mut State,
    gateway: Gateway,
    call: Call,
    request: &Request,
    now: i64,
) -> (String, Response) {
    match gateway {
        Gateway::Aliyun => aliyun::answer(state, request, now),
        Gateway::Tencent => tencent::answer(state, request, now),
        Gateway::DingtalkRobot => dingtalk::robot(state, request, now),
        Gateway::DingtalkNotice => dingtalk::notice(state, call, request, now),
        Gateway::WecomRobot => wecom::answer(state, request, now),
        Gateway::Webhook => webhook::answer(state, request, now),
    }
}

/// The provider's "try again later".
pub(crate) fn busy(gateway: Gateway) -> Value {
    match gateway {
        Gateway::Aliyun => json!({"Code": "isp.SYSTEM_ERROR", "Message": "系统错误", "RequestId": "S"}),
        Gateway::Tencent => tencent::error("RequestLimitExceeded"),
        Gateway::Webhook => json!({"accepted": false}),
        _ => json!({"errcode": -1, "errmsg": "系统繁忙"}),
    }
}

/// A code that no document has.
pub(crate) fn odd(gateway: Gateway) -> Value {
    match gateway {
        Gateway::Aliyun => json!({"Code": "isv.SIMULATED_ODDITY", "Message": "?", "RequestId": "S"}),
        Gateway::Tencent => tencent::error("Simulated.Oddity"),
        Gateway::Webhook => json!({"errcode": 77_777}),
        _ => json!({"errcode": 77_777, "errmsg": "?"}),
    }
}

/// `errcode` and its answer, as DingTalk and WeCom say it: always in a 200.
fn errcode(code: i64, message: &str) -> (String, Response) {
    (code.to_string(), Response::json(200, &json!({"errcode": code, "errmsg": message})))
}

/// The text of a robot's or notice's message.
fn text_of(message: &Value) -> Option<&str> {
    (message["msgtype"] == "text")
        .then(|| message["text"]["content"].as_str())?
        .filter(|text| !text.is_empty())
}
