//! One record, whichever encoding it comes in; schemas that change; bytes that lie.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test may panic")]

mod support;

use apache_avro::Schema;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::*;
use tocsin_schemas::codes::*;
use tocsin_schemas::door::{self, Admitted, Refusal};
use tocsin_schemas::ids::*;
use tocsin_schemas::records::*;
use tocsin_schemas::time::*;
use tocsin_schemas::wire::{self, Encoding, FileMap, Kind, NoIds, SchemaError, WriterSchema};

const ID: u32 = 0x0102_0304;

/// A registry that knows the schema of this kind, and one other id.
fn ids(kind: Kind) -> FileMap {
    FileMap::from_texts([(ID, kind.text()), (7, Kind::Headcount.text())]).unwrap()
}

fn uscc() -> impl Strategy<Value = Uscc> {
    "[0-9A-HJ-NPQRTUWXY]{17}".prop_map(|first| {
        let check = Uscc::check_symbol(first.as_bytes()).unwrap();
        format!("{first}{}", char::from(check)).parse().unwrap()
    })
}

/// A tag as it is kept: no white space around it, not empty, at most 64 characters.
fn label() -> impl Strategy<Value = String> {
    let kept = |text: String| text.trim().chars().take(64).collect::<String>().trim().to_owned();
    any::<String>().prop_map(kept).prop_filter("not empty", |label| !label.is_empty())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,5}", "\\PC{1,30}", any::<String>()].prop_filter("not empty", |t| !t.is_empty())
}

fn code<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(all)
}

fn day() -> impl Strategy<Value = Day> {
    (0..70_000).prop_map(Day)
}

prop_compose! {
    fn report()(
        id in "\\PC{1,64}", version in 1..=i64::MAX as u64, status in code(Status::ALL), category in code(Category::ALL),
        on in 7305..20_000i32, time in prop::option::of(0..1440u16), reported in 0..4_000_000_000_000i64,
        usccs in (prop::option::of(uscc()), prop::option::of(uscc())),
        person in prop::option::of(any::<[u8; 32]>()), cause in prop::option::of(1..=20u8),
        texts in prop::array::uniform6(prop::option::of(text())),
        numbers in (prop::option::of(any::<u32>()), prop::option::of(1..=10u8), prop::option::of(day())),
    ) -> Report {
        let texts = texts.map(|text| text.map(compact_str::CompactString::from));
        let [employer_name, incident_no, post, process, equipment, note] = texts;
        Report {
            source: Source::Hr, source_record_id: id.into(), version, status, category, occurred_on: Day(on),
            occurred_time: time.map(TimeOfDay), reported_at: Instant(reported), uscc: usccs.0, employer_name,
            host_uscc: usccs.1, person_key: person.map(PersonKey), incident_no,
            cause: cause.map(|c| format!("{c:02}").parse().unwrap()), post, process, equipment, note,
            lost_days: numbers.0, disability_grade: numbers.1, died_on: numbers.2,
        }
    }
}

prop_compose! {
    fn enterprise()(
        uscc in uscc(), version in 1..=i64::MAX as u64, name in text(), short_name in prop::option::of(text()),
        area in "33078[0-9]{4}|[A-Z]{2}-[A-Z]{1,8}", industry in "[1-8][0-9]{1,3}", from in day(),
        status in code(EnterpriseStatus::ALL), tags in prop::collection::vec(label(), 0..4),
        successor_of in prop::option::of(self::uscc()),
    ) -> Enterprise {
        let (name, short_name, area) = (name.into(), short_name.map(Into::into), area.into());
        Enterprise { uscc, version, name, short_name, area, industry, valid_from: from, status, tags, successor_of }
    }
}

prop_compose! {
    fn contact()(
        subject in uscc(), rank in 1u32.., name in text(), phone in prop::option::of(text()),
        addresses in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        days in prop::array::uniform3(prop::option::of(day())), version in 1..=i64::MAX as u64,
    ) -> Contact {
        let [valid_from, valid_to, verified_on] = days;
        let subject = subject.to_string();
        Contact { role: Role::Owner, subject, rank, name, phone, addresses, valid_from, valid_to, verified_on, version }
    }
}

