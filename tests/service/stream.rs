//! One stream of arrivals two ways: as a file through `tocsin replay`, and on a log, each record stamped with its
//! arrival, through `tocsin run --clock arrivals --until-end`. What is said must be the same.
//!
//! Another stream than the small one: `TOCSIN_TEST_STREAM=STREAM.jsonl TOCSIN_TEST_POLICY_FROM=2009-07-01 cargo test
//! -p tocsin --test service stream -- --nocapture`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tocsin_schemas::codes::{Change, Rule};
use tocsin_schemas::door::admit_line;
use tocsin_schemas::log::NewRecord;
use tocsin_schemas::records::Alert;
use tocsin_schemas::topics;

use crate::house::{House, tocsin};

#[test]
fn the_embedded_log_says_what_the_replay_says() {
    says_what_the_replay_says(House::embedded());
}

#[test]
fn kafka_says_what_the_replay_says() {
    if !tocsin_testkit::kafka_wanted("kafka_says_what_the_replay_says") {
        return;
    }
    let broker = tocsin_testkit::Broker::start();
    says_what_the_replay_says(House::kafka(broker.address()));
}

fn says_what_the_replay_says(mut house: House) {
    let stream = std::env::var_os("TOCSIN_TEST_STREAM").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay/small-town/stream.jsonl"),
        PathBuf::from,
    );
    let mut policy = Vec::new();
    if let Ok(from) = std::env::var("TOCSIN_TEST_POLICY_FROM") {
        policy = vec!["--policy-from".to_owned(), from.clone()];
        house.policy(&format!("[[policy]]\neffective_from = \"{from}\"\n"));
    }
    let out = house.dir.path().join("replay");
    let mut args = vec!["replay", stream.to_str().unwrap(), "--out", out.to_str().unwrap()];
    args.extend(policy.iter().map(String::as_str));
    let done = tocsin(&args);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    publish(&house, &std::fs::read(&stream).unwrap());
    let mut run = house.run(&["--only", "pipeline", "--clock", "arrivals", "--until-end"]);
    assert_eq!(run.ends_within(Duration::from_secs(120)), Some(0), "{}", run.said());

    let text = std::fs::read_to_string(out.join("alerts.jsonl")).unwrap();
    let replayed: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut ran = house.alerts();
    ran.retain(|alert| alert.change != Change::Suppressed);
    let mut expected: Vec<String> = replayed.iter().map(|alert| without_ids(alert.clone())).collect();
    let mut found: Vec<String> = ran.iter().map(|alert| without_ids(contract_fields(alert))).collect();
    assert!(!expected.is_empty());
    println!("{} alerts by the replay, {} on the log", expected.len(), found.len());
    expected.sort();
    found.sort();
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected, found);
    }
    assert_eq!(expected.len(), found.len());
    // Numbers aside, the same incidents: a number of one run stands for one of the other, through all messages.
    let mut pairs: BTreeMap<String, String> = BTreeMap::new();
    let by_words = |alerts: Vec<Value>| -> Vec<(String, Value)> {
        let mut all: Vec<_> =
            alerts.into_iter().map(|a| (without_ids(a.clone()), a["subject"].clone())).collect();
        all.sort_by_cached_key(|(words, subject)| (words.clone(), subject.to_string()));
        all
    };
    let owners = |a: &Value| a["rule"] == Rule::OwnerIncident.as_str();
    let replayed = by_words(replayed.into_iter().filter(owners).collect());
    let ran = by_words(ran.iter().map(contract_fields).filter(owners).collect());
    for ((words, a), (_, b)) in replayed.iter().zip(&ran) {
        let (a, b) = (a.to_string(), b.to_string());
        assert_eq!(*pairs.entry(a.clone()).or_insert(b.clone()), b, "the replay's {a}: {words}");
    }
}

/// Puts the records of a stream on the log, each stamped with its arrival. Lines without a sound envelope,
/// and topics that are none of ours, cannot be on a log.
pub fn publish(house: &House, stream: &[u8]) {
    let known: Vec<String> = topics::settings().iter().map(|t| t.name.to_string()).collect();
    let mut records = Vec::new();
    for line in stream.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let Ok(line) = admit_line(line) else { continue };
        if !known.iter().any(|topic| *topic == line.topic) {
            continue;
        }
        let value: Value = serde_json::from_slice(line.value).unwrap();
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let key = ["source_record_id", "uscc", "event_id", "subject"].map(text).concat();
        records.push(NewRecord {
            topic: Arc::from(&*line.topic),
            key: key.into_bytes(),
            value: Some(line.value.to_vec()),
            stamp: Some(line.arrived_at),
            route: None,
        });
    }
    let mut writer = house.log.writer("test").unwrap();
    for chunk in records.chunks(2_000) {
        writer.append(chunk).unwrap();
    }
}

/// An alert of the log as alerts.jsonl has it.
fn contract_fields(alert: &Alert) -> Value {
    let audiences: Vec<Value> =
        alert.audiences.iter().map(|a| serde_json::json!({"role": a.role, "subject": a.subject})).collect();
    let mut reports: Vec<String> = alert.reports.iter().map(ToString::to_string).collect();
    reports.sort();
    let mut value = serde_json::json!({
        "rule": alert.rule, "change": alert.change, "subject": alert.subject, "episode": alert.episode,
        "revision": alert.revision, "audiences": audiences, "incident_ids": alert.incident_ids,
        "reports": reports, "count": alert.count, "as_of": alert.as_of, "decided_at": alert.decided_at,
        "reason": alert.reason, "policy_hash": alert.policy_hash,
    });
    if let Some(level) = alert.level {
        value["level"] = serde_json::json!(level);
    }
    if let Some(severity) = alert.severity {
        value["severity"] = serde_json::json!(severity);
    }
    value
}

/// Its text without ids: the numbers of incidents and what is made from them.
fn without_ids(mut alert: Value) -> String {
    let fields = alert.as_object_mut().unwrap();
    fields.remove("alert_id");
    let ids = fields.remove("incident_ids").unwrap();
    fields.insert("incidents".into(), ids.as_array().unwrap().len().into());
    if fields["rule"] == Rule::OwnerIncident.as_str() {
        fields.remove("subject");
    }
    alert.to_string()
}
