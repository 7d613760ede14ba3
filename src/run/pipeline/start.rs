//! A restart: nothing is decided before everything up to `progress` is read back, and then desired minus
//! emitted must be empty (design.md section 4, "Absence is never a cause").
//!
//! 1. Take the writer's name over (fences a zombie), read `progress`: [`super::sink::Sink::open`].
//! 2. [`super::guard::check`]: is this the log, and is everything there? [`super::policy`]: which policy decided?
//! 3. Fold `lists`, `incidents` and `alerts` into the engine's memory; load every input partition exactly up to the
//!    offsets of `progress`, registry first. The fold, the reading with the door, and the engine run side
//!    by side.
//! 4. [`Engine::resume`] at the clock of `progress`. What it would say now must be nothing, and the topic `lists` must hold
//!    what was written to it ([`super::guard::lists`]). A policy that was published
//!    meanwhile is taken over after that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant as Monotonic};

use tocsin_pipeline::lists::ListsFound;
use tocsin_pipeline::{Arrival, Engine, Memory, Outcome};
use tocsin_schemas::log::{Bounds, EventLog, LogError, LogRecord, TopicPartition};
use tocsin_schemas::records::{Alert, Incident, Listed, Progress};
use tocsin_schemas::topics::{self, Direction, Topic};
use tocsin_schemas::wire::{self, OutputRecord, SchemaIds};

use super::WRITER;
use super::admit::{AtDoor, admit};
use super::guard::{self, Found, Trouble};
use super::inputs::input_topics;
use crate::exit::Failure;
use crate::run::stop::Stop;

/// How many records are handed to the engine at once while loading.
const LOAD: usize = 10_000;
/// How long a poll waits while reading what is known to be there. Short: where the rest is control records,
/// none comes, and only the position moves.
const LOOK: Duration = Duration::from_millis(5);
/// How long reading what is known to be there may stand still before it is given up: longer than Kafka takes to abort
/// the open transaction of a writer that died in it, behind which others' records wait.
const PATIENCE: Duration = Duration::from_secs(100);

/// The progress of the pipeline, if it ever wrote any.
///
/// # Errors
/// Those of the log; `Damaged` if it cannot be decoded.
pub fn read_progress(log: &dyn EventLog) -> Result<Option<Progress>, LogError> {
    let mut progress = None;
    // The pipeline's stands in a partition of its own: a dead worker's open append hides nothing of it, and is not waited
    // for (that worker starts after the pipeline).
    read_all(log, topics::PROGRESS, &mut |record| take_progress(&mut progress, &record))?;
    Ok(progress)
}

fn take_progress(progress: &mut Option<Progress>, record: &LogRecord) -> Result<(), LogError> {
    if record.key.as_deref() == Some(WRITER.as_bytes()) {
        *progress = record.value.as_deref().map(|raw| own::<Progress>(record, raw)).transpose()?;
    }
    Ok(())
}

/// What [`guard::check`] compares, and what it says.
///
/// # Errors
/// Those of the log, but for a missing topic, which is among the troubles.
pub fn look(log: &dyn EventLog, progress: Option<&Progress>) -> Result<(Found, Vec<Trouble>), LogError> {
    let inputs: Vec<&Topic> = input_topics().collect();
    let outputs: Vec<&Topic> =
        topics::catalogue().iter().filter(|t| t.direction == Direction::Out && t.schema.is_some()).collect();
    let mut found = Found { log_id: log.log_id()?, topics: log.topics()?, bounds: BTreeMap::new() };
    for topic in inputs.iter().chain(&outputs) {
        if found.topics.iter().any(|t| *t.name == *topic.name) {
            found.bounds.insert(Arc::from(topic.name), log.bounds(topic.name)?);
        }
    }
    let troubles = guard::check(&found, &inputs, &outputs, progress);
    Ok((found, troubles))
}

/// Every input partition and the offset to go on from: that of progress, else the first one.
pub fn positions(found: &Found, progress: Option<&Progress>) -> Vec<(TopicPartition, u64)> {
    let known = |topic: &str, partition: u32| {
        let offsets = &progress?.offsets;
        offsets.iter().find(|o| o.topic == topic && o.partition == partition).map(|o| o.next)
    };
    input_topics()
        .flat_map(|topic| {
            let name: Arc<str> = Arc::from(topic.name);
            let bounds = found.bounds.get(topic.name).cloned().unwrap_or_default();
            (0..).zip(bounds).map(move |(partition, b): (u32, Bounds)| {
                let at = TopicPartition { topic: Arc::clone(&name), partition };
                (at, known(topic.name, partition).unwrap_or(b.first))
            })
        })
        .collect()
}

/// What a rebuild found.
#[derive(Debug)]
pub struct Rebuilt {
    /// Records given to the engine.
    pub records: u64,
    /// What the engine would say now, though nothing has arrived.
    pub outcome: Outcome,
    /// What the topic `lists` holds.
    pub lists: ListsFound,
}

