//! What stops a start, and what a newer `run` does to an older one. Whatever happens, nothing is sent.

mod compaction;
mod lists;
mod lost;
mod worker;

use std::collections::BTreeSet;
use std::time::{Duration, Instant as Monotonic};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaResult;
use tocsin_schemas::records::{Delivery, Progress};
use tocsin_testkit::{Broker, kafka_wanted};

use crate::house::{DAY, House, Running, told, until};

/// Asks the broker for what only an administrator may: altering and deleting topics.
fn as_admin<T>(
    address: &str,
    ask: impl AsyncFnOnce(AdminClient<DefaultClientContext>, AdminOptions) -> KafkaResult<T>,
) -> T {
    let admin = ClientConfig::new().set("bootstrap.servers", address).create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(ask(admin, options)).unwrap()
}

/// It does not start, says why in its last line, and nobody is told anything.
fn refuses(house: &House, args: &[&str], why: &[&str]) {
    let (alerts, calls, progress) = (house.alerts(), house.gateway.calls(), house.progress());
    let mut run = house.run(args);
    assert_eq!(run.ends_within(Duration::from_secs(10)), Some(1), "{}", run.said());
    let said = run.said();
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("tocsin: "), "{said}");
    for part in why {
        assert!(last.contains(part), "expected {part:?} in: {last}");
    }
    assert_eq!((house.alerts(), house.gateway.calls(), house.progress()), (alerts, calls, progress));
}

#[test]
fn progress_ahead_of_the_log_stops_the_start() {
    let house = told(House::embedded());
    let mut progress = house.progress().unwrap();
    let offset = progress.offsets.iter_mut().find(|o| o.topic == "reports.health").unwrap();
    offset.next += 5;
    house.forge(&progress);
    refuses(&house, &[], &["reports.health", "progress has read to 5", "nothing was decided or sent"]);
}

#[test]
fn another_log_with_this_ones_progress_stops_the_start() {
    let old = told(House::embedded());
    let new = House::embedded();
    new.forge(&old.progress().unwrap());
    refuses(&new, &[], &["log's id", &old.progress().unwrap().log_id]);
}

#[test]
fn alerts_without_progress_stop_the_start() {
    let house = House::embedded();
    let other = told(House::embedded());
    for alert in other.alerts() {
        let raw = tocsin_schemas::wire::encode(&alert);
        house.append_raw("alerts", alert.uscc.as_str(), raw, None);
    }
    refuses(&house, &["--only", "pipeline"], &["no progress of the pipeline"]);
}

#[test]
fn what_should_have_been_said_and_was_not_stops_the_start_until_it_is_accepted() {
    let house = told(House::embedded());
    // As if the report had never been read: the incident that was told has no report any more.
    let mut progress = house.progress().unwrap();
    for offset in progress.offsets.iter_mut().filter(|o| o.topic == "reports.hr") {
        offset.next = 0;
    }
    house.forge(&progress);
    refuses(&house, &[], &["1 owner_incident corrected", "--accept-difference", "Nothing was sent"]);
    // Accepted, the correction goes out; then the report is read again and counts again.
    let run = house.run_caught_up(&["--accept-difference"]);
    until("the correction is sent", || house.gateway.calls().len() == 3);
    assert_eq!(house.said(), ["owner_incident new", "owner_incident corrected", "owner_incident new"]);
    assert_eq!(run.stop(), Some(0));
}

