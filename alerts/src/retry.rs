//! What failed, said after all: somebody has repaired what was wrong, and answers for it by name. Pure.
//!
//! A request is a governance event (`tocsin ledger retry`), folded by the planner, which alone knows contacts and everybody
//! who was told:
//!
//! | field | means |
//! |---|---|
//! | `kind` | `retry` |
//! | `subject` | the id of the delivery that failed |
//! | `actor` | who answers for it |
//! | `details.reason` | what was repaired |
//! | `details.although_uncertain` | also where the message may have come: the phone may ring twice |
//!
//! What is planned is a new delivery ([`ledger::retry_id`]), because one that has ended never moves back. Each is retried
//! once; a retry that failed is retried by its own id.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tocsin_schemas::codes::Says;
use tocsin_schemas::records::{Delivery, DeliveryState, Digest, GovernanceEvent};
use tocsin_schemas::time::{Day, Instant};

use crate::calendar::Calendar;
use crate::decide::{self, Why};
use crate::ledger;
use crate::newest::Newest;
use crate::quota;

/// The kind of the event.
pub const KIND: &str = "retry";
/// What failed so many days ago is history: it is told by hand, with what has become of the case since.
pub const LONGEST_DAYS: i32 = 30;
const DAY_MS: i64 = 86_400_000;

/// What the event's `details` hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// What was repaired.
    pub reason: String,
    /// Also where the message may have come.
    #[serde(default)]
    pub although_uncertain: bool,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Of which event.
    pub event_id: String,
    /// The newest version of it.
    pub version: u64,
    /// The delivery that failed.
    pub delivery_id: String,
    /// When it was asked for.
    pub on: Day,
    /// Who answers for it.
    pub author: String,
    /// Why, and how far.
    pub details: Details,
}

impl Request {
    /// The request of an event; `None` for one of another kind.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(event: &GovernanceEvent) -> Option<Result<Request, String>> {
        (event.kind == KIND).then(|| {
            let details: Details = serde_json::from_str(&event.details).map_err(|e| {
                format!("details: expected {{\"reason\"}} and maybe \"although_uncertain\": {e}")
            })?;
            if details.reason.trim().is_empty() {
                return Err("details.reason: expected what was repaired, found nothing".to_owned());
            }
            Ok(Request {
                event_id: event.event_id.clone(),
                version: event.version,
                delivery_id: event.subject.trim().to_owned(),
                on: event.on,
                author: event.actor.clone(),
                details,
            })
        })
    }

    /// The id of the event that asks for this delivery: who asks again writes a further version of it.
    pub fn event_of(delivery_id: &str) -> String {
        format!("{KIND}-{delivery_id}")
    }
}

/// Every request: the fold of `governance.events`.
#[derive(Debug, Default)]
pub struct Requests {
    newest: Newest<Request>,
}

impl Requests {
    /// Takes in an event, with the digest of its canonical JSON; those of other kinds change nothing.
    ///
    /// # Errors
    /// What is wrong with it; it asks for nothing then.
    pub fn apply(&mut self, event: &GovernanceEvent, digest: Digest) -> Result<(), String> {
        match Request::of(event) {
            Some(request) => self.newest.take(KIND, event, digest, request),
            None => Ok(()),
        }
    }

    /// All that can be read, by the event's id.
    pub fn all(&self) -> impl Iterator<Item = &Request> {
        self.newest.all()
    }

    /// The version of this event that stands, readable or not.
    pub fn version(&self, event_id: &str) -> Option<u64> {
        self.newest.version(event_id)
    }
}

/// Why a delivery is not said after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It has not failed.
    NotFailed,
    /// It failed because that was decided, or because of what it lacks: another try ends the same way.
    Decided,
    /// What stood in it has gone on by itself when it failed.
    Digest,
    /// It is too long ago.
    TooOld,
    /// A later message of the case to the same audience says what is true now.
    Overtaken,
    /// Somebody of the same audience was told by another delivery of the same message, or is about to be.
    ToldOtherwise,
    /// It is older than a message may be.
    Expired,
    /// It may have come.
    Uncertain,
}

