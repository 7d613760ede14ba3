//! `tocsin run`: the service, both halves in one process.

use std::path::PathBuf;

use crate::exit::{CommandResult, Failure};

/// How to run the service.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  tocsin run --config tocsin.toml                    both halves, until SIGTERM or Ctrl-C
  tocsin run --config tocsin.toml --only pipeline    decide only; another process tells
  tocsin run --config tocsin.toml --clock arrivals --until-end
                                                     a stream that carries its own arrival times

SIGTERM and Ctrl-C finish the transaction in hand and exit with 0; a second one exits at once.
A second `run` of the same half takes over: the first one stops within 5 seconds, with exit code 1.")]
pub struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Run one half only.
    #[arg(long, value_enum, value_name = "HALF")]
    pub only: Option<Half>,
    /// What moves the clock: the wall clock and the log's append times, or the arrival times that the
    /// records themselves carry as their time stamps.
    #[arg(long, value_enum, default_value_t = ClockKind::Wall)]
    pub clock: ClockKind,
    /// Stop when everything that is in the log at the start has been decided.
    #[arg(long)]
    pub until_end: bool,
    /// Go on although what should have been said differs from what was said. Look at the counts of a run
    /// without it first: each difference is a message to somebody.
    #[arg(long)]
    pub accept_difference: bool,
    /// Let the clock jump by more than 35 days.
    #[arg(long)]
    pub accept_clock: bool,
}

/// One half of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Half {
    /// Reports in, alerts out.
    Pipeline,
    /// Alerts in, people told.
    Alerts,
}

/// What moves the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ClockKind {
    /// The log's append times while behind, wall-clock midnights once caught up.
    Wall,
    /// The records' own time stamps, and nothing else.
    Arrivals,
}

/// Runs it.
///
/// # Errors
/// See [`Failure`].
pub fn run(_args: Args) -> CommandResult {
    Err(Failure::failed("not built yet"))
}
