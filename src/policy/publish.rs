//! `tocsin policy publish FILE --config CONFIG`: appends a policy to the topic `policy`, which puts it into force.

use std::path::PathBuf;
use std::sync::Arc;

use tocsin_pipeline::Policies;
use tocsin_schemas::log::{EventLog, LogError, NewRecord};
use tocsin_schemas::time::Day;
use tocsin_schemas::topics::POLICY;

use super::topic::{self, Held};
use super::{diff, tables};
use crate::exit::{CommandResult, Failure};
use crate::output::say;
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
}

/// Runs it.
///
/// # Errors
/// A wrong call for a file that cannot be used, that says what is in force already, or that would leave the present
/// without a table; a failure when the log does not take it.
pub fn run(args: &Args) -> CommandResult {
    let (policies, text) = config::read_policy_text(&args.file).map_err(Failure::wrong_call)?;
    let config = config::load(&args.config)?;
    let log = open::open(&config, open::Missing::Refuse)?;
    let to_read = Arc::clone(&log);
    let held = open::within(open::LIMIT, &config.log, move || topic::read(&*to_read))?;
    let before = held.newest().map(|newest| newest.policies.clone());
    let today = WallClock::new(config.clock_start).now().day();
    if let Some(before) = &before {
        may_follow(before, &policies, today)
            .map_err(|why| Failure::wrong_call(format!("{}: not published: {why}", args.file.display())))?;
    }
    let record = record(&policies, text);
    let expected = Arc::clone(policies.hash());
    let version = open::within(open::LIMIT, &config.log, move || append(&*log, record, &expected, held))?;
    if let Some(before) = before {
        say!("{}", diff::table(&diff::differences(&before, &policies)));
    }
    say!(
        "published {} as version {version}: {}, in force from {}, hash {}",
        args.file.display(),
        tables(&policies),
        policies.begins(),
        policies.hash()
    );
    Ok(())
}

/// Whether a policy may follow the one in force, today.
fn may_follow(old: &Policies, new: &Policies, today: Day) -> Result<(), String> {
    if old.hash() == new.hash() {
        return Err(format!("it says what is in force already, hash {}", new.hash()));
    }
    if new.begins() > old.begins() && old.begins() <= today {
        return Err(format!(
            "its first table begins on {}, that of the policy in force on {}: between the two nothing would be decided. \
             Keep the tables that hold, and add the new one",
            new.begins(),
            old.begins()
        ));
    }
    Ok(())
}

/// A policy as a record.
pub fn record(policies: &Policies, text: String) -> NewRecord {
    NewRecord {
        topic: Arc::from(POLICY),
        key: policies.begins().to_string().into_bytes(),
        value: Some(text.into_bytes()),
        stamp: None,
    }
}

/// Appends it, and returns its version.
fn append(log: &dyn EventLog, record: NewRecord, hash: &str, held: Held) -> Result<u32, LogError> {
    let count = |held: &Held| held.valid.len() as u32;
    match log.writer(WRITER)?.append(&[record]) {
        Ok(()) => Ok(count(&held) + 1),
        // A new writer settles the old one, and then the topic tells.
        Err(LogError::Uncertain { why }) => {
            log.writer(WRITER)?;
            let now = topic::read(log)?;
            let there = now.newest().is_some_and(|n| &**n.policies.hash() == hash);
            if there { Ok(count(&now)) } else { Err(LogError::Retry { what: "publish", why }) }
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equal_one_and_one_that_leaves_the_present_without_a_table_are_refused() {
        let of = |text: &str| Policies::parse(text).unwrap();
        let may_follow =
            |old: &Policies, new: &Policies| super::may_follow(old, new, "2025-03-01".parse().unwrap());
        let default = Policies::default();
        let blue = "[[policy]]\neffective_from = \"2020-11-20\"\nescalation.blue = 1\n";
        let later = "[[policy]]\neffective_from = \"2026-01-01\"\n";
        let both = of(&format!("[[policy]]\neffective_from = \"2020-11-20\"\n{later}"));
        assert!(may_follow(&default, &of(blue)).is_ok());
        assert!(may_follow(&default, &both).is_ok());
        assert!(may_follow(&both, &default).is_ok());
        let equal = may_follow(&default, &of("[[policy]]\neffective_from='2020-11-20' # the same\n"));
        assert!(equal.unwrap_err().contains("already"));
        assert!(may_follow(&default, &of(later)).unwrap_err().contains("2026-01-01"));
        // Before it has begun it may be put off.
        let put_off = of("[[policy]]\neffective_from = \"2027-01-01\"\n");
        assert!(may_follow(&of(later), &put_off).is_ok());
    }
}
