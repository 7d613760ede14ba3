//! Alerts of all partitions in the order in which they were decided.
//!
//! The key of an alert is its enterprise, so the messages of one incident stand in different partitions when
//! its employer drops out and only the host is told further. What is read is therefore held until nothing
//! that was decided earlier can come any more: each partition was read beyond that time, or to its end *after*
//! the alert was in hand. (What changes a message is committed after it.)
//!
//! Progress never passes what is held. Within a partition the order of offsets stands, even if a clock went back. Alerts of one instant
//! are never parted; among them the order is that of episodes and revisions.
//!
//! # What is not visible yet
//! "Read to its end" is what the log shows at that moment. Kafka shows the parts of one transaction one
//! partition after the other, so a message may be in hand while the one before it, committed with it, is not
//! visible in its partition. The messages of an incident are numbered 1, 2, 3 … without gaps (`revision`; the
//! oracle holds the decider to it), so a missing one is noticed: see [`turns`](super::turns). Only the messages
//! of that incident wait, and not for ever.
//!
//! Near the end one reader serves all partitions. Behind by more than a batch each partition gets a reader of
//! its own, because a common one would have to hold everything that it brings of the others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use tocsin_schemas::log::{EventLog, LogReader, LogRecord, TopicPartition};
use tocsin_schemas::records::{Alert, Offset};
use tocsin_schemas::time::Instant;

use super::alerts_offset;
use super::turns::Turns;
use crate::codec;
use crate::worker::WorkerError;

/// How long a poll waits for what is known or likely to be there.
const LOOK: Duration = Duration::from_millis(50);

/// An alert and its place.
pub(crate) struct Read {
    pub alert: Alert,
    pub partition: u32,
    pub offset: u64,
}

/// Reads `alerts` and holds what may not be handed out yet.
pub(crate) struct Merge {
    log: Arc<dyn EventLog>,
    readers: Readers,
    parts: Vec<Part>,
    turns: Turns,
    /// How many alerts are read ahead of each partition.
    ahead: usize,
}

enum Readers {
    Together(Box<dyn LogReader>),
    /// One for each partition, in their order.
    Apart(Vec<Box<dyn LogReader>>),
}

struct Part {
    at: TopicPartition,
    held: VecDeque<(Instant, Read)>,
    /// The latest time of a decision read so far: nothing that is still to come counts as earlier.
    latest: Instant,
    /// The offset of the next record to read.
    next: u64,
    /// Whether it was read to its end after everything that is held now.
    at_end: bool,
}

impl Merge {
    /// What `reader` brings, from where it stands. `turns` knows what lies before that.
    pub fn new(log: Arc<dyn EventLog>, reader: Box<dyn LogReader>, turns: Turns, ahead: usize) -> Merge {
        let part =
            |(at, next)| Part { at, held: VecDeque::new(), latest: Instant(i64::MIN), next, at_end: false };
        let parts = reader.position().into_iter().map(part).collect();
        Merge { log, readers: Readers::Together(reader), parts, turns, ahead: ahead.max(1) }
    }

    /// Reads on; near the end it waits so long for the first alert. After an error what was read before is
    /// still held, and the call may be repeated.
    ///
    /// # Errors
    /// Those of the log; `Damaged` for an alert that cannot be read.
    pub fn read(&mut self, wait: Duration) -> Result<(), WorkerError> {
        self.parts.iter_mut().for_each(|part| part.at_end &= matches!(self.readers, Readers::Apart(_)));
        match &mut self.readers {
            Readers::Together(reader) => {
                let mut wait = wait;
                loop {
                    let records = reader.poll(self.ahead, wait)?;
                    let nothing = records.is_empty();
                    keep(&mut self.parts, records, reader.position())?;
                    wait = LOOK;
                    if reader.caught_up()? {
                        self.parts.iter_mut().for_each(|part| part.at_end = true);
                        return Ok(());
                    }
                    if self.parts.iter().map(|part| part.held.len()).sum::<usize>() >= self.ahead {
                        break;
                    }
                    if nothing {
                        return Ok(());
                    }
                }
                let apart: Result<Vec<_>, _> =
                    self.parts.iter().map(|part| self.log.reader(&[(part.at.clone(), part.next)])).collect();
                self.readers = Readers::Apart(apart?);
            }
            Readers::Apart(readers) => {
                for (part, reader) in self.parts.iter_mut().zip(readers.iter_mut()) {
                    if !part.at_end && part.wants_more(self.ahead) {
                        let records = reader.poll(self.ahead, LOOK)?;
                        keep(std::slice::from_mut(part), records, reader.position())?;
                    }
                }
                // Only now: an end counts for what was in hand before it was looked up.
                for (part, reader) in self.parts.iter_mut().zip(readers) {
                    part.at_end = part.wants_more(self.ahead) && reader.caught_up()?;
                }
                if self.parts.iter().all(|part| part.at_end) {
                    let from: Vec<_> = self.parts.iter().map(|part| (part.at.clone(), part.next)).collect();
                    self.readers = Readers::Together(self.log.reader(&from)?);
                }
            }
        }
        Ok(())
    }

    /// What may be handed out at this moment, in order.
    pub fn release(&mut self, now: Monotonic) -> Vec<Read> {
        let limit = self.parts.iter().filter(|part| !part.at_end).map(|part| part.latest).min();
        let mut out = Vec::new();
        for part in &mut self.parts {
            let may = part.held.partition_point(|(time, _)| limit.is_none_or(|limit| *time < limit));
            out.extend(part.held.drain(..may));
        }
        out.sort_by_key(|(time, read)| (*time, read.alert.episode, read.alert.revision));
        self.turns.in_turn(out.into_iter().map(|(_, read)| read), now)
    }

    /// How many were handed out although the one before them never came.
    pub fn out_of_turn(&self) -> u64 {
        self.turns.out_of_turn()
    }

    /// For each partition the offset after what was handed out.
    pub fn handed_out(&self) -> Vec<Offset> {
        let next = |part: &Part| {
            let held = part.held.front().map_or(part.next, |(_, read)| read.offset);
            self.turns.first_waiting(part.at.partition).map_or(held, |waiting| waiting.min(held))
        };
        self.parts.iter().map(|part| alerts_offset(part.at.partition, next(part))).collect()
    }
}

impl Part {
    /// Whether more has to be in hand before something of it can be handed out, or a batch of it.
    fn wants_more(&self, ahead: usize) -> bool {
        self.held.len() < ahead || self.held.front().is_some_and(|(time, _)| *time == self.latest)
    }
}

fn keep(
    parts: &mut [Part],
    records: Vec<LogRecord>,
    position: Vec<(TopicPartition, u64)>,
) -> Result<(), WorkerError> {
    for record in records {
        let value = record.value.as_deref().unwrap_or_default();
        let alert: Alert = codec::decode(&record, value).map_err(WorkerError::Damaged)?;
        let Some(part) = parts.iter_mut().find(|part| part.at.partition == record.partition) else {
            continue;
        };
        part.latest = part.latest.max(alert.decided_at);
        let read = Read { alert, partition: record.partition, offset: record.offset };
        part.held.push_back((part.latest, read));
    }
    for (part, (_, next)) in parts.iter_mut().zip(position) {
        part.next = next;
    }
    Ok(())
}