/// The first one is fenced within 5 seconds of the start of the second one, and nothing is doubled; with
/// reports that arrive all the while, or with none.
fn fences(house: &House, arriving: usize) {
    let mut first = house.run_caught_up(&[]);
    let second = std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..arriving {
                house.report(&format!("b{n}"), DAY, Some("2025-03-01T08:30:00+08:00"));
            }
        });
        if arriving > 0 {
            until("the first one is at work", || house.gateway.calls().len() > 1);
        }
        let began = Monotonic::now();
        let second = house.run(&[]);
        assert_eq!(first.ends_within(Duration::from_secs(5)), Some(1), "{}", first.said());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        second
    });
    assert!(last_line(&first).contains("has taken over"), "{}", first.said());
    second.wait_said("caught up");
    house.report("b", DAY, Some("2025-03-01T08:30:00+08:00"));
    let reports = 2 + arriving;
    let told = || house.said().iter().filter(|s| *s == "owner_incident new").count();
    until("the second one goes on", || told() == reports);
    let alerts = house.alerts();
    let ids: BTreeSet<&str> = alerts.iter().map(|a| a.alert_id.as_str()).collect();
    assert_eq!(ids.len(), alerts.len(), "nothing is said twice");
    let due: usize = alerts.iter().map(|a| a.audiences.len()).sum();
    let keys = || -> BTreeSet<String> {
        house.gateway.calls().iter().map(|c| c["idempotency_key"].to_string()).collect()
    };
    until("everybody is told", || keys().len() >= due.min(reports + 1));
    assert_eq!(second.stop(), Some(0));
    let people: BTreeSet<(String, String)> =
        house.gateway.calls().iter().map(|c| (c["alert_id"].to_string(), c["to"].to_string())).collect();
    assert_eq!(people.len(), keys().len(), "one key for each person and alert");
    // Twice with one key is only who was being asked when the first one was fenced.
    let uncertain: BTreeSet<String> = house
        .all::<Delivery>()
        .into_iter()
        .filter(|d| d.uncertain)
        .map(|d| format!("\"{}\"", d.delivery_id))
        .collect();
    let mut seen = BTreeSet::new();
    for call in house.gateway.calls() {
        let key = call["idempotency_key"].to_string();
        assert!(seen.insert(key.clone()) || uncertain.contains(&key), "asked twice: {call}");
    }
}

/// What somebody else writes right behind one's own last word is not taken for one's own.
#[test]
fn a_second_run_fences_the_first_even_when_that_has_just_written() {
    let house = told(House::embedded());
    let before = house.alerts().len();
    let mut first = house.run_caught_up(&["--only", "pipeline"]);
    house.report("b", DAY, Some("2025-03-01T08:30:00+08:00"));
    until("the first one has written", || house.alerts().len() > before);
    let second = house.run(&["--only", "pipeline"]);
    assert_eq!(first.ends_within(Duration::from_secs(5)), Some(1), "{}", first.said());
    assert!(last_line(&first).contains("has taken over"), "{}", first.said());
    second.wait_said("caught up");
    assert_eq!(second.stop(), Some(0));
}

fn last_line(run: &Running) -> String {
    run.said().lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_second_run_fences_the_first_even_when_it_is_idle() {
    fences(&told(House::embedded()), 0);
}

#[test]
fn a_second_run_fences_the_first_while_reports_arrive() {
    fences(&told(House::embedded()), 40);
}

#[test]
fn a_second_run_fences_the_first_on_kafka() {
    if !kafka_wanted("service: a second run fences the first on kafka") {
        return;
    }
    let broker = Broker::start();
    fences(&told(House::kafka(broker.address())), 0);
}

#[test]
fn a_second_run_fences_the_first_on_kafka_while_reports_arrive() {
    if !kafka_wanted("service: a second run fences the first on kafka while reports arrive") {
        return;
    }
    let broker = Broker::start();
    fences(&told(House::kafka(broker.address())), 40);
}

#[test]
fn progress_ahead_stops_the_start_on_kafka() {
    if !kafka_wanted("service: progress ahead stops the start on kafka") {
        return;
    }
    let broker = Broker::start();
    let house = told(House::kafka(broker.address()));
    let progress = house.progress().unwrap();
    let mut ahead: Progress = progress.clone();
    ahead.offsets.iter_mut().find(|o| o.topic == "reports.health").unwrap().next += 5;
    house.forge(&ahead);
    refuses(&house, &[], &["reports.health", "progress has read to 5"]);
    // With its own progress back it goes on and says nothing.
    house.forge(&progress);
    let run = house.run_caught_up(&[]);
    assert_eq!(run.stop(), Some(0));
    assert_eq!(house.gateway.calls().len(), 1);
}
