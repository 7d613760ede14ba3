//! One turn's steps, between which the loop waits: what it holds, and what it does with it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tocsin_schemas::codes::Severity;
use tocsin_schemas::records::{Answer, Delivery, DeliveryState, Offset};
use tocsin_schemas::time::Instant;

use super::board::{Board, Errand, Send};
use super::digests::Digests;
use super::gates::{Again, Lane};
use super::polls::Polls;
use super::recalls::Recall;
use super::receipts::Recent;
use crate::admission::Turn as Place;
use crate::channel::{Channel, Outcome, Outgoing};
use crate::contacts::{Contacts, Person};
use crate::decide::{self, Urgency, Why};
use crate::fuse::Releases;
use crate::gateways::{Kind, Question, Told, Verdict};
use crate::ledger::{Ledger, planned_again, terminal};
use crate::phone_key::PhoneKey;
use crate::quota::{self, Usage};
use crate::refusals::Refusals;
use crate::settle::{self, Settled};
use crate::silences::Matter;
use crate::texts::{self, Unfit};
use crate::worker::commit::Committer;
use crate::worker::hands::{Given, KNOWN_WITHIN, Reply};
use crate::worker::recall::{Known, Recalled};
use crate::worker::{Shared, WorkerError, record};

/// What came of a request.
pub(super) enum Done {
    /// To send.
    Sent(Outcome),
    /// To tell what became of one.
    Told(Told),
}

impl Done {
    /// A panic of a channel is our fault, and what it had asked for is unknown.
    pub fn failed(asks: bool) -> Done {
        match asks {
            true => Done::Told(Told::CannotTell(Verdict::unknown("channel_failed"))),
            false => Done::Sent(Outcome::Unknown { reason: "channel_failed".into(), retry_after_ms: None }),
        }
    }

    /// It was not made: this process had stood still, and a successor may be at work.
    pub fn stale() -> Done {
        tracing::warn!(
            "this process stood still between writing down a request and making it: the request is not made"
        );
        Done::Sent(Outcome::Transient { reason: "stood_still".into(), retry_after_ms: None })
    }
}

/// What is due for a delivery, as soon as its gateway may be called.
pub(super) struct Want {
    person: Person,
    /// It is asked what became of it; else it is sent.
    pub asks: bool,
    /// It was found in `sending`.
    pub resend: bool,
}

/// How bad it is. The ledger does not say that but by its urgency, and in words.
pub(super) fn severity(delivery: &Delivery) -> Severity {
    match delivery.urgency {
        Urgency::AtOnce if delivery.slots.values().any(|value| value == texts::FATAL) => Severity::Fatal,
        Urgency::AtOnce => Severity::Severe,
        _ => Severity::Minor,
    }
}

/// Its place in the backlog of its gateway.
fn place(delivery: &Delivery) -> Place {
    let since = delivery.decided_at.unwrap_or(delivery.at);
    Place::new(severity(delivery), since, &delivery.case_no, &delivery.delivery_id)
}

/// What the loop holds between its steps.
pub(super) struct Turn<'a> {
    pub shared: &'a Shared,
    pub partition: u32,
    pub board: Board,
    pub ledger: Ledger,
    /// The cases of which everything is known.
    pub known: Known,
    /// How often each phone rang.
    pub usage: Usage,
    /// Addresses that are not tried any more.
    pub refusals: Refusals,
    /// Which messages a digest stands for.
    pub digests: Digests,
    /// What may still get a receipt.
    pub recent: Recent,
    /// What gateways are asked about that they have accepted.
    pub polls: Polls,
    /// What is to be taken back once its correction is written down as accepted.
    pub recalls: Vec<Recall>,
    /// What was taken by hand and the log has not brought yet: it is known when it comes, though it may have ended.
    pub by_hand: HashSet<String>,
    /// What the log is still to bring before anything is taken by hand again.
    pub coming: HashSet<String>,
    /// When the first of these was taken by hand, by the boot clock.
    pub taken_at: Option<Duration>,
    /// What is left to the planner of what it offered, to be said when the rest is written down.
    pub replies: Vec<(Reply, Vec<String>)>,
    /// Answers that overtook the outcome of their request.
    pub early: HashMap<String, Vec<Answer>>,
    /// When a gateway may be called again that may not now.
    pub gates_due: Option<Instant>,
    /// Whether something would go now, but for a place or a turn that another has.
    pub due_now: bool,
    /// When what waits at a gateway that is left in peace was last looked through for another one.
    pub looked: HashMap<Lane, Instant>,
    /// How far answers were taken in.
    pub answers_from: Vec<Offset>,
    /// Up to where answers were taken in, whatever still waits for an outcome.
    pub answered_to: Vec<Offset>,
    /// The year for which somebody was warned that the table of holidays lacks it or the next.
    pub warned: Option<i16>,
    /// When it was last said of a gateway that it takes no message with a template.
    pub refused: HashMap<(String, String), Instant>,
    pub committer: Committer,
}

