//! Reading what is known to be there, with an end to patience; and the records that every role reads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant as Monotonic};

use tocsin_schemas::log::{EventLog, LogError, LogReader, LogRecord, LogWriter, TopicPartition};
use tocsin_schemas::records::{Contact, Digest, GovernanceEvent, Progress};
use tocsin_schemas::wire::SchemaIds;

use super::WorkerError;
use crate::codec::{self, topic};

/// Records asked for at once.
pub(crate) const CHUNK: usize = 5_000;
/// How long one wait for records lasts that are known to be there; also how soon a stop is noticed.
pub(crate) const WAIT: Duration = Duration::from_millis(100);
/// The pause before a writer is asked for again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long reading what is known to be there may stand still before it is given up: longer than Kafka takes to abort
/// the open transaction of a writer that died in it (60 s, looked at every 10 s), behind which others' records wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

/// Until when reading goes on: while the worker is there, and something moves.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    worker: Weak<()>,
    patience: Duration,
    /// Whether the worker is to stop.
    stopping: Arc<AtomicBool>,
}

impl Reading {
    /// Goes on while somebody holds `worker`, and gives up when nothing moved for so long.
    pub fn new(worker: &Arc<()>, patience: Duration) -> Reading {
        Reading { worker: Arc::downgrade(worker), patience, stopping: Arc::default() }
    }

    /// The worker is to stop: nobody waits any more for what may never come.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether it is.
    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// # Errors
    /// `Retry`: nobody waits for what is read any more.
    pub fn going_on(&self) -> Result<(), LogError> {
        match self.worker.strong_count() {
            0 => Err(LogError::Retry { what: "be read", why: "the worker has stopped meanwhile".into() }),
            _ => Ok(()),
        }
    }
}

pub(crate) fn partition(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

/// A reader of all of these topics.
pub(crate) fn from_first(log: &dyn EventLog, topics: &[&str]) -> Result<Box<dyn LogReader>, WorkerError> {
    let mut from = Vec::new();
    for topic in topics {
        let bounds = log.bounds(topic)?;
        from.extend((0..).zip(&bounds).map(|(p, b)| (partition(topic, p), b.first)));
    }
    Ok(log.reader(&from)?)
}

/// The role's writer, which fences an older one. What the log cannot do just now is tried again, so often, a second
/// apart; a full disk is waited for. Blocks.
///
/// # Errors
/// Those of the log.
pub(crate) fn writer(
    log: &dyn EventLog,
    name: &str,
    tries: u32,
    reading: &Reading,
) -> Result<Box<dyn LogWriter>, WorkerError> {
    let (mut tried, mut full) = (0, false);
    loop {
        reading.going_on()?;
        tried += 1;
        match log.writer(name) {
            Err(error @ LogError::NoSpace { .. }) if !reading.stopping() => {
                if !std::mem::replace(&mut full, true) {
                    tracing::error!(%error, writer = name, "waits for space: free some");
                }
                tried -= 1;
                std::thread::sleep(PAUSE);
            }
            Err(error) if super::commit::passing(&error) && tried < tries => {
                tracing::warn!(%error, writer = name, tried, "cannot begin to write just now");
                std::thread::sleep(PAUSE);
            }
            other => return Ok(other?),
        }
    }
}

/// Reads on to the present ends.
///
/// # Errors
/// Those of the log and of `each`; `Retry` when it stands still, or the worker is gone. What was given to `each`
/// is read; the call may be repeated.
pub(crate) fn to_end(
    log: &dyn EventLog,
    reader: &mut dyn LogReader,
    reading: &Reading,
    mut each: impl FnMut(LogRecord) -> Result<(), WorkerError>,
) -> Result<(), WorkerError> {
    let mut pace = Pace::new(reading, reader);
    while !reader.caught_up()? {
        for record in reader.poll(CHUNK, WAIT)? {
            each(record)?;
        }
        pace.check(log, reader)?;
    }
    Ok(())
}

/// Reads on until everything was given to `each` that was acknowledged before this call, by whatever writer: behind
/// another's open append, that is waited for. What a role must know before it acts is read like this, after its own
/// writer was made.
///
/// # Errors
/// As [`to_end`].
pub(crate) fn to_written(
    log: &dyn EventLog,
    reader: &mut dyn LogReader,
    reading: &Reading,
    mut each: impl FnMut(LogRecord) -> Result<(), WorkerError>,
) -> Result<(), WorkerError> {
    let written = Written::now(log, reader)?;
    let mut pace = Pace::new(reading, reader);
    while !written.reached(reader, |_| true) {
        for record in reader.poll(CHUNK, WAIT)? {
            each(record)?;
        }
        pace.check(log, reader)?;
    }
    Ok(())
}

/// Until where the partitions of a reader were written at a moment.
struct Written(Vec<u64>);

impl Written {
    fn now(log: &dyn EventLog, reader: &dyn LogReader) -> Result<Written, LogError> {
        let mut topics: HashMap<Arc<str>, Vec<u64>> = HashMap::new();
        let mut ends = Vec::new();
        for (at, _) in reader.position() {
            if !topics.contains_key(&at.topic) {
                topics.insert(Arc::clone(&at.topic), log.written(&at.topic)?);
            }
            ends.push(topics[&at.topic].get(at.partition as usize).copied().unwrap_or(0));
        }
        Ok(Written(ends))
    }

    /// Whether those of these partitions were read so far.
    fn reached(&self, reader: &dyn LogReader, of: impl Fn(u32) -> bool) -> bool {
        let position = reader.position();
        position.iter().zip(&self.0).all(|((at, next), end)| next >= end || !of(at.partition))
    }
}

/// Notices that reading stands still.
pub(crate) struct Pace<'r> {
    reading: &'r Reading,
    moved_at: Monotonic,
    position: Vec<(TopicPartition, u64)>,
}

