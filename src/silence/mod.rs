//! `tocsin silence`: what is not sent for a while, and who answers for it. A silence is a governance event on the log
//! (`tocsin_alerts::silences`); the alert worker reads it before it decides.

mod add;
mod end;
mod known;
mod list;
mod topic;

use std::path::PathBuf;

use tocsin_alerts::silences::{Details, Silence};
use tocsin_schemas::time::Instant;

use crate::exit::CommandResult;

/// What to do with silences.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do with silences.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Keep messages about a subject from being sent until an instant.
    ///
    /// What is due meanwhile ends as skipped, naming the silence; nothing is stored up for its end. Severe and fatal
    /// accidents, red, and corrections of what was told are sent all the same, unless --everything is given.
    #[command(after_long_help = "\
Subjects: a USCC, an area code, an industry's division or a city code (their roles), a contact (role+subject+rank, never a
phone), a gateway such as webhook, or \"*\". Areas, industries and contacts have to be in the registry, gateways in use.
Example:
  tocsin silence add 330784001 --config tocsin.toml --until 2026-12-01 --author 王主任 --reason \"drill of the township\"")]
    Add(add::Args),
    /// Show the silences in force and to come.
    List(list::Args),
    /// End a silence before its time.
    End(end::Args),
}

/// Runs it.
///
/// # Errors
/// See [`crate::exit::Failure`].
pub fn run(args: Args) -> CommandResult {
    match args.what {
        What::Add(args) => add::run(&args),
        What::List(args) => list::run(&args),
        What::End(args) => end::run(&args),
    }
}

/// Where the silences are, and who speaks.
#[derive(Debug, clap::Args)]
pub struct Signed {
    /// The configuration file, which names the event log.
    #[arg(long, value_name = "CONFIG")]
    pub config: PathBuf,
    /// Who answers for it: it stands in the log for ever.
    #[arg(long, value_name = "NAME", value_parser = words)]
    pub author: String,
    /// Why.
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

fn words(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("expected some words, found nothing".to_owned()),
        text if text.chars().count() > 200 => Err("expected at most 200 characters".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// A silence as it is shown.
#[derive(Debug, serde::Serialize)]
struct Shown<'a> {
    event_id: &'a str,
    version: u64,
    subject: &'a str,
    on: tocsin_schemas::time::Day,
    #[serde(flatten)]
    details: &'a Details,
    author: &'a str,
    in_force: bool,
}

impl Shown<'_> {
    fn of(silence: &Silence, now: Instant) -> Shown<'_> {
        Shown {
            event_id: &silence.event_id,
            version: silence.version,
            subject: &silence.subject,
            on: silence.on,
            details: &silence.details,
            author: &silence.author,
            in_force: silence.in_force(now),
        }
    }
}
