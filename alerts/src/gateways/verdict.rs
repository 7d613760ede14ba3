//! What a gateway's answer means: its codes by table, else the HTTP status. Pure.
//!
//! | what came | class |
//! |---|---|
//! | a code of the gateway's table | as the table says |
//! | a code that is not in the table | unknown, `unknown_code`; the code itself stands in [`Verdict::code`] |
//! | 2xx without a readable code (HTML, nothing, broken off, too long) | unknown, `unreadable_answer` |
//! | 408, 425, 429, 5xx without one | unknown: it may have been sent before the failure |
//! | 401, 403, 407 | account |
//! | 3xx, other 4xx without one | account: this address is not the gateway's |
//! | no connection | transient, `connection_refused`, `connect_timeout`, `dns`, `tls`: certainly not sent |
//! | a name that leads inside, a certificate that is not the gateway's | account, `leads_inside`, `tls` |
//! | written, and no whole answer | unknown: `timeout`, `connection_lost` |
//!
//! `gateways.md` counts every 5xx as transient. Here one without the gateway's own code is unknown, because a proxy in
//! front of a gateway says the same after the message was taken; 408, 425 and 429 likewise. None of the providers
//! documents them as "nothing was done". The webhook's contract does, see [`crate::gateways::webhook`].

use tocsin_schemas::time::Instant;

use super::http::Answer;
use crate::channel::{Outcome, OutcomeReason};

/// What came of one request, with what a person wants to know besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Class and reason.
    pub outcome: Outcome,
    /// The gateway's own code, cleaned: at most 64 visible ASCII characters. For log and page, never a label.
    pub code: Option<String>,
    /// Whether the answer said that the person has acknowledged already.
    pub acknowledged: bool,
    /// What the operator has to do, where more is known than the reason says. For the log.
    pub advice: Option<&'static str>,
}

/// The five classes of `gateways.md`, for a code of a gateway's table; of its class account what is about one template is a
/// class of its own, because it says nothing about other messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Certainly not sent; trying again may help.
    Transient,
    /// Certainly not sent; the quota is used up until then.
    Window(Until),
    /// Certainly not sent; the operator acts.
    Account,
    /// Certainly not sent; the operator has the template approved again.
    Text,
    /// Certainly not sent, and never will be.
    Permanent,
    /// It may have been sent.
    Unknown,
}

/// When a used-up window ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// With the natural day in UTC+8.
    Midnight,
    /// So many seconds from now.
    Seconds(i64),
    /// The gateway does not say which of its windows it was.
    Unstated,
}

/// A row of a gateway's table: its code (one that ends in `*` stands for all that begin so), and its class.
pub type Row = (&'static str, Class);

impl Verdict {
    /// A plain outcome.
    pub fn of(outcome: Outcome) -> Verdict {
        Verdict { outcome, code: None, acknowledged: false, advice: None }
    }

    /// How long the gateway asked us to wait, in milliseconds.
    pub fn retry_after_ms(&self) -> Option<i64> {
        match &self.outcome {
            Outcome::Transient { retry_after_ms, .. } | Outcome::Unknown { retry_after_ms, .. } => {
                *retry_after_ms
            }
            _ => None,
        }
    }

    /// The gateway's own yes.
    pub fn accepted(gateway_ref: Option<String>) -> Verdict {
        Verdict::of(Outcome::Accepted { gateway_ref })
    }

    /// Certainly not sent; trying again may help.
    pub fn transient(reason: impl Into<OutcomeReason>) -> Verdict {
        Verdict::of(Outcome::Transient { reason: reason.into(), retry_after_ms: None })
    }

    /// It may have been sent.
    pub fn unknown(reason: impl Into<OutcomeReason>) -> Verdict {
        Verdict::of(Outcome::Unknown { reason: reason.into(), retry_after_ms: None })
    }

    /// Certainly not sent, and the operator acts.
    pub fn account(reason: impl Into<OutcomeReason>) -> Verdict {
        Verdict::of(Outcome::Account { reason: reason.into() })
    }

    /// A no.
    pub fn permanent(reason: impl Into<OutcomeReason>) -> Verdict {
        Verdict::of(Outcome::Permanent { reason: reason.into() })
    }

    /// What a code that is not the gateway's yes means.
    pub fn of_code(table: &'static [Row], code: &str, answer: &Answer, now: Instant) -> Verdict {
        let row = find(table, code);
        let retry_after_ms = answer.retry_after_ms;
        let reason: OutcomeReason = row.map_or("unknown_code", |(name, _)| label(name)).into();
        let outcome = match row.map_or(Class::Unknown, |(_, class)| class) {
            Class::Transient => Outcome::Transient { reason, retry_after_ms },
            Class::Window(until) => Outcome::WindowUsedUp { reason, until: until.after(now) },
            Class::Account => Outcome::Account { reason },
            Class::Text => Outcome::Text { reason },
            Class::Permanent => Outcome::Permanent { reason },
            Class::Unknown => Outcome::Unknown { reason, retry_after_ms },
        };
        Verdict { outcome, code: Some(cleaned(code)), acknowledged: false, advice: None }
    }

    /// What an answer without the gateway's own code means.
    pub fn of_status(answer: &Answer) -> Verdict {
        let retry_after_ms = answer.retry_after_ms;
        let reason: OutcomeReason = format!("http_{}", answer.status).into();
        Verdict::of(match answer.status {
            200..=299 => Outcome::Unknown { reason: "unreadable_answer".into(), retry_after_ms },
            408 | 425 | 429 | 500.. => Outcome::Unknown { reason, retry_after_ms },
            _ => Outcome::Account { reason },
        })
    }
}

impl Until {
    fn after(self, now: Instant) -> Option<Instant> {
        match self {
            Until::Midnight => Some(now.day().plus(1).midnight()),
            Until::Seconds(seconds) => Some(now.plus_millis(seconds * 1000)),
            Until::Unstated => None,
        }
    }
}

/// The row of a code: the exact one, else the longest prefix.
pub fn find(table: &'static [Row], code: &str) -> Option<Row> {
    let exact = table.iter().find(|(name, _)| *name == code);
    let prefix = || {
        table
            .iter()
            .filter(|(name, _)| name.strip_suffix('*').is_some_and(|start| code.starts_with(start)))
            .max_by_key(|(name, _)| name.len())
    };
    exact.or_else(prefix).copied()
}

/// The row's name as a reason: a prefix without its star and dot.
fn label(name: &'static str) -> &'static str {
    name.trim_end_matches(['*', '.'])
}

/// A code as it may stand in a log line.
fn cleaned(code: &str) -> String {
    code.chars().filter(char::is_ascii_graphic).take(64).collect()
}
