//! What an outcome says about the gateway, and what an answer to a question is worth.

use std::time::Duration;

use tocsin_schemas::time::Instant;

use super::breaker::Signal;
use crate::channel::{Outcome, OutcomeReason};
use crate::gateways::{Limits, Told};

/// What an outcome says about the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) signal: Signal,
    /// Nobody is to call before this is over, counted from now; and the reason.
    pub(super) hold: Option<(Duration, OutcomeReason)>,
    /// Whether that is a used-up window, which no yes to another message ends.
    pub(super) window: bool,
    /// Whether it took a message.
    pub(super) yes: bool,
}

/// Reads an outcome that came at `wall` on the clock that [`Outcome::WindowUsedUp`] goes by.
pub(super) fn heard(outcome: &Outcome, limits: &Limits, longest: Duration, wall: Instant) -> Heard {
    let alive = |hold| Heard { signal: Signal::Alive, hold, window: false, yes: false };
    let asked = |ms: &Option<i64>, reason: &OutcomeReason| {
        let ms = u64::try_from((*ms)?).ok().filter(|ms| *ms > 0)?;
        Some((Duration::from_millis(ms).min(longest), reason.clone()))
    };
    match outcome {
        Outcome::Accepted { .. } => Heard { yes: true, ..alive(None) },
        Outcome::Permanent { .. } | Outcome::Text { .. } => alive(None),
        // Of a gateway that counts calls a minute it is the whole robot's window; else that of one phone.
        Outcome::WindowUsedUp { .. } if limits.calls_per_minute.is_none() => alive(None),
        Outcome::WindowUsedUp { reason, until } => {
            let left = until.and_then(|until| u64::try_from(until.0.saturating_sub(wall.0)).ok());
            let penalty = limits.penalty_seconds.map(|seconds| Duration::from_secs(seconds.into()));
            let left = left.map(Duration::from_millis).or(penalty).unwrap_or(Duration::from_secs(60));
            Heard { window: true, ..alive(Some((left.min(longest), reason.clone()))) }
        }
        Outcome::Account { reason } => Heard { signal: Signal::Barred(reason.clone()), ..alive(None) },
        // A code that our table does not have is an answer all the same, and may be about this one message.
        Outcome::Unknown { reason, retry_after_ms } if reason == "unknown_code" => {
            alive(asked(retry_after_ms, reason))
        }
        Outcome::Transient { reason, retry_after_ms } | Outcome::Unknown { reason, retry_after_ms } => {
            Heard { signal: Signal::Down(reason.clone()), ..alive(asked(retry_after_ms, reason)) }
        }
    }
}

/// What an answer to a question is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The gateway said what it knows.
    Answered,
    /// It did not say: ask again later.
    Unanswered {
        /// What happened.
        reason: OutcomeReason,
    },
    /// It will not say, to us or about this message, before a person has acted: asking again is of no use. An
    /// alarm, and the message stays uncertain.
    Refused {
        /// What it said.
        reason: OutcomeReason,
        /// Whether it is our account, so that every question is refused; else this one alone.
        account: bool,
    },
}

impl Asked {
    /// What this answer is worth.
    pub fn of(told: &Told) -> Asked {
        let verdict = match told {
            Told::Known { .. } | Told::NotFound | Told::NextPage(_) => return Asked::Answered,
            Told::CannotTell(verdict) => verdict,
        };
        match &verdict.outcome {
            Outcome::Account { reason } => Asked::Refused { reason: reason.clone(), account: true },
            Outcome::Permanent { reason } | Outcome::Text { reason } => {
                Asked::Refused { reason: reason.clone(), account: false }
            }
            Outcome::Transient { reason, .. }
            | Outcome::WindowUsedUp { reason, .. }
            | Outcome::Unknown { reason, .. } => Asked::Unanswered { reason: reason.clone() },
            // No answer to a question is a yes to a message.
            Outcome::Accepted { .. } => Asked::Unanswered { reason: "unreadable_answer".into() },
        }
    }
}
