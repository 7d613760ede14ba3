//! The event log in one SQLite file: one host, several processes, no server.
//!
//! | file | role |
//! |---|---|
//! | `schema` | opening a file, its tables and settings, what topics it holds |
//! | `writer` | one append = one `BEGIN IMMEDIATE` transaction that checks the writer's epoch; what it puts off |
//! | `reader` | a poll = one read transaction over all its partitions |
//! | `waker`  | how a waiting reader learns of a commit, by this process or another |
//! | `retention` | deleting what is too old or superseded |
//! | `index` | what deliveries are found by |
//! | `errors` | SQLite's codes in the words of the contract |
//!
//! # Why an acknowledged record survives a power loss
//! The journal is a write-ahead log with `synchronous=FULL`: SQLite syncs the WAL at the end of every
//! commit and only then does `COMMIT` return. A torn tail of the WAL fails its checksum and is dropped
//! as a whole transaction, so a part of an append is never seen.
//!
//! # Why a fenced writer leaves nothing
//! Each writer name has one row with its newest epoch. [`SqliteLog::writer`] raises it in a transaction
//! of its own; every append reads it *inside* its transaction, and SQLite allows one writing transaction
//! at a time. So an older writer's append was committed before the epoch rose, or it sees the new epoch.

mod errors;
mod index;
mod reader;
mod retention;
mod schema;
mod waker;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tocsin_schemas::index::LedgerIndex;
use tocsin_schemas::log::{
    Bounds, EventLog, GoingOn, LogError, LogReader, LogWriter, TopicChange, TopicPartition, TopicSettings,
};

use self::errors::Place;
use self::waker::Waker;

/// Limits that are not the machine's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteOptions {
    /// The size that the file may grow to, in bytes (rounded down to whole pages). `None`: the disk's.
    /// At the limit, appends fail with [`LogError::NoSpace`]. It is a limit of this process's writers,
    /// not of the file.
    pub max_file_bytes: Option<u64>,
    /// At how many records of a partition of `deliveries` an append takes them into the index, all at once; a writer that has
    /// nothing to append may do so after a quarter as many of its own. By default 512; 1 or 0: each append takes in its own.
    /// All programs on a file go by the same number.
    pub index_lag: u32,
}

impl Default for SqliteOptions {
    fn default() -> SqliteOptions {
        SqliteOptions { max_file_bytes: None, index_lag: index::LAG }
    }
}

/// An event log in one SQLite file. See the module's own page.
pub struct SqliteLog {
    place: Place,
    path: PathBuf,
    options: SqliteOptions,
    waker: Arc<Waker>,
    /// For the calls that are neither a reader nor a writer.
    admin: Mutex<Connection>,
}

impl SqliteLog {
    /// Opens the log in this file, and makes it if there is none. The folder must be there.
    ///
    /// # Errors
    /// `Unreachable`: the folder is missing, the path is a folder, the file system cannot do it.
    /// `Refused`: missing rights. `Damaged`: the file is no database, or not one of Tocsin's logs.
    /// `NoSpace`, `Retry`.
    pub fn open(path: &Path) -> Result<SqliteLog, LogError> {
        SqliteLog::open_with(path, SqliteOptions::default())
    }

    /// As [`SqliteLog::open`], with limits.
    ///
    /// # Errors
    /// Those of [`SqliteLog::open`].
    pub fn open_with(path: &Path, options: SqliteOptions) -> Result<SqliteLog, LogError> {
        let place = Place::new(path);
        schema::make_file(path, &place)?;
        let admin = schema::connect(path, &place, &options)?;
        schema::prepare_file(&admin, &place)?;
        let path = path.canonicalize().map_err(|e| place.unreachable(&e))?;
        let waker = Waker::of(&path, &place, || schema::connect(&path, &place, &options))?;
        Ok(SqliteLog { place, path, options, waker, admin: Mutex::new(admin) })
    }

    /// Moves everything that is committed from the journal into the file itself, so that the file alone is the
    /// whole log until the next append. Waits a moment for readers and writers.
    ///
    /// # Errors
    /// `Retry`: somebody was in the midst of reading or writing; nothing is lost. Those of the disk.
    pub fn checkpoint(&self) -> Result<(), LogError> {
        let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: bool = self
            .admin()
            .query_row(truncate, [], |row| row.get(0))
            .map_err(|e| self.place.error("move the journal into the file", e))?;
        if busy {
            let why = format!("{}: the journal is in use", self.path.display());
            return Err(LogError::Retry { what: "move the journal into the file", why });
        }
        Ok(())
    }

