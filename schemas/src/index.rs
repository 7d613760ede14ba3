//! What a log may be able to look up in the ledger of deliveries without reading it through. Pure.
//!
//! A log that keeps an index brings it up to date in the transactions of appends, and reads the few records through that it
//! has not taken in yet. It is told nothing: what a delivery is found by stands here ([`marks`], [`Ask::covers`]).

use sha2::{Digest as _, Sha256};

use crate::codes::Says;
use crate::ids::Uscc;
use crate::log::{LogError, LogRecord};
use crate::records::{Delivery, DeliveryState};
use crate::time::Instant;

/// The reason of `failed` when a carrier says that nobody has this number, or that it takes nothing.
pub const BOUNCED: &str = "bounced";

/// Which deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask<'a> {
    /// That had not ended by their last record.
    Open,
    /// With this id.
    Id(&'a str),
    /// Of this case.
    Case(&'a str),
    /// To the phone with this hash.
    Phone(&'a str),
    /// About this enterprise, or to it.
    Enterprise(&'a str),
    /// Over this gateway.
    Gateway(&'a str),
    /// With a record of this time or later, and before the other one if there is one.
    Written(Instant, Option<Instant>),
    /// Whose address is not tried again: it bounced, or its holder has said that it is not theirs.
    Refused,
    /// Over this gateway, when it has ever said yes. One of them is enough.
    Accepted(&'a str),
}

/// Looks deliveries up.
pub trait LedgerIndex: Send {
    /// Gives `each` all records that the log still holds of at least the deliveries that one of `asks` is about, of this
    /// partition or of all; those of one delivery in their order, each once. It may bring others, too: whoever asks looks
    /// again. All are of one moment.
    ///
    /// # Errors
    /// `Retry`: the index is far behind, because a program that does not know it has written. Those of reading, and of `each`.
    fn look_up(
        &mut self,
        asks: &[Ask<'_>],
        partition: Option<u32>,
        each: &mut dyn FnMut(LogRecord) -> Result<(), LogError>,
    ) -> Result<(), LogError>;
}

impl Ask<'_> {
    /// Whether this record of a delivery is one by which it is found.
    pub fn covers(&self, delivery: &Delivery) -> bool {
        match *self {
            Ask::Open => open(delivery.state),
            Ask::Id(id) => delivery.delivery_id == id,
            Ask::Case(case) => delivery.case_no == case,
            Ask::Phone(hash) => delivery.phone_hash.as_deref() == Some(hash),
            Ask::Enterprise(uscc) => delivery.uscc.as_str() == uscc || delivery.subject == uscc,
            Ask::Gateway(name) => delivery.channel == name,
            Ask::Written(from, before) => {
                delivery.at >= from && before.is_none_or(|before| delivery.at < before)
            }
            Ask::Refused => refuses(delivery),
            Ask::Accepted(name) => delivery.channel == name && accepted(delivery.state),
        }
    }
}

/// Whether more will happen to a delivery in this state.
pub fn open(state: DeliveryState) -> bool {
    match state {
        DeliveryState::Planned | DeliveryState::Sending | DeliveryState::Uncertain => true,
        DeliveryState::Accepted
        | DeliveryState::Delivered
        | DeliveryState::Failed
        | DeliveryState::Skipped => false,
    }
}

fn accepted(state: DeliveryState) -> bool {
    matches!(state, DeliveryState::Accepted | DeliveryState::Delivered)
}

fn refuses(delivery: &Delivery) -> bool {
    match delivery.state {
        DeliveryState::Delivered => delivery.reason.as_deref() == Some(Says::NotOurs.as_str()),
        DeliveryState::Failed => delivery.reason.as_deref() == Some(BOUNCED),
        _ => false,
    }
}

/// What a delivery is found by, as a number that hangs on nothing but that: the same in every version of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The first eight bytes of a SHA-256.
    pub hash: i64,
    /// Enough when one delivery has it.
    pub one_is_enough: bool,
}

fn mark(kind: u8, text: &str) -> Mark {
    let hash = Sha256::new().chain_update([kind]).chain_update(text).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    Mark { hash: i64::from_be_bytes(first), one_is_enough: kind == b'y' }
}

/// The mark that is asked for, where one is.
pub fn mark_of(ask: Ask<'_>) -> Option<Mark> {
    match ask {
        Ask::Id(id) => Some(mark(b'i', id)),
        Ask::Phone(hash) => Some(mark(b'p', hash)),
        Ask::Enterprise(uscc) => Some(mark(b'e', uscc)),
        Ask::Gateway(name) => Some(mark(b'g', name)),
        Ask::Refused => Some(mark(b'r', "")),
        Ask::Accepted(name) => Some(mark(b'y', name)),
        Ask::Open | Ask::Case(_) | Ask::Written(..) => None,
    }
}

/// The marks of a record.
pub fn marks(delivery: &Delivery) -> Vec<Mark> {
    let uscc = delivery.uscc.as_str();
    // A township is no enterprise, and its mark would be all of its deliveries'.
    let other = delivery.subject != uscc && delivery.subject.parse::<Uscc>().is_ok();
    let asks = [
        Some(Ask::Id(&delivery.delivery_id)),
        delivery.phone_hash.as_deref().map(Ask::Phone),
        Some(Ask::Enterprise(uscc)),
        other.then_some(Ask::Enterprise(&delivery.subject)),
        Some(Ask::Gateway(&delivery.channel)),
        refuses(delivery).then_some(Ask::Refused),
        accepted(delivery.state).then_some(Ask::Accepted(&delivery.channel)),
    ];
    asks.into_iter().flatten().filter_map(mark_of).collect()
}
