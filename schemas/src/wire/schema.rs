//! Schemas: our own, those that others wrote with, and how one is found for a record.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{MAX_TEXT_BYTES, SINGLE_OBJECT, WireError};
use crate::codes::{UnknownCode, codes};
use crate::records::Record;

codes! {
    /// Our record schemas; the text form is the record's name without the namespace `tocsin`.
    Kind: "record schema" {
        /// What one source says about one injured person.
        Report = "Report",
        /// One version of an enterprise's registration.
        Enterprise = "Enterprise",
        /// Insured persons of an enterprise in a month.
        Headcount = "Headcount",
        /// Whom to reach for a role.
        Contact = "Contact",
        /// A letter, rectification report, inspection or approval.
        GovernanceEvent = "GovernanceEvent",
        /// One incident as last decided.
        Incident = "Incident",
        /// The decision to tell one audience something.
        Alert = "Alert",
        /// Rates of one enterprise, industry, area or the city.
        Rates = "Rates",
        /// An enterprise on the list of a year, or the list as a whole.
        Listed = "Listed",
        /// One attempt series to one person over one channel.
        Delivery = "Delivery",
        /// What came back after a message.
        Answer = "Answer",
        /// How far a writer has come.
        Progress = "Progress",
        /// A worker says that it is there.
        Heartbeat = "Heartbeat",
        /// A record refused at the door.
        Quarantined = "Quarantined",
    }
}
impl Kind {
    /// The schema file, as it stands in `schemas/avro/`.
    pub const fn text(self) -> &'static str {
        match self {
            Kind::Report => include_str!("../../avro/report.avsc"),
            Kind::Enterprise => include_str!("../../avro/enterprise.avsc"),
            Kind::Headcount => include_str!("../../avro/headcount.avsc"),
            Kind::Contact => include_str!("../../avro/contact.avsc"),
            Kind::GovernanceEvent => include_str!("../../avro/governance_event.avsc"),
            Kind::Incident => include_str!("../../avro/incident.avsc"),
            Kind::Alert => include_str!("../../avro/alert.avsc"),
            Kind::Rates => include_str!("../../avro/rates.avsc"),
            Kind::Listed => include_str!("../../avro/list.avsc"),
            Kind::Delivery => include_str!("../../avro/delivery.avsc"),
            Kind::Answer => include_str!("../../avro/answer.avsc"),
            Kind::Progress => include_str!("../../avro/progress.avsc"),
            Kind::Heartbeat => include_str!("../../avro/heartbeat.avsc"),
            Kind::Quarantined => include_str!("../../avro/quarantined.avsc"),
        }
    }

    /// The schema of a record in.
    pub const fn of(record: &Record) -> Kind {
        match record {
            Record::Report(_) => Kind::Report,
            Record::Enterprise(_) => Kind::Enterprise,
            Record::Headcount(_) => Kind::Headcount,
            Record::Contact(_) => Kind::Contact,
            Record::Governance(_) => Kind::GovernanceEvent,
        }
    }

    /// Fingerprint (CRC-64-AVRO of the canonical form) of the present schema.
    pub fn fingerprint(self) -> u64 {
        self.own().reader.fingerprint
    }

    pub(crate) fn own(self) -> &'static Own {
        &OWN[self as usize]
    }
}

/// Schemas that this project wrote with before, newest first. A record written with one of them is still
/// read. Before a file in `schemas/avro/` changes, its old text is copied to `schemas/avro/earlier/` and
/// listed here.
const EARLIER: &[&str] = &[
    // Before a delivery told whose contact was asked, and when.
    include_str!("../../avro/earlier/delivery-1.avsc"),
    // Before a delivery stood for itself, without its alert.
    include_str!("../../avro/earlier/delivery-2.avsc"),
    // Before the records of the topic lists were counted.
    include_str!("../../avro/earlier/progress-1.avsc"),
    // Before a list could be equal to one frozen before.
    include_str!("../../avro/earlier/list-1.avsc"),
    // Before limits and shrunken rates.
    include_str!("../../avro/earlier/rates-1.avsc"),
];

/// One of our schemas, parsed and resolved once.
pub(crate) struct Own {
    pub(crate) writer: GenericDatumWriter<'static>,
    pub(crate) reader: Arc<WriterSchema>,
    /// The single-object header.
    pub(crate) header: [u8; 10],
}

