//! One side alone in a process of its own, to be weighed.
use crate::{Failure, Options};

/// Which side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Side {
    /// The engine.
    Engine,
    /// The plain loop.
    Floor,
}

/// Runs a side and prints its memory.
pub fn child(_: Side, _: u32, _: &Options) -> Result<(), Failure> {
    Err("not there yet".into())
}
