//! The event log: what every other part of Tocsin stands on.
//!
//! Two implementations stand in `connectors/` (SQLite and Kafka) and pass one conformance suite. This
//! module is their contract. It needs no runtime: every call blocks.
//!
//! # Contract
//! - **Order.** A topic has a fixed number of partitions. In a partition, committed records are read in
//!   the order of their offsets. Offsets grow; they may have gaps (Kafka's control records take some), so
//!   "the next one" is what [`LogReader::position`] says, never `offset + 1`.
//! - **Atomic append.** [`LogWriter::append`] appends to several topics, together with the progress that
//!   they stand for, all or nothing. No reader ever sees a part, nor anything of an aborted append.
//! - **Committed only.** Readers see committed records and nothing else.
//! - **Idle partitions** never hold up the others: [`LogReader::caught_up`] is about committed ends.
//! - **Waking.** A reader that waits in [`LogReader::poll`] returns soon after a commit by any process
//!   (within 50 ms on an idle machine), not at its time-out.
//! - **Fencing.** [`EventLog::writer`] with a name fences every older writer of that name, in any process:
//!   the older one's next append fails with [`LogError::Fenced`] and leaves nothing. An append of the older
//!   one that was under way is either complete before `writer` returns or never visible. So progress must be
//!   read *after* `writer` has returned.
//! - **Acknowledged.** When `append` has returned `Ok`, the records survive a power loss (Kafka: of what
//!   the topic's replication survives; `acks=all`).
//! - **Visible.** Readers see an acknowledged append at once on SQLite, some milliseconds later on Kafka
//!   (topic by topic, as the markers arrive), and behind an open append of *another* writer in the same partition
//!   only when that one is over: committed, fenced, or dead for a minute. So neither [`LogReader::caught_up`] nor
//!   [`EventLog::bounds`] need cover an acknowledged append. [`EventLog::written`] covers all that were
//!   acknowledged before it was called, whoever wrote them: who must have read them reads up to there.
//! - **Uncertain.** [`LogError::Uncertain`]: it may or may not be there. Make a new writer (which settles
//!   the old one) and read back progress.

use std::sync::Arc;
use std::time::Duration;

use crate::index::LedgerIndex;
use crate::time::Instant;

/// What went wrong with a log, and who can act.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The broker or file cannot be reached or opened. The operator acts.
    #[error("cannot reach the event log at {place}: {why}")]
    Unreachable {
        /// Address or path, without secrets.
        place: String,
        /// The underlying reason, in one line.
        why: String,
    },
    /// Wrong credentials or missing rights. The operator acts.
    #[error("the event log at {place} refuses us: {why}")]
    Refused {
        /// Address or path, without secrets.
        place: String,
        /// The underlying reason.
        why: String,
    },
    /// A topic that is not there. The operator acts: `tocsin topics apply`.
    #[error("topic {topic} is missing: run `tocsin topics apply`")]
    MissingTopic {
        /// Its name.
        topic: String,
    },
    /// An offset that is not there any more.
    #[error("topic {topic} partition {partition}: offset {wanted} is gone, the first one is {first}")]
    OffsetGone {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The offset asked for.
        wanted: u64,
        /// The first offset that is still there.
        first: u64,
    },
    /// A newer writer of the same name has taken over. This process must stop writing.
    #[error("a newer writer named {writer} has taken over: this one stops")]
    Fenced {
        /// The writer's name.
        writer: String,
    },
    /// Nothing was written, and nothing will be until the operator frees space.
    #[error("no space left for the event log at {place}: nothing more is committed until there is")]
    NoSpace {
        /// Address or path.
        place: String,
    },
    /// A record is larger than the log takes. Nothing was written.
    #[error("a record of {bytes} bytes for topic {topic} is over the limit of {limit}")]
    TooLarge {
        /// The topic.
        topic: String,
        /// Its size.
        bytes: usize,
        /// The log's limit.
        limit: usize,
    },
    /// Nothing was written; trying again may help.
    #[error("the event log could not {what} just now: {why}")]
    Retry {
        /// What was tried.
        what: &'static str,
        /// The underlying reason.
        why: String,
    },
    /// The outcome of an append is not known. Make a new writer and read back progress.
    #[error("it is not known whether the last append was committed: {why}")]
    Uncertain {
        /// The underlying reason.
        why: String,
    },
    /// The log holds what it must not. Us, or a damaged disk.
    #[error("the event log is damaged: {0}")]
    Damaged(String),
}

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The key; decides the partition (murmur2 like Kafka's own clients, so both logs agree), unless `route` does.
    pub key: Vec<u8>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The time stamp; `None`: the log's append time.
    pub stamp: Option<Instant>,
    /// What decides the partition in the key's place, in the same way: for records that are compacted by one thing
    /// and owned by another. All records of a key must have the same route, or two of them stay.
    pub route: Option<Vec<u8>>,
}

