//! The records that the index has not taken in yet, kept in memory from one look-up to the next: what they are found by, and
//! where they stand.

use std::collections::{BTreeMap, HashSet};

use rusqlite::Connection;
use tocsin_schemas::index::{Ask, mark_of};

use super::super::schema::Partition;
use super::facts::Facts;
use super::{known, newest, upto};

/// The tails of the partitions that were looked at, by their ids.
#[derive(Default)]
pub(super) struct Tail(BTreeMap<i64, Part>);

#[derive(Default)]
struct Part {
    /// Up to where the tables go.
    from: i64,
    /// Up to where this does.
    next: i64,
    /// By key.
    deliveries: BTreeMap<Vec<u8>, Standing>,
}

/// What the records of one delivery say.
#[derive(Default)]
struct Standing {
    /// In the tables, if it is found there.
    number: Option<i64>,
    /// Whether it stands open there.
    was_open: bool,
    /// Whether its last record is not its end.
    is_open: bool,
    offsets: Vec<i64>,
    marks: HashSet<i64>,
    cases: HashSet<String>,
    times: Vec<i64>,
}

/// What is asked for.
struct Wanted<'a> {
    open: bool,
    marks: HashSet<i64>,
    cases: HashSet<&'a str>,
    times: Vec<(i64, i64)>,
}

impl<'a> Wanted<'a> {
    fn new(asks: &[Ask<'a>]) -> Wanted<'a> {
        let cases = asks.iter().filter_map(|ask| if let Ask::Case(case) = ask { Some(*case) } else { None });
        let times = asks.iter().filter_map(|ask| match ask {
            Ask::Written(from, before) => Some((from.0, before.map_or(i64::MAX, |before| before.0))),
            _ => None,
        });
        Wanted {
            open: asks.contains(&Ask::Open),
            marks: asks.iter().filter_map(|ask| Some(mark_of(*ask)?.hash)).collect(),
            cases: cases.collect(),
            times: times.collect(),
        }
    }

    fn finds(&self, of: &Standing) -> bool {
        let within = |at: &i64| self.times.iter().any(|(from, before)| from <= at && at < before);
        (self.open && of.is_open)
            || of.marks.iter().any(|mark| self.marks.contains(mark))
            || of.cases.iter().any(|case| self.cases.contains(&**case))
            || of.times.iter().any(within)
    }
}

impl Tail {
    /// Brings those of these partitions up to date.
    pub(super) fn refresh<'p>(
        &mut self,
        tx: &Connection,
        parts: impl Iterator<Item = &'p Partition>,
    ) -> rusqlite::Result<()> {
        for &Partition { id, next, .. } in parts {
            let part = self.0.entry(id).or_default();
            let from = upto(tx, id)?;
            // Or records were taken out of the file.
            if part.from != from || part.next > i64::try_from(next).unwrap_or(i64::MAX) {
                *part = Part { from, next: from, ..Part::default() };
            }
            part.go_on(tx, id)?;
        }
        Ok(())
    }

    /// Those of these partitions that stand open in the tables and have ended since.
    pub(super) fn ended(&self, parts: impl Iterator<Item = i64>) -> HashSet<i64> {
        let all = parts.filter_map(|id| self.0.get(&id)).flat_map(|part| part.deliveries.values());
        all.filter(|standing| standing.was_open && !standing.is_open).filter_map(|s| s.number).collect()
    }

    /// Brings together what the tables and what the tails answer. `numbers` of the tables become those of all deliveries that
    /// are found, each once, in order; what stands of them here comes back, by partition and offset, those of one delivery in
    /// their order.
    pub(super) fn join(
        &self,
        parts: impl Iterator<Item = i64>,
        asks: &[Ask<'_>],
        numbers: &mut Vec<i64>,
    ) -> Vec<(i64, i64)> {
        let wanted = Wanted::new(asks);
        let parts = parts.filter_map(|id| Some((id, self.0.get(&id)?)));
        let all: Vec<(i64, &Standing)> =
            parts.flat_map(|(id, part)| part.deliveries.values().map(move |one| (id, one))).collect();
        numbers.extend(all.iter().filter(|(_, one)| wanted.finds(one)).filter_map(|(_, one)| one.number));
        numbers.sort_unstable();
        numbers.dedup();
        let found = |one: &Standing| match one.number {
            Some(number) => numbers.binary_search(&number).is_ok(),
            None => wanted.finds(one),
        };
        let found = all.into_iter().filter(|(_, one)| found(one));
        found.flat_map(|(id, one)| one.offsets.iter().map(move |offset| (id, *offset))).collect()
    }
}

impl Part {
    /// Reads what came since.
    fn go_on(&mut self, tx: &Connection, id: i64) -> rusqlite::Result<()> {
        let mut select = tx.prepare_cached(&format!(
            "SELECT offset, key, value FROM p{id} WHERE offset >= ?1 ORDER BY offset"
        ))?;
        let mut rows = select.query([self.next])?;
        let mut last_number = None;
        while let Some(row) = rows.next()? {
            let (offset, key) = (row.get(0)?, row.get_ref(1)?.as_blob()?);
            let facts = Facts::of(key, row.get_ref(2)?.as_blob_or_null()?);
            if !self.deliveries.contains_key(key) {
                let newest = last_number.map_or_else(|| newest(tx), Ok)?;
                last_number = Some(newest);
                let (number, was_open) = known(tx, id, key, newest)?;
                let standing = Standing { number, was_open, ..Standing::default() };
                self.deliveries.insert(key.to_vec(), standing);
            }
            let Some(standing) = self.deliveries.get_mut(key) else { continue };
            standing.offsets.push(offset);
            standing.is_open = facts.open;
            standing.marks.extend(facts.marks.iter().map(|mark| mark.hash));
            if let Some((case, at)) = facts.case_and_time {
                standing.cases.insert(case);
                standing.times.push(at);
            }
            self.next = offset + 1;
        }
        Ok(())
    }
}
