//! Lets the log drop what it need not keep, where it does not do so by itself: what is superseded once the past was found
//! in order, and then each midnight; what is past its days at midnights alone, when whoever decides has gone through one by
//! this clock and everybody has long read what goes. On a thread of its own; nothing waits for it, and a failure only leaves
//! the log longer than it need be.

use std::sync::Arc;
use std::time::Duration;

use tocsin_alerts::clock::{Clock as _, SystemClock};
use tocsin_schemas::log::{EventLog, LogError};
use tocsin_schemas::time::Instant;
use tokio::sync::oneshot;

use super::pipeline::clock::JUMP_DAYS;
use super::wall::WallClock;

/// Runs until it is dropped. `in_order` brings the decision clock, or the machine's where the operator accepts that; `None`: the process that decides knows it.
pub async fn run(log: Arc<dyn EventLog>, wall: WallClock, in_order: oneshot::Receiver<Option<Instant>>) {
    let Ok(mut known) = in_order.await else { return };
    let mut at_midnight = false;
    loop {
        let now = SystemClock.now();
        let believed = credible(known, now);
        let expires = at_midnight && believed;
        let log = Arc::clone(&log);
        match tokio::task::spawn_blocking(move || tidy(&*log, expires)).await {
            Ok(Ok((0, 0))) => {}
            Ok(Ok((superseded, expired))) => {
                tracing::info!(superseded, expired, "dropped what is superseded or past its days");
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "could not drop what is superseded or past its days: tried again at midnight");
            }
            Err(_) => return,
        }
        match known {
            Some(_) if believed => known = Some(now),
            Some(known) => {
                tracing::warn!(%known, %now, "nothing is deleted for its age: this machine's clock is far ahead of what was decided");
            }
            None => {}
        }
        at_midnight = true;
        // Past midnight for certain, so that it is not the same one again.
        tokio::time::sleep(wall.until_midnight() + Duration::from_secs(1)).await;
    }
}

/// How many records were superseded, and how many past their days.
fn tidy(log: &dyn EventLog, expires: bool) -> Result<(u64, u64), LogError> {
    Ok((log.compact()?, if expires { log.expire()? } else { 0 }))
}

/// Whether the machine's clock is to be believed: what is deleted by one that is a year ahead is gone for good.
fn credible(known: Option<Instant>, now: Instant) -> bool {
    known.is_some_and(|known| now.day().0.saturating_sub(known.day().0) <= JUMP_DAYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_more_than_35_days_ahead_of_what_was_decided_deletes_nothing() {
        let at = |text: &str| text.parse::<Instant>().unwrap();
        let known = Some(at("2026-11-01T23:59:00+08:00"));
        assert!(credible(known, at("2026-11-02T00:00:01+08:00")));
        assert!(credible(known, at("2026-12-06T23:00:00+08:00")), "35 days");
        assert!(!credible(known, at("2026-12-07T00:00:00+08:00")));
        assert!(!credible(known, at("2027-11-01T23:59:00+08:00")));
        assert!(credible(known, at("2020-01-01T00:00:00+08:00")), "one that is behind deletes too little");
        assert!(!credible(None, at("2026-11-02T00:00:01+08:00")));
    }
}