fn record() -> impl Strategy<Value = (&'static str, Record)> {
    prop_oneof![
        6 => report().prop_map(|r| ("reports.hr", Record::Report(r))),
        2 => enterprise().prop_map(|r| ("registry.enterprises", Record::Enterprise(r))),
        1 => (uscc(), 0..40_000i32, any::<u32>(), 1..=i64::MAX as u64).prop_map(|(uscc, month, insured, version)| {
            ("registry.headcount", Record::Headcount(Headcount { uscc, month: Month(month), insured, version }))
        }),
        2 => contact().prop_map(|r| ("registry.contacts", Record::Contact(r))),
        1 => (prop::array::uniform4(text()), prop::option::of(text()), day(), 1..=i64::MAX as u64, text(), any::<i64>()).prop_map(
            |([event_id, kind, subject, actor], approver, on, version, key, n)| {
                let details = json!({ key: [n, null] }).to_string();
                let event = GovernanceEvent { event_id, kind, subject, on, version, actor, approver, details };
                ("governance.events", Record::Governance(event))
            }
        ),
    ]
}

fn far_future() -> Instant {
    Day(80_000).midnight()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_record_is_the_same_in_every_encoding((topic, record) in record()) {
        let ids = ids(Kind::of(&record));
        let canonical = door::canonical_json(&record);
        let mut digests = Vec::new();
        for encoding in [Encoding::Json, Encoding::SingleObject, Encoding::Confluent(ID)] {
            let bytes = wire::encode_in(&record, encoding).unwrap();
            let admitted = door::admit(topic, &bytes, far_future(), &ids).unwrap();
            prop_assert_eq!(&admitted.record, &record);
            prop_assert_eq!(&admitted.flags, &[]);
            digests.push(admitted.digest);
        }
        prop_assert!(digests.iter().all(|d| *d == digests[0]));
        // Canonical JSON is JSON with sorted keys and no white space, by another reader's word.
        let again: Value = serde_json::from_slice(&canonical).unwrap();
        prop_assert_eq!(serde_json::to_vec(&again).unwrap(), canonical);
    }

    #[test]
    fn no_bytes_make_the_door_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), topic in 0..5usize) {
        let topic = full_records()[topic].0;
        let ids = ids(Kind::Report);
        for head in [&[][..], &[0, 1, 2, 3, 4], &[0, 0, 0, 0, 7], b"{"] {
            let _ = door::admit(topic, &[head, &bytes].concat(), arrived(), &ids);
            let _ = door::admit_line(&[head, &bytes].concat());
        }
        for kind in Kind::ALL {
            let head = [&[0xC3, 1][..], &kind.fingerprint().to_le_bytes()].concat();
            let _ = door::admit(topic, &[&head[..], &bytes].concat(), arrived(), &ids);
            let raw = [&head[..], &bytes].concat();
            let _ = (wire::decode::<Alert>(&raw), wire::decode::<Progress>(&raw), wire::decode::<Rates>(&raw));
        }
    }

    #[test]
    fn a_mutated_record_never_panics_and_never_passes_as_more_than_one_thing(
        (topic, record) in record(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let ids = ids(Kind::of(&record));
        for encoding in [Encoding::Json, Encoding::SingleObject, Encoding::Confluent(ID)] {
            let mut bytes = wire::encode_in(&record, encoding).unwrap();
            for (place, byte) in &changes {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            if let Ok(admitted) = door::admit(topic, &bytes, far_future(), &ids) {
                // What passes is a sound record: it passes again in every encoding, as the same.
                for encoding in [Encoding::Json, Encoding::SingleObject] {
                    let bytes = wire::encode_in(&admitted.record, encoding).unwrap();
                    let again = door::admit(topic, &bytes, far_future(), &ids).unwrap();
                    prop_assert_eq!(again.digest, admitted.digest);
                }
            }
            bytes.truncate(cut.index(bytes.len()));
            let _ = door::admit(topic, &bytes, far_future(), &ids);
        }
    }
}

// ---- schemas that change ----

/// A writer's schema of a report, from ours, changed by `change`.
fn writer_schema(change: impl Fn(&mut Vec<Value>)) -> Value {
    let mut schema: Value = serde_json::from_str(Kind::Report.text()).unwrap();
    change(schema["fields"].as_array_mut().unwrap());
    schema
}

fn field(name: &str, kind: Value) -> Value {
    json!({"name": name, "type": kind})
}

/// Writes a record by a writer's schema with the library's own generic writer, and admits it.
fn write_and_admit(schema: &Value, values: Vec<(&str, Avro)>) -> Result<Admitted, Refusal> {
    let map = FileMap::from_json(&json!({ "5": schema }).to_string()).unwrap();
    let parsed = Schema::parse_str(&schema.to_string()).unwrap();
    let values = values.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    let writer = GenericDatumWriter::builder(&parsed).build().unwrap();
    let datum = writer.write_value_to_vec(Avro::Record(values)).unwrap();
    door::admit("reports.hr", &[&[0, 0, 0, 0, 5][..], &datum].concat(), arrived(), &map)
}

fn some(value: Avro) -> Avro {
    Avro::Union(1, Box::new(value))
}

fn string(text: &str) -> Avro {
    Avro::String(text.into())
}

fn required() -> Vec<(&'static str, Avro)> {
    vec![
        ("source", string("hr")),
        ("source_record_id", string("HR-1")),
        ("version", Avro::Long(1)),
        ("status", string("reported")),
        ("occurred_on", string("2025-02-28")),
        ("reported_at", string("2025-03-01T08:00:00+08:00")),
    ]
}

fn required_fields() -> Vec<Value> {
    ["source", "source_record_id", "version", "status", "occurred_on", "reported_at"]
        .map(|name| field(name, if name == "version" { json!("long") } else { json!("string") }))
        .into()
}

fn report_of(result: Result<Admitted, Refusal>) -> Report {
    match result.unwrap() {
        Admitted { record: Record::Report(report), flags, .. } if flags.is_empty() => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_writer_with_fewer_fields_gets_the_defaults() {
    let schema = writer_schema(|fields| *fields = required_fields());
    let report = report_of(write_and_admit(&schema, required()));
    assert_eq!(report.category, Category::Production);
    assert_eq!(report.uscc, None);
}

#[test]
fn a_writers_own_fields_are_skipped_wherever_they_stand() {
    let schema = writer_schema(|fields| {
        *fields = required_fields();
        let nested = json!({"type": "record", "name": "Extra", "fields": [
            {"name": "a", "type": {"type": "array", "items": "double"}}, {"name": "b", "type": "boolean"}]});
        fields.insert(0, field("extra", nested));
        fields.push(field("weight", json!({"type": "map", "values": "float"})));
    });
    let mut values = required();
    let nested = vec![
        ("a".into(), Avro::Array(vec![Avro::Double(1.0), Avro::Double(2.0)])),
        ("b".into(), Avro::Boolean(true)),
    ];
    values.insert(0, ("extra", Avro::Record(nested)));
    values.push(("weight", Avro::Map([("x".to_owned(), Avro::Float(0.5))].into())));
    assert_eq!(report_of(write_and_admit(&schema, values)).source_record_id, "HR-1");
}

#[test]
fn a_writer_may_keep_numbers_as_int_texts_as_bytes_and_codes_as_enums() {
    let schema = writer_schema(|fields| {
        *fields = required_fields();
        fields[1] = field("source_record_id", json!("bytes"));
        fields[2] = field("version", json!("int"));
        fields[3] =
            field("status", json!({"type": "enum", "name": "S", "symbols": ["reported", "withdrawn"]}));
        fields.push(field("lost_days", json!(["int", "null"])));
        fields.push(field("cause", json!(["null", "string", "int"])));
    });
    let mut values = required();
    values[1].1 = Avro::Bytes(b"HR-1".to_vec());
    values[2].1 = Avro::Int(3);
    values[3].1 = Avro::Enum(1, "withdrawn".into());
    values.push(("lost_days", Avro::Union(0, Box::new(Avro::Int(9)))));
    values.push(("cause", some(string("03"))));
    let report = report_of(write_and_admit(&schema, values));
    assert_eq!((report.version, report.status, report.lost_days), (3, Status::Withdrawn, Some(9)));
}

#[test]
fn a_slip_in_avro_is_a_slip_as_in_json() {
    let schema = writer_schema(|fields| {
        *fields = required_fields();
        fields.push(field("lost_days", json!("double")));
        fields.push(field("cause", json!("string")));
        fields[2] = field("version", json!("string"));
    });
    let mut values = required();
    values[2].1 = string("1");
    values.push(("lost_days", Avro::Double(f64::NAN)));
    values.push(("cause", string("99")));
    let refusal = write_and_admit(&schema, values.clone()).unwrap_err();
    assert_eq!(refusal.reason.to_string(), "bad_code:version");
    let schema = writer_schema(|fields| {
        *fields = required_fields();
        fields.push(field("lost_days", json!("double")));
        fields.push(field("cause", json!("string")));
    });
    values[2].1 = Avro::Long(1);
    let flags = write_and_admit(&schema, values).unwrap().flags;
    let flags: Vec<_> = flags.iter().map(|f| (f.field, f.problem, f.found.as_str())).collect();
    assert_eq!(flags, [("cause", Problem::NotInList, "99"), ("lost_days", Problem::WrongType, "NaN")]);
}

#[test]
fn a_schema_of_another_record_is_unknown_on_this_topic() {
    let bytes = wire::encode_in(
        &Record::Headcount(Headcount {
            uscc: USCC.parse().unwrap(),
            month: Month(24_300),
            insured: 1,
            version: 1,
        }),
        Encoding::SingleObject,
    );
    let refusal = door::admit("reports.hr", &bytes.unwrap(), arrived(), &NoIds).unwrap_err();
    assert_eq!(refusal.to_string(), "unknown_schema: reports.hr carries Report, found Headcount");
}

#[test]
fn a_schema_that_cannot_be_used_is_refused_when_it_is_given() {
    let recursive = writer_schema(|fields| fields.push(field("next", json!(["null", "tocsin.Report"]))));
    let nothing = writer_schema(|fields| fields.push(field("x", json!({"type": "array", "items": "null"}))));
    for endless in [recursive, nothing] {
        let error = WriterSchema::parse(&endless.to_string()).unwrap_err();
        assert!(matches!(error, SchemaError::Endless(_)), "{error}");
    }
    for other in ["\"string\"", r#"{"type":"record","name":"Injury","fields":[]}"#] {
        assert!(matches!(WriterSchema::parse(other), Err(SchemaError::NotOurs(_))), "{other}");
    }
    assert!(matches!(WriterSchema::parse("{"), Err(SchemaError::Avro(_))));
    let error = FileMap::from_json(r#"{"12": "\"string\""}"#).unwrap_err();
    assert!(error.to_string().starts_with("schema id 12: "), "{error}");
    assert!(FileMap::from_json(r#"{"x": {}}"#).is_err());
    assert!(FileMap::from_json("[]").is_err());
}

// ---- bytes that lie ----

fn zigzag(n: i64) -> Vec<u8> {
    let mut z = ((n << 1) ^ (n >> 63)) as u64;
    let mut out = Vec::new();
    while z > 0x7F {
        out.push(z as u8 | 0x80);
        z >>= 7;
    }
    out.push(z as u8);
    out
}

#[test]
fn a_length_that_lies_is_an_error_and_no_allocation() {
    let head = [&[0xC3, 1][..], &Kind::Report.fingerprint().to_le_bytes()].concat();
    for length in [1 << 40, i64::MAX, -1, i64::MIN, 3 << 20, 1 << 20] {
        let raw = [&head[..], &zigzag(length), b"hr"].concat();
        let refusal = door::admit("reports.hr", &raw, arrived(), &NoIds).unwrap_err();
        assert_eq!(refusal.reason.to_string(), "undecodable", "{length}");
        assert!(refusal.detail.len() < 500, "{}", refusal.detail);
    }
    // A list that promises 2^60 items, or whose block says it is 2^60 bytes long.
    let head = [&[0xC3, 1][..], &Kind::Enterprise.fingerprint().to_le_bytes()].concat();
    let full = door::admit("registry.enterprises", enterprise_bytes().as_bytes(), arrived(), &NoIds).unwrap();
    let bytes = wire::encode_in(&full.record, Encoding::SingleObject).unwrap();
    assert_eq!(bytes[..10], head);
    // It ends: …, tags (a zero block), successor_of (null).
    assert_eq!(bytes[bytes.len() - 2..], [0, 0]);
    for block in [zigzag(1 << 60), [zigzag(-(1 << 60)), zigzag(1 << 60)].concat(), zigzag(i64::MIN)] {
        for tail in [&b"\x02a"[..], &[0; 50]] {
            let raw = [&bytes[..bytes.len() - 2], &block, tail].concat();
            let refusal = door::admit("registry.enterprises", &raw, arrived(), &NoIds).unwrap_err();
            assert_eq!(refusal.reason.to_string(), "undecodable");
        }
    }
}

fn enterprise_bytes() -> String {
    without(without(support::enterprise(), "tags"), "successor_of").to_string()
}

#[test]
fn a_record_cut_short_or_with_bytes_left_over_is_undecodable() {
    for (topic, value) in full_records() {
        let record = admit(topic, &value).unwrap().record;
        let ids = ids(Kind::of(&record));
        for encoding in [Encoding::SingleObject, Encoding::Confluent(ID)] {
            let bytes = wire::encode_in(&record, encoding).unwrap();
            for length in 0..bytes.len() {
                let refusal = door::admit(topic, &bytes[..length], arrived(), &ids).unwrap_err();
                assert_eq!(refusal.reason.to_string(), "undecodable", "{topic} cut at {length}");
            }
            let refusal = door::admit(topic, &[&bytes[..], &[0]].concat(), arrived(), &ids).unwrap_err();
            assert_eq!(refusal.reason.to_string(), "undecodable");
        }
    }
}
