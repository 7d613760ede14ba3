//! The door: every record that comes in is accepted, flagged or refused here, by the contract's reasons.
//!
//! ```text
//! bytes -> framing -> raw form (strings and integers, every field optional) -> one check per record kind
//!                      json.rs, raw.rs                                        report.rs, enterprise.rs, …
//!       -> accepted record + flags + digest of its canonical JSON, or a refusal with one reason
//! ```
//!
//! *A slip must not silence an injury*: a bad value in an optional field is left out and flagged, one in a
//! required field refuses the record. Of several refusals the first holds, in the order of
//! [`RefusalReason`]'s variants and within one reason in the order of the record's fields.
//! Where the contract can be read in two ways, `docs/door.md` says which way is taken here.
//!
//! [`admit`] is pure: it looks at nothing but its arguments. Whether a record is a duplicate, stale or in
//! conflict is judged later, by key, version and [`Admitted::digest`].

mod canonical;
mod check;
mod contact;
mod enterprise;
mod glimpse;
mod governance;
mod headcount;
mod json;
mod line;
mod raw;
mod report;

pub use canonical::{canonical_json, digest};
pub use glimpse::{Glimpse, glimpse};
pub use line::{Line, LineRefusal, admit_line};

use std::fmt;
use std::sync::Arc;

use crate::codes::Problem;
use crate::records::{Digest, Record};
use crate::time::{Day, Instant};
use crate::topics::{self, Direction, Topic};
use crate::wire::{Framing, Kind, SchemaIds, WireError, WriterSchema, framing, schema::own_by_fingerprint};
use check::Checker;
use raw::{Cell, Fields, Raw};

/// The largest record that is read, in bytes. A sound record has a few hundred; one above this is refused
/// as `undecodable` without looking inside.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// Accidents before this day are refused as `occurred_too_old`: 1990-01-01.
pub const OLDEST_DAY: Day = Day(7305);

/// A record that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    /// The record; every value is on its list and in its range.
    pub record: Record,
    /// SHA-256 of its canonical JSON.
    pub digest: Digest,
    /// Slips in optional fields, in the order of the fields. Not empty: the record counts as flagged.
    pub flags: Vec<Flag>,
}

/// A bad value in an optional field, which was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it; never one of those that need other records.
    pub problem: Problem,
    /// What came, at most 64 characters; of a personal field only its size.
    pub found: String,
}

/// A record that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    /// The contract's reason.
    pub reason: RefusalReason,
    /// What was expected and what came; nothing personal.
    pub detail: String,
}

/// Why a record is refused. The order of the variants is the contract's: the first that applies holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// Not a record in any framing.
    Undecodable,
    /// An id, fingerprint or topic that stands for no record in.
    UnknownSchema,
    /// A required field is absent, null or empty.
    MissingField(&'static str),
    /// A required field has a value that it may not have.
    BadCode(&'static str),
    /// A required number is below 0.
    NegativeValue(&'static str),
    /// A required USCC whose check symbol does not fit.
    UsccCheckDigit,
    /// The accident is later than the day after the arrival.
    OccurredAfterArrival,
    /// The accident is before 1990.
    OccurredTooOld,
    /// Version 0.
    VersionBelowOne,
    /// A text on the topic `policy` that is no policy; judged by whoever reads that topic, not by [`admit`].
    BadPolicy,
}

impl RefusalReason {
    /// Its place in the contract's order.
    const fn rank(self) -> u8 {
        match self {
            RefusalReason::Undecodable => 0,
            RefusalReason::UnknownSchema => 1,
            RefusalReason::MissingField(_) => 2,
            RefusalReason::BadCode(_) => 3,
            RefusalReason::NegativeValue(_) => 4,
            RefusalReason::UsccCheckDigit => 5,
            RefusalReason::OccurredAfterArrival => 6,
            RefusalReason::OccurredTooOld => 7,
            RefusalReason::VersionBelowOne => 8,
            RefusalReason::BadPolicy => 9,
        }
    }

    /// The reason without its field: a bounded set, fit for a metric's label.
    pub const fn class(self) -> &'static str {
        match self {
            RefusalReason::Undecodable => "undecodable",
            RefusalReason::UnknownSchema => "unknown_schema",
            RefusalReason::MissingField(_) => "missing_field",
            RefusalReason::BadCode(_) => "bad_code",
            RefusalReason::NegativeValue(_) => "negative_value",
            RefusalReason::UsccCheckDigit => "uscc_check_digit",
            RefusalReason::OccurredAfterArrival => "occurred_after_arrival",
            RefusalReason::OccurredTooOld => "occurred_too_old",
            RefusalReason::VersionBelowOne => "version_below_one",
            RefusalReason::BadPolicy => "bad_policy",
        }
    }
}

impl fmt::Display for RefusalReason {
    /// Exactly the contract's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RefusalReason::MissingField(field)
            | RefusalReason::BadCode(field)
            | RefusalReason::NegativeValue(field) => write!(f, "{}:{field}", self.class()),
            _ => f.write_str(self.class()),
        }
    }
}

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Refusal {
        match error {
            WireError::Undecodable(detail) => Refusal { reason: RefusalReason::Undecodable, detail },
            WireError::UnknownSchema(detail) => Refusal { reason: RefusalReason::UnknownSchema, detail },
        }
    }
}

