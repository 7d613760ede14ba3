//! `tocsin topics apply`: creates what is missing and says what differs.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tocsin_schemas::log::TopicChange;
use tocsin_schemas::topics;

use crate::config::{self, LogConfig};
use crate::exit::{CommandResult, Failure};
use crate::output::say;
use crate::{open, seal};

/// How long creating may take; a broker's own limits are shorter.
const LIMIT: Duration = Duration::from_secs(60);

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
    /// Encrypt anew the contacts that are plain in the log, or encrypted with an earlier key.
    ///
    /// Needs [log] contacts_key. On the embedded log it then compacts, and writes the file anew, so that no plain
    /// contact can be read in it any more: stop the service first, and have room for the file twice. On Kafka the
    /// broker's compaction drops what was superseded. Contacts that were refused at the door stay in the topic
    /// quarantine as they came until their 400 days are over.
    #[command(after_long_help = "\
Examples:
  tocsin topics seal --config tocsin.toml --dry-run   how many are plain
  tocsin topics seal --config tocsin.toml")]
    Seal(Seal),
}

/// How to seal.
#[derive(Debug, clap::Args)]
pub struct Seal {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
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
    /// Refuse to make an embedded log that is not there. For a start of the service: a file that was lost, or a disk that
    /// is not mounted, must not become a new, empty log.
    #[arg(long)]
    pub existing: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// See [`Failure`]; also when something differs that could not be changed.
pub fn run(args: Args) -> CommandResult {
    let args = match args.what {
        What::Apply(args) => args,
        What::Seal(args) => return seal::run(&args),
    };
    let config = config::load(&args.config)?;
    let dry_run = args.dry_run;
    let changes = match &config.log {
        // Looking must not make the file.
        LogConfig::Embedded { path, .. } if dry_run && !args.existing && !path.exists() => {
            topics::settings().into_iter().map(|t| TopicChange::Created(t.name)).collect()
        }
        _ => {
            let missing = if args.existing { open::Missing::Refuse } else { open::Missing::Make };
            let log = open::open(&config, missing)?;
            open::within(LIMIT, &config.log, move || log.ensure(&topics::settings(), dry_run))?
        }
    };
    let rows: Vec<Row> = changes.iter().map(|c| Row::of(c, dry_run)).collect();
    if args.json {
        let text = serde_json::to_string_pretty(&rows).map_err(Failure::failed)?;
        say!("{text}");
    } else {
        say!("{}", table(&rows));
    }
    let differ = changes.iter().filter(|c| matches!(c, TopicChange::Differs(..))).count();
    if differ > 0 {
        return Err(Failure::failed(format!(
            "{differ} settings differ and were not changed, because that is not safe: see the rows \"differs\""
        )));
    }
    Ok(())
}

/// One line of the answer.
#[derive(Debug, Serialize)]
struct Row {
    topic: String,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    setting: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
}

impl Row {
    fn of(change: &TopicChange, dry_run: bool) -> Row {
        let bare = |topic: &str, result| Row {
            topic: topic.to_owned(),
            result,
            setting: None,
            wanted: None,
            found: None,
        };
        match change {
            TopicChange::Created(topic) => bare(topic, if dry_run { "would be created" } else { "created" }),
            TopicChange::AsWanted(topic) => bare(topic, "as it should be"),
            TopicChange::Altered(topic, setting, from, to) => Row {
                setting: Some(setting.clone()),
                wanted: Some(to.clone()),
                found: Some(from.clone()),
                ..bare(topic, if dry_run { "would be changed" } else { "changed" })
            },
            TopicChange::Differs(topic, setting, wanted, found) => Row {
                setting: Some(setting.clone()),
                wanted: Some(wanted.clone()),
                found: Some(found.clone()),
                ..bare(topic, "differs")
            },
        }
    }
}

fn table(rows: &[Row]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(["topic", "result", "setting", "wanted", "found"]);
    for row in rows {
        let cell = |text: &Option<String>| text.clone().unwrap_or_default();
        table.add_row([
            row.topic.clone(),
            row.result.to_owned(),
            cell(&row.setting),
            cell(&row.wanted),
            cell(&row.found),
        ]);
    }
    table
}
