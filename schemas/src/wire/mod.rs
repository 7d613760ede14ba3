//! Records as bytes: Avro in two framings, and plain JSON, told apart by the first byte.
//!
//! | first byte | framing | what follows |
//! |---|---|---|
//! | `0x00` | Confluent | schema id (4 bytes, big-endian), Avro datum |
//! | `0xC3` | Avro single object | `0x01`, fingerprint of the writer's schema (8 bytes, little-endian), Avro datum |
//! | `{` (white space before it allowed) | JSON | the rest of the object |
//!
//! The schemas are the files in `schemas/avro/`. [`Kind`] names them; [`schema::WriterSchema`] is a
//! schema that a record was *written* with, prepared once for reading (aliases applied, names resolved), and
//! [`SchemaIds`] finds it by id or fingerprint. Records out are written in single-object encoding by
//! [`encode`] and read by [`decode`], straight by serde, without Avro's `Value`; rates, the most of them, without serde. Records in are read by
//! [`crate::door`] and written, for sources and tests, by [`encode_in`].
//!
//! Nothing here panics on hostile bytes: a length is believed up to [`MAX_TEXT_BYTES`] only, and schemas that
//! could read for ever (recursive ones, arrays of nothing) are refused when they are prepared.

mod output;
mod rates;
pub mod schema;

pub use output::{OutputRecord, decode, encode};
pub use schema::{FileMap, Kind, NoIds, SchemaError, SchemaIds, WriterSchema};

use crate::records::Record;

/// The longest string or byte field that is read from Avro: as long as a record of ours may be. (The door
/// reads records of up to 1 MiB.)
pub const MAX_TEXT_BYTES: usize = crate::topics::MAX_OUT_BYTES;

const CONFLUENT: u8 = 0;
const SINGLE_OBJECT: [u8; 2] = [0xC3, 0x01];

/// Why bytes could not be read as a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not in a known framing, or cut short, or not what the schema says.
    #[error("cannot be decoded: {0}")]
    Undecodable(String),
    /// No schema is known by this id or fingerprint, or it is not one of the record wanted.
    #[error("unknown schema: {0}")]
    UnknownSchema(String),
}

/// A record's framing, recognised by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing<'a> {
    /// Confluent: the id of the writer's schema, and the datum.
    Confluent(u32, &'a [u8]),
    /// Single object: the fingerprint of the writer's schema, and the datum.
    SingleObject(u64, &'a [u8]),
    /// JSON text that begins an object.
    Json(&'a [u8]),
}

/// Recognises the framing.
///
/// # Errors
/// `Undecodable`: empty, an unknown first byte, or a header that is cut short.
pub fn framing(raw: &[u8]) -> Result<Framing<'_>, WireError> {
    let undecodable = |why: String| Err(WireError::Undecodable(why));
    match raw {
        [] => undecodable("the record is empty".into()),
        [CONFLUENT, rest @ ..] => match rest.split_first_chunk::<4>() {
            Some((id, datum)) => Ok(Framing::Confluent(u32::from_be_bytes(*id), datum)),
            None => undecodable(format!("a Confluent header has 5 bytes, here are {}", raw.len())),
        },
        [0xC3, rest @ ..] => match rest.split_first_chunk::<9>() {
            Some(([0x01, fingerprint @ ..], datum)) => {
                Ok(Framing::SingleObject(u64::from_le_bytes(*fingerprint), datum))
            }
            Some(_) => undecodable(format!("single-object encoding begins C3 01, found C3 {:02X}", rest[0])),
            None => undecodable(format!("a single-object header has 10 bytes, here are {}", raw.len())),
        },
        [0xEF, 0xBB, 0xBF, ..] => undecodable("begins with a byte order mark: send UTF-8 without one".into()),
        _ => match raw.iter().find(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            Some(b'{') => Ok(Framing::Json(raw)),
            _ => undecodable(format!("expected a first byte 00, C3 or {{, found {:02X}", raw[0])),
        },
    }
}

/// How a record in is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Canonical JSON.
    Json,
    /// Avro single object, by our own schema.
    SingleObject,
    /// Confluent framing with this schema id; the id must stand for our own schema.
    Confluent(u32),
}

/// A record in as bytes, for sources, the demo and tests.
///
/// # Errors
/// None for a record that the door accepted; an Avro failure would be a fault of our schema files.
pub fn encode_in(record: &Record, encoding: Encoding) -> Result<Vec<u8>, WireError> {
    let (kind, mut out) = (Kind::of(record), Vec::with_capacity(256));
    match encoding {
        Encoding::Json => return Ok(crate::door::canonical_json(record)),
        Encoding::SingleObject => out.extend_from_slice(&kind.own().header),
        Encoding::Confluent(id) => {
            out.push(CONFLUENT);
            out.extend_from_slice(&id.to_be_bytes());
        }
    }
    let writer = &kind.own().writer;
    match record {
        Record::Report(r) => writer.write_ser(&mut out, r),
        Record::Enterprise(r) => writer.write_ser(&mut out, r),
        Record::Headcount(r) => writer.write_ser(&mut out, r),
        Record::Contact(r) => writer.write_ser(&mut out, r),
        Record::Governance(r) => writer.write_ser(&mut out, r),
    }
    .map_err(|why| WireError::Undecodable(format!("{kind}: {why}")))?;
    Ok(out)
}

/// A number above 0 as an Avro `long`: Avro has no unsigned 64-bit type.
pub(crate) mod long {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _, ser::Error as _};

    pub(crate) fn serialize<S: Serializer>(n: &u64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_i64(i64::try_from(*n).map_err(|_| S::Error::custom("a number over 2^63 - 1"))?)
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        let n = i64::deserialize(d)?;
        u64::try_from(n).map_err(|_| D::Error::custom("a number below 0"))
    }
}
