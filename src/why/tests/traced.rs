//! What a stranger could not trace: hosts, numbers that end, reports that came and went, the count of the year.

use std::sync::Arc;

use serde_json::{Value, json};
use tocsin_schemas::codes::{Change, Rule};
use tocsin_schemas::log::NewRecord;
use tocsin_schemas::records::Alert;
use tocsin_schemas::topics;

use super::super::{Args, source as opened, text};
use super::{Replayed, alerts, ask, replayed, source, write};

const FIRM: &str = "91330784XX00000190";
const HOST: &str = "91330784XX000006X3";

/// An arrival: topic, instant (day and hour) of March 2025 and value.
type Line = (String, String, Value);

fn at(day_hour: (u8, u8)) -> String {
    let (day, hour) = day_hour;
    format!("2025-03-{day:02}T{hour:02}:00:00+08:00")
}

fn firm(uscc: &str, when: (u8, u8)) -> Line {
    let value = json!({"uscc": uscc, "version": 1, "name": format!("厂{}", &uscc[16..]), "area": "330784001",
        "industry": "3312", "valid_from": "2020-01-01", "status": "active"});
    ("registry.enterprises".to_owned(), at(when), value)
}

/// Of an accident of 4 March; `more` says otherwise.
fn report(source: &str, id: &str, version: u64, when: (u8, u8), more: Value) -> Line {
    let mut value = json!({"source": source, "source_record_id": id, "version": version, "status": "reported",
        "occurred_on": "2025-03-04", "reported_at": at(when), "uscc": FIRM, "cause": "01"});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (format!("reports.{source}"), at(when), value)
}

fn person(n: u8) -> Value {
    json!({"person_key": format!("{n:02}").repeat(32)})
}

fn with(mut one: Value, more: Value) -> Value {
    one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    one
}

fn played(lines: &[Line]) -> (tempfile::TempDir, Replayed) {
    let dir = tempfile::tempdir().unwrap();
    let line =
        |(topic, at, value): &Line| json!({"topic": topic, "arrived_at": at, "value": value}).to_string();
    let stream = dir.path().join("stream.jsonl");
    std::fs::write(&stream, lines.iter().map(line).collect::<Vec<_>>().join("\n")).unwrap();
    let replayed = replayed(&stream, None);
    (dir, replayed)
}

fn page(of: &Replayed, id: &str) -> String {
    text::of(&ask(&source(of), id).unwrap())
}

fn owners(of: &Replayed) -> Vec<Alert> {
    alerts(&source(of)).into_iter().filter(|a| a.rule == Rule::OwnerIncident).collect()
}

/// Only the staffing firm is the incident's enterprise, but the host's owner was told as well.
#[test]
fn the_page_of_a_host_has_what_its_owner_was_told() {
    let hosted = with(person(1), json!({"host_uscc": HOST}));
    let own = with(person(2), json!({"occurred_on": "2025-03-05", "uscc": HOST}));
    let (_dir, town) = played(&[
        firm(FIRM, (1, 8)),
        firm(HOST, (1, 8)),
        report("hr", "0", 1, (5, 9), own),
        report("hr", "1", 1, (5, 10), hosted),
        // What stands on the day at the staffing firm belongs to it: the number goes with it.
        report("health", "2", 1, (5, 9), json!({})),
    ]);
    let told = owners(&town).into_iter().find(|a| a.audiences.len() == 2).unwrap();
    let page = page(&town, HOST);
    assert!(page.contains(&format!("ALERT {}: incident {} new", told.alert_id, told.subject)), "{page}");
    assert!(page.contains(&format!("incident {}: 2025-03-04 at {FIRM}, 1 person", told.subject)), "{page}");
    let year = format!(
        "count of the year for the owner of {HOST}: 2; counted incidents of every category from 2025-01-01 to 2025-03-05:"
    );
    assert!(
        page.contains(&format!("{year} 000000")) && page.contains(" of 2025-03-04 as the host"),
        "{page}"
    );
    assert!(!page.contains("DOES NOT ADD UP") && !page.contains("without a number"), "{page}");
}

/// Reports of a place, some of them without a key of a person: each that comes joins them otherwise, so numbers begin and
/// end.
fn renumbered() -> (tempfile::TempDir, Replayed) {
    let other = with(person(32), json!({"cause": "09", "occurred_time": "14:30"}));
    played(&[
        firm(FIRM, (1, 8)),
        report("employer", "32", 1, (4, 10), other.clone()),
        report("emergency", "32", 1, (4, 11), json!({})),
        report("health", "33", 1, (4, 14), person(33)),
        report("emergency", "34", 1, (4, 16), json!({})),
        report("emergency", "33", 1, (4, 18), json!({})),
        report("employer", "34", 1, (5, 18), person(34)),
        report("hr", "32", 1, (5, 18), with(other, json!({"lost_days": 38}))),
        report("hr", "34", 1, (6, 10), person(34)),
        report("hr", "33", 1, (6, 14), person(33)),
    ])
}

