//! One turn's steps, between which the loop waits: what it holds, and what it does with it.

use std::sync::Arc;

use tocsin_schemas::records::{Alert, Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use super::board::{Board, Errand, Send};
use super::commit::Committer;
use super::fence::Lookout;
use super::{Worker, WorkerError, reader, start};
use crate::channel::{Outcome, Outgoing};
use crate::contacts::Contacts;
use crate::decide::{self, Why};
use crate::gateways::{Question, Told, Verdict};
use crate::ledger::Ledger;
use crate::settle::{self, Settled};
use crate::silences::{Matter, Silences};
use crate::stats::Stats;
use crate::texts::Message;

/// What came of a request.
pub(super) enum Done {
    /// To send.
    Sent(Outcome),
    /// To tell what became of one.
    Told(Told),
}

impl Done {
    /// A panic of a channel is our fault, and what it had asked for is unknown.
    pub(super) fn failed(asks: bool) -> Done {
        match asks {
            true => Done::Told(Told::CannotTell(Verdict::unknown("channel_failed"))),
            false => Done::Sent(Outcome::Unknown { reason: "channel_failed".into(), retry_after_ms: None }),
        }
    }
}

/// What the loop holds between its steps.
pub(super) struct Turn<'w> {
    pub(super) worker: &'w Worker,
    pub(super) board: Board,
    pub(super) ledger: Ledger,
    pub(super) contacts: Contacts,
    pub(super) silences: Silences,
    /// The year for which somebody was warned that the table of holidays lacks it or the next.
    pub(super) warned: Option<i16>,
    pub(super) committer: Committer,
    pub(super) stats: Stats,
}

