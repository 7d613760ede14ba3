//! A policy is a record: published while the service runs, while it is down, a wrong one, and one that is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tocsin_pipeline::Policies;
use tocsin_schemas::codes::{Change, Level, Reason, Rule};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::log::NewRecord;
use tocsin_schemas::records::Alert;
use tocsin_schemas::topics;
use tocsin_testkit::{Broker, kafka_wanted};

use crate::house::{AREA, AT, DAY, FIRM, House, Running, report, tocsin, told, until};

/// Blue from the first incident on, yellow from the second.
const STRICT: &str =
    "[[policy]]\neffective_from = \"2020-11-20\"\nescalation.blue = 1\nescalation.yellow = 2\n";
/// The default, and from the day after [`DAY`] on the strict one.
const LATER: &str = "[[policy]]\neffective_from = \"2020-11-20\"\n\n[[policy]]\neffective_from = \"2025-03-02\"\n\
                     escalation.blue = 1\nescalation.yellow = 2\n";
const WRONG: &str = "[[policy]]\neffective_from = \"2020-11-20\"\nescalation.blue = 0\n";

fn hash(text: &str) -> String {
    Policies::parse(text).unwrap().hash().to_string()
}

fn publish(house: &House, text: &str) -> Output {
    let file = house.dir.path().join("new.toml");
    std::fs::write(&file, text).unwrap();
    let config = house.config();
    tocsin(&["policy", "publish", file.to_str().unwrap(), "--config", config.to_str().unwrap()])
}

