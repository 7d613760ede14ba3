//! What others see: the topic `lists` of a service's log, beside what was published or arrived since.

use std::time::Duration;

use tocsin_schemas::log::TopicPartition;
use tocsin_schemas::records::Listed;
use tocsin_schemas::wire;

use super::*;

const CONFIG: [&str; 2] = ["--config", "tocsin.toml"];

/// A log that the service has decided to its end.
fn decided() -> tempfile::TempDir {
    let dir = place();
    fill(dir.path());
    let run = ["run", "--config", "tocsin.toml", "--only", "pipeline", "--clock", "arrivals", "--until-end"];
    done(&tocsin(dir.path(), &run));
    dir
}

fn of_log(dir: &Path, more: &[&str]) -> Value {
    listed(dir, &[more, &CONFIG].concat())
}

/// Publishes a policy by which nobody is on a list for the number of incidents; returns its hash.
fn publish(dir: &Path) -> String {
    let policy =
        "[[policy]]\neffective_from = \"2020-11-20\"\nlists.key_incidents = 20\nlists.rate_incidents = 20\n";
    fs::write(dir.join("other.toml"), policy).unwrap();
    done(&tocsin(dir, &["policy", "publish", "other.toml", "--config", "tocsin.toml"]));
    let shown: Value =
        serde_json::from_str(&done(&tocsin(dir, &["policy", "show", "other.toml", "--json"]))).unwrap();
    shown["hash"].as_str().unwrap().to_owned()
}

/// An approver's name stands beside what was approved, and beside nothing that is made today.
#[test]
fn a_frozen_list_is_the_one_of_the_topic_whatever_policy_and_day_are_named() {
    let dir = decided();
    let frozen = of_log(dir.path(), &["annual", "--frozen"]);
    assert_eq!(frozen["lists"][0]["sizes"]["approver"], "the head");
    let of_other = publish(dir.path());
    for more in [&[][..], &["--as-of", "2025-06-30"], &["--year", "2024"]] {
        let again = of_log(dir.path(), &[&["annual", "--frozen"], more].concat());
        assert_eq!(again["lists"], frozen["lists"], "{more:?}");
        assert_ne!(again["lists"][0]["policy_hash"], of_other, "{more:?}");
    }
    // The day before it nobody had frozen anything.
    let before = of_log(dir.path(), &["annual", "--frozen", "--as-of", "2025-06-29"]);
    assert_eq!((&before["lists"], &before["as_of"]), (&json!([]), &json!("2025-06-29")));
    let later = ["lists", "annual", "--frozen", "--as-of", "2025-07-01", CONFIG[0], CONFIG[1]];
    let later = wrong(&tocsin(dir.path(), &later));
    assert!(later.contains("up to which the service has decided"), "{later}");
    for more in [["--policy", "other.toml"], ["--policy-from", "2020-01-01"]] {
        let args = [&["lists", "annual", "--frozen"], &more[..], &CONFIG].concat();
        let output = tocsin(dir.path(), &args);
        let words = wrong(&output);
        assert!(words.contains("no other policy can change") && words.contains("leave out"), "{words}");
        assert!(output.stdout.is_empty(), "{more:?}");
    }
    // Without the name of who approved, another policy may be tried.
    let tried = of_log(dir.path(), &["annual", "--year", "2024", "--policy", "other.toml"]);
    assert_eq!(
        (&tried["policy_hash"], &tried["lists"][0]["sizes"]["approver"]),
        (&json!(of_other), &Value::Null)
    );
}

