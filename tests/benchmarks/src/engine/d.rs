//! (d) Memory an incident: what a side holds at a million incidents less what it holds at a hundred
//! thousand, over the nine hundred thousand between. Register and windows are full at both, so what grows
//! is history: reports, cases, incidents and, on the engine's side, numbers and what was said. What loading
//! the register left free in the heap is used up before the first hundred thousand (the resident set stands
//! still until about fifty thousand and grows from there), so it does not flatter either side.
//!
//! Memory a firm: the same between two registers, of firms with the headcounts of two years.

use super::memory::{Load, Side, Weight, weigh};
use crate::progress::Progress;
use crate::table::{Figure, Goal, Row};
use crate::{Failure, Options};

/// Measures.
///
/// # Errors
/// A child that cannot be run.
pub fn run(options: &Options, progress: &Progress) -> Result<Vec<Row>, Failure> {
    let work = progress.work("(d) memory", 8);
    let compared = |load: Load, what: &str, few: u32, many: u32, goal: f64| -> Result<Row, Failure> {
        let (few, many) = (options.size(few), options.size(many));
        let of = |side: Side| -> Result<(Weight, Weight), Failure> {
            let small = weigh(side, load, few, options)?;
            work.advance(1);
            let large = weigh(side, load, many, options)?;
            work.advance(1);
            Ok((small, large))
        };
        let (ours, floor) = (of(Side::Engine)?, of(Side::Floor)?);
        let each = |(small, large): (Weight, Weight)| {
            let grown = large.rss_bytes as f64 - small.rss_bytes as f64;
            Figure::new(grown / (large.holds - small.holds).max(1) as f64, "B")
        };
        let mib = |w: Weight| w.rss_bytes >> 20;
        let note = format!(
            "resident at {few} and {many}: engine {} and {} MiB, plain loop {} and {} MiB, each in a process of its own",
            mib(ours.0),
            mib(ours.1),
            mib(floor.0),
            mib(floor.1),
        );
        let row = Row::costs('d', format!("memory of {what}"), each(ours), each(floor));
        Ok(row.goal(Goal::AtMost(goal)).note(note))
    };
    Ok(vec![
        compared(Load::Incidents, "an incident", 100_000, 1_000_000, 2.0)?,
        compared(Load::Firms, "a firm with 24 headcounts", 50_000, 250_000, 2.5)?,
    ])
}
