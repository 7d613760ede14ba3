//! (b) Reports a second at batches of 1, 100 and 10,000.
//!
//! Both sides take the same reports in turns, a slice the engine, then the same slice the plain loop (and
//! the other way round the next time), so that a noisy neighbour hits both. The ratio of a batch size is the
//! median over its slices; the reports a second are those of all slices together.
//!
//! What is timed is the side taking its batch in, without the waiting for a CPU ([`super::stopwatch`]). Not timed: making reports and digests, reading the
//! outcomes, and the midnights between two batches. Midnights cost by the day, not by the report, and a
//! batch of 10,000 spans a month here: they are timed on their own and have a row of their own.

use std::time::Duration;

use tocsin_pipeline::{Arrival, Engine, Outcome};

use super::agree::{self, Told};
use super::floor::Floor;
use super::stopwatch::{Stopwatch, Took};
use super::{engine, floor, make_out, median, register};
use crate::progress::Progress;
use crate::table::{Figure, Goal, Row, grouped};
use crate::workload::Reports;
use crate::{Failure, Options};

/// Batch size, reports of one slice.
const SIZES: [(usize, usize); 3] = [(1, 2_000), (100, 5_000), (10_000, 20_000)];
/// Slices of each batch size.
const SLICES: u32 = 15;
/// Reports that both sides take before anything is timed.
const WARM_UP: u32 = 100_000;

/// What one side took for one slice.
#[derive(Clone, Copy, Default)]
struct Slice {
    reports: Took,
    midnights: Took,
}

/// One slice on both sides.
struct Pair {
    size: usize,
    ours: Slice,
    floor: Slice,
}

/// Measures.
///
/// # Errors
/// The two sides do not agree at the end.
pub fn run(options: &Options, progress: &Progress) -> Result<Vec<Row>, Failure> {
    let (mut engine, mut floor, mut told) = (engine()?, floor()?, Told::default());
    let work = progress.work("(b) register", 0);
    for piece in register(options.seed) {
        let at = piece[0].arrived_at;
        floor.arrive(at, piece.clone());
        engine.arrive(at, piece);
    }
    drop(work);

    let stopwatch = Stopwatch::new();
    let mut reports = Reports::new(options.seed);
    let warm_up = options.size(WARM_UP) as usize;
    let work = progress.work("(b) warm-up", warm_up as u64);
    for _ in 0..warm_up / 1_000 {
        let batches = [reports.take_next(1_000)];
        of_floor(&mut floor, &stopwatch, batches.to_vec());
        of_engine(&mut engine, &mut told, &stopwatch, batches.to_vec());
        work.advance(1_000);
    }
    drop(work);

    let slices = options.slices.unwrap_or_else(|| options.size(SLICES).max(3)).max(1);
    let asked = |size: &usize| options.batch.is_empty() || options.batch.contains(size);
    let sizes: Vec<(usize, usize)> = SIZES.into_iter().filter(|(size, _)| asked(size)).collect();
    let work = progress.work("(b) throughput", u64::from(slices) * sizes.len() as u64);
    let mut pairs: Vec<Pair> = Vec::new();
    let first_day = engine.clock().map(|c| c.day());
    for slice in 0..slices {
        for (size, many) in sizes.iter().copied() {
            let batches: Vec<Vec<Arrival>> = (0..many / size).map(|_| reports.take_next(size)).collect();
            let pair = if slice % 2 == 0 {
                let ours = of_engine(&mut engine, &mut told, &stopwatch, batches.clone());
                Pair { size, ours, floor: of_floor(&mut floor, &stopwatch, batches) }
            } else {
                let floor = of_floor(&mut floor, &stopwatch, batches.clone());
                Pair { size, ours: of_engine(&mut engine, &mut told, &stopwatch, batches), floor }
            };
            pairs.push(pair);
            work.advance(1);
        }
    }
    drop(work);
    let days = engine.clock().map(|c| c.day().0).zip(first_day).map_or(0, |(last, first)| last - first.0);

    let work = progress.work("(b) both sides compared", 0);
    let agreed = agree::check(&engine, &told, &floor)?;
    drop(work);
    Ok(rows(&sizes, &pairs, days, &agreed.to_string()))
}

/// Takes the batches in on the engine's side.
fn of_engine(
    engine: &mut Engine,
    told: &mut Told,
    stopwatch: &Stopwatch,
    batches: Vec<Vec<Arrival>>,
) -> Slice {
    let mut slice = Slice::default();
    for batch in batches {
        let Some(at) = batch.last().map(|a| a.arrived_at) else { continue };
        // The plain loop divides its rates at once, so ours are made out at once.
        let made_out = |outcomes: Vec<Outcome>| {
            outcomes.iter().for_each(make_out);
            outcomes
        };
        let (midnights, took) = stopwatch.time(|| made_out(engine.tick_to(at.day())));
        slice.midnights += took;
        let (outcomes, took) = stopwatch.time(|| made_out(engine.arrive(at, batch)));
        slice.reports += took;
        told.hear(&midnights);
        told.hear(&outcomes);
    }
    slice
}

/// Takes the batches in on the plain loop's side.
fn of_floor(floor: &mut Floor, stopwatch: &Stopwatch, batches: Vec<Vec<Arrival>>) -> Slice {
    let mut slice = Slice::default();
    for batch in batches {
        let Some(at) = batch.last().map(|a| a.arrived_at) else { continue };
        let ((), took) = stopwatch.time(|| floor.tick_to(at.day()));
        slice.midnights += took;
        let (verdicts, took) = stopwatch.time(|| floor.arrive(at, batch));
        slice.reports += took;
        drop(verdicts);
    }
    slice
}

fn rows(sizes: &[(usize, usize)], pairs: &[Pair], days: i32, agreed: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (size, many) in sizes.iter().copied() {
        let of_size: Vec<&Pair> = pairs.iter().filter(|p| p.size == size).collect();
        let rate = |took: fn(&Pair) -> Duration| {
            let all: Duration = of_size.iter().map(|p| took(p)).sum();
            Figure::new((of_size.len() * many) as f64 / all.as_secs_f64(), "reports/s")
        };
        let mut ratios: Vec<f64> = of_size
            .iter()
            .map(|p| p.ours.reports.own.as_secs_f64() / p.floor.reports.own.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        rows.push(
            Row::costs('b', format!("reports in batches of {}", grouped(size as i64)), rate(|p| p.ours.reports.own), rate(|p| p.floor.reports.own))
                .ratio(median(ratios))
                .goal(if size == 10_000 { Goal::AtMost(4.0) } else { Goal::None })
                .note(format!(
                    "times as long as the plain loop, median of {} slices of {many} reports, {least:.2} to {most:.2}",
                    of_size.len()
                )),
        );
    }
    let a_day = |took: fn(&Pair) -> Duration| {
        let all: Duration = pairs.iter().map(took).sum();
        Figure::new(all.as_secs_f64() * 1e3 / f64::from(days.max(1)), "ms")
    };
    rows.push(
        Row::costs('b', "a midnight", a_day(|p| p.ours.midnights.own), a_day(|p| p.floor.midnights.own))
            .note(format!("the mean of {days}, a New Year or two among them; {agreed}")),
    );
    rows
}
