//! What comes back after a message was sent (topic `answers`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{UnknownCode, codes};

codes! {
    /// By which way an answer came.
    AnswerKind: "kind of answer" {
        /// A gateway pushed what became of a message.
        Receipt = "receipt",
        /// A person wrote an SMS back.
        Reply = "reply",
        /// A person pressed a button on the page behind a link.
        Link = "link",
        /// The operator's own gateway told us.
        Webhook = "webhook",
        /// A gateway was asked.
        Poll = "poll",
        /// The planner passes on that somebody else of the same audience has answered.
        Relayed = "relayed",
    }
}

codes! {
    /// What an answer says: the first two about the phone, the others by the person. Each group stands in the order in
    /// which a delivery may move: a later one adds to an earlier one and is never taken back by it.
    Says: "answer" {
        /// The phone did not get it.
        Failed = "failed",
        /// The phone got it.
        Delivered = "delivered",
        /// Words that were not understood, on purpose: no meaning is guessed.
        Other = "other",
        /// The person has read it (回复1, 收到).
        Acknowledged = "acknowledged",
        /// The person says that the case was withdrawn (已撤销). A claim: the clerk looks into it.
        WithdrawnClaim = "withdrawn_claim",
        /// The person says that it is not theirs (不是我单位): this address is not tried again.
        NotOurs = "not_ours",
    }
}

impl Says {
    /// Whether a person says it, and not a gateway about a phone.
    pub const fn by_person(self) -> bool {
        !matches!(self, Says::Failed | Says::Delivered)
    }
}

codes! {
    /// What follows from a failed delivery: the five classes of gateways' errors.
    FailureClass: "class of failure" {
        /// The phone is off or out of reach: another time may help.
        Transient = "transient",
        /// A limit of the carrier is used up for now.
        Window = "window",
        /// Account, signature or route: the operator's.
        Account = "account",
        /// This phone will not get it: no such number, or it refuses.
        Permanent = "permanent",
        /// The code says nothing, or is in no table.
        Unknown = "unknown",
    }
}