impl Pace<'_> {
    /// From where the reader stands.
    pub fn new<'r>(reading: &'r Reading, reader: &dyn LogReader) -> Pace<'r> {
        Pace { reading, moved_at: Monotonic::now(), position: reader.position() }
    }

    /// After each poll: whether to go on. Control records move the position too.
    pub fn check(&mut self, log: &dyn EventLog, reader: &dyn LogReader) -> Result<(), LogError> {
        self.reading.going_on()?;
        let position = reader.position();
        if position != self.position {
            (self.moved_at, self.position) = (Monotonic::now(), position);
            return Ok(());
        }
        let stood = self.moved_at.elapsed();
        if stood < self.reading.patience {
            return Ok(());
        }
        Err(LogError::Retry {
            what: "be read to its end",
            why: format!(
                "nothing came for {} s, though there is more ({}): see whether the broker or the disk that holds \
                 it works, and whether another process is paused in the midst of writing there, then start again",
                stood.as_secs(),
                behind(log, &self.position)
            ),
        })
    }
}

/// Which partitions were not read to their end, in words.
fn behind(log: &dyn EventLog, position: &[(TopicPartition, u64)]) -> String {
    let place = |(at, next): &(TopicPartition, u64)| {
        let end = log.written(&at.topic).ok().and_then(|ends| ends.get(at.partition as usize).copied());
        match end {
            Some(end) if end <= *next => None,
            Some(end) => Some(format!("{} partition {} stands at {next} of {end}", at.topic, at.partition)),
            None => Some(format!("{} partition {} stands at {next}", at.topic, at.partition)),
        }
    };
    position.iter().filter_map(place).collect::<Vec<_>>().join(", ")
}

/// The newest progress of this writer, if there is any, after that was made. Blocks. Whatever else is written where it
/// stands is waited for; where it does not stand, only until that is known.
///
/// # Errors
/// Those of [`to_written`]; `Damaged`.
pub(crate) fn read_progress(
    log: &dyn EventLog,
    writer: &str,
    reading: &Reading,
) -> Result<Option<Progress>, WorkerError> {
    let mut progress = None;
    // All records of a key are in one partition.
    let mut place = None;
    let mut reader = from_first(log, &[topic::PROGRESS])?;
    let written = Written::now(log, &*reader)?;
    let mut pace = Pace::new(reading, &*reader);
    while !written.reached(&*reader, |partition| place.is_none_or(|place| place == partition)) {
        for record in reader.poll(CHUNK, WAIT)? {
            if record.key.as_deref() == Some(writer.as_bytes()) {
                place = Some(record.partition);
                let value = record.value.as_deref();
                let found = value.map(|value| codec::decode(&record, value)).transpose();
                progress = found.map_err(WorkerError::Damaged)?;
            }
        }
        pace.check(log, &*reader)?;
    }
    Ok(progress)
}

/// Key and contact of a record of `registry.contacts`; `None` if it cannot be read, which is logged
/// without its content. The source system acts: the clerk sees it in `quarantine`.
pub(crate) fn contact(record: &LogRecord, schemas: &dyn SchemaIds) -> Option<ContactChange> {
    let key = record.key.clone().unwrap_or_default();
    let value = record.value.as_deref();
    match value.map(|value| codec::contact(record, value, schemas)).transpose() {
        Ok(contact) => Some((key, contact)),
        Err(error) => {
            tracing::warn!(error, offset = record.offset, "a contact cannot be read and is left out");
            None
        }
    }
}

/// The key of a record of `registry.contacts`, and its contact unless it is a tombstone.
pub(crate) type ContactChange = (Vec<u8>, Option<(Contact, Digest)>);

/// A record of `governance.events`; `None` if it cannot be read, which is logged. The clerk sees it in `quarantine`.
pub(crate) fn governance(record: &LogRecord, schemas: &dyn SchemaIds) -> Option<(GovernanceEvent, Digest)> {
    let value = record.value.as_deref().unwrap_or_default();
    match codec::governance(record, value, schemas) {
        Ok(event) => Some(event),
        Err(error) => {
            tracing::warn!(
                error,
                offset = record.offset,
                "a governance event cannot be read and is left out"
            );
            None
        }
    }
}

/// Whether an event was right that was taken in; if not, that is logged: whoever wrote it acts.
pub(crate) fn right(taken_in: Result<(), String>, says_nothing: &str) -> bool {
    match taken_in {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(error, "{says_nothing} by this event: write a further version of it");
            false
        }
    }
}
