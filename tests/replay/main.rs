//! `tocsin replay` as it is called: the real binary, small streams, files written by hand from the contract.
//!
//! In the expected files `*` stands for what no hand can write: hashes, and the words of a detail.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const FILES: [&str; 8] = [
    "incidents.jsonl",
    "flags.jsonl",
    "rates.jsonl",
    "statistics.jsonl",
    "lists.jsonl",
    "alerts.jsonl",
    "quarantine.jsonl",
    "summary.json",
];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay").join(path)
}

fn replay(stream: &Path, out: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .arg("replay")
        .arg(stream)
        .arg("--out")
        .arg(out)
        .args(more)
        .output()
        .unwrap()
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.is_empty());
}

/// The call was wrong, in words that hold `wanted`, and nothing was written.
fn wrong_call(output: &Output, out: &Path, wanted: &str) {
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains(wanted), "{words}");
    let left: Vec<_> = fs::read_dir(out).map(|d| d.map(|f| f.unwrap().path()).collect()).unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");
}

fn values(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    if path.extension().is_some_and(|e| e == "json") {
        return vec![serde_json::from_str(&text).unwrap()];
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether a value is as expected; `*` is any text that says something, `~1.5` a number to nine digits.
fn fits(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::String(any), Value::String(text)) if any == "*" => !text.is_empty(),
        (Value::String(near), Value::Number(found)) => {
            let near: Option<f64> = near.strip_prefix('~').and_then(|text| text.parse().ok());
            let (near, found) = (near.unwrap_or(f64::NAN), found.as_f64().unwrap_or(f64::NAN));
            (near - found).abs() <= 1e-9 * near
        }
        (Value::Object(expected), Value::Object(found)) => {
            expected.len() == found.len()
                && expected.iter().all(|(name, value)| found.get(name).is_some_and(|f| fits(value, f)))
        }
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len() && expected.iter().zip(found).all(|(e, f)| fits(e, f))
        }
        _ => expected == found,
    }
}

fn rates_of_the_year(path: &Path) -> Vec<Value> {
    let scope = |v: &Value| ["enterprise", "industry", "city"].contains(&v["scope"].as_str().unwrap());
    values(path).into_iter().filter(|v| v["window"] == "365d" && scope(v)).collect()
}

#[test]
fn a_small_town_comes_out_as_written_by_hand() {
    let out = tempfile::tempdir().unwrap();
    done(&replay(&here("small-town/stream.jsonl"), out.path(), &[]));
    for file in FILES {
        let expected = values(&here("small-town/expected").join(file));
        let found = match file {
            "rates.jsonl" => rates_of_the_year(&out.path().join(file)),
            "statistics.jsonl" => {
                let mut rows = values(&out.path().join(file));
                rows.retain(|row| row["window"] == "365d");
                rows
            }
            _ => values(&out.path().join(file)),
        };
        for (n, (expected, found)) in expected.iter().zip(&found).enumerate() {
            assert!(fits(expected, found), "{file} record {}\nexpected {expected}\nfound    {found}", n + 1);
        }
        assert_eq!(expected.len(), found.len(), "{file}: {found:?}");
    }
    let mut names: Vec<_> =
        fs::read_dir(out.path()).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut wanted = FILES;
    wanted.sort_unstable();
    assert_eq!(names, wanted, "nothing else is left in the folder");
}

