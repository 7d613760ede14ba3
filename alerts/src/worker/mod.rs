//! The loop that delivers: it reads alerts and contacts, asks [`decide`] what is due, writes that down,
//! asks the gateway, and writes down what came of it.
//!
//! # One turn
//! 1. *Decide*: which open deliveries are due now, and which end without a request.
//! 2. *Commit*: one append with the outcomes of the last turn, the new deliveries, those now `sending`,
//!    and the progress that they stand for.
//! 3. *Ask*: only after the append was acknowledged the requests of this turn start, at most
//!    `max_in_flight` at once, one at a time for a person.
//! 4. *Wait* for an outcome, for more alerts, for a due time of the clock, or for the stop.
//!
//! # Why a kill at any point is safe
//! - Before the append: nothing was asked; the progress still lies before the alert.
//! - Between append and outcome: the ledger says `sending`. The next run sends it again, with the same
//!   key, and counts it. The gateway tells the two apart by the key.
//! - After the outcome's append: the delivery has ended, and an ended one is never looked at again.
//!
//! The writer `alerts` is opened first and everything is read back after it, so an older worker that
//! still runs is fenced: its next append fails, and it asks nobody without an append. So that an idle one
//! learns of it too, a worker that has read back writes its progress at once, and an idle one watches for that
//! (module `fence`).
//!
//! # Blocking
//! The log blocks. Reading has a thread of its own, appends run on the runtime's blocking threads, and
//! the loop itself never blocks.
//!
//! [`decide`]: crate::decide

mod board;
mod commit;
mod fence;
mod hold;
mod merge;
mod reader;
mod start;
mod turns;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tocsin_schemas::log::{EventLog, LogError};
use tocsin_schemas::records::{Alert, DeliveryState, Offset};
use tocsin_schemas::wire::{NoIds, SchemaIds};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::calendar::Calendar;
use crate::channel::{Channel, Outcome, Outgoing};
use crate::clock::Clock;
use crate::codec::topic;
use crate::contacts::Contacts;
use crate::decide::{self, RetrySettings, Why};
use crate::ledger::Ledger;
use crate::silences::{Matter, Silences};
use crate::stats::Stats;
use board::{Board, Send};
use commit::Committer;
use fence::Lookout;
use merge::Merge;
use start::Reading;

/// The name of the worker's writer and of its progress.
pub const WRITER: &str = "alerts";

/// How a worker works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Requests under way at once.
    pub max_in_flight: usize,
    /// Open deliveries at which no more alerts are taken in until some have ended. What is held until a morning or a
    /// workday does not count: a night's messages must not keep a death from being read.
    pub max_open: usize,
    /// Quiet hours and holidays.
    pub calendar: Calendar,
    /// After this a message that was not sent is of no use; `None`: never.
    pub expire_after: Option<Duration>,
    /// Alerts read ahead of each partition, and so about the number taken in at once.
    pub max_batch: usize,
    /// When to try again, and when to give up.
    pub retry: RetrySettings,
    /// How long a stop waits for the outcomes of requests under way.
    pub stop_grace: Duration,
    /// How often a failed append is tried before the worker gives up, one second apart.
    pub append_tries: u32,
    /// How long a message waits for an earlier one of its incident that is not visible yet.
    pub turn_patience: Duration,
    /// How long reading what is known to be there may stand still before it is given up.
    pub read_patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_in_flight: 16,
            max_open: 10_000,
            calendar: Calendar::always_open(),
            expire_after: None,
            max_batch: 500,
            retry: RetrySettings::default(),
            stop_grace: Duration::from_secs(12),
            append_tries: 60,
            turn_patience: turns::PATIENCE,
            read_patience: start::PATIENCE,
        }
    }
}

