//! One log, one engine, one thread: feed records into the log, read them back, decide, write the decisions
//! and the progress they stand for. `replay` and the demo drive it in lockstep, so that an arrival time is
//! what a file or a simulation says; everything between the log and the decision is what `run` does.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_pipeline::{Arrival, Engine, Options, Outcome, Policies, Verdict};
use tocsin_schemas::door::{self, Admitted, Refusal};
use tocsin_schemas::log::{EventLog, LogError, LogReader, LogRecord, LogWriter, NewRecord, TopicPartition};
use tocsin_schemas::partition::partition_of;
use tocsin_schemas::records::{Counters, Offset, Progress};
use tocsin_schemas::time::{Day, Instant};
use tocsin_schemas::topics::{self, Direction};
use tocsin_schemas::wire::NoIds;

use crate::exit::Failure;
use crate::policy::publish;
use crate::run::pipeline::WRITER;
use crate::run::pipeline::admit::quarantined;
use crate::run::pipeline::findings;
use crate::run::pipeline::sink::Sink;
use crate::run::stop::Stop;

/// Who feeds.
const FEEDER: &str = "feeds";

/// A record to feed.
#[derive(Debug, Clone)]
pub struct Fed {
    /// A topic that comes in, of the catalogue.
    pub topic: Arc<str>,
    /// Its key.
    pub key: Vec<u8>,
    /// Its bytes.
    pub value: Vec<u8>,
    /// When it arrives.
    pub arrived_at: Instant,
}

/// A record at the door, with the door's answer.
#[derive(Debug)]
pub struct AtDoor {
    /// Where it stands in the log; topic and bytes only, for one that no topic of the log takes.
    pub record: LogRecord,
    /// What the door said.
    pub answer: Result<Admitted, Refusal>,
}

/// See the module's page.
pub struct Station {
    log: Arc<SqliteLog>,
    log_id: String,
    feeder: Box<dyn LogWriter>,
    reader: Box<dyn LogReader>,
    sink: Sink,
    partitions: BTreeMap<Arc<str>, u32>,
    /// For each input partition, the offset after the last record that was decided.
    decided: BTreeMap<(Arc<str>, u32), u64>,
    engine: Engine,
    policy_hash: String,
    /// The policy's text, until the first arrival publishes it.
    to_publish: Option<String>,
    counters: Counters,
    /// Decisions since the last commit.
    undecided: Vec<NewRecord>,
}

impl Station {
    /// A station on a new log in this file. As a service does, it publishes its policy, with the first arrival, so that the
    /// log says by what was decided.
    ///
    /// # Errors
    /// Those of the log.
    pub fn open(path: &Path, policies: Policies, workers: usize) -> Result<Station, LogError> {
        let log = Arc::new(SqliteLog::open(path)?);
        log.ensure(&topics::settings(), false)?;
        let inputs =
            topics::catalogue().iter().filter(|t| t.direction == Direction::In && t.schema.is_some());
        let partitions: BTreeMap<Arc<str>, u32> = inputs.map(|t| (Arc::from(t.name), t.partitions)).collect();
        let from: Vec<_> = partitions
            .iter()
            .flat_map(|(topic, n)| {
                (0..*n).map(|partition| (TopicPartition { topic: Arc::clone(topic), partition }, 0))
            })
            .collect();
        let decided = from.iter().map(|(tp, next)| ((Arc::clone(&tp.topic), tp.partition), *next)).collect();
        let to_publish = policies.to_toml().map_err(|e| LogError::Damaged(format!("policy: {e}")))?;
        Ok(Station {
            decided,
            log_id: log.log_id()?,
            feeder: log.writer(FEEDER)?,
            sink: Sink::open(Arc::<SqliteLog>::clone(&log), Stop::default())?,
            reader: log.reader(&from)?,
            log,
            partitions,
            policy_hash: policies.hash().to_string(),
            engine: Engine::new(policies, Options { workers }),
            to_publish: Some(to_publish),
            counters: Counters::default(),
            undecided: Vec::new(),
        })
    }

    /// The log.
    pub fn log(&self) -> Arc<SqliteLog> {
        Arc::clone(&self.log)
    }

    /// The engine, to be asked.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What became of the records so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The name of a topic that records can be fed to; `None`: the log has no such topic.
    pub fn takes(&self, topic: &str) -> Option<Arc<str>> {
        self.partitions.get_key_value(topic).map(|(name, _)| Arc::clone(name))
    }

