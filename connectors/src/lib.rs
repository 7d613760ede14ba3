//! What Tocsin is connected to: the event log, on SQLite and on Kafka.
//!
//! Both logs keep the contract of [`tocsin_schemas::log`] and pass one conformance suite
//! (`tests/conformance/`). Where they differ all the same is listed in `docs/log-differences.md`.

pub mod log;
