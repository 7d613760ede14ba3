//! The engine against a plain loop on hash maps that keeps the same contract.
//!
//! - [`floor`]: the plain loop
//! - [`agree`]: whether both ended at the same incidents, counts and levels; if not, the figures are void
//! - [`b`]: throughput, [`d`]: memory, [`f`]: time of one report, [`g`]: a midnight
//! - [`memory`]: one side alone in a process of its own, to be weighed
//! - [`stopwatch`]: times work without the waiting for a CPU that a neighbour has

pub mod agree;
pub mod b;
pub mod d;
pub mod f;
pub mod floor;
pub mod g;
pub mod memory;
pub mod stopwatch;

use std::hint::black_box;
use std::time::Duration;

use tocsin_pipeline::{Arrival, Engine, Options as EngineOptions, Outcome};

use crate::{Failure, workload};
use floor::Floor;

/// An engine that has seen nothing.
///
/// # Errors
/// A wrong policy: a mistake in this program.
fn engine() -> Result<Engine, Failure> {
    Ok(Engine::new(workload::policies()?, EngineOptions { workers: 1 }))
}

/// A plain loop that has seen nothing.
///
/// # Errors
/// A wrong policy: a mistake in this program.
fn floor() -> Result<Floor, Failure> {
    match workload::policies()?.tables() {
        [only] => Ok(Floor::new(only.clone())),
        many => Err(format!("the plain loop has one policy table, the workload {}", many.len()).into()),
    }
}

/// The register in pieces, so that it is never in memory as a whole.
fn register(seed: u64) -> impl Iterator<Item = Vec<Arrival>> {
    let mut records = workload::register(seed);
    std::iter::from_fn(move || {
        let piece: Vec<Arrival> = records.by_ref().take(20_000).collect();
        (!piece.is_empty()).then_some(piece)
    })
}

/// Makes out what an outcome says of rates and lists, as whoever writes it down does.
fn make_out(outcome: &Outcome) {
    outcome.rates.iter().for_each(|rates| drop(black_box(rates)));
    outcome.lists.iter().for_each(|entry| drop(black_box(entry)));
}

/// The middle one; of an even number the higher of the two.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which this part of the sorted times lies, in microseconds.
fn quantile_us(sorted: &[Duration], part: f64) -> f64 {
    let at = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |d| d.as_secs_f64() * 1e6)
}
