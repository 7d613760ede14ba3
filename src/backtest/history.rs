//! History as the engines take it: batches of what arrived at one instant, through the door, in order.
//!
//! - [`Stream`]: a file, as `tocsin replay` reads it
//! - [`Topics`]: the input topics of an event log, as `tocsin run --clock arrivals` merges them. Nothing is
//!   written to it.
//!
//! The order, the door and the clock are the same as there, so the same records give the same decisions.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use indicatif::ProgressBar;
use tocsin_alerts::contacts::Contacts;
use tocsin_pipeline::Arrival;
use tocsin_schemas::door;
use tocsin_schemas::log::{EventLog, LogError};
use tocsin_schemas::records::Record;
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;
use tocsin_schemas::wire::{NoIds, SchemaIds};

use crate::config::Config;
use crate::exit::Failure;
use crate::open;
use crate::run::pipeline::admit::{AtDoor, admit};
use crate::run::pipeline::clock::{self, Rule, Stamp};
use crate::run::pipeline::inputs::{Inputs, Next, Options, Order};
use crate::run::pipeline::start;
use crate::stream::{self, Lines};

/// How long one look at the log lasts.
const LOOK: Duration = Duration::from_millis(500);
/// How long reading what is known to be there may stand still before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Records that are merged at once.
const MERGED: usize = 10_000;

/// What arrived at one instant. Empty: it was refused at the door, but time has passed.
#[derive(Debug)]
pub struct Batch {
    /// The instant.
    pub at: Instant,
    /// What the door let in, in order.
    pub arrivals: Vec<Arrival>,
}

/// What was read, for the heading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Read {
    /// Lines or records.
    pub records: u64,
    /// Those that were refused: no sound envelope, or at the door.
    pub refused: u64,
}

/// A history. It is read once, from its beginning.
pub trait History {
    /// What arrived next; `None` at the end.
    ///
    /// # Errors
    /// It cannot be read any further, or an arrival is a century after the one before.
    fn next(&mut self) -> Result<Option<Batch>, Failure>;

    /// What was read so far.
    fn read(&self) -> Read;

    /// The contacts as they stand after what was read so far. Personal data.
    fn contacts(&mut self) -> &mut Contacts;
}

/// A file of arrivals.
pub struct Stream {
    lines: Lines,
    refused: u64,
    contacts: Contacts,
    clock: Option<Instant>,
    /// The first line of the next batch.
    begun: Option<Batch>,
}

impl Stream {
    /// Opens it.
    ///
    /// # Errors
    /// A wrong call: it cannot be read.
    pub fn open(path: &Path) -> Result<Stream, Failure> {
        let (lines, contacts) = (Lines::open(path)?, Contacts::new());
        Ok(Stream { lines, refused: 0, contacts, clock: None, begun: None })
    }
}

impl History for Stream {
    fn next(&mut self) -> Result<Option<Batch>, Failure> {
        let mut batch = self.begun.take();
        loop {
            let Some(line) = self.lines.next()? else { return Ok(batch) };
            let Ok(envelope) = line.admit() else {
                // Moves no clock and ends no batch.
                self.refused += 1;
                continue;
            };
            let at = envelope.arrived_at;
            let mut arrivals = Vec::new();
            match door::admit(&envelope.topic, envelope.value, at, &NoIds) {
                Err(_) => self.refused += 1,
                Ok(admitted) => {
                    if let Record::Contact(contact) = &admitted.record {
                        let key = format!("{}|{}|{}", contact.role, contact.subject, contact.rank);
                        self.contacts.apply(key.as_bytes(), Some((contact.clone(), admitted.digest)));
                    }
                    arrivals.push(Arrival {
                        record: admitted.record,
                        digest: admitted.digest,
                        arrived_at: at,
                    });
                }
            }
            match &mut batch {
                Some(batch) if batch.at == at => {
                    batch.arrivals.append(&mut arrivals);
                    continue;
                }
                _ => {}
            }
            clock::near(self.clock, [at].into_iter())
                .map_err(|jump| Failure::failed(format!("line {}: {jump}", line.number)))?;
            self.clock = self.clock.max(Some(at));
            let begun = Batch { at, arrivals };
            match batch {
                None => batch = Some(begun),
                Some(_) => {
                    self.begun = Some(begun);
                    return Ok(batch);
                }
            }
        }
    }

    fn read(&self) -> Read {
        Read { records: self.lines.count(), refused: self.refused }
    }

    fn contacts(&mut self) -> &mut Contacts {
        &mut self.contacts
    }
}

/// The input topics of an event log, up to the ends seen at the start.
pub struct Topics {
    inputs: Inputs,
    schemas: Arc<dyn SchemaIds>,
    read: Read,
    contacts: Contacts,
    clock: Option<Instant>,
    ready: VecDeque<Batch>,
    bar: ProgressBar,
}

