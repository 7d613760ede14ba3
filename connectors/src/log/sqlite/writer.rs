//! Writing: one append is one transaction that holds the file's write lock, checks that this writer is
//! still the newest of its name, and gives out the offsets. What need not be done in it waits for a quiet moment ([`PutOff`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, params};
use tocsin_schemas::log::{LogError, LogWriter, NewRecord, Retention};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics::DELIVERIES;

use super::errors::Place;
use super::waker::Waker;
use super::{index, schema};
use tocsin_schemas::partition::partition_of;

pub(super) struct SqliteWriter {
    conn: Connection,
    place: Place,
    waker: Arc<Waker>,
    /// See [`index::LAG`].
    lag: u32,
    name: String,
    epoch: i64,
    /// Topics seen so far. A topic's partitions never change; its limits are read anew by a new writer.
    topics: HashMap<Arc<str>, Topic>,
    /// The outcome of an append is not known: only a new writer can tell.
    uncertain: Option<String>,
    put_off: PutOff,
}

/// What this writer's appends have left for a quiet moment, since the last one (what it costs: docs/delivery.md). Others
/// may have done it meanwhile; then there is nothing to do.
#[derive(Default)]
struct PutOff {
    /// Records of `deliveries`.
    records: u32,
    /// The partitions of `deliveries` with a tail of its making.
    partitions: BTreeSet<i64>,
    /// Appends to any topic.
    appends: u32,
}

/// After so many appends the journal is moved into the file. SQLite itself does so in the append, of whomever, that fills
/// 2,000 pages of it.
const WORTH_MOVING: u32 = 64;

impl PutOff {
    fn add(&mut self, sorted: &ByPartition<'_>) {
        self.appends = self.appends.saturating_add(1);
        for (partition, records) in sorted {
            if in_ledger(records) {
                self.records = self.records.saturating_add(records.len() as u32);
                self.partitions.insert(*partition);
            }
        }
    }
}

fn in_ledger(records: &[(Instant, &NewRecord)]) -> bool {
    records.first().is_some_and(|(_, record)| *record.topic == *DELIVERIES)
}

struct Topic {
    limit: usize,
    /// Kept by days: the age counts from the append, whatever stamp the writer gives.
    by_days: bool,
    /// The ids of its partitions, in order.
    partitions: Vec<i64>,
}

/// Records by partition id, each with its stamp; in the order given within a partition.
type ByPartition<'a> = BTreeMap<i64, Vec<(Instant, &'a NewRecord)>>;

impl SqliteWriter {
    pub(super) fn new(
        conn: Connection,
        place: Place,
        waker: Arc<Waker>,
        lag: u32,
        name: &str,
    ) -> Result<SqliteWriter, LogError> {
        let epoch = raise_epoch(&conn, &waker, name).map_err(|e| place.error("register a writer", e))?;
        let name = name.to_owned();
        let (topics, put_off) = (HashMap::new(), PutOff::default());
        Ok(SqliteWriter { conn, place, waker, lag, name, epoch, topics, uncertain: None, put_off })
    }

    fn look_up(&mut self, name: &Arc<str>) -> Result<(), LogError> {
        if self.topics.contains_key(name) {
            return Ok(());
        }
        let error = |e| self.place.error("look up a topic", e);
        let found = schema::topic(&self.conn, name).map_err(error)?;
        let found = found.ok_or_else(|| LogError::MissingTopic { topic: name.to_string() })?;
        let partitions = schema::partitions(&self.conn, &found).map_err(error)?;
        let topic = Topic {
            limit: found.settings.max_record_bytes,
            by_days: matches!(found.settings.retention, Retention::Days(_)),
            partitions: partitions.iter().map(|p| p.id).collect(),
        };
        self.topics.insert(Arc::clone(name), topic);
        Ok(())
    }

    /// Finds each record's partition and stamp, and checks it.
    fn sort_out<'a>(&mut self, records: &'a [NewRecord], now: Instant) -> Result<ByPartition<'a>, LogError> {
        let mut sorted = ByPartition::new();
        for record in records {
            self.look_up(&record.topic)?;
            let topic = &self.topics[&record.topic];
            let bytes = record.key.len() + record.value.as_ref().map_or(0, Vec::len);
            if bytes > topic.limit {
                let limit = topic.limit;
                return Err(LogError::TooLarge { topic: record.topic.to_string(), bytes, limit });
            }
            let stamp = record.stamp.filter(|_| !topic.by_days).unwrap_or(now);
            let number = partition_of(record.routed_by(), topic.partitions.len() as u32);
            sorted.entry(topic.partitions[number as usize]).or_default().push((stamp, record));
        }
        Ok(sorted)
    }
}

