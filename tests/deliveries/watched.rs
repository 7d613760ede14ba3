//! A log that knows how far its readers have come in each partition: a story's next step waits until contacts and
//! silences were read, because in life hours lie between two steps and in a test milliseconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tocsin_schemas::index::LedgerIndex;
use tocsin_schemas::log::{
    Bounds, EventLog, GoingOn, LogError, LogReader, LogRecord, LogWriter, TopicChange, TopicPartition,
    TopicSettings,
};

type Positions = Arc<Mutex<BTreeMap<TopicPartition, u64>>>;

pub struct Watched {
    log: Box<dyn EventLog>,
    read: Positions,
}

impl Watched {
    pub fn new(log: Box<dyn EventLog>) -> Watched {
        Watched { log, read: Positions::default() }
    }
    /// Where the reading of these partitions stands.
    pub fn read(&self) -> Positions {
        Arc::clone(&self.read)
    }
}

impl EventLog for Watched {
    fn log_id(&self) -> Result<String, LogError> {
        self.log.log_id()
    }
    fn topics(&self) -> Result<Vec<TopicSettings>, LogError> {
        self.log.topics()
    }
    fn ensure(&self, topics: &[TopicSettings], dry_run: bool) -> Result<Vec<TopicChange>, LogError> {
        self.log.ensure(topics, dry_run)
    }
    fn bounds(&self, topic: &str) -> Result<Vec<Bounds>, LogError> {
        self.log.bounds(topic)
    }
    fn written(&self, topic: &str) -> Result<Vec<u64>, LogError> {
        self.log.written(topic)
    }
    fn reader(&self, from: &[(TopicPartition, u64)]) -> Result<Box<dyn LogReader>, LogError> {
        Ok(Box::new(Noting { reader: self.log.reader(from)?, read: Arc::clone(&self.read) }))
    }
    fn index(&self, build: Option<GoingOn<'_>>) -> Result<Option<Box<dyn LedgerIndex>>, LogError> {
        self.log.index(build)
    }
    fn writer(&self, name: &str) -> Result<Box<dyn LogWriter>, LogError> {
        self.log.writer(name)
    }
}

struct Noting {
    reader: Box<dyn LogReader>,
    read: Positions,
}

impl LogReader for Noting {
    /// What the poll before brought was taken in by now.
    fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<LogRecord>, LogError> {
        self.note();
        self.reader.poll(max, wait)
    }
    fn position(&self) -> Vec<(TopicPartition, u64)> {
        self.reader.position()
    }
    fn caught_up(&mut self) -> Result<bool, LogError> {
        self.note();
        self.reader.caught_up()
    }
}

impl Noting {
    fn note(&self) {
        let mut read = self.read.lock().unwrap();
        for (at, next) in self.reader.position() {
            let known = read.entry(at).or_default();
            *known = next.max(*known);
        }
    }
}
