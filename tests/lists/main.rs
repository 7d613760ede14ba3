//! `tocsin lists` as it is called: a town whose figures were worked out by hand, from a file and from a log.

#![allow(clippy::unwrap_used, missing_docs)]

mod log;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::{Value, json};
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::log::{EventLog, NewRecord};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;

const LAST: &str = "2025-06-30T09:00:00+08:00";

fn tocsin(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tocsin")).current_dir(dir).args(args).output().unwrap()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn wrong(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn uscc(n: u32) -> String {
    let body = format!("91330784XX{n:07}");
    let check = Uscc::check_symbol(body.as_bytes()).unwrap();
    format!("{body}{}", check as char)
}

struct Line {
    topic: String,
    at: String,
    value: Value,
}

#[derive(Default)]
struct Town {
    lines: Vec<Line>,
    persons: u64,
}

impl Town {
    fn add(&mut self, topic: &str, at: &str, value: Value) {
        self.lines.push(Line { topic: topic.into(), at: at.into(), value });
    }

    /// An enterprise with so many insured in each month of 2024 and of 2025 up to June.
    fn firm(&mut self, n: u32, name: &str, industry: &str, status: &str, tags: &[&str], insured: u32) {
        let at = "2024-01-01T08:00:00+08:00";
        let enterprise = json!({"uscc": uscc(n), "version": 1, "name": name, "area": "330784001",
            "industry": industry, "valid_from": "2020-01-01", "status": status, "tags": tags});
        self.add("registry.enterprises", at, enterprise);
        for month in 0..18 {
            let text = format!("{}-{:02}", 2024 + month / 12, 1 + month % 12);
            let value = json!({"uscc": uscc(n), "month": text, "insured": insured, "version": 1});
            self.add("registry.headcount", at, value);
        }
    }

    /// An injury that arrives on its evening.
    fn injury(&mut self, n: u32, on: &str, how: Value) {
        self.persons += 1;
        let mut value = json!({"source": "hr", "source_record_id": self.persons.to_string(), "version": 1,
            "status": "accepted", "occurred_on": on, "reported_at": format!("{on}T18:00:00+08:00"), "uscc": uscc(n),
            "person_key": format!("{:064x}", self.persons)});
        for (key, field) in how.as_object().unwrap() {
            value[key] = field.clone();
        }
        self.add("reports.hr", &format!("{on}T18:00:00+08:00"), value);
    }
}

/// In 2025 to the end of June: 11 incidents and 1069 insured in the city, 10 and 150 in division 33.
fn town() -> Town {
    let mut town = Town::default();
    town.firm(1, "永康甲门业有限公司", "3312", "active", &["防盗门"], 100);
    town.firm(2, "Works B", "3311", "active", &[], 40);
    town.firm(3, "永康丙建筑有限公司", "50", "active", &[], 860);
    town.firm(4, "Nine hands", "50", "active", &[], 9);
    town.firm(5, "Closed works", "50", "closed", &[], 50);
    town.firm(6, "永康己五金厂", "33", "active", &[], 10);
    let press = json!({"post": " 冲压工 ", "process": "冲压", "equipment": "press", "lost_days": 5});
    for day in 10..20 {
        town.injury(1, &format!("2024-02-{day}"), json!({}));
    }
    town.injury(3, "2024-03-01", json!({}));
    for on in ["2025-01-15", "2025-05-10"] {
        town.injury(1, on, press.clone());
    }
    for month in 1..=3 {
        town.injury(2, &format!("2025-0{month}-20"), press.clone());
    }
    for day in 16..=20 {
        town.injury(2, &format!("2025-06-{day}"), json!({"post": "", "lost_days": 7}));
    }
    town.injury(3, "2025-03-01", json!({"equipment": "crane"}));
    let freeze = json!({"event_id": "G1", "kind": "freeze_list", "subject": "2024", "on": "2025-06-30",
        "version": 1, "actor": "clerk", "approver": "the head", "details": "{}"});
    town.add("governance.events", LAST, freeze);
    town.lines.sort_by(|a, b| a.at.cmp(&b.at));
    town
}

/// A folder with the stream.
fn place() -> tempfile::TempDir {
    written(&town())
}