/// The machine's clock, which gives the stamps.
pub(super) fn now() -> Instant {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn raise_epoch(conn: &Connection, waker: &Waker, name: &str) -> rusqlite::Result<i64> {
    let tx = waker.begin(conn)?;
    let epoch = tx.query_row(
        "INSERT INTO writers VALUES (?1, 1) ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
        [name],
        |r| r.get(0),
    )?;
    tx.commit()?;
    Ok(epoch)
}

fn insert(tx: &Transaction<'_>, sorted: &ByPartition<'_>, lag: u32) -> rusqlite::Result<()> {
    for (partition, records) in sorted {
        let mut next: i64 = tx
            .prepare_cached("SELECT next FROM partitions WHERE id = ?1")?
            .query_row([partition], |r| r.get(0))?;
        let mut statement =
            tx.prepare_cached(&format!("INSERT INTO p{partition} VALUES (?1, ?2, ?3, ?4)"))?;
        let from = next;
        for (stamp, record) in records {
            statement.execute(params![next, stamp.0, record.key, record.value])?;
            next += 1;
        }
        if in_ledger(records) {
            index::extend(tx, *partition, from..next, lag)?;
        }
        tx.prepare_cached("UPDATE partitions SET next = ?2 WHERE id = ?1")?.execute([*partition, next])?;
    }
    Ok(())
}

impl LogWriter for SqliteWriter {
    fn append(&mut self, records: &[NewRecord]) -> Result<(), LogError> {
        if let Some(why) = &self.uncertain {
            return Err(LogError::Uncertain { why: why.clone() });
        }
        if records.is_empty() {
            return Ok(());
        }
        let sorted = self.sort_out(records, now())?;
        let place = &self.place;
        let error = |e| place.error("append", e);
        let tx = self.waker.begin(&self.conn).map_err(error)?;
        if !self.is_newest(&tx).map_err(error)? {
            return Err(LogError::Fenced { writer: self.name.clone() });
        }
        insert(&tx, &sorted, self.lag).map_err(error)?;
        if let Err(e) = tx.commit() {
            let error = self.place.commit_error(e);
            if let LogError::Uncertain { why } = &error {
                self.uncertain = Some(why.clone());
            }
            return Err(error);
        }
        self.waker.committed(sorted.keys().copied());
        self.put_off.add(&sorted);
        Ok(())
    }

    fn is_untidy(&self) -> bool {
        self.uncertain.is_none() && (self.has_a_tail() || self.put_off.appends >= WORTH_MOVING)
    }

    fn tidy(&mut self) -> Result<(), LogError> {
        if self.uncertain.is_some() {
            return Ok(());
        }
        // Done, failed, or somebody else was in: it is tried again when as much more has come together.
        let (mut indexed, mut moved) = (Ok(()), Ok(()));
        if self.has_a_tail() {
            let taken_in = self.index();
            indexed = taken_in.map_err(|e| self.place.error("take deliveries into the index", e));
            self.put_off.records = 0;
        }
        if self.put_off.appends >= WORTH_MOVING {
            // Nobody is waited for: what was written since somebody began to read who still reads stays in the journal.
            let passive = self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            moved = passive.map_err(|e| self.place.error("move the journal into the file", e));
            self.put_off.appends = 0;
        }
        indexed.and(moved)
    }
}

impl SqliteWriter {
    /// Whether so many of its records may lie in tails that taking them in is worth a transaction: a quarter of what makes an
    /// append do it.
    fn has_a_tail(&self) -> bool {
        self.lag > 1 && self.put_off.records >= (self.lag / 4).max(1)
    }

    /// Takes in the tails of the partitions of `deliveries` that it has written to, if it is still the newest of its name
    /// and nobody else is in. Nobody is waited for.
    fn index(&mut self) -> rusqlite::Result<()> {
        self.conn.busy_timeout(Duration::ZERO)?;
        let indexed = self.take_in_tails();
        self.conn.busy_handler(Some(schema::wait_for_others))?;
        match indexed {
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
            indexed => indexed,
        }
    }

    fn take_in_tails(&mut self) -> rusqlite::Result<()> {
        let Some(tx) = self.waker.try_begin(&self.conn)? else { return Ok(()) };
        if self.is_newest(&tx)? {
            for partition in &self.put_off.partitions {
                index::take_in_tail(&tx, *partition, self.lag)?;
            }
        }
        tx.commit()?;
        self.put_off.partitions.clear();
        Ok(())
    }

    /// Whether no other writer of its name came after it, as of this transaction.
    fn is_newest(&self, tx: &Transaction<'_>) -> rusqlite::Result<bool> {
        let mut select = tx.prepare_cached("SELECT epoch FROM writers WHERE name = ?1")?;
        let newest: Option<i64> = select.query_row([&self.name], |r| r.get(0)).optional()?;
        Ok(newest == Some(self.epoch))
    }
}
