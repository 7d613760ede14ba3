//! Faults, as real gateways and the networks before them have them.

use serde::{Deserialize, Serialize};

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Sending a message.
    Send,
    /// Asking what became of one.
    Ask,
    /// Taking one back.
    Recall,
    /// Fetching an access token.
    Token,
}

/// What goes wrong with one call. Some act before the gateway looks at the call (nothing is sent then), some
/// after (a message that is fine goes out, and its answer does not come whole).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 500 before anything was sent.
    ServerError,
    /// 500 after it was sent.
    ServerErrorAfter,
    /// 429 with `Retry-After: 60`; nothing was sent.
    TooMany,
    /// The request is read and the connection closed without a word; nothing was sent.
    DropBefore,
    /// It is sent, and the connection closed without a word.
    AcceptThenDrop,
    /// It is sent, and the answer comes byte by byte.
    Slow,
    /// It is sent, and the connection is reset.
    Reset,
    /// 200 with a page of HTML, as a portal in between gives it; nothing was sent.
    Html,
    /// It is sent, and the answer breaks off in its middle.
    Truncated,
    /// It is sent, and the answer is whole by its length, but its JSON is not.
    HalfJson,
    /// It is sent, and the answer is megabytes long.
    Huge,
    /// The provider's own "system busy", in a 200; nothing was sent.
    Busy,
    /// A code in a 200 that no document has; nothing was sent.
    OddCode,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 13] = [
        Fault::ServerError,
        Fault::ServerErrorAfter,
        Fault::TooMany,
        Fault::DropBefore,
        Fault::AcceptThenDrop,
        Fault::Slow,
        Fault::Reset,
        Fault::Html,
        Fault::Truncated,
        Fault::HalfJson,
        Fault::Huge,
        Fault::Busy,
        Fault::OddCode,
    ];

    /// Whether the gateway does what it was asked before things go wrong.
    pub const fn after(self) -> bool {
        use Fault::{AcceptThenDrop, HalfJson, Huge, Reset, ServerErrorAfter, Slow, Truncated};
        matches!(self, ServerErrorAfter | AcceptThenDrop | Slow | Reset | Truncated | HalfJson | Huge)
    }

    /// Its word in scripts and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::ServerError => "server_error",
            Fault::ServerErrorAfter => "server_error_after",
            Fault::TooMany => "too_many",
            Fault::DropBefore => "drop_before",
            Fault::AcceptThenDrop => "accept_then_drop",
            Fault::Slow => "slow",
            Fault::Reset => "reset",
            Fault::Html => "html",
            Fault::Truncated => "truncated",
            Fault::HalfJson => "half_json",
            Fault::Huge => "huge",
            Fault::Busy => "busy",
            Fault::OddCode => "odd_code",
        }
    }
}