impl Turn<'_> {
    pub(super) fn take_in(&mut self, batch: reader::Batch) {
        for (key, contact) in batch.contacts {
            self.contacts.apply(&key, contact);
        }
        self.stats.contacts_refused += batch.contacts_refused;
        self.stats.silences_refused += batch.silences_refused;
        for (event, digest) in batch.governance {
            self.stats.silences_refused += u64::from(!start::silence(&mut self.silences, &event, digest));
        }
        self.stats.out_of_turn = batch.out_of_turn;
        let (now, name) = (self.worker.clock.now(), self.worker.channel.name());
        for read in batch.alerts {
            let alert = read.alert;
            self.stats.alerts_read += 1;
            if alert.audiences.is_empty() || alert.change == tocsin_schemas::codes::Change::Suppressed {
                self.stats.alerts_silent += 1;
            }
            let planned = decide::plan(&self.ledger, &alert, &self.contacts, &self.worker.texts, name, now);
            let alert: Arc<Alert> = Arc::new(alert);
            for planned in planned {
                if !planned.known {
                    if let Some(why) = planned.message.as_ref().and_then(|m| m.fallback.as_ref()) {
                        tracing::info!(
                            delivery_id = %planned.delivery.delivery_id,
                            text = planned.delivery.template,
                            reason = why.reason(),
                            "the fallback is sent: {why}"
                        );
                    }
                    self.record(&planned.delivery);
                }
                if let (false, Some(message)) =
                    (crate::ledger::terminal(planned.delivery.state), planned.message)
                {
                    self.board.add(
                        planned.delivery,
                        Arc::clone(&alert),
                        message,
                        read.partition,
                        read.offset,
                    );
                }
            }
        }
        self.stats.taken_in = batch.taken_in;
        // A move over control records alone is not worth an append; the next one carries it.
        self.committer.wants_progress |= batch.any_alert;
    }

    pub(super) fn decide(&mut self) -> Vec<Send> {
        let free = self.worker.settings.max_in_flight.saturating_sub(self.board.in_flight());
        let now = self.worker.clock.now();
        let mut sends = Vec::new();
        let mut from = 0;
        self.look_at_the_calendar(now);
        self.board.wake(now);
        while sends.len() < free {
            let Some(seq) = self.board.ready_from(from) else { break };
            from = seq + 1;
            let Some(entry) = self.board.get(seq) else { continue };
            let delivery = &entry.delivery;
            let channel = &self.worker.channel;
            let mut persons = self
                .contacts
                .resolve(delivery.role, &delivery.subject, now.day(), channel.name())
                .into_iter();
            // A question is about the one who was asked, everything else goes to the first.
            let person = match delivery.state {
                DeliveryState::Uncertain => persons.find(|p| delivery.contact_rank == Some(p.rank)),
                _ => persons.next(),
            };
            let (change, settings) = (entry.alert.change, &self.worker.settings);
            let matter = Matter {
                uscc: entry.delivery.uscc.as_str(),
                area: entry.alert.facts.area.as_deref(),
                subject: &entry.delivery.subject,
                channel: &entry.delivery.channel,
                person: person.as_ref(),
            };
            let next = decide::next(&decide::Situation {
                delivery,
                change,
                past: self.ledger.past(entry.thread),
                superseded: self.board.superseded(seq),
                decided_at: entry.alert.decided_at,
                urgency: entry.urgency,
                grave_behind: self.board.grave_behind(seq),
                silence: self.silences.covering(&matter, decide::spared(entry.urgency, change), now),
                calendar: &settings.calendar,
                expire_after_ms: settings
                    .expire_after
                    .map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
                person: person.as_ref(),
                kind: channel.kind(),
                settings: &self.worker.settings.retry,
                now,
            });
            match next {
                decide::Next::Send { person, .. } | decide::Next::Ask { person }
                    if self.board.busy(&person.address) => {}
                decide::Next::Send { person, resend } => {
                    let delivery = decide::sending(delivery, &person, now);
                    let message = outgoing(&delivery, &entry.message, &person.address);
                    if resend {
                        self.stats.resent_in_flight += 1;
                        tracing::info!(
                            delivery_id = %delivery.delivery_id,
                            alert_id = %delivery.alert_id,
                            "sent again with the same key: its outcome was not recorded"
                        );
                    }
                    self.stats.requests += 1;
                    self.board.start(seq, delivery.clone(), person.address);
                    self.record(&delivery);
                    sends.push(Send { seq, errand: Errand::Send(message) });
                }
                decide::Next::Ask { person } => {
                    let question = Question {
                        delivery_id: delivery.delivery_id.clone(),
                        to: person.address.clone(),
                        sent_at: settle::sent_at(delivery),
                        gateway_ref: delivery.gateway_ref.clone(),
                    };
                    self.stats.questions += 1;
                    let delivery = delivery.clone();
                    self.board.start(seq, delivery, person.address);
                    sends.push(Send { seq, errand: Errand::Ask(question) });
                }
                decide::Next::Settle => {
                    let (settings, kind) = (&self.worker.settings.retry, channel.kind());
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
        }
        sends
    }

    fn end(&mut self, seq: u64, state: DeliveryState, reason: &str, now: Instant) {
        if let Some(entry) = self.board.remove(seq) {
            self.record(&decide::end(&entry.delivery, state, reason, now));
        }
    }

    pub(super) fn finish(&mut self, seq: u64, done: &Done) {
        let (now, settings) = (self.worker.clock.now(), &self.worker.settings.retry);
        let channel = &self.worker.channel;
        let Some(delivery) = self.board.get(seq).map(|entry| &entry.delivery) else { return };
        let delivery = match done {
            Done::Sent(outcome) => decide::after(delivery, outcome, channel.kind(), now, settings),
            Done::Told(told) => {
                match settle::told(delivery, told, channel.not_found_counts_after_ms(), now, settings) {
                    Settled::Moves(delivery) => {
                        self.stats.settled += 1;
                        *delivery
                    }
                    // Nothing new is known but when to ask again; a restart asks once more than needed.
                    Settled::Still(until) => {
                        let delivery = Delivery { due_at: Some(until), ..delivery.clone() };
                        return self.board.settle(seq, delivery);
                    }
                }
            }
        };
        self.board.settle(seq, delivery.clone());
        self.record(&delivery);
    }

    /// Into the ledger at once, so that the decisions of this turn see it, and into the next append.
    pub(super) fn record(&mut self, delivery: &Delivery) {
        let reason = delivery.reason.as_deref().unwrap_or_default();
        if delivery.state == DeliveryState::Failed {
            tracing::warn!(
                delivery_id = %delivery.delivery_id,
                alert_id = %delivery.alert_id,
                case_no = %delivery.case_no,
                role = %delivery.role,
                reason,
                "delivery failed"
            );
        } else {
            tracing::debug!(delivery_id = %delivery.delivery_id, state = ?delivery.state, reason, "delivery");
        }
        self.ledger.apply(delivery.clone());
        self.committer.deliveries.push(delivery.clone());
    }

    /// Whether there was anything to append.
    pub(super) async fn commit(&mut self) -> Result<bool, WorkerError> {
        let progress = self.board.held_back(&self.stats.taken_in);
        self.committer.commit(progress, self.worker.clock.now()).await
    }

    /// Whether the name is still ours; if the log has no answer just now, it is asked again later.
    pub(super) async fn ask(&mut self, lookout: &mut Lookout) -> Result<(), WorkerError> {
        let progress = self.board.held_back(&self.stats.taken_in);
        match self.committer.ask(progress, self.worker.clock.now()).await? {
            true => lookout.asked().await,
            false => lookout.wrote(),
        }
        Ok(())
    }

    pub(super) fn publish(&mut self) {
        self.stats.open = self.board.len();
        self.stats.held = self.board.held_up();
        self.stats.silences = self.silences.in_force(self.worker.clock.now());
        self.stats.next_due = self.board.next_due();
        self.stats.deliveries = self.ledger.counts();
        self.stats.contacts = self.contacts.len();
        self.stats.progress = self.committer.progress_offsets();
        self.worker.stats.send_replace(self.stats.clone());
    }
}

fn outgoing(delivery: &Delivery, message: &Message, to: &str) -> Outgoing {
    Outgoing {
        idempotency_key: delivery.delivery_id.clone(),
        to: to.to_owned(),
        text: message.text.clone(),
        template: message.wording().to_owned(),
        slots: message.slots.clone(),
        alert_id: delivery.alert_id.clone(),
        case_no: delivery.case_no.clone(),
        role: delivery.role,
        attempt: delivery.attempt,
    }
}
