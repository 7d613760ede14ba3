//! The client's errors in the words of the contract.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tocsin_schemas::log::LogError;

use super::settings::KafkaSettings;

/// A client that could not even be made: a setting is unknown, malformed, or not in this build.
pub(super) fn creation(settings: &KafkaSettings, e: &KafkaError) -> LogError {
    let mut why = match e {
        KafkaError::ClientConfig(_, text, name, _) => format!("setting {name}: {text}"),
        KafkaError::ClientCreation(text) => text.clone(),
        other => other.to_string(),
    };
    let lower = why.to_lowercase();
    let wants_tls = ["ssl", "scram", "oauthbearer"].iter().any(|word| lower.contains(word));
    if wants_tls && !cfg!(feature = "kafka-tls") {
        why += " (this build has no TLS, SCRAM or OAUTHBEARER: build with `--features kafka-tls`; SASL PLAIN works without)";
    }
    LogError::Refused { place: settings.brokers.clone(), why }
}

/// Whether a code means that the broker knows us and says no.
pub(super) fn refusal(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
    )
}

/// Whether a code means that the topic is not there.
pub(super) fn missing_topic(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
}

/// Whether a code means that a newer producer has the name.
pub(super) fn fenced(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}

/// An error of a question to the brokers (metadata, offsets, settings).
pub(super) fn question(
    settings: &KafkaSettings,
    what: &str,
    e: &KafkaError,
    reason: Option<String>,
) -> LogError {
    let place = settings.brokers.clone();
    let why = match (e.rdkafka_error_code(), reason) {
        (Some(code), _) if refusal(code) => {
            return LogError::Refused { place, why: format!("could not {what}: {code}") };
        }
        // The client's own words only when nobody answered at all.
        (Some(Code::BrokerTransportFailure | Code::OperationTimedOut | Code::AllBrokersDown), Some(r)) => {
            format!("could not {what}: {e} ({r})")
        }
        _ => format!("could not {what}: {e}"),
    };
    LogError::Unreachable { place, why }
}

/// Whether a code passes by itself within moments: a leader is being elected, or metadata is behind.
pub(super) fn passing(code: Code) -> bool {
    matches!(
        code,
        Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::UnknownTopic
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
    )
}