#[test]
fn a_message_stands_on_its_own_number_and_names_the_others_of_its_reports() {
    let (_dir, town) = renumbered();
    let own = owners(&town);
    assert!(own.iter().filter(|a| a.change == Change::Corrected).count() > 1, "{own:?}");
    for alert in &own {
        let page = page(&town, &alert.alert_id);
        let (_, stood_on) = page.split_once("as known ").unwrap();
        let first = stood_on.lines().nth(1).unwrap().trim();
        assert!(first.starts_with(&format!("incident {}: ", alert.subject)), "{}: {page}", alert.subject);
        // Whatever stood beside what a correction took back has the number that it had then.
        if alert.change == Change::Corrected {
            let until = |line: &&str| !line.trim().starts_with("What the decision found");
            let beside = stood_on.lines().take_while(until);
            for line in beside.filter_map(|line| line.split_once("not one with incident ")) {
                let number = &line.1[..9];
                let known = own.iter().any(|a| a.subject == number && a.decided_at < alert.decided_at);
                assert!(known, "{number} was nobody's yet: {page}");
            }
        }
        let other = |a: &&Alert| {
            a.subject != alert.subject
                && a.decided_at <= alert.decided_at
                && a.reports.iter().any(|key| alert.reports.contains(key))
        };
        for other in own.iter().filter(other) {
            let line = format!("{} alert {}: incident {} ", other.decided_at, other.alert_id, other.subject);
            assert!(page.contains(&line), "{line}: {page}");
        }
    }
}

#[test]
fn what_came_with_the_cause_and_moved_nothing_is_not_named_as_one() {
    let (_dir, town) = renumbered();
    let at = at((5, 18));
    let brought = |a: &Alert| {
        let page = page(&town, &a.alert_id);
        let (_, brought) = page.split_once("What brought it about\n").unwrap();
        brought.split("\n\n").next().unwrap().to_owned()
    };
    let corrected = |a: &&Alert| a.change == Change::Corrected && a.decided_at.to_string() == at;
    let all: Vec<String> = owners(&town).iter().filter(corrected).map(brought).collect();
    assert!(!all.is_empty(), "{:?}", owners(&town));
    for brought in all {
        assert!(brought.contains("employer/34 version 1") && !brought.contains("hr/32"), "{brought}");
    }
}

#[test]
fn a_report_that_came_and_went_stands_in_what_came_since() {
    let moved = with(person(1), json!({"uscc": HOST}));
    let (_dir, town) = played(&[
        firm(FIRM, (1, 8)),
        firm(HOST, (1, 8)),
        report("employer", "1", 1, (5, 9), person(1)),
        report("hr", "2", 1, (6, 9), person(1)),
        report("hr", "2", 2, (7, 9), with(person(1), json!({"status": "withdrawn"}))),
        report("health", "3", 1, (8, 9), person(1)),
        report("health", "3", 2, (9, 9), with(moved, json!({"occurred_on": "2025-02-20"}))),
    ]);
    let first = owners(&town).remove(0);
    let page = page(&town, &first.alert_id);
    let (_, since) = page.split_once("What came since\n").unwrap();
    for line in [
        "report hr/2 version 1, status reported: accepted",
        "report hr/2 version 2, status withdrawn: accepted; status reported -> withdrawn",
        "report health/3 version 1, status reported",
        "report health/3 version 2, status reported: accepted; occurred_on 2025-03-04 -> 2025-02-20",
    ] {
        assert!(since.contains(line), "{line}: {page}");
    }
}

#[test]
fn a_first_message_names_the_registration_that_made_it_count() {
    let (_dir, town) = played(&[report("hr", "1", 1, (5, 9), person(1)), firm(FIRM, (10, 8))]);
    let first = owners(&town).remove(0);
    let page = page(&town, &first.alert_id);
    let line = format!("What brought it about\n  {} register: {FIRM} version 1 ", at((10, 8)));
    assert!(page.contains(&line), "{page}");
}

/// The log of a replay holds the policy that decided, as a service's does.
#[test]
fn what_was_decided_is_checked_after_another_policy_was_published() {
    let (_dir, town) = played(&[firm(FIRM, (1, 8)), report("hr", "1", 1, (5, 9), person(1))]);
    let first = owners(&town).remove(0);
    let (topic, key) = (Arc::from(topics::POLICY), b"2020-11-20".to_vec());
    let value = Some(b"[[policy]]\neffective_from = \"2020-11-20\"\nescalation.blue = 1\n".to_vec());
    let log = source(&town).log;
    log.writer("test").unwrap().append(&[NewRecord { topic, key, value, stamp: None, route: None }]).unwrap();
    drop(log);
    let config = town.dir.path().join("tocsin.toml");
    let written =
        "[log]\nkind = \"embedded\"\npath = \"kept.db\"\n[alerts.webhook]\nurl = \"http://127.0.0.1:9/\"\n";
    std::fs::write(&config, written).unwrap();
    let args = Args {
        id: first.alert_id.clone(),
        config: Some(config),
        log_file: None,
        policy: None,
        policy_from: None,
        deep: false,
        json: false,
    };
    let source = opened(&args).unwrap();
    assert_ne!(**source.policies.hash(), *first.policy_hash, "the published one is in force");
    let answer = ask(&source, &first.alert_id).unwrap();
    assert!(answer.verdict().is_ok(), "{}", text::of(&answer));
}

