//! The loop of the demo: feed, decide, tell, show, move the clock on.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use tocsin_alerts::phone_key::PhoneKey;
use tocsin_alerts::stats::Stats;
use tocsin_alerts::worker::{Settings, Worker, WorkerError};
use tocsin_pipeline::{Outcome, Policies};
use tocsin_schemas::log::{EventLog, LogError, LogReader, TopicPartition};
use tocsin_schemas::records::{Alert, Delivery, DeliveryState, Incident, Progress};
use tocsin_schemas::time::{Day, Instant};
use tocsin_schemas::topics;
use tocsin_schemas::wire::{self, NoIds, OutputRecord};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant as Monotonic;

use super::SECONDS;
use super::clock::SimulatedClock;
use super::feeds::{Batch, DAYS, Script};
use super::gateway::{Gateways, Ring};
use super::screen::Screen;
use super::story::Narrator;
use super::summary::{Books, Summary};
use crate::exit::Failure;
use crate::ledger::{self, Source};
use crate::replay::station::{Fed, Station};
use crate::run::pipeline::WRITER;

/// How long the alert worker may take, in real time, for what is due at one instant.
const PATIENCE: Duration = Duration::from_secs(60);

/// The key of the phones' hashes. Its phones are made up, and so is this.
pub const PHONE_KEY: &str = "every phone of the demo is made up, and so is this key";

/// Everything under way.
struct Simulation<'a> {
    script: &'a Script,
    station: Station,
    clock: SimulatedClock,
    gateways: Gateways,
    /// The ledger as read so far: the newest record of each delivery.
    deliveries: BTreeMap<String, Delivery>,
    ledger: Box<dyn LogReader>,
    stats: watch::Receiver<Stats>,
    worker: JoinHandle<Result<Stats, WorkerError>>,
    narrator: Narrator,
    screen: &'a mut Screen,
    /// Decisions in order, to show rings of one instant in the same order on every run.
    order: HashMap<String, usize>,
    rings: Vec<Ring>,
    sent: u64,
    sent_reports: u64,
}

/// Runs the script on a new log in this file; the summary and the instant at which it ended. `None`: nobody
/// watched any more, and it ended early.
///
/// # Errors
/// The log's, the worker's, or a worker that stands still.
pub async fn run(
    script: &Script,
    seed: u64,
    log_file: &Path,
    speed: f64,
    screen: &mut Screen,
    watched: &dyn Fn() -> bool,
) -> Result<Option<(Summary, Instant)>, Failure> {
    let station = Station::open(log_file, Policies::default(), 1)?;
    let log: Arc<dyn EventLog> = station.log();
    let clock = SimulatedClock::new(script.start.midnight());
    let (gateways, channels) = Gateways::serve(seed, &clock).await?;
    let ledger = all_of(&*log, topics::DELIVERIES)?;
    // The ids of deliveries hang on it, and on them which requests meet trouble.
    let phone_key = PhoneKey::new(PHONE_KEY.as_bytes());
    let worker = Worker::new(log, channels, Arc::new(clock.clone()), Settings::default());
    let worker = worker.with_phone_key(phone_key);
    let stats = worker.stats();
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = tokio::spawn(worker.run(async move {
        // Sent at the end; a dropped sender is an end too.
        let _ = stopped.await;
    }));
    let mut simulation = Simulation {
        script,
        station,
        clock,
        gateways,
        deliveries: BTreeMap::new(),
        ledger,
        stats,
        worker,
        narrator: Narrator::default(),
        screen,
        order: HashMap::new(),
        rings: Vec::new(),
        sent: 0,
        sent_reports: 0,
    };
    let began = Monotonic::now();
    let step = SECONDS / speed / script.batches.len() as f64;
    let mut day = script.start;
    for (n, batch) in script.batches.iter().enumerate() {
        if !watched() {
            return Ok(None);
        }
        while day < batch.at.day() {
            day = day.plus(1);
            simulation.midnight(day).await?;
        }
        simulation.batch(batch).await?;
        tokio::time::sleep_until(began + Duration::from_secs_f64(step * (n + 1) as f64)).await;
    }
    let end = script.start.plus(DAYS);
    while day < end {
        day = day.plus(1);
        simulation.midnight(day).await?;
    }
    simulation.until_nothing_is_open().await?;
    // The receiver is the worker's; if that has ended, joining it says why.
    let _ = stop.send(());
    simulation.finish(end.midnight()).await.map(Some)
}

