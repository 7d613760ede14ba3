//! Asking gateways what became of messages that they have accepted and of which no receipt came: a receipt is pushed a few
//! times and then lost, or nobody takes receipts in. What a gateway tells is taken in as what it pushes
//! ([`super::receipts`]); "not known yet" changes nothing.
//!
//! A question is put [`AFTER_MS`] after the message was sent, at growing distances, as long as receipts are believed. It
//! passes the gate of all questions, behind those about messages of which nobody knows whether they went out; no message
//! waits for it. What was asked is in no log: at a start everything is due again whose first question was, so a restart asks
//! once more than needed and forgets nothing.
//!
//! They are not on the board, because there they would hold up what follows in their threads.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use super::gates::{Again, Lane, Pass};
use super::receipts::BELIEVED_MS;
use super::turn::{Turn, severity};
use crate::admission::Turn as Place;
use crate::answers;
use crate::channel::{Channel, Outcome};
use crate::gateways::{Fate, Question, Told};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// How long after the request each question is put, in milliseconds. The first while the next person is still told instead
/// (half an hour), the last so that its answer comes while receipts are believed.
const AFTER_MS: [i64; 6] = [15 * MINUTE, HOUR, 6 * HOUR, 24 * HOUR, 48 * HOUR, 71 * HOUR];

/// So many are kept in memory, those that are due first; the rest is looked up again when half of them are gone.
const MOST: usize = 20_000;

/// The first question that is due after this instant. `None`: none is.
fn after(sent_at: Instant, now: Instant) -> Option<Instant> {
    AFTER_MS.into_iter().map(|ms| sent_at.plus_millis(ms)).find(|at| *at > now)
}

/// When to ask about a message that nobody here has asked about: the last question that was due by now, else the first.
/// `None`: no answer to it would be believed any more.
fn first(sent_at: Instant, now: Instant) -> Option<Instant> {
    if now.0.saturating_sub(sent_at.0) > BELIEVED_MS {
        return None;
    }
    let mut due = AFTER_MS.into_iter().rev().map(|ms| sent_at.plus_millis(ms));
    due.find(|at| *at <= now).or_else(|| after(sent_at, now))
}

/// When to ask again after this answer. `None`: never.
fn again(sent_at: Instant, told: &Told, now: Instant) -> Option<Instant> {
    let step = after(sent_at, now)?;
    let unanswered = |retry_after_ms: Option<i64>| {
        // Half as long again since the request, so that an outage of minutes costs no step and an hour of them few questions.
        let wait = (now.0.saturating_sub(sent_at.0) / 2).max(MINUTE);
        Some(now.plus_millis(wait.max(retry_after_ms.unwrap_or(0))).min(step))
    };
    match told {
        Told::Known { fate: Fate::Delivered | Fate::Failed(_), .. } => None,
        Told::Known { fate: Fate::Accepted, .. } | Told::NotFound => Some(step),
        Told::NextPage(_) => unanswered(None),
        // About this message it will never say anything.
        Told::CannotTell(verdict) if matches!(verdict.outcome, Outcome::Permanent { .. }) => None,
        // Somebody has to act first.
        Told::CannotTell(verdict) if matches!(verdict.outcome, Outcome::Account { .. }) => Some(step),
        Told::CannotTell(verdict) => unanswered(verdict.retry_after_ms()),
    }
}

/// When this delivery was sent, if its gateway has accepted it and nothing more is known.
fn without_word(delivery: &Delivery) -> Option<Instant> {
    delivery.sent_at.filter(|_| delivery.state == DeliveryState::Accepted)
}

/// Its place among those that are due: the worst first, of these the youngest, as others may still be told in its stead.
fn place(delivery: &Delivery, sent_at: Instant) -> Place {
    let young = Instant(0_i64.saturating_sub(sent_at.0));
    Place::new(severity(delivery), young, &delivery.case_no, &delivery.delivery_id)
}

/// Where one of them stands.
enum Stands {
    /// It is asked about at this instant.
    Waits(Instant),
    /// It is due, and waits for its gateway.
    Due(Lane, Place),
    /// Its question is under way.
    Asked,
}

