//! S20: a township is warned of an enterprise with several incidents; then the departments.
//!
//! The notice sets no steps; the default of reference/notice.md is 2 blue, 3 yellow, 4 orange, 5 or any
//! severe or fatal one red, in a rolling 365 days, one open escalation per enterprise. Later incidents at
//! the same level attach without a message.

use std::collections::BTreeSet;

use compact_str::{CompactString, format_compact};
use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};
use tocsin_schemas::codes::{CITY, Category, Change, Level, Reason, Role, Rule, Severity};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::records::Window;
use tocsin_schemas::time::Day;

use super::book::Book;
use crate::engine::Occasion;
use crate::policy::{Escalation as Steps, Policies};
use crate::registry::Profile;
use crate::windows;

/// The number that people quote of an enterprise's warning: it hangs on the enterprise and the count of its openings alone.
pub fn warning_number(uscc: &str, episode: u32) -> CompactString {
    let hash = Sha256::digest(format!("{}|{uscc}|{episode}", Rule::Escalation));
    format_compact!("E{}", &BASE32_NOPAD.encode(&hash)[..9])
}

/// What is remembered of one enterprise.
#[derive(Debug, Default, Clone)]
pub(crate) struct Escalation {
    /// How many were opened so far.
    pub episodes: u32,
    /// The one that is open.
    pub open: Option<Open>,
}

/// An open escalation.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    /// Messages so far.
    pub revision: u32,
    /// The level last told.
    pub level: Level,
    /// Everybody told in this episode.
    pub told: BTreeSet<(Role, CompactString)>,
    /// Severe and fatal incidents that its messages named.
    pub named: BTreeSet<IncidentId>,
}

/// What is so of one enterprise now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Counted production incidents in the window.
    pub incidents: i32,
    /// The severe and fatal ones among them.
    pub severe: i32,
    /// Whether it is read as another's.
    pub succeeded: bool,
    /// Whether the policy has begun: before its first day nothing is opened, raised or added, but whoever was told
    /// is told of what does not hold.
    pub begun: bool,
    /// What made the decision fall.
    pub occasion: Occasion,
}

/// A decision, before its texts and numbers are filled in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub change: Change,
    pub level: Option<Level>,
    pub reason: Option<Reason>,
}

/// The level that these counts reach.
pub(crate) fn level(steps: &Steps, incidents: i32, severe: i32) -> Option<Level> {
    let n = incidents.max(0) as u32;
    if n >= steps.red || (steps.severe_is_red && severe > 0) {
        Some(Level::Red)
    } else if n >= steps.orange {
        Some(Level::Orange)
    } else if n >= steps.yellow {
        Some(Level::Yellow)
    } else if n >= steps.blue {
        Some(Level::Blue)
    } else {
        None
    }
}

/// What it would do to an escalation that stands at `open` if `wanted` were its level; `None`: nothing, or `added`.
fn step(open: Option<Level>, wanted: Option<Level>) -> Option<Change> {
    match (open, wanted) {
        (None, None) => None,
        (None, Some(_)) => Some(Change::New),
        (Some(_), None) => Some(Change::Closed),
        (Some(open), Some(wanted)) if wanted > open => Some(Change::Raised),
        (Some(open), Some(wanted)) if wanted < open => Some(Change::Eased),
        (Some(_), Some(_)) => None,
    }
}

/// Desired minus emitted for one enterprise. `severe_ids` lists the severe and fatal incidents of the
/// window and `under_old` the level by yesterday's table; each is asked only where it matters.
pub(crate) fn decide(
    open: Option<&Open>,
    steps: &Steps,
    now: Now,
    severe_ids: impl FnOnce() -> Vec<IncidentId>,
    under_old: impl FnOnce() -> Option<Option<Level>>,
) -> Option<Verdict> {
    let wanted = if now.succeeded { None } else { level(steps, now.incidents, now.severe) };
    let at = open.map(|open| open.level);
    let change = step(at, wanted);
    let falls = matches!(change, Some(Change::Eased | Change::Closed));
    if !now.begun && !falls {
        return None;
    }
    let Some(change) = change else {
        let joins = wanted == Some(Level::Red)
            && now.severe > 0
            && open.is_some_and(|open| severe_ids().iter().any(|id| !open.named.contains(id)));
        return joins.then_some(Verdict { change: Change::Added, level: wanted, reason: None });
    };
    // Absence is never a cause, so each fall names the record, policy or day behind it. A rise is a record's doing,
    // unless the policy's: then it says so, and who delivers it can bundle it with the others.
    let by_policy = match now.occasion {
        Occasion::Policy => true,
        Occasion::Batch => false,
        Occasion::Midnight => under_old().is_some_and(|old| step(at, old) != Some(change)),
    };
    let reason = match now.occasion {
        _ if falls && now.succeeded => Some(Reason::Succeeded),
        _ if by_policy => Some(Reason::Policy),
        Occasion::Batch if falls => Some(Reason::Corrected),
        Occasion::Midnight if falls => Some(Reason::Expired),
        _ => None,
    };
    Some(Verdict { change, level: wanted, reason })
}

/// Who is told of a level: the township of the enterprise's area; from orange also the bureau of its
/// industry; of red also the emergency bureau.
pub(crate) fn audience(level: Level, profile: &Profile) -> Vec<(Role, CompactString)> {
    let mut all = vec![(Role::TownshipDuty, profile.area.clone())];
    if level >= Level::Orange {
        all.push((Role::IndustryDuty, profile.division.clone()));
    }
    if level >= Level::Red {
        all.push((Role::EmergencyDuty, CompactString::const_new(CITY)));
    }
    all
}

