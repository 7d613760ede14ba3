//! Records, validation, wire framing, topic catalogue and the event log's contract.
//!
//! Everything that two parts of Tocsin must agree on stands here and nowhere else. The crate has no
//! runtime, opens no file and reads no clock.
//!
//! - [`time`], [`ids`], [`codes`]: the small words every record is made of
//! - [`records`]: what comes in and what goes out, by the names of the public contract
//! - [`topics`]: the catalogue of topics
//! - [`wire`]: records as bytes, in Avro and JSON
//! - [`door`]: what is accepted, flagged and refused, with the contract's reasons
//! - [`pseudonym`]: keyed hashes that stand for persons
//! - [`areas`]: names of areas and industries
//! - [`log`]: the contract of the event log, which `connectors/` implements twice
//! - [`partition`]: which partition of a topic a key belongs to
//! - [`index`]: what a log may look up in the ledger of deliveries without reading it through

pub mod areas;
pub mod codes;
pub mod door;
pub mod fence;
pub mod ids;
pub mod index;
pub mod log;
pub mod partition;
pub mod pseudonym;
pub mod records;
pub mod time;
pub mod topics;
pub mod wire;
