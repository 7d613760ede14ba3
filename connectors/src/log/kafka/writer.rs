//! Writing: one transactional producer for each writer name, one append = one transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _, PurgeConfig, ThreadedProducer};
use tocsin_schemas::log::{LogError, LogWriter, NewRecord};

use super::context::Watcher;
use super::settings::MAX_REQUEST_BYTES;
use super::{Shared, errors};
use tocsin_schemas::partition::partition_of;

/// The first `init_transactions` may have to wait for the transaction coordinator to come up.
const FIRST_INIT: Duration = Duration::from_secs(5);
/// After that a writer that cannot be registered is an error.
const REGISTER: Duration = Duration::from_secs(9);
/// One call to commit or abort; both are repeated until `SETTLE`.
const CALL: Duration = Duration::from_secs(5);
/// Longer than `transaction.timeout.ms`: by then the broker has aborted what was open.
const SETTLE: Duration = Duration::from_secs(70);
/// Between two looks whether everything is delivered, should the client have dropped a record without a word.
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub(super) struct KafkaWriter {
    shared: Arc<Shared>,
    /// Its thread hands deliveries to the [`Watcher`], which wakes [`KafkaWriter::drain`] at once.
    producer: ThreadedProducer<Watcher>,
    /// Records given to the client so far, aborted ones too.
    sent: u64,
    name: String,
    topics: HashMap<Arc<str>, Topic>,
    /// Why this writer cannot go on: fenced, or the outcome of an append is not known.
    stopped: Option<Stop>,
}

struct Topic {
    partitions: u32,
    limit: usize,
}

#[derive(Clone)]
enum Stop {
    Fenced,
    Uncertain(String),
}

/// What to do about an error inside a transaction.
enum Next {
    /// The producer is of no more use.
    Stop(Stop),
    /// The transaction must be aborted; then this is the answer.
    Abort(LogError),
    /// Call again.
    Again(String),
}

impl KafkaWriter {
    pub(super) fn new(shared: Arc<Shared>, name: &str) -> Result<KafkaWriter, LogError> {
        let producer: ThreadedProducer<Watcher> = shared
            .settings
            .writer_config(name)
            .create_with_context(Watcher::default())
            .map_err(|e| errors::creation(&shared.settings, &e))?;
        let deadline = Clock::now() + REGISTER;
        let mut limit = FIRST_INIT;
        while let Err(e) = producer.init_transactions(limit) {
            producer.poll(Duration::ZERO);
            let watcher = producer.client().context();
            let code = e.rdkafka_error_code();
            let transient = matches!(&e, KafkaError::Transaction(t) if t.is_retriable());
            if watcher.refused() || !transient || Clock::now() >= deadline {
                if code.is_some_and(errors::refusal) {
                    let why = format!("could not register writer {name}: {e}");
                    return Err(LogError::Refused { place: shared.settings.brokers.clone(), why });
                }
                return Err(watcher.gone(&shared.settings, &format!("could not register writer {name}: {e}")));
            }
            limit = deadline.saturating_duration_since(Clock::now()).max(Duration::from_millis(100));
        }
        let (name, topics) = (name.to_owned(), HashMap::new());
        Ok(KafkaWriter { shared, producer, sent: 0, name, topics, stopped: None })
    }

    fn stop(&mut self, stop: Stop) -> LogError {
        self.stopped = Some(stop.clone());
        match stop {
            Stop::Fenced => LogError::Fenced { writer: self.name.clone() },
            Stop::Uncertain(why) => LogError::Uncertain { why },
        }
    }

    /// Checks sizes and topics before anything is sent; the partition of each record, in order.
    fn place(&mut self, records: &[NewRecord]) -> Result<Vec<i32>, LogError> {
        let mut places = Vec::with_capacity(records.len());
        for of_topic in records.chunk_by(|a, b| a.topic == b.topic) {
            let name = &of_topic[0].topic;
            if !self.topics.contains_key(name) {
                let topic = Topic {
                    partitions: self.shared.partitions(name)?,
                    limit: self.shared.record_limit(name)?.min(MAX_REQUEST_BYTES - 65_536),
                };
                self.topics.insert(Arc::clone(name), topic);
            }
            let topic = &self.topics[name];
            for record in of_topic {
                let bytes = record.key.len() + record.value.as_ref().map_or(0, Vec::len);
                if bytes > topic.limit {
                    let limit = topic.limit;
                    return Err(LogError::TooLarge { topic: record.topic.to_string(), bytes, limit });
                }
                places.push(partition_of(record.routed_by(), topic.partitions) as i32);
            }
        }
        Ok(places)
    }

    fn send(&mut self, record: &NewRecord, partition: i32, deadline: Clock) -> Result<(), KafkaError> {
        let mut message = BaseRecord::<[u8], [u8]>::to(&record.topic).partition(partition).key(&record.key);
        if let Some(value) = &record.value {
            message = message.payload(value);
        }
        if let Some(stamp) = record.stamp {
            message = message.timestamp(stamp.0);
        }
        while let Err((e, back)) = self.producer.send(message) {
            let full = e.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !full || Clock::now() >= deadline {
                return Err(e);
            }
            message = back;
            std::thread::sleep(Duration::from_millis(1));
        }
        self.sent += 1;
        Ok(())
    }