static OWN: LazyLock<Vec<Own>> = LazyLock::new(|| {
    // The library's own limit is set once for the process, before anything is read.
    apache_avro::util::max_allocation_bytes(MAX_TEXT_BYTES);
    let own = |kind: &Kind| -> Result<Own, SchemaError> {
        let reader = Arc::new(WriterSchema::prepare(kind.text(), own_json)?);
        let mut header = [0; 10];
        header[..2].copy_from_slice(&SINGLE_OBJECT);
        header[2..].copy_from_slice(&reader.fingerprint.to_le_bytes());
        let writer = GenericDatumWriter::builder(reader.schema)
            .build()
            .map_err(|why| SchemaError::Avro(why.to_string()))?;
        Ok(Own { writer, reader, header })
    };
    let all: Result<Vec<Own>, SchemaError> = Kind::ALL.iter().map(own).collect();
    all.expect("the schema files are part of the program and tested")
});

static BY_FINGERPRINT: LazyLock<HashMap<u64, Arc<WriterSchema>>> = LazyLock::new(|| {
    let earlier = EARLIER.iter().map(|text| {
        Arc::new(WriterSchema::parse(text).expect("earlier schemas are part of the program and tested"))
    });
    let present = Kind::ALL.iter().map(|kind| Arc::clone(&kind.own().reader));
    earlier.chain(present).map(|schema| (schema.fingerprint, schema)).collect()
});

/// One of our own schemas, the present or an earlier one, by its fingerprint.
pub fn own_by_fingerprint(fingerprint: u64) -> Option<Arc<WriterSchema>> {
    BY_FINGERPRINT.get(&fingerprint).map(Arc::clone)
}

/// Why a schema cannot be used. The operator, or whoever registered it, acts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Not a schema.
    #[error("not an Avro schema: {0}")]
    Avro(String),
    /// Not a record of ours.
    #[error("expected the schema of one of Tocsin's records (such as Report), found {0}")]
    NotOurs(String),
    /// A datum of a few bytes could keep the reader busy without end.
    #[error("{0}: such a schema could be made to read without end")]
    Endless(String),
    /// The id map is not one.
    #[error("expected a JSON object of schema id -> schema: {0}")]
    Map(String),
    /// One schema of an id map.
    #[error("schema id {id}: {why}")]
    InMap {
        /// The id.
        id: u32,
        /// What is wrong with it.
        why: Box<SchemaError>,
    },
}

/// A schema that records were written with, prepared once for reading them as ours.
///
/// Reading follows Avro's rules of schema resolution: fields are found by name or by an alias in our
/// schema, fields that we do not know are skipped, and what the writer does not have takes its
/// default (null, or what the door fills in). It lives as long as the process; there are as many as
/// schemas were ever registered.
pub struct WriterSchema {
    /// Which of our records it writes.
    pub kind: Kind,
    /// CRC-64-AVRO of the canonical form, as in single-object encoding.
    pub fingerprint: u64,
    schema: &'static Schema,
    reader: GenericDatumReader<'static>,
}

impl fmt::Debug for WriterSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriterSchema({} {:016x})", self.kind, self.fingerprint)
    }
}

impl WriterSchema {
    /// Prepares a schema from its JSON text.
    ///
    /// # Errors
    /// It is no Avro schema, not of one of our records, or one that could read without end.
    pub fn parse(text: &str) -> Result<WriterSchema, SchemaError> {
        LazyLock::force(&OWN); // sets the library's limit
        WriterSchema::prepare(text, own_json)
    }