fn published(house: &House, text: &str) -> String {
    let done = publish(house, text);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Whatever somebody else's program may append.
fn by_hand(house: &House, value: &[u8]) {
    let (topic, key, value) = (Arc::from(topics::POLICY), b"2020-11-20".to_vec(), Some(value.to_vec()));
    house
        .log
        .writer("by hand")
        .unwrap()
        .append(&[NewRecord { topic, key, value, stamp: None, route: None }])
        .unwrap();
}

fn escalations(house: &House) -> Vec<Alert> {
    house.alerts().into_iter().filter(|a| a.rule == Rule::Escalation).collect()
}

/// What was said of enterprises, in short and sorted: `change level reason`.
fn warned(house: &House) -> Vec<String> {
    let word = |a: &Alert| {
        let level = a.level.map_or("-", Level::as_str);
        format!("{} {level} {}", a.change, a.reason.map_or("-", Reason::as_str))
    };
    let mut all: Vec<String> = escalations(house).iter().map(word).collect();
    all.sort();
    all
}

fn accepted(house: &House) -> u64 {
    house.progress().map_or(0, |p| p.counters.accepted)
}

const FIRMS: u32 = 30;

fn firm(n: u32) -> Uscc {
    let body = format!("91330784XY{n:07}");
    let check = Uscc::check_symbol(body.as_bytes()).unwrap();
    format!("{body}{}", check as char).parse().unwrap()
}

fn injury(house: &House, n: u32, day: &str) {
    let id = format!("{n}-{day}");
    let mut value = report(&id, day);
    value["uscc"] = json!(firm(n).as_str());
    house.append("reports.hr", &id, &value, AT);
}

/// Reports arrive all the while. Each firm has one injury, then a second one; between them the policy changes, so that
/// the first one is a warning too. Then a wrong one comes, and nothing changes.
fn a_policy_changes_under_load(house: House) {
    let house = house.started();
    for n in 0..FIRMS {
        let value = json!({"uscc": firm(n).as_str(), "version": 1, "name": format!("第{n}厂"), "area": AREA,
            "industry": "33", "valid_from": "2015-01-01", "status": "active"});
        house.append(topics::ENTERPRISES, firm(n).as_str(), &value, Some("2025-03-01T07:00:00+08:00"));
    }
    let run = house.run_caught_up(&[]);
    let registered = accepted(&house);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..FIRMS).for_each(|n| injury(&house, n, "2025-02-20")));
        until("some are decided by the old policy", || accepted(&house) > registered + 5);
        let said = published(&house, STRICT);
        assert!(said.contains("as version 2") && said.contains(&hash(STRICT)), "{said}");
        assert!(said.contains("escalation.blue"), "{said}");
    });
    until("it is taken over", || house.progress().is_some_and(|p| p.policy_hash == hash(STRICT)));
    std::thread::scope(|scope| {
        scope.spawn(|| (0..FIRMS).for_each(|n| injury(&house, n, DAY)));
        until("some are decided by the new policy", || escalations(&house).len() as u32 > FIRMS + 5);
        by_hand(&house, WRONG.as_bytes());
    });
    // One is the policy.
    let all = registered + u64::from(2 * FIRMS) + 1;
    until("everything is counted", || {
        house.progress().is_some_and(|p| p.counters.accepted == all && p.counters.quarantined == 1)
    });
    let progress = house.progress().unwrap();
    assert_eq!(progress.counters.arrived(), all + 1);
    assert_eq!(progress.policy_hash, hash(STRICT), "the old one stays in force");
    let refused = house.quarantined().pop().unwrap();
    assert_eq!((refused.topic.as_str(), refused.reason.as_str()), (topics::POLICY, "bad_policy"));
    assert!(refused.detail.starts_with("line 3, column 19: escalation.blue must be"), "{}", refused.detail);
    assert!(run.said().contains("the old one stays in force"), "{}", run.said());

    // Nothing is said twice, nothing is lost, and each says which policy decided it.
    let alerts = house.alerts();
    let ids: BTreeSet<&str> = alerts.iter().map(|a| a.alert_id.as_str()).collect();
    assert_eq!(ids.len(), alerts.len());
    assert_eq!(alerts.iter().filter(|a| a.rule == Rule::OwnerIncident).count() as u32, 2 * FIRMS);
    let mut by_firm: BTreeMap<Uscc, Vec<Alert>> = BTreeMap::new();
    for alert in escalations(&house) {
        assert_eq!(&*alert.policy_hash, hash(STRICT));
        by_firm.entry(alert.uscc).or_default().push(alert);
    }
    assert_eq!(by_firm.len() as u32, FIRMS);
    for said in by_firm.values() {
        let (new, raised) = (&said[0], &said[1]);
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!((new.change, new.level, new.count), (Change::New, Some(Level::Blue), 1));
        assert_eq!((raised.change, raised.level, raised.reason), (Change::Raised, Some(Level::Yellow), None));
    }
    // What the policy opened says so; what a report opened under it does not.
    let opened = |reason| by_firm.values().filter(|said| said[0].reason == reason).count();
    let (by_policy, by_report) = (opened(Some(Reason::Policy)), opened(None));
    println!("{by_policy} warnings opened by the policy, {by_report} by reports under it");
    assert!(by_policy >= 5);
    assert_eq!((by_policy + by_report) as u32, FIRMS);
    assert_eq!(run.stop(), Some(0));

    // A restart says nothing, and finds nothing to take over.
    let before = house.progress().unwrap();
    let run = house.run_caught_up(&[]);
    assert!(!run.said().contains("policy taken over"), "{}", run.said());
    assert_eq!(run.stop(), Some(0));
    assert_eq!((house.alerts().len(), house.progress().unwrap()), (alerts.len(), before));
    let mut calls = BTreeSet::new();
    for call in house.gateway.calls() {
        assert!(calls.insert(call["idempotency_key"].to_string()), "rang twice: {call}");
    }
}

#[test]
fn a_policy_changes_under_load_on_the_embedded_log() {
    a_policy_changes_under_load(House::embedded());
}

#[test]
fn a_policy_changes_under_load_on_kafka() {
    if !kafka_wanted("service: a policy changes under load on kafka") {
        return;
    }
    let broker = Broker::start();
    a_policy_changes_under_load(House::kafka(broker.address()));
}

