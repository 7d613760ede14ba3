//! Opens the event log that the configuration names.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tocsin_connectors::log::kafka::{KafkaLog, KafkaSettings};
use tocsin_connectors::log::sealed::SealedLog;
use tocsin_connectors::log::sqlite::{SqliteLog, SqliteOptions};
use tocsin_schemas::log::{EventLog, LogError};

use crate::config::{Config, LogConfig};
use crate::exit::Failure;
use crate::output;

/// Whether a missing embedded log is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Made: `topics apply`.
    Make,
    /// An error: a slip in the path must not become a new, empty log.
    Refuse,
}

/// What an operator waits for at most, where nothing is written.
pub const LIMIT: Duration = Duration::from_secs(9);

/// What an operator waits for while something is written: longer than a broker may take to commit it (70 seconds), and to
/// register the writer before and, where the outcome is not known, after that.
const WRITE_LIMIT: Duration = Duration::from_secs(120);

/// Opens it, within 9 seconds. Contacts are encrypted in it, where a key is configured, and plain for whoever reads.
///
/// # Errors
/// One line with the reason and what to do.
pub fn open(config: &Config, missing: Missing) -> Result<Arc<dyn EventLog>, Failure> {
    let keys = config.contacts.as_ref().map(|keys| Arc::clone(&keys.keyring));
    Ok(Arc::new(SealedLog::new(raw(config, missing)?, keys)))
}

/// The same as it stands: contacts as they are stored.
///
/// # Errors
/// Those of [`open`].
pub fn raw(config: &Config, missing: Missing) -> Result<Arc<dyn EventLog>, Failure> {
    match &config.log {
        LogConfig::Embedded { path, max_bytes } => {
            if missing == Missing::Refuse && !path.is_file() {
                return Err(Failure::failed(format!(
                    "there is no event log at {}: check [log] path, or make it with \
                     `tocsin topics apply --config {}`",
                    path.display(),
                    config.path.display()
                )));
            }
            let (path, options) =
                (path.clone(), SqliteOptions { max_file_bytes: *max_bytes, ..SqliteOptions::default() });
            within(LIMIT, &config.log, move || {
                Ok(Arc::new(SqliteLog::open_with(&path, options)?) as Arc<dyn EventLog>)
            })
        }
        LogConfig::Kafka { brokers, replication_factor, stamps, prefix, security } => {
            let settings = KafkaSettings {
                brokers: brokers.clone(),
                transactional_prefix: prefix.clone(),
                security: security.iter().map(|(k, v)| (k.clone(), v.expose().to_owned())).collect(),
                replication_factor: *replication_factor,
                stamps: *stamps,
            };
            within(LIMIT, &config.log, move || {
                Ok(Arc::new(KafkaLog::connect(&settings)?) as Arc<dyn EventLog>)
            })
        }
    }
}

