//! Which incident keeps which number (records.md section 2, rule 6; docs/contract-readings.md 8).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_schemas::ids::IncidentId;

use super::entry::Few;
use crate::facts::Age;
use crate::incidents::Seen;

/// The old numbers that an incident of today has a claim to.
#[derive(Debug, Default, Clone)]
pub(crate) struct Claims {
    /// Through reports that stood there until now.
    pub live: BTreeSet<IncidentId>,
    /// Through reports that had been withdrawn there, when nothing else of it lives.
    pub returning: BTreeSet<IncidentId>,
}

/// What identity asks of an old number.
pub(crate) struct Former {
    /// Age of its oldest report as it stood before.
    pub age: Age,
    /// Enterprises told under it and not corrected since.
    pub told: Few,
    /// Enterprises ever told under it.
    pub ever: Few,
}

/// The number of each incident of today, `None` for a new one.
///
/// A number with several claims stays with the part that still counts at an enterprise told under it,
/// among several with the one that holds the oldest report. An incident chosen by several numbers keeps
/// the oldest of those told to its present enterprise, else the oldest told, else the oldest.
pub(crate) fn assign(
    parts: &[Arc<Seen>],
    claims: &[Claims],
    former: impl Fn(IncidentId) -> Former,
) -> Vec<Option<IncidentId>> {
    let mut claimed: BTreeMap<IncidentId, Vec<usize>> = BTreeMap::new();
    for (part, claim) in claims.iter().enumerate() {
        for id in &claim.live {
            claimed.entry(*id).or_default().push(part);
        }
    }
    let mut chosen_by: Vec<Vec<IncidentId>> = vec![Vec::new(); parts.len()];
    for (id, candidates) in claimed {
        let choice = match candidates.as_slice() {
            [only] => *only,
            _ => {
                let told = former(id).told;
                let still = |p: &&usize| {
                    parts[**p].counted() && parts[**p].uscc.is_some_and(|uscc| told.contains(&uscc))
                };
                let oldest = |p: &&usize| parts[**p].age();
                let best = candidates.iter().filter(still).min_by_key(oldest);
                *best.or_else(|| candidates.iter().min_by_key(oldest)).unwrap_or(&candidates[0])
            }
        };
        chosen_by[choice].push(id);
    }
    let keep = |part: usize, ids: &[IncidentId], ended: bool| match ids {
        [] => None,
        [only] => Some(*only),
        many => many.iter().copied().min_by_key(|id| {
            let Former { age, told, ever } = former(*id);
            // Of an ended number everybody was corrected: what counts is who was told at all.
            let told = if ended { ever } else { told };
            let here = parts[part].uscc.is_some_and(|uscc| told.contains(&uscc));
            (!here, told.is_empty(), age)
        }),
    };
    let mut kept: Vec<Option<IncidentId>> =
        chosen_by.iter().enumerate().map(|(part, ids)| keep(part, ids, false)).collect();
    // A number comes back once: to the oldest incident that may take it.
    let mut taken = BTreeSet::new();
    let mut order: Vec<usize> = (0..parts.len()).filter(|p| kept[*p].is_none()).collect();
    order.sort_by_cached_key(|p| parts[*p].age());
    for part in order {
        let free: Vec<IncidentId> = claims[part].returning.difference(&taken).copied().collect();
        kept[part] = keep(part, &free, true);
        taken.extend(kept[part]);
    }
    kept
}
