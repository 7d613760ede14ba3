//! `tocsin templates`: the texts that phones get: judged, and looked at.
//!
//! - [`source`]: where the texts come from: ours, a folder, a configuration; and the service's own reading of them
//! - [`lint`], [`preview`]: one file for each command
//!
//! What a text must keep is [`tocsin_alerts::texts::lint`]; nothing of it stands here.

mod lint;
mod preview;
pub mod source;

use std::path::PathBuf;

use tocsin_alerts::gateways::{self, Profile, TABLE};

use crate::exit::CommandResult;

/// What to do with the texts.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  tocsin templates lint                                 the texts as they are delivered, for every SMS gateway
  tocsin templates lint --folder texts                  your own, before they are configured
  tocsin templates lint --config tocsin.toml            what is configured, the approved templates as well
  tocsin templates preview T1 T7 --worst                what a phone gets, at most
  tocsin templates preview T7 --gateway tencent         the wording to have approved, and its variables

What each rule means: docs/templates.md.")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do with the texts.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Judge every text with the longest values its slots may have: length, segments, variables, signature, no person.
    ///
    /// Exit code 0: no rule is broken. 1: one is. 2: a wrong call, folder or configuration.
    Lint(lint::Args),
    /// Show texts filled in, as phones and gateways get them.
    Preview(preview::Args),
}

/// Which texts, and for whom.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// The configuration: its texts, and its tables of approved templates.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A folder with texts of your own: T1.jinja, T7_fallback.jinja, … What it lacks is as delivered.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub folder: Option<PathBuf>,
    /// Only for this gateway.
    #[arg(long, value_name = "NAME", value_parser = gateway)]
    pub gateway: Option<&'static Profile>,
    /// JSON on standard output instead of a page.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// A failure: a rule is broken. A wrong call: a folder or configuration that cannot be read.
pub fn run(args: Args) -> CommandResult {
    match args.what {
        What::Lint(args) => lint::run(&args),
        What::Preview(args) => preview::run(&args),
    }
}

/// A gateway by its name.
fn gateway(name: &str) -> Result<&'static Profile, String> {
    let names = || TABLE.iter().map(|entry| entry.profile.name).collect::<Vec<_>>().join(", ");
    gateways::find(name).map(|entry| entry.profile).ok_or_else(|| format!("expected one of {}", names()))
}

/// The gateway that is asked for, else all that have templates of their own.
fn gateways_of(common: &Common) -> Vec<&'static Profile> {
    let with_templates = TABLE.iter().map(|entry| entry.profile).filter(|profile| profile.marks.is_some());
    common.gateway.map_or_else(|| with_templates.collect(), |one| vec![one])
}
