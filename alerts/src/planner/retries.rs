//! What somebody has asked to be said after all ([`crate::retry`]): which requests are new, and what the log has of the
//! deliveries that they name. There are a few in a year, so the topics are read when one comes and nothing is kept for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tocsin_schemas::records::{Alert, Delivery};
use tocsin_schemas::time::Instant;

use crate::clock::BoxFuture;
use crate::codec::{self, topic};
use crate::ledger::{Ledger, retry_id};
use crate::retry::{LONGEST_DAYS, Request};
use crate::worker::reading::{Reading, from_first, to_end};
use crate::worker::{Shared, WorkerError, commit};

/// Which requests were looked at.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// The version of each.
    seen: HashMap<String, u64>,
    /// How many of them are being looked up.
    waiting: usize,
}

/// A request, with the delivery that it names as last written, and its alert; `None`: the log has none of that id.
pub(super) struct Found {
    pub request: Request,
    pub of: Option<(Delivery, Alert)>,
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

/// What the log has of these, as soon as it can be read.
///
/// # Errors
/// Those of the log that do not pass.
pub(super) fn look_up(
    shared: &Arc<Shared>,
    requests: Vec<Request>,
    reading: &Reading,
) -> BoxFuture<'static, Result<Vec<Found>, WorkerError>> {
    let (shared, reading) = (Arc::clone(shared), reading.clone());
    Box::pin(async move {
        loop {
            let (shared, reading, requests) = (Arc::clone(&shared), reading.clone(), requests.clone());
            let found = tokio::task::spawn_blocking(move || find(&shared, requests, &reading)).await;
            match found.map_err(|_| WorkerError::Died("reader"))? {
                Err(WorkerError::Log(error)) if commit::passing(&error) => {
                    tracing::warn!(%error, "a retry waits until the ledger can be read");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                found => return found,
            }
        }
    })
}

fn find(shared: &Shared, requests: Vec<Request>, reading: &Reading) -> Result<Vec<Found>, WorkerError> {
    let log = &*shared.log;
    // A contact that was repaired before the request is known then.
    shared.registry.refresh(reading)?;
    let wanted: BTreeSet<&str> = requests.iter().map(|request| request.delivery_id.as_str()).collect();
    let mut deliveries: BTreeMap<String, Delivery> = BTreeMap::new();
    to_end(log, &mut *from_first(log, topic::DELIVERIES)?, reading, |record| {
        if let Some(value) = &record.value {
            let delivery: Delivery = codec::decode(&record, value).map_err(WorkerError::Damaged)?;
            if wanted.contains(delivery.delivery_id.as_str()) {
                deliveries.insert(delivery.delivery_id.clone(), delivery);
            }
        }
        Ok(())
    })?;
    let named: BTreeSet<&str> = deliveries.values().map(|d| d.alert_id.as_str()).collect();
    let mut alerts: BTreeMap<String, Alert> = BTreeMap::new();
    to_end(log, &mut *from_first(log, topic::ALERTS)?, reading, |record| {
        if let Some(value) = &record.value {
            let alert: Alert = codec::decode(&record, value).map_err(WorkerError::Damaged)?;
            if named.contains(alert.alert_id.as_str()) {
                alerts.insert(alert.alert_id.clone(), alert);
            }
        }
        Ok(())
    })?;
    let found = |request: Request| {
        let delivery = deliveries.get(&request.delivery_id);
        let of = delivery.and_then(|d| Some((d.clone(), alerts.get(&d.alert_id)?.clone())));
        Found { request, of }
    };
    Ok(requests.into_iter().map(found).collect())
}