impl NewRecord {
    /// What decides the partition.
    pub fn routed_by(&self) -> &[u8] {
        self.route.as_deref().unwrap_or(&self.key)
    }
}

/// A committed record as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: u32,
    /// Its place in the partition.
    pub offset: u64,
    /// The log's append time, or the stamp that the writer gave.
    pub stamp: Instant,
    /// The key, where there is one.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: u32,
}

/// The committed part of a partition: `first..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset still there. Above 0: something was deleted or compacted away.
    pub first: u64,
    /// The offset after the last committed record (Kafka: the last stable offset).
    pub end: u64,
}

/// How a topic is to be, or is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// Its name.
    pub name: Arc<str>,
    /// Number of partitions.
    pub partitions: u32,
    /// What is kept.
    pub retention: Retention,
    /// The largest record, in bytes.
    pub max_record_bytes: usize,
}

/// What a topic keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Everything, for ever: evidence.
    Forever,
    /// The newest record of each key.
    Compacted,
    /// Records younger than this many days.
    Days(u32),
}

/// What `ensure` found or did for one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicChange {
    /// Was missing; now it is there.
    Created(Arc<str>),
    /// Is as it should be.
    AsWanted(Arc<str>),
    /// A setting differed and was changed: name, setting, from, to.
    Altered(Arc<str>, String, String, String),
    /// A setting differs and cannot be changed safely: name, setting, wanted, found.
    Differs(Arc<str>, String, String, String),
}

/// Whether to go on with what takes long; an error ends it.
pub type GoingOn<'a> = &'a dyn Fn() -> Result<(), LogError>;

/// A log of topics. Cheap to share; all methods take `&self` and may be called from any thread.
pub trait EventLog: Send + Sync {
    /// What tells this log from every other one (Kafka: the cluster id; SQLite: made with the file).
    ///
    /// # Errors
    /// `Unreachable`, `Refused`.
    fn log_id(&self) -> Result<String, LogError>;

    /// The topics that are there, by name, with their settings.
    ///
    /// # Errors
    /// `Unreachable`, `Refused`.
    fn topics(&self) -> Result<Vec<TopicSettings>, LogError>;

    /// Creates what is missing and alters what can be altered safely (retention, record size; more
    /// partitions never, because keys would move). With `dry_run` it only says what it would do.
    ///
    /// # Errors
    /// `Unreachable`, `Refused`. Topics handled before the error stay as they were made.
    fn ensure(&self, topics: &[TopicSettings], dry_run: bool) -> Result<Vec<TopicChange>, LogError>;

    /// First and committed end of each partition of a topic, in order of partitions.
    ///
    /// # Errors
    /// `MissingTopic`, `Unreachable`, `Refused`.
    fn bounds(&self, topic: &str) -> Result<Vec<Bounds>, LogError>;

    /// For each partition of a topic, in order of partitions, an offset before which everything lies that was
    /// acknowledged, by whatever writer, before this call. Never below the end of [`EventLog::bounds`], and above it
    /// while appends are under way (Kafka: the high watermark): a reader reaches it once those are over, though
    /// nothing of them may be left to read.
    ///
    /// # Errors
    /// As [`EventLog::bounds`].
    fn written(&self, topic: &str) -> Result<Vec<u64>, LogError>;

