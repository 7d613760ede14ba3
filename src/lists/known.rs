//! An engine that knows what was known by the end of a day.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_pipeline::lists::RefusedReports;
use tocsin_pipeline::{Arrival, Engine, Memory, Options};
use tocsin_schemas::codes::List;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::Listed;
use tocsin_schemas::time::{Day, Instant};

use super::Heading;
use super::source::{Read, Source};
use crate::exit::Failure;
use crate::stream;

/// How many records are handed to the engine at once while loading.
const LOAD: usize = 10_000;

/// See the module's page.
pub struct Known {
    /// The engine, at the as-of day.
    pub engine: Engine,
    source: Source,
    read: Read,
    as_of: Day,
    clock: Instant,
}

impl Known {
    /// Everything at once, whatever the order: enough for what follows from what stands. Every record goes past `see`.
    ///
    /// # Errors
    /// Those of the source; a wrong call: a day that it cannot answer for.
    pub fn load(source: Source, as_of: Option<Day>, mut see: impl FnMut(&Arrival)) -> Result<Known, Failure> {
        let mut engine = Engine::of_decisions(source.policies.clone(), Options { workers: 1 });
        let mut held: Vec<Arrival> = Vec::new();
        let mut clock = None;
        let as_of = as_of.or(decided(&source));
        let read = source.each(as_of, &mut |at, mut arrivals| {
            arrivals.iter().for_each(&mut see);
            held.append(&mut arrivals);
            clock = clock.max(Some(at));
            if held.len() >= LOAD {
                engine.recover(clock);
                engine.load(held.drain(..));
            }
        })?;
        let (as_of, clock) = day(&source, &read, as_of)?;
        engine.recover(Some(clock));
        engine.load(held);
        // What would be said is of no account here.
        engine.resume(Memory::default().with(Memory::default()));
        Ok(Known { engine, source, read, as_of, clock })
    }

    /// Decision by decision, as the service takes them: the list of a year hangs on what was taken at its midnights.
    /// With it come the lists that were frozen on the way.
    ///
    /// # Errors
    /// As for [`Known::load`].
    pub fn run(source: Source, as_of: Option<Day>) -> Result<(Known, Vec<Listed>), Failure> {
        let mut engine = Engine::new(source.policies.clone(), Options { workers: 1 });
        let mut frozen = Vec::new();
        let mut keep = |outcomes: Vec<tocsin_pipeline::Outcome>| {
            let lists = outcomes.iter().flat_map(|outcome| outcome.lists.iter());
            frozen.extend(lists.filter_map(|(_, listed)| listed).filter(|l| l.list == List::Frozen));
        };
        let as_of = as_of.or(decided(&source));
        let read = source.each(as_of, &mut |at, arrivals| keep(engine.arrive(at, arrivals)))?;
        let (as_of, clock) = day(&source, &read, as_of)?;
        let last = engine.clock().map_or(as_of, Instant::day);
        stream::midnights(last, as_of, |day| {
            keep(engine.tick_to(day));
            Ok(())
        })?;
        Ok((Known { engine, source, read, as_of, clock }, frozen))
    }

    /// Of each enterprise the reports in quarantine that name it.
    pub fn refused_reports(&self) -> BTreeMap<Uscc, RefusedReports> {
        self.engine.refused_reports(&self.read.refused_reports)
    }

    /// What the page begins with.
    pub fn heading(&self) -> Heading {
        Heading {
            as_of: self.as_of,
            clock: self.clock,
            policy: self.source.policy.clone(),
            policy_hash: Arc::clone(self.engine.policies().hash()),
            not_taken_over: None,
            source: self.source.name(),
            records: self.read.records,
            refused: self.read.refused,
        }
    }
}

/// The day up to which the service of a log has decided. What came after it is known to nobody yet, though it is there.
fn decided(source: &Source) -> Option<Day> {
    source.log()?.clock.map(Instant::day)
}

/// That a day is not after the one up to which the service has decided.
///
/// # Errors
/// A wrong call.
pub fn decided_on(day: Day, decided: Day) -> Result<(), Failure> {
    if day <= decided {
        return Ok(());
    }
    Err(Failure::wrong_call(format!(
        "--as-of {day} is after {decided}, up to which the service has decided: expected that day or an earlier one"
    )))
}

/// The as-of day, and the decision clock at its end: the last arrival or midnight.
fn day(source: &Source, read: &Read, as_of: Option<Day>) -> Result<(Day, Instant), Failure> {
    let Some(first) = read.first.map(Instant::day) else {
        return Err(Failure::wrong_call(format!(
            "nothing ever arrived in {}, so there is nothing to list: name another STREAM.jsonl or --config",
            source.name()
        )));
    };
    let Some(last) = read.last else {
        let as_of = as_of.unwrap_or(first);
        return Err(Failure::wrong_call(format!(
            "--as-of {as_of} is before the first arrival's day {first}: expected that day or a later one"
        )));
    };
    let decided = decided(source).unwrap_or(last.day());
    let day = as_of.unwrap_or(decided);
    if source.log().is_some() {
        decided_on(day, decided)?;
    }
    stream::near("--as-of", day, last.day())?;
    Ok((day, last.max(day.midnight())))
}
