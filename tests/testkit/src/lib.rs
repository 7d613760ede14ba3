//! What the tests stand on: a real Kafka broker on loopback, without a container engine.
//!
//! - [`kafka`] gives a test the one broker that the whole run shares, or says loudly that it is skipped
//! - [`Broker`] is a broker of a test's own, for those that kill it
//!
//! The broker's jars and settings stand in `tests/broker/`; a person can run `tests/broker/start`.

mod broker;
mod shared;

pub use broker::Broker;
pub use shared::{kafka, kafka_wanted, unique};
