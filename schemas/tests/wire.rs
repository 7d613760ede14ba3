//! Records as bytes: every encoding gives the same record, and hostile bytes give an error.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use tocsin_schemas::codes::*;
use tocsin_schemas::ids::*;
use tocsin_schemas::records::*;
use tocsin_schemas::time::*;
use tocsin_schemas::topics;
use tocsin_schemas::wire::{self, Kind, OutputRecord, WireError};

fn uscc() -> Uscc {
    "91330784XX00000190".parse().unwrap()
}

fn incident() -> Incident {
    Incident {
        incident_id: IncidentId(7),
        uscc: Some(uscc()),
        occurred_on: "2025-03-01".parse().unwrap(),
        category: Category::SuddenIllness,
        severity: Severity::Fatal,
        persons: 2,
        state: State::Counted,
        reports: vec!["hr/a".parse().unwrap(), "health/b/c".parse().unwrap()],
        withdrawn: vec![],
        first_arrived_at: "2025-03-01T08:00:00.123+08:00".parse().unwrap(),
    }
}

fn alert() -> Alert {
    Alert {
        alert_id: "A".repeat(26),
        case_no: "000000075".into(),
        rule: Rule::OwnerIncident,
        change: Change::New,
        subject: "000000075".into(),
        uscc: uscc(),
        episode: 1,
        revision: 1,
        audiences: vec![
            Audience { role: Role::Owner, subject: uscc().to_string().into(), year_to_date: Some(3) },
            Audience { role: Role::Clerk, subject: CITY.into(), year_to_date: None },
        ],
        level: None,
        severity: Some(Severity::Severe),
        incident_ids: vec![IncidentId(7), IncidentId(8)],
        reports: vec!["hr/a".parse().unwrap()],
        count: 1,
        as_of: "2025-03-01".parse().unwrap(),
        decided_at: "2025-03-01T08:00:00+08:00".parse().unwrap(),
        reason: None,
        policy_hash: "0".repeat(64).into(),
        facts: AlertFacts {
            enterprise_name: Some("浙江某某五金有限公司".into()),
            area: Some("330784106".into()),
            cause: Some("03".parse().unwrap()),
            worst: Some(Severity::Severe),
            ..AlertFacts::default()
        },
    }
}

fn rates() -> Rates {
    let rate = WindowRate {
        window: Window::Rolling(365),
        incidents: 3,
        persons: 4,
        incidents_with_headcount: 2,
        headcount: Some(1.0 / 3.0),
        per_thousand: Some(2.0e3 / 3.0),
        reason: None,
        low: Some(0.1),
        high: Some(f64::MAX),
        shrunken: Some(7.0e-300),
        shrunken_reason: None,
        rankable: true,
        other: BTreeMap::from([(Category::Commuting, 2), (Category::OccupationalDisease, u32::MAX)]),
    };
    let unknown = WindowRate {
        window: Window::YearAgo,
        headcount: None,
        per_thousand: None,
        reason: Some(RateReason::HeadcountUnknown),
        low: None,
        high: None,
        shrunken: None,
        shrunken_reason: Some(ShrunkenReason::HeadcountUnknown),
        rankable: false,
        other: BTreeMap::new(),
        ..rate.clone()
    };
    Rates {
        scope: Scope::Industry,
        key: "33".into(),
        as_of: "2025-03-01".parse().unwrap(),
        decided_at: Instant(1_740_758_400_000),
        policy_hash: "ab".into(),
        windows: vec![rate, unknown],
    }
}

