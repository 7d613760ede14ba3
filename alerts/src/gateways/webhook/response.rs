//! What the gateway's answer means.
//!
//! | what came | outcome | reason |
//! |---|---|---|
//! | 2xx, JSON object, `accepted: true` | accepted | |
//! | 2xx, JSON object, `accepted: false` | permanent | `not_accepted` |
//! | 2xx, anything else (HTML, nothing, broken off) | unknown | `unreadable_answer` |
//! | 425, 429, and 503 with `Retry-After` | transient: our contract says that it turned the message away | `http_429` … |
//! | 408, other 5xx | unknown: it may have been sent before the failure, or a proxy says it | `http_500` … |
//! | 401, 403, 407 | account: token or signature is refused | `http_401` … |
//! | 3xx | account: it is somewhere else | `http_301` … |
//! | other 4xx, from a receiver that has said yes before | permanent: it is about this message | `http_422` … |
//! | other 4xx, from one that never has | account: it does not take what we send yet | `http_415` … |
//!
//! `Retry-After` is honoured wherever another attempt follows. Without any answer: see
//! [`crate::gateways::verdict`].

use crate::channel::Outcome;
use crate::gateways::http::{Answer, short};
use crate::gateways::{Standing, Verdict};

/// What whoever runs a receiver that never said yes has to know.
const ADVICE: &str = "the receiver has never said yes: it must take a POST of a CloudEvents 1.0 event in structured \
                      JSON (application/cloudevents+json), the message under data, and answer 200 with \
                      {\"accepted\": true}; see docs/gateway.md. Nothing is lost: messages wait for it";

/// What came of a POST, from a receiver that stands so.
pub(super) fn sent(answer: &Answer, standing: Standing) -> Verdict {
    let by_status = Verdict::of_status(answer);
    let (reason, retry_after_ms) = (format!("http_{}", answer.status), answer.retry_after_ms);
    match (answer.status, standing) {
        (200..=299, _) => {}
        (425 | 429, _) => return Verdict::of(Outcome::Transient { reason: reason.into(), retry_after_ms }),
        (503, _) if retry_after_ms.is_some() => {
            return Verdict::of(Outcome::Transient { reason: reason.into(), retry_after_ms });
        }
        (401 | 403 | 407 | 408, _) => return by_status,
        (400..=499, Standing::Proven) => return Verdict::permanent(reason),
        (400..=499, Standing::Unproven) => return Verdict { advice: Some(ADVICE), ..by_status },
        _ => return by_status,
    }
    let body = answer.json();
    match body.get("accepted").and_then(serde_json::Value::as_bool) {
        Some(true) => {
            Verdict { acknowledged: body["acknowledged"] == true, ..Verdict::accepted(short(&body["ref"])) }
        }
        Some(false) => Verdict::permanent("not_accepted"),
        None => by_status,
    }
}
