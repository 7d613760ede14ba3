//! How many requests a worker makes at once, whichever of its senders makes them.

use std::sync::Arc;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// A bounded number of slots.
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    freed: Arc<Notify>,
}

/// One of them, until it is dropped.
pub(crate) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    freed: Arc<Notify>,
}

impl Slots {
    /// So many.
    pub fn new(most: usize) -> Slots {
        Slots { free: Arc::new(Semaphore::new(most)), freed: Arc::default() }
    }

    /// One of them, if one is free.
    pub fn take(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(Slot { permit: Some(permit), freed: Arc::clone(&self.freed) })
    }

    /// Returns when one is freed after it was enabled.
    pub fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // First free, then told: whoever is woken finds it.
        self.permit = None;
        self.freed.notify_waiters();
    }
}
