//! What comes back after a message was sent: receipts and answers that arrive, perhaps late, twice, or before the
//! gateway's own word ([`crate::answers::fold`]). A state only moves forward.
//!
//! What a person says is the reason of `delivered`: `acknowledged`, `withdrawn_claim`, `not_ours`. What follows for
//! others is the planner's ([`crate::plan::next`]), which reads it there.

use std::collections::{HashMap, VecDeque};

use tocsin_schemas::codes::AnswerKind;
use tocsin_schemas::records::{Answer, Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use super::turn::Turn;
use crate::answers::fold::{self, Effect, Standing};
use crate::answers::{self, SentTo};
use crate::decide::Why;
use crate::ledger::{self, ThreadKey, terminal};

/// How long after a request a receipt is still believed, in milliseconds: gateways push for two days at most.
pub(super) const BELIEVED_MS: i64 = 72 * 3_600_000;

/// The deliveries that have ended and may still get a receipt.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    ended: HashMap<String, Delivery>,
    order: VecDeque<(Instant, String)>,
}

impl Recent {
    /// Takes in a delivery as it stands now.
    pub fn apply(&mut self, delivery: &Delivery) {
        // By the ledger's own time: years of it are read back at a start, and three days of them are held.
        self.purge(delivery.at);
        let Some(sent_at) = delivery.sent_at.filter(|_| terminal(delivery.state)) else { return };
        if self.ended.insert(delivery.delivery_id.clone(), delivery.clone()).is_none() {
            self.order.push_back((sent_at, delivery.delivery_id.clone()));
        }
    }

    /// All of them, in no order.
    pub fn ended(&self) -> impl Iterator<Item = &Delivery> {
        self.ended.values()
    }

    /// How a delivery has ended.
    pub fn get(&self, id: &str) -> Option<&Delivery> {
        self.ended.get(id)
    }

    /// Those of a delivery's thread, without itself, in no order.
    pub fn of_its_thread(&self, delivery: &Delivery) -> impl Iterator<Item = &Delivery> {
        let (thread, id) = (ThreadKey::of(delivery), delivery.delivery_id.clone());
        let case_no = delivery.case_no.clone();
        self.ended
            .values()
            .filter(move |d| d.case_no == case_no && d.delivery_id != id && ThreadKey::of(d) == thread)
    }

    /// Forgets what is too old.
    pub fn purge(&mut self, now: Instant) {
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

    pub fn answer(&mut self, answer: Answer) {
        let Some(id) = answer.delivery_id.clone().or_else(|| self.replied_to(&answer)) else { return };
        if self.ledger.open(&id).is_some() && self.board.at_rest(&id).is_none() {
            // Named, because a reply is to what was known when it was read.
            let answer = Answer { delivery_id: Some(id.clone()), ..answer };
            self.early.entry(id).or_default().push(answer);
            return;
        }
        if answer.kind == AnswerKind::Relayed {
            return self.stop(&id);
        }
        let Some(delivery) = self.ledger.open(&id).or_else(|| self.recent.ended.get(&id)) else { return };
        let standing = Standing::of(delivery, ledger::said(delivery));
        let (state, reason) = match fold::effect(Some(&standing), &answer) {
            Effect::Delivered => (DeliveryState::Delivered, None),
            Effect::Failed { class, .. } => (DeliveryState::Failed, Some(ledger::failed(class).to_owned())),
            // Whoever answers has it, whatever the gateway has said.
            Effect::Acknowledged | Effect::WithdrawnClaim | Effect::NotOurs => {
                (DeliveryState::Delivered, Some(answer.says.as_str().to_owned()))
            }
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
        let (by_person, asked) = (answer.says.by_person(), answer.kind == AnswerKind::Poll);
        self.count(|mine| match (by_person, asked) {
            (true, _) => mine.answers += 1,
            (_, true) => mine.settled += 1,
            (false, false) => mine.receipts += 1,
        });
        self.record(&moved);
    }

    /// Somebody else of its audience has answered: it does not go out any more. What is already out stays.
    fn stop(&mut self, id: &str) {
        let Some((seq, delivery)) = self.board.at_rest(id) else { return };
        if delivery.state != DeliveryState::Planned {
            return;
        }
        let state = if delivery.uncertain { DeliveryState::Failed } else { DeliveryState::Skipped };
        self.end(seq, state, Why::Answered.as_str(), self.shared.clock.now());
    }

    fn replied_to(&self, answer: &Answer) -> Option<String> {
        let phone = answer.phone_hash.as_deref()?;
        let all = self.ledger.all_open().chain(self.recent.ended.values());
        let to_it = all.filter(|d| d.phone_hash.as_deref() == Some(phone));
        answers::replied_to(answer, to_it.filter_map(SentTo::of))
    }
}