/// Why a worker ended by itself. It has sent nothing that is not in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The log failed; `Fenced` means that another worker has taken over.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The progress is of another log: a wrong cluster, or a file put in another's place. The operator acts.
    #[error(
        "the progress of alerts is of log {expected}, this log is {found}: nothing was sent; check which log is configured"
    )]
    OtherLog {
        /// The log that the progress names.
        expected: String,
        /// The log that was opened.
        found: String,
    },
    /// The log ends before the progress: records were lost, or a copy was put back. The operator acts.
    #[error(
        "{topic} partition {partition} ends at {end}, the progress of alerts is {next}: records were lost; nothing was sent"
    )]
    ProgressAhead {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The progress.
        next: u64,
        /// The committed end.
        end: u64,
    },
    /// The ledger says what was sent, but nothing says how far the alerts were taken in. The operator acts.
    #[error(
        "there are {known} deliveries, but no progress of alerts: the topic progress was emptied; nothing was sent; restore it, or start once with --accept-difference: then every alert without a delivery is sent"
    )]
    ProgressLost {
        /// How many deliveries the ledger has.
        known: usize,
    },
    /// Less of the ledger is there than the progress has seen. The operator acts.
    #[error(
        "deliveries partition {partition} ends at {end}, the progress of alerts has seen it up to {next}: the ledger was emptied or half restored; nothing was sent; restore it, or start once with --accept-difference: then it goes on after the progress"
    )]
    LedgerLost {
        /// The partition.
        partition: u32,
        /// What the progress has seen.
        next: u64,
        /// The committed end.
        end: u64,
    },
    /// A record of our own cannot be read. Us, or a damaged log.
    #[error("a record that tocsin wrote cannot be read: {0}")]
    Damaged(String),
    /// A thread of the worker died. Us.
    #[error("the alert worker's {0} ended without a reason")]
    Died(&'static str),
}

/// A worker that was not started yet.
pub struct Worker {
    log: Arc<dyn EventLog>,
    channel: Arc<dyn Channel>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    schemas: Arc<dyn SchemaIds>,
    accept_difference: bool,
    stats: watch::Sender<Stats>,
}

impl Worker {
    /// A worker that delivers the alerts of `log` over `channel`. Does nothing yet.
    pub fn new(
        log: Arc<dyn EventLog>,
        channel: Arc<dyn Channel>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Worker {
        Worker {
            log,
            channel,
            clock,
            settings,
            schemas: Arc::new(NoIds),
            accept_difference: false,
            stats: watch::Sender::new(Stats::default()),
        }
    }

    /// With these writers' schemas for contacts that come in Confluent framing. Without it such a contact is
    /// refused; JSON and Avro single-object are always read.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Arc<dyn SchemaIds>) -> Worker {
        self.schemas = schemas;
        self
    }

    /// Whether to go on although ledger and progress do not fit together: without progress from the first
    /// alert (whatever the ledger lacks is sent), else from the progress.
    #[must_use]
    pub fn accepting_difference(mut self, accept: bool) -> Worker {
        self.accept_difference = accept;
        self
    }

    /// What the worker has done, as it goes on. See [`crate::stats::settled`] for waiting on it.
    pub fn stats(&self) -> watch::Receiver<Stats> {
        self.stats.subscribe()
    }

