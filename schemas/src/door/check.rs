//! The rules that fields share: what is missing, bad, negative or only a slip.

use std::str::FromStr;

use compact_str::CompactString;

use super::{Cell, Flag, Refusal, RefusalReason};
use crate::codes::Problem;
use crate::ids::{IdError, Uscc};
use crate::records::Record;

/// Walks over a record's fields in the contract's order, keeping the first refusal and all flags.
///
/// A method named after the kind of value takes a required field and returns `None` when it refuses; one
/// named `optional_…` takes an optional field and returns `None` when it is absent or was flagged.
pub(super) struct Checker {
    names: &'static [&'static str],
    cells: std::vec::IntoIter<Cell>,
    place: usize,
    personal: &'static [&'static str],
    refusal: Option<Refusal>,
    flags: Vec<Flag>,
}

impl Checker {
    pub(super) fn new(
        names: &'static [&'static str],
        cells: Vec<Cell>,
        personal: &'static [&'static str],
    ) -> Checker {
        Checker { names, cells: cells.into_iter(), place: 0, personal, refusal: None, flags: Vec::new() }
    }

    /// The record, if nothing refused it.
    pub(super) fn finish(self, record: Option<Record>) -> Result<(Record, Vec<Flag>), Refusal> {
        debug_assert!(self.place == self.names.len() || self.refusal.is_some(), "every field is looked at");
        match (self.refusal, record) {
            (None, Some(record)) => Ok((record, self.flags)),
            (Some(refusal), _) => Err(refusal),
            (None, None) => {
                let detail = "a field was dropped without a reason: a fault of this program".into();
                Err(Refusal { reason: RefusalReason::Undecodable, detail })
            }
        }
    }

    /// The next field, which must be the one that the caller thinks it is.
    fn next(&mut self, field: &'static str) -> Cell {
        debug_assert_eq!(
            self.names.get(self.place),
            Some(&field),
            "fields are taken in the contract's order"
        );
        self.place += 1;
        self.cells.next().unwrap_or_default()
    }

    fn shown(&self, field: &str, cell: &Cell) -> String {
        if self.personal.contains(&field) { cell.size() } else { cell.shown() }
    }

    /// Refuses; of several refusals the first in the contract's order of reasons stays, and of one reason
    /// the first field, because fields are walked in order.
    pub(super) fn refuse(&mut self, reason: RefusalReason, detail: String) {
        if self.refusal.as_ref().is_none_or(|kept| reason.rank() < kept.reason.rank()) {
            self.refusal = Some(Refusal { reason, detail });
        }
    }

    fn bad_code<T>(&mut self, field: &'static str, wanted: &str, cell: &Cell) -> Option<T> {
        let found = self.shown(field, cell);
        self.refuse(RefusalReason::BadCode(field), format!("{field}: expected {wanted}, found {found:?}"));
        None
    }

    fn flag<T>(&mut self, field: &'static str, problem: Problem, cell: &Cell) -> Option<T> {
        let found = self.shown(field, cell);
        self.flags.push(Flag { field, problem, found });
        None
    }

    // ---- required fields ----

    /// A string that is not empty.
    pub(super) fn text(&mut self, field: &'static str) -> Option<CompactString> {
        match self.next(field) {
            Cell::Text(text) if !text.is_empty() => Some(text),
            Cell::Absent | Cell::Text(_) => {
                self.refuse(
                    RefusalReason::MissingField(field),
                    format!("{field}: expected a text, found none"),
                );
                None
            }
            other => self.bad_code(field, "a text", &other),
        }
    }

    /// A text of a closed form.
    pub(super) fn parsed<T: FromStr>(&mut self, field: &'static str, wanted: &str) -> Option<T> {
        let text = self.text(field)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(_) => self.bad_code(field, wanted, &Cell::Text(text)),
        }
    }

    /// A text that passes a test.
    pub(super) fn text_that(
        &mut self,
        field: &'static str,
        wanted: &str,
        test: impl Fn(&str) -> bool,
    ) -> Option<CompactString> {
        let text = self.text(field)?;
        if test(&text) { Some(text) } else { self.bad_code(field, wanted, &Cell::Text(text)) }
    }

    /// A USCC.
    pub(super) fn uscc(&mut self, field: &'static str) -> Option<Uscc> {
        let text = self.text(field)?;
        self.uscc_of(field, text)
    }

    /// The USCC in a text that was already taken.
    pub(super) fn uscc_of(&mut self, field: &'static str, text: CompactString) -> Option<Uscc> {
        match text.parse() {
            Ok(uscc) => Some(uscc),
            Err(IdError::CheckSymbol) => {
                let detail = format!("{field}: the check symbol of {:?} does not fit", text.as_str());
                self.refuse(RefusalReason::UsccCheckDigit, detail);
                None
            }
            Err(IdError::Form(wanted)) => self.bad_code(field, wanted, &Cell::Text(text)),
        }
    }

    /// An integer from 0 on that fits into 32 bits.
    pub(super) fn count(&mut self, field: &'static str) -> Option<u32> {
        let n = self.whole(field)?;
        match u32::try_from(n) {
            Ok(n) => Some(n),
            Err(_) => self.bad_code(field, "an integer below 2^32", &Cell::Int(n as i64)),
        }
    }

    /// An integer from 0 on.
    fn whole(&mut self, field: &'static str) -> Option<u64> {
        match self.next(field) {
            Cell::Absent => {
                self.refuse(
                    RefusalReason::MissingField(field),
                    format!("{field}: expected a number, found none"),
                );
                None
            }
            Cell::Int(n) if n < 0 => {
                let detail = format!("{field}: expected 0 or more, found {n}");
                self.refuse(RefusalReason::NegativeValue(field), detail);
                None
            }
            Cell::Int(n) => Some(n.unsigned_abs()),
            // An empty text is nothing, as for every required field.
            Cell::Text(text) if text.is_empty() => {
                self.refuse(
                    RefusalReason::MissingField(field),
                    format!("{field}: expected a number, found none"),
                );
                None
            }
            other => self.bad_code(field, "an integer", &other),
        }
    }

    /// A version: an integer from 1 on. Sources use time stamps in milliseconds, too.
    pub(super) fn version(&mut self) -> Option<u64> {
        let version = self.whole("version")?;
        if version == 0 {
            self.refuse(RefusalReason::VersionBelowOne, "version: expected 1 or more, found 0".into());
            return None;
        }
        Some(version)
    }

    /// The text of a JSON object, as an object (JSON) or as a text (Avro).
    pub(super) fn object(&mut self, field: &'static str) -> Option<String> {
        let cell = self.next(field);
        let text: &str = match &cell {
            Cell::Absent => "",
            Cell::Object(text) => text,
            Cell::Text(text) => text,
            other => return self.bad_code(field, "a JSON object", other),
        };
        if text.is_empty() {
            self.refuse(
                RefusalReason::MissingField(field),
                format!("{field}: expected an object, found none"),
            );
            return None;
        }
        match super::canonical::object(text) {
            Some(canonical) => Some(canonical),
            None => self.bad_code(field, "a JSON object", &cell),
        }
    }

    // ---- optional fields ----

    /// A free text. An empty one says nothing and is taken as absent.
    pub(super) fn optional_text(&mut self, field: &'static str) -> Option<CompactString> {
        match self.next(field) {
            Cell::Absent => None,
            Cell::Text(text) if text.is_empty() => None,
            Cell::Text(text) => Some(text),
            other => self.flag(field, Problem::WrongType, &other),
        }
    }

    /// A text of a closed form; `problem` says what it is when it is not of it.
    pub(super) fn optional_parsed<T: FromStr>(
        &mut self,
        field: &'static str,
        problem: impl Fn(&str) -> Problem,
    ) -> Option<T> {
        match self.next(field) {
            Cell::Absent => None,
            Cell::Text(text) => match text.parse() {
                Ok(value) => Some(value),
                Err(_) => {
                    let problem = problem(&text);
                    self.flag(field, problem, &Cell::Text(text))
                }
            },
            other => self.flag(field, Problem::WrongType, &other),
        }
    }

    /// A day, time or the like.
    pub(super) fn optional_time<T: FromStr>(&mut self, field: &'static str) -> Option<T> {
        self.optional_parsed(field, |_| Problem::Unparsable)
    }

    /// A USCC.
    pub(super) fn optional_uscc(&mut self, field: &'static str) -> Option<Uscc> {
        self.optional_parsed(field, |text| match text.parse::<Uscc>() {
            Err(IdError::CheckSymbol) => Problem::WrongCheckSymbol,
            _ if text.chars().count() != 18 => Problem::WrongLength,
            _ => Problem::WrongAlphabet,
        })
    }

    /// An integer in a range.
    pub(super) fn optional_count(&mut self, field: &'static str, least: u32, most: u32) -> Option<u32> {
        match self.next(field) {
            Cell::Absent => None,
            Cell::Int(n) if n < 0 => self.flag(field, Problem::Negative, &Cell::Int(n)),
            Cell::Int(n) => match u32::try_from(n).ok().filter(|n| (least..=most).contains(n)) {
                Some(n) => Some(n),
                None => self.flag(field, Problem::OutOfRange, &Cell::Int(n)),
            },
            other => self.flag(field, Problem::WrongType, &other),
        }
    }

    /// A list of texts.
    pub(super) fn optional_list(&mut self, field: &'static str) -> Vec<CompactString> {
        match self.next(field) {
            Cell::Absent => Vec::new(),
            Cell::List(items) => items,
            other => self.flag(field, Problem::WrongType, &other).unwrap_or_default(),
        }
    }

    /// A list of labels: white space around them is cut off; one that is empty or longer than `longest` characters is
    /// left out and flagged, as are all after the first `most`.
    pub(super) fn optional_labels(
        &mut self,
        field: &'static str,
        longest: usize,
        most: usize,
    ) -> Vec<CompactString> {
        let mut labels = Vec::new();
        for item in self.optional_list(field) {
            let label = item.trim();
            let problem = match label.chars().count() {
                0 => Some(Problem::WrongLength),
                n if n > longest => Some(Problem::WrongLength),
                _ if labels.len() == most => Some(Problem::OutOfRange),
                _ => None,
            };
            match problem {
                None => labels.push(label.into()),
                Some(problem) => {
                    let _: Option<()> = self.flag(field, problem, &Cell::Text(item));
                    if problem == Problem::OutOfRange {
                        break;
                    }
                }
            }
        }
        labels
    }

    /// A map of texts. A null in it is no entry.
    pub(super) fn optional_map(&mut self, field: &'static str) -> Vec<(String, String)> {
        let cell = self.next(field);
        match &cell {
            Cell::Absent => Vec::new(),
            Cell::Map(items) => items.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            Cell::Object(text) => {
                match serde_json::from_str::<std::collections::BTreeMap<String, Option<String>>>(text) {
                    Ok(map) => map.into_iter().filter_map(|(k, v)| Some((k, v?))).collect(),
                    Err(_) => self.flag(field, Problem::WrongType, &cell).unwrap_or_default(),
                }
            }
            _ => self.flag(field, Problem::WrongType, &cell).unwrap_or_default(),
        }
    }
}
