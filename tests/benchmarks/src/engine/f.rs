//! (f) p99 of one report at a million incidents, over that at a hundred thousand: what history costs. With `--long`
//! ten million over a million. The millisecond that one report may take of the engine is a bar, not measured.
//!
//! Two engines stand side by side, one with each history, and take turns of [`TURN`] reports, so that a
//! noisy neighbour hits both. A sample is `Engine::arrive` with one report: door, dataflow and decider, and
//! making out the rates and entries that changed. The
//! midnights between two reports are not in it.

use std::time::Duration;

use tocsin_pipeline::Engine;

use super::stopwatch::{Stopwatch, Took};
use super::{engine, make_out, quantile_us, register};
use crate::progress::Progress;
use crate::table::{Figure, Goal, Row, grouped};
use crate::workload::Reports;
use crate::{Failure, Options};

/// Samples of each engine.
const SAMPLES: u32 = 20_000;
/// Samples that one engine takes before it is the other's turn.
const TURN: usize = 50;
/// The first samples of each turn: they fetch back what the other side pushed out of the caches, and are
/// not counted.
const COLD: usize = 5;

/// An engine with its history and its times.
struct Side {
    engine: Engine,
    reports: Reports,
    times: Vec<Took>,
}

/// Measures.
///
/// # Errors
/// None but a wrong policy: a mistake in this program.
pub fn run(options: &Options, progress: &Progress) -> Result<Vec<Row>, Failure> {
    let times = if options.long { 10 } else { 1 };
    let (few, many) = (options.size(100_000 * times), options.size(1_000_000 * times));
    let mut small = Side::filled(few, options, progress)?;
    let mut large = Side::filled(many, options, progress)?;
    let samples = options.size(SAMPLES) as usize;
    let stopwatch = Stopwatch::new();
    let work = progress.work("(f) one report at a time", samples as u64);
    while small.times.len() < samples {
        small.turn(&stopwatch);
        large.turn(&stopwatch);
        work.advance((TURN - COLD) as u64);
    }
    drop(work);
    let sides = [large, small].map(|side| {
        let sorted = |time: fn(&Took) -> Duration| {
            let mut times: Vec<Duration> = side.times.iter().map(time).collect();
            times.sort_unstable();
            times
        };
        (sorted(|took| took.own), sorted(|took| took.wall))
    });
    let shown = |n: u32| grouped(i64::from(n));
    let row = |part: f64, name: &str| {
        let [ours, floor] = sides.each_ref().map(|(own, _)| Figure::new(quantile_us(own, part), "µs"));
        Row::costs(
            'f',
            format!("one report, {name}, at {} over {} incidents", shown(many), shown(few)),
            ours,
            floor,
        )
    };
    let [large_wall, small_wall] = sides.each_ref().map(|(_, wall)| quantile_us(wall, 0.99));
    let note = format!(
        "{} samples each, in turns of {TURN}, midnights left out; with the waiting for a CPU: {large_wall:.0} over {small_wall:.0} µs",
        sides[1].0.len()
    );
    let p99 = Figure::new(quantile_us(&sides[0].0, 0.99), "µs");
    let bar = format!("one report, p99, at {} incidents, over the millisecond that it may take", shown(many));
    let bar = Row::costs('f', bar, p99, Figure::new(1_000.0, "µs")).goal(Goal::AtMost(1.0));
    Ok(vec![row(0.99, "p99").goal(Goal::AtMost(1.2)).note(note), row(0.5, "p50"), bar])
}

impl Side {
    /// An engine with a history of so many incidents.
    fn filled(incidents: u32, options: &Options, progress: &Progress) -> Result<Side, Failure> {
        let mut side = Side { engine: engine()?, reports: Reports::new(options.seed), times: Vec::new() };
        let work = progress.work(&format!("(f) history of {incidents} incidents"), u64::from(incidents));
        for piece in register(options.seed) {
            side.engine.arrive(piece[0].arrived_at, piece);
        }
        while side.reports.incidents() < u64::from(incidents) {
            let before = side.reports.incidents();
            let batch = side.reports.take_next(1_000);
            side.engine.arrive(batch[batch.len() - 1].arrived_at, batch);
            work.advance(side.reports.incidents() - before);
        }
        Ok(side)
    }

    fn turn(&mut self, stopwatch: &Stopwatch) {
        for (nth, arrival) in self.reports.take_next(TURN).into_iter().enumerate() {
            let at = arrival.arrived_at;
            drop(self.engine.tick_to(at.day()));
            let batch = vec![arrival];
            let (outcomes, took) = stopwatch.time(|| {
                let outcomes = self.engine.arrive(at, batch);
                outcomes.iter().for_each(make_out);
                outcomes
            });
            drop(outcomes);
            if nth >= COLD {
                self.times.push(took);
            }
        }
    }
}
