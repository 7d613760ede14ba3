//! What a page says of single reports and days, over a few lines of a stream.

use serde_json::{Value, json};
use tocsin_schemas::codes::Rule;

use super::super::text;
use super::{Replayed, alerts, ask, replayed, source, town};

/// A report: source, id, day of the accident and further fields.
type Line<'a> = (&'a str, &'a str, &'a str, Value);

/// A replay of one enterprise with these reports of 5 March.
fn of(reports: &[Line<'_>]) -> (tempfile::TempDir, Replayed) {
    let reports: Vec<_> = reports.iter().map(|line| ("2025-03-05", line.clone())).collect();
    arriving(&reports)
}

/// A replay of one enterprise with these reports, each at nine o'clock of its day.
fn arriving(reports: &[(&str, Line<'_>)]) -> (tempfile::TempDir, Replayed) {
    let dir = tempfile::tempdir().unwrap();
    let all = std::fs::read_to_string(town()).unwrap();
    let firm = all.lines().next().unwrap().to_owned();
    let report = |(day, (source, id, on, more)): &(&str, Line<'_>)| {
        let at = format!("{day}T09:00:00+08:00");
        let mut value = json!({"source": source, "source_record_id": id, "version": 1, "status": "reported",
            "occurred_on": on, "reported_at": at, "uscc": "91330784XX00000190"});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"topic": format!("reports.{source}"), "arrived_at": at, "value": value}).to_string()
    };
    let lines: Vec<String> = [firm].into_iter().chain(reports.iter().map(report)).collect();
    let stream = dir.path().join("stream.jsonl");
    std::fs::write(&stream, lines.join("\n")).unwrap();
    let replayed = replayed(&stream, None);
    (dir, replayed)
}

/// The page of the enterprise.
fn page(of: &Replayed) -> String {
    text::of(&ask(&source(of), "91330784XX00000190").unwrap())
}

#[test]
fn of_reports_without_a_key_one_begins_the_case_and_the_others_join_it() {
    let on = "2025-03-04";
    let (_dir, replayed) = of(&[("hr", "1", on, json!({})), ("health", "2", on, json!({}))]);
    let page = page(&replayed);
    for line in [
        "report hr/1 has no key of a person and found no case to join: it began this one",
        "report health/2 has no key of a person: joined the first case of its enterprise and day that had no report of its \
         source",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
}

/// An office may give the day after, as clocks and shifts have it.
#[test]
fn an_accident_of_the_day_after_is_not_said_to_lie_minus_one_day_back() {
    let (_dir, replayed) = of(&[("hr", "1", "2025-03-06", json!({"person_key": "24".repeat(32)}))]);
    let source = source(&replayed);
    let page = text::of(&ask(&source, &alerts(&source)[0].alert_id).unwrap());
    assert!(page.contains("T09:00:00+08:00, 1 day before the day that it gives; limit 90 days"), "{page}");
}

#[test]
fn before_the_policy_begins_the_page_says_that_nothing_is_opened() {
    let firm = "91330784XX00000190";
    let said = |begins: &str| {
        let replayed = replayed(&town(), Some(begins.parse().unwrap()));
        let page = text::of(&ask(&source(&replayed), firm).unwrap());
        page.contains(&format!("the policy begins on {begins}: nothing is opened before"))
    };
    assert_eq!((said("2026-01-01"), said("2025-06-02")), (true, false));
}

/// One of the enterprise's persons.
fn person(n: u32) -> Value {
    json!({"person_key": format!("{n:02}").repeat(32)})
}

/// The same with more fields.
fn with(person: Value, more: &Value) -> Value {
    let mut all = person;
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

/// The pages of the enterprise's warnings, in their order.
fn warnings(of: &Replayed) -> Vec<String> {
    let source = source(of);
    let all = alerts(&source).into_iter().filter(|alert| alert.rule == Rule::Escalation);
    all.map(|alert| text::of(&ask(&source, &alert.alert_id).unwrap())).collect()
}

/// Three of March; one of them is taken back, and comes again; and a fourth, in which somebody dies.
#[test]
fn a_warning_names_what_made_it_worse_and_what_became_of_what_left() {
    let hr = |day, id, on, more| (day, ("hr", id, on, more));
    let again = |version: u32, status: &str| with(person(11), &json!({"version": version, "status": status}));
    let (_dir, replayed) = arriving(&[
        hr("2025-03-05", "1", "2025-03-04", person(11)),
        hr("2025-03-05", "2", "2025-03-03", person(12)),
        hr("2025-03-05", "3", "2025-03-02", person(13)),
        hr("2025-03-06", "1", "2025-03-04", again(2, "withdrawn")),
        hr("2025-03-07", "1", "2025-03-04", again(3, "recognised")),
        hr("2025-03-08", "4", "2025-03-06", with(person(14), &json!({"died_on": "2025-03-06"}))),
    ]);
    let pages = warnings(&replayed);
    let [_, eased, _, red] = pages.as_slice() else { panic!("{pages:#?}") };
    let (_, left) = eased.split_once("Counted in it, and all its reports were withdrawn\n").unwrap();
    let left: Vec<&str> = left.lines().take(4).map(str::trim).collect();
    assert_eq!(left[..2], ["incident 000000018", "report hr/1 was withdrawn"], "{eased}");
    assert!(left[2].starts_with("version 1 reported     was replaced arrived 2025-03-05T"), "{eased}");
    assert!(left[3].starts_with("version 2 withdrawn    stands       arrived 2025-03-06T"), "{eased}");
    let (_, since) = eased.split_once("What came since\n").unwrap();
    let came = "2025-03-07T09:00:00+08:00 report hr/1 version 3, status recognised: accepted; status withdrawn -> recognised";
    assert!(since.contains(came), "{eased}");
    for line in [
        "severe or fatal: incident 000000042\n",
        "new: incident 000000042, 2025-03-06, fatal: hr/4 says that the person died\n",
    ] {
        assert!(red.contains(line), "{line}: {red}");
    }
}

#[test]
fn what_the_door_left_out_of_a_report_is_named() {
    let slips = json!({"lost_days": -5, "cause": "hammer"});
    let (_dir, replayed) = of(&[("hr", "1", "2025-03-04", with(person(11), &slips))]);
    let page = page(&replayed);
    let line = "left out at the door, so not given: cause hammer (not_in_list), lost_days -5 (negative)";
    assert!(page.contains(line), "{page}");
    let none = "minor (no report gives lost days or a grade; none says that the person died)";
    assert!(page.contains(none), "{page}");
}

/// Its incident is read as another enterprise's from a day on: it left the warning by a registration, and not by its age.
#[test]
fn a_warning_that_falls_because_of_the_register_names_the_registration() {
    let dir = tempfile::tempdir().unwrap();
    let all = std::fs::read_to_string(town()).unwrap();
    let firms: Vec<Value> = all.lines().take(3).map(|line| serde_json::from_str(line).unwrap()).collect();
    let code = |n: usize| firms[n]["value"]["uscc"].as_str().unwrap().to_owned();
    let later = |n: usize, day: &str, more: &Value| {
        let mut line = firms[n].clone();
        line["arrived_at"] = json!(format!("{day}T08:00:00+08:00"));
        line["value"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let hurt = json!({"topic": "reports.hr", "arrived_at": "2025-03-05T09:00:00+08:00", "value": {"source": "hr",
        "source_record_id": "1", "version": 1, "status": "reported", "occurred_on": "2025-03-04",
        "reported_at": "2025-03-05T09:00:00+08:00", "uscc": code(0), "person_key": "11".repeat(32),
        "died_on": "2025-03-04"}});
    let lines = [
        later(0, "2025-03-01", &json!({})),
        later(1, "2025-03-01", &json!({"successor_of": code(0)})),
        hurt,
        later(1, "2025-06-01", &json!({"version": 2, "valid_from": "2025-07-01"})),
        later(2, "2025-07-02", &json!({})),
    ];
    let stream = dir.path().join("stream.jsonl");
    std::fs::write(&stream, lines.map(|line| line.to_string()).join("\n")).unwrap();
    let replayed = replayed(&stream, None);
    let pages = warnings(&replayed);
    let is_closed = |page: &&String| page.lines().next().is_some_and(|line| line.contains(" closed"));
    let closed = pages.iter().find(is_closed).unwrap_or_else(|| panic!("{pages:#?}"));
    let (_, brought) = closed.split_once("What brought it about\n").unwrap();
    let first = brought.lines().next().unwrap().trim();
    let registered = format!("2025-06-01T08:00:00+08:00 register: {} version 2 ", code(1));
    assert!(first.starts_with(&registered), "{closed}");
    assert!(closed.contains("is another enterprise's now, or read as another's"), "{closed}");
}
