//! The days and months of each window, seen from an as-of day (records.md section 3).
//!
//! A rolling window loses a day and gains one at each midnight. A calendar window loses all its days at once when it
//! turns, and each incident on them would be a change. So a day is not told its calendar windows: it bears a *mark* that
//! it has come, for two years, and another that its day of the same name a year later has, and those move by a day at each
//! midnight too. Which calendar windows that makes is read with the [`Calendar`]; what is made of sums when it turns, [`Turn`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tocsin_schemas::records::Window;
use tocsin_schemas::time::Day;

use crate::policy::Policy;

/// The windows whose rates are published, in the order of their slots.
pub(crate) const SHOWN: [Window; 7] = [
    Window::Rolling(30),
    Window::Rolling(90),
    Window::Rolling(365),
    Window::Month,
    Window::Quarter,
    Window::Year,
    Window::YearAgo,
];

/// The slots of the calendar month and quarter to date.
const MONTH: usize = 3;
const QUARTER: usize = 4;

/// The slot of the calendar year to date.
pub(crate) const YEAR: usize = 5;

/// The slot of the year before it, up to the day of the same name.
const YEAR_AGO: usize = 6;

/// The slot of the whole calendar year before this one: not published as a rate, but its list is kept up to date
/// until it is frozen (S11, S13).
pub(crate) const LAST_YEAR: usize = SHOWN.len();

/// The slots that lists look at: 365 days for the model of all enterprises, this year and the last.
const LISTED: [usize; 3] = [2, YEAR, LAST_YEAR];

/// How many windows have headcounts and sums: those that are shown, and last year.
pub(crate) const SUMMED: usize = SHOWN.len() + 1;

/// Those that decide whether an enterprise has rows at all (records.md section 5): `365d`, `year`, `year_ago`.
pub(crate) const MEMBERSHIP: [usize; 3] = [2, 5, 6];

/// How many windows are kept: those that are summed, and the policy's own where it is none of them.
pub(crate) const KEPT: usize = SUMMED + 1;

/// The mark of a day that has come, for as long as it may be in the last year.
const COME: usize = YEAR;

/// The mark of a day whose day of the same name a year later has come, for as long as it may be in the last year.
const AGAIN: usize = YEAR_AGO;

/// The longest two years in a row, and the longest year, in days.
const YEARS: i32 = 731;
const LONG_YEAR: i32 = 366;

/// No day is so late.
const NEVER: i32 = i32::MAX;

/// Where a window is kept. All but the shown ones share the last slot: one policy holds on a day.
pub(crate) fn slot(window: Window) -> usize {
    SHOWN.iter().position(|w| *w == window).unwrap_or(SUMMED)
}

/// A set of windows, by slot; or of marks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Mask(u16);

impl Mask {
    /// The slots in it.
    pub fn slots(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let slot = left.trailing_zeros() as usize;
            // Clears the lowest bit.
            left &= left.wrapping_sub(1);
            (slot < u16::BITS as usize).then_some(slot)
        })
    }

    /// Whether a slot is in it.
    fn holds(self, slot: usize) -> bool {
        self.0 >> slot & 1 == 1
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The marks or windows of days or months, by slot: the first and the last, as numbers, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Spans([Option<(i32, i32)>; KEPT]);

impl Spans {
    /// The marks of days while this policy holds: its own window, the rolling ones that are shown, and for those of the
    /// calendar that days have come, and again.
    pub fn of_days(policy: &Policy, as_of: Day) -> Spans {
        let span = |window| {
            let (first, last) = days(window, as_of);
            Some((first.0, last.0))
        };
        let again = days(Window::YearAgo, as_of).1.0;
        let own = Window::Rolling(policy.escalation.window_days);
        Spans(std::array::from_fn(|at| match SHOWN.get(at) {
            Some(window @ Window::Rolling(_)) => span(*window),
            _ if at == COME => Some((as_of.0 + 1 - YEARS, as_of.0)),
            _ if at == AGAIN => Some((again + 1 - LONG_YEAR, again)),
            _ => (slot(own) == at).then(|| span(own)).flatten(),
        }))
    }

    /// The same for decisions alone: the days of their own window, and of those that the lists look at.
    pub fn for_decisions(self, policy: &Policy) -> Spans {
        let own = slot(Window::Rolling(policy.escalation.window_days));
        Spans(std::array::from_fn(|at| self.0[at].filter(|_| at == own || LISTED.contains(&at))))
    }

    /// The months that share a day with the windows that are summed: headcounts are read from no other.
    fn of_months(as_of: Day) -> Spans {
        let months = |(first, last): (Day, Day)| (first.month().0, last.month().0);
        Spans(std::array::from_fn(|at| match SHOWN.get(at) {
            Some(window) => Some(months(days(*window, as_of))),
            None => (at == LAST_YEAR).then(|| months(last_year(as_of))),
        }))
    }

    /// First and last of a slot.
    pub fn of(&self, slot: usize) -> Option<(i32, i32)> {
        self.0[slot]
    }

    /// The marks of a day.
    fn mask(&self, x: i32) -> Mask {
        let holds = |span: &Option<(i32, i32)>| span.is_some_and(|(first, last)| first <= x && x <= last);
        let bits = self.0.iter().enumerate().filter(|(_, span)| holds(span));
        Mask(bits.fold(0, |mask, (at, _)| mask | 1 << at))
    }

    /// The days that bear other marks than before: which, before, and from now on.
    pub fn moved(&self, to: &Spans) -> Vec<(i32, Mask, Mask)> {
        let mut touched = BTreeSet::new();
        for (old, new) in self.0.iter().zip(to.0) {
            touched.extend(slide(*old, new));
        }
        let both = touched.into_iter().map(|x| (x, self.mask(x), to.mask(x)));
        both.filter(|(_, old, new)| old != new).collect()
    }
}

/// What a day makes of marks and months.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Calendar {
    /// Where the windows of the calendar begin, as numbers of days.
    month: i32,
    quarter: i32,
    year: i32,
    last_year: i32,
    /// The months that share a day with each window that is summed.
    pub months: Spans,
}

