//! The watch over the ledger: reads on in the topics at intervals and adds the books up, beside both halves and knowing
//! neither. What it finds becomes metrics; what is missing becomes an ERROR line, once for each case and step.

use std::collections::BTreeSet;
use std::sync::Arc;

use prometheus_client::registry::Registry;
use tocsin_pipeline::Policies;
use tocsin_schemas::log::{EventLog, LogError};
use tocsin_schemas::time::Instant;

use super::metrics::{self, LedgerMetrics};
use super::wall::WallClock;
use crate::config::Metrics;
use crate::exit::Failure;
use crate::ledger::answer::Looked;
use crate::ledger::reconcile::reconcile;
use crate::ledger::tail::Tail;
use crate::policy::topic;

/// Serves the metrics, with what is registered already, and keeps them up to date until the runtime ends.
///
/// # Errors
/// The port cannot be opened.
pub async fn watch(
    log: Arc<dyn EventLog>,
    config: &Metrics,
    configured: Policies,
    wall: WallClock,
    mut registry: Registry,
) -> Result<(), Failure> {
    let metrics = LedgerMetrics::register(&mut registry);
    metrics::serve(config.listen, registry).await?;
    let mut watch = Watch {
        tail: Tail::new(Arc::clone(&log)),
        log,
        policies: vec![configured],
        // What the very first look misses is not confirmed by any other.
        missed: Looked::new(),
        said: BTreeSet::new(),
        metrics,
    };
    let every = config.ledger_every;
    tokio::spawn(async move {
        loop {
            let now = wall.now();
            let looked = tokio::task::spawn_blocking(move || {
                watch.look(now);
                watch
            });
            match looked.await {
                Ok(back) => watch = back,
                Err(_) => {
                    tracing::warn!(
                        "the watch over the ledger died: its metrics stand still; restart to have them again"
                    );
                    return;
                }
            }
            tokio::time::sleep(every).await;
        }
    });
    Ok(())
}

struct Watch {
    tail: Tail,
    log: Arc<dyn EventLog>,
    /// Those that may have decided.
    policies: Vec<Policies>,
    /// What the last look missed.
    missed: Looked,
    /// What was said of it in the service's own log.
    said: Looked,
    metrics: LedgerMetrics,
}

impl Watch {
    fn look(&mut self, now: Instant) {
        if let Err(error) = self.try_look(now) {
            self.metrics.failed();
            tracing::warn!(%error, "cannot add up the ledger just now: tried again");
        }
    }

    fn try_look(&mut self, now: Instant) -> Result<(), LogError> {
        self.tail.advance(&|_| ())?;
        let decided = self.tail.books.decided.clone();
        let hash = decided.as_ref().map(|p| p.policy_hash.as_str());
        if hash.is_some_and(|hash| self.policy(hash).is_none()) {
            let published = topic::read(&*self.log)?.valid;
            self.policies.extend(published.into_iter().map(|one| one.policies));
        }
        let policies = hash.and_then(|hash| self.policy(hash));
        let found = reconcile(&self.tail.books, policies, Some(&self.missed));
        let delivered = self.tail.books.delivered.as_ref().and_then(|p| p.clock);
        self.metrics.computed(&found, now, decided.and_then(|p| p.clock), delivered);
        for m in &found.missing {
            if self.said.insert((m.case_no.clone(), m.step)) {
                tracing::error!(
                    case_no = %m.case_no,
                    step = m.step.as_str(),
                    detail = %m.detail,
                    "unaccounted for: `tocsin ledger reconcile` lists what is missing and what to do"
                );
            }
        }
        self.missed = found.in_sight;
        Ok(())
    }

    fn policy(&self, hash: &str) -> Option<&Policies> {
        self.policies.iter().find(|policies| **policies.hash() == *hash)
    }
}
