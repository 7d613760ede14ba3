//! The raw form: what came, before anything is judged. Each field is a [`Cell`].

use std::fmt;
use std::marker::PhantomData;

use compact_str::CompactString;
use serde::de::{Deserialize, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

/// The names of a record's fields, in the contract's order.
pub(super) trait Fields {
    const NAMES: &'static [&'static str];
}

/// One field as it came.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Cell {
    /// Not there, or null.
    #[default]
    Absent,
    /// A string.
    Text(CompactString),
    /// An integer.
    Int(i64),
    /// A list of strings.
    List(Vec<CompactString>),
    /// A map of strings.
    Map(Vec<(CompactString, CompactString)>),
    /// The text of a JSON object.
    Object(Box<str>),
    /// Any other value, as a short text to show.
    Other(CompactString),
}

impl Cell {
    /// What came, at most 64 characters.
    pub(super) fn shown(&self) -> String {
        let text: &str = match self {
            Cell::Absent => "",
            Cell::Text(text) | Cell::Other(text) => text,
            Cell::Int(n) => return n.to_string(),
            Cell::List(items) => return short(&format!("{items:?}")),
            Cell::Map(_) => "a map",
            Cell::Object(text) => text,
        };
        short(text)
    }

    /// How much came, without saying what: for personal fields.
    pub(super) fn size(&self) -> String {
        match self {
            Cell::Text(text) => format!("({} characters)", text.chars().count()),
            Cell::Int(_) => "(a number)".into(),
            _ => "(not a text)".into(),
        }
    }
}

pub(super) fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Cell, D::Error> {
        d.deserialize_any(CellVisitor)
    }
}

/// Takes whatever Avro type the writer chose; what does not fit the field is judged later.
struct CellVisitor;

impl CellVisitor {
    fn other<E>(shown: impl fmt::Display) -> Result<Cell, E> {
        Ok(Cell::Other(short(&shown.to_string()).into()))
    }
}

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Absent)
    }
    fn visit_none<E>(self) -> Result<Cell, E> {
        Ok(Cell::Absent)
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Cell, D::Error> {
        Cell::deserialize(d)
    }
    fn visit_str<E>(self, text: &str) -> Result<Cell, E> {
        Ok(Cell::Text(text.into()))
    }
    fn visit_string<E>(self, text: String) -> Result<Cell, E> {
        Ok(Cell::Text(text.into()))
    }
    /// Avro lets a writer's `bytes` be read as a string.
    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Cell, E> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Cell::Text(text.into())),
            Err(why) => CellVisitor::other(format_args!("{} bytes", why.as_bytes().len())),
        }
    }
    fn visit_i64<E>(self, n: i64) -> Result<Cell, E> {
        Ok(Cell::Int(n))
    }
    fn visit_u64<E>(self, n: u64) -> Result<Cell, E> {
        i64::try_from(n).map_or_else(|_| CellVisitor::other(n), |n| Ok(Cell::Int(n)))
    }
    fn visit_f64<E>(self, x: f64) -> Result<Cell, E> {
        CellVisitor::other(x)
    }
    fn visit_bool<E>(self, b: bool) -> Result<Cell, E> {
        CellVisitor::other(b)
    }
    /// A writer may keep a code as an Avro enum.
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Cell, A::Error> {
        let (Name(symbol), rest) = data.variant()?;
        rest.unit_variant()?;
        Ok(Cell::Text(symbol))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Cell, A::Error> {
        let (mut items, mut texts_only) = (Vec::new(), true);
        while let Some(item) = seq.next_element::<Cell>()? {
            match item {
                Cell::Text(text) => items.push(text),
                _ => texts_only = false,
            }
        }
        if texts_only {
            Ok(Cell::List(items))
        } else {
            CellVisitor::other("a list of other things than texts")
        }
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell, A::Error> {
        let (mut items, mut texts_only) = (Vec::new(), true);
        while let Some((Name(key), value)) = map.next_entry::<Name, Cell>()? {
            match value {
                Cell::Text(text) => items.push((key, text)),
                Cell::Absent => {}
                _ => texts_only = false,
            }
        }
        if texts_only { Ok(Cell::Map(items)) } else { CellVisitor::other("a map of other things than texts") }
    }
}

/// A map's key, a nested record's field or an enum's symbol: the library hands them out as identifiers only.
struct Name(CompactString);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Name, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(Name(name.into()))
            }
        }
        d.deserialize_identifier(NameVisitor)
    }
}

/// A record's cells, read from Avro by whatever schema it was written with.
pub(super) struct Raw<F> {
    pub(super) cells: Vec<Cell>,
    fields: PhantomData<F>,
}

impl<'de, F: Fields> Deserialize<'de> for Raw<F> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Raw<F>, D::Error> {
        d.deserialize_map(RawVisitor(PhantomData))
    }
}

struct RawVisitor<F>(PhantomData<F>);

impl<'de, F: Fields> Visitor<'de> for RawVisitor<F> {
    type Value = Raw<F>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<F>, A::Error> {
        let mut cells: Vec<Cell> = std::iter::repeat_with(Cell::default).take(F::NAMES.len()).collect();
        // Writers mostly keep our order: the next field is looked for first where it is expected.
        let mut expected = 0;
        while let Some(found) = map.next_key_seed(Position::<F>(expected, PhantomData))? {
            match found {
                Some(place) => {
                    cells[place] = map.next_value()?;
                    expected = place + 1;
                }
                // Not serde's own way to ignore a value: the library cannot do that for nested records.
                None => {
                    map.next_value::<Cell>()?;
                }
            }
        }
        Ok(Raw { cells, fields: PhantomData })
    }
}

struct Position<F>(usize, PhantomData<F>);

impl<'de, F: Fields> serde::de::DeserializeSeed<'de> for Position<F> {
    type Value = Option<usize>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Option<usize>, D::Error> {
        d.deserialize_identifier(self)
    }
}

impl<F: Fields> Visitor<'_> for Position<F> {
    type Value = Option<usize>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }
    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        if F::NAMES.get(self.0) == Some(&name) {
            return Ok(Some(self.0));
        }
        Ok(F::NAMES.iter().position(|known| *known == name))
    }
}
