//! `tocsin check-config`: the effective configuration without secrets, and whether what it points to is there.

use std::path::PathBuf;

use crate::exit::{CommandResult, Failure};

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit code 0: all is well. 1: something it points to is missing or unreachable. 2: the file is wrong.
It never takes longer than 10 seconds.")]
pub struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Runs it.
///
/// # Errors
/// See [`Failure`].
pub fn run(_args: Args) -> CommandResult {
    Err(Failure::failed("not built yet"))
}
