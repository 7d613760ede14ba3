//! Appends: all or nothing, never lost, never by a worker that was fenced.

use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use tocsin_schemas::log::{EventLog, LogError, LogWriter, NewRecord};
use tocsin_schemas::records::{Answer, Delivery, Offset, Progress};
use tocsin_schemas::time::Instant;

use super::WorkerError;
use super::blocking::blocking;
use super::reading::{self, Reading};
use crate::codec::{self, topic};

/// How old the known ends of `deliveries` may grow before they are looked up again.
const ENDS_AGE: Duration = Duration::from_secs(1);
/// The same where they could not be looked up, for which one may have waited long: a partition has no leader.
const ENDS_PATIENCE: Duration = Duration::from_secs(30);
/// How old the written progress may grow while something is appended, by either clock: what is written without it costs
/// one partition less, and a start reads a second's alerts again, whose deliveries it finds.
const PROGRESS_AGE: Duration = Duration::from_secs(1);
/// The pause before a failed append is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How often a full disk is still tried once the worker is to stop: whoever stops it kills it soon.
const TRIES_AT_A_STOP: u32 = 10;

/// Collects what a turn changes and appends it together with the progress.
pub(crate) struct Committer {
    log: Arc<dyn EventLog>,
    /// The writer's name, and that of its progress.
    name: String,
    writer: Option<Box<dyn LogWriter>>,
    /// The progress as last acknowledged.
    progress: Option<Progress>,
    /// When it was written by this one.
    written: Option<Monotonic>,
    /// The progress of an append of unknown outcome: nothing is appended before that is settled.
    unsettled: Option<Progress>,
    reading: Reading,
    log_id: String,
    tries: u32,
    /// The ends of `deliveries` when last looked up: at least so much must be there at the next start.
    ledger_ends: Vec<Offset>,
    /// When they are to be looked up again.
    look_again: Option<Monotonic>,
    /// What was planned by the planner beside this sender and is in no log yet: written down before all else.
    pub planned: Vec<Delivery>,
    /// What this turn changes, in order; of one delivery the last one counts.
    pub deliveries: Vec<Delivery>,
    /// What a planner tells senders, and what a gateway told a sender that asked.
    pub answers: Vec<Answer>,
    /// Whether the progress is to be written with the next append, or by itself.
    pub wants_progress: bool,
}

impl Committer {
    pub fn new(
        log: Arc<dyn EventLog>,
        name: String,
        writer: Box<dyn LogWriter>,
        progress: Option<Progress>,
        log_id: String,
        tries: u32,
        reading: Reading,
    ) -> Committer {
        Committer {
            log,
            name,
            writer: Some(writer),
            progress,
            written: None,
            unsettled: None,
            reading,
            log_id,
            tries,
            ledger_ends: Vec::new(),
            look_again: None,
            planned: Vec::new(),
            deliveries: Vec::new(),
            answers: Vec::new(),
            wants_progress: false,
        }
    }

    /// Whether a progress was ever acknowledged.
    pub fn has_progress(&self) -> bool {
        self.progress.is_some()
    }

    /// The offsets of this topic last acknowledged.
    pub fn progress_of(&self, topic: &str) -> Vec<Offset> {
        let offsets = self.progress.iter().flat_map(|p| &p.offsets);
        offsets.filter(|o| o.topic == topic).cloned().collect()
    }

    /// Appends what was collected, and this progress if it is wanted or the written one is old. Says whether it was
    /// written. Does nothing when there is nothing new.
    ///
    /// # Errors
    /// `Fenced`, or a log that stayed unable. Then it is unknown to this process what is written, and the
    /// worker must end.
    pub async fn commit(&mut self, offsets: Vec<Offset>, now: Instant) -> Result<bool, WorkerError> {
        let nothing = self.planned.is_empty() && self.deliveries.is_empty() && self.answers.is_empty();
        if nothing && !self.wants_progress {
            return Ok(false);
        }
        let due = self.wants_progress || self.progress_is_old(now);
        let progress = match self.progress.clone().filter(|_| !due) {
            Some(known) => known,
            None => self.next_progress(offsets, now).await?,
        };
        let mut records = Vec::with_capacity(self.planned.len() + self.deliveries.len() + 1);
        records.extend(self.planned.drain(..).map(|delivery| codec::encode(&delivery)));
        for delivery in newest(&mut self.deliveries) {
            records.push(codec::encode(&delivery));
        }
        records.extend(self.answers.drain(..).map(|answer| codec::encode(&answer)));
        records.extend(due.then(|| codec::encode(&progress)));
        self.append(records, &progress).await?;
        self.progress = Some(progress);
        if due {
            self.written = Some(Monotonic::now());
            self.wants_progress = false;
        }
        Ok(due)
    }

    fn progress_is_old(&self, now: Instant) -> bool {
        let clock = self.progress.as_ref().and_then(|progress| progress.clock);
        let by_clock = clock.is_none_or(|clock| now.0.abs_diff(clock.0) >= PROGRESS_AGE.as_millis() as u64);
        by_clock || self.written.is_none_or(|at| at.elapsed() >= PROGRESS_AGE)
    }

    async fn next_progress(
        &mut self,
        mut offsets: Vec<Offset>,
        now: Instant,
    ) -> Result<Progress, WorkerError> {
        self.look_up_ledger_ends().await?;
        offsets.extend(self.ledger_ends.iter().cloned());
        let (writer, log_id) = (self.name.clone(), self.log_id.clone());
        Ok(Progress { writer, log_id, clock: Some(now), offsets, ..Progress::default() })
    }

