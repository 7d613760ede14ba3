//! `tocsin known` as it is called: the real binary over a small town, against golden files, against replays of the same
//! records, and on an event log with a policy that changed.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::log::{EventLog, NewRecord};
use tocsin_schemas::topics;

const AREA: [&str; 3] = ["area", "330784001", "town.jsonl"];

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/known").join(name)
}

fn tocsin(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tocsin")).current_dir(dir).args(args).output().unwrap()
}

fn town() -> String {
    fs::read_to_string(here("town.jsonl")).unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn known(args: &[&str]) -> String {
    let output = tocsin(&here(""), &[&["known"], args].concat());
    assert!(output.status.success(), "{}", words(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&known(&[args, &["--json"]].concat())).unwrap()
}

/// With each hash of a policy, which another threshold would change, as a star.
fn starred(text: &str) -> String {
    let hash = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    words
        .map(|word| match word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()) {
            inner if hash(inner) => format!("*{}", &word[inner.len()..]),
            _ => word.to_owned(),
        })
        .collect()
}

/// Above the differences each line of the golden file is there in this order, however wide: a row may come to publish
/// more. From the differences on, letter by letter.
fn golden(name: &str, found: &str) {
    let wanted = fs::read_to_string(here(name)).unwrap();
    let found = starred(found);
    let parts = |text: &str| {
        let (head, tail) = text.split_once("What makes the difference").unwrap();
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        (head.lines().map(line).collect::<Vec<_>>(), tail.to_owned())
    };
    let ((head, tail), (found_head, found_tail)) = (parts(&wanted), parts(&found));
    let mut lines = found_head.iter();
    for line in head {
        assert!(lines.any(|found| *found == line), "{name}: {line:?} is missing in\n{found}");
    }
    assert!(tail == found_tail, "{name} differs; found:\n{found}");
}

/// Whether everything wanted is there; an object may have more.
fn holds(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.iter().all(|(name, value)| found.get(name).is_some_and(|found| holds(value, found)))
        }
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len()
                && wanted.iter().zip(found).all(|(wanted, found)| holds(wanted, found))
        }
        _ => wanted == found,
    }
}

#[test]
fn the_page_for_people() {
    golden("area.txt", &known(&[&AREA[..], &["--as-of", "2025-03-31"]].concat()));
    let firm = ["enterprise", "91330784XX000006X3", "town.jsonl", "--as-of", "2025-03-31"];
    golden("enterprise.txt", &known(&firm));
}

/// The page is held up as evidence: a name cannot write a line of it.
#[test]
fn a_name_cannot_forge_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let forged = town().replace("有限公司", r"有限公司\n  yes: forged\u001b[2J");
    fs::write(dir.path().join("town.jsonl"), forged).unwrap();
    let output = tocsin(dir.path(), &[&["known"], &AREA[..], &["--as-of", "2025-03-31"]].concat());
    assert!(output.status.success(), "{}", words(&output));
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains("有限公司?  yes: forged?[2J"), "{page}");
    assert!(
        !page.contains('\u{1b}') && !page.lines().any(|line| line.starts_with("  yes: forged")),
        "{page}"
    );
}

#[test]
fn the_answer_for_scripts() {
    let found = starred(&known(&[&AREA[..], &["--as-of", "2025-03-31", "--json"]].concat()));
    let wanted = serde_json::from_str(&fs::read_to_string(here("area.json")).unwrap()).unwrap();
    assert!(holds(&wanted, &serde_json::from_str(&found).unwrap()), "area.json differs; found:\n{found}");
}

/// Readers of JSON keep one of two, or refuse both.
#[test]
fn no_object_of_an_answer_has_a_key_twice() {
    let firm = ["enterprise", "91330784XX00000190", "town.jsonl", "--as-of", "2025-03-31", "--json"];
    let answer = known(&firm);
    assert!(answer.contains("\"compared_with\""), "{answer}");
    let mut open: Vec<HashSet<&str>> = Vec::new();
    for line in answer.lines().map(str::trim) {
        if line.starts_with('}') {
            open.pop();
        }
        if let Some((key, _)) = line.strip_prefix('"').and_then(|line| line.split_once("\": ")) {
            assert!(open.last_mut().unwrap().insert(key), "{key} stands twice in one object: {answer}");
        }
        if line.ends_with('{') {
            open.push(HashSet::new());
        }
    }
}

#[test]
fn nothing_of_a_person_is_in_any_answer() {
    for scope in [&AREA[..2], &["city", "330784"], &["hour", "09"]] {
        let found = known(&[scope, &["town.jsonl", "--as-of", "2025-03-31", "--json"]].concat());
        for secret in ["王小明", "李四", "手指", &"55".repeat(32)] {
            assert!(!found.contains(secret), "{scope:?}: {secret}");
        }
    }
}

/// The rows of a scope that a replay of these lines leaves for a day.
fn replayed(lines: &str, scope: &str, key: &str) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("stream.jsonl"), lines).unwrap();
    let output = tocsin(dir.path(), &["replay", "stream.jsonl", "--out", "out", "--as-of", "2025-03-31"]);
    assert!(output.status.success(), "{}", words(&output));
    let files = ["rates.jsonl", "statistics.jsonl"].map(|name| dir.path().join("out").join(name));
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter(|row| row["scope"] == scope && row["key"] == key).collect()
}

