//! (d) Memory an incident: what a side holds at a million incidents less what it holds at a hundred
//! thousand, over the nine hundred thousand between. Register and windows are full at both, so what grows
//! is history: reports, cases, incidents and, on the engine's side, numbers and what was said. What loading
//! the register left free in the heap is used up before the first hundred thousand (the resident set stands
//! still until about fifty thousand and grows from there), so it does not flatter either side.

use super::memory::{Side, Weight, weigh};
use crate::progress::Progress;
use crate::table::{Figure, Goal, Row};
use crate::{Failure, Options};

/// Measures.
///
/// # Errors
/// A child that cannot be run.
pub fn run(options: &Options, progress: &Progress) -> Result<Vec<Row>, Failure> {
    let (few, many) = (options.size(100_000), options.size(1_000_000));
    let work = progress.work("(d) memory", 4);
    let of = |side: Side| -> Result<(Weight, Weight), Failure> {
        let small = weigh(side, few, options)?;
        work.advance(1);
        let large = weigh(side, many, options)?;
        work.advance(1);
        Ok((small, large))
    };
    let (ours, floor) = (of(Side::Engine)?, of(Side::Floor)?);
    let each = |(small, large): (Weight, Weight)| {
        let grown = large.rss_bytes as f64 - small.rss_bytes as f64;
        Figure::new(grown / (large.incidents - small.incidents).max(1) as f64, "B")
    };
    let mib = |w: Weight| w.rss_bytes >> 20;
    Ok(vec![Row::costs('d', "memory of an incident", each(ours), each(floor)).goal(Goal::AtMost(2.0)).note(format!(
        "resident at {few} and {many} incidents: engine {} and {} MiB, plain loop {} and {} MiB, each in a process of its own",
        mib(ours.0),
        mib(ours.1),
        mib(floor.0),
        mib(floor.1),
    ))])
}