impl Refusal {
    /// The name, as `--json` and logs show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Refusal::NotFailed => "not_failed",
            Refusal::Decided => "decided",
            Refusal::Digest => "digest",
            Refusal::TooOld => "too_old",
            Refusal::Overtaken => "overtaken",
            Refusal::ToldOtherwise => "told_otherwise",
            Refusal::Expired => "expired",
            Refusal::Uncertain => "uncertain",
        }
    }

    /// What an operator does about it.
    pub const fn next_step(self) -> &'static str {
        match self {
            Refusal::NotFailed => "it has not failed: nothing is to be said after all",
            Refusal::Decided => {
                "it failed by a decision, or for what its text lacks: another try would end the same way"
            }
            Refusal::Digest => {
                "each message of a digest that fails goes on to the next person of its own, if there is one: whom nobody reached, tell by hand"
            }
            Refusal::TooOld => "it failed more than 30 days ago: tell them by hand what is true now",
            Refusal::Overtaken => {
                "a later message of the case to the same audience says what is true now: retry that one, if it failed"
            }
            Refusal::ToldOtherwise => {
                "another delivery of the same message has told somebody of the audience, or is about to"
            }
            Refusal::Expired => {
                "it is older than [alerts] expire_after_hours lets a message be: tell them by hand what is true now"
            }
            Refusal::Uncertain => {
                "it may have come: look with the gateway; --although-uncertain says it all the same, and the phone may ring twice"
            }
        }
    }
}

/// What stands beside a delivery that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beside {
    /// A later message of its case to the same role and subject was decided.
    pub later: bool,
    /// Another delivery of the same message to the same role and subject [`tells`] them.
    pub told_otherwise: bool,
    /// Messages of its age are not sent any more ([`is_expired`]).
    pub expired: bool,
}

/// Whether this delivery, of the same message to the same audience as one that failed, has told somebody, may have, or is
/// about to. `although_uncertain`: what may have come and failed does not count.
pub fn tells(other: &Delivery, although_uncertain: bool) -> bool {
    let unknown = other.state == DeliveryState::Failed && although_uncertain;
    let not_theirs = ledger::said(other) == Some(Says::NotOurs);
    !ledger::terminal(other.state) || (ledger::maybe_out(other) && !unknown && !not_theirs)
}

/// Whether a delivery is so old that it would end as `expired`. A correction of what was told never is.
pub fn is_expired(
    delivery: &Delivery,
    calendar: &Calendar,
    expire_after: Option<Duration>,
    now: Instant,
) -> bool {
    let Some(after) = expire_after.filter(|_| !decide::looks_back(delivery.change)) else { return false };
    let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
    let decided = delivery.decided_at.unwrap_or(delivery.at);
    decide::expires_at(calendar, delivery.urgency, delivery.change, decided, after) <= now
}

