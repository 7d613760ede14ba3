//! The report: what one source says about one injured person.

use super::check::Checker;
use super::{Door, Fields, OLDEST_DAY, RefusalReason};
use crate::codes::{Category, Problem, Source};
use crate::records::{Record, Report};
use crate::time::Day;

pub(super) struct Names;

impl Fields for Names {
    const NAMES: &'static [&'static str] = &[
        "source",
        "source_record_id",
        "version",
        "status",
        "category",
        "occurred_on",
        "occurred_time",
        "reported_at",
        "uscc",
        "employer_name",
        "host_uscc",
        "person_key",
        "incident_no",
        "cause",
        "post",
        "process",
        "equipment",
        "note",
        "lost_days",
        "disability_grade",
        "died_on",
    ];
}

const MAX_ID_CHARACTERS: usize = 64;

pub(super) fn check(c: &mut Checker, door: &Door) -> Option<Record> {
    let not_in_list = |_: &str| Problem::NotInList;
    let source = source(c, door);
    let source_record_id = c.text_that("source_record_id", "1 to 64 characters", |id| {
        id.len() <= MAX_ID_CHARACTERS || id.chars().count() <= MAX_ID_CHARACTERS
    });
    let version = c.version();
    let status = c.parsed("status", "a status of the contract");
    // A default makes it optional: an injury of an unknown kind counts as one at work, and is flagged.
    let category = c.optional_parsed("category", not_in_list).unwrap_or(Category::Production);
    let occurred_on = occurred_on(c, door);
    let occurred_time = c.optional_time("occurred_time");
    let reported_at = c.parsed("reported_at", "an instant, RFC 3339 with offset");
    let uscc = c.optional_uscc("uscc");
    let employer_name = c.optional_text("employer_name");
    let host_uscc = c.optional_uscc("host_uscc");
    let person_key = c.optional_parsed("person_key", |key| match key.chars().count() {
        64 => Problem::WrongAlphabet,
        _ => Problem::WrongLength,
    });
    let incident_no = c.optional_text("incident_no");
    let cause = c.optional_parsed("cause", not_in_list);
    let post = c.optional_text("post");
    let process = c.optional_text("process");
    let equipment = c.optional_text("equipment");
    let note = c.optional_text("note");
    let lost_days = c.optional_count("lost_days", 0, u32::MAX);
    let disability_grade = c.optional_count("disability_grade", 1, 10).map(|grade| grade as u8);
    let died_on = c.optional_time("died_on");
    Some(Record::Report(Report {
        source: source?,
        source_record_id: source_record_id?,
        version: version?,
        status: status?,
        category,
        occurred_on: occurred_on?,
        occurred_time,
        reported_at: reported_at?,
        uscc,
        employer_name,
        host_uscc,
        person_key,
        incident_no,
        cause,
        post,
        process,
        equipment,
        note,
        lost_days,
        disability_grade,
        died_on,
    }))
}

/// The source, which must be the one whose topic this is.
fn source(c: &mut Checker, door: &Door) -> Option<Source> {
    let source: Source = c.parsed("source", "a source of the contract")?;
    if Some(source) == door.topic.source {
        return Some(source);
    }
    let detail = format!("source: {} carries its own source only, found {source}", door.topic.name);
    c.refuse(RefusalReason::BadCode("source"), detail);
    None
}

/// The day of the accident: not later than the day after the arrival (clocks differ), not before 1990.
fn occurred_on(c: &mut Checker, door: &Door) -> Option<Day> {
    let day: Day = c.parsed("occurred_on", "a day YYYY-MM-DD")?;
    let latest = door.arrived_at.day().plus(1);
    if day > latest {
        let detail = format!("occurred_on: expected {latest} at the latest, found {day}");
        c.refuse(RefusalReason::OccurredAfterArrival, detail);
        return None;
    }
    if day < OLDEST_DAY {
        let detail = format!("occurred_on: expected {OLDEST_DAY} at the earliest, found {day}");
        c.refuse(RefusalReason::OccurredTooOld, detail);
        return None;
    }
    Some(day)
}
