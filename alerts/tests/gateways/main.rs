//! The contract of every gateway, against the simulated ones over loopback.
//!
//! The judge is the simulator: it knows what each phone got, and shares no code with the client.
//! `cargo test -p tocsin-alerts --test gateways -- --nocapture` prints the matrix of faults.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod answers;
mod chains;
mod faults;
mod house;
mod limits;
mod receipts;
mod texts;

use house::{HASTY, HOUR, Hand, House, NOON, PATIENT, client, client_of, message, question, said};
