//! `[alerts.quiet]`: hours, and the table of holidays. The table that is built in is `deploy/holidays.toml`.

use std::path::Path;

use serde::Deserialize;
use tocsin_alerts::calendar::{Calendar, Holidays, Hours, is_weekend};
use tocsin_schemas::time::Day;

use super::file::Quiet;

/// The table that is built in.
const BUILT_IN: &str = include_str!("../../deploy/holidays.toml");
/// A row with more days off than this is a slip: the longest ever had nine.
const LONGEST: i32 = 15;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    year: Vec<Year>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Year {
    year: i16,
    /// Where it was announced: whoever doubts the table must be able to look it up.
    source: String,
    holiday: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    from: Day,
    to: Day,
    #[serde(default)]
    workdays: Vec<Day>,
}

/// The calendar that the section says.
///
/// # Errors
/// One line: the file, and what is wrong with it.
pub fn calendar(quiet: &Quiet, base: &Path) -> Result<Calendar, String> {
    if !quiet.enabled {
        return Ok(Calendar::always_open());
    }
    let holidays = match quiet.holidays.as_ref().map(|path| base.join(path)) {
        None => parse(BUILT_IN),
        Some(path) => {
            let text = std::fs::read_to_string(&path)
                .map_err(|e| format!("[alerts.quiet] holidays: cannot read {}: {e}", path.display()))?;
            parse(&text).map_err(|e| format!("[alerts.quiet] holidays: {}: {e}", path.display()))
        }
    }?;
    let hours = Hours { quiet_from: quiet.from, quiet_to: quiet.to, office_from: quiet.workday_from };
    Ok(Calendar::new(hours, holidays))
}

fn parse(text: &str) -> Result<Holidays, String> {
    let table: Table = toml::from_str(text).map_err(|e| super::toml_line(text, &e))?;
    let mut holidays = Holidays::new();
    for year in table.year {
        let wrong = |name: &str, what: String| format!("year {}, {name}: {what}", year.year);
        if year.source.trim().is_empty() {
            return Err(wrong("source", "expected the notice that announced it, found nothing".to_owned()));
        }
        if holidays.years().any(|known| known == year.year) {
            return Err(wrong("year", "stands twice".to_owned()));
        }
        holidays.add_year(year.year);
        for row in &year.holiday {
            let wrong = |what: String| wrong(&row.name, what);
            check(year.year, row).map_err(wrong)?;
            for days in 0..=row.to.0 - row.from.0 {
                holidays.add(row.from.plus(days), false).map_err(wrong)?;
            }
            for day in &row.workdays {
                holidays.add(*day, true).map_err(wrong)?;
            }
        }
    }
    Ok(holidays)
}

fn check(year: i16, row: &Row) -> Result<(), String> {
    let days = row.to.0 - row.from.0 + 1;
    if !(1..=LONGEST).contains(&days) {
        return Err(format!("expected 1 to {LONGEST} days, found {} to {}", row.from, row.to));
    }
    // New Year may begin in the year before, and be made up there.
    let strange = [row.from, row.to].into_iter().chain(row.workdays.iter().copied());
    if let Some(day) = strange.into_iter().find(|day| !(year - 1..=year).contains(&day.year())) {
        return Err(format!("expected days of {year}, found {day}"));
    }
    match row.workdays.iter().find(|day| !is_weekend(**day)) {
        Some(day) => Err(format!("{day} is a workday anyway: only Saturdays and Sundays are made up")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The days off and made up of a month, from the words of the notices, written out here once more by hand.
    #[test]
    fn the_table_that_is_built_in_says_what_the_notices_say() {
        let holidays = parse(BUILT_IN).unwrap();
        assert_eq!(holidays.years().collect::<Vec<_>>(), [2025, 2026]);
        let calendar = Calendar::new(Hours::default(), holidays);
        // All weekdays off and all weekend days of work.
        let unusual = |year: i16| -> (Vec<String>, Vec<String>) {
            let first = Day::new(year, 1, 1).unwrap();
            let days: Vec<Day> = (0..365).map(|d| first.plus(d)).collect();
            let text = |d: &Day| d.to_string()[5..].to_owned();
            let off =
                days.iter().filter(|d| !calendar.is_workday(**d) && !is_weekend(**d)).map(text).collect();
            let work =
                days.iter().filter(|d| calendar.is_workday(**d) && is_weekend(**d)).map(text).collect();
            (off, work)
        };
        let (off, work) = unusual(2025);
        assert_eq!(work, ["01-26", "02-08", "04-27", "09-28", "10-11"]);
        let expected = "01-01 01-28 01-29 01-30 01-31 02-03 02-04 04-04 05-01 05-02 05-05 06-02 \
                        10-01 10-02 10-03 10-06 10-07 10-08";
        assert_eq!(off.join(" "), expected);
        let (off, work) = unusual(2026);
        assert_eq!(work, ["01-04", "02-14", "02-28", "05-09", "09-20", "10-10"]);
        let expected = "01-01 01-02 02-16 02-17 02-18 02-19 02-20 02-23 04-06 05-01 05-04 05-05 06-19 09-25 \
                        10-01 10-02 10-05 10-06 10-07";
        assert_eq!(off.join(" "), expected);
    }

    #[test]
    fn a_slip_in_the_table_is_named() {
        let year = |rows: &str| format!("[[year]]\nyear = 2027\nsource = \"s\"\nholiday = [{rows}]\n");
        let row = |from: &str, to: &str, workdays: &str| {
            year(&format!("{{ name = \"春节\", from = \"{from}\", to = \"{to}\", workdays = [{workdays}] }}"))
        };
        let twice = format!("{}{}", year(""), year(""));
        for (text, said) in [
            (row("2027-02-05", "2027-02-04", ""), "year 2027, 春节: expected 1 to 15 days"),
            (row("2027-02-05", "2027-03-05", ""), "expected 1 to 15 days"),
            (row("2072-02-05", "2072-02-06", ""), "expected days of 2027, found 2072-02-05"),
            (row("2027-02-05", "2027-02-11", "\"2027-02-12\""), "2027-02-12 is a workday anyway"),
            (row("2027-02-05", "2027-02-11", "\"2027-02-06\""), "both a holiday and a make-up workday"),
            (twice, "stands twice"),
            ("[[year]]\nyear = 2027\nsource = \"\"\nholiday = []\n".to_owned(), "source"),
            ("[[year]]\nyear = 2027\nsources = \"\"\n".to_owned(), "line 3"),
            (row("2027-02-30", "2027-02-11", ""), "line 4"),
        ] {
            let found = parse(&text).unwrap_err();
            assert!(found.contains(said) && !found.contains('\n'), "{text}: {found}");
        }
    }
}
