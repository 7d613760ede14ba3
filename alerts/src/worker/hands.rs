//! The first messages of a case go from the planner to the sender beside it by hand: who writes down that one is sent
//! writes down that it was planned, in one append, and nothing has to be read between.
//!
//! Of such a case nothing was said before, so a sender needs nothing else from the log to take it in. Of other
//! messages it is told that they come, and takes nothing by hand before they have: a phone hears things in the order in
//! which they were planned. What a sender leaves, the planner writes down itself, and the log brings it.
//!
//! # Why nobody else plans or sends the same
//! Two writers have a part in it, and only the sender's is asked by its append whether it is still the newest. That the
//! planner is nobody else by then, the heartbeat says: a role is taken from a worker that was not heard of for ten seconds,
//! and one whose last heartbeat began more than [`STALE`] ago takes nothing by hand; the request has as long again.
//! A restart under the same name does not wait so long; docs/delivery.md says what is left of that. It opens its writers side
//! by side: what was written down meanwhile it finds as `sending`; and where it has planned it once more under the same id, what was asked of a gateway stands
//! ([`crate::ledger::Ledger::apply`]).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tocsin_schemas::partition::partition_of;
use tocsin_schemas::records::Delivery;
use tocsin_schemas::wire::OutputRecord as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::WorkerError;
use crate::sender::STALE;

/// What one turn of the planner has brought a sender.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// First messages of cases, which are in no log yet.
    pub firsts: Vec<Delivery>,
    /// The ids of others, which the log brings.
    pub coming: Vec<String>,
    /// When it was known to all ends who is to be reached and what is silent, where there are firsts.
    pub known_at: Option<Instant>,
    /// Told, once the firsts are written down, which of them are left to the planner.
    pub answer: Option<Reply>,
}

/// The ids of what is left to the planner.
pub(crate) type Reply = oneshot::Sender<Vec<String>>;

/// What was offered to a sender.
pub(crate) struct Offer(oneshot::Receiver<Vec<String>>);

/// How old what the planner knew of contacts and silences may be when a sender takes something by hand.
pub(crate) const KNOWN_WITHIN: Duration = Duration::from_secs(1);
/// How long a sender that ended with something in hand has to say why: then its error is the worker's.
const SAYS_WHY: Duration = Duration::from_secs(10);

/// The senders of this worker that take what is given to them. As much as the planner lets be open may be under way.
pub(crate) struct Hands {
    partitions: u32,
    takers: Mutex<Takers>,
    /// When the last heartbeat began that was acknowledged, by the boot clock.
    beaten: Mutex<Option<Duration>>,
}

#[derive(Default)]
struct Takers {
    here: HashMap<u32, Taker>,
    /// What is about to be written, by partition: a sender that comes meanwhile is told of it.
    about: HashMap<u32, Vec<String>>,
}

struct Taker {
    to: UnboundedSender<Given>,
    /// Whether it has read back its partition, and writes down what is offered to it.
    writes: bool,
}

/// A sender's end. What was not taken when it is gone is left to the planner.
pub(crate) struct Hand(UnboundedReceiver<Given>);

impl Given {
    /// Leaves all of it to the planner.
    fn leave(self) {
        if let Some(answer) = self.answer {
            // Where nobody waits for it the planner has ended, and whoever comes next plans them.
            let _ = answer.send(self.firsts.into_iter().map(|delivery| delivery.delivery_id).collect());
        }
    }
}

impl Hand {
    /// The next one, if it is there.
    pub fn try_recv(&mut self) -> Option<Given> {
        self.0.try_recv().ok()
    }

    /// The next one; `None`: it was closed.
    pub async fn recv(&mut self) -> Option<Given> {
        self.0.recv().await
    }

    /// Takes nothing any more.
    pub fn close(&mut self) {
        self.0.close();
        while let Ok(given) = self.0.try_recv() {
            given.leave();
        }
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.close();
    }
}

