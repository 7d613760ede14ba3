//! `tocsin ledger`: over the demo's log, over copies of it from which something was taken, and beside a running service
//! with its metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::codes::{Change, DeliveryState, Role, Rule, State};
use tocsin_schemas::log::{EventLog, TopicPartition};
use tocsin_schemas::records::{Alert, Delivery, Incident};
use tocsin_schemas::wire::{self, OutputRecord};

use crate::house::{AT, DAY, FIRM, House, Running, tocsin, until};

/// The demo's log, and copies of it.
struct Demo {
    dir: tempfile::TempDir,
    log: PathBuf,
}

impl Demo {
    fn played() -> Demo {
        let dir = tempfile::tempdir().unwrap();
        let keep = dir.path().join("kept");
        let done = tocsin(&["demo", "--speed", "1000", "--keep", keep.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert_eq!(done.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&done.stderr));
        let last = said.split("What the ledger says").nth(1).unwrap();
        assert!(last.lines().skip(1).take(3).all(|line| line.ends_with("unaccounted 0")), "{last}");
        Demo { log: keep.join("tocsin.db"), dir }
    }

    /// A copy from which the records that `gone` names are taken, and how many those were.
    fn without<T: OutputRecord>(&self, name: &str, gone: impl Fn(&T) -> bool) -> (PathBuf, usize) {
        let copy = self.dir.path().join(name);
        std::fs::copy(&self.log, &copy).unwrap();
        let places: Vec<(u32, u64)> =
            records::<T>(&copy).into_iter().filter(|(_, r)| gone(r)).map(|(place, _)| place).collect();
        let file = rusqlite::Connection::open(&copy).unwrap();
        for (partition, offset) in &places {
            let find = "SELECT p.id FROM partitions p JOIN topics t ON p.topic = t.id WHERE t.name = ?1 AND p.number = ?2";
            let id: i64 = file.query_row(find, (T::TOPIC, partition), |row| row.get(0)).unwrap();
            let offset = i64::try_from(*offset).unwrap();
            assert_eq!(file.execute(&format!("DELETE FROM p{id} WHERE offset = ?1"), [offset]).unwrap(), 1);
        }
        (copy, places.len())
    }
}

/// Every record of a topic with its place.
fn records<T: OutputRecord>(log: &Path) -> Vec<((u32, u64), T)> {
    let log = SqliteLog::open(log).unwrap();
    let bounds = log.bounds(T::TOPIC).unwrap();
    let from: Vec<(TopicPartition, u64)> = (0..)
        .zip(bounds)
        .map(|(partition, b)| (TopicPartition { topic: T::TOPIC.into(), partition }, b.first))
        .collect();
    let mut reader = log.reader(&from).unwrap();
    let mut all = Vec::new();
    while !reader.caught_up().unwrap() {
        for record in reader.poll(10_000, std::time::Duration::from_millis(100)).unwrap() {
            let value = wire::decode(&record.value.unwrap()).unwrap();
            all.push(((record.partition, record.offset), value));
        }
    }
    all
}

fn json(args: &[&str]) -> (Option<i32>, Value, String) {
    let done = tocsin(args);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    (done.status.code(), serde_json::from_slice(&done.stdout).unwrap_or(Value::Null), said)
}

fn reconciled(log: &Path) -> (Option<i32>, Value, String) {
    json(&["ledger", "reconcile", "--log-file", log.to_str().unwrap(), "--json"])
}

fn cases(page: &Value, what: &str, standing: &str) -> u64 {
    let rows = page["rows"].as_array().unwrap().iter();
    let of = rows.filter(|r| r["what"] == what && (standing.is_empty() || r["standing"] == standing));
    of.map(|r| r["cases"].as_u64().unwrap()).sum()
}

#[test]
fn the_demos_books_add_up_and_whatever_is_taken_out_of_them_is_found() {
    let demo = Demo::played();
    let (code, page, said) = reconciled(&demo.log);
    assert_eq!((code, &page["unaccounted"]), (Some(0), &Value::from(0)), "{said}");
    // Counted again from the records, by hand.
    let incidents: BTreeMap<_, _> =
        records::<Incident>(&demo.log).into_iter().map(|(_, i)| (i.incident_id, i.state)).collect();
    let counted = incidents.values().filter(|state| **state == State::Counted).count() as u64;
    let deliveries: BTreeMap<String, Delivery> =
        records::<Delivery>(&demo.log).into_iter().map(|(_, d)| (d.delivery_id.clone(), d)).collect();
    let alerts: Vec<Alert> = records::<Alert>(&demo.log).into_iter().map(|(_, a)| a).collect();
    let quiet: BTreeSet<_> =
        alerts.iter().filter(|a| a.change == Change::Suppressed).map(|a| a.case_no.clone()).collect();
    let accepted = deliveries.values().filter(|d| d.state == DeliveryState::Accepted).count() as u64;
    // Owners whom nobody can reach: the township hears it in their place.
    let stood_in = deliveries.values().filter(|d| d.template == "T15").count();
    // Where the provider was asked, it has told that it came.
    let came = deliveries.values().filter(|d| d.state == DeliveryState::Delivered).count() as u64;
    assert!(counted > 50 && accepted + came > 100 && stood_in > 0 && !quiet.is_empty());
    assert_eq!(cases(&page, "counted", ""), counted);
    assert_eq!(cases(&page, "counted", "suppressed"), quiet.len() as u64);
    assert_eq!(page["messages"]["accepted"][""], accepted);
    assert!(deliveries.values().all(|d| d.state != DeliveryState::Failed));
    let warnings: BTreeSet<_> =
        alerts.iter().filter(|a| a.rule == Rule::Escalation).map(|a| a.case_no.clone()).collect();
    assert_eq!(cases(&page, "warning", ""), warnings.len() as u64);

    let said_once = |rule, change| {
        let of = |a: &&Alert| a.rule == rule && a.change == change && !a.audiences.is_empty();
        alerts.iter().rfind(of).unwrap().clone()
    };
    let mut taken = Vec::new();
    for (rule, change) in [
        (Rule::OwnerIncident, Change::New),
        (Rule::OwnerIncident, Change::Corrected),
        (Rule::OwnerIncident, Change::Upgraded),
        (Rule::Escalation, Change::New),
        (Rule::Escalation, Change::Raised),
    ] {
        let alert = said_once(rule, change);
        let (log, gone) = demo.without::<Alert>("alert.db", |a| a.alert_id == alert.alert_id);
        assert_eq!(gone, 1);
        taken.push((log, alert.case_no.to_string(), "no_alert"));
        check(&mut taken);
    }
    let silent = alerts.iter().rfind(|a| a.change == Change::Suppressed).unwrap();
    let (log, _) = demo.without::<Alert>("silent.db", |a| a.alert_id == silent.alert_id);
    taken.push((log, silent.case_no.to_string(), "no_alert"));
    check(&mut taken);
    let delivery = deliveries.values().next().unwrap();
    let (log, gone) = demo.without::<Delivery>("delivery.db", |d| d.delivery_id == delivery.delivery_id);
    assert!(gone > 0);
    taken.push((log, delivery.case_no.clone(), "no_delivery"));
    check(&mut taken);
    // Its outcome alone: it stands in `sending`, and nobody will look at it again.
    let ended = deliveries.values().find(|d| d.state == DeliveryState::Accepted && d.attempt == 1).unwrap();
    let (log, gone) = demo
        .without::<Delivery>("outcome.db", |d| d.delivery_id == ended.delivery_id && d.state == ended.state);
    assert_eq!(gone, 1);
    taken.push((log, ended.case_no.clone(), "left_behind"));
    check(&mut taken);
}

/// Exactly this case is unaccounted for, by this step, with what to do.
fn check(taken: &mut Vec<(PathBuf, String, &str)>) {
    let (log, case_no, step) = taken.pop().unwrap();
    let (code, page, said) = reconciled(&log);
    assert_eq!((code, &page["unaccounted"]), (Some(1), &Value::from(1)), "{case_no} {step}: {page}");
    assert!(said.contains("1 of ") && said.contains("unaccounted for"), "{said}");
    for missing in page["missing"].as_array().unwrap() {
        assert_eq!(
            (&missing["case_no"], &missing["step"]),
            (&Value::from(case_no.clone()), &Value::from(step))
        );
        assert!(!missing["next_step"].as_str().unwrap().is_empty());
    }
    let table = tocsin(&["ledger", "reconcile", "--log-file", log.to_str().unwrap()]);
    assert_eq!(table.status.code(), Some(1));
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("UNACCOUNTED") && table.contains(&case_no) && table.contains(step), "{table}");
}

