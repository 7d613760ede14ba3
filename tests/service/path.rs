//! A report goes in, the right people are told once.

use std::time::Duration;

use tocsin_schemas::codes::{Change, Rule};

use crate::house::{AT, DAY, FIRM, House, until};

#[test]
fn a_report_rings_the_owners_phone_once_and_a_restart_says_nothing() {
    let house = House::embedded().started();
    let run = house.run_caught_up(&[]);
    house.report("a", DAY, AT);
    until("the owner is told", || house.gateway.calls().len() == 1);
    let call = &house.gateway.calls()[0];
    assert_eq!(call["to"], format!("owner-{FIRM}"));
    assert_eq!(call["role"], "owner");
    assert!(call["text"].as_str().unwrap().chars().count() <= 70, "{call}");
    let alerts = house.alerts();
    assert_eq!(alerts.len(), 1);
    assert_eq!((alerts[0].rule, alerts[0].change), (Rule::OwnerIncident, Change::New));
    assert!(!call["idempotency_key"].as_str().unwrap().is_empty());
    assert_eq!(run.stop(), Some(0));

    // Again, twice: nothing is said, and the progress is that of before.
    let before = house.progress().unwrap();
    for _ in 0..2 {
        let run = house.run_caught_up(&[]);
        assert_eq!(run.stop(), Some(0));
    }
    assert_eq!(house.alerts(), alerts);
    assert_eq!(house.gateway.calls().len(), 1);
    assert_eq!(house.progress().unwrap(), before);
    assert_eq!(before.counters.arrived(), 2 + 3 + 1);

    // And what comes after a restart is decided on what was before it.
    let run = house.run_caught_up(&[]);
    house.report("b", DAY, Some("2025-03-01T08:30:00+08:00"));
    until("the township is told as well", || house.gateway.calls().len() == 3);
    assert_eq!(run.stop(), Some(0));
    let mut said = house.said();
    said.sort();
    assert_eq!(said, ["escalation new", "owner_incident new", "owner_incident new"]);
}

#[test]
fn the_same_twice_and_an_old_version_say_nothing_more() {
    let house = House::embedded().started();
    let run = house.run_caught_up(&[]);
    house.report("a", DAY, AT);
    house.report("a", DAY, AT);
    until("both are counted", || house.progress().unwrap().counters.duplicates == 1);
    assert_eq!(house.said(), ["owner_incident new"]);
    assert_eq!(run.stop(), Some(0));
}

#[test]
fn the_halves_run_in_two_processes() {
    let house = House::embedded().started();
    let pipeline = house.run_caught_up(&["--only", "pipeline"]);
    house.report("a", DAY, AT);
    until("it is decided", || house.alerts().len() == 1);
    assert_eq!(house.gateway.calls().len(), 0);
    let alerts = house.run(&["--only", "alerts"]);
    until("the owner is told", || house.gateway.calls().len() == 1);
    assert_eq!(alerts.stop(), Some(0));
    assert_eq!(pipeline.stop(), Some(0));
}

#[test]
fn a_stream_with_its_own_times_is_decided_to_its_end() {
    let house = House::embedded();
    let at = |day: &str| format!("{day}T08:00:00+08:00");
    house.register(Some("2009-01-01T08:00:00+08:00"));
    for (id, day) in [("a", "2021-03-01"), ("b", "2021-03-02"), ("c", "2023-03-01")] {
        house.report(id, day, Some(&at(day)));
    }
    let mut run = house.run(&["--only", "pipeline", "--clock", "arrivals", "--until-end"]);
    assert_eq!(run.ends_within(Duration::from_secs(20)), Some(0), "{}", run.said());
    let mut days: Vec<String> =
        house.alerts().iter().map(|a| format!("{} {} {}", a.as_of, a.rule, a.change)).collect();
    days.sort();
    // Both incidents of 2021 leave the window of 365 days one after the other: 1 March 2022 is the first
    // day on which only one is left, and one is below blue.
    assert_eq!(
        days,
        [
            "2021-03-01 owner_incident new",
            "2021-03-02 escalation new",
            "2021-03-02 owner_incident new",
            "2022-03-01 escalation closed",
            "2023-03-01 owner_incident new",
        ]
    );
    assert_eq!(house.progress().unwrap().clock.unwrap().to_string(), at("2023-03-01"));
}
