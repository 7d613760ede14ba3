//! The thread that reads alerts, contacts and governance events for the worker.
//!
//! Contacts and events are read to their end after each batch of alerts, so whoever was registered, and what was
//! silenced, before an alert was decided is known when it is delivered.

use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use tocsin_schemas::log::{EventLog, LogError, LogReader};
use tocsin_schemas::records::{Digest, GovernanceEvent, Offset};
use tocsin_schemas::wire::SchemaIds;
use tokio::sync::mpsc;

use super::merge::{Merge, Read};
use super::{WorkerError, start};

/// How long one wait for alerts lasts; also how soon the thread notices that the worker is gone, and how
/// soon a changed contact is seen when no alert comes.
const WAIT: Duration = Duration::from_millis(500);

/// What was read.
pub(super) struct Batch {
    pub alerts: Vec<Read>,
    pub any_alert: bool,
    pub contacts: Vec<start::ContactChange>,
    pub contacts_refused: u64,
    pub governance: Vec<(GovernanceEvent, Digest)>,
    pub silences_refused: u64,
    /// Of all alerts so far, those that went out although the one before them never came.
    pub out_of_turn: u64,
    /// Where reading of `alerts` goes on.
    pub taken_in: Vec<Offset>,
}

/// Starts the thread. It ends within [`WAIT`] after the receiver is gone, or after an error.
pub(super) fn spawn(
    log: Arc<dyn EventLog>,
    alerts: Merge,
    contacts: Box<dyn LogReader>,
    governance: Box<dyn LogReader>,
    schemas: Arc<dyn SchemaIds>,
    reading: start::Reading,
) -> mpsc::Receiver<Result<Batch, WorkerError>> {
    let (to_worker, from_thread) = mpsc::channel(1);
    let mut tail = Tail {
        log,
        alerts,
        contacts,
        governance,
        schemas,
        reading,
        contacts_read: Vec::new(),
        refused: 0,
        governance_read: Vec::new(),
        governance_refused: 0,
    };
    std::thread::spawn(move || {
        let mut last = tail.alerts.handed_out();
        while !to_worker.is_closed() {
            match tail.read() {
                Ok(()) => {}
                // What was read so far stays in the tail: the position is past it.
                Err(_) if to_worker.is_closed() => return,
                Err(WorkerError::Log(error @ (LogError::Unreachable { .. } | LogError::Retry { .. }))) => {
                    tracing::warn!(%error, "alerts cannot be read just now");
                    std::thread::sleep(WAIT);
                    continue;
                }
                Err(error) => {
                    let _ = to_worker.blocking_send(Err(error));
                    return;
                }
            }
            let batch = tail.take();
            if batch.is_empty() && batch.taken_in == last {
                continue;
            }
            last.clone_from(&batch.taken_in);
            if to_worker.blocking_send(Ok(batch)).is_err() {
                return;
            }
        }
    });
    from_thread
}

impl Batch {
    fn is_empty(&self) -> bool {
        let contacts = self.contacts.is_empty() && self.contacts_refused == 0;
        let governance = self.governance.is_empty() && self.silences_refused == 0;
        !self.any_alert && contacts && governance
    }
}

/// The three readers, and what was read and not handed over yet.
struct Tail {
    log: Arc<dyn EventLog>,
    alerts: Merge,
    contacts: Box<dyn LogReader>,
    governance: Box<dyn LogReader>,
    schemas: Arc<dyn SchemaIds>,
    reading: start::Reading,
    contacts_read: Vec<start::ContactChange>,
    refused: u64,
    governance_read: Vec<(GovernanceEvent, Digest)>,
    governance_refused: u64,
}

impl Tail {
    /// Waits for alerts, and then reads contacts and governance events to their end.
    fn read(&mut self) -> Result<(), WorkerError> {
        self.alerts.read(WAIT)?;
        let Tail { log, contacts, schemas, reading, contacts_read, refused, .. } = self;
        let Tail { governance, governance_read, governance_refused, .. } = self;
        start::to_end(&**log, &mut **contacts, reading, |record| {
            match start::contact(&record, &**schemas) {
                Some(contact) => contacts_read.push(contact),
                None => *refused += 1,
            }
            Ok(())
        })?;
        start::to_end(&**log, &mut **governance, reading, |record| {
            match start::governance(&record, &**schemas) {
                Some(event) => governance_read.push(event),
                None => *governance_refused += 1,
            }
            Ok(())
        })
    }

    fn take(&mut self) -> Batch {
        let alerts = self.alerts.release(Monotonic::now());
        Batch {
            any_alert: !alerts.is_empty(),
            alerts,
            contacts: std::mem::take(&mut self.contacts_read),
            contacts_refused: std::mem::take(&mut self.refused),
            governance: std::mem::take(&mut self.governance_read),
            silences_refused: std::mem::take(&mut self.governance_refused),
            out_of_turn: self.alerts.out_of_turn(),
            taken_in: self.alerts.handed_out(),
        }
    }
}
