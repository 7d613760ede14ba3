//! Two engines, a thread each, over the same records: each record is read, decoded and judged at the door once.

use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use tocsin_pipeline::{Arrival, Engine, Exposure, Options, Policies};
use tocsin_schemas::codes::{Reason, State};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::time::{Day, Instant};

use super::history::Batch;
use super::successors::Successors;
use super::tally::Tally;
use crate::exit::Failure;

/// So many records are handed over at once, and so many such portions wait: enough that nobody waits for a
/// wake-up, and little memory.
const PORTION: usize = 2_000;
const PORTIONS: usize = 4;

/// What an engine is to do next.
enum Step {
    Arrive(Instant, Vec<Arrival>),
    Tick(Day),
}

/// What one policy said, and what it is compared with.
pub struct Ran {
    /// What was said in the days compared.
    pub tally: Tally,
    /// The counted incidents that nobody is told of at the end, by reason.
    pub not_due: BTreeMap<Reason, u64>,
    /// Every counted incident at the end.
    pub counted: Vec<IncidentId>,
    /// Whom and what an expected count of those days rests on.
    pub exposure: Exposure,
    /// The enterprises that are read as another's there, and as whose.
    pub roots: BTreeMap<Uscc, Uscc>,
}

/// One engine under way.
struct Runner {
    name: &'static str,
    steps: SyncSender<Vec<Step>>,
    thread: JoinHandle<Ran>,
}

/// Both.
pub struct Engines {
    runners: Vec<Runner>,
    portion: [Vec<Step>; 2],
    records: usize,
}

impl Engines {
    /// Starts an engine for each policy, OLD and NEW; what is said from `from` on is tallied.
    ///
    /// # Errors
    /// The operating system has no thread left.
    pub fn start(policies: [Policies; 2], from: Day) -> Result<Engines, Failure> {
        let mut runners = Vec::new();
        for (name, policies) in ["OLD", "NEW"].into_iter().zip(policies) {
            let (steps, given) = sync_channel::<Vec<Step>>(PORTIONS);
            let thread = std::thread::Builder::new()
                .name(name.to_lowercase())
                .spawn(move || run(policies, from, given.into_iter().flatten()))
                .map_err(|e| Failure::failed(format!("cannot start a thread: {e}")))?;
            runners.push(Runner { name, steps, thread });
        }
        Ok(Engines { runners, portion: [Vec::new(), Vec::new()], records: 0 })
    }

    /// Gives both what arrived.
    ///
    /// # Errors
    /// An engine died.
    pub fn arrive(&mut self, batch: Batch) -> Result<(), Failure> {
        let Batch { at, arrivals } = batch;
        self.records += arrivals.len() + 1;
        self.portion[0].push(Step::Arrive(at, arrivals.clone()));
        self.portion[1].push(Step::Arrive(at, arrivals));
        if self.records < PORTION { Ok(()) } else { self.hand_over() }
    }

    /// Lets both tick the midnights up to the one that begins `day`.
    ///
    /// # Errors
    /// An engine died.
    pub fn tick_to(&mut self, day: Day) -> Result<(), Failure> {
        self.portion.iter_mut().for_each(|portion| portion.push(Step::Tick(day)));
        self.hand_over()
    }

    /// Ends both; OLD first.
    ///
    /// # Errors
    /// An engine died.
    pub fn finish(mut self) -> Result<[Ran; 2], Failure> {
        self.hand_over()?;
        let mut ran = Vec::new();
        for Runner { name, steps, thread } in self.runners {
            drop(steps);
            ran.push(thread.join().map_err(|_| died(name))?);
        }
        <[Ran; 2]>::try_from(ran).map_err(|_| died("one"))
    }

    fn hand_over(&mut self) -> Result<(), Failure> {
        self.records = 0;
        for (runner, portion) in self.runners.iter().zip(&mut self.portion) {
            runner.steps.send(std::mem::take(portion)).map_err(|_| died(runner.name))?;
        }
        Ok(())
    }
}

fn died(name: &str) -> Failure {
    Failure::failed(format!("the engine under {name} died; see the lines above"))
}

fn run(policies: Policies, from: Day, steps: impl Iterator<Item = Step>) -> Ran {
    let mut engine = Engine::of_decisions(policies, Options { workers: 1 });
    let mut tally = Tally::new(from);
    let mut successors = Successors::default();
    for step in steps {
        let outcomes = match step {
            Step::Arrive(at, arrivals) => {
                successors.hear(&arrivals);
                engine.arrive(at, arrivals)
            }
            Step::Tick(day) => engine.tick_to(day),
        };
        for outcome in &outcomes {
            outcome.alerts.iter().for_each(|alert| tally.hear(alert));
            tally.lists.hear(outcome.lists.iter());
        }
    }
    tally.end();
    let counted =
        engine.incidents().iter().filter(|i| i.state == State::Counted).map(|i| i.incident_id).collect();
    let not_due = engine.accounts().not_due;
    let exposure = engine.clock().map(|now| engine.exposure(from, now.day())).unwrap_or_default();
    let roots = engine.clock().map(|now| successors.roots(now.day())).unwrap_or_default();
    // The process ends soon after this; to free millions of records one by one would only put that off.
    std::mem::forget(engine);
    Ran { tally, not_due, counted, exposure, roots }
}
