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
//! - Between append and outcome: the ledger says `sending`. The next run does what the gateway's kind allows
//!   ([`crate::settle`]): sends it again with the same key and counts it, asks what became of it, or says unknown.
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
mod turn;
mod turns;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tocsin_schemas::log::{EventLog, LogError};
use tocsin_schemas::records::Offset;
use tocsin_schemas::wire::{NoIds, SchemaIds};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::calendar::Calendar;
use crate::channel::Channel;
use crate::clock::Clock;
use crate::codec::topic;
use crate::decide::RetrySettings;
use crate::stats::Stats;
use crate::texts::Texts;
use board::{Board, Errand, Send};
use commit::Committer;
use fence::Lookout;
use merge::Merge;
use start::Reading;
use turn::{Done, Turn};

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
    texts: Arc<Texts>,
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
            texts: Texts::built_in(),
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

    /// With these texts instead of those that are delivered. They word what is open as well.
    #[must_use]
    pub fn with_texts(mut self, texts: Arc<Texts>) -> Worker {
        self.texts = texts;
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
        let mut requests: JoinSet<Done> = JoinSet::new();
        let mut asked: HashMap<tokio::task::Id, (u64, bool)> = HashMap::new();
        let mut stopping = None;
        // Tells an older worker, which may be idle, that there is a newer one.
        turn.ask(&mut lookout).await?;
        loop {
            let sends = if stopping.is_none() { turn.decide() } else { Vec::new() };
            if turn.commit().await? {
                lookout.wrote();
            }
            for Send { seq, errand } in sends {
                let channel = Arc::clone(&self.channel);
                let asks = matches!(errand, Errand::Ask(_));
                let task = requests.spawn(async move {
                    match errand {
                        Errand::Send(message) => Done::Sent(channel.send(&message).await),
                        Errand::Ask(question) => Done::Told(channel.ask(&question).await),
                    }
                });
                asked.insert(task.id(), (seq, asks));
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
                    tracing::warn!(under_way = requests.len(), "stopped with requests under way: settled at the next start");
                    break;
                }
                Some(done) = requests.join_next_with_id() => {
                    let mut next = Some(done);
                    while let Some(done) = next {
                        let (id, done) = done.map_or_else(|e| (e.id(), None), |(id, done)| (id, Some(done)));
                        if let Some((seq, asks)) = asked.remove(&id) {
                            turn.finish(seq, &done.unwrap_or_else(|| Done::failed(asks)));
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

fn alerts_offset(partition: u32, next: u64) -> Offset {
    Offset { topic: topic::ALERTS.to_owned(), partition, next }
}

#[cfg(test)]
mod tests;
