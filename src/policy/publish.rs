//! `tocsin policy publish FILE --config CONFIG [--dry-run]`: appends a policy to the topic `policy`, which puts it into force.

use std::path::PathBuf;
use std::sync::Arc;

use tocsin_pipeline::Policies;
use tocsin_schemas::log::{EventLog, LogError, NewRecord};
use tocsin_schemas::time::{Day, Instant};
use tocsin_schemas::topics::POLICY;

use super::topic::{self, Held};
use super::{diff, follow, tables};
use crate::exit::{CommandResult, Failure};
use crate::output::say;
use crate::run::pipeline::start;
use crate::run::wall::WallClock;
use crate::{config, open};

/// The name of the writer: of several who publish at once, the last one's is in force.
const WRITER: &str = "policy";

/// What to publish.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The configuration file, which names the event log.
    #[arg(long, value_name = "CONFIG")]
    pub config: PathBuf,
    /// Check it and show what would be published, without writing anything.
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs it. What changes is shown before anything is written.
///
/// # Errors
/// A wrong call for a file that cannot be used, that says what is in force already, or whose first day would silence
/// the present or bring back the past ([`follow`]); a failure when the log does not take it.
pub fn run(args: &Args) -> CommandResult {
    let (policies, text) = config::read_policy_text(&args.file).map_err(Failure::wrong_call)?;
    let config = config::load(&args.config)?;
    let log = open::open(&config, open::Missing::Refuse)?;
    let to_read = Arc::clone(&log);
    let (held, decided) = open::within(open::LIMIT, &config.log, move || {
        let decided = match start::read_progress(&*to_read) {
            Err(LogError::MissingTopic { .. }) => false,
            progress => progress?.is_some(),
        };
        Ok((topic::read(&*to_read)?, decided))
    })?;
    let before = held.newest().map(|newest| newest.policies.clone());
    // The door judges by the day of the record's stamp: both are of one clock.
    let wall = WallClock::new(config.clock_start);
    let today = wall.now().day();
    let allowed = match &before {
        Some(before) => may_publish(before, &policies, today),
        // Decided before the topic was read, or after it was lost: by what is configured.
        None if decided => follow::may_follow(&config.policies, &policies, today),
        None => follow::may_be_first(&config.policies, &policies, today),
    };
    allowed.map_err(|why| Failure::wrong_call(format!("{}: not published: {why}", args.file.display())))?;
    show(before.as_ref(), &policies);
    let (file, tables) = (args.file.display(), tables(&policies));
    let what = format!("{tables}, in force from {}, hash {}", policies.begins(), policies.hash());
    if args.dry_run {
        let version = held.valid.len() + 1;
        say!("would publish {file} as version {version}: {what}; nothing was written");
        return Ok(());
    }
    let record = record(&policies, text, wall.stamp());
    let expected = Arc::clone(policies.hash());
    let version = open::writing(&config, "policy show", move || append(&*log, record, &expected, held))?;
    say!("published {file} as version {version}: {what}");
    Ok(())
}

/// What differs from the one in force; of the first one of a log, from the default one.
fn show(before: Option<&Policies>, policies: &Policies) {
    let default = Policies::default();
    if before.is_none() {
        say!(
            "the first policy of this log; beside the built-in default, in force from {}:",
            default.begins()
        );
    }
    let differences = diff::differences(before.unwrap_or(&default), policies);
    if differences.is_empty() {
        say!("it says what the built-in default says");
    } else {
        say!("{}", diff::table(&differences));
    }
    if before.is_none() && policies.begins() != default.begins() {
        let begins = policies.begins();
        say!("nobody is told of injuries that were first reported before {begins}; windows count them");
    }
}

/// Whether a policy may be published after the one in force, today.
fn may_publish(old: &Policies, new: &Policies, today: Day) -> Result<(), String> {
    if old.hash() == new.hash() {
        return Err(format!("it says what is in force already, hash {}", new.hash()));
    }
    follow::may_follow(old, new, today)
}

/// A policy as a record; without a stamp it has the log's.
pub fn record(policies: &Policies, text: String, stamp: Option<Instant>) -> NewRecord {
    NewRecord {
        topic: Arc::from(POLICY),
        key: policies.begins().to_string().into_bytes(),
        value: Some(text.into_bytes()),
        stamp,
        route: None,
    }
}

/// Appends it, and returns its version.
fn append(log: &dyn EventLog, record: NewRecord, hash: &str, held: Held) -> Result<u32, LogError> {
    let count = |held: &Held| held.valid.len() as u32;
    match log.writer(WRITER)?.append(&[record]) {
        Ok(()) => Ok(count(&held) + 1),
        // A new writer settles the old one, and then the topic tells.
        Err(LogError::Uncertain { why }) => {
            let settled = log.writer(WRITER).and_then(|_| topic::read(log));
            let now = settled.map_err(|e| LogError::Uncertain { why: format!("{why}; then: {e}") })?;
            let there = now.newest().is_some_and(|n| &**n.policies.hash() == hash);
            if there { Ok(count(&now)) } else { Err(LogError::Retry { what: "publish", why }) }
        }
        Err(error) => Err(error),
    }
}
