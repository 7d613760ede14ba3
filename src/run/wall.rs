//! The service's wall clock: the machine's, or for tests one that begins at an instant of the configuration.

use std::time::{Duration, Instant as Monotonic, SystemTime, UNIX_EPOCH};

use tocsin_schemas::time::Instant;

/// Tells the wall-clock time.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    /// Where it began, and when that was.
    start: Option<(Instant, Monotonic)>,
}

impl WallClock {
    /// The machine's clock, or one that begins at `start` now and runs on from there.
    pub fn new(start: Option<Instant>) -> WallClock {
        WallClock { start: start.map(|at| (at, Monotonic::now())) }
    }

    /// The present instant.
    pub fn now(&self) -> Instant {
        let since = match self.start {
            Some((at, began)) => {
                return at.plus_millis(i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX));
            }
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        };
        Instant(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// The stamp of what is appended now: the log's own, but for a clock that was set, so that whoever reads the record
    /// sees the day on which it was written.
    pub fn stamp(&self) -> Option<Instant> {
        self.start.map(|_| self.now())
    }

    /// How long until the next local midnight.
    pub fn until_midnight(&self) -> Duration {
        let now = self.now();
        let left = now.day().plus(1).midnight().0.saturating_sub(now.0);
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }
}
