//! What stops a start, and what a newer `run` does to an older one. Whatever happens, nothing is sent.

use std::time::Duration;

use tocsin_schemas::records::Progress;
use tocsin_testkit::{Broker, kafka_wanted};

use crate::house::{House, Running, until};

const AT: Option<&str> = Some("2025-03-01T08:00:00+08:00");

/// One incident was told, and the service stopped.
fn told(mut house: House) -> House {
    house.clock_starts("2025-03-01T09:00:00+08:00");
    house.register(Some("2025-03-01T07:00:00+08:00"));
    let run = house.run_caught_up(&[]);
    house.report("a", "2025-03-01", AT);
    until("the owner is told", || house.gateway.calls().len() == 1);
    assert_eq!(run.stop(), Some(0));
    house
}

/// It does not start, says why in its last line, and nobody is told anything.
fn refuses(house: &House, args: &[&str], why: &[&str]) {
    let (alerts, calls) = (house.alerts(), house.gateway.calls());
    let mut run = house.run(args);
    assert_eq!(run.ends_within(Duration::from_secs(10)), Some(1), "{}", run.said());
    let said = run.said();
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("tocsin: "), "{said}");
    for part in why {
        assert!(last.contains(part), "expected {part:?} in: {last}");
    }
    assert_eq!((house.alerts(), house.gateway.calls()), (alerts, calls));
}

#[test]
fn progress_ahead_of_the_log_stops_the_start() {
    let house = told(House::embedded());
    let mut progress = house.progress().unwrap();
    let offset = progress.offsets.iter_mut().find(|o| o.topic == "reports.health").unwrap();
    offset.next += 5;
    house.forge(&progress);
    refuses(&house, &[], &["reports.health", "progress has read to 5", "nothing was decided or sent"]);
}

#[test]
fn another_log_with_this_ones_progress_stops_the_start() {
    let old = told(House::embedded());
    let new = House::embedded();
    new.forge(&old.progress().unwrap());
    refuses(&new, &[], &["log's id", &old.progress().unwrap().log_id]);
}

#[test]
fn alerts_without_progress_stop_the_start() {
    let house = House::embedded();
    let other = told(House::embedded());
    for alert in other.alerts() {
        let raw = tocsin_schemas::wire::encode(&alert);
        house.append_raw("alerts", alert.uscc.as_str(), raw, None);
    }
    refuses(&house, &["--only", "pipeline"], &["no progress of the pipeline"]);
}

#[test]
fn what_should_have_been_said_and_was_not_stops_the_start_until_it_is_accepted() {
    let house = told(House::embedded());
    // As if the report had never been read: the incident that was told has no report any more.
    let mut progress = house.progress().unwrap();
    for offset in progress.offsets.iter_mut().filter(|o| o.topic == "reports.hr") {
        offset.next = 0;
    }
    house.forge(&progress);
    refuses(&house, &[], &["1 owner_incident corrected", "--accept-difference", "Nothing was sent"]);
    // Accepted, the correction goes out; then the report is read again and counts again.
    let run = house.run_caught_up(&["--accept-difference"]);
    until("the correction is sent", || house.gateway.calls().len() == 3);
    assert_eq!(house.said(), ["owner_incident new", "owner_incident corrected", "owner_incident new"]);
    assert_eq!(run.stop(), Some(0));
}

#[test]
fn a_policy_that_would_have_said_otherwise_stops_the_start() {
    let house = told(House::embedded());
    let config = std::fs::read_to_string(house.config()).unwrap();
    std::fs::write(house.config(), format!("{config}[policy]\nfile = \"policy.toml\"\n")).unwrap();
    let policy = "[[policy]]\neffective_from = \"2020-11-20\"\n[policy.escalation]\nblue = 1\n";
    std::fs::write(house.dir.path().join("policy.toml"), policy).unwrap();
    refuses(&house, &[], &["the policy differs", "1 escalation new"]);
}

fn fences(house: &House) {
    let mut first = house.run_caught_up(&[]);
    let second = house.run_caught_up(&[]);
    assert_eq!(first.ends_within(Duration::from_secs(5)), Some(1), "{}", first.said());
    assert!(last_line(&first).contains("has taken over"), "{}", first.said());
    house.report("b", "2025-03-01", Some("2025-03-01T08:30:00+08:00"));
    until("the second one goes on", || house.gateway.calls().len() == 3);
    let keys: std::collections::BTreeSet<String> =
        house.gateway.calls().iter().map(|c| c["idempotency_key"].to_string()).collect();
    assert_eq!(keys.len(), 3, "nothing is doubled");
    assert_eq!(second.stop(), Some(0));
}

fn last_line(run: &Running) -> String {
    run.said().lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_second_run_fences_the_first_even_when_it_is_idle() {
    fences(&told(House::embedded()));
}

#[test]
fn a_second_run_fences_the_first_on_kafka() {
    if !kafka_wanted("service: a second run fences the first on kafka") {
        return;
    }
    let broker = Broker::start();
    fences(&told(House::kafka(broker.address())));
}

#[test]
fn progress_ahead_stops_the_start_on_kafka() {
    if !kafka_wanted("service: progress ahead stops the start on kafka") {
        return;
    }
    let broker = Broker::start();
    let house = told(House::kafka(broker.address()));
    let progress = house.progress().unwrap();
    let mut ahead: Progress = progress.clone();
    ahead.offsets.iter_mut().find(|o| o.topic == "reports.health").unwrap().next += 5;
    house.forge(&ahead);
    refuses(&house, &[], &["reports.health", "progress has read to 5"]);
    // With its own progress back it goes on and says nothing.
    house.forge(&progress);
    let run = house.run_caught_up(&[]);
    assert_eq!(run.stop(), Some(0));
    assert_eq!(house.gateway.calls().len(), 1);
}
