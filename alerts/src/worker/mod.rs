//! The worker that delivers: it takes its share of the roles ([`members`]) and runs them until it is stopped.
//!
//! | role | does | writer |
//! |---|---|---|
//! | planner | turns alerts into deliveries ([`crate::planner`]) | `alerts` |
//! | sender of a partition | sends what goes to its phones ([`crate::sender`]) | `alerts.N` |
//!
//! Any number of workers may run; one alone has all roles. Each role opens its writer first and reads everything back
//! after it, so an older one of the same role is fenced: its next append fails, it asks nobody without an append, and
//! its whole worker ends. First messages of cases are their senders' alone to write ([`hands`]): a planner that was fenced learns
//! it by its progress, half a second later. Roles that move between workers that are well are handed over without that: who has one
//! finishes what is under way first.
//!
//! # Blocking
//! The log blocks. Reading has threads of its own; appends block their own loop, which waits for them anyway, and no
//! other ([`blocking`]). So does what a sender lets the log do where nothing comes for a moment (`LogWriter::tidy`).

pub(crate) mod blocking;
pub(crate) mod commit;
pub(crate) mod hands;
mod members;
pub(crate) mod reading;
pub(crate) mod recall;
pub(crate) mod registry;
pub(crate) mod tail;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tocsin_schemas::log::{EventLog, LogError};
use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_schemas::wire::{NoIds, SchemaIds};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::answers::link::Links;
use crate::calendar::Calendar;
use crate::channels::Channels;
use crate::clock::{BoxFuture, Clock};
use crate::codec::topic;
use crate::decide::RetrySettings;
use crate::phone_key::PhoneKey;
use crate::plan::next::Awaits;
use crate::planner::{self, Stop};
use crate::sender::{self, Gates};
use crate::stats::{Hub, Stats};
use crate::texts::Texts;
use hands::Hands;
use members::{EVERY, Members, Role};
use reading::Reading;
use registry::Registry;

/// The name of the planner's writer and of its progress; a sender's has its partition behind it.
pub const WRITER: &str = "alerts";

/// How a worker works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Requests under way at once at a gateway of which no [`Channels::admit`] says more.
    pub max_in_flight: usize,
    /// Open deliveries at which no more alerts are taken in until some have ended. What is held until a morning or a
    /// workday does not count: a night's messages must not keep a death from being read. Nor does, up to five times as many,
    /// what waits for some of the gateways while another has little before it.
    pub max_open: usize,
    /// Quiet hours and holidays.
    pub calendar: Calendar,
    /// After this a message that was not sent is of no use; `None`: never.
    pub expire_after: Option<Duration>,
    /// How many messages a day a phone gets over one channel; `None`: as many as the gateways allow.
    pub per_phone_a_day: Option<u32>,
    /// Makes the links of messages; `None`: they have none.
    pub links: Option<Links>,
    /// How long answers and receipts are waited for before somebody else is asked; `None`: nothing comes back.
    pub awaits: Option<Awaits>,
    /// Whether townships get a list in the morning ([`crate::plan::morning`]) instead of a message for each minor thing.
    pub mornings: bool,
    /// Over so many corrections in an hour the rest is held until somebody has looked ([`crate::fuse`]); `None`: never.
    pub corrections_an_hour: Option<u32>,
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
            per_phone_a_day: None,
            links: None,
            awaits: None,
            mornings: false,
            corrections_an_hour: None,
            max_batch: 500,
            retry: RetrySettings::default(),
            stop_grace: Duration::from_secs(12),
            append_tries: 60,
            turn_patience: planner::TURN_PATIENCE,
            read_patience: reading::PATIENCE,
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
    /// The deliveries of a phone are spread over other partitions than when this worker began. The operator acts.
    #[error(
        "deliveries had {expected} partitions when this worker began, and has {found}: somebody has added some, and whose phone is whose is no longer sure; stop every worker, then start them again"
    )]
    OtherPartitions {
        /// How many there were.
        expected: usize,
        /// How many there are.
        found: usize,
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
    channels: Channels,
    clock: Arc<dyn Clock>,
    settings: Settings,
    schemas: Arc<dyn SchemaIds>,
    texts: Arc<Texts>,
    phone_key: Option<PhoneKey>,
    name: String,
    accept_difference: bool,
    stats: Arc<Hub>,
}

/// What the roles of a worker share.
pub(crate) struct Shared {
    pub log: Arc<dyn EventLog>,
    pub channels: Channels,
    pub clock: Arc<dyn Clock>,
    pub settings: Settings,
    pub texts: Arc<Texts>,
    pub phone_key: PhoneKey,
    pub accept_difference: bool,
    pub registry: Arc<Registry>,
    pub stats: Arc<Hub>,
    pub gates: Arc<Gates>,
    pub hands: Hands,
    /// Whether the planner, ours or another worker's, has found that the books fit together.
    pub guarded: watch::Sender<bool>,
}