    /// Writes the whole file anew, so that nothing that was deleted from it can be read in it any more, then empties the
    /// journal. Takes as long as copying the file; nobody else can append meanwhile. For whoever has just deleted what
    /// must not be there, such as contacts that were not encrypted.
    ///
    /// # Errors
    /// `Retry`: somebody has the log open: the service is to be stopped first. `NoSpace`: it needs twice the file's
    /// size for a while. Nothing is lost then.
    pub fn scrub(&self) -> Result<(), LogError> {
        let admin = self.admin();
        let work = || {
            admin.pragma_update(None, "secure_delete", "ON")?;
            admin.execute_batch("VACUUM")
        };
        work().map_err(|e| self.place.error("write the file anew", e))?;
        drop(admin);
        self.checkpoint()
    }

    fn admin(&self) -> std::sync::MutexGuard<'_, Connection> {
        // A panic in another thread leaves the connection in order: its transaction was rolled back.
        self.admin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventLog for SqliteLog {
    fn log_id(&self) -> Result<String, LogError> {
        schema::log_id(&self.admin()).map_err(|e| self.place.error("read its id", e))
    }

    fn topics(&self) -> Result<Vec<TopicSettings>, LogError> {
        let topics = schema::topics(&self.admin()).map_err(|e| self.place.error("list its topics", e))?;
        Ok(topics.into_iter().map(|t| t.settings).collect())
    }

    fn ensure(&self, topics: &[TopicSettings], dry_run: bool) -> Result<Vec<TopicChange>, LogError> {
        let admin = self.admin();
        let work = || {
            let tx = self.waker.begin(&admin)?;
            let changes = schema::ensure(&tx, topics, dry_run)?;
            if dry_run {
                tx.rollback()?;
            } else {
                tx.commit()?;
            }
            Ok(changes)
        };
        work().map_err(|e| self.place.error("set up its topics", e))
    }

    fn bounds(&self, topic: &str) -> Result<Vec<Bounds>, LogError> {
        let admin = self.admin();
        let found = schema::topic(&admin, topic).map_err(|e| self.place.error("look up a topic", e))?;
        let Some(found) = found else { return Err(LogError::MissingTopic { topic: topic.to_owned() }) };
        schema::bounds(&admin, &found).map_err(|e| self.place.error("look up its ends", e))
    }

    /// What is acknowledged is committed, and seen.
    fn written(&self, topic: &str) -> Result<Vec<u64>, LogError> {
        Ok(self.bounds(topic)?.iter().map(|bounds| bounds.end).collect())
    }

    fn reader(&self, from: &[(TopicPartition, u64)]) -> Result<Box<dyn LogReader>, LogError> {
        let conn = schema::connect(&self.path, &self.place, &self.options)?;
        let reader = reader::SqliteReader::new(conn, self.place.clone(), Arc::clone(&self.waker), from)?;
        Ok(Box::new(reader))
    }

    /// In short transactions, so that appends wait for none of them long.
    fn compact(&self) -> Result<u64, LogError> {
        // A connection of its own: whoever asks for bounds meanwhile need not wait.
        let conn = schema::connect(&self.path, &self.place, &self.options)?;
        retention::compact(&conn, &self.place, &self.waker)
    }

    /// In short transactions, too.
    fn expire(&self) -> Result<u64, LogError> {
        let conn = schema::connect(&self.path, &self.place, &self.options)?;
        retention::expire(&conn, &self.place, &self.waker, writer::now())
    }

    fn index(&self, build: Option<GoingOn<'_>>) -> Result<Option<Box<dyn LedgerIndex>>, LogError> {
        let conn = schema::connect(&self.path, &self.place, &self.options)?;
        let index =
            index::open_index(conn, self.place.clone(), &self.waker, self.options.index_lag.max(1), build)?;
        Ok(index.map(|index| Box::new(index) as Box<dyn LedgerIndex>))
    }

    fn writer(&self, name: &str) -> Result<Box<dyn LogWriter>, LogError> {
        let conn = schema::connect(&self.path, &self.place, &self.options)?;
        let (place, waker, lag) =
            (self.place.clone(), Arc::clone(&self.waker), self.options.index_lag.max(1));
        let writer = writer::SqliteWriter::new(conn, place, waker, lag, name)?;
        Ok(Box::new(writer))
    }
}