/// Reads back what was said and what had arrived, and asks the engine what it would say. The two do not
/// know of each other before that question, so they are read side by side.
///
/// # Errors
/// Those of the log, in one line; a stop that was asked meanwhile.
pub fn rebuild(
    log: &Arc<dyn EventLog>,
    engine: &mut Engine,
    found: &Found,
    progress: &Progress,
    schemas: &Arc<dyn SchemaIds>,
    stop: &Stop,
) -> Result<Rebuilt, Failure> {
    let (mut parts, mut reports) = (Vec::new(), Vec::new());
    for (at, upto) in positions(found, Some(progress)) {
        let from = found.bounds.get(&at.topic).and_then(|b| b.get(at.partition as usize));
        let part = Part { from: from.map_or(0, |b| b.first), at, upto };
        let report = topics::topic(&part.at.topic).is_some_and(|t| t.source.is_some());
        if part.from < part.upto {
            if report { reports.push(part) } else { parts.push(part) }
        }
    }
    engine.recover(progress.clock);
    read_all(&**log, topics::LISTS, &mut |record| {
        let listed = record.value.as_deref().map(|raw| own::<Listed>(&record, raw)).transpose()?;
        engine.recall(&String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()), listed);
        Ok(())
    })?;
    // The failure of one side ends the others.
    let failed = Stop::default();
    let going_on = || match stop.asked() || failed.asked() {
        true => Err(LogError::Retry { what: "load", why: "stopped while reading back".into() }),
        false => Ok(()),
    };
    let (mut recalled, records) = std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<Vec<Box<Arrival>>>(4);
        let reading = scope.spawn(|| {
            let sender = sender;
            let result =
                [parts, reports].iter().try_for_each(|p| arrivals(&**log, p, &**schemas, &going_on, &sender));
            result.inspect_err(|_| failed.ask())
        });
        let writing = scope.spawn(|| written(&**log, &going_on).inspect_err(|_| failed.ask()));
        let saying = scope.spawn(|| said(&**log, &going_on).inspect_err(|_| failed.ask()));
        let mut records = 0;
        for arrivals in receiver {
            records += arrivals.len() as u64;
            engine.load(arrivals.into_iter().map(|arrival| *arrival));
        }
        let died = |_| Failure::failed("the reading thread died while reading back");
        let read = reading.join().map_err(died)?;
        let (written, said) = (writing.join().map_err(died)?, saying.join().map_err(died)?);
        match (read, written, said) {
            (Ok(()), Ok(written), Ok(said)) => Ok((written.with(said), records)),
            // Those that failed because another did say so; that one knows why.
            (read, written, said) => {
                let mut whys: Vec<LogError> =
                    [read.err(), written.err(), said.err()].into_iter().flatten().collect();
                let first = whys.iter().position(|why| !matches!(why, LogError::Retry { .. })).unwrap_or(0);
                Err(Failure::from(whys.swap_remove(first)))
            }
        }
    })?;
    recalled.given(progress.next_incident);
    recalled.decided_by(&progress.policy_hash);
    let lists = engine.lists_found();
    let outcome = engine.resume(recalled);
    Ok(Rebuilt { records, outcome, lists })
}

/// A piece of a partition to be read.
pub struct Part {
    /// The partition.
    pub at: TopicPartition,
    /// The first offset.
    pub from: u64,
    /// The offset after the last.
    pub upto: u64,
}

/// What was written: the fold of `incidents`.
fn written(log: &dyn EventLog, going_on: &dyn Fn() -> Result<(), LogError>) -> Result<Memory, LogError> {
    let mut memory = Memory::default();
    read_all(log, topics::INCIDENTS, &mut |record| {
        going_on()?;
        if let Some(raw) = record.value.as_deref() {
            memory.incident(own::<Incident>(&record, raw)?);
        }
        Ok(())
    })?;
    memory.index();
    Ok(memory)
}

/// What was said: the fold of `alerts`.
fn said(log: &dyn EventLog, going_on: &dyn Fn() -> Result<(), LogError>) -> Result<Memory, LogError> {
    let mut memory = Memory::default();
    read_all(log, topics::ALERTS, &mut |record| {
        going_on()?;
        if let Some(raw) = record.value.as_deref() {
            memory.alert(&own::<Alert>(&record, raw)?);
        }
        Ok(())
    })?;
    Ok(memory)
}

