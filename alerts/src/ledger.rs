//! What became of every delivery: the fold of the topic `deliveries`.
//!
//! Deliveries of one case to one role and subject are a *thread* ([`ThreadKey`]): what the owner of one
//! enterprise hears of one incident. A thread's [`Past`] says whether anything of it may have gone out.
//!
//! Memory: an open delivery is held whole; of one that has ended only its id and state stay.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};
use tocsin_schemas::codes::Role;
use tocsin_schemas::records::{Alert, Audience, Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use crate::decide::Why;
use crate::texts::Template;

/// The id of a delivery, and the idempotency key that the gateway is given: 26 characters that depend on
/// nothing but alert, role, subject and channel, so that every restart asks with the same key.
pub fn delivery_id(alert_id: &str, role: Role, subject: &str, channel: &str) -> String {
    data_encoding::BASE32_NOPAD.encode(&hash16(&["delivery", alert_id, role.as_str(), subject, channel]))
}

fn hash16(parts: &[&str]) -> [u8; 16] {
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

/// What one role and subject hears of one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadKey([u8; 16]);

impl ThreadKey {
    /// The thread of a delivery.
    pub fn of(delivery: &Delivery) -> ThreadKey {
        ThreadKey::new(&delivery.case_no, delivery.role, &delivery.subject)
    }
    /// The thread of an alert's audience.
    pub fn of_audience(alert: &Alert, audience: &Audience) -> ThreadKey {
        ThreadKey::new(&alert.case_no, audience.role, &audience.subject)
    }
    fn new(case_no: &str, role: Role, subject: &str) -> ThreadKey {
        ThreadKey(hash16(&["thread", case_no, role.as_str(), subject]))
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
    /// Whether that one was severe (T2, T8).
    pub severe_out: bool,
}

impl Past {
    /// Takes in one that has ended.
    fn rang(&mut self, delivery: &Delivery) {
        if !maybe_out(delivery) {
            return;
        }
        self.maybe_out = true;
        let severe = [Template::T2.id(), Template::T8.id()].contains(&&*delivery.template);
        if severe || delivery.state != DeliveryState::Failed {
            (self.last_out, self.severe_out) = (Some(delivery.at), severe);
        }
    }

    /// Whether messages were due before, and certainly none of them went out.
    pub fn certainly_silent(self) -> bool {
        self.ended > 0 && !self.maybe_out
    }
}

/// Whether nothing more will happen to a delivery in this state.
pub fn terminal(state: DeliveryState) -> bool {
    match state {
        DeliveryState::Planned | DeliveryState::Sending | DeliveryState::Uncertain => false,
        DeliveryState::Accepted
        | DeliveryState::Delivered
        | DeliveryState::Failed
        | DeliveryState::Skipped => true,
    }
}

/// Whether this delivery's message went out or may have.
fn maybe_out(delivery: &Delivery) -> bool {
    match delivery.state {
        DeliveryState::Accepted | DeliveryState::Delivered => true,
        // The same person read the same words in another delivery of the alert.
        DeliveryState::Skipped => delivery.reason.as_deref() == Some(Why::SamePerson.as_str()),
        _ => delivery.uncertain,
    }
}

/// The reason of a delivery as metrics count it: a bounded set. `silenced:EVENT` is `silenced`.
pub fn reason_class(delivery: &Delivery) -> &str {
    let reason = delivery.reason.as_deref().unwrap_or_default();
    let silenced = Why::Silenced.as_str();
    match reason.strip_prefix(silenced) {
        Some(rest) if rest.starts_with(':') => silenced,
        _ => reason,
    }
}

/// The state of all deliveries.
#[derive(Debug, Default)]
pub struct Ledger {
    open: HashMap<String, Delivery>,
    ended: HashMap<String, DeliveryState>,
    threads: HashMap<ThreadKey, Past>,
    counts: BTreeMap<(DeliveryState, String), u64>,
}

impl Ledger {
    /// Nothing was sent yet.
    pub fn new() -> Ledger {
        Ledger::default()
    }

    /// Takes in one record of the topic, in the order of its partition. What has ended stays as it ended:
    /// an ended delivery moves for nothing.
    pub fn apply(&mut self, delivery: Delivery) {
        if self.ended.contains_key(&delivery.delivery_id) {
            return;
        }
        if let Some(before) = self.open.remove(&delivery.delivery_id) {
            self.count(&before, false);
        }
        self.count(&delivery, true);
        if terminal(delivery.state) {
            let past = self.threads.entry(ThreadKey::of(&delivery)).or_default();
            past.ended += 1;
            past.rang(&delivery);
            self.ended.insert(delivery.delivery_id, delivery.state);
        } else {
            self.open.insert(delivery.delivery_id.clone(), delivery);
        }
    }

    fn count(&mut self, delivery: &Delivery, more: bool) {
        let reason = reason_class(delivery).to_owned();
        let n = self.counts.entry((delivery.state, reason)).or_default();
        *n = if more { *n + 1 } else { n.saturating_sub(1) };
    }

    /// How a delivery ended, if it did.
    pub fn ended(&self, delivery_id: &str) -> Option<DeliveryState> {
        self.ended.get(delivery_id).copied()
    }

    /// A delivery that is planned or was being sent.
    pub fn open(&self, delivery_id: &str) -> Option<&Delivery> {
        self.open.get(delivery_id)
    }

    /// How many are open.
    pub fn open_len(&self) -> usize {
        self.open.len()
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
    fn an_id_depends_on_its_four_parts_and_nothing_else() {
        let id = delivery_id("A", Role::Owner, "s", "webhook");
        assert_eq!(id, delivery_id("A", Role::Owner, "s", "webhook"));
        assert_eq!(id.len(), 26);
        for other in [
            delivery_id("B", Role::Owner, "s", "webhook"),
            delivery_id("A", Role::SafetyOfficer, "s", "webhook"),
            delivery_id("A", Role::Owner, "t", "webhook"),
            delivery_id("A", Role::Owner, "s", "sms"),
        ] {
            assert_ne!(id, other);
        }
        assert_ne!(delivery_id("ab", Role::Owner, "c", "x"), delivery_id("a", Role::Owner, "bc", "x"));
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
