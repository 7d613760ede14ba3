//! Runs the graph: on the caller's own thread with one worker, on threads of timely's with several.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::Thread;
use timely::worker::Worker;

use super::flow::{Changes, Flow, Inputs, Part};
use crate::policy::Policies;

/// The dataflow as its driver sees it: changes of an epoch in, changes of the same epoch out.
pub(crate) struct Dataflow {
    run: Run,
    out: Receiver<Part>,
}

enum Run {
    /// One worker needs no thread of its own, and no waking.
    Here(Box<(Worker, Flow)>),
    /// Several workers, each fed through a channel.
    Threads(Vec<Sender<Inputs>>, Receiver<Report>, Option<timely::communication::WorkerGuards<()>>),
}

/// What a worker says of an epoch.
enum Report {
    Done,
    Died,
}

/// Tells the driver when its worker unwinds, so that nobody waits for it.
struct Alarm(Sender<Report>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.send(Report::Died);
        }
    }
}

impl Dataflow {
    /// Builds the graph on `workers` workers (at least one).
    pub fn new(workers: usize, policies: &Arc<Policies>) -> Dataflow {
        let (send, out) = channel();
        if workers <= 1 {
            let mut worker = Worker::new(WorkerConfig::default(), Allocator::Thread(Thread::default()), None);
            let flow = Flow::build(&mut worker, policies, &send);
            return Dataflow { run: Run::Here(Box::new((worker, flow))), out };
        }
        let (feeds, fed): (Vec<_>, Vec<_>) = (0..workers).map(|_| channel::<Inputs>()).unzip();
        let (done, finished) = channel();
        let fed: Vec<_> = fed.into_iter().map(|f| Mutex::new(Some(f))).collect();
        let shared = Mutex::new((send, done));
        let policies = Arc::clone(policies);
        let guards = timely::execute(timely::Config::process(workers), move |worker| {
            let (send, done) =
                shared.lock().map(|s| s.clone()).unwrap_or_else(|poisoned| poisoned.into_inner().clone());
            let mine = fed[worker.index()].lock().ok().and_then(|mut f| f.take());
            let done = Alarm(done);
            let mut flow = Flow::build(worker, &policies, &send);
            // Ends when the driver drops its side.
            for inputs in mine.into_iter().flatten() {
                flow.feed(inputs);
                while flow.busy() {
                    worker.step_or_park(None);
                }
                if done.0.send(Report::Done).is_err() {
                    break;
                }
            }
        });
        // Timely only refuses a configuration that asks for a network, which this one does not.
        let guards = guards.unwrap_or_else(|why| unreachable!("threads of one process: {why}"));
        Dataflow { run: Run::Threads(feeds, finished, Some(guards)), out }
    }

    /// Runs one epoch to its end.
    ///
    /// # Panics
    /// When a worker thread died: its state is lost, and recovery is a restart.
    pub fn run(&mut self, inputs: Inputs) -> Changes {
        match &mut self.run {
            Run::Here(here) => {
                let (worker, flow) = &mut **here;
                flow.feed(inputs);
                while flow.busy() {
                    worker.step();
                }
            }
            Run::Threads(feeds, finished, _) => {
                let mut first = Some(inputs);
                for feed in feeds.iter() {
                    let sent = feed.send(first.take().unwrap_or_default());
                    assert!(sent.is_ok(), "a dataflow worker died: restart");
                }
                for _ in feeds.iter() {
                    assert!(matches!(finished.recv(), Ok(Report::Done)), "a dataflow worker died: restart");
                }
            }
        }
        let mut changes = Changes::default();
        while let Ok(part) = self.out.try_recv() {
            changes.take(part);
        }
        changes
    }
}

impl Drop for Dataflow {
    fn drop(&mut self) {
        if let Run::Threads(feeds, _, guards) = &mut self.run {
            feeds.clear();
            drop(guards.take());
        }
    }
}
