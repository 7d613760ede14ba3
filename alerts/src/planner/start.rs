//! What a planner reads back before it does anything, and whether it fits together.
//!
//! A progress is written before any delivery, and never passes an alert whose deliveries are not all there. So deliveries without progress, or fewer of them
//! than progress has seen, mean that a topic was lost; going on would tell people again what they have heard.
//! Such a start ends with a reason, unless the difference was accepted.
//!
//! Not seen here: when both are lost, this looks like the first start ever with alerts waiting, and all
//! alerts are sent. Restore `progress` and `deliveries` from the same copy as `alerts`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tocsin_schemas::index::Ask;
use tocsin_schemas::log::{EventLog, LogReader, LogWriter, TopicPartition};
use tocsin_schemas::records::{Alert, Offset, Progress};
use tocsin_schemas::time::Instant;

use super::alerts_offset;
use super::turns::Turns;
use crate::codec::{self, topic};
use crate::plan::told::Told;
use crate::worker::reading::{
    CHUNK, Pace, Reading, WAIT, from_first, partition, read_progress, to_end, to_written, writer,
};
use crate::worker::recall::{self, Known, Recall};
use crate::worker::{WRITER, WorkerError};

/// The planner's state as of now, and where to go on.
pub(super) struct Started {
    pub writer: Box<dyn LogWriter>,
    pub log_id: String,
    pub progress: Option<Progress>,
    pub told: Told,
    /// The cases of which everything is known, and what looks up others for each thread that reads; `None`: all are.
    pub known: Known,
    pub recall: Option<[Recall; 3]>,
    pub deliveries: Box<dyn LogReader>,
    pub answers: Box<dyn LogReader>,
    pub alerts: Box<dyn LogReader>,
    pub turns: Turns,
    pub from: Vec<Offset>,
}

/// Opens the writer, which fences an older planner, and then reads back everything. Blocks.
///
/// # Errors
/// A guard: another log, a log that ends before the progress, or (unless `accept_difference`) deliveries and a
/// progress that do not fit together; `Retry` when reading stands still, or the worker is gone. Nothing was
/// written.
pub(super) fn read_back(
    log: &Arc<dyn EventLog>,
    accept_difference: bool,
    turn_patience: Duration,
    tries: u32,
    now: Instant,
    reading: &Reading,
) -> Result<Started, WorkerError> {
    let writer = writer(&**log, WRITER, tries, reading)?;
    let log_id = log.log_id()?;
    let progress = read_progress(&**log, WRITER, reading)?;
    if let Some(progress) = progress.as_ref().filter(|p| p.log_id != log_id) {
        return Err(WorkerError::OtherLog { expected: progress.log_id.clone(), found: log_id });
    }
    let from = positions(&**log, progress.as_ref())?;
    let partitions: Vec<_> = from.iter().map(|o| (partition(topic::ALERTS, o.partition), o.next)).collect();
    let alerts = log.reader(&partitions)?;

    let lost = ledger_lost(&**log, progress.as_ref())?;
    let promised = not_over(&**log, &partitions, reading)?;
    let mut told = Told::with_promised(Arc::clone(&promised.alerts));
    let known = Known::default();
    let open = |_| Recall::open(&**log, None, &known, &promised.alerts, reading);
    // Without a progress something was lost, or this is the first start ever.
    let fits = progress.as_ref().filter(|_| lost.is_none());
    let indexed = fits.map(open).transpose()?.flatten();
    // By the ledger's own time where that is earlier: a clock that is ahead must hide nothing.
    let now = progress.as_ref().and_then(|p| p.clock).map_or(now, |clock| now.min(clock));
    let (recall, deliveries) = match indexed {
        Some(mut recall) => {
            let ends = log.written(topic::DELIVERIES)?;
            look_up(&mut recall, &known, &promised, &ends, now, &mut told)?;
            let at = |(of, end): (u32, &u64)| (partition(topic::DELIVERIES, of), *end);
            let from: Vec<_> = (0..).zip(&ends).map(at).collect();
            let others = (open(&Progress::default())?, open(&Progress::default())?);
            let all = match others {
                (Some(second), Some(third)) => Some([recall, second, third]),
                _ => None,
            };
            (all, log.reader(&from)?)
        }
        None => {
            let mut deliveries = from_first(&**log, &[topic::DELIVERIES])?;
            to_written(&**log, &mut *deliveries, reading, |record| {
                if let Some(value) = &record.value {
                    told.recall(&codec::decode(&record, value).map_err(WorkerError::Damaged)?);
                }
                Ok(())
            })?;
            (None, deliveries)
        }
    };
    // After the deliveries that they answer.
    let mut answers = from_first(&**log, &[topic::ANSWERS])?;
    to_written(&**log, &mut *answers, reading, |record| {
        if let Some(value) = &record.value {
            told.answer(&codec::decode(&record, value).map_err(WorkerError::Damaged)?);
        }
        Ok(())
    })?;

    let lost = lost.or_else(|| {
        let known = told.ledger().len();
        (progress.is_none() && known > 0).then_some(WorkerError::ProgressLost { known })
    });
    match lost {
        Some(error) if !accept_difference => return Err(error),
        Some(error) => tracing::warn!(%error, "difference accepted: going on"),
        None => {}
    }
    let turns = taken_in(&**log, &from, turn_patience, reading)?;
    Ok(Started { writer, log_id, progress, told, known, recall, deliveries, answers, alerts, turns, from })
}

/// What is open, what is recent, and everything of the cases of the first, and of alerts that are not over.
pub(crate) fn look_up(
    recall: &mut Recall,
    known: &Known,
    promised: &Promised,
    before: &[u64],
    now: Instant,
    told: &mut Told,
) -> Result<(), WorkerError> {
    let from = recall::recent(now, promised.earliest);
    told.recall_recent(&recall.records(&[Ask::Written(from, None), Ask::Refused], before)?);
    let open = recall.records(&[Ask::Open], before)?;
    let cases = open.iter().map(|delivery| &*delivery.case_no);
    let recalled = recall.cases(cases.chain(promised.cases.iter().map(String::as_str)), before)?;
    for delivery in recalled.taken_in(known) {
        told.recall(&delivery);
    }
    Ok(())
}

/// The alerts that are not over: those after the progress.
pub(crate) struct Promised {
    /// Their ids.
    pub alerts: Arc<HashSet<String>>,
    /// Their cases.
    pub cases: HashSet<String>,
    /// When the first of them was decided.
    pub earliest: Option<Instant>,
}

fn not_over(
    log: &dyn EventLog,
    from: &[(TopicPartition, u64)],
    reading: &Reading,
) -> Result<Promised, WorkerError> {
    let (mut ids, mut cases, mut earliest) = (HashSet::new(), HashSet::new(), None::<Instant>);
    let mut reader = log.reader(from)?;
    to_end(log, &mut *reader, reading, |record| {
        if let Some(value) = &record.value {
            let alert: Alert = codec::decode(&record, value).map_err(WorkerError::Damaged)?;
            ids.insert(alert.alert_id);
            cases.insert(alert.case_no.to_string());
            earliest = earliest.into_iter().chain([alert.decided_at]).min();
        }
        Ok(())
    })?;
    Ok(Promised { alerts: Arc::new(ids), cases, earliest })
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
    let ends = log.written(topic::DELIVERIES)?;
    let seen = progress.into_iter().flat_map(|p| &p.offsets).filter(|o| o.topic == topic::DELIVERIES);
    let lost = seen.map(|o| (o, ends.get(o.partition as usize).copied().unwrap_or(0)));
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
