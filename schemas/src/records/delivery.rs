use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::codes::DeliveryState;
use crate::codes::{Change, Role, Urgency};
use crate::ids::Uscc;
use crate::time::Instant;

/// One attempt series to one person over one channel (topic `deliveries`, key `delivery_id`, routed by `phone_hash`):
/// the ledger. It stands for itself: whoever sends it needs no alert. It holds no phone and no name: the person is the
/// contact's place (role, subject, rank, version), and a phone is known by its keyed hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Hash of alert, role, subject, channel, contact and phone; the idempotency key that the gateway is given.
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
    /// Whose contact is asked, where that is not `subject`: a township that stands in for an owner.
    pub contact_subject: Option<String>,
    /// Keyed hash of the person's phone, or of the address where there is no phone.
    pub phone_hash: Option<String>,
    /// Keyed hash of the address on this channel: whether a gateway that is asked later is asked about the same one.
    pub address_hash: Option<String>,
    /// What its alert changes.
    #[serde(default = "first")]
    pub change: Change,
    /// When it may ring.
    #[serde(default = "daytime")]
    pub urgency: Urgency,
    /// When its alert was decided; `None` in records of an earlier release.
    pub decided_at: Option<Instant>,
    /// Its alert's episode and revision: the order in its thread among alerts of one instant.
    #[serde(default)]
    pub episode: u32,
    /// See `episode`.
    #[serde(default)]
    pub revision: u32,
    /// The enterprise's area when the alert was decided.
    pub area: Option<String>,
    /// What stands in the slots of its text, by the slot's name.
    #[serde(default)]
    pub slots: BTreeMap<String, String>,
}

// What records of an earlier release, which lack these fields, are read as.
fn first() -> Change {
    Change::New
}
fn daytime() -> Urgency {
    Urgency::Daytime
}
