//! Whether a gateway has ever said yes to us. A receiver that has not, and refuses what comes, has not been set up:
//! that is not the message's fault, and no message is lost by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a gateway has ever said yes to us, as an argument of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not yet, or not as far as this process knows.
    Unproven,
    /// It has.
    Proven,
}

/// The same, kept for one gateway and shared by all that speak to it. It begins unproven; the client turns it with the
/// first yes, and a worker that starts turns it if its ledger holds a delivery over this gateway that was accepted.
#[derive(Debug, Clone, Default)]
pub struct SharedStanding(Arc<AtomicBool>);

impl SharedStanding {
    /// The gateway has said yes.
    pub fn prove(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// How it stands.
    pub fn now(&self) -> Standing {
        if self.0.load(Ordering::Relaxed) { Standing::Proven } else { Standing::Unproven }
    }
}
