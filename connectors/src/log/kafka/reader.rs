//! Reading: a consumer that is assigned its partitions at absolute offsets and sees committed records.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tocsin_schemas::log::{LogError, LogReader, LogRecord, TopicPartition};
use tocsin_schemas::time::Instant;

use super::context::Watcher;
use super::{Shared, errors, topics};

/// How long the brokers may stay away before a poll says so. The client goes on trying meanwhile.
const AWAY: Duration = Duration::from_secs(30);

pub(super) struct KafkaReader {
    shared: Arc<Shared>,
    consumer: BaseConsumer<Watcher>,
    parts: Vec<Part>,
    /// Partition numbers to places in `parts`, by topic.
    places: HashMap<Arc<str>, Vec<Option<usize>>>,
    away: Option<Away>,
    /// What went wrong after records of the same poll: said at the next one. The client says it once.
    pending: Option<LogError>,
}

struct Part {
    at: TopicPartition,
    /// After the last record that was handed out. The consumer's own position may be further on.
    next: u64,
}

/// All brokers are down: since when, and when the client last said so.
struct Away {
    since: Clock,
    last: Clock,
}

impl KafkaReader {
    pub(super) fn new(shared: &Arc<Shared>, from: &[(TopicPartition, u64)]) -> Result<KafkaReader, LogError> {
        let mut bounds = HashMap::new();
        let mut places: HashMap<Arc<str>, Vec<Option<usize>>> = HashMap::new();
        let mut list = TopicPartitionList::new();
        for (place, (at, wanted)) in from.iter().enumerate() {
            if !bounds.contains_key(&at.topic) {
                bounds.insert(Arc::clone(&at.topic), topics::bounds(shared, &at.topic)?);
            }
            let known = &bounds[&at.topic];
            let Some(bound) = known.get(at.partition as usize) else {
                return Err(LogError::MissingTopic { topic: at.topic.to_string() });
            };
            if *wanted < bound.first || *wanted > bound.end {
                return Err(gone(at, *wanted, bound.first));
            }
            let by_number = places.entry(Arc::clone(&at.topic)).or_insert_with(|| vec![None; known.len()]);
            by_number[at.partition as usize] = Some(place);
            list.add_partition_offset(&at.topic, at.partition as i32, Offset::Offset(*wanted as i64))
                .map_err(|e| shared.error("assign partitions", &e))?;
        }
        let consumer: BaseConsumer<Watcher> = shared
            .settings
            .reader_config()
            .create_with_context(Watcher::default())
            .map_err(|e| errors::creation(&shared.settings, &e))?;
        consumer.assign(&list).map_err(|e| shared.error("assign partitions", &e))?;
        let parts = from.iter().map(|(at, next)| Part { at: at.clone(), next: *next }).collect();
        Ok(KafkaReader { shared: Arc::clone(shared), consumer, parts, places, away: None, pending: None })
    }

    /// Where a partition stands in `parts`.
    fn place(&self, topic: &str, partition: i32) -> Option<usize> {
        let (_, by_number) = self.places.get_key_value(topic)?;
        by_number.get(usize::try_from(partition).ok()?).copied().flatten()
    }

    fn record(&self, message: &BorrowedMessage<'_>) -> Option<(usize, LogRecord)> {
        let place = self.place(message.topic(), message.partition())?;
        let at = &self.parts[place].at;
        let record = LogRecord {
            topic: Arc::clone(&at.topic),
            partition: at.partition,
            offset: message.offset() as u64,
            stamp: Instant(message.timestamp().to_millis().unwrap_or(0)).held(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
        };
        Some((place, record))
    }

    /// What an error of the client means for this poll: most pass by themselves.
    fn judge(&mut self, e: &KafkaError) -> Result<(), LogError> {
        let Some(code) = e.rdkafka_error_code() else {
            return Err(self.shared.error("read records", e));
        };
        if errors::missing_topic(code) {
            // The client does not say which; one that is there answers.
            for part in &self.parts {
                self.shared.partitions(&part.at.topic)?;
            }
            return Ok(());
        }
        if errors::refusal(code) {
            return Err(self.shared.error("read records", e));
        }
        match code {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                self.find_gone()?;
                Err(self.shared.error("read records", e))
            }
            RDKafkaErrorCode::AllBrokersDown => self.still_away(),
            _ => {
                tracing::debug!(error = %e, "kafka consumer");
                Ok(())
            }
        }
    }

    fn still_away(&mut self) -> Result<(), LogError> {
        let now = Clock::now();
        // The client says it many times a second while it lasts; after a silence it is another outage.
        let fresh = self.away.as_ref().is_none_or(|a| now - a.last > Duration::from_secs(5));
        if fresh {
            self.away = Some(Away { since: now, last: now });
        }
        let Some(away) = &mut self.away else { return Ok(()) };
        away.last = now;
        if now - away.since < AWAY {
            return Ok(());
        }
        Err(self.consumer.context().gone(&self.shared.settings, "all brokers are down"))
    }

    /// Says which partition was deleted under the reader, if one was.
    fn find_gone(&self) -> Result<(), LogError> {
        for (at, position) in self.position() {
            let bounds = topics::bounds(&self.shared, &at.topic)?;
            let Some(bound) = bounds.get(at.partition as usize) else { continue };
            if position < bound.first || position > bound.end {
                return Err(gone(&at, position, bound.first));
            }
        }
        Ok(())
    }
}

fn gone(at: &TopicPartition, wanted: u64, first: u64) -> LogError {
    LogError::OffsetGone { topic: at.topic.to_string(), partition: at.partition, wanted, first }
}

impl LogReader for KafkaReader {
    fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<LogRecord>, LogError> {
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        let deadline = Clock::now() + wait;
        let mut records = Vec::new();
        while records.len() < max {
            let left = if records.is_empty() {
                deadline.saturating_duration_since(Clock::now())
            } else {
                Duration::ZERO
            };
            let trouble = match self.consumer.poll(left) {
                Some(Ok(message)) => {
                    if let Some((place, record)) = self.record(&message) {
                        self.parts[place].next = record.offset + 1;
                        records.push(record);
                    }
                    None
                }
                Some(Err(e)) => Some(e),
                None => break,
            };
            if let Some(e) = trouble
                && let Err(error) = self.judge(&e)
            {
                if records.is_empty() {
                    return Err(error);
                }
                self.pending = Some(error);
                break;
            }
        }
        if !records.is_empty() {
            self.away = None;
        }
        Ok(records)
    }

    fn position(&self) -> Vec<(TopicPartition, u64)> {
        let mut positions: Vec<(TopicPartition, u64)> =
            self.parts.iter().map(|part| (part.at.clone(), part.next)).collect();
        // Asked for after every poll, with dozens of partitions: one pass over the client's answer.
        let consumed = self.consumer.position().ok();
        for found in consumed.iter().flat_map(TopicPartitionList::elements) {
            if let Offset::Offset(offset) = found.offset()
                && let Ok(offset) = u64::try_from(offset)
                && let Some(place) = self.place(found.topic(), found.partition())
            {
                positions[place].1 = positions[place].1.max(offset);
            }
        }
        positions
    }

    fn caught_up(&mut self) -> Result<bool, LogError> {
        if self.parts.is_empty() {
            return Ok(true);
        }
        let positions = self.position();
        let list = self.parts.iter().map(|p| (&*p.at.topic, p.at.partition));
        let ends = topics::offsets(&self.shared.asker, list, Offset::End)
            .map_err(|e| self.shared.error("look up the ends of topics", &e))?;
        Ok(positions.iter().zip(ends).all(|((_, position), end)| *position >= end))
    }
}
