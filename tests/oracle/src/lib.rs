//! A slow, plain recomputation of the public contract, to judge the engine.
//!
//! **What it is for.** The engine is incremental; a mistake in one of its differences is a message to the wrong
//! owner. So records.md sections 2 to 4 (and `docs/contract-readings.md` where they can be read twice) are
//! written here a second time, as plainly as possible: every decision starts from the list of all that
//! arrived. Nothing is shared with the engine but the record types.
//!
//! - [`Oracle`]: records in, what must be said ([`Said`]), incidents, rates, findings and counters out
//! - [`histories`]: random histories by seed, and [`histories::shrink`] for one that fails
//! - [`judge`]: a [`Subject`] against the oracle after every step; the [`Census`] tells what happened
//! - [`compare`]: the comparison, in which numbers of incidents may differ but not *which* one keeps its number
//! - [`scenario`]: golden timelines, whose expected messages were written by hand and bind the oracle too
//!
//! **How to use it.** Implement [`Subject`] for what is to be judged, call [`judge`] with [`histories::history`]
//! of many seeds, and show the sum of the censuses: a kind that is 0 was not tested.

mod arrivals;
mod beside;
mod cases;
mod census;
mod compare;
mod door;
mod escalation;
mod findings;
pub mod histories;
mod identity;
mod judge;
mod lists;
mod oracle;
mod owner;
mod policy;
mod rankings;
mod rates;
mod registry;
mod said;
pub mod scenario;

pub use arrivals::Verdict;
pub use beside::Spread;
pub use census::Census;
pub use compare::{Matcher, compare, compare_findings, compare_rates};
pub use findings::Finding;
pub use histories::{History, Step};
pub use judge::{Restarts, Subject, judge, survey};
pub use lists::{Compared, compare_lists, spread};
pub use oracle::Oracle;
pub use policy::{ListLimits, OraclePolicy, RankingLimits};
pub use rankings::{BenchmarkSeen, HazardSeen, IndustrySeen, StreakSeen};
pub use rates::WINDOWS;
pub use said::{Facts, Said};