fn same(side: &Value, rows: &[Value]) {
    let windows = side["windows"].as_array().cloned().unwrap_or_default();
    assert_eq!(windows.len(), rows.len(), "{side}");
    for window in windows {
        let row = rows.iter().find(|row| row["window"] == window["window"]).unwrap();
        // Shrunken rates hang on the model of a midnight, not on the records of an instant: known leaves them out.
        let shrunken = |figure: &str| figure.starts_with("shrunken");
        for (figure, value) in window.as_object().unwrap().iter().filter(|(figure, _)| !shrunken(figure)) {
            assert_eq!(row.get(figure), Some(value), "{figure}: {row}");
        }
    }
}

/// A replay cannot look back, but what is known at an instant is a stream that ends there; and since figures do not
/// hang on the order of arrival, what is known now is the same stream, all of it arrived in time.
#[test]
fn then_and_now_are_what_replays_of_those_records_give() {
    let all = town();
    let then: String = all.lines().take(10).map(|line| format!("{line}\n")).collect();
    let in_time = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line["arrived_at"] = "2025-03-31T12:00:00+08:00".into();
        format!("{line}\n")
    };
    let late = |line: &&str| line.contains("2025-04-07\",\"reported_at");
    let now: String = all.lines().filter(|line| !late(line)).map(in_time).collect();
    for (scope, key) in [
        ("area", "330784001"),
        ("area", "330784101"),
        ("city", "330784"),
        ("industry", "33"),
        ("industry", "72"),
        ("tag", "防盗门"),
        ("sector", "2"),
        ("cause", "03"),
        ("hour", "09"),
        ("weekday", "5"),
        ("enterprise", "91330784XX00000190"),
        ("enterprise", "91330784XX000006X3"),
    ] {
        let found = json(&[scope, key, "town.jsonl", "--as-of", "2025-03-31"]);
        assert_eq!(found["adds_up"], true, "{scope} {key}");
        same(&found["then"], &replayed(&then, scope, key));
        same(&found["now"], &replayed(&now, scope, key));
    }
}

#[test]
fn each_number_carries_its_day_its_clock_and_its_policy() {
    let found = json(&[&AREA[..], &["--as-of", "2025-03-15", "--known-at", "2025-04-04T00:00:00Z"]].concat());
    for (side, known_at) in [("then", "2025-04-04T08:00:00+08:00"), ("now", "2025-04-09T09:00:00+08:00")] {
        assert_eq!(found[side]["as_of"], "2025-03-15");
        assert_eq!(found[side]["known_at"], known_at);
        assert_eq!(found[side]["policy_hash"].as_str().unwrap().len(), 64);
    }
    // The day of the instant, and a day that is not over: as far as the history goes.
    let found = json(&[&AREA[..], &["--known-at", "2025-04-09"]].concat());
    assert_eq!(found["then"]["as_of"], "2025-04-09");
    assert_eq!(found["then"]["known_at"], "2025-04-09T09:00:00+08:00");
    assert_eq!(found["differences"], Value::Array(Vec::new()));
}

/// 20 minutes lie between two reports of one cause: one incident by the default policy, two where 10 is the limit.
const NARROW: &str = "[[policy]]\neffective_from = \"2020-11-20\"\nmerge.incident_minutes = 10\n";

fn policy_alone(found: &Value, then: i64) {
    let policy = &found["differences"][0];
    assert_eq!(policy["cause"], "policy");
    assert_eq!(
        (&policy["from"], &policy["to"]),
        (&found["then"]["policy_hash"], &found["now"]["policy_hash"])
    );
    assert_ne!(policy["from"], policy["to"]);
    assert_eq!(policy["effect"][0]["incidents"], 1);
    assert_eq!(policy["effect"][0]["persons"], 0);
    assert_eq!(policy["incidents"][0]["how"], serde_json::json!(["split"]));
    assert_eq!(found["adds_up"], true);
    // The policy +1, C moves out -1, and the late report +1 if it was not known then.
    let incidents = |side: &str| found[side]["windows"][0]["incidents"].as_i64().unwrap();
    assert_eq!((incidents("then"), incidents("now")), (then, 4));
}

#[test]
fn what_a_policy_alone_changes_is_a_cause_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("town.jsonl"), town()).unwrap();
    fs::write(dir.path().join("narrow.toml"), NARROW).unwrap();
    fs::write(dir.path().join("default.toml"), "[[policy]]\neffective_from = \"2020-11-20\"\n").unwrap();
    let args = [
        "known",
        "area",
        "330784001",
        "town.jsonl",
        "--as-of",
        "2025-03-31",
        "--known-at",
        "2025-04-05T10:00:00+08:00",
        "--policy",
        "narrow.toml",
        "--policy-then",
        "default.toml",
        "--json",
    ];
    let output = tocsin(dir.path(), &args);
    assert!(output.status.success(), "{}", words(&output));
    policy_alone(&serde_json::from_slice(&output.stdout).unwrap(), 3);
}

