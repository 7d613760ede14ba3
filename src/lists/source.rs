//! Where records and policy come from: a file of arrivals as `replay` reads it, or the input topics of an event log,
//! merged by arrival as `run --clock arrivals` merges them. Nothing is written.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use tocsin_pipeline::lists::Refused;
use tocsin_pipeline::{Arrival, Policies};
use tocsin_schemas::door::{self, Glimpse};
use tocsin_schemas::log::{EventLog, LogError, LogRecord};
use tocsin_schemas::records::Progress;
use tocsin_schemas::time::{Day, Instant};
use tocsin_schemas::topics;
use tocsin_schemas::wire::{NoIds, SchemaIds};

use super::Common;
use crate::config::{self, Config};
use crate::exit::Failure;
use crate::open;
use crate::policy::topic;
use crate::run::pipeline::admit::{AtDoor, admit};
use crate::run::pipeline::clock;
use crate::run::pipeline::inputs::{Inputs, Next, Options, Order};
use crate::run::pipeline::start;
use crate::stream::{self, Lines};

/// How long one look at the log lasts.
const LOOK: Duration = Duration::from_millis(500);
/// How long reading what is known to be there may stand still before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Records that are merged at once.
const MERGED: usize = 10_000;

/// Records and the policy to judge them by.
pub struct Source {
    records: Records,
    /// The policy.
    pub policies: Policies,
    /// Where it comes from.
    pub policy: String,
}

enum Records {
    File(PathBuf),
    Log(Log),
}

/// The event log of a configuration.
pub struct Log {
    pub log: Arc<dyn EventLog>,
    pub schemas: Arc<dyn SchemaIds>,
    name: String,
    /// How far the service has decided; `None` before its first run.
    pub clock: Option<Instant>,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// Lines or records.
    pub records: u64,
    /// Those that were refused.
    pub refused: u64,
    /// The reports among them in which an enterprise can be read.
    pub refused_reports: Vec<Refused>,
    /// When the first one arrived.
    pub first: Option<Instant>,
    /// The latest arrival.
    pub last: Option<Instant>,
}

impl Source {
    /// What the call names.
    ///
    /// # Errors
    /// A wrong call: the configuration or the policy. A failure: the log.
    pub fn open(common: &Common) -> Result<Source, Failure> {
        let config = common.config.as_deref().map(config::load).transpose()?;
        let records = match (&common.stream, &config) {
            (Some(path), _) => Records::File(path.clone()),
            (None, Some(config)) => Records::Log(Log::open(config)?),
            // The arguments' own rule; said again for whoever changes it.
            (None, None) => {
                return Err(Failure::wrong_call("name a STREAM.jsonl, or the --config of an event log"));
            }
        };
        let (policies, policy) = match (&common.policy, &config, &records) {
            (Some(path), ..) => {
                let policies = config::read_policies(path).map_err(Failure::wrong_call)?;
                (policies, path.display().to_string())
            }
            (None, Some(config), Records::Log(log)) => log.policy(config)?,
            _ => (Policies::default(), "the default policy".to_owned()),
        };
        Ok(Source { records, policies: stream::effective(policies, common.policy_from)?, policy })
    }

    /// The name of what is read.
    pub fn name(&self) -> String {
        match &self.records {
            Records::File(path) => path.display().to_string(),
            Records::Log(log) => log.name.clone(),
        }
    }

    /// The event log, if it is one.
    pub fn log(&self) -> Option<&Log> {
        match &self.records {
            Records::File(_) => None,
            Records::Log(log) => Some(log),
        }
    }