    /// Works until `stop` is ready, then waits for the requests under way, records what came of them, and
    /// returns the last figures (a stop before everything is read back: none). Dropping the future is as safe
    /// as a kill.
    ///
    /// # Errors
    /// See [`WorkerError`]. Nothing is sent after the cause.
    pub async fn run(self, stop: impl Future<Output = ()> + std::marker::Send) -> Result<Stats, WorkerError> {
        let log = Arc::clone(&self.log);
        let schemas = Arc::clone(&self.schemas);
        let (accept, patience) = (self.accept_difference, self.settings.turn_patience);
        // What reads for this worker ends when this is gone.
        let here = Arc::new(());
        let reading = Reading::new(&here, self.settings.read_patience);
        let reads = reading.clone();
        let start =
            tokio::task::spawn_blocking(move || start::read_back(&log, &*schemas, accept, patience, &reads));
        tokio::pin!(stop);
        let started = tokio::select! {
            biased;
            () = &mut stop => {
                tracing::info!("alert worker stopped while it read back its state: nothing was sent");
                return Ok(Stats::default());
            }
            started = start => started.map_err(|_| WorkerError::Died("start"))??,
        };
        tracing::info!(
            contacts = started.contacts.len(),
            open = started.ledger.open_len(),
            "alert worker read back its state"
        );
        let mut reader = reader::spawn(
            Arc::clone(&self.log),
            Merge::new(Arc::clone(&self.log), started.alerts, started.turns, self.settings.max_batch),
            started.contacts_reader,
            started.silences_reader,
            Arc::clone(&self.schemas),
            reading.clone(),
        );
        let mut lookout = Lookout::new(Arc::clone(&self.log), reading.clone(), started.progress_in);
        let mut turn = Turn {
            board: Board::new(),
            ledger: started.ledger,
            contacts: started.contacts,
            silences: started.silences,
            warned: None,
            committer: Committer::new(
                Arc::clone(&self.log),
                started.writer,
                started.progress,
                started.log_id,
                self.settings.append_tries,
                reading,
            ),
            stats: Stats {
                contacts_refused: started.contacts_refused,
                silences_refused: started.silences_refused,
                taken_in: started.from,
                ..Stats::default()
            },
            worker: &self,
        };
        let mut requests: JoinSet<Outcome> = JoinSet::new();
        let mut asked: HashMap<tokio::task::Id, u64> = HashMap::new();
        let mut stopping = None;
        // Tells an older worker, which may be idle, that there is a newer one.
        turn.ask(&mut lookout).await?;
        loop {
            let sends = if stopping.is_none() { turn.decide() } else { Vec::new() };
            if turn.commit().await? {
                lookout.wrote();
            }
            for Send { seq, message } in sends {
                let channel = Arc::clone(&self.channel);
                let task = requests.spawn(async move { channel.send(&message).await });
                asked.insert(task.id(), seq);
            }
            turn.publish();
            if stopping.is_some() && requests.is_empty() {
                break;
            }
            let due = turn.board.next_due();
            let room = turn.board.len() - turn.board.held_up() < self.settings.max_open;
            tokio::select! {
                () = &mut stop, if stopping.is_none() => {
                    tracing::info!(under_way = requests.len(), "alert worker stops when no request is under way");
                    stopping = Some(tokio::time::Instant::now() + self.settings.stop_grace);
                }
                () = until(stopping), if stopping.is_some() => {
                    tracing::warn!(under_way = requests.len(), "stopped with requests under way: sent again at the next start");
                    break;
                }
                Some(done) = requests.join_next_with_id() => {
                    let mut next = Some(done);
                    while let Some(done) = next {
                        let (id, outcome) = outcome_of(done);
                        if let Some(seq) = asked.remove(&id) {
                            turn.finish(seq, &outcome);
                        }
                        next = requests.try_join_next_with_id();
                    }
                }
                batch = reader.recv(), if stopping.is_none() && room => {
                    turn.take_in(batch.ok_or(WorkerError::Died("reader"))??);
                }
                () = wait_for(&*self.clock, due), if stopping.is_none() => {}
                () = lookout.reason_to_ask(), if stopping.is_none() => turn.ask(&mut lookout).await?,
            }
        }
        Ok(turn.stats)
    }
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn wait_for(clock: &dyn Clock, due: Option<tocsin_schemas::time::Instant>) {
    match due {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn outcome_of(
    done: Result<(tokio::task::Id, Outcome), tokio::task::JoinError>,
) -> (tokio::task::Id, Outcome) {
    match done {
        Ok(done) => done,
        // A panic of a channel is our fault, and what it had asked for is unknown.
        Err(error) => {
            (error.id(), Outcome::Unknown { reason: "channel_failed".into(), retry_after_ms: None })
        }
    }
}

/// What the loop holds between its steps.
struct Turn<'w> {
    worker: &'w Worker,
    board: Board,
    ledger: Ledger,
    contacts: Contacts,
    silences: Silences,
    /// The year for which somebody was warned that the table of holidays lacks it or the next.
    warned: Option<i16>,
    committer: Committer,
    stats: Stats,
}

impl Turn<'_> {
    fn take_in(&mut self, batch: reader::Batch) {
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
            let planned = decide::plan(&self.ledger, &alert, &self.contacts, name, now);
            let alert: Arc<Alert> = Arc::new(alert);
            for planned in planned {
                if !planned.known {
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

    fn decide(&mut self) -> Vec<Send> {
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
            let person = self
                .contacts
                .resolve(entry.delivery.role, &entry.delivery.subject, now.day(), self.worker.channel.name())
                .into_iter()
                .next();
            let (change, settings) = (entry.alert.change, &self.worker.settings);
            let matter = Matter {
                uscc: entry.delivery.uscc.as_str(),
                area: entry.alert.facts.area.as_deref(),
                subject: &entry.delivery.subject,
                channel: &entry.delivery.channel,
                person: person.as_ref(),
            };
            let next = decide::next(&decide::Situation {
                delivery: &entry.delivery,
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
                now,
            });
            match next {
                decide::Next::Send { person, .. } if self.board.busy(&person.address) => {}
                decide::Next::Send { person, resend } => {
                    let delivery = decide::sending(&entry.delivery, &person, now);
                    let message = outgoing(&delivery, &entry.text, &person.address);
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
                    sends.push(Send { seq, message });
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

    fn end(&mut self, seq: u64, state: DeliveryState, reason: &str, now: tocsin_schemas::time::Instant) {
        if let Some(entry) = self.board.remove(seq) {
            self.record(&decide::end(&entry.delivery, state, reason, now));
        }
    }

    fn finish(&mut self, seq: u64, outcome: &Outcome) {
        let now = self.worker.clock.now();
        let Some(delivery) = self.board.get(seq).map(|entry| &entry.delivery) else { return };
        let delivery = decide::after(delivery, outcome, now, &self.worker.settings.retry);
        self.board.settle(seq, delivery.clone());
        self.record(&delivery);
    }

    /// Into the ledger at once, so that the decisions of this turn see it, and into the next append.
    fn record(&mut self, delivery: &tocsin_schemas::records::Delivery) {
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
    async fn commit(&mut self) -> Result<bool, WorkerError> {
        let progress = self.board.held_back(&self.stats.taken_in);
        self.committer.commit(progress, self.worker.clock.now()).await
    }

    /// Whether the name is still ours; if the log has no answer just now, it is asked again later.
    async fn ask(&mut self, lookout: &mut Lookout) -> Result<(), WorkerError> {
        let progress = self.board.held_back(&self.stats.taken_in);
        match self.committer.ask(progress, self.worker.clock.now()).await? {
            true => lookout.asked().await,
            false => lookout.wrote(),
        }
        Ok(())
    }

    fn publish(&mut self) {
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

fn outgoing(delivery: &tocsin_schemas::records::Delivery, text: &str, to: &str) -> Outgoing {
    Outgoing {
        idempotency_key: delivery.delivery_id.clone(),
        to: to.to_owned(),
        text: text.to_owned(),
        template: delivery.template.clone(),
        slots: Vec::new(),
        alert_id: delivery.alert_id.clone(),
        case_no: delivery.case_no.clone(),
        role: delivery.role,
        attempt: delivery.attempt,
    }
}

fn alerts_offset(partition: u32, next: u64) -> Offset {
    Offset { topic: topic::ALERTS.to_owned(), partition, next }
}

#[cfg(test)]
mod tests;
