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
//! T13 and T14 stand for several that were not sent one by one ([`crate::quota`]), T16 for a township's morning
//! ([`crate::plan::morning`]); T15 tells the township that an owner could not be reached, T18 the employer's that a host could not, T17 that this was wrong or less grave ([`crate::plan`]). T4, T5, T6, T9 and T10 are worded too; no rule sends them yet.
//!
//! # Where the wording stands
//! In `alerts/templates/`, one file a text, and one for its *fallback*: the same news without the
//! enterprise's name, in slots of at most 6 characters, for where a gateway's variables are shorter than what
//! must be said. An operator's own files may take their place ([`Texts::read`]). [`lint`] says what a text
//! must keep; nothing that breaks it can be used.
//!
//! # Slots
//! - `{M}{D}`: the day of the accident. When its year is not that of the decision, the year stands before
//!   the month, so that 本年 (this year) in T1 reads as the accident's year, which is the one counted.
//! - `{cause}`: the name of GB 6441, or 原因待查 (to be found out).
//! - `{act}`: see [`corrected_act`] and [`eased_act`].
//! - `{ent}`: short name, else the registered one; over 14 characters it is cut to 13 and `…`; without any
//!   name 尾号 and the last 8 symbols of its code. Cut further if a text would be too long.
//! - `{id_head}-{id_tail}`: the whole case number in two parts. Nothing but a name is ever cut.
//! - counts above 999 read `999+`.

pub mod lint;
mod slots;
mod table;
mod values;
mod wording;

pub(crate) use slots::{FATAL, head_and_tail};
pub use slots::{corrected_act, eased_act};
pub use table::{NoTemplate, Slot, Template};
pub use wording::Wording;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use tocsin_schemas::codes::{Change, Level, Role, Severity};
use tocsin_schemas::records::{Alert, Audience};

use lint::Problem;

/// The longest message, in characters: one segment of SMS.
pub const LIMIT: usize = 70;

/// A worded message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Which text it is.
    pub template: Template,
    /// The text, with its signature.
    pub text: String,
    /// What was put into its slots, by the slot's name, in their order.
    pub slots: Vec<(&'static str, String)>,
    /// Why it is the fallback, if it is.
    pub fallback: Option<TextError>,
}

impl Message {
    /// The id of its wording, in the ledger and among a gateway's approved templates: `T7`, `T7_fallback`.
    pub const fn wording(&self) -> &'static str {
        if self.fallback.is_some() { self.template.fallback_id() } else { self.template.id() }
    }
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
    /// A value is longer than a variable of the gateway may be, in the fallback too: kept from being sent.
    #[error("{} has {chars} characters in {slot}, and the gateway takes {most}", template.id())]
    VariableTooLong {
        /// The text.
        template: Template,
        /// The slot.
        slot: &'static str,
        /// The value's length.
        chars: usize,
        /// The most that the gateway takes.
        most: usize,
    },
    /// A template that was read cannot be filled in: a fault of this module.
    #[error("{} cannot be worded: {what}", template.id())]
    Unreadable {
        /// The text.
        template: Template,
        /// What the template engine says.
        what: String,
    },
}

