//! The fuse of corrections: so many in an hour are more likely a broken feed than so many mistakes, and a broken feed must
//! not write to every owner. Pure.
//!
//! - Corrections are what speaks of an earlier message: corrected, downgraded, eased, closed. They are counted by alert
//!   and by the instant of the decision, so that a worker that was away does not blow the fuse by catching up.
//! - Once it has blown, every later correction is held as well, until somebody has looked: `planned`, with the reason
//!   `fuse`. News is not: a death is said while corrections wait. What is overtaken meanwhile is not sent.
//! - They are let go by a governance event of kind `corrections_released` (`tocsin corrections release`):
//!
//! | field | means |
//! |---|---|
//! | `actor` | who has looked |
//! | `details.until` | RFC 3339: whatever was decided up to this instant goes out, and is counted no more |
//! | `details.reason` | what was found |
//!
//! What is not to go out at all is silenced ([`crate::silences`], of everything).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde::{Deserialize, Serialize};
use tocsin_schemas::records::{Alert, Digest, GovernanceEvent};
use tocsin_schemas::time::Instant;

use crate::decide;
use crate::newest::Newest;

/// The kind of the event.
pub const KIND: &str = "corrections_released";
/// Over so many corrections an hour the fuse blows, unless it is configured otherwise.
pub const MOST_AN_HOUR: u32 = 20;
const HOUR_MS: i64 = 3_600_000;
/// When a correction that is held is due, by the ledger, after it was decided, in milliseconds: somebody looks the same
/// day.
pub const LOOKED_AT_WITHIN_MS: i64 = 24 * HOUR_MS;

/// What the event's `details` hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// What was decided up to this instant is let go.
    pub until: Instant,
    /// What was found.
    pub reason: String,
}

/// The details of an event; `None` for one of another kind.
///
/// # Errors
/// What is wrong with them.
pub fn details(event: &GovernanceEvent) -> Option<Result<Details, String>> {
    (event.kind == KIND).then(|| {
        let details: Details = serde_json::from_str(&event.details)
            .map_err(|e| format!("details: expected {{\"until\", \"reason\"}}: {e}"))?;
        let end = event.on.plus(1).midnight();
        if details.until > end {
            let until = details.until;
            return Err(format!(
                "details.until: expected no later than {end}, the end of its day, found {until}"
            ));
        }
        if details.reason.trim().is_empty() {
            return Err("details.reason: expected what was found, found nothing".to_owned());
        }
        Ok(details)
    })
}

/// Every release: the fold of `governance.events`.
#[derive(Debug, Default)]
pub struct Releases {
    /// Of each, up to when.
    newest: Newest<Instant>,
}

impl Releases {
    /// Takes in an event, with the digest of its canonical JSON; those of other kinds change nothing.
    ///
    /// # Errors
    /// What is wrong with it; it releases nothing then.
    pub fn apply(&mut self, event: &GovernanceEvent, digest: Digest) -> Result<(), String> {
        let Some(details) = details(event) else { return Ok(()) };
        self.newest.take(KIND, event, digest, details.map(|details| details.until))
    }

    /// Whatever was decided up to this instant is let go.
    pub fn until(&self) -> Option<Instant> {
        self.newest.all().copied().max()
    }

    /// Whether what was decided then is let go.
    pub fn cover(&self, decided_at: Instant) -> bool {
        self.until().is_some_and(|until| decided_at <= until)
    }
}

/// When an alert was decided, and its id.
type Of = (Instant, String);

/// The corrections of the last hour, and those that are held: of each alert its deliveries.
#[derive(Debug, Default)]
pub struct Counted {
    recent: BTreeMap<Of, BTreeSet<String>>,
    held: BTreeMap<Of, BTreeSet<String>>,
}

impl Counted {
    /// A correction stands like this. `counts`: it went out, or will; what certainly rang nobody does not count.
    pub fn apply(
        &mut self,
        decided_at: Instant,
        alert_id: &str,
        delivery_id: &str,
        counts: bool,
        held: bool,
    ) {
        let of = (decided_at, alert_id.to_owned());
        for (all, is) in [(&mut self.recent, counts), (&mut self.held, held)] {
            if is {
                all.entry(of.clone()).or_default().insert(delivery_id.to_owned());
            } else if let Some(known) = all.get_mut(&of) {
                known.remove(delivery_id);
                if known.is_empty() {
                    all.remove(&of);
                }
            }
        }
        let newest = self.recent.last_key_value().map_or(decided_at, |((newest, _), _)| *newest);
        let from = (newest.plus_millis(-HOUR_MS), String::new());
        self.recent = self.recent.split_off(&from);
    }

