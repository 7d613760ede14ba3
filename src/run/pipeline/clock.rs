//! When what arrives is decided (records.md section 3). Pure: the wall clock is an argument.
//!
//! - The decision clock never goes back: what arrived before it is decided at it.
//! - While behind, it follows the arrivals, which come here merged by arrival time over all partitions.
//! - Once caught up, wall-clock midnights join in ([`midnight_due`]).
//! - An arrival more than [`AHEAD`] ahead of the wall clock does not move it: it is decided at the clock.
//! - A jump of more than [`JUMP_DAYS`] days waits until the operator accepts it: it is far more often a
//!   wrong clock or a wrong time stamp than a service that slept that long.
//! - A batch is cut at midnights, so that what arrived before one is decided before it is ticked.

use std::ops::Range;

use tocsin_schemas::time::{Day, Instant};

/// How far an arrival may be ahead of the wall clock and still move the decision clock.
pub const AHEAD: i64 = 5 * 60 * 1000;
/// The longest move of the clock, in days, that needs nobody's yes.
pub const JUMP_DAYS: i32 = 35;

/// The longest move of the clock by arrivals that carry their own times: every midnight in between is decided
/// on, and a slip in the year (9999) would take hours. The oldest history there is (1990) reaches today.
pub const FAR_DAYS: i32 = 100 * 365;

/// What moves the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Service: see the module's page.
    Wall {
        /// The wall clock.
        now: Instant,
        /// Whether a jump was accepted.
        accept_jump: bool,
    },
    /// The arrivals' own times and nothing else: one batch for each.
    Arrivals,
}

/// One arrival, as far as the clock is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When it arrived.
    pub at: Instant,
    /// Read ahead of its turn (the registry comes before reports): it moves the clock only when
    /// nothing else in the batch does.
    pub ahead: bool,
}

/// One call of the engine: these records of the batch, at this instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When they are decided; the engine takes its clock where that is later.
    pub at: Instant,
    /// Which records of the batch.
    pub records: Range<usize>,
}

/// The clock would jump further than anybody said it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Jump {
    /// In service.
    #[error(
        "the clock would jump from {from} to {to}, which is more than {JUMP_DAYS} days: if that is right (the \
         service stood still that long), start once with --accept-clock; if not, set this machine's clock"
    )]
    Unaccepted {
        /// The decision clock.
        from: Instant,
        /// Where it would go.
        to: Instant,
    },
    /// By arrivals that carry their own times.
    #[error(
        "an arrival at {to} comes {} years or more after the clock, {from}: correct the stream's times", FAR_DAYS / 365
    )]
    Far {
        /// The decision clock.
        from: Instant,
        /// When it says that it arrived.
        to: Instant,
    },
}

/// Cuts a batch, in its order, into calls of the engine.
///
/// # Errors
/// [`Jump`]: nothing of the batch is to be decided.
pub fn plan(rule: Rule, clock: Option<Instant>, batch: &[Stamp]) -> Result<Vec<Step>, Jump> {
    match rule {
        Rule::Arrivals => {
            near(clock, batch.iter().map(|s| s.at))?;
            Ok(equal_arrivals(batch))
        }
        Rule::Wall { now, accept_jump } => by_days(now, accept_jump, clock, batch),
    }
}

/// That no arrival is a century or more ahead of what came before it.
///
/// # Errors
/// [`Jump::Far`], of the first one.
pub fn near(clock: Option<Instant>, arrivals: impl Iterator<Item = Instant>) -> Result<(), Jump> {
    let mut clock = clock;
    for to in arrivals {
        if let Some(from) = clock.filter(|from| to.day().0.saturating_sub(from.day().0) > FAR_DAYS) {
            return Err(Jump::Far { from, to });
        }
        clock = clock.max(Some(to));
    }
    Ok(())
}

fn equal_arrivals(batch: &[Stamp]) -> Vec<Step> {
    let mut from = 0;
    batch
        .chunk_by(|a, b| a.at == b.at)
        .map(|run| {
            let records = from..from + run.len();
            from = records.end;
            Step { at: run[0].at, records }
        })
        .collect()
}