/// A folder with the stream of a town.
fn written(town: &Town) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text = |l: &Line| json!({"topic": l.topic, "arrived_at": l.at, "value": l.value}).to_string();
    let lines: Vec<String> = town.lines.iter().map(text).collect();
    fs::write(dir.path().join("stream.jsonl"), lines.join("\n")).unwrap();
    dir
}

fn listed(dir: &Path, args: &[&str]) -> Value {
    let mut all = vec!["lists"];
    all.extend(args);
    all.push("--json");
    serde_json::from_str(&done(&tocsin(dir, &all))).unwrap()
}

#[test]
fn streaks_are_those_worked_out_by_hand() {
    let dir = place();
    let page = listed(dir.path(), &["streaks", "stream.jsonl"]);
    assert_eq!((&page["as_of"], &page["clock"]), (&json!("2025-06-30"), &json!(LAST)));
    assert_eq!(page["policy_hash"].as_str().unwrap().len(), 64);
    let row = |n, since: &str, by: &str, days: u32, headcount: f64| {
        json!([uscc(n), since, by, days, headcount, "330784001"])
    };
    let rows: Vec<Value> = page["streaks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| json!([s["uscc"], s["since"], s["since_by"], s["days"], s["headcount"], s["area"]]))
        .collect();
    let expected = [
        row(6, "2024-01-01", "first_headcount", 546, 10.0),
        row(3, "2025-03-01", "last_incident", 121, 860.0),
        row(1, "2025-05-10", "last_incident", 51, 100.0),
        row(2, "2025-06-20", "last_incident", 10, 40.0),
    ];
    assert_eq!(rows, expected);
    assert_eq!(page["left_out"], json!({"closed": 1, "too_small": 1}));
    // As known on an earlier day: the later incidents had not happened.
    let page = listed(dir.path(), &["streaks", "stream.jsonl", "--as-of", "2025-03-05"]);
    let of_three = page["streaks"].as_array().unwrap().iter().find(|s| s["uscc"] == json!(uscc(3))).unwrap();
    assert_eq!((&of_three["since"], &of_three["days"]), (&json!("2025-03-01"), &json!(4)));
    let of_one = page["streaks"].as_array().unwrap().iter().find(|s| s["uscc"] == json!(uscc(1))).unwrap();
    assert_eq!(of_one["since"], json!("2025-01-15"));
    // And on a later one: days pass.
    let page = listed(dir.path(), &["streaks", "stream.jsonl", "--as-of", "2025-07-01"]);
    assert_eq!(page["streaks"][0]["days"], json!(547));
}

#[test]
fn an_industry_is_named_by_what_chance_does_not_explain_and_its_candidate_by_its_fall() {
    let dir = place();
    let page = listed(dir.path(), &["industries", "stream.jsonl"]);
    assert_eq!((&page["from"], &page["to"]), (&json!("2025-01-01"), &json!("2025-06-30")));
    assert_eq!((&page["before_from"], &page["before_to"]), (&json!("2024-01-01"), &json!("2024-06-30")));
    let [metal, building] = page["industries"].as_array().unwrap().as_slice() else { panic!("{page:#}") };
    assert_eq!((&metal["industry"], &metal["verdict"]), (&json!("33"), &json!("high")));
    assert_eq!((&building["industry"], &building["verdict"]), (&json!("50"), &json!("few_incidents")));
    assert_eq!((&metal["figures"]["incidents"], &metal["figures"]["headcount"]), (&json!(10), &json!(150.0)));
    let expected = 11.0 * 150.0 / 1069.0;
    // The tail from 10 on, term by term.
    let mut term = f64::exp(-expected);
    let mut tail = 0.0;
    for k in 1..200 {
        term *= expected / f64::from(k);
        tail += if k >= 10 { term } else { 0.0 };
    }
    let near = |found: &Value, expected: f64| {
        let found = found.as_f64().unwrap();
        assert!((found - expected).abs() <= 1e-9 * expected, "{found} {expected}");
    };
    near(&metal["expected"], expected);
    near(&metal["chance_of_as_many"], tail);
    near(&metal["adjusted"], 2.0 * tail);
    assert_eq!(metal["passed_over"], json!({"too_small": 2}));
    let [candidate] = metal["candidates"].as_array().unwrap().as_slice() else { panic!("{metal:#}") };
    assert_eq!(
        (
            &candidate["uscc"],
            &candidate["incidents"],
            &candidate["incidents_before"],
            &candidate["few_before"]
        ),
        (&json!(uscc(1)), &json!(2), &json!(10), &json!(false))
    );
    near(&candidate["fall_percent"], 80.0);
    // Of 12 fair coins at most 2 heads.
    near(&candidate["conditional_p"], (1.0 + 12.0 + 66.0) / 4096.0);
    // Another policy, another answer: nobody falls by nine tenths.
    let policy = "[[policy]]\neffective_from = \"2020-11-20\"\nlists.benchmark_fall_percent = 90\n";
    fs::write(dir.path().join("strict.toml"), policy).unwrap();
    let strict = listed(dir.path(), &["industries", "stream.jsonl", "--policy", "strict.toml"]);
    assert_eq!(strict["industries"][0]["passed_over"], json!({"not_fallen": 1, "too_small": 2}));
    assert_ne!(strict["policy_hash"], page["policy_hash"]);
    // The year before as a whole, as known in January: 11 incidents, all of them in February and March.
    let args = ["industries", "stream.jsonl", "--year", "2024", "--as-of", "2025-01-05"];
    let page = listed(dir.path(), &args);
    assert_eq!((&page["to"], &page["city"]["incidents"]), (&json!("2024-12-31"), &json!(11)));
}

/// The rate counts only enterprises with a headcount; both counts stand under their names.
#[test]
fn incidents_at_enterprises_without_a_headcount_stand_beside_those_in_the_rate() {
    let mut town = town();
    let firm = json!({"uscc": uscc(7), "version": 1, "name": "A site", "area": "330784001", "industry": "33",
        "valid_from": "2020-01-01", "status": "active"});
    town.add("registry.enterprises", "2024-01-01T08:00:00+08:00", firm);
    town.injury(7, "2025-06-29", json!({}));
    town.lines.sort_by(|a, b| a.at.cmp(&b.at));
    let dir = written(&town);
    let page = listed(dir.path(), &["industries", "stream.jsonl"]);
    let metal = page["industries"].as_array().unwrap().iter().find(|i| i["industry"] == "33").unwrap();
    let counts = |f: &Value| (f["incidents"].clone(), f["incidents_with_headcount"].clone());
    assert_eq!(counts(&metal["figures"]), (json!(11), json!(10)));
    assert_eq!(counts(&page["city"]), (json!(12), json!(11)));
    let text = done(&tocsin(dir.path(), &["lists", "industries", "stream.jsonl"]));
    assert!(text.contains("the city: 12 incidents, 11 of them in the rate"), "{text}");
    let row: Vec<&str> = text.lines().find(|l| l.starts_with(" 33 ")).unwrap().split_whitespace().collect();
    assert_eq!(row[2..6], ["4", "2025", "11", "10"], "{text}");
    // A year of which nothing is known names those of which something is.
    assert_eq!(page["years"], json!([2024, 2025]));
    let text = done(&tocsin(dir.path(), &["lists", "industries", "stream.jsonl", "--year", "2005"]));
    assert!(
        text.contains("Of 2005 nothing is known") && text.contains("There are some of: 2024, 2025"),
        "{text}"
    );
}

/// Nobody knows whether an injury stands behind a report that was refused: it breaks no streak, and is said beside it.
#[test]
fn beside_a_streak_stand_the_reports_of_the_firm_that_were_refused() {
    let mut town = town();
    let mut refused = |id: &str, arrived: &str, n: u32, on: &str, version: u64| {
        let value = json!({"source": "hr", "source_record_id": id, "version": version, "status": "accepted",
            "occurred_on": on, "reported_at": format!("{arrived}T18:00:00+08:00"), "uscc": uscc(n)});
        town.add("reports.hr", &format!("{arrived}T18:00:00+08:00"), value);
    };
    refused("R1", "2025-06-02", 6, "2026-06-01", 1);
    refused("R2", "2025-06-01", 6, "2025-06-01", 0);
    // Sent again in a sound form: known.
    refused("R3", "2025-06-03", 3, "2026-06-03", 1);
    refused("R3", "2025-06-04", 3, "2025-06-03", 1);
    town.add("reports.hr", "2025-06-05T18:00:00+08:00", json!({"source": "hr", "uscc": "none"}));
    town.lines.sort_by(|a, b| a.at.cmp(&b.at));
    let dir = written(&town);
    let page = listed(dir.path(), &["streaks", "stream.jsonl"]);
    assert_eq!(page["refused"], json!(4));
    let of = |n| page["streaks"].as_array().unwrap().iter().find(|s| s["uscc"] == json!(uscc(n))).unwrap();
    assert_eq!(
        of(6)["refused_reports"],
        json!({"reports": 2, "first_arrived_on": "2025-06-01", "last_occurred_on": "2026-06-01"})
    );
    assert_eq!((&of(6)["days"], &of(3)["refused_reports"]), (&json!(546), &Value::Null));
    let text = done(&tocsin(dir.path(), &["lists", "streaks", "stream.jsonl"]));
    assert!(text.contains("2 since 2025-06-01") && text.contains("accident on 2026-06-01"), "{text}");
    assert!(text.contains("of 1 of them reports that name the enterprise were refused"), "{text}");
}

#[test]
fn hazards_are_ranked_within_industries_and_clusters_and_few_is_said() {
    let dir = place();
    let rows = |args: &[&str]| -> Vec<Value> {
        let page = listed(dir.path(), args);
        let row = |h: &Value| {
            json!([
                h["key"],
                h["post"],
                h["process"],
                h["equipment"],
                h["incidents"],
                h["lost_days"],
                h["few"]
            ])
        };
        page["hazards"].as_array().unwrap().iter().map(row).collect()
    };
    let expected = [
        json!(["33", "unknown", "unknown", "unknown", 5, 35, false]),
        json!(["33", "冲压工", "冲压", "press", 5, 25, false]),
        json!(["50", "unknown", "unknown", "crane", 1, 0, true]),
    ];
    assert_eq!(rows(&["hazards", "stream.jsonl", "--window", "year"]), expected);
    let of_tags = rows(&["hazards", "stream.jsonl", "--window", "year", "--by", "tag"]);
    assert_eq!(of_tags, [json!(["防盗门", "冲压工", "冲压", "press", 2, 10, true])]);
    let month = rows(&["hazards", "stream.jsonl", "--window", "month"]);
    assert_eq!(month, [json!(["33", "unknown", "unknown", "unknown", 5, 35, false])]);
}

#[test]
fn tables_line_up_and_name_what_they_rest_on() {
    let dir = place();
    let page = done(&tocsin(dir.path(), &["lists", "streaks", "stream.jsonl"]));
    assert!(!page.contains('\u{1b}'), "no colours in a pipe");
    for words in ["As of:   2025-06-30", LAST, "the default policy, hash ", "1 closed, 1 too_small"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    // A Chinese character takes two columns.
    let width = |text: &str| text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
    let places: Vec<usize> = page
        .lines()
        .filter_map(|line| line.find("91330784").or_else(|| line.find("USCC")).map(|at| width(&line[..at])))
        .collect();
    assert_eq!(places.len(), 5);
    assert!(places.iter().all(|at| *at == places[0]), "{page}");
    let page = done(&tocsin(dir.path(), &["lists", "streaks", "stream.jsonl", "--top", "1"]));
    assert!(page.contains("and 3 more"), "{page}");
    let page = done(&tocsin(dir.path(), &["lists", "industries", "stream.jsonl"]));
    assert!(page.contains("BENCHMARK CANDIDATES of 33 金属制品业: 1; fewer than the 2"), "{page}");
}

#[test]
fn a_wrong_call_says_what_to_do() {
    let dir = place();
    let call = |args: &[&str]| {
        let mut all = vec!["lists"];
        all.extend(args);
        wrong(&tocsin(dir.path(), &all))
    };
    let early = call(&["streaks", "stream.jsonl", "--as-of", "2023-12-31"]);
    assert!(early.contains("expected that day or a later one"), "{early}");
    let year = call(&["annual", "stream.jsonl", "--year", "2022"]);
    assert!(year.contains("lists of 2024 and 2025 are kept on 2025-06-30"), "{year}");
    let neither = call(&["streaks"]);
    assert!(neither.contains("<STREAM.jsonl|--config <FILE>>"), "{neither}");
    let both = call(&["streaks", "stream.jsonl", "--config", "tocsin.toml"]);
    assert!(both.contains("cannot be used with"), "{both}");
    let year = call(&["industries", "stream.jsonl", "--year", "2026"]);
    assert!(year.contains("expected a year from 1990 to 2025"), "{year}");
    let window = call(&["hazards", "stream.jsonl", "--window", "week"]);
    assert!(window.contains("expected month, quarter"), "{window}");
    fs::write(dir.path().join("empty.jsonl"), "").unwrap();
    let empty = call(&["streaks", "empty.jsonl"]);
    assert!(empty.contains("nothing ever arrived in empty.jsonl"), "{empty}");
}

/// The stream on a new embedded log, stamped with its arrivals, and a configuration beside it.
fn fill(dir: &Path) {
    SqliteLog::open(&dir.join("log.db")).unwrap().ensure(&topics::settings(), false).unwrap();
    append(dir, &town().lines);
    fs::write(dir.join("tocsin.toml"), "[log]\nkind = \"embedded\"\npath = \"log.db\"\n").unwrap();
}

/// Puts lines on the log.
fn append(dir: &Path, lines: &[Line]) {
    let key = |topic: &str, value: &Value| {
        let names = topics::topic(topic).unwrap().key.split('|');
        let part = |name| value.get(name).map_or(String::new(), |v| v.as_str().unwrap_or("").to_owned());
        names.map(part).collect::<Vec<String>>().join("|").into_bytes()
    };
    let record = |line: &Line| NewRecord {
        topic: Arc::from(line.topic.as_str()),
        key: key(&line.topic, &line.value),
        value: Some(line.value.to_string().into_bytes()),
        stamp: Some(line.at.parse::<Instant>().unwrap()),
        route: None,
    };
    let log = SqliteLog::open(&dir.join("log.db")).unwrap();
    log.writer("feeds").unwrap().append(&lines.iter().map(record).collect::<Vec<_>>()).unwrap();
}

/// Without what says where it was read.
fn list_of(mut page: Value) -> Value {
    for key in ["source", "policy", "records", "refused"] {
        page.as_object_mut().unwrap().remove(key);
    }
    page
}

#[test]
fn the_log_tells_what_the_file_tells_and_the_topic_what_others_see() {
    let dir = place();
    fill(dir.path());
    let undecided = tocsin(dir.path(), &["lists", "annual", "--config", "tocsin.toml"]);
    assert_eq!(undecided.status.code(), Some(1));
    let words = String::from_utf8_lossy(&undecided.stderr).into_owned();
    assert!(words.contains("has not decided anything yet") && words.contains("--as-of"), "{words}");

    let run = ["run", "--config", "tocsin.toml", "--only", "pipeline", "--clock", "arrivals", "--until-end"];
    done(&tocsin(dir.path(), &run));
    for list in [
        vec!["streaks"],
        vec!["streaks", "--as-of", "2025-03-05"],
        vec!["industries"],
        vec!["hazards", "--window", "year"],
        vec!["annual", "--as-of", "2025-06-30"],
        vec!["annual", "--as-of", "2025-05-10", "--year", "2024"],
    ] {
        let file: Vec<&str> = list.iter().copied().chain(["stream.jsonl"]).collect();
        let log: Vec<&str> = list.iter().copied().chain(["--config", "tocsin.toml"]).collect();
        let (of_file, of_log) = (listed(dir.path(), &file), listed(dir.path(), &log));
        assert_eq!(list_of(of_log), list_of(of_file), "{list:?}");
    }
    let members =
        |page: &Value| page["lists"].as_array().unwrap().iter().map(|l| l["members"].clone()).collect();
    for more in [vec!["annual"], vec!["annual", "--year", "2024"], vec!["annual", "--frozen"]] {
        let file: Vec<&str> = more.iter().copied().chain(["stream.jsonl"]).collect();
        let log: Vec<&str> = more.iter().copied().chain(["--config", "tocsin.toml"]).collect();
        let (of_file, of_topic) = (listed(dir.path(), &file), listed(dir.path(), &log));
        let sizes = |page: &Value| page["lists"][0]["sizes"].clone();
        assert_eq!(sizes(&of_topic), sizes(&of_file), "{more:?}");
        // Who is on it and why; what they were compared with may be of the day on which each last changed.
        let plain = |page: &Value| -> Vec<Value> {
            let lists: Vec<Value> = members(page);
            let rows = lists.iter().flat_map(|l| l.as_array().unwrap());
            let row = |m: &Value| {
                json!([
                    m["uscc"],
                    m["name"],
                    m["area"],
                    m["class"],
                    m["reasons"],
                    m["incidents"],
                    m["key_years"]
                ])
            };
            rows.map(row).collect()
        };
        assert_eq!(plain(&of_topic), plain(&of_file), "{more:?}");
        assert!(!plain(&of_file).is_empty(), "{more:?}");
    }
    let late =
        wrong(&tocsin(dir.path(), &["lists", "streaks", "--config", "tocsin.toml", "--as-of", "2025-07-01"]));
    assert!(late.contains("up to which the service has decided"), "{late}");
}

#[test]
fn the_list_of_a_year_says_who_and_why_and_by_whom_it_was_frozen() {
    let dir = place();
    let page = listed(dir.path(), &["annual", "stream.jsonl"]);
    let list = &page["lists"][0];
    assert_eq!(
        (&list["year"], &list["sizes"]["key"], &list["sizes"]["general"]),
        (&json!(2025), &json!(1), &json!(2))
    );
    let order: Vec<&Value> = list["members"].as_array().unwrap().iter().map(|m| &m["uscc"]).collect();
    assert_eq!(order, [&json!(uscc(2)), &json!(uscc(1)), &json!(uscc(3))]);
    assert!(list["members"][0]["reasons"].as_array().unwrap().contains(&json!("high_rate")));
    let text = done(&tocsin(dir.path(), &["lists", "annual", "stream.jsonl"]));
    assert!(
        text.contains("on it: 1 key (重点), 0 of them for years running (持续多发); 2 general (一般)"),
        "{text}"
    );
    assert!(
        text.contains("永康甲门业有限公司") && text.contains(" 330784001 ") && text.contains(" 东城街道 "),
        "{text}"
    );
    // Whatever it has to say fits on a terminal.
    for list in ["annual", "streaks", "industries", "hazards"] {
        let text = done(&tocsin(dir.path(), &["lists", list, "stream.jsonl"]));
        let columns = |line: &str| line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
        let wide: Vec<&str> = text.lines().filter(|line| columns(line) > 125).collect();
        assert!(wide.is_empty(), "{list}: {wide:#?}");
    }
    let text = done(&tocsin(dir.path(), &["lists", "annual", "stream.jsonl", "--frozen"]));
    assert!(
        text.contains("LIST OF 2024, frozen by event G1") && text.contains("approved by the head"),
        "{text}"
    );
    let none = done(&tocsin(dir.path(), &["lists", "annual", "stream.jsonl", "--frozen", "--year", "2023"]));
    assert!(none.contains("No list was frozen."), "{none}");
}

#[test]
fn a_limit_is_shown_with_all_its_digits() {
    let dir = place();
    let policy = "[[policy]]\neffective_from = \"2020-11-20\"\nlists.industry_innocent = 0.0004\n";
    fs::write(dir.path().join("policy.toml"), policy).unwrap();
    let text = done(&tocsin(dir.path(), &["lists", "industries", "stream.jsonl", "--policy", "policy.toml"]));
    assert!(text.contains("named at most 0.04 % are innocent on average"), "{text}");
}

#[test]
fn a_list_that_was_not_frozen_is_not_headed_as_one_that_was() {
    let mut town = town();
    for (id, year) in [("G2", "2024"), ("G3", "last year")] {
        let freeze = json!({"event_id": id, "kind": "freeze_list", "subject": year, "on": "2025-06-30",
            "version": 1, "actor": "clerk", "details": "{}"});
        town.add("governance.events", LAST, freeze);
    }
    let text =
        done(&tocsin(written(&town).path(), &["lists", "annual", "stream.jsonl", "--frozen", "--top", "1"]));
    for line in [
        format!("Event G2 asked to freeze the list of 2024: not frozen (no_approver), decided at {LAST}"),
        format!("Event G3 asked to freeze a list: not frozen (not_a_year), decided at {LAST}"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(!text.contains("nobody") && !text.contains("LIST OF 0"), "{text}");
}

/// The files of a replay are passed on: who approved that a list was frozen is in the event.
#[test]
fn the_files_of_a_replay_name_no_approver() {
    let dir = place();
    done(&tocsin(dir.path(), &["replay", "stream.jsonl", "--out", "out"]));
    for file in fs::read_dir(dir.path().join("out")).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("the head"), "{}: {text}", path.display());
    }
    let lists = fs::read_to_string(dir.path().join("out/lists.jsonl")).unwrap();
    assert!(lists.lines().any(|line| line.contains("\"event_id\":\"G1\"")), "{lists}");
}
