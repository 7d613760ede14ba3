//! What topics the cluster has, and making them as they should be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{
    AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tocsin_schemas::log::{Bounds, LogError, Retention, TopicChange, TopicSettings};

use super::context::Watcher;
use super::settings::{KafkaSettings, Stamps};
use super::{ANSWER, Shared, errors};

/// What Kafka's limit holds beside a record: batch header, varints, headers of later versions.
const FRAMING_BYTES: usize = 65_536;
/// No topic is limited below this: the client fills a batch with small records up to about 1 MB.
const LEAST_LIMIT: usize = 1_048_576;
const DAY_MILLIS: i64 = 86_400_000;

impl Shared {
    pub(super) fn error(&self, what: &str, e: &KafkaError) -> LogError {
        // Whatever the client has to say about it comes by its callback.
        let _ = self.asker.poll(Duration::ZERO);
        errors::question(&self.settings, what, e, self.asker.context().reason())
    }

    /// The number of partitions; the topic must be there.
    pub(super) fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        let metadata =
            self.asker.fetch_metadata(Some(topic), ANSWER).map_err(|e| self.error("look up a topic", &e))?;
        let missing = || LogError::MissingTopic { topic: topic.to_owned() };
        let found = metadata.topics().iter().find(|t| t.name() == topic).ok_or_else(missing)?;
        if let Some(code) = found.error().map(RDKafkaErrorCode::from) {
            if errors::missing_topic(code) || code == RDKafkaErrorCode::InvalidTopic {
                return Err(missing());
            }
            return Err(self.error("look up a topic", &KafkaError::MetadataFetch(code)));
        }
        match found.partitions().len() {
            0 => Err(missing()),
            n => Ok(n as u32),
        }
    }

    /// The settings of these topics, in their order.
    fn configs(&self, topics: &[&str]) -> Result<Vec<ConfigResource>, LogError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let what = "read the settings of topics";
        let wanted: Vec<_> = topics.iter().map(|t| ResourceSpecifier::Topic(t)).collect();
        let found = block_on(self.admin.describe_configs(wanted.iter(), &options()))
            .map_err(|e| self.error(what, &e))?;
        found.into_iter().map(|r| r.map_err(|code| self.error(what, &KafkaError::AdminOp(code)))).collect()
    }

    /// The largest record that this topic takes, in bytes.
    pub(super) fn record_limit(&self, topic: &str) -> Result<usize, LogError> {
        let configs = self.configs(&[topic])?;
        let limit = configs.first().and_then(|c| setting(c, "max.message.bytes"));
        Ok(record_bytes(limit.unwrap_or_default()))
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER))
}

fn setting<'a>(config: &'a ConfigResource, name: &str) -> Option<&'a str> {
    config.get(name)?.value.as_deref()
}

fn message_bytes(max_record_bytes: usize) -> usize {
    max_record_bytes.max(LEAST_LIMIT) + FRAMING_BYTES
}

fn record_bytes(max_message_bytes: &str) -> usize {
    max_message_bytes.parse::<usize>().unwrap_or(LEAST_LIMIT).saturating_sub(FRAMING_BYTES)
}

pub(super) fn list(shared: &Shared) -> Result<Vec<TopicSettings>, LogError> {
    let metadata =
        shared.asker.fetch_metadata(None, ANSWER).map_err(|e| shared.error("list the topics", &e))?;
    let mut found: Vec<(&str, u32)> = metadata
        .topics()
        .iter()
        .filter(|t| t.error().is_none() && !t.name().starts_with("__"))
        .map(|t| (t.name(), t.partitions().len() as u32))
        .collect();
    found.sort_unstable();
    let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    let configs = shared.configs(&names)?;
    Ok(found
        .iter()
        .zip(&configs)
        .map(|((name, partitions), config)| TopicSettings {
            name: Arc::from(*name),
            partitions: *partitions,
            retention: retention(config),
            max_record_bytes: record_bytes(setting(config, "max.message.bytes").unwrap_or_default()),
        })
        .collect())
}

fn retention(config: &ConfigResource) -> Retention {
    let policy = setting(config, "cleanup.policy").unwrap_or_default();
    if policy.contains("compact") && !policy.contains("delete") {
        return Retention::Compacted;
    }
    let number = |name| setting(config, name).and_then(|n| n.parse::<i64>().ok()).unwrap_or(-1);
    match (number("retention.ms"), number("retention.bytes")) {
        // By size: nobody knows when.
        (_, 0..) => Retention::Days(0),
        (..0, _) if policy.contains("compact") => Retention::Compacted,
        (..0, _) => Retention::Forever,
        (millis, _) => Retention::Days(u32::try_from(millis / DAY_MILLIS).unwrap_or(u32::MAX)),
    }
}