#[test]
fn the_event_log_tells_the_same_with_the_policies_that_were_published_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(&dir.path().join("log.db")).unwrap();
    log.ensure(&topics::settings(), false).unwrap();
    fs::write(dir.path().join("tocsin.toml"), "[log]\nkind = \"embedded\"\npath = \"log.db\"\n").unwrap();
    let lines = town();
    let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).map(|line| {
        let (topic, value) = (line["topic"].as_str().unwrap(), &line["value"]);
        let part = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let key = topics::topic(topic).unwrap().key.split('|').map(part).collect::<Vec<_>>().join("|");
        (topic.to_owned(), key, value.to_string(), line["arrived_at"].as_str().unwrap().to_owned())
    });
    let default = "[[policy]]\neffective_from = \"2020-11-20\"\n";
    let policies = [(default, "2025-03-01T07:00:00+08:00"), (NARROW, "2025-04-05T12:00:00+08:00")]
        .map(|(text, at)| ("policy".to_owned(), "2020-11-20".to_owned(), text.to_owned(), at.to_owned()));
    let records: Vec<NewRecord> = records
        .chain(policies)
        .map(|(topic, key, value, at)| NewRecord {
            topic: Arc::from(topic),
            key: key.into_bytes(),
            value: Some(value.into_bytes()),
            stamp: Some(at.parse().unwrap()),
            route: None,
        })
        .collect();
    log.writer("feeds").unwrap().append(&records).unwrap();
    let ends = || topics::catalogue().iter().map(|t| log.bounds(t.name).unwrap()).collect::<Vec<_>>();
    let before = ends();
    let args = [
        "known",
        "area",
        "330784001",
        "--as-of",
        "2025-03-31",
        "--known-at",
        "2025-04-05T10:00:00+08:00",
        "--config",
        "tocsin.toml",
        "--json",
    ];
    let output = tocsin(dir.path(), &args);
    assert!(output.status.success(), "{}", words(&output));
    // In the log the late report has a partition of its own, and topics are merged by arrival: nothing came before it.
    policy_alone(&serde_json::from_slice(&output.stdout).unwrap(), 4);
    assert_eq!(ends(), before);
}

#[test]
fn what_cannot_be_answered_is_said_in_one_line() {
    for (args, code, said) in [
        (&["city", "330784", "town.jsonl"][..], 2, "--as-of"),
        (&["town", "1", "town.jsonl", "--as-of", "2025-03-31"], 2, "invalid value 'town'"),
        (&["city", "330784", "none.jsonl", "--as-of", "2025-03-31"], 2, "cannot read the stream"),
        (&["city", "330785", "town.jsonl", "--as-of", "2025-03-31"], 2, "the key of the city is 330784"),
        (&["enterprise", "91330784XX00000191", "town.jsonl", "--as-of", "2025-03-31"], 2, "the USCC"),
        (&["city", "330784", "town.jsonl", "--as-of", "31.3.2025"], 2, "2025"),
        (&["city", "330784", "town.jsonl", "--known-at", "noon"], 2, "expected an instant such as"),
        (
            &["city", "330784", "town.jsonl", "--as-of", "2025-04-02", "--known-at", "2025-04-01"],
            2,
            "--as-of 2025-04-02 had not come yet at --known-at 2025-04-01T23:59:59.999+08:00",
        ),
        (
            &["city", "330784", "town.jsonl", "--as-of", "2025-02-28"],
            2,
            "nothing was known yet at 2025-02-28T23:59:59.999+08:00: the first record arrived at 2025-03-01T08:00:00+08:00",
        ),
        (
            &["city", "330784", "town.jsonl", "--as-of", "2025-04-10"],
            2,
            "--as-of 2025-04-10 has not come yet: the history goes up to 2025-04-09T09:00:00+08:00",
        ),
        (
            &["city", "330784", "town.jsonl", "--known-at", "2025-04-09T10:00:00+08:00"],
            2,
            "--known-at 2025-04-09T10:00:00+08:00 has not come yet",
        ),
        (
            &["city", "330784", "town.jsonl", "--as-of", "2025-03-31", "--known-at", "2026-04-10"],
            2,
            "--known-at 2026-04-10 has not come yet: the history goes up to 2025-04-09T09:00:00+08:00",
        ),
        (
            &["city", "330784", "town.jsonl", "--known-at", "2025-04-10"],
            2,
            "--known-at 2025-04-10 has not come yet",
        ),
        (
            &["area", "330784999", "town.jsonl", "--as-of", "2025-03-31"],
            1,
            "there are no figures of area 330784999 for 2025-03-31, neither as known then nor as known now; there is 330784001, 330784101",
        ),
        (
            &["enterprise", "91330784XX00000998", "town.jsonl", "--as-of", "2025-03-31"],
            1,
            "is not in the register",
        ),
    ] {
        let output = tocsin(&here(""), &[&["known"], args].concat());
        let words = words(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {words}");
        assert!(words.contains(said) && output.stdout.is_empty(), "{args:?}: {words}");
    }
}
