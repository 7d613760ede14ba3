//! What the robot's answers mean.

use tocsin_schemas::time::Instant;

use crate::gateways::Verdict;
use crate::gateways::http::Answer;
use crate::gateways::verdict::{Class, Row, Until};

use Class::{Account, Permanent, Transient, Window};

/// How long a robot that was throttled says nothing.
const THROTTLED: Class = Window(Until::Seconds(600));

/// Values of `errcode`.
pub(super) const CODES: &[Row] = &[
    ("-1", Transient),
    ("130101", THROTTLED),
    ("410100", THROTTLED),
    ("300001", Account),
    ("310000", Account),
    ("400013", Account),
    ("400101", Account),
    ("400102", Account),
    ("400106", Account),
    ("40035", Permanent),
    ("400105", Permanent),
    ("430101", Permanent),
    ("430102", Permanent),
    ("430103", Permanent),
    ("430104", Permanent),
    ("460101", Permanent),
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