/// An entry that has not changed for weeks was compared with what the city was then.
#[test]
fn each_row_of_the_topic_has_what_its_own_entry_was_compared_with() {
    let dir = decided();
    let list = of_log(dir.path(), &["annual"])["lists"][0].clone();
    let row = |n| list["members"].as_array().unwrap().iter().find(|m| m["uscc"] == uscc(n)).unwrap();
    // As the topic has it, read without the command.
    let log = SqliteLog::open(&dir.path().join("log.db")).unwrap();
    let part = |partition: usize| TopicPartition { topic: topics::LISTS.into(), partition: partition as u32 };
    let from: Vec<(TopicPartition, u64)> =
        log.bounds(topics::LISTS).unwrap().iter().enumerate().map(|(n, b)| (part(n), b.first)).collect();
    let mut reader = log.reader(&from).unwrap();
    let (key, mut stands) = (format!("annual|2025|{}", uscc(1)).into_bytes(), None);
    while !reader.caught_up().unwrap() {
        for record in reader.poll(1000, Duration::from_millis(100)).unwrap() {
            if record.key.as_ref() == Some(&key) {
                stands = Some(wire::decode::<Listed>(&record.value.unwrap()).unwrap());
            }
        }
    }
    let stands = serde_json::to_value(stands.unwrap()).unwrap();
    assert_eq!(stands["as_of"], "2025-05-10");
    for field in ["as_of", "decided_at", "policy_hash", "reference"] {
        assert_eq!(row(1)[field], stands[field], "{field}");
    }
    assert_eq!(row(1)["shrunken_per_thousand"], stands["member"]["shrunken_per_thousand"]);
    assert_ne!(row(1)["reference"], row(2)["reference"]);
    assert_eq!(row(2)["as_of"], "2025-06-20");
    // For people: how many stand beside a reference that is not theirs; and what its incidents are.
    let text = done(&tocsin(dir.path(), &["lists", "annual", "--config", "tocsin.toml"]));
    let other =
        list["members"].as_array().unwrap().iter().filter(|m| m["reference"] != list["reference"]).count();
    assert!(text.contains(&format!("  {other} of 3 entries were compared with the city")), "{text}");
    assert!(text.contains(" incidents in the rate, "), "{text}");
}

#[test]
fn the_heading_names_the_policy_that_decided_and_the_one_that_has_not() {
    let dir = decided();
    let before = of_log(dir.path(), &["annual"]);
    assert_eq!(
        (&before["policy"], before.get("not_taken_over")),
        (&json!("version 1 of the topic policy"), None)
    );
    let of_other = publish(dir.path());
    let page = of_log(dir.path(), &["annual"]);
    assert_eq!((&page["policy"], &page["policy_hash"]), (&before["policy"], &before["policy_hash"]));
    assert_ne!(page["policy_hash"], of_other);
    let newer = page["not_taken_over"].as_str().unwrap();
    assert!(newer.starts_with("version 2 of the topic policy, published at "), "{newer}");
    assert!(newer.contains(&of_other[..12]), "{newer}");
    let text = done(&tocsin(dir.path(), &["lists", "annual", "--config", "tocsin.toml"]));
    assert!(text.contains("not taken over yet: version 2 of the topic policy"), "{text}");
}

/// What arrived after the service stopped is in no decision, and so in no list.
#[test]
fn a_list_of_a_log_goes_up_to_where_the_service_has_decided() {
    let dir = decided();
    let lists = [&["streaks"][..], &["industries"], &["hazards"], &["annual", "--policy-from", "2020-11-20"]];
    let before: Vec<Value> = lists.iter().map(|list| of_log(dir.path(), list)).collect();
    let mut late = Town { persons: 1000, ..Town::default() };
    late.injury(3, "2025-07-03", json!({}));
    append(dir.path(), &late.lines);
    for (list, before) in lists.iter().zip(before) {
        let page = of_log(dir.path(), list);
        assert_eq!(page["as_of"], "2025-06-30", "{list:?}");
        assert_eq!(page, before, "{list:?}");
        let args = [&["lists"], *list, &["--as-of", "2025-07-03"], &CONFIG].concat();
        let words = wrong(&tocsin(dir.path(), &args));
        assert!(words.contains("is after 2025-06-30, up to which the service has decided"), "{words}");
    }
}
