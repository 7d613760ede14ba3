//! How the contacts of the log are stored, and `tocsin topics seal`, which encrypts them anew.

use std::sync::Arc;
use std::time::Duration;

use tocsin_connectors::log::sealed::{self, Survey};
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::log::LogError;

use crate::config::{self, Config, LogConfig};
use crate::exit::{CommandResult, Failure};
use crate::open;
use crate::output::say;
use crate::run::wall::WallClock;
use crate::topics::Seal;

/// How long `check-config` may look.
const LIMIT: Duration = Duration::from_secs(2);

/// How the contacts are stored, in a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Sealed {
    /// There are none.
    Empty,
    /// As the configuration has it.
    All(String),
    /// Some are not encrypted, or with an earlier key.
    NotAll(String),
    /// Some cannot be read.
    NoKey(String),
}

/// Looks them through.
///
/// # Errors
/// Those of the log.
pub fn look(config: &Config) -> Result<Sealed, Failure> {
    let survey = survey(config, LIMIT)?;
    Ok(survey.map_or(Sealed::Empty, |survey| judged(&survey, config.contacts.is_some())))
}

/// `None`: a topic is missing.
fn survey(config: &Config, limit: Duration) -> Result<Option<Survey>, Failure> {
    let log = open::raw(config, open::Missing::Refuse)?;
    let keys = config.contacts.as_ref().map(|keys| Arc::clone(&keys.keyring));
    open::within(limit, &config.log, move || match sealed::survey(&*log, keys.as_deref()) {
        Err(LogError::MissingTopic { .. }) => Ok(None),
        survey => survey.map(Some),
    })
}

fn judged(survey: &Survey, keyed: bool) -> Sealed {
    let Survey { plain, sealed, earlier, unknown, quarantined } = *survey;
    let refused = match quarantined {
        0 => String::new(),
        n => format!("; {n} that were refused stand in quarantine as they came, until their days are over"),
    };
    if unknown > 0 {
        return Sealed::NoKey(format!(
            "{unknown} contacts are encrypted with a key that is not configured: set [log] contacts_key or \
             contacts_key_before"
        ));
    }
    match (plain + sealed + earlier, plain + earlier) {
        (0, _) if quarantined == 0 => Sealed::Empty,
        (all, 0) if keyed => Sealed::All(format!("all {all} contacts are encrypted{refused}")),
        (all, _) if keyed => Sealed::NotAll(format!(
            "of {all} contacts {plain} are not encrypted and {earlier} are with an earlier key: tocsin topics seal{refused}"
        )),
        (all, _) => Sealed::NotAll(format!(
            "{all} contacts are stored as they are: [log] contacts_key encrypts them{refused}"
        )),
    }
}

/// Runs it.
///
/// # Errors
/// See [`Failure`]. What was encrypted stays so.
pub fn run(args: &Seal) -> CommandResult {
    let config = config::load(&args.config)?;
    let Some(keys) = &config.contacts else {
        let path = config.path.display();
        return Err(Failure::wrong_call(format!(
            "{path}: set [log] contacts_key: there is no key to encrypt with"
        )));
    };
    if args.dry_run {
        let survey = survey(&config, open::LIMIT)?.unwrap_or_default();
        let Survey { plain, sealed, earlier, unknown, quarantined } = survey;
        say!("not encrypted            {plain}");
        say!("with an earlier key      {earlier}");
        say!("with the newest key      {sealed}");
        say!("with a key not at hand   {unknown}");
        say!("refused, not encrypted   {quarantined}");
        return Ok(());
    }
    let log = open::raw(&config, open::Missing::Refuse)?;
    let written = sealed::reseal(&*log, &keys.keyring, WallClock::new(config.clock_start).stamp())?;
    say!("encrypted {written} contacts with the key {}", keys.keyring.id());
    match &config.log {
        LogConfig::Kafka { .. } => say!("the broker's compaction drops what they supersede"),
        LogConfig::Embedded { path, .. } => {
            log.compact()?;
            drop(log);
            SqliteLog::open(path)?.scrub()?;
            say!("the file was written anew: nothing that was superseded can be read in it");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_configured_is_told_with_its_number() {
        let survey =
            |plain, sealed, earlier, unknown| Survey { plain, sealed, earlier, unknown, quarantined: 0 };
        let said = |survey: &Survey, keyed| format!("{:?}", judged(survey, keyed));
        assert_eq!(judged(&Survey::default(), true), Sealed::Empty);
        assert!(said(&survey(0, 5, 0, 0), true).starts_with("All(\"all 5"));
        let some = said(&survey(3, 5, 2, 0), true);
        assert!(some.starts_with("NotAll(\"of 10 contacts 3 are not encrypted and 2"), "{some}");
        assert!(said(&survey(4, 0, 0, 0), false).contains("4 contacts are stored as they are"));
        assert!(said(&survey(0, 0, 0, 1), false).starts_with("NoKey(\"1 contacts"));
        let refused = said(&Survey { quarantined: 2, ..survey(0, 5, 0, 0) }, true);
        assert!(refused.contains("2 that were refused"), "{refused}");
    }
}
