//! What is due next for a delivery, and why. Pure: no clock, no randomness, no I/O; the worker asks here
//! and does what it is told.
//!
//! # The rules
//! 1. A delivery that has ended is never looked at again.
//! 2. In a thread (one case, one role and subject, one phone) deliveries go in order: the next one waits until the
//!    one before has ended. Grave news alone passes one that is `uncertain`.
//! 3. A message whose request failed, and that is overtaken by `corrected`, `closed`, `upgraded` or `raised`
//!    of its thread before it is tried again, is not tried again (`superseded`): nobody is told late what
//!    is known to be wrong by then. The same where it had to wait: for quiet hours, or at a gateway that was not to be
//!    called. One that was never tried otherwise, or whose outcome a stop hid, is sent: what
//!    people hear must not depend on how fast this worker is.
//! 4. `corrected`, `downgraded`, `eased` and `closed` speak of an earlier message. Where the earlier ones
//!    certainly did not go out they are skipped (`nothing_to_correct`). `upgraded` and `raised` are whole by
//!    themselves (T2, T7, T8 read as a first message), so they are sent: a death must not stay unsaid
//!    because an earlier message failed.
//! 5. The contact has another address by now, or is gone: ended, `contact_changed`; whoever is there now is another
//!    delivery ([`crate::plan`]).
//!    An address that is not tried any more by then ([`crate::refusals`]) likewise: `address_refused`, at once, not when it
//!    would be due. Nobody asks such a number again, not with a key that it may know either.
//! 6. A request that certainly failed is made again with the same key, after an exponential delay, until the
//!    attempts are used up; a correction whose template is refused, for as long as it is. A plain no of the gateway ends it.
//! 7. A request that may have gone out unseen, the one under way at a stop too, is never sent again blindly: what
//!    follows is the gateway's kind, see [`crate::settle`].
//! 8. What a silence covers ends, naming the event ([`crate::silences`]); what is grave and what corrects is spared,
//!    unless the silence says everything.
//! 9. A message that is `expire_after` past the instant at which it might first ring ends (`expired`). Corrections of
//!    what may have gone out do not: who was told what is wrong must hear it, however late. Nor does a digest, which waits
//!    for its phone's quota behind others and is the only word on all that stand in it.
//! 10. In quiet hours and on holidays messages wait ([`hold`]): `planned`, with the reason and the instant. One that
//!     waited, and is overtaken meanwhile, is not sent (`superseded`). One that has grave news behind it in its thread
//!     does not wait, so that their order stays.
//! 11. A correction that the fuse holds ([`crate::fuse`]) waits until it is let go; grave news behind it does not.
//! 12. Where the phone's quota is used up, see [`crate::quota`].

use sha2::{Digest, Sha256};
use tocsin_schemas::codes::Change;
use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use crate::calendar::Calendar;
use crate::channel::Outcome;
use crate::contacts::Person;
use crate::fuse;
use crate::gateways::Kind;
use crate::ledger::Past;
use crate::quota;
use crate::settle;
use crate::silences::Silence;

pub mod hold;

pub use tocsin_schemas::codes::Urgency;

/// Why a delivery ends without a gateway's word, or waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Nobody can be reached for the role.
    NoContact,
    /// The message speaks of an earlier one that certainly never went out.
    NothingToCorrect,
    /// The same person gets the same words in another delivery of the alert; its id follows.
    SamePerson,
    /// A newer message of the thread takes its place.
    Superseded,
    /// The contact that it goes to has another address by now, or is gone.
    ContactChanged,
    /// Whoever has the address has said that it is not theirs, or nobody has it.
    Refused,
    /// The gateway was asked for too long without an answer.
    NeverSettled,
    /// Somebody answers for it that nobody is told; the event's id follows.
    Silenced,
    /// It is of no use any more.
    Expired,
    /// It waits: people sleep.
    QuietHours,
    /// It waits: nobody works.
    Holiday,
    /// It waits: the phone has rung often enough.
    Quota,
    /// It waits: the gateway says that the phone's window is used up; the gateway's word follows.
    Window,
    /// It is a digest, and waits for its day.
    Digest,
    /// A digest stands for it; the digest's id follows.
    InDigest,
    /// It waits: so many corrections in an hour are more likely a broken feed. Somebody looks and lets them go.
    Fuse,
    /// Somebody else of its audience has answered.
    Answered,
    /// Somebody answers for it that what failed is said after all; the id of the delivery that failed follows.
    Retry,
}

