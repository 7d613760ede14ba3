//! Whose turn it is when more waits than may go.

use std::cmp::Reverse;

use tocsin_schemas::codes::Severity;
use tocsin_schemas::time::Instant;

/// A place in the backlog of one gateway: the worst first, of these the oldest; the id decides what is left, so that
/// the order is the same after a restart. A message that comes back unsent keeps its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Turn {
    severity: Reverse<Severity>,
    since: Instant,
    delivery_id: String,
}

impl Turn {
    /// The place of a message about something so bad, decided at `since`.
    pub fn new(severity: Severity, since: Instant, delivery_id: &str) -> Turn {
        Turn { severity: Reverse(severity), since, delivery_id: delivery_id.to_owned() }
    }

    /// The delivery.
    pub fn delivery_id(&self) -> &str {
        &self.delivery_id
    }
}