/// Kafka's settings for a topic that is to be like this.
fn wanted_config(settings: &KafkaSettings, want: &TopicSettings) -> BTreeMap<&'static str, String> {
    let mut config = BTreeMap::new();
    let (policy, millis) = match want.retention {
        Retention::Forever => ("delete", Some(-1)),
        Retention::Compacted => ("compact", None),
        Retention::Days(days) => ("delete", Some(i64::from(days) * DAY_MILLIS)),
    };
    config.insert("cleanup.policy", policy.to_owned());
    if let Some(millis) = millis {
        config.insert("retention.ms", millis.to_string());
    }
    config.insert("retention.bytes", "-1".to_owned());
    config.insert("max.message.bytes", message_bytes(want.max_record_bytes).to_string());
    // The age of what is kept by days counts from the append, whatever stamp the writer gives.
    let by_days = matches!(want.retention, Retention::Days(_));
    let stamps = if by_days { Stamps::LogAppendTime } else { settings.stamps };
    config.insert("message.timestamp.type", stamps.name().to_owned());
    if stamps == Stamps::CreateTime {
        // A record from 2099 is ours to judge, not the broker's to refuse.
        config.insert("message.timestamp.after.max.ms", i64::MAX.to_string());
    }
    if settings.replication_factor >= 3 {
        config.insert("min.insync.replicas", "2".to_owned());
    }
    config
}

pub(super) fn ensure(
    shared: &Shared,
    topics: &[TopicSettings],
    dry_run: bool,
) -> Result<Vec<TopicChange>, LogError> {
    let metadata =
        shared.asker.fetch_metadata(None, ANSWER).map_err(|e| shared.error("list the topics", &e))?;
    let mut changes = Vec::new();
    let mut created = Vec::new();
    for want in topics {
        let config = wanted_config(&shared.settings, want);
        let Some(found) = metadata.topics().iter().find(|t| t.name() == &*want.name) else {
            if !dry_run {
                create(shared, want, &config)?;
                created.push(want);
            }
            changes.push(TopicChange::Created(Arc::clone(&want.name)));
            continue;
        };
        let before = changes.len();
        changes.extend(alter(shared, &want.name, &config, dry_run)?);
        let mut differs = |what: &str, wanted: usize, found: usize| {
            let (wanted, found) = (wanted.to_string(), found.to_string());
            changes.push(TopicChange::Differs(Arc::clone(&want.name), what.to_owned(), wanted, found));
        };
        if found.partitions().len() != want.partitions as usize {
            differs("partitions", want.partitions as usize, found.partitions().len());
        }
        let copies = found.partitions().iter().map(|p| p.replicas().len()).min().unwrap_or(0);
        if copies < usize::from(shared.settings.replication_factor) {
            differs("replication factor", shared.settings.replication_factor.into(), copies);
        }
        if changes.len() == before {
            changes.push(TopicChange::AsWanted(Arc::clone(&want.name)));
        }
    }
    wait_for_leaders(shared, &created)?;
    Ok(changes)
}

fn create(
    shared: &Shared,
    want: &TopicSettings,
    config: &BTreeMap<&'static str, String>,
) -> Result<(), LogError> {
    let copies = TopicReplication::Fixed(i32::from(shared.settings.replication_factor));
    let mut topic = NewTopic::new(&want.name, want.partitions as i32, copies);
    for (name, value) in config {
        topic = topic.set(name, value);
    }
    let what = format!("create topic {}", want.name);
    let results =
        block_on(shared.admin.create_topics([&topic], &options())).map_err(|e| shared.error(&what, &e))?;
    for result in results {
        match result {
            // Another process was first.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(shared.error(&what, &KafkaError::AdminOp(code))),
        }
    }
    Ok(())
}

fn alter(
    shared: &Shared,
    topic: &Arc<str>,
    wanted: &BTreeMap<&'static str, String>,
    dry_run: bool,
) -> Result<Vec<TopicChange>, LogError> {
    let configs = shared.configs(&[topic])?;
    let Some(found) = configs.first() else { return Ok(Vec::new()) };
    let mut changes = Vec::new();
    for (name, to) in wanted {
        let from = setting(found, name).unwrap_or_default();
        if from != to {
            let (from, to) = (from.to_owned(), to.clone());
            changes.push(TopicChange::Altered(Arc::clone(topic), (*name).to_owned(), from, to));
        }
    }
    if changes.is_empty() || dry_run {
        return Ok(changes);
    }
    // The call resets what it does not name: name what others have set, too.
    let mut alter = AlterConfig::new(ResourceSpecifier::Topic(topic));
    for entry in &found.entries {
        let set_here = entry.source == ConfigSource::DynamicTopic && !wanted.contains_key(&*entry.name);
        if let (true, Some(value)) = (set_here, &entry.value) {
            alter = alter.set(&entry.name, value);
        }
    }
    for (name, value) in wanted {
        alter = alter.set(name, value);
    }
    let what = format!("alter topic {topic}");
    let results =
        block_on(shared.admin.alter_configs([&alter], &options())).map_err(|e| shared.error(&what, &e))?;
    for result in results {
        result.map_err(|(_, code)| shared.error(&what, &KafkaError::AdminOp(code)))?;
    }
    wait_until_seen(shared, topic, wanted)?;
    Ok(changes)
}

