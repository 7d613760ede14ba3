//! Published limits of gateways, as data: for lint, quota and pages. Nothing here enforces them.

/// What happens after "nobody knows whether it was sent".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The gateway can be asked by our own delivery id, also when its answer was lost.
    Askable,
    /// The same key again is the same message: sent once.
    Idempotent,
    /// Nobody can tell. Policy decides whether to send once more.
    Neither,
}

impl Kind {
    /// The word on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Askable => "askable",
            Kind::Idempotent => "idempotent",
            Kind::Neither => "neither",
        }
    }
}

/// The limits of one gateway. `None`: none is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of the whole text, signature included, each character counting 1.
    pub text_chars: Option<usize>,
    /// Length of the text in bytes of UTF-8.
    pub text_bytes: Option<usize>,
    /// Length of one variable of a template, in characters.
    pub variable_chars: Option<usize>,
    /// How many messages in which window.
    pub quotas: &'static [Quota],
    /// Calls a minute for the whole account or robot.
    pub calls_per_minute: Option<u32>,
    /// How long it refuses everything once that was exceeded, in seconds.
    pub penalty_seconds: Option<u32>,
    /// Requests under way at a time. None is published: it keeps one slow gateway from taking all sockets.
    pub max_in_flight: u32,
}

/// No published limit.
pub const NO_LIMITS: Limits = Limits {
    text_chars: None,
    text_bytes: None,
    variable_chars: None,
    quotas: &[],
    calls_per_minute: None,
    penalty_seconds: None,
    max_in_flight: 64,
};

/// At most `max` messages in `window` for each `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many.
    pub max: u32,
    /// For each of what.
    pub per: Per,
    /// In which time.
    pub window: Window,
}

/// What a quota counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Per {
    Phone,
    PhoneAndTemplate,
    PhoneAndText,
}

/// The time that a quota runs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The natural day in UTC+8.
    Day,
    /// So many seconds, sliding.
    Seconds(u32),
}

/// SMS segments of a text of so many characters, the signature in its brackets included: up to 70 are one,
/// beyond that 67 each.
pub fn segments(chars: usize) -> usize {
    if chars <= 70 { 1 } else { chars.div_ceil(67) }
}
