//! Bringing back what has ended when it comes up again, where the log has an index.
//!
//! A ledger of years is read through by nobody then: a role starts with what is open and what is recent, and looks up a
//! case before it takes in anything of it. What it knows of a case is therefore all that the log holds of it, or nothing
//! at all; never a part, from which another history would follow. A log without an index is read whole.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tocsin_schemas::index::{Ask, LedgerIndex};
use tocsin_schemas::log::{EventLog, LogError, LogRecord};
use tocsin_schemas::records::Delivery;
use tocsin_schemas::time::Instant;

use super::WorkerError;
use super::commit::passing;
use super::reading::Reading;
use super::tail::WAIT;
use crate::codec;
use crate::decide::Why;
use crate::ledger::{reason_class, stands_for};

/// What lies no longer back than this is read at a start, in milliseconds: a day more than receipts and answers are
/// believed and the windows of quotas go back.
const RECENT_MS: i64 = 96 * 3_600_000;
/// Cases looked up in one transaction.
const CHUNK: usize = 500;

/// From when on deliveries are read at a start.
pub(crate) fn recent(now: Instant, earliest: Option<Instant>) -> Instant {
    earliest.map_or(now, |earliest| earliest.min(now)).plus_millis(-RECENT_MS)
}

/// The cases that a role knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(Arc<Mutex<HashSet<String>>>);

impl Known {
    fn cases(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was looked up of some cases, for the role to take in before all else.
#[derive(Debug, Default)]
pub(crate) struct Recalled {
    cases: Vec<String>,
    /// In the order of each partition.
    deliveries: Vec<Delivery>,
}

impl Recalled {
    /// What is new to the role, which knows it from now on.
    pub fn taken_in(self, known: &Known) -> Vec<Delivery> {
        let mut cases = known.cases();
        let new: HashSet<String> =
            self.cases.iter().filter(|case| cases.insert((*case).clone())).cloned().collect();
        let asked_for: HashSet<&String> = self.cases.iter().collect();
        // What stands for one of them may be of no case of theirs.
        let is_new = |d: &Delivery| new.contains(&d.case_no) || !asked_for.contains(&d.case_no);
        self.deliveries.into_iter().filter(is_new).collect()
    }
}

/// Looks up what a role does not know.
pub(crate) struct Recall {
    index: Box<dyn LedgerIndex>,
    /// The one whose deliveries count, if it is one.
    partition: Option<u32>,
    known: Known,
    /// The alerts that are not over: what has come of their digests is to be known, too.
    promised: Arc<HashSet<String>>,
}

impl Recall {
    /// `None`: the log has no index. Blocks, and once in the life of a log for as long as reading it takes.
    ///
    /// # Errors
    /// Those of the log.
    pub fn open(
        log: &dyn EventLog,
        partition: Option<u32>,
        known: &Known,
        promised: &Arc<HashSet<String>>,
        reading: &Reading,
    ) -> Result<Option<Recall>, WorkerError> {
        let with = |index| Recall { index, partition, known: known.clone(), promised: Arc::clone(promised) };
        Ok(log.index(Some(&|| reading.going_on()))?.map(with))
    }

    /// The deliveries that one of these is about, as far as they stand before these offsets, in the order of each
    /// partition.
    ///
    /// # Errors
    /// Those of the log; `Damaged` for one that cannot be read.
    pub fn records(&mut self, asks: &[Ask<'_>], before: &[u64]) -> Result<Vec<Delivery>, WorkerError> {
        let mut found: Vec<LogRecord> = Vec::new();
        let there = |r: &LogRecord| before.get(r.partition as usize).is_none_or(|before| r.offset < *before);
        self.index.look_up(asks, self.partition, &mut |record| {
            found.extend(Some(record).filter(there));
            Ok(())
        })?;
        found.sort_by_key(|record| (record.partition, record.offset));
        let decoded = found.iter().filter_map(|record| {
            let value = record.value.as_ref()?;
            Some(codec::decode(record, value).map_err(WorkerError::Damaged))
        });
        decoded.collect()
    }

    /// Whether a gateway has ever said yes, to whatever partition's deliveries.
    ///
    /// # Errors
    /// Those of the log.
    pub fn proven(&mut self, gateway: &str) -> Result<bool, LogError> {
        let mut proven = false;
        self.index.look_up(&[Ask::Accepted(gateway)], None, &mut |_| {
            proven = true;
            Ok(())
        })?;
        Ok(proven)
    }

    /// All of those of these cases that the role does not know, before these offsets.
    ///
    /// # Errors
    /// As [`Recall::records`].
    pub fn cases<'a>(
        &mut self,
        cases: impl IntoIterator<Item = &'a str>,
        before: &[u64],
    ) -> Result<Recalled, WorkerError> {
        let mut new: Vec<&str> = {
            let known = self.known.cases();
            cases.into_iter().filter(|case| !known.contains(*case)).collect()
        };
        new.sort_unstable();
        new.dedup();
        let mut deliveries = Vec::new();
        for some in new.chunks(CHUNK) {
            let asks: Vec<Ask<'_>> = some.iter().map(|case| Ask::Case(case)).collect();
            let of_these = |d: &Delivery| some.binary_search(&&*d.case_no).is_ok();
            let found = self.records(&asks, before)?;
            deliveries.extend(found.into_iter().filter(of_these));
        }
        let leaders = self.leaders(&deliveries);
        for some in leaders.chunks(CHUNK) {
            let asks: Vec<Ask<'_>> = some.iter().map(|id| Ask::Id(id)).collect();
            let found = self.records(&asks, before)?;
            let is_one = |d: &Delivery| some.binary_search(&d.delivery_id).is_ok();
            let comes_anyway = |d: &Delivery| new.binary_search(&&*d.case_no).is_ok();
            deliveries.extend(found.into_iter().filter(|d| is_one(d) && !comes_anyway(d)));
        }
        Ok(Recalled { cases: new.into_iter().map(str::to_owned).collect(), deliveries })
    }

    /// Tries until it is done, or nobody waits for it any more.
    ///
    /// # Errors
    /// Those that do not pass, and any when nobody waits.
    pub fn patiently<T>(
        &mut self,
        mut ask: impl FnMut(&mut Recall) -> Result<T, WorkerError>,
        over: impl Fn() -> bool,
    ) -> Result<T, WorkerError> {
        loop {
            match ask(self) {
                Err(WorkerError::Log(error)) if passing(&error) && !over() => {
                    tracing::warn!(%error, "what is known of a case cannot be looked up just now");
                    std::thread::sleep(WAIT);
                }
                other => return other,
            }
        }
    }

    /// The digests that stand for deliveries of alerts that are not over.
    fn leaders(&self, deliveries: &[Delivery]) -> Vec<String> {
        let digests = deliveries
            .iter()
            .filter(|d| self.promised.contains(&d.alert_id) && reason_class(d) == Why::InDigest.as_str());
        let mut leaders: Vec<String> = digests.filter_map(stands_for).map(str::to_owned).collect();
        leaders.sort_unstable();
        leaders.dedup();
        leaders
    }
}
