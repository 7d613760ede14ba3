//! What is so, kept up to date by timely and differential dataflow. All of their API that Tocsin uses is
//! used in this folder.
//!
//! ```text
//! reports --person key--> Persons --cases--+
//!    \------no key------------------------>+--> Places --incidents--+--> out
//! standing (uscc -> read as) ------------->+                        |
//!      \                                            cells (day, enterprise, cause, hour) by tally
//!       \                                                           |
//!        \                               days (day -> marks) -------join --> sums of causes, hours, … --> out
//!         \                                                         |
//! headcounts ----> Headcounts --read as--> Enterprises <------------+
//! profiles (enterprise -> industry, area) ----^  |  \--> totals of enterprises --> out
//! today (a calendar) -------------------------^  +--> sums of scopes --> out
//! census (window) ----------------------------^  \--> enterprises by incidents and headcount --> out
//! ```
//!
//! The clock is an input: `days` says what a day is marked with, and a midnight is a few days that bear other marks than
//! before. Late records, corrections and expiry all fall out of the same join. Which calendar windows a mark stands for is
//! said by `today`, and what is summed turns with it where it stands ([`crate::windows`]). Nothing is ever stocked for a
//! future date.

mod circumstances;
mod enterprises;
mod flow;
mod gains;
mod headcounts;
mod insured;
mod keyed;
mod measure;
mod resolve;
mod threads;

pub(crate) use circumstances::scopes as scopes_of_incident;
pub(crate) use enterprises::{Census, OfOne, ScopeKey, Turned, scopes as scopes_of_member, together};
pub(crate) use flow::{Changes, Inputs, Told, Updates};
pub(crate) use measure::{Exact, Heads, PARTS, Sum, Sums, Tally, Total};
pub(crate) use threads::Dataflow;
