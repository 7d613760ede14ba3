//! When people may be rung: quiet hours, and the days on which offices work. Pure; the instant is an input.
//!
//! Hours are local (Asia/Shanghai), days are those of the statutory calendar: Monday to Friday, but for the holidays
//! and the make-up workdays (调休) of a table that is loaded yearly. A year without a table goes by its weekdays, and
//! [`Calendar::warning`] says so.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Weekday;
use tocsin_schemas::time::{Day, Instant, TimeOfDay};

const MINUTE: i64 = 60_000;
/// The most days without a workday that are looked through: more than any table may hold.
const LONGEST_BREAK: i32 = 400;

/// The hours that a house keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Quiet from this minute on.
    pub quiet_from: TimeOfDay,
    /// Until this minute, of the next day where it is not later; the same as `quiet_from`: no quiet hours.
    pub quiet_to: TimeOfDay,
    /// When offices begin to read on a workday.
    pub office_from: TimeOfDay,
}

impl Default for Hours {
    /// 21:00 to 08:00 (people.md 5.2), and 08:30 (5.1, the township's day).
    fn default() -> Hours {
        Hours {
            quiet_from: TimeOfDay(21 * 60),
            quiet_to: TimeOfDay(8 * 60),
            office_from: TimeOfDay(8 * 60 + 30),
        }
    }
}

/// What differs from Monday to Friday, by years.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holidays {
    /// Whether work is done on a day that has a rule of its own.
    days: BTreeMap<Day, bool>,
    years: BTreeSet<i16>,
}

impl Holidays {
    /// No year is known.
    pub fn new() -> Holidays {
        Holidays::default()
    }

    /// From now on this year counts as known, whatever stands in it.
    pub fn add_year(&mut self, year: i16) {
        self.years.insert(year);
    }

    /// A day off, or one on which work is made up.
    ///
    /// # Errors
    /// The day has the other rule already; nothing is changed.
    pub fn add(&mut self, day: Day, work: bool) -> Result<(), String> {
        if self.days.get(&day).is_some_and(|known| *known != work) {
            return Err(format!("{day} is both a holiday and a make-up workday"));
        }
        self.days.insert(day, work);
        Ok(())
    }

    /// The years that are known, in order.
    pub fn years(&self) -> impl Iterator<Item = i16> + '_ {
        self.years.iter().copied()
    }
}

/// When people may be rung.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Calendar {
    hours: Option<Hours>,
    holidays: Holidays,
}

impl Calendar {
    /// Nothing is ever held: for a demonstration or a replay, whose clock runs as it likes.
    pub fn always_open() -> Calendar {
        Calendar::default()
    }

    /// With these hours and this table.
    pub fn new(hours: Hours, holidays: Holidays) -> Calendar {
        Calendar { hours: Some(hours), holidays }
    }

    /// Whether this instant lies in the quiet hours. Their first minute does, the one at which they end does not.
    pub fn is_quiet(&self, at: Instant) -> bool {
        self.quiet_since(at).is_some()
    }

    /// When the quiet hours began that this instant lies in.
    pub fn quiet_since(&self, at: Instant) -> Option<Instant> {
        let Hours { quiet_from: from, quiet_to: to, .. } = self.hours?;
        let (today, minute) = (at.day(), minute_of(at));
        let began = match from <= to {
            true => (from <= minute && minute < to).then_some(today),
            false if minute >= from => Some(today),
            false => (minute < to).then(|| today.plus(-1)),
        };
        began.map(|day| instant(day, from))
    }

    /// The first instant from this one on that is not in the quiet hours.
    pub fn next_open(&self, at: Instant) -> Instant {
        let (Some(hours), Some(began)) = (self.hours, self.quiet_since(at)) else { return at };
        let overnight = i32::from(hours.quiet_to <= hours.quiet_from);
        instant(began.day().plus(overnight), hours.quiet_to)
    }

    /// Whether offices work on this day.
    pub fn is_workday(&self, day: Day) -> bool {
        self.holidays.days.get(&day).copied().unwrap_or_else(|| !is_weekend(day))
    }

    /// The first instant from this one on at which offices may be reading: on a workday, not before they begin. (They
    /// never end here; the quiet hours do that.)
    pub fn next_office(&self, at: Instant) -> Instant {
        let (today, Some(hours)) = (at.day(), self.hours) else { return at };
        if self.is_workday(today) {
            return at.max(instant(today, hours.office_from));
        }
        let next = (1..LONGEST_BREAK).map(|days| today.plus(days)).find(|day| self.is_workday(*day));
        next.map_or(at, |day| instant(day, hours.office_from))
    }

    /// The first instant after this one at which offices begin; where no hours are kept, the next midnight.
    pub fn next_morning(&self, at: Instant) -> Instant {
        let today = self.next_office(at.day().midnight());
        if at < today { today } else { self.next_office(at.day().plus(1).midnight()) }
    }

    /// What an operator should know of the table on this day: that the year has none, or from December on the next.
    pub fn warning(&self, today: Day) -> Option<String> {
        self.hours?;
        let year = today.year();
        let soon = (today.date().month() == 12).then_some(year + 1);
        let missing = [Some(year), soon].into_iter().flatten().find(|y| !self.holidays.years.contains(y))?;
        Some(format!(
            "the table of holidays has no year {missing}: its weekdays count as workdays, its weekends do not; add what \
             the State Council announced ([alerts.quiet] holidays, docs/quiet-hours.md)"
        ))
    }
}