#[test]
fn deliveries_are_shown_found_and_exported_by_what_they_are() {
    let demo = Demo::played();
    let log = demo.log.to_str().unwrap();
    let all: BTreeMap<String, Delivery> =
        records::<Delivery>(&demo.log).into_iter().map(|(_, d)| (d.delivery_id.clone(), d)).collect();
    let ids = |found: &Value| -> BTreeSet<String> {
        found.as_array().unwrap().iter().map(|d| d["delivery_id"].as_str().unwrap().to_owned()).collect()
    };
    let expected = |wants: &dyn Fn(&Delivery) -> bool| -> BTreeSet<String> {
        let found: BTreeSet<String> =
            all.values().filter(|d| wants(d)).map(|d| d.delivery_id.clone()).collect();
        assert!(!found.is_empty() && found.len() < all.len());
        found
    };
    let tried_again = |d: &&Delivery| d.attempt > 1 && d.channel == "webhook" && d.case_no.starts_with('E');
    let one = all.values().find(tried_again).unwrap();
    let day = one.at.day();
    let find = |filter: &[&str]| {
        let (code, found, said) = json(&[&["ledger", "find", "--log-file", log, "--json"], filter].concat());
        assert_eq!(code, Some(0), "{said}");
        ids(&found)
    };
    assert_eq!(find(&["--day", &day.to_string()]), expected(&|d| d.at.day() == day));
    let uscc = one.uscc.as_str();
    assert_eq!(find(&["--enterprise", uscc]), expected(&|d| d.uscc.as_str() == uscc || d.subject == uscc));
    let incident = all.values().find(|d| d.case_no.starts_with('0')).unwrap().case_no.as_str();
    let named: BTreeSet<String> = records::<Alert>(&demo.log)
        .into_iter()
        .filter(|(_, a)| a.incident_ids.iter().any(|id| id.to_string() == incident))
        .map(|(_, a)| a.alert_id)
        .collect();
    assert_eq!(find(&["--incident", incident]), expected(&|d| named.contains(&d.alert_id)));
    assert_eq!(find(&["--gateway", "webhook"]), expected(&|d| d.channel == "webhook"));
    assert_eq!(find(&["--state", "accepted"]), expected(&|d| d.state == DeliveryState::Accepted));
    let (code, _, said) = json(&["ledger", "find", "--log-file", log, "--state", "failed"]);
    assert!(code == Some(1) && said.contains("no delivery"), "{said}");
    let (code, _, said) = json(&["ledger", "find", "--log-file", log, "--gateway", "pigeon"]);
    assert!(code == Some(1) && said.contains("no delivery"), "{said}");

    for id in [&one.delivery_id, &one.alert_id, &one.case_no] {
        let (code, found, said) = json(&["ledger", "show", id, "--log-file", log, "--json"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(ids(&found["steps"]).contains(&one.delivery_id));
        // Nothing has dropped the steps before the last one yet.
        let of = |d: &&Value| d["delivery_id"] == one.delivery_id.as_str();
        let states: Vec<&str> = found["steps"]
            .as_array()
            .unwrap()
            .iter()
            .filter(of)
            .map(|d| d["state"].as_str().unwrap())
            .collect();
        assert!(states.starts_with(&["planned", "sending", "planned", "sending"]), "{states:?}");
        let text = tocsin(&["ledger", "show", id, "--log-file", log]);
        assert!(String::from_utf8_lossy(&text.stdout).contains(&one.delivery_id));
    }
    let (code, _, said) = json(&["ledger", "show", "000000902", "--log-file", log]);
    assert!(code == Some(2) && said.contains("check digit"), "{said}");
    let (code, _, said) = json(&["ledger", "show", "AAAAAAAAAAAAAAAAAAAAAAAAAA", "--log-file", log]);
    assert!(code == Some(1) && said.contains("no alert and no delivery"), "{said}");
    let (code, _, said) = json(&["ledger", "reconcile", "--log-file", "not-there.db"]);
    assert!(code == Some(2) && said.contains("there is no event log at not-there.db"), "{said}");

    let export = |format: &str| {
        let done = tocsin(&["ledger", "export", "--format", format, "--log-file", log]);
        assert_eq!(done.status.code(), Some(0));
        String::from_utf8(done.stdout).unwrap()
    };
    let lines: Vec<Delivery> =
        export("jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.is_sorted_by_key(|d| (d.at, d.delivery_id.clone())));
    assert_eq!(lines.into_iter().map(|d| (d.delivery_id.clone(), d)).collect::<BTreeMap<_, _>>(), all);
    let csv = export("csv");
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), all.len() + 1);
    assert_eq!(
        rows[0].join(","),
        "delivery_id,alert_id,case_no,uscc,role,subject,contact_rank,contact_version,channel,template,state,reason,\
         attempt,at,due_at,gateway_ref,uncertain,phone_hash,contact_role,contact_subject"
    );
    for row in &rows[1..] {
        let delivery = &all[row[0]];
        assert_eq!((row.len(), row[10], row[13]), (20, delivery.state.as_str(), &*delivery.at.to_string()));
    }
}

#[test]
fn what_went_to_a_phone_is_found_by_its_number_and_by_its_hash_and_the_number_is_nowhere() {
    let mut house = House::embedded().started();
    let gateway = house.gateway.url.clone();
    std::fs::write(house.dir.path().join("phone.key"), "k".repeat(32)).unwrap();
    house.configure(&gateway, "[alerts]\nphone_key = { file = \"phone.key\" }\n");
    let duty = serde_json::json!({"role": "township_duty", "subject": crate::house::AREA, "rank": 1, "name": "某人",
        "phone": "139 0000 0001", "version": 2});
    let key = format!("township_duty|{}|1", crate::house::AREA);
    house.append(tocsin_schemas::topics::CONTACTS, &key, &duty, Some("2025-03-01T07:30:00+08:00"));
    for id in ["a", "b", "c"] {
        house.report(id, DAY, AT);
    }
    assert_eq!(house.run(&["--until-end"]).ends_within(Duration::from_secs(20)), Some(0));
    let to = |role: Role| -> BTreeSet<String> {
        house.all::<Delivery>().into_iter().filter(|d| d.role == role).map(|d| d.delivery_id).collect()
    };
    let (town, owner) = (to(Role::TownshipDuty), to(Role::Owner));
    assert!(!town.is_empty() && owner.len() == 3);
    let config = house.config();
    let find = |args: &[&str]| {
        let place = ["ledger", "find", "--json", "--config", config.to_str().unwrap()];
        json(&[&place[..], args].concat())
    };
    let ids = |found: &Value| -> BTreeSet<String> {
        found.as_array().unwrap().iter().map(|d| d["delivery_id"].as_str().unwrap().to_owned()).collect()
    };
    let (code, found, said) = find(&["--phone", "+86 13900000001"]);
    assert_eq!((code, ids(&found)), (Some(0), town.clone()), "{said}");
    let hash = found[0]["phone_hash"].as_str().unwrap().to_owned();
    assert!(!found.to_string().contains("0000001"));
    let (code, found, said) = find(&["--phone-hash", &hash]);
    assert_eq!((code, ids(&found)), (Some(0), town), "{said}");
    let (code, _, said) = find(&["--phone", "13900000002"]);
    assert!(code == Some(1) && said.contains("no delivery"), "{said}");
    for wrong in [&["--phone", "12345"][..], &["--phone-hash", "13900000001"]] {
        let (code, _, said) = find(wrong);
        assert!(code == Some(2) && !said.contains("13900000001") || wrong[1] == "13900000001", "{said}");
    }
    let log = house.dir.path().join("log.db");
    let by_log = ["ledger", "find", "--log-file", log.to_str().unwrap(), "--phone", "13900000001"];
    let (code, _, said) = json(&by_log);
    assert!(code == Some(2) && said.contains("--config"), "its key stands in a configuration: {said}");
    // From standard input, so that it stands in nobody's history.
    let mut typed = std::process::Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .args(["ledger", "export", "--format", "jsonl", "--phone", "-", "--config", config.to_str().unwrap()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    typed.stdin.take().unwrap().write_all(b"13900000001\n").unwrap();
    let done = typed.wait_with_output().unwrap();
    let lines = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && lines.lines().count() > 0);
    assert!(lines.lines().all(|line| line.contains(&hash)), "{lines}");
}

#[test]
fn on_the_embedded_log_the_books_add_up_beside_a_running_service() {
    beside_a_running_service(House::embedded());
}

#[test]
fn on_kafka_the_books_add_up_beside_a_running_service() {
    if !tocsin_testkit::kafka_wanted("on_kafka_the_books_add_up_beside_a_running_service") {
        return;
    }
    let broker = tocsin_testkit::Broker::start();
    beside_a_running_service(House::kafka(broker.address()));
}

/// What the service's metrics say now.
fn metrics(run: &Running) -> BTreeMap<String, i64> {
    run.wait_said("metrics are served");
    let said = run.said();
    let address =
        said.split("http://").filter_map(|t| t.split_once("/metrics")).map(|(a, _)| a).next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("# EOF"), "{text}");
    let samples = text.lines().filter(|line| line.starts_with("tocsin_"));
    samples.filter_map(|l| l.split_once(' ')).map(|(name, n)| (name.to_owned(), n.parse().unwrap())).collect()
}

fn beside_a_running_service(house: House) {
    let mut house = house.started();
    let gateway = house.gateway.url.clone();
    house.configure(&gateway, "[metrics]\nlisten = \"127.0.0.1:0\"\nledger_seconds = 1\n");
    let run = house.run_caught_up(&[]);
    house.report("a", DAY, AT);
    until("the owner is told", || house.gateway.calls().len() == 1);
    let told = "tocsin_ledger_cases{what=\"counted\",standing=\"told\"}";
    until("the metrics say so", || metrics(&run)[told] == 1);
    let now = metrics(&run);
    assert_eq!(now["tocsin_unaccounted"], 0);
    assert_eq!(now["tocsin_ledger_messages{state=\"accepted\"}"], 1);
    let computed = now["tocsin_ledger_computed_timestamp_seconds"];
    assert!(now["tocsin_ledger_decided_timestamp_seconds"] > 0 && computed > 0);
    let config = house.config();
    let reconcile = ["ledger", "reconcile", "--config", config.to_str().unwrap(), "--json"];
    let (code, page, said) = json(&reconcile);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((cases(&page, "counted", "told"), &page["reasons_judged"]), (1, &Value::from(true)));
    let (code, found, _) =
        json(&["ledger", "find", "--enterprise", FIRM, "--config", reconcile[3], "--json"]);
    assert_eq!((code, found.as_array().unwrap().len()), (Some(0), 1));
    until("it is computed again, on a quiet day too", || {
        metrics(&run)["tocsin_ledger_computed_timestamp_seconds"] > computed
    });
    assert_eq!(run.stop(), Some(0));
}

/// The worker would not start (it notices a ledger that is shorter than its progress). The watch over the ledger sees it
/// beside the other half.
#[test]
fn a_delivery_that_is_lost_is_a_metric_and_an_error_line() {
    let mut house = crate::house::told(House::embedded());
    let gateway = house.gateway.url.clone();
    house.configure(&gateway, "[metrics]\nlisten = \"127.0.0.1:0\"\nledger_seconds = 1\n");
    let run = house.run_caught_up(&["--only", "pipeline"]);
    until("the metrics are there", || metrics(&run)["tocsin_ledger_computed_timestamp_seconds"] > 0);
    assert_eq!(metrics(&run)["tocsin_unaccounted"], 0);
    assert_eq!(run.stop(), Some(0));
    house.lose(tocsin_schemas::topics::DELIVERIES);
    let run = house.run_caught_up(&["--only", "pipeline"]);
    until("it is missed", || metrics(&run)["tocsin_unaccounted"] == 1);
    assert_eq!(metrics(&run)["tocsin_ledger_unaccounted{step=\"no_delivery\"}"], 1);
    run.wait_said("unaccounted for");
    assert!(run.said().contains("step=\"no_delivery\""), "{}", run.said());
    assert_eq!(run.stop(), Some(0));
    let config = house.config();
    let (code, page, _) = json(&["ledger", "reconcile", "--config", config.to_str().unwrap(), "--json"]);
    assert_eq!((code, &page["unaccounted"]), (Some(1), &Value::from(1)));
}