fn start_and_stop(house: &House) -> Running {
    let mut run = house.run_caught_up(&[]);
    run.signal("TERM");
    assert_eq!(run.ends_within(Duration::from_secs(10)), Some(0), "{}", run.said());
    run
}

/// Published while nobody ran: it is taken over at the start, before the next report, and nobody need accept it.
fn a_policy_is_published_meanwhile(house: House) {
    let house = told(house);
    by_hand(&house, WRONG.as_bytes());
    published(&house, STRICT);
    by_hand(&house, b"\xFF");
    house.report("b", "2025-02-20", AT);
    let run = start_and_stop(&house);
    assert!(run.said().contains("policy taken over"), "{}", run.said());
    assert_eq!(warned(&house), ["new blue policy", "raised yellow -"]);
    let progress = house.progress().unwrap();
    assert_eq!(progress.policy_hash, hash(STRICT));
    assert_eq!((progress.counters.accepted, progress.counters.quarantined), (5 + 1 + 1 + 1, 2));
    let refused: Vec<String> = house.quarantined().into_iter().map(|q| q.reason).collect();
    assert_eq!(refused, ["bad_policy", "bad_policy"]);
    // Once.
    let said = house.said();
    start_and_stop(&house);
    assert_eq!((house.said(), house.progress().unwrap()), (said, progress));
    // And back: what the old one opened is eased, to whom it was said.
    let default = Policies::default().to_toml().unwrap();
    published(&house, &default);
    start_and_stop(&house);
    assert_eq!(warned(&house), ["eased blue policy", "new blue policy", "raised yellow -"]);
    let eased = escalations(&house).into_iter().find(|a| a.change == Change::Eased).unwrap();
    assert_eq!(eased.audiences.len(), 1);
    assert_eq!(&*eased.policy_hash, hash(&default));
}

#[test]
fn a_policy_published_meanwhile_is_taken_over_at_the_start() {
    a_policy_is_published_meanwhile(House::embedded());
}

#[test]
fn a_policy_published_meanwhile_is_taken_over_at_the_start_on_kafka() {
    if !kafka_wanted("service: a policy published meanwhile is taken over at the start on kafka") {
        return;
    }
    let broker = Broker::start();
    a_policy_is_published_meanwhile(House::kafka(broker.address()));
}

#[test]
fn a_table_with_a_day_in_the_future_says_nothing_before_its_midnight() {
    let mut house = House::embedded().started();
    let run = house.run_caught_up(&[]);
    house.report("a", DAY, AT);
    until("the owner is told", || house.gateway.calls().len() == 1);
    published(&house, LATER);
    until("it is taken over", || house.progress().is_some_and(|p| p.policy_hash == hash(LATER)));
    assert_eq!(warned(&house), Vec::<String>::new());
    assert_eq!(run.stop(), Some(0));
    house.clock_starts("2025-03-02T09:00:00+08:00");
    let run = house.run(&[]);
    until("the midnight has passed", || !escalations(&house).is_empty());
    assert_eq!(run.stop(), Some(0));
    assert_eq!(warned(&house), ["new blue policy"]);
    assert_eq!(escalations(&house)[0].decided_at.to_string(), "2025-03-02T00:00:00+08:00");
}

#[test]
fn the_first_start_publishes_the_configured_policy_and_a_changed_file_is_only_said() {
    let mut house = House::embedded();
    let remarked = format!("# ours\n{STRICT}");
    house.policy(&remarked);
    let house = house.started();
    start_and_stop(&house);
    let texts = || -> Vec<String> {
        let of = |r: tocsin_schemas::log::LogRecord| String::from_utf8(r.value.unwrap()).unwrap();
        house.records(topics::POLICY).into_iter().map(of).collect()
    };
    assert_eq!(texts(), [remarked], "as it was written");
    std::fs::write(house.dir.path().join("policy.toml"), LATER).unwrap();
    let run = start_and_stop(&house);
    let said = run.said();
    assert!(said.contains("is not used") && said.contains("tocsin policy publish"), "{said}");
    assert_eq!(house.progress().unwrap().policy_hash, hash(STRICT));
    assert_eq!(texts().len(), 1);
}