impl Why {
    /// The text in the ledger, in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Why::NoContact => "no_contact",
            Why::NothingToCorrect => "nothing_to_correct",
            Why::SamePerson => "same_person",
            Why::Superseded => "superseded",
            Why::ContactChanged => "contact_changed",
            Why::Refused => "address_refused",
            Why::NeverSettled => "never_settled",
            Why::Silenced => "silenced",
            Why::Expired => "expired",
            Why::QuietHours => "quiet_hours",
            Why::Holiday => "holiday",
            Why::Quota => "quota",
            Why::Window => "window_used_up",
            Why::Digest => "digest",
            Why::InDigest => "in_digest",
            Why::Fuse => "fuse",
            Why::Answered => "answered",
            Why::Retry => "retry",
        }
    }
}

/// How long to try, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySettings {
    /// Requests at most; the last failure ends the delivery. With the other defaults 30 take about 4 hours.
    pub max_attempts: u32,
    /// Delay after the first failure, in milliseconds; it doubles with each one.
    pub first_delay_ms: i64,
    /// The longest delay, in milliseconds.
    pub max_delay_ms: i64,
    /// The longest `Retry-After` that is believed, in milliseconds.
    pub max_retry_after_ms: i64,
    /// Whether a gateway that can neither be asked nor knows our key is asked once more after an unknown outcome. The
    /// phone may ring twice; without it, it may stay silent.
    pub resend_unknown: bool,
    /// How long a gateway is asked what became of a message before that is given up, in milliseconds.
    pub settle_for_ms: i64,
}

impl Default for RetrySettings {
    fn default() -> Self {
        RetrySettings {
            max_attempts: 30,
            first_delay_ms: 2_000,
            max_delay_ms: 600_000,
            max_retry_after_ms: 3_600_000,
            resend_unknown: false,
            settle_for_ms: 2 * 86_400_000,
        }
    }
}

/// Whether a message with this change takes the place of those before it that are not out yet.
pub fn supersedes(change: Change) -> bool {
    matches!(change, Change::Corrected | Change::Closed | Change::Upgraded | Change::Raised)
}

/// Whether a message with this change only makes sense after an earlier one.
pub fn looks_back(change: Change) -> bool {
    matches!(change, Change::Corrected | Change::Downgraded | Change::Eased | Change::Closed)
}

