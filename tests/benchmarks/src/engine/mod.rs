//! The engine against a plain loop on hash maps that keeps the same contract.
//!
//! - [`floor`]: the plain loop
//! - [`agree`]: whether both ended at the same incidents, counts and levels; if not, the figures are void
//! - [`b`]: throughput, [`d`]: memory, [`f`]: time of one report
//! - [`memory`]: one side alone in a process of its own, to be weighed

pub mod b;
pub mod d;
pub mod f;
pub mod memory;