impl Simulation<'_> {
    async fn batch(&mut self, batch: &Batch) -> Result<(), Failure> {
        self.retries_before(batch.at).await?;
        let mut fed = Vec::with_capacity(batch.lines.len());
        for line in &batch.lines {
            let topic = self
                .station
                .takes(line.topic)
                .ok_or_else(|| Failure::failed(format!("the catalogue has no topic {}", line.topic)))?;
            self.sent += 1;
            self.sent_reports += u64::from(line.topic.starts_with("reports."));
            let (key, value) = (line.key.clone().into_bytes(), line.value.clone());
            fed.push(Fed { topic, key, value, arrived_at: batch.at });
        }
        let doors = self.station.through_the_log(&fed)?;
        let (_, outcomes) = self.station.arrive(batch.at, doors);
        let told = self.decided(batch.at, &outcomes)?;
        for text in self.narrator.listen(&self.script.city, &batch.lines, &told) {
            self.screen.story(batch.at, &text);
        }
        self.told(batch.at).await?;
        self.screen.step(&self.script.city, batch.at.day());
        Ok(())
    }

    async fn midnight(&mut self, day: Day) -> Result<(), Failure> {
        let at = day.midnight();
        self.retries_before(at).await?;
        let outcomes = self.station.tick_to(day);
        let told = self.decided(at, &outcomes)?;
        for text in self.narrator.listen(&self.script.city, &[], &told) {
            self.screen.story(at, &text);
        }
        self.told(at).await
    }

    /// Writes the decisions of an instant and moves the worker's clock there.
    fn decided(&mut self, at: Instant, outcomes: &[Outcome]) -> Result<Vec<Alert>, Failure> {
        let mut alerts = Vec::new();
        for outcome in outcomes {
            self.screen.decided(outcome);
            for alert in &outcome.alerts {
                let place = self.order.len();
                self.order.entry(alert.alert_id.clone()).or_insert(place);
                alerts.push(alert.clone());
            }
        }
        self.clock.move_to(at);
        self.station.commit()?;
        Ok(alerts)
    }

    /// Moves the clock from one due retry to the next, up to `at`.
    async fn retries_before(&mut self, at: Instant) -> Result<(), Failure> {
        loop {
            let due = self.stats.borrow().next_due;
            let Some(due) = due.filter(|due| *due < at) else { return Ok(()) };
            self.clock.move_to(due);
            self.told(due).await?;
        }
    }

    async fn until_nothing_is_open(&mut self) -> Result<(), Failure> {
        loop {
            let (open, due) = {
                let stats = self.stats.borrow();
                (stats.open, stats.next_due)
            };
            match due {
                Some(due) if open > 0 => {
                    self.clock.move_to(due);
                    self.told(due).await?;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Waits until the worker has done everything that is due at `now`, and shows which phones rang.
    async fn told(&mut self, now: Instant) -> Result<(), Failure> {
        let ends: Vec<u64> = self.station.log().bounds(topics::ALERTS)?.iter().map(|b| b.end).collect();
        let done = |stats: &Stats| {
            let taken = |partition: usize, end: u64| {
                let here = stats.taken_in.iter().find(|o| o.partition as usize == partition);
                here.map_or(0, |o| o.next) >= end
            };
            let waits = stats.next_due.is_some_and(|due| due > now);
            ends.iter().enumerate().all(|(partition, end)| taken(partition, *end))
                && stats.in_state(DeliveryState::Sending) == 0
                // What is planned reaches its sender over the log.
                && (stats.open == 0 || (waits && stats.in_hand == stats.open))
                && stats.next_due.is_none_or(|due| due > now)
        };
        let waited = tokio::time::timeout(PATIENCE, self.stats.wait_for(done)).await.map(|r| r.map(drop));
        match waited {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(self.why_the_worker_ended().await),
            Err(_) => {
                return Err(Failure::failed(format!(
                    "the alert worker stands still at {now}; a log line (--log info) may say why"
                )));
            }
        }
        read_on(&mut *self.ledger, |delivery: Delivery| {
            self.deliveries.insert(delivery.delivery_id.clone(), delivery);
        })?;
        let mut rings = Vec::new();
        for message in self.gateways.since(self.rings.len()) {
            // "sending" is written before the request.
            let ring = Ring::of(&message, &self.deliveries);
            rings.push(ring.ok_or_else(|| {
                Failure::failed(format!("a phone rang for a message that is not in the ledger: {message:?}"))
            })?);
        }
        rings.sort_by_key(|ring| (self.order.get(&ring.alert_id).copied(), ring.role, ring.to.clone()));
        for ring in &rings {
            self.screen.rang(now, &self.script.city, ring);
        }
        self.rings.extend(rings);
        Ok(())
    }

    async fn why_the_worker_ended(&mut self) -> Failure {
        match (&mut self.worker).await {
            Ok(Err(error)) => Failure::failed(format!("alerts: {error}")),
            _ => Failure::failed("the alert worker ended without a reason"),
        }
    }

    async fn finish(mut self, end: Instant) -> Result<(Summary, Instant), Failure> {
        match (&mut self.worker).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(Failure::failed(format!("alerts: {error}"))),
            Err(_) => return Err(Failure::failed("the alert worker died")),
        }
        self.screen.end(&self.script.city);
        let log = self.station.log();
        let mut alerts: Vec<Alert> = read_back(&*log)?;
        alerts.sort_by_key(|alert| alert.decided_at);
        let incidents: BTreeMap<_, Incident> =
            read_back::<Incident>(&*log)?.into_iter().map(|i| (i.incident_id, i)).collect();
        let deliveries: BTreeMap<_, Delivery> =
            read_back::<Delivery>(&*log)?.into_iter().map(|d| (d.delivery_id.clone(), d)).collect();
        let progress = read_back::<Progress>(&*log)?.into_iter().rfind(|p| p.writer == WRITER);
        let accounts = self.station.engine().accounts();
        let seen = self.gateways.seen();
        let source = Source::of(log, Arc::new(NoIds), Policies::default());
        let page = ledger::add_up(&source, &ProgressBar::hidden())?;
        let summary = Summary::of(&Books {
            city: &self.script.city,
            sent: self.sent,
            sent_reports: self.sent_reports,
            counters: progress.map(|p| p.counters).unwrap_or_default(),
            accounts: &accounts,
            alerts: &alerts,
            incidents: &incidents,
            deliveries: &deliveries,
            rings: &self.rings,
            seen,
            reconciled: &page.found,
        });
        Ok((summary, end))
    }
}

/// A reader of all of a topic.
fn all_of(log: &dyn EventLog, topic: &str) -> Result<Box<dyn LogReader>, Failure> {
    let place = |partition| TopicPartition { topic: topic.into(), partition };
    let bounds = log.bounds(topic)?;
    let from: Vec<_> =
        (0..).zip(bounds).map(|(partition, bounds)| (place(partition), bounds.first)).collect();
    Ok(log.reader(&from)?)
}

/// Every record of a topic of ours, in order within each partition; tombstones are left out.
fn read_back<T: OutputRecord>(log: &dyn EventLog) -> Result<Vec<T>, Failure> {
    let mut records = Vec::new();
    read_on(&mut *all_of(log, T::TOPIC)?, |record| records.push(record))?;
    Ok(records)
}

/// The same of what has come since.
fn read_on<T: OutputRecord>(reader: &mut dyn LogReader, mut each: impl FnMut(T)) -> Result<(), Failure> {
    while !reader.caught_up()? {
        for record in reader.poll(10_000, Duration::from_millis(100))? {
            if let Some(raw) = &record.value {
                let damaged =
                    |e| LogError::Damaged(format!("{} offset {}: {e}", record.topic, record.offset));
                each(wire::decode(raw).map_err(damaged)?);
            }
        }
    }
    Ok(())
}
