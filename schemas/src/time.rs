//! Days, months, times of day and instants, all in the one time zone of the contract: Asia/Shanghai.
//!
//! They are small integers so that the engine can hold millions; their text forms are those of the
//! public contract (`YYYY-MM-DD`, `YYYY-MM`, `HH:MM`, RFC 3339 with offset).

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// The zone of every day and every printed instant.
pub static ZONE: LazyLock<TimeZone> =
    LazyLock::new(|| TimeZone::get("Asia/Shanghai").expect("jiff carries its own time zone database"));

/// A text that is not a day, month, time or instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct TimeError {
    /// The form that was wanted.
    pub expected: &'static str,
    /// What came instead.
    pub found: String,
}

fn wrong(expected: &'static str, found: &str) -> TimeError {
    TimeError { expected, found: found.chars().take(64).collect() }
}

/// A calendar day in Asia/Shanghai, as days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

const EPOCH: Date = jiff::civil::date(1970, 1, 1);

impl Day {
    /// The day `year-month-day`, if there is one.
    pub fn new(year: i16, month: i8, day: i8) -> Option<Day> {
        Date::new(year, month, day).ok().map(Day::from_date)
    }
    /// From a calendar date.
    pub fn from_date(date: Date) -> Day {
        Day((date - EPOCH).get_days())
    }
    /// As a calendar date. Days beyond the calendar of jiff (years -9999 to 9999) are held at its ends.
    pub fn date(self) -> Date {
        let date = Span::new().try_days(self.0).and_then(|days| EPOCH.checked_add(days));
        date.unwrap_or(if self.0 < 0 { Date::MIN } else { Date::MAX })
    }
    /// The month that holds this day.
    pub fn month(self) -> Month {
        let date = self.date();
        Month(i32::from(date.year()) * 12 + i32::from(date.month()) - 1)
    }
    /// The calendar year.
    pub fn year(self) -> i16 {
        self.date().year()
    }
    /// This day moved by a number of days.
    #[must_use]
    pub fn plus(self, days: i32) -> Day {
        Day(self.0.saturating_add(days))
    }
    /// The instant at which this day begins in Asia/Shanghai.
    pub fn midnight(self) -> Instant {
        self.date()
            .to_zoned(ZONE.clone())
            .map_or(Instant(i64::MAX), |z| Instant(z.timestamp().as_millisecond()))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date();
        if date.year() < 0 {
            return write!(f, "{date}");
        }
        f.write_str(std::str::from_utf8(&digits_of(date)).unwrap_or_default())
    }
}

fn two_digits(into: &mut [u8], n: i64) {
    into[0] = b'0' + (n / 10 % 10) as u8;
    into[1] = b'0' + (n % 10) as u8;
}

/// `YYYY-MM-DD` of a year from 0 on.
fn digits_of(date: Date) -> [u8; 10] {
    let mut text = *b"0000-00-00";
    let year = i64::from(date.year());
    two_digits(&mut text[0..], year / 100);
    two_digits(&mut text[2..], year);
    two_digits(&mut text[5..], i64::from(date.month()));
    two_digits(&mut text[8..], i64::from(date.day()));
    text
}

impl FromStr for Day {
    type Err = TimeError;
    /// Exactly `YYYY-MM-DD`.
    fn from_str(s: &str) -> Result<Day, TimeError> {
        let err = || wrong("a day YYYY-MM-DD", s);
        let b = s.as_bytes();
        let digits = |r: std::ops::Range<usize>| b[r].iter().all(u8::is_ascii_digit);
        if b.len() != 10 || b[4] != b'-' || b[7] != b'-' || !digits(0..4) || !digits(5..7) || !digits(8..10) {
            return Err(err());
        }
        let n = |r: std::ops::Range<usize>| s[r].parse::<i16>().map_err(|_| err());
        let (y, m, d) = (n(0..4)?, n(5..7)?, n(8..10)?);
        Day::new(y, m as i8, d as i8).ok_or_else(|| wrong("a day that the calendar has", s))
    }
}

/// A calendar month, as months since year 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(pub i32);

