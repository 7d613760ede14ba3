//! The messages of people.md section 5.3: an alert and one of its audiences in, a text out. Pure.
//!
//! # Rules that hold for every text
//! - At most [`LIMIT`] characters, the signature included, each counting 1: one SMS segment.
//! - The wording is fixed, because gateways approve templates; only the slots vary. Slots are separated by
//!   text and hold no 【】.
//! - It names the enterprise (T7, T8, T11) and never a person. Nothing in an alert could.
//! - It carries the case number, so that two messages never look the same and people can quote it.
//!
//! # Which text
//! | audience | change | text |
//! |---|---|---|
//! | owner | new, minor | T1 |
//! | owner | new or upgraded, severe or fatal | T2 |
//! | owner | corrected | T3 |
//! | owner | downgraded (and upgraded to minor, which no rule makes) | T12 |
//! | others | new, raised or added, red and a severe or fatal incident joins | T8 |
//! | others | new or raised otherwise | T7 |
//! | others | eased, closed | T11 |
//!
//! # Slots
//! - `{M}{D}`: the day of the accident. When its year is not that of the decision, the year stands before
//!   the month, so that 本年 (this year) in T1 reads as the accident's year, which is the one counted.
//! - `{cause}`: the name of GB 6441, or 原因待查 (to be found out).
//! - `{act}`: see [`corrected_act`] and [`eased_act`].
//! - `{ent}`: short name, else the registered one; over 14 characters it is cut to 13 and `…`; without any
//!   name 尾号 and the last 8 symbols of its code. Cut further if a text would be too long.
//! - counts above 999 read `999+`.

mod slots;
mod templates;

pub use slots::{corrected_act, eased_act};

use tocsin_schemas::codes::{Change, Level, Role, Severity};
use tocsin_schemas::records::{Alert, Audience};

/// The longest message, in characters: one segment of SMS.
pub const LIMIT: usize = 70;

/// One approved text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the ids are those of people.md section 5.3")]
pub enum Template {
    T1,
    T2,
    T3,
    T7,
    T8,
    T11,
    T12,
}

impl Template {
    /// Every text that is worded here.
    pub const ALL: [Template; 7] =
        [Template::T1, Template::T2, Template::T3, Template::T7, Template::T8, Template::T11, Template::T12];
    /// Its id in people.md.
    pub const fn id(self) -> &'static str {
        match self {
            Template::T1 => "T1",
            Template::T2 => "T2",
            Template::T3 => "T3",
            Template::T7 => "T7",
            Template::T8 => "T8",
            Template::T11 => "T11",
            Template::T12 => "T12",
        }
    }
}

/// A worded message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Which text it is.
    pub template: Template,
    /// The text, with its signature.
    pub text: String,
}

/// Why an alert cannot be worded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The alert lacks a fact that its text needs. A fault of the decider.
    #[error("the alert lacks {fact}, which {} says", template.id())]
    MissingFact {
        /// The text.
        template: Template,
        /// The field of the alert.
        fact: &'static str,
    },
    /// No text is meant for this audience and change. A fault of the decider.
    #[error("no text tells {role} of {change}")]
    NoTemplate {
        /// The role.
        role: Role,
        /// The change.
        change: Change,
    },
    /// Even shortened the text is too long: a fault of this module, kept from being sent.
    #[error("{} would have {chars} characters, more than {LIMIT}", template.id())]
    TooLong {
        /// The text.
        template: Template,
        /// Its length.
        chars: usize,
    },
}

impl TextError {
    /// The reason in the ledger and in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            TextError::MissingFact { .. } => "missing_fact",
            TextError::NoTemplate { .. } => "no_template",
            TextError::TooLong { .. } => "text_too_long",
        }
    }
}

/// Which text tells this audience of this alert.
///
/// # Errors
/// `NoTemplate` where the alert's audience does not fit its change.
pub fn template(alert: &Alert, role: Role) -> Result<Template, TextError> {
    let owner = matches!(role, Role::Owner | Role::SafetyOfficer);
    let bad = alert.severity.is_some_and(|s| s >= Severity::Severe);
    match (owner, alert.change) {
        (true, Change::New | Change::Upgraded) if bad => Ok(Template::T2),
        (true, Change::New) => Ok(Template::T1),
        (true, Change::Corrected) => Ok(Template::T3),
        (true, Change::Upgraded | Change::Downgraded) => Ok(Template::T12),
        (false, Change::Added) => Ok(Template::T8),
        (false, Change::New | Change::Raised)
            if alert.level == Some(Level::Red) && !alert.facts.severe_incident_ids.is_empty() =>
        {
            Ok(Template::T8)
        }
        (false, Change::New | Change::Raised) => Ok(Template::T7),
        (false, Change::Eased | Change::Closed) => Ok(Template::T11),
        (_, change) => Err(TextError::NoTemplate { role, change }),
    }
}

/// The message that tells this audience of this alert.
///
/// # Errors
/// A missing fact, an audience without a text, or a text that cannot be made short enough.
pub fn render(alert: &Alert, audience: &Audience) -> Result<Message, TextError> {
    let template = template(alert, audience.role)?;
    let mut name_limit = slots::NAME_LIMIT;
    loop {
        let text = templates::text(template, alert, audience, name_limit)?;
        let chars = text.chars().count();
        if chars <= LIMIT {
            return Ok(Message { template, text });
        }
        // Only the enterprise's name may give way; a text without one, or already without room, is held.
        let over = chars - LIMIT;
        if !template.names_enterprise() || name_limit <= over + 1 {
            return Err(TextError::TooLong { template, chars });
        }
        name_limit -= over;
    }
}

#[cfg(test)]
mod tests;