    /// An end that cannot be looked up stays the one known before, which is lower and so still true.
    async fn look_up_ledger_ends(&mut self) -> Result<(), WorkerError> {
        let fresh = self.look_again.is_some_and(|at| Monotonic::now() < at);
        if fresh && (self.ledger_ends.is_empty() || self.ledger_ends.iter().any(|o| o.next > 0)) {
            return Ok(());
        }
        let log = Arc::clone(&self.log);
        let bounds = blocking("writer", move || log.bounds(topic::DELIVERIES)).await?;
        self.look_again = Some(Monotonic::now() + if bounds.is_ok() { ENDS_AGE } else { ENDS_PATIENCE });
        if let Ok(bounds) = bounds {
            let (expected, found) = (self.ledger_ends.len(), bounds.len());
            if expected > 0 && expected != found {
                return Err(WorkerError::OtherPartitions { expected, found });
            }
            let end = |(partition, next)| Offset { topic: topic::DELIVERIES.to_owned(), partition, next };
            self.ledger_ends = (0..).zip(bounds.iter().map(|b| b.end)).map(end).collect();
        }
        Ok(())
    }

    async fn append(&mut self, records: Vec<NewRecord>, progress: &Progress) -> Result<(), WorkerError> {
        let records = Arc::new(records);
        let (mut tries, mut unsettled, mut full) = (0, false, false);
        loop {
            let result = match self.settled_first().await {
                // Asked about these very records, not about an earlier append of the same progress.
                Ok(true) if unsettled => return Ok(()),
                Ok(_) => {
                    unsettled = false;
                    self.append_once(&records, progress).await
                }
                Err(error) => Err(error),
            };
            tries += 1;
            let full_disk = matches!(&result, Err(WorkerError::Log(LogError::NoSpace { .. })));
            let most = if full_disk { self.tries.min(TRIES_AT_A_STOP) } else { self.tries };
            match result {
                Ok(()) => return Ok(()),
                // Whoever frees it may take longer than any number of tries.
                Err(WorkerError::Log(error @ LogError::NoSpace { .. })) if !self.reading.stopping() => {
                    if !std::mem::replace(&mut full, true) {
                        tracing::error!(%error, "nothing is sent until the ledger can be written: free space");
                    }
                    tries -= 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(WorkerError::Log(error)) if passing(&error) && tries < most => {
                    if matches!(error, LogError::Uncertain { .. }) {
                        unsettled = true;
                        tracing::warn!(%error, "asking the log what became of the last append");
                        continue;
                    }
                    tracing::warn!(%error, tries, unsettled, "nothing is sent until the ledger can be written");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn append_once(
        &mut self,
        records: &Arc<Vec<NewRecord>>,
        progress: &Progress,
    ) -> Result<(), WorkerError> {
        let mut writer = self.writer.take().ok_or(WorkerError::Died("writer"))?;
        let batch = Arc::clone(records);
        let (writer, result) = blocking("writer", move || {
            let result = writer.append(&batch);
            (writer, result)
        })
        .await?;
        self.writer = Some(writer);
        if let Err(LogError::Uncertain { .. }) = &result {
            self.unsettled = Some(progress.clone());
        }
        Ok(result?)
    }

    /// Whether appends have put something off that is worth a quiet moment.
    pub fn is_untidy(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.is_untidy())
    }

    /// Lets the log do what appends have put off. What it cannot do is left until more has come together.
    ///
    /// # Errors
    /// `Died`.
    pub async fn tidy(&mut self) -> Result<(), WorkerError> {
        let mut writer = self.writer.take().ok_or(WorkerError::Died("writer"))?;
        let tidied = blocking("writer", move || {
            if let Err(error) = writer.tidy() {
                tracing::warn!(%error, "what appends have put off stays undone for now");
            }
            writer
        });
        self.writer = Some(tidied.await?);
        Ok(())
    }

    /// After an append of unknown outcome: whether it is there. A new writer settles the old one; if the
    /// progress is then neither what it was nor what was wanted, another worker has taken over meanwhile.
    /// `false` too when nothing was unknown. After an error it is as unknown as before.
    async fn settled_first(&mut self) -> Result<bool, WorkerError> {
        let Some(wanted) = &self.unsettled else { return Ok(false) };
        let (log, reading, name) = (Arc::clone(&self.log), self.reading.clone(), self.name.clone());
        let (writer, found) = tokio::task::spawn_blocking(move || {
            let writer = log.writer(&name)?;
            Ok::<_, WorkerError>((writer, reading::read_progress(&*log, &name, &reading)?))
        })
        .await
        .map_err(|_| WorkerError::Died("writer"))??;
        self.writer = Some(writer);
        // The two may be equal (nothing moved but an outcome): then it cannot be told, and the records are
        // appended again. That is harmless, they are states, of which the last one counts.
        let there = found != self.progress;
        if there && found.as_ref() != Some(wanted) {
            return Err(LogError::Fenced { writer: self.name.clone() }.into());
        }
        self.progress = found;
        self.unsettled = None;
        Ok(there)
    }
}

/// Whether the log may take later what it did not take now.
pub(crate) fn passing(error: &LogError) -> bool {
    matches!(
        error,
        LogError::Retry { .. }
            | LogError::NoSpace { .. }
            | LogError::Unreachable { .. }
            | LogError::Uncertain { .. }
    )
}

/// Of each delivery the last state, in the order of these. `sending` and what came of it never share a turn (it must be
/// acknowledged first), so nothing that a restart needs is left out.
fn newest(deliveries: &mut Vec<Delivery>) -> Vec<Delivery> {
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<Delivery> =
        std::mem::take(deliveries).into_iter().rev().filter(|d| seen.insert(d.delivery_id.clone())).collect();
    kept.reverse();
    kept
}
