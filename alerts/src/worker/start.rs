//! What a worker reads back before it does anything, and whether it fits together.
//!
//! Progress and ledger are written in the same appends. So deliveries without progress, or fewer of them
//! than progress has seen, mean that a topic was lost; going on would tell people again what they have heard.
//! Such a start ends with a reason, unless the difference was accepted.
//!
//! Not seen here: when both are lost, this looks like the first start ever with alerts waiting, and all
//! alerts are sent. Restore `progress` and `deliveries` from the same copy as `alerts`.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant as Monotonic};

use tocsin_schemas::log::{EventLog, LogError, LogReader, LogRecord, LogWriter, TopicPartition};
use tocsin_schemas::records::{Contact, Digest, GovernanceEvent, Offset, Progress};
use tocsin_schemas::wire::SchemaIds;

use super::turns::Turns;
use super::{WRITER, WorkerError, alerts_offset};
use crate::codec::{self, topic};
use crate::contacts::Contacts;
use crate::ledger::Ledger;
use crate::silences::Silences;

/// Records asked for at once.
const CHUNK: usize = 5_000;
/// How long one wait for records lasts that are known to be there; also how soon a stop is noticed.
const WAIT: Duration = Duration::from_millis(100);
/// How long reading what is known to be there may stand still before it is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Until when reading goes on: while the worker is there, and something moves.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    worker: Weak<()>,
    patience: Duration,
}

impl Reading {
    /// Goes on while somebody holds `worker`, and gives up when nothing moved for so long.
    pub fn new(worker: &Arc<()>, patience: Duration) -> Reading {
        Reading { worker: Arc::downgrade(worker), patience }
    }

    /// # Errors
    /// `Retry`: nobody waits for what is read any more.
    fn going_on(&self) -> Result<(), LogError> {
        match self.worker.strong_count() {
            0 => Err(LogError::Retry { what: "be read", why: "the worker has stopped meanwhile".into() }),
            _ => Ok(()),
        }
    }
}

/// The worker's state as of now, and where to go on.
pub(super) struct Started {
    pub writer: Box<dyn LogWriter>,
    pub log_id: String,
    pub progress: Option<Progress>,
    /// The partition of `progress` in which that was found.
    pub progress_in: Option<u32>,
    pub ledger: Ledger,
    pub contacts: Contacts,
    pub contacts_refused: u64,
    pub contacts_reader: Box<dyn LogReader>,
    pub silences: Silences,
    pub silences_refused: u64,
    pub silences_reader: Box<dyn LogReader>,
    pub alerts: Box<dyn LogReader>,
    pub turns: Turns,
    pub from: Vec<Offset>,
}

/// Opens the writer, which fences an older worker, and then reads back everything. Blocks.
///
/// # Errors
/// A guard: another log, a log that ends before the progress, or (unless `accept_difference`) a ledger and a
/// progress that do not fit together; `Retry` when reading stands still, or the worker is gone. Nothing was
/// written.
pub(super) fn read_back(
    log: &Arc<dyn EventLog>,
    schemas: &dyn SchemaIds,
    accept_difference: bool,
    turn_patience: Duration,
    reading: &Reading,
) -> Result<Started, WorkerError> {
    reading.going_on()?;
    let writer = log.writer(WRITER)?;
    let log_id = log.log_id()?;
    let (progress, progress_in) = read_progress(&**log, reading)?.unzip();
    if let Some(progress) = progress.as_ref().filter(|p| p.log_id != log_id) {
        return Err(WorkerError::OtherLog { expected: progress.log_id.clone(), found: log_id });
    }
    let from = positions(&**log, progress.as_ref())?;
    let partitions: Vec<_> = from.iter().map(|o| (partition(topic::ALERTS, o.partition), o.next)).collect();
    let alerts = log.reader(&partitions)?;

    let lost = ledger_lost(&**log, progress.as_ref())?;
    let mut ledger = Ledger::new();
    let mut reader = from_first(&**log, topic::DELIVERIES)?;
    to_end(&**log, &mut *reader, reading, |record| {
        if let Some(value) = &record.value {
            ledger.apply(codec::decode(&record, value).map_err(WorkerError::Damaged)?);
        }
        Ok(())
    })?;

    let lost = lost.or_else(|| {
        let known = ledger.len();
        (progress.is_none() && known > 0).then_some(WorkerError::ProgressLost { known })
    });
    match lost {
        Some(error) if !accept_difference => return Err(error),
        Some(error) => tracing::warn!(%error, "difference accepted: going on"),
        None => {}
    }

    let turns = taken_in(&**log, &from, turn_patience, reading)?;
    let (mut contacts, mut contacts_refused) = (Contacts::new(), 0);
    let mut contacts_reader = from_first(&**log, topic::CONTACTS)?;
    to_end(&**log, &mut *contacts_reader, reading, |record| {
        match contact(&record, schemas) {
            Some((key, contact)) => contacts.apply(&key, contact),
            None => contacts_refused += 1,
        }
        Ok(())
    })?;
    let (mut silences, mut silences_refused) = (Silences::new(), 0);
    let mut silences_reader = from_first(&**log, topic::GOVERNANCE)?;
    to_end(&**log, &mut *silences_reader, reading, |record| {
        let kept = governance(&record, schemas)
            .is_some_and(|(event, digest)| silence(&mut silences, &event, digest));
        silences_refused += u64::from(!kept);
        Ok(())
    })?;
    Ok(Started {
        writer,
        log_id,
        progress,
        progress_in,
        ledger,
        contacts,
        contacts_refused,
        contacts_reader,
        silences,
        silences_refused,
        silences_reader,
        alerts,
        turns,
        from,
    })
}

