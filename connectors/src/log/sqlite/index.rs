//! The index of the ledger of deliveries: what it is found by, written in the transaction of the append.
//!
//! | table | holds |
//! |---|---|
//! | `index_upto` | of each partition of `deliveries`, the offset up to which it is indexed: its end, unless a program wrote that knows no index |
//! | `index_places` | where the records of a delivery stand, by its number |
//! | `index_open` | the deliveries whose last record is not their end |
//! | `index_cases`, `index_times` | numbers by case, and by the time of a record |
//! | `index_marks` | numbers by all else ([`marks`]), in segments |
//!
//! # Numbers
//! A delivery gets a number with its first record. One that is not found again gets a second one, and is found by both.
//! Hashes lie anywhere in a tree, so each append would touch pages all over it. Therefore the tree is parted by number:
//! 65,536 deliveries to a segment, of which the newest fits into memory. Who looks something up asks every segment: 153 for
//! ten million deliveries, in less than a millisecond.
//!
//! # What is not deleted
//! What compaction takes away leaves its place behind, twelve bytes; it is passed over. A mark or a time that is true no
//! more finds a delivery that whoever asked passes over.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, ToSql, Transaction, TransactionBehavior, params};
use tocsin_schemas::index::{Ask, LedgerIndex, mark_of, marks, open};
use tocsin_schemas::log::{GoingOn, LogError, LogRecord};
use tocsin_schemas::records::Delivery;
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics::DELIVERIES;
use tocsin_schemas::wire;

use super::errors::Place;
use super::schema;
use super::waker::Waker;

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

/// Makes the tables where they are missing.
pub(super) fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    let there = "SELECT count(*) FROM sqlite_schema WHERE name = 'index_marks'";
    if conn.query_row(there, [], |row| row.get::<_, i64>(0))? == 0 {
        conn.execute_batch(TABLES)?;
    }
    Ok(())
}

/// A record that is appended.
pub(super) struct Appended<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
}

