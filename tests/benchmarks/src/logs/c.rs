//! (c) Reports a second from Kafka to Kafka, over a loop that consumes, decodes and writes as much.
//!
//! Ours: `tocsin run --until-end` on a backlog of reports, from the moment at which it has read its past back
//! to its last word. The floor: a loop on bare clients that reads the same reports, decodes each, and writes
//! records of the same topics, keys, sizes and number, in as many transactions.
//!
//! "Decodes" means bytes to the Rust type by serde, without the door's checks and digest: those are work of
//! ours that a loop which only moves records has no need of. Its output is copied, not encoded, for the same
//! reason. So the floor is no slower than it must be, and all that the product adds counts as ours.
//!
//! The backlog is one day's: all reports arrived after the last midnight, as they do when a source delivers
//! late. A second row, without a goal, has the same kind of backlog with a midnight after every day's
//! reports, each of which is a decision of its own.

use std::time::{Duration, Instant as Monotonic};

use rdkafka::message::Message as _;
use tocsin_connectors::log::kafka::Stamps;
use tocsin_pipeline::Arrival;
use tocsin_schemas::log::TopicPartition;
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;
use tocsin_testkit::Broker;

use super::bare::{Consumer, Transactions};
use super::history::{self, decode};
use super::service::House;
use super::{caught, median};
use crate::progress::Progress;
use crate::table::{Figure, Goal, Row};
use crate::{Failure, Options, workload};

/// Reports of one backlog.
const REPORTS: u32 = 100_000;
/// Backlogs; the first warms both sides up.
const ROUNDS: usize = 4;
/// The topics that the pipeline writes to, but for quarantine, which stays empty.
const OUTPUTS: [&str; 4] = [topics::INCIDENTS, topics::ALERTS, topics::RATES, topics::PROGRESS];
const LIMIT: Duration = Duration::from_secs(600);

/// (c) as rows of the table.
///
/// # Errors
/// No broker, no `tocsin` beside this program, or a service that ended.
pub fn run(options: &Options, progress: &Progress) -> Result<Vec<Row>, Failure> {
    let burst = caught(|| measure(options, Days::One, progress))?;
    let spread = caught(|| measure(options, Days::AsTheyCame, progress))?;
    let row = |what: &str, rounds: &[Round]| {
        let ours = median(rounds.iter().map(|r| r.reports as f64 / r.ours.as_secs_f64()));
        let floor = median(rounds.iter().map(|r| r.reports as f64 / r.floor.as_secs_f64()));
        let ratio = median(rounds.iter().map(|r| r.floor.as_secs_f64() / r.ours.as_secs_f64()));
        let last = &rounds[rounds.len() - 1];
        Row::yields('c', what, Figure::new(ours, "reports/s"), Figure::new(floor, "reports/s"))
            .ratio(ratio)
            .note(format!(
                "median of {} backlogs of {} reports; {} records of {:.1} MB out in {} transactions",
                rounds.len(),
                last.reports,
                last.records,
                last.bytes as f64 / 1e6,
                last.transactions
            ))
    };
    Ok(vec![
        row("reports from Kafka to Kafka, of one day", &burst).goal(Goal::AtLeast(0.5)),
        row("the same, with their own days and midnights", &spread),
    ])
}

/// When the reports of a backlog arrived.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Days {
    /// All within one day.
    One,
    /// When the workload says.
    AsTheyCame,
}

struct Round {
    reports: u64,
    ours: Duration,
    floor: Duration,
    /// Written by either side.
    records: usize,
    bytes: usize,
    transactions: usize,
}

fn measure(options: &Options, days: Days, progress: &Progress) -> Vec<Round> {
    let backlog = options.size(REPORTS) as usize;
    let work = progress.work("(c) Kafka to Kafka", 0);
    let mut reports = workload::Reports::new(options.seed);
    let mut backlogs: Vec<Vec<Arrival>> = (0..ROUNDS).map(|_| reports.take_next(backlog)).collect();
    let last = backlogs.last().and_then(|b| b.last()).map_or(Instant(0), |a| a.arrived_at);
    let registered = match days {
        Days::One => {
            // A quarter of a millisecond apart: the first one arrived after the last midnight.
            let all = backlogs.iter_mut().flatten();
            for (nth, arrival) in all.enumerate() {
                arrival.arrived_at = Instant(last.day().plus(1).midnight().0 + 1_000 + nth as i64 / 4);
            }
            Some(last.day().plus(1).midnight())
        }
        Days::AsTheyCame => None,
    };
    let now = last.day().plus(1).midnight().plus_millis(12 * 3_600_000);
    let broker = Broker::start_for_benchmark();
    let house = House::kafka(broker.address(), Stamps::CreateTime, Some(now));
    history::publish_register(&*house.log, options.seed, registered, &work);
    house.run(&["--until-end", "--accept-clock"]).ended();
    let mirrors = Mirrors::new(&house);
    let mut rounds: Vec<Round> = Vec::new();
    for backlog in backlogs {
        let (_, before) = house.whole(&history::inputs());
        let (_, written_before) = house.whole(&OUTPUTS);
        let reports = history::publish_reports(&*house.log, backlog.into_iter(), &work);
        let mut service = house.run(&["--until-end", "--accept-clock"]);
        let ready = service.when_said("read back what was decided", LIMIT);
        let done = service.when_said("decided on", LIMIT);
        service.ended();
        let written = Written::since(&house, &written_before);
        let floor = mirrors.floor(&house, &broker, &before, reports, &written);
        rounds.push(Round {
            reports,
            ours: done - ready,
            floor,
            records: written.records(),
            bytes: written.bytes(),
            transactions: written.transactions,
        });
        let Some(round) = rounds.last() else { continue };
        progress.say(&format!(
            "(c) {} reports: ours {:.2?}, floor {:.2?}, {} records in {} transactions",
            round.reports, round.ours, round.floor, round.records, round.transactions
        ));
    }
    rounds.split_off(1)
}

