//! What was decided goes out: incidents, alerts, rates, lists, quarantine and the progress that they stand for, in
//! one append. Visible together or not at all (invariant I3), so a restart never says a thing twice.
//!
//! | the log says | what happens |
//! |---|---|
//! | `Retry`, `Unreachable` | the same append again, after a pause that grows; nothing is lost |
//! | `NoSpace` | said once, then tried every second until there is space; nothing acknowledged is lost |
//! | `Uncertain` | a new writer, then progress is read back: it tells whether the append was committed |
//! | `Fenced` | stop: another process has taken over |
//! | anything else | stop with the reason |

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use tocsin_pipeline::Outcome;
use tocsin_schemas::fence::FenceWatch;
use tocsin_schemas::log::{EventLog, LogError, LogWriter, NewRecord};
use tocsin_schemas::partition::partition_of;
use tocsin_schemas::records::{Progress, Quarantined};
use tocsin_schemas::topics::{self, PROGRESS};
use tocsin_schemas::wire::{self, Kind, OutputRecord};

use super::WRITER;
use super::out::Said;
use super::start;
use crate::exit::Failure;
use crate::run::stop::Stop;

/// First and longest pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long to look for a commit of our own to show.
const VISIBLE: Duration = Duration::from_millis(250);
/// How often to look whether somebody else writes as us.
const WATCH: Duration = Duration::from_millis(1500);

/// The writer `pipeline`, and what it has written last.
pub struct Sink {
    log: Arc<dyn EventLog>,
    writer: Box<dyn LogWriter>,
    /// The topic of each kind of record out.
    names: HashMap<Kind, Arc<str>>,
    /// What the topic `progress` says of us, as far as we know.
    committed: Option<Progress>,
    /// When we last looked who writes progress under our name.
    looked: Option<Monotonic>,
    fence: FenceWatch,
    stop: Stop,
}

