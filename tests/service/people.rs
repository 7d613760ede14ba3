//! When people are not told: at night, and while somebody answers for a silence; and whom nobody could tell.

use std::time::SystemTime;

use serde_json::{Value, json};
use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_schemas::time::{Day, Instant};
use tocsin_schemas::wire::{self, Encoding, NoIds};
use tocsin_schemas::{door, topics};

use crate::house::{AREA, DAY, FIRM, House, OTHER_FIRM, report, tocsin, until};

/// The command's exit code, standard output and standard error.
fn call(house: &House, args: &[&str]) -> (Option<i32>, String, String) {
    let config = house.config();
    let done = tocsin(&[args, &["--config", config.to_str().unwrap()]].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code(), text(&done.stdout), text(&done.stderr))
}

fn json_of(house: &House, args: &[&str]) -> Value {
    let (code, out, said) = call(house, args);
    assert_eq!(code, Some(0), "{said}");
    serde_json::from_str(&out).unwrap()
}

/// What the ledger says last.
fn last(house: &House) -> Option<Delivery> {
    house.all::<Delivery>().pop()
}

fn today() -> Day {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Instant(since.as_millis() as i64).day()
}

#[test]
fn a_report_of_the_evening_rings_in_the_morning_whatever_restarts_between() {
    let mut house = House::embedded().started();
    house.keeps_quiet();
    house.clock_starts("2025-03-01T21:30:00+08:00");
    let run = house.run_caught_up(&[]);
    house.report("a", DAY, Some("2025-03-01T21:20:00+08:00"));
    until("it is held", || last(&house).is_some_and(|d| d.reason.as_deref() == Some("quiet_hours")));
    let held = last(&house).unwrap();
    assert_eq!((held.state, held.attempt), (DeliveryState::Planned, 0));
    assert_eq!(held.due_at.unwrap().to_string(), "2025-03-02T08:00:00+08:00");
    assert_eq!(run.stop(), Some(0));

    house.clock_starts("2025-03-02T03:00:00+08:00");
    assert_eq!(house.run_caught_up(&[]).stop(), Some(0));
    assert!(house.gateway.calls().is_empty());

    // A worker that runs when the night ends.
    house.clock_starts("2025-03-02T07:59:58+08:00");
    let run = house.run_caught_up(&[]);
    until("the owner is told", || house.gateway.calls().len() == 1);
    assert_eq!(run.stop(), Some(0));
    assert_eq!(last(&house).unwrap().state, DeliveryState::Accepted);
}

/// As a registry's serializer frames it, with an id that `[schemas] ids` explains.
#[test]
fn a_contact_in_the_framing_of_a_registry_is_rung() {
    let mut house = House::embedded();
    house.register(None);
    let ids = format!("{{\"7\": {}}}", include_str!("../../schemas/avro/contact.avsc"));
    std::fs::write(house.dir.path().join("ids.json"), ids).unwrap();
    house.configure(&house.gateway.url.clone(), "[schemas]\nids = \"ids.json\"\n");
    let contact = json!({"role": "owner", "subject": FIRM, "rank": 1, "name": "某人",
        "addresses": {"webhook": "another-phone"}, "version": 2});
    let at = Instant(0);
    let contact = door::admit(topics::CONTACTS, contact.to_string().as_bytes(), at, &NoIds).unwrap().record;
    let framed = wire::encode_in(&contact, Encoding::Confluent(7)).unwrap();
    house.append_raw(topics::CONTACTS, &format!("owner|{FIRM}|1"), framed, None);
    let run = house.run_caught_up(&[]);
    house.report("a", &today().to_string(), None);
    until("the owner is told", || house.gateway.calls().len() == 1);
    assert_eq!(house.gateway.calls()[0]["to"], json!("another-phone"));
    assert_eq!(run.stop(), Some(0));
}

