//! Records that are not there any more, on both logs: nobody is told that an injury was withdrawn because a
//! topic was lost.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;
use tocsin_schemas::partition::partition_of;
use tocsin_schemas::topics;
use tocsin_testkit::{Broker, kafka_wanted};

use super::{as_admin, refuses, told};
use crate::house::{AT, DAY, House, OTHER_FIRM, report, until};

const TOPIC: &str = "reports.hr";

/// An operator's slip: topics are deleted and made anew.
pub fn delete_and_make_anew(house: &House, address: &str, names: &[&str]) {
    let deleted = as_admin(address, async |admin, options| admin.delete_topics(names, &options).await);
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    for name in names {
        let wanted = topics::topic(name).unwrap().settings();
        let partitions = wanted.partitions as usize;
        until("the topic is there again, and empty", || {
            let _ = house.log.ensure(std::slice::from_ref(&wanted), false);
            let bounds = house.log.bounds(name);
            bounds.is_ok_and(|bounds| bounds.len() == partitions && bounds.iter().all(|b| b.end == 0))
        });
    }
}

/// The topic with the report that was told is emptied; then other records take its place.
fn emptied(house: &House, empty: impl FnOnce(&House)) {
    empty(house);
    refuses(house, &[], &[TOPIC, "the topic was emptied or half restored", "nothing was decided or sent"]);
    // As many records as before, but not the same: the ends say nothing now, what was said does.
    let mut other = report("a", DAY);
    other["uscc"] = json!(OTHER_FIRM);
    for _ in 0..2 {
        house.append(TOPIC, "a", &other, AT);
    }
    refuses(
        house,
        &[],
        &["records are missing or were changed", "1 owner_incident corrected", "Nothing was sent"],
    );
}

#[test]
fn an_emptied_topic_stops_the_start() {
    emptied(&told(House::embedded()), |house| house.lose(TOPIC));
}

#[test]
fn a_topic_deleted_and_made_anew_stops_the_start_on_kafka() {
    if !kafka_wanted("service: a topic deleted and made anew stops the start on kafka") {
        return;
    }
    let broker = Broker::start();
    let house = told(House::kafka(broker.address()));
    emptied(&house, |house| delete_and_make_anew(house, broker.address(), &[TOPIC]));
}

/// What tells that there was a past, while what was said and how far it goes are lost.
const PAST: [&str; 3] = [topics::ALERTS, topics::INCIDENTS, topics::PROGRESS];

/// With a record in quarantine, so that every topic that is written holds something.
fn told_and_refused(house: House) -> House {
    let house = told(house);
    let run = house.run_caught_up(&["--only", "pipeline"]);
    house.append_raw(TOPIC, "bad", b"{".to_vec(), AT);
    until("it is refused", || house.quarantined().len() == 1);
    assert_eq!(run.stop(), Some(0));
    house
}

/// The past is lost but for its traces: a start from zero would tell everybody again.
fn traces_only(house: &House, lose: impl FnOnce(&House)) {
    lose(house);
    let why = &[
        "rates, lists, deliveries, quarantine",
        "no progress of the pipeline",
        "nothing was decided or sent",
    ];
    refuses(house, &[], why);
    refuses(house, &["--accept-difference"], why);
    refuses(house, &["--only", "pipeline"], why);
}

#[test]
fn a_lost_past_of_which_traces_are_left_stops_the_start() {
    let house = told_and_refused(House::embedded());
    traces_only(&house, |house| PAST.iter().for_each(|topic| house.lose(topic)));
    // Each trace alone is enough.
    house.lose(topics::RATES);
    refuses(&house, &[], &["records in lists, deliveries, quarantine,"]);
    house.lose(topics::LISTS);
    refuses(&house, &[], &["records in deliveries, quarantine,"]);
    house.lose(topics::DELIVERIES);
    refuses(&house, &[], &["records in quarantine,"]);
    // Without any it is a first start: everything is decided, and told, as if for the first time.
    house.lose(topics::QUARANTINE);
    let run = house.run_caught_up(&[]);
    until("it is told as for the first time", || house.gateway.calls().len() == 2);
    assert_eq!(run.stop(), Some(0));
}

#[test]
fn a_lost_past_of_which_traces_are_left_stops_the_start_on_kafka() {
    if !kafka_wanted("service: a lost past of which traces are left stops the start on kafka") {
        return;
    }
    let broker = Broker::start();
    let house = told_and_refused(House::kafka(broker.address()));
    traces_only(&house, |house| delete_and_make_anew(house, broker.address(), &PAST));
}

/// A worker that died in the midst of a transaction holds up whoever reads the partitions that it wrote to. So
/// the pipeline's progress must not stand behind its: it would be read back as it was before, or not at all.
#[test]
fn a_dead_workers_open_transaction_hides_nothing_of_the_pipelines_progress() {
    if !kafka_wanted("service: a dead worker's open transaction hides nothing of the pipeline's progress") {
        return;
    }
    let broker = Broker::start();
    let house = told(House::kafka(broker.address()));
    let worker: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set("transactional.id", "tocsin.alerts")
        .set("transaction.timeout.ms", "600000")
        .create()
        .unwrap();
    worker.init_transactions(Duration::from_secs(10)).unwrap();
    worker.begin_transaction().unwrap();
    let key = "alerts".as_bytes();
    let partition = partition_of(key, topics::topic(topics::PROGRESS).unwrap().partitions) as i32;
    let record =
        BaseRecord::to(topics::PROGRESS).partition(partition).key(key).payload(&b"never committed"[..]);
    worker.send(record).map_err(|(e, _)| e).unwrap();
    worker.flush(Duration::from_secs(10)).unwrap();

    let pipeline = house.run_caught_up(&["--only", "pipeline"]);
    house.report("b", DAY, AT);
    until("it is decided", || house.said().len() == 3);
    assert_eq!(pipeline.stop(), Some(0));
    drop(worker);
    let run = house.run_caught_up(&[]);
    until("they are told", || house.gateway.calls().len() == 3);
    assert_eq!(house.said().len(), 3);
    assert_eq!(run.stop(), Some(0));
}

#[test]
fn another_cluster_with_this_ones_progress_stops_the_start() {
    if !kafka_wanted("service: another cluster with this one's progress stops the start") {
        return;
    }
    let (here, there) = (Broker::start(), Broker::start());
    let (old, new) = (told(House::kafka(here.address())), House::kafka(there.address()));
    assert_ne!(old.log.log_id().unwrap(), new.log.log_id().unwrap());
    // Everything is there as it was, mirrored from one cluster to the other.
    for topic in topics::catalogue() {
        for record in old.records(topic.name) {
            let key = record.key.unwrap_or_default();
            let new_record = tocsin_schemas::log::NewRecord {
                topic: Arc::clone(&record.topic),
                key,
                value: record.value,
                stamp: Some(record.stamp),
                route: None,
            };
            new.log.writer("mirror").unwrap().append(&[new_record]).unwrap();
        }
    }
    assert_eq!(new.alerts(), old.alerts());
    refuses(&new, &[], &["log's id", &old.log.log_id().unwrap()]);
}
