//! One side alone in a process of its own, to be weighed.
//!
//! Memory that a process once had does not reliably go back to the system, so each weighing is a new
//! process: this command calls itself with `--memory-of`. The child takes the register and reports in
//! batches of 1,000 until so many incidents have begun, drops all that is not the side's state, and reads
//! its resident set. The allocator is asked for nothing (no trimming): what it keeps is memory that the
//! machine does not have. The maker of reports holds the next weeks' reports, a few megabytes, the same on
//! both sides and at every size.

use std::process::Command;

use serde::{Deserialize, Serialize};

use super::{engine, floor, register};
use crate::workload::Reports;
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
    /// Incidents that had begun.
    pub incidents: u64,
}

/// Runs a side to this many incidents in a process of its own and weighs it.
///
/// # Errors
/// The child cannot be started, fails, or says something else than its weight.
pub fn weigh(side: Side, incidents: u32, options: &Options) -> Result<Weight, Failure> {
    let child = Command::new(std::env::current_exe()?)
        .args(["--memory-of", side.as_str()])
        .args(["--incidents", &incidents.to_string()])
        .args(["--seed", &options.seed.to_string()])
        .output()?;
    if !child.status.success() {
        let said = String::from_utf8_lossy(&child.stderr);
        return Err(format!("the {} at {incidents} incidents: {} {said}", side.as_str(), child.status).into());
    }
    Ok(serde_json::from_slice(&child.stdout)?)
}

/// The child: runs a side and prints its weight.
///
/// # Errors
/// No `/proc`: this is measured on Linux.
pub fn child(side: Side, incidents: u32, options: &Options) -> Result<(), Failure> {
    let reports = Reports::new(options.seed);
    // The side stays alive until it was weighed.
    let weight = match side {
        Side::Engine => {
            let mut engine = engine()?;
            register(options.seed).for_each(|piece| drop(engine.arrive(piece[0].arrived_at, piece)));
            let begun = fill(reports, incidents, |at, batch| drop(engine.arrive(at, batch)));
            let weight = Weight { rss_bytes: resident()?, incidents: begun };
            drop(engine);
            weight
        }
        Side::Floor => {
            let mut floor = floor()?;
            register(options.seed).for_each(|piece| drop(floor.arrive(piece[0].arrived_at, piece)));
            let begun = fill(reports, incidents, |at, batch| drop(floor.arrive(at, batch)));
            let weight = Weight { rss_bytes: resident()?, incidents: begun };
            drop(floor);
            weight
        }
    };
    println!("{}", serde_json::to_string(&weight)?);
    Ok(())
}

fn fill(
    mut reports: Reports,
    incidents: u32,
    mut arrive: impl FnMut(tocsin_schemas::time::Instant, Vec<tocsin_pipeline::Arrival>),
) -> u64 {
    while reports.incidents() < u64::from(incidents) {
        let batch = reports.take_next(1_000);
        arrive(batch[batch.len() - 1].arrived_at, batch);
    }
    reports.incidents()
}

/// The resident set of this process, in bytes.
fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<u64> = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| "expected a line VmRSS in /proc/self/status".into())
}