#[test]
fn hashes_are_of_one_policy_and_no_alert_has_the_id_of_another() {
    let out = tempfile::tempdir().unwrap();
    done(&replay(&here("small-town/stream.jsonl"), out.path(), &[]));
    let alerts = values(&out.path().join("alerts.jsonl"));
    let mut ids: Vec<&str> = alerts.iter().map(|a| a["alert_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), alerts.len());
    let hash = values(&out.path().join("summary.json"))[0]["policy_hash"].clone();
    assert_eq!(hash.as_str().unwrap().len(), 64);
    assert!(alerts.iter().all(|a| a["policy_hash"] == hash));
}

#[test]
fn every_run_writes_the_same_bytes_with_one_worker_and_with_two() {
    let (one, again, two) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stream = here("small-town/stream.jsonl");
    done(&replay(&stream, one.path(), &[]));
    done(&replay(&stream, again.path(), &[]));
    done(&replay(&stream, two.path(), &["--workers", "2"]));
    for file in FILES {
        let bytes = fs::read(one.path().join(file)).unwrap();
        assert_eq!(bytes, fs::read(again.path().join(file)).unwrap(), "{file}, the second run");
        assert_eq!(bytes, fs::read(two.path().join(file)).unwrap(), "{file}, two workers");
    }
}

/// The last line on standard error.
fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn the_last_line_says_how_many_lines_were_quarantined() {
    let out = tempfile::tempdir().unwrap();
    let output = replay(&here("small-town/stream.jsonl"), out.path(), &[]);
    done(&output);
    let quarantined = values(&out.path().join("quarantine.jsonl")).len();
    assert!(quarantined > 0);
    let said = last_line(&output);
    assert!(said.contains(&format!("{quarantined} quarantined (see quarantine.jsonl)")), "{said}");
    let sound = out.path().join("sound.jsonl");
    fs::write(&sound, "").unwrap();
    let said = last_line(&replay(&sound, &out.path().join("none"), &[]));
    assert!(said.contains("none quarantined"), "{said}");
}

/// The midnights are committed in portions; what they say is the same as in one.
#[test]
fn a_far_as_of_is_announced_and_decided_like_a_near_one() {
    let (far, near) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stream = here("small-town/stream.jsonl");
    let output = replay(&stream, far.path(), &["--as-of", "2030-02-20"]);
    done(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("letting every midnight"), "{output:?}");
    // Everything has left the windows after two years; nothing is said in the years that follow.
    done(&replay(&stream, near.path(), &["--as-of", "2027-02-20"]));
    let alerts = |dir: &Path| fs::read(dir.join("alerts.jsonl")).unwrap();
    assert_eq!(alerts(far.path()), alerts(near.path()));
    let closed = |v: &Value| v["change"] == "closed" && v["reason"] == "expired";
    assert!(values(&near.path().join("alerts.jsonl")).iter().any(closed));
    let as_of = |dir: &Path| values(&dir.join("summary.json"))[0]["as_of"].clone();
    assert_eq!((as_of(far.path()), as_of(near.path())), ("2030-02-20".into(), "2027-02-20".into()));
}

#[test]
fn a_later_as_of_lets_the_midnights_pass() {
    let out = tempfile::tempdir().unwrap();
    // The severe injury of 2025-02-20 is in the 365 days up to 2026-02-19.
    done(&replay(&here("small-town/stream.jsonl"), out.path(), &["--as-of", "2026-02-20"]));
    let alerts = values(&out.path().join("alerts.jsonl"));
    let last = alerts.last().unwrap();
    assert_eq!((&last["rule"], &last["change"]), (&"escalation".into(), &"closed".into()));
    assert_eq!(last["decided_at"], "2026-02-20T00:00:00+08:00");
    assert_eq!((&last["reason"], &last["audiences"]), (&"expired".into(), &Value::Array(Vec::new())));
    assert_eq!(last.get("level"), None);
    assert_eq!(values(&out.path().join("summary.json"))[0]["as_of"], "2026-02-20");
    let rates = rates_of_the_year(&out.path().join("rates.jsonl"));
    let city = rates.iter().find(|r| r["scope"] == "city").unwrap();
    assert_eq!(city["incidents"], 0);
}

#[test]
fn an_empty_stream_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("stream.jsonl");
    fs::write(&stream, "").unwrap();
    for (more, as_of) in [(vec![], Value::Null), (vec!["--as-of", "2025-01-31"], "2025-01-31".into())] {
        let out = dir.path().join(format!("out-{}", more.len()));
        done(&replay(&stream, &out, &more));
        for file in &FILES[..6] {
            assert_eq!(fs::read_to_string(out.join(file)).unwrap(), "", "{file}");
        }
        let summary = &values(&out.join("summary.json"))[0];
        assert_eq!((&summary["as_of"], &summary["lines"]), (&as_of, &0.into()));
    }
}

#[test]
fn lines_that_are_no_records_are_listed_in_order_and_count_as_lines() {
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("stream.jsonl");
    let refused = |at: &str| format!("{{\"topic\":\"reports.hr\",\"arrived_at\":\"{at}\",\"value\":{{}}}}\n");
    let mut text = b"\n".to_vec();
    text.extend(refused("2025-03-01T08:00:00+08:00").bytes());
    text.extend(b"\xff\xfe\n[1]\n");
    text.extend(refused("2025-03-01T08:00:00+08:00").bytes());
    text.extend(refused("2025-03-01T25:00:00+08:00").bytes());
    text.extend(b"{\"topic\":\"reports.hr\",\"arrived_at\":\"2025-03-01T08:00:00+08:00\",\"value\":1}");
    fs::write(&stream, text).unwrap();
    let out = dir.path().join("out");
    // No failure; but whoever named the wrong file shall learn it.
    let output = replay(&stream, &out, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = last_line(&output);
    assert!(said.starts_with("warning: every line was quarantined (7 of 7)"), "{said}");
    let lines = values(&out.join("quarantine.jsonl"));
    let numbers: Vec<u64> = lines.iter().map(|l| l["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    let reasons: Vec<&str> = lines.iter().map(|l| l["reason"].as_str().unwrap()).collect();
    let (bad, missing) = ("undecodable", "missing_field:source");
    assert_eq!(reasons, [bad, missing, bad, bad, missing, bad, bad]);
    assert_eq!(lines[2]["raw_base64"], "//4=");
    assert_eq!(lines[3].get("raw_base64"), None);
    let summary = &values(&out.join("summary.json"))[0];
    assert_eq!((&summary["lines"], &summary["quarantined"]), (&7.into(), &7.into()));
    assert_eq!(summary["as_of"], "2025-03-01");
}

/// A file without line feeds is one line, and does not fill the memory.
#[test]
fn a_line_without_an_end_is_quarantined_and_what_follows_is_decided() {
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("stream.jsonl");
    // Its beginning alone would be sound.
    let sound = line("registry.enterprises", "2025-03-01", registration(FIRMS[0], 1, "2020-01-01", None));
    let endless = sound.trim_end().to_owned() + &" ".repeat(20 << 20) + "x\n";
    fs::write(&stream, endless + &sound + "{}\n").unwrap();
    let out = dir.path().join("out");
    done(&replay(&stream, &out, &[]));
    let lines = values(&out.join("quarantine.jsonl"));
    let told: Vec<_> = lines.iter().map(|l| (l["line"].clone(), l["reason"].clone())).collect();
    assert_eq!(told, [(1.into(), "undecodable".into()), (3.into(), "undecodable".into())]);
    assert!(lines[0]["detail"].as_str().unwrap().starts_with("a line has at most 4194304 bytes"), "{told:?}");
    assert_eq!(lines[0]["raw"].as_str().unwrap().len(), 1 << 20);
    let summary = &values(&out.join("summary.json"))[0];
    assert_eq!((&summary["lines"], &summary["accepted"]), (&3.into(), &1.into()));
}

/// A line of a replay file.
fn line(topic: &str, day: &str, value: Value) -> String {
    let arrived_at = format!("{day}T08:00:00+08:00");
    serde_json::json!({"topic": topic, "arrived_at": arrived_at, "value": value}).to_string() + "\n"
}

const FIRMS: [&str; 2] = ["91330784XX00000190", "91330784XX000006X3"];

fn registration(firm: &str, version: u64, from: &str, successor_of: Option<&str>) -> Value {
    serde_json::json!({"uscc": firm, "version": version, "name": firm, "area": "330784001", "industry": "33",
        "valid_from": from, "status": "active", "successor_of": successor_of})
}

fn headcount(firm: &str, month: &str, insured: u32) -> Value {
    serde_json::json!({"uscc": firm, "month": month, "insured": insured, "version": 1})
}

/// What is accepted and reads oddly: shown once, with the line that brought it or none where a midnight did, in the
/// order of the lines among the door's own flags, and counted as flagged.
#[test]
fn the_clerk_is_shown_headcounts_that_jump_and_circles_of_successions() {
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("stream.jsonl");
    let [a, b] = FIRMS;
    let mut tagged = registration(b, 1, "2020-01-01", None);
    tagged["tags"] = serde_json::json!("保温杯");
    let lines = [
        line("registry.enterprises", "2025-03-01", registration(a, 1, "2020-01-01", None)),
        line("registry.enterprises", "2025-03-01", tagged),
        line("registry.headcount", "2025-03-01", headcount(a, "2025-01", 30)),
        line("registry.headcount", "2025-03-01", headcount(a, "2025-02", 3000)),
        line("registry.headcount", "2025-03-01", headcount(a, "2025-13", 30)),
        line("registry.headcount", "2025-03-01", headcount(b, "2025-02", 2999)),
        line("registry.enterprises", "2025-03-02", registration(b, 2, "2025-03-02", Some(a))),
        line("registry.headcount", "2025-03-02", headcount(b, "2025-01", 30)),
        line("registry.enterprises", "2025-03-03", registration(a, 2, "2025-03-01", Some(b))),
        line("registry.enterprises", "2025-03-03", registration(a, 2, "2025-03-01", Some(b))),
        line("registry.enterprises", "2025-03-04", registration(a, 3, "2025-03-04", None)),
        line("registry.enterprises", "2025-03-04", registration(a, 4, "2025-03-10", Some(b))),
    ];
    fs::write(&stream, lines.concat()).unwrap();
    let out = dir.path().join("out");
    done(&replay(&stream, &out, &["--as-of", "2025-03-20"]));
    let shown: Vec<(Value, Value, Value, String)> = values(&out.join("flags.jsonl"))
        .iter()
        .map(|f| {
            let text = |name: &str| f[name].as_str().unwrap().to_owned();
            assert_eq!(f.as_object().unwrap().len(), 5, "{f}");
            (
                f["line"].clone(),
                f["topic"].clone(),
                f["field"].clone(),
                text("problem") + ": " + &text("found"),
            )
        })
        .collect();
    let enterprises =
        |line: Value, field: &str, rest: String| (line, "registry.enterprises".into(), field.into(), rest);
    let jump = format!("headcount_jump: {a}: 30 in 2025-01, 3000 in 2025-02");
    let circle = format!("succession_loop: {a} -> {b} -> {a}");
    assert_eq!(
        shown,
        [
            enterprises(2.into(), "tags", "wrong_type: 保温杯".to_owned()),
            (4.into(), "registry.headcount".into(), "insured".into(), jump),
            enterprises(9.into(), "successor_of", circle.clone()),
            enterprises(Value::Null, "successor_of", circle + " from 2025-03-10 on"),
        ]
    );
    let summary = &values(&out.join("summary.json"))[0];
    assert_eq!((&summary["flagged"], &summary["quarantined"]), (&3.into(), &1.into()));
    assert_eq!(values(&out.join("quarantine.jsonl"))[0]["reason"], "bad_code:month");
    // What is flagged counts all the same, and each of the circle is read as its own.
    let city = |window: &str| {
        let rates = values(&out.join("rates.jsonl"));
        rates.into_iter().find(|r| r["scope"] == "city" && r["window"] == window).unwrap()
    };
    assert_eq!(city("year")["headcount"], (30.0 + 3000.0) / 2.0 + (30.0 + 2999.0) / 2.0);
}

/// Old history under a policy that begins later says nothing: that is no success that goes without saying.
#[test]
fn history_of_before_the_policy_is_said_on_standard_error() {
    let dir = tempfile::tempdir().unwrap();
    let stream = here("small-town/stream.jsonl");
    let policy = dir.path().join("policy.toml");
    fs::write(&policy, "[[policy]]\neffective_from = \"2025-12-01\"\n").unwrap();
    let policy = policy.to_str().unwrap();
    let said = |out: &str, more: &[&str]| {
        let output = replay(&stream, &dir.path().join(out), more);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        done(&output);
        said
    };
    let words = said("late", &["--policy", policy]);
    let counted = values(&dir.path().join("late/incidents.jsonl"));
    let earlier = counted.iter().filter(|i| i["state"] == "counted").count();
    let expected = format!(
        "{earlier} of {earlier} counted incidents occurred before the policy's first day, 2025-12-01"
    );
    assert!(words.contains(&expected) && words.contains("--policy-from DATE"), "{words}");
    let words = said("held", &["--policy", policy, "--policy-from", "2015-01-01"]);
    assert!(!words.contains("before the policy's first day"), "{words}");
}

#[test]
fn wrong_calls_say_so_and_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let stream = here("small-town/stream.jsonl");
    let out = dir.path().join("out");

    wrong_call(&replay(&stream, &out, &["--as-of", "2025-03-05"]), &out, "2025-03-06");
    wrong_call(&replay(&dir.path().join("none.jsonl"), &out, &[]), &out, "none.jsonl");
    wrong_call(&replay(&stream, &out, &["--as-of", "yesterday"]), &out, "yesterday");
    let began = std::time::Instant::now();
    wrong_call(&replay(&stream, &out, &["--as-of", "9999-12-31"]), &out, "more than 100 years after");
    assert!(began.elapsed().as_secs() < 10, "a slip in the year is said at once");

    let policy = dir.path().join("policy.toml");
    let table = |day| format!("[[policy]]\neffective_from = \"{day}\"\n");
    fs::write(&policy, table("2020-01-01") + &table("2021-01-01")).unwrap();
    let policy_arg = policy.to_str().unwrap();
    let both = ["--policy", policy_arg, "--policy-from", "2009-07-01"];
    wrong_call(&replay(&stream, &out, &both), &out, "--policy-from");
    fs::write(&policy, table("2020-01-01") + "colour = 1\n").unwrap();
    wrong_call(&replay(&stream, &out, &["--policy", policy_arg]), &out, "line 3");

    let blocked = dir.path().join("file");
    fs::write(&blocked, "").unwrap();
    wrong_call(&replay(&stream, &blocked, &[]), &dir.path().join("none"), "folder");
}

#[test]
fn what_was_there_before_stays_when_a_call_is_wrong() {
    let out = tempfile::tempdir().unwrap();
    let stream = here("small-town/stream.jsonl");
    done(&replay(&stream, out.path(), &[]));
    let before = fs::read(out.path().join("alerts.jsonl")).unwrap();
    assert_eq!(replay(&stream, out.path(), &["--as-of", "2020-01-01"]).status.code(), Some(2));
    assert_eq!(fs::read(out.path().join("alerts.jsonl")).unwrap(), before);
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), FILES.len());
}

#[test]
fn the_log_is_kept_where_it_is_wanted_and_never_over_another_file() {
    let dir = tempfile::tempdir().unwrap();
    let (out, kept) = (dir.path().join("out"), dir.path().join("kept.db"));
    let keep = ["--keep-log", kept.to_str().unwrap()];
    // The log has the policy that decided, though no file and no default says the same.
    done(&replay(
        &here("small-town/stream.jsonl"),
        &out,
        &[&keep[..], &["--policy-from", "2020-01-01"]].concat(),
    ));
    let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["kept.db", "out"], "the log is one file, and nothing else is left");
    assert_eq!(fs::read_dir(&out).unwrap().count(), FILES.len());
    // What it says is explained from it.
    for alert in values(&out.join("alerts.jsonl")) {
        let id = alert["alert_id"].as_str().unwrap();
        let why = Command::new(env!("CARGO_BIN_EXE_tocsin"))
            .args(["why", id, "--log-file", kept.to_str().unwrap()])
            .output()
            .unwrap();
        let page = String::from_utf8_lossy(&why.stdout).into_owned();
        let checked = why.status.success() && !page.contains("not checked");
        assert!(checked && page.contains(id), "{page}{}", String::from_utf8_lossy(&why.stderr));
    }
    let before = fs::read(&kept).unwrap();
    let other = dir.path().join("other");
    wrong_call(&replay(&here("small-town/stream.jsonl"), &other, &keep), &other, "--keep-log");
    assert_eq!(fs::read(&kept).unwrap(), before);
}