impl Offer {
    /// Waits until it is written down; the ids of what is left to the planner.
    ///
    /// # Errors
    /// `Died`: the sender ended in the midst of it, and what is written is not known. Whoever comes next finds it.
    pub async fn left(self) -> Result<Vec<String>, WorkerError> {
        match self.0.await {
            Ok(left) => Ok(left),
            Err(_) => {
                tokio::time::sleep(SAYS_WHY).await;
                Err(WorkerError::Died("sender"))
            }
        }
    }
}

impl Hands {
    /// Nobody takes anything yet. `partitions`: how many `deliveries` has.
    pub fn new(partitions: u32) -> Hands {
        Hands { partitions, takers: Mutex::default(), beaten: Mutex::default() }
    }

    fn takers(&self) -> MutexGuard<'_, Takers> {
        self.takers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A heartbeat was acknowledged that began at this time of the boot clock.
    pub fn beat(&self, began: Duration) {
        *self.beaten.lock().unwrap_or_else(PoisonError::into_inner) = Some(began);
    }

    /// Whether the last heartbeat is so new that nobody can have taken a role away.
    pub fn alive(&self, boot: Duration) -> bool {
        let beaten = *self.beaten.lock().unwrap_or_else(PoisonError::into_inner);
        beaten.is_some_and(|began| boot.saturating_sub(began) <= STALE)
    }

    /// What comes for the sender of this partition from now on, instead of for one before it: it is told of everything,
    /// and offered nothing until it [`writes`](Hands::writes).
    pub fn open(&self, partition: u32) -> Hand {
        let (to, given) = unbounded_channel();
        let mut takers = self.takers();
        if let Some(coming) = takers.about.get(&partition) {
            // Its receiver is here.
            let _ = to.send(Given { coming: coming.clone(), ..Given::default() });
        }
        takers.here.insert(partition, Taker { to, writes: false });
        Hand(given)
    }

    /// The sender of this partition has read it back, and writes down what is offered to it.
    pub fn writes(&self, partition: u32) {
        self.takers().here.entry(partition).and_modify(|taker| taker.writes = true);
    }

    /// Tells senders that are here what is planned, before it is written down, and offers them of that the first messages
    /// of cases (`true`), planned with what was known at an instant. What is not in one of the offers the planner writes, and
    /// says so when it has ([`Hands::written`]).
    pub fn offer<'a>(
        &self,
        planned: impl Iterator<Item = (&'a Delivery, bool)>,
        known_at: Option<Instant>,
    ) -> Vec<(Vec<String>, Offer)> {
        let mut given: HashMap<u32, Given> = HashMap::new();
        for (delivery, is_first) in planned {
            let route = delivery.route().unwrap_or_else(|| delivery.key());
            let to = given.entry(partition_of(&route, self.partitions)).or_default();
            match is_first {
                true => to.firsts.push(delivery.clone()),
                false => to.coming.push(delivery.delivery_id.clone()),
            }
        }
        let mut takers = self.takers();
        let mut offers = Vec::new();
        for (partition, given) in given {
            let firsts: Vec<String> = given.firsts.iter().map(|first| first.delivery_id.clone()).collect();
            let all: Vec<String> = given.coming.iter().chain(&firsts).cloned().collect();
            let taker = takers.here.get(&partition);
            let writes = taker.is_some_and(|taker| taker.writes) && given.coming.is_empty();
            let (answer, left) = oneshot::channel();
            let given = match writes {
                true => Given { known_at, answer: Some(answer), ..given },
                false => Given { coming: all.clone(), ..Given::default() },
            };
            let told = taker.is_some_and(|taker| taker.to.send(given).is_ok());
            if told && writes {
                offers.push((firsts, Offer(left)));
            }
            // Whoever comes next hears of it, or reads it in the log.
            takers.about.insert(partition, all);
        }
        offers
    }

    /// What was about to be written is written.
    pub fn written(&self) {
        self.takers().about.clear();
    }
}
