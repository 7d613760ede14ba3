//! What the operator chooses, and the client settings that the log's promises rest on. The figures come
//! from measurements with this client and a real broker; they are explained where they are not obvious.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;

/// The largest batch that the client sends, framing included: a 10 MB record and room to spare.
pub(super) const MAX_REQUEST_BYTES: usize = 12_000_000;

/// Which clock stamps the records of the topics that [`super::KafkaLog`] creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stamps {
    /// The broker's, at the append. For service: `arrived_at` is the log's append time.
    #[default]
    LogAppendTime,
    /// The writer's, where it gives one. For streams that carry their own arrival times.
    CreateTime,
}

impl Stamps {
    /// As Kafka's `message.timestamp.type` calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Stamps::LogAppendTime => "LogAppendTime",
            Stamps::CreateTime => "CreateTime",
        }
    }
}

/// How to reach a Kafka cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, several with commas.
    pub brokers: String,
    /// Put before each writer's name to make its `transactional.id`: what tells two installations on one
    /// cluster apart.
    pub transactional_prefix: String,
    /// Properties of librdkafka for security (`security.protocol`, `sasl.mechanism`, `sasl.username`,
    /// `sasl.password`, `ssl.ca.location`, ...), with secrets already resolved. Never printed.
    pub security: BTreeMap<String, String>,
    /// Copies of each partition of new topics. Production: 3, with 2 that must acknowledge.
    pub replication_factor: u16,
    /// Which clock stamps the records of new topics.
    pub stamps: Stamps,
}

impl KafkaSettings {
    /// One broker, no security, one copy: for tests and a first look.
    pub fn plain(brokers: &str) -> KafkaSettings {
        KafkaSettings {
            brokers: brokers.to_owned(),
            transactional_prefix: "tocsin.".to_owned(),
            security: BTreeMap::new(),
            replication_factor: 1,
            stamps: Stamps::default(),
        }
    }

    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.security {
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "tocsin")
            // The default of 10 s would make every outage that much longer.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "250");
        config
    }

    pub(super) fn reader_config(&self) -> ClientConfig {
        let mut config = self.client_config();
        config
            // assign() wants a group, though nothing is ever committed to it.
            .set("group.id", format!("{}reader", self.transactional_prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            // Never skip silently: an offset that is gone is an error.
            .set("auto.offset.reset", "error")
            // Small bites of each partition: whoever merges them must hold what comes before the first
            // record of the last one. A larger record is still fetched whole.
            .set("fetch.message.max.bytes", "1000000")
            // A full queue of small records pauses fetching this long; the default costs 5/6 of the rate.
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.error.backoff.ms", "100");
        config
    }

    pub(super) fn writer_config(&self, name: &str) -> ClientConfig {
        let mut config = self.client_config();
        config
            .set("transactional.id", format!("{}{name}", self.transactional_prefix))
            .set("acks", "all")
            .set("linger.ms", "0")
            // An outage up to this long is sat out; a longer one needs a new writer. A dead writer's open
            // transaction holds up readers of the topics it wrote to for as long, or until its successor.
            .set("transaction.timeout.ms", "60000")
            .set("message.max.bytes", MAX_REQUEST_BYTES.to_string())
            // Several small records never make a batch that the topic would refuse.
            .set("batch.size", "900000")
            .set("queue.buffering.max.kbytes", "524288");
        config
    }
}

impl fmt::Debug for KafkaSettings {
    /// Names the security properties, and keeps their values to itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("transactional_prefix", &self.transactional_prefix)
            .field("security", &self.security.keys().collect::<Vec<_>>())
            .field("replication_factor", &self.replication_factor)
            .field("stamps", &self.stamps)
            .finish()
    }
}
