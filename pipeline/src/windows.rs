//! The days and months of each window, seen from an as-of day (records.md section 3).

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

/// The slot of the calendar year to date.
pub(crate) const YEAR: usize = 5;

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

/// Where a window is kept. All but the shown ones share the last slot: one policy holds on a day.
pub(crate) fn slot(window: Window) -> usize {
    SHOWN.iter().position(|w| *w == window).unwrap_or(SUMMED)
}

/// A set of windows, by slot.
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

    /// Those in either.
    pub fn or(self, other: Mask) -> Mask {
        Mask(self.0 | other.0)
    }

    /// Those in one and not in the other.
    pub fn differs(self, other: Mask) -> Mask {
        Mask(self.0 ^ other.0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The windows of a day by slot: first and last day or month (as numbers), both included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Spans([Option<(i32, i32)>; KEPT]);

impl Spans {
    /// The days of the windows that are kept while this policy holds.
    pub fn of_days(policy: &Policy, as_of: Day) -> Spans {
        let span = |window| {
            let (first, last) = days(window, as_of);
            Some((first.0, last.0))
        };
        let own = Window::Rolling(policy.escalation.window_days);
        Spans(std::array::from_fn(|at| match SHOWN.get(at) {
            Some(window) => span(*window),
            None if at == LAST_YEAR => {
                let (first, last) = last_year(as_of);
                Some((first.0, last.0))
            }
            None => (slot(own) == at).then(|| span(own)).flatten(),
        }))
    }

    /// The same for decisions alone: the days of their own window, and of those that the lists look at.
    pub fn for_decisions(self, policy: &Policy) -> Spans {
        let own = slot(Window::Rolling(policy.escalation.window_days));
        Spans(std::array::from_fn(|at| self.0[at].filter(|_| at == own || LISTED.contains(&at))))
    }

    /// The months that share a day with the windows that are summed: headcounts are read from no other.
    pub fn of_months(as_of: Day) -> Spans {
        let months = |(first, last): (Day, Day)| (first.month().0, last.month().0);
        Spans(std::array::from_fn(|at| match SHOWN.get(at) {
            Some(window) => Some(months(days(*window, as_of))),
            None => (at == LAST_YEAR).then(|| months(last_year(as_of))),
        }))
    }

    /// The windows that a day or month belongs to.
    fn mask(&self, x: i32) -> Mask {
        let holds = |span: &Option<(i32, i32)>| span.is_some_and(|(first, last)| first <= x && x <= last);
        let bits = self.0.iter().enumerate().filter(|(_, span)| holds(span));
        Mask(bits.fold(0, |mask, (at, _)| mask | 1 << at))
    }

    /// The days or months that belong to other windows than before: which, before, and from now on.
    pub fn moved(&self, to: &Spans) -> Vec<(i32, Mask, Mask)> {
        let mut touched = BTreeSet::new();
        for (old, new) in self.0.iter().zip(to.0) {
            touched.extend(slide(*old, new));
        }
        let both = touched.into_iter().map(|x| (x, self.mask(x), to.mask(x)));
        both.filter(|(_, old, new)| old != new).collect()
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
            for (at, window) in SHOWN.iter().enumerate() {
                let (first, last) = days(*window, day);
                let has = |x: i32| old.mask(x).slots().any(|s| s == at);
                let around = [first.0 - 1, first.0, last.0, last.0 + 1].map(has);
                assert_eq!(around, [false, true, true, false]);
            }
            let whole = |x: i32| Day(x).date().year() == day.date().year() - 1;
            let all = day.0 - 800..day.0 + 5;
            assert!(all.clone().all(|x| old.mask(x).slots().any(|s| s == LAST_YEAR) == whole(x)));
            day = day.plus(1);
        }
    }
}