/// Why this delivery is not said after all, if it is not.
pub fn refusal(
    delivery: &Delivery,
    beside: Beside,
    although_uncertain: bool,
    now: Instant,
) -> Option<Refusal> {
    let decided = [Why::Silenced, Why::Expired, Why::Superseded, Why::Answered].map(Why::as_str);
    let lacking = ["no_template", "missing_fact", "unreadable_text"];
    let class = ledger::reason_class(delivery);
    if delivery.state != DeliveryState::Failed {
        return Some(Refusal::NotFailed);
    }
    if quota::is_digest(delivery) {
        return Some(Refusal::Digest);
    }
    if decided.iter().chain(&lacking).any(|end| *end == class) {
        return Some(Refusal::Decided);
    }
    if now.0.saturating_sub(delivery.at.0) > i64::from(LONGEST_DAYS) * DAY_MS {
        return Some(Refusal::TooOld);
    }
    if beside.later {
        return Some(Refusal::Overtaken);
    }
    if beside.told_otherwise {
        return Some(Refusal::ToldOtherwise);
    }
    if beside.expired {
        return Some(Refusal::Expired);
    }
    (delivery.uncertain && !although_uncertain).then_some(Refusal::Uncertain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::delivery;

    fn failed(reason: &str, uncertain: bool) -> Delivery {
        Delivery { reason: Some(reason.into()), uncertain, ..delivery("a1", DeliveryState::Failed) }
    }

    #[test]
    fn what_failed_for_a_cause_that_can_be_repaired_is_said_after_all() {
        let now = Instant(5 * DAY_MS);
        let digest = quota::joined(None, &delivery("a1", DeliveryState::Planned), now, now);
        let digest = Delivery { state: DeliveryState::Failed, reason: Some("http_404".into()), ..digest };
        for (delivery, later, although, expected) in [
            (failed("http_404", false), false, false, None),
            (failed("no_contact", false), false, false, None),
            (failed("bounced", false), false, false, None),
            (failed("gave_up:timeout", false), false, false, None),
            (failed("gave_up:timeout", true), false, false, Some(Refusal::Uncertain)),
            (failed("gave_up:timeout", true), false, true, None),
            (failed("gave_up:timeout", true), true, true, Some(Refusal::Overtaken)),
            (failed("silenced:s1", false), false, true, Some(Refusal::Decided)),
            (failed("expired", false), false, true, Some(Refusal::Decided)),
            (failed("missing_fact", false), false, true, Some(Refusal::Decided)),
            (delivery("a1", DeliveryState::Accepted), false, true, Some(Refusal::NotFailed)),
            (delivery("a1", DeliveryState::Planned), false, true, Some(Refusal::NotFailed)),
            (digest, false, true, Some(Refusal::Digest)),
        ] {
            let why = format!("{} {:?} {later} {although}", delivery.state, delivery.reason);
            let beside = Beside { later, ..Beside::default() };
            assert_eq!(refusal(&delivery, beside, although, now), expected, "{why}");
        }
        let none = Beside::default();
        let beside = [Beside { told_otherwise: true, ..none }, Beside { expired: true, ..none }];
        let found = beside.map(|beside| refusal(&failed("http_404", false), beside, true, now));
        assert_eq!(found, [Some(Refusal::ToldOtherwise), Some(Refusal::Expired)]);
        let days = |n: i64| Instant(n * DAY_MS);
        assert_eq!(refusal(&failed("http_404", false), none, false, days(30)), None);
        assert_eq!(refusal(&failed("http_404", false), none, false, days(31)), Some(Refusal::TooOld));
    }

    #[test]
    fn whoever_was_told_by_another_delivery_of_the_message_is_not_told_again() {
        use DeliveryState::*;
        let other = |state, reason: &str, uncertain| Delivery {
            reason: (!reason.is_empty()).then(|| reason.into()),
            uncertain,
            ..delivery("a1", state)
        };
        for (other, although, expected) in [
            (other(Accepted, "", false), true, true),
            (other(Delivered, "acknowledged", false), false, true),
            (other(Delivered, "not_ours", false), false, false),
            (other(Planned, "", false), true, true),
            (other(Uncertain, "unknown:timeout", true), true, true),
            (other(Failed, "gave_up:timeout", true), false, true),
            (other(Failed, "gave_up:timeout", true), true, false),
            (other(Failed, "http_404", false), false, false),
            (other(Skipped, "in_digest:D", false), false, true),
            (other(Skipped, "superseded", false), false, false),
        ] {
            assert_eq!(tells(&other, although), expected, "{} {:?} {although}", other.state, other.reason);
        }
    }

    #[test]
    fn a_request_says_for_which_delivery_by_whom_and_why_or_asks_for_nothing() {
        let event = |version, details: &str| GovernanceEvent {
            event_id: Request::event_of("D1"),
            kind: KIND.into(),
            subject: " D1 ".into(),
            on: "2026-11-01".parse().unwrap(),
            version,
            actor: "王主任".into(),
            approver: None,
            details: details.into(),
        };
        let mut all = Requests::default();
        for (details, wrong) in [
            ("{}", "missing field"),
            ("{\"reason\":\" \"}", "expected what was repaired"),
            ("{\"x\":1}", "unknown"),
        ] {
            let error = all.apply(&event(1, details), [0; 32]).unwrap_err();
            assert!(error.contains("retry retry-D1") && error.contains(wrong), "{error}");
            assert_eq!(all.all().count(), 0);
        }
        all.apply(&event(3, "{\"reason\":\"account paid\",\"although_uncertain\":true}"), [0; 32]).unwrap();
        all.apply(&event(2, "{\"reason\":\"older\"}"), [9; 32]).unwrap();
        all.apply(&GovernanceEvent { kind: "silence".into(), ..event(9, "") }, [0; 32]).unwrap();
        let asked: Vec<&Request> = all.all().collect();
        assert_eq!((asked.len(), all.version("retry-D1")), (1, Some(3)));
        assert_eq!((asked[0].delivery_id.as_str(), asked[0].author.as_str()), ("D1", "王主任"));
        assert!(asked[0].details.although_uncertain);
    }
}
