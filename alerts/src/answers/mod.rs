//! What comes back: receipts of gateways, replies of persons, presses on the page behind a link, a webhook's answers.
//! docs/answers.md says why it is so.
//!
//! ```text
//!  gateway ──receipt──┐                                        (append, acknowledged)
//!  phone ────reply────┤-> http: who asks, how much, known id? ──> topic answers ──> whoever owns the delivery: fold, deadline
//!  browser ──press────┤                                                 ^
//!  webhook ──answer───┘                   the worker, by asking ──poll──┘
//! ```
//!
//! - [`reply`]: pure: what an SMS means; never a guess
//! - [`carrier`]: pure: what follows from a carrier's code
//! - [`link`]: pure: the signed token of a link
//! - [`fold`]: pure: what an answer does to its delivery
//! - [`deadline`]: pure: whom to ask next when no answer comes
//! - [`http`]: the server
//!
//! # What holds
//! - A gateway hears yes after its answer is durable, and not before.
//! - Nothing is kept of an id that we never gave, of a phone that is no contact's, or of a reply's words.
//! - A state only moves forward.

pub mod carrier;
pub mod deadline;
pub mod fold;
pub mod http;
pub mod link;
pub mod reply;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use tocsin_schemas::codes::{AnswerKind, Says};
use tocsin_schemas::records::{Answer, Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use crate::gateways::{Fate, Told};

/// The shortest key of a keyed hash, in bytes: as long as the hash (RFC 2104 section 3).
pub const MIN_KEY_BYTES: usize = 32;

/// A key that is too short. The operator makes a longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a key of at least {MIN_KEY_BYTES} bytes, found {found}: make one from a random source")]
pub struct KeyTooShort {
    /// Its length in bytes.
    pub found: usize,
}

fn mac(key: &[u8]) -> Result<Hmac<Sha256>, KeyTooShort> {
    let too_short = KeyTooShort { found: key.len() };
    if key.len() < MIN_KEY_BYTES {
        return Err(too_short);
    }
    // HMAC takes a key of any length.
    Hmac::new_from_slice(key).map_err(|_| too_short)
}

/// By which way an answer came, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Came {
    /// The gateway's name.
    pub gateway: String,
    /// The way.
    pub kind: AnswerKind,
    /// When.
    pub received_at: Instant,
}

/// What a gateway says of a message: pushed (`receipt`), asked (`poll`) or told by the operator's own gateway (`webhook`).
/// `None`: that it has it, which is no answer.
pub fn gateway_said(
    came: Came,
    delivery_id: &str,
    gateway_ref: Option<String>,
    fate: &Fate,
    said_at: Option<Instant>,
) -> Option<Answer> {
    let (says, code) = match fate {
        Fate::Accepted => return None,
        Fate::Delivered => (Says::Delivered, None),
        Fate::Failed(code) => (Says::Failed, Some(code)),
    };
    let answer = Answer {
        class: code.map(|code| carrier::class(code)),
        code: code.and_then(|code| carrier::clean(code)),
        gateway_ref,
        said_at,
        ..of(came, Some(delivery_id.to_owned()), says)
    };
    Some(answer.with_id())
}

/// What a gateway told when it was asked about a delivery. `None`: nothing that answers it.
pub fn polled(gateway: &str, delivery_id: &str, told: &Told, received_at: Instant) -> Option<Answer> {
    let Told::Known { fate, gateway_ref } = told else { return None };
    let came = Came { gateway: gateway.to_owned(), kind: AnswerKind::Poll, received_at };
    gateway_said(came, delivery_id, gateway_ref.clone(), fate, None)
}

/// What a person says to one delivery: on the page (`link`), or as the operator's own gateway passes it on (`webhook`).
pub fn person_said(came: Came, delivery_id: &str, says: Says, said_at: Option<Instant>) -> Answer {
    Answer { said_at, ..of(came, Some(delivery_id.to_owned()), says) }.with_id()
}

/// A message that went out to a phone, as far as an SMS may answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentTo {
    /// When.
    pub at: Instant,
    /// The delivery.
    pub delivery_id: String,
    /// Over which gateway.
    pub channel: String,
    /// The numbers that a person may quote: the case's, and what stands in the text.
    pub numbers: [Option<String>; 2],
}

impl SentTo {
    /// That of a delivery; `None`: it certainly did not go out.
    pub fn of(delivery: &Delivery) -> Option<SentTo> {
        let out = match delivery.state {
            DeliveryState::Planned | DeliveryState::Failed | DeliveryState::Skipped => delivery.uncertain,
            DeliveryState::Sending
            | DeliveryState::Uncertain
            | DeliveryState::Accepted
            | DeliveryState::Delivered => true,
        };
        if !out {
            return None;
        }
        Some(SentTo {
            channel: delivery.channel.clone(),
            at: delivery.sent_at?,
            delivery_id: delivery.delivery_id.clone(),
            numbers: [Some(delivery.case_no.clone()), delivery.slots.get("id").cloned()],
        })
    }
}

/// How far a provider's clock may be behind ours, in milliseconds.
const CLOCKS_DIFFER_MS: i64 = 60_000;

