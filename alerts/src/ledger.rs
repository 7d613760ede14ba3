//! What became of every delivery: the fold of the topic `deliveries`.
//!
//! Deliveries of one case to one role, subject and phone are a *thread* ([`ThreadKey`]): what the owner of one
//! enterprise hears of one incident. A thread's [`Past`] says whether anything of it may have gone out.
//!
//! Memory: an open delivery is held whole; of one that has ended only its id and state stay.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};
use tocsin_schemas::codes::{FailureClass, Role, Says, Urgency};
use tocsin_schemas::index;
use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use crate::decide::Why;
use crate::texts::Template;

/// The id of a delivery, and the idempotency key that the gateway is given: 26 characters that depend on
/// nothing but alert, role, subject, channel and whom it goes to (the contact's key and the hash of the address), so
/// that every restart asks with the same key.
pub fn delivery_id(alert_id: &str, role: Role, subject: &str, channel: &str, whom: &[&str]) -> String {
    let parts = ["delivery", alert_id, role.as_str(), subject, channel];
    data_encoding::BASE32_NOPAD.encode(&hash16(&[&parts, whom].concat()))
}

/// The id of the delivery that says after all what this one failed to say ([`crate::retry`]): each is retried once, and a
/// retry that failed is retried by its own id.
pub fn retry_id(failed: &str) -> String {
    data_encoding::BASE32_NOPAD.encode(&hash16(&["retry", failed]))
}

pub(crate) fn hash16(parts: &[&str]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        // The length before each part keeps ("ab", "c") and ("a", "bc") apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut out = [0; 16];
    out.copy_from_slice(&hash.finalize()[..16]);
    out
}

/// What one phone hears of one case for one role and subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadKey([u8; 16]);

impl ThreadKey {
    /// The thread of a delivery.
    pub fn of(delivery: &Delivery) -> ThreadKey {
        let phone = delivery.phone_hash.as_deref().unwrap_or_default();
        ThreadKey(hash16(&["thread", &delivery.case_no, delivery.role.as_str(), &delivery.subject, phone]))
    }
}

/// What is over in a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Past {
    /// Deliveries that have ended, however.
    pub ended: u32,
    /// Whether one of them went out or may have.
    pub maybe_out: bool,
    /// When the last one rang, as far as that is known. One that failed counts only if it was severe: nobody is rung
    /// out of bed for the correction of a minor message that may not even have come.
    pub last_out: Option<Instant>,
    /// Whether that one was severe.
    pub severe_out: bool,
}

impl Past {
    /// Takes in one that has ended.
    fn rang(&mut self, delivery: &Delivery) {
        if !maybe_out(delivery) {
            return;
        }
        self.maybe_out = true;
        if delivery.state == DeliveryState::Skipped && reason_class(delivery) == Why::InDigest.as_str() {
            // It did not ring by itself.
            return;
        }
        // What is learnt of it later, and of one before the last, is no ring.
        let (severe, at) = (tells_of_severe(delivery), delivery.sent_at.unwrap_or(delivery.at));
        if (severe || delivery.state != DeliveryState::Failed) && self.last_out.is_none_or(|last| last <= at)
        {
            (self.last_out, self.severe_out) = (Some(at), severe);
        }
    }

    /// Whether messages were due before, and certainly none of them went out.
    pub fn certainly_silent(self) -> bool {
        self.ended > 0 && !self.maybe_out
    }
}

/// Whether this message sends somebody out to a severe accident: T2 and T8 always; T15 and T18 tell of minor ones, too, and
/// those do not ring at once.
fn tells_of_severe(delivery: &Delivery) -> bool {
    match Template::of_wording(&delivery.template) {
        Some(Template::T2 | Template::T8) => true,
        Some(Template::T15 | Template::T18) => delivery.urgency == Urgency::AtOnce,
        _ => false,
    }
}

/// Whether nothing more will happen to a delivery in this state.
pub fn terminal(state: DeliveryState) -> bool {
    !index::open(state)
}

