//! The command `tocsin`: arguments, configuration and wiring. No rule of the domain lives here.
//!
//! - [`cli`]: what can be called, and the help that teaches it
//! - [`exit`]: how a command ends: exit code 0, 1 or 2 and one line that says what to do
//! - [`output`]: what commands print, on pipes that may be closed
//! - [`config`]: the one TOML file of the service
//! - [`run`]: the service itself, both halves
//! - [`replay`], [`demo`]: the same pipeline over a file, and over a simulated city
//! - [`policy`]: the thresholds: looked at, compared, published
//! - [`backtest`]: history under two policies; [`stream`]: what it shares with `replay`
//! - [`why`]: an alert, incident, enterprise or entry on a list explained from the records
//! - [`known`]: figures of a past day, as known then and now, and what makes the difference
//! - [`ledger`]: what became of every message, and whether the books add up
//! - [`lists`]: the lists that people act on
//! - [`templates`]: the texts that phones get: judged, and shown
//! - [`corrections`]: what the fuse of corrections holds; [`governance`]: what somebody answers for, appended
//! - [`silence`]: what somebody answers for that it is not sent; [`contacts`]: whether messages find somebody
//! - [`topics`], [`check`]: what an operator does before the first `run`

mod backtest;
mod check;
mod cli;
mod config;
mod contacts;
mod corrections;
mod demo;
mod exit;
mod governance;
mod known;
mod ledger;
mod lists;
mod logging;
mod open;
mod output;
mod policy;
mod replay;
mod run;
mod seal;
mod silence;
mod stream;
mod templates;
mod topics;
mod why;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

/// Decisions are made on one thread and let go of on another, for which the system's allocator makes the
/// deciding one pay.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The demo's page is not to be torn by log lines nobody asked for.
    let log = cli.log.or_else(|| matches!(cli.command, Command::Demo(_)).then(|| "error".to_owned()));
    let outcome = logging::start(&log).and_then(|()| match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Run(args) => run::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Backtest(args) => backtest::run(args),
        Command::Topics(args) => topics::run(args),
        Command::Policy(args) => policy::run(args),
        Command::Silence(args) => silence::run(args),
        Command::Corrections(args) => corrections::run(args),
        Command::Contacts(args) => contacts::run(args),
        Command::Why(args) => why::run(args),
        Command::Ledger(args) => ledger::run(args),
        Command::Known(args) => known::run(args),
        Command::Lists(args) => lists::run(args),
        Command::Templates(args) => templates::run(args),
        Command::CheckConfig(args) => check::run(args),
        Command::Completions(args) => cli::completions(args),
    });
    match outcome.and_then(|()| output::complete()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
