//! Takes records in, many at once: what they add to a tree is written in its order, so that each page is touched once.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::facts::Facts;
use super::{SEGMENT, known, newest};

/// Records of one partition that are being taken in.
pub(super) struct Batch<'t> {
    tx: &'t Connection,
    partition: i64,
    /// The last number that was given.
    newest: i64,
    deliveries: BTreeMap<Vec<u8>, Standing>,
    places: Vec<(i64, i64)>,
    marks: BTreeSet<(i64, i64, i64)>,
    cases: BTreeSet<(String, i64)>,
    times: BTreeSet<(i64, i64)>,
}

/// A delivery of which a record was met.
struct Standing {
    number: i64,
    was_open: bool,
    is_open: bool,
}

impl<'t> Batch<'t> {
    /// Takes in this many records of a partition, from this offset on. Says how many there were, and where they end.
    pub(super) fn take_in(
        tx: &'t Connection,
        partition: i64,
        from: i64,
        many: i64,
    ) -> rusqlite::Result<(i64, i64)> {
        let mut batch = Batch {
            tx,
            partition,
            newest: newest(tx)?,
            deliveries: BTreeMap::new(),
            places: Vec::new(),
            marks: BTreeSet::new(),
            cases: BTreeSet::new(),
            times: BTreeSet::new(),
        };
        let mut select = tx.prepare_cached(&format!(
            "SELECT offset, key, value FROM p{partition} WHERE offset >= ?1 ORDER BY offset LIMIT ?2"
        ))?;
        let mut rows = select.query([from, many])?;
        let (mut count, mut reached) = (0, from);
        while let Some(row) = rows.next()? {
            let offset = row.get(0)?;
            batch.enter(offset, row.get_ref(1)?.as_blob()?, row.get_ref(2)?.as_blob_or_null()?)?;
            (count, reached) = (count + 1, offset + 1);
        }
        batch.finish()?;
        Ok((count, reached))
    }

    fn enter(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) -> rusqlite::Result<()> {
        let facts = Facts::of(key, value);
        let number = self.number(key, facts.open)?;
        self.places.push((number, offset));
        let segment = number >> SEGMENT;
        for mark in facts.marks {
            if !mark.one_is_enough || !self.one_there(segment, mark.hash)? {
                self.marks.insert((segment, mark.hash, number));
            }
        }
        if let Some((case, at)) = facts.case_and_time {
            self.cases.insert((case, number));
            self.times.insert((at, number));
        }
        Ok(())
    }

    fn number(&mut self, key: &[u8], is_open: bool) -> rusqlite::Result<i64> {
        if let Some(known) = self.deliveries.get_mut(key) {
            known.is_open = is_open;
            return Ok(known.number);
        }
        let (number, was_open) = known(self.tx, self.partition, key, self.newest)?;
        let number = number.unwrap_or_else(|| {
            self.newest += 1;
            self.newest
        });
        self.deliveries.insert(key.to_vec(), Standing { number, was_open, is_open });
        Ok(number)
    }

    fn one_there(&self, segment: i64, hash: i64) -> rusqlite::Result<bool> {
        let any = (segment, hash, i64::MIN)..=(segment, hash, i64::MAX);
        if self.marks.range(any).next().is_some() {
            return Ok(true);
        }
        let one = "SELECT EXISTS (SELECT 1 FROM index_marks WHERE segment = ?1 AND mark = ?2)";
        self.tx.prepare_cached(one)?.query_row([segment, hash], |row| row.get(0))
    }

    fn finish(mut self) -> rusqlite::Result<()> {
        let prepared = |insert: &str| self.tx.prepare_cached(insert);
        self.places.sort_unstable();
        let mut insert = prepared("INSERT INTO index_places VALUES (?1, ?2, ?3)")?;
        for (number, offset) in &self.places {
            insert.execute([*number, self.partition, *offset])?;
        }
        let mut opened = prepared("INSERT INTO index_open VALUES (?1, ?2, ?3)")?;
        let mut ended = prepared("DELETE FROM index_open WHERE partition = ?1 AND key = ?2")?;
        for (key, standing) in &self.deliveries {
            match (standing.was_open, standing.is_open) {
                (false, true) => drop(opened.execute(params![self.partition, key, standing.number])?),
                (true, false) => drop(ended.execute(params![self.partition, key])?),
                (false, false) | (true, true) => {}
            }
        }
        let mut insert = prepared("INSERT OR IGNORE INTO index_marks VALUES (?1, ?2, ?3)")?;
        for (segment, hash, number) in &self.marks {
            insert.execute([*segment, *hash, *number])?;
        }
        let mut insert = prepared("INSERT OR IGNORE INTO index_cases VALUES (?1, ?2)")?;
        for (case, number) in &self.cases {
            insert.execute(params![case, number])?;
        }
        let mut insert = prepared("INSERT OR IGNORE INTO index_times VALUES (?1, ?2)")?;
        for (at, number) in &self.times {
            insert.execute([*at, *number])?;
        }
        Ok(())
    }
}
