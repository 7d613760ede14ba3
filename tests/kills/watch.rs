//! The broker's own view of what the process writes: records as they come in, before they are committed,
//! and afterwards which of them were aborted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tocsin_schemas::records::Progress;
use tocsin_schemas::topics::{self, Direction};
use tocsin_schemas::wire;

/// A record that is there, committed or not.
pub struct Seen {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// How many records the pipeline has decided on, if this is its progress.
    pub arrived: Option<u64>,
}

pub type Ends = BTreeMap<(String, i32), i64>;

fn consumer(address: &str, isolation: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", "kills")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .set("fetch.wait.max.ms", "100")
        .create()
        .unwrap()
}

fn partitions() -> impl Iterator<Item = (&'static str, i32)> {
    let outputs = topics::catalogue().iter().filter(|t| t.direction == Direction::Out);
    outputs.flat_map(|t| (0..t.partitions as i32).map(move |p| (t.name, p)))
}

pub struct Watch {
    address: String,
    asker: BaseConsumer,
    seen: Receiver<Seen>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    /// From the beginning of the output topics, which must be empty.
    pub fn start(address: &str) -> Watch {
        let (sender, seen) = channel();
        let stop: Arc<AtomicBool> = Arc::default();
        let watcher = consumer(address, "read_uncommitted");
        let mut list = TopicPartitionList::new();
        for (topic, partition) in partitions() {
            list.add_partition_offset(topic, partition, Offset::Offset(0)).unwrap();
        }
        watcher.assign(&list).unwrap();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                let Some(Ok(message)) = watcher.poll(Duration::from_millis(100)) else { continue };
                let progress = message.topic() == topics::PROGRESS && message.key() == Some(b"pipeline");
                let arrived = progress.then(|| {
                    wire::decode::<Progress>(message.payload().unwrap()).unwrap().counters.arrived()
                });
                let (topic, partition) = (message.topic().to_owned(), message.partition());
                let _ = sender.send(Seen { topic, partition, offset: message.offset(), arrived });
            }
        });
        let asker = consumer(address, "read_uncommitted");
        Watch { address: address.to_owned(), asker, seen, stop, thread: Some(thread) }
    }

    /// The next record, if one comes within this time.
    pub fn next(&self, wait: Duration) -> Option<Seen> {
        self.seen.recv_timeout(wait).ok()
    }

    /// Forgets what was seen so far.
    pub fn skip(&self) {
        while self.seen.try_recv().is_ok() {}
    }

    /// The ends of all output partitions, with what is not committed.
    pub fn ends(&self) -> Ends {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in partitions() {
            list.add_partition_offset(topic, partition, Offset::End).unwrap();
        }
        let found = self.asker.offsets_for_times(list, Duration::from_secs(10)).unwrap();
        found
            .elements()
            .iter()
            .map(|e| ((e.topic().to_owned(), e.partition()), e.offset().to_raw().unwrap()))
            .collect()
    }

    /// For each span between two of these looks at the ends: how many records of it were aborted, that is
    /// are there for a reader of everything and not for one of what is committed.
    pub fn aborted(&self, looks: &[Ends]) -> Vec<usize> {
        let all = counts(&self.address, "read_uncommitted", looks);
        let committed = counts(&self.address, "read_committed", looks);
        all.iter().zip(&committed).map(|(all, committed)| all - committed).collect()
    }
}

/// How many records a reader finds in each span.
fn counts(address: &str, isolation: &str, looks: &[Ends]) -> Vec<usize> {
    let reader = consumer(address, isolation);
    let last = looks.last().unwrap();
    let mut list = TopicPartitionList::new();
    let mut open = 0;
    for ((topic, partition), end) in last {
        if *end > 0 {
            list.add_partition_offset(topic, *partition, Offset::Offset(0)).unwrap();
            open += 1;
        }
    }
    reader.assign(&list).unwrap();
    let mut counts = vec![0; looks.len()];
    while open > 0 {
        match reader.poll(Duration::from_secs(10)) {
            Some(Ok(message)) => {
                let at = (message.topic().to_owned(), message.partition());
                let span = looks.partition_point(|ends| ends[&at] <= message.offset());
                if span < counts.len() {
                    counts[span] += 1;
                }
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(e)) => panic!("cannot read back: {e}"),
            None => panic!("cannot read back: nothing comes"),
        }
    }
    counts
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
