//! A token bucket that never lets more than so many calls through in any minute, however they fall.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::Tick;

const MINUTE: Duration = Duration::from_secs(60);

/// The clock that governor asks: it says what it was told last, so that time is an argument here too.
#[derive(Debug, Clone, Default)]
struct Told(Arc<AtomicU64>);

impl Clock for Told {
    type Instant = Nanos;
    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Told, NoOpMiddleware<Nanos>>;

/// A bucket. `None` inside: no limit.
#[derive(Debug)]
pub(super) struct Bucket(Option<(Limiter, Told)>);

impl Bucket {
    /// At most `limit` in any 60 seconds; a quarter of it may go at once. (A bucket of `limit` that is refilled with
    /// `limit` a minute, as the name of the limit suggests, would let twice as many through in its first minute, and
    /// DingTalk's robot would be silent for ten.)
    pub(super) fn per_minute(limit: Option<u32>) -> Bucket {
        Bucket(limit.and_then(NonZeroU32::new).map(|limit| {
            let burst = NonZeroU32::new(limit.get() / 4).unwrap_or(NonZeroU32::MIN);
            // What is left for the rest of a minute. A limit of one leaves nothing: one a minute.
            let refill = (limit.get() - burst.get()).max(1);
            Bucket::made(MINUTE / refill, burst)
        }))
    }

    /// At most `limit` a minute, one at a time.
    pub(super) fn spread(limit: u32) -> Bucket {
        Bucket(Some(Bucket::made(MINUTE / limit.max(1), NonZeroU32::MIN)))
    }

    fn made(every: Duration, burst: NonZeroU32) -> (Limiter, Told) {
        let told = Told::default();
        // A period of 0 has no meaning; nobody has a limit of 60 billion a minute.
        let quota = Quota::with_period(every.max(Duration::from_nanos(1)));
        let quota = quota.unwrap_or(Quota::per_minute(burst)).allow_burst(burst);
        (RateLimiter::direct_with_clock(quota, told.clone()), told)
    }

    /// Takes a token, or says when there will be one.
    pub(super) fn take(&self, now: Tick) -> Result<(), Tick> {
        let Some((limiter, told)) = &self.0 else { return Ok(()) };
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        told.0.fetch_max(nanos, Ordering::Relaxed);
        limiter.check().map_err(|not_until| now + not_until.wait_time_from(told.now()))
    }
}
