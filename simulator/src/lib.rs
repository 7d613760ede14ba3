//! Simulated gateways: one program on loopback that speaks each provider's protocol as its documents have it,
//! so that tests, the demo and whoever tries Tocsin need no account.
//!
//! It shares no code with `alerts/`: what it checks it computes by itself, from the bytes that came.
//!
//! - *Signatures* are verified ([`verify`]); a wrong one is refused in the provider's own words.
//! - *Limits* are enforced ([`quota`]): 50 a day per template and phone (Aliyun), 2 a day per phone and the same
//!   text once in 30 s (Tencent), 20 a minute for robots, with 10 minutes of silence at DingTalk.
//! - *Receipts* come late, doubled, out of order, or not at all, by a seeded plan ([`plan`]).
//! - *Faults* are injected for single calls, by script or by seed ([`fault`]).
//! - *Phones* are remembered: what each got, for whoever judges ([`Simulator::messages`]).
//!
//! The clock is handed in, so a year passes as fast as it is told to. Only the pace of a slow answer is real
//! time: a client's time-out is, too.

pub mod fault;
mod http;
mod manage;
pub mod plan;
mod providers;
pub mod quota;
mod receipts;
mod serve;
mod state;
pub mod verify;

pub use fault::{Call, Fault};
pub use plan::Plan;
pub use providers::Gateway;
pub use receipts::Push;
pub use serve::Simulator;
pub use state::{Account, Handled, Message};

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Tells the time, in milliseconds since 1970 (UTC).
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A clock that moves when it is told to.
#[derive(Debug, Clone, Default)]
pub struct HandClock(Arc<AtomicI64>);

impl HandClock {
    /// A clock that stands at this instant.
    pub fn at(millis: i64) -> HandClock {
        HandClock(Arc::new(AtomicI64::new(millis)))
    }
    /// The present instant.
    pub fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
    /// Moves it forward.
    pub fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
    /// As a [`Clock`].
    pub fn clock(&self) -> Clock {
        let hand = self.clone();
        Arc::new(move || hand.now())
    }
}
