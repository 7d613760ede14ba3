//! The pipeline half: reports in, decisions out. No rule of the domain lives here.
//!
//! ```text
//!   log ─> feed (own thread): inputs merged, door ─> this loop: clock -> engine ─> out (own thread): sink ─> log
//! ```
//!
//! - [`inputs`]: what arrives, in the order of decision
//! - [`admit`]: the door
//! - [`feed`]: the thread that does both
//! - [`clock`]: when it is decided (pure)
//! - [`guard`]: whether anything may be decided at all (pure)
//! - [`policy`]: which policy decides (pure)
//! - [`start`]: reading back what was decided before
//! - [`findings`]: what the clerk is shown of records that were accepted
//! - [`out`]: the thread that writes, beside the next decision
//! - [`sink`]: one append for each batch, together with its progress

pub mod admit;
pub mod clock;
pub mod feed;
pub mod findings;
pub mod guard;
pub mod inputs;
pub mod out;
pub mod policy;
pub mod sink;
pub mod start;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant as Monotonic};

use tocsin_pipeline::{Arrival, Engine, Options, Outcome, Verdict};
use tocsin_schemas::log::EventLog;
use tocsin_schemas::records::{Counters, Offset, Progress, Quarantined};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;
use tocsin_schemas::wire::{FileMap, SchemaIds};

use crate::config::Config;
use crate::exit::Failure;
use crate::policy::{publish, topic};
use crate::run::ClockKind;
use crate::run::stop::Stop;
use crate::run::wall::WallClock;
use admit::AtDoor;
use clock::{Rule, Stamp};
use feed::{Batch, Feed};
use inputs::{Inputs, Order};
use out::{Out, Said};
use policy::{Arrived, Standing};
use sink::Sink;
use start::Rebuilt;

/// The name of the writer, and of its progress.
pub const WRITER: &str = "pipeline";

/// How long the loop waits at most before it looks around: for a stop, a midnight, a newer writer.
const LOOK: Duration = Duration::from_millis(500);
/// The same while a batch is being written, which may fail.
const SOON: Duration = Duration::from_millis(1);

/// How to run.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// What moves the clock.
    pub clock: ClockKind,
    /// Whether to end at the ends seen at the start.
    pub until_end: bool,
    /// Whether a difference at the start was accepted.
    pub accept_difference: bool,
    /// Whether a jump of the clock was accepted, until caught up.
    pub accept_clock: bool,
}

/// What a run did, for its last line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Records decided on.
    pub records: u64,
    /// Decisions that say something to somebody, and those that do not.
    pub alerts: u64,
    /// Transactions.
    pub commits: u64,
    /// What the clerk was shown of records that were accepted.
    pub findings: u64,
}

struct Pipeline {
    engine: Engine,
    out: Out,
    wall: WallClock,
    how: How,
    stop: Stop,
    log_id: String,
    standing: Standing,
    counters: Counters,
    offsets: Vec<Offset>,
    max_batch: usize,
    caught_up: bool,
    done: Done,
}