/// What the decision about the first open delivery of a thread rests on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The delivery: `planned`, or `sending` when a stop came before its outcome.
    pub delivery: &'a Delivery,
    /// What its alert changes.
    pub change: Change,
    /// What is over in its thread.
    pub past: Past,
    /// Whether a later open delivery of the thread would take its place.
    pub superseded: bool,
    /// Whether it was due while its gateway was not to be called, or had to wait for an answer.
    pub waited: bool,
    /// When its alert was decided.
    pub decided_at: Instant,
    /// When it may ring.
    pub urgency: Urgency,
    /// Whether a later open delivery of the thread may ring at once.
    pub grave_behind: bool,
    /// Whether the fuse of corrections holds it.
    pub fused: bool,
    /// The silence that covers it now.
    pub silence: Option<&'a Silence>,
    /// Hours and days.
    pub calendar: &'a Calendar,
    /// After so many milliseconds a message is of no use; `None`: never.
    pub expire_after_ms: Option<i64>,
    /// The contact that it goes to, as long as the address is the same.
    pub person: Option<&'a Person>,
    /// Whether that address is not tried any more.
    pub refused: bool,
    /// The gateway's kind.
    pub kind: Kind,
    /// When to try again, and when to give up.
    pub settings: &'a RetrySettings,
    /// The present instant.
    pub now: Instant,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ask the gateway; the outcome of an earlier request is unknown if `resend`.
    Send {
        /// Whom to send to.
        person: Person,
        /// Whether it was found in `sending`.
        resend: bool,
    },
    /// Ask the gateway what became of its last request.
    Ask {
        /// Whom that was sent to.
        person: Person,
    },
    /// Its last request may have gone out: see [`crate::settle::unseen`].
    Settle,
    /// Nothing before this instant.
    Wait {
        /// The instant.
        until: Instant,
    },
    /// Nothing before this instant, for a reason that stands in the ledger.
    Hold {
        /// The instant.
        until: Instant,
        /// The reason.
        why: Why,
    },
    /// It ends, because this event says so.
    Silence {
        /// The event.
        event_id: String,
        /// Whether a request for it may have gone out.
        maybe_out: bool,
    },
    /// It ends: nothing was due to this person.
    Skip(Why),
    /// It ends: it was due and cannot be done.
    Fail(Why),
}

/// What is due for the first open delivery of a thread.
pub fn next(s: &Situation<'_>) -> Next {
    if s.delivery.state == DeliveryState::Uncertain {
        return ask(s);
    }
    let resend = s.delivery.state == DeliveryState::Sending;
    if resend && s.kind != Kind::Idempotent {
        // Whoever wrote it may only be paused, and its request may still be on its way.
        return match s.delivery.due_at {
            Some(due) if due > s.now => Next::Wait { until: due },
            _ => Next::Settle,
        };
    }
    let maybe_out = resend || s.delivery.uncertain;
    // A silence apart, grave news must not wait for what stands before it.
    let held = match s.grave_behind {
        true => None,
        false => hold::held_until(s.calendar, s.urgency, s.change, s.past, s.now),
    };
    let waited = held.is_some() || waits(s.delivery) || s.waited;
    if s.superseded && !resend && (s.delivery.attempt > 0 || waited) {
        return if maybe_out { Next::Fail(Why::Superseded) } else { Next::Skip(Why::Superseded) };
    }
    if !maybe_out && looks_back(s.change) && s.past.certainly_silent() {
        return Next::Skip(Why::NothingToCorrect);
    }
    if let Some(silence) = s.silence {
        return Next::Silence { event_id: silence.event_id.clone(), maybe_out };
    }
    if expired(s) {
        return Next::Fail(Why::Expired);
    }
    if s.refused {
        // Whoever stands behind hears it; where nobody does, or it takes back what was told there, a clerk is to see it. What
        // stands in a digest goes on by itself.
        let said_elsewhere = !maybe_out && quota::is_digest(s.delivery);
        return if said_elsewhere { Next::Skip(Why::Refused) } else { Next::Fail(Why::Refused) };
    }
    // What is grave does not wait behind it.
    if s.fused && !s.grave_behind {
        let due = s.delivery.due_at.filter(|due| *due > s.now);
        let until = due.unwrap_or(s.now.plus_millis(fuse::LOOKED_AT_WITHIN_MS));
        return Next::Hold { until, why: Why::Fuse };
    }
    if let Some((until, why)) = held {
        return Next::Hold { until, why };
    }
    match s.delivery.due_at {
        // A time until which it was held is looked at anew: hours may have been configured otherwise.
        Some(due) if !resend && due > s.now && (!waits(s.delivery) || is_dated(s.delivery)) => {
            return Next::Wait { until: due };
        }
        _ => {}
    }
    match s.person {
        Some(person) => Next::Send { person: person.clone(), resend },
        // Whoever was told what is wrong must hear it: that they cannot is a clerk's to see.
        None if maybe_out || looks_back(s.change) => Next::Fail(Why::ContactChanged),
        None => Next::Skip(Why::ContactChanged),
    }
}

