//! The thread that reads alerts and contacts for the worker.
//!
//! Contacts are read to their end after each batch of alerts, so whoever was registered before an alert
//! was decided is known when it is delivered.

use std::sync::Arc;
use std::time::Duration;

use tocsin_schemas::log::{LogError, LogReader, LogRecord};
use tocsin_schemas::records::{Alert, Offset};
use tocsin_schemas::wire::SchemaIds;
use tokio::sync::mpsc;

use super::{WorkerError, alerts_offset, start};
use crate::codec;

/// How long one wait for alerts lasts; also how soon the thread notices that the worker is gone, and how
/// soon a changed contact is seen when no alert comes.
const WAIT: Duration = Duration::from_millis(500);

/// An alert and its place.
pub(super) struct Read {
    pub alert: Alert,
    pub partition: u32,
    pub offset: u64,
}

/// What was read.
pub(super) struct Batch {
    pub alerts: Vec<Read>,
    pub any_alert: bool,
    pub contacts: Vec<start::ContactChange>,
    pub contacts_refused: u64,
    /// Where reading of `alerts` goes on.
    pub taken_in: Vec<Offset>,
}

/// Starts the thread. It ends within [`WAIT`] after the receiver is gone, or after an error.
pub(super) fn spawn(
    alerts: Box<dyn LogReader>,
    contacts: Box<dyn LogReader>,
    schemas: Arc<dyn SchemaIds>,
    max_batch: usize,
) -> mpsc::Receiver<Result<Batch, WorkerError>> {
    let (to_worker, from_thread) = mpsc::channel(1);
    let mut tail = Tail {
        alerts,
        contacts,
        schemas,
        max_batch,
        read: Vec::new(),
        contacts_read: Vec::new(),
        refused: 0,
    };
    std::thread::spawn(move || {
        let mut last = tail.alerts.position();
        while !to_worker.is_closed() {
            match tail.read() {
                Ok(()) => {}
                // What was read so far stays in the tail: the position is past it.
                Err(error @ (LogError::Unreachable { .. } | LogError::Retry { .. })) => {
                    tracing::warn!(%error, "alerts cannot be read just now");
                    std::thread::sleep(WAIT);
                    continue;
                }
                Err(error) => {
                    let _ = to_worker.blocking_send(Err(error.into()));
                    return;
                }
            }
            let position = tail.alerts.position();
            if tail.is_empty() && position == last {
                continue;
            }
            last = position;
            let batch = tail.take();
            let damaged = batch.is_err();
            if to_worker.blocking_send(batch).is_err() || damaged {
                return;
            }
        }
    });
    from_thread
}

/// The two readers, and what was read and not handed over yet.
struct Tail {
    alerts: Box<dyn LogReader>,
    contacts: Box<dyn LogReader>,
    schemas: Arc<dyn SchemaIds>,
    max_batch: usize,
    read: Vec<LogRecord>,
    contacts_read: Vec<start::ContactChange>,
    refused: u64,
}

impl Tail {
    fn is_empty(&self) -> bool {
        self.read.is_empty() && self.contacts_read.is_empty() && self.refused == 0
    }

    /// Waits for alerts, takes what is at hand in all partitions (so that one decision is seen whole where
    /// possible), and then reads contacts to their end.
    fn read(&mut self) -> Result<(), LogError> {
        let mut wait = WAIT;
        while self.read.len() < self.max_batch {
            let more = self.alerts.poll(self.max_batch - self.read.len(), wait)?;
            let nothing = more.is_empty();
            self.read.extend(more);
            wait = Duration::from_millis(50);
            if nothing || self.alerts.caught_up()? {
                break;
            }
        }
        while !self.contacts.caught_up()? {
            for record in self.contacts.poll(1_000, Duration::from_millis(50))? {
                match start::contact(&record, &*self.schemas) {
                    Some(contact) => self.contacts_read.push(contact),
                    None => self.refused += 1,
                }
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Batch, WorkerError> {
        let records = std::mem::take(&mut self.read);
        let mut batch = Batch {
            any_alert: !records.is_empty(),
            alerts: Vec::with_capacity(records.len()),
            contacts: std::mem::take(&mut self.contacts_read),
            contacts_refused: std::mem::take(&mut self.refused),
            taken_in: self
                .alerts
                .position()
                .into_iter()
                .map(|(tp, next)| alerts_offset(tp.partition, next))
                .collect(),
        };
        for record in records {
            let value = record.value.as_deref().unwrap_or_default();
            let alert = codec::decode(&record, value).map_err(WorkerError::Damaged)?;
            batch.alerts.push(Read { alert, partition: record.partition, offset: record.offset });
        }
        // Within a partition this keeps the order; between partitions it is the order of decisions.
        batch.alerts.sort_by_key(|read| read.alert.decided_at);
        Ok(batch)
    }
}
