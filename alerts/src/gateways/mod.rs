//! Gateways: the protocols by which phones ring. One folder a gateway, split by role.
//!
//! | file | role |
//! |---|---|
//! | `config.rs` | what an operator says about it; secrets apart |
//! | `request.rs` | our words to its: send, ask, recall. Pure |
//! | `sign.rs` | its signature. Pure |
//! | `response.rs` | its words to ours: a [`Verdict`], a [`Told`], by its table of codes. Pure |
//! | `receipt.rs` | what it pushes later. Pure |
//!
//! Everything is a function of (configuration, message, instant, nonce) to bytes and of bytes to a verdict.
//! The one place that speaks to a network is [`send`]: it does what a gateway says, within time-outs and
//! the limits of [`guard`], and tells *certainly not sent* from *nobody knows*.
//!
//! # What every gateway promises (the contract suite in `alerts/tests/gateways` holds it to this)
//! - *Accepted* is said on the gateway's own yes in the body, for this phone, and on nothing else.
//! - A code that is not in its table is unknown, and visible.
//! - One request is one attempt: nothing is tried again in here.
//! - No secret, phone or text is in `Debug`, in an error or in a log line.
//!
//! # A new gateway
//! A folder, and its line in [`TABLE`]. One phone a call: the id that comes back with a receipt or when we
//! ask (`OutId`, `SessionContext`) belongs to the whole call, and is our delivery id.

pub mod aliyun;
pub mod dingtalk_notice;
pub mod dingtalk_robot;
pub mod guard;
pub mod http;
pub mod limits;
mod phone;
mod secret;
pub mod send;
pub mod settings;
mod sign;
pub mod standing;
pub mod tencent;
pub mod verdict;
pub mod webhook;
pub mod wecom_robot;

use std::sync::Arc;

use tocsin_schemas::time::Instant;

pub use guard::Endpoint;
pub use limits::{Kind, Limits};
pub use secret::Secret;
pub use settings::{ConfigError, Settings};
pub use standing::{SharedStanding, Standing};
pub use verdict::Verdict;

/// The eleven digits of a number of mainland China; `None`: it is none.
pub(crate) fn mainland(text: &str) -> Option<&str> {
    phone::mainland(text).ok()
}

use crate::channel::Outgoing;
use http::{Answer, HttpRequest};

/// Every gateway, by its name in configuration, contacts' `addresses`, `deliveries` and metrics.
pub const TABLE: &[Entry] = &[
    Entry { profile: &aliyun::PROFILE, secrets: aliyun::SECRETS, make: aliyun::make },
    Entry { profile: &tencent::PROFILE, secrets: tencent::SECRETS, make: tencent::make },
    Entry { profile: &dingtalk_robot::PROFILE, secrets: dingtalk_robot::SECRETS, make: dingtalk_robot::make },
    Entry {
        profile: &dingtalk_notice::PROFILE,
        secrets: dingtalk_notice::SECRETS,
        make: dingtalk_notice::make,
    },
    Entry { profile: &wecom_robot::PROFILE, secrets: wecom_robot::SECRETS, make: wecom_robot::make },
    Entry { profile: &webhook::PROFILE, secrets: webhook::SECRETS, make: webhook::make },
];

/// A line of [`TABLE`].
pub struct Entry {
    /// What is known of it without a configuration.
    pub profile: &'static Profile,
    /// The names of the secrets that its configuration takes.
    pub secrets: &'static [&'static str],
    /// Makes one from its settings. Makes no request.
    pub make: fn(&Settings) -> Result<Arc<dyn Gateway>, ConfigError>,
}

/// The gateway of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.profile.name == name)
}

/// What is known of a gateway without a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// What follows "nobody knows whether it was sent".
    pub kind: Kind,
    /// Of an askable one: "not found" means "not sent" only this long after the request, in seconds. `None`: never,
    /// because it lists a message only once its carrier has answered.
    pub not_found_counts_after_seconds: Option<u32>,
    /// The hosts that a request may go to. Empty: the one that the operator configured.
    pub hosts: &'static [&'static str],
    /// How its approved templates mark a variable. `None`: it takes a text as it is.
    pub marks: Option<Marks>,
    /// Its published limits.
    pub limits: Limits,
}

/// How an approved template marks a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// `${name}`: values go by their names.
    Named,
    /// `{1}`: values go by their order.
    Numbered,
}

/// What a request needs besides the message. Handed in, so that the same bytes can be made again.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The instant that is signed.
    pub now: Instant,
    /// Text that no other request carries.
    pub nonce: &'a str,
    /// The access token, for a gateway that has [`Tokens`].
    pub token: Option<&'a Secret>,
}

/// A gateway's protocol. Pure; see [`send::Post`] for doing it.
pub trait Gateway: Send + Sync + std::fmt::Debug {
    /// What is known of it.
    fn profile(&self) -> &'static Profile;
    /// Where requests go.
    fn endpoint(&self) -> &Endpoint;
    /// The request that sends this message.
    ///
    /// # Errors
    /// A message that this gateway cannot carry (no phone, a slot too long): permanent, nothing was sent.
    fn request(&self, message: &Outgoing, call: &Call<'_>) -> Result<HttpRequest, Verdict>;
    /// What the answer to that request means, for the message's one phone, from a gateway that stands so.
    fn response(&self, message: &Outgoing, answer: &Answer, now: Instant, standing: Standing) -> Verdict;
    /// Asking what became of a message, if it can be asked.
    fn asks(&self) -> Option<&dyn Asks> {
        None
    }
    /// Taking a message back, if it can.
    fn recalls(&self) -> Option<&dyn Recalls> {
        None
    }
    /// The access token that requests need, if they do.
    fn tokens(&self) -> Option<&dyn Tokens> {
        None
    }
    /// Receipts that it pushes, if it does.
    fn pushes(&self) -> Option<&dyn Pushes> {
        None
    }
}

/// A message whose fate is asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    /// Our id, which the gateway was given with the message.
    pub delivery_id: String,
    /// The address: personal data.
    pub to: String,
    /// When its "sending" was written.
    pub sent_at: Instant,
    /// The gateway's receipt number, where one came.
    pub gateway_ref: Option<String>,
}