/// What had arrived: these partitions through the door.
#[allow(
    clippy::vec_box,
    reason = "the door hands records out in boxes, and moving half a kilobyte each costs more"
)]
fn arrivals(
    log: &dyn EventLog,
    parts: &[Part],
    schemas: &dyn SchemaIds,
    going_on: &dyn Fn() -> Result<(), LogError>,
    sender: &SyncSender<Vec<Box<Arrival>>>,
) -> Result<(), LogError> {
    let upto: BTreeMap<TopicPartition, u64> = parts.iter().map(|p| (p.at.clone(), p.upto)).collect();
    let mut arrivals = Vec::with_capacity(LOAD);
    read_parts(log, parts, &mut |record| {
        going_on()?;
        let at = TopicPartition { topic: Arc::clone(&record.topic), partition: record.partition };
        if record.offset >= upto.get(&at).copied().unwrap_or(0) {
            return Ok(());
        }
        // What was refused then is refused now, and stands in quarantine already. Policies were read before.
        if let AtDoor::In(arrival, _) = admit(record, schemas) {
            arrivals.push(arrival);
        }
        if arrivals.len() >= LOAD {
            // The receiver only goes when this side has.
            let _ = sender.send(std::mem::replace(&mut arrivals, Vec::with_capacity(LOAD)));
        }
        Ok(())
    })?;
    let _ = sender.send(arrivals);
    Ok(())
}

/// Every record of a topic up to its present ends, which it returns, in order within each partition.
///
/// # Errors
/// Those of the log, and of `each`.
pub fn read_all(
    log: &dyn EventLog,
    topic: &'static str,
    each: &mut dyn FnMut(LogRecord) -> Result<(), LogError>,
) -> Result<Vec<u64>, LogError> {
    let ends: Vec<u64> = log.bounds(topic)?.iter().map(|b| b.end).collect();
    read_to(log, topic, &ends, each)?;
    Ok(ends)
}

/// Every record of a topic up to these ends of its partitions.
fn read_to(
    log: &dyn EventLog,
    topic: &'static str,
    ends: &[u64],
    each: &mut dyn FnMut(LogRecord) -> Result<(), LogError>,
) -> Result<(), LogError> {
    let bounds = log.bounds(topic)?;
    let parts: Vec<Part> = (0..)
        .zip(bounds.iter().zip(ends))
        .map(|(partition, (bounds, upto))| Part {
            at: TopicPartition { topic: Arc::from(topic), partition },
            from: bounds.first,
            upto: *upto,
        })
        .filter(|p| p.from < p.upto)
        .collect();
    read_parts(log, &parts, each)
}

/// Every record of these pieces, in order within each partition, and maybe some after them.
///
/// # Errors
/// Those of the log and of `each`; `Retry` when nothing comes for longer than [`PATIENCE`].
pub fn read_parts(
    log: &dyn EventLog,
    parts: &[Part],
    each: &mut dyn FnMut(LogRecord) -> Result<(), LogError>,
) -> Result<(), LogError> {
    if parts.is_empty() {
        return Ok(());
    }
    let from: Vec<(TopicPartition, u64)> = parts.iter().map(|p| (p.at.clone(), p.from)).collect();
    let mut reader = log.reader(&from)?;
    let mut moved = Monotonic::now();
    loop {
        let records = reader.poll(LOAD, LOOK)?;
        if !records.is_empty() {
            moved = Monotonic::now();
        }
        for record in records {
            each(record)?;
        }
        if reader.position().iter().zip(parts).all(|((_, at), part)| *at >= part.upto) {
            return Ok(());
        }
        if moved.elapsed() > PATIENCE {
            return Err(LogError::Retry {
                what: "read back",
                why: format!("nothing came for {} s, though there is more", PATIENCE.as_secs()),
            });
        }
    }
}

/// A record that we wrote.
fn own<T: OutputRecord>(record: &LogRecord, raw: &[u8]) -> Result<T, LogError> {
    wire::decode(raw).map_err(|e| {
        let (topic, partition, offset) = (&record.topic, record.partition, record.offset);
        LogError::Damaged(format!("{topic} partition {partition} offset {offset}: {e}"))
    })
}

/// The counts of an outcome that should have been silent, for the operator to judge.
pub fn counts(outcome: &Outcome) -> String {
    let mut by_change: BTreeMap<String, u64> = BTreeMap::new();
    for alert in &outcome.alerts {
        *by_change.entry(format!("{} {}", alert.rule, alert.change)).or_default() += 1;
    }
    let mut parts: Vec<String> = by_change.iter().map(|(what, n)| format!("{n} {what}")).collect();
    parts.push(format!("{} incidents changed", outcome.incidents.len()));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use tocsin_schemas::partition::partition_of;

    use super::*;

    /// What is committed behind somebody else's open transaction cannot be read. So an alert worker that
    /// died in the midst of one would take back our progress, or hold up our start until it times out.
    #[test]
    fn each_writers_progress_has_a_partition_of_its_own() {
        let partitions = topics::topic(topics::PROGRESS).unwrap().partitions;
        let of = |writer: &str| partition_of(writer.as_bytes(), partitions);
        assert_ne!(of(WRITER), of(tocsin_alerts::worker::WRITER));
    }
}
