//! (l) An alert that can be read until its request is on the wire, over a bare transaction on the same log.
//!
//! Ours: the worker as `tocsin run` has it, in this process as the pipeline is; one alert at a time, from the
//! acknowledgement of its append until the gateway on loopback has the request. In between lie reading the alert, planning,
//! and one transaction (the delivery as planned, and as being sent).
//! The floor: one transaction with one record as large as such a delivery, begun until a reader has it.
//!
//! Before each sample of either side lie ten milliseconds of rest: sixty to ninety alerts a second, far more than any city
//! has: an alert comes alone, when what the one before left to do has been done, and finds a machine that has rested;
//! and so does the transaction that it is held against. In a row each alert would wait for the outcome of the one before
//! to be written down and read, and the floor would run from warm caches: what that comes to stands in the note.

use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use tocsin_alerts::channels::Channels;
use tocsin_alerts::clock::SystemClock;
use tocsin_alerts::worker::{Settings, Worker};
use tocsin_connectors::log::kafka::Stamps;
use tocsin_schemas::codes::Role;
use tocsin_schemas::log::{NewRecord, TopicPartition};
use tocsin_schemas::topics;
use tocsin_testkit::{Broker, unique};

use super::gateway::Gateway;
use super::{alert, contact, output, webhook};
use crate::logs::bare::{Consumer, Transactions};
use crate::logs::service::House;
use crate::logs::{caught, quantile};
use crate::progress::{Progress, Work};
use crate::table::{Figure, Goal, Row};
use crate::{Failure, Options, workload};

/// Before each sample of either side.
const REST: Duration = Duration::from_millis(10);
/// At each change of side: what ours leaves to do is not the floor's to wait for.
const CHANGE: Duration = Duration::from_millis(30);
/// Samples between two changes of side.
const BLOCK: usize = 25;
const SAMPLES: u32 = 1_000;
/// Of each side, before any counts.
const WARM_UP: usize = 300;
/// Phones that take turns, so that none has a request under way.
const FIRMS: u32 = 200;
/// A floor slower than this at its median says that the machine was busy with something else.
const VOID: Duration = Duration::from_millis(30);
const GOAL: f64 = 2.5;
/// About as large as a delivery.
const RECORD: usize = 700;

/// (l) as rows of the table: p50 and p99 on each log.
///
/// # Errors
/// No broker, or a worker that ended.
pub fn run(options: &Options, progress: &Progress) -> Result<Vec<Row>, Failure> {
    let samples = options.size(SAMPLES) as usize;
    let mut rows = Vec::new();
    let embedded = caught(|| {
        let house = House::embedded(None);
        let floor = Floor::embedded(&house);
        measure(&house, floor, samples, progress)
    })?;
    rows.extend(of("the embedded log", samples, &embedded));
    let kafka = caught(|| {
        let broker = Broker::start_for_benchmark();
        let house = House::kafka(broker.address(), Stamps::LogAppendTime, None);
        let floor = Floor::kafka(&house, &broker);
        measure(&house, floor, samples, progress)
    })?;
    rows.extend(of("Kafka", samples, &kafka));
    Ok(rows)
}

/// Both sides, sorted.
#[derive(Default)]
struct Sides {
    ours: Vec<Duration>,
    floor: Vec<Duration>,
}

struct Latency {
    apart: Sides,
    in_a_row: Sides,
    /// What it takes to ask whether two topics were read to their ends: a role does so before it acts.
    ask: Duration,
}

fn of(log: &str, samples: usize, latency: &Latency) -> Vec<Row> {
    let Latency { apart, in_a_row, ask } = latency;
    let slow = quantile(&apart.floor, 0.5) > VOID;
    let row = |what: &str, q: f64| {
        let ms = |times: &[Duration]| quantile(times, q).as_secs_f64() * 1e3;
        let figure = |times: &[Duration]| Figure::new(ms(times), "ms");
        let name = format!("alert readable to request on the wire, {log}, each after a rest, {what}");
        let row = Row::costs('l', name, figure(&apart.ours), figure(&apart.floor)).goal(Goal::AtMost(GOAL));
        let (ours, floor) = (ms(&in_a_row.ours), ms(&in_a_row.floor));
        let note = format!(
            "{samples} samples of each side in turns of {BLOCK}, {} ms after the one before; in a row {ours:.2} ms over {floor:.2} ms = {:.2} ({}); to ask \
             whether contacts and silences are read to their ends takes {:.2} ms at the median",
            REST.as_millis(),
            ours / floor,
            if ours <= GOAL * floor { "met" } else { "missed" },
            ask.as_secs_f64() * 1e3
        );
        match slow {
            true => row
                .void(format!("the floor's p50 is over {VOID:?}: the machine was busy with something else")),
            false => row.note(note),
        }
    };
    vec![row("p50", 0.5), row("p99", 0.99)]
}