#[test]
fn a_run_until_the_end_does_not_wait_for_the_morning_and_says_what_is_held() {
    let mut house = House::embedded().started();
    house.keeps_quiet();
    house.clock_starts("2025-03-01T21:30:00+08:00");
    house.report("a", DAY, Some("2025-03-01T21:20:00+08:00"));
    let (code, out, said) = call(&house, &["run", "--until-end"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains("1 messages are held"), "{out}");
    assert!(house.gateway.calls().is_empty());
}

#[test]
fn a_silence_is_signed_kept_and_ended_and_the_worker_keeps_to_it() {
    let house = House::embedded();
    house.register(None);
    let end = today().plus(3).to_string();
    let signed = ["--author", "王主任", "--reason", "drill"];
    let add =
        |subject, until| [&["silence", "add", subject, "--until", until, "--json"], &signed[..]].concat();
    let added = json_of(&house, &add(FIRM, &end));
    let id = added["event_id"].as_str().unwrap();
    assert_eq!((&added["version"], &added["in_force"]), (&json!(1), &json!(true)));

    let listed = json_of(&house, &["silence", "list", "--json"]);
    assert_eq!(listed["silences"], json!([added]));
    let (_, table, _) = call(&house, &["silence", "list"]);
    for part in [id, FIRM, "王主任", "drill"] {
        assert!(table.contains(part), "{table}");
    }

    let run = house.run_caught_up(&[]);
    house.report("a", &today().to_string(), None);
    until("it is silenced", || last(&house).is_some_and(|d| d.state == DeliveryState::Skipped));
    assert_eq!(last(&house).unwrap().reason.unwrap(), format!("silenced:{id}"));
    let end = [&["silence", "end", id], &signed[..]].concat();
    let (code, said, _) = call(&house, &end);
    assert_eq!(code, Some(0));
    assert!(said.contains(FIRM), "{said}");
    house.report("b", &today().plus(-1).to_string(), None);
    until("the owner is told again", || !house.gateway.calls().is_empty());
    assert_eq!(run.stop(), Some(0));
    assert_eq!(house.progress().unwrap().counters.quarantined, 0);

    assert_eq!(json_of(&house, &["silence", "list", "--json"])["silences"], json!([]));
    let all = json_of(&house, &["silence", "list", "--all", "--json"]);
    assert_eq!((&all["silences"][0]["version"], &all["silences"][0]["in_force"]), (&json!(2), &json!(false)));
    let (code, _, said) = call(&house, &end);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("is over since"), "{said}");
}

