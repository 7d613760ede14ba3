//! `tocsin why` on a log that the service writes, on both logs: every alert is explained and adds up, and nothing is
//! written.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::house::{House, tocsin};
use crate::stream::publish;

#[test]
fn on_the_embedded_log_everything_said_adds_up_beside_a_running_service() {
    everything_adds_up(House::embedded());
}

#[test]
fn on_kafka_everything_said_adds_up_beside_a_running_service() {
    if !tocsin_testkit::kafka_wanted("on_kafka_everything_said_adds_up_beside_a_running_service") {
        return;
    }
    let broker = tocsin_testkit::Broker::start();
    everything_adds_up(House::kafka(broker.address()));
}

fn everything_adds_up(mut house: House) {
    let stream = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/why/town.jsonl");
    publish(&house, &std::fs::read(stream).unwrap());
    let mut run = house.run(&["--only", "pipeline", "--clock", "arrivals", "--until-end"]);
    assert_eq!(run.ends_within(Duration::from_secs(120)), Some(0), "{}", run.said());
    house.clock_starts("2025-06-02T10:00:00+08:00");
    let service = house.run_caught_up(&["--only", "pipeline"]);
    let (alerts, progress) = (house.alerts(), house.progress().unwrap());
    assert!(alerts.len() > 20, "{}", alerts.len());
    let config = house.config();
    for alert in &alerts {
        let done = tocsin(&["why", &alert.alert_id, "--config", config.to_str().unwrap(), "--json"]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(0), "{said}");
        let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(answer["alert"]["alert"]["alert_id"], alert.alert_id.as_str());
        assert_eq!(answer["alert"]["check"]["differences"], Value::Array(Vec::new()));
        assert_eq!(answer["alert"]["check"]["unchecked"], Value::Array(Vec::new()));
    }
    let why = |id: &str| tocsin(&["why", id, "--config", config.to_str().unwrap()]);
    for id in [alerts[0].uscc.as_str(), &*alerts[0].case_no] {
        assert_eq!(why(id).status.code(), Some(0), "{id}");
    }
    let list = tocsin(&["why", "annual|2025", "--config", config.to_str().unwrap(), "--json"]);
    assert_eq!(list.status.code(), Some(0), "{}", String::from_utf8_lossy(&list.stderr));
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    let members = list["listed"]["whole"]["members"].as_array().unwrap();
    assert!(!members.is_empty());
    for member in members {
        let done = why(&format!("annual|2025|{}", member["uscc"].as_str().unwrap()));
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let missing = why("AAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(missing.status.code(), Some(1));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(
        said.contains("there is no alert AAAA") && said.contains("as decided up to 2025-06-02"),
        "{said}"
    );
    assert_eq!(why("nothing").status.code(), Some(2));
    // It only read: the service goes on, and what it wrote is all there is.
    assert_eq!(house.progress().unwrap(), progress);
    assert_eq!(house.alerts(), alerts);
    assert_eq!(service.stop(), Some(0));
}