impl Shared {
    /// The committed ends of a topic's partitions.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn ends(&self, topic: &'static str) -> Result<Vec<(u32, u64)>, WorkerError> {
        let log = Arc::clone(&self.log);
        let bounds = tokio::task::spawn_blocking(move || log.bounds(topic));
        let bounds = bounds.await.map_err(|_| WorkerError::Died("reader"))??;
        Ok((0..).zip(bounds.iter().map(|b| b.end)).collect())
    }

    /// Until where a topic's partitions are written, by whomever.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn written(&self, topic: &'static str) -> Result<Vec<u64>, WorkerError> {
        let log = Arc::clone(&self.log);
        let written = tokio::task::spawn_blocking(move || log.written(topic));
        Ok(written.await.map_err(|_| WorkerError::Died("reader"))??)
    }

    /// The same with what waits for it, as soon as the log can say.
    ///
    /// # Errors
    /// Those of the log that do not pass.
    pub fn with_written<T: Send + 'static>(
        self: Arc<Self>,
        topic: &'static str,
        what: T,
    ) -> BoxFuture<'static, Result<(T, Vec<u64>), WorkerError>> {
        Box::pin(async move {
            loop {
                match self.written(topic).await {
                    Ok(written) => return Ok((what, written)),
                    Err(WorkerError::Log(error)) if commit::passing(&error) => {
                        tracing::warn!(%error, topic, "answers wait until the log says how far it is written");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    Err(error) => return Err(error),
                }
            }
        })
    }
}

/// What a look-up under way has found; without one it waits for ever.
pub(crate) async fn looked_up<T>(looking: &mut Option<BoxFuture<'_, T>>) -> T {
    match looking {
        Some(looking) => looking.await,
        None => std::future::pending().await,
    }
}

/// Says in the log of this process what became of a delivery: no phone, no name.
pub(crate) fn record(delivery: &Delivery) {
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
}

impl Worker {
    /// A worker that delivers the alerts of `log` over `channels`. Does nothing yet.
    pub fn new(
        log: Arc<dyn EventLog>,
        channels: Channels,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Worker {
        Worker {
            log,
            channels,
            clock,
            settings,
            schemas: Arc::new(NoIds),
            texts: Texts::built_in(),
            phone_key: None,
            name: "worker".to_owned(),
            accept_difference: false,
            stats: Arc::new(Hub::new()),
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

    /// With this key of phones' hashes. Without it the log's id is the key, which whoever reads the log can find.
    #[must_use]
    pub fn with_phone_key(mut self, key: PhoneKey) -> Worker {
        self.phone_key = Some(key);
        self
    }

    /// Under this name among the workers of the log; a restart keeps it. Two with one name: the newer one stays.
    #[must_use]
    pub fn named(mut self, name: &str) -> Worker {
        name.clone_into(&mut self.name);
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
    /// See [`WorkerError`]. Nothing is written down to be sent after the cause; what was written just before may go out,
    /// as before a kill.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<Stats, WorkerError> {
        // What reads for this worker ends when this is gone.
        let here = Arc::new(());
        let reading = Reading::new(&here, self.settings.read_patience);
        let (stats, name) = (Arc::clone(&self.stats), self.name.clone());
        let reads = reading.clone();
        let start = tokio::task::spawn_blocking(move || self.join(&reads));
        tokio::pin!(stop);
        let (shared, members, partitions) = tokio::select! {
            biased;
            () = &mut stop => {
                tracing::info!("alert worker stopped while it read back its state: nothing was sent");
                return Ok(Stats::default());
            }
            started = start => started.map_err(|_| WorkerError::Died("start"))??,
        };
        tracing::info!(contacts = shared.registry.known().contacts.len(), name, "alert worker joined");
        let mut crew = Crew {
            roles: std::iter::once(Role::Planner).chain((0..partitions).map(Role::Sender)).collect(),
            shared: Arc::new(shared),
            name,
            members: Some(members),
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            which: HashMap::new(),
            reading,
        };
        crew.work(stop).await?;
        Ok(stats.subscribe().borrow().clone())
    }

    /// Joins the members and reads the registry. Blocks.
    fn join(self, reading: &Reading) -> Result<(Shared, Members, u32), WorkerError> {
        let log_id = self.log.log_id()?;
        let run = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 10]>());
        let members = Members::join(
            Arc::clone(&self.log),
            &self.name,
            run,
            self.settings.append_tries,
            reading.clone(),
        )?;
        let partitions = u32::try_from(self.log.bounds(topic::DELIVERIES)?.len()).unwrap_or(u32::MAX);
        let registry = Registry::open(Arc::clone(&self.log), self.schemas, reading)?;
        let shared = Shared {
            gates: Arc::new(Gates::new(&self.channels, self.settings.max_in_flight, Arc::clone(&self.clock))),
            guarded: watch::Sender::new(false),
            hands: Hands::new(partitions),
            log: self.log,
            channels: self.channels,
            clock: self.clock,
            settings: self.settings,
            texts: self.texts,
            phone_key: self.phone_key.unwrap_or_else(|| PhoneKey::new(log_id.as_bytes())),
            accept_difference: self.accept_difference,
            registry: Arc::new(registry),
            stats: self.stats,
        };
        Ok((shared, members, partitions))
    }
}

/// The roles that this worker has now.
struct Crew {
    shared: Arc<Shared>,
    name: String,
    roles: Vec<Role>,
    /// Away while a heartbeat is under way.
    members: Option<Members>,
    running: BTreeMap<Role, watch::Sender<Stop>>,
    /// Dropping it ends them all, as a kill would.
    tasks: JoinSet<Result<(), WorkerError>>,
    which: HashMap<tokio::task::Id, Role>,
    reading: Reading,
}

impl Crew {
    async fn work(&mut self, mut stop: impl Future<Output = ()> + Unpin) -> Result<(), WorkerError> {
        loop {
            self.beat(false).await?;
            if self.change_roles() {
                // Said at once: who joins now must not take them as well.
                continue;
            }
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended)?,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        self.reading.stop();
        // The senders first: the planner then knows what came of everything.
        for all in [false, true] {
            for (role, stop) in &self.running {
                if all || *role != Role::Planner {
                    stop.send_replace(Stop::Yes);
                }
            }
            while self.running.keys().any(|role| all || *role != Role::Planner) {
                // Others take over what is held by nobody who is there: it is held until it is finished.
                tokio::select! {
                    ended = self.tasks.join_next_with_id() => match ended {
                        Some(ended) => self.ended(ended)?,
                        None => break,
                    },
                    () = tokio::time::sleep(EVERY) => self.beat(false).await?,
                }
            }
        }
        self.beat(true).await
    }