fn measure(house: &House, mut floor: Floor, samples: usize, progress: &Progress) -> Latency {
    let work: Work = progress.work("(l) one alert at a time", 2 * (2 * samples + WARM_UP) as u64);
    let mut writer = house.log.writer("benchmark").expect("a writer");
    let contacts: Vec<NewRecord> =
        (0..FIRMS).map(|n| contact(Role::Owner, workload::uscc(n).as_str(), n)).collect();
    writer.append(&contacts).expect("contacts");
    let gateway = Gateway::open(Duration::ZERO);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let channels = Channels::one(Arc::new(webhook(&gateway.url)));
    let worker = Worker::new(Arc::clone(&house.log), channels, Arc::new(SystemClock), Settings::default());
    let task = runtime.spawn(worker.run(std::future::pending()));
    let mut nth = 0;
    let mut ours = || {
        let firm = nth % FIRMS;
        let subject = workload::uscc(firm);
        let one = alert(nth, firm, Role::Owner, subject.as_str());
        nth += 1;
        writer.append(&[output(&one)]).expect("an alert");
        let readable = Monotonic::now();
        loop {
            let (at, of) = gateway.next();
            if of == one.alert_id {
                return at.saturating_duration_since(readable);
            }
        }
    };
    for _ in 0..WARM_UP {
        ours();
        floor.sample();
        work.advance(2);
    }
    let ask = ask(house);
    let mut sides = |rest: Duration| {
        let mut sides = Sides::default();
        while sides.ours.len() < samples {
            std::thread::sleep(CHANGE);
            for _ in 0..BLOCK {
                std::thread::sleep(rest);
                sides.ours.push(ours());
            }
            std::thread::sleep(CHANGE);
            for _ in 0..BLOCK {
                std::thread::sleep(rest);
                sides.floor.push(floor.sample());
            }
            work.advance(2 * BLOCK as u64);
        }
        sides.ours.sort_unstable();
        sides.floor.sort_unstable();
        sides
    };
    let (apart, in_a_row) = (sides(REST), sides(Duration::ZERO));
    assert!(!task.is_finished(), "the worker ended by itself");
    runtime.shutdown_background();
    Latency { apart, in_a_row, ask }
}

fn ask(house: &House) -> Duration {
    let mut readers: Vec<_> = [topics::CONTACTS, topics::GOVERNANCE]
        .map(|topic| {
            let (parts, ends) = house.whole(&[topic]);
            let from: Vec<_> = parts.into_iter().zip(ends).map(|((at, _), end)| (at, end)).collect();
            house.log.reader(&from).expect("a reader")
        })
        .into();
    let mut times: Vec<Duration> = (0..100)
        .map(|_| {
            let began = Monotonic::now();
            assert!(readers.iter_mut().all(|reader| reader.caught_up().expect("an answer")));
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    quantile(&times, 0.5)
}

/// A bare transaction with one record.
struct Floor {
    count: u64,
    topic: String,
    value: Vec<u8>,
    how: How,
}

enum How {
    /// By the log's own writer and reader: nobody else writes that file.
    Embedded(Box<dyn tocsin_schemas::log::LogWriter>, Box<dyn tocsin_schemas::log::LogReader>),
    /// By bare clients.
    Kafka(Transactions, Consumer),
}

impl Floor {
    fn topic(house: &House) -> (String, Vec<(TopicPartition, u64)>) {
        let topic = unique("floor");
        let settings = tocsin_schemas::log::TopicSettings {
            name: topic.as_str().into(),
            partitions: 1,
            retention: tocsin_schemas::log::Retention::Forever,
            max_record_bytes: 1 << 20,
        };
        house.log.ensure(&[settings], false).expect("a new topic");
        let from = vec![(TopicPartition { topic: topic.as_str().into(), partition: 0 }, 0)];
        (topic, from)
    }
    fn embedded(house: &House) -> Floor {
        let (topic, from) = Floor::topic(house);
        let writer = house.log.writer("floor").expect("a writer");
        let reader = house.log.reader(&from).expect("a reader");
        Floor { count: 0, topic, value: vec![b'v'; RECORD], how: How::Embedded(writer, reader) }
    }
    fn kafka(house: &House, broker: &Broker) -> Floor {
        let (topic, from) = Floor::topic(house);
        let how =
            How::Kafka(Transactions::new(broker.address(), "floor"), Consumer::new(broker.address(), &from));
        Floor { count: 0, topic, value: vec![b'v'; RECORD], how }
    }

    fn sample(&mut self) -> Duration {
        self.count += 1;
        let stamp = self.count.to_be_bytes();
        self.value[..8].copy_from_slice(&stamp);
        let began = Monotonic::now();
        match &mut self.how {
            How::Embedded(writer, reader) => {
                let topic: Arc<str> = self.topic.as_str().into();
                let value = Some(self.value.clone());
                let record = NewRecord { topic, key: b"k".to_vec(), value, stamp: None, route: None };
                writer.append(&[record]).expect("a transaction");
                let read = reader.poll(10, Duration::from_secs(30)).expect("a record");
                assert_eq!(read.len(), 1);
                began.elapsed()
            }
            How::Kafka(producer, consumer) => {
                producer.begin();
                producer.send(&self.topic, 0, b"k", Some(&self.value));
                producer.commit();
                consumer.until(|raw| raw[..8] == stamp) - began
            }
        }
    }
}
