//! Deleting what a topic need not keep: records past their days, and superseded ones of compacted topics.
//!
//! Both are only done when asked for. `tocsin run` asks for compaction at its start and at midnights, for the other at
//! midnights alone, and only where its clock is credible: what a machine a year ahead deleted would be gone for good. Freed
//! pages are used again by later appends.

use rusqlite::{Connection, OptionalExtension as _};
use tocsin_schemas::log::{LogError, Retention};
use tocsin_schemas::time::Instant;

use super::errors::Place;
use super::schema;
use super::waker::Waker;

const DAY_MILLIS: i64 = 86_400_000;
/// The most that one transaction deletes of what is past its days: some ten milliseconds.
const EXPIRE_RECORDS: i64 = 20_000;
/// The most that one transaction of a compaction deletes: some milliseconds.
const COMPACT_RECORDS: usize = 2_000;

/// Deletes, from the front of each partition kept by days, what is older than that. Returns the count.
pub(super) fn expire(conn: &Connection, place: &Place, waker: &Waker, now: Instant) -> Result<u64, LogError> {
    let work = || -> rusqlite::Result<u64> {
        let mut dropped = 0;
        for topic in schema::topics(conn)? {
            let Retention::Days(days) = topic.settings.retention else { continue };
            let cutoff = now.plus_millis(-i64::from(days) * DAY_MILLIS).0;
            for partition in schema::partitions(conn, &topic)? {
                dropped += drop_old(conn, waker, partition.id, cutoff)?;
            }
        }
        Ok(dropped)
    };
    work().map_err(|e| place.error("delete what is past its days", e))
}

fn drop_old(conn: &Connection, waker: &Waker, id: i64, cutoff: i64) -> rusqlite::Result<u64> {
    let mut dropped = 0;
    loop {
        let oldest: Option<i64> = conn
            .prepare_cached(&format!("SELECT stamp FROM p{id} ORDER BY offset LIMIT 1"))?
            .query_row([], |r| r.get(0))
            .optional()?;
        if oldest.is_none_or(|stamp| stamp >= cutoff) {
            return Ok(dropped);
        }
        let tx = waker.begin(conn)?;
        // The first one to stay, at most so far in.
        let first: i64 = tx.query_row(
            &format!(
                "SELECT coalesce(min(offset), (SELECT next FROM partitions WHERE id = ?1)) FROM p{id}
                 WHERE stamp >= ?2 OR offset >= (SELECT first FROM partitions WHERE id = ?1) + ?3"
            ),
            (id, cutoff, EXPIRE_RECORDS),
            |r| r.get(0),
        )?;
        dropped += tx.execute(&format!("DELETE FROM p{id} WHERE offset < ?1"), [first])? as u64;
        tx.execute("UPDATE partitions SET first = ?2 WHERE id = ?1", (id, first))?;
        tx.commit()?;
    }
}

pub(super) fn compact(conn: &Connection, place: &Place, waker: &Waker) -> Result<u64, LogError> {
    let work = || -> rusqlite::Result<u64> {
        let mut dropped = 0;
        for topic in schema::topics(conn)? {
            if topic.settings.retention != Retention::Compacted {
                continue;
            }
            for partition in schema::partitions(conn, &topic)? {
                dropped += compact_one(conn, waker, partition.id)?;
            }
        }
        Ok(dropped)
    };
    work().map_err(|e| place.error("compact a topic", e))
}

/// What is superseded once stays so. So it is looked up without holding anybody up, and then deleted in
/// short transactions.
fn compact_one(conn: &Connection, waker: &Waker, id: i64) -> rusqlite::Result<u64> {
    let superseded: Vec<i64> = conn
        .prepare_cached(&format!(
            "SELECT offset FROM p{id} WHERE offset NOT IN (SELECT max(offset) FROM p{id} GROUP BY key) ORDER BY offset"
        ))?
        .query_map([], |r| r.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut dropped = 0;
    for some in superseded.chunks(COMPACT_RECORDS) {
        let tx = waker.begin(conn)?;
        let mut delete = tx.prepare_cached(&format!("DELETE FROM p{id} WHERE offset = ?1"))?;
        for offset in some {
            dropped += delete.execute([offset])? as u64;
        }
        drop(delete);
        tx.execute(
            &format!(
                "UPDATE partitions SET first = coalesce((SELECT min(offset) FROM p{id}), next) WHERE id = ?1"
            ),
            [id],
        )?;
        tx.commit()?;
    }
    Ok(dropped)
}
