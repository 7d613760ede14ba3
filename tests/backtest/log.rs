//! The event log as history: the same answer as from a file, while somebody writes, and nothing is written to it.

use std::fs;
use std::sync::Arc;

use serde_json::Value;
use tocsin_connectors::log::kafka::{KafkaLog, KafkaSettings, Stamps};
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::log::{Bounds, EventLog, NewRecord};
use tocsin_schemas::topics;

use super::{Place, done, tocsin};

fn key(topic: &str, value: &Value) -> Vec<u8> {
    let names = topics::topic(topic).unwrap().key.split('|');
    let part = |name| {
        value.get(name).map(|v: &Value| v.as_str().map_or(v.to_string(), Into::into)).unwrap_or_default()
    };
    names.map(part).collect::<Vec<String>>().join("|").into_bytes()
}

fn ends(log: &dyn EventLog) -> Vec<Vec<Bounds>> {
    topics::catalogue().iter().map(|t| log.bounds(t.name).unwrap()).collect()
}

#[test]
fn the_embedded_log_tells_what_the_file_tells_and_nobody_writes_to_it() {
    let place = Place::new(8);
    let log = SqliteLog::open(&place.dir.path().join("log.db")).unwrap();
    tells_what_the_file_tells(&place, &log, "kind = \"embedded\"\npath = \"log.db\"");
}

#[test]
fn kafka_tells_what_the_file_tells_and_nobody_writes_to_it() {
    if !tocsin_testkit::kafka_wanted("kafka_tells_what_the_file_tells_and_nobody_writes_to_it") {
        return;
    }
    let broker = tocsin_testkit::Broker::start();
    let address = broker.address();
    let settings = KafkaSettings { stamps: Stamps::CreateTime, ..KafkaSettings::plain(address) };
    let log = KafkaLog::connect(&settings).unwrap();
    let section = format!("kind = \"kafka\"\nbrokers = \"{address}\"\nreplication_factor = 1");
    tells_what_the_file_tells(&Place::new(9), &log, &section);
}

/// A line of the city's stream as a record with its own time of arrival.
fn record(line: &super::city::Line) -> NewRecord {
    NewRecord {
        topic: Arc::from(line.topic.as_str()),
        key: key(&line.topic, &line.value),
        value: Some(line.value.to_string().into_bytes()),
        stamp: Some(line.at),
        route: None,
    }
}

/// The whole stream on a new log.
fn fill(log: &dyn EventLog, place: &Place) {
    log.ensure(&topics::settings(), false).unwrap();
    log.writer("feeds").unwrap().append(&place.lines.iter().map(record).collect::<Vec<_>>()).unwrap();
}

fn tells_what_the_file_tells(place: &Place, log: &dyn EventLog, section: &str) {
    place.policy("old.toml", "escalation = { blue = 1, yellow = 2 }");
    place.policy("new.toml", "escalation = { blue = 1, yellow = 4 }");
    let config = format!("[log]\n{section}\n[policy]\nfile = \"old.toml\"\n");
    fs::write(place.dir.path().join("tocsin.toml"), config).unwrap();
    fill(log, place);
    // A newer writer of the name: what the older one wrote is visible. The service's own: a second one would fence it.
    let (_, mut service) = (log.writer("feeds").unwrap(), log.writer("pipeline").unwrap());
    let before = ends(log);

    let args = ["backtest", "--config", "tocsin.toml", "--policy", "new.toml", "--json"];
    let of_log: Value = serde_json::from_str(&done(&tocsin(place.dir.path(), &args))).unwrap();
    let mut of_file = place.report(&[]);
    assert_eq!(ends(log), before);
    service.append(&[record(&place.lines[0])]).unwrap();

    let from = of_log["policies"]["old"]["from"].as_str().unwrap();
    assert!(from.contains("old.toml, of the configuration"), "{from}");
    of_file["policies"]["old"]["from"] = of_log["policies"]["old"]["from"].clone();
    // The topic of contacts is compacted: the one that was replaced may be gone already.
    let records = of_log["history"]["records"].as_u64().unwrap();
    let lines = place.lines.len() as u64;
    assert!((lines - 1..=lines).contains(&records), "{records} of {lines}");
    of_file["history"]["records"] = of_log["history"]["records"].clone();
    for (name, found) in of_log.as_object().unwrap() {
        assert_eq!(found, &of_file[name], "{name}");
    }
    assert_eq!(of_log.as_object().unwrap().len(), of_file.as_object().unwrap().len());
}

#[test]
fn a_log_that_is_not_there_is_not_made() {
    let place = Place::new(8);
    place.policy("new.toml", "");
    fs::write(place.dir.path().join("tocsin.toml"), "[log]\nkind = \"embedded\"\npath = \"none.db\"\n")
        .unwrap();
    let args = ["backtest", "--config", "tocsin.toml", "--policy", "new.toml"];
    let output = tocsin(place.dir.path(), &args);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("there is no event log") && !place.dir.path().join("none.db").exists(), "{words}");
}

/// Publishing a policy is no arrival: in the service it moves no clock (`run/pipeline`, "move no clock").
#[test]
fn a_publication_after_the_last_arrival_does_not_make_the_days_compared_longer() {
    let place = Place::new(8);
    place.policy("old.toml", "escalation = { blue = 1, yellow = 2 }");
    place.policy("new.toml", "escalation = { blue = 1, yellow = 4 }");
    let log = SqliteLog::open(&place.dir.path().join("log.db")).unwrap();
    let config = "[log]\nkind = \"embedded\"\npath = \"log.db\"\n[policy]\nfile = \"old.toml\"\n";
    fs::write(place.dir.path().join("tocsin.toml"), config).unwrap();
    fill(&log, &place);
    let last = place.lines.iter().map(|line| line.at).max().unwrap();
    let published = NewRecord {
        topic: Arc::from(topics::POLICY),
        key: b"2020-11-20".to_vec(),
        value: Some(fs::read(place.dir.path().join("old.toml")).unwrap()),
        stamp: Some(last.plus_millis(40 * 86_400_000)),
        route: None,
    };
    log.writer("policy").unwrap().append(&[published]).unwrap();
    let args = ["backtest", "--config", "tocsin.toml", "--policy", "new.toml", "--json"];
    let of_log: Value = serde_json::from_str(&done(&tocsin(place.dir.path(), &args))).unwrap();
    let of_file = place.report(&[]);
    for name in ["to", "days", "level_days", "by_chance", "messages"] {
        assert_eq!(of_log[name], of_file[name], "{name}");
    }
}