/// Reads and judges the value of one record of `topic` that arrived at `arrived_at`.
///
/// An empty value (on a topic that comes in, a tombstone is one) is `undecodable`; whoever reads the
/// compacted `registry.contacts` takes tombstones out before.
///
/// # Errors
/// The refusal, with the first reason that applies.
pub fn admit(
    topic: &str,
    raw: &[u8],
    arrived_at: Instant,
    schemas: &dyn SchemaIds,
) -> Result<Admitted, Refusal> {
    let known = topics::topic(topic).filter(|known| known.direction == Direction::In);
    let known = known.and_then(|known| Some((known, known.schema?)));
    let input = opened(known.map(|(_, kind)| kind), raw, schemas)?;
    let Some((topic, kind)) = known else {
        let shown: String = topic.chars().take(64).collect();
        return Err(unknown(format!("{shown:?} is no topic for records in")));
    };
    let door = Door { topic, arrived_at };
    let (record, flags) = match kind {
        Kind::Report => door.pass::<report::Names>(kind, input, report::check)?,
        Kind::Enterprise => door.pass::<enterprise::Names>(kind, input, enterprise::check)?,
        Kind::Headcount => door.pass::<headcount::Names>(kind, input, headcount::check)?,
        Kind::Contact => door.pass::<contact::Names>(kind, input, contact::check)?,
        Kind::GovernanceEvent => door.pass::<governance::Names>(kind, input, governance::check)?,
        _ => return Err(unknown(format!("{kind} is no record in"))),
    };
    let digest = digest(&record);
    Ok(Admitted { record, digest, flags })
}

/// Recognises the framing of a record of this kind; of an unknown topic there is none.
fn opened<'a>(kind: Option<Kind>, raw: &'a [u8], schemas: &dyn SchemaIds) -> Result<Input<'a>, Refusal> {
    if raw.len() > MAX_RECORD_BYTES {
        let detail = format!("a record has at most {MAX_RECORD_BYTES} bytes, here are {}", raw.len());
        return Err(Refusal { reason: RefusalReason::Undecodable, detail });
    }
    Ok(match framing(raw)? {
        Framing::Json(text) => Input::Json(json::Object::parse(text)?),
        Framing::Confluent(id, datum) => {
            let schema = schemas.schema(id);
            Input::Avro(schema.ok_or_else(|| unknown(format!("no schema has the id {id}")))?, datum)
        }
        Framing::SingleObject(fingerprint, datum) => {
            let schema = single_object_schema(kind, fingerprint, schemas);
            let none = || unknown(format!("no schema has the fingerprint {fingerprint:016x}"));
            Input::Avro(schema.ok_or_else(none)?, datum)
        }
    })
}

/// The schema of a single object: mostly our own of the topic's record, else another of ours, else one that
/// is registered.
fn single_object_schema(
    kind: Option<Kind>,
    fingerprint: u64,
    schemas: &dyn SchemaIds,
) -> Option<Arc<WriterSchema>> {
    match kind.map(|kind| &kind.own().reader) {
        Some(own) if own.fingerprint == fingerprint => Some(Arc::clone(own)),
        _ => own_by_fingerprint(fingerprint).or_else(|| schemas.by_fingerprint(fingerprint)),
    }
}

fn unknown(detail: String) -> Refusal {
    Refusal { reason: RefusalReason::UnknownSchema, detail }
}

/// A record whose framing was recognised.
enum Input<'a> {
    Json(json::Object<'a>),
    Avro(Arc<WriterSchema>, &'a [u8]),
}

/// What a check may look at beside the record.
struct Door {
    topic: &'static Topic,
    arrived_at: Instant,
}

impl Door {
    fn pass<F: Fields>(
        &self,
        kind: Kind,
        input: Input<'_>,
        check: fn(&mut Checker, &Door) -> Option<Record>,
    ) -> Result<(Record, Vec<Flag>), Refusal> {
        let cells = match input {
            Input::Json(object) => object.cells(F::NAMES),
            Input::Avro(schema, _) if schema.kind != kind => {
                return Err(unknown(format!("{} carries {kind}, found {}", self.topic.name, schema.kind)));
            }
            Input::Avro(schema, datum) => schema.read::<Raw<F>>(datum)?.cells,
        };
        let mut checker = Checker::new(F::NAMES, cells, self.topic.personal);
        let record = check(&mut checker, self);
        checker.finish(record)
    }
}