fn by_days(
    now: Instant,
    accept_jump: bool,
    clock: Option<Instant>,
    batch: &[Stamp],
) -> Result<Vec<Step>, Jump> {
    let only_ahead = batch.iter().all(|s| s.ahead);
    let moves = |s: &Stamp| s.at.0 <= now.0.saturating_add(AHEAD) && (only_ahead || !s.ahead);
    let first = batch.iter().find(|s| moves(s)).map(|s| s.at);
    let mut at = clock.or(first).unwrap_or(now);
    let mut steps: Vec<Step> = Vec::new();
    for (index, stamp) in batch.iter().enumerate() {
        let next = if moves(stamp) { at.max(stamp.at) } else { at };
        if !accept_jump {
            no_jump(at, next)?;
        }
        match steps.last_mut() {
            Some(step) if next.day() == at.day() => {
                step.at = next;
                step.records.end = index + 1;
            }
            _ => steps.push(Step { at: next, records: index..index + 1 }),
        }
        at = next;
    }
    Ok(steps)
}

fn no_jump(from: Instant, to: Instant) -> Result<(), Jump> {
    if to.0 <= from.0 || to.day().0.saturating_sub(from.day().0) <= JUMP_DAYS {
        return Ok(());
    }
    Err(Jump::Unaccepted { from, to })
}

