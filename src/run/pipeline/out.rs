//! The writing thread: encoding, appending and letting go of what was decided, beside the next decisions.
//!
//! ```text
//!   this loop: decide n ──> decide n+1 ──> decide n+2 ──> (n is in the log) ──> decide n+3
//!                    └──> writing thread: append n ───────────┘└─> append n+1
//! ```
//!
//! There is one [`Sink`], and whoever holds its lock writes. Large batches go to the thread, which writes them
//! one by one, in order, each in one append; a batch is decided while at most [`AHEAD`] others are not yet in
//! the log. After a failure it writes nothing more. A small batch is written in place when nothing is under way:
//! waking a thread would cost more than it saves.

use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use tocsin_pipeline::Outcome;
use tocsin_schemas::records::{Progress, Quarantined};

use super::sink::Sink;
use crate::exit::Failure;

/// Fewer records than this are written in place.
const SMALL: usize = 200;
/// Batches decided and not yet in the log: one is being written, one waits, so that neither side does.
const AHEAD: usize = 2;

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
        let records = |o: &Outcome| o.incidents.len() + o.alerts.len() + o.rates.len() + o.lists.len();
        self.refused.len() + self.outcomes.iter().map(records).sum::<usize>()
    }
}

/// The sink and its thread.
pub struct Out {
    sink: Arc<Mutex<Sink>>,
    go: SyncSender<Said>,
    back: Receiver<Result<(), Failure>>,
    /// Batches given to the thread and not yet back from it.
    under_way: usize,
    /// Something could not be written: what comes after it must not be, either.
    failed: bool,
    // Ends when `go` is dropped; nothing is under way then, or nobody waits for it.
    _thread: JoinHandle<()>,
}

impl Out {
    /// Starts the thread, which has nothing to do yet.
    ///
    /// # Errors
    /// The operating system has no thread left.
    pub fn new(sink: Sink) -> std::io::Result<Out> {
        let sink = Arc::new(Mutex::new(sink));
        let (go, jobs) = sync_channel(AHEAD);
        let (done, back) = channel();
        let theirs = Arc::clone(&sink);
        let thread =
            std::thread::Builder::new().name("write".into()).spawn(move || write(&theirs, &jobs, &done))?;
        Ok(Out { sink, go, back, under_way: 0, failed: false, _thread: thread })
    }

    /// Gives this to the log, after everything given before. A large batch may be under way still when this
    /// returns; [`Out::settle`] waits for it.
    ///
    /// # Errors
    /// Those of [`Sink::commit`], of this batch or of one before; nothing of this batch is in the log then.
    pub fn commit(&mut self, said: Said) -> Result<(), Failure> {
        self.look()?;
        if self.failed {
            return Err(Failure::failed("nothing is written after a batch that could not be written"));
        }
        if self.under_way == 0 && said.len() < SMALL {
            let result = locked(&self.sink).and_then(|mut sink| sink.write(&said));
            return self.take_back(result);
        }
        while self.under_way >= AHEAD {
            self.wait()?;
        }
        self.under_way += 1;
        self.go.send(said).map_err(|_| died())
    }

    /// Whether a batch is with the thread.
    pub fn under_way(&self) -> bool {
        self.under_way > 0
    }

    /// Looks, without waiting, whether what is under way has been acknowledged.
    ///
    /// # Errors
    /// As for [`Out::commit`].
    pub fn look(&mut self) -> Result<(), Failure> {
        loop {
            match self.back.try_recv() {
                Ok(result) => self.take_back(result)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(died()),
            }
        }
    }

    /// Waits until everything given so far is acknowledged.
    ///
    /// # Errors
    /// As for [`Out::commit`].
    pub fn settle(&mut self) -> Result<(), Failure> {
        while self.under_way > 0 {
            self.wait()?;
        }
        Ok(())
    }

    /// See [`Sink::watch`]; while a batch is under way its append is the look.
    ///
    /// # Errors
    /// Fenced.
    pub fn watch(&mut self) -> Result<(), Failure> {
        if self.under_way > 0 {
            return Ok(());
        }
        locked(&self.sink)?.watch()
    }

    fn wait(&mut self) -> Result<(), Failure> {
        let result = self.back.recv().map_err(|_| died())?;
        self.take_back(result)
    }

    fn take_back(&mut self, result: Result<(), Failure>) -> Result<(), Failure> {
        // After a failure nothing that waits will be written.
        self.failed |= result.is_err();
        self.under_way = if self.failed { 0 } else { self.under_way.saturating_sub(1) };
        result
    }
}

/// Writes what comes, until nothing more comes, nobody listens, or something could not be written.
fn write(sink: &Mutex<Sink>, jobs: &Receiver<Said>, done: &Sender<Result<(), Failure>>) {
    for said in jobs {
        let result = locked(sink).and_then(|mut sink| sink.write(&said));
        let failed = result.is_err();
        // Before what was written is let go of, which takes its time.
        if done.send(result).is_err() || failed {
            return;
        }
    }
}

fn locked(sink: &Mutex<Sink>) -> Result<MutexGuard<'_, Sink>, Failure> {
    sink.lock().map_err(|_| died())
}

fn died() -> Failure {
    Failure::failed("the writing thread died; nothing that was acknowledged is lost")
}
