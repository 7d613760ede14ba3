//! What a page says of single reports and days, over a few lines of a stream.

use serde_json::{Value, json};

use super::super::text;
use super::{Replayed, alerts, ask, replayed, source, town};

/// A replay of one enterprise with these reports of 5 March: source, id, day of the accident and further fields.
fn of(reports: &[(&str, &str, &str, Value)]) -> (tempfile::TempDir, Replayed) {
    let dir = tempfile::tempdir().unwrap();
    let all = std::fs::read_to_string(town()).unwrap();
    let firm = all.lines().next().unwrap().to_owned();
    let report = |(source, id, on, more): &(&str, &str, &str, Value)| {
        let at = "2025-03-05T09:00:00+08:00";
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
