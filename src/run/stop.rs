//! The wish to stop, seen by every part.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once, by a signal or by the failure of the other half; never taken back.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks everybody to finish what is in hand.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether to finish.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