/// Whether a delivery that ended may go to another state by what comes later: a receipt after the gateway's yes, or one
/// that comes after all; or its digest has not gone out. Everything else that has ended stays as it ended.
fn moves_on(from: &Ended, to: &Delivery) -> bool {
    use DeliveryState::{Accepted, Delivered, Failed, Skipped};
    match (from.state, to.state) {
        (Accepted, Delivered | Failed) | (Failed, Delivered) => true,
        // A person says something, or something that counts for more.
        (Delivered, Delivered) => said(to) > said_by(from.state, &from.reason),
        // It left its digest before that went out.
        (Skipped, Skipped) => &*from.reason == Why::InDigest.as_str(),
        _ => false,
    }
}

/// Whether this delivery's message went out or may have.
pub fn maybe_out(delivery: &Delivery) -> bool {
    match delivery.state {
        DeliveryState::Accepted | DeliveryState::Delivered => true,
        // The same person read the same words in another delivery of the alert.
        // Nor does it matter that a digest told of this one.
        DeliveryState::Skipped => {
            [Why::SamePerson, Why::InDigest].map(Why::as_str).contains(&reason_class(delivery))
        }
        _ => delivery.uncertain,
    }
}

pub use tocsin_schemas::index::BOUNCED;
/// The reason of `failed` when a carrier could not bring it.
pub const CARRIER_FAILED: &str = "carrier_failed";

/// The reason of a delivery that its carrier failed with a code of this class, pushed or asked for. The code itself has no
/// bounded list.
pub(crate) fn failed(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Permanent => BOUNCED,
        _ => CARRIER_FAILED,
    }
}

/// Whether this record of a delivery is the word of a planner that did not know of its attempts.
pub(crate) fn planned_again(before: &Delivery, now: &Delivery) -> bool {
    now.state == DeliveryState::Planned && now.attempt == 0 && before.attempt > 0
}

/// What the person has said who got it: the reason of `delivered`, where it was not a gateway that told.
pub fn said(delivery: &Delivery) -> Option<Says> {
    said_by(delivery.state, delivery.reason.as_deref().unwrap_or_default())
}

pub(crate) fn said_by(state: DeliveryState, reason: &str) -> Option<Says> {
    let says = reason.parse().ok().filter(|says: &Says| *says > Says::Other);
    says.filter(|_| state == DeliveryState::Delivered)
}

/// The delivery that stands for this one: its digest, or the same words to the same phone in another role.
pub fn stands_for(delivery: &Delivery) -> Option<&str> {
    let reason = delivery.reason.as_deref().filter(|_| delivery.state == DeliveryState::Skipped)?;
    let (why, id) = reason.split_once(':')?;
    [Why::InDigest, Why::SamePerson].map(Why::as_str).contains(&why).then_some(id)
}

/// The reason of a delivery as metrics count it: a bounded set. `silenced:EVENT` is `silenced`, `in_digest:ID` is
/// `in_digest`, `same_person:ID` is `same_person`, `window_used_up:CODE` is `window_used_up`, `retry:ID` is `retry`.
pub fn reason_class(delivery: &Delivery) -> &str {
    let reason = delivery.reason.as_deref().unwrap_or_default();
    let named = [Why::Silenced, Why::InDigest, Why::SamePerson, Why::Window, Why::Retry].map(Why::as_str);
    let begins = |why: &&&str| reason.strip_prefix(**why).is_some_and(|rest| rest.starts_with(':'));
    named.iter().find(begins).copied().unwrap_or(reason)
}

/// One that has ended.
#[derive(Debug)]
struct Ended {
    state: DeliveryState,
    /// The reason's class.
    reason: Box<str>,
    /// Whether it may have come all the same.
    uncertain: bool,
}

/// What a record of the topic changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Nothing: it had ended before.
    Nothing,
    /// Its first word.
    First,
    /// It was open.
    Open,
    /// It had ended, and what was learnt later moved it on.
    MovedOn,
}

