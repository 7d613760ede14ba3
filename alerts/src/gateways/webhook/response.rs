//! What the gateway's answer means.
//!
//! | what came | outcome | reason |
//! |---|---|---|
//! | 2xx, JSON object, `accepted: true` | accepted | |
//! | 2xx, JSON object, `accepted: false` | permanent | `not_accepted` |
//! | 2xx, anything else (HTML, nothing, broken off) | unknown | `unreadable_answer` |
//! | 429, 503 | transient: it was turned away at the door | `http_429`, `http_503` |
//! | 408, 425 | transient | `http_408`, `http_425` |
//! | other 5xx | unknown: it may have been sent before the failure | `http_500` … |
//! | 401, 403, 407 | account: token or signature is refused | `http_401` … |
//! | 3xx, other 4xx | permanent | `http_301` … |
//!
//! `Retry-After` is honoured wherever another attempt follows. Without any answer: see
//! [`crate::gateways::verdict`].

use crate::channel::Outcome;
use crate::gateways::Verdict;
use crate::gateways::http::{Answer, short};

/// What came of a POST.
pub(super) fn sent(answer: &Answer) -> Verdict {
    let by_status = Verdict::of_status(answer);
    if !answer.ok() {
        return match by_status.outcome {
            // What this gateway does not take from us it will not take tomorrow; only who we are may change.
            Outcome::Account { reason } if !matches!(answer.status, 401 | 403 | 407) => {
                Verdict::permanent(reason)
            }
            _ => by_status,
        };
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
