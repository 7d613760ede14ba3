//! Reading: one poll is one read transaction over all partitions of the reader.

use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior};
use tocsin_schemas::log::{LogError, LogReader, LogRecord, Retention, TopicPartition};
use tocsin_schemas::time::Instant;

use super::errors::Place;
use super::schema;
use super::waker::{Waiter, Waker};

/// Room made for the records of a poll before any is read.
const FIRST_ROOM: usize = 1024;

pub(super) struct SqliteReader {
    conn: Connection,
    place: Place,
    waker: Arc<Waker>,
    waiter: Arc<Waiter>,
    parts: Vec<Part>,
    /// The partition that the next poll begins with, so that a busy one does not starve the others.
    turn: usize,
}

struct Part {
    at: TopicPartition,
    /// Names its table.
    id: i64,
    /// Gaps are in order here.
    compacted: bool,
    position: u64,
    /// As of the last look.
    end: u64,
}

impl SqliteReader {
    pub(super) fn new(
        conn: Connection,
        place: Place,
        waker: Arc<Waker>,
        from: &[(TopicPartition, u64)],
    ) -> Result<SqliteReader, LogError> {
        let mut parts = Vec::with_capacity(from.len());
        for (at, position) in from {
            let missing = || LogError::MissingTopic { topic: at.topic.to_string() };
            let error = |e| place.error("look up a topic", e);
            let topic = schema::topic(&conn, &at.topic).map_err(error)?.ok_or_else(missing)?;
            let rows = schema::partitions(&conn, &topic).map_err(error)?;
            let row = rows.get(at.partition as usize).ok_or_else(missing)?;
            let compacted = topic.settings.retention == Retention::Compacted;
            let part = Part { at: at.clone(), id: row.id, compacted, position: *position, end: row.next };
            part.check(row.first, row.next)?;
            parts.push(part);
        }
        let waiter = Waiter::new(parts.iter().map(|part| part.id).collect());
        Ok(SqliteReader { conn, place, waker, waiter, parts, turn: 0 })
    }

    /// What is at hand, up to `max`.
    fn read(&mut self, max: usize) -> Result<Vec<LogRecord>, LogError> {
        let place = &self.place;
        let error = |e| place.error("read records", e);
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Deferred).map_err(error)?;
        look_up_ends(&tx, &mut self.parts, place)?;
        let mut records = Vec::new();
        let count = self.parts.len();
        let mut moved = Vec::new();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let part = &self.parts[index];
            if part.position >= part.end {
                continue;
            }
            let room = max - records.len();
            if room == 0 {
                break;
            }
            if records.is_empty() {
                records.reserve(room.min(FIRST_ROOM));
            }
            let full = part.read(&tx, room, &mut records).map_err(error)?;
            // Without a full batch everything below the end was seen, whatever gaps there are.
            let next = if full { records.last().map_or(part.end, |r| r.offset + 1) } else { part.end };
            moved.push((index, next));
        }
        tx.finish().map_err(error)?;
        for (index, next) in moved {
            self.parts[index].position = next;
            self.turn = (index + 1) % count;
        }
        Ok(records)
    }
}

/// Brings the ends up to date in one scan, and checks that nothing was deleted under the reader.
fn look_up_ends(conn: &Connection, parts: &mut [Part], place: &Place) -> Result<(), LogError> {
    let error = |e| place.error("look up its ends", e);
    let mut statement =
        conn.prepare_cached("SELECT first, next FROM partitions WHERE id = ?1").map_err(error)?;
    for part in parts {
        let (first, next) = statement.query_row([part.id], |r| Ok((r.get(0)?, r.get(1)?))).map_err(error)?;
        part.check(first, next)?;
        part.end = next;
    }
    Ok(())
}

impl Part {
    fn check(&self, first: u64, next: u64) -> Result<(), LogError> {
        if (self.position < first && !self.compacted) || self.position > next {
            return Err(LogError::OffsetGone {
                topic: self.at.topic.to_string(),
                partition: self.at.partition,
                wanted: self.position,
                first,
            });
        }
        Ok(())
    }

    /// Reads up to `room` records; true if there were that many.
    fn read(&self, conn: &Connection, room: usize, into: &mut Vec<LogRecord>) -> rusqlite::Result<bool> {
        let mut statement: CachedStatement<'_> = conn.prepare_cached(&format!(
            "SELECT offset, stamp, key, value FROM p{} WHERE offset >= ?1 ORDER BY offset LIMIT ?2",
            self.id
        ))?;
        let limit = i64::try_from(room).unwrap_or(i64::MAX);
        let mut rows = statement.query((self.position, limit))?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            into.push(LogRecord {
                topic: Arc::clone(&self.at.topic),
                partition: self.at.partition,
                offset: row.get(0)?,
                stamp: Instant(row.get(1)?).held(),
                key: row.get_ref(2)?.as_blob_or_null()?.map(<[u8]>::to_vec),
                value: row.get_ref(3)?.as_blob_or_null()?.map(<[u8]>::to_vec),
            });
            count += 1;
        }
        Ok(count == room)
    }
}

impl LogReader for SqliteReader {
    fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<LogRecord>, LogError> {
        let deadline = Clock::now() + wait;
        if max == 0 {
            return Ok(Vec::new());
        }
        loop {
            let seen = self.waker.generation();
            let records = self.read(max)?;
            // Where nothing was noticed the next poll looks, and not this one once more: reading is what an idle reader costs.
            let done = !records.is_empty() || Clock::now() >= deadline;
            if done || !self.waker.wait(seen, &self.waiter, deadline) {
                return Ok(records);
            }
        }
    }

    fn position(&self) -> Vec<(TopicPartition, u64)> {
        self.parts.iter().map(|p| (p.at.clone(), p.position)).collect()
    }

    fn caught_up(&mut self) -> Result<bool, LogError> {
        // One transaction: the ends of all partitions at one moment.
        let place = &self.place;
        let error = |e| place.error("look up its ends", e);
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Deferred).map_err(error)?;
        look_up_ends(&tx, &mut self.parts, place)?;
        tx.finish().map_err(error)?;
        Ok(self.parts.iter().all(|p| p.position >= p.end))
    }
}
