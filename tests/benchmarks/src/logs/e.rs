//! (e) The start on a full log, over reading and decoding the same topics.
//!
//! Ours: `tocsin run`, from its start until it says that it has read back what was decided. The floor: one
//! reader in one thread that reads the same topics to the same ends and decodes every record into its Rust
//! type, without checks and digests (the start must do these: what was refused then is refused now). Either log is
//! filled once: `tocsin run` itself decides ten years of reports on the embedded log, and the records are
//! copied to Kafka.

use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use rdkafka::message::Message as _;
use tocsin_connectors::log::kafka::Stamps;
use tocsin_schemas::log::{LogReader, NewRecord};
use tocsin_schemas::records::{Offset, Progress as Done};
use tocsin_schemas::topics;
use tocsin_schemas::wire;
use tocsin_testkit::Broker;

use super::bare::Consumer;
use super::history::{self, decode};
use super::service::House;
use super::{caught, median};
use crate::progress::{Progress, Work};
use crate::table::{Figure, Goal, Row};
use crate::{Failure, Options, workload};

/// Incidents on the log.
const INCIDENTS: u32 = 1_000_000;
/// Times that each side is measured, in turns; the first warms up.
const ROUNDS: usize = 4;
const LIMIT: Duration = Duration::from_secs(1_800);

/// (e) as rows of the table.
///
/// # Errors
/// No broker, no `tocsin` beside this program, or a service that ended.
pub fn run(options: &Options, progress: &Progress) -> Result<Vec<Row>, Failure> {
    caught(|| measure(options, progress))
}

fn measure(options: &Options, progress: &Progress) -> Vec<Row> {
    let incidents = options.size(INCIDENTS);
    let work = progress.work("(e) filling the embedded log", 0);
    // One pass to know when the last report arrives.
    let mut reports = workload::Reports::new(options.seed);
    let (mut count, mut last) = (0usize, None);
    while reports.incidents() < u64::from(incidents) {
        last = reports.next();
        count += 1;
    }
    let now = last.map(|a| a.arrived_at.plus_millis(60_000));
    let embedded = House::embedded(now);
    history::publish_register(&*embedded.log, options.seed, None, &work);
    history::publish_reports(&*embedded.log, workload::Reports::new(options.seed).take(count), &work);
    let mut service = embedded.run(&["--until-end"]);
    service.when_said("decided on", LIMIT);
    service.ended();
    drop(work);
    let mut rows = vec![row("embedded log", &embedded, None, progress)];

    let work = progress.work("(e) copying it to Kafka", 0);
    let broker = Broker::start_for_benchmark();
    let kafka = House::kafka(broker.address(), Stamps::CreateTime, now);
    copy(&embedded, &kafka, &work);
    drop(work);
    rows.push(row("Kafka", &kafka, Some(&broker), progress));
    rows
}

/// What the start reads.
fn read_at_start() -> Vec<&'static str> {
    let mut names = history::inputs();
    names.extend([topics::INCIDENTS, topics::ALERTS, topics::LISTS, topics::PROGRESS]);
    names
}

fn row(what: &str, house: &House, broker: Option<&Broker>, progress: &Progress) -> Row {
    let work = progress.work(&format!("(e) starts on {what}"), ROUNDS as u64);
    let (mut ours, mut floor, mut peak, mut records) = (Vec::new(), Vec::new(), 0, 0);
    for _ in 0..ROUNDS {
        let mut service = house.run(&["--until-end"]);
        let ready = service.when_said("read back what was decided", LIMIT);
        ours.push((ready - service.began()).as_secs_f64());
        peak = service.peak_bytes().max(peak);
        service.ended();
        let began = Monotonic::now();
        records = match broker {
            Some(broker) => floor_kafka(house, broker),
            None => floor_embedded(house),
        };
        floor.push(began.elapsed().as_secs_f64());
        if let (Some(ours), Some(floor)) = (ours.last(), floor.last()) {
            progress.say(&format!("(e) {what}: ours {ours:.2} s, floor {floor:.2} s, {records} records"));
        }
        work.advance(1);
    }
    let pairs = ours.iter().zip(&floor).skip(1).map(|(ours, floor)| ours / floor);
    let seconds = |times: &[f64]| Figure::new(median(times.iter().skip(1).copied()), "s");
    Row::costs('e', format!("start on a full log, {what}"), seconds(&ours), seconds(&floor))
        .ratio(median(pairs))
        .goal(Goal::AtMost(2.0))
        .note(format!(
            "median of {} starts; {records} records read; the service took {} MB at most",
            ROUNDS - 1,
            peak / 1_000_000
        ))
}

