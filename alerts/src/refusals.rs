//! Addresses that are not tried any more, until their contact is registered anew: one that bounced, by anybody over that
//! channel; one whose holder has said that it is not theirs, for that enterprise or area over any channel. Pure.
//!
//! An address, not a contact: where an owner and a safety officer share a number, it is refused for both.

use std::collections::HashMap;

use tocsin_schemas::codes::Says;
use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use crate::ledger::BOUNCED;

/// Refused addresses, by their hashes, read out of `deliveries`.
#[derive(Debug, Default)]
pub struct Refusals {
    /// By (subject, address) where somebody has said that it is not theirs, by (channel, address) where it bounced.
    known: HashMap<(String, String), Refusal>,
}

/// Why an address is not tried any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// `not_ours`: whoever has it says that it is not theirs. `bounced`: the carrier says that nobody has it.
    pub why: &'static str,
    /// Since when.
    pub at: Instant,
    /// Of contacts up to this version.
    upto: i64,
}

impl Refusals {
    /// Takes in a delivery as it stands. Whether its address is not tried any more for what it says.
    pub fn apply(&mut self, delivery: &Delivery) -> bool {
        let Some(address) = &delivery.address_hash else { return false };
        let (of, why) = match (delivery.state, delivery.reason.as_deref()) {
            (DeliveryState::Delivered, Some(says)) if says == Says::NotOurs.as_str() => {
                (delivery.contact_subject.as_ref().unwrap_or(&delivery.subject), Says::NotOurs.as_str())
            }
            (DeliveryState::Failed, Some(BOUNCED)) => (&delivery.channel, BOUNCED),
            _ => return false,
        };
        let upto = delivery.contact_version.unwrap_or(i64::MAX);
        let this = Refusal { why, at: delivery.at, upto };
        let known = self.known.entry((of.clone(), address.clone())).or_insert(this);
        if (known.upto, known.at) < (upto, delivery.at) {
            *known = this;
        }
        true
    }

    /// Why the address with this hash is not tried for a subject over a channel, if it is not. `version`: that of its
    /// contact; without one: however it is registered.
    pub fn of(&self, subject: &str, channel: &str, address: &str, version: Option<u64>) -> Option<Refusal> {
        let holds = |refusal: &&Refusal| {
            version.is_none_or(|version| i64::try_from(version).is_ok_and(|version| version <= refusal.upto))
        };
        let by = |of: &str| self.known.get(&(of.to_owned(), address.to_owned())).filter(holds);
        by(subject).or_else(|| by(channel)).copied()
    }
}
