//! The days and months of each window, seen from an as-of day (records.md section 3).

use tocsin_schemas::records::Window;
use tocsin_schemas::time::Day;

use crate::policy::Policy;

/// The windows whose rates are published. More are filled in by naming them here.
pub(crate) const PUBLISHED: &[Window] = &[Window::Rolling(365)];

/// The windows that decide whether an enterprise has rows at all (records.md section 5).
pub(crate) const MEMBERSHIP: &[Window] = &[Window::Rolling(365), Window::Year, Window::YearAgo];

/// Every window that is kept while this policy holds.
pub(crate) fn kept(policy: &Policy) -> Vec<Window> {
    let mut all = [PUBLISHED, MEMBERSHIP, &[Window::Rolling(policy.escalation.window_days)]].concat();
    all.sort();
    all.dedup();
    all
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

/// What enters (+1) and leaves (-1) when a span of days or months moves. Both ends are included.
pub(crate) fn slide(old: Option<(i32, i32)>, new: Option<(i32, i32)>, mut change: impl FnMut(i32, isize)) {
    let holds = |span: Option<(i32, i32)>, x: i32| span.is_some_and(|(a, b)| a <= x && x <= b);
    let all = |span: Option<(i32, i32)>| span.into_iter().flat_map(|(a, b)| a..=b);
    all(old).filter(|x| !holds(new, *x)).for_each(|x| change(x, -1));
    all(new).filter(|x| !holds(old, *x)).for_each(|x| change(x, 1));
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
}
