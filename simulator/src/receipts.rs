//! Receipts: pushed when the carrier has answered, by the plan doubled, late or not at all. One that is not
//! taken is pushed again after 1, 5 and 10 minutes, and then lost.

use serde_json::{Value, json};

use crate::plan::Fortune;
use crate::providers::Gateway;
use crate::state::Message;

/// After how long a push that was not taken is repeated, in milliseconds.
const AGAIN_MS: [i64; 3] = [60_000, 300_000, 600_000];

/// A push that is due at some time.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    due_at: i64,
    tries: usize,
    push: Push,
}

/// One push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Who pushes.
    pub gateway: Gateway,
    /// The body: JSON.
    pub body: String,
}

impl Pending {
    /// The pushes of a message; none for gateways that push nothing.
    pub fn of(message: &Message, fortune: &Fortune) -> Vec<Pending> {
        let Some(body) = body(message) else { return Vec::new() };
        let push = Push { gateway: message.gateway, body: body.to_string() };
        (0..fortune.pushes)
            .map(|n| {
                let due_at = message.answered_at + i64::from(n) * fortune.second_after_ms;
                Pending { due_at, tries: 0, push: push.clone() }
            })
            .collect()
    }

    /// The push of an SMS that a person wrote back; `None`: this gateway pushes none.
    pub fn reply(gateway: Gateway, phone: &str, words: &str, now: i64) -> Option<Pending> {
        let body = match gateway {
            Gateway::Aliyun => json!([{
                "phone_number": phone,
                "send_time": local(now),
                "content": words,
                "sign_name": "",
                "dest_code": "1069",
                "sequence_id": now,
            }]),
            Gateway::Tencent => json!({
                "extend": "",
                "mobile": phone,
                "nationcode": "86",
                "sign": "",
                "text": words,
                "time": now.div_euclid(1000),
            }),
            _ => return None,
        };
        Some(Pending { due_at: now, tries: 0, push: Push { gateway, body: body.to_string() } })
    }

    /// The same again later, unless it is lost.
    pub fn again(mut self, now: i64) -> Option<Pending> {
        self.due_at = now + AGAIN_MS.get(self.tries)?;
        self.tries += 1;
        Some(self)
    }

    /// Whether it is time.
    pub fn due(&self, now: i64) -> bool {
        self.due_at <= now
    }

    /// What is pushed.
    pub fn push(&self) -> &Push {
        &self.push
    }
}

/// Takes what is due out of the list, the earliest first.
pub(crate) fn due(pending: &mut Vec<Pending>, now: i64) -> Vec<Pending> {
    let mut due: Vec<Pending> = pending.extract_if(.., |one| one.due(now)).collect();
    due.sort_by_key(|one| one.due_at);
    due
}

fn body(message: &Message) -> Option<Value> {
    let answered = local(message.answered_at);
    match message.gateway {
        Gateway::Aliyun => Some(json!([{
            "phone_number": message.to,
            "send_time": local(message.at),
            "report_time": answered,
            "success": message.reaches,
            "err_code": if message.reaches { "DELIVERED" } else { "UNDELIV" },
            "err_msg": "",
            "sms_size": "1",
            "biz_id": message.gateway_ref,
            "out_id": message.id,
        }])),
        Gateway::Tencent => Some(json!([{
            "user_receive_time": answered,
            "nationcode": "86",
            "mobile": message.to,
            "report_status": if message.reaches { "SUCCESS" } else { "FAIL" },
            "errmsg": if message.reaches { "DELIVRD" } else { "UNDELIV" },
            "description": "",
            "sid": message.gateway_ref,
        }])),
        _ => None,
    }
}

/// `2026-01-01 08:00:00` in UTC+8.
pub(crate) fn local(at: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at + 8 * 3_600_000).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
#[test]
fn times_are_those_of_utc8() {
    assert_eq!(local(1_767_196_800_000), "2026-01-01 00:00:00");
}
