//! What a text must keep, as named rules. Pure.
//!
//! | where | what is judged |
//! |---|---|
//! | [`texts`] | each wording for itself, and its length with the longest values ([`Slot::longest`]) |
//! | [`gateway`] | whether a gateway can carry each text: its limits, with the longest values |
//! | [`approved`] | whether an operator's table of approved templates is that of the texts |

use std::fmt;

use super::{LIMIT, Slot, Template, TextError, Texts, Wording};
use crate::gateways::Profile;
use crate::gateways::limits::segments;
use crate::gateways::settings::Templates;

/// The longest SMS, in characters, where a gateway publishes no limit of its own.
const LONGEST: usize = 500;

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A file that is no text.
    UnknownText,
    /// The template cannot be read.
    Syntax,
    /// It is more than words and slots.
    NotPlain,
    /// It asks for what the text does not have.
    UnknownSlot,
    /// It asks for what belongs to a person.
    PersonalData,
    /// A slot stands in it twice (Aliyun takes each once).
    SlotRepeated,
    /// Two slots stand side by side.
    SlotsAdjacent,
    /// It has no words of its own.
    OnlySlots,
    /// It does not begin with a signature in 【】.
    NoSignature,
    /// There is a 【 or 】 in its body.
    BracketInBody,
    /// It has a line end or another control character.
    NotOneLine,
    /// It does not carry the number that people quote.
    NoNumber,
    /// The fallback names the enterprise.
    FallbackNames,
    /// The fallback has another signature.
    FallbackSignature,
    /// With the longest values it is more than one segment.
    SeveralSegments,
    /// It is longer than the gateway takes.
    TextTooLong,
    /// A variable is longer than the gateway takes, in the fallback too.
    VariableTooLong,
    /// The operator's table has no approved template for it.
    NotApproved,
    /// The approved template has other variables, or another order.
    ApprovedSlots,
    /// The approved template has another signature.
    ApprovedSignature,
}

impl Rule {
    /// Its name on pages and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Rule::UnknownText => "unknown_text",
            Rule::Syntax => "syntax",
            Rule::NotPlain => "not_plain",
            Rule::UnknownSlot => "unknown_slot",
            Rule::PersonalData => "personal_data",
            Rule::SlotRepeated => "slot_repeated",
            Rule::SlotsAdjacent => "slots_adjacent",
            Rule::OnlySlots => "only_slots",
            Rule::NoSignature => "no_signature",
            Rule::BracketInBody => "bracket_in_body",
            Rule::NotOneLine => "not_one_line",
            Rule::NoNumber => "no_number",
            Rule::FallbackNames => "fallback_names",
            Rule::FallbackSignature => "fallback_signature",
            Rule::SeveralSegments => "several_segments",
            Rule::TextTooLong => "text_too_long",
            Rule::VariableTooLong => "variable_too_long",
            Rule::NotApproved => "not_approved",
            Rule::ApprovedSlots => "approved_slots",
            Rule::ApprovedSignature => "approved_signature",
        }
    }
}

/// A rule that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The wording: `T7`, `T7_fallback`, or a file's name.
    pub text: String,
    /// The gateway, where it is only wrong for that one.
    pub gateway: Option<&'static str>,
    /// The rule.
    pub rule: Rule,
    /// What is expected and what is there.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gateway = self.gateway.map(|name| format!(" for {name}")).unwrap_or_default();
        write!(f, "{}{gateway}: {}: {}", self.text, self.rule.as_str(), self.what)
    }
}

/// The texts, and everything that is wrong with them whichever gateway they go to. What cannot be read is
/// left out of the texts.
pub fn read(own: &std::collections::BTreeMap<String, String>) -> (Texts, Vec<Problem>) {
    let (read, mut problems) = Texts::taken(own);
    problems.extend(texts(&read));
    (read, problems)
}

/// A name that is no text's.
pub(super) fn stray(name: &str) -> Option<Problem> {
    let known = Template::ALL.iter().any(|t| name == t.id() || name == t.fallback_id());
    let what = "expected T1 to T18, or one of these with _fallback".to_owned();
    (!known).then(|| Problem { text: name.to_owned(), gateway: None, rule: Rule::UnknownText, what })
}

/// What is wrong with the texts, whichever gateway they go to.
pub fn texts(texts: &Texts) -> Vec<Problem> {
    let mut problems = Vec::new();
    for template in Template::ALL {
        let signature = texts.wordings(template).next().and_then(|(_, full)| full.signature());
        for (id, wording) in texts.wordings(template) {
            let mut add =
                |rule, what| problems.push(Problem { text: id.to_owned(), gateway: None, rule, what });
            let fallback = id == template.fallback_id();
            plain(template, wording, &mut add);
            if fallback {
                if let Some(slot) = wording.slots().into_iter().find(|slot| slot.names_enterprise()) {
                    add(Rule::FallbackNames, format!("{} is what it is to do without", slot.name()));
                }
                if signature.is_some() && wording.signature() != signature {
                    let (ours, theirs) = (wording.signature(), signature);
                    let what = format!(
                        "expected that of {}, 【{}】, found 【{}】",
                        template.id(),
                        theirs.unwrap_or_default(),
                        ours.unwrap_or_default()
                    );
                    add(Rule::FallbackSignature, what);
                }
            }
            match wording.longest_chars(template) {
                Ok(chars) if chars <= LIMIT => {}
                Ok(chars) => {
                    let rule = if chars > LONGEST { Rule::TextTooLong } else { Rule::SeveralSegments };
                    add(rule, too_long(chars));
                }
                Err(error) => add(Rule::NotPlain, error.to_string()),
            }
        }
    }
    problems
}

