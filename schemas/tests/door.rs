//! The door: every reason and every flag, field by field.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::{Value, json};
use support::*;
use tocsin_schemas::codes::{Category, Problem};
use tocsin_schemas::door::{self, Flag};
use tocsin_schemas::records::Record;
use tocsin_schemas::wire::NoIds;

/// Required and optional fields, as records.md section 1 marks them. Category and rank have defaults.
const FIELDS: [(&str, &[&str], &[&str]); 5] = [
    (
        "reports.hr",
        &["source", "source_record_id", "version", "status", "occurred_on", "reported_at"],
        &[
            "category",
            "occurred_time",
            "uscc",
            "employer_name",
            "host_uscc",
            "person_key",
            "incident_no",
            "cause",
            "post",
            "process",
            "equipment",
            "note",
            "lost_days",
            "disability_grade",
            "died_on",
        ],
    ),
    (
        "registry.enterprises",
        &["uscc", "version", "name", "area", "industry", "valid_from", "status"],
        &["short_name", "tags", "successor_of"],
    ),
    ("registry.headcount", &["uscc", "month", "insured", "version"], &[]),
    (
        "registry.contacts",
        &["role", "subject", "name", "version"],
        &["rank", "phone", "addresses", "valid_from", "valid_to", "verified_on"],
    ),
    (
        "governance.events",
        &["event_id", "kind", "subject", "on", "version", "actor", "details"],
        &["approver"],
    ),
];

fn full(topic: &str) -> Value {
    full_records().into_iter().find(|(name, _)| *name == topic).unwrap().1
}

#[track_caller]
fn refused(topic: &str, value: &Value, reason: &str) {
    match admit(topic, value) {
        Ok(admitted) => panic!("expected {reason}, was accepted with {:?}", admitted.flags),
        Err(refusal) => assert_eq!(refusal.reason.to_string(), reason, "{}", refusal.detail),
    }
}

#[track_caller]
fn flagged(topic: &str, value: &Value, field: &'static str, problem: Problem, found: &str) -> Record {
    let admitted = admit(topic, value).unwrap();
    assert_eq!(admitted.flags, [Flag { field, problem, found: found.into() }]);
    admitted.record
}

#[test]
fn a_full_record_is_accepted_without_a_flag() {
    for (topic, value) in full_records() {
        let admitted = admit(topic, &value).unwrap();
        assert_eq!(admitted.flags, []);
        // The canonical JSON is the record itself, keys sorted (as serde_json's map is), no white space.
        let canonical = String::from_utf8(door::canonical_json(&admitted.record)).unwrap();
        assert_eq!(canonical, value.to_string());
    }
}

#[test]
fn a_version_may_be_a_time_stamp() {
    for version in [1_764_000_000_000u64, 1 << 40, i64::MAX as u64] {
        for (topic, mut value) in full_records() {
            value["version"] = json!(version);
            let admitted = admit(topic, &value).unwrap();
            assert_eq!(admitted.flags, [], "{topic}");
            let canonical = String::from_utf8(door::canonical_json(&admitted.record)).unwrap();
            assert_eq!(canonical, value.to_string());
        }
    }
}

#[test]
fn the_table_of_fields_is_complete() {
    for (topic, required, optional) in FIELDS {
        let mut listed: Vec<&str> = required.iter().chain(optional).copied().collect();
        listed.sort_unstable();
        let value = full(topic);
        let fields: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(listed, fields, "{topic}");
    }
}

#[test]
fn a_required_field_that_is_missing_null_or_empty_refuses() {
    for (topic, required, _) in FIELDS {
        for field in required {
            let reason = format!("missing_field:{field}");
            refused(topic, &without(full(topic), field), &reason);
            refused(topic, &with(full(topic), field, Value::Null), &reason);
            refused(topic, &with(full(topic), field, json!("")), &reason);
        }
    }
}

#[test]
fn a_required_field_of_a_wrong_type_is_a_bad_code() {
    for (topic, required, _) in FIELDS {
        for field in required {
            for wrong in [json!(true), json!([1]), json!(1.5), json!("\u{0}?")] {
                let free_text = ["source_record_id", "name", "event_id", "kind", "actor", "area"]
                    .contains(field)
                    || (topic == "governance.events" && *field == "subject");
                if wrong.is_string() && free_text {
                    continue;
                }
                refused(topic, &with(full(topic), field, wrong), &format!("bad_code:{field}"));
            }
        }
    }
}