/// Which message of each incident was taken in last: the alerts before the positions where reading goes on.
fn taken_in(
    log: &dyn EventLog,
    from: &[Offset],
    turn_patience: Duration,
    reading: &Reading,
) -> Result<Turns, WorkerError> {
    let mut turns = Turns::new(turn_patience);
    let bounds = log.bounds(topic::ALERTS)?;
    let first = |o: &Offset| bounds.get(o.partition as usize).map_or(0, |b| b.first);
    let known: Vec<&Offset> = from.iter().filter(|o| first(o) < o.next).collect();
    if known.is_empty() {
        return Ok(turns);
    }
    let places: Vec<_> = known.iter().map(|o| (partition(topic::ALERTS, o.partition), first(o))).collect();
    let mut reader = log.reader(&places)?;
    let mut pace = Pace::new(reading, &*reader);
    while reader.position().iter().zip(&known).any(|((_, at), upto)| *at < upto.next) {
        for record in reader.poll(CHUNK, WAIT)? {
            let before = |o: &&Offset| o.partition == record.partition && record.offset < o.next;
            if let (true, Some(value)) = (known.iter().copied().any(|o| before(&o)), &record.value) {
                turns.before(&codec::decode(&record, value).map_err(WorkerError::Damaged)?);
            }
        }
        pace.check(log, &*reader)?;
    }
    Ok(turns)
}

/// Whether there is less of the ledger than progress has seen.
fn ledger_lost(log: &dyn EventLog, progress: Option<&Progress>) -> Result<Option<WorkerError>, WorkerError> {
    let bounds = log.bounds(topic::DELIVERIES)?;
    let seen = progress.into_iter().flat_map(|p| &p.offsets).filter(|o| o.topic == topic::DELIVERIES);
    let lost = seen.map(|o| (o, bounds.get(o.partition as usize).map_or(0, |b| b.end)));
    Ok(lost.filter(|(o, end)| *end < o.next).map(|(o, end)| ledger_error(o, end)).next())
}

fn ledger_error(seen: &Offset, end: u64) -> WorkerError {
    WorkerError::LedgerLost { partition: seen.partition, next: seen.next, end }
}

/// Where to go on in each partition of `alerts`.
fn positions(log: &dyn EventLog, progress: Option<&Progress>) -> Result<Vec<Offset>, WorkerError> {
    let known: BTreeMap<u32, u64> = progress
        .map(|p| &p.offsets[..])
        .unwrap_or_default()
        .iter()
        .filter(|o| o.topic == topic::ALERTS)
        .map(|o| (o.partition, o.next))
        .collect();
    let bounds = log.bounds(topic::ALERTS)?;
    let ends: BTreeMap<u32, u64> = (0..).zip(bounds.iter().map(|b| b.end)).collect();
    for (&partition, &next) in &known {
        let end = ends.get(&partition).copied().unwrap_or(0);
        if end < next {
            return Err(WorkerError::ProgressAhead { topic: topic::ALERTS.into(), partition, next, end });
        }
    }
    // `alerts` is kept for ever: without progress reading begins at 0, and a log that begins later fails
    // with `OffsetGone` rather than leaving out what was deleted.
    Ok(ends.keys().map(|&p| alerts_offset(p, known.get(&p).copied().unwrap_or(0))).collect())
}