impl Turn<'_> {
    /// Takes in everything of cases that come up, before anything else of them is. Nothing of them is open, nor recent.
    pub fn recall(&mut self, recalled: Recalled) {
        for delivery in recalled.taken_in(&self.known) {
            self.digests.apply(&delivery);
            self.ledger.apply(delivery);
        }
    }

    /// Takes in deliveries that others have written; its own words come back too, and are known.
    pub fn take_in(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            let id = &delivery.delivery_id;
            self.coming.remove(id);
            if self.by_hand.remove(id) {
                continue;
            }
            if self.ledger.knows(id) {
                // A planner that could not know has planned it again: compaction would keep that word.
                let stands = self.ledger.open(id).or(self.recent.get(id));
                if let Some(stands) = stands.filter(|stands| planned_again(stands, &delivery)) {
                    let stands = stands.clone();
                    self.committer.deliveries.push(stands);
                }
                continue;
            }
            self.apply(&delivery);
            if !terminal(delivery.state) {
                self.add(delivery);
            }
        }
    }

    /// Takes in what the planner has just planned, to write it down for it; or leaves it to the planner and the log, if that
    /// is to bring something else first, if others may believe by now that this worker is gone, or if what it was planned with
    /// is old.
    pub fn take_by_hand(&mut self, given: Given) {
        let ledger = &self.ledger;
        self.coming.extend(given.coming.into_iter().filter(|id| !ledger.knows(id)));
        let now = self.shared.clock.boot();
        let knows = given.known_at.is_some_and(|at| at.elapsed() < KNOWN_WITHIN);
        let takes = knows && self.coming.is_empty() && self.shared.hands.alive(now);
        let mut left = Vec::new();
        for delivery in given.firsts {
            if self.ledger.knows(&delivery.delivery_id) {
                continue;
            }
            if takes {
                self.taken_at.get_or_insert(now);
                self.by_hand.insert(delivery.delivery_id.clone());
                self.committer.planned.push(delivery.clone());
                self.apply(&delivery);
                self.add(delivery);
            } else {
                self.coming.insert(delivery.delivery_id.clone());
                left.push(delivery.delivery_id);
            }
        }
        self.replies.extend(given.answer.map(|answer| (answer, left)));
    }

    /// Tells the planner what is left to it, now that the rest is written down.
    pub fn reply(&mut self) {
        for (answer, left) in self.replies.drain(..) {
            // Where nobody waits for it the planner has ended, and whoever comes next plans what is left.
            let _ = answer.send(left);
        }
    }

    /// Under way from here on.
    pub fn add(&mut self, delivery: Delivery) {
        self.board.add(delivery);
    }

    /// The channel that a delivery goes over.
    pub fn channel(&self, seq: u64) -> Option<&Arc<dyn Channel>> {
        self.shared.channels.get(&self.board.get(seq)?.delivery.channel)
    }

    /// What to ask of the gateways once it is written down, and whether more waits for one of them.
    pub fn decide(&mut self) -> (Vec<Send>, bool) {
        let now = self.shared.clock.now();
        let mut sends = Vec::new();
        (self.gates_due, self.due_now) = (None, false);
        self.look_at_the_calendar(now);
        self.board.wake(now);
        loop {
            while let Some(seq) = self.board.next_ready() {
                if let Some(want) = self.look(seq, now) {
                    self.park(seq, &want, now);
                }
            }
            let mut waits = false;
            for lane in self.board.lanes() {
                waits |= self.drain(lane, now, &mut sends);
            }
            // What ended may have made another one ready.
            if !self.board.any_ready() {
                return (sends, waits);
            }
        }
    }

    fn park(&mut self, seq: u64, want: &Want, now: Instant) {
        let Some(delivery) = self.board.get(seq).map(|entry| &entry.delivery) else { return };
        match self.shared.gates.lane(&delivery.channel, want.asks) {
            Some(lane) => {
                let place = place(delivery);
                self.board.park(seq, lane, place);
            }
            None => self.end(seq, DeliveryState::Failed, "no_channel", now),
        }
    }

    /// Lets through what may go to a gateway now, in its order. Whether more waits for it.
    fn drain(&mut self, lane: Lane, now: Instant, sends: &mut Vec<Send>) -> bool {
        let (gates, sender) = (&self.shared.gates, self.partition);
        let mut at = self.board.parked_after(lane, None);
        if at.is_some()
            && let Some(again) = gates.closed(lane)
        {
            if !lane.asks && !gates.serves(lane.gateway) {
                self.board.wait_at_gate(lane);
                self.send_elsewhere(lane, now);
            }
            let Some((first, _)) = self.board.parked_after(lane, None) else {
                gates.leave(lane, sender);
                return false;
            };
            gates.wait(lane, sender, first, again);
            self.look_again(again);
            return true;
        }
        while let Some((place, seq)) = at {
            at = self.board.parked_after(lane, Some(&(place.clone(), seq)));
            // Much may have changed while it waited.
            let Some(want) = self.look(seq, now) else { continue };
            if want.asks != lane.asks {
                self.park(seq, &want, now);
                continue;
            }
            let sent_before = want.asks || want.resend;
            if !sent_before && self.gives_way(seq, lane, now) {
                continue;
            }
            if self.board.busy(&want.person.address) || (!sent_before && self.over_its_quota(seq, now)) {
                continue;
            }
            let Some(errand) = self.word(seq, &want, now) else { continue };
            match gates.enter(lane, sender, &place) {
                Ok(pass) => {
                    self.start(seq, want, &errand, now);
                    sends.push(Send { seq, errand, pass });
                }
                Err(again) => {
                    self.look_again(again);
                    return true;
                }
            }
        }
        gates.leave(lane, sender);
        false
    }

    pub fn look_again(&mut self, again: Again) {
        self.gates_due = [self.gates_due, again].into_iter().flatten().min();
        self.due_now |= again.is_none();
    }

    /// When something is due that waits for a time.
    pub fn next_due(&self) -> Option<Instant> {
        [self.board.next_due(), self.gates_due].into_iter().flatten().min()
    }

    /// What is due now for one that is first of its thread; `None`: nothing, or it is done.
    pub fn look(&mut self, seq: u64, now: Instant) -> Option<Want> {
        let shared = self.shared;
        let fresh = self.board.get(seq).is_some_and(|entry| entry.delivery.attempt == 0);
        if fresh && self.leaves_its_digest(seq, now) {
            return None;
        }
        let entry = self.board.get(seq)?;
        let delivery = &entry.delivery;
        let Some(channel) = shared.channels.get(&delivery.channel) else {
            // A gateway that is configured no more: the next channel or person is tried, of a correction the same person's
            // over another one.
            self.end(seq, DeliveryState::Failed, "no_channel", now);
            return None;
        };
        let known = shared.registry.known();
        let asks = delivery.state == DeliveryState::Uncertain && channel.kind() == Kind::Askable;
        let person = person(&known.contacts, delivery, &shared.phone_key, asks, now);
        let matter = Matter {
            // A digest is of all the enterprises that are in it, and names the first.
            uscc: if quota::is_digest(delivery) { &delivery.subject } else { delivery.uscc.as_str() },
            area: delivery.area.as_deref(),
            subject: &delivery.subject,
            channel: &delivery.channel,
            person: person.as_ref(),
        };
        let refused = person.as_ref().is_some_and(|person| {
            let address = shared.phone_key.address(person);
            self.refusals.of(&person.subject, &delivery.channel, &address, Some(person.version)).is_some()
        });
        let spared = decide::spared(delivery.urgency, delivery.change);
        let expire_after = shared.settings.expire_after;
        let next = decide::next(&decide::Situation {
            delivery,
            change: delivery.change,
            past: self.ledger.past(entry.thread),
            superseded: self.board.superseded(seq),
            waited: entry.waited,
            decided_at: delivery.decided_at.unwrap_or(delivery.at),
            urgency: delivery.urgency,
            grave_behind: self.board.grave_behind(seq),
            fused: is_fused(delivery, &known.releases),
            silence: known.silences.covering(&matter, spared, now),
            calendar: &shared.settings.calendar,
            expire_after_ms: expire_after.map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
            person: person.as_ref(),
            refused,
            kind: channel.kind(),
            settings: &shared.settings.retry,
            now,
        });
        drop(known);
        match next {
            decide::Next::Send { person, resend } => {
                let listed = !resend && self.in_the_morning(seq, now);
                return (!listed).then_some(Want { person, asks: false, resend });
            }
            decide::Next::Ask { person } => return Some(Want { person, asks: true, resend: false }),
            decide::Next::Settle => {
                let (settings, kind) = (&shared.settings.retry, channel.kind());
                let delivery = settle::unseen(delivery, settle::STOPPED, None, kind, now, settings);
                self.board.settle(seq, delivery.clone());
                self.record(&delivery);
            }
            decide::Next::Wait { until } => self.board.wait(seq, until),
            decide::Next::Hold { until, why } => self.hold(seq, until, why, now),
            decide::Next::Silence { event_id, maybe_out } => {
                let state = if maybe_out { DeliveryState::Failed } else { DeliveryState::Skipped };
                self.end(seq, state, &format!("{}:{event_id}", Why::Silenced.as_str()), now);
            }
            decide::Next::Skip(why) => self.end(seq, DeliveryState::Skipped, why.as_str(), now),
            decide::Next::Fail(why) => self.end(seq, DeliveryState::Failed, why.as_str(), now),
        }
        None
    }

    /// The request in words; one that cannot be worded any more ends.
    fn word(&mut self, seq: u64, want: &Want, now: Instant) -> Option<Errand> {
        let delivery = &self.board.get(seq)?.delivery;
        if want.asks {
            return Some(Errand::Ask(Question {
                delivery_id: delivery.delivery_id.clone(),
                to: want.person.address.clone(),
                sent_at: settle::sent_at(delivery),
                gateway_ref: delivery.gateway_ref.clone(),
            }));
        }
        let link = self.shared.settings.links.as_ref().and_then(|links| links.of(delivery));
        match outgoing(delivery, &self.shared.texts, &want.person.address, link) {
            Ok(message) => Some(Errand::Send(message)),
            Err(error) => {
                tracing::error!(delivery_id = %delivery.delivery_id, %error, "it fails, and the next channel or person is tried");
                self.end(seq, DeliveryState::Failed, Unfit::REASON, now);
                None
            }
        }
    }

    /// Its request is about to be made; a send is written down as `sending` first.
    fn start(&mut self, seq: u64, want: Want, errand: &Errand, now: Instant) {
        let Some(entry) = self.board.get(seq) else { return };
        let Errand::Send(_) = errand else {
            self.count(|mine| mine.questions += 1);
            let delivery = entry.delivery.clone();
            return self.board.start(seq, delivery, want.person.address);
        };
        let delivery = decide::sending(&entry.delivery, &want.person, now);
        let kind = self.channel(seq).map(|channel| channel.kind());
        if kind == Some(Kind::Neither) && delivery.uncertain {
            self.count(|mine| mine.resent_unknown += 1);
            tracing::warn!(
                delivery_id = %delivery.delivery_id,
                alert_id = %delivery.alert_id,
                "sent once more although it may have come: [alerts] resend_unknown"
            );
        }
        if want.resend {
            self.count(|mine| mine.resent_in_flight += 1);
            tracing::info!(
                delivery_id = %delivery.delivery_id,
                alert_id = %delivery.alert_id,
                "sent again with the same key: its outcome was not recorded"
            );
        }
        self.board.start(seq, delivery.clone(), want.person.address);
        self.record(&delivery);
    }

    pub fn end(&mut self, seq: u64, state: DeliveryState, reason: &str, now: Instant) {
        if let Some(entry) = self.board.remove(seq) {
            self.record(&decide::end(&entry.delivery, state, reason, now));
        }
    }

    pub fn finish(&mut self, seq: u64, done: &Done) {
        let (now, settings) = (self.shared.clock.now(), &self.shared.settings.retry);
        let Some(delivery) = self.board.get(seq).map(|entry| &entry.delivery) else { return };
        let channel = self.shared.channels.get(&delivery.channel);
        let kind = channel.map_or(Kind::Neither, |channel| channel.kind());
        let delivery = match done {
            Done::Sent(outcome @ Outcome::Text { reason }) => {
                let after = decide::after(delivery, outcome, kind, now, settings);
                let after = match self.goes_elsewhere(&after, now) {
                    true => decide::end(&after, DeliveryState::Failed, reason, now),
                    false => after,
                };
                self.say_refused(&after, reason, now);
                after
            }
            Done::Sent(outcome) => decide::after(delivery, outcome, kind, now, settings),
            Done::Told(told) => {
                let counts_after = channel.map_or(i64::MAX, |c| c.not_found_counts_after_ms());
                match settle::told(delivery, told, counts_after, now, settings) {
                    Settled::Moves(delivery) => {
                        self.count(|mine| mine.settled += 1);
                        *delivery
                    }
                    // Nothing new is known but when to ask again; a restart asks once more than needed.
                    Settled::Still(until) => {
                        let delivery = Delivery { due_at: Some(until), ..delivery.clone() };
                        let id = delivery.delivery_id.clone();
                        self.board.settle(seq, delivery);
                        return self.after_its_outcome(&id);
                    }
                }
            }
        };
        self.board.settle(seq, delivery.clone());
        self.record(&delivery);
        self.take_back(&delivery);
        self.after_its_outcome(&delivery.delivery_id);
    }

    /// Says that a template has to be approved again, not more often than once an hour.
    fn say_refused(&mut self, delivery: &Delivery, reason: &str, now: Instant) {
        let which = (delivery.channel.clone(), delivery.template.clone());
        if self.refused.get(&which).is_none_or(|said| said.plus_millis(3_600_000) <= now) {
            let (gateway, template) = (&*which.0, &*which.1);
            tracing::error!(
                gateway,
                template,
                reason,
                "the gateway takes no message with this template: have it approved again"
            );
            self.refused.insert(which, now);
        }
    }

    /// Into the ledger at once, so that the decisions of this turn see it, and into the next append.
    pub fn record(&mut self, delivery: &Delivery) {
        record(delivery);
        self.apply(delivery);
        self.committer.deliveries.push(delivery.clone());
    }

    fn apply(&mut self, delivery: &Delivery) {
        self.usage.apply(delivery);
        self.digests.apply(delivery);
        self.recent.apply(delivery);
        self.look_at_poll(delivery);
        // What was planned for that address meanwhile goes on to the next person now, not when it would be due.
        if let Some(address) = delivery.address_hash.as_ref().filter(|_| self.refusals.apply(delivery)) {
            self.board.look_at_address(address);
        }
        self.ledger.apply(delivery.clone());
    }

    pub async fn commit(&mut self) -> Result<(), WorkerError> {
        self.committer.commit(self.answers_from.clone(), self.shared.clock.now()).await.map(drop)
    }

    pub fn count(&self, with: impl FnOnce(&mut crate::stats::OfSender)) {
        self.shared.stats.of_sender(self.partition, with);
    }

    pub fn publish(&self) {
        let now = self.due_now.then(|| self.shared.clock.now());
        let next_due = [self.next_due(), now].into_iter().flatten().min();
        let in_hand = self.board.len();
        self.count(|mine| {
            (mine.next_due, mine.in_hand) = (next_due, in_hand);
            if mine.answered_to != self.answered_to {
                mine.answered_to.clone_from(&self.answered_to);
            }
        });
    }
}

