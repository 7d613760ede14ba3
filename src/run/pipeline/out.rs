//! The writing thread: encoding, appending and letting go of what was decided, beside the next decision.
//!
//! ```text
//!   this loop: decide n ──────────> decide n+1 ────────> wait for n ─> decide n+2
//!                    └─ sink ─> writing thread: append n ──────┘ └─> append n+1
//! ```
//!
//! There is one [`Sink`], and whoever has it writes. With a large batch it goes over to the thread; it comes
//! back when the log has acknowledged, and only then can the next batch be given. So batches are written
//! one by one, in order, each in one append, and the decisions are never more than one batch ahead of the
//! log. A small batch is written in place: waking a thread would cost more than it saves.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use tocsin_pipeline::Outcome;
use tocsin_schemas::records::{Progress, Quarantined};

use super::sink::Sink;
use crate::exit::Failure;

/// Fewer records than this are written in place.
const SMALL: usize = 200;

/// What goes out together, and the progress that it stands for.
#[derive(Debug)]
pub struct Said {
    /// What the engine decided.
    pub outcomes: Vec<Outcome>,
    /// What the door refused.
    pub refused: Vec<Quarantined>,
    /// How far this goes.
    pub progress: Progress,
}

impl Said {
    fn len(&self) -> usize {
        let records = |o: &Outcome| o.incidents.len() + o.alerts.len() + o.rates.len();
        self.refused.len() + self.outcomes.iter().map(records).sum::<usize>()
    }
}

type Landed = (Box<Sink>, Result<(), Failure>);

/// The sink, here or with its thread.
pub struct Out {
    here: Option<Box<Sink>>,
    go: SyncSender<(Box<Sink>, Said)>,
    back: Receiver<Landed>,
    // Ends when `go` is dropped; nothing is under way then, or nobody waits for it.
    _thread: JoinHandle<()>,
}

impl Out {
    /// Starts the thread, which has nothing to do yet.
    ///
    /// # Errors
    /// The operating system has no thread left.
    pub fn new(sink: Sink) -> std::io::Result<Out> {
        let (go, jobs) = sync_channel::<(Box<Sink>, Said)>(1);
        let (done, back) = sync_channel::<Landed>(1);
        let thread = std::thread::Builder::new().name("write".into()).spawn(move || {
            for (mut sink, said) in jobs {
                let result = sink.write(&said);
                // Before what was written is let go of, which takes its time.
                if done.send((sink, result)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Out { here: Some(Box::new(sink)), go, back, _thread: thread })
    }

    /// Gives this to the log, after everything given before. A large batch may be under way still when this
    /// returns; [`Out::land`] waits for it.
    ///
    /// # Errors
    /// Those of [`Sink::commit`], of this batch or of the one before; nothing of this batch is in the log then.
    pub fn commit(&mut self, said: Said) -> Result<(), Failure> {
        let mut sink = self.land()?;
        if said.len() < SMALL {
            let result = sink.write(&said);
            self.here = Some(sink);
            return result;
        }
        self.go.send((sink, said)).map_err(|_| died())
    }

    /// Whether a batch is with the thread.
    pub fn under_way(&self) -> bool {
        self.here.is_none()
    }

    /// Looks, without waiting, whether what is under way has been acknowledged.
    ///
    /// # Errors
    /// As for [`Out::commit`].
    pub fn look(&mut self) -> Result<(), Failure> {
        if self.here.is_some() {
            return Ok(());
        }
        match self.back.try_recv() {
            Ok(landed) => self.take_back(landed),
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Disconnected) => Err(died()),
        }
    }

    /// Waits until everything given so far is acknowledged.
    ///
    /// # Errors
    /// As for [`Out::commit`].
    pub fn settle(&mut self) -> Result<(), Failure> {
        if self.here.is_some() {
            return Ok(());
        }
        let landed = self.back.recv().map_err(|_| died())?;
        self.take_back(landed)
    }

    /// See [`Sink::watch`]; while a batch is under way its append is the look.
    ///
    /// # Errors
    /// Fenced.
    pub fn watch(&mut self) -> Result<(), Failure> {
        self.here.as_mut().map_or(Ok(()), |sink| sink.watch())
    }

    fn land(&mut self) -> Result<Box<Sink>, Failure> {
        self.settle()?;
        self.here.take().ok_or_else(died)
    }

    fn take_back(&mut self, (sink, result): Landed) -> Result<(), Failure> {
        self.here = Some(sink);
        result
    }
}

fn died() -> Failure {
    Failure::failed("the writing thread died; nothing that was acknowledged is lost")
}
