//! The clock that a worker goes by: the wall's in service, a simulated one in the demo and in tests.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tocsin_schemas::time::Instant;

/// A future that can be kept in a box and moved between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Tells the time and waits. Contacts' validity, retries and the ledger's time stamps go by it; time-outs
/// of requests do not (a gateway is as slow as it is, whatever a simulation believes).
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Instant;
    /// Returns once `now()` is not before `at`. Dropping the future is fine.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()>;
    /// Time since this machine began, through a suspend and whatever the wall clock does: how long this process may
    /// have stood still. Of every clock the same, but for tests of just that.
    fn boot(&self) -> Duration {
        let now = rustix::time::clock_gettime(BOOT);
        Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
    }
}

/// Waits until this instant; for ever where there is none.
pub(crate) async fn wait_for(clock: &dyn Clock, due: Option<Instant>) {
    match due {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(target_os = "linux")]
const BOOT: rustix::time::ClockId = rustix::time::ClockId::Boottime;
// Elsewhere the clock that goes on in a suspend, as far as there is one.
#[cfg(not(target_os = "linux"))]
const BOOT: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

/// The wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant(jiff::Timestamp::now().as_millisecond())
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let left = at.0.saturating_sub(self.now().0);
                if left <= 0 {
                    return;
                }
                // Looked at again now and then, because the wall clock may be set while we wait.
                tokio::time::sleep(Duration::from_millis(left.min(30_000) as u64)).await;
            }
        })
    }
}