impl Question {
    /// When it was sent as far as `now` can be: a clock that was set back since leaves a time that is still to come.
    pub(in crate::gateways) fn sent_by(&self, now: Instant) -> Instant {
        self.sent_at.min(now)
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Question({} sent at {})", self.delivery_id, self.sent_at)
    }
}

/// Which page of an answer is asked for, from 0.
pub type Page = u32;

/// A gateway that can be asked.
pub trait Asks: Send + Sync {
    /// The question; `None` where it cannot be put (no receipt number, and it is asked by that).
    fn request(&self, question: &Question, page: Page, call: &Call<'_>) -> Option<HttpRequest>;
    /// What the answer says.
    fn response(&self, question: &Question, page: Page, answer: &Answer, now: Instant) -> Told;
}

/// What a gateway says of a message that it was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It has it.
    Known {
        /// What became of it.
        fate: Fate,
        /// Its receipt number, if the answer carries one.
        gateway_ref: Option<String>,
    },
    /// It does not have it. See [`Profile::not_found_counts_after_seconds`].
    NotFound,
    /// Not on this page; there is this later one.
    NextPage(Page),
    /// The question was not answered: ask again. The verdict is of the question, not of the message.
    CannotTell(Verdict),
}

/// What became of a message after the gateway's yes, in the order in which it may move.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// The gateway has it; nothing is known of the phone.
    Accepted,
    /// It did not reach the phone, in the carrier's code (cleaned; no label).
    Failed(String),
    /// It reached the phone.
    Delivered,
}

impl Fate {
    /// The fate of a message of which a gateway has several rows (it was sent more than once): if one reached the phone
    /// it was delivered, and while one is pending nothing has failed.
    pub(in crate::gateways) fn of_rows(rows: impl IntoIterator<Item = Fate>) -> Option<Fate> {
        rows.into_iter().max_by_key(|fate| match fate {
            Fate::Failed(_) => 0,
            Fate::Accepted => 1,
            Fate::Delivered => 2,
        })
    }
}

/// What a gateway pushed about one message. Not signed by any of them: believe it only for ids that the
/// gateway gave us, and only forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Our id, where the gateway gives it back.
    pub delivery_id: Option<String>,
    /// The gateway's receipt number.
    pub gateway_ref: Option<String>,
    /// What became of it.
    pub fate: Fate,
    /// When the phone had it, by the gateway's clock.
    pub at: Option<Instant>,
}

/// Why a body is no receipt. The gateway's fault, or a stranger's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}; nothing of it was taken")]
pub struct NotAReceipt {
    /// What a receipt of this gateway is.
    pub expected: &'static str,
    /// What came, without its content.
    pub found: String,
}

/// A gateway that pushes receipts.
pub trait Pushes: Send + Sync {
    /// The receipts of a pushed body, in its order, doubled ones included.
    ///
    /// # Errors
    /// A body that is none: all or nothing.
    fn receipts(&self, body: &[u8]) -> Result<Vec<Receipt>, NotAReceipt>;
    /// The SMS of a pushed body that persons wrote back, in its order.
    ///
    /// # Errors
    /// A body that is none: all or nothing.
    fn replies(&self, body: &[u8]) -> Result<Vec<Written>, NotAReceipt>;
    /// The JSON that says that they were taken; anything else makes the gateway push again.
    fn taken(&self) -> &'static str;
}

/// An SMS that a person wrote back. Personal data, all of it: not to be kept or logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    /// Whose phone.
    pub phone: String,
    /// The words.
    pub text: String,
    /// When, by the gateway's clock.
    pub at: Option<Instant>,
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Written({} characters)", self.text.chars().count())
    }
}

/// Whether this gateway knows people by a name of its own, which a phone cannot stand for.
pub fn by_own_address(name: &str) -> bool {
    name == "dingtalk_notice"
}

/// What this gateway pushes, read without an account: receipts need no key.
pub fn pushes(name: &str) -> Option<&'static dyn Pushes> {
    match name {
        "aliyun" => Some(&aliyun::Pushed),
        "tencent" => Some(&tencent::Pushed),
        _ => None,
    }
}

/// A gateway that takes messages back.
pub trait Recalls: Send + Sync {
    /// The request that takes back the message with this receipt number.
    fn request(&self, gateway_ref: &str, call: &Call<'_>) -> Option<HttpRequest>;
    /// `Accepted`: it was taken back.
    fn response(&self, answer: &Answer, now: Instant) -> Verdict;
}

/// An access token and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The token.
    pub token: Secret,
    /// When it ends.
    pub until: Instant,
}

/// A gateway whose requests carry an access token.
pub trait Tokens: Send + Sync {
    /// The request for one.
    fn request(&self) -> HttpRequest;
    /// The token, or why there is none (nothing was sent then).
    fn response(&self, answer: &Answer, now: Instant) -> Result<Grant, Verdict>;
    /// Whether this answer says that the token is not valid (any more).
    fn refused(&self, answer: &Answer) -> bool;
}

#[cfg(test)]
mod tests;