/// Runs the half until it is stopped, or to the end. `ready` is called once the past is read back, with the decision clock.
///
/// # Errors
/// One line; nothing that is not in the log was said.
pub fn run(
    log: Arc<dyn EventLog>,
    config: &Config,
    how: How,
    wall: WallClock,
    stop: Stop,
    ready: impl FnOnce(Option<Instant>),
) -> Result<Done, Failure> {
    let began = Monotonic::now();
    let mut sink = match Sink::open(Arc::clone(&log), stop.clone()) {
        Ok(sink) => sink,
        Err(error) => return stopped_early(&stop, error.into()),
    };
    let known = sink.committed().cloned();
    let (found, troubles) = start::look(&*log, known.as_ref())?;
    if let Some(first) = troubles.first() {
        for trouble in &troubles[1..] {
            tracing::error!(%trouble, "also");
        }
        return Err(Failure::failed(format!("nothing was decided or sent: {first}")));
    }
    let held = topic::read(&*log)?;
    let version = held.newest().map(|newest| newest.version);
    let policy = policy::start(held, known.as_ref(), &config.policies);
    if let (true, Some(file)) = (policy.differs, &config.policy_file) {
        tracing::warn!(
            file = %file.display(),
            version,
            "the configured policy differs from the one in force, which the topic policy holds, and is not used; to put \
             it into force: tocsin policy publish {} --config {}",
            file.display(),
            config.path.display()
        );
    }
    let progress = known.clone().unwrap_or_else(|| Progress {
        writer: WRITER.to_owned(),
        log_id: found.log_id.clone(),
        policy_hash: policy.decided.hash().to_string(),
        ..Progress::default()
    });
    let schemas: Arc<dyn SchemaIds> = Arc::<FileMap>::clone(&config.schema_ids);
    let mut engine = Engine::new(policy.decided, Options { workers: config.pipeline.workers });
    let mut first = Vec::new();
    if policy.publish {
        let text = config.policy_text().map_err(Failure::failed)?;
        first.push(publish::record(&config.policies, text, wall.stamp()));
    }
    // Tells an idle predecessor at once that it was fenced.
    if let Err(failure) = sink.commit(first, progress.clone()).and_then(|()| sink.watch()) {
        return stopped_early(&stop, failure);
    }
    if policy.publish {
        let (hash, from) = (config.policies.hash(), config.policies.begins());
        tracing::info!(%hash, %from, "published the configured policy, as the topic policy had none");
    }
    let no_thread = |e| Failure::failed(format!("cannot start a thread: {e}"));
    let order = match how.clock {
        ClockKind::Wall => Order::Service,
        ClockKind::Arrivals => Order::Arrivals,
    };
    let options = inputs::Options {
        order,
        max_batch: config.pipeline.max_batch,
        linger: Duration::from_millis(config.pipeline.linger_ms),
        until_end: how.until_end,
    };
    // Readers need a moment to find their brokers: they have it while the past is read back.
    let mut from = start::positions(&found, known.as_ref());
    // The policies up to here are at hand.
    from.iter_mut().filter(|(at, _)| &*at.topic == topics::POLICY).for_each(|(_, next)| *next = policy.next);
    let to_read = Arc::clone(&log);
    let inputs = std::thread::Builder::new()
        .name("inputs".into())
        .spawn(move || Inputs::new(to_read, &from, options))
        .map_err(no_thread)?;
    let rebuilt = match start::rebuild(&log, &mut engine, &found, &progress, &schemas, &stop) {
        Ok(rebuilt) => rebuilt,
        Err(failure) => return stopped_early(&stop, failure),
    };
    let mut pipeline = Pipeline {
        engine,
        out: Out::new(sink).map_err(no_thread)?,
        wall,
        how,
        stop,
        log_id: found.log_id.clone(),
        standing: policy.standing,
        counters: progress.counters,
        offsets: progress.offsets.clone(),
        max_batch: config.pipeline.max_batch,
        caught_up: false,
        done: Done::default(),
    };
    let records = rebuilt.records;
    pipeline.difference(rebuilt, &progress)?;
    tracing::info!(
        records,
        seconds = began.elapsed().as_secs_f64(),
        clock = pipeline.engine.clock().map(|c| c.to_string()),
        "read back what was decided"
    );
    findings::say_standing(&pipeline.engine);
    pipeline.published_meanwhile(policy.since, policy.next)?;
    ready(pipeline.engine.clock());
    let died =
        |_| Failure::failed("the thread that opens the inputs died; nothing that was acknowledged is lost");
    let inputs = match inputs.join().map_err(died)? {
        Ok(inputs) => inputs,
        Err(error) => return stopped_early(&pipeline.stop, error.into()),
    };
    pipeline.offsets = inputs.offsets();
    let feed_stop = Stop::default();
    let (receiver, thread) = feed::spawn(inputs, schemas, feed_stop.clone()).map_err(no_thread)?;
    let decided = pipeline.decide(&receiver);
    // Whatever ended the loop, what was decided before it is finished. Its failure is the earlier one.
    let outcome = pipeline.out.settle().and(decided);
    feed_stop.ask();
    drop(receiver);
    if thread.join().is_err() && outcome.is_ok() {
        return Err(Failure::failed("the reading thread died; nothing that was acknowledged is lost"));
    }
    let done = pipeline.done;
    // The process ends soon after this; to free millions of records one by one would only put that off.
    std::mem::forget(pipeline.engine);
    outcome.map(|()| done)
}