    /// A reader of these partitions from these offsets.
    ///
    /// # Errors
    /// `MissingTopic`; `OffsetGone` when an offset is below the first or above the end; `Unreachable`.
    fn reader(&self, from: &[(TopicPartition, u64)]) -> Result<Box<dyn LogReader>, LogError>;

    /// Deletes from compacted topics what a later record of the same key has superseded, where the log does
    /// not do that by itself; the newest record of each key stays, a tombstone too. Returns how many went.
    /// Readers and writers go on meanwhile. A log that compacts by itself has nothing to do.
    ///
    /// # Errors
    /// `Retry`, `NoSpace`, `Unreachable`, `Damaged`. What went before the error is gone, the rest is there.
    fn compact(&self) -> Result<u64, LogError> {
        Ok(0)
    }

    /// Deletes from topics that are kept by days what is older than that by this machine's clock, where the log does not do
    /// that by itself. Returns how many went. It cannot be taken back: ask for it only where the clock is known to be right.
    ///
    /// # Errors
    /// As [`EventLog::compact`].
    fn expire(&self) -> Result<u64, LogError> {
        Ok(0)
    }

    /// What the log can look up in the ledger of deliveries; `None`: it keeps no index, or (unless `build`) one that is
    /// behind because a program wrote that does not know it. With `build` it is brought up to date first, once, which
    /// takes about as long as reading the ledger; `build` is asked now and then whether to go on. Whoever gets `None` reads
    /// everything.
    ///
    /// # Errors
    /// `Retry`, `NoSpace`, `Unreachable`, `Damaged`; those of `build`: what was built so far stays.
    fn index(&self, build: Option<GoingOn<'_>>) -> Result<Option<Box<dyn LedgerIndex>>, LogError> {
        let _ = build;
        Ok(None)
    }

    /// The one writer of this name; older ones are fenced (see the contract).
    ///
    /// # Errors
    /// `Unreachable`, `Refused`.
    fn writer(&self, name: &str) -> Result<Box<dyn LogWriter>, LogError>;
}

/// Reads committed records of some partitions.
pub trait LogReader: Send {
    /// Up to `max` records, in offset order within each partition. Waits up to `wait` for the first one
    /// and then takes what is at hand. Empty: the time is over, or control records moved the position.
    ///
    /// # Errors
    /// `OffsetGone` when records were deleted under the reader; `Unreachable` when the log stays away
    /// longer than its own limit. The position is unchanged, and the call may be repeated.
    fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<LogRecord>, LogError>;

    /// The offset of the next record to read, for each partition, in the order given to `reader`.
    fn position(&self) -> Vec<(TopicPartition, u64)>;

    /// Whether every partition was read to its committed end at the time of the call.
    ///
    /// # Errors
    /// `Unreachable`.
    fn caught_up(&mut self) -> Result<bool, LogError>;
}

/// Appends under one name. Dropping it leaves nothing half done.
pub trait LogWriter: Send {
    /// Appends all of `records`, to whatever topics, as one transaction, and returns when it is
    /// acknowledged. An empty slice is fine and does nothing.
    ///
    /// # Errors
    /// `Fenced`: stop. `NoSpace`, `TooLarge`, `MissingTopic`, `Retry`: nothing was written, the writer can
    /// be used again. `Uncertain`: make a new writer and read back progress.
    fn append(&mut self, records: &[NewRecord]) -> Result<(), LogError>;

    /// Whether its appends have put off so much that it is worth a quiet moment; see [`LogWriter::tidy`].
    fn is_untidy(&self) -> bool {
        false
    }

    /// Does what its appends have put off, as a rule in some milliseconds, for which another writer may have to wait: for
    /// a moment in which its holder has nothing to append. Waits for nobody, and one that is fenced writes nothing. Without it
    /// an append does the same when more has come together.
    ///
    /// # Errors
    /// `NoSpace`, `Refused`, `Retry`, `Unreachable`, `Damaged`: it stays undone until more has come together. No record is
    /// touched, and the writer can be used.
    fn tidy(&mut self) -> Result<(), LogError> {
        Ok(())
    }
}