/// What is to be asked about, and when.
#[derive(Default)]
pub(super) struct Polls {
    known: HashMap<String, Stands>,
    waiting: BTreeSet<(Instant, String)>,
    due: BTreeMap<Lane, BTreeSet<Place>>,
    /// When a gateway may be asked again that may not now; none of its own where whoever leaves says so.
    gates_due: Option<Instant>,
    /// Whether some were left out for want of room.
    left_out: bool,
}

impl Polls {
    /// When something is to be done that waits for a time.
    pub fn next_due(&self) -> Option<Instant> {
        let first = self.waiting.first().map(|(at, _)| *at);
        [first, self.gates_due].into_iter().flatten().min()
    }

    /// It is to be asked about then. Where there is no room, whatever is due last is left out.
    fn wait(&mut self, id: String, at: Instant, most: usize) {
        if self.known.contains_key(&id) {
            return;
        }
        if self.known.len() >= most {
            self.left_out = true;
            match self.waiting.last() {
                Some((last, _)) if *last > at => {
                    let left = self.waiting.pop_last();
                    left.and_then(|(_, left)| self.known.remove(&left));
                }
                _ => return,
            }
        }
        self.waiting.insert((at, id.clone()));
        self.known.insert(id, Stands::Waits(at));
    }

    /// Nothing is asked about it any more.
    fn forget(&mut self, id: &str) {
        match self.known.remove(id) {
            Some(Stands::Waits(at)) => drop(self.waiting.remove(&(at, id.to_owned()))),
            Some(Stands::Due(lane, place)) => {
                if let Some(due) = self.due.get_mut(&lane) {
                    due.remove(&place);
                }
            }
            Some(Stands::Asked) | None => {}
        }
    }

    /// The next one whose time has come.
    fn wake(&mut self, now: Instant) -> Option<String> {
        self.waiting.first().filter(|(at, _)| *at <= now)?;
        let (_, id) = self.waiting.pop_first()?;
        self.known.remove(&id);
        Some(id)
    }

    fn park(&mut self, id: String, lane: Lane, place: Place) {
        self.due.entry(lane).or_default().insert(place.clone());
        self.known.insert(id, Stands::Due(lane, place));
    }

    fn start(&mut self, id: &str) {
        self.forget(id);
        self.known.insert(id.to_owned(), Stands::Asked);
    }

    fn wants_more(&self, most: usize) -> bool {
        self.left_out && self.known.len() <= most / 2
    }
}

/// A question to put.
pub(super) struct Poll {
    pub delivery_id: String,
    channel: Arc<dyn Channel>,
    question: Question,
    pass: Pass,
}

impl Poll {
    /// Puts it.
    pub async fn make(self) -> Told {
        let told = self.channel.ask(&self.question).await;
        self.pass.answered(&told);
        told
    }
}