    /// Hands everything that was known by the end of a day to `take`, in order: what arrived at one instant at once, and
    /// nothing of it where the door refused it, but time has passed. `None`: everything there is.
    ///
    /// # Errors
    /// A wrong call: a file that cannot be read. A failure: it cannot be read any further, or an arrival is a century after
    /// the one before.
    pub fn each(
        &self,
        upto: Option<Day>,
        take: &mut dyn FnMut(Instant, Vec<Arrival>),
    ) -> Result<Read, Failure> {
        let mut batches = Batches { upto, begun: None, read: Read::default(), take };
        match &self.records {
            Records::File(path) => file(Lines::open(path)?, &mut batches)?,
            Records::Log(log) => log.each(&mut batches)?,
        }
        batches.end();
        Ok(batches.read)
    }
}

/// Puts together what arrived at one instant.
struct Batches<'a> {
    upto: Option<Day>,
    begun: Option<(Instant, Vec<Arrival>)>,
    read: Read,
    take: &'a mut dyn FnMut(Instant, Vec<Arrival>),
}

impl Batches<'_> {
    /// Time passes; false: the day is over, and what comes now was not known on it.
    fn pass(&mut self, at: Instant) -> Result<bool, Failure> {
        clock::near(self.read.last, [at].into_iter()).map_err(Failure::failed)?;
        if self.read.first.is_none() {
            self.read.first = Some(at);
        }
        if self.upto.is_some_and(|day| at.day() > day) {
            return Ok(false);
        }
        self.read.last = self.read.last.max(Some(at));
        if self.begun.as_ref().is_none_or(|(begun, _)| *begun != at) {
            self.end();
            self.begun = Some((at, Vec::new()));
        }
        Ok(true)
    }

    fn add(&mut self, arrival: Arrival) {
        // Time passed before it came: a batch has begun.
        if let Some((_, arrivals)) = &mut self.begun {
            arrivals.push(arrival);
        }
    }

    /// The door refused it.
    fn refuse(&mut self, at: Instant, glimpse: Option<Glimpse>) {
        self.read.refused += 1;
        self.read.refused_reports.extend(glimpse.map(|glimpse| Refused { arrived_at: at, glimpse }));
    }

    fn end(&mut self) {
        if let Some((at, arrivals)) = self.begun.take() {
            (self.take)(at, arrivals);
        }
    }
}

fn file(mut lines: Lines, batches: &mut Batches<'_>) -> Result<(), Failure> {
    while let Some(line) = lines.next()? {
        let Ok(envelope) = line.admit() else {
            // Moves no clock and ends no batch.
            batches.read.records += 1;
            batches.read.refused += 1;
            continue;
        };
        let at = envelope.arrived_at;
        let going_on =
            batches.pass(at).map_err(|e| Failure::failed(format!("line {}: {}", line.number, e.text())))?;
        if !going_on {
            return Ok(());
        }
        batches.read.records += 1;
        match door::admit(&envelope.topic, envelope.value, at, &NoIds) {
            Ok(admitted) => {
                let (record, digest) = (admitted.record, admitted.digest);
                batches.add(Arrival { record, digest, arrived_at: at });
            }
            Err(_) => batches.refuse(at, door::glimpse(&envelope.topic, envelope.value, &NoIds)),
        }
    }
    Ok(())
}

fn version(published: &topic::Published) -> String {
    format!("version {} of the topic policy", published.version)
}

impl Log {
    fn open(config: &Config) -> Result<Log, Failure> {
        let log = open::open(config, open::Missing::Refuse)?;
        let clock = start::read_progress(&*log)?.and_then(|progress| progress.clock);
        let schemas: Arc<dyn SchemaIds> = Arc::<tocsin_schemas::wire::FileMap>::clone(&config.schema_ids);
        let name = format!("the event log of {}", config.path.display());
        Ok(Log { log, schemas, name, clock })
    }

    /// The policy in force: the newest of the topic, or, before the first `run`, the configuration's.
    fn policy(&self, config: &Config) -> Result<(Policies, String), Failure> {
        let held = topic::read(&*self.log)?;
        Ok(match held.newest() {
            Some(newest) => (newest.policies.clone(), version(newest)),
            None => (config.policies.clone(), "the policy of the configuration".to_owned()),
        })
    }

