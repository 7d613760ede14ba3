//! Whether a policy text can be used, and if not, the first thing that is wrong with it: line, column, what came
//! and what is allowed. What is allowed is known from [`super::SECTIONS`] alone.

use std::collections::BTreeMap;
use std::ops::Range;

use tocsin_schemas::time::Day;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::PolicyError;
use super::field::{Field, Section, Value};

const FROM: &str = "effective_from";
/// The most characters of a wrong value that a message repeats.
const SHOWN: usize = 40;

/// Everything that is wrong, each with its place in the text, in bytes.
struct Checker<'a> {
    text: &'a str,
    sections: &'a [Section],
    problems: Vec<(usize, String)>,
    /// Where each day is taken already.
    days: BTreeMap<Day, usize>,
}

/// Looks a whole text through.
///
/// # Errors
/// The first problem in the order of the text.
pub(super) fn check(text: &str, sections: &[Section]) -> Result<(), PolicyError> {
    let root = DeTable::parse(text).map_err(|e| syntax(text, &e))?;
    let mut checker = Checker { text, sections, problems: Vec::new(), days: BTreeMap::new() };
    checker.root(root.get_ref());
    match checker.problems.into_iter().min() {
        None => Ok(()),
        Some((at, what)) => Err(PolicyError::at(text, at, what)),
    }
}

/// What the TOML reader says.
pub(super) fn syntax(text: &str, error: &toml::de::Error) -> PolicyError {
    let at = error.span().map_or(0, |span| span.start);
    PolicyError::at(text, at, error.message().replace('\n', ", "))
}

impl Checker<'_> {
    fn wrong(&mut self, at: Range<usize>, what: String) {
        self.problems.push((at.start, what));
    }

    /// A value as it was written, in one short line.
    fn found(&self, at: Range<usize>) -> String {
        let line = self.text.get(at).unwrap_or_default().lines().next().unwrap_or_default().trim();
        match line.char_indices().nth(SHOWN) {
            None => line.to_owned(),
            Some((end, _)) => format!("{}…", &line[..end]),
        }
    }

    fn root(&mut self, root: &DeTable<'_>) {
        for key in root.keys().filter(|key| key.get_ref() != "policy") {
            self.wrong(
                key.span(),
                format!("{} is not a key here; allowed: [[policy]] tables", key.get_ref()),
            );
        }
        let Some((key, policy)) = root.iter().find(|(key, _)| key.get_ref() == "policy") else {
            self.wrong(0..0, "expected at least one [[policy]] table, found none".into());
            return;
        };
        let Some(tables) = policy.get_ref().as_array() else {
            self.wrong(
                key.span(),
                "policy must be a list of tables: write [[policy]], in two brackets".into(),
            );
            return;
        };
        if tables.is_empty() {
            self.wrong(key.span(), "expected at least one [[policy]] table, found none".into());
        }
        for table in tables {
            match table.get_ref().as_table() {
                Some(fields) => self.table(table.span(), fields),
                None => self.wrong(table.span(), "expected a [[policy]] table".into()),
            }
        }
    }

    fn table(&mut self, at: Range<usize>, table: &DeTable<'_>) {
        if !table.contains_key(FROM) {
            let example = format!("{FROM} = \"2020-11-20\"");
            self.wrong(at, format!("this table has no {FROM}, the first day on which it holds: {example}"));
        }
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if name == FROM {
                self.day(value);
                continue;
            }
            let Some(section) = self.sections.iter().find(|s| s.name == name) else {
                let allowed: Vec<&str> =
                    [FROM].into_iter().chain(self.sections.iter().map(|s| s.name)).collect();
                let what =
                    format!("{name} is not a key of a [[policy]] table; allowed: {}", allowed.join(", "));
                self.wrong(key.span(), what);
                continue;
            };
            match value.get_ref().as_table() {
                Some(fields) => self.section(section, fields),
                None => {
                    let found = self.found(value.span());
                    self.wrong(
                        value.span(),
                        format!("{name} must be a table [policy.{name}], found {found}"),
                    );
                }
            }
        }
    }

    fn day(&mut self, value: &Spanned<DeValue<'_>>) {
        let Some(day) = value.get_ref().as_str().and_then(|text| text.parse::<Day>().ok()) else {
            let found = self.found(value.span());
            let what = format!("{FROM} must be a day in quotes, such as \"2020-11-20\" (S1), found {found}");
            self.wrong(value.span(), what);
            return;
        };
        match self.days.get(&day) {
            None => {
                self.days.insert(day, value.span().start);
            }
            // Tables are looked at in the order of the text.
            Some(first) => {
                let (line, _) = place(self.text, *first);
                let what = format!(
                    "two tables are effective from {day}, the other one in line {line}: allowed is one table for each day"
                );
                self.wrong(value.span(), what);
            }
        }
    }

    fn section(&mut self, section: &Section, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match section.field(name) {
                Some(field) => self.field(section, field, value),
                None => {
                    let allowed: Vec<&str> = section.fields.iter().map(|f| f.name).collect();
                    let (of, allowed) = (section.name, allowed.join(", "));
                    self.wrong(
                        key.span(),
                        format!("{of}.{name} is not a key of the policy; allowed in {of}: {allowed}"),
                    );
                }
            }
        }
        for pair in section.rising.windows(2) {
            self.rises(section, pair[0], pair[1], table);
        }
    }

    fn field(&mut self, section: &Section, field: &Field, value: &Spanned<DeValue<'_>>) {
        if read(value.get_ref()).is_some_and(|v| field.allows(v)) {
            return;
        }
        let (found, rows) = (self.found(value.span()), field.rows().join(", "));
        let what = format!("{}.{} must be {} ({rows}), found {found}", section.name, field.name, field.kind);
        self.wrong(value.span(), what);
    }

    /// That `lower` is not above `upper`, where what is left out has its default.
    fn rises(&mut self, section: &Section, lower: &str, upper: &str, table: &DeTable<'_>) {
        let look_up = |name: &str| -> Option<(Value, Option<Range<usize>>)> {
            let field = section.field(name)?;
            match table.get(name) {
                None => Some((field.default(), None)),
                // One that is wrong by itself was reported already.
                Some(value) => {
                    let read = read(value.get_ref()).filter(|v| field.allows(*v))?;
                    Some((read, Some(value.span())))
                }
            }
        };
        let (Some((low, low_at)), Some((high, high_at))) = (look_up(lower), look_up(upper)) else { return };
        let number = |v: Value| match v {
            Value::Whole(n) => n as f64,
            Value::Number(n) => n,
            Value::Flag(_) => 0.0,
        };
        if number(low) <= number(high) {
            return;
        }
        let of = section.name;
        let shown = |name, value, at: &Option<_>| {
            format!("{of}.{name} = {value}{}", if at.is_none() { " (its default)" } else { "" })
        };
        let what = format!(
            "{} is below {}: allowed is {}",
            shown(upper, high, &high_at),
            shown(lower, low, &low_at),
            section.rising.join(" <= ")
        );
        // Defaults rise by themselves: one of the two was written.
        self.wrong(high_at.or(low_at).unwrap_or(0..0), what);
    }
}

/// A value as far as a field can have one.
fn read(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::Boolean(v) => Some(Value::Flag(*v)),
        DeValue::Integer(v) => i64::from_str_radix(v.as_str(), v.radix()).ok().map(Value::Whole),
        DeValue::Float(v) => v.as_str().parse().ok().map(Value::Number),
        _ => None,
    }
}

/// Line and column, from 1, of a byte of the text; columns in characters.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