/// The state of all deliveries.
#[derive(Debug, Default)]
pub struct Ledger {
    open: HashMap<String, Delivery>,
    /// How many of them go over each channel.
    over: HashMap<String, usize>,
    ended: HashMap<String, Ended>,
    threads: HashMap<ThreadKey, Past>,
    counts: BTreeMap<(DeliveryState, String), u64>,
}

impl Ledger {
    /// Nothing was sent yet.
    pub fn new() -> Ledger {
        Ledger::default()
    }

    /// Takes in one record of the topic, in the order of its partition. What has ended stays as it ended, but for a
    /// receipt; and what was asked of a gateway does not become planned for the first time, by a planner that could not know.
    pub fn apply(&mut self, delivery: Delivery) -> Applied {
        let applied = if let Some(before) = self.ended.get(&delivery.delivery_id) {
            if !moves_on(before, &delivery) {
                return Applied::Nothing;
            }
            let key = (before.state, before.reason.to_string());
            self.count(key, false);
            Applied::MovedOn
        } else if self.open.get(&delivery.delivery_id).is_some_and(|before| planned_again(before, &delivery))
        {
            return Applied::Nothing;
        } else if let Some(before) = self.open.remove(&delivery.delivery_id) {
            self.count((before.state, reason_class(&before).to_owned()), false);
            if let Some(over) = self.over.get_mut(&before.channel) {
                *over -= 1;
            }
            Applied::Open
        } else {
            Applied::First
        };
        let reason = reason_class(&delivery).to_owned();
        self.count((delivery.state, reason.clone()), true);
        if terminal(delivery.state) {
            let past = self.threads.entry(ThreadKey::of(&delivery)).or_default();
            past.ended += u32::from(applied != Applied::MovedOn);
            past.rang(&delivery);
            let ended = Ended { state: delivery.state, reason: reason.into(), uncertain: delivery.uncertain };
            self.ended.insert(delivery.delivery_id, ended);
        } else {
            *self.over.entry(delivery.channel.clone()).or_default() += 1;
            self.open.insert(delivery.delivery_id.clone(), delivery);
        }
        applied
    }

    fn count(&mut self, of: (DeliveryState, String), more: bool) {
        let n = self.counts.entry(of).or_default();
        *n = if more { *n + 1 } else { n.saturating_sub(1) };
    }

    /// How a delivery ended, if it did.
    pub fn ended(&self, delivery_id: &str) -> Option<DeliveryState> {
        self.ended.get(delivery_id).map(|ended| ended.state)
    }

    /// How a delivery ended, the class of its reason, and whether it may have come all the same.
    pub fn how(&self, delivery_id: &str) -> Option<(DeliveryState, &str, bool)> {
        self.ended.get(delivery_id).map(|ended| (ended.state, &*ended.reason, ended.uncertain))
    }

    /// Whether it knows this one, open or ended.
    pub fn knows(&self, delivery_id: &str) -> bool {
        self.open.contains_key(delivery_id) || self.ended.contains_key(delivery_id)
    }

    /// Every delivery that is open, in no order.
    pub fn all_open(&self) -> impl Iterator<Item = &Delivery> {
        self.open.values()
    }

    /// A delivery that is planned or was being sent.
    pub fn open(&self, delivery_id: &str) -> Option<&Delivery> {
        self.open.get(delivery_id)
    }

    /// How many are open.
    pub fn open_len(&self) -> usize {
        self.open.len()
    }

    /// How many are open that go over this channel.
    pub fn open_over(&self, channel: &str) -> usize {
        self.over.get(channel).copied().unwrap_or(0)
    }

