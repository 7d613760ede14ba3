//! What waits at a gateway that is down, or refuses our account, while the same person can be told over another one: it
//! ends, and the planner tells them over that one.

use std::time::Duration;

use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use super::gates::Lane;
use super::turn::Turn;
use crate::contacts::contact_key;
use crate::decide::{self, Urgency};
use crate::ledger::delivery_id;
use crate::quota;

/// Its reason in the ledger.
const REASON: &str = "gateway_open";
/// For so long a gateway may be down before what waits is told over another one.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// For so long where it may ring at any hour.
const PATIENCE_AT_ONCE: Duration = Duration::from_secs(120);
/// What stays, because nobody can be told otherwise, is looked through no more often.
const EVERY_MS: i64 = 1_000;

impl Turn<'_> {
    /// Ends what waits at this lane of sends and goes over another gateway. An account that is refused is a person's to
    /// repair, so nothing waits for that.
    pub fn send_elsewhere(&mut self, lane: Lane, now: Instant) {
        let gates = &self.shared.gates;
        let Some((account, away)) = gates.away(lane.gateway) else { return };
        let mut others = self.shared.channels.all().map(|channel| channel.name());
        if !others.any(|name| name != lane.gateway && gates.serves(name)) {
            return;
        }
        let left = |patience: Duration| patience.saturating_sub(if account { patience } else { away });
        for left in [PATIENCE_AT_ONCE, PATIENCE].map(left) {
            if !left.is_zero() {
                let ms = i64::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
                self.look_again(Some(now.plus_millis(ms)));
            }
        }
        if !left(PATIENCE_AT_ONCE).is_zero() {
            return;
        }
        let next = self.looked.get(&lane).map(|at| at.plus_millis(EVERY_MS));
        if let Some(next) = next.filter(|next| now < *next) {
            return self.look_again(Some(next));
        }
        self.looked.insert(lane, now);
        let all = left(PATIENCE).is_zero();
        let mut at = self.board.parked_after(lane, None);
        while let Some(this) = at {
            at = self.board.parked_after(lane, Some(&this));
            let (_, seq) = this;
            let Some(delivery) = self.board.get(seq).map(|entry| &entry.delivery) else { continue };
            // The worst are first.
            if !all && delivery.urgency != Urgency::AtOnce {
                break;
            }
            // It may be overtaken, silenced or expired by now.
            if self.goes_elsewhere(delivery, now)
                && self.look(seq, now).is_some_and(|want| !want.asks && !want.resend)
            {
                self.end(seq, DeliveryState::Failed, REASON, now);
            }
        }
    }

    /// The same of one that has been tried here and would be tried again, to look whether the gateway answers: its own
    /// delays may be such that it never finds the gate shut. Whether it ended. Newer ones look in its place.
    pub fn gives_way(&mut self, seq: u64, lane: Lane, now: Instant) -> bool {
        let Some((account, away)) = self.shared.gates.away(lane.gateway) else { return false };
        let Some(delivery) = self.board.get(seq).map(|entry| &entry.delivery) else { return false };
        let patience = match delivery.urgency {
            Urgency::AtOnce => PATIENCE_AT_ONCE,
            _ => PATIENCE,
        };
        let goes =
            delivery.attempt > 0 && (account || away >= patience) && self.goes_elsewhere(delivery, now);
        if goes {
            self.end(seq, DeliveryState::Failed, REASON, now);
        }
        goes
    }

    /// Whether its contact has an address at another gateway that serves and was not tried for it. One that may be out
    /// is told to nobody else, what speaks of an earlier message goes over the gateway that told that, and a digest has
    /// no other.
    pub fn goes_elsewhere(&self, delivery: &Delivery, now: Instant) -> bool {
        let never = is_retry(delivery)
            || delivery.state != DeliveryState::Planned
            || delivery.uncertain
            || decide::looks_back(delivery.change)
            || quota::is_digest(delivery);
        let shared = self.shared;
        let role = delivery.contact_role.unwrap_or(delivery.role);
        let subject = delivery.contact_subject.as_deref().unwrap_or(&delivery.subject);
        let known = shared.registry.known();
        let names = shared.channels.names(role);
        let own = names.iter().position(|&name| name == delivery.channel).unwrap_or(usize::MAX);
        !never
            && names.iter().enumerate().any(|(at, &channel)| {
                let there = known.contacts.reachable(role, subject, now.day(), channel);
                let same = there.iter().find(|person| Some(person.rank) == delivery.contact_rank);
                // Where it has no phone each of its channels is another sender's, who alone knows what was tried: a later one
                // was not.
                let same = same.filter(|person| person.phone.is_some() || at > own);
                channel != delivery.channel
                    && shared.gates.serves(channel)
                    && same.is_some_and(|person| {
                        let contact = contact_key(role, subject, person.rank);
                        let whom = [contact.as_str(), &shared.phone_key.address(person)];
                        let (alert, role) = (&delivery.alert_id, delivery.role);
                        let id = delivery_id(alert, role, &delivery.subject, channel, &whom);
                        self.ledger.open(&id).is_none() && self.ledger.ended(&id).is_none()
                    })
            })
    }
}

/// Whether it says after all what another one failed to say: its alert is over, and nobody would be tried further.
fn is_retry(delivery: &Delivery) -> bool {
    let (Some(rank), Some(address)) = (delivery.contact_rank, &delivery.address_hash) else { return false };
    let role = delivery.contact_role.unwrap_or(delivery.role);
    let subject = delivery.contact_subject.as_deref().unwrap_or(&delivery.subject);
    let contact = contact_key(role, subject, rank);
    let whom = [contact.as_str(), address.as_str()];
    let own = delivery_id(&delivery.alert_id, delivery.role, &delivery.subject, &delivery.channel, &whom);
    own != delivery.delivery_id
}
