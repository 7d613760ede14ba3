//! What is so, kept up to date by timely and differential dataflow. All of their API that Tocsin uses is
//! used in this folder.
//!
//! ```text
//! reports --person key--> Persons --cases--+
//!    \------no key------------------------>+--> Places --incidents--+--> out
//! standing (uscc -> read as) ------------->+                        |
//!      \                                     cells (day, enterprise) by tally
//!       \                                                           |
//!        \                            active days (day -> window) --join
//!         headcounts --by month--> active months --join--> totals (enterprise, window) --> out
//!                                                                   |
//! profiles (enterprise -> industry, area) --------------------------join--> sums (scope, window) --> out
//! ```
//!
//! The clock is an input: `active` says which days belong to which window, and a midnight is one day that
//! enters and one that leaves. Late records, corrections and expiry all fall out of the same join.
//! Nothing is ever stocked for a future date.

mod flow;
mod keyed;
mod measure;
mod resolve;
mod threads;

pub(crate) use flow::{Changes, Inputs, ScopeKey, Updates};
pub(crate) use measure::{PARTS, Sum, Total};
pub(crate) use threads::Dataflow;