/// The controller has the new settings at once, the broker that is asked for them a moment later.
fn wait_until_seen(
    shared: &Shared,
    topic: &Arc<str>,
    wanted: &BTreeMap<&'static str, String>,
) -> Result<(), LogError> {
    let deadline = Instant::now() + ANSWER;
    loop {
        let configs = shared.configs(&[topic])?;
        let seen = |found: &ConfigResource| {
            wanted.iter().all(|(name, to)| setting(found, name) == Some(to.as_str()))
        };
        if configs.first().is_none_or(seen) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let why = format!("the settings of topic {topic} were altered, but its broker does not know yet");
            return Err(LogError::Unreachable { place: shared.settings.brokers.clone(), why });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A new topic can be used only when each of its partitions has a leader, which takes a moment.
fn wait_for_leaders(shared: &Shared, topics: &[&TopicSettings]) -> Result<(), LogError> {
    let deadline = Instant::now() + ANSWER;
    for topic in topics {
        loop {
            let ready = shared.asker.fetch_metadata(Some(&topic.name), ANSWER).is_ok_and(|m| {
                m.topics().iter().any(|t| {
                    t.name() == &*topic.name
                        && t.partitions().len() == topic.partitions as usize
                        && t.partitions().iter().all(|p| p.error().is_none() && p.leader() >= 0)
                })
            });
            if ready {
                break;
            }
            if Instant::now() >= deadline {
                let why = format!("topic {} was created, but its partitions have no leader yet", topic.name);
                return Err(LogError::Unreachable { place: shared.settings.brokers.clone(), why });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

pub(super) fn bounds(shared: &Shared, topic: &str) -> Result<Vec<Bounds>, LogError> {
    let partitions = shared.partitions(topic)?;
    let list = || (0..partitions).map(|p| (topic, p));
    let error = |e: KafkaError| shared.error("look up the ends of a topic", &e);
    let first = offsets(&shared.asker, list(), Offset::Beginning).map_err(error)?;
    let end = offsets(&shared.asker, list(), Offset::End).map_err(error)?;
    Ok(first.into_iter().zip(end).map(|(first, end)| Bounds { first, end }).collect())
}

/// The high watermarks of a topic's partitions.
pub(super) fn written(shared: &Shared, topic: &str) -> Result<Vec<u64>, LogError> {
    let partitions = shared.partitions(topic)?;
    offsets(&shared.watermarks, (0..partitions).map(|p| (topic, p)), Offset::End)
        .map_err(|e| shared.error("look up the ends of a topic", &e))
}

/// The first offsets (`Offset::Beginning`) or the last ones (`Offset::End`: the last stable ones, unless the consumer
/// reads uncommitted) of these partitions, in their order: one request to each broker, where asking for watermarks takes two for each partition.
pub(super) fn offsets<'a>(
    consumer: &BaseConsumer<Watcher>,
    partitions: impl Iterator<Item = (&'a str, u32)> + Clone,
    which: Offset,
) -> Result<Vec<u64>, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions.clone() {
        // Kafka's own convention: the times -2 and -1 stand for the earliest and the latest offset.
        list.add_partition_offset(topic, partition as i32, which)?;
    }
    let deadline = Instant::now() + ANSWER;
    let found = loop {
        match consumer
            .offsets_for_times(list.clone(), ANSWER)
            .and_then(|found| settled(&found).map(|()| found))
        {
            // A leader is being elected, or this client has not heard of a new topic yet.
            Err(e) if e.rdkafka_error_code().is_some_and(errors::passing) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => break other?,
        }
    };
    partitions
        .map(|(topic, partition)| {
            let found = found
                .find_partition(topic, partition as i32)
                .ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition))?;
            match found.offset() {
                Offset::Offset(offset) => Ok(offset as u64),
                _ => Err(KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset)),
            }
        })
        .collect()
}

/// Errors of single partitions stand in the answer.
fn settled(found: &TopicPartitionList) -> Result<(), KafkaError> {
    found.elements().iter().try_for_each(|element| element.error())
}
