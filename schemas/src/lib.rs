//! Records, validation, wire framing, topic catalogue and the event log's contract.
//!
//! Everything that two parts of Tocsin must agree on stands here and nowhere else. The crate has no
//! runtime, opens no file and reads no clock.
//!
//! - [`time`], [`ids`], [`codes`]: the small words every record is made of
//! - [`records`]: what comes in and what goes out, by the names of the public contract
//! - [`log`]: the contract of the event log, which `connectors/` implements twice

pub mod codes;
pub mod ids;
pub mod log;
pub mod records;
pub mod time;
