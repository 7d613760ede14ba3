//! What the clerk is shown of records that were accepted: headcounts that jump, successions in a circle.

use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Enterprise, Record};
use tocsin_schemas::time::{Day, Month};

use crate::arrivals::{self, Arrival};
use crate::registry::Registry;

/// One thing that the clerk is shown, once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// Enterprises that succeed each other in a circle.
    Loop {
        /// In the order of succession, the smallest USCC first.
        members: Vec<Uscc>,
        /// Which record of the batch closed it, from 0; `None`: a midnight did.
        arrival: Option<usize>,
        /// The day.
        since: Day,
    },
    /// A headcount that is many times that of the month before.
    Jump {
        /// Whose.
        uscc: Uscc,
        /// The month of the larger one.
        month: Month,
        /// The larger one.
        insured: u32,
        /// That of the month before.
        before: u32,
        /// Which record of the batch brought one of the two, from 0.
        arrival: usize,
    },
}

/// The jumps that the batch `all[from..]` brings: each of its headcounts that stands when it comes is held against
/// the months beside it as they then stand.
pub(crate) fn jumps(all: &[Arrival], from: usize, factor: u32) -> Vec<Finding> {
    let mut found = Vec::new();
    if !all[from..].iter().any(|a| matches!(a.record, Record::Headcount(_))) {
        return found;
    }
    let mut stands = arrivals::headcount_versions(&all[..from]);
    for (arrival, new) in all[from..].iter().enumerate() {
        let Record::Headcount(h) = &new.record else { continue };
        let key = (h.uscc, h.month);
        let version = (h.version, new.digest, h.insured);
        if stands.get(&key).is_some_and(|old| *old >= version) {
            continue;
        }
        stands.insert(key, version);
        for month in [h.month, Month(h.month.0 + 1)] {
            let insured = |month: Month| stands.get(&(h.uscc, month)).map(|(_, _, insured)| *insured);
            if let (Some(before), Some(insured)) = (insured(Month(month.0 - 1)), insured(month))
                && before > 0
                && f64::from(insured) / f64::from(before) >= f64::from(factor)
            {
                found.push(Finding::Jump { uscc: h.uscc, month, insured, before, arrival });
            }
        }
    }
    found
}

/// Which record of the batch `all[from..]` closed the circle: the last one of an enterprise whose claim is another
/// after the batch than before, and which claims a member before or after. A record that changes nothing, being
/// there already or outdone by another content of its version, is none.
pub(crate) fn closed_by(
    all: &[Arrival],
    from: usize,
    members: &[Uscc],
    now: &Registry<'_>,
    day: Day,
) -> Option<usize> {
    let was = Registry::new(arrivals::standing_enterprises(&all[..from]), day);
    let claim = |registry: &Registry<'_>, uscc: &Uscc| {
        registry.in_force(uscc).and_then(|e| Some((e.successor_of?, e.valid_from)))
    };
    let about = |claim: Option<(Uscc, Day)>| claim.is_some_and(|(whom, _)| members.contains(&whom));
    let concerned = |uscc: &Uscc| {
        let (before, after) = (claim(&was, uscc), claim(now, uscc));
        before != after && (about(before) || about(after))
    };
    let outdone = |arrival: usize, new: &Enterprise| {
        all[..arrival].iter().any(|earlier| match &earlier.record {
            Record::Enterprise(e) => {
                (e.uscc, e.version) == (new.uscc, new.version) && earlier.digest >= all[arrival].digest
            }
            _ => false,
        })
    };
    let closes = |arrival: &usize| match &all[*arrival].record {
        Record::Enterprise(e) => concerned(&e.uscc) && !outdone(*arrival, e),
        _ => false,
    };
    (from..all.len()).rfind(closes).map(|arrival| arrival - from)
}
