//! Records out: written in single-object encoding, read straight into their Rust types.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::schema::own_by_fingerprint;
use super::{Framing, Kind, WireError, framing};
use crate::records::{Alert, Answer, Delivery, Heartbeat, Incident, Listed, Progress, Quarantined, Rates};
use crate::topics;

/// A record that Tocsin writes to a topic of its own.
pub trait OutputRecord: Serialize + DeserializeOwned {
    /// Its schema.
    const KIND: Kind;
    /// The topic that it is written to.
    const TOPIC: &'static str;
    /// The key that it is written under; the catalogue says what it is made of.
    fn key(&self) -> Vec<u8>;
    /// What decides its partition in the key's place, see [`NewRecord::route`](crate::log::NewRecord::route).
    fn route(&self) -> Option<Vec<u8>> {
        None
    }
    /// Appends it as an Avro datum of its schema.
    ///
    /// # Panics
    /// As [`encode`].
    fn datum(&self, out: &mut Vec<u8>) {
        if let Err(why) = Self::KIND.own().writer.write_ser(out, self) {
            panic!("the schema {} does not fit its record: {why}", Self::KIND);
        }
    }
}

/// A record out as bytes: Avro single-object encoding.
///
/// # Panics
/// Never for a record of this program: the schema files and types are tested against each other. A counter
/// over 2^63 - 1 would.
pub fn encode<T: OutputRecord>(record: &T) -> Vec<u8> {
    // Rates, which are most of them, have some 600 bytes.
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(&T::KIND.own().header);
    record.datum(&mut out);
    out
}

/// Reads a record out back from single-object encoding, also one written with an earlier schema.
///
/// # Errors
/// `UnknownSchema` for the fingerprint of another record or of none of ours; `Undecodable` for all else.
pub fn decode<T: OutputRecord>(raw: &[u8]) -> Result<T, WireError> {
    let Framing::SingleObject(fingerprint, datum) = framing(raw)? else {
        return Err(WireError::Undecodable(format!("expected the single-object encoding of {}", T::KIND)));
    };
    let own = &T::KIND.own().reader;
    if fingerprint == own.fingerprint {
        return own.read(datum);
    }
    match own_by_fingerprint(fingerprint) {
        Some(earlier) if earlier.kind == T::KIND => earlier.read(datum),
        Some(other) => Err(WireError::UnknownSchema(format!("expected {}, found {}", T::KIND, other.kind))),
        None => Err(WireError::UnknownSchema(format!("fingerprint {fingerprint:016x} is none of ours"))),
    }
}

impl OutputRecord for Incident {
    const KIND: Kind = Kind::Incident;
    const TOPIC: &'static str = topics::INCIDENTS;
    fn key(&self) -> Vec<u8> {
        self.incident_id.to_string().into_bytes()
    }
}

impl OutputRecord for Alert {
    const KIND: Kind = Kind::Alert;
    const TOPIC: &'static str = topics::ALERTS;
    fn key(&self) -> Vec<u8> {
        self.uscc.as_str().into()
    }
}

impl OutputRecord for Rates {
    const KIND: Kind = Kind::Rates;
    const TOPIC: &'static str = topics::RATES;
    fn key(&self) -> Vec<u8> {
        format!("{}|{}", self.scope, self.key).into_bytes()
    }
    fn datum(&self, out: &mut Vec<u8>) {
        super::rates::datum(self, out);
    }
}

impl OutputRecord for Listed {
    const KIND: Kind = Kind::Listed;
    const TOPIC: &'static str = topics::LISTS;
    fn key(&self) -> Vec<u8> {
        Listed::key(self).into_bytes()
    }
}

impl OutputRecord for Delivery {
    const KIND: Kind = Kind::Delivery;
    const TOPIC: &'static str = topics::DELIVERIES;
    fn key(&self) -> Vec<u8> {
        self.delivery_id.clone().into_bytes()
    }
    fn route(&self) -> Option<Vec<u8>> {
        self.phone_hash.clone().map(String::into_bytes)
    }
}

impl OutputRecord for Answer {
    const KIND: Kind = Kind::Answer;
    const TOPIC: &'static str = topics::ANSWERS;
    fn key(&self) -> Vec<u8> {
        Answer::key(self).into()
    }
}

impl OutputRecord for Progress {
    const KIND: Kind = Kind::Progress;
    const TOPIC: &'static str = topics::PROGRESS;
    fn key(&self) -> Vec<u8> {
        self.writer.clone().into_bytes()
    }
    /// `alerts.2` lies where `alerts` does: a transaction that one of these left open hides nothing of `pipeline`.
    fn route(&self) -> Option<Vec<u8>> {
        let (of, _) = self.writer.split_once('.')?;
        Some(of.as_bytes().to_vec())
    }
}

impl OutputRecord for Heartbeat {
    const KIND: Kind = Kind::Heartbeat;
    const TOPIC: &'static str = topics::MEMBERS;
    fn key(&self) -> Vec<u8> {
        self.name.clone().into_bytes()
    }
}

impl OutputRecord for Quarantined {
    const KIND: Kind = Kind::Quarantined;
    const TOPIC: &'static str = topics::QUARANTINE;
    fn key(&self) -> Vec<u8> {
        format!("{}/{}/{}", self.topic, self.partition, self.offset).into_bytes()
    }
}
