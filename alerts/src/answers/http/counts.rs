//! What was done with what came, counted: labels of a metric, so from a closed list.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What was done with an answer, a request or a look at a page.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Outcome { $($(#[$doc])* $name,)* }
        impl Outcome {
            /// All of them.
            pub const ALL: &'static [Outcome] = &[$(Outcome::$name),*];
            /// The name in metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Outcome::$name => $text,)* }
            }
        }
    };
}

outcomes! {
    /// An answer that is durable now.
    Taken = "taken",
    /// An answer to an id that we never gave, or from a phone that is no contact's. Nothing is kept of it.
    Unknown = "unknown",
    /// A request with an unknown id that is young: it is to come again.
    NotYet = "not_yet",
    /// Our log did not take it: it is to come again.
    NotDurable = "not_durable",
    /// A body that is not what its path takes.
    Unreadable = "unreadable",
    /// Over 64 KiB.
    TooLarge = "too_large",
    /// It took longer than 10 s.
    TooSlow = "too_slow",
    /// Over the rate of the peer, or of all.
    TooMany = "too_many",
    /// An address that is not allowed.
    WrongAddress = "wrong_address",
    /// Not the secret path.
    WrongSecret = "wrong_secret",
    /// A wrong signature, or one of another time.
    NotSigned = "not_signed",
    /// Any other path.
    Nowhere = "nowhere",
    /// A page was shown.
    Shown = "shown",
    /// A page whose answer was given before.
    Used = "used",
    /// A link that has ended.
    Expired = "expired",
    /// A link that was not made here.
    NoLink = "no_link",
}

/// The counters. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<[AtomicU64; Outcome::ALL.len()]>);

impl Counts {
    /// So many more.
    pub(super) fn count(&self, outcome: Outcome, n: u64) {
        self.0[outcome as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// How many since the start.
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }
}
