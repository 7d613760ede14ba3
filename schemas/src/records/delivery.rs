use serde::{Deserialize, Serialize};

pub use crate::codes::DeliveryState;
use crate::codes::Role;
use crate::ids::Uscc;
use crate::time::Instant;

/// One attempt series to one person over one channel (topic `deliveries`, key `delivery_id`): the ledger.
/// It holds no phone and no name: the person is the contact's place (role, subject, rank, version).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Hash of alert, role, subject and channel; the idempotency key that the gateway is given.
    pub delivery_id: String,
    /// The alert that it delivers.
    pub alert_id: String,
    /// The alert's `case_no`. Deliveries of one case to one role and subject are a *thread*: they go out
    /// in order, and a correction looks back at what went out before it.
    pub case_no: String,
    /// The enterprise that the alert is about.
    pub uscc: Uscc,
    /// The role told.
    pub role: Role,
    /// Whose role.
    pub subject: String,
    /// Rank and version of the contact that was asked, once one was found.
    pub contact_rank: Option<u32>,
    /// See `contact_rank`.
    pub contact_version: Option<i64>,
    /// The channel, such as `webhook`.
    pub channel: String,
    /// Which text of people.md, such as `T1`.
    pub template: String,
    /// How far it has come.
    pub state: DeliveryState,
    /// A named reason for `failed`, `skipped` and for a retry.
    pub reason: Option<String>,
    /// Requests made so far; the present one included while `sending`.
    pub attempt: u32,
    /// When this state was entered.
    pub at: Instant,
    /// When the next attempt is due, while one is.
    pub due_at: Option<Instant>,
    /// The gateway's own receipt number.
    pub gateway_ref: Option<String>,
    /// Whether some request of this series may have been delivered although no yes was seen (a time-out
    /// after it was written, a stop between `sending` and the outcome). Once true it stays, until the gateway was
    /// asked and knew.
    pub uncertain: bool,
    /// The role of the contact that was asked: that of `role`, or one fallen back to.
    pub contact_role: Option<Role>,
    /// When the `sending` of the last request was written: what a gateway is asked about later. `None` before the
    /// first one.
    pub sent_at: Option<Instant>,
}
