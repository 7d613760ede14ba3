//! The typed policy: every threshold that a rule uses, effective-dated, hashed into each alert.
//!
//! - `fields`: the thresholds, one line each
//! - `field`: what is known of one beside its value
//! - `check`: the first thing that is wrong with a text, with its place
//!
//! One TOML text holds `[[policy]]` tables, each with `effective_from`; a value that is left out has the
//! default of records.md section 4. The table of a day is the last one whose `effective_from` is not after
//! it; before the first table the first one holds.

mod check;
mod field;
mod fields;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tocsin_schemas::door::MAX_RECORD_BYTES;
use tocsin_schemas::time::Day;

pub use self::field::{Field, Kind, Section, Value};
pub use self::fields::{
    Escalation, Lists, Merge, OwnerAlert, Policy, Quality, SECTIONS, SeverityLimits, Statistics,
};

/// All tables, oldest first. Never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Policies {
    tables: Vec<Policy>,
    hash: Arc<str>,
}

#[derive(Deserialize)]
struct File {
    policy: Vec<Policy>,
}

#[derive(Serialize)]
struct Tables<'a> {
    policy: &'a [Policy],
}

/// A policy that cannot be used; the operator acts. One line: the place in the text, what came and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// Line and column, from 1; columns in characters. `None`: it is not about a text.
    pub place: Option<(usize, usize)>,
    /// What is wrong, and what is allowed.
    pub what: String,
}

impl PolicyError {
    fn at(text: &str, byte: usize, what: String) -> PolicyError {
        PolicyError { place: Some(check::place(text, byte)), what }
    }

    /// More bytes than a record of the topic may have.
    fn too_long(found: usize) -> PolicyError {
        PolicyError::at("", 0, format!("a policy has at most {MAX_RECORD_BYTES} bytes, found {found}"))
    }

    /// Bytes as text.
    fn text(raw: &[u8]) -> Result<&str, PolicyError> {
        std::str::from_utf8(raw).map_err(|e| {
            let sound = String::from_utf8_lossy(&raw[..e.valid_up_to()]);
            let what =
                format!("expected a TOML text in UTF-8, found the byte 0x{:02X}", raw[e.valid_up_to()]);
            PolicyError::at(&sound, sound.len(), what)
        })
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for PolicyError {}

impl Policies {
    /// Reads the TOML text of a policy file.
    ///
    /// # Errors
    /// The first thing that is wrong, with line, column and what is allowed: no TOML, an unknown key, a wrong type,
    /// a value out of its range, thresholds out of order, a table without its day, two tables of one day, no table.
    pub fn parse(text: &str) -> Result<Policies, PolicyError> {
        check::check(text, SECTIONS)?;
        let file: File = toml::from_str(text).map_err(|e| check::syntax(text, &e))?;
        let mut tables = file.policy;
        tables.sort_by_key(|t| t.effective_from);
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(written(&tables)?)).into();
        Ok(Policies { tables, hash })
    }

    /// The same from bytes that may be anything.
    ///
    /// # Errors
    /// Those of [`Policies::parse`], bytes that are no UTF-8, and more than a record of the topic may have.
    pub fn parse_bytes(raw: &[u8]) -> Result<Policies, PolicyError> {
        if raw.len() > MAX_RECORD_BYTES {
            return Err(PolicyError::too_long(raw.len()));
        }
        Policies::parse(PolicyError::text(raw)?)
    }

    /// From tables in any order.
    ///
    /// # Errors
    /// As for [`Policies::parse`], as if the tables had been written out.
    pub fn new(tables: Vec<Policy>) -> Result<Policies, PolicyError> {
        Policies::parse(&written(&tables)?)
    }

    /// The same policy from another day on: `--policy-from`, to run on old history.
    ///
    /// # Errors
    /// When there are several tables: it would not be clear which one is meant.
    pub fn effective_from(self, day: Day) -> Result<Policies, PolicyError> {
        match self.tables.as_slice() {
            [one] => Policies::new(vec![Policy { effective_from: day, ..one.clone() }]),
            many => Err(PolicyError {
                place: None,
                what: format!(
                    "one table can be moved to {day}, but there are {}: leave out --policy-from or the other tables",
                    many.len()
                ),
            }),
        }
    }

    /// The table that holds on a day.
    pub fn on(&self, day: Day) -> &Policy {
        let after = self.tables.partition_point(|t| t.effective_from <= day);
        &self.tables[after.saturating_sub(1)]
    }

    /// The day on which anything begins to be decided.
    pub fn begins(&self) -> Day {
        self.tables[0].effective_from
    }

    /// Whether anything new is decided on a day.
    pub fn begun_on(&self, day: Day) -> bool {
        self.begins() <= day
    }

    /// The tables, oldest first.
    pub fn tables(&self) -> &[Policy] {
        &self.tables
    }

    /// The whole policy as TOML text, defaults filled in.
    ///
    /// # Errors
    /// None that is known: every value has a form in TOML.
    pub fn to_toml(&self) -> Result<String, PolicyError> {
        written(&self.tables)
    }

    /// Whether cases, incidents and their severity are the same under both, whatever arrives: whether they differ in
    /// what is said alone.
    pub(crate) fn resolves_as(&self, other: &Policies) -> bool {
        let days = || self.tables.iter().chain(&other.tables).map(|t| t.effective_from);
        let before_all = days().min().map(|first| first.plus(-1));
        days().chain(before_all).all(|day| {
            let (a, b) = (self.on(day), other.on(day));
            a.merge == b.merge && a.severity == b.severity
        })
    }

    /// SHA-256 (hex) over all values, defaults filled in: equal for equal policies however written.
    pub fn hash(&self) -> &Arc<str> {
        &self.hash
    }
}

/// The tables as TOML text, every value written out: what the hash is over.
fn written(tables: &[Policy]) -> Result<String, PolicyError> {
    toml::to_string(&Tables { policy: tables }).map_err(|e| PolicyError { place: None, what: e.to_string() })
}

impl Default for Policies {
    /// The default file: one table from 2020-11-20 (S1).
    fn default() -> Self {
        #[allow(clippy::unwrap_used, reason = "a constant that a test reads")]
        Policies::parse("[[policy]]\neffective_from = \"2020-11-20\"\n").unwrap()
    }
}
