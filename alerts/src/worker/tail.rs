//! The thread that reads deliveries or answers for a role, as they are written.

use std::sync::Arc;
use std::time::Duration;

use tocsin_schemas::log::{EventLog, LogError, LogReader};
use tocsin_schemas::records::{Answer, Delivery};
use tocsin_schemas::wire::OutputRecord;
use tokio::sync::mpsc;

use super::WorkerError;
use super::reading::Reading;
use super::recall::{Recall, Recalled};
use super::registry::Registry;
use crate::codec;

/// How long one wait lasts; also how soon the thread notices that the role is gone, and how soon a changed contact is
/// seen when nothing comes.
pub(crate) const WAIT: Duration = Duration::from_millis(500);
/// Records asked for at once.
const CHUNK: usize = 1_000;

/// What was read.
pub(crate) struct Batch<T> {
    /// In the order of each partition.
    pub records: Vec<T>,
    /// Of each partition the offset of the next record.
    pub position: Vec<(u32, u64)>,
    /// What the role may not know of the cases of these records.
    pub recalled: Recalled,
}

/// A record that is read for a role.
pub(crate) trait Tailed: OutputRecord + Send + 'static {
    /// The case that the role must know before it takes this in.
    fn case(&self) -> Option<&str>;
}

impl Tailed for Delivery {
    fn case(&self) -> Option<&str> {
        Some(&self.case_no)
    }
}

/// It speaks of a delivery that is open or recent, of which the role knows everything.
impl Tailed for Answer {
    fn case(&self) -> Option<&str> {
        None
    }
}

/// Starts the thread on what `reader` brings. It ends within [`WAIT`] after the receiver is gone, or after an error.
pub(crate) fn spawn<T: Tailed>(
    log: Arc<dyn EventLog>,
    mut reader: Box<dyn LogReader>,
    registry: Arc<Registry>,
    mut recall: Option<Recall>,
    reading: Reading,
) -> mpsc::Receiver<Result<Batch<T>, WorkerError>> {
    let (to_role, from_thread) = mpsc::channel(1);
    std::thread::spawn(move || {
        // Held while it reads, so that a reader lives no longer than its log.
        let _log = log;
        let mut last = Vec::new();
        while !to_role.is_closed() {
            let before = ends(&*reader);
            let batch = match read::<T>(&mut *reader) {
                Err(_) if to_role.is_closed() => return,
                Err(WorkerError::Log(error @ (LogError::Unreachable { .. } | LogError::Retry { .. }))) => {
                    tracing::warn!(%error, topic = T::TOPIC, "cannot be read just now");
                    std::thread::sleep(WAIT);
                    continue;
                }
                read => read,
            };
            // After what is to be sent was read: whoever was known when it was planned is known now.
            let batch = batch.and_then(|batch| {
                loop {
                    match registry.refresh(&reading) {
                        Err(WorkerError::Log(LogError::Unreachable { .. } | LogError::Retry { .. }))
                            if !to_role.is_closed() =>
                        {
                            std::thread::sleep(WAIT);
                        }
                        other => return other.map(|()| batch),
                    }
                }
            });
            let batch = batch.and_then(|mut batch| {
                if let Some(recall) = &mut recall {
                    let cases = || batch.records.iter().filter_map(T::case);
                    batch.recalled =
                        recall.patiently(|recall| recall.cases(cases(), &before), || to_role.is_closed())?;
                }
                Ok(batch)
            });
            let failed = batch.is_err();
            if let Ok(batch) = &batch {
                if batch.records.is_empty() && batch.position == last {
                    continue;
                }
                last.clone_from(&batch.position);
            }
            if to_role.blocking_send(batch).is_err() || failed {
                return;
            }
        }
    });
    from_thread
}

/// What was read lies before these offsets, by partition.
fn ends(reader: &dyn LogReader) -> Vec<u64> {
    let mut ends = Vec::new();
    for (at, next) in reader.position() {
        let partition = at.partition as usize;
        if ends.len() <= partition {
            ends.resize(partition + 1, u64::MAX);
        }
        ends[partition] = next;
    }
    ends
}

fn read<T: OutputRecord>(reader: &mut dyn LogReader) -> Result<Batch<T>, WorkerError> {
    let records = reader.poll(CHUNK, WAIT)?;
    let decoded = records.iter().filter_map(|record| {
        let value = record.value.as_ref()?;
        Some(codec::decode(record, value).map_err(WorkerError::Damaged))
    });
    Ok(Batch {
        records: decoded.collect::<Result<_, _>>()?,
        position: reader.position().into_iter().map(|(at, next)| (at.partition, next)).collect(),
        recalled: Recalled::default(),
    })
}
