//! Keeps the last real reason of a client. librdkafka's calls only say that they timed out; "connection
//! refused" or "wrong password" comes by its callbacks.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tocsin_schemas::log::LogError;

use super::settings::KafkaSettings;

/// An outage makes the client complain some 20 times a second; once in this time is said.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The callbacks of one client.
#[derive(Default)]
pub(super) struct Watcher {
    seen: Mutex<Seen>,
    /// Somebody waits for this many outcomes, and they are known now.
    enough: Condvar,
}

#[derive(Default)]
struct Seen {
    reason: Option<String>,
    refused: bool,
    said: Option<Instant>,
    /// The first failed delivery since it was last taken.
    undelivered: Option<KafkaError>,
    /// Records whose delivery has an outcome, good or bad.
    outcomes: u64,
    /// The number of outcomes that somebody waits for.
    awaited: Option<u64>,
}

impl Watcher {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last reason of the client, in one line.
    pub(super) fn reason(&self) -> Option<String> {
        self.seen().reason.clone()
    }

    /// The broker answered, and does not let us in.
    pub(super) fn refused(&self) -> bool {
        self.seen().refused
    }

    /// The first failed delivery since the last call.
    pub(super) fn take_undelivered(&self) -> Option<KafkaError> {
        self.seen().undelivered.take()
    }

    /// Waits until this many deliveries have an outcome, at most so long; whether they have.
    pub(super) fn settled(&self, count: u64, limit: Duration) -> bool {
        let mut seen = self.seen();
        seen.awaited = Some(count);
        let (mut seen, _) = self
            .enough
            .wait_timeout_while(seen, limit, |seen| seen.outcomes < count)
            .unwrap_or_else(PoisonError::into_inner);
        seen.awaited = None;
        seen.outcomes >= count
    }

    /// Why nothing came from the brokers.
    pub(super) fn gone(&self, settings: &KafkaSettings, what: &str) -> LogError {
        let place = settings.brokers.clone();
        let why = match self.reason() {
            Some(reason) => format!("{what}: {reason}"),
            None => what.to_owned(),
        };
        if self.refused() { LogError::Refused { place, why } } else { LogError::Unreachable { place, why } }
    }

    fn keep(&self, reason: &str) {
        let mut seen = self.seen();
        if seen.said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            seen.said = Some(Instant::now());
            tracing::warn!(reason, "kafka client in trouble");
        }
        seen.reason = Some(tidy(reason));
    }
}

/// Takes the client's own thread names off its lines.
fn tidy(line: &str) -> String {
    let line = match line.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")) {
        Some((_, rest)) => rest,
        None => line,
    };
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl ClientContext for Watcher {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug | RDKafkaLogLevel::Notice => {
                tracing::debug!(facility, line, "kafka client");
            }
            _ if facility == "FAIL" || facility == "ERROR" => {
                if !line.contains("brokers are down") {
                    self.keep(line);
                }
            }
            _ => tracing::debug!(facility, line, "kafka client"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => return,
            Some(
                RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::UnsupportedSASLMechanism
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::SSL,
            ) => self.seen().refused = true,
            _ => {}
        }
        self.keep(reason);
    }
}

impl ConsumerContext for Watcher {}

impl ProducerContext for Watcher {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        let mut seen = self.seen();
        if let Err((error, _)) = result {
            seen.undelivered.get_or_insert_with(|| error.clone());
        }
        seen.outcomes += 1;
        if seen.awaited.is_some_and(|count| seen.outcomes >= count) {
            self.enough.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_without_thread_names() {
        let line =
            "[thrd:127.0.0.1:1/bootstrap]: 127.0.0.1:1/bootstrap: Connect failed:\n Connection refused";
        assert_eq!(tidy(line), "127.0.0.1:1/bootstrap: Connect failed: Connection refused");
    }
}