/// An entry with everything, and one with nothing that may be left out.
fn listed() -> [Listed; 2] {
    let full = Listed {
        list: List::Frozen,
        year: 2024,
        event_id: Some("G-1".into()),
        as_of: "2025-01-20".parse().unwrap(),
        decided_at: Instant(1_737_302_400_000),
        policy_hash: "ab".into(),
        reference: Some(Reference {
            taken_on: "2025-01-20".parse().unwrap(),
            incidents: 6_000,
            headcount: Some(400_000.0 / 3.0),
            per_thousand: Some(45.0),
            modelled_on: Some("2025-01-01".parse().unwrap()),
            model: Some(Model {
                taken_on: "2025-01-01".parse().unwrap(),
                nu: 1.879_49,
                alpha: 1.0 / 3.0,
                per_person_year: 0.045,
                fitted_by: FittedBy::Moments,
                firms: 12_000,
                incidents: u32::MAX,
            }),
        }),
        whole: Some(Whole {
            key: 1,
            persistent: 1,
            general: u32::MAX,
            approver: Some("某某".into()),
            refused: Some(FreezeRefusal::NoApprover),
            same_as: Some("G-0".into()),
        }),
        member: Some(Member {
            uscc: uscc(),
            class: ListClass::Key,
            reasons: vec![ListReason::HighRate, ListReason::Severe],
            undetermined: BTreeMap::from([(ListReason::SeveralAndAboveAverage, Undetermined::NoModel)]),
            incidents: 3,
            persons: 4,
            severe: 1,
            headcount: Some(1.0 / 3.0),
            per_thousand: Some(9_000.0),
            reason: None,
            shrunken_per_thousand: Some(f64::MIN_POSITIVE),
            chance_above_city: Some(0.999),
            chance_of_as_many: Some(1e-300),
            key_years: 2,
            persistent: true,
        }),
    };
    let bare = Listed {
        list: List::Annual,
        event_id: None,
        reference: None,
        whole: None,
        member: None,
        ..full.clone()
    };
    [full, bare]
}

fn delivery() -> Delivery {
    Delivery {
        delivery_id: "d".into(),
        alert_id: "a".into(),
        case_no: "000000075".into(),
        uscc: uscc(),
        role: Role::TownshipDuty,
        subject: "330784106".into(),
        contact_rank: Some(1),
        contact_version: None,
        channel: "webhook".into(),
        template: "T1".into(),
        state: DeliveryState::Sending,
        reason: None,
        attempt: 1,
        at: Instant(1),
        due_at: Some(Instant(-1)),
        gateway_ref: None,
        uncertain: true,
        contact_role: Some(Role::TownshipDuty),
        sent_at: Some(Instant(0)),
        contact_subject: Some("330784106".into()),
        phone_hash: Some("P".into()),
        address_hash: None,
        change: Change::Raised,
        urgency: Urgency::Workday,
        decided_at: Some(Instant(2)),
        episode: 3,
        revision: 4,
        area: Some("330784106".into()),
        slots: [("town".to_owned(), "古山".to_owned())].into(),
    }
}

fn answer() -> Answer {
    Answer {
        answer_id: String::new(),
        delivery_id: Some("D".into()),
        gateway: "aliyun".into(),
        gateway_ref: Some("9^0".into()),
        kind: AnswerKind::Receipt,
        says: Says::Failed,
        class: Some(FailureClass::Transient),
        code: Some("UNDELIV".into()),
        phone_hash: None,
        case_no: None,
        received_at: Instant(2),
        said_at: Some(Instant(1)),
    }
    .with_id()
}

fn progress() -> Progress {
    Progress {
        writer: "pipeline".into(),
        log_id: "x".into(),
        clock: Some(Instant(0)),
        offsets: vec![Offset { topic: "reports.hr".into(), partition: 2, next: i64::MAX as u64 }],
        counters: Counters { accepted: 1, duplicates: 2, stale: 3, conflicts: 4, quarantined: 5, flagged: 6 },
        policy_hash: String::new(),
        next_incident: 9,
        lists: Some(u32::MAX),
    }
}

fn quarantined() -> Quarantined {
    Quarantined {
        topic: "reports.hr".into(),
        partition: 1,
        offset: 12,
        arrived_at: Instant(0),
        reason: "undecodable".into(),
        detail: String::new(),
        raw: (0..=255).collect(),
        raw_length: 256,
        raw_sha256: String::new(),
    }
}

