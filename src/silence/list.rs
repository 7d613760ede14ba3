//! `tocsin silence list`.

use std::path::PathBuf;
use std::sync::Arc;

use tocsin_alerts::silences::Silence;

use super::{Shown, topic};
use crate::exit::{CommandResult, Failure};
use crate::output::say;
use crate::policy::page;
use crate::run::wall::WallClock;
use crate::{config, open};

/// Which to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file, which names the event log.
    #[arg(long, value_name = "CONFIG")]
    pub config: PathBuf,
    /// Also those that are over.
    #[arg(long)]
    pub all: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// Those of the configuration and the log.
pub fn run(args: &Args) -> CommandResult {
    let config = config::load(&args.config)?;
    let now = WallClock::new(config.clock_start).now();
    let (log, schemas) = (open::open(&config, open::Missing::Refuse)?, Arc::clone(&config.schema_ids));
    let held = open::within(open::LIMIT, &config.log, move || topic::read(&*log, &*schemas))?;
    let silences: Vec<&Silence> = held.silences.all().filter(|s| args.all || now < s.details.until).collect();
    if args.json {
        let shown: Vec<Shown<'_>> = silences.iter().map(|s| Shown::of(s, now)).collect();
        let text = serde_json::json!({ "now": now, "silences": shown, "wrong": held.wrong });
        say!("{}", serde_json::to_string_pretty(&text).map_err(Failure::failed)?);
        return Ok(());
    }
    if silences.is_empty() {
        say!("nothing is silent at {now}");
    } else {
        let mut table =
            page(&["event", "in force", "subject", "from", "until", "everything", "author", "reason"]);
        for s in &silences {
            let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
            table.add_row([
                s.event_id.clone(),
                yes(s.in_force(now)),
                s.subject.clone(),
                s.on.to_string(),
                s.details.until.to_string(),
                yes(s.details.everything),
                s.author.clone(),
                s.details.reason.clone(),
            ]);
        }
        say!("{table}");
    }
    for wrong in &held.wrong {
        say!("not in force, because it cannot be read: {wrong}");
    }
    Ok(())
}
