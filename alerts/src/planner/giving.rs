//! How what was planned is written down: the first messages of cases by the senders beside the planner
//! ([`crate::worker::hands`]), all else by the planner.
//!
//! A sender whose append stands still, because a broker fails over, keeps nobody else waiting: until it has answered, what is
//! planned for phones of its partition is withheld, in its order, and all else goes on. Then the log brings it.

use std::collections::{BTreeMap, HashSet};

use tocsin_schemas::records::{Answer, Delivery};

use super::Turn;
use crate::ledger::stands_for;
use crate::worker::WorkerError;
use crate::worker::hands::{self, Left, Offer};

/// Of more in one turn nobody waits for the first: one append of all costs less than one of each sender.
const AT_ONCE: usize = 8;

/// What is not written down yet.
#[derive(Default)]
pub(super) struct Giving {
    /// What was planned, and whether it is of the first message of its case.
    planned: Vec<(String, bool)>,
    /// What senders have not answered yet, by partition.
    pub(super) offered: BTreeMap<u32, Offer>,
    withheld: Vec<Delivery>,
    /// That somebody has answered, about what is withheld.
    answers: Vec<Answer>,
}

impl Turn<'_> {
    /// Planned, to be written down. `is_first`: it is of the first message of its case.
    pub(super) fn give(&mut self, delivery: Delivery, is_first: bool) {
        self.giving.planned.push((delivery.delivery_id.clone(), is_first));
        self.committer.deliveries.push(delivery);
    }

    /// Has what was planned written down, but for what waits for a sender.
    pub(super) async fn commit(&mut self) -> Result<(), WorkerError> {
        self.withhold();
        self.offer();
        self.append().await?;
        let offered = &self.giving.offered;
        self.shared.hands.written(|partition| offered.contains_key(&partition));
        Ok(())
    }

    /// A sender has answered: what it left goes before all that was withheld for its sake.
    ///
    /// # Errors
    /// `Died`: it ended in the midst of it.
    pub(super) async fn answered(&mut self, left: Left) -> Result<(), WorkerError> {
        let Some(left) = left else { return Err(hands::gone().await) };
        let ledger = self.told.ledger();
        let left = left.iter().filter_map(|id| ledger.open(id)).cloned();
        self.giving.withheld.splice(0..0, left);
        Ok(())
    }

    /// Keeps back what is for a sender that has not answered, and lets go of what is for others.
    fn withhold(&mut self) {
        let (giving, committer) = (&mut self.giving, &mut self.committer);
        let waits = |delivery: &Delivery| giving.offered.contains_key(&self.shared.hands.partition(delivery));
        let all = giving.withheld.drain(..).chain(committer.deliveries.drain(..));
        let (withheld, goes): (Vec<_>, Vec<_>) = all.partition(waits);
        (giving.withheld, committer.deliveries) = (withheld, goes);
        let ids: HashSet<&str> = giving.withheld.iter().map(|delivery| &*delivery.delivery_id).collect();
        let waits = |answer: &Answer| answer.delivery_id.as_deref().is_some_and(|id| ids.contains(id));
        let all = giving.answers.drain(..).chain(committer.answers.drain(..));
        (giving.answers, committer.answers) = all.partition(waits);
    }

    /// Takes what is offered out of what the planner writes.
    fn offer(&mut self) {
        let withheld: HashSet<&str> = self.giving.withheld.iter().map(|d| &*d.delivery_id).collect();
        let all = std::mem::take(&mut self.giving.planned);
        let (later, planned): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(id, _)| withheld.contains(&**id));
        let by_hand = planned.len() <= AT_ONCE;
        // What another one stands for is in one append with that.
        let named: HashSet<&str> = self.committer.deliveries.iter().filter_map(stands_for).collect();
        let ledger = self.told.ledger();
        let open = planned.iter().filter_map(|(id, is_first)| {
            Some((ledger.open(id)?, *is_first && by_hand && !named.contains(&**id)))
        });
        let offers = self.shared.hands.offer(open, self.known_at);
        // By the log then: much may have changed meanwhile, and two milliseconds more are nothing.
        self.giving.planned = later.into_iter().map(|(id, _)| (id, false)).collect();
        let mut offered = HashSet::new();
        for (partition, ids, offer) in offers {
            offered.extend(ids);
            self.giving.offered.insert(partition, offer);
        }
        if !offered.is_empty() {
            self.committer.deliveries.retain(|delivery| !offered.contains(&delivery.delivery_id));
        }
    }
}