/// Before the first day: no day and no month is in any window.
impl Default for Calendar {
    fn default() -> Calendar {
        Calendar { month: NEVER, quarter: NEVER, year: NEVER, last_year: NEVER, months: Spans::default() }
    }
}

impl Calendar {
    /// That of a day.
    pub fn of(as_of: Day) -> Calendar {
        let first = |window| days(window, as_of).0.0;
        Calendar {
            month: first(Window::Month),
            quarter: first(Window::Quarter),
            year: first(Window::Year),
            last_year: last_year(as_of).0.0,
            months: Spans::of_months(as_of),
        }
    }

    /// The same for decisions alone: months and quarters are nobody's.
    pub fn for_decisions(self, policy: &Policy) -> Calendar {
        Calendar { month: NEVER, quarter: NEVER, months: self.months.for_decisions(policy), ..self }
    }

    /// The windows of a day that bears these marks.
    pub fn windows(&self, day: Day, marks: Mask) -> Mask {
        let (come, again) = (marks.holds(COME), marks.holds(AGAIN));
        let calendar = [
            (MONTH, come && day.0 >= self.month),
            (QUARTER, come && day.0 >= self.quarter),
            (YEAR, come && day.0 >= self.year),
            (YEAR_AGO, again && day.0 >= self.last_year),
            (LAST_YEAR, come && (self.last_year..self.year).contains(&day.0)),
        ];
        let rolling = marks.0 & !(1 << COME | 1 << AGAIN);
        Mask(calendar.into_iter().fold(rolling, |all, (slot, holds)| all | u16::from(holds) << slot))
    }
}

/// From the calendar of one day to that of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    from: Calendar,
    to: Calendar,
}

impl Turn {
    /// From one to the other.
    pub fn new(from: Calendar, to: Calendar) -> Turn {
        Turn { from, to }
    }

    /// Before and after.
    pub fn sides(&self) -> [Calendar; 2] {
        [self.from, self.to]
    }

    /// The windows that a month enters or leaves. Those that begin anew are among them.
    pub fn months(&self) -> impl Iterator<Item = usize> {
        (0..SUMMED).filter(|slot| self.from.months.of(*slot) != self.to.months.of(*slot))
    }

    /// Whether a window begins anew.
    pub fn begins(&self) -> bool {
        let first = |of: &Calendar| (of.month, of.quarter, of.year);
        first(&self.from) != first(&self.to)
    }

    /// Of what was in each window up to the day before, what is in it still: this year becomes the last one, whatever
    /// else begins anew has nothing yet.
    pub fn apply<T: Copy + Default, const N: usize>(&self, windows: &mut [T; N]) {
        let Turn { from, to } = self;
        if from.month != to.month {
            windows[MONTH] = T::default();
        }
        if from.quarter != to.quarter {
            windows[QUARTER] = T::default();
        }
        if from.year != to.year {
            let this = std::mem::take(&mut windows[YEAR]);
            windows[LAST_YEAR] = if from.year == to.last_year { this } else { T::default() };
            windows[YEAR_AGO] = T::default();
        }
    }
}

/// First and last day of a window, both included.
pub(crate) fn days(window: Window, as_of: Day) -> (Day, Day) {
    let date = as_of.date();
    let first_of = |month: i8| Day::new(date.year(), month, 1).unwrap_or(as_of);
    match window {
        Window::Rolling(n) => (as_of.plus(1 - i32::from(n)), as_of),
        Window::Month => (first_of(date.month()), as_of),
        Window::Quarter => (first_of((date.month() - 1) / 3 * 3 + 1), as_of),
        Window::Year => (first_of(1), as_of),
        Window::YearAgo => {
            let year = date.year() - 1;
            // Only 29 February has no day of the same name a year earlier.
            let last = Day::new(year, date.month(), date.day()).or_else(|| Day::new(year, 2, 28));
            (Day::new(year, 1, 1).unwrap_or(as_of), last.unwrap_or(as_of))
        }
    }
}

