//! Whether a message may ring now, or waits for the morning or a workday. Pure.
//!
//! | message | rings |
//! |---|---|
//! | severe or fatal (T2, T8), level red | at once |
//! | correction, reduction or end of a message that rang in these quiet hours, or of a severe one within 12 hours | at once |
//! | first or raised warning to a township, below yellow | when nobody sleeps, on a workday from 08:30 (people.md 5.1) |
//! | everything else | when nobody sleeps (people.md 5.2) |
//! | what goes into a township's morning ([`crate::plan::morning`]) | with that: nothing rings before |
//!
//! Whoever was rung out of bed, or has gone out to an accident, hears at once that it was not so. No other correction
//! is worth a night; a holiday does not hold it, because who was told on Friday may act on Saturday.

use tocsin_schemas::codes::{Change, Level, Role, Severity, Urgency};
use tocsin_schemas::records::Alert;
use tocsin_schemas::time::Instant;

use super::{Why, looks_back};
use crate::calendar::Calendar;
use crate::ledger::Past;

/// How long after a severe message its correction is worth a night, in milliseconds.
const OUT_THERE: i64 = 12 * 3_600_000;
/// Quiet hours and holidays take turns at most so often before a message may ring; a table cannot have more.
const TURNS: usize = 8;

/// The urgency of what an alert tells a role.
pub fn urgency(alert: &Alert, role: Role) -> Urgency {
    let grave = alert.severity.is_some_and(|s| s >= Severity::Severe) || alert.level == Some(Level::Red);
    let opens = matches!(alert.change, Change::New | Change::Raised);
    match alert.change {
        Change::Added => Urgency::AtOnce,
        Change::New | Change::Upgraded | Change::Raised if grave => Urgency::AtOnce,
        _ if opens && role == Role::TownshipDuty && alert.level < Some(Level::Yellow) => Urgency::Workday,
        _ => Urgency::Daytime,
    }
}

/// Until when a message is held, and for which reason; `None`: it may ring now.
pub fn held_until(
    calendar: &Calendar,
    urgency: Urgency,
    change: Change,
    past: Past,
    now: Instant,
) -> Option<(Instant, Why)> {
    let at_once = matches!(urgency, Urgency::AtOnce | Urgency::Morning);
    if at_once || corrects_the_awake(calendar, change, past, now) {
        return None;
    }
    let (mut at, mut why) = (now, Why::QuietHours);
    for _ in 0..TURNS {
        let office = if urgency == Urgency::Workday { calendar.next_office(at) } else { at };
        if office.day() > at.day() {
            why = Why::Holiday;
        }
        let open = calendar.next_open(office);
        if open == at {
            break;
        }
        at = open;
    }
    (at > now).then_some((at, why))
}

/// Whether it corrects what somebody was rung for in these quiet hours, or is out for.
fn corrects_the_awake(calendar: &Calendar, change: Change, past: Past, now: Instant) -> bool {
    let Some(told) = past.last_out.filter(|_| looks_back(change)) else { return false };
    calendar.quiet_since(now).is_some_and(|began| told >= began)
        || (past.severe_out && now.0.saturating_sub(told.0) < OUT_THERE)
}
