//! One side alone in a process of its own, to be weighed.
//!
//! Memory that a process once had does not reliably go back to the system, so each weighing is a new
//! process: this command calls itself with `--memory-of`. The child takes its load in batches of 1,000,
//! drops all that is not the side's state, and reads
//! its resident set. The allocator is asked for nothing (no trimming): what it keeps is memory that the
//! machine does not have. The maker of reports holds the next weeks' reports, a few megabytes, the same on
//! both sides and at every size.

use std::process::Command;

use serde::{Deserialize, Serialize};
use tocsin_pipeline::Arrival;
use tocsin_schemas::door;
use tocsin_schemas::time::Instant;

use super::{engine, floor, register};
use crate::workload::{Reports, firms, first_day};
use crate::{Failure, Options};

/// Which side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Side {
    /// The engine.
    Engine,
    /// The plain loop.
    Floor,
}

impl Side {
    const fn as_str(self) -> &'static str {
        match self {
            Side::Engine => "engine",
            Side::Floor => "floor",
        }
    }
}

/// What a child says, as JSON on one line.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Weight {
    /// Resident set at the end.
    pub rss_bytes: u64,
    /// Incidents that had begun, or firms that were registered.
    pub holds: u64,
}

/// What a side is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Load {
    /// The register, and reports until so many incidents have begun.
    Incidents,
    /// So many firms with the headcounts of two years, and nothing that happened.
    Firms,
}

impl Load {
    const fn as_str(self) -> &'static str {
        match self {
            Load::Incidents => "incidents",
            Load::Firms => "firms",
        }
    }
}

/// Fills a side with so many in a process of its own and weighs it.
///
/// # Errors
/// The child cannot be started, fails, or says something else than its weight.
pub fn weigh(side: Side, load: Load, many: u32, options: &Options) -> Result<Weight, Failure> {
    let child = Command::new(std::env::current_exe()?)
        .args(["--memory-of", side.as_str()])
        .args(["--load", load.as_str(), "--many", &many.to_string()])
        .args(["--seed", &options.seed.to_string()])
        .output()?;
    if !child.status.success() {
        let said = String::from_utf8_lossy(&child.stderr);
        return Err(
            format!("the {} at {many} {}: {} {said}", side.as_str(), load.as_str(), child.status).into()
        );
    }
    Ok(serde_json::from_slice(&child.stdout)?)
}

/// The child: runs a side and prints its weight.
///
/// # Errors
/// No `/proc`: this is measured on Linux.
pub fn child(side: Side, load: Load, many: u32, options: &Options) -> Result<(), Failure> {
    // The side stays alive until it was weighed.
    let weight = match side {
        Side::Engine => {
            let mut engine = engine()?;
            let holds = fill(load, many, options, |at, batch| drop(engine.arrive(at, batch)));
            let weight = Weight { rss_bytes: resident()?, holds };
            drop(engine);
            weight
        }
        Side::Floor => {
            let mut floor = floor()?;
            let holds = fill(load, many, options, |at, batch| drop(floor.arrive(at, batch)));
            let weight = Weight { rss_bytes: resident()?, holds };
            drop(floor);
            weight
        }
    };
    println!("{}", serde_json::to_string(&weight)?);
    Ok(())
}

fn fill(load: Load, many: u32, options: &Options, mut arrive: impl FnMut(Instant, Vec<Arrival>)) -> u64 {
    match load {
        Load::Incidents => {
            register(options.seed).for_each(|piece| arrive(piece[0].arrived_at, piece));
            let mut reports = Reports::new(options.seed);
            while reports.incidents() < u64::from(many) {
                let batch = reports.take_next(1_000);
                arrive(batch[batch.len() - 1].arrived_at, batch);
            }
            reports.incidents()
        }
        Load::Firms => {
            let first = first_day();
            let months = first.month().0 - 24..=first.month().0 - 1;
            let mut records = firms(many, months, options.seed);
            loop {
                let arrival =
                    |record| Arrival { digest: door::digest(&record), record, arrived_at: first.midnight() };
                let piece: Vec<Arrival> = records.by_ref().take(1_000).map(arrival).collect();
                if piece.is_empty() {
                    return u64::from(many);
                }
                arrive(first.midnight(), piece);
            }
        }
    }
}

/// The resident set of this process, in bytes.
fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<u64> = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| "expected a line VmRSS in /proc/self/status".into())
}
