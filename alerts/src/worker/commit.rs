//! Appends: all or nothing, never lost, never by a worker that was fenced.

use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use tocsin_schemas::log::{EventLog, LogError, LogWriter, NewRecord};
use tocsin_schemas::records::{Delivery, Offset, Progress};
use tocsin_schemas::time::Instant;

use super::{WRITER, WorkerError, start};
use crate::codec::{self, topic};

/// How old the known ends of `deliveries` may grow before they are looked up again.
const ENDS_AGE: Duration = Duration::from_secs(1);

/// Collects what a turn changes and appends it together with the progress.
pub(super) struct Committer {
    log: Arc<dyn EventLog>,
    writer: Option<Box<dyn LogWriter>>,
    /// The progress as last acknowledged.
    progress: Option<Progress>,
    log_id: String,
    tries: u32,
    /// The ends of `deliveries` when last looked up: at least so much must be there at the next start.
    ledger_ends: Vec<Offset>,
    looked_up: Option<Monotonic>,
    /// What this turn changes, in order; of one delivery the last one counts.
    pub deliveries: Vec<Delivery>,
    /// Whether alerts were taken in since the last append.
    pub wants_progress: bool,
}

impl Committer {
    pub fn new(
        log: Arc<dyn EventLog>,
        writer: Box<dyn LogWriter>,
        progress: Option<Progress>,
        log_id: String,
        tries: u32,
    ) -> Committer {
        Committer {
            log,
            writer: Some(writer),
            progress,
            log_id,
            tries,
            ledger_ends: Vec::new(),
            looked_up: None,
            deliveries: Vec::new(),
            wants_progress: false,
        }
    }

    /// The offsets of `alerts` last acknowledged.
    pub fn progress_offsets(&self) -> Vec<Offset> {
        let offsets = self.progress.iter().flat_map(|p| &p.offsets);
        offsets.filter(|o| o.topic == topic::ALERTS).cloned().collect()
    }

    /// Appends what was collected, and this progress. Does nothing when there is nothing new.
    ///
    /// # Errors
    /// `Fenced`, or a log that stayed unable. Then it is unknown to this process what is written, and the
    /// worker must end.
    pub async fn commit(&mut self, mut offsets: Vec<Offset>, now: Instant) -> Result<(), WorkerError> {
        if self.deliveries.is_empty() && !self.wants_progress {
            return Ok(());
        }
        self.look_up_ledger_ends().await?;
        offsets.extend(self.ledger_ends.iter().cloned());
        let progress = Progress {
            writer: WRITER.to_owned(),
            log_id: self.log_id.clone(),
            clock: Some(now),
            offsets,
            ..Progress::default()
        };
        let mut records = Vec::with_capacity(self.deliveries.len() + 1);
        for delivery in newest(&mut self.deliveries) {
            records.push(codec::encode(&delivery));
        }
        records.push(codec::encode(&progress));
        self.append(records, &progress).await?;
        self.progress = Some(progress);
        self.wants_progress = false;
        Ok(())
    }

    /// An end that cannot be looked up stays the one known before, which is lower and so still true.
    async fn look_up_ledger_ends(&mut self) -> Result<(), WorkerError> {
        let fresh = self.looked_up.is_some_and(|at| at.elapsed() < ENDS_AGE);
        if fresh && self.ledger_ends.iter().any(|o| o.next > 0) {
            return Ok(());
        }
        let log = Arc::clone(&self.log);
        let bounds = tokio::task::spawn_blocking(move || log.bounds(topic::DELIVERIES))
            .await
            .map_err(|_| WorkerError::Died("writer"))?;
        if let Ok(bounds) = bounds {
            let end = |(partition, next)| Offset { topic: topic::DELIVERIES.to_owned(), partition, next };
            self.ledger_ends = (0..).zip(bounds.iter().map(|b| b.end)).map(end).collect();
            self.looked_up = Some(Monotonic::now());
        }
        Ok(())
    }

    async fn append(&mut self, records: Vec<NewRecord>, progress: &Progress) -> Result<(), WorkerError> {
        let records = Arc::new(records);
        let mut tries = 0;
        loop {
            let mut writer = self.writer.take().ok_or(WorkerError::Died("writer"))?;
            let batch = Arc::clone(&records);
            let (writer, result) = tokio::task::spawn_blocking(move || {
                let result = writer.append(&batch);
                (writer, result)
            })
            .await
            .map_err(|_| WorkerError::Died("writer"))?;
            self.writer = Some(writer);
            let error = match result {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            tries += 1;
            match &error {
                LogError::Uncertain { .. } if tries < self.tries => {
                    tracing::warn!(%error, "asking the log what became of the last append");
                    if self.settle(progress).await? {
                        return Ok(());
                    }
                }
                LogError::Retry { .. } | LogError::NoSpace { .. } | LogError::Unreachable { .. }
                    if tries < self.tries =>
                {
                    tracing::warn!(%error, tries, "nothing is sent until the ledger can be written");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                _ => return Err(error.into()),
            }
        }
    }

    /// After an append of unknown outcome: whether it is there. A new writer settles the old one; if the
    /// progress is then neither what it was nor what was wanted, another worker has taken over meanwhile.
    async fn settle(&mut self, wanted: &Progress) -> Result<bool, WorkerError> {
        let log = Arc::clone(&self.log);
        let (writer, found) = tokio::task::spawn_blocking(move || {
            let writer = log.writer(WRITER)?;
            let found = start::read_progress(&*log)?;
            Ok::<_, WorkerError>((writer, found))
        })
        .await
        .map_err(|_| WorkerError::Died("writer"))??;
        self.writer = Some(writer);
        // The two may be equal (nothing moved but an outcome): then it cannot be told, and the records are
        // appended again. That is harmless, they are states, of which the last one counts.
        if found == self.progress {
            return Ok(false);
        }
        if found.as_ref() == Some(wanted) {
            return Ok(true);
        }
        Err(LogError::Fenced { writer: WRITER.to_owned() }.into())
    }
}

/// Of each delivery the last state, in the order of these. A request's states never share a turn with
/// each other (`sending` must be acknowledged first), so nothing that a restart needs is left out.
fn newest(deliveries: &mut Vec<Delivery>) -> Vec<Delivery> {
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<Delivery> =
        std::mem::take(deliveries).into_iter().rev().filter(|d| seen.insert(d.delivery_id.clone())).collect();
    kept.reverse();
    kept
}