impl TextError {
    /// The reason in the ledger and in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            TextError::MissingFact { .. } => "missing_fact",
            TextError::NoTemplate { .. } => "no_template",
            TextError::TooLong { .. } => "text_too_long",
            TextError::VariableTooLong { .. } => "variable_too_long",
            TextError::Unreadable { .. } => "unreadable_text",
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

/// The files of `alerts/templates/`, by wording.
const BUILT_IN: [(&str, &str); 35] = [
    ("T1", include_str!("../../templates/T1.jinja")),
    ("T1_fallback", include_str!("../../templates/T1_fallback.jinja")),
    ("T2", include_str!("../../templates/T2.jinja")),
    ("T2_fallback", include_str!("../../templates/T2_fallback.jinja")),
    ("T3", include_str!("../../templates/T3.jinja")),
    ("T3_fallback", include_str!("../../templates/T3_fallback.jinja")),
    ("T4", include_str!("../../templates/T4.jinja")),
    ("T4_fallback", include_str!("../../templates/T4_fallback.jinja")),
    ("T5", include_str!("../../templates/T5.jinja")),
    ("T5_fallback", include_str!("../../templates/T5_fallback.jinja")),
    ("T6", include_str!("../../templates/T6.jinja")),
    ("T6_fallback", include_str!("../../templates/T6_fallback.jinja")),
    ("T7", include_str!("../../templates/T7.jinja")),
    ("T7_fallback", include_str!("../../templates/T7_fallback.jinja")),
    ("T8", include_str!("../../templates/T8.jinja")),
    ("T8_fallback", include_str!("../../templates/T8_fallback.jinja")),
    ("T9", include_str!("../../templates/T9.jinja")),
    ("T9_fallback", include_str!("../../templates/T9_fallback.jinja")),
    ("T10", include_str!("../../templates/T10.jinja")),
    ("T11", include_str!("../../templates/T11.jinja")),
    ("T11_fallback", include_str!("../../templates/T11_fallback.jinja")),
    ("T12", include_str!("../../templates/T12.jinja")),
    ("T12_fallback", include_str!("../../templates/T12_fallback.jinja")),
    ("T13", include_str!("../../templates/T13.jinja")),
    ("T13_fallback", include_str!("../../templates/T13_fallback.jinja")),
    ("T14", include_str!("../../templates/T14.jinja")),
    ("T14_fallback", include_str!("../../templates/T14_fallback.jinja")),
    ("T15", include_str!("../../templates/T15.jinja")),
    ("T15_fallback", include_str!("../../templates/T15_fallback.jinja")),
    ("T16", include_str!("../../templates/T16.jinja")),
    ("T16_fallback", include_str!("../../templates/T16_fallback.jinja")),
    ("T17", include_str!("../../templates/T17.jinja")),
    ("T17_fallback", include_str!("../../templates/T17_fallback.jinja")),
    ("T18", include_str!("../../templates/T18.jinja")),
    ("T18_fallback", include_str!("../../templates/T18_fallback.jinja")),
];

/// The wordings of a text.
#[derive(Debug, Clone)]
struct Worded {
    full: Wording,
    fallback: Option<Wording>,
}

/// Every text, ready to be filled in.
#[derive(Debug, Clone)]
pub struct Texts(BTreeMap<Template, Worded>);

static OURS: LazyLock<Arc<Texts>> = LazyLock::new(|| {
    // Judged by a test: what is built in can be read, so nothing is left out here.
    let (texts, _) = Texts::taken(&BTreeMap::new());
    Arc::new(texts)
});

impl Texts {
    /// The texts as they are delivered.
    pub fn built_in() -> Arc<Texts> {
        Arc::clone(&OURS)
    }

    /// The texts with an operator's own in the place of those that are delivered: `T7` or `T7_fallback` to
    /// its template.
    ///
    /// # Errors
    /// Everything that [`lint`] finds in them, whichever gateway they go to.
    pub fn read(own: &BTreeMap<String, String>) -> Result<Texts, Vec<Problem>> {
        let (texts, mut problems) = Texts::taken(own);
        problems.extend(lint::texts(&texts));
        if problems.is_empty() { Ok(texts) } else { Err(problems) }
    }

    /// What can be read of them, and what is wrong with the rest, which is left out.
    pub(crate) fn taken(own: &BTreeMap<String, String>) -> (Texts, Vec<Problem>) {
        let mut problems: Vec<Problem> = own.keys().filter_map(|name| lint::stray(name)).collect();
        let mut read = |template: Template, id: &'static str| {
            let ours = BUILT_IN.iter().find(|(name, _)| *name == id).map(|(_, source)| *source);
            let source = own.get(id).map(String::as_str).or(ours)?;
            Wording::read(template, id, source).map_err(|found| problems.extend(found)).ok()
        };
        let mut texts = BTreeMap::new();
        for template in Template::ALL {
            let (full, fallback) = (read(template, template.id()), read(template, template.fallback_id()));
            if let Some(full) = full {
                texts.insert(template, Worded { full, fallback });
            }
        }
        (Texts(texts), problems)
    }