impl Turn<'_> {
    fn asks(&self, delivery: &Delivery) -> bool {
        self.shared.channels.get(&delivery.channel).is_some_and(|channel| channel.asks())
    }

    /// What the sender has read back: it may have been asked about or not.
    pub fn polls_from_the_past(&mut self) {
        let now = self.shared.clock.now();
        self.take_in_polls(|sent_at| first(sent_at, now));
    }

    fn take_in_polls(&mut self, when: impl Fn(Instant) -> Option<Instant>) {
        self.polls.left_out = false;
        let asked = self.recent.ended().filter(|delivery| self.asks(delivery));
        let due = asked.filter_map(|d| Some((d.delivery_id.clone(), when(without_word(d)?)?)));
        for (id, at) in due.collect::<Vec<_>>() {
            self.polls.wait(id, at, MOST);
        }
    }

    /// A delivery stands like this now.
    pub fn look_at_poll(&mut self, delivery: &Delivery) {
        let now = self.shared.clock.now();
        match without_word(delivery).filter(|_| self.asks(delivery)).and_then(|at| first(at, now)) {
            Some(at) => self.polls.wait(delivery.delivery_id.clone(), at, MOST),
            None => self.polls.forget(&delivery.delivery_id),
        }
    }

    /// What to ask now, and whether more is due that waits for a gateway.
    pub fn polls(&mut self) -> (Vec<Poll>, bool) {
        let now = self.shared.clock.now();
        self.polls.gates_due = None;
        if self.polls.wants_more(MOST) {
            self.take_in_polls(|sent_at| after(sent_at, now));
        }
        while let Some(id) = self.polls.wake(now) {
            // What was forgotten meanwhile is too old, and what has ended otherwise has its word.
            let Some(delivery) = self.recent.get(&id) else { continue };
            let Some(sent_at) = without_word(delivery) else { continue };
            if let Some(lane) = self.shared.gates.later_questions(&delivery.channel) {
                let place = place(delivery, sent_at);
                self.polls.park(id, lane, place);
            }
        }
        let (mut polls, mut waits) = (Vec::new(), false);
        for lane in self.polls.due.keys().copied().collect::<Vec<_>>() {
            waits |= self.drain_polls(lane, &mut polls);
        }
        (polls, waits)
    }

    fn drain_polls(&mut self, lane: Lane, polls: &mut Vec<Poll>) -> bool {
        let (gates, sender) = (&self.shared.gates, self.partition);
        while let Some(place) = self.polls.due.get(&lane).and_then(|due| due.first().cloned()) {
            if let Some(again) = gates.closed(lane) {
                gates.wait(lane, sender, place, again);
                self.ask_again(again);
                return true;
            }
            let id = place.delivery_id().to_owned();
            let Some((channel, question)) = self.poll_question(&id) else {
                self.polls.forget(&id);
                continue;
            };
            match gates.enter(lane, sender, &place) {
                Ok(pass) => {
                    self.count(|mine| mine.questions += 1);
                    self.polls.start(&id);
                    polls.push(Poll { delivery_id: id, channel, question, pass });
                }
                Err(again) => {
                    self.ask_again(again);
                    return true;
                }
            }
        }
        gates.leave(lane, sender);
        false
    }

    fn ask_again(&mut self, again: Again) {
        let due = &mut self.polls.gates_due;
        *due = [*due, again].into_iter().flatten().min();
    }

    /// A gateway is asked by the address, too: only while the contact stands that was sent to, on duty or not.
    fn poll_question(&self, id: &str) -> Option<(Arc<dyn Channel>, Question)> {
        let delivery = self.recent.get(id)?;
        let sent_at = without_word(delivery)?;
        let channel = Arc::clone(self.shared.channels.get(&delivery.channel)?);
        let known = self.shared.registry.known();
        let role = delivery.contact_role.unwrap_or(delivery.role);
        let subject = delivery.contact_subject.as_deref().unwrap_or(&delivery.subject);
        let there = known.contacts.ever(role, subject, &delivery.channel).into_iter();
        let (key, address) = (&self.shared.phone_key, delivery.address_hash.as_deref());
        let to = there.map(|p| (key.address(&p), p)).find(|(hash, _)| Some(&**hash) == address)?.1.address;
        let gateway_ref = delivery.gateway_ref.clone();
        Some((channel, Question { delivery_id: id.to_owned(), to, sent_at, gateway_ref }))
    }

    /// What a gateway told, as if it had pushed it: it stands in `answers` beside what it does.
    pub fn polled(&mut self, id: &str, told: &Told) {
        let now = self.shared.clock.now();
        self.polls.forget(id);
        let Some(delivery) = self.recent.get(id) else { return };
        let Some(sent_at) = without_word(delivery) else { return };
        let answer = answers::polled(&delivery.channel, id, told, now);
        let next = match &answer {
            None => again(sent_at, told, now),
            // Of an earlier try, if it moves nothing: the word on this one may still come.
            Some(_) => after(sent_at, now),
        };
        if let Some(answer) = answer {
            self.answer(answer.clone());
            if self.recent.get(id).and_then(without_word).is_none() {
                self.committer.answers.push(answer);
                return;
            }
        }
        if let Some(at) = next {
            self.polls.wait(id.to_owned(), at, MOST);
        }
    }
}

#[cfg(test)]
#[path = "polls_tests.rs"]
mod tests;
