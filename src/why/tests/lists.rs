//! The lists of a replay, explained from the log that it left.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tocsin_schemas::codes::ListClass;
use tocsin_schemas::records::Listed;

use super::*;

/// The `n`th enterprise.
fn uscc(n: usize) -> Uscc {
    let body = format!("91330784T{n:08}");
    let check = Uscc::check_symbol(body.as_bytes()).unwrap();
    format!("{body}{}", check as char).parse().unwrap()
}

/// Thirty enterprises with two years behind them. The first has three injuries among few persons and was taken over by
/// the 31st, whose headcounts count with it; the list of 2024 is frozen, and a report comes after that.
fn stream(dir: &Path) -> PathBuf {
    let mut lines: Vec<(&str, String, Value)> = Vec::new();
    let at = |day: &str| format!("{day}T09:00:00+08:00");
    for firm in 0..=30 {
        let mut value = json!({"uscc": uscc(firm), "version": 1, "name": format!("厂{firm}"), "area": "330784001",
            "industry": "33", "valid_from": "2020-01-01", "status": "active"});
        if firm == 30 {
            value["successor_of"] = json!(uscc(0));
        }
        lines.push(("registry.enterprises", at("2024-01-01"), value));
        for month in 1..=12 {
            let value = json!({"uscc": uscc(firm), "month": format!("2024-{month:02}"), "insured": 10 + firm, "version": 1});
            lines.push(("registry.headcount", at("2024-01-01"), value));
        }
    }
    let report = |id: &str, firm: usize, on: &str, day: &str, more: Value| {
        let mut value = json!({"source": "hr", "source_record_id": id, "version": 1, "status": "recognised",
            "occurred_on": on, "reported_at": at(day), "uscc": uscc(firm), "person_key": format!("{:064x}", 7 + id.len()),
            "note": "张三 13900001111"});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ("reports.hr", at(day), value)
    };
    lines.push(report("A", 0, "2024-02-01", "2024-02-02", json!({})));
    lines.push(report("BB", 0, "2024-03-01", "2024-03-02", json!({})));
    lines.push(report("CCC", 30, "2024-04-01", "2024-04-02", json!({"lost_days": 200})));
    lines.push(report("DDDD", 5, "2024-05-01", "2024-05-02", json!({})));
    // A site that nobody insures, with two.
    lines.push(report("EEEEE", 6, "2024-06-01", "2024-06-02", json!({})));
    let freeze = json!({"event_id": "G|1", "kind": "freeze_list", "subject": "2024", "on": "2025-01-20", "version": 1,
        "actor": "李科员", "approver": "王局长", "details": {}});
    lines.push(("governance.events", at("2025-01-20"), freeze));
    let refused = json!({"event_id": "G2", "kind": "freeze_list", "subject": "2025", "on": "2025-01-20", "version": 1,
        "actor": "李科员", "approver": "王局长", "details": {}});
    lines.push(("governance.events", at("2025-01-21"), refused));
    lines.push(report("FFFFFF", 5, "2024-12-30", "2025-02-02", json!({"died_on": "2025-01-01"})));
    let restated = json!({"uscc": uscc(5), "month": "2024-07", "insured": 900, "version": 2});
    lines.push(("registry.headcount", at("2025-02-03"), restated));
    lines.push(report("GGGGGGG", 30, "2025-02-03", "2025-02-04", json!({"died_on": "2025-02-03"})));
    let text: String = lines
        .into_iter()
        .map(|(topic, at, value)| format!("{}\n", json!({"topic": topic, "arrived_at": at, "value": value})))
        .collect();
    let path = dir.join("lists.jsonl");
    std::fs::write(&path, text).unwrap();
    path
}

/// Every key of the topic.
fn keys(source: &Source) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    read::Reader::quiet(&*source.log, &NoIds)
        .own(&mut |l: Listed| {
            keys.insert(l.key());
        })
        .unwrap();
    keys
}

fn lists() -> (tempfile::TempDir, Replayed) {
    let dir = tempfile::tempdir().unwrap();
    let stream = stream(dir.path());
    let replayed = replayed(&stream, None);
    (dir, replayed)
}

fn json_of(source: &Source, id: &str) -> Value {
    serde_json::to_value(ask(source, id).unwrap()).unwrap()
}

#[test]
fn each_list_and_each_entry_is_found_by_its_key_and_adds_up() {
    let (_dir, lists) = lists();
    let source = source(&lists);
    let keys = keys(&source);
    assert!(keys.len() >= 10, "{keys:?}");
    for key in &keys {
        let answer = ask(&source, key).unwrap_or_else(|| panic!("{key} is not found"));
        answer.verdict().unwrap_or_else(|end| panic!("{key}: {end:?}: {}", text::of(&answer)));
        for shown in [text::of(&answer), serde_json::to_string(&answer).unwrap()] {
            for personal in ["王局长", "李科员", "张三", "13900001111"] {
                assert!(!shown.contains(personal), "{key} shows {personal}: {shown}");
            }
        }
    }
}