    /// Starts what is ours and free, and stops what is ours no more. `true`: it took something.
    fn change_roles(&mut self) -> bool {
        let Some(members) = &self.members else { return false };
        let mine = |role: Role| members.view().owner(role) == Some(&self.name);
        let free = |role: Role| !members.view().held_by_another(role, &self.name);
        if members.view().held_by_another(Role::Books, &self.name) {
            self.shared.guarded.send_replace(true);
        }
        let start: Vec<Role> = self
            .roles
            .iter()
            .copied()
            .filter(|r| !self.running.contains_key(r) && mine(*r) && free(*r))
            .collect();
        for (role, stop) in self.running.iter().filter(|(role, _)| !mine(**role)) {
            if *stop.borrow() == Stop::No {
                tracing::info!(%role, "handed over to another worker");
                stop.send_replace(Stop::Yes);
            }
        }
        for role in &start {
            let (to_role, stop) = watch::channel(Stop::No);
            let (shared, reading) = (Arc::clone(&self.shared), self.reading.clone());
            let task = match *role {
                Role::Planner => self.tasks.spawn(planner::run(shared, stop, reading)),
                Role::Sender(partition) => self.tasks.spawn(sender::run(shared, partition, stop, reading)),
                // Nobody's task: it says what the planner has found.
                Role::Books => continue,
            };
            self.which.insert(task.id(), *role);
            self.running.insert(*role, to_role);
            tracing::info!(%role, "taken");
        }
        !start.is_empty()
    }

    /// # Errors
    /// A role that ended with an error ends the worker.
    fn ended(
        &mut self,
        ended: Result<(tokio::task::Id, Result<(), WorkerError>), tokio::task::JoinError>,
    ) -> Result<(), WorkerError> {
        let (id, result) = ended.map_err(|error| {
            tracing::error!(%error, "a role of the alert worker died");
            WorkerError::Died("role")
        })?;
        if let Some(role) = self.which.remove(&id) {
            self.running.remove(&role);
        }
        result
    }

    async fn beat(&mut self, leaving: bool) -> Result<(), WorkerError> {
        let members = self.members.take().ok_or(WorkerError::Died("heartbeat"))?;
        let began = self.shared.clock.boot();
        let mut holds: BTreeSet<Role> = self.running.keys().copied().collect();
        if holds.contains(&Role::Planner) && *self.shared.guarded.borrow() {
            holds.insert(Role::Books);
        }
        let (members, acknowledged) = members.beat(holds, leaving).await?;
        self.members = Some(members);
        if acknowledged {
            self.shared.hands.beat(began);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
