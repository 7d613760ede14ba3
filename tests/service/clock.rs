//! The service's clock, from a start time in the configuration.

use std::time::Duration;

use crate::house::{House, until};

/// Two incidents: the older one leaves the window of 365 days at the midnight that begins 2 March 2025.
fn escalated(at: &str) -> House {
    let mut house = House::embedded();
    house.clock_starts(at);
    house.register(Some("2025-03-01T07:00:00+08:00"));
    house.report("old", "2024-03-02", Some("2025-03-01T08:00:00+08:00"));
    house.report("new", "2025-03-01", Some("2025-03-01T08:00:00+08:00"));
    house
}

fn closings(house: &House) -> Vec<String> {
    let closed = house.alerts().into_iter().filter(|a| a.change.as_str() == "closed");
    closed.map(|a| format!("{} {}", a.decided_at, a.reason.unwrap())).collect()
}

const MIDNIGHT: &str = "2025-03-02T00:00:00+08:00 expired";

#[test]
fn midnight_closes_an_escalation_without_an_arrival() {
    let house = escalated("2025-03-01T23:59:57+08:00");
    let run = house.run_caught_up(&[]);
    assert!(house.said().contains(&"escalation new".to_owned()), "{:?}", house.said());
    until("midnight has come", || closings(&house) == [MIDNIGHT]);
    assert_eq!(run.stop(), Some(0));
}

#[test]
fn a_stop_over_three_midnights_ticks_each_once_and_a_clock_set_back_repeats_nothing() {
    let mut house = escalated("2025-03-01T12:00:00+08:00");
    assert_eq!(house.run_caught_up(&[]).stop(), Some(0));
    assert_eq!(closings(&house), Vec::<String>::new());
    house.clock_starts("2025-03-04T12:00:00+08:00");
    let run = house.run_caught_up(&[]);
    run.wait_said("midnights=3");
    assert_eq!(run.stop(), Some(0));
    assert_eq!(closings(&house), [MIDNIGHT]);
    let clock = house.progress().unwrap().clock.unwrap();
    assert_eq!(clock.to_string(), "2025-03-04T00:00:00+08:00");

    // Set back by an hour and a day: nothing is ticked, the clock stays, and what arrives is decided at it.
    let said = house.said();
    house.clock_starts("2025-03-03T11:00:00+08:00");
    let run = house.run_caught_up(&[]);
    assert!(!run.said().contains("midnights="), "{}", run.said());
    house.report("late", "2025-03-03", Some("2025-03-03T10:59:00+08:00"));
    until("it is decided", || house.alerts().len() > said.len());
    assert_eq!(house.progress().unwrap().clock, Some(clock));
    assert!(house.alerts().iter().all(|a| a.decided_at <= clock));
    assert_eq!(run.stop(), Some(0));
}

#[test]
fn a_record_from_2099_moves_nothing() {
    let house = escalated("2025-03-01T12:00:00+08:00");
    let run = house.run_caught_up(&[]);
    let clock = house.progress().unwrap().clock.unwrap();
    house.report("future", "2025-03-01", Some("2099-01-01T08:00:00+08:00"));
    let arrived = |n| house.progress().unwrap().counters.arrived() == n;
    until("it is taken in", || arrived(2 + 3 + 3));
    assert_eq!(house.progress().unwrap().clock, Some(clock));
    assert_eq!(run.stop(), Some(0));
    assert_eq!(closings(&house), Vec::<String>::new());
}

#[test]
fn a_jump_of_more_than_35_days_waits_for_a_yes() {
    let mut house = escalated("2025-03-01T12:00:00+08:00");
    assert_eq!(house.run_caught_up(&[]).stop(), Some(0));
    house.clock_starts("2025-06-01T12:00:00+08:00");
    let mut run = house.run(&[]);
    assert_eq!(run.ends_within(Duration::from_secs(10)), Some(1), "{}", run.said());
    assert!(run.said().contains("--accept-clock"), "{}", run.said());
    assert_eq!(closings(&house), Vec::<String>::new());
    let run = house.run_caught_up(&["--accept-clock"]);
    assert_eq!(run.stop(), Some(0));
    assert_eq!(closings(&house), [MIDNIGHT]);
}
