//! The event log on Kafka: what production runs on.
//!
//! | file | role |
//! |---|---|
//! | `settings` | what the operator chooses, and the client settings that the promises rest on |
//! | `context` | keeps the last real reason of the client, which otherwise only says "timed out" |
//! | `topics` | what topics there are; creating and altering them |
//! | `reader` | `assign()` at absolute offsets, read_committed |
//! | `writer` | one transactional producer for each writer name |
//! | `errors` | the client's errors in the words of the contract |
//!
//! # Why a fenced writer leaves nothing
//! A writer's name is (part of) its `transactional.id`. `writer()` calls `init_transactions`, which makes
//! the broker finish or abort what an older producer of that id had under way, and raises the epoch; every
//! later request of the older one is refused. So whoever reads progress after `writer()` reads all of it.
//!
//! # Caught up
//! Control records of transactions take offsets, so "the last record's offset + 1" is not the end. A
//! consumer's own position steps over them; caught up is when it equals the last stable offset. An open
//! transaction holds that offset back for all who write behind it; what is written, seen or not, ends at the high
//! watermark, which a consumer with another isolation is told.

mod context;
mod errors;
mod reader;
mod settings;
mod topics;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::AdminClient;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tocsin_schemas::log::{
    Bounds, EventLog, LogError, LogReader, LogWriter, TopicChange, TopicPartition, TopicSettings,
};

use self::context::Watcher;
pub use self::settings::{KafkaSettings, Stamps};

/// Until a broker must have answered for the first time.
const FIRST_ANSWER: Duration = Duration::from_secs(6);
/// Until a broker must have answered a later question.
const ANSWER: Duration = Duration::from_secs(8);

/// An event log on a Kafka cluster. See the module's own page.
pub struct KafkaLog {
    shared: Arc<Shared>,
    id: String,
}

/// What the log, its readers and its writers use in common.
struct Shared {
    settings: KafkaSettings,
    /// Asks for metadata and offsets; reads no records.
    asker: BaseConsumer<Watcher>,
    /// Asks for high watermarks: the asker is told last stable offsets.
    watermarks: BaseConsumer<Watcher>,
    admin: AdminClient<Watcher>,
}

impl KafkaLog {
    /// Connects, and returns once a broker has answered.
    ///
    /// # Errors
    /// Within 10 seconds: `Unreachable` with the client's own reason; `Refused` for a wrong password, a
    /// missing right, or a setting that this build or librdkafka does not know.
    pub fn connect(settings: &KafkaSettings) -> Result<KafkaLog, LogError> {
        let config = settings.reader_config();
        let refused = |e| errors::creation(settings, &e);
        let asker: BaseConsumer<Watcher> = config.create_with_context(Watcher::default()).map_err(refused)?;
        let deadline = Instant::now() + FIRST_ANSWER;
        loop {
            let answer = asker.fetch_metadata(None, Duration::from_millis(500));
            if answer.is_ok() {
                break;
            }
            // Serves the error callback, which alone knows the reason.
            let _ = asker.poll(Duration::ZERO);
            if asker.context().refused() || Instant::now() >= deadline {
                return Err(asker.context().gone(settings, "no broker answered"));
            }
        }
        let id = asker
            .client()
            .fetch_cluster_id(Duration::from_secs(3))
            .ok_or_else(|| asker.context().gone(settings, "no broker said which cluster it belongs to"))?;
        let watermarks = settings
            .reader_config()
            .set("isolation.level", "read_uncommitted")
            .create_with_context(Watcher::default())
            .map_err(refused)?;
        let admin = settings.client_config().create_with_context(Watcher::default()).map_err(refused)?;
        Ok(KafkaLog { shared: Arc::new(Shared { settings: settings.clone(), asker, watermarks, admin }), id })
    }
}

impl EventLog for KafkaLog {
    fn log_id(&self) -> Result<String, LogError> {
        Ok(self.id.clone())
    }

    fn topics(&self) -> Result<Vec<TopicSettings>, LogError> {
        topics::list(&self.shared)
    }

    fn ensure(&self, topics: &[TopicSettings], dry_run: bool) -> Result<Vec<TopicChange>, LogError> {
        topics::ensure(&self.shared, topics, dry_run)
    }

    fn bounds(&self, topic: &str) -> Result<Vec<Bounds>, LogError> {
        topics::bounds(&self.shared, topic)
    }

    fn written(&self, topic: &str) -> Result<Vec<u64>, LogError> {
        topics::written(&self.shared, topic)
    }

    fn reader(&self, from: &[(TopicPartition, u64)]) -> Result<Box<dyn LogReader>, LogError> {
        Ok(Box::new(reader::KafkaReader::new(&self.shared, from)?))
    }

    fn writer(&self, name: &str) -> Result<Box<dyn LogWriter>, LogError> {
        Ok(Box::new(writer::KafkaWriter::new(Arc::clone(&self.shared), name)?))
    }
}
