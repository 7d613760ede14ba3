//! What is known of a field beside its value: its row of the notice, its default, what it may be.

use std::fmt;

use serde::Serialize;

/// One section of a table, such as `[policy.escalation]`.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its name.
    pub name: &'static str,
    /// What it is about, with its rows of the notice.
    pub about: &'static str,
    /// Its fields, in order.
    pub fields: &'static [Field],
    /// Fields whose values may not fall from one to the next.
    pub rising: &'static [&'static str],
}

/// One field of a section.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it does, with its rows of the notice.
    pub about: &'static str,
    /// Its kind, default and range.
    pub kind: Kind,
}

/// What a value may be. Both ends of a range are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    /// True or false.
    Flag { default: bool },
    /// A whole number.
    Whole { default: i64, min: i64, max: i64 },
    /// A number, with decimals or without: a share, a percentage, a probability, a multiple.
    Number { default: f64, min: f64, max: f64 },
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// A number with decimals.
    Number(f64),
}

impl Section {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.name == name)
    }
}

impl Field {
    /// The rows of the notice that it comes from, such as `S20`.
    pub fn rows(&self) -> Vec<&'static str> {
        let row = |word: &&str| word.strip_prefix('S').is_some_and(|n| n.parse::<u8>().is_ok());
        self.about.split(|c: char| !c.is_ascii_alphanumeric()).filter(row).collect()
    }

    /// Its default.
    pub fn default(&self) -> Value {
        match self.kind {
            Kind::Flag { default } => Value::Flag(default),
            Kind::Whole { default, .. } => Value::Whole(default),
            Kind::Number { default, .. } => Value::Number(default),
        }
    }

    /// Whether it may have this value.
    pub fn allows(&self, value: Value) -> bool {
        match (self.kind, value) {
            (Kind::Flag { .. }, Value::Flag(_)) => true,
            (Kind::Whole { min, max, .. }, Value::Whole(n)) => (min..=max).contains(&n),
            (Kind::Number { min, max, .. }, Value::Number(n)) => (min..=max).contains(&n),
            (Kind::Number { min, max, .. }, Value::Whole(n)) => (min..=max).contains(&(n as f64)),
            _ => false,
        }
    }
}

impl fmt::Display for Kind {
    /// What is allowed, in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Flag { .. } => f.write_str("true or false"),
            Kind::Whole { min, max, .. } => write!(f, "a whole number from {min} to {max}"),
            Kind::Number { min, max, .. } => write!(f, "a number from {min} to {max}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Flag(v) => v.fmt(f),
            Value::Whole(v) => v.fmt(f),
            Value::Number(v) => v.fmt(f),
        }
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Value {
        Value::Flag(v)
    }
}

impl From<f64> for Value {
    fn from(v: f64) -> Value {
        Value::Number(v)
    }
}

macro_rules! whole {
    ($($ty:ident)*) => { $(
        impl From<$ty> for Value {
            fn from(v: $ty) -> Value {
                Value::Whole(i64::from(v))
            }
        }
    )* };
}
whole!(u8 u16 u32);