/// Key and value of a record out.
type Pair = (Vec<u8>, Option<Vec<u8>>);

/// What one run of ours wrote: for each partition its records in order.
struct Written {
    partitions: Vec<(TopicPartition, Vec<Pair>)>,
    transactions: usize,
}

impl Written {
    fn since(house: &House, before: &[u64]) -> Written {
        let (parts, _) = house.whole(&OUTPUTS);
        let from: Vec<(TopicPartition, u64)> =
            parts.into_iter().zip(before).map(|((at, _), before)| (at, *before)).collect();
        let mut partitions: Vec<(TopicPartition, Vec<_>)> =
            from.iter().map(|(at, _)| (at.clone(), Vec::new())).collect();
        let mut reader = house.log.reader(&from).expect("a reader");
        let mut transactions = 0;
        while !reader.caught_up().expect("the ends") {
            for record in reader.poll(10_000, Duration::from_millis(200)).expect("a poll") {
                transactions += usize::from(&*record.topic == topics::PROGRESS);
                let place = partitions
                    .iter()
                    .position(|(at, _)| at.topic == record.topic && at.partition == record.partition);
                let place = place.expect("only these were asked for");
                partitions[place].1.push((record.key.unwrap_or_default(), record.value));
            }
        }
        // The first one says that it has started; it stands for no reports.
        Written { partitions, transactions: transactions - 1 }
    }

    fn records(&self) -> usize {
        self.partitions.iter().map(|(_, records)| records.len()).sum()
    }

    fn bytes(&self) -> usize {
        let size = |(key, value): &Pair| key.len() + value.as_ref().map_or(0, Vec::len);
        self.partitions.iter().flat_map(|(_, records)| records).map(size).sum()
    }
}

/// Topics like the pipeline's, for the floor to write to.
struct Mirrors;

impl Mirrors {
    fn name(topic: &str) -> String {
        format!("floor.{topic}")
    }

    fn new(house: &House) -> Mirrors {
        let settings: Vec<_> = OUTPUTS
            .iter()
            .filter_map(|name| topics::topic(name))
            .map(|t| tocsin_schemas::log::TopicSettings {
                name: Mirrors::name(t.name).into(),
                ..t.settings()
            })
            .collect();
        house.log.ensure(&settings, false).expect("new topics");
        Mirrors
    }

    /// Consumes the reports from these offsets of the inputs, decodes each, and writes `written` in equal parts.
    fn floor(
        &self,
        house: &House,
        broker: &Broker,
        from: &[u64],
        reports: u64,
        written: &Written,
    ) -> Duration {
        let (parts, _) = house.whole(&history::inputs());
        let from: Vec<(TopicPartition, u64)> =
            parts.into_iter().zip(from).map(|((at, _), from)| (at, *from)).collect();
        let names: Vec<String> = written.partitions.iter().map(|(at, _)| Mirrors::name(&at.topic)).collect();
        let mut producer = Transactions::new(broker.address(), "floor");
        let transactions = written.transactions.max(1) as u64;
        let began = Monotonic::now();
        let consumer = Consumer::new(broker.address(), &from);
        let mut count = 0;
        for nth in 0..transactions {
            let share = |len: u64, nth: u64| len * nth / transactions;
            while count < share(reports, nth + 1) {
                let message = consumer.next();
                decode(message.topic(), message.payload().expect("the workload has no tombstones"));
                count += 1;
            }
            producer.begin();
            for ((at, records), name) in written.partitions.iter().zip(&names) {
                let len = records.len() as u64;
                for (key, value) in &records[share(len, nth) as usize..share(len, nth + 1) as usize] {
                    producer.send(name, at.partition as i32, key, value.as_deref());
                }
            }
            producer.commit();
        }
        began.elapsed()
    }
}