/// A start that did not come to its end: no failure if it was asked to stop meanwhile, since what kept it from
/// going on is then that wish, or will be there at the next start too.
fn stopped_early(stop: &Stop, failure: Failure) -> Result<Done, Failure> {
    if !stop.asked() {
        return Err(failure);
    }
    tracing::info!(at = failure.text(), "stopped before anything was decided");
    Ok(Done::default())
}

impl Pipeline {
    /// The guard of the restart: whether nothing is missing of what was said and written before.
    fn difference(&mut self, rebuilt: Rebuilt, progress: &Progress) -> Result<(), Failure> {
        let Rebuilt { outcome, lists, .. } = rebuilt;
        let missing = guard::lists(&lists, progress.lists);
        if missing.is_none() && !lists.lost.is_empty() {
            tracing::warn!(
                events = lists.lost.join(", "),
                "events that ask to freeze a list were taken in by a release that kept no lists: what they would have frozen \
                 is not known any more, and stands as refused (no_record); freeze again under another event"
            );
        }
        if outcome.silent() && missing.is_none() {
            // Nobody hears of a list: what differs there is only put right.
            if outcome.lists.is_empty() {
                return Ok(());
            }
            tracing::info!(entries = outcome.lists.len(), "the lists are put right");
            self.commit(vec![outcome], Vec::new())?;
            return self.out.settle();
        }
        let mut whys: Vec<String> = missing.iter().map(ToString::to_string).collect();
        if !outcome.silent() {
            let counts = start::counts(&outcome);
            let policy = if *progress.policy_hash == **self.engine.policies().hash() {
                "records are missing or were changed".to_owned()
            } else {
                format!(
                    "the policy differs from the one that decided, whose hash {} no policy at hand has: if its file is kept, \
                     name it under [policy] in the configuration for this start",
                    progress.policy_hash
                )
            };
            whys.push(format!("what should have been said differs from what was said ({policy}): {counts}"));
        }
        let why = whys.join("; and ");
        if !self.how.accept_difference {
            return Err(Failure::failed(format!(
                "{why}. Nothing was sent; if each of these is right, start once with --accept-difference"
            )));
        }
        tracing::warn!(%why, "difference accepted: writing it");
        self.commit(vec![outcome], Vec::new())?;
        self.out.settle()
    }

    /// Takes over what came on the topic `policy` while nobody ran, before anything else is decided.
    fn published_meanwhile(&mut self, since: Vec<Arrived>, next: u64) -> Result<(), Failure> {
        if since.is_empty() {
            return Ok(());
        }
        let (mut outcomes, mut refused) = (Vec::new(), Vec::new());
        self.take_policies(since, &mut outcomes, &mut refused);
        let at = Offset { topic: topics::POLICY.to_owned(), partition: 0, next };
        self.offsets.retain(|o| o.topic != at.topic);
        self.offsets.push(at);
        self.offsets.sort();
        self.commit(outcomes, refused)?;
        self.out.settle()
    }

