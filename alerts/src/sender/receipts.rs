//! What comes back after a message was sent: receipts that arrive, perhaps late, twice, or before the gateway's own answer
//! ([`crate::answers::fold`]). A state only moves forward.

use std::collections::{HashMap, VecDeque};

use tocsin_schemas::records::{Answer, Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use super::turn::Turn;
use crate::answers::fold::{self, Effect, Standing};
use crate::ledger::terminal;

/// How long after a request a receipt is still believed, in milliseconds: gateways push for two days at most.
const BELIEVED_MS: i64 = 72 * 3_600_000;

/// The deliveries that have ended and may still get a receipt.
#[derive(Debug, Default)]
pub(super) struct Recent {
    ended: HashMap<String, Delivery>,
    order: VecDeque<(Instant, String)>,
}

impl Recent {
    /// Takes in a delivery as it stands now.
    pub fn apply(&mut self, delivery: &Delivery) {
        let Some(sent_at) = delivery.sent_at.filter(|_| terminal(delivery.state)) else { return };
        if self.ended.insert(delivery.delivery_id.clone(), delivery.clone()).is_none() {
            self.order.push_back((sent_at, delivery.delivery_id.clone()));
        }
    }

    /// How a delivery has ended.
    pub fn get(&self, id: &str) -> Option<&Delivery> {
        self.ended.get(id)
    }

    /// Forgets what is too old.
    fn purge(&mut self, now: Instant) {
        while let Some((_, id)) =
            self.order.front().filter(|(sent_at, _)| now.0.saturating_sub(sent_at.0) > BELIEVED_MS)
        {
            self.ended.remove(id);
            self.order.pop_front();
        }
    }
}

impl Turn<'_> {
    /// Takes in what came back; what is of another sender's delivery is left to it.
    pub fn answers(&mut self, answers: Vec<Answer>) {
        self.recent.purge(self.shared.clock.now());
        for answer in answers {
            self.answer(answer);
        }
    }

    /// An answer that overtook the outcome of its request is taken in after that.
    pub fn after_its_outcome(&mut self, delivery_id: &str) {
        for answer in self.early.remove(delivery_id).unwrap_or_default() {
            self.answer(answer);
        }
    }

    fn answer(&mut self, answer: Answer) {
        let Some(id) = answer.delivery_id.clone() else { return };
        if self.ledger.open(&id).is_some() && self.board.at_rest(&id).is_none() {
            self.early.entry(id).or_default().push(answer);
            return;
        }
        let Some(delivery) = self.ledger.open(&id).or_else(|| self.recent.ended.get(&id)) else { return };
        let (state, reason) = match fold::effect(Some(&Standing::of(delivery, None)), &answer) {
            Effect::Delivered => (DeliveryState::Delivered, None),
            // The carrier's own code has no bounded list.
            Effect::Failed { .. } => (DeliveryState::Failed, Some("carrier_failed".to_owned())),
            effect => {
                tracing::debug!(delivery_id = %id, ?effect, "an answer that moves nothing");
                return;
            }
        };
        let moved = Delivery {
            state,
            reason,
            at: self.shared.clock.now(),
            due_at: None,
            uncertain: false,
            gateway_ref: answer.gateway_ref.or_else(|| delivery.gateway_ref.clone()),
            ..delivery.clone()
        };
        if let Some((seq, _)) = self.board.at_rest(&id) {
            self.board.remove(seq);
        }
        self.count(|mine| mine.receipts += 1);
        self.record(&moved);
    }
}
