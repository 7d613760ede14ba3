//! The index of the ledger of deliveries: what it is found by, never far behind the records.
//!
//! | file | role |
//! |---|---|
//! | `facts` | what a record is found by |
//! | `batch` | takes records in |
//! | `tail` | the records that it has not taken in yet |
//!
//! | table | holds |
//! |---|---|
//! | `index_upto` | of each partition of `deliveries`, the offset up to which it is indexed |
//! | `index_places` | where the records of a delivery stand, by its number |
//! | `index_open` | the deliveries whose last record is not their end |
//! | `index_cases`, `index_times` | numbers by case, and by the time of a record |
//! | `index_marks` | numbers by all else ([`marks`](tocsin_schemas::index::marks)), in segments |
//!
//! # Numbers
//! A delivery gets a number with its first record. One that is not found again gets a second one, and is found by both.
//! Hashes lie anywhere in a tree, so each delivery would touch pages all over it. Therefore the tree is parted by number:
//! 65,536 deliveries to a segment, of which the newest fits into memory. Who looks something up asks every segment: 153 for
//! ten million deliveries, in less than a millisecond.
//!
//! # The tail
//! To take a record in touches some ten pages, where the record itself touches one or two: an alert would wait for it. So an
//! append leaves its records to the *tail*. All of a partition's are taken in at once, sorted: by a writer that has nothing
//! to append (`LogWriter::tidy`), at the latest by the append with which the partition has some hundred there ([`LAG`]).
//! Whoever looks something up reads the tails beside the tables: once in a few milliseconds, then only what is new.
//! A tail that is longer was written by a program that knows no index: such a partition is *behind*.
//!
//! # What is not deleted
//! What compaction takes away leaves its place behind, twelve bytes; it is passed over. A mark or a time that is true no
//! more finds a delivery that whoever asked passes over.

mod batch;
mod facts;
mod tail;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, Transaction, TransactionBehavior, params};
use tocsin_schemas::index::{Ask, LedgerIndex, mark_of};
use tocsin_schemas::log::{GoingOn, LogError, LogRecord};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics::DELIVERIES;

use self::batch::Batch;
use self::tail::Tail;
use super::errors::Place;
use super::schema;
use super::waker::Waker;

/// How many records of a partition may be left to the tail: it is taken in before it reaches this length. A few
/// milliseconds for whoever looks something up, and six or more for the append that takes it in, if nobody does before.
pub(super) const LAG: u32 = 512;

/// Deliveries of a segment, as a power of two.
const SEGMENT: u32 = 16;
/// Records taken in by one transaction when it is brought up to date: some hundred milliseconds.
const CHUNK: i64 = 10_000;

