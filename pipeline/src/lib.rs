//! What is so and what is said of it: pure, on differential dataflow.
//!
//! Records and clock go in, incidents, rates and alerts come out. The crate opens no file, asks no clock
//! and knows no log, so tests, `tocsin replay` and production run the very same code.
//!
//! Two halves, kept apart:
//! - **what is so** (`dataflow/`): cases, incidents, rates, window counts. Order-free and incremental.
//! - **what was said of it** (`decider/`): numbers of incidents, told severities, open escalations.
//!   History: a pure state machine over the dataflow's changes of one batch.
//!
//! `why/` goes the other way: from an alert, an incident or an enterprise back to the records, by the very rules
//! of both halves.
//!
//! `lists/` says which enterprises are key and which general in a year (S11), from the same figures, and ranks streaks
//! without injury (S54), industries (S27) and posts (S32) for whoever asks.
//!
//! `known/` looks back: the figures of a past day as they were known at a past instant and as they are known now, and
//! which records make the difference.
//!
//! `owed` says what a record of `incidents` is owed, for whoever holds it against what was said.
//!
//! Beside them stand the **statistics of small numbers** (`statistics/`): pure functions from counts to limits, shrunken
//! rates and alarms, that know neither half.
//!
//! ```text
//! arrivals -> door (versions) -> dataflow (cases -> incidents -> windows -> rates) -> changes
//!                                                                                       |
//!           outcome (incidents, alerts, rates, lists)  <-  decider (desired - emitted) <-+
//! ```

mod cases;
mod cores;
mod dataflow;
mod decider;
mod engine;
mod exposure;
mod facts;
mod findings;
mod incidents;
pub mod known;
pub mod lists;
mod model;
pub mod owed;
pub mod policy;
mod rates;
mod registry;
pub mod statistics;
mod versions;
pub mod why;
mod windows;

pub use decider::{Memory, Recalled};
pub use engine::{Accounts, Arrival, Engine, Occasion, Options, Outcome, Verdict};
pub use exposure::Exposure;
pub use findings::{Finding, Loop};
pub use model::Model;
pub use policy::Policies;
pub use rates::RatesChanged;
