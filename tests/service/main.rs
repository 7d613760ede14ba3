//! The service as an operator runs it: the real binary, a real log, a gateway on loopback.
//!
//! - `house`: a folder with configuration, log, gateway and the processes started there
//! - `path`: a report goes in, the right people are told once, and a restart says nothing
//! - `guards`: what stops a start, and what a newer `run` does to an older one
//! - `clock`: midnights, and wall clocks that are wrong
//! - `bad_input`: whatever arrives on a topic lands in quarantine, and the next record is processed
//! - `stream`: a stream on a log, and the same one as a file through `tocsin replay`
//! - `calls`: wrong calls, configurations and logs that are not there

#![allow(clippy::unwrap_used, missing_docs)]

mod bad_input;
mod calls;
mod clock;
mod guards;
mod house;
mod path;
mod stream;
