//! (a) A report published until its alert can be read, over a bare transaction of one record.
//!
//! Ours: a source's plain producer sends one report to `reports.hr`; the release build of `tocsin run` takes
//! it; a read_committed consumer of `alerts` waits for the owner's alert that names it. Only the pipeline
//! half runs: what is measured ends where the other half begins, which in production may be another process.
//! The floor: one transaction with one record as large as such an alert, until such a consumer has it.
//!
//! Both on one broker in blocks that alternate, one in flight at a time.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tocsin_connectors::log::kafka::Stamps;
use tocsin_schemas::codes::{Category, Change, Rule, Source, Status};
use tocsin_schemas::ids::{PersonKey, ReportKey};
use tocsin_schemas::log::TopicPartition;
use tocsin_schemas::records::{Alert, Record, Report};
use tocsin_schemas::time::{Day, Instant as Moment};
use tocsin_schemas::topics::ALERTS;
use tocsin_schemas::wire::{self, Encoding};
use tocsin_testkit::{Broker, unique};

use super::bare::{Consumer, Plain, Transactions};
use super::service::House;
use super::{caught, history, quantile};
use crate::progress::Progress;
use crate::table::{Figure, Goal, Row};
use crate::{Failure, Options, workload};

/// Samples of each side between two changes of side.
const BLOCK: usize = 50;
/// Of each side, before any counts. The first 500 transactions of a broker are three times slower.
const WARM_UP: usize = 1_000;

/// Samples of each side.
const SAMPLES: u32 = 2_000;
/// A floor slower than this at its median says that the machine was busy with something else.
const VOID: Duration = Duration::from_millis(10);

/// (a) as rows of the table: p50 and p99.
///
/// # Errors
/// No broker, no `tocsin` beside this program, or a service that ended.
pub fn run(options: &Options, progress: &Progress) -> Result<Vec<Row>, Failure> {
    let samples = options.size(SAMPLES) as usize;
    let latency = caught(|| measure(samples, options.seed, progress))?;
    let floor_p50 = quantile(&latency.floor, 0.5);
    let row = |what: &str, q: f64| {
        let ms = |times: &[Duration]| Figure::new(quantile(times, q).as_secs_f64() * 1e3, "ms");
        let row = Row::costs('a', what, ms(&latency.ours), ms(&latency.floor)).goal(Goal::AtMost(2.0));
        if floor_p50 <= VOID {
            return row;
        }
        row.void(format!("the floor's p50 is over {VOID:?}: the machine was busy with something else"))
    };
    let note = format!(
        "{samples} samples of each side, in turns of {BLOCK}, one in flight; pipeline half alone; the floor's record has {} bytes like an alert",
        latency.bytes
    );
    Ok(vec![
        row("report published to alert readable, p50", 0.5),
        row("report published to alert readable, p99", 0.99).note(note),
    ])
}

/// What was measured, sorted.
struct Latency {
    /// Report published to alert readable.
    ours: Vec<Duration>,
    /// Transaction begun to record readable.
    floor: Vec<Duration>,
    /// Size of a record of the floor, key and value.
    bytes: usize,
}

fn measure(samples: usize, seed: u64, progress: &Progress) -> Latency {
    let work = progress.work("(a) one report at a time", 2 * (samples + WARM_UP) as u64);
    let broker = Broker::start_for_benchmark();
    let house = House::kafka(broker.address(), Stamps::LogAppendTime, None);
    history::publish_register(&*house.log, seed, None, &progress.work("(a) the register", 0));
    let mut service = house.run(&[]);
    service.when_said("caught up", Duration::from_secs(60));

    let mut ours = Ours {
        source: Plain::new(broker.address()),
        alerts: consumer(&house, &broker, ALERTS),
        rng: ChaCha8Rng::seed_from_u64(seed),
        count: 0,
        last_alert: Cell::new((0, 0)),
    };
    for _ in 0..WARM_UP {
        ours.sample();
        work.advance(1);
    }
    let topic = unique("floor");
    let settings = tocsin_schemas::log::TopicSettings {
        name: topic.as_str().into(),
        partitions: 3,
        retention: tocsin_schemas::log::Retention::Forever,
        max_record_bytes: 1 << 20,
    };
    house.log.ensure(&[settings], false).expect("a new topic");
    let (key, value) = ours.last_alert.get();
    let mut floor = Floor {
        producer: Transactions::new(broker.address(), "floor"),
        consumer: consumer(&house, &broker, &topic),
        topic,
        key: vec![b'k'; key],
        value: vec![b'v'; value],
        count: 0,
    };
    for _ in 0..WARM_UP {
        floor.sample();
        work.advance(1);
    }
    let mut latency = Latency { ours: Vec::new(), floor: Vec::new(), bytes: key + value };
    while latency.ours.len() < samples {
        latency.ours.extend((0..BLOCK).map(|_| ours.sample()));
        latency.floor.extend((0..BLOCK).map(|_| floor.sample()));
        work.advance(2 * BLOCK as u64);
    }
    service.stop();
    latency.ours.sort_unstable();
    latency.floor.sort_unstable();
    latency
}