/// Which of the messages to its phone an SMS answers: the last one that went out over the same gateway before it was
/// written, of those with the number that it quotes if it quotes one. Nothing is guessed beyond that: what else waits for an
/// answer goes on waiting. A provider pushes a reply again whose yes it did not hear, and by then something graver may have
/// gone out: nobody has read that.
pub fn replied_to(answer: &Answer, to_its_phone: impl Iterator<Item = SentTo>) -> Option<String> {
    let quoted = |sent: &SentTo| {
        let Some(number) = answer.case_no.as_ref() else { return true };
        sent.numbers.iter().flatten().any(|known| known == number)
    };
    let received = answer.received_at;
    // Providers give whole seconds.
    let written = answer.said_at.map_or(received, |said| said.plus_millis(999).min(received));
    let (before, after): (Vec<SentTo>, Vec<SentTo>) = to_its_phone
        .filter(|sent| sent.at <= received && sent.channel == answer.gateway && quoted(sent))
        .partition(|sent| sent.at <= written);
    // It answers something: where the one message there is went out only just afterwards, the provider's clock is behind ours.
    let soon = |sent: &SentTo| {
        sent.at <= written.plus_millis(CLOCKS_DIFFER_MS)
            && received <= written.plus_millis(2 * CLOCKS_DIFFER_MS)
    };
    match &after[..] {
        [one] if before.is_empty() && soon(one) => Some(one.delivery_id.clone()),
        _ => {
            let last = before.iter().max_by(|a, b| (a.at, &a.delivery_id).cmp(&(b.at, &b.delivery_id)));
            last.map(|sent| sent.delivery_id.clone())
        }
    }
}

/// That somebody else of this delivery's audience has said so: what is still planned stops.
pub fn relayed(delivery: &Delivery, says: Says, now: Instant) -> Answer {
    let came = Came { gateway: delivery.channel.clone(), kind: AnswerKind::Relayed, received_at: now };
    // Each attempt may be stopped anew.
    let gateway_ref = Some(delivery.attempt.to_string());
    Answer { gateway_ref, ..of(came, Some(delivery.delivery_id.clone()), says) }.with_id()
}

/// What an SMS from this phone says.
pub fn replied(came: Came, phone_hash: String, text: &str, said_at: Option<Instant>) -> Answer {
    let reply::Meaning { says, case_no } = reply::meaning(text);
    Answer { phone_hash: Some(phone_hash), case_no, said_at, ..of(came, None, says) }.with_id()
}

fn of(came: Came, delivery_id: Option<String>, says: Says) -> Answer {
    Answer {
        answer_id: String::new(),
        delivery_id,
        gateway: came.gateway,
        gateway_ref: None,
        kind: came.kind,
        says,
        class: None,
        code: None,
        phone_hash: None,
        case_no: None,
        received_at: came.received_at,
        said_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Instant = Instant(1_772_330_400_000);

    fn minutes(n: i64) -> Instant {
        TEN.plus_millis(n * 60_000)
    }

    fn sent(id: &str, at: Instant) -> SentTo {
        SentTo { at, delivery_id: id.into(), channel: "aliyun".into(), numbers: [None, None] }
    }

    #[test]
    fn a_reply_that_is_pushed_again_answers_what_had_gone_out_when_it_was_written() {
        let came = |received_at| Came { gateway: "aliyun".into(), kind: AnswerKind::Reply, received_at };
        let answered = |received, said: Option<Instant>| {
            let all = [sent("minor", TEN), sent("death", minutes(5))];
            replied_to(&replied(came(received), "p".into(), "1", said), all.into_iter())
        };
        let (minor, death) = (Some("minor".to_owned()), Some("death".to_owned()));
        assert_eq!(answered(minutes(1), Some(minutes(1))), minor);
        assert_eq!(answered(minutes(6), Some(minutes(1))), minor, "our yes was lost");
        assert_eq!(answered(minutes(6), Some(minutes(6))), death);
        assert_eq!(answered(minutes(6), None), death, "who gives no time is believed to push at once");
        assert_eq!(answered(minutes(1), Some(minutes(6))), minor, "a clock that is ahead");
        // Sent at 10:05:00.4, written within the same second.
        let late = [sent("late", minutes(5).plus_millis(400))];
        let reply = replied(came(minutes(6)), "p".into(), "1", Some(minutes(5)));
        assert_eq!(replied_to(&reply, late.into_iter()), Some("late".to_owned()));
        // A provider whose clock is 40 s behind ours, or our own is ahead: written before it was sent, and pushed at once.
        let behind = |received| {
            let reply = replied(came(received), "p".into(), "1", Some(minutes(5).plus_millis(-15_000)));
            replied_to(&reply, [sent("death", minutes(5))].into_iter())
        };
        assert_eq!(behind(minutes(5).plus_millis(25_000)), death);
        assert_eq!(behind(minutes(8)), None, "whatever it answers, it is not that");
        let two = [sent("minor", minutes(5)), sent("death", minutes(5).plus_millis(1_000))];
        let reply = replied(came(minutes(5).plus_millis(9_000)), "p".into(), "1", Some(minutes(4)));
        assert_eq!(replied_to(&reply, two.into_iter()), None, "it answers one of them at most");
    }
}