/// They stand beside the records of any log; a program that does not know them leaves them alone.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS index_upto (partition INTEGER PRIMARY KEY, upto INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS index_places (
        number INTEGER, partition INTEGER, offset INTEGER, PRIMARY KEY (number, partition, offset)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS index_open (
        partition INTEGER, key BLOB, number INTEGER NOT NULL, PRIMARY KEY (partition, key)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS index_cases (case_no TEXT, number INTEGER, PRIMARY KEY (case_no, number)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS index_times (at INTEGER, number INTEGER, PRIMARY KEY (at, number)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS index_marks (
        segment INTEGER, mark INTEGER, number INTEGER, PRIMARY KEY (segment, mark, number)
    ) WITHOUT ROWID;
";

/// Whether the tables are there.
pub(super) fn is_prepared(conn: &Connection) -> rusqlite::Result<bool> {
    let there = "SELECT count(*) FROM sqlite_schema WHERE name = 'index_marks'";
    Ok(conn.query_row(there, [], |row| row.get::<_, i64>(0))? != 0)
}

/// Makes the tables where they are missing.
pub(super) fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    if !is_prepared(conn)? {
        conn.execute_batch(TABLES)?;
    }
    Ok(())
}

/// Takes in the tail of a partition of `deliveries`, if what was appended to it from this offset on has made it long. One
/// that is behind stays behind.
pub(super) fn extend(
    tx: &Connection,
    partition: i64,
    appended: Range<i64>,
    lag: u32,
) -> rusqlite::Result<()> {
    let indexed = upto(tx, partition)?;
    if indexed > appended.start {
        return forget(tx);
    }
    let behind = appended.start - indexed >= i64::from(lag);
    if behind || appended.end - indexed < i64::from(lag) {
        return Ok(());
    }
    Batch::take_in(tx, partition, indexed, i64::MAX)?;
    move_on(tx, partition, appended.end)
}

/// Takes in the tail of a partition of `deliveries`, however short. One that is behind stays behind.
pub(super) fn take_in_tail(tx: &Connection, partition: i64, lag: u32) -> rusqlite::Result<()> {
    let next: i64 = tx
        .prepare_cached("SELECT next FROM partitions WHERE id = ?1")?
        .query_row([partition], |row| row.get(0))?;
    let indexed = upto(tx, partition)?;
    if !(1..i64::from(lag)).contains(&(next - indexed)) {
        return Ok(());
    }
    Batch::take_in(tx, partition, indexed, i64::MAX)?;
    move_on(tx, partition, next)
}

/// Forgets everything: a partition ends earlier than it was indexed, because its file was put back in parts or records were
/// taken out of it, and what the lost ones said is not so any more. It is built anew by whoever looks something up.
fn forget(tx: &Connection) -> rusqlite::Result<()> {
    tx.execute_batch(
        "DELETE FROM index_upto; DELETE FROM index_places; DELETE FROM index_open; DELETE FROM index_cases; \
         DELETE FROM index_times; DELETE FROM index_marks;",
    )
}

fn upto(conn: &Connection, partition: i64) -> rusqlite::Result<i64> {
    let mut statement = conn.prepare_cached("SELECT upto FROM index_upto WHERE partition = ?1")?;
    Ok(statement.query_row([partition], |row| row.get(0)).optional()?.unwrap_or(0))
}

fn move_on(tx: &Connection, partition: i64, upto: i64) -> rusqlite::Result<()> {
    let set =
        "INSERT INTO index_upto VALUES (?1, ?2) ON CONFLICT (partition) DO UPDATE SET upto = excluded.upto";
    tx.prepare_cached(set)?.execute([partition, upto]).map(drop)
}

/// The number of a delivery, if it is found in the tables, and whether it stands open there.
fn known(tx: &Connection, partition: i64, key: &[u8], newest: i64) -> rusqlite::Result<(Option<i64>, bool)> {
    let open = open_number(tx, partition, key)?;
    let number = if open.is_some() { open } else { recent(tx, key, newest)? };
    Ok((number, open.is_some()))
}

/// The number of an open delivery.
fn open_number(tx: &Connection, partition: i64, key: &[u8]) -> rusqlite::Result<Option<i64>> {
    tx.prepare_cached("SELECT number FROM index_open WHERE partition = ?1 AND key = ?2")?
        .query_row(params![partition, key], |row| row.get(0))
        .optional()
}

/// The number of a delivery that has ended, if it is one of the last.
fn recent(tx: &Connection, key: &[u8], newest: i64) -> rusqlite::Result<Option<i64>> {
    let segment = newest >> SEGMENT;
    let mut find =
        tx.prepare_cached("SELECT max(number) FROM index_marks WHERE segment = ?1 AND mark = ?2")?;
    let id = facts::id(key).map_or(0, |mark| mark.hash);
    for segment in [segment, segment - 1] {
        if let Some(number) = find.query_row([segment, id], |row| row.get(0))? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// The last number that was given.
fn newest(tx: &Connection) -> rusqlite::Result<i64> {
    tx.prepare_cached("SELECT coalesce(max(number), 0) FROM index_places")?.query_row([], |row| row.get(0))
}

/// The partitions of the ledger, by their ids.
fn ledger(conn: &Connection) -> rusqlite::Result<Vec<schema::Partition>> {
    schema::topic(conn, DELIVERIES)?.map_or(Ok(Vec::new()), |topic| schema::partitions(conn, &topic))
}

/// A partition whose tail is not one, if there is any.
fn behind(
    conn: &Connection,
    parts: &[schema::Partition],
    lag: u32,
) -> rusqlite::Result<Option<schema::Partition>> {
    for part in parts {
        let (indexed, next) = (upto(conn, part.id)?, i64::try_from(part.next).unwrap_or(i64::MAX));
        if !(0..i64::from(lag)).contains(&(next - indexed)) {
            return Ok(Some(*part));
        }
    }
    Ok(None)
}

/// One that is up to date; `None`: it is not, and is not to be built.
pub(super) fn open_index(
    conn: Connection,
    place: Place,
    waker: &Arc<Waker>,
    lag: u32,
    build: Option<GoingOn<'_>>,
) -> Result<Option<SqliteIndex>, LogError> {
    let is_behind = || behind(&conn, &ledger(&conn)?, lag);
    let found = is_behind().map_err(|e| place.error("look up the index", e))?;
    if found.is_some() && build.is_none() {
        return Ok(None);
    }
    let (waker, topic) = (Arc::clone(waker), DELIVERIES.into());
    let mut index =
        SqliteIndex { conn, place, waker, lag, build: build.is_some(), topic, tail: Tail::default() };
    index.catch_up(build.unwrap_or(&|| Ok(())))?;
    Ok(Some(index))
}

/// See the module's page.
pub(super) struct SqliteIndex {
    conn: Connection,
    place: Place,
    waker: Arc<Waker>,
    lag: u32,
    /// Whether it is brought up to date when it is behind.
    build: bool,
    topic: Arc<str>,
    tail: Tail,
}

impl SqliteIndex {
    /// Takes in what a program has written that knows no index, in short transactions.
    fn catch_up(&mut self, going_on: GoingOn<'_>) -> Result<(), LogError> {
        let error = |e| self.place.error("bring the index up to date", e);
        let mut taken_in = 0;
        let next = || behind(&self.conn, &ledger(&self.conn)?, self.lag);
        while let Some(part) = next().map_err(error)? {
            going_on()?;
            if taken_in == 0 {
                tracing::info!("the index of deliveries is brought up to date, once");
            }
            taken_in += self.take_in(part).map_err(error)?;
            if taken_in % 1_000_000 < CHUNK {
                tracing::info!(records = taken_in, "the index of deliveries is under way");
            }
        }
        Ok(())
    }

    fn take_in(&self, part: schema::Partition) -> rusqlite::Result<i64> {
        let tx = self.waker.begin(&self.conn)?;
        let next: i64 =
            tx.query_row("SELECT next FROM partitions WHERE id = ?1", [part.id], |row| row.get(0))?;
        if upto(&tx, part.id)? > next {
            forget(&tx)?;
        }
        let (count, reached) = Batch::take_in(&tx, part.id, upto(&tx, part.id)?, CHUNK)?;
        move_on(&tx, part.id, if count < CHUNK { next } else { reached })?;
        tx.commit()?;
        Ok(count)
    }

    fn numbers(
        tx: &Connection,
        ask: Ask<'_>,
        of: Option<i64>,
        numbers: &mut Vec<i64>,
    ) -> rusqlite::Result<()> {
        let mut add = |select: &str, params: &[&dyn ToSql]| {
            let mut select = tx.prepare_cached(select)?;
            let found = select.query_map(params, |row| row.get(0))?;
            found.into_iter().try_for_each(|number| number.map(|number| numbers.push(number)))
        };
        match ask {
            Ask::Open => add("SELECT number FROM index_open WHERE ?1 IS NULL OR partition = ?1", &[&of]),
            Ask::Case(case) => add("SELECT number FROM index_cases WHERE case_no = ?1", &[&case]),
            Ask::Written(from, before) => {
                let before = before.map_or(i64::MAX, |before| before.0);
                add("SELECT number FROM index_times WHERE at >= ?1 AND at < ?2", &[&from.0, &before])
            }
            Ask::Id(_)
            | Ask::Phone(_)
            | Ask::Enterprise(_)
            | Ask::Gateway(_)
            | Ask::Refused
            | Ask::Accepted(_) => {
                let hash = mark_of(ask).map_or(0, |mark| mark.hash);
                (0..=newest(tx)? >> SEGMENT).try_for_each(|segment| {
                    add("SELECT number FROM index_marks WHERE segment = ?1 AND mark = ?2", &[&segment, &hash])
                })
            }
        }
    }

    fn read(
        &self,
        tx: &Connection,
        parts: &BTreeMap<i64, u32>,
        numbers: &[i64],
        each: &mut dyn FnMut(LogRecord) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let error = |e| self.place.error("look up records", e);
        let mut places = tx
            .prepare_cached("SELECT partition, offset FROM index_places WHERE number = ?1")
            .map_err(error)?;
        for number in numbers {
            let stand = places.query_map([number], |row| Ok((row.get(0)?, row.get(1)?)));
            let stand: Vec<(i64, i64)> =
                stand.and_then(|rows| rows.collect::<rusqlite::Result<_>>()).map_err(error)?;
            for (id, offset) in stand {
                let Some(&partition) = parts.get(&id) else { continue };
                if let Some(record) = self.record(tx, id, partition, offset).map_err(error)? {
                    each(record)?;
                }
            }
        }
        Ok(())
    }

    /// The record there, unless compaction took it.
    fn record(
        &self,
        tx: &Connection,
        id: i64,
        partition: u32,
        offset: i64,
    ) -> rusqlite::Result<Option<LogRecord>> {
        tx.prepare_cached(&format!("SELECT offset, stamp, key, value FROM p{id} WHERE offset = ?1"))?
            .query_row([offset], |row| log_record(&self.topic, partition, row))
            .optional()
    }
}

/// Of a row with offset, stamp, key and value.
fn log_record(topic: &Arc<str>, partition: u32, row: &Row<'_>) -> rusqlite::Result<LogRecord> {
    let blob = |value: ValueRef<'_>| -> rusqlite::Result<Option<Vec<u8>>> {
        Ok(value.as_blob_or_null()?.map(<[u8]>::to_vec))
    };
    Ok(LogRecord {
        topic: Arc::clone(topic),
        partition,
        offset: row.get(0)?,
        stamp: Instant(row.get(1)?).held(),
        key: blob(row.get_ref(2)?)?,
        value: blob(row.get_ref(3)?)?,
    })
}

impl LedgerIndex for SqliteIndex {
    fn look_up(
        &mut self,
        asks: &[Ask<'_>],
        partition: Option<u32>,
        each: &mut dyn FnMut(LogRecord) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        if self.build {
            self.catch_up(&|| Ok(()))?;
        }
        let error = |e| self.place.error("look up the index", e);
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Deferred).map_err(error)?;
        let all = ledger(&tx).map_err(error)?;
        if behind(&tx, &all, self.lag).map_err(error)?.is_some() {
            let why = "a program has written that does not know the index: look again".to_owned();
            return Err(LogError::Retry { what: "look up deliveries", why });
        }
        let parts: BTreeMap<i64, u32> = (0..)
            .zip(&all)
            .filter(|(number, _)| partition.is_none_or(|only| only == *number))
            .map(|(number, part)| (part.id, number))
            .collect();
        let of = partition.and_then(|_| parts.keys().next().copied());
        self.tail.refresh(&tx, all.iter().filter(|part| parts.contains_key(&part.id))).map_err(error)?;
        let mut numbers = Vec::new();
        for ask in asks {
            let mut found = Vec::new();
            SqliteIndex::numbers(&tx, *ask, of, &mut found).map_err(error)?;
            if *ask == Ask::Open {
                let ended = self.tail.ended(parts.keys().copied());
                found.retain(|number| !ended.contains(number));
            }
            numbers.append(&mut found);
        }
        let left = self.tail.join(parts.keys().copied(), asks, &mut numbers);
        self.read(&tx, &parts, &numbers, each)?;
        for (id, offset) in left {
            let Some(&partition) = parts.get(&id) else { continue };
            if let Some(record) = self.record(&tx, id, partition, offset).map_err(error)? {
                each(record)?;
            }
        }
        tx.finish().map_err(error)
    }
}
