//! Why two incidents of one enterprise and day are not one: rule 4 of records.md, asked the other way round.

use tocsin_schemas::codes::State;

use super::knowledge::{Found, Knowledge};
use super::picture::{self, Numbers};
use super::view::{ApartBy, ApartView};
use crate::cases::Case;
use crate::policy::Policies;

/// The other counted incidents of its enterprise and day, each with what keeps it apart. Of several persons in either:
/// the pair that is nearest to being one.
pub(super) fn apart(found: &Found, of: &Knowledge, numbers: &Numbers, policies: &Policies) -> Vec<ApartView> {
    let seen = &found.seen;
    let counts = |f: &Found| f.seen.state == State::Counted && f.seen.uscc.is_some();
    if !counts(found) {
        return Vec::new();
    }
    let limit = policies.on(seen.occurred_on).merge.incident_minutes;
    let place = |f: &Found| (f.seen.uscc, f.seen.occurred_on);
    // Of a picture that another policy made no other incident holds a part.
    let shares = |f: &Found| f.seen.reports.iter().any(|r| seen.reports.iter().any(|own| own.key == r.key));
    let others = of.incidents.iter().filter(|f| counts(f) && place(f) == place(found) && !shares(f));
    let view = |other: &Found| {
        let pairs = found.cases.iter().flat_map(|a| other.cases.iter().map(move |b| between(a, b, limit)));
        Some(ApartView {
            other: picture::number(other, numbers),
            report: other.seen.reports[0].key.clone(),
            by: pairs.min()?,
        })
    };
    let apart = |view: &ApartView| !matches!(view.by, ApartBy::Minutes { minutes_apart, limit, .. } if u32::from(minutes_apart) <= limit);
    others.filter_map(view).filter(apart).collect()
}

/// What keeps two cases apart that share no number of the event.
fn between(a: &Case, b: &Case, limit: u32) -> ApartBy {
    match (a.cause(), b.cause()) {
        (Some(one), Some(other)) if one != other => ApartBy::Causes { one, other },
        (Some(cause), Some(_)) => match (a.occurred_time(), b.occurred_time()) {
            (Some(one), Some(other)) => {
                ApartBy::Minutes { cause, minutes_apart: one.0.abs_diff(other.0), limit }
            }
            _ => ApartBy::NoTime { cause, limit },
        },
        _ => ApartBy::NoCause,
    }
}
