//! What can be called, and the help that teaches it.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::exit::CommandResult;
use crate::{
    backtest, check, contacts, corrections, demo, known, ledger, lists, output, policy, replay, run, silence,
    templates, topics, why,
};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Work-injury reports in, the right people told once.
///
/// Tocsin (警钟) reads reports of work injuries from many bureaus, makes one incident of what they say,
/// keeps the rates of every enterprise, industry, area and the city, and decides whom to tell: the owner
/// of each injury, the township when an enterprise has several. Every decision is written to the event log
/// together with the progress it stands for, so a crash, a replay or a second process never rings twice.
#[derive(Debug, Parser)]
#[command(name = "tocsin", version, styles = STYLES, after_long_help = "\
Where to begin:
  tocsin demo                               see it work, nothing to install, about 30 seconds
  tocsin replay stream.jsonl --out out      run a file of your own through the pipeline
  tocsin backtest stream.jsonl --policy P   what another policy would have said
  tocsin lists annual stream.jsonl          key and general enterprises of the year, and why
  tocsin check-config --config tocsin.toml  before the first run: is everything reachable?
  tocsin topics apply --config tocsin.toml  create the topics
  tocsin contacts check --config tocsin.toml  does every enterprise and township have somebody to tell?
  tocsin policy show                        every threshold, its default, and what it may be
  tocsin run --config tocsin.toml           the service
  tocsin ledger reconcile --config tocsin.toml  is anything unaccounted for?

Exit codes: 0 done, 1 failed (something outside has to change), 2 wrong call, configuration or policy.")]
pub struct Cli {
    /// What to log on standard error: a level (error, warn, info, debug, trace), or targets such as
    /// `tocsin=debug,warn`.
    #[arg(long, global = true, value_name = "FILTER", env = "RUST_LOG")]
    pub log: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Everything that can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a simulated city: reports in, rates moving, phones ringing once.
    Demo(demo::Args),
    /// Run the service: decide on what arrives, and tell the people.
    Run(run::Args),
    /// Run a file of arrivals through the pipeline and write what it decided.
    Replay(replay::Args),
    /// Run history under two policies and show what would differ.
    Backtest(backtest::Args),
    /// Explain an alert, an incident, an enterprise or an entry on a list from the records, and check that it adds up.
    Why(why::Args),
    /// Show what became of every message, and whether anything is unaccounted for.
    Ledger(ledger::Args),
    /// Show the figures of a past day as known then and as known now, and which records make the difference.
    Known(known::Args),
    /// Show the lists that people act on: of a year, streaks without injury, industries, posts.
    Lists(lists::Args),
    /// Create the topics of the event log, and say what differs.
    Topics(topics::Args),
    /// Check, show, compare and publish the thresholds that decide who is told.
    Policy(policy::Args),
    /// Judge the texts that phones get, and show them filled in.
    Templates(templates::Args),
    /// Keep messages from being sent for a while, in somebody's name; see and end such silences.
    Silence(silence::Args),
    /// See the corrections that the fuse holds, and let them go in somebody's name.
    Corrections(corrections::Args),
    /// Look whether messages find somebody: who is missing, outdated or not verified.
    Contacts(contacts::Args),
    /// Read the configuration, show it without secrets, and try what it points to.
    CheckConfig(check::Args),
    /// Print a completion script for a shell.
    ///
    /// Example: tocsin completions bash > /etc/bash_completion.d/tocsin
    Completions(Completions),
}

/// Which shell.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell to complete in.
    pub shell: Shell,
}

/// Prints the completion script.
///
/// # Errors
/// None.
pub fn completions(args: Completions) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tocsin", &mut script);
    output::bytes(&script);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
