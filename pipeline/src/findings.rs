//! What the clerk is shown of records that were accepted: they read oddly, and nothing is decided by that.
//!
//! A finding changes no case, rate or message. It is a function of the log in its order: what stood when a record came
//! is what the record is held against. A rebuild tells nothing again ([`crate::Engine::load`]); loops that still stand
//! are asked for ([`crate::Engine::loops`]).

use std::fmt;
use std::sync::Arc;

use tocsin_schemas::codes::Problem;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::{Day, Month};
use tocsin_schemas::topics;

/// Enterprises each of which is read as the next one's, and the last as the first's: in the order of succession,
/// beginning with the smallest USCC. One alone claims itself.
pub type Loop = Arc<[Uscc]>;

/// Something odd, once, when it comes to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// Successions lead round in a circle. All of them are ignored while they do (records.md section 3).
    SuccessionLoop {
        /// Who is in it.
        members: Loop,
        /// Which arrival of the batch closed it, from 0: the last one that changed a claim on a member. `None`: the
        /// day did, on which a version begins to hold.
        arrival: Option<usize>,
        /// The day since which it stands.
        since: Day,
    },
    /// A headcount is many times that of the month before (`quality.headcount_jump`, S36). It counts as it is.
    HeadcountJump {
        /// Whose.
        uscc: Uscc,
        /// The month of the larger one; the other is of the month before.
        month: Month,
        /// The larger one, in persons.
        insured: u32,
        /// That of the month before, in persons; above 0.
        before: u32,
        /// Which arrival of the batch brought one of the two, from 0.
        arrival: usize,
    },
}

impl Finding {
    /// Which arrival of its batch brought it about, from 0. `None`: the day did.
    pub fn arrival(&self) -> Option<usize> {
        match self {
            Finding::SuccessionLoop { arrival, .. } => *arrival,
            Finding::HeadcountJump { arrival, .. } => Some(*arrival),
        }
    }

    /// The reason: `problem` of flags.jsonl.
    pub const fn problem(&self) -> Problem {
        match self {
            Finding::SuccessionLoop { .. } => Problem::SuccessionLoop,
            Finding::HeadcountJump { .. } => Problem::HeadcountJump,
        }
    }

    /// The topic of the records it is about.
    pub const fn topic(&self) -> &'static str {
        match self {
            Finding::SuccessionLoop { .. } => topics::ENTERPRISES,
            Finding::HeadcountJump { .. } => topics::HEADCOUNT,
        }
    }

    /// The field of those records.
    pub const fn field(&self) -> &'static str {
        match self {
            Finding::SuccessionLoop { .. } => "successor_of",
            Finding::HeadcountJump { .. } => "insured",
        }
    }
}

impl fmt::Display for Finding {
    /// `found` of flags.jsonl: what was found, without what is wrong with it. Nothing personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::SuccessionLoop { members, arrival, since } => {
                members.iter().try_for_each(|member| write!(f, "{member} -> "))?;
                members.first().map_or(Ok(()), |first| first.fmt(f))?;
                if arrival.is_none() { write!(f, " from {since} on") } else { Ok(()) }
            }
            Finding::HeadcountJump { uscc, month, insured, before, .. } => {
                write!(f, "{uscc}: {before} in {}, {insured} in {month}", Month(month.0 - 1))
            }
        }
    }
}

/// Whether a headcount is a jump from that of the month before: at least `factor` times as many, from more than none.
pub(crate) fn jumps(insured: u32, before: u32, factor: u32) -> bool {
    before > 0 && u64::from(insured) >= u64::from(before) * u64::from(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_the_factor_or_more_from_more_than_none() {
        assert!(jumps(100, 1, 100) && jumps(20_000, 200, 100));
        assert!(!jumps(99, 1, 100) && !jumps(19_999, 200, 100));
        assert!(!jumps(5000, 0, 100), "an enterprise that begins to insure");
        assert!(!jumps(1, 100, 100), "a fall is none");
        assert!(!jumps(u32::MAX, u32::MAX, 100));
    }
}
