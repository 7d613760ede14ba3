//! The event log as history: the same answer as from a file, while somebody writes, and nothing is written to it.

use std::fs;
use std::sync::Arc;

use serde_json::Value;
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
fn the_log_tells_what_the_file_tells_and_nobody_writes_to_it() {
    let place = Place::new(8);
    place.policy("old.toml", "escalation = { blue = 1, yellow = 2 }");
    place.policy("new.toml", "escalation = { blue = 1, yellow = 4 }");
    let config = "[log]\nkind = \"embedded\"\npath = \"log.db\"\n[policy]\nfile = \"old.toml\"\n";
    fs::write(place.dir.path().join("tocsin.toml"), config).unwrap();
    let log = SqliteLog::open(&place.dir.path().join("log.db")).unwrap();
    log.ensure(&topics::settings(), false).unwrap();
    // The service's own writer, which a second one of its name would fence.
    let mut service = log.writer("pipeline").unwrap();
    let record = |line: &super::city::Line| NewRecord {
        topic: Arc::from(line.topic.as_str()),
        key: key(&line.topic, &line.value),
        value: Some(line.value.to_string().into_bytes()),
        stamp: Some(line.at),
    };
    service.append(&place.lines.iter().map(record).collect::<Vec<_>>()).unwrap();
    let before = ends(&log);

    let args = ["backtest", "--config", "tocsin.toml", "--policy", "new.toml", "--json"];
    let of_log: Value = serde_json::from_str(&done(&tocsin(place.dir.path(), &args))).unwrap();
    let mut of_file = place.report(&[]);
    assert_eq!(ends(&log), before);
    service.append(&[record(&place.lines[0])]).unwrap();

    let from = of_log["policies"]["old"]["from"].as_str().unwrap();
    assert!(from.contains("old.toml, of the configuration"), "{from}");
    of_file["policies"]["old"]["from"] = of_log["policies"]["old"]["from"].clone();
    assert_eq!(of_log, of_file);
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