    fn prepare(text: &str, own: fn(Kind) -> Value) -> Result<WriterSchema, SchemaError> {
        let avro = |why: apache_avro::Error| SchemaError::Avro(why.to_string());
        let original = Schema::parse_str(text).map_err(avro)?;
        let digest = original.fingerprint::<Rabin>().bytes;
        let fingerprint = u64::from_le_bytes(
            digest.try_into().map_err(|_| SchemaError::Avro("a fingerprint has 8 bytes".into()))?,
        );
        let mut json: Value = serde_json::from_str(text).map_err(|why| SchemaError::Avro(why.to_string()))?;
        let found = json.get("name").and_then(Value::as_str).unwrap_or("no record").to_owned();
        let kind = Kind::ALL.iter().copied().find(|kind| names_record(&json, &own(*kind)));
        let kind = kind.filter(|_| json.get("type") == Some(&Value::from("record")));
        let kind = kind.ok_or(SchemaError::NotOurs(found))?;
        refuse_endless(&json, &mut Vec::new())?;
        let mut ours = HashMap::new();
        collect_records(&own(kind), &mut ours);
        rename(&mut json, &ours);
        let renamed = Schema::parse(&json).map_err(avro)?;
        let schema: &'static Schema = Box::leak(Box::new(renamed));
        let reader = GenericDatumReader::builder(schema).build().map_err(avro)?;
        Ok(WriterSchema { kind, fingerprint, schema, reader })
    }

    /// Reads one datum and nothing else.
    ///
    /// # Errors
    /// `Undecodable`: cut short, not what the schema says, or bytes left over.
    pub fn read<T: DeserializeOwned>(&self, mut datum: &[u8]) -> Result<T, WireError> {
        let value = self.reader.read_deser(&mut datum).map_err(|why| {
            WireError::Undecodable(format!("as {}: {}", self.kind, brief(&why.to_string())))
        })?;
        if datum.is_empty() {
            Ok(value)
        } else {
            Err(WireError::Undecodable(format!(
                "{} bytes are left over after the {}",
                datum.len(),
                self.kind
            )))
        }
    }
}

/// The library prints whole schemas into some errors; the first part says what is wrong.
fn brief(text: &str) -> String {
    text.chars().take(200).collect()
}

fn own_json(kind: Kind) -> Value {
    serde_json::from_str(kind.text()).unwrap_or_default()
}