    /// The wordings of a text by their ids: its own, then its fallback, where it has one.
    pub fn wordings(&self, template: Template) -> impl Iterator<Item = (&'static str, &Wording)> {
        let worded = self.0.get(&template);
        let full = worded.map(|worded| (template.id(), &worded.full));
        let fallback = worded.and_then(|worded| worded.fallback.as_ref());
        full.into_iter().chain(fallback.map(|fallback| (template.fallback_id(), fallback)))
    }

    /// The message that tells this audience of this alert, for a gateway whose variables may have so many
    /// characters.
    ///
    /// # Errors
    /// A missing fact, an audience without a text, or a text that cannot be made short enough.
    pub fn render(
        &self,
        alert: &Alert,
        audience: &Audience,
        variable_chars: Option<usize>,
    ) -> Result<Message, TextError> {
        self.render_as(template(alert, audience.role)?, alert, audience, variable_chars)
    }

    /// The same, in this text.
    ///
    /// # Errors
    /// Those of [`Texts::render`].
    pub fn render_as(
        &self,
        template: Template,
        alert: &Alert,
        audience: &Audience,
        variable_chars: Option<usize>,
    ) -> Result<Message, TextError> {
        self.word(template, variable_chars, |slot, name_limit| {
            values::value(template, slot, alert, audience, name_limit)
        })
    }

    /// A text with the values of its slots, from the characters that the enterprise's name may have. Where
    /// the text is too long, or one of its values is for the gateway, it is the fallback.
    ///
    /// # Errors
    /// Those of `value`; or a text, or a value, that stays too long.
    pub fn word(
        &self,
        template: Template,
        variable_chars: Option<usize>,
        value: impl Fn(Slot, usize) -> Result<String, TextError>,
    ) -> Result<Message, TextError> {
        let missing = || TextError::Unreadable { template, what: "there is no such text".into() };
        let worded = self.0.get(&template).ok_or_else(missing)?;
        let message = |(text, values): (String, Vec<(Slot, String)>), fallback| {
            let slots = values.into_iter().map(|(slot, value)| (slot.name(), value)).collect();
            Message { template, text, slots, fallback }
        };
        match (worded.full.fill(template, variable_chars, &value), &worded.fallback) {
            (Ok(filled), _) => Ok(message(filled, None)),
            (Err(why @ (TextError::TooLong { .. } | TextError::VariableTooLong { .. })), Some(fallback)) => {
                Ok(message(fallback.fill(template, variable_chars, &value)?, Some(why)))
            }
            (Err(error), _) => Err(error),
        }
    }
}

impl Texts {
    /// The text of this wording (`T7`, `T7_fallback`) with these values in its slots, as the ledger keeps them; and
    /// what was put into its slots, in their order.
    ///
    /// # Errors
    /// There is no such wording, it asks for a slot that has no value, or it is too long: the texts were changed since
    /// the values were found.
    pub fn filled(&self, wording: &str, values: &BTreeMap<String, String>) -> Result<Filled, Unfit> {
        let all = Template::ALL.into_iter();
        let mut found = all.flat_map(|t| self.wordings(t).map(move |(id, wording)| (t, id, wording)));
        let (template, _, wording) =
            found.find(|(_, id, _)| *id == wording).ok_or_else(|| Unfit(format!("no text {wording}")))?;
        let value = |slot: Slot, _| {
            let lacks = || TextError::MissingFact { template, fact: slot.name() };
            values.get(slot.name()).cloned().ok_or_else(lacks)
        };
        let (text, slots) = wording.fill(template, None, value).map_err(|e| Unfit(e.to_string()))?;
        Ok((text, slots.into_iter().map(|(slot, value)| (slot.name(), value)).collect()))
    }
}

/// A text, and what was put into its slots, by the slot's name.
pub type Filled = (String, Vec<(&'static str, String)>);

/// Values that were found for a text do not fit it any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a message that was planned cannot be worded now: {0}")]
pub struct Unfit(String);

impl Unfit {
    /// The reason in the ledger and in metrics.
    pub const REASON: &'static str = "text_changed";
}

/// The message that tells this audience of this alert, in the texts as they are delivered, for a gateway
/// that takes a text as it is.
///
/// # Errors
/// Those of [`Texts::render`].
pub fn render(alert: &Alert, audience: &Audience) -> Result<Message, TextError> {
    OURS.render(alert, audience, None)
}

#[cfg(test)]
mod tests;
