//! Looks, while the worker runs, whether another one has taken over its name.
//!
//! A worker that appends is told by the log. One that has nothing to say is not: it looks every [`EVERY`] at
//! the end of its own partition of `progress`, and asks by an append only when [`FenceWatch`] finds a reason
//! to. Whoever takes over says so there at once ([`Committer::ask`]).
//!
//! [`Committer::ask`]: super::commit::Committer::ask

use std::sync::Arc;
use std::time::Duration;

use tocsin_schemas::fence::FenceWatch;
use tocsin_schemas::log::EventLog;
use tokio::task::JoinHandle;
use tokio::time::Instant as Monotonic;

use super::start::{self, Reading};
use crate::codec::topic;

/// How often to look. With one look that cannot tell, the older worker ends within 5 s.
const EVERY: Duration = Duration::from_millis(1_500);
/// How long, and how often, to look for an append of our own that was acknowledged and is not visible yet.
const VISIBLE: (u32, Duration) = (25, Duration::from_millis(20));

/// Our partition of `progress`, and where it ends (0 while we have none).
#[derive(Debug, Clone, Copy)]
struct Place {
    partition: Option<u32>,
    end: u64,
}

/// Looks at the end of the worker's own partition of `progress`.
pub(super) struct Lookout {
    log: Arc<dyn EventLog>,
    reading: Reading,
    watch: FenceWatch,
    /// Which partition a key belongs to is the log's business, so ours is that in which our record was found.
    place: Place,
    next: Monotonic,
    /// A look under way.
    looking: Option<JoinHandle<Option<Place>>>,
}

impl Lookout {
    /// Looks for the first time after [`EVERY`]. `partition`: where our progress was found, if it was.
    pub fn new(log: Arc<dyn EventLog>, reading: Reading, partition: Option<u32>) -> Lookout {
        let (place, next) = (Place { partition, end: 0 }, Monotonic::now() + EVERY);
        Lookout { log, reading, watch: FenceWatch::default(), place, next, looking: None }
    }

    /// The worker has appended something, or has asked and got no answer: the look after the next one asks.
    pub fn wrote(&mut self) {
        self.watch.wrote();
    }

    /// Returns when there is a reason to ask the log whether the name is still ours. May be dropped and called
    /// again. Trouble with looking is ignored: whoever reads reports it.
    pub async fn reason_to_ask(&mut self) {
        loop {
            if self.looking.is_none() {
                tokio::time::sleep_until(self.next).await;
            }
            let log = &self.log;
            let look = || look(Arc::clone(log), self.reading.clone(), self.place.partition);
            // Kept where it is while it is waited for, so that a dropped wait loses nothing.
            let found = self.looking.get_or_insert_with(look).await;
            self.looking = None;
            self.next = Monotonic::now() + EVERY;
            let Ok(Some(place)) = found else { continue };
            self.place = place;
            if self.watch.look(place.end) {
                return;
            }
        }
    }

    /// The asking append went through. Waits until it is visible, so that the next look does not take it for
    /// somebody else's.
    pub async fn asked(&mut self) {
        let before = self.place.end;
        for _ in 0..VISIBLE.0 {
            let look = look(Arc::clone(&self.log), self.reading.clone(), self.place.partition);
            if let Ok(Some(place)) = look.await
                && place.end > before
            {
                self.place = place;
                self.watch.asked(place.end);
                return;
            }
            tokio::time::sleep(VISIBLE.1).await;
        }
        self.watch.wrote();
    }
}

/// One request for the ends of `progress`; before our partition is known, `progress` is read as well.
fn look(log: Arc<dyn EventLog>, reading: Reading, partition: Option<u32>) -> JoinHandle<Option<Place>> {
    tokio::task::spawn_blocking(move || {
        let partition = match partition {
            Some(partition) => partition,
            None => match start::read_progress(&*log, &reading).ok()? {
                Some((_, partition)) => partition,
                None => return Some(Place { partition: None, end: 0 }),
            },
        };
        let end = log.bounds(topic::PROGRESS).ok()?.get(partition as usize)?.end;
        Some(Place { partition: Some(partition), end })
    })
}
