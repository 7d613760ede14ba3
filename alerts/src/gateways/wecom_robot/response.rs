//! What the robot's answers mean.

use tocsin_schemas::time::Instant;

use crate::gateways::Verdict;
use crate::gateways::http::Answer;
use crate::gateways::verdict::{Class, Row, Until};

use Class::{Account, Permanent, Transient, Window};

/// Values of `errcode`.
pub(super) const CODES: &[Row] = &[
    ("-1", Transient),
    ("45033", Transient),
    ("45009", Window(Until::Seconds(60))),
    ("93000", Account),
    ("93008", Account),
    ("60020", Account),
    ("40058", Permanent),
    ("40008", Permanent),
    ("44004", Permanent),
    ("45002", Permanent),
];

/// What came of a POST.
pub(super) fn sent(answer: &Answer, now: Instant) -> Verdict {
    let body = answer.json();
    match body["errcode"].as_i64() {
        Some(0) if answer.ok() => Verdict::accepted(None),
        Some(0) | None => Verdict::of_status(answer),
        Some(code) => Verdict::of_code(CODES, &code.to_string(), answer, now),
    }
}