/// Whoever is told "3 this year" can count them, and a count that the records do not give is not passed over.
#[test]
fn the_count_of_the_year_is_listed_and_held_against_the_records() {
    let on = |n: u8, day: &str| with(person(n), json!({"occurred_on": day}));
    let (_dir, town) = played(&[
        firm(FIRM, (1, 8)),
        report("hr", "1", 1, (1, 9), on(1, "2024-12-30")),
        report("hr", "2", 1, (2, 9), on(2, "2025-01-05")),
        report("hr", "3", 1, (3, 9), with(on(3, "2025-02-05"), json!({"category": "commuting"}))),
        report("hr", "4", 1, (5, 9), person(4)),
    ]);
    let last = owners(&town).pop().unwrap();
    let shown = page(&town, &last.alert_id);
    let line = format!(
        "count of the year for the owner of {FIRM}: 3; counted incidents of every category from 2025-01-01 to 2025-03-05: "
    );
    let (_, days) = shown.split_once(&line).unwrap_or_else(|| panic!("{shown}"));
    let days: Vec<&str> = days.lines().next().unwrap().split(", ").map(|one| &one[13..]).collect();
    assert_eq!(days, ["2025-01-05", "2025-02-05", "2025-03-04"]);
    assert!(shown.contains("count of the year, reports and audience come out again"), "{shown}");
    for (wrong, field) in
        [(1, "year_to_date: said 4; the records give 3"), (0, "area: said 330784002; the records")]
    {
        let mut forged = last.clone();
        forged.alert_id = "CD"[wrong..=wrong].repeat(26);
        match wrong {
            1 => forged.audiences[0].year_to_date = Some(4),
            _ => forged.facts.area = Some("330784002".into()),
        }
        write(&source(&town), &[forged.clone()]);
        let shown = page(&town, &forged.alert_id);
        assert!(shown.contains("IT DOES NOT ADD UP") && shown.contains(field), "{field}: {shown}");
    }
    // One less could be, if a report came to be read late. Then the page says what it assumes.
    let mut fewer = last;
    fewer.alert_id = "E".repeat(26);
    fewer.audiences[0].year_to_date = Some(2);
    write(&source(&town), &[fewer.clone()]);
    let shown = page(&town, &fewer.alert_id);
    assert!(shown.contains("only follows if it was taken in later"), "{shown}");
    assert!(
        shown.contains("yes, if records were taken in as assumed under \"The order of arrival\": "),
        "{shown}"
    );
}

#[test]
fn two_of_one_day_say_why_they_are_not_one() {
    let two = |first: Value, second: Value| {
        let (_dir, town) = played(&[
            firm(FIRM, (1, 8)),
            report("hr", "1", 1, (5, 9), with(person(1), first)),
            report("hr", "2", 1, (5, 9), with(person(2), second)),
        ]);
        let page = page(&town, FIRM);
        let lines = page.lines().filter(|line| line.contains("not one with incident")).map(str::trim);
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.first().and_then(|line| Some(line.split_once("number of the event, and ")?.1.to_owned()))
    };
    let time = |time: &str| json!({"occurred_time": time});
    let both = "both have the cause 01 物体打击, but ";
    assert_eq!(two(time("08:00"), time("09:35")), Some(format!("{both}95 minutes apart (limit 30)")));
    let missing = format!("{both}a time is not given (at most 30 minutes apart would be one)");
    assert_eq!(two(time("08:00"), json!({})), Some(missing));
    let causes = "their causes differ (01 物体打击, 04 起重伤害)".to_owned();
    assert_eq!(two(time("08:00"), with(time("08:00"), json!({"cause": "04"}))), Some(causes));
    assert_eq!(two(json!({"cause": null}), json!({})), Some("a cause is not given".to_owned()));
    assert_eq!(two(time("08:00"), time("08:30")), None);
}

/// Of two records of one version the one that stands is told apart from one that merely came later.
#[test]
fn the_version_that_won_a_conflict_says_so() {
    let version =
        |post: &str, hour: u8| report("hr", "1", 1, (5, hour), with(person(1), json!({"post": post})));
    let pages = [["车工", "钳工"], ["钳工", "车工"]].map(|[first, second]| {
        let (_dir, town) = played(&[firm(FIRM, (1, 8)), version(first, 9), version(second, 10)]);
        let told = owners(&town).remove(0);
        page(&town, &told.subject)
    });
    let won = "another record has this version too (conflict): the greater digest stands, and says the same to every rule";
    assert_eq!(pages.iter().filter(|page| page.contains(won)).count(), 1, "{pages:#?}");
    assert_eq!(pages.iter().filter(|page| page.contains("conflict     arrived")).count(), 1, "{pages:#?}");
}