/// Moves the whole of an embedded log into its one file, so that the file can be copied as it is. The journal's
/// files go with the last connection; one that is closed by a thread may need a moment to notice its end, and
/// another process may still have the log open: then the journal is empty at least, or says what is newest.
///
/// # Errors
/// Those of the log; nothing is lost then.
pub fn one_file(path: &Path) -> Result<(), LogError> {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-wal");
    let began = Instant::now();
    loop {
        let moved = SqliteLog::open(path)?.checkpoint();
        let patience = match std::fs::metadata(&journal) {
            Err(_) => return moved,
            // Somebody else has the log open, or is about to let go of it.
            Ok(file) if file.len() == 0 => Duration::from_millis(500),
            Ok(_) => Duration::from_secs(2),
        };
        if began.elapsed() > patience {
            return moved;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs `work` on a thread of its own and gives it up after `limit`: some calls of the client end only when
/// the network does.
///
/// # Errors
/// Those of `work`, or that the time is over.
pub fn within<T: Send + 'static>(
    limit: Duration,
    log: &LogConfig,
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, Failure> {
    heard(log, limit, started(work).recv_timeout(limit))
}

/// Runs `work`, which appends, as [`within`] does. It has longer, since giving up takes nothing back: what is on its way
/// may still come into force. `look` is the command that shows whether it did, without its `--config`.
///
/// # Errors
/// Those of `work`, or that the time is over; then, and where the log does not know the outcome, that it may have been
/// written.
pub fn writing<T: Send + 'static>(
    config: &Config,
    look: &str,
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, Failure> {
    let look = format!("`tocsin {look} --config {}`", config.path.display());
    written([LIMIT, WRITE_LIMIT], &config.log, &look, work)
}

/// See [`writing`]; after the first of the limits it says that it waits.
fn written<T: Send + 'static>(
    [patience, limit]: [Duration; 2],
    log: &LogConfig,
    look: &str,
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, Failure> {
    let receiver = started(work);
    let answer = receiver.recv_timeout(patience).or_else(|e| match e {
        RecvTimeoutError::Timeout => {
            output::tell(format_args!("waiting for the event log ({log}) to acknowledge what was written"));
            receiver.recv_timeout(limit.saturating_sub(patience))
        }
        gone @ RecvTimeoutError::Disconnected => Err(gone),
    });
    let why = match answer {
        Ok(Err(error @ LogError::Uncertain { .. })) => error.to_string(),
        Err(RecvTimeoutError::Timeout) => {
            format!("the event log ({log}) has not answered within {} s", limit.as_secs())
        }
        answer => return heard(log, limit, answer),
    };
    Err(Failure::failed(format!(
        "{why}. It may have been written all the same, or be so in a minute: look with {look} before you call again"
    )))
}

/// Runs `work` on a thread of its own.
fn started<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Receiver<Result<T, LogError>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // Nobody listens any more when the time was over.
        let _ = sender.send(work());
    });
    receiver
}

/// What came of it.
fn heard<T>(
    log: &LogConfig,
    limit: Duration,
    answer: Result<Result<T, LogError>, RecvTimeoutError>,
) -> Result<T, Failure> {
    let advice = match log {
        LogConfig::Embedded { .. } => "check [log] path",
        LogConfig::Kafka { .. } => "check [log] brokers and [log.security], and that the broker runs",
    };
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error @ (LogError::Unreachable { .. } | LogError::Refused { .. }))) => {
            Err(Failure::failed(format!("{error}: {advice}")))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(RecvTimeoutError::Timeout) => Err(Failure::failed(format!(
            "the event log ({log}) has not answered within {} s: {advice}",
            limit.as_secs()
        ))),
        Err(RecvTimeoutError::Disconnected) => {
            Err(Failure::failed(format!("opening the event log ({log}) failed without a reason")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> LogConfig {
        LogConfig::Embedded { path: "log.db".into(), max_bytes: None }
    }

    /// Giving up does not take back what is on its way.
    #[test]
    fn who_gives_up_a_write_is_told_that_it_may_be_there_and_how_to_see_it() {
        let short = [Duration::from_millis(10), Duration::from_millis(50)];
        let slow = || {
            std::thread::sleep(Duration::from_secs(2));
            Ok(())
        };
        let late = written(short, &log(), "`tocsin policy show`", slow).unwrap_err();
        let unknown = || Err::<(), _>(LogError::Uncertain { why: "the broker went away".to_owned() });
        let unknown = written(short, &log(), "`tocsin policy show`", unknown).unwrap_err();
        for (end, why) in [(late, "has not answered within"), (unknown, "the broker went away")] {
            for words in [why, "may have been written", "look with `tocsin policy show`"] {
                assert!(end.text().contains(words), "{words}: {end:?}");
            }
            assert!(matches!(end, Failure::Failed(_)));
        }
        // One that only takes its time is waited for.
        let waits = [Duration::from_millis(10), Duration::from_secs(20)];
        let slow = || {
            std::thread::sleep(Duration::from_millis(100));
            Ok(7)
        };
        assert_eq!(written(waits, &log(), "", slow), Ok(7));
    }
}