impl Sink {
    /// Takes the writer's name over: whoever had it before is fenced. Reads back the progress after that.
    ///
    /// A full disk is waited for.
    ///
    /// # Errors
    /// Those of the log.
    pub fn open(log: Arc<dyn EventLog>, stop: Stop) -> Result<Sink, LogError> {
        let mut said = false;
        let writer = loop {
            match log.writer(WRITER) {
                Err(error @ LogError::NoSpace { .. }) if !stop.asked() => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::error!(%error, "nothing is decided: free space");
                    }
                    std::thread::sleep(PAUSE.1);
                }
                opened => break opened?,
            }
        };
        let committed = start::read_progress(&*log)?;
        let names = topics::catalogue().iter().filter_map(|t| Some((t.schema?, Arc::from(t.name)))).collect();
        Ok(Sink { log, writer, names, committed, looked: None, fence: FenceWatch::default(), stop })
    }

    /// The progress that the log holds.
    pub fn committed(&self) -> Option<&Progress> {
        self.committed.as_ref()
    }

    fn record<T: OutputRecord>(&self, record: &T) -> NewRecord {
        let topic = Arc::clone(&self.names[&T::KIND]);
        NewRecord { topic, key: record.key(), value: Some(wire::encode(record)), stamp: None, route: None }
    }

    /// A tombstone: what stood under the key is not so any more.
    fn gone(&self, kind: Kind, key: String) -> NewRecord {
        let topic = Arc::clone(&self.names[&kind]);
        NewRecord { topic, key: key.into_bytes(), value: None, stamp: None, route: None }
    }

    /// Encodes and commits.
    ///
    /// # Errors
    /// Those of [`Sink::commit`].
    pub fn write(&mut self, said: &Said) -> Result<(), Failure> {
        let records = self.records(&said.outcomes, &said.refused);
        self.commit(records, said.progress.clone())
    }

    /// Everything of these outcomes as records.
    pub fn records(&self, outcomes: &[Outcome], refused: &[Quarantined]) -> Vec<NewRecord> {
        let count = |o: &Outcome| o.incidents.len() + o.alerts.len() + o.rates.len() + o.lists.len();
        // One more for the progress.
        let mut records = Vec::with_capacity(refused.len() + outcomes.iter().map(count).sum::<usize>() + 1);
        records.extend(refused.iter().map(|q| self.record(q)));
        for outcome in outcomes {
            records.extend(outcome.incidents.iter().map(|i| self.record(i)));
            records.extend(outcome.alerts.iter().map(|a| self.record(a)));
            records.extend(outcome.rates.iter().map(|((scope, key), rates)| match rates {
                Some(rates) => self.record(&rates),
                None => self.gone(Kind::Rates, format!("{scope}|{key}")),
            }));
            records.extend(outcome.lists.iter().map(|(key, listed)| match listed {
                Some(listed) => self.record(&listed),
                None => self.gone(Kind::Listed, key),
            }));
        }
        records
    }

    /// Appends the records with the progress that they stand for, and returns when that is acknowledged.
    ///
    /// # Errors
    /// One line: fenced, or a reason that trying again does not help, or a stop while the log could not be
    /// reached. Nothing of the append is in the log then, and the next start decides it again.
    pub fn commit(&mut self, mut records: Vec<NewRecord>, progress: Progress) -> Result<(), Failure> {
        records.push(self.record(&progress));
        let mut pause = PAUSE.0;
        let mut said_full = false;
        loop {
            let error = match self.writer.append(&records) {
                Ok(()) => break,
                Err(LogError::Uncertain { why }) => {
                    tracing::warn!(%why, "not known whether the last append was committed: asking the log");
                    if self.settle(&progress)? {
                        break;
                    }
                    continue;
                }
                Err(error) => error,
            };
            match &error {
                LogError::Retry { .. } | LogError::Unreachable { .. } => {
                    tracing::warn!(%error, pause_ms = pause.as_millis(), "append waits for the event log");
                }
                LogError::NoSpace { .. } => {
                    if !said_full {
                        tracing::error!(%error, "decisions wait: free space on its disk, or raise [log] max_bytes if it is set; nothing acknowledged is lost");
                    }
                    said_full = true;
                    pause = pause.max(Duration::from_secs(1)).min(Duration::from_secs(1));
                }
                _ => return Err(error.into()),
            }
            self.wait(pause, &error)?;
            pause = (pause * 2).min(PAUSE.1);
        }
        if said_full {
            tracing::info!("there is space again: decisions go on");
        }
        self.fence.wrote();
        self.committed = Some(progress);
        Ok(())
    }

    fn wait(&self, pause: Duration, error: &LogError) -> Result<(), Failure> {
        let deadline = Monotonic::now() + pause;
        loop {
            if self.stop.asked() {
                return Err(Failure::failed(format!(
                    "stopped before the last batch could be committed (the next start decides it again): {error}"
                )));
            }
            let left = deadline.saturating_duration_since(Monotonic::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }

    /// After an append of unknown outcome: whether it was committed.
    fn settle(&mut self, wanted: &Progress) -> Result<bool, Failure> {
        let mut pause = PAUSE.0;
        let found = loop {
            let tried = self.log.writer(WRITER).and_then(|w| Ok((w, start::read_progress(&*self.log)?)));
            match tried {
                Ok((writer, found)) => {
                    self.writer = writer;
                    break found;
                }
                Err(
                    error
                    @ (LogError::Retry { .. } | LogError::Unreachable { .. } | LogError::NoSpace { .. }),
                ) => {
                    tracing::warn!(%error, "cannot ask the event log yet");
                    self.wait(pause, &error)?;
                    pause = (pause * 2).min(PAUSE.1);
                }
                Err(error) => return Err(error.into()),
            }
        };
        if found.as_ref() == Some(wanted) {
            return Ok(true);
        }
        if found == self.committed {
            return Ok(false);
        }
        Err(Failure::failed(
            "another `tocsin run` has decided meanwhile (its progress is in the log): this one stops",
        ))
    }

    /// Looks, every second and a half, whether somebody else has written progress under our name, and asks
    /// the log where that may be ([`FenceWatch`]). An idle writer would otherwise not learn that it was
    /// fenced; a busy one learns it from its next append.
    ///
    /// # Errors
    /// Fenced.
    pub fn watch(&mut self) -> Result<(), Failure> {
        if self.looked.is_some_and(|at| at.elapsed() < WATCH) {
            return Ok(());
        }
        // Trouble with reading is the feed's to report.
        let Some(end) = self.end() else { return Ok(()) };
        self.looked = Some(Monotonic::now());
        let Some(progress) = self.committed.clone().filter(|_| self.fence.look(end)) else { return Ok(()) };
        tracing::debug!("asking the event log whether another run has taken over");
        self.commit(Vec::new(), progress)?;
        // Kafka shows a commit some milliseconds after it acknowledged it. Taken for somebody else's, it would
        // be asked about at the next look, and so on for ever.
        let deadline = Monotonic::now() + VISIBLE;
        while Monotonic::now() < deadline {
            if let Some(after) = self.end().filter(|after| *after > end) {
                self.fence.asked(after);
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Where our partition of progress ends; `None` where that cannot be looked up now.
    fn end(&self) -> Option<u64> {
        let bounds = self.log.bounds(PROGRESS).ok()?;
        let ours = partition_of(WRITER.as_bytes(), bounds.len() as u32) as usize;
        bounds.get(ours).map(|b| b.end)
    }
}
