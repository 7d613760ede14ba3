//! The thread that reads alerts for the planner.
//!
//! The registry is read to its end after each batch of alerts, so whoever was registered before an alert was decided
//! is known when it is planned.

use std::sync::Arc;
use std::time::Instant as Monotonic;

use tocsin_schemas::log::LogError;
use tocsin_schemas::records::Offset;
use tokio::sync::mpsc;

use super::merge::{Merge, Read};
use crate::worker::WorkerError;
use crate::worker::reading::Reading;
use crate::worker::recall::{Recall, Recalled};
use crate::worker::registry::Registry;
use crate::worker::tail::WAIT;

/// What was read.
pub(super) struct Batch {
    /// When it was known to all ends who is to be reached and what is silent.
    pub at: Monotonic,
    pub alerts: Vec<Read>,
    /// Of all alerts so far, those that went out although the one before them never came.
    pub out_of_turn: u64,
    /// Where reading of `alerts` goes on.
    pub taken_in: Vec<Offset>,
    /// What the planner may not know of their cases.
    pub recalled: Recalled,
}

/// Starts the thread. It ends within [`WAIT`] after the receiver is gone, or after an error.
pub(super) fn spawn(
    mut alerts: Merge,
    registry: Arc<Registry>,
    mut recall: Option<Recall>,
    reading: Reading,
) -> mpsc::Receiver<Result<Batch, WorkerError>> {
    let (to_planner, from_thread) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut last = alerts.handed_out();
        while !to_planner.is_closed() {
            match alerts.read(WAIT).and_then(|()| registry.refresh(&reading)) {
                Ok(()) => {}
                // What was read so far stays where it is: the position is past it.
                Err(_) if to_planner.is_closed() => return,
                Err(WorkerError::Log(error @ (LogError::Unreachable { .. } | LogError::Retry { .. }))) => {
                    tracing::warn!(%error, "alerts cannot be read just now");
                    std::thread::sleep(WAIT);
                    continue;
                }
                Err(error) => {
                    let _ = to_planner.blocking_send(Err(error));
                    return;
                }
            }
            let at = Monotonic::now();
            let released = alerts.release(at);
            let cases = || released.iter().map(|read| &*read.alert.case_no);
            let recalled = match &mut recall {
                Some(recall) => {
                    recall.patiently(|recall| recall.cases(cases(), &[]), || to_planner.is_closed())
                }
                None => Ok(Recalled::default()),
            };
            let recalled = match recalled {
                Ok(recalled) => recalled,
                Err(error) => {
                    let _ = to_planner.blocking_send(Err(error));
                    return;
                }
            };
            let batch = Batch {
                at,
                alerts: released,
                out_of_turn: alerts.out_of_turn(),
                taken_in: alerts.handed_out(),
                recalled,
            };
            if batch.alerts.is_empty() && batch.taken_in == last {
                continue;
            }
            last.clone_from(&batch.taken_in);
            if to_planner.blocking_send(Ok(batch)).is_err() {
                return;
            }
        }
    });
    from_thread
}