#[test]
fn an_optional_field_that_is_absent_or_null_is_no_slip() {
    for (topic, _, optional) in FIELDS {
        for field in optional {
            let absent = admit(topic, &without(full(topic), field)).unwrap();
            let null = admit(topic, &with(full(topic), field, Value::Null)).unwrap();
            assert_eq!(absent.flags, [], "{field}");
            assert_eq!(absent, null, "{field}");
        }
    }
}

#[test]
fn an_optional_field_of_a_wrong_type_is_left_out_and_flagged() {
    for (topic, _, optional) in FIELDS {
        for field in optional {
            let expected = admit(topic, &without(full(topic), field)).unwrap();
            for wrong in [json!(true), json!([1]), json!(1.5), json!(1e300), json!({"a": 1})] {
                let admitted = admit(topic, &with(full(topic), field, wrong.clone())).unwrap();
                assert_eq!(admitted.record, expected.record, "{field}");
                assert_eq!(admitted.digest, expected.digest, "{field}");
                let [flag] = &admitted.flags[..] else { panic!("{field}: {:?}", admitted.flags) };
                assert_eq!((flag.field, flag.problem), (*field, Problem::WrongType));
            }
        }
    }
}

#[test]
fn required_fields_of_a_report_are_judged() {
    let hr = |field: &str, value: Value, reason: &str| {
        refused("reports.hr", &with(report(), field, value), reason)
    };
    hr("source", json!("HR"), "bad_code:source");
    hr("source", json!("health"), "bad_code:source");
    hr("source_record_id", json!("x".repeat(65)), "bad_code:source_record_id");
    hr("source_record_id", json!(12), "bad_code:source_record_id");
    hr("version", json!(0), "version_below_one");
    hr("version", json!(-1), "negative_value:version");
    hr("version", json!("1"), "bad_code:version");
    hr("version", json!(u64::MAX), "bad_code:version");
    hr("status", json!("done"), "bad_code:status");
    hr("occurred_on", json!("2025-02-29"), "bad_code:occurred_on");
    hr("occurred_on", json!("2025-03-03"), "occurred_after_arrival");
    hr("occurred_on", json!("1989-12-31"), "occurred_too_old");
    hr("reported_at", json!("2025-03-01T08:00:00"), "bad_code:reported_at");
    for (field, value) in [
        ("source_record_id", json!("试".repeat(64))),
        ("occurred_on", json!("2025-03-02")),
        ("occurred_on", json!("1990-01-01")),
        ("version", json!(u32::MAX)),
    ] {
        assert_eq!(admit("reports.hr", &with(report(), field, value)).unwrap().flags, []);
    }
}

