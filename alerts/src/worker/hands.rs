//! What the planner has just written down goes to the sender beside it by hand, which is sooner than through the log.
//!
//! Only the first messages of a case go this way: nobody can have said anything of it before, so a sender needs nothing
//! else from the log to take them in. Of the others it is told that they come, and takes nothing by hand before they have:
//! a phone hears things in the order in which they were planned. The log brings everything again, and is what counts: of
//! what is given to nobody, or to one who ends, nothing is lost.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tocsin_schemas::partition::partition_of;
use tocsin_schemas::records::Delivery;
use tocsin_schemas::wire::OutputRecord as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What one append has brought a sender.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// First messages of cases.
    pub firsts: Vec<Delivery>,
    /// The ids of others, which the log brings.
    pub coming: Vec<String>,
}

/// The senders of this worker that take what is given to them. As much as the planner lets be open may be under way.
pub(crate) struct Hands {
    partitions: u32,
    takers: Mutex<HashMap<u32, UnboundedSender<Given>>>,
}

impl Hands {
    /// Nobody takes anything yet. `partitions`: how many `deliveries` has.
    pub fn new(partitions: u32) -> Hands {
        Hands { partitions, takers: Mutex::default() }
    }

    fn takers(&self) -> MutexGuard<'_, HashMap<u32, UnboundedSender<Given>>> {
        self.takers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is given to the sender of this partition from now on, instead of to one before it.
    pub fn open(&self, partition: u32) -> UnboundedReceiver<Given> {
        let (taker, given) = unbounded_channel();
        self.takers().insert(partition, taker);
        given
    }

    /// Gives deliveries that are written down to those of their senders that are here. Of each: whether it is the first
    /// message of its case.
    pub fn give<'a>(&self, written: impl Iterator<Item = (&'a Delivery, bool)>) {
        let mut given: HashMap<u32, Given> = HashMap::new();
        for (delivery, is_first) in written {
            let route = delivery.route().unwrap_or_else(|| delivery.key());
            let to = given.entry(partition_of(&route, self.partitions)).or_default();
            match is_first {
                true => to.firsts.push(delivery.clone()),
                false => to.coming.push(delivery.delivery_id.clone()),
            }
        }
        let takers = self.takers();
        for (partition, given) in given {
            if let Some(taker) = takers.get(&partition) {
                // Closed: that one ends, and whoever comes next reads it in the log.
                let _ = taker.send(given);
            }
        }
    }
}