#[track_caller]
fn survives<T: OutputRecord + PartialEq + std::fmt::Debug>(record: &T, key: &str) {
    let bytes = wire::encode(record);
    assert_eq!(bytes[..2], [0xC3, 0x01]);
    assert_eq!(bytes[2..10], T::KIND.fingerprint().to_le_bytes());
    assert_eq!(&wire::decode::<T>(&bytes).unwrap(), record);
    assert_eq!(String::from_utf8(record.key()).unwrap(), key);
    assert_eq!(topics::topic(T::TOPIC).unwrap().schema, Some(T::KIND));
    // JSON carries the same names and values.
    let json = serde_json::to_string(record).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), record);
    // Whatever is cut off or added, the answer is an error.
    for length in 0..bytes.len() {
        assert!(wire::decode::<T>(&bytes[..length]).is_err(), "cut at {length}");
    }
    assert!(wire::decode::<T>(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn every_record_out_survives_its_encoding() {
    survives(&incident(), "000000075");
    survives(&alert(), "91330784XX00000190");
    survives(&rates(), "industry|33");
    let [full, bare] = listed();
    survives(&full, &format!("frozen|2024|G-1|{}", uscc()));
    survives(&bare, "annual|2024");
    let live = Listed { list: List::Annual, event_id: None, ..full.clone() };
    assert_eq!(Listed::live_entry(&live.key()), Some((2024, uscc())));
    assert_eq!([&full, &bare].map(|listed| Listed::live_entry(&listed.key())), [None, None]);
    survives(&delivery(), "d");
    survives(&answer(), "D");
    let reply = Answer { delivery_id: None, phone_hash: Some("ab".into()), ..answer() };
    survives(&reply, "ab");
    survives(&progress(), "pipeline");
    survives(&quarantined(), "reports.hr/1/12");
}

#[test]
fn an_answer_that_comes_twice_has_one_id_and_any_other_another() {
    let a = answer();
    assert_eq!(a.answer_id.len(), 26);
    // When it came, and what our own table makes of its code, does not make it another.
    assert_eq!(Answer { received_at: Instant(9), class: None, ..a.clone() }.id(), a.answer_id);
    let others = [
        Answer { delivery_id: Some("E".into()), ..a.clone() },
        Answer { delivery_id: None, phone_hash: Some("D".into()), ..a.clone() },
        Answer { gateway: "tencent".into(), ..a.clone() },
        Answer { gateway_ref: Some("8^0".into()), ..a.clone() },
        Answer { gateway_ref: None, ..a.clone() },
        Answer { gateway_ref: Some(String::new()), ..a.clone() },
        Answer { kind: AnswerKind::Poll, ..a.clone() },
        Answer { says: Says::Delivered, ..a.clone() },
        Answer { code: None, ..a.clone() },
        Answer { case_no: Some("000000901".into()), ..a.clone() },
        Answer { said_at: Some(Instant(2)), ..a.clone() },
    ];
    let ids: std::collections::BTreeSet<_> = others.iter().map(Answer::id).chain([a.id()]).collect();
    assert_eq!(ids.len(), others.len() + 1);
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// Bytes as they were written before a list could be equal to one frozen before, and before the topic was counted.
#[test]
fn earlier_lists_and_progress_are_still_read() {
    let list = concat!(
        "c301603853ac2ceacca50c66726f7a656ed01f0206472d3114323032352d30312d323032323032352d30312d32305430303a",
        "30303a30302b30383a30300461620214323032352d30312d3230e05d02abaaaaaaaa46004102000000000080464002143230",
        "32352d30312d30310214323032352d30312d30316e8b321b6412fe3f555555555555d53f0ad7a3703d0aa73f0e6d6f6d656e",
        "7473c0bb01feffffff1f020202feffffff1f020ce69f90e69f9002166e6f5f617070726f7665720224393133333037383458",
        "583030303030313930066b65790412686967685f726174650c7365766572650002327365766572616c5f616e645f61626f76",
        "655f61766572616765106e6f5f6d6f64656c0006080202555555555555d53f02000000000094c14000020000000000001000",
        "022b8716d9cef7ef3f0259f3f8c21f6ea5010401"
    );
    let [mut expected, _] = listed();
    expected.whole.as_mut().unwrap().same_as = None;
    assert_eq!(wire::decode::<Listed>(&bytes(list)), Ok(expected.clone()));
    let of = concat!(
        "c3010025f0f6c266563510706970656c696e6502780232313937302d30312d30315430383a30303a30302b30383a30300214",
        "7265706f7274732e687204feffffffffffffffff0100020406080a0c0012"
    );
    assert_eq!(wire::decode::<Progress>(&bytes(of)), Ok(Progress { lists: None, ..progress() }));
    // Written anew, they have the present schemas.
    assert_ne!(wire::encode(&expected)[2..10], bytes(list)[2..10]);
    assert_ne!(wire::encode(&progress())[2..10], bytes(of)[2..10]);
}

/// Bytes as they were written before a delivery told whose contact was asked, and when.
#[test]
fn earlier_deliveries_are_still_read() {
    let hex = concat!(
        "c301230858124412bc9c0264026112303030303030303735243931333330373834585830303030303139301a746f776e736869705f",
        "64757479123333303738343130360202000e776562686f6f6b0454310e73656e64696e6700023a313937302d30312d30315430383a",
        "30303a30302e3030312b30383a3030023a313937302d30312d30315430373a35393a35392e3939392b30383a30300001"
    );
    let alone = Delivery {
        contact_subject: None,
        phone_hash: None,
        address_hash: None,
        change: Change::New,
        urgency: Urgency::Daytime,
        decided_at: None,
        episode: 0,
        revision: 0,
        area: None,
        slots: BTreeMap::new(),
        ..delivery()
    };
    assert_eq!(
        wire::decode::<Delivery>(&bytes(hex)),
        Ok(Delivery { contact_role: None, sent_at: None, ..alone.clone() })
    );
    // Before a delivery stood for itself.
    let needs_its_alert = concat!(
        "c3013e81397a2f4e445b0264026112303030303030303735243931333330373834585830303030303139301a746f776e73686970",
        "5f64757479123333303738343130360202000e776562686f6f6b0454310e73656e64696e6700023a313937302d30312d30315430",
        "383a30303a30302e3030312b30383a3030023a313937302d30312d30315430373a35393a35392e3939392b30383a30300001021a",
        "746f776e736869705f647574790232313937302d30312d30315430383a30303a30302b30383a3030",
    );
    assert_eq!(wire::decode::<Delivery>(&bytes(needs_its_alert)), Ok(alone));
    assert_ne!(wire::encode(&delivery())[2..10], bytes(hex)[2..10]);
    assert_ne!(wire::encode(&delivery())[2..10], bytes(needs_its_alert)[2..10]);
}

/// Bytes as they were written before rates had limits and shrunken values.
#[test]
fn earlier_rates_are_still_read() {
    let hex = concat!(
        "c301441432e517315cc910696e64757374727904333314323032352d30332d303132323032352d30332d30315430303a30303a",
        "30302b30383a303004616204083336356406080402555555555555d53f025555555555d58440000412636f6d6d7574696e6704",
        "286f636375706174696f6e616c5f64697365617365feffffff1f0010796561725f61676f0608040000022268656164636f756e",
        "745f756e6b6e6f776e0000"
    );
    let bytes = bytes(hex);
    let mut expected = rates();
    for window in &mut expected.windows {
        (window.low, window.high, window.shrunken) = (None, None, None);
        (window.shrunken_reason, window.rankable) = (None, false);
    }
    assert_eq!(wire::decode::<Rates>(&bytes), Ok(expected));
    // Written anew, it has the present schema.
    assert_ne!(wire::encode(&rates())[2..10], bytes[2..10]);
}

#[test]
fn a_record_of_another_schema_is_named() {
    let error = wire::decode::<Alert>(&wire::encode(&rates())).unwrap_err();
    assert_eq!(error, WireError::UnknownSchema("expected Alert, found Rates".into()));
    let error = wire::decode::<Alert>(&[0xC3, 1, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap_err();
    assert!(matches!(error, WireError::UnknownSchema(_)));
}

/// The fingerprints go out with every record: a change of a schema file must be meant. Recomputed here from
/// the definition of CRC-64-AVRO, over a canonical form that is checked by eye for one schema.
#[test]
fn a_fingerprint_is_the_crc_of_the_canonical_form() {
    let canonical = concat!(
        r#"{"name":"tocsin.Headcount","type":"record","fields":["#,
        r#"{"name":"uscc","type":"string"},{"name":"month","type":"string"},"#,
        r#"{"name":"insured","type":"long"},{"name":"version","type":"long"}]}"#
    );
    const EMPTY: u64 = 0xc15d213aa4d7a795;
    let mut crc = EMPTY;
    for byte in canonical.bytes() {
        crc ^= u64::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (EMPTY & (crc & 1).wrapping_neg());
        }
    }
    assert_eq!(Kind::Headcount.fingerprint(), crc);
}

#[test]
fn every_schema_file_is_listed() {
    for kind in Kind::ALL {
        let schema: serde_json::Value = serde_json::from_str(kind.text()).unwrap();
        assert_eq!(schema["name"], kind.as_str());
        assert_eq!(schema["namespace"], "tocsin");
        let _ = kind.fingerprint();
    }
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/avro")).unwrap();
    let files = files.filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "avsc"));
    assert_eq!(files.count(), Kind::ALL.len());
}

/// The largest record that goes into quarantine still comes out of it.
#[test]
fn a_mebibyte_of_raw_bytes_survives() {
    let record = Quarantined { raw: vec![0xFF; Quarantined::RAW_LIMIT], ..quarantined() };
    let bytes = wire::encode(&record);
    assert!(bytes.len() < topics::topic(topics::QUARANTINE).unwrap().max_record_bytes);
    assert_eq!(wire::decode::<Quarantined>(&bytes).unwrap(), record);
}