#[test]
fn a_silence_without_a_name_a_reason_or_an_end_in_time_is_a_wrong_call() {
    let house = House::embedded();
    let (soon, late) = (today().plus(1).to_string(), today().plus(31).to_string());
    let past = today().plus(-1).to_string();
    for (args, said) in [
        (&["*", "--until", &soon, "--author", "a"][..], "--reason"),
        (&["*", "--until", &soon, "--reason", "r"], "--author"),
        (&["*", "--until", &soon, "--reason", " ", "--author", "a"], "expected some words"),
        (&["*", "--reason", "r", "--author", "a"], "--until"),
        (&["*", "--until", &late, "--reason", "r", "--author", "a"], "at most 30 days ahead"),
        (&["*", "--until", &past, "--reason", "r", "--author", "a"], "expected an instant after"),
        (&["*", "--until", "soon", "--reason", "r", "--author", "a"], "YYYY-MM-DD"),
        (&["13812345678", "--until", &soon, "--reason", "r", "--author", "a"], "a phone never stands here"),
    ] {
        let (code, _, found) = call(&house, &[&["silence", "add"], args].concat());
        assert_eq!(code, Some(2), "{args:?}: {found}");
        assert!(found.contains(said) && !found.contains("12345678"), "{args:?}: {found}");
    }
    let (code, _, said) = call(&house, &["silence", "end", "no", "--reason", "r", "--author", "a"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("there is no silence no"), "{said}");
    assert!(house.records(topics::GOVERNANCE).is_empty());
}

/// A slip of the pen would stand in the log as in force, and the phones ring on.
#[test]
fn a_silence_of_what_nobody_knows_is_a_wrong_call() {
    let house = House::embedded();
    house.register(None);
    let end = today().plus(3).to_string();
    let add = |subject: &str| {
        let signed = ["--until", &end, "--author", "a", "--reason", "r"];
        call(&house, &[&["silence", "add", subject][..], &signed].concat())
    };
    for (subject, found) in [
        ("webhok", "webhok is no area and no industry of the registry"),
        ("webhok", "no gateway in use (webhook)"),
        ("330784777", "330784777 is no area"),
        ("77", "77 is no area"),
        ("owner+91330784XX00000190+7", "registry.contacts has no such contact"),
        ("owner+13812345678+1", "has no such contact"),
        ("91330784XX00000191", "its check symbol does not fit"),
    ] {
        let (code, _, said) = add(subject);
        assert_eq!(code, Some(2), "{subject}: {said}");
        assert!(said.contains(found) && !said.contains("12345678"), "{subject}: {said}");
    }
    assert!(house.records(topics::GOVERNANCE).is_empty());
    let contact = format!("owner+{FIRM}+1");
    for subject in ["*", "webhook", AREA, "33", FIRM, "91330784XX00000190", &contact] {
        let (code, _, said) = add(subject);
        assert_eq!(code, Some(0), "{subject}: {said}");
    }
}

/// Whoever reads the log by its time stamps (`backtest`, `known`) would else find a day that the clock never saw.
#[test]
fn what_is_signed_bears_the_day_of_a_clock_that_was_set() {
    let mut house = House::embedded();
    house.clock_starts("2025-03-01T12:00:00+08:00");
    let signed = ["--author", "a", "--reason", "r"];
    let add = [&["silence", "add", "*", "--until", "2025-03-05"][..], &signed].concat();
    assert_eq!(call(&house, &add).0, Some(0));
    let id = json_of(&house, &["silence", "list", "--json"])["silences"][0]["event_id"].clone();
    let end = [&["silence", "end", id.as_str().unwrap()][..], &signed].concat();
    assert_eq!(call(&house, &end).0, Some(0));
    assert_eq!(call(&house, &[&["corrections", "release"][..], &signed].concat()).0, Some(0));
    let days: Vec<String> =
        house.records(topics::GOVERNANCE).iter().map(|r| r.stamp.day().to_string()).collect();
    assert_eq!(days, ["2025-03-01"; 3]);
}

#[test]
fn whom_nobody_can_reach_is_said_and_nobody_is_named() {
    let house = House::embedded();
    house.register(None);
    let contact = |role: &str, subject: &str, version: u32, more: Value| {
        let mut contact = json!({"role": role, "subject": subject, "rank": 1, "name": "张三",
            "phone": "13812345678", "verified_on": today().to_string(), "version": version});
        contact.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        house.append(topics::CONTACTS, &format!("{role}|{subject}|1"), &contact, None);
    };
    let (code, table, said) = call(&house, &["contacts", "check"]);
    assert_eq!(code, Some(1), "{table}");
    assert!(said.contains("0 enterprises and 2 other roles"), "{said}");
    assert!(table.contains("industry_duty+33") && table.contains("emergency_duty+330784"), "{table}");
    contact("industry_duty", "33", 1, json!({}));
    contact("emergency_duty", "330784", 1, json!({"verified_on": "2020-01-01"}));
    contact("owner", FIRM, 2, json!({"phone": "12345"}));
    let found = json_of(&house, &["contacts", "check", "--json"]);
    assert_eq!((&found["enterprises"], &found["unfilled_roles"]), (&json!(2), &json!([])));
    assert_eq!(
        found["implausible_phones"],
        json!([{"contact": format!("owner+{FIRM}+1"), "phone": "*****"}])
    );
    let old = found["not_verified"].as_array().unwrap();
    assert!(old.contains(&json!({"contact": "emergency_duty+330784+1", "day": "2020-01-01"})), "{old:?}");
    assert!(old.contains(&json!({"contact": format!("township_duty+{AREA}+1")})), "never");
    contact("owner", FIRM, 3, json!({"valid_to": "2025-01-01"}));
    let (code, out, _) = call(&house, &["contacts", "check", "--json"]);
    assert_eq!(code, Some(1));
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["unreachable_enterprises"][0]["uscc"], FIRM);
    assert_eq!(found["ended"], json!([{"contact": format!("owner+{FIRM}+1"), "day": "2025-01-01"}]));
    assert!(!out.contains("张三") && !out.contains("12345678"), "{out}");
}