#[test]
fn a_lost_policy_topic_stops_the_start() {
    let house = told(House::embedded());
    house.lose(topics::POLICY);
    let (said, calls) = (house.said(), house.gateway.calls().len());
    let mut run = house.run(&[]);
    assert_eq!(run.ends_within(Duration::from_secs(10)), Some(1), "{}", run.said());
    let last = run.said().lines().last().unwrap_or_default().to_owned();
    for part in ["topic policy", "emptied or half restored", "nothing was decided or sent"] {
        assert!(last.contains(part), "{last}");
    }
    assert_eq!((house.said(), house.gateway.calls().len()), (said, calls));
}

/// One that had no topic to read: what decided then is what is configured, and if that was changed, nobody is told.
#[test]
fn progress_of_before_the_topic_was_read_is_judged_by_what_is_configured() {
    let mut house = told(House::embedded());
    let mut progress = house.progress().unwrap();
    progress.offsets.retain(|o| o.topic != topics::POLICY);
    house.lose(topics::POLICY);
    house.forge(&progress);
    house.policy(STRICT);
    let mut run = house.run(&["--only", "pipeline"]);
    assert_eq!(run.ends_within(Duration::from_secs(10)), Some(1), "{}", run.said());
    let last = run.said().lines().last().unwrap_or_default().to_owned();
    assert!(last.contains("the policy differs") && last.contains("1 escalation new"), "{last}");
    assert_eq!(warned(&house), Vec::<String>::new());
}