fn unqualified(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn aliases(json: &Value) -> impl Iterator<Item = &str> {
    json.get("aliases").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Whether the writer's record is ours by its unqualified name or by one of our aliases.
fn names_record(writer: &Value, ours: &Value) -> bool {
    let Some(name) = writer.get("name").and_then(Value::as_str).map(unqualified) else { return false };
    let own = ours.get("name").and_then(Value::as_str).map(unqualified);
    own == Some(name) || aliases(ours).any(|alias| unqualified(alias) == name)
}

fn collect_records(json: &Value, into: &mut HashMap<String, Value>) {
    match json {
        Value::Array(branches) => branches.iter().for_each(|b| collect_records(b, into)),
        Value::Object(object) => {
            if let (Some(Value::Array(fields)), Some(Value::String(name))) =
                (object.get("fields"), object.get("name"))
            {
                into.insert(unqualified(name).to_owned(), json.clone());
                for alias in aliases(json) {
                    into.insert(unqualified(alias).to_owned(), json.clone());
                }
                fields.iter().filter_map(|f| f.get("type")).for_each(|t| collect_records(t, into));
            } else {
                ["type", "items", "values"]
                    .iter()
                    .filter_map(|k| object.get(*k))
                    .for_each(|t| collect_records(t, into));
            }
        }
        _ => {}
    }
}

/// Gives the writer's records and fields our names, where ours list theirs as aliases.
fn rename(writer: &mut Value, ours: &HashMap<String, Value>) {
    match writer {
        Value::Array(branches) => branches.iter_mut().for_each(|b| rename(b, ours)),
        Value::Object(object) => {
            let own = object.get("name").and_then(Value::as_str).and_then(|n| ours.get(unqualified(n)));
            if let Some(Value::Array(fields)) = object.get_mut("fields") {
                if let Some(own) = own {
                    rename_fields(fields, own);
                }
                fields.iter_mut().filter_map(|f| f.get_mut("type")).for_each(|t| rename(t, ours));
                // serde asks for the record by the name of the Rust type. References by name are not
                // rewritten, so only a record that is used once may be renamed; ours all are.
                if let Some(name) = own.and_then(|own| own.get("name")) {
                    object.insert("name".into(), name.clone());
                }
            } else {
                for key in ["type", "items", "values"] {
                    if let Some(inner) = object.get_mut(key) {
                        rename(inner, ours);
                    }
                }
            }
        }
        _ => {}
    }
}

fn rename_fields(fields: &mut [Value], own: &Value) {
    let Some(Value::Array(own_fields)) = own.get("fields") else { return };
    let has = |fields: &[Value], name: &str| fields.iter().any(|f| f.get("name") == Some(&Value::from(name)));
    for own_field in own_fields {
        let Some(name) = own_field.get("name").and_then(Value::as_str) else { continue };
        if has(fields, name) {
            continue;
        }
        let theirs = aliases(own_field).find(|alias| has(fields, alias));
        let field = theirs.and_then(|t| fields.iter_mut().find(|f| f.get("name") == Some(&Value::from(t))));
        if let Some(Value::Object(field)) = field {
            field.insert("name".into(), Value::from(name));
        }
    }
}

/// Refuses recursive types (a datum could nest without bound) and arrays or maps whose items take no
/// bytes (a count of 2^60 would be read in a few bytes of input).
fn refuse_endless(json: &Value, open: &mut Vec<String>) -> Result<(), SchemaError> {
    match json {
        Value::String(name) if open.iter().any(|n| n == unqualified(name)) => {
            Err(SchemaError::Endless(format!("record {name} holds itself")))
        }
        Value::Array(branches) => branches.iter().try_for_each(|b| refuse_endless(b, open)),
        Value::Object(object) => {
            if let Some(items) = object.get("items").filter(|items| takes_no_bytes(items)) {
                return Err(SchemaError::Endless(format!("an array of {items}")));
            }
            if let (Some(Value::Array(fields)), Some(Value::String(name))) =
                (object.get("fields"), object.get("name"))
            {
                open.push(unqualified(name).to_owned());
                let types = fields.iter().filter_map(|f| f.get("type"));
                let result = types.into_iter().try_for_each(|t| refuse_endless(t, open));
                open.pop();
                result
            } else {
                let inner = ["type", "items", "values"].iter().filter_map(|k| object.get(*k));
                inner.into_iter().try_for_each(|t| refuse_endless(t, open))
            }
        }
        _ => Ok(()),
    }
}

fn takes_no_bytes(json: &Value) -> bool {
    match json {
        Value::String(name) => name == "null",
        Value::Object(object) => match (object.get("fields"), object.get("type")) {
            (Some(Value::Array(fields)), _) => {
                fields.iter().filter_map(|f| f.get("type")).all(takes_no_bytes)
            }
            (None, Some(kind)) => {
                kind == "null" || (kind == "fixed" && object.get("size") == Some(&0.into()))
            }
            _ => false,
        },
        _ => false,
    }
}

/// Finds the schema that a record was written with. A transport error of a registry behind it is retried
/// inside; `None` means that the registry has no such schema, or one that [`WriterSchema::parse`] refuses.
pub trait SchemaIds: Send + Sync {
    /// By the id of Confluent framing.
    fn schema(&self, id: u32) -> Option<Arc<WriterSchema>>;
    /// By the fingerprint of single-object encoding. Our own are known without asking here.
    fn by_fingerprint(&self, fingerprint: u64) -> Option<Arc<WriterSchema>>;
}

/// Knows no id: for replay files, the demo, and logs that carry JSON and our own single objects.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoIds;

impl SchemaIds for NoIds {
    fn schema(&self, _: u32) -> Option<Arc<WriterSchema>> {
        None
    }
    fn by_fingerprint(&self, _: u64) -> Option<Arc<WriterSchema>> {
        None
    }
}

/// Schema ids from a file: a JSON object `{"7": {…schema…}, "8": "…schema text…"}`.
#[derive(Debug, Default)]
pub struct FileMap {
    by_id: HashMap<u32, Arc<WriterSchema>>,
    by_fingerprint: HashMap<u64, Arc<WriterSchema>>,
}

impl FileMap {
    /// From the text of such a file.
    ///
    /// # Errors
    /// The text is no such object, or one of its schemas cannot be used; the id is named.
    pub fn from_json(text: &str) -> Result<FileMap, SchemaError> {
        let map: HashMap<String, Value> =
            serde_json::from_str(text).map_err(|why| SchemaError::Map(why.to_string()))?;
        let mut texts = Vec::with_capacity(map.len());
        for (id, schema) in map {
            let id = id.parse().map_err(|_| SchemaError::Map(format!("{id:?} is no schema id")))?;
            texts.push((id, schema.as_str().map_or_else(|| schema.to_string(), str::to_owned)));
        }
        FileMap::from_texts(texts)
    }

    /// From ids and schema texts.
    ///
    /// # Errors
    /// One of the schemas cannot be used; its id is named.
    pub fn from_texts<S: AsRef<str>>(
        texts: impl IntoIterator<Item = (u32, S)>,
    ) -> Result<FileMap, SchemaError> {
        let mut map = FileMap::default();
        for (id, text) in texts {
            let schema = WriterSchema::parse(text.as_ref())
                .map_err(|why| SchemaError::InMap { id, why: Box::new(why) })?;
            let schema = Arc::new(schema);
            map.by_fingerprint.insert(schema.fingerprint, Arc::clone(&schema));
            map.by_id.insert(id, schema);
        }
        Ok(map)
    }
}

impl SchemaIds for FileMap {
    fn schema(&self, id: u32) -> Option<Arc<WriterSchema>> {
        self.by_id.get(&id).map(Arc::clone)
    }
    fn by_fingerprint(&self, fingerprint: u64) -> Option<Arc<WriterSchema>> {
        self.by_fingerprint.get(&fingerprint).map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Offset;
    use serde_json::json;

    /// Our schemas as they would be after a rename that keeps the old names as aliases.
    fn renamed(kind: Kind) -> Value {
        let mut schema = own_json(kind);
        if kind == Kind::Progress {
            schema["aliases"] = json!(["old.Position"]);
            schema["fields"][0]["aliases"] = json!(["name"]);
            schema["fields"][3]["aliases"] = json!(["places"]);
            schema["fields"][3]["type"]["items"]["aliases"] = json!(["Place"]);
            schema["fields"][3]["type"]["items"]["fields"][2]["aliases"] = json!(["offset"]);
        }
        schema
    }

    /// An earlier version of `Progress`, with other names at every level and without two of the fields.
    const EARLIER_PROGRESS: &str = r#"{"type": "record", "name": "Position", "namespace": "old", "fields": [
        {"name": "name", "type": "string"}, {"name": "log_id", "type": "string"},
        {"name": "gone", "type": ["null", "double"]},
        {"name": "places", "type": {"type": "array", "items": {"type": "record", "name": "Place", "fields": [
            {"name": "topic", "type": "string"}, {"name": "partition", "type": "long"},
            {"name": "offset", "type": "long"}]}}}]}"#;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Progress {
        writer: String,
        log_id: String,
        offsets: Vec<Offset>,
        #[serde(default)]
        policy_hash: String,
    }

    #[test]
    fn records_and_fields_are_found_by_alias_at_every_level() {
        let schema = WriterSchema::prepare(EARLIER_PROGRESS, renamed).unwrap();
        assert_eq!(schema.kind, Kind::Progress);
        // pipeline, x, null, one place (t, 1, 2)
        let datum = b"\x10pipeline\x02x\x00\x02\x02t\x02\x04\x00";
        let offsets = vec![Offset { topic: "t".into(), partition: 1, next: 2 }];
        let expected =
            Progress { writer: "pipeline".into(), log_id: "x".into(), offsets, policy_hash: String::new() };
        assert_eq!(schema.read::<Progress>(datum), Ok(expected));
        // Without the aliases it is a stranger's.
        assert!(matches!(WriterSchema::parse(EARLIER_PROGRESS), Err(SchemaError::NotOurs(_))));
        // The fingerprint is that of the schema as written, not as renamed.
        let original = Schema::parse_str(EARLIER_PROGRESS).unwrap();
        assert_eq!(schema.fingerprint.to_le_bytes()[..], original.fingerprint::<Rabin>().bytes);
    }

    #[test]
    fn a_writers_own_field_of_our_name_is_preferred_to_an_alias() {
        let text = EARLIER_PROGRESS.replace("\"gone\"", "\"writer\"");
        let schema = WriterSchema::prepare(&text, renamed).unwrap();
        assert!(schema.schema.canonical_form().contains("\"name\":\"name\""));
    }

    #[test]
    fn every_earlier_schema_can_be_read() {
        for text in EARLIER {
            assert!(WriterSchema::parse(text).is_ok(), "{text}");
        }
    }
}
