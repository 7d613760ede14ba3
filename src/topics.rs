//! `tocsin topics apply`: creates what is missing and says what differs.

use std::path::PathBuf;

use crate::exit::{CommandResult, Failure};

/// What to do with the topics.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do with the topics.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Create the topics that are missing, set sizes and retention, and say what differs.
    ///
    /// Partitions are never changed, because keys would move: that is listed as a difference, and the exit
    /// code is 1.
    #[command(after_long_help = "\
Examples:
  tocsin topics apply --config tocsin.toml --dry-run   what would change
  tocsin topics apply --config tocsin.toml")]
    Apply(Apply),
}

/// How to apply.
#[derive(Debug, clap::Args)]
pub struct Apply {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// See [`Failure`].
pub fn run(_args: Args) -> CommandResult {
    Err(Failure::failed("not built yet"))
}
