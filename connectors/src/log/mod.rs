//! The two event logs.
//!
//! - [`sqlite`]: one file on one host, several processes; no server to install
//! - [`sealed`]: either of them, with contacts encrypted at rest
//! - [`kafka`]: a broker or a cluster; what production runs on

pub mod kafka;
pub mod sealed;
pub mod sqlite;