/// What is due for one whose last request may have gone out. Nothing overtakes it: what follows in its thread depends
/// on what became of it.
fn ask(s: &Situation<'_>) -> Next {
    match s.delivery.due_at {
        Some(due) if due > s.now => return Next::Wait { until: due },
        _ => {}
    }
    match s.person {
        Some(person) => Next::Ask { person: person.clone() },
        None => Next::Fail(Why::ContactChanged),
    }
}

/// Whether this delivery was last heard of as held: for quiet hours, a holiday, a quota, the day of a digest,
/// or the fuse.
pub fn waits(delivery: &Delivery) -> bool {
    let held = [Why::QuietHours, Why::Holiday, Why::Quota, Why::Digest, Why::Fuse].map(Why::as_str);
    delivery.state == DeliveryState::Planned && delivery.reason.as_deref().is_some_and(|r| held.contains(&r))
}

/// Whether it is a digest that waits for its day, which no change of hours moves.
fn is_dated(delivery: &Delivery) -> bool {
    delivery.reason.as_deref() == Some(Why::Digest.as_str())
}

/// Whether it is of no use any more. Its age counts from when it might first have rung, so that a long holiday does not
/// eat it.
fn expired(s: &Situation<'_>) -> bool {
    let Some(expire_after) = s.expire_after_ms else { return false };
    if (looks_back(s.change) && s.past.maybe_out) || quota::is_digest(s.delivery) {
        return false;
    }
    expires_at(s.calendar, s.urgency, s.change, s.decided_at, expire_after) <= s.now
}

/// When a message that was decided then is of no use any more.
pub(crate) fn expires_at(
    calendar: &Calendar,
    urgency: Urgency,
    change: Change,
    decided_at: Instant,
    expire_after_ms: i64,
) -> Instant {
    let first = hold::held_until(calendar, urgency, change, Past::default(), decided_at);
    first.map_or(decided_at, |(until, _)| until).plus_millis(expire_after_ms)
}

/// Whether a silence covers this message only if it covers everything.
pub fn spared(urgency: Urgency, change: Change) -> bool {
    urgency == Urgency::AtOnce || looks_back(change)
}

/// The delivery while it is held.
pub fn held(delivery: &Delivery, until: Instant, why: Why, now: Instant) -> Delivery {
    Delivery {
        state: DeliveryState::Planned,
        reason: Some(why.as_str().to_owned()),
        at: now,
        due_at: Some(until),
        uncertain: delivery.uncertain || delivery.state == DeliveryState::Sending,
        ..delivery.clone()
    }
}

/// The delivery as it is written before its request. One that was found in `sending` is uncertain from
/// here on.
pub fn sending(delivery: &Delivery, person: &Person, now: Instant) -> Delivery {
    Delivery {
        contact_role: Some(person.role),
        contact_rank: Some(person.rank),
        contact_version: i64::try_from(person.version).ok(),
        state: DeliveryState::Sending,
        reason: None,
        attempt: delivery.attempt + 1,
        at: now,
        due_at: None,
        uncertain: delivery.uncertain || delivery.state == DeliveryState::Sending,
        sent_at: Some(now),
        ..delivery.clone()
    }
}

/// The delivery after it ended without a (further) request.
pub fn end(delivery: &Delivery, state: DeliveryState, reason: &str, now: Instant) -> Delivery {
    Delivery {
        state,
        reason: Some(reason.to_owned()),
        at: now,
        due_at: None,
        uncertain: delivery.uncertain || delivery.state == DeliveryState::Sending,
        ..delivery.clone()
    }
}