#[test]
fn a_frozen_entry_shows_incidents_headcounts_years_and_what_moved_since() {
    let (_dir, lists) = lists();
    let source = source(&lists);
    let heir = uscc(30);
    let key = format!("frozen|2024|G%7C1|{heir}");
    let found = json_of(&source, &key);
    let entry = &found["listed"]["entry"];
    assert_eq!(
        entry["incidents"].as_array().unwrap().len(),
        3,
        "those of the enterprise that it took over are read as its"
    );
    // Twelve months of both.
    assert_eq!(entry["headcounts"].as_array().unwrap().len(), 24);
    assert_eq!(entry["approved"], true);
    assert_eq!(entry["years"][0]["year"], 2023);
    let page = text::of(&ask(&source, &key).unwrap());
    for words in [
        "厂30, key (重点) because of",
        "frozen with event G|1, approved by a named person",
        "interval of the shrunken rate above the city's: a probability above 0.975 that the true rate is)",
        "severe: holds",
        "the city's rate, taken at the midnight that began 2025-01-20: ",
        "2023: not key, by its list as that last stood: nobody froze one",
        "read as HEIR's, which took the enterprise over",
        "2024-12 ",
        "and says the same",
        "yes: class, reasons",
    ] {
        let words = words.replace("HEIR", heir.as_str());
        assert!(page.contains(&words), "{words}: {page}");
    }
    // A death and a restated headcount came after the freezing.
    let moved = json_of(&source, &format!("frozen|2024|G%7C1|{}", uscc(5)));
    let since = &moved["listed"]["entry"]["since"];
    assert_eq!(since["headcounts"][0]["insured"], 900);
    assert_eq!(since["reports"][0]["report"], "hr/FFFFFF");
    assert_eq!(since["moved"][0], json!(["class", "general", "key"]));
    // This year's counts the frozen one.
    let running = json_of(&source, &format!("annual|2025|{heir}"));
    let running = &running["listed"]["entry"];
    assert_eq!(
        running["years"][0],
        json!({"year": 2024, "key": true, "by": {"by": "frozen", "event_id": "G|1"}})
    );
    assert_eq!(running["entry"]["member"]["key_years"], 2);
}

/// A log that begins in 2026 holds no list of 2024, whatever 2025 was.
#[test]
fn of_a_year_without_a_list_the_page_says_that_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let line = |topic: &str, day: &str, value: Value| {
        json!({"topic": topic, "arrived_at": format!("{day}T09:00:00+08:00"), "value": value}).to_string()
    };
    let firm = json!({"uscc": uscc(0), "version": 1, "name": "厂", "area": "330784001", "industry": "33",
        "valid_from": "2020-01-01", "status": "active"});
    let report = json!({"source": "hr", "source_record_id": "A", "version": 1, "status": "recognised",
        "occurred_on": "2025-12-30", "reported_at": "2026-01-05T09:00:00+08:00", "uscc": uscc(0),
        "person_key": "7".repeat(64), "died_on": "2025-12-30"});
    let lines = [
        line("registry.enterprises", "2026-01-02", firm),
        line("reports.hr", "2026-01-05", report),
        line(
            "registry.headcount",
            "2026-01-08",
            json!({"uscc": uscc(0), "month": "2025-12", "insured": 9, "version": 1}),
        ),
    ];
    let stream = dir.path().join("stream.jsonl");
    std::fs::write(&stream, lines.join("\n")).unwrap();
    let replayed = replayed(&stream, None);
    let source = source(&replayed);
    assert!(!keys(&source).iter().any(|key| key.contains("|2024")));
    let key = format!("annual|2025|{}", uscc(0));
    let answer = ask(&source, &key).unwrap();
    answer.verdict().unwrap();
    let page = text::of(&answer);
    assert!(page.contains("\n  2024: not key: the topic had no list of 2024\n"), "{page}");
    let years = &json_of(&source, &key)["listed"]["entry"]["years"];
    assert_eq!(years[0], json!({"year": 2024, "key": false, "by": {"by": "no_list"}}));
}