    /// Records of the topic `policy`: the newest valid one is taken over at the clock as it stands.
    fn take_policies(
        &mut self,
        arrived: Vec<Arrived>,
        outcomes: &mut Vec<Outcome>,
        refused: &mut Vec<Quarantined>,
    ) {
        let taken = self.standing.take(arrived);
        policy::add(&mut self.counters, taken.counters);
        self.done.records += taken.counters.arrived();
        for quarantined in taken.refused {
            tracing::warn!(
                offset = quarantined.offset,
                problem = quarantined.detail,
                "the policy that was published cannot be used and stands in quarantine; the old one stays in force. \
                 Whoever published it publishes a right one: tocsin policy publish FILE --config CONFIG --dry-run says \
                 whether it can be"
            );
            refused.push(quarantined);
        }
        let Some(newest) = taken.newest.filter(|newest| newest.hash() != self.engine.policies().hash())
        else {
            return;
        };
        let (hash, from) = (Arc::clone(newest.hash()), newest.begins());
        let outcome = self.engine.adopt(newest);
        tracing::info!(%hash, %from, said = start::counts(&outcome), "policy taken over");
        self.count(&outcome);
        outcomes.push(outcome);
    }

    fn decide(&mut self, receiver: &Receiver<Feed>) -> Result<(), Failure> {
        loop {
            if self.stop.asked() {
                self.out.settle()?;
                tracing::info!("stopping: every decision taken is committed");
                return Ok(());
            }
            self.out.look()?;
            self.out.watch()?;
            let wait = match (self.out.under_way(), self.caught_up) {
                (true, _) => SOON,
                (false, true) => LOOK.min(self.wall.until_midnight()),
                (false, false) => LOOK,
            };
            match receiver.recv_timeout(wait) {
                Ok(Feed::Batch(batch)) => {
                    if let Some(after) = self.batch(batch, receiver)?
                        && self.other(after)?
                    {
                        return Ok(());
                    }
                }
                Ok(other) => {
                    if self.other(other)? {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::failed("the reading thread ended without a reason"));
                }
            }
            self.midnight()?;
        }
    }

    /// What the feed says beside batches; true at the end.
    fn other(&mut self, feed: Feed) -> Result<bool, Failure> {
        if !matches!(feed, Feed::Batch(_)) {
            // What is said here is said of what was written.
            self.out.settle()?;
        }
        match feed {
            Feed::Batch(batch) => self.take(vec![batch]).map(|()| false),
            Feed::CaughtUp => {
                if !self.caught_up {
                    tracing::info!(clock = self.engine.clock().map(|c| c.to_string()), "caught up");
                }
                self.midnight_when(true)?;
                self.caught_up = true;
                // From here on a jump is a surprise again.
                self.how.accept_clock = false;
                Ok(false)
            }
            Feed::Behind => {
                self.caught_up = false;
                Ok(false)
            }
            Feed::End => Ok(true),
            Feed::Failed(error) => Err(error.into()),
        }
    }

