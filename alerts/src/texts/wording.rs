//! One wording: words and slots, read from a template and filled in. Pure.
//!
//! A gateway approves words and slots and knows nothing else, so a template must be just that: [`Wording::read`]
//! takes a template apart by filling in marks, puts it together again, and refuses whatever does not come out as
//! it went in (a condition, an expression, a filter). minijinja then words the messages, strictly: a slot
//! without a value is an error, nothing is escaped, and nothing but the values can be reached.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior, Value};

use super::lint::{Problem, Rule};
use super::{LIMIT, Slot, Template, TextError, slots};
use crate::gateways::Marks;

/// The name under which a wording's environment knows its one template.
const NAME: &str = "text";

/// Around a slot's name, in a trial filling: private characters that no text has.
const MARKS: [char; 2] = ['\u{e000}', '\u{e001}'];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Words(String),
    Slot(Slot),
}

/// A wording that can be filled in.
#[derive(Debug, Clone)]
pub struct Wording {
    environment: Environment<'static>,
    pieces: Vec<Piece>,
}

impl Wording {
    /// Takes a template apart.
    ///
    /// # Errors
    /// What is wrong with it, if anything is: see [`Rule`]. `id` is its name in problems.
    pub(super) fn read(template: Template, id: &'static str, source: &str) -> Result<Wording, Vec<Problem>> {
        let source = source.strip_suffix('\n').unwrap_or(source);
        let problem = |rule, what: String| Problem { text: id.to_owned(), gateway: None, rule, what };
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // Without the template's name and line, which say nothing: it is one line.
        let said = |e: &minijinja::Error| e.detail().map_or_else(|| e.kind().to_string(), str::to_owned);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|e| vec![problem(Rule::Syntax, said(&e))])?;
        let parsed = environment.get_template(NAME).map_err(|e| vec![problem(Rule::Syntax, said(&e))])?;
        let mut asked: Vec<String> = parsed.undeclared_variables(false).into_iter().collect();
        asked.sort();
        let unknown: Vec<Problem> = asked
            .iter()
            .filter(|name| !template.slots().iter().any(|slot| slot.name() == name.as_str()))
            .map(|name| {
                let has: Vec<&str> = template.slots().iter().map(|slot| slot.name()).collect();
                match personal(name) {
                    true => problem(Rule::PersonalData, format!("{name}: no text holds a person")),
                    false => problem(
                        Rule::UnknownSlot,
                        format!("{name}: {} has {}", template.id(), has.join(", ")),
                    ),
                }
            })
            .collect();
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let marked: BTreeMap<&'static str, String> = template
            .slots()
            .iter()
            .map(|slot| (slot.name(), format!("{}{}{}", MARKS[0], slot.name(), MARKS[1])))
            .collect();
        let tried = parsed.render(marked).map_err(|e| vec![problem(Rule::NotPlain, said(&e))])?;
        let pieces = taken_apart(&tried);
        let wording = Wording { environment, pieces };
        if wording.shown(|slot| format!("{{{{ {} }}}}", slot.name())) != source {
            let what = "expected words and slots such as {{ id }} (one space on each side), and nothing else";
            return Err(vec![problem(Rule::NotPlain, what.to_owned())]);
        }
        Ok(wording)
    }

    /// The wording with something in the place of each slot.
    fn shown(&self, slot: impl Fn(Slot) -> String) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Words(words) => words.clone(),
            Piece::Slot(known) => slot(*known),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// The wording as people.md writes it: `贵单位{M}月{D}日…`.
    pub fn in_short(&self) -> String {
        self.shown(|slot| format!("{{{}}}", slot.name()))
    }

    /// The wording to have approved, without its signature, slots as the gateway marks them.
    pub fn to_approve(&self, marks: Marks) -> String {
        let order = self.slots();
        let shown = self.shown(|slot| match marks {
            Marks::Named => format!("${{{}}}", slot.name()),
            Marks::Numbered => {
                let at = order.iter().position(|known| *known == slot).unwrap_or_default();
                format!("{{{}}}", at + 1)
            }
        });
        let signature = self.signature().map_or(0, |s| s.len() + '【'.len_utf8() + '】'.len_utf8());
        shown[signature..].to_owned()
    }

    /// Its slots, in their order.
    pub fn slots(&self) -> Vec<Slot> {
        let slot = |piece: &Piece| match piece {
            Piece::Slot(slot) => Some(*slot),
            Piece::Words(_) => None,
        };
        self.pieces.iter().filter_map(slot).collect()
    }

    /// Its words, slots left out.
    pub(super) fn words(&self) -> String {
        self.shown(|_| String::new())
    }

    /// Whether two slots stand side by side.
    pub(super) fn adjacent(&self) -> Option<(Slot, Slot)> {
        self.pieces.windows(2).find_map(|pair| match pair {
            [Piece::Slot(one), Piece::Slot(other)] => Some((*one, *other)),
            _ => None,
        })
    }

    /// The signature that it begins with, without its brackets.
    pub fn signature(&self) -> Option<&str> {
        let Some(Piece::Words(words)) = self.pieces.first() else { return None };
        let (signature, _) = words.strip_prefix('【')?.split_once('】')?;
        (!signature.is_empty() && !signature.contains('【')).then_some(signature)
    }

    /// The text with the values of its slots, one segment long. `value` is given the characters that the
    /// enterprise's name may have.
    ///
    /// # Errors
    /// A value that is missing, too long for the gateway's variables, or a text that stays too long.
    pub(super) fn fill(
        &self,
        template: Template,
        variable_chars: Option<usize>,
        value: impl Fn(Slot, usize) -> Result<String, TextError>,
    ) -> Result<(String, Vec<(Slot, String)>), TextError> {
        let slots = self.slots();
        let mut name_limit = slots::NAME_LIMIT;
        let (text, values) = loop {
            let values: Vec<(Slot, String)> = slots
                .iter()
                .map(|slot| value(*slot, name_limit).map(|value| (*slot, value)))
                .collect::<Result<_, _>>()?;
            let text = self.text(template, &values)?;
            let chars = text.chars().count();
            if chars <= LIMIT {
                break (text, values);
            }
            // Only the enterprise's name may give way; a text without one, or already without room, is held.
            let over = chars - LIMIT;
            if !slots.iter().any(|slot| slot.names_enterprise()) || name_limit <= over + 1 {
                return Err(TextError::TooLong { template, chars });
            }
            name_limit -= over;
        };
        if let Some(most) = variable_chars {
            for (slot, value) in &values {
                let chars = value.chars().count();
                if chars > most {
                    return Err(TextError::VariableTooLong { template, slot: slot.name(), chars, most });
                }
            }
        }
        Ok((text, values))
    }

    /// Characters with the longest values that a text's slots may have; of a text that stays too long, with
    /// the enterprise's name as far as it was cut.
    ///
    /// # Errors
    /// It cannot be filled in.
    pub fn longest_chars(&self, template: Template) -> Result<usize, TextError> {
        match self.fill(template, None, |slot, name_limit| Ok(slot.longest(template, name_limit))) {
            Ok((text, _)) => Ok(text.chars().count()),
            Err(TextError::TooLong { chars, .. }) => Ok(chars),
            Err(error) => Err(error),
        }
    }

    fn text(&self, template: Template, values: &[(Slot, String)]) -> Result<String, TextError> {
        let values: BTreeMap<&'static str, Value> =
            values.iter().map(|(slot, value)| (slot.name(), Value::from(value.as_str()))).collect();
        let text = self.environment.get_template(NAME).and_then(|text| text.render(values));
        text.map_err(|e| TextError::Unreadable { template, what: e.to_string() })
    }
}

/// The pieces of a trial filling.
fn taken_apart(tried: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for part in tried.split_inclusive(MARKS[1]) {
        let (words, slot) = match part.strip_suffix(MARKS[1]).and_then(|part| part.rsplit_once(MARKS[0])) {
            Some((words, name)) => (words, Slot::named(name)),
            None => (part, None),
        };
        if !words.is_empty() {
            pieces.push(Piece::Words(words.to_owned()));
        }
        pieces.extend(slot.map(Piece::Slot));
    }
    pieces
}

/// Whether a name asks for what belongs to a person.
fn personal(name: &str) -> bool {
    const WORDS: [&str; 20] = [
        "address",
        "age",
        "birth",
        "birthday",
        "body",
        "card",
        "diagnosis",
        "home",
        "idcard",
        "injured",
        "injury",
        "mobile",
        "name",
        "person",
        "phone",
        "sex",
        "victim",
        "wage",
        "who",
        "worker",
    ];
    name.to_lowercase().split('_').any(|word| WORDS.contains(&word))
}