    /// Appends the records in one transaction, reads them back and gives them to the door; the answers
    /// come in the order of `fed`.
    ///
    /// # Errors
    /// Those of the log; it is `Damaged` if other records come back.
    pub fn through_the_log(&mut self, fed: &[Fed]) -> Result<Vec<AtDoor>, LogError> {
        let new: Vec<NewRecord> = fed
            .iter()
            .map(|f| NewRecord {
                topic: Arc::clone(&f.topic),
                key: f.key.clone(),
                value: Some(f.value.clone()),
                stamp: Some(f.arrived_at),
                route: None,
            })
            .collect();
        self.feeder.append(&new)?;
        // Partitions are read in any order; within one the order is that of the append.
        let mut read: BTreeMap<(Arc<str>, u32), VecDeque<LogRecord>> = BTreeMap::new();
        let mut missing = fed.len();
        while missing > 0 {
            let records = self.reader.poll(missing, Duration::from_secs(5))?;
            missing -= records.len();
            for record in records {
                read.entry((Arc::clone(&record.topic), record.partition)).or_default().push_back(record);
            }
        }
        fed.iter()
            .map(|f| {
                let partitions = self.partitions.get(&f.topic).copied().unwrap_or(1);
                let place = (Arc::clone(&f.topic), partition_of(&f.key, partitions));
                let record = read.get_mut(&place).and_then(VecDeque::pop_front).ok_or_else(|| {
                    LogError::Damaged(format!(
                        "{} partition {}: a record did not come back",
                        place.0, place.1
                    ))
                })?;
                Ok(at_door(record))
            })
            .collect()
    }

    /// Takes the records that arrived at one instant and decides. Every record is accounted for in the
    /// counters; the decisions wait for [`Station::commit`]. The verdict of a refused record is `None`. Findings
    /// speak of the admitted ones, in the order of `batch`.
    pub fn arrive(&mut self, at: Instant, batch: Vec<AtDoor>) -> (Vec<Option<Verdict>>, Vec<Outcome>) {
        let mut arrivals = Vec::with_capacity(batch.len());
        let mut admitted = Vec::with_capacity(batch.len());
        let mut by_door = Vec::with_capacity(batch.len());
        let mut refused = Vec::new();
        for AtDoor { record, answer } in batch {
            if let Some(next) = self.decided.get_mut(&(Arc::clone(&record.topic), record.partition)) {
                *next = (*next).max(record.offset + 1);
            }
            admitted.push(answer.is_ok());
            match answer {
                Ok(Admitted { record, digest, flags }) => {
                    by_door.push(!flags.is_empty());
                    arrivals.push(Arrival { record, digest, arrived_at: at });
                }
                Err(refusal) => {
                    self.counters.quarantined += 1;
                    refused.push(quarantined(&record, refusal));
                }
            }
        }
        if let Some(text) = self.to_publish.take() {
            self.undecided.push(publish::record(self.engine.policies(), text, Some(at)));
        }
        let outcomes = self.engine.arrive(at, arrivals);
        self.counters.flagged += findings::flagged(by_door, &outcomes);
        let mut verdicts = outcomes.iter().flat_map(|o| o.verdicts.iter().copied());
        let verdicts: Vec<Option<Verdict>> =
            admitted.into_iter().map(|ok| if ok { verdicts.next() } else { None }).collect();
        for verdict in verdicts.iter().flatten() {
            match verdict {
                Verdict::Accepted => self.counters.accepted += 1,
                Verdict::Duplicate => self.counters.duplicates += 1,
                Verdict::Stale => self.counters.stale += 1,
                Verdict::Conflict => self.counters.conflicts += 1,
            }
        }
        self.undecided.extend(self.sink.records(&outcomes, &refused));
        (verdicts, outcomes)
    }

    /// Ticks the midnights up to and including the one that begins `day`.
    pub fn tick_to(&mut self, day: Day) -> Vec<Outcome> {
        let outcomes = self.engine.tick_to(day);
        self.undecided.extend(self.sink.records(&outcomes, &[]));
        outcomes
    }

    /// Writes every decision since the last commit and the progress they stand for, in one transaction.
    ///
    /// # Errors
    /// Those of the log; nothing was written then.
    pub fn commit(&mut self) -> Result<(), Failure> {
        let offset = |((topic, partition), next): (&(Arc<str>, u32), &u64)| Offset {
            topic: topic.to_string(),
            partition: *partition,
            next: *next,
        };
        let mut offsets: Vec<Offset> = self.decided.iter().map(offset).collect();
        if self.to_publish.is_none() {
            // The only record there, and it has been read: it decides.
            offsets.push(Offset { topic: topics::POLICY.to_owned(), partition: 0, next: 1 });
        }
        let progress = Progress {
            writer: WRITER.to_owned(),
            log_id: self.log_id.clone(),
            clock: self.engine.clock(),
            offsets,
            counters: self.counters,
            policy_hash: self.policy_hash.clone(),
            next_incident: self.engine.next_incident(),
            lists: Some(self.engine.lists_standing()),
        };
        self.sink.commit(std::mem::take(&mut self.undecided), progress)
    }
}

/// A record as the door sees it.
pub fn at_door(record: LogRecord) -> AtDoor {
    let raw = record.value.as_deref().unwrap_or_default();
    let answer = door::admit(&record.topic, raw, record.stamp, &NoIds);
    AtDoor { record, answer }
}