    /// How many are held, by alert.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether the correction of this alert is to be held. `most` an hour; `None`: there is no fuse.
    pub fn blows(&self, most: Option<u32>, alert: &Alert, released: Option<Instant>) -> bool {
        let Some(most) = most.filter(|_| decide::looks_back(alert.change)) else { return false };
        let at = alert.decided_at;
        if released.is_some_and(|until| at <= until) {
            return false;
        }
        if self.held.keys().any(|(held, _)| released.is_none_or(|until| *held > until)) {
            return true;
        }
        let from = released.map_or(at.plus_millis(-HOUR_MS), |until| until.max(at.plus_millis(-HOUR_MS)));
        let range = (Bound::Excluded((from, "~".to_owned())), Bound::Included((at, "~".to_owned())));
        let others = self.recent.range(range).filter(|((_, id), _)| *id != alert.alert_id);
        others.count() >= usize::try_from(most).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use tocsin_schemas::codes::{Change, Severity};

    use super::*;
    use crate::fixtures::owner_alert;

    const T0: Instant = Instant(1_000 * HOUR_MS);

    fn at(minutes: i64, n: usize, change: Change) -> Alert {
        Alert {
            decided_at: T0.plus_millis(minutes * 60_000),
            ..owner_alert(&format!("A{n:03}"), change, Severity::Minor)
        }
    }
    fn event(id: &str, version: u64, details: &str) -> GovernanceEvent {
        GovernanceEvent {
            event_id: id.into(),
            kind: KIND.into(),
            subject: "*".into(),
            on: T0.day(),
            version,
            actor: "王主任".into(),
            approver: None,
            details: details.into(),
        }
    }

    /// Counts them as a planner would, and says which were held.
    fn held(counted: &mut Counted, alerts: &[Alert], released: Option<Instant>) -> Vec<usize> {
        let mut held = Vec::new();
        for (n, alert) in alerts.iter().enumerate() {
            let blows = counted.blows(Some(3), alert, released);
            if decide::looks_back(alert.change) {
                counted.apply(alert.decided_at, &alert.alert_id, &alert.alert_id, true, blows);
            }
            held.extend(blows.then_some(n));
        }
        held
    }

    #[test]
    fn over_so_many_an_hour_it_blows_and_stays_so_until_it_is_let_go() {
        use Change::*;
        let alerts: Vec<Alert> =
            [(0, Corrected), (1, Closed), (2, New), (3, Eased), (4, Downgraded), (5, New), (300, Corrected)]
                .into_iter()
                .enumerate()
                .map(|(n, (minutes, change))| at(minutes, n, change))
                .collect();
        let mut counted = Counted::default();
        assert_eq!(held(&mut counted, &alerts, None), [4, 6], "news passes; hours later it still waits");
        assert_eq!(counted.held(), 2);
        // Let go up to minute 10: the fifth goes out, and the count begins anew; the one of minute 300 alone is not many.
        let released = Some(T0.plus_millis(600_000));
        assert!(!counted.blows(Some(3), &alerts[4], released));
        counted.apply(alerts[4].decided_at, "A004", "A004", true, false);
        counted.apply(alerts[6].decided_at, "A006", "A006", true, false);
        assert!(!counted.blows(Some(3), &at(301, 9, Corrected), released));
        assert!(!counted.blows(None, &at(4, 9, Corrected), None), "no fuse");
    }

    #[test]
    fn what_rang_nobody_counts_for_nothing_and_leaves_its_alerts_other_deliveries_counted() {
        let mut counted = Counted::default();
        for n in 0..3 {
            let alert = at(n, n as usize, Change::Corrected);
            counted.apply(alert.decided_at, &alert.alert_id, "owner", true, n == 2);
            counted.apply(alert.decided_at, &alert.alert_id, "township", true, n == 2);
            counted.apply(alert.decided_at, &alert.alert_id, "township", false, false);
        }
        assert_eq!(counted.held(), 1, "the owner's is still held");
        assert!(counted.blows(Some(9), &at(5, 9, Change::Corrected), None), "and so it stays blown");
        counted.apply(T0.plus_millis(120_000), "A002", "owner", false, false);
        assert_eq!(counted.held(), 0);
        assert!(!counted.blows(Some(3), &at(5, 9, Change::Corrected), None));
        assert!(counted.blows(Some(2), &at(5, 9, Change::Corrected), None));
    }

    #[test]
    fn an_hour_slides_and_an_alert_that_is_read_again_is_not_another_one() {
        let three: Vec<Alert> =
            [0, 30, 59].into_iter().enumerate().map(|(n, m)| at(m, n, Change::Corrected)).collect();
        let mut counted = Counted::default();
        assert!(held(&mut counted, &three, None).is_empty());
        assert!(!counted.blows(Some(3), &three[2], None), "itself");
        assert!(counted.blows(Some(3), &at(59, 9, Change::Corrected), None));
        assert!(
            !counted.blows(Some(3), &at(61, 9, Change::Corrected), None),
            "the first is over an hour ago"
        );
    }

    #[test]
    fn a_release_says_until_when_by_whom_and_why_or_releases_nothing() {
        let mut releases = Releases::default();
        let until = T0.plus_millis(60_000);
        let right = format!("{{\"until\":\"{until}\",\"reason\":\"feed repaired\"}}");
        for (details, wrong) in [
            ("{}", "missing field"),
            (&*format!("{{\"until\":\"{until}\",\"reason\":\" \"}}"), "expected what was found"),
            (
                &*format!("{{\"until\":\"{}\",\"reason\":\"r\"}}", T0.plus_millis(48 * HOUR_MS)),
                "the end of its day",
            ),
        ] {
            let error = releases.apply(&event("r1", 1, details), [0; 32]).unwrap_err();
            assert!(error.contains(wrong), "{error}");
            assert_eq!(releases.until(), None);
        }
        releases.apply(&event("r1", 2, &right), [0; 32]).unwrap();
        releases.apply(&event("r1", 1, "{}"), [9; 32]).unwrap();
        assert_eq!(releases.until(), Some(until));
        assert!(releases.cover(until) && !releases.cover(until.plus_millis(1)));
        releases.apply(&GovernanceEvent { kind: "silence".into(), ..event("s", 1, "") }, [0; 32]).unwrap();
    }
}
