//! The guards of the alerts half: ledger and progress that do not fit together would ring every phone again.

use std::time::Duration;

use tocsin_schemas::records::{Delivery, Progress};
use tocsin_schemas::topics;

use super::{last_line, refuses, told};
use crate::house::{AT, DAY, House, until};

const ALERTS: &[&str] = &["--only", "alerts"];

/// After this was accepted nobody hears again what was told, and whoever comes next is told.
fn goes_on_without_telling_again(house: &House) {
    let before = house.gateway.calls().len();
    let alerts = house.run(&["--only", "alerts", "--accept-difference"]);
    alerts.wait_said("difference accepted");
    let pipeline = house.run_caught_up(&["--only", "pipeline"]);
    house.report("next", DAY, AT);
    // The owner of the second one, and the township of both.
    until("what comes next is told", || house.gateway.calls().len() >= before + 2);
    assert_eq!(pipeline.stop(), Some(0));
    assert_eq!(alerts.stop(), Some(0));
    let mut ids: Vec<String> = house.gateway.calls().iter().map(|c| c["alert_id"].to_string()).collect();
    assert_eq!(ids.len(), before + 2, "{:?}", house.gateway.calls());
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), before + 2, "nothing is told twice");
}

#[test]
fn a_ledger_without_progress_stops_the_alerts_half_until_it_is_accepted() {
    let house = told(House::embedded());
    let pipeline = house.progress().unwrap();
    house.lose(topics::PROGRESS);
    // The pipeline's is put back, as from a copy of another day; the worker's is gone.
    house.forge(&pipeline);
    let why = &["alerts: there are 1 deliveries, but no progress of alerts", "nothing was sent"];
    refuses(&house, ALERTS, why);
    refuses(&house, &[], why);
    goes_on_without_telling_again(&house);
}

#[test]
fn progress_without_its_ledger_stops_the_alerts_half_until_it_is_accepted() {
    let house = told(House::embedded());
    assert!(house.all::<Progress>().iter().any(|p| p.writer == "alerts"));
    house.lose(topics::DELIVERIES);
    let why =
        &["alerts: deliveries partition", "the ledger was emptied or half restored", "nothing was sent"];
    refuses(&house, ALERTS, why);
    refuses(&house, &[], why);
    assert_eq!(house.all::<Delivery>(), []);
    goes_on_without_telling_again(&house);
}

/// The alerts half alone, with nothing to tell: the first one must not stay, and the second one tells.
#[test]
fn a_second_alerts_half_fences_the_first_even_when_it_is_idle() {
    let house = told(House::embedded());
    let mut first = house.run(ALERTS);
    first.wait_said("the planner read back its state");
    let second = house.run(ALERTS);
    assert_eq!(first.ends_within(Duration::from_secs(5)), Some(1), "{}", first.said());
    let last = last_line(&first);
    assert!(last.contains("alerts: ") && last.contains("has taken over"), "{}", first.said());
    let before = house.gateway.calls().len();
    let pipeline = house.run_caught_up(&["--only", "pipeline"]);
    house.report("next", DAY, AT);
    until("the second one tells", || house.gateway.calls().len() > before);
    assert_eq!(pipeline.stop(), Some(0));
    assert_eq!(second.stop(), Some(0));
}