impl Month {
    /// The month's first day.
    pub fn first_day(self) -> Day {
        let (y, m) = (self.0.div_euclid(12), self.0.rem_euclid(12) + 1);
        Day::new(y as i16, m as i8, 1).unwrap_or(Day(i32::MAX))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

impl FromStr for Month {
    type Err = TimeError;
    /// Exactly `YYYY-MM`.
    fn from_str(s: &str) -> Result<Month, TimeError> {
        if s.len() != 7 || !s.is_ascii() {
            return Err(wrong("a month YYYY-MM", s));
        }
        format!("{s}-01").parse::<Day>().map(Day::month).map_err(|_| wrong("a month YYYY-MM", s))
    }
}

/// A local time of day, in minutes since midnight (0..1440).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(pub u16);

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl FromStr for TimeOfDay {
    type Err = TimeError;
    /// Exactly `HH:MM`, 00:00 to 23:59.
    fn from_str(s: &str) -> Result<TimeOfDay, TimeError> {
        let err = || wrong("a time of day HH:MM", s);
        let b = s.as_bytes();
        if b.len() != 5 || b[2] != b':' || ![0, 1, 3, 4].iter().all(|&i| b[i].is_ascii_digit()) {
            return Err(err());
        }
        let (h, m) = (
            u16::from(b[0] - b'0') * 10 + u16::from(b[1] - b'0'),
            u16::from(b[3] - b'0') * 10 + u16::from(b[4] - b'0'),
        );
        if h < 24 && m < 60 { Ok(TimeOfDay(h * 60 + m)) } else { Err(err()) }
    }
}

/// An instant, in milliseconds since 1970-01-01T00:00:00Z. Printed with the offset of Asia/Shanghai.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub i64);

/// Since 1992 (UTC) Asia/Shanghai is 8 hours ahead of UTC without a change; before, there was summer time.
/// Every record passes here, so the years of plain arithmetic do not ask the time zone database.
const EIGHT_HOURS_SINCE: i64 = 694_224_000_000;
const EIGHT_HOURS: i64 = 8 * 3_600_000;
const DAY_MILLIS: i64 = 86_400_000;
/// The last millisecond of the calendar of jiff, year 9999.
const LAST_MILLI: i64 = 253_402_207_200_999;

impl Instant {
    fn eight_hours_ahead(self) -> Option<i64> {
        (EIGHT_HOURS_SINCE..=LAST_MILLI).contains(&self.0).then(|| self.0 + EIGHT_HOURS)
    }
    /// The local day in Asia/Shanghai.
    pub fn day(self) -> Day {
        if let Some(local) = self.eight_hours_ahead() {
            return Day((local / DAY_MILLIS) as i32);
        }
        let beyond = Day(if self.0 < 0 { i32::MIN } else { i32::MAX });
        Timestamp::from_millisecond(self.0)
            .map_or(beyond, |t| Day::from_date(t.to_zoned(ZONE.clone()).date()))
    }
    /// Held between 1970 and the end of the calendar. A log stamps a record with whatever number its writer
    /// gave; one outside has no day and no text, so nothing could be decided on it or said of it.
    #[must_use]
    pub fn held(self) -> Instant {
        Instant(self.0.clamp(0, LAST_MILLI))
    }
    /// This instant moved by a number of milliseconds.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Instant {
        Instant(self.0.saturating_add(millis))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(local) = self.eight_hours_ahead() {
            let (seconds, millis) = (local % DAY_MILLIS / 1000, local % 1000);
            let mut text = *b"0000-00-00T00:00:00.000";
            text[..10].copy_from_slice(&digits_of(Day((local / DAY_MILLIS) as i32).date()));
            two_digits(&mut text[11..], seconds / 3600);
            two_digits(&mut text[14..], seconds / 60 % 60);
            two_digits(&mut text[17..], seconds % 60);
            text[20] += (millis / 100) as u8;
            two_digits(&mut text[21..], millis);
            // No more digits of the fraction than there are.
            let digits = match (millis % 1000, millis % 100, millis % 10) {
                (0, _, _) => 19,
                (_, 0, _) => 21,
                (_, _, 0) => 22,
                _ => 23,
            };
            f.write_str(std::str::from_utf8(&text[..digits]).unwrap_or_default())?;
            return f.write_str("+08:00");
        }
        match Timestamp::from_millisecond(self.0) {
            Ok(t) => {
                let z = t.to_zoned(ZONE.clone());
                write!(f, "{}", z.timestamp().display_with_offset(z.offset()))
            }
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl FromStr for Instant {
    type Err = TimeError;
    /// RFC 3339 with an offset or `Z`. Parts of a millisecond are dropped.
    fn from_str(s: &str) -> Result<Instant, TimeError> {
        let err = || wrong("an instant, RFC 3339 with offset", s);
        let b = s.as_bytes();
        // jiff reads more forms than RFC 3339 allows; hold it to the one of the contract.
        if b.len() < 20
            || !matches!(b[10], b'T' | b't')
            || b[4] != b'-'
            || b[13] != b':'
            || b[16] != b':'
            || s.contains('[')
        {
            return Err(err());
        }
        let offset_ok = matches!(b[b.len() - 1], b'Z' | b'z')
            || (b.len() >= 25 && matches!(b[b.len() - 6], b'+' | b'-') && b[b.len() - 3] == b':');
        if !offset_ok {
            return Err(err());
        }
        s.parse::<Timestamp>().map(|t| Instant(t.as_millisecond())).map_err(|_| err())
    }
}

macro_rules! as_text {
    ($($t:ty),*) => {$(
        impl Serialize for $t {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_str(crate::codes::FromText(std::marker::PhantomData))
            }
        }
    )*};
}
as_text!(Day, Month, TimeOfDay, Instant);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_a_round_trip() {
        for text in ["1990-01-01", "2024-02-29", "2026-11-23"] {
            assert_eq!(text.parse::<Day>().unwrap().to_string(), text);
        }
        assert_eq!("2009-06".parse::<Month>().unwrap().to_string(), "2009-06");
        assert_eq!("23:59".parse::<TimeOfDay>().unwrap().to_string(), "23:59");
        let i: Instant = "2025-03-01T08:00:00+08:00".parse().unwrap();
        assert_eq!(i.to_string(), "2025-03-01T08:00:00+08:00");
        assert_eq!("2025-03-01T00:00:00Z".parse::<Instant>().unwrap(), i);
    }

    #[test]
    fn what_is_no_day_or_instant_is_refused() {
        for text in ["2023-02-29", "2023-2-9", "20230209", "2023-02-09T00:00", "", "二〇二三"] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
        for text in ["2025-03-01", "2025-03-01T08:00:00", "2025-03-01 08:00:00+08:00", "2025-03-01T25:00:00Z"]
        {
            assert!(text.parse::<Instant>().is_err(), "{text}");
        }
        assert!("24:00".parse::<TimeOfDay>().is_err());
    }

    #[test]
    fn a_day_begins_at_midnight_in_shanghai() {
        let day: Day = "2025-03-01".parse().unwrap();
        assert_eq!(day.midnight().to_string(), "2025-03-01T00:00:00+08:00");
        assert_eq!(day.midnight().day(), day);
        assert_eq!(day.midnight().plus_millis(-1).day(), day.plus(-1));
        assert_eq!(day.month().first_day(), day);
    }

    #[test]
    fn what_lies_outside_the_calendar_is_held_at_its_ends() {
        assert_eq!(Day(i32::MAX).date(), Date::MAX);
        assert_eq!(Day(i32::MIN).date(), Date::MIN);
        assert!(Instant(i64::MIN).day() < Day(0) && Instant(i64::MAX).day() > Day(0));
        for wild in [i64::MIN, -1, 1 << 62, i64::MAX] {
            let held = Instant(wild).held();
            assert_eq!(held.to_string().parse::<Instant>().unwrap(), held, "{wild}");
            assert_eq!(held.day().to_string().parse::<Day>().unwrap(), held.day(), "{wild}");
        }
        assert_eq!(Instant(1_740_787_200_000).held(), Instant(1_740_787_200_000));
    }

    /// The quick way and the time zone database agree, on both sides of the border and at both ends.
    #[test]
    fn plain_arithmetic_agrees_with_the_time_zone_database() {
        let step = 86_400_000 * 31 + 12_345_678;
        let years = (-2_100_000_000_000i64..5_000_000_000_000).step_by(step);
        let borders = [EIGHT_HOURS_SINCE, LAST_MILLI, 684_900_000_000, 0].into_iter();
        let fractions = (0..1000).map(|millis| 1_740_787_200_000 + millis);
        for millis in borders.flat_map(|b| [b - 1, b, b + 1, b - b % 1000]).chain(years).chain(fractions) {
            let Ok(stamp) = Timestamp::from_millisecond(millis) else { continue };
            let zoned = stamp.to_zoned(ZONE.clone());
            let instant = Instant(millis);
            assert_eq!(instant.day().date(), zoned.date(), "{millis}");
            assert_eq!(
                instant.to_string(),
                zoned.timestamp().display_with_offset(zoned.offset()).to_string()
            );
            assert_eq!(instant.day().to_string(), zoned.date().to_string());
            let whole = Instant(millis - millis.rem_euclid(1000));
            assert_eq!(whole.to_string().parse::<Instant>().unwrap(), whole);
        }
    }
}