fn too_long(chars: usize) -> String {
    format!(
        "with the longest values {chars} characters, {} segments; expected {LIMIT} at most",
        segments(chars)
    )
}

/// The longest values of a text's slots.
fn longest(template: Template) -> impl Fn(Slot, usize) -> Result<String, TextError> {
    move |slot, name_limit| Ok(slot.longest(template, name_limit))
}

fn plain(template: Template, wording: &Wording, add: &mut impl FnMut(Rule, String)) {
    let slots = wording.slots();
    let repeated = slots.iter().enumerate().find(|(at, slot)| slots[..*at].contains(slot));
    if let Some((_, slot)) = repeated {
        add(Rule::SlotRepeated, format!("{} stands in it more than once", slot.name()));
    }
    if let Some((one, other)) = wording.adjacent() {
        add(Rule::SlotsAdjacent, format!("no words between {} and {}", one.name(), other.name()));
    }
    let words = wording.words();
    let body = match wording.signature() {
        Some(signature) => words[signature.len() + '【'.len_utf8() + '】'.len_utf8()..].to_owned(),
        None => {
            add(Rule::NoSignature, "expected 【signature】 at its beginning".to_owned());
            words
        }
    };
    if let Some(bracket) = body.chars().find(|c| matches!(c, '【' | '】')) {
        add(Rule::BracketInBody, format!("{bracket} stands for a signature alone"));
    }
    if let Some(control) = body.chars().find(|c| c.is_control()) {
        add(Rule::NotOneLine, format!("found {:?}: it is one line", control));
    }
    if !body.chars().any(char::is_alphanumeric) {
        add(Rule::OnlySlots, "expected words besides the slots".to_owned());
    }
    let whole = slots.contains(&Slot::CaseNo);
    let parts = [Slot::CaseHead, Slot::CaseTail].map(|part| slots.iter().position(|slot| *slot == part));
    let parts = matches!(parts, [Some(head), Some(tail)] if tail == head + 1);
    if template.numbered() && !whole && !parts {
        add(Rule::NoNumber, "expected id, or id_head and right after it id_tail".to_owned());
    }
}

/// How a gateway carries a text whose slots have their longest values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The wording that it gets.
    pub wording: &'static str,
    /// Why that is the fallback, if it is.
    pub why: Option<TextError>,
    /// Characters of the text, signature included.
    pub chars: usize,
}

/// How a gateway carries a text at its longest.
///
/// # Errors
/// It cannot: the rule that would be broken.
pub fn gateway(texts: &Texts, template: Template, profile: &Profile) -> Result<Carried, Problem> {
    let problem =
        |rule, what| Problem { text: template.id().to_owned(), gateway: Some(profile.name), rule, what };
    let message =
        texts.word(template, profile.limits.variable_chars, longest(template)).map_err(|error| {
            let rule = match error {
                TextError::VariableTooLong { .. } => Rule::VariableTooLong,
                TextError::TooLong { chars, .. } => return problem(Rule::SeveralSegments, too_long(chars)),
                _ => Rule::Syntax,
            };
            problem(rule, format!("with the longest values: {error}"))
        })?;
    let (chars, bytes) = (message.text.chars().count(), message.text.len());
    let most = profile.limits.text_chars.unwrap_or(LONGEST);
    if chars > most || profile.limits.text_bytes.is_some_and(|most| bytes > most) {
        let what = format!("with the longest values {chars} characters in {bytes} bytes");
        return Err(problem(Rule::TextTooLong, what));
    }
    Ok(Carried { wording: message.wording(), chars, why: message.fallback })
}

/// What is wrong with an operator's table of approved templates, for a gateway that fills them in. `sign_name`
/// is the signature of those that name none of their own.
pub fn approved(
    texts: &Texts,
    profile: &'static Profile,
    sign_name: &str,
    table: &Templates,
) -> Vec<Problem> {
    let mut problems: Vec<Problem> = table.keys().filter_map(|name| stray(name)).collect();
    for problem in &mut problems {
        problem.gateway = Some(profile.name);
    }
    if profile.marks.is_none() {
        return problems;
    }
    let most = profile.limits.variable_chars;
    for template in Template::ALL {
        let everyday = texts.word(template, most, |slot, _| Ok(slot.example(template)));
        let longest = texts.word(template, most, longest(template));
        let used: Vec<&str> = [everyday, longest].into_iter().flatten().map(|m| m.wording()).collect();
        for (id, wording) in texts.wordings(template) {
            let mut add = |rule, what| {
                problems.push(Problem { text: id.to_owned(), gateway: Some(profile.name), rule, what });
            };
            let Some(approved) = table.get(id) else {
                if used.contains(&id) {
                    add(
                        Rule::NotApproved,
                        "expected its id and slots among the approved templates".to_owned(),
                    );
                }
                continue;
            };
            let slots: Vec<&str> = wording.slots().iter().map(|slot| slot.name()).collect();
            if approved.slots != slots {
                let (wanted, found) = (slots.join(", "), approved.slots.join(", "));
                add(Rule::ApprovedSlots, format!("expected {wanted}; found {found}"));
            }
            let found = approved.sign_name.as_deref().unwrap_or(sign_name);
            if wording.signature().is_some_and(|signature| signature != found) {
                let wanted = wording.signature().unwrap_or_default();
                add(Rule::ApprovedSignature, format!("expected sign_name = \"{wanted}\", found \"{found}\""));
            }
        }
    }
    problems
}