    /// The policy that decided last, as far as the topic has it, and the one that is in force and has not decided yet.
    ///
    /// # Errors
    /// Those of the log.
    pub fn policy_of(&self, progress: &Progress) -> Result<(Option<String>, Option<String>), Failure> {
        let held = topic::read(&*self.log)?;
        let Some(newest) = held.newest() else { return Ok((None, None)) };
        let decided = |one: &&topic::Published| *progress.policy_hash == **one.policies.hash();
        if decided(&newest) {
            return Ok((Some(version(newest)), None));
        }
        // One text may have been in force twice.
        let read = progress.offsets.iter().find(|o| o.topic == topics::POLICY).map_or(0, |o| o.next);
        let name = match held.valid.iter().rev().filter(|one| one.offset < read).find(decided) {
            Some(decided) => version(decided),
            None => "one that the topic policy does not hold".to_owned(),
        };
        let hash: String = newest.policies.hash().chars().take(12).collect();
        let newer = format!("{}, published at {}, hash {hash}…", version(newest), newest.published_at);
        Ok((Some(name), Some(newer)))
    }

    fn each(&self, batches: &mut Batches<'_>) -> Result<(), Failure> {
        let progress = start::read_progress(&*self.log)?;
        let (found, troubles) = start::look(&*self.log, progress.as_ref())?;
        if let Some(trouble) = troubles.first() {
            return Err(Failure::failed(format!("the records are not whole: {trouble}")));
        }
        let from = start::positions(&found, None);
        let bounds = found.bounds.iter().filter(|(name, _)| from.iter().any(|(at, _)| at.topic == **name));
        let there: u64 = bounds.flat_map(|(_, parts)| parts).map(|b| b.end - b.first).sum();
        let bar = stream::bar(there, "{bar:40} {percent}%  {human_pos}/{human_len} records  {eta} left");
        let options =
            Options { order: Order::Arrivals, max_batch: MERGED, linger: Duration::ZERO, until_end: true };
        let mut inputs = Inputs::new(Arc::clone(&self.log), &from, options)?;
        let mut moved = Monotonic::now();
        loop {
            match inputs.next(LOOK) {
                Ok(Next::Batch(taken, _)) => {
                    bar.inc(taken.len() as u64);
                    for taken in taken {
                        if !self.take(taken.record, batches)? {
                            return Ok(());
                        }
                    }
                    // From here on: a batch may hold months of midnights, and the log does not stand still meanwhile.
                    moved = Monotonic::now();
                }
                Ok(Next::End) => return Ok(()),
                Ok(_) => {}
                Err(error @ (LogError::Retry { .. } | LogError::Unreachable { .. })) => {
                    tracing::warn!(%error, "reading waits for the event log");
                    std::thread::sleep(LOOK);
                    inputs.fall_behind();
                }
                Err(error) => return Err(error.into()),
            }
            if moved.elapsed() > PATIENCE {
                return Err(Failure::failed(format!(
                    "the event log brought nothing for {} s, though there is more: is it reachable?",
                    PATIENCE.as_secs()
                )));
            }
        }
    }

    /// False: the day is over.
    fn take(&self, record: LogRecord, batches: &mut Batches<'_>) -> Result<bool, Failure> {
        // A publication is no arrival: it moves no clock.
        if &*record.topic == topics::POLICY {
            return Ok(true);
        }
        if !batches.pass(record.stamp)? {
            return Ok(false);
        }
        batches.read.records += 1;
        match admit(record, &*self.schemas) {
            AtDoor::In(arrival, _) => batches.add(*arrival),
            AtDoor::Refused(q) => {
                batches.refuse(q.arrived_at, door::glimpse(&q.topic, &q.raw, &*self.schemas));
            }
            AtDoor::Nothing | AtDoor::Policy(_) => {}
        }
        Ok(true)
    }
}
