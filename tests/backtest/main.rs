//! `tocsin backtest` as it is called: the real binary, and two replays beside it whose files are counted by code of
//! the tests' own.

#![allow(clippy::unwrap_used, missing_docs)]

mod city;
mod log;
mod replays;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tocsin_schemas::time::Day;

use city::Line;
use replays::Replayed;

/// A folder with the stream and the policies of a test.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub lines: Vec<Line>,
}

pub fn tocsin(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tocsin")).current_dir(dir).args(args).output().unwrap()
}

pub fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

impl Place {
    pub fn new(seed: u64) -> Place {
        let place = Place { dir: tempfile::tempdir().unwrap(), lines: city::lines(seed) };
        place.stream("stream.jsonl", &place.lines);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn stream(&self, name: &str, lines: &[Line]) {
        let text: Vec<String> = lines.iter().map(Line::text).collect();
        fs::write(self.path(name), text.join("\n")).unwrap();
    }

    /// A policy of one table, whose day is moved by `--policy-from`.
    pub fn policy(&self, name: &str, fields: &str) {
        let text = format!("[[policy]]\neffective_from = \"2020-11-20\"\n{fields}\n");
        fs::write(self.path(name), text).unwrap();
    }

    fn backtest(&self, more: &[&str]) -> Output {
        let mut args = vec!["backtest", "stream.jsonl"];
        args.extend(more);
        tocsin(self.dir.path(), &args)
    }

    fn report(&self, more: &[&str]) -> Value {
        let mut args = vec!["--policy", "new.toml", "--against", "old.toml", "--json"];
        args.extend(more);
        serde_json::from_str(&done(&self.backtest(&args))).unwrap()
    }

    /// A replay of everything that arrived up to a day.
    fn replay(&self, policy: &str, to: Day, more: &[&str]) -> Replayed {
        let lines: Vec<Line> = self.lines.iter().filter(|l| l.at.day() <= to).cloned().collect();
        self.stream("part.jsonl", &lines);
        let (out, to) = (format!("out-{policy}"), to.to_string());
        let mut args = vec!["replay", "part.jsonl", "--out", &out, "--policy", policy, "--as-of", &to];
        args.extend(more);
        done(&tocsin(self.dir.path(), &args));
        Replayed::read(&self.path(&out))
    }
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// The client's own question: blue at 1 and yellow at 2, or yellow at 4. With and without the rule of one severe.
#[test]
fn the_differences_are_those_of_two_replays() {
    let last = day("2023-12-31");
    for (seed, severe) in [(1, "true"), (2, "false")] {
        let place = Place::new(seed);
        let fields =
            |yellow| format!("escalation = {{ blue = 1, yellow = {yellow}, severe_is_red = {severe} }}");
        place.policy("old.toml", &fields(2));
        place.policy("new.toml", &fields(4));
        let report = place.report(&[]);
        let (old, new) = (place.replay("old.toml", last, &[]), place.replay("new.toml", last, &[]));
        replays::assert_equal(&report, &old, &new, city::first(), last);
        replays::assert_not_due(&report, &old, &new);
        replays::assert_phones(&report, &place.lines, &old, &new, city::first(), last);
        let days = (city::first(), last);
        for (side, replayed, yellow) in [("old", &old, 2), ("new", &new, 4)] {
            let steps = [1, yellow, 4, 5];
            let found = &report["by_chance"][side];
            replays::assert_chance(found, &place.lines, replayed, days, steps, 365, severe == "true");
        }
        assert!(report["differences"].as_array().unwrap().len() > 50, "there is something to compare");
    }
}

/// Before the policy, then too old, then before the policy again: the last is so, and nothing is written of it.
#[test]
fn a_reason_that_came_back_is_the_one_that_counts() {
    let mut place = Place::new(10);
    place.policy("old.toml", "");
    place.policy("new.toml", "");
    let mut report = place.lines.iter().find(|line| line.topic == "reports.hr").unwrap().clone();
    report.value["source_record_id"] = "R".into();
    report.value["person_key"] = "9".repeat(64).into();
    for (version, arrived, occurred) in
        [(1, "2021-01-05", "2021-01-02"), (2, "2021-01-10", "2020-06-01"), (3, "2021-01-20", "2021-01-03")]
    {
        report.at = day(arrived).midnight().plus_millis(1);
        report.value["version"] = version.into();
        report.value["occurred_on"] = occurred.into();
        place.lines.push(report.clone());
    }
    place.lines.sort_by_key(|line| line.at);
    place.stream("stream.jsonl", &place.lines);
    let (last, begins) = (day("2023-12-31"), ["--policy-from", "2021-03-01"]);
    let found = place.report(&begins);
    let replay = |policy: &str| place.replay(policy, last, &begins);
    replays::assert_not_due(&found, &replay("old.toml"), &replay("new.toml"));
}

/// Whoever takes a firm over on the last day has its people and its injuries, so its evenings too.
#[test]
fn the_evenings_of_a_firm_stay_where_its_headcount_is_once_it_is_taken_over() {
    let mut place = Place::new(9);
    place.policy("old.toml", "");
    place.policy("new.toml", "");
    let alone = place.report(&[]);
    let mut heir = place.lines.iter().find(|line| line.value["uscc"] == city::uscc(0)).unwrap().clone();
    assert_eq!(heir.topic, "registry.enterprises");
    heir.value["uscc"] = city::uscc(40).into();
    heir.value["successor_of"] = city::uscc(0).into();
    heir.value["valid_from"] = "2023-12-31".into();
    place.lines.insert(0, heir);
    place.stream("stream.jsonl", &place.lines);
    let taken_over = place.report(&[]);
    let escalations = |report: &Value| {
        let levels = report["escalations"].as_array().unwrap().iter();
        levels.map(|level| level["old"].as_i64().unwrap()).sum::<i64>()
    };
    assert_eq!(escalations(&taken_over), escalations(&alone) + 1, "the heir has its own on the last day");
    for row in 0..4 {
        let of = |report: &Value| report["by_chance"]["old"]["levels"][row]["stood"].clone();
        assert_eq!(of(&taken_over), of(&alone));
    }
}

/// Policies that merge differently number their incidents differently; what is said of an enterprise is compared.
#[test]
fn other_rules_of_merging_and_other_windows_compare_too() {
    let place = Place::new(3);
    place.policy("old.toml", "");
    place.policy(
        "new.toml",
        "escalation.window_days = 180\nmerge = { case_days = 0, incident_minutes = 0 }\nowner_alert.max_age_days = 30",
    );
    let last = day("2023-12-31");
    let report = place.report(&[]);
    let (old, new) = (place.replay("old.toml", last, &[]), place.replay("new.toml", last, &[]));
    replays::assert_equal(&report, &old, &new, city::first(), last);
    replays::assert_not_due(&report, &old, &new);
    let alerts = |r: &Replayed| r.alerts.iter().filter(|a| a["rule"] == "owner_incident").count();
    assert_ne!(alerts(&old), alerts(&new), "the merging tells");
}

#[test]
fn only_the_days_asked_for_are_compared_and_what_lies_before_is_history() {
    let place = Place::new(4);
    place.policy("old.toml", "escalation = { blue = 1, yellow = 2 }");
    place.policy("new.toml", "escalation = { blue = 1, yellow = 4 }");
    for (from, to) in
        [("2022-02-10", "2022-09-30"), ("2023-06-15", "2023-06-15"), ("2023-01-01", "2024-03-31")]
    {
        let report = place.report(&["--from", from, "--to", to]);
        let (from, to) = (day(from), day(to));
        let (old, new) = (place.replay("old.toml", to, &[]), place.replay("new.toml", to, &[]));
        replays::assert_equal(&report, &old, &new, from, to);
        replays::assert_phones(&report, &place.lines, &old, &new, from, to);
    }
    let report = place.report(&["--from", "2022-02-10", "--to", "2022-09-30"]);
    let to = day("2022-09-30");
    let new = place.replay("new.toml", to, &[]);
    let steps = [1, 4, 4, 5];
    let found = &report["by_chance"]["new"];
    replays::assert_chance(found, &place.lines, &new, (day("2022-02-10"), to), steps, 365, true);
}

#[test]
fn policy_from_moves_both_and_the_default_is_compared_with() {
    let place = Place::new(5);
    place.policy("default.toml", "");
    place.policy("new.toml", "escalation = { blue = 1, yellow = 2 }");
    let moved = ["--policy-from", "2022-01-01"];
    let mut args = vec!["--policy", "new.toml", "--json"];
    args.extend(moved);
    let report: Value = serde_json::from_str(&done(&place.backtest(&args))).unwrap();
    let last = day("2023-12-31");
    let (old, new) = (place.replay("default.toml", last, &moved), place.replay("new.toml", last, &moved));
    replays::assert_equal(&report, &old, &new, city::first(), last);
    for side in ["old", "new"] {
        assert_eq!(report["policies"][side]["effective_from"][0], "2022-01-01");
    }
    let notes = report["notes"].as_array().unwrap();
    assert!(notes[0].as_str().unwrap().contains("OLD takes effect on 2022-01-01"), "{notes:?}");
    let same: Value =
        serde_json::from_str(&done(&place.backtest(&["--policy", "default.toml", "--json"]))).unwrap();
    assert!(same["differences"].as_array().unwrap().is_empty());
    assert!(same["notes"][0].as_str().unwrap().contains("the same policy"));
}

/// What is to be published holds every table; the new one is tried as if it had held all along.
#[test]
fn a_table_of_the_future_is_run_as_if_it_had_held() {
    let place = Place::new(8);
    let begins = |day: &str, fields: &str| format!("[[policy]]\neffective_from = \"{day}\"\n{fields}\n");
    let (old, new) =
        (begins("2020-11-20", ""), begins("2027-01-01", "escalation = { blue = 1, yellow = 2 }"));
    fs::write(place.path("old.toml"), &old).unwrap();
    fs::write(place.path("both.toml"), format!("{old}{new}")).unwrap();
    fs::write(place.path("alone.toml"), &new).unwrap();
    place.policy("held.toml", "escalation = { blue = 1, yellow = 2 }");
    let json = |policy: &str, more: &[&str]| -> Value {
        let args = [&["--policy", policy, "--against", "old.toml", "--json"], more].concat();
        serde_json::from_str(&done(&place.backtest(&args))).unwrap()
    };
    let expected = json("held.toml", &[]);
    assert!(!expected["differences"].as_array().unwrap().is_empty());
    for file in ["both.toml", "alone.toml"] {
        let mut found = json(file, &["--table", "2027-01-01"]);
        let from = found["policies"]["new"]["from"].as_str().unwrap().to_owned();
        assert_eq!(from, format!("{file}, its table of 2027-01-01 as if it held from 2020-11-20"));
        found["policies"]["new"]["from"] = "held.toml".into();
        assert_eq!(found, expected);
    }
    // Without it the page says how.
    let notes = json("both.toml", &[])["notes"].to_string();
    assert!(notes.contains("2027-01-01") && notes.contains("--table DATE"), "{notes}");
    for (args, wanted) in [
        (
            ["--policy", "alone.toml", "--table", "2026-01-01"],
            "has no table that begins on 2026-01-01: it has one from 2027-01-01",
        ),
        (["--policy", "alone.toml", "--against", "old.toml"], "--table 2027-01-01"),
        (["--policy", "both.toml", "--policy-from", "2020-01-01"], "--table DATE"),
        (["--policy", "alone.toml", "--to", "2023-01-01"], "--table 2027-01-01"),
    ] {
        let output = place.backtest(&args);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains(wanted), "{words}");
    }
    // Both on another day.
    let moved = ["--policy-from", "2022-01-01"];
    let found = json("both.toml", &[&moved[..], &["--table", "2027-01-01"]].concat());
    assert_eq!(found["differences"], json("held.toml", &moved)["differences"]);
}

#[test]
fn the_page_for_people_lines_up_and_no_phone_is_on_it() {
    let place = Place::new(6);
    place.policy("old.toml", "escalation = { blue = 1, yellow = 2 }");
    place.policy("new.toml", "escalation = { blue = 1, yellow = 4 }");
    let page = done(&place.backtest(&["--policy", "new.toml", "--against", "old.toml"]));
    let json = done(&place.backtest(&["--policy", "new.toml", "--against", "old.toml", "--json"]));
    for line in place.lines.iter().filter(|l| l.topic == "registry.contacts") {
        let phone = line.value["phone"].as_str().unwrap();
        assert!(!page.contains(phone) && !json.contains(phone), "{phone}");
    }
    let report: Value = serde_json::from_str(&json).unwrap();
    let yellow = report["escalations"][1].clone();
    let at = page.lines().position(|l| l.contains("ESCALATIONS opened")).unwrap();
    let row: Vec<&str> = page.lines().nth(at + 2).unwrap().split_whitespace().collect();
    let n = |name: &str| yellow[name].to_string();
    assert_eq!(row, ["yellow", &n("old"), &n("new"), &n("difference")]);
    let widths: Vec<usize> = page.lines().skip(at).take(5).map(str::len).collect();
    assert!(widths.windows(2).all(|w| w[0] == w[1]), "{widths:?}");
    // A township is named beside its code; one that has no name in our table is its code.
    let rows: Vec<&str> = page.lines().map(str::trim_start).filter(|l| l.starts_with("330784")).collect();
    assert_eq!(rows.len(), 4, "{rows:?}");
    for row in rows {
        let named = ["330784001 东城街道 ", "330784002 西城街道 ", "330784003 江南街道 ", "330784004  "];
        assert!(named.iter().any(|name| row.starts_with(name)), "{row}");
    }
    for word in ["MESSAGES", "TOWNSHIPS", "by chance alone", "INCIDENTS that nobody is told of", "Poisson"] {
        assert!(page.contains(word), "{word}");
    }
}

#[test]
fn a_wrong_call_names_the_next_step() {
    let place = Place::new(7);
    place.policy("old.toml", "");
    place.policy("new.toml", "");
    let two = "[[policy]]\neffective_from = \"2020-01-01\"\n[[policy]]\neffective_from = \"2021-01-01\"\n";
    fs::write(place.path("two.toml"), two).unwrap();
    fs::write(place.path("slip.toml"), "[[policy]]\neffective_from = \"2020-01-01\"\ncolour = 1\n").unwrap();
    fs::write(place.path("empty.jsonl"), "\n").unwrap();
    let with = |more: &[&'static str]| [&["--policy", "new.toml"], more].concat();
    let calls: [(Vec<&str>, &str); 10] = [
        (with(&["--from", "2023-01-02", "--to", "2023-01-01"]), "--from 2023-01-02 is after --to 2023-01-01"),
        (with(&["--from", "2020-12-31"]), "before the first arrival's day 2021-01-01: expected that day"),
        (with(&["--to", "2020-12-31"]), "before the first arrival's day 2021-01-01"),
        (with(&["--from", "2024-01-01"]), "after the last arrival's day 2023-12-31"),
        (with(&["--to", "2199-01-01"]), "more than 100 years after the last arrival's day"),
        (with(&["--policy-from", "2024-06-01"]), "let it begin earlier with --policy-from DATE"),
        (with(&["--against", "two.toml", "--policy-from", "2021-06-01"]), "OLD (two.toml)"),
        (with(&["--config", "none.toml"]), "none.toml"),
        (vec!["--policy", "slip.toml"], "line 3"),
        (vec!["--policy", "none.toml"], "cannot read the policy none.toml"),
    ];
    for (args, wanted) in calls {
        let output = place.backtest(&args);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}: {words}");
        assert!(words.contains(wanted), "{args:?}: {words}");
    }
    let others: [(&[&str], &str); 3] = [
        (&["backtest", "--policy", "new.toml"], "STREAM.jsonl|--config <FILE>"),
        (&["backtest", "empty.jsonl", "--policy", "new.toml"], "nothing ever arrived"),
        (&["backtest", "none.jsonl", "--policy", "new.toml"], "cannot read the stream none.jsonl"),
    ];
    for (args, wanted) in others {
        let output = tocsin(place.dir.path(), args);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains(wanted), "{words}");
    }
}