/// The contact that a delivery goes to, as long as the address is the same: that of its rank, else whoever has it for
/// this role now.
fn person(
    contacts: &Contacts,
    delivery: &Delivery,
    key: &PhoneKey,
    asks: bool,
    now: Instant,
) -> Option<Person> {
    let role = delivery.contact_role.unwrap_or(delivery.role);
    let subject = delivery.contact_subject.as_deref().unwrap_or(&delivery.subject);
    let address = delivery.address_hash.as_deref()?;
    let there = match asks || decide::looks_back(delivery.change) {
        // Who was told what is wrong hears it, though the duty is another's since; and a gateway is asked by the address.
        true => contacts.ever(role, subject, &delivery.channel),
        false => contacts.reachable(role, subject, now.day(), &delivery.channel),
    };
    // A digest has no one to go on to: it goes to whoever has the role now.
    let heir = there.first().filter(|_| quota::is_digest(delivery)).cloned();
    let mut same: Vec<Person> = there.into_iter().filter(|person| key.address(person) == address).collect();
    let at = same.iter().position(|person| Some(person.rank) == delivery.contact_rank).unwrap_or(0);
    if at < same.len() { Some(same.swap_remove(at)) } else { heir }
}

/// Whether the fuse of corrections holds it: nobody has let it go.
fn is_fused(delivery: &Delivery, releases: &Releases) -> bool {
    let decided_at = delivery.decided_at.unwrap_or(delivery.at);
    delivery.reason.as_deref() == Some(Why::Fuse.as_str()) && !releases.cover(decided_at)
}

/// The message of its next attempt.
fn outgoing(
    delivery: &Delivery,
    texts: &crate::texts::Texts,
    to: &str,
    link: Option<String>,
) -> Result<Outgoing, Unfit> {
    let (text, slots) = texts.filled(&delivery.template, &delivery.slots)?;
    Ok(Outgoing {
        idempotency_key: delivery.delivery_id.clone(),
        to: to.to_owned(),
        text,
        template: delivery.template.clone(),
        slots,
        alert_id: delivery.alert_id.clone(),
        case_no: delivery.case_no.clone(),
        role: delivery.role,
        attempt: delivery.attempt + 1,
        link,
    })
}