#[test]
fn optional_fields_of_a_report_are_judged() {
    use Problem::*;
    let long = "9".repeat(80);
    for (field, value, problem, found) in [
        ("category", json!("prod"), NotInList, "prod"),
        ("occurred_time", json!("24:00"), Unparsable, "24:00"),
        ("occurred_time", json!("8:00"), Unparsable, "8:00"),
        ("uscc", json!("9133"), WrongLength, "9133"),
        ("uscc", json!(""), WrongLength, ""),
        ("uscc", json!("91330784XX0000019I"), WrongAlphabet, "91330784XX0000019I"),
        ("uscc", json!(SLIPPED_USCC), WrongCheckSymbol, SLIPPED_USCC),
        ("uscc", json!(long), WrongLength, &long[..64]),
        ("host_uscc", json!(SLIPPED_USCC), WrongCheckSymbol, SLIPPED_USCC),
        ("person_key", json!("330722199001010011"), WrongLength, "(18 characters)"),
        ("person_key", json!("A".repeat(64)), WrongAlphabet, "(64 characters)"),
        ("incident_no", json!(7), WrongType, "7"),
        ("cause", json!("21"), NotInList, "21"),
        ("cause", json!(3), WrongType, "3"),
        ("note", json!(7), WrongType, "(a number)"),
        ("lost_days", json!(-1), Negative, "-1"),
        ("lost_days", json!("3"), WrongType, "3"),
        ("lost_days", json!(1u64 << 32), OutOfRange, "4294967296"),
        ("disability_grade", json!(0), OutOfRange, "0"),
        ("disability_grade", json!(11), OutOfRange, "11"),
        ("disability_grade", json!(-2), Negative, "-2"),
        ("died_on", json!("yesterday"), Unparsable, "yesterday"),
    ] {
        let record = flagged("reports.hr", &with(report(), field, value), field, problem, found);
        assert_eq!(record, admit("reports.hr", &without(report(), field)).unwrap().record);
    }
    // A number beyond every range is a slip like any other, not broken JSON.
    let text = report().to_string().replace(r#""lost_days":120"#, r#""lost_days":1e999"#);
    let admitted = door::admit("reports.hr", text.as_bytes(), arrived(), &NoIds).unwrap();
    assert_eq!(admitted.flags[0].found, "1e999");
}

#[test]
fn several_slips_are_flagged_in_the_order_of_the_fields() {
    let value = with(with(with(report(), "died_on", json!(1)), "uscc", json!("x")), "category", json!("x"));
    let admitted = admit("reports.hr", &value).unwrap();
    let fields: Vec<&str> = admitted.flags.iter().map(|flag| flag.field).collect();
    assert_eq!(fields, ["category", "uscc", "died_on"]);
}

#[test]
fn the_category_is_filled_in_and_a_cause_read_in_both_spellings() {
    let Record::Report(r) = admit("reports.hr", &without(report(), "category")).unwrap().record else {
        panic!()
    };
    assert_eq!(r.category, Category::Production);
    let filled = admit("reports.hr", &without(report(), "category")).unwrap();
    assert_eq!(filled.digest, admit("reports.hr", &report()).unwrap().digest);
    let both = ["010", "10"].map(|c| admit("reports.hr", &with(report(), "cause", json!(c))).unwrap());
    assert_eq!(both[0], both[1]);
}

#[test]
fn an_empty_free_text_is_taken_as_absent() {
    for field in ["employer_name", "incident_no", "post", "process", "equipment", "note"] {
        let empty = admit("reports.hr", &with(report(), field, json!(""))).unwrap();
        assert_eq!(empty, admit("reports.hr", &without(report(), field)).unwrap());
    }
}

#[test]
fn registry_records_are_judged() {
    for (topic, field, value, reason) in [
        ("registry.enterprises", "uscc", json!(SLIPPED_USCC), "uscc_check_digit"),
        ("registry.enterprises", "uscc", json!("9133"), "bad_code:uscc"),
        ("registry.enterprises", "area", json!("33078410"), "bad_code:area"),
        ("registry.enterprises", "industry", json!("3"), "bad_code:industry"),
        ("registry.enterprises", "industry", json!("98"), "bad_code:industry"),
        ("registry.enterprises", "industry", json!("C33"), "bad_code:industry"),
        ("registry.enterprises", "valid_from", json!("2025"), "bad_code:valid_from"),
        ("registry.enterprises", "status", json!("gone"), "bad_code:status"),
        ("registry.enterprises", "version", json!(0), "version_below_one"),
        ("registry.headcount", "uscc", json!(SLIPPED_USCC), "uscc_check_digit"),
        ("registry.headcount", "month", json!("2025-13"), "bad_code:month"),
        ("registry.headcount", "insured", json!(-1), "negative_value:insured"),
        ("registry.headcount", "insured", json!(1.5), "bad_code:insured"),
        ("registry.headcount", "version", json!(-7), "negative_value:version"),
        ("registry.contacts", "role", json!("boss"), "bad_code:role"),
        ("registry.contacts", "subject", json!(SLIPPED_USCC), "uscc_check_digit"),
        ("registry.contacts", "subject", json!("330784"), "bad_code:subject"),
        ("governance.events", "on", json!("soon"), "bad_code:on"),
        ("governance.events", "details", json!([1]), "bad_code:details"),
        ("governance.events", "details", json!("a letter"), "bad_code:details"),
    ] {
        refused(topic, &with(full(topic), field, value), reason);
    }
    flagged(
        "registry.enterprises",
        &with(enterprise(), "successor_of", json!(SLIPPED_USCC)),
        "successor_of",
        Problem::WrongCheckSymbol,
        SLIPPED_USCC,
    );
    let list = json!(["a", 1]);
    flagged(
        "registry.enterprises",
        &with(enterprise(), "tags", list),
        "tags",
        Problem::WrongType,
        r#"["a",1]"#,
    );
}

#[test]
fn tags_are_trimmed_and_bounded_and_what_is_left_out_is_flagged() {
    let many: Vec<String> = (0..40).map(|n| format!("t{n}")).collect();
    let long = "长".repeat(65);
    for (tags, kept, problem) in [
        (json!(["x ", "保温杯"]), json!(["x", "保温杯"]), None),
        (json!(["", "x"]), json!(["x"]), Some(Problem::WrongLength)),
        (json!([" "]), json!([]), Some(Problem::WrongLength)),
        (json!([long, "x"]), json!(["x"]), Some(Problem::WrongLength)),
        (json!(many), json!(many[..32]), Some(Problem::OutOfRange)),
    ] {
        let admitted = admit("registry.enterprises", &with(enterprise(), "tags", tags)).unwrap();
        let Record::Enterprise(enterprise) = &admitted.record else { panic!("{:?}", admitted.record) };
        assert_eq!(json!(enterprise.tags), kept);
        assert_eq!(admitted.flags.iter().map(|f| f.problem).collect::<Vec<_>>(), Vec::from_iter(problem));
    }
    let zero = with(contact(), "rank", json!(0));
    let Record::Contact(c) = flagged("registry.contacts", &zero, "rank", Problem::OutOfRange, "0") else {
        panic!()
    };
    assert_eq!(c.rank, 1);
    flagged(
        "registry.contacts",
        &with(contact(), "phone", json!(138)),
        "phone",
        Problem::WrongType,
        "(a number)",
    );
    for insured in [0, u32::MAX] {
        admit("registry.headcount", &with(headcount(), "insured", json!(insured))).unwrap();
    }
    for area in ["330784999", "YK-KFQ"] {
        admit("registry.enterprises", &with(enterprise(), "area", json!(area))).unwrap();
    }
}

#[test]
fn a_contacts_subject_fits_its_role() {
    for (role, good, bad) in [
        ("safety_officer", USCC, "33"),
        ("township_duty", "330784106", "330784"),
        ("township_duty", "YK-KFQ", "3307841060"),
        ("industry_duty", "33", "3311"),
        ("emergency_duty", "330784", "330784106"),
        ("clerk", "330784", USCC),
        ("on_call", "330784", "x"),
    ] {
        let of = |subject: &str| with(with(contact(), "role", json!(role)), "subject", json!(subject));
        admit("registry.contacts", &of(good)).unwrap();
        refused("registry.contacts", &of(bad), "bad_code:subject");
    }
}

#[test]
fn nothing_personal_is_said_of_a_refused_contact() {
    for value in [with(contact(), "name", json!(["王某"])), with(contact(), "name", json!({"a": "王某"}))]
    {
        let refusal = admit("registry.contacts", &value).unwrap_err();
        assert!(!refusal.to_string().contains('王'), "{refusal}");
    }
}

#[test]
fn of_several_reasons_the_first_holds() {
    // One record that has every fault of a report but for the first two, healed one after the other.
    let mut value = report();
    value["version"] = json!(0);
    value["occurred_on"] = json!("1980-01-01");
    value["reported_at"] = json!("");
    value["status"] = json!("done");
    value["source"] = json!("HR");
    let healing = [
        ("missing_field:reported_at", "reported_at"),
        ("bad_code:source", "source"),
        ("bad_code:status", "status"),
        ("occurred_too_old", "occurred_on"),
        ("version_below_one", "version"),
    ];
    for (reason, field) in healing {
        refused("reports.hr", &value, reason);
        value[field] = report()[field].clone();
    }
    assert!(admit("reports.hr", &value).is_ok());
    // And where the order is not that of the fields.
    let bad = json!({"uscc": SLIPPED_USCC, "month": "x", "insured": -1, "version": 0});
    refused("registry.headcount", &bad, "bad_code:month");
    refused("registry.headcount", &with(bad.clone(), "month", json!("2025-01")), "negative_value:insured");
    let last = with(with(bad, "month", json!("2025-01")), "insured", json!(1));
    refused("registry.headcount", &last, "uscc_check_digit");
    refused("registry.headcount", &with(last, "uscc", json!(USCC)), "version_below_one");
    let late = with(with(report(), "occurred_on", json!("2026-01-01")), "version", json!(0));
    refused("reports.hr", &late, "occurred_after_arrival");
}

#[test]
fn what_is_no_record_is_undecodable() {
    let deep = |levels: usize| format!("{{\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let bom = format!("\u{feff}{}", report());
    let mut bad_utf8 = report().to_string().into_bytes();
    let place = bad_utf8.windows(4).position(|w| w == b"HR-1").unwrap();
    bad_utf8[place] = 0xFF;
    let large = with(report(), "note", json!("x".repeat(10_000_000))).to_string();
    let cases: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b" ".to_vec(),
        b"{".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"hello".to_vec(),
        b"{\"version\":NaN}".to_vec(),
        b"{\"note\":\"a\nb\"}".to_vec(),
        b"{} {}".to_vec(),
        vec![0xFF, 0xFE],
        vec![0],
        vec![0, 0, 0, 0],
        vec![0xC3],
        vec![0xC3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        bom.into_bytes(),
        bad_utf8,
        large.into_bytes(),
        deep(127).into_bytes(),
        deep(400_000).into_bytes(),
        "[".repeat(1_000_000).into_bytes(),
        "{\"a\":".repeat(200_000).into_bytes(),
    ];
    for raw in cases {
        let refusal = door::admit("reports.hr", &raw, arrived(), &NoIds).unwrap_err();
        assert_eq!(refusal.reason.to_string(), "undecodable", "{:?}", &raw[..raw.len().min(30)]);
        // It comes before an unknown topic.
        let refusal = door::admit("reports.nobody", &raw, arrived(), &NoIds).unwrap_err();
        assert_eq!(refusal.reason.to_string(), "undecodable");
    }
    // One level less is only a record without its fields.
    let refusal = door::admit("reports.hr", deep(126).as_bytes(), arrived(), &NoIds).unwrap_err();
    assert_eq!(refusal.reason.to_string(), "missing_field:source");
}

#[test]
fn an_unknown_topic_id_or_fingerprint_is_an_unknown_schema() {
    for topic in ["reports.nobody", "policy", "alerts", "progress", "lists", ""] {
        refused(topic, &report(), "unknown_schema");
    }
    for raw in [&[0, 0, 0, 0, 9, 1, 2][..], &[0xC3, 1, 9, 9, 9, 9, 9, 9, 9, 9, 1]] {
        let refusal = door::admit("reports.hr", raw, arrived(), &NoIds).unwrap_err();
        assert_eq!(refusal.reason.to_string(), "unknown_schema");
    }
}

#[test]
fn unknown_fields_are_ignored_and_of_doubled_ones_the_last_holds() {
    let unknown = admit("reports.hr", &with(report(), "colour", json!({"a": [1, 2.5]}))).unwrap();
    assert_eq!(unknown, admit("reports.hr", &report()).unwrap());
    let doubled = report().to_string().replacen('{', r#" { "version": 9, "#, 1);
    let admitted = door::admit("reports.hr", doubled.as_bytes(), arrived(), &NoIds).unwrap();
    assert_eq!(admitted, unknown);
    let nulled = report().to_string().replace(r#""cause":"03""#, r#""cause":"03","cause":null"#);
    let admitted = door::admit("reports.hr", nulled.as_bytes(), arrived(), &NoIds).unwrap();
    assert_eq!(admitted.digest, admit("reports.hr", &without(report(), "cause")).unwrap().digest);
}

#[test]
fn control_characters_and_escapes_stay_as_they_are() {
    let text = "a\"b\\c\n\t\u{1}\u{7f}\u{2028}é";
    let admitted = admit("reports.hr", &with(report(), "post", json!(text))).unwrap();
    let Record::Report(r) = &admitted.record else { panic!() };
    assert_eq!(r.post.as_deref(), Some(text));
    let expected = with(report(), "post", json!(text)).to_string();
    assert_eq!(door::canonical_json(&admitted.record), expected.into_bytes());
    // Half of a surrogate pair is no text.
    let broken = report().to_string().replace("\"冲床\"", r#""\ud800""#);
    let admitted = door::admit("reports.hr", broken.as_bytes(), arrived(), &NoIds).unwrap();
    assert_eq!((admitted.flags[0].field, admitted.flags[0].problem), ("equipment", Problem::WrongType));
}

#[test]
fn details_are_kept_in_canonical_form_with_their_numbers_as_written() {
    let details = r#"{ "b": [1.50, 1e999, {"z": null, "y": "\u00e9"}], "a": 12345678901234567890123 }"#;
    let as_object =
        governance().to_string().replace(&json!({"no": "2025-7", "due": {"days": 15}}).to_string(), details);
    let as_text = with(governance(), "details", json!(details)).to_string();
    for text in [as_object, as_text] {
        let admitted = door::admit("governance.events", text.as_bytes(), arrived(), &NoIds).unwrap();
        let Record::Governance(event) = admitted.record else { panic!() };
        assert_eq!(event.details, r#"{"a":12345678901234567890123,"b":[1.50,1e999,{"y":"é","z":null}]}"#);
    }
}

#[test]
fn the_digest_is_the_sha256_of_the_canonical_json() {
    use sha2::Digest;
    let admitted = admit("registry.headcount", &headcount()).unwrap();
    let text = r#"{"insured":88,"month":"2025-02","uscc":"91330784XX00000190","version":1}"#;
    assert_eq!(admitted.digest[..], sha2::Sha256::digest(text)[..]);
}

#[test]
fn the_envelope_of_a_line_is_opened() {
    let value = r#"{ "insured" : 1.50, "x":1e999 }"#;
    let line = format!(
        r#"{{"value":{value},"topic":"registry.headcount","arrived_at":"2025-03-01T08:00:00+08:00","more":1}}"#
    );
    for end in ["", "\r"] {
        let text = format!("{line}{end}");
        let opened = door::admit_line(text.as_bytes()).unwrap();
        assert_eq!(opened.topic, "registry.headcount");
        assert_eq!(opened.arrived_at, "2025-03-01T08:00:00+08:00".parse().unwrap());
        assert_eq!(opened.value, value.as_bytes());
    }
    let deep = format!("{}{}", "{\"a\":".repeat(100_000), "1".to_owned() + &"}".repeat(100_000));
    let deep = line.replace(value, &deep);
    let opened = door::admit_line(deep.as_bytes()).unwrap();
    let refusal = door::admit(&opened.topic, opened.value, opened.arrived_at, &NoIds).unwrap_err();
    assert_eq!(refusal.reason.to_string(), "undecodable");
}

#[test]
fn a_line_without_a_sound_envelope_is_undecodable() {
    for (line, topic) in [
        ("", None),
        ("[]", None),
        ("{\"topic\":\"x\"", None),
        (r#"{"arrived_at":"2025-03-01T08:00:00+08:00","value":{}}"#, None),
        (r#"{"topic":7,"arrived_at":"2025-03-01T08:00:00+08:00","value":{}}"#, None),
        (r#"{"topic":"x","value":{}}"#, Some("x")),
        (r#"{"topic":"x","arrived_at":"2025-03-01","value":{}}"#, Some("x")),
        (r#"{"topic":"x","arrived_at":1740787200,"value":{}}"#, Some("x")),
        (r#"{"topic":"x","arrived_at":"2025-03-01T08:00:00+08:00"}"#, Some("x")),
        (r#"{"topic":"x","arrived_at":"2025-03-01T08:00:00+08:00","value":null}"#, Some("x")),
        (r#"{"topic":"x","arrived_at":"2025-03-01T08:00:00+08:00","value":"{}"}"#, Some("x")),
    ] {
        let refusal = door::admit_line(line.as_bytes()).unwrap_err();
        assert_eq!(refusal.refusal.reason.to_string(), "undecodable", "{line}");
        assert_eq!(refusal.topic.as_deref(), topic, "{line}");
    }
    assert!(door::admit_line(b"{\"topic\":\"\xff\"}").is_err());
}
