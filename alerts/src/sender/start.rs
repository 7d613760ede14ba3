//! What a sender reads back before it does anything.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use tocsin_schemas::index::Ask;
use tocsin_schemas::log::{EventLog, LogReader, LogWriter};
use tocsin_schemas::records::{Answer, Delivery, DeliveryState, Offset, Progress};
use tocsin_schemas::time::Instant;

use super::digests::{self, Digests};
use super::receipts::Recent;
use crate::codec::{self, topic};
use crate::ledger::Ledger;
use crate::quota::{self, Usage};
use crate::refusals::Refusals;
use crate::worker::WorkerError;
use crate::worker::reading::{Reading, partition, read_progress, to_written};
use crate::worker::recall::{self, Known, Recall};

/// So many days ahead a digest may be due: no row of free days is as long.
const DIGESTS_AHEAD: i32 = 40;

/// The sender's state as of now, and where to go on.
pub(super) struct Started {
    pub writer: Box<dyn LogWriter>,
    pub log_id: String,
    pub progress: Option<Progress>,
    pub ledger: Ledger,
    pub usage: Usage,
    pub refusals: Refusals,
    pub digests: Digests,
    pub tail: Box<dyn LogReader>,
    pub answers: Box<dyn LogReader>,
    /// The answers that came before, and were not taken in.
    pub came: Vec<Answer>,
    /// Where reading them goes on.
    pub answers_from: Vec<Offset>,
    pub recent: Recent,
    /// The cases of which everything is known, and what looks up others; `None`: all are.
    pub known: Known,
    pub recall: Option<Recall>,
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
    gateways: &[&'static str],
    now: Instant,
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
    // By the ledger's own time where that is earlier: a clock that is ahead must hide nothing.
    let now = progress.as_ref().and_then(|p| p.clock).map_or(now, |clock| now.min(clock));
    let mut past = Past::default();
    let known = Known::default();
    let mut recall = Recall::open(&**log, Some(of), &known, &Arc::default(), reading)?;
    let tail = match &mut recall {
        Some(recall) => {
            let ends = log.written(topic::DELIVERIES)?;
            past.look_up(recall, &known, gateways, &ends, now)?;
            let end = ends.get(of as usize).copied().unwrap_or(0);
            log.reader(&[(partition(topic::DELIVERIES, of), end)])?
        }
        None => {
            let first = log.bounds(topic::DELIVERIES)?.get(of as usize).map_or(0, |bounds| bounds.first);
            let mut tail = log.reader(&[(partition(topic::DELIVERIES, of), first)])?;
            to_written(&**log, &mut *tail, reading, |record| {
                if let Some(value) = &record.value {
                    past.read(codec::decode(&record, value).map_err(WorkerError::Damaged)?);
                }
                Ok(())
            })?;
            tail
        }
    };
    let Past { ledger, usage, refusals, digests, recent, proven } = past;
    Ok(Started {
        writer,
        log_id,
        progress,
        ledger,
        usage,
        refusals,
        digests,
        tail,
        answers,
        came,
        answers_from,
        recent,
        known,
        recall,
        proven,
    })
}

/// What is known of the deliveries of a partition.
#[derive(Default)]
pub(crate) struct Past {
    pub ledger: Ledger,
    pub usage: Usage,
    pub refusals: Refusals,
    pub digests: Digests,
    pub recent: Recent,
    pub proven: BTreeSet<String>,
}

impl Past {
    /// Takes in the next record, where all are read.
    pub fn read(&mut self, delivery: Delivery) {
        self.usage.apply(&delivery);
        self.refusals.apply(&delivery);
        self.recent.apply(&delivery);
        self.digests.apply(&delivery);
        let yes = matches!(delivery.state, DeliveryState::Accepted | DeliveryState::Delivered);
        if yes && !self.proven.contains(&delivery.channel) {
            self.proven.insert(delivery.channel.clone());
        }
        self.ledger.apply(delivery);
    }

    /// Looks up what counts for quotas, receipts and answers, which is recent, addresses that are not tried any more, and
    /// everything of the cases of what is recent, of what is open, and of digests that may still be joined.
    pub fn look_up(
        &mut self,
        recall: &mut Recall,
        known: &Known,
        gateways: &[&'static str],
        before: &[u64],
        now: Instant,
    ) -> Result<(), WorkerError> {
        let open = recall.records(&[Ask::Open], before)?;
        let mut cases: BTreeSet<String> = open.iter().map(|delivery| delivery.case_no.clone()).collect();
        let open: HashSet<String> = open.into_iter().map(|delivery| delivery.delivery_id).collect();
        for delivery in recall.records(&[Ask::Written(recall::recent(now, None), None)], before)? {
            self.usage.apply(&delivery);
            self.recent.apply(&delivery);
            // Whatever leaves a digest, it names the newest of those that remain.
            if digests::of(&delivery).is_some_and(|id| open.contains(id)) {
                cases.insert(delivery.case_no);
            }
        }
        for delivery in recall.records(&[Ask::Refused], before)? {
            self.refusals.apply(&delivery);
        }
        cases.extend(self.recent.ended().map(|delivery| delivery.case_no.clone()));
        let today = now.day();
        cases.extend((-1..DIGESTS_AHEAD).map(|days| quota::digest_number(today.plus(days))));
        for delivery in recall.cases(cases.iter().map(String::as_str), before)?.taken_in(known) {
            self.digests.apply(&delivery);
            self.ledger.apply(delivery);
        }
        for gateway in gateways {
            if recall.proven(gateway)? {
                self.proven.insert((*gateway).to_owned());
            }
        }
        Ok(())
    }
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
