//! `tocsin silence end`: a further version of the event, with an end that has come.

use std::sync::Arc;

use tocsin_alerts::silences::{Details, Silence};
use tocsin_schemas::time::Instant;

use super::{Shown, Signed, topic};
use crate::exit::{CommandResult, Failure};
use crate::output::say;
use crate::run::wall::WallClock;
use crate::{config, open};

/// What is to end.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The id of the event, as `tocsin silence list` shows it.
    #[arg(value_name = "EVENT")]
    pub event_id: String,
    #[command(flatten)]
    pub signed: Signed,
}

/// Runs it.
///
/// # Errors
/// A wrong call: no such silence, or one that is over. A failure: the log.
pub fn run(args: &Args) -> CommandResult {
    let config = config::load(&args.signed.config)?;
    let wall = WallClock::new(config.clock_start);
    let now = wall.now();
    let (log, schemas) = (open::open(&config, open::Missing::Refuse)?, Arc::clone(&config.schema_ids));
    let (to_read, ids) = (Arc::clone(&log), Arc::clone(&schemas));
    let held = open::within(open::LIMIT, &config.log, move || topic::read(&*to_read, &*ids))?;
    let standing = held.silences.all().find(|s| s.event_id == args.event_id);
    let ended = ended(standing, args, now).map_err(Failure::wrong_call)?;
    let written = ended.clone();
    open::writing(&config, "silence list --all", move || topic::append(&*log, &*schemas, &written, &wall))?;
    if args.signed.json {
        say!("{}", serde_json::to_string_pretty(&Shown::of(&ended, now)).map_err(Failure::failed)?);
    } else {
        say!("{} is over: {} is told again", ended.event_id, ended.subject);
    }
    Ok(())
}

/// The version that ends it.
fn ended(standing: Option<&Silence>, args: &Args, now: Instant) -> Result<Silence, String> {
    let list = "see tocsin silence list --all";
    let Some(standing) = standing else {
        return Err(format!("there is no silence {}: {list}", args.event_id));
    };
    if standing.details.until <= now {
        return Err(format!("{} is over since {}: {list}", args.event_id, standing.details.until));
    }
    let details = Details { until: now, reason: args.signed.reason.clone(), ..standing.details.clone() };
    let (version, author) = (standing.version + 1, args.signed.author.clone());
    Ok(Silence { version, author, details, ..standing.clone() })
}
