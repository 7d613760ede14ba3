//! JSON into cells: lenient about the type of every field, strict about JSON itself.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::raw::{Cell, short};
use super::{Refusal, RefusalReason};

/// How deep objects and lists may nest, the record itself included.
const MAX_DEPTH: usize = 127;

/// The members of a JSON object in their order, values as they were written.
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

pub(super) fn undecodable(detail: String) -> Refusal {
    Refusal { reason: RefusalReason::Undecodable, detail }
}

impl<'a> Object<'a> {
    /// Reads one object and nothing after it.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Object<'a>, Refusal> {
        let text = std::str::from_utf8(bytes)
            .map_err(|why| undecodable(format!("not UTF-8 from byte {} on", why.valid_up_to())))?;
        if nests_deeper_than(MAX_DEPTH, text) {
            return Err(undecodable(format!("nests deeper than {MAX_DEPTH} levels")));
        }
        Object::parse_flat(text)
    }

    /// As `parse`, without the limit of depth: only for what is not looked into.
    pub(super) fn parse_flat(text: &'a str) -> Result<Object<'a>, Refusal> {
        serde_json::from_str(text).map_err(|why| undecodable(format!("not a JSON object: {why}")))
    }

    /// The value of a member; of several with one name the last, as most readers take it.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.get())
    }

    /// The members, in order.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value.get()))
    }

    /// The cells of a record with these fields.
    pub(super) fn cells(&self, names: &[&'static str]) -> Vec<Cell> {
        let mut cells = vec![Cell::Absent; names.len()];
        for (key, value) in self.members() {
            if let Some(place) = names.iter().position(|name| *name == key) {
                cells[place] = cell(value);
            }
        }
        cells
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Object<'a>, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(24);
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    members.push((key, value));
                }
                Ok(members)
            }
        }
        d.deserialize_map(Members).map(Object)
    }
}

/// A member's name, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Key<'a>, D::Error> {
        struct Name;
        impl<'de> Visitor<'de> for Name {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(name))
            }
            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(name.to_owned()))
            }
        }
        d.deserialize_str(Name).map(Key)
    }
}

/// A JSON value as a cell. Only integers written as such are integers: `2.0` and `1e3` are not.
fn cell(json: &str) -> Cell {
    let other = || Cell::Other(short(json).into());
    match json.as_bytes().first() {
        Some(b'n') => Cell::Absent,
        Some(b'"') => {
            serde_json::from_str::<Cow<'_, str>>(json).map_or_else(|_| other(), |t| Cell::Text(t.into()))
        }
        Some(b'-' | b'0'..=b'9') => json.parse().map_or_else(|_| other(), Cell::Int),
        Some(b'[') => {
            serde_json::from_str::<Vec<compact_str::CompactString>>(json).map_or_else(|_| other(), Cell::List)
        }
        Some(b'{') => Cell::Object(json.into()),
        _ => other(),
    }
}

/// Whether brackets outside of strings nest deeper than `limit`. A plain scan: what parses below it can
/// recurse safely.
fn nests_deeper_than(limit: usize, text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}