/// First and last day of the calendar year before that of the as-of day, both included.
pub(crate) fn last_year(as_of: Day) -> (Day, Day) {
    let year = as_of.date().year();
    let first_of = |year| Day::new(year, 1, 1).unwrap_or(as_of);
    (first_of(year - 1), first_of(year).plus(-1))
}

/// What enters or leaves when a span moves.
fn slide(old: Option<(i32, i32)>, new: Option<(i32, i32)>) -> impl Iterator<Item = i32> {
    let all = |span: Option<(i32, i32)>| span.into_iter().flat_map(|(first, last)| first..=last);
    let outside = |span: Option<(i32, i32)>| {
        move |x: &i32| !span.is_some_and(|(first, last)| first <= *x && *x <= last)
    };
    all(old).filter(outside(new)).chain(all(new).filter(outside(old)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(window: Window, as_of: &str) -> (String, String) {
        let (a, b) = days(window, as_of.parse().unwrap());
        (a.to_string(), b.to_string())
    }

    #[test]
    fn each_window_on_a_leap_day() {
        let on = |w| span(w, "2024-02-29");
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(on(Window::Rolling(30)), pair("2024-01-31", "2024-02-29"));
        assert_eq!(on(Window::Rolling(365)), pair("2023-03-02", "2024-02-29"));
        assert_eq!(on(Window::Month), pair("2024-02-01", "2024-02-29"));
        assert_eq!(on(Window::Quarter), pair("2024-01-01", "2024-02-29"));
        assert_eq!(on(Window::Year), pair("2024-01-01", "2024-02-29"));
        assert_eq!(on(Window::YearAgo), pair("2023-01-01", "2023-02-28"));
        assert_eq!(span(Window::Quarter, "2025-12-31").0, "2025-10-01");
    }

    #[test]
    fn what_moves_at_a_midnight_is_what_each_window_says() {
        let long = "[[policy]]\neffective_from='2020-11-20'\nescalation.window_days=400\n";
        let policies = [crate::policy::Policies::default(), crate::policy::Policies::parse(long).unwrap()];
        let mut day: Day = "2023-12-20".parse().unwrap();
        for n in 0..90 {
            // The policy's own window comes and goes.
            let (today, tomorrow) = (policies[n / 7 % 2].on(day), policies[(n + 1) / 7 % 2].on(day.plus(1)));
            let (old, new) = (Spans::of_days(today, day), Spans::of_days(tomorrow, day.plus(1)));
            let moved = old.moved(&new);
            for x in day.0 - 800..day.0 + 5 {
                let told = moved.iter().find(|(y, ..)| *y == x).map(|(_, a, b)| (*a, *b));
                let holds = |spans: &Spans| spans.mask(x);
                assert_eq!(told.is_some(), holds(&old) != holds(&new));
                assert_eq!(told.unwrap_or((holds(&old), holds(&old))), (holds(&old), holds(&new)));
            }
            assert!(moved.len() <= 8 || n % 7 == 6, "{day}: {}", moved.len());
            day = day.plus(1);
        }
    }

    fn marks(as_of: Day) -> Spans {
        Spans::of_days(crate::policy::Policies::default().on(as_of), as_of)
    }

    /// The windows of a day as they are read from its marks.
    fn read(as_of: Day, x: i32) -> Mask {
        Calendar::of(as_of).windows(Day(x), marks(as_of).mask(x))
    }

    #[test]
    fn marks_and_calendar_say_the_days_of_each_window() {
        for first in ["2023-12-20", "2024-02-25", "2024-12-28", "2025-02-25"] {
            let first: Day = first.parse().unwrap();
            for as_of in (0..100).map(|n| first.plus(n)) {
                let spans = SHOWN.iter().map(|window| days(*window, as_of)).chain([last_year(as_of)]);
                let spans: Vec<(Day, Day)> = spans.collect();
                for x in as_of.0 - 1200..as_of.0 + 5 {
                    let windows = read(as_of, x);
                    for (slot, (first, last)) in spans.iter().enumerate() {
                        assert_eq!(
                            windows.holds(slot),
                            (first.0..=last.0).contains(&x),
                            "{slot} {x} {as_of}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_turn_is_what_days_that_move_no_mark_do() {
        let mut day: Day = "2023-12-20".parse().unwrap();
        for _ in 0..800 {
            let next = day.plus(1);
            let moved = marks(day).moved(&marks(next));
            let count = |as_of: Day, x: i32, counts: &mut [i32; KEPT]| {
                read(as_of, x).slots().for_each(|slot| counts[slot] += 1 + x % 7);
            };
            let (mut before, mut after) = ([0; KEPT], [0; KEPT]);
            for x in day.0 - 1200..day.0 + 5 {
                count(day, x, &mut before);
                count(next, x, &mut after);
            }
            let calendar = Calendar::of(next);
            Turn::new(Calendar::of(day), calendar).apply(&mut before);
            for (x, old, new) in moved {
                calendar.windows(Day(x), old).slots().for_each(|slot| before[slot] -= 1 + x % 7);
                calendar.windows(Day(x), new).slots().for_each(|slot| before[slot] += 1 + x % 7);
            }
            assert_eq!(before, after, "{next}");
            day = next;
        }
    }
}
