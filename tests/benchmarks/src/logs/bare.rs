//! Bare Kafka clients, for the floors: the same client library as the product's, used in the fastest way
//! that was found, and nothing around it.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use rdkafka::{Offset, TopicPartitionList};
use tocsin_schemas::log::TopicPartition;

const LIMIT: Duration = Duration::from_secs(30);

fn client(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    config
}

/// Counts deliveries and wakes who waits for them.
#[derive(Default)]
pub struct Deliveries {
    done: Mutex<u64>,
    more: Condvar,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        assert!(result.is_ok(), "a record of the floor was not delivered: {result:?}");
        *self.done.lock().expect("nobody panics with it") += 1;
        self.more.notify_one();
    }
}

/// A transactional producer. Deliveries come on a thread of their own and wake the committing one at once,
/// so that the commit finds nothing in flight: the library's own commit would wait for that in steps of
/// 100 ms. This is as fast as calling librdkafka's commit directly.
pub struct Transactions {
    producer: ThreadedProducer<Deliveries>,
    sent: u64,
}

impl Transactions {
    /// With this `transactional.id`.
    pub fn new(address: &str, id: &str) -> Transactions {
        let producer: ThreadedProducer<Deliveries> = client(address)
            .set("transactional.id", id)
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("batch.size", "900000")
            .set("queue.buffering.max.kbytes", "524288")
            .create_with_context(Deliveries::default())
            .expect("sound settings");
        producer.init_transactions(LIMIT).expect("the broker takes the producer");
        Transactions { producer, sent: 0 }
    }

    /// Begins a transaction.
    pub fn begin(&mut self) {
        self.producer.begin_transaction().expect("none is open");
    }

    /// Sends a record within the open one.
    pub fn send(&mut self, topic: &str, partition: i32, key: &[u8], value: Option<&[u8]>) {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        while let Err((error, back)) = self.producer.send(record) {
            let full = error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull);
            assert!(full, "a record of the floor was refused: {error}");
            record = back;
            std::thread::sleep(Duration::from_millis(1));
        }
        self.sent += 1;
    }

    /// Commits, and returns when the broker has acknowledged that.
    pub fn commit(&mut self) {
        let watch = Arc::clone(self.producer.client().context());
        let mut done = watch.done.lock().expect("nobody panics with it");
        while *done < self.sent {
            done = watch.more.wait(done).expect("nobody panics with it");
        }
        drop(done);
        // The count goes down a moment after the callback.
        while self.producer.in_flight_count() > 0 {
            std::thread::yield_now();
        }
        self.producer.commit_transaction(LIMIT).expect("a commit");
    }
}

/// A producer without transactions, as a source of reports has it: acks=all, linger 0.
pub struct Plain(BaseProducer);

impl Plain {
    /// Connects at the first record.
    pub fn new(address: &str) -> Plain {
        let config = client(address).set("acks", "all").set("linger.ms", "0").clone();
        Plain(config.create().expect("sound settings"))
    }

    /// Sends a record and returns at once.
    pub fn send(&self, topic: &str, key: &[u8], value: &[u8]) {
        let record = BaseRecord::<[u8], [u8]>::to(topic).key(key).payload(value);
        self.0.send(record).map_err(|(error, _)| error).expect("room in the queue");
        self.0.poll(Duration::ZERO);
    }
}

/// A consumer of committed records.
pub struct Consumer(BaseConsumer);

impl Consumer {
    /// Of these partitions, from these offsets.
    pub fn new(address: &str, from: &[(TopicPartition, u64)]) -> Consumer {
        let consumer: BaseConsumer = client(address)
            .set("group.id", "floor")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.message.max.bytes", "4000000")
            .set("fetch.queue.backoff.ms", "5")
            .create()
            .expect("sound settings");
        let mut list = TopicPartitionList::new();
        for (at, offset) in from {
            list.add_partition_offset(&at.topic, at.partition as i32, Offset::Offset(*offset as i64))
                .expect("a sound offset");
        }
        consumer.assign(&list).expect("a sound assignment");
        Consumer(consumer)
    }

    /// The next record, if one comes within this time.
    pub fn at_hand(&self, wait: Duration) -> Option<BorrowedMessage<'_>> {
        self.0.poll(wait).map(|message| message.expect("the broker answers"))
    }

    /// Whether it has consumed these partitions up to these ends.
    pub fn reached(&self, parts: &[(TopicPartition, u64)], ends: &[u64]) -> bool {
        let Ok(list) = self.0.position() else { return false };
        parts.iter().zip(ends).all(|((at, first), end)| {
            first == end
                || list.find_partition(&at.topic, at.partition as i32).is_some_and(
                    |found| matches!(found.offset(), Offset::Offset(offset) if offset as u64 >= *end),
                )
        })
    }

    /// The next record, which must come within 30 seconds.
    pub fn next(&self) -> BorrowedMessage<'_> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let message: Option<KafkaResult<BorrowedMessage<'_>>> = self.0.poll(Duration::from_secs(1));
            if let Some(message) = message {
                return message.expect("the broker answers");
            }
            assert!(Instant::now() < deadline, "nothing came within {LIMIT:?}");
        }
    }

    /// Waits until a record comes for which `wanted` says yes; the moment at which it was handed out.
    pub fn until(&self, wanted: impl Fn(&[u8]) -> bool) -> Instant {
        loop {
            let message = self.next();
            let at = Instant::now();
            if message.payload().is_some_and(&wanted) {
                return at;
            }
        }
    }
}
