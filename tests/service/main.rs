//! The service as an operator runs it: the real binary, a real log, a gateway on loopback.
//!
//! - `house`: a folder with configuration, log, gateway and the processes started there
//! - `path`: a report goes in, the right people are told once, and a restart says nothing
//! - `guards`: what stops a start, what a newer `run` does to an older one, and what a compaction does not do
//! - `policy`: one published while the service runs or is down, a wrong one, and one that is lost
//! - `clock`: midnights, and wall clocks that are wrong
//! - `bad_input`: whatever arrives on a topic lands in quarantine, and the next record is processed
//! - `stream`: a stream on a log, and the same one as a file through `tocsin replay`
//! - `ledger`: what became of every message, what is missing when something was lost, and the metrics of it
//! - `manners`: a closed pipe, an early stop, and what the demo leaves behind
//! - `together`: two workers side by side, one killed, one paused
//! - `trouble`: a full disk, and an operator who will not wait
//! - `why`: everything that was said is explained and adds up, beside a running service
//! - `people`: a night, a silence, and whom nobody can reach
//! - `answers`: what comes back over HTTP: a page, a button, a restart, a second server
//! - `gateways`: the simulated SMS gateways and robots, their receipts, and what goes wrong
//! - `calls`: wrong calls, configurations and logs that are not there

#![allow(clippy::unwrap_used, missing_docs)]

mod answers;
mod bad_input;
mod calls;
mod clock;
mod gateways;
mod guards;
#[allow(dead_code, reason = "the kills use it too, and other parts of it")]
mod house;
mod ledger;
mod manners;
mod path;
mod people;
mod policy;
mod stream;
mod together;
mod trouble;
mod why;