/// Its readers look for the policy that decided among those that had been read by then.
#[test]
fn a_kept_log_says_by_which_policy_was_decided_also_after_another_was_published() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let kept = ["--policy-from", "2020-01-01", "--keep-log", &at("kept.db")];
    done(&replay(&here("small-town/stream.jsonl"), &dir.path().join("out"), &kept));
    let file =
        "[log]\nkind = \"embedded\"\npath = \"kept.db\"\n[alerts.webhook]\nurl = \"http://127.0.0.1:9/\"\n";
    fs::write(at("tocsin.toml"), file).unwrap();
    let tables = "[[policy]]\neffective_from = \"2020-01-01\"\n[[policy]]\neffective_from = \"2090-01-01\"\nescalation.blue = 1\n";
    fs::write(at("new.toml"), tables).unwrap();
    let config = at("tocsin.toml");
    let call = |args: &[&str]| {
        let called = Command::new(env!("CARGO_BIN_EXE_tocsin"))
            .args(args)
            .args(["--config", &config])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&called.stderr).into_owned();
        assert!(called.status.success(), "{args:?}: {said}");
        String::from_utf8_lossy(&called.stdout).into_owned()
    };
    assert!(call(&["lists", "annual"]).contains("version 1 of the topic policy"));
    assert!(call(&["policy", "publish", &at("new.toml")]).contains("as version 2"));
    let page = call(&["lists", "annual"]);
    assert!(page.contains("version 1 of the topic policy") && page.contains("version 2"), "{page}");
}
