//! Who is told what, over which channel, and the proof that it happened.
//!
//! The pipeline decides *that* a role is told something and writes an [`Alert`]; this crate finds the
//! people, words the message, sends it and keeps the ledger. It joins an alert with nothing but contacts.
//!
//! ```text
//!   alerts ──┐                                                    ┌─> gateway
//!            ├─> worker: contacts -> texts -> decide -> "sending" ┤
//! contacts ──┘      ^                               (appended)    └─> outcome (appended)
//!                   └────────────── deliveries, the ledger, read back at a start
//! ```
//!
//! - [`contacts`]: whom to reach for a role on a day (a fold, and a pure choice)
//! - [`texts`]: the wording of people.md section 5.3 as templates, never over 70 characters, and its lint
//! - [`ledger`]: what became of every delivery, a fold of the topic `deliveries`
//! - [`decide`]: pure: what is due next and why, for each delivery
//! - [`settle`]: pure: what follows a request whose outcome nobody saw
//! - [`channel`]: what the worker sees of a gateway
//! - [`gateways`]: one folder a gateway, pure; and the one client that does their I/O
//! - [`answers`]: what comes back, over HTTP and by asking: its meaning, and what it does. The worker does not read it yet
//! - [`worker`]: the loop around it, which alone does I/O
//! - [`stats`]: what the worker has done so far, for pages, metrics and whoever waits for it
//!
//! # What holds
//! - "sending" is written before a request and the outcome after it. `accepted` is only written after the
//!   gateway's own yes (invariant I5) and is final: no restart sends it again.
//! - A request that may have gone out unseen, one under way at a stop too, is never sent again blindly: with the
//!   same key where the gateway knows keys ([`stats::Stats::resent_in_flight`]), else after it was asked ([`settle`]).
//! - The progress of `alerts` never passes an alert that still has a delivery under way (nor one whose
//!   deliveries were not recorded): a restart reads the facts of such an alert from the alert itself.
//! - No phone, address or name is logged, put in a metric, or written to `deliveries` (invariant I9).
//!
//! [`Alert`]: tocsin_schemas::records::Alert

pub mod answers;
pub mod channel;
pub mod clock;
mod codec;
pub mod contacts;
pub mod decide;
#[cfg(test)]
mod fixtures;
pub mod gateways;
pub mod ledger;
pub mod settle;
pub mod stats;
pub mod texts;
pub mod worker;
