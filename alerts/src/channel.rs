//! What the worker sees of a way to reach a person: a message goes in, an [`Outcome`] comes out. What the
//! providers say on the wire is known to [`crate::gateways`] and nowhere else.

use std::borrow::Cow;

use tocsin_schemas::codes::Role;
use tocsin_schemas::time::Instant;

use crate::clock::BoxFuture;
use crate::gateways::{Kind, Question, Told};

/// One message to one person.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The delivery's id: the same for every attempt, so that a gateway sends it once.
    pub idempotency_key: String,
    /// The address: personal data.
    pub to: String,
    /// What to say.
    pub text: String,
    /// Which text it is, such as `T1`.
    pub template: String,
    /// What was put into the text's slots, by the slot's name, for gateways that fill in an approved template
    /// themselves. Empty where the text alone is sent.
    pub slots: Vec<(&'static str, String)>,
    /// The alert that it delivers.
    pub alert_id: String,
    /// The number that people quote.
    pub case_no: String,
    /// The role that is told.
    pub role: Role,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Where the person can see and answer it, for gateways that take free text.
    pub link: Option<String>,
}

impl std::fmt::Debug for Outgoing {
    /// Without the address (invariant I9).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outgoing({} {} attempt {})", self.idempotency_key, self.template, self.attempt)
    }
}

/// A short name for what happened, from a bounded list: it becomes a metric label. Never a gateway's text.
pub type OutcomeReason = Cow<'static, str>;

/// What came of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The gateway said yes in so many words (invariant I5).
    Accepted {
        /// Its receipt number, if it gave one.
        gateway_ref: Option<String>,
    },
    /// The message certainly did not go out, and trying again may help.
    Transient {
        /// What happened.
        reason: OutcomeReason,
        /// How long the gateway asked us to wait, in milliseconds.
        retry_after_ms: Option<i64>,
    },
    /// The message certainly did not go out: a quota of the gateway is used up. Waiting, a digest or another
    /// channel helps; trying again at once does not.
    WindowUsedUp {
        /// Which quota.
        reason: OutcomeReason,
        /// When the window ends, where that is known.
        until: Option<Instant>,
    },
    /// The message certainly did not go out, and no message will before a person has acted: money, permission,
    /// signature, address. The operator's.
    Account {
        /// What is wrong.
        reason: OutcomeReason,
    },
    /// The message certainly did not go out, and none with its template will before the operator has it approved again;
    /// others do.
    Text {
        /// What is wrong.
        reason: OutcomeReason,
    },
    /// The gateway said no, and will again.
    Permanent {
        /// What it said.
        reason: OutcomeReason,
    },
    /// The message may have gone out. To be tried again only with the same key, or asked about.
    Unknown {
        /// What happened.
        reason: OutcomeReason,
        /// How long the gateway asked us to wait, in milliseconds.
        retry_after_ms: Option<i64>,
    },
}

/// A gateway.
pub trait Channel: Send + Sync {
    /// Its name in contacts' `addresses`, in `deliveries` and in metrics, such as `webhook`.
    fn name(&self) -> &'static str;
    /// Makes one request and tells what came of it. Must return within the channel's own time-out and must
    /// not retry by itself: the ledger counts attempts. Dropping the future leaves the outcome unknown.
    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Outcome>;
    /// What follows an unknown outcome.
    fn kind(&self) -> Kind;
    /// How long after a request "not found" means "not sent", in milliseconds; of an askable one.
    fn not_found_counts_after_ms(&self) -> i64;
    /// Whether it can be asked what became of a message that it has accepted. More can than are askable: one may know a
    /// message by the number alone that its yes carries.
    fn asks(&self) -> bool {
        self.kind() == Kind::Askable
    }
    /// Asks what became of a message; of one that can be asked. As [`Channel::send`]: once, within its time-out.
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Told>;
    /// Whether it takes messages back.
    fn recalls(&self) -> bool {
        false
    }
    /// Takes back the message with this receipt number. `Accepted`: the gateway says that it is gone. As
    /// [`Channel::send`]: once, within its time-out.
    fn recall<'a>(&'a self, _gateway_ref: &'a str) -> BoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::Permanent { reason: "cannot_be_recalled".into() } })
    }
}