    /// Decides on a batch, and on those that wait behind it as far as one transaction takes them. Gives
    /// back what came after them.
    fn batch(&mut self, first: Batch, receiver: &Receiver<Feed>) -> Result<Option<Feed>, Failure> {
        let mut count = first.records.len();
        let mut batches = vec![first];
        let mut after = None;
        while count < self.max_batch {
            match receiver.try_recv() {
                Ok(Feed::Batch(batch)) => {
                    count += batch.records.len();
                    batches.push(batch);
                }
                Ok(other) => {
                    after = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        self.take(batches)?;
        Ok(after)
    }

    fn take(&mut self, batches: Vec<Batch>) -> Result<(), Failure> {
        let mut outcomes = Vec::new();
        let mut refused = Vec::new();
        for batch in batches {
            self.arrive(batch, &mut outcomes, &mut refused)?;
        }
        self.commit(outcomes, refused)
    }

    fn arrive(
        &mut self,
        batch: Batch,
        outcomes: &mut Vec<Outcome>,
        refused: &mut Vec<Quarantined>,
    ) -> Result<(), Failure> {
        let rule = match self.how.clock {
            ClockKind::Arrivals => Rule::Arrivals,
            ClockKind::Wall => Rule::Wall { now: self.wall.now(), accept_jump: self.how.accept_clock },
        };
        // Policies come first in their batch, and move no clock.
        let (policies, records): (Vec<_>, Vec<_>) =
            batch.records.into_iter().partition(|(_, at_door)| matches!(at_door, AtDoor::Policy(_)));
        let stamps: Vec<Stamp> = records.iter().map(|(stamp, _)| *stamp).collect();
        let steps = clock::plan(rule, self.engine.clock(), &stamps).map_err(Failure::failed)?;
        let arrived = policies.into_iter().filter_map(|(_, at_door)| match at_door {
            AtDoor::Policy(record) => Some(self.standing.judge(&record)),
            _ => None,
        });
        let arrived = arrived.collect();
        self.take_policies(arrived, outcomes, refused);
        let mut records = records.into_iter();
        for step in steps {
            let mut arrivals: Vec<Box<Arrival>> = Vec::with_capacity(step.records.len());
            let mut by_door = Vec::with_capacity(step.records.len());
            for (_, at_door) in records.by_ref().take(step.records.len()) {
                self.done.records += 1;
                match at_door {
                    AtDoor::In(arrival, flags) => {
                        by_door.push(!flags.is_empty());
                        arrivals.push(arrival);
                    }
                    AtDoor::Refused(quarantined) => {
                        tracing::warn!(
                            topic = quarantined.topic,
                            partition = quarantined.partition,
                            offset = quarantined.offset,
                            reason = quarantined.reason,
                            "record quarantined"
                        );
                        self.counters.quarantined += 1;
                        refused.push(*quarantined);
                    }
                    // Taken before.
                    AtDoor::Policy(_) | AtDoor::Nothing => {}
                }
            }
            let decided = self.engine.arrive(step.at, arrivals.into_iter().map(|arrival| *arrival));
            self.counters.flagged += findings::flagged(by_door, &decided);
            decided.iter().for_each(|outcome| self.count(outcome));
            outcomes.extend(decided);
        }
        self.offsets = batch.offsets;
        Ok(())
    }

    fn count(&mut self, outcome: &Outcome) {
        findings::say(outcome);
        self.done.findings += outcome.findings.len() as u64;
        self.done.alerts += outcome.alerts.len() as u64;
        for verdict in &outcome.verdicts {
            match verdict {
                Verdict::Accepted => self.counters.accepted += 1,
                Verdict::Duplicate => self.counters.duplicates += 1,
                Verdict::Stale => self.counters.stale += 1,
                Verdict::Conflict => self.counters.conflicts += 1,
            }
        }
    }

    fn midnight(&mut self) -> Result<(), Failure> {
        self.midnight_when(self.caught_up)
    }

    /// Ticks the midnights that the wall clock has passed, once caught up.
    fn midnight_when(&mut self, caught_up: bool) -> Result<(), Failure> {
        if !caught_up || self.how.clock != ClockKind::Wall {
            return Ok(());
        }
        let due = clock::midnight_due(self.wall.now(), self.how.accept_clock, self.engine.clock());
        let Some(day) = due.map_err(Failure::failed)? else { return Ok(()) };
        let outcomes = self.engine.tick_to(day);
        tracing::info!(%day, midnights = outcomes.len(), "midnight");
        outcomes.iter().for_each(|o| self.count(o));
        self.commit(outcomes, Vec::new())
    }

    fn commit(&mut self, outcomes: Vec<Outcome>, refused: Vec<Quarantined>) -> Result<(), Failure> {
        let progress = Progress {
            writer: WRITER.to_owned(),
            log_id: self.log_id.clone(),
            clock: self.engine.clock(),
            offsets: self.offsets.clone(),
            counters: self.counters,
            policy_hash: self.engine.policies().hash().to_string(),
            next_incident: self.engine.next_incident(),
            lists: Some(self.engine.lists_standing()),
        };
        self.done.commits += 1;
        self.out.commit(Said { outcomes, refused, progress })
    }
}