fn consumer(house: &House, broker: &Broker, topic: &str) -> Consumer {
    let (parts, ends) = house.whole(&[topic]);
    let from: Vec<(TopicPartition, u64)> =
        parts.into_iter().zip(ends).map(|((at, _), end)| (at, end)).collect();
    Consumer::new(broker.address(), &from)
}

struct Ours {
    source: Plain,
    alerts: Consumer,
    rng: ChaCha8Rng,
    count: u64,
    /// Sizes of the last alert's key and value.
    last_alert: Cell<(usize, usize)>,
}

impl Ours {
    fn sample(&mut self) -> Duration {
        self.count += 1;
        let report = self.report();
        let key = ReportKey { source: Source::Hr, id: report.source_record_id.clone() };
        let raw = wire::encode_in(&Record::Report(report), Encoding::SingleObject).expect("a sound report");
        let names_it = |raw: &[u8]| {
            let alert: Alert = wire::decode(raw).expect("an alert of ours");
            let found = alert.rule == Rule::OwnerIncident
                && alert.change == Change::New
                && alert.reports == [key.clone()];
            if found {
                self.last_alert.set((alert.uscc.as_str().len(), raw.len()));
            }
            found
        };
        let began = Instant::now();
        self.source.send("reports.hr", key.id.as_bytes(), &raw);
        self.alerts.until(names_it) - began
    }
}

impl Ours {
    /// What HR says of a person nobody has heard of, hurt within the last 60 days.
    fn report(&mut self) -> Report {
        let rng = &mut self.rng;
        let occurred_on = today().plus(-rng.random_range(0..60));
        let uscc = workload::uscc(rng.random_range(0..workload::ENTERPRISES));
        Report {
            source: Source::Hr,
            source_record_id: format!("{}-{:07}", occurred_on.year(), self.count).into(),
            version: 1,
            status: Status::Reported,
            category: Category::Production,
            occurred_on,
            occurred_time: None,
            reported_at: occurred_on.midnight().plus_millis(36_000_000),
            uscc: Some(uscc),
            employer_name: Some(format!("五金制品有限公司{}", uscc.as_str()).into()),
            host_uscc: None,
            person_key: Some(PersonKey(rng.random())),
            incident_no: None,
            cause: None,
            post: Some("冲压工".into()),
            process: Some("冲压".into()),
            equipment: None,
            note: None,
            lost_days: Some(rng.random_range(1..60)),
            disability_grade: None,
            died_on: None,
        }
    }
}

fn today() -> Day {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Moment(since.as_millis() as i64).day()
}

struct Floor {
    producer: Transactions,
    consumer: Consumer,
    topic: String,
    key: Vec<u8>,
    value: Vec<u8>,
    count: u64,
}

impl Floor {
    fn sample(&mut self) -> Duration {
        self.count += 1;
        let stamp = self.count.to_be_bytes();
        self.value[..8].copy_from_slice(&stamp);
        let partition = (self.count % 3) as i32;
        let began = Instant::now();
        self.producer.begin();
        self.producer.send(&self.topic, partition, &self.key, Some(&self.value));
        self.producer.commit();
        self.consumer.until(|raw| raw[..8] == stamp) - began
    }
}
