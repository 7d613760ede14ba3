//! The simulated clock that the alert worker goes by: it stands still until the demo moves it.

use std::sync::Arc;

use tocsin_alerts::clock::{BoxFuture, Clock};
use tocsin_schemas::time::Instant;
use tokio::sync::watch;

/// See the module's page. Cheap to clone; all clones are one clock.
#[derive(Debug, Clone)]
pub struct SimulatedClock(Arc<watch::Sender<Instant>>);

impl SimulatedClock {
    /// A clock that stands at `start`.
    pub fn new(start: Instant) -> SimulatedClock {
        SimulatedClock(Arc::new(watch::Sender::new(start)))
    }

    /// Moves the clock; never back.
    pub fn move_to(&self, at: Instant) {
        self.0.send_if_modified(|now| {
            let later = at > *now;
            *now = (*now).max(at);
            later
        });
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Instant {
        *self.0.borrow()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()> {
        let mut now = self.0.subscribe();
        Box::pin(async move {
            // The sender is borrowed, so this ends by the clock alone.
            let _ = now.wait_for(|now| *now >= at).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_woken_at_the_instant() {
        let clock = SimulatedClock::new(Instant(0));
        let other = clock.clone();
        let sleeper = tokio::spawn(async move {
            other.sleep_until(Instant(10)).await;
            other.now()
        });
        clock.move_to(Instant(9));
        clock.move_to(Instant(10));
        assert_eq!(sleeper.await.unwrap(), Instant(10));
        clock.move_to(Instant(3));
        assert_eq!(clock.now(), Instant(10));
    }
}
