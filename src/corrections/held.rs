//! `tocsin corrections held`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tocsin_alerts::decide::Why;
use tocsin_schemas::log::{EventLog, LogError};
use tocsin_schemas::records::Delivery;
use tocsin_schemas::topics::DELIVERIES;

use crate::exit::{CommandResult, Failure};
use crate::ledger::tail::own;
use crate::output::say;
use crate::policy::page;
use crate::run::pipeline::start::read_all;
use crate::{config, open};

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
    let held = open::within(open::LIMIT, &config.log, move || read(&*log))?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&held).map_err(Failure::failed)?);
        return Ok(());
    }
    if held.is_empty() {
        say!("no correction is held");
        return Ok(());
    }
    let mut hours: BTreeMap<String, (usize, &Delivery, &Delivery)> = BTreeMap::new();
    for delivery in &held {
        let decided = delivery.decided_at.unwrap_or(delivery.at).to_string();
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

/// The corrections that are held, by when they were decided.
fn read(log: &dyn EventLog) -> Result<Vec<Delivery>, LogError> {
    let mut held: BTreeMap<String, Delivery> = BTreeMap::new();
    read_all(log, DELIVERIES, &mut |record| {
        let Some(delivery) = own::<Delivery>(&record)? else { return Ok(()) };
        match delivery.reason.as_deref() == Some(Why::Fuse.as_str()) {
            true => drop(held.insert(delivery.delivery_id.clone(), delivery)),
            false => drop(held.remove(&delivery.delivery_id)),
        }
        Ok(())
    })?;
    let mut held: Vec<Delivery> = held.into_values().collect();
    held.sort_by_cached_key(|d| (d.decided_at.unwrap_or(d.at), d.delivery_id.clone()));
    Ok(held)
}