/// Whether it is a Saturday or Sunday.
pub fn is_weekend(day: Day) -> bool {
    matches!(day.date().weekday(), Weekday::Saturday | Weekday::Sunday)
}

fn minute_of(at: Instant) -> TimeOfDay {
    let minutes = (at.0 - at.day().midnight().0).div_euclid(MINUTE).clamp(0, 24 * 60 - 1);
    TimeOfDay(minutes as u16)
}

fn instant(day: Day, minute: TimeOfDay) -> Instant {
    day.midnight().plus_millis(i64::from(minute.0) * MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        format!("{text}:00+08:00").parse().unwrap()
    }
    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }
    fn hours(from: &str, to: &str) -> Calendar {
        let (quiet_from, quiet_to) = (from.parse().unwrap(), to.parse().unwrap());
        Calendar::new(Hours { quiet_from, quiet_to, ..Hours::default() }, Holidays::new())
    }

    #[test]
    fn the_night_is_quiet_from_nine_to_eight_and_opens_at_eight() {
        let calendar = Calendar::new(Hours::default(), Holidays::new());
        for (now, since, opens) in [
            ("2026-11-26T20:59", None, "2026-11-26T20:59"),
            ("2026-11-26T21:00", Some("2026-11-26T21:00"), "2026-11-27T08:00"),
            ("2026-12-31T23:59", Some("2026-12-31T21:00"), "2027-01-01T08:00"),
            ("2027-01-01T00:00", Some("2026-12-31T21:00"), "2027-01-01T08:00"),
            ("2026-11-26T07:59", Some("2026-11-25T21:00"), "2026-11-26T08:00"),
            ("2026-11-26T08:00", None, "2026-11-26T08:00"),
        ] {
            assert_eq!(calendar.quiet_since(at(now)), since.map(at), "{now}");
            assert_eq!(calendar.next_open(at(now)), at(opens), "{now}");
        }
    }

    /// Every minute of two days, by the words of the rule, for hours over midnight and within a day, and for none.
    #[test]
    fn each_minute_of_a_day_is_quiet_as_the_two_times_say() {
        for (from, to) in [(21 * 60, 8 * 60), (60, 5 * 60), (0, 1), (23 * 60 + 59, 0), (9 * 60, 9 * 60)] {
            let text = |m: i32| TimeOfDay(m as u16).to_string();
            let calendar = hours(&text(from), &text(to));
            let first = day("2026-03-01").midnight();
            for minute in 0..2880 {
                let now = first.plus_millis(i64::from(minute) * MINUTE + 59_999);
                let of_day = minute % 1440;
                let quiet =
                    if from <= to { (from..to).contains(&of_day) } else { of_day >= from || of_day < to };
                assert_eq!(calendar.is_quiet(now), quiet, "{from}-{to} at {minute}");
                let opens = calendar.next_open(now);
                assert!(!calendar.is_quiet(opens) && opens >= now && (quiet || opens == now));
                assert!(
                    calendar.is_quiet(opens.plus_millis(-1)) || opens == now,
                    "not later than it must be"
                );
            }
        }
    }

    #[test]
    fn holidays_and_made_up_days_come_before_weekdays() {
        let mut holidays = Holidays::new();
        holidays.add_year(2026);
        for off in 1..=7 {
            holidays.add(Day::new(2026, 10, off).unwrap(), false).unwrap();
        }
        holidays.add(day("2026-10-10"), true).unwrap();
        assert!(holidays.add(day("2026-10-10"), false).unwrap_err().contains("2026-10-10"));
        let calendar = Calendar::new(Hours::default(), holidays);
        for (date, work) in [
            ("2026-09-30", true),
            ("2026-10-01", false),
            ("2026-10-07", false),
            ("2026-10-08", true),
            ("2026-10-10", true),
            ("2026-10-11", false),
            ("2027-10-01", true),
        ] {
            assert_eq!(calendar.is_workday(day(date)), work, "{date}");
        }
        assert_eq!(calendar.next_office(at("2026-10-01T09:00")), at("2026-10-08T08:30"));
        assert_eq!(calendar.next_office(at("2026-10-10T09:00")), at("2026-10-10T09:00"));
        assert_eq!(calendar.next_office(at("2026-10-12T08:10")), at("2026-10-12T08:30"));
        assert_eq!(calendar.next_office(at("2026-10-11T00:00")), at("2026-10-12T08:30"));
        assert_eq!(calendar.warning(day("2026-11-30")), None);
        assert!(calendar.warning(day("2026-12-01")).unwrap().contains("2027"));
        assert!(calendar.warning(day("2025-12-31")).unwrap().contains("2025"));
    }

    #[test]
    fn without_hours_nothing_is_ever_held() {
        let open = Calendar::always_open();
        for now in ["2026-11-26T03:00", "2026-10-03T12:00"] {
            assert_eq!((open.next_open(at(now)), open.next_office(at(now))), (at(now), at(now)));
        }
        assert_eq!(open.warning(day("1999-01-01")), None);
    }
}