#[test]
fn what_cannot_be_published_is_refused_and_changes_nothing() {
    let house = told(House::embedded());
    let default = Policies::default().to_toml().unwrap();
    for (text, part) in [
        (
            WRONG,
            "new.toml: line 3, column 19: escalation.blue must be a whole number from 1 to 100000 (S20), found 0",
        ),
        (default.as_str(), "it says what is in force already"),
        ("[[policy]]\neffective_from = \"2024-01-01\"\n", "between the two nothing would be decided"),
        ("[[policy]]\neffective_from = \"2019-01-01\"\n", "every injury that was first reported in between"),
    ] {
        let done = publish(&house, text);
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(house.records(topics::POLICY).len(), 1);
}

/// What is shown can be taken as the file to change, and read on a sheet.
#[test]
fn a_policy_is_shown_as_a_file_and_within_a_hundred_columns() {
    let house = told(House::embedded());
    published(&house, LATER);
    let (file, config) = (house.dir.path().join("new.toml"), house.config());
    let (file, config) = (file.to_str().unwrap(), config.to_str().unwrap());
    let shown = |args: &[&str]| {
        let done = tocsin(&[&["policy", "show"], args].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let default = Policies::default().hash().to_string();
    for (args, expected) in
        [(vec![], default), (vec![file], hash(LATER)), (vec!["--config", config], hash(LATER))]
    {
        let text = shown(&[&args[..], &["--toml"]].concat());
        assert_eq!(hash(&text), expected, "{text}");
        assert!(text.starts_with("# ") && text.contains(&expected), "{text}");
        let table = shown(&args);
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
        for part in ["severity.severe_grade_max", "owner_alert.max_age_days", "S26", &expected] {
            assert!(table.contains(part), "{part}: {table}");
        }
    }
    assert_eq!(tocsin(&["policy", "show", "--toml", "--json"]).status.code(), Some(2));
}

/// Nothing is published into an empty topic unseen, nor before it was tried.
#[test]
fn the_first_publication_is_shown_checked_and_can_be_tried() {
    let house = House::embedded().started();
    let done = publish(&house, "[[policy]]\neffective_from = \"2025-06-01\"\n");
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("before that day nobody would be told") && said.lines().count() == 1, "{said}");
    let (file, config) = (house.dir.path().join("new.toml"), house.config());
    let tried = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let (file, config) = (file.to_str().unwrap(), config.to_str().unwrap());
        let done = tocsin(&["policy", "publish", file, "--config", config, "--dry-run"]);
        (
            done.status.code(),
            String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap(),
        )
    };
    let (code, said) = tried(STRICT);
    assert_eq!(code, Some(0), "{said}");
    for part in ["built-in default", "escalation.blue", "would publish", "version 1", "nothing was written"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(tried("[[policy]]\neffective_from = \"2025-06-01\"\n").0, Some(2));
    assert!(house.records(topics::POLICY).is_empty());
    let said = published(&house, STRICT);
    assert!(said.contains("built-in default") && said.contains("published"), "{said}");
    let (code, said) = tried(LATER);
    assert!(code == Some(0) && said.contains("2025-03-02") && said.contains("version 2"), "{said}");
    assert_eq!(tried("[[policy]]\neffective_from = \"2019-01-01\"\n").0, Some(2));
    assert_eq!(house.records(topics::POLICY).len(), 1);
}

/// Another program may append what `publish` refuses: it is refused at the door, running and at a start, and nobody is
/// written to because of it.
#[test]
fn a_first_day_that_brings_back_the_past_or_silences_the_present_is_not_taken_over() {
    let mut house = House::embedded();
    house.policy("[[policy]]\neffective_from = \"2025-03-01\"\n");
    let house = house.started();
    house.report("old", "2025-02-20", Some("2025-02-21T08:00:00+08:00"));
    let run = house.run_caught_up(&[]);
    let first = house.progress().unwrap().policy_hash;
    by_hand(&house, b"[[policy]]\neffective_from = \"2020-11-20\"\n");
    until("it is refused", || house.progress().is_some_and(|p| p.counters.quarantined == 1));
    assert!(run.said().contains("the old one stays in force"), "{}", run.said());
    assert_eq!(run.stop(), Some(0));
    by_hand(&house, b"[[policy]]\neffective_from = \"2031-01-01\"\n");
    start_and_stop(&house);
    start_and_stop(&house);
    let refused: Vec<String> = house.quarantined().into_iter().map(|q| q.detail).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[0].contains("would become due at once"), "{refused:?}");
    assert!(refused[1].contains("nothing would be decided"), "{refused:?}");
    assert_eq!(house.progress().unwrap().policy_hash, first);
    assert!(house.gateway.calls().is_empty());
    let config = house.config();
    let shown = tocsin(&["policy", "show", "--config", config.to_str().unwrap()]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("version 1 of the topic policy"), "{shown}");
}

#[test]
fn a_policy_is_checked_shown_and_compared() {
    let house = told(House::embedded());
    let write = |name: &str, text: &str| {
        let file = house.dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (old, new) =
        (write("old.toml", "[[policy]]\neffective_from = \"2020-11-20\"\n"), write("new.toml", LATER));
    let wrong = write("wrong.toml", WRONG);
    let call = |args: &[&str]| {
        let done = tocsin(args);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    let (code, out, _) = call(&["policy", "check", &new]);
    assert!(code == Some(0) && out.contains("2 tables") && out.contains(&hash(LATER)), "{out}");
    let (code, _, err) = call(&["policy", "check", &wrong]);
    assert!(code == Some(2) && err.contains("line 3, column 19"), "{err}");
    let (code, out, _) = call(&["policy", "show", &new]);
    assert!(code == Some(0) && out.contains("in force from 2025-03-02") && out.contains("S26"), "{out}");

    let (code, out, _) = call(&["policy", "diff", &old, &old]);
    assert!(code == Some(0) && out.contains("the two say the same"), "{out}");
    let (code, out, _) = call(&["policy", "diff", &old, &new, "--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, answer["equal"].as_bool()), (Some(1), Some(false)));
    let fields: Vec<&str> =
        answer["differences"].as_array().unwrap().iter().map(|d| d["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["table", "escalation.blue", "escalation.yellow"]);
    assert_eq!(answer["differences"][1]["effective_from"], "2025-03-02");
    assert_eq!(answer["differences"][1]["new"], "1");
    let (code, _, err) = call(&["policy", "diff", &old, &wrong]);
    assert!(code == Some(2) && err.contains("wrong.toml: line 3"), "{err}");

    // In force is what the topic holds, whatever is configured.
    published(&house, STRICT);
    let config = house.config();
    let (code, out, _) = call(&["policy", "show", "--config", config.to_str().unwrap(), "--json"]);
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, shown["version"].as_u64()), (Some(0), Some(2)));
    assert_eq!(shown["hash"], hash(STRICT));
    assert_eq!(shown["decided_by"], *Policies::default().hash().to_string());
    let blue = &shown["tables"][0]["fields"][1];
    assert_eq!(
        (&blue["field"], &blue["value"], &blue["default"]),
        (&json!("escalation.blue"), &json!(1), &json!(2))
    );
    let (_, out, _) = call(&["check-config", "--config", config.to_str().unwrap()]);
    assert!(out.contains("version 2 of the topic policy"), "{out}");
    start_and_stop(&house);
    assert_eq!(warned(&house), ["new blue policy"]);
    assert_eq!(escalations(&house)[0].uscc.as_str(), FIRM);
}

/// An earlier release let the first day of a policy be moved back. A log of it starts as it stopped.
#[test]
fn a_log_whose_policy_was_moved_back_under_an_earlier_release_goes_on_under_it() {
    let house = told(House::embedded());
    let moved = "[[policy]]\neffective_from = \"2009-07-01\"\n";
    by_hand(&house, moved.as_bytes());
    let mut progress = house.progress().unwrap();
    progress.policy_hash = hash(moved);
    progress.offsets.iter_mut().find(|o| o.topic == topics::POLICY).unwrap().next = 2;
    house.forge(&progress);
    let said = house.said();
    let run = house.run_caught_up(&[]);
    assert_eq!(house.said(), said);
    house.report("b", DAY, AT);
    until("the next one is decided", || house.said().len() > said.len());
    // It is what the next one follows.
    let next = format!("{moved}escalation.blue = 1\n");
    published(&house, &next);
    until("that is taken over", || house.progress().is_some_and(|p| p.policy_hash == hash(&next)));
    assert_eq!(run.stop(), Some(0));
    assert_eq!(house.quarantined(), []);
    let decided: BTreeSet<String> =
        house.alerts().iter().skip(said.len()).map(|a| a.policy_hash.to_string()).collect();
    assert!(decided.contains(&hash(moved)), "{decided:?}");
    assert_eq!(house.run_caught_up(&[]).stop(), Some(0));
}

/// `publish` and the door of the topic go by one clock, also where that was set: what the one lets pass the other takes.
#[test]
fn what_is_published_under_a_set_clock_is_judged_by_its_day() {
    let mut house = House::embedded().started();
    let from = |day: &str| format!("[[policy]]\neffective_from = \"{day}\"\n");
    house.policy(&from("2025-06-01"));
    let run = house.run_caught_up(&["--only", "pipeline"]);
    // It is the 1st of March there: one that has not begun may be moved within the future.
    published(&house, &from("2025-05-01"));
    until("it is taken over", || {
        house.progress().is_some_and(|p| p.policy_hash == hash(&from("2025-05-01")))
    });
    assert_eq!(run.stop(), Some(0));
    assert_eq!(house.quarantined(), []);
}