/// Who gets a message: of a fall everybody told in this episode, but nobody where days just went by; of
/// anything else the audience of the level on this day. `profile` is where the enterprise belongs on it.
pub(crate) fn told_of(
    verdict: &Verdict,
    open: Option<&Open>,
    profile: Option<Profile>,
) -> Vec<(Role, CompactString)> {
    let told = || open.map(|o| o.told.iter().cloned().collect()).unwrap_or_default();
    match (verdict.change, verdict.reason, verdict.level) {
        (_, Some(Reason::Expired), _) => Vec::new(),
        (Change::Eased | Change::Closed, _, _) | (_, _, None) => told(),
        (_, _, Some(level)) => profile.map(|p| audience(level, &p)).unwrap_or_default(),
    }
}

/// Counted production incidents of an enterprise between two days, both included, sorted by number.
pub(crate) fn listed(book: &Book, uscc: &Uscc, (from, to): (Day, Day)) -> Vec<(IncidentId, Severity)> {
    let own = book.own(uscc, from, to).filter(|b| b.category == Category::Production);
    let mut all: Vec<(IncidentId, Severity)> = own.map(|b| (b.id, b.severity)).collect();
    all.sort_unstable();
    all
}

/// The level that yesterday's policy table would give today, if it is another table than today's.
pub(crate) fn under_yesterday(
    book: &Book,
    uscc: &Uscc,
    policies: &Policies,
    as_of: Day,
) -> Option<Option<Level>> {
    let (old, today) = (policies.on(as_of.plus(-1)), policies.on(as_of));
    (old.effective_from != today.effective_from).then(|| {
        let window = Window::Rolling(old.escalation.window_days);
        let all = listed(book, uscc, windows::days(window, as_of));
        let severe = all.iter().filter(|(_, severity)| *severity >= Severity::Severe).count();
        level(&old.escalation, all.len() as i32, severe as i32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(incidents: i32, severe: i32, occasion: Occasion) -> Now {
        Now { incidents, severe, succeeded: false, begun: true, occasion }
    }

    fn open(level: Level, named: &[u32]) -> Open {
        let named = named.iter().map(|n| IncidentId(*n)).collect();
        Open { revision: 1, level, told: BTreeSet::new(), named }
    }

    fn said(o: Option<&Open>, n: Now, ids: &[u32]) -> Option<(Change, Option<Level>, Option<Reason>)> {
        let ids = ids.iter().map(|n| IncidentId(*n)).collect();
        decide(o, &Steps::default(), n, || ids, || None).map(|v| (v.change, v.level, v.reason))
    }

    #[test]
    fn every_step_up_and_down() {
        use Occasion::{Batch, Midnight};
        assert_eq!(said(None, now(1, 0, Batch), &[]), None);
        assert_eq!(said(None, now(2, 0, Batch), &[]), Some((Change::New, Some(Level::Blue), None)));
        assert_eq!(said(None, now(1, 1, Batch), &[7]), Some((Change::New, Some(Level::Red), None)));
        let blue = open(Level::Blue, &[]);
        assert_eq!(said(Some(&blue), now(2, 0, Batch), &[]), None);
        assert_eq!(said(Some(&blue), now(5, 0, Batch), &[]), Some((Change::Raised, Some(Level::Red), None)));
        assert_eq!(
            said(Some(&blue), now(1, 0, Midnight), &[]),
            Some((Change::Closed, None, Some(Reason::Expired)))
        );
        assert_eq!(
            said(Some(&blue), now(1, 0, Batch), &[]),
            Some((Change::Closed, None, Some(Reason::Corrected)))
        );
        let red = open(Level::Red, &[7]);
        assert_eq!(said(Some(&red), now(3, 1, Batch), &[7]), None);
        assert_eq!(
            said(Some(&red), now(3, 2, Batch), &[7, 8]),
            Some((Change::Added, Some(Level::Red), None))
        );
        let eased = Some((Change::Eased, Some(Level::Yellow), Some(Reason::Corrected)));
        assert_eq!(said(Some(&red), now(3, 0, Batch), &[]), eased);
    }

    #[test]
    fn what_a_policy_does_says_so() {
        use Occasion::{Midnight, Policy};
        let (blue, red) = (open(Level::Blue, &[]), open(Level::Red, &[7]));
        let by_policy = Some(Reason::Policy);
        assert_eq!(said(None, now(2, 0, Policy), &[]), Some((Change::New, Some(Level::Blue), by_policy)));
        assert_eq!(
            said(Some(&blue), now(3, 0, Policy), &[]),
            Some((Change::Raised, Some(Level::Yellow), by_policy))
        );
        assert_eq!(
            said(Some(&red), now(3, 0, Policy), &[]),
            Some((Change::Eased, Some(Level::Yellow), by_policy))
        );
        assert_eq!(said(Some(&red), now(1, 0, Policy), &[]), Some((Change::Closed, None, by_policy)));
        assert_eq!(said(Some(&blue), now(2, 0, Policy), &[]), None);
        // At the midnight of another table: only what yesterday's would not have done.
        let at_midnight = |o: Option<&Open>, n: i32, old: Option<Level>| {
            decide(o, &Steps::default(), now(n, 0, Midnight), Vec::new, || Some(old)).map(|v| v.reason)
        };
        assert_eq!(at_midnight(None, 2, None), Some(by_policy));
        assert_eq!(at_midnight(None, 2, Some(Level::Red)), Some(None), "it would have been opened anyway");
        assert_eq!(at_midnight(Some(&blue), 3, Some(Level::Blue)), Some(by_policy));
        assert_eq!(at_midnight(Some(&blue), 3, Some(Level::Orange)), Some(None));
        assert_eq!(at_midnight(Some(&blue), 1, Some(Level::Blue)), Some(by_policy));
        assert_eq!(at_midnight(Some(&blue), 1, None), Some(Some(Reason::Expired)));
    }
}