/// The delivery after the outcome of its request at a gateway of this kind.
pub fn after(
    delivery: &Delivery,
    outcome: &Outcome,
    kind: Kind,
    now: Instant,
    settings: &RetrySettings,
) -> Delivery {
    let (reason, retry_after_ms) = match outcome {
        Outcome::Accepted { gateway_ref } => {
            return Delivery {
                state: DeliveryState::Accepted,
                reason: None,
                at: now,
                due_at: None,
                gateway_ref: gateway_ref.clone(),
                ..delivery.clone()
            };
        }
        Outcome::Permanent { reason } => {
            return Delivery {
                state: DeliveryState::Failed,
                reason: Some(reason.to_string()),
                at: now,
                due_at: None,
                ..delivery.clone()
            };
        }
        Outcome::Transient { reason, retry_after_ms } => (reason, *retry_after_ms),
        Outcome::WindowUsedUp { reason, until } => {
            let again = again(delivery, reason, until.map(|at| at.0.saturating_sub(now.0)), now, settings);
            // Named, because of one that waits so the next person is told where an answer is due.
            let waits = again.state == DeliveryState::Planned;
            let named = waits.then(|| format!("{}:{reason}", Why::Window.as_str()));
            return Delivery { reason: named.or(again.reason), ..again };
        }
        // Nobody else is told instead, and whoever has the template approved again may need days: it waits, and keeps its
        // attempts for afterwards.
        Outcome::Text { reason } if looks_back(delivery.change) => {
            return Delivery {
                state: DeliveryState::Planned,
                attempt: delivery.attempt.min(1),
                reason: Some(reason.to_string()),
                at: now,
                due_at: Some(now.plus_millis(settings.max_delay_ms)),
                ..delivery.clone()
            };
        }
        // Whoever is called to repair it has as long as the attempts last.
        Outcome::Account { reason } | Outcome::Text { reason } => (reason, None),
        Outcome::Unknown { reason, retry_after_ms } => {
            return settle::unseen(delivery, reason, *retry_after_ms, kind, now, settings);
        }
    };
    again(delivery, reason, retry_after_ms, now, settings)
}

/// The delivery with one request more due, or failed where the attempts are used up.
pub(crate) fn again(
    delivery: &Delivery,
    reason: &str,
    retry_after_ms: Option<i64>,
    now: Instant,
    settings: &RetrySettings,
) -> Delivery {
    if delivery.attempt >= settings.max_attempts {
        return Delivery {
            state: DeliveryState::Failed,
            reason: Some(format!("gave_up:{reason}")),
            at: now,
            due_at: None,
            ..delivery.clone()
        };
    }
    let asked = retry_after_ms.unwrap_or(0).clamp(0, settings.max_retry_after_ms);
    let delay = backoff_ms(&delivery.delivery_id, delivery.attempt, settings).max(asked);
    Delivery {
        state: DeliveryState::Planned,
        reason: Some(reason.to_owned()),
        at: now,
        due_at: Some(now.plus_millis(delay)),
        ..delivery.clone()
    }
}

/// The delay after attempt number `attempt` (from 1): between half of and the whole
/// `first_delay * 2^(attempt - 1)`, at most `max_delay`. What spreads the retries of many deliveries is
/// not chance but a hash of id and attempt, so that a run can be repeated.
pub fn backoff_ms(delivery_id: &str, attempt: u32, settings: &RetrySettings) -> i64 {
    let doubled = 1_i64.checked_shl(attempt.saturating_sub(1).min(40)).unwrap_or(i64::MAX);
    let whole = settings.first_delay_ms.saturating_mul(doubled).clamp(0, settings.max_delay_ms);
    let hash = Sha256::new().chain_update(delivery_id).chain_update(attempt.to_be_bytes()).finalize();
    let spread = i64::from(u16::from_be_bytes([hash[0], hash[1]]));
    whole / 2 + (whole - whole / 2) * spread / i64::from(u16::MAX)
}

#[cfg(test)]
mod tests;
