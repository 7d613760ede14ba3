//! What somebody has asked to be said after all ([`crate::retry`]): which requests are new, and what the log has of the
//! deliveries that they name. There are a few in a year, so the topics are read when one comes and nothing is kept for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tocsin_schemas::index::Ask;
use tocsin_schemas::log::EventLog;
use tocsin_schemas::records::{Alert, Delivery};
use tocsin_schemas::time::Instant;

use crate::clock::BoxFuture;
use crate::codec::{self, topic};
use crate::ledger::{Ledger, retry_id};
use crate::retry::{LONGEST_DAYS, Request};
use crate::worker::reading::{Reading, from_first, to_end};
use crate::worker::recall::{Recall, Recalled};
use crate::worker::{Shared, WorkerError, commit};

/// Which requests were looked at.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// The version of each.
    seen: HashMap<String, u64>,
    /// How many of them are being looked up.
    waiting: usize,
}

/// A request, with the delivery that it names as last written, its alert, and the other deliveries of that alert; `None`:
/// the log has none of that id.
pub(super) struct Found {
    pub request: Request,
    pub of: Option<(Delivery, Alert, Vec<Delivery>)>,
}

impl Retries {
    /// The requests that were not looked at yet and that may still come to something. They count as looked at.
    pub fn new_ones<'a>(
        &mut self,
        all: impl Iterator<Item = &'a Request>,
        ledger: &Ledger,
        now: Instant,
    ) -> Vec<Request> {
        let mut new = Vec::new();
        for request in all {
            let version = self.seen.insert(request.event_id.clone(), request.version);
            let old = version == Some(request.version) || request.on.plus(LONGEST_DAYS + 1) < now.day();
            if !old && !ledger.knows(&retry_id(&request.delivery_id)) {
                new.push(request.clone());
            }
        }
        self.waiting = new.len();
        new
    }

    /// Those that were being looked up are answered.
    pub fn answered(&mut self) {
        self.waiting = 0;
    }

    /// How many were looked at.
    pub fn done(&self) -> usize {
        self.seen.len() - self.waiting
    }
}

/// What a look-up came to.
pub(super) struct Looked {
    pub found: Vec<Found>,
    /// What the planner may not know of their cases.
    pub recalled: Recalled,
    /// For the next one.
    pub recall: Option<Recall>,
}

/// What the log has of these, as soon as it can be read. `recall`: what looks it up, where the log has an index.
///
/// # Errors
/// Those of the log that do not pass.
pub(super) fn look_up(
    shared: &Arc<Shared>,
    requests: Vec<Request>,
    mut recall: Option<Recall>,
    reading: &Reading,
) -> BoxFuture<'static, Result<Looked, WorkerError>> {
    let (shared, reading) = (Arc::clone(shared), reading.clone());
    Box::pin(async move {
        loop {
            let (shared, reading, requests) = (Arc::clone(&shared), reading.clone(), requests.clone());
            let find = move || (find(&shared, requests, recall.as_mut(), &reading), recall);
            let found = tokio::task::spawn_blocking(find).await.map_err(|_| WorkerError::Died("reader"))?;
            recall = match found {
                (Ok((found, recalled)), recall) => return Ok(Looked { found, recalled, recall }),
                (Err(WorkerError::Log(error)), recall) if commit::passing(&error) => {
                    tracing::warn!(%error, "a retry waits until the ledger can be read");
                    recall
                }
                (Err(error), _) => return Err(error),
            };
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
}

fn find(
    shared: &Shared,
    requests: Vec<Request>,
    mut recall: Option<&mut Recall>,
    reading: &Reading,
) -> Result<(Vec<Found>, Recalled), WorkerError> {
    let log = &*shared.log;
    // A contact that was repaired before the request is known then.
    shared.registry.refresh(reading)?;
    let wanted: BTreeSet<&str> = requests.iter().map(|request| request.delivery_id.as_str()).collect();
    let (mut deliveries, mut others) = (BTreeMap::new(), BTreeMap::new());
    each(log, recall.as_deref_mut(), &asks(&wanted, Ask::Id), reading, |delivery| {
        if wanted.contains(&*delivery.delivery_id) {
            deliveries.insert(delivery.delivery_id.clone(), delivery);
        }
    })?;
    let cases: BTreeSet<&str> = deliveries.values().map(|d: &Delivery| d.case_no.as_str()).collect();
    each(log, recall.as_deref_mut(), &asks(&cases, Ask::Case), reading, |delivery| {
        if cases.contains(&*delivery.case_no) {
            others.insert(delivery.delivery_id.clone(), delivery);
        }
    })?;
    let named: BTreeSet<&str> = deliveries.values().map(|d| d.alert_id.as_str()).collect();
    let mut alerts: BTreeMap<String, Alert> = BTreeMap::new();
    to_end(log, &mut *from_first(log, &[topic::ALERTS])?, reading, |record| {
        if let Some(value) = &record.value {
            let alert: Alert = codec::decode(&record, value).map_err(WorkerError::Damaged)?;
            if named.contains(alert.alert_id.as_str()) {
                alerts.insert(alert.alert_id.clone(), alert);
            }
        }
        Ok(())
    })?;
    let recalled = match recall {
        Some(recall) => recall.cases(deliveries.values().map(|d| &*d.case_no), &[])?,
        None => Recalled::default(),
    };
    let found = |request: Request| {
        let delivery = deliveries.get(&request.delivery_id);
        let of = delivery.and_then(|d| {
            let of_it = |other: &&Delivery| {
                let same = |d: &Delivery| (d.alert_id.clone(), d.role, d.subject.clone());
                other.delivery_id != d.delivery_id && same(other) == same(d)
            };
            let others = others.values().filter(of_it).cloned().collect();
            Some((d.clone(), alerts.get(&d.alert_id)?.clone(), others))
        });
        Found { request, of }
    };
    Ok((requests.into_iter().map(found).collect(), recalled))
}

/// One look-up for each name.
fn asks<'a>(names: &BTreeSet<&'a str>, ask: fn(&'a str) -> Ask<'a>) -> Vec<Ask<'a>> {
    names.iter().map(|name| ask(name)).collect()
}

/// Every delivery that one of these is about, and where the log has no index every other one, too.
fn each(
    log: &dyn EventLog,
    recall: Option<&mut Recall>,
    asks: &[Ask<'_>],
    reading: &Reading,
    mut each: impl FnMut(Delivery),
) -> Result<(), WorkerError> {
    if let Some(recall) = recall {
        recall.records(asks, &[])?.into_iter().for_each(each);
        return Ok(());
    }
    to_end(log, &mut *from_first(log, &[topic::DELIVERIES])?, reading, |record| {
        if let Some(value) = &record.value {
            each(codec::decode(&record, value).map_err(WorkerError::Damaged)?);
        }
        Ok(())
    })
}
