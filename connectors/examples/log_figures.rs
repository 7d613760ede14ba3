//! Measures both event logs on this machine and prints a table: appends and reads per second, the time
//! from an append's beginning until a waiting reader has the record, and what an idle reader costs.
//!
//!     cargo run --release -p tocsin-connectors --example log_figures [-- sqlite|kafka]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tocsin_connectors::log::kafka::{KafkaLog, KafkaSettings};
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::log::{EventLog, LogReader, NewRecord, Retention, TopicPartition, TopicSettings};
use tocsin_testkit::{Broker, unique};

const RECORDS: usize = 1_000_000;
const BYTES: usize = 300;

fn main() {
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|o| o == name);
    if wanted("sqlite") {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        let log = SqliteLog::open(&path).expect("a new log");
        figures("sqlite", &log);
        let bytes = std::fs::metadata(&path).map(|m| m.len()).unwrap_or(0);
        println!("sqlite  file of {} MB", bytes / 1_000_000);
        idle(&log);
    }
    if wanted("kafka") {
        let broker = Broker::start_for_benchmark();
        let log = KafkaLog::connect(&KafkaSettings::plain(broker.address())).expect("the broker answers");
        figures("kafka", &log);
    }
}

fn topic(log: &dyn EventLog, partitions: u32) -> Arc<str> {
    let name: Arc<str> = Arc::from(unique("figures"));
    let settings = TopicSettings {
        name: Arc::clone(&name),
        partitions,
        retention: Retention::Forever,
        max_record_bytes: 1 << 20,
    };
    log.ensure(&[settings], false).expect("a new topic");
    name
}

fn record(topic: &Arc<str>, n: usize) -> NewRecord {
    let key = format!("{n:020}").into_bytes();
    let value = Some(vec![b'x'; BYTES - key.len()]);
    NewRecord { topic: Arc::clone(topic), key, value, stamp: None, route: None }
}

fn reader(log: &dyn EventLog, topic: &Arc<str>) -> Box<dyn LogReader> {
    let bounds = log.bounds(topic).expect("the topic is there");
    let from: Vec<_> = (0u32..)
        .zip(bounds)
        .map(|(partition, b)| (TopicPartition { topic: Arc::clone(topic), partition }, b.end))
        .collect();
    log.reader(&from).expect("a reader")
}

fn figures(name: &str, log: &dyn EventLog) {
    let mut writer = log.writer(&unique("w")).expect("a writer");
    // Time to visible first, on a log that is warm and otherwise idle.
    let single = topic(log, 1);
    let (sends, sent) = std::sync::mpsc::channel();
    let (asks, asked) = std::sync::mpsc::channel();
    let mut waiting = reader(log, &single);
    let samples = 3_000;
    let thread = std::thread::spawn(move || {
        for _ in 0..samples {
            asks.send(()).expect("the other side is there");
            while waiting.poll(10, Duration::from_secs(10)).expect("a poll").is_empty() {}
            sends.send(micros()).expect("the other side is there");
        }
    });
    let (mut seen, mut returned) = (Vec::new(), Vec::new());
    for n in 0..samples {
        asked.recv().expect("the other side is there");
        std::thread::sleep(Duration::from_micros(500));
        let began = micros();
        writer.append(&[record(&single, n)]).expect("an append");
        returned.push(micros() - began);
        seen.push(sent.recv().expect("the other side is there").saturating_sub(began));
    }
    let _ = thread.join();
    // The first 1,000 warm up.
    for (what, times) in [("append returned", &mut returned), ("reader has it", &mut seen)] {
        let times = &mut times[1_000..];
        times.sort_unstable();
        let at = |q: f64| times[(times.len() as f64 * q) as usize] as f64 / 1000.0;
        println!("{name:7} one record, {what}: p50 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.99));
    }

    for batch in [1, 100, 1_000, 10_000] {
        let target = topic(log, 3);
        let total = (batch * 300).clamp(1_000, RECORDS);
        let records: Vec<_> = (0..batch).map(|n| record(&target, n)).collect();
        let began = Instant::now();
        for _ in 0..total / batch {
            writer.append(&records).expect("an append");
        }
        let rate = (total / batch * batch) as f64 / began.elapsed().as_secs_f64();
        println!("{name:7} append in transactions of {batch:6}: {rate:9.0} records/s of {BYTES} bytes");
        if batch < 10_000 {
            continue;
        }
        for round in 1..=3 {
            let from: Vec<_> =
                (0..3).map(|p| (TopicPartition { topic: Arc::clone(&target), partition: p }, 0)).collect();
            let mut reader = log.reader(&from).expect("a reader");
            let began = Instant::now();
            let mut count = 0;
            while count < total {
                count += reader.poll(10_000, Duration::from_secs(1)).expect("a poll").len();
            }
            let rate = count as f64 / began.elapsed().as_secs_f64();
            println!("{name:7} read {count} records, round {round}: {rate:9.0} records/s");
        }
    }
}

/// Five readers that wait, as in a whole `tocsin run`: processor time used while nothing happens.
fn idle(log: &SqliteLog) {
    let target = topic(log, 3);
    let threads: Vec<_> = (0..5)
        .map(|_| {
            let mut reader = reader(log, &target);
            std::thread::spawn(move || {
                let _ = reader.poll(10, Duration::from_secs(6));
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let before = processor_nanos();
    let seconds = 5;
    std::thread::sleep(Duration::from_secs(seconds));
    let used = processor_nanos() - before;
    println!("sqlite  five idle readers: {:.2} % of a core", used as f64 / 1e7 / seconds as f64);
    for thread in threads {
        let _ = thread.join();
    }
}

/// What all threads of this process have run so far, as Linux counts it.
fn processor_nanos() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}
