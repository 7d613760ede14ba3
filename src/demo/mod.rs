//! To be filled in.

use crate::exit::{CommandResult, Failure};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
///
/// # Errors
/// Always, so far.
pub fn run(_args: Args) -> CommandResult {
    Err(Failure::failed("not built yet"))
}
