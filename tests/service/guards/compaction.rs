//! A restart after the log dropped what is superseded says nothing, and goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AlterConfig, ResourceSpecifier};
use serde_json::json;
use tocsin_schemas::codes::Role;
use tocsin_schemas::log::NewRecord;
use tocsin_schemas::topics;
use tocsin_testkit::{Broker, kafka_wanted};

use super::{as_admin, told};
use crate::house::{AT, DAY, FIRM, House, report, until};

/// Compacted topics that hold superseded records by now.
const TOPICS: [&str; 5] =
    [topics::CONTACTS, topics::INCIDENTS, topics::RATES, topics::DELIVERIES, topics::PROGRESS];

/// One incident was told, then upgraded twice, then joined by a second one; a contact has a second version.
fn eventful(house: House) -> House {
    let house = told(house);
    let run = house.run_caught_up(&[]);
    for (version, field, value) in [(2, "lost_days", json!(200)), (3, "died_on", json!(DAY))] {
        let said = house.said().len();
        let mut newer = report("a", DAY);
        newer["version"] = json!(version);
        newer[field] = value;
        house.append("reports.hr", "a", &newer, AT);
        until("it is upgraded", || house.said().len() > said);
    }
    house.report("b", DAY, AT);
    // Industry and emergency bureau, which hear of a red one, have no contacts here.
    let everybody_told = || {
        let reachable = |role: Role| matches!(role, Role::Owner | Role::TownshipDuty);
        let alerts = house.alerts();
        let audiences = alerts.iter().flat_map(|a| &a.audiences).filter(|a| reachable(a.role)).count();
        house.said().iter().filter(|s| *s == "owner_incident new").count() == 2
            && house.gateway.calls().len() == audiences
    };
    until("all are told", everybody_told);
    assert_eq!(run.stop(), Some(0));
    let contact = json!({"role": "owner", "subject": FIRM, "rank": 1, "name": "某人",
        "addresses": {"webhook": format!("owner-{FIRM}")}, "version": 2});
    house.append(topics::CONTACTS, &format!("owner|{FIRM}|1"), &contact, AT);
    house
}

fn offsets(house: &House, topic: &str) -> BTreeSet<(u32, u64)> {
    house.records(topic).iter().map(|r| (r.partition, r.offset)).collect()
}

/// A restart, and another one; then a report that comes after it.
fn says_nothing_and_goes_on(house: &House, next: &str) {
    let (said, calls) = (house.said(), house.gateway.calls());
    for _ in 0..2 {
        assert_eq!(house.run_caught_up(&[]).stop(), Some(0));
    }
    assert_eq!((house.said(), house.gateway.calls()), (said, calls.clone()));
    let run = house.run_caught_up(&[]);
    house.report(next, DAY, AT);
    until("the next one is told", || house.gateway.calls().len() == calls.len() + 1);
    assert_eq!(run.stop(), Some(0));
}

#[test]
fn a_restart_after_a_compaction_says_nothing() {
    let house = eventful(House::embedded());
    let before = TOPICS.map(|topic| offsets(&house, topic));
    assert!(house.log.compact().unwrap() > 0);
    for (topic, before) in TOPICS.iter().zip(&before) {
        assert!(offsets(&house, topic).len() < before.len(), "{topic} lost nothing");
    }
    says_nothing_and_goes_on(&house, "c");
}

#[test]
fn the_service_compacts_the_embedded_log_when_it_has_found_its_past_in_order() {
    let house = eventful(House::embedded());
    let superseded = house.records(topics::PROGRESS).len();
    let run = house.run_caught_up(&[]);
    until("progress is short", || house.records(topics::PROGRESS).len() <= 4);
    assert!(superseded > 4, "{superseded}");
    run.wait_said("dropped what is superseded");
    // And what comes while and after it does so is told.
    let calls = house.gateway.calls().len();
    house.report("c", DAY, AT);
    until("the next one is told", || house.gateway.calls().len() == calls + 1);
    assert_eq!(run.stop(), Some(0));
    says_nothing_and_goes_on(&house, "d");
}

/// Makes the broker's cleaner do at once what it would do some day.
fn hurry(address: &str) {
    let configs: Vec<AlterConfig<'_>> = TOPICS
        .iter()
        .map(|topic| {
            AlterConfig::new(ResourceSpecifier::Topic(topic))
                .set("cleanup.policy", "compact")
                .set("max.message.bytes", "17000000")
                .set("message.timestamp.type", "CreateTime")
                .set("segment.ms", "200")
                .set("min.cleanable.dirty.ratio", "0")
                .set("max.compaction.lag.ms", "1")
        })
        .collect();
    let altered = as_admin(address, async |admin, options| admin.alter_configs(&configs, &options).await);
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
}

/// Writes the newest record of each partition once more, so that the broker begins a new segment.
fn write_again(house: &House, topic: &str) {
    let mut newest = std::collections::BTreeMap::new();
    for record in house.records(topic) {
        newest.insert(record.partition, record);
    }
    let again: Vec<NewRecord> = newest
        .into_values()
        .map(|r| NewRecord {
            topic: Arc::clone(&r.topic),
            key: r.key.unwrap_or_default(),
            value: r.value,
            stamp: Some(tocsin_schemas::time::Instant(r.stamp.0)),
            route: None,
        })
        .collect();
    house.log.writer("test").unwrap().append(&again).unwrap();
}

#[test]
fn a_restart_after_the_brokers_compaction_says_nothing() {
    if !kafka_wanted("service: a restart after the broker's compaction says nothing") {
        return;
    }
    let broker = Broker::start();
    let house = eventful(House::kafka(broker.address()));
    let before = TOPICS.map(|topic| offsets(&house, topic));
    hurry(broker.address());
    // The cleaner leaves the newest segment alone and looks for work now and then.
    let deadline = std::time::Instant::now() + Duration::from_secs(180);
    loop {
        let gone =
            |(topic, before): (&&str, &BTreeSet<(u32, u64)>)| !before.is_subset(&offsets(&house, topic));
        if TOPICS.iter().zip(&before).all(gone) {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the broker's cleaner did not run in all of {TOPICS:?}"
        );
        std::thread::sleep(Duration::from_millis(300));
        TOPICS.iter().for_each(|topic| write_again(&house, topic));
    }
    says_nothing_and_goes_on(&house, "c");
}