/// Takes in what is appended to a partition of `deliveries` from this offset on. One that is behind stays behind.
pub(super) fn extend<'a>(
    tx: &Connection,
    partition: i64,
    from: i64,
    records: impl Iterator<Item = Appended<'a>>,
) -> rusqlite::Result<()> {
    let indexed = upto(tx, partition)?;
    if indexed > from {
        return forget(tx);
    }
    if indexed < from {
        return Ok(());
    }
    let mut offset = from;
    for record in records {
        enter(tx, partition, offset, &record)?;
        offset += 1;
    }
    move_on(tx, partition, offset)
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

fn enter(tx: &Connection, partition: i64, offset: i64, record: &Appended<'_>) -> rusqlite::Result<()> {
    // One that cannot be read stays open: whoever starts meets it, and says so.
    let delivery: Option<Delivery> = record.value.and_then(|value| wire::decode(value).ok());
    let is_open = record.value.is_some() && delivery.as_ref().is_none_or(|delivery| open(delivery.state));
    let known: Option<i64> = tx
        .prepare_cached("SELECT number FROM index_open WHERE partition = ?1 AND key = ?2")?
        .query_row(params![partition, record.key], |row| row.get(0))
        .optional()?;
    let newest: i64 = tx
        .prepare_cached("SELECT coalesce(max(number), 0) FROM index_places")?
        .query_row([], |row| row.get(0))?;
    let number = match known {
        Some(number) => number,
        None => recent(tx, record.key, newest)?.unwrap_or(newest + 1),
    };
    tx.prepare_cached("INSERT INTO index_places VALUES (?1, ?2, ?3)")?
        .execute([number, partition, offset])?;
    match (known, is_open) {
        (None, true) => {
            let insert = "INSERT INTO index_open VALUES (?1, ?2, ?3)";
            tx.prepare_cached(insert)?.execute(params![partition, record.key, number])?;
        }
        (Some(_), false) => {
            let delete = "DELETE FROM index_open WHERE partition = ?1 AND key = ?2";
            tx.prepare_cached(delete)?.execute(params![partition, record.key])?;
        }
        (None, false) | (Some(_), true) => {}
    }
    let Some(delivery) = delivery else { return mark(tx, number, &[id(record.key)]) };
    let hashes: Vec<i64> = marks(&delivery)
        .into_iter()
        .filter_map(|mark| match mark.one_is_enough {
            true => one_there(tx, number >> SEGMENT, mark.hash)
                .map(|there| (!there).then_some(mark.hash))
                .transpose(),
            false => Some(Ok(mark.hash)),
        })
        .collect::<rusqlite::Result<_>>()?;
    mark(tx, number, &hashes)?;
    tx.prepare_cached("INSERT OR IGNORE INTO index_cases VALUES (?1, ?2)")?
        .execute(params![delivery.case_no, number])?;
    tx.prepare_cached("INSERT OR IGNORE INTO index_times VALUES (?1, ?2)")?
        .execute([delivery.at.0, number])?;
    Ok(())
}

/// The mark of a record's key, which is the delivery's id.
fn id(key: &[u8]) -> i64 {
    mark_of(Ask::Id(&String::from_utf8_lossy(key))).map_or(0, |mark| mark.hash)
}

fn mark(tx: &Connection, number: i64, hashes: &[i64]) -> rusqlite::Result<()> {
    let mut insert = tx.prepare_cached("INSERT OR IGNORE INTO index_marks VALUES (?1, ?2, ?3)")?;
    hashes.iter().try_for_each(|hash| insert.execute([number >> SEGMENT, *hash, number]).map(drop))
}

fn one_there(tx: &Connection, segment: i64, hash: i64) -> rusqlite::Result<bool> {
    let one = "SELECT EXISTS (SELECT 1 FROM index_marks WHERE segment = ?1 AND mark = ?2)";
    tx.prepare_cached(one)?.query_row([segment, hash], |row| row.get(0))
}

/// The number of a delivery that has ended, if it is one of the last.
fn recent(tx: &Connection, key: &[u8], newest: i64) -> rusqlite::Result<Option<i64>> {
    let segment = newest >> SEGMENT;
    let mut find =
        tx.prepare_cached("SELECT max(number) FROM index_marks WHERE segment = ?1 AND mark = ?2")?;
    for segment in [segment, segment - 1] {
        if let Some(number) = find.query_row([segment, id(key)], |row| row.get(0))? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// The partitions of the ledger, by their ids.
fn ledger(conn: &Connection) -> rusqlite::Result<Vec<schema::Partition>> {
    schema::topic(conn, DELIVERIES)?.map_or(Ok(Vec::new()), |topic| schema::partitions(conn, &topic))
}

fn behind(conn: &Connection, parts: &[schema::Partition]) -> rusqlite::Result<Option<schema::Partition>> {
    for part in parts {
        if upto(conn, part.id)? != i64::try_from(part.next).unwrap_or(i64::MAX) {
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
    build: Option<GoingOn<'_>>,
) -> Result<Option<SqliteIndex>, LogError> {
    let is_behind = || behind(&conn, &ledger(&conn)?);
    let found = is_behind().map_err(|e| place.error("look up the index", e))?;
    if found.is_some() && build.is_none() {
        return Ok(None);
    }
    let (waker, topic) = (Arc::clone(waker), DELIVERIES.into());
    let mut index = SqliteIndex { conn, place, waker, build: build.is_some(), topic };
    index.catch_up(build.unwrap_or(&|| Ok(())))?;
    Ok(Some(index))
}

/// See the module's page.
pub(super) struct SqliteIndex {
    conn: Connection,
    place: Place,
    waker: Arc<Waker>,
    /// Whether it is brought up to date when it is behind.
    build: bool,
    topic: Arc<str>,
}

impl SqliteIndex {
    /// Takes in what a program has written that knows no index, in short transactions.
    fn catch_up(&mut self, going_on: GoingOn<'_>) -> Result<(), LogError> {
        let error = |e| self.place.error("bring the index up to date", e);
        let mut taken_in = 0;
        while let Some(part) = behind(&self.conn, &ledger(&self.conn).map_err(error)?).map_err(error)? {
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
        let from = upto(&tx, part.id)?;
        let mut select = tx.prepare_cached(&format!(
            "SELECT offset, key, value FROM p{} WHERE offset >= ?1 ORDER BY offset LIMIT ?2",
            part.id
        ))?;
        let mut rows = select.query([from, CHUNK])?;
        let (mut count, mut reached) = (0, from);
        while let Some(row) = rows.next()? {
            let offset: i64 = row.get(0)?;
            let appended =
                Appended { key: row.get_ref(1)?.as_blob()?, value: row.get_ref(2)?.as_blob_or_null()? };
            enter(&tx, part.id, offset, &appended)?;
            (count, reached) = (count + 1, offset + 1);
        }
        drop(rows);
        drop(select);
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
                let newest: i64 = tx
                    .prepare_cached("SELECT coalesce(max(number), 0) FROM index_places")?
                    .query_row([], |row| row.get(0))?;
                (0..=newest >> SEGMENT).try_for_each(|segment| {
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
        let mut select =
            tx.prepare_cached(&format!("SELECT stamp, key, value, offset FROM p{id} WHERE offset = ?1"))?;
        let blob = |value: ValueRef<'_>| -> rusqlite::Result<Option<Vec<u8>>> {
            Ok(value.as_blob_or_null()?.map(<[u8]>::to_vec))
        };
        select
            .query_row([offset], |row| {
                Ok(LogRecord {
                    topic: Arc::clone(&self.topic),
                    partition,
                    offset: row.get(3)?,
                    stamp: Instant(row.get(0)?).held(),
                    key: blob(row.get_ref(1)?)?,
                    value: blob(row.get_ref(2)?)?,
                })
            })
            .optional()
    }
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
        if behind(&tx, &all).map_err(error)?.is_some() {
            let why = "a program has written that does not know the index: look again".to_owned();
            return Err(LogError::Retry { what: "look up deliveries", why });
        }
        let parts: BTreeMap<i64, u32> = (0..)
            .zip(&all)
            .filter(|(number, _)| partition.is_none_or(|only| only == *number))
            .map(|(number, part)| (part.id, number))
            .collect();
        let of = partition.and_then(|_| parts.keys().next().copied());
        let mut numbers = Vec::new();
        for ask in asks {
            SqliteIndex::numbers(&tx, *ask, of, &mut numbers).map_err(error)?;
        }
        numbers.sort_unstable();
        numbers.dedup();
        self.read(&tx, &parts, &numbers, each)?;
        tx.finish().map_err(error)
    }
}
