//! `tocsin corrections held`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tocsin_alerts::decide::Why;
use tocsin_alerts::fuse::Releases;
use tocsin_schemas::log::{EventLog, LogError};
use tocsin_schemas::records::Delivery;
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics::DELIVERIES;
use tocsin_schemas::wire::SchemaIds;

use crate::exit::{CommandResult, Failure};
use crate::ledger::tail::own;
use crate::output::say;
use crate::policy::page;
use crate::run::pipeline::start::read_all;
use crate::{config, governance, open};

/// Where to look.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file, which names the event log.
    #[arg(long, value_name = "CONFIG")]
    pub config: PathBuf,
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
    let log = open::open(&config, open::Missing::Refuse)?;
    let schemas = Arc::clone(&config.schema_ids);
    let Found { held, let_go } = open::within(open::LIMIT, &config.log, move || read(&*log, &*schemas))?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&held).map_err(Failure::failed)?);
        return Ok(());
    }
    if let_go > 0 {
        say!("{let_go} more were let go and have not gone out yet");
    }
    if held.is_empty() {
        say!("no correction is held");
        return Ok(());
    }
    let mut hours: BTreeMap<String, (usize, &Delivery, &Delivery)> = BTreeMap::new();
    for delivery in &held {
        let decided = decided_at(delivery).to_string();
        // RFC 3339: up to the hour.
        let hour = decided.get(..13).unwrap_or(&decided).replace('T', " ");
        let of = hours.entry(hour).or_insert((0, delivery, delivery));
        (of.0, of.2) = (of.0 + 1, delivery);
    }
    let mut table = page(&["decided in the hour", "corrections", "first", "last"]);
    for (hour, (count, first, last)) in &hours {
        table.add_row([format!("{hour}:00"), count.to_string(), first.case_no.clone(), last.case_no.clone()]);
    }
    say!("{table}");
    say!("look at the feeds these come from (tocsin why CASE); then let them go:");
    say!("  tocsin corrections release --config FILE --author NAME --reason TEXT");
    Ok(())
}

/// What the fuse has stopped and what has not gone out since.
pub struct Found {
    /// By when they were decided.
    pub held: Vec<Delivery>,
    /// How many more somebody has let go.
    pub let_go: usize,
}

/// Reads it.
///
/// # Errors
/// Those of the log.
pub fn read(log: &dyn EventLog, schemas: &dyn SchemaIds) -> Result<Found, LogError> {
    let stopped = stopped(log)?;
    let releases = releases(log, schemas)?;
    let (let_go, mut held): (Vec<_>, Vec<_>) =
        stopped.into_values().partition(|delivery| releases.cover(decided_at(delivery)));
    held.sort_by_cached_key(|d| (decided_at(d), d.delivery_id.clone()));
    Ok(Found { held, let_go: let_go.len() })
}

/// What the fuse has stopped and what has not gone out since, let go or not, by id.
///
/// # Errors
/// Those of the log.
pub fn stopped(log: &dyn EventLog) -> Result<BTreeMap<String, Delivery>, LogError> {
    let mut stopped: BTreeMap<String, Delivery> = BTreeMap::new();
    read_all(log, DELIVERIES, &mut |record| {
        let Some(delivery) = own::<Delivery>(&record)? else { return Ok(()) };
        match delivery.reason.as_deref() == Some(Why::Fuse.as_str()) {
            true => drop(stopped.insert(delivery.delivery_id.clone(), delivery)),
            false => drop(stopped.remove(&delivery.delivery_id)),
        }
        Ok(())
    })?;
    Ok(stopped)
}

/// When the correction was decided.
pub fn decided_at(delivery: &Delivery) -> Instant {
    delivery.decided_at.unwrap_or(delivery.at)
}

/// What was let go so far.
///
/// # Errors
/// Those of the log.
pub fn releases(log: &dyn EventLog, schemas: &dyn SchemaIds) -> Result<Releases, LogError> {
    let mut releases = Releases::default();
    governance::each(log, schemas, |event, digest| {
        // One that says nothing valid releases nothing.
        let _ = releases.apply(event, digest);
    })?;
    Ok(releases)
}
