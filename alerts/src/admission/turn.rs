//! Whose turn it is when more waits than may go.

use std::cmp::Reverse;

use tocsin_schemas::codes::Severity;
use tocsin_schemas::time::Instant;

/// A place in the backlog of one gateway: the worst first, of these the oldest, in the order of their cases; the id
/// decides what is left, so that the order is the same after a restart. A message that comes back unsent keeps its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Turn {
    severity: Reverse<Severity>,
    since: Instant,
    case_no: String,
    delivery_id: String,
}

impl Turn {
    /// The place of a message about this case, which is so bad, decided at `since`.
    pub fn new(severity: Severity, since: Instant, case_no: &str, delivery_id: &str) -> Turn {
        let (case_no, delivery_id) = (case_no.to_owned(), delivery_id.to_owned());
        Turn { severity: Reverse(severity), since, case_no, delivery_id }
    }

    /// The delivery.
    pub fn delivery_id(&self) -> &str {
        &self.delivery_id
    }
}
