//! `tocsin policy show [FILE] [--config CONFIG] [--toml]`: every threshold, with defaults filled in.

use std::path::PathBuf;

use comfy_table::ColumnConstraint;
use serde::Serialize;
use tocsin_pipeline::Policies;
use tocsin_pipeline::policy::Value;
use tocsin_schemas::log::LogError;
use tocsin_schemas::time::{Day, Instant};

use super::{fields, page, read, topic};
use crate::exit::{CommandResult, Failure};
use crate::output::say;
use crate::run::pipeline::start;
use crate::{config, open};

/// The most columns of a table: as many as a sheet of paper has.
const WIDTH: u16 = 100;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy file; left out: the default policy.
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub file: Option<PathBuf>,
    /// Show the one in force in the event log of this configuration.
    #[arg(long, value_name = "CONFIG")]
    pub config: Option<PathBuf>,
    /// Print JSON instead of tables.
    #[arg(long, conflicts_with = "toml")]
    pub json: bool,
    /// Print it as a policy file, every value written out: to change it, or to keep it.
    #[arg(long)]
    pub toml: bool,
}

/// A policy and where it stands.
#[derive(Debug, Serialize)]
struct Shown {
    /// Where it was read, in words.
    from: String,
    /// Its version in the topic `policy`, where it stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published_at: Option<Instant>,
    /// The policy that decided last, if it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
    hash: String,
    tables: Vec<ShownTable>,
    /// The policy itself.
    #[serde(skip)]
    policies: Policies,
}

#[derive(Debug, Serialize)]
struct ShownTable {
    effective_from: Day,
    fields: Vec<ShownField>,
}

#[derive(Debug, Serialize)]
struct ShownField {
    field: String,
    value: Value,
    default: Value,
    allowed: String,
    rows: Vec<&'static str>,
    about: &'static str,
}

impl Shown {
    fn of(from: String, policies: &Policies) -> Shown {
        let table = |table: &tocsin_pipeline::policy::Policy| ShownTable {
            effective_from: table.effective_from,
            fields: fields()
                .zip(table.values())
                .map(|((name, field), value)| ShownField {
                    field: name,
                    value,
                    default: field.default(),
                    allowed: field.kind.to_string(),
                    rows: field.rows(),
                    about: field.about.trim(),
                })
                .collect(),
        };
        Shown {
            from,
            version: None,
            published_at: None,
            decided_by: None,
            hash: policies.hash().to_string(),
            tables: policies.tables().iter().map(table).collect(),
            policies: policies.clone(),
        }
    }
}

/// Runs it.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args) -> CommandResult {
    let shown = match (&args.file, &args.config) {
        (Some(file), _) => Shown::of(file.display().to_string(), &read(file)?),
        (None, None) => Shown::of("the default policy".to_owned(), &Policies::default()),
        (None, Some(path)) => in_force(&config::load(path)?)?,
    };
    if args.json {
        say!("{}", serde_json::to_string_pretty(&shown).map_err(Failure::failed)?);
        return Ok(());
    }
    if args.toml {
        let text = shown.policies.to_toml().map_err(Failure::failed)?;
        say!("# {}, hash {}\n{}", shown.from, shown.hash, text.trim_end());
        return Ok(());
    }
    for table in &shown.tables {
        say!("in force from {} (S1)", table.effective_from);
        say!("{}", sheet(table));
    }
    let since = shown.published_at.map_or_else(String::new, |at| format!(", published at {at}"));
    say!("{}{since}\nhash {}", shown.from, shown.hash);
    if let Some(hash) = &shown.decided_by {
        say!("not taken over yet: the last decision was by the policy with\nhash {hash}");
    }
    Ok(())
}

/// The values of a table for the eye.
fn sheet(table: &ShownTable) -> comfy_table::Table {
    let mut rows = page(&["field", "value", "default", "allowed", "notice", "what it is"]);
    for f in &table.fields {
        let notice = f.rows.join(", ");
        // The rows have a column of their own.
        let about = f.about.trim_end_matches(&format!(" ({notice})."));
        rows.add_row([
            f.field.clone(),
            f.value.to_string(),
            if f.value == f.default { String::new() } else { f.default.to_string() },
            f.allowed.clone(),
            notice.clone(),
            about.to_owned(),
        ]);
    }
    let width = rows.width().map_or(WIDTH, |screen| screen.min(WIDTH));
    rows.set_width(width);
    // A name is looked for as a whole.
    if let Some(names) = rows.column_mut(0) {
        names.set_constraint(ColumnConstraint::ContentWidth);
    }
    rows
}

/// The newest valid one of the topic; where there is none, the one that the first `run` will publish.
fn in_force(config: &config::Config) -> Result<Shown, Failure> {
    let log = open::open(config, open::Missing::Refuse)?;
    let (held, progress) = open::within(open::LIMIT, &config.log, move || {
        let progress = match start::read_progress(&*log) {
            Err(LogError::MissingTopic { .. }) => None,
            progress => progress?,
        };
        Ok((topic::read(&*log)?, progress))
    })?;
    let decided_by = progress.map(|p| p.policy_hash);
    let Some(newest) = held.newest() else {
        let from = "configured, and not published yet: the next `tocsin run` does it";
        return Ok(Shown::of(from.to_owned(), &config.policies));
    };
    Ok(Shown {
        version: Some(newest.version),
        published_at: Some(newest.published_at),
        decided_by: decided_by.filter(|hash| *hash != **newest.policies.hash()),
        ..Shown::of(format!("version {} of the topic policy", newest.version), &newest.policies)
    })
}
