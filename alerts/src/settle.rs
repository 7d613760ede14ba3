//! What follows a request that may have gone out unseen: its answer was lost, or the process stopped before it
//! was written down. Pure. Never a blind resend (gateways.md): it is settled by what the gateway can do.
//!
//! | kind | what follows | ends |
//! |---|---|---|
//! | idempotent | the same key again | with its answer |
//! | askable | `uncertain`: it is asked, at growing distances | accepted, delivered or failed as it says; "not found" long enough after the request: certainly not sent, so planned again |
//! | neither | failed, `unknown:REASON`; where [`RetrySettings::resend_unknown`] says so, sent once more and counted | at once |
//!
//! An askable gateway is asked by the phone too, so it is only asked while the contact stands that was sent to
//! (`contact_changed`). It ends (`never_settled`) when a question finds nothing out though the request is more than
//! [`RetrySettings::settle_for_ms`] ago, so a worker that was down for days asks before it gives up; and at once when
//! the gateway says that it will never answer (`cannot_ask`). All requests of a delivery carry its id, so an answer
//! about the id settles them all: `uncertain` is then taken back.

use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use crate::answers::carrier;
use crate::channel::Outcome;
use crate::decide::{self, RetrySettings, Why};
use crate::gateways::{Fate, Kind, Told};
use crate::ledger;

/// The shortest and the longest distance between two questions, in milliseconds.
const DISTANCE_MS: (i64, i64) = (10_000, 600_000);

/// What is recorded for the outcome of a request that a stop hid.
pub const STOPPED: &str = "stopped";

/// When the last request began.
pub fn sent_at(delivery: &Delivery) -> Instant {
    delivery.sent_at.unwrap_or(delivery.at)
}

/// The delivery after a request that may have gone out. `reason` is what hid the outcome.
pub fn unseen(
    delivery: &Delivery,
    reason: &str,
    retry_after_ms: Option<i64>,
    kind: Kind,
    now: Instant,
    settings: &RetrySettings,
) -> Delivery {
    let before = delivery.uncertain;
    let delivery = Delivery { uncertain: true, ..delivery.clone() };
    match kind {
        Kind::Idempotent => decide::again(&delivery, reason, retry_after_ms, now, settings),
        Kind::Askable => Delivery {
            state: DeliveryState::Uncertain,
            reason: Some(reason.to_owned()),
            at: now,
            due_at: Some(next_question(&delivery, retry_after_ms, now, settings)),
            ..delivery
        },
        // Once: what was uncertain before was sent once more already.
        Kind::Neither if settings.resend_unknown && !before => {
            decide::again(&delivery, reason, retry_after_ms, now, settings)
        }
        Kind::Neither => decide::end(&delivery, DeliveryState::Failed, &format!("unknown:{reason}"), now),
    }
}

/// What an answer about an uncertain delivery makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It stands like this now.
    Moves(Box<Delivery>),
    /// Nothing is known yet: ask again at this instant.
    Still(Instant),
}

/// The delivery after the gateway was asked; "not found" means "not sent" so long after the request.
pub fn told(
    delivery: &Delivery,
    told: &Told,
    not_found_counts_after_ms: i64,
    now: Instant,
    settings: &RetrySettings,
) -> Settled {
    let known = |state, reason: Option<&str>, gateway_ref: Option<&String>| Delivery {
        state,
        reason: reason.map(ToOwned::to_owned),
        at: now,
        due_at: None,
        uncertain: false,
        gateway_ref: gateway_ref.or(delivery.gateway_ref.as_ref()).cloned(),
        ..delivery.clone()
    };
    let moves = |delivery| Settled::Moves(Box::new(delivery));
    match told {
        Told::Known { fate: Fate::Accepted, gateway_ref } => {
            moves(known(DeliveryState::Accepted, None, gateway_ref.as_ref()))
        }
        Told::Known { fate: Fate::Delivered, gateway_ref } => {
            moves(known(DeliveryState::Delivered, None, gateway_ref.as_ref()))
        }
        Told::Known { fate: Fate::Failed(code), gateway_ref } => moves(known(
            DeliveryState::Failed,
            Some(ledger::failed(carrier::class(code))),
            gateway_ref.as_ref(),
        )),
        Told::NotFound => {
            let counts = sent_at(delivery).plus_millis(not_found_counts_after_ms);
            if now < counts {
                // Where it never counts, asking ends all the same.
                return match still(delivery, None, now, settings) {
                    Settled::Still(at) => Settled::Still(at.min(counts)),
                    ended @ Settled::Moves(_) => ended,
                };
            }
            let certain = Delivery { uncertain: false, ..delivery.clone() };
            moves(decide::again(&certain, "not_found", None, now, settings))
        }
        Told::NextPage(_) => still(delivery, None, now, settings),
        // Of the question, not of the message: it may have come, and nobody will ever know.
        Told::CannotTell(verdict) if matches!(verdict.outcome, Outcome::Permanent { .. }) => {
            moves(decide::end(delivery, DeliveryState::Failed, "cannot_ask", now))
        }
        Told::CannotTell(verdict) => still(delivery, verdict.retry_after_ms(), now, settings),
    }
}

/// Nothing was found out: asked again later, unless that has been tried for long enough.
fn still(
    delivery: &Delivery,
    retry_after_ms: Option<i64>,
    now: Instant,
    settings: &RetrySettings,
) -> Settled {
    match now.0.saturating_sub(sent_at(delivery).0) > settings.settle_for_ms {
        true => {
            let never = Why::NeverSettled.as_str();
            Settled::Moves(Box::new(decide::end(delivery, DeliveryState::Failed, never, now)))
        }
        false => Settled::Still(next_question(delivery, retry_after_ms, now, settings)),
    }
}

/// When to ask next: half as long from now as the request is ago, within [`DISTANCE_MS`].
fn next_question(
    delivery: &Delivery,
    retry_after_ms: Option<i64>,
    now: Instant,
    settings: &RetrySettings,
) -> Instant {
    let ago = now.0.saturating_sub(sent_at(delivery).0);
    let asked = retry_after_ms.unwrap_or(0).clamp(0, settings.max_retry_after_ms);
    now.plus_millis((ago / 2).clamp(DISTANCE_MS.0, DISTANCE_MS.1).max(asked))
}

#[cfg(test)]
mod tests;