/// The day to tick to, once caught up: there is one if the wall clock has passed a midnight that the
/// decision clock has not. Before the first arrival there is none.
///
/// # Errors
/// [`Jump`].
pub fn midnight_due(now: Instant, accept_jump: bool, clock: Option<Instant>) -> Result<Option<Day>, Jump> {
    let Some(clock) = clock else { return Ok(None) };
    let today = now.day();
    if today <= clock.day() {
        return Ok(None);
    }
    if !accept_jump {
        no_jump(clock, now)?;
    }
    Ok(Some(today))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn i(text: &str) -> Instant {
        format!("{text}+08:00").parse().unwrap()
    }

    fn stamps(texts: &[&str]) -> Vec<Stamp> {
        texts.iter().map(|t| Stamp { at: i(t), ahead: false }).collect()
    }

    fn wall(now: &str) -> Rule {
        Rule::Wall { now: i(now), accept_jump: false }
    }

    fn said(steps: Result<Vec<Step>, Jump>) -> Vec<(Instant, Range<usize>)> {
        steps.unwrap().into_iter().map(|s| (s.at, s.records)).collect()
    }

    #[test]
    fn a_batch_of_one_day_is_one_decision_at_its_last_arrival() {
        let batch = stamps(&["2025-03-01T08:00:00", "2025-03-01T08:00:01", "2025-03-01T09:00:00"]);
        let steps = said(plan(wall("2025-03-01T09:00:01"), None, &batch));
        assert_eq!(steps, [(i("2025-03-01T09:00:00"), 0..3)]);
    }

    #[test]
    fn a_batch_is_cut_at_midnights() {
        let batch = stamps(&["2025-03-01T23:59:59", "2025-03-02T00:00:00", "2025-03-04T01:00:00"]);
        let steps = said(plan(wall("2025-03-05T00:00:00"), Some(i("2025-03-01T12:00:00")), &batch));
        let expected = [
            (i("2025-03-01T23:59:59"), 0..1),
            (i("2025-03-02T00:00:00"), 1..2),
            (i("2025-03-04T01:00:00"), 2..3),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn the_clock_never_goes_back() {
        let clock = i("2025-03-02T10:00:00");
        let batch = stamps(&["2025-03-01T08:00:00", "2025-03-02T09:00:00"]);
        // The wall clock was set back by an hour as well: nothing is repeated.
        let steps = said(plan(wall("2025-03-02T09:00:00"), Some(clock), &batch));
        assert_eq!(steps, [(clock, 0..2)]);
        assert_eq!(midnight_due(i("2025-03-01T23:30:00"), false, Some(i("2025-03-02T00:00:00"))), Ok(None));
    }

    #[test]
    fn an_arrival_from_2099_moves_nothing() {
        let clock = i("2025-03-01T08:00:00");
        let batch = stamps(&["2025-03-01T08:01:00", "2099-01-01T00:00:00", "2025-03-01T08:02:00"]);
        let steps = said(plan(wall("2025-03-01T08:02:00"), Some(clock), &batch));
        assert_eq!(steps, [(i("2025-03-01T08:02:00"), 0..3)]);
        // Alone, before anything else ever came: the wall clock stands in.
        let batch = stamps(&["2099-01-01T00:00:00"]);
        let steps = said(plan(wall("2025-03-01T08:02:00"), None, &batch));
        assert_eq!(steps, [(i("2025-03-01T08:02:00"), 0..1)]);
    }

    #[test]
    fn five_minutes_ahead_is_the_limit() {
        let (clock, now) = (Some(i("2025-03-01T08:00:00")), wall("2025-03-01T08:00:00"));
        let at = |t: &str| said(plan(now, clock, &stamps(&[t])))[0].0;
        assert_eq!(at("2025-03-01T08:05:00"), i("2025-03-01T08:05:00"));
        assert_eq!(at("2025-03-01T08:05:01"), i("2025-03-01T08:00:00"));
    }

    #[test]
    fn a_jump_of_more_than_35_days_waits_for_a_yes() {
        let clock = i("2025-03-01T08:00:00");
        let now = i("2025-12-31T00:00:00");
        let ok = stamps(&["2025-04-05T23:00:00"]);
        assert_eq!(plan(Rule::Wall { now, accept_jump: false }, Some(clock), &ok).unwrap().len(), 1);
        let far = stamps(&["2025-03-02T08:00:00", "2025-04-07T00:00:00"]);
        let jump = plan(Rule::Wall { now, accept_jump: false }, Some(clock), &far).unwrap_err();
        let (from, to) = (i("2025-03-02T08:00:00"), i("2025-04-07T00:00:00"));
        assert_eq!(jump, Jump::Unaccepted { from, to });
        assert_eq!(plan(Rule::Wall { now, accept_jump: true }, Some(clock), &far).unwrap().len(), 2);
        assert!(midnight_due(now, false, Some(clock)).is_err());
        assert_eq!(midnight_due(now, true, Some(clock)), Ok(Some(now.day())));
        // The very first arrival is no jump: there is no clock yet.
        assert!(plan(Rule::Wall { now, accept_jump: false }, None, &far[1..]).is_ok());
    }

    #[test]
    fn what_was_read_ahead_of_its_turn_does_not_move_the_clock() {
        let mut batch = stamps(&["2025-03-09T08:00:00", "2025-03-01T08:00:00", "2025-03-01T08:30:00"]);
        batch[0].ahead = true;
        let steps = said(plan(wall("2025-03-10T00:00:00"), None, &batch));
        assert_eq!(steps, [(i("2025-03-01T08:30:00"), 0..3)]);
        let steps = said(plan(wall("2025-03-10T00:00:00"), None, &batch[..1]));
        assert_eq!(steps, [(i("2025-03-09T08:00:00"), 0..1)], "alone it does");
    }

    #[test]
    fn a_midnight_is_due_once_the_wall_clock_has_passed_it() {
        let clock = Some(i("2025-03-01T23:59:00"));
        assert_eq!(midnight_due(i("2025-03-01T23:59:59"), false, clock), Ok(None));
        let next = i("2025-03-02T00:00:00");
        assert_eq!(midnight_due(next, false, clock), Ok(Some(next.day())));
        // The engine ticks each missed midnight up to that day once; then none is due.
        assert_eq!(midnight_due(next, false, Some(next)), Ok(None));
        assert_eq!(midnight_due(next, false, None), Ok(None), "nothing ever arrived");
    }

    #[test]
    fn a_stream_with_its_own_times_has_one_batch_for_each() {
        let batch = stamps(&["2009-03-01T08:00:00", "2009-03-01T08:00:00", "2099-03-01T08:00:00"]);
        let steps = said(plan(Rule::Arrivals, Some(i("2009-01-01T00:00:00")), &batch));
        assert_eq!(steps, [(i("2009-03-01T08:00:00"), 0..2), (i("2099-03-01T08:00:00"), 2..3)]);
        assert!(plan(Rule::Arrivals, None, &[]).unwrap().is_empty());
    }

    #[test]
    fn a_stream_does_not_jump_by_a_century() {
        let batch = stamps(&["2009-03-01T08:00:00", "2108-03-01T08:00:00", "9999-03-01T08:00:00"]);
        let (from, to) = (batch[1].at, batch[2].at);
        assert_eq!(plan(Rule::Arrivals, None, &batch).unwrap_err(), Jump::Far { from, to });
        // In service such an arrival moves nothing at all, and a stamp of no day is held before it comes here.
        let wild = [Stamp { at: Instant(1 << 62).held(), ahead: false }];
        let clock = i("2025-03-01T08:00:00");
        assert_eq!(said(plan(wall("2025-03-01T08:02:00"), Some(clock), &wild)), [(clock, 0..1)]);
    }
}