impl Topics {
    /// Opens the log that the configuration names.
    ///
    /// # Errors
    /// Those of the log; a topic that is missing or not whole: half a history would answer wrongly.
    pub fn open(config: &Config) -> Result<Topics, Failure> {
        let schemas: Arc<dyn SchemaIds> = Arc::<tocsin_schemas::wire::FileMap>::clone(&config.schema_ids);
        Topics::of(open::open(config, open::Missing::Refuse)?, schemas)
    }

    /// The same of a log that is open.
    ///
    /// # Errors
    /// As for [`Topics::open`].
    pub fn of(log: Arc<dyn EventLog>, schemas: Arc<dyn SchemaIds>) -> Result<Topics, Failure> {
        let progress = start::read_progress(&*log)?;
        let (found, troubles) = start::look(&*log, progress.as_ref())?;
        if let Some(trouble) = troubles.first() {
            return Err(Failure::failed(format!("the history is not whole: {trouble}")));
        }
        let from = start::positions(&found, None);
        let bounds = found.bounds.iter().filter(|(name, _)| from.iter().any(|(at, _)| at.topic == **name));
        let there: u64 = bounds.flat_map(|(_, parts)| parts).map(|b| b.end - b.first).sum();
        Topics::new(log, &from, schemas, there)
    }

    fn new(
        log: Arc<dyn EventLog>,
        from: &[(tocsin_schemas::log::TopicPartition, u64)],
        schemas: Arc<dyn SchemaIds>,
        there: u64,
    ) -> Result<Topics, Failure> {
        let options =
            Options { order: Order::Arrivals, max_batch: MERGED, linger: Duration::ZERO, until_end: true };
        Ok(Topics {
            inputs: Inputs::new(log, from, options)?,
            schemas,
            read: Read::default(),
            contacts: Contacts::new(),
            clock: None,
            ready: VecDeque::new(),
            bar: stream::bar(there, "{bar:40} {percent}%  {human_pos}/{human_len} records  {eta} left"),
        })
    }

    /// Reads on until something is ready; false at the end.
    fn fill(&mut self) -> Result<bool, Failure> {
        let mut moved = Monotonic::now();
        while self.ready.is_empty() {
            match self.inputs.next(LOOK) {
                Ok(Next::Batch(taken, _)) => {
                    moved = Monotonic::now();
                    self.take(taken.into_iter().map(|t| t.record).collect())?;
                }
                Ok(Next::End) => return Ok(false),
                Ok(_) => {}
                Err(error @ (LogError::Retry { .. } | LogError::Unreachable { .. })) => {
                    tracing::warn!(%error, "reading waits for the event log");
                    std::thread::sleep(LOOK);
                    self.inputs.fall_behind();
                }
                Err(error) => return Err(error.into()),
            }
            if moved.elapsed() > PATIENCE {
                return Err(Failure::failed(format!(
                    "the event log brought nothing for {} s, though there is more: is it reachable?",
                    PATIENCE.as_secs()
                )));
            }
        }
        Ok(true)
    }

    fn take(&mut self, records: Vec<tocsin_schemas::log::LogRecord>) -> Result<(), Failure> {
        self.read.records += records.len() as u64;
        self.bar.inc(records.len() as u64);
        let mut stamps = Vec::with_capacity(records.len());
        let mut doors = Vec::with_capacity(records.len());
        // A publication is no arrival: it moves no clock.
        for record in records.into_iter().filter(|record| &*record.topic != topics::POLICY) {
            stamps.push(Stamp { at: record.stamp, ahead: false });
            let key = (&*record.topic == topics::CONTACTS).then(|| record.key.clone().unwrap_or_default());
            let at_door = admit(record, &*self.schemas);
            match (&at_door, key) {
                (AtDoor::In(arrival, _), Some(key)) => {
                    if let Record::Contact(contact) = &arrival.record {
                        self.contacts.apply(&key, Some((contact.clone(), arrival.digest)));
                    }
                }
                (AtDoor::Nothing, Some(key)) => self.contacts.apply(&key, None),
                (AtDoor::Refused(_), _) => self.read.refused += 1,
                _ => {}
            }
            doors.push(at_door);
        }
        let steps = clock::plan(Rule::Arrivals, self.clock, &stamps).map_err(Failure::failed)?;
        let mut doors = doors.into_iter();
        for step in steps {
            let arrivals = doors.by_ref().take(step.records.len()).filter_map(|at_door| match at_door {
                AtDoor::In(arrival, _) => Some(*arrival),
                AtDoor::Refused(_) | AtDoor::Nothing | AtDoor::Policy(_) => None,
            });
            self.ready.push_back(Batch { at: step.at, arrivals: arrivals.collect() });
            self.clock = self.clock.max(Some(step.at));
        }
        Ok(())
    }
}

impl History for Topics {
    fn next(&mut self) -> Result<Option<Batch>, Failure> {
        Ok(if self.fill()? { self.ready.pop_front() } else { None })
    }

    fn read(&self) -> Read {
        self.read
    }

    fn contacts(&mut self) -> &mut Contacts {
        &mut self.contacts
    }
}

impl Drop for Topics {
    /// Takes the bar off the screen.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
