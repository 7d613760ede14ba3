//! `tocsin policy`: the thresholds that decide who is told: looked at, compared, published.
//!
//! - [`check`], [`show`], [`diff`], [`schema`], [`publish`]: one file for each command
//! - [`follow`]: which policy may take the place of which
//! - [`topic`]: what the topic `policy` holds; the service reads it too
//!
//! What a field is, its default and its range is the pipeline's to know (`SECTIONS`); nothing of it stands here.

mod check;
mod diff;
pub mod follow;
pub mod publish;
mod schema;
mod show;
pub mod topic;

use std::path::Path;

use tocsin_pipeline::Policies;
use tocsin_pipeline::policy::{Field, SECTIONS};

use crate::config;
use crate::exit::{CommandResult, Failure};

/// What to do with a policy.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do with a policy.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Say whether a policy file can be used; if not, the first thing that is wrong with it.
    ///
    /// Exit code 0: it can. 2: it cannot; the line says line, column and what is allowed.
    Check(check::Args),
    /// Show every threshold with its default, what it may be, and its row of the notice.
    #[command(after_long_help = "\
Examples:
  tocsin policy show                          the default policy
  tocsin policy show policy.toml --json       a file, for a script
  tocsin policy show --config tocsin.toml     the one in force in the event log
  tocsin policy show --config tocsin.toml --toml > new.toml     the same, as the file to change")]
    Show(show::Args),
    /// Say what differs between two policy files, day by day and field by field.
    ///
    /// Exit code 0: nothing. 1: something. 2: one of them cannot be used.
    Diff(diff::Args),
    /// Print the JSON Schema of a policy file, for editors.
    ///
    /// Example: tocsin policy schema > policy.schema.json; then put `#:schema ./policy.schema.json` into the file's first line.
    Schema(schema::Args),
    /// Put a policy file into force: append it to the topic `policy` of the event log.
    ///
    /// A running service takes it over at once, one that is not running at its next start. A table changed for days
    /// that are past or present is told to whom it concerns; see docs/policy.md. The first day of a policy that has
    /// begun stays as it is. The first publication of a log is shown beside the built-in default.
    #[command(after_long_help = "\
Before it:
  tocsin policy check new.toml
  tocsin policy diff old.toml new.toml
  tocsin policy publish new.toml --config tocsin.toml --dry-run
Example:
  tocsin policy publish new.toml --config tocsin.toml")]
    Publish(publish::Args),
}

/// Runs it.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: Args) -> CommandResult {
    match args.what {
        What::Check(args) => check::run(&args),
        What::Show(args) => show::run(&args),
        What::Diff(args) => diff::run(&args),
        What::Schema(args) => schema::run(&args),
        What::Publish(args) => publish::run(&args),
    }
}

/// A policy file that is given by name.
fn read(path: &Path) -> Result<Policies, Failure> {
    config::read_policies(path).map_err(Failure::wrong_call)
}

/// Every field with its full name, such as `escalation.blue`.
fn fields() -> impl Iterator<Item = (String, &'static Field)> {
    SECTIONS.iter().flat_map(|section| {
        section.fields.iter().map(move |field| (format!("{}.{}", section.name, field.name), field))
    })
}

/// `1 table`, `2 tables`.
fn tables(policies: &Policies) -> String {
    match policies.tables().len() {
        1 => "1 table".to_owned(),
        n => format!("{n} tables"),
    }
}

/// An empty table for the eye.
pub(crate) fn page(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_BORDERS_ONLY).set_header(header);
    // On a terminal long words wrap to its width; elsewhere a row stays one line.
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    table
}