fn floor_embedded(house: &House) -> u64 {
    let (from, ends) = house.whole(&read_at_start());
    let mut reader = house.log.reader(&from).expect("a reader");
    let mut count = 0;
    while !reached(&*reader, &ends) {
        for record in reader.poll(10_000, Duration::from_secs(1)).expect("a poll") {
            take(&record.topic, record.value.as_deref());
            count += 1;
        }
    }
    count
}

/// An enterprise that leaves a list is a tombstone there, and nowhere else is one.
fn take(topic: &str, value: Option<&[u8]>) {
    match value {
        Some(raw) => decode(topic, raw),
        None => assert_eq!(topic, topics::LISTS, "a tombstone"),
    }
}

fn reached(reader: &dyn LogReader, ends: &[u64]) -> bool {
    reader.position().iter().zip(ends).all(|((_, at), end)| at >= end)
}

fn floor_kafka(house: &House, broker: &Broker) -> u64 {
    let (from, ends) = house.whole(&read_at_start());
    let consumer = Consumer::new(broker.address(), &from);
    let mut count = 0;
    // Asking for positions costs: only when nothing is at hand.
    loop {
        match consumer.at_hand(Duration::from_millis(1)) {
            Some(message) => {
                take(message.topic(), message.payload());
                count += 1;
            }
            None if consumer.reached(&from, &ends) => return count,
            None => {}
        }
    }
}

/// Copies what the start reads from one log to another, and the progress as it would stand there.
fn copy(from: &House, to: &House, work: &Work) {
    let mut writer = to.log.writer("pipeline").expect("a writer");
    let mut progress: Option<Done> = None;
    let (parts, ends) = from.whole(&read_at_start());
    let mut reader = from.log.reader(&parts).expect("a reader");
    while !reached(&*reader, &ends) {
        let mut records = Vec::with_capacity(10_000);
        for record in reader.poll(10_000, Duration::from_secs(1)).expect("a poll") {
            if &*record.topic == topics::PROGRESS {
                progress = record.value.as_deref().map(|raw| wire::decode(raw).expect("ours"));
                continue;
            }
            let stamp = Some(record.stamp);
            records.push(NewRecord {
                topic: Arc::clone(&record.topic),
                key: record.key.unwrap_or_default(),
                value: record.value,
                stamp,
                route: None,
            });
        }
        work.advance(records.len() as u64);
        writer.append(&records).expect("an append");
    }
    let mut progress = progress.expect("the run has written some");
    progress.log_id = to.log.log_id().expect("a log has an id");
    // The markers of the last transactions may be under way; a new writer waits for them.
    drop(writer);
    let mut writer = to.log.writer("pipeline").expect("a writer");
    for Offset { topic, partition, next } in &mut progress.offsets {
        let bounds = to.log.bounds(topic).expect("the topic is there");
        *next = bounds[*partition as usize].end;
    }
    let value = Some(wire::encode(&progress));
    let topic: Arc<str> = Arc::from(topics::PROGRESS);
    writer
        .append(&[NewRecord { topic, key: b"pipeline".to_vec(), value, stamp: None, route: None }])
        .expect("an append");
}
