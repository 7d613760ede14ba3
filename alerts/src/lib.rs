//! Who is told what, over which channel, and the proof that it happened.
//!
//! The pipeline decides *that* a role is told something and writes an [`Alert`]; this crate finds the
//! people, words the message, sends it and keeps the ledger. It joins an alert with nothing but contacts.
//!
//! ```text
//!   alerts ──┐
//!            ├─> planner: contacts -> plan -> texts ──> deliveries ("planned"; partition = hash of the phone)
//! contacts ──┘       ^                                      │
//!                    └── what became of them                v
//!                                                    sender of the partition: decide -> "sending" ──> gateway
//!                                                           └─> outcome (appended)
//! ```
//!
//! - [`contacts`]: whom to reach for a role on a day (a fold, and a pure choice); [`phone_key`]: how the ledger knows phones
//! - [`plan`]: pure: whom an alert goes to, over which of the [`channels`], in which order
//! - [`texts`]: the wording of people.md section 5.3 as templates, never over 70 characters, and its lint
//! - [`ledger`]: what became of every delivery, a fold of the topic `deliveries`
//! - [`decide`]: pure: what is due next and why, for each delivery
//! - [`quota`]: pure: how often a phone may ring, and the digest of what it may not
//! - [`settle`]: pure: what follows a request whose outcome nobody saw
//! - [`calendar`]: quiet hours, holidays and made-up workdays
//! - [`silences`]: what somebody answers for that it is not sent for a while (a fold of `governance.events`)
//! - [`channel`]: what a sender sees of a gateway
//! - [`admission`]: whether a gateway may be called now: rate, requests under way, circuit breaker. Pure
//! - [`gateways`]: one folder a gateway, pure; and the one client that does their I/O
//! - [`answers`]: what comes back, over HTTP and by asking: its meaning, and what it does
//! - [`worker`]: takes its share of the roles, side by side with others, and runs them; the roles alone do I/O
//! - [`stats`]: what the worker has done so far, for pages, metrics and whoever waits for it
//!
//! # What holds
//! - "sending" is written before a request and the outcome after it. `accepted` is only written after the
//!   gateway's own yes (invariant I5) and is final: no restart sends it again.
//! - A request that may have gone out unseen, one under way at a stop too, is never sent again blindly: with the
//!   same key where the gateway knows keys ([`stats::Stats::resent_in_flight`]), else after it was asked ([`settle`]).
//! - The progress of `alerts` never passes an alert that still has a delivery under way (nor one whose
//!   deliveries were not recorded).
//! - No phone, address or name is logged, put in a metric, or written to `deliveries` (invariant I9).
//!
//! [`Alert`]: tocsin_schemas::records::Alert

pub mod admission;
pub mod answers;
pub mod calendar;
pub mod channel;
pub mod channels;
pub mod clock;
mod codec;
pub mod contacts;
pub mod decide;
#[cfg(test)]
mod fixtures;
pub mod fuse;
pub mod gateways;
pub mod ledger;
mod newest;
pub mod phone_key;
pub mod plan;
mod planner;
pub mod quota;
pub mod refusals;
pub mod retry;
mod sender;
pub mod settle;
pub mod silences;
pub mod stats;
pub mod texts;
pub mod worker;