#[test]
fn corrections_that_are_too_many_wait_until_somebody_has_looked() {
    let mut house = House::embedded();
    house.register(None);
    let url = house.gateway.url.clone();
    house.configure(&url, "[alerts]\ncorrections_an_hour = 1\n");
    let run = house.run_caught_up(&[]);
    let of = |id: &str, firm: &str, version: u64, status: &str| {
        let mut report = report(id, &today().to_string());
        (report["uscc"], report["version"], report["status"]) = (json!(firm), json!(version), json!(status));
        house.append("reports.hr", id, &report, None);
    };
    let rang = || house.gateway.calls().len();
    // One of each firm: several of one would be told to the township as well.
    of("a", FIRM, 1, "reported");
    of("b", OTHER_FIRM, 1, "reported");
    until("both owners are told", || rang() == 2);
    of("a", FIRM, 2, "withdrawn");
    of("b", OTHER_FIRM, 2, "withdrawn");
    let held = || json_of(&house, &["corrections", "held", "--json"]).as_array().unwrap().len();
    until("one is held", || held() == 1);
    until("one went out", || rang() == 3);
    let (_, table, _) = call(&house, &["corrections", "held"]);
    assert!(table.contains("tocsin corrections release"), "{table}");
    run.wait_said("the fuse of corrections holds this one");

    let later = [
        "corrections",
        "release",
        "--author",
        "王主任",
        "--reason",
        "r",
        "--until",
        "2199-01-01T00:00:00+08:00",
    ];
    assert_eq!(call(&house, &later).0, Some(2));
    // It goes out when the service runs again; meanwhile it is held no more.
    assert_eq!(run.stop(), Some(0));
    let release = || {
        let (code, said, _) = call(&house, &later[..6]);
        assert_eq!(code, Some(0), "{said}");
        said
    };
    let said = release();
    assert!(said.contains("that now go out: 1;"), "{said}");
    assert_eq!(held(), 0);
    let (_, table, _) = call(&house, &["corrections", "held"]);
    assert!(table.contains("1 more were let go") && table.contains("no correction is held"), "{table}");
    let said = release();
    assert!(said.contains("that now go out: 0;"), "{said}");
    let run = house.run_caught_up(&[]);
    until("it goes out", || rang() == 4);
    assert_eq!(run.stop(), Some(0));
    assert_eq!(held(), 0);
    let (_, table, _) = call(&house, &["corrections", "held"]);
    assert_eq!(table.trim(), "no correction is held");
    assert_eq!(house.progress().unwrap().counters.quarantined, 0);
}

#[test]
fn what_failed_is_said_after_all_once_when_somebody_answers_for_it() {
    let house = House::embedded();
    let firm = json!({"uscc": FIRM, "version": 1, "name": "长城五金", "area": AREA, "industry": "33",
        "valid_from": "2015-01-01", "status": "active"});
    house.append(topics::ENTERPRISES, FIRM, &firm, None);
    let run = house.run_caught_up(&[]);
    house.report("a", &today().to_string(), None);
    until("nobody is found", || last(&house).is_some_and(|d| d.reason.as_deref() == Some("no_contact")));
    let failed = last(&house).unwrap().delivery_id;

    let signed = ["--author", "王主任", "--reason", "contact registered", "--json"];
    let retry = |args: &[&str]| {
        let (code, out, said) = call(&house, &[&["ledger", "retry"], args, &signed].concat());
        (code, serde_json::from_str::<Value>(&out).unwrap_or_default(), said)
    };
    assert_eq!(retry(&[]).0, Some(2), "everything is not asked for by leaving all out");
    let (code, none, said) = retry(&["AAAAAAAAAAAAAAAAAAAAAAAAAA"]);
    assert_eq!((code, none), (Some(1), Value::Null), "{said}");
    let (code, answers, _) = retry(&["--enterprise", FIRM, "--dry-run"]);
    assert_eq!(
        (code, &answers[0]["answer"], &answers[0]["delivery_id"]),
        (Some(0), &json!("asked"), &json!(failed))
    );
    let contact = json!({"role": "owner", "subject": FIRM, "rank": 1, "name": "某人",
        "addresses": {"webhook": "owner"}, "version": 1});
    house.append(topics::CONTACTS, &format!("owner|{FIRM}|1"), &contact, None);
    assert!(house.gateway.calls().is_empty());

    assert_eq!(retry(&[&failed]).0, Some(0));
    until("the owner is told", || house.gateway.calls().len() == 1);
    let (code, answers, said) = retry(&[&failed]);
    assert_eq!((code, &answers[0]["answer"]), (Some(1), &json!("retried")), "{said}");
    let retried = answers[0]["retry_id"].as_str().unwrap().to_owned();
    until("it is accepted", || {
        last(&house).is_some_and(|d| d.delivery_id == retried && d.state == DeliveryState::Accepted)
    });
    let (_, page, _) = call(&house, &["ledger", "show", &failed]);
    assert!(page.contains("王主任") && page.contains(&retried), "{page}");
    assert_eq!(json_of(&house, &["ledger", "reconcile", "--json"])["unaccounted"], json!(0));
    assert_eq!(run.stop(), Some(0));
    // A further worker has nothing to say.
    assert_eq!(house.run_caught_up(&[]).stop(), Some(0));
    assert_eq!(house.gateway.calls().len(), 1);
}