#[test]
fn a_list_as_a_whole_shows_who_is_on_it_and_who_froze_it() {
    let (_dir, lists) = lists();
    let source = source(&lists);
    let whole = json_of(&source, "frozen|2024|G%7C1");
    let whole = &whole["listed"]["whole"];
    assert_eq!(whole["entry"]["whole"]["approver"], "named");
    assert_eq!(
        (whole["events"][0]["approved"].clone(), whole["events"][0]["refused"].clone()),
        (json!(true), Value::Null)
    );
    assert_eq!(whole["moved"], json!([{"uscc": uscc(5), "frozen": "general", "live": "key"}]));
    let page = text::of(&ask(&source, "frozen|2025|G2").unwrap());
    assert!(page.contains("not frozen (year_not_over)"), "{page}");
    let page = text::of(&ask(&source, "annual|2024").unwrap());
    assert!(page.contains("LIST annual|2024: key ") && page.contains(uscc(6).as_str()), "{page}");
}

#[test]
fn an_enterprise_names_its_entries() {
    let (_dir, lists) = lists();
    let source = source(&lists);
    let answer = ask(&source, uscc(5).as_str()).unwrap();
    answer.verdict().unwrap();
    let page = text::of(&answer);
    let (live, frozen) = (format!("annual|2024|{}", uscc(5)), format!("frozen|2024|G%7C1|{}", uscc(5)));
    for words in [
        &*live,
        &*frozen,
        "key (重点) because of severe; adds up",
        "general (一般) because of incidents; adds up",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[test]
fn only_headcounts_of_the_enterprise_and_of_those_read_as_it_are_held() {
    let (_dir, lists) = lists();
    let source = source(&lists);
    let asked = Asked::parse(&format!("annual|2024|{}", uscc(30))).unwrap();
    let found = read::find(&*source.log, &*source.schemas, &asked).unwrap().unwrap();
    let of = |record: &Record| if let Record::Headcount(h) = record { h.uscc } else { panic!("{record:?}") };
    let of: BTreeSet<Uscc> = found.records.headcounts.iter().map(|k| of(&k.arrival.record)).collect();
    assert_eq!(of, BTreeSet::from([uscc(0), uscc(30)]));
}

#[test]
fn an_entry_that_somebody_changed_does_not_add_up() {
    let (_dir, lists) = lists();
    let source = source(&lists);
    let mut all: Vec<Listed> = Vec::new();
    read::Reader::quiet(&*source.log, &NoIds).own(&mut |l: Listed| all.push(l)).unwrap();
    let key = format!("frozen|2024|G%7C1|{}", uscc(30));
    let mut entry = all.iter().find(|l| l.key() == key).unwrap().clone();
    entry.member.as_mut().unwrap().class = ListClass::General;
    write(&source, &[entry]);
    let answer = ask(&source, &key).unwrap();
    assert_eq!(answer.wrong(), [format!("entry {key}")]);
    assert!(answer.verdict().unwrap_err().text().contains("does not add up"));
    let page = text::of(&answer);
    assert!(
        page.contains("IT DOES NOT ADD UP") && page.contains("class: said general; the records give key"),
        "{page}"
    );
    // Nor do the sizes of the list, or what is said of the enterprise.
    let answer = ask(&source, "frozen|2024|G%7C1").unwrap();
    assert_eq!(answer.wrong(), ["list frozen|2024|G%7C1"]);
    assert_eq!(ask(&source, uscc(30).as_str()).unwrap().wrong(), [format!("entry {key}")]);
}

/// Every record of the topic, with the city's rate and the model made again from all enterprises.
#[test]
fn what_lists_were_compared_with_is_made_again_from_every_record() {
    let (_dir, lists) = lists();
    let source = source(&lists);
    let mut compared = 0;
    for key in keys(&source) {
        let mut answer = ask(&source, &key).unwrap();
        answer.look_deep(&source).unwrap();
        answer.verdict().unwrap_or_else(|end| panic!("{key}: {end:?}: {}", text::of(&answer)));
        let Some(deep) = &answer.deep else { continue };
        compared += usize::from(
            deep.reference.as_ref().is_some_and(|r| r.per_thousand.is_some() && r.model.is_some()),
        );
        assert!(text::of(&answer).contains("they come out again as the entry names them"), "{key}");
    }
    // Those of 2024: nobody was insured in 2025 yet.
    assert!(compared > 5, "{compared}");
    // Somebody made the city safer than it is: the enterprise stands out more.
    let mut all: Vec<Listed> = Vec::new();
    read::Reader::quiet(&*source.log, &NoIds).own(&mut |l: Listed| all.push(l)).unwrap();
    let key = format!("frozen|2024|G%7C1|{}", uscc(30));
    let mut entry = all.iter().find(|l| l.key() == key).unwrap().clone();
    let reference = entry.reference.as_mut().unwrap();
    reference.incidents -= 1;
    reference.per_thousand = Some(f64::from(reference.incidents) * 1000.0 / reference.headcount.unwrap());
    reference.model.as_mut().unwrap().nu *= 1.01;
    write(&source, &[entry]);
    let mut answer = ask(&source, &key).unwrap();
    answer.look_deep(&source).unwrap();
    let fields: Vec<&str> = answer.deep.as_ref().unwrap().differences.iter().map(|d| d.field).collect();
    assert_eq!(fields, ["city incidents", "city rate", "model"]);
    let page = text::of(&answer);
    let (_, model) = page.split_once("model: said modelled at the midnight that began ").unwrap();
    assert!(model.contains("; the records give modelled at ") && !page.contains("Some("), "{page}");
    assert!(answer.verdict().is_err());
}

/// A sender that tried again under another id: the entries are those of the first event, under both names.
#[test]
fn a_list_that_was_frozen_again_without_a_change_is_found_under_both_events() {
    let dir = tempfile::tempdir().unwrap();
    let path = stream(dir.path());
    let mut text = std::fs::read_to_string(&path).unwrap();
    let again = text.lines().find(|line| line.contains("G|1")).unwrap().replace("G|1", "G3");
    let at = text.find(text.lines().find(|line| line.contains("G2")).unwrap()).unwrap();
    text.insert_str(at, &format!("{again}\n"));
    std::fs::write(&path, text).unwrap();
    let replayed = replayed(&path, None);
    let source = source(&replayed);
    assert!(!keys(&source).iter().any(|key| key.starts_with("frozen|2024|G3|")));
    let whole = ask(&source, "frozen|2024|G3").unwrap();
    whole.verdict().unwrap();
    let page = text::of(&whole);
    assert!(page.contains("equal to what event G|1 froze") && page.contains(uscc(30).as_str()), "{page}");
    let [first, second] = ["G%7C1", "G3"].map(|event| format!("frozen|2024|{event}|{}", uscc(30)));
    let answer = ask(&source, &second).unwrap();
    answer.verdict().unwrap();
    let page = text::of(&answer);
    assert!(page.contains(&first) && page.contains("again with event G3"), "{page}");
    // This year counts the list by whichever event.
    let running = json_of(&source, &format!("annual|2025|{}", uscc(30)));
    assert_eq!(running["listed"]["entry"]["years"][0]["key"], true);
}

#[test]
fn under_another_policy_an_entry_is_not_judged_and_that_is_no_success() {
    let (_dir, lists) = lists();
    let other =
        "[[policy]]\neffective_from = \"2020-11-20\"\nlists.key_incidents = 9\nlists.severe_is_key = false\n";
    let source = Source { policies: Policies::parse(other).unwrap(), ..source(&lists) };
    let key = format!("annual|2024|{}", uscc(30));
    let answer = ask(&source, &key).unwrap();
    assert_eq!(answer.wrong(), Vec::<String>::new());
    let end = answer.verdict().unwrap_err();
    assert!(end.text().contains("not checked") && end.text().contains(&key), "{end:?}");
    let page = text::of(&answer);
    let unchecked = "not checked: class, reasons, undetermined, incidents, persons, severe, reason, persistent, per_thousand, \
                     shrunken_per_thousand, chance_above_city, chance_of_as_many (the policy";
    assert!(page.contains("NOT AT HAND") && page.contains(unchecked), "{page}");
}

#[test]
fn a_key_of_a_list_is_told_by_its_form() {
    let heir = uscc(30);
    let entry = |key: &str| matches!(Asked::parse(key), Ok(Asked::Entry(of, u)) if of == key && u == heir);
    assert!(entry(&format!("annual|2024|{heir}")) && entry(&format!("frozen|2024|G%7C1|{heir}")));
    let list = |key: &str, event: Option<&str>| {
        Asked::parse(key) == Ok(Asked::List(key.to_owned(), event.map(Into::into)))
    };
    assert!(
        list("annual|2024", None)
            && list("frozen|2024|G%7C1", Some("G|1"))
            && Asked::parse("frozen|2024|G|1") == Asked::parse("frozen|2024|G%7C1")
            && list("frozen|0|G5", Some("G5"))
    );
    for wrong in [
        "annual|",
        "annual|last",
        "annual|2024|91330784XX00000191",
        "frozen|2024",
        "frozen|2024|",
        "yearly|2024",
    ] {
        let why = Asked::parse(wrong).unwrap_err();
        assert!(why.contains("tocsin why --help"), "{wrong}: {why}");
    }
    let (_dir, lists) = lists();
    let source = source(&lists);
    for missing in ["annual|1999".to_owned(), format!("annual|2024|{}", uscc(7)), "frozen|2024|G9".to_owned()]
    {
        let asked = Asked::parse(&missing).unwrap();
        let found = read::find(&*source.log, &*source.schemas, &asked).unwrap();
        assert!(answer(&source, &asked, found.as_ref()).is_none());
        assert!(not_found(&asked, found.as_ref()).text().contains(&missing));
    }
}