    /// How many it knows, open or ended.
    pub fn len(&self) -> usize {
        self.open.len() + self.ended.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is over in this thread.
    pub fn past(&self, thread: ThreadKey) -> Past {
        self.threads.get(&thread).copied().unwrap_or_default()
    }

    /// Number of deliveries by state and reason (empty where there is none), those that are 0 left out.
    pub fn counts(&self) -> BTreeMap<(DeliveryState, String), u64> {
        self.counts.iter().filter(|(_, n)| **n > 0).map(|(k, n)| (k.clone(), *n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::delivery;

    #[test]
    fn what_was_asked_of_a_gateway_is_not_planned_for_the_first_time_again() {
        let mut ledger = Ledger::new();
        let of = |state, attempt| Delivery { attempt, ..delivery("a", state) };
        for (record, applied, stands) in [
            (of(DeliveryState::Planned, 0), Applied::First, (DeliveryState::Planned, 0)),
            (of(DeliveryState::Planned, 0), Applied::Open, (DeliveryState::Planned, 0)),
            (of(DeliveryState::Sending, 1), Applied::Open, (DeliveryState::Sending, 1)),
            (of(DeliveryState::Planned, 0), Applied::Nothing, (DeliveryState::Sending, 1)),
            (of(DeliveryState::Planned, 1), Applied::Open, (DeliveryState::Planned, 1)),
            (of(DeliveryState::Planned, 0), Applied::Nothing, (DeliveryState::Planned, 1)),
        ] {
            let id = record.delivery_id.clone();
            assert_eq!(ledger.apply(record), applied);
            let open = ledger.open(&id).unwrap();
            assert_eq!((open.state, open.attempt, ledger.open_len()), (stands.0, stands.1, 1));
        }
    }

    #[test]
    fn an_id_depends_on_its_parts_and_nothing_else() {
        let whom = ["owner+s+1", "HASH"];
        let id = delivery_id("A", Role::Owner, "s", "webhook", &whom);
        assert_eq!(id, delivery_id("A", Role::Owner, "s", "webhook", &whom));
        assert_eq!(id.len(), 26);
        for other in [
            delivery_id("B", Role::Owner, "s", "webhook", &whom),
            delivery_id("A", Role::SafetyOfficer, "s", "webhook", &whom),
            delivery_id("A", Role::Owner, "t", "webhook", &whom),
            delivery_id("A", Role::Owner, "s", "sms", &whom),
            delivery_id("A", Role::Owner, "s", "webhook", &["owner+s+2", "HASH"]),
            delivery_id("A", Role::Owner, "s", "webhook", &["owner+s+1", "OTHER"]),
            delivery_id("A", Role::Owner, "s", "webhook", &[]),
        ] {
            assert_ne!(id, other);
        }
        assert_ne!(
            delivery_id("ab", Role::Owner, "c", "x", &[]),
            delivery_id("a", Role::Owner, "bc", "x", &[])
        );
    }

    #[test]
    fn only_what_is_learnt_later_moves_what_has_ended() {
        use DeliveryState::*;
        for (from, to, applied) in [
            (Accepted, Delivered, Applied::MovedOn),
            (Accepted, Failed, Applied::MovedOn),
            (Failed, Delivered, Applied::MovedOn),
            (Failed, Accepted, Applied::Nothing),
            (Delivered, Failed, Applied::Nothing),
            (Delivered, Accepted, Applied::Nothing),
            (Delivered, Delivered, Applied::Nothing),
            (Skipped, Delivered, Applied::Nothing),
            (Accepted, Sending, Applied::Nothing),
            (Accepted, Accepted, Applied::Nothing),
        ] {
            let mut ledger = Ledger::new();
            assert_eq!(ledger.apply(delivery("a1", from)), Applied::First);
            assert_eq!(ledger.apply(delivery("a1", to)), applied, "{from} to {to}");
            let expected = if applied == Applied::MovedOn { to } else { from };
            assert_eq!(ledger.counts(), [((expected, String::new()), 1)].into());
            assert_eq!(ledger.past(ThreadKey::of(&delivery("a1", from))).ended, 1);
        }
    }

    #[test]
    fn what_has_ended_stays_and_is_counted_once() {
        let mut ledger = Ledger::new();
        let mut d = delivery("a1", DeliveryState::Sending);
        ledger.apply(d.clone());
        assert_eq!(ledger.open_len(), 1);
        d.state = DeliveryState::Accepted;
        ledger.apply(d.clone());
        ledger.apply(d.clone());
        ledger.apply(Delivery { state: DeliveryState::Planned, ..d.clone() });
        assert_eq!(ledger.ended(&d.delivery_id), Some(DeliveryState::Accepted));
        assert_eq!(ledger.open_len(), 0);
        assert_eq!(ledger.counts().into_values().sum::<u64>(), 1);
        let past = ledger.past(ThreadKey::of(&d));
        assert_eq!((past.ended, past.maybe_out), (1, true));
    }

    #[test]
    fn a_severe_message_is_severe_in_whatever_words_a_gateway_takes() {
        let severe = |template: &str, urgency| {
            let mut ledger = Ledger::new();
            let template = template.to_owned();
            let d = Delivery { template, urgency, ..delivery("a1", DeliveryState::Accepted) };
            ledger.apply(d.clone());
            ledger.past(ThreadKey::of(&d)).severe_out
        };
        for template in
            ["T2", "T2_fallback", "T8", "T8_fallback", "T15", "T15_fallback", "T18", "T18_fallback"]
        {
            assert!(severe(template, Urgency::AtOnce), "{template}");
        }
        // A visit for a minor accident, a red level, and what takes either back.
        for (template, urgency) in [
            ("T1", Urgency::Daytime),
            ("T15", Urgency::Daytime),
            ("T18_fallback", Urgency::Daytime),
            ("T7", Urgency::AtOnce),
            ("T17", Urgency::Daytime),
        ] {
            assert!(!severe(template, urgency), "{template}");
        }
    }

    #[test]
    fn a_message_rang_when_it_was_sent_whatever_is_learnt_of_it_later() {
        use DeliveryState::*;
        let mut ledger = Ledger::new();
        let sent = |alert: &str, template: &str, state, (sent, at)| Delivery {
            template: template.into(),
            sent_at: Some(Instant(sent)),
            at: Instant(at),
            ..delivery(alert, state)
        };
        let thread = ThreadKey::of(&delivery("a1", Accepted));
        let acknowledged =
            Delivery { reason: Some("acknowledged".into()), ..sent("a2", "T1", Delivered, (20, 50)) };
        for (record, expected) in [
            (sent("a1", "T2", Accepted, (10, 11)), (10, true)),
            (sent("a2", "T1", Accepted, (20, 21)), (20, false)),
            // The receipt of the first one comes last.
            (sent("a1", "T2", Delivered, (10, 30)), (20, false)),
            (sent("a2", "T1", Delivered, (20, 40)), (20, false)),
            (acknowledged, (20, false)),
        ] {
            assert_ne!(ledger.apply(record), Applied::Nothing);
            let past = ledger.past(thread);
            assert_eq!((past.last_out, past.severe_out), (Some(Instant(expected.0)), expected.1));
        }
    }

    #[test]
    fn a_thread_is_silent_only_when_all_of_it_certainly_failed() {
        use DeliveryState::*;
        for (state, reason, uncertain, silent) in [
            (Accepted, None, false, false),
            (Failed, Some("no_contact"), false, true),
            (Failed, Some("gave_up:timeout"), true, false),
            (Skipped, Some("same_person"), false, false),
            (Skipped, Some("nothing_to_correct"), false, true),
            (Skipped, Some("superseded"), false, true),
        ] {
            let mut ledger = Ledger::new();
            let d = Delivery { reason: reason.map(Into::into), uncertain, ..delivery("a1", state) };
            let thread = ThreadKey::of(&d);
            assert!(!ledger.past(thread).certainly_silent(), "an empty past is not known to be silent");
            ledger.apply(d);
            assert_eq!(ledger.past(thread).certainly_silent(), silent, "{state:?} {reason:?}");
        }
    }
}
