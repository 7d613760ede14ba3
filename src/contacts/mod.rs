//! `tocsin contacts check`: whether messages find somebody.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tocsin_alerts::contacts::Contacts;
use tocsin_alerts::contacts::check::{Findings, Firms, check};
use tocsin_alerts::gateways::webhook;
use tocsin_alerts::phone_key::PhoneKey;
use tocsin_alerts::refusals::Refusals;
use tocsin_schemas::log::{EventLog, LogError};
use tocsin_schemas::records::Record;
use tocsin_schemas::topics::{CONTACTS, DELIVERIES, ENTERPRISES};
use tocsin_schemas::wire::SchemaIds;

use crate::exit::{CommandResult, Failure};
use crate::ledger::tail::own;
use crate::output::say;
use crate::policy::page;
use crate::run::pipeline::admit::{AtDoor, admit};
use crate::run::pipeline::start;
use crate::run::wall::WallClock;
use crate::{config, open};

/// How long reading a large registry may take.
const LIMIT: Duration = Duration::from_secs(120);
/// How many of one kind the table names; `--json` has all.
const NAMED: usize = 5;

/// What to do with the contacts.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do with the contacts.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Look for enterprises, townships and departments that nobody can be reached for, and for contacts that are
    /// outdated, not verified within a year, have a phone that cannot be right, or an address that bounced or whose
    /// holder has said that it is not theirs.
    ///
    /// Nothing personal is shown: contacts by role, subject and rank, phones masked. Exit code 1: somebody whom a
    /// message is due to cannot be reached.
    Check(Check),
}

/// Where to look.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The configuration file, which names the event log.
    #[arg(long, value_name = "CONFIG")]
    pub config: PathBuf,
    /// Print JSON, with everything that was found, instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// See [`Failure`]; a failure when somebody is missing.
pub fn run(args: Args) -> CommandResult {
    let What::Check(args) = args.what;
    let config = config::load(&args.config)?;
    let today = WallClock::new(config.clock_start).now().day();
    let (log, schemas) = (open::open(&config, open::Missing::Refuse)?, Arc::clone(&config.schema_ids));
    let key = config.phone_key()?;
    let Read { contacts, firms, refusals, key, refused } =
        open::within(LIMIT, &config.log, move || read(&*log, &*schemas, key))?;
    // Where none is configured here yet, what a webhook would find.
    let names = |role| match &config.gateways.all[..] {
        [] => vec![webhook::NAME.to_owned()],
        _ => config.gateways.names(role),
    };
    let found = check(&contacts, &firms, &refusals, &key, today, &names);
    if args.json {
        say!("{}", serde_json::to_string_pretty(&found).map_err(Failure::failed)?);
    } else {
        say!("{} contacts, {} enterprises in business, on {today}", found.contacts, found.enterprises);
        say!("{}", table(&found));
    }
    if refused > 0 {
        tracing::warn!(refused, "records of the registry could not be read: see the topic quarantine");
    }
    match (found.unreachable_enterprises.len(), found.unfilled_roles.len()) {
        (0, 0) => Ok(()),
        (firms, roles) => Err(Failure::failed(format!(
            "{firms} enterprises and {roles} other roles have nobody who can be told: register their contacts"
        ))),
    }
}

/// What stands in the log.
struct Read {
    contacts: Contacts,
    firms: Firms,
    /// Which addresses are not tried any more, by hashes with this key.
    refusals: Refusals,
    key: PhoneKey,
    /// How many records could not be read.
    refused: u64,
}

/// Reads it. `key`: the configured one, if there is one.
fn read(log: &dyn EventLog, schemas: &dyn SchemaIds, key: Option<PhoneKey>) -> Result<Read, LogError> {
    let (mut contacts, mut firms, mut refused) = (Contacts::new(), Firms::new(), 0);
    let mut refusals = Refusals::default();
    start::read_all(log, CONTACTS, &mut |record| {
        let key = record.key.clone().unwrap_or_default();
        match admit(record, schemas) {
            AtDoor::In(arrival, _) => {
                if let Record::Contact(contact) = arrival.record {
                    contacts.apply(&key, Some((contact, arrival.digest)));
                }
            }
            AtDoor::Nothing => contacts.apply(&key, None),
            _ => refused += 1,
        }
        Ok(())
    })?;
    start::read_all(log, ENTERPRISES, &mut |record| {
        match admit(record, schemas) {
            AtDoor::In(arrival, _) => {
                if let Record::Enterprise(firm) = arrival.record {
                    firms.apply(firm);
                }
            }
            _ => refused += 1,
        }
        Ok(())
    })?;
    start::read_all(log, DELIVERIES, &mut |record| {
        if let Some(delivery) = own(&record)? {
            refusals.apply(&delivery);
        }
        Ok(())
    })?;
    let key = match key {
        Some(key) => key,
        // As the worker does.
        None => PhoneKey::new(log.log_id()?.as_bytes()),
    };
    Ok(Read { contacts, firms, refusals, key, refused })
}

/// One row for each kind of finding.
fn table(found: &Findings) -> comfy_table::Table {
    let mut rows = page(&["found", "number", "needed", "which"]);
    let mut add = |what: &str, needed: bool, all: Vec<String>| {
        let needed = if needed { "yes" } else { "no" };
        let more = all.len().saturating_sub(NAMED);
        let mut which = all[..all.len().min(NAMED)].join("\n");
        if more > 0 {
            which.push_str(&format!("\nand {more} more: --json"));
        }
        rows.add_row([what, &all.len().to_string(), needed, &which]);
    };
    let firms = found.unreachable_enterprises.iter();
    add(
        "enterprises without an owner or safety officer",
        true,
        firms.map(|f| format!("{} {}", f.uscc, f.name)).collect(),
    );
    add("roles that nobody fills", true, found.unfilled_roles.clone());
    let ended = found.ended.iter();
    add("contacts that have ended", false, ended.map(|d| format!("{} {}", d.contact, day(d.day))).collect());
    let old = found.not_verified.iter();
    add(
        "contacts not verified within a year",
        false,
        old.map(|d| format!("{} {}", d.contact, day(d.day))).collect(),
    );
    let phones = found.implausible_phones.iter();
    add(
        "phones that are no mobile numbers",
        false,
        phones.map(|p| format!("{} {}", p.contact, p.phone)).collect(),
    );
    let shared = found.shared_phones.iter();
    let shared =
        shared.map(|s| format!("{} of {} enterprises, such as {}", s.phone, s.enterprises, s.first_contact));
    add("phones of several enterprises", false, shared.collect());
    let refused = found.refused.iter();
    add(
        "addresses that are not tried any more",
        false,
        refused.map(|r| format!("{} {} since {}", r.contact, r.why, r.day)).collect(),
    );
    rows
}

fn day(day: Option<tocsin_schemas::time::Day>) -> String {
    day.map_or_else(|| "never".to_owned(), |day| day.to_string())
}
