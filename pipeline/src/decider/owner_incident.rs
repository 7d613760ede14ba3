//! S15: one event, one alert. The owner is told of each incident, and of each change of what was told.
//!
//! 「发生的每一起工伤事故，由工伤数据平台自动发送至企业负责人」. 起 is the event, not the person; the host of a dispatched
//! worker is told beside the insured employer. What was told and does not hold is corrected exactly once.

use smallvec::SmallVec;
use tocsin_schemas::codes::{Change, Reason, Severity, State};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::{Day, Instant};

use super::entry::{Few, Told};
use crate::incidents::Seen;
use crate::policy::Policies;

/// A message, before its texts and numbers are filled in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub change: Change,
    /// The enterprises it goes to; of `suppressed` nobody.
    pub to: Few,
    pub severity: Severity,
    pub reason: Option<Reason>,
}

/// Why what was told does not hold, if the incident itself is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All its reports were withdrawn.
    Withdrawn,
    /// Its reports live on in another one.
    Merged,
}

/// When an incident was first heard of by a report that counts, and how many days after it happened that was.
///
/// `None`: never, by a source that does more than suspect.
pub(crate) fn first_heard(seen: &Seen, as_of: Day) -> Option<(Instant, i64)> {
    let first = seen.first_counting_at()?;
    Some((first, age(first, seen.occurred_on, as_of)))
}

/// How many days after it happened an incident was first heard of.
fn age(first: Instant, occurred_on: Day, as_of: Day) -> i64 {
    // An arrival stamped ahead of the clock says nothing about age.
    i64::from(first.day().min(as_of).0) - i64::from(occurred_on.0)
}

/// Why an incident that nobody was told of is not due, if it is not.
pub(crate) fn not_due(seen: &Seen, policies: &Policies, as_of: Day) -> Option<Reason> {
    let Some(first) = seen.first_counting_at() else {
        // A counted case has a report of such a source, whose status counts.
        return Some(Reason::BeforePolicy);
    };
    not_due_since(first, seen.occurred_on, policies, as_of)
}

/// The same for an incident of this day whose first counting arrival was at `first`.
pub(crate) fn not_due_since(
    first: Instant,
    occurred_on: Day,
    policies: &Policies,
    as_of: Day,
) -> Option<Reason> {
    if age(first, occurred_on, as_of) > i64::from(policies.on(as_of).owner_alert.max_age_days) {
        Some(Reason::TooOld)
    } else if first.day() < policies.begins() {
        Some(Reason::BeforePolicy)
    } else {
        None
    }
}

/// Desired minus emitted for one incident: corrected, then up- or downgraded, then new.
///
/// `seen` is the incident as it is now, or how it ended; `former` the enterprise that it stood at before.
pub(crate) fn decide(
    told: &Told,
    seen: Result<&Seen, End>,
    former: Option<Uscc>,
    policies: &Policies,
    as_of: Day,
) -> SmallVec<[Message; 1]> {
    let mut wanted = Few::new();
    if let Ok(s) = seen
        && s.counted()
    {
        wanted.extend(s.uscc);
        wanted.extend(s.hosts.iter().copied());
    }
    let (stay, leave): (Few, Few) = told.to.iter().copied().partition(|u| wanted.contains(u));
    let join: Few = wanted.into_iter().filter(|u| !told.to.contains(u)).collect();
    let mut messages = SmallVec::new();
    let last = told.severity.unwrap_or(Severity::Minor);
    if !leave.is_empty() {
        let reason = match seen {
            Err(End::Withdrawn) => Reason::Withdrawn,
            Err(End::Merged) => Reason::Merged,
            Ok(s) => match s.state {
                State::Refused => Reason::Refused,
                State::Suspected => Reason::Suspected,
                State::Unmatched => Reason::Unmatched,
                _ if former != s.uscc => Reason::Moved,
                _ => Reason::HostChanged,
            },
        };
        messages.push(Message { change: Change::Corrected, to: leave, severity: last, reason: Some(reason) });
    }
    let Ok(seen) = seen else { return messages };
    if !stay.is_empty() && seen.severity != last {
        let change = if seen.severity > last { Change::Upgraded } else { Change::Downgraded };
        messages.push(Message { change, to: stay, severity: seen.severity, reason: None });
    }
    if !join.is_empty() {
        let why_not = if told.ever() { None } else { not_due(seen, policies, as_of) };
        match why_not {
            None => messages.push(Message {
                change: Change::New,
                to: join,
                severity: seen.severity,
                reason: None,
            }),
            Some(reason) if !told.suppressed.contains(&reason) => messages.push(Message {
                change: Change::Suppressed,
                to: Few::new(),
                severity: seen.severity,
                reason: Some(reason),
            }),
            Some(_) => {}
        }
    }
    messages
}
