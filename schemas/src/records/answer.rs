use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::codes::{AnswerKind, FailureClass, Says};
use crate::time::Instant;

/// What came back after a message: a gateway's receipt, a person's reply, a press on the page behind a link (topic
/// `answers`, key `delivery_id`, else `phone_hash`). It holds no phone and no word of a reply: only what it means.
///
/// What it does to its delivery is not said here: that depends on how the delivery stands when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Hash of what makes it the same answer ([`Answer::id`]): a doubled receipt is the same record.
    pub answer_id: String,
    /// The delivery that it answers. `None`: only the phone is known (an SMS reply names no message).
    pub delivery_id: Option<String>,
    /// The gateway that it came by, such as `aliyun`; of a `link` the one that carried the link.
    pub gateway: String,
    /// The gateway's own number of the message, where the answer carries one.
    pub gateway_ref: Option<String>,
    /// By which way it came.
    pub kind: AnswerKind,
    /// What it says.
    pub says: Says,
    /// Of `failed`: what follows.
    pub class: Option<FailureClass>,
    /// Of `failed`: the carrier's code, cleaned. For log and page, never a label.
    pub code: Option<String>,
    /// Of a `reply`: the keyed hash of the phone, as deliveries have it.
    pub phone_hash: Option<String>,
    /// Of a `reply`: the incident's number, where the person quoted it.
    pub case_no: Option<String>,
    /// When it came to us.
    pub received_at: Instant,
    /// When it was so, by the clock of whoever says it.
    pub said_at: Option<Instant>,
}

impl Answer {
    /// The id of this answer: 26 characters over everything but `received_at`, `class` (which our own table gives) and
    /// the id itself. So what comes twice has the same id, and what came to another message or at another time has not.
    pub fn id(&self) -> String {
        let said_at = self.said_at.map(|at| at.0.to_string());
        let parts = [
            Some("answer"),
            self.delivery_id.as_deref(),
            Some(&self.gateway),
            self.gateway_ref.as_deref(),
            Some(self.kind.as_str()),
            Some(self.says.as_str()),
            self.code.as_deref(),
            self.phone_hash.as_deref(),
            self.case_no.as_deref(),
            said_at.as_deref(),
        ];
        let mut hash = Sha256::new();
        for part in parts {
            // The length before each part keeps ("ab", "c") and ("a", "bc") apart; absent is not empty.
            hash.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        data_encoding::BASE32_NOPAD.encode(&hash.finalize()[..16])
    }

    /// The same with its id.
    #[must_use]
    pub fn with_id(self) -> Answer {
        Answer { answer_id: self.id(), ..self }
    }

    /// What it is written under: its delivery, else the hash of the phone.
    pub fn key(&self) -> &str {
        self.delivery_id.as_deref().or(self.phone_hash.as_deref()).unwrap_or(&self.answer_id)
    }
}