    /// Waits until every record is delivered or has failed. A commit would wait too, but in steps of
    /// 100 ms that run to their end; this keeps the time to commit at the round trip itself.
    fn drain(&self, deadline: Clock) -> bool {
        let watcher = self.producer.client().context();
        while self.producer.in_flight_count() > 0 {
            if Clock::now() >= deadline {
                return false;
            }
            if watcher.settled(self.sent, LOOK_EVERY) {
                // The client takes the last ones off its count right after it has told us.
                std::thread::yield_now();
            }
        }
        true
    }

    fn judge(&self, what: &'static str, e: &KafkaError) -> Next {
        let fatal = self.producer.client().fatal_error();
        if let Some((code, why)) = fatal {
            return Next::Stop(if errors::fenced(code) { Stop::Fenced } else { Stop::Uncertain(why) });
        }
        let code = e.rdkafka_error_code();
        if code.is_some_and(errors::fenced) {
            return Next::Stop(Stop::Fenced);
        }
        match e {
            KafkaError::Transaction(t) if t.is_fatal() => Next::Stop(Stop::Uncertain(t.string())),
            KafkaError::Transaction(t) if !t.txn_requires_abort() && t.is_retriable() => {
                Next::Again(t.string())
            }
            KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut) => Next::Again(e.to_string()),
            _ => Next::Abort(self.nothing_written(what, e)),
        }
    }

    /// The answer once the transaction is aborted.
    fn nothing_written(&self, what: &'static str, e: &KafkaError) -> LogError {
        // A failed delivery knows more than the transaction that failed by it.
        let cause = self.producer.client().context().take_undelivered();
        let cause = cause.as_ref().unwrap_or(e);
        let why = match e {
            KafkaError::Transaction(t) => t.string(),
            other => other.to_string(),
        };
        match cause.rdkafka_error_code() {
            Some(code) if errors::refusal(code) => {
                LogError::Refused { place: self.shared.settings.brokers.clone(), why }
            }
            _ => LogError::Retry { what, why },
        }
    }

    /// Aborts the open transaction. The client's own abort waits for deliveries that only our polling
    /// reports, so they are purged and drained first.
    fn abort(&mut self, answer: LogError) -> LogError {
        let deadline = Clock::now() + SETTLE;
        self.producer.purge(PurgeConfig::default().queue().inflight());
        self.drain(deadline);
        loop {
            let Err(e) = self.producer.abort_transaction(CALL) else {
                // Whatever failed by the purge is no news.
                self.producer.poll(Duration::ZERO);
                self.producer.client().context().take_undelivered();
                self.topics.clear();
                return answer;
            };
            match self.judge("abort", &e) {
                Next::Stop(stop) => return self.stop(stop),
                Next::Again(_) if Clock::now() < deadline => self.producer.poll(Duration::ZERO),
                Next::Again(why) => return self.stop(Stop::Uncertain(why)),
                Next::Abort(error) => return self.stop(Stop::Uncertain(error.to_string())),
            }
        }
    }

    /// Sends all records inside the open transaction and commits it.
    fn transact(&mut self, records: &[NewRecord], places: &[i32]) -> Result<(), LogError> {
        let deadline = Clock::now() + SETTLE;
        for (record, partition) in records.iter().zip(places) {
            if let Err(e) = self.send(record, *partition, deadline) {
                return Err(self.give_up("send", &e, record));
            }
        }
        self.drain(deadline);
        loop {
            let Err(e) = self.producer.commit_transaction(CALL) else { return Ok(()) };
            match self.judge("commit", &e) {
                Next::Stop(stop) => return Err(self.stop(stop)),
                Next::Abort(answer) => {
                    let answer = self.name_topic(answer, records);
                    return Err(self.abort(answer));
                }
                Next::Again(_) if Clock::now() < deadline => self.producer.poll(Duration::from_millis(10)),
                Next::Again(why) => return Err(self.stop(Stop::Uncertain(why))),
            }
        }
    }

    fn give_up(&mut self, what: &'static str, e: &KafkaError, record: &NewRecord) -> LogError {
        let answer = match self.judge(what, e) {
            Next::Stop(stop) => return self.stop(stop),
            Next::Abort(answer) => answer,
            Next::Again(why) => LogError::Retry { what, why },
        };
        let missing = e.rdkafka_error_code().is_some_and(errors::missing_topic);
        self.abort(if missing { LogError::MissingTopic { topic: record.topic.to_string() } } else { answer })
    }

    /// A topic that was deleted since we looked shows as a failed commit: say which.
    fn name_topic(&self, answer: LogError, records: &[NewRecord]) -> LogError {
        for record in records {
            if let Err(e @ LogError::MissingTopic { .. }) = self.shared.partitions(&record.topic) {
                return e;
            }
        }
        answer
    }
}

impl LogWriter for KafkaWriter {
    fn append(&mut self, records: &[NewRecord]) -> Result<(), LogError> {
        if let Some(stop) = self.stopped.clone() {
            return Err(self.stop(stop));
        }
        if records.is_empty() {
            return Ok(());
        }
        let places = self.place(records)?;
        if let Err(e) = self.producer.begin_transaction() {
            let stop = match self.judge("begin", &e) {
                Next::Stop(stop) => stop,
                Next::Again(why) => Stop::Uncertain(why),
                Next::Abort(error) => Stop::Uncertain(error.to_string()),
            };
            return Err(self.stop(stop));
        }
        self.transact(records, &places)
    }
}