fn partition(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

fn from_first(log: &dyn EventLog, topic: &str) -> Result<Box<dyn LogReader>, WorkerError> {
    let bounds = log.bounds(topic)?;
    let from: Vec<_> = (0..).zip(&bounds).map(|(p, b)| (partition(topic, p), b.first)).collect();
    Ok(log.reader(&from)?)
}

/// Reads on to the present ends.
///
/// # Errors
/// Those of the log and of `each`; `Retry` when it stands still, or the worker is gone. What was given to `each`
/// is read; the call may be repeated.
pub(super) fn to_end(
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

/// Notices that reading stands still.
struct Pace<'r> {
    reading: &'r Reading,
    moved_at: Monotonic,
    position: Vec<(TopicPartition, u64)>,
}

impl Pace<'_> {
    fn new<'r>(reading: &'r Reading, reader: &dyn LogReader) -> Pace<'r> {
        Pace { reading, moved_at: Monotonic::now(), position: reader.position() }
    }

    /// After each poll: whether to go on. Control records move the position too.
    fn check(&mut self, log: &dyn EventLog, reader: &dyn LogReader) -> Result<(), LogError> {
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
                 it works, then start again",
                stood.as_secs(),
                behind(log, &self.position)
            ),
        })
    }
}

/// Which partitions were not read to their end, in words.
fn behind(log: &dyn EventLog, position: &[(TopicPartition, u64)]) -> String {
    let place = |(at, next): &(TopicPartition, u64)| {
        let end = log.bounds(&at.topic).ok().and_then(|bounds| Some(bounds.get(at.partition as usize)?.end));
        match end {
            Some(end) if end <= *next => None,
            Some(end) => Some(format!("{} partition {} stands at {next} of {end}", at.topic, at.partition)),
            None => Some(format!("{} partition {} stands at {next}", at.topic, at.partition)),
        }
    };
    position.iter().filter_map(place).collect::<Vec<_>>().join(", ")
}

/// The newest progress of this worker, and the partition in which it stands, if there is any. Blocks.
///
/// # Errors
/// Those of [`to_end`]; `Damaged`.
pub(super) fn read_progress(
    log: &dyn EventLog,
    reading: &Reading,
) -> Result<Option<(Progress, u32)>, WorkerError> {
    let mut progress = None;
    let mut reader = from_first(log, topic::PROGRESS)?;
    to_end(log, &mut *reader, reading, |record| {
        if record.key.as_deref() == Some(WRITER.as_bytes()) {
            let value = record.value.as_deref();
            let found = value.map(|value| codec::decode(&record, value)).transpose();
            progress = found.map_err(WorkerError::Damaged)?.map(|found| (found, record.partition));
        }
        Ok(())
    })?;
    Ok(progress)
}

/// Key and contact of a record of `registry.contacts`; `None` if it cannot be read, which is logged
/// without its content. The source system acts: the clerk sees it in `quarantine`.
pub(super) fn contact(record: &LogRecord, schemas: &dyn SchemaIds) -> Option<ContactChange> {
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
pub(super) type ContactChange = (Vec<u8>, Option<(Contact, Digest)>);

/// A record of `governance.events`; `None` if it cannot be read, which is logged. The clerk sees it in `quarantine`.
pub(super) fn governance(record: &LogRecord, schemas: &dyn SchemaIds) -> Option<(GovernanceEvent, Digest)> {
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

/// Takes an event in, and says whether it was right; if not, that is logged: whoever wrote it acts.
pub(super) fn silence(silences: &mut Silences, event: &GovernanceEvent, digest: Digest) -> bool {
    match silences.apply(event, digest) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(error, "nothing is silent by this event: write a further version of it");
            false
        }
    }
}
