//! What a sender reads back before it does anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use tocsin_schemas::log::{EventLog, LogReader, LogWriter};
use tocsin_schemas::records::{Answer, Delivery, DeliveryState, Offset, Progress};

use super::digests::Digests;
use super::receipts::Recent;
use crate::codec::{self, topic};
use crate::ledger::Ledger;
use crate::quota::Usage;
use crate::worker::WorkerError;
use crate::worker::reading::{Reading, partition, read_progress, to_written};

/// The sender's state as of now, and where to go on.
pub(super) struct Started {
    pub writer: Box<dyn LogWriter>,
    pub log_id: String,
    pub progress: Option<Progress>,
    pub ledger: Ledger,
    pub usage: Usage,
    pub digests: Digests,
    pub tail: Box<dyn LogReader>,
    pub answers: Box<dyn LogReader>,
    /// The answers that came before, and were not taken in.
    pub came: Vec<Answer>,
    /// Where reading them goes on.
    pub answers_from: Vec<Offset>,
    pub recent: Recent,
    /// The gateways that have said yes.
    pub proven: BTreeSet<String>,
}

/// Reads the partition back, after the writer was made that fences an older sender of it. Blocks.
///
/// # Errors
/// Those of reading; `Retry` when it stands still, or the worker is gone. Nothing was written.
pub(super) fn read_back(
    log: &Arc<dyn EventLog>,
    writer: Box<dyn LogWriter>,
    writer_name: &str,
    of: u32,
    reading: &Reading,
) -> Result<Started, WorkerError> {
    let log_id = log.log_id()?;
    let progress = read_progress(&**log, writer_name, reading)?;
    let answers_from = answers_from(&**log, progress.as_ref())?;
    let from: Vec<_> =
        answers_from.iter().map(|o| (partition(topic::ANSWERS, o.partition), o.next)).collect();
    let mut answers = log.reader(&from)?;
    // Taken in before anything is sent: one of them may stop it. Read before the deliveries, so that whatever they speak
    // of is known then.
    let mut came = Vec::new();
    to_written(&**log, &mut *answers, reading, |record| {
        if let Some(value) = &record.value {
            came.push(codec::decode(&record, value).map_err(WorkerError::Damaged)?);
        }
        Ok(())
    })?;
    let first = log.bounds(topic::DELIVERIES)?.get(of as usize).map_or(0, |bounds| bounds.first);
    let mut tail = log.reader(&[(partition(topic::DELIVERIES, of), first)])?;
    let (mut ledger, mut usage, mut digests) = (Ledger::new(), Usage::default(), Digests::default());
    let (mut recent, mut proven) = (Recent::default(), BTreeSet::new());
    to_written(&**log, &mut *tail, reading, |record| {
        if let Some(value) = &record.value {
            let delivery: Delivery = codec::decode(&record, value).map_err(WorkerError::Damaged)?;
            usage.apply(&delivery);
            recent.apply(&delivery);
            digests.apply(&delivery);
            let yes = matches!(delivery.state, DeliveryState::Accepted | DeliveryState::Delivered);
            if yes && !proven.contains(&delivery.channel) {
                proven.insert(delivery.channel.clone());
            }
            ledger.apply(delivery);
        }
        Ok(())
    })?;
    Ok(Started {
        writer,
        log_id,
        progress,
        ledger,
        usage,
        digests,
        tail,
        answers,
        came,
        answers_from,
        recent,
        proven,
    })
}

/// Where to go on reading answers. They are kept by time, so what was not read yet may have gone.
fn answers_from(log: &dyn EventLog, progress: Option<&Progress>) -> Result<Vec<Offset>, WorkerError> {
    let known = progress.map(|p| &p.offsets[..]).unwrap_or_default();
    let bounds = log.bounds(topic::ANSWERS)?;
    Ok((0..)
        .zip(&bounds)
        .map(|(partition, bounds)| {
            let here = |o: &&Offset| o.topic == topic::ANSWERS && o.partition == partition;
            let next = known.iter().find(here).map_or(bounds.first, |o| o.next);
            Offset { topic: topic::ANSWERS.to_owned(), partition, next: next.clamp(bounds.first, bounds.end) }
        })
        .collect())
}
