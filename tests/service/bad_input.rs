//! Whatever arrives on a topic lands in quarantine within a second, and the next record is processed.

use std::time::{Duration, Instant as Monotonic};

use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::house::{AREA, AT, DAY, FIRM, House, OTHER_FIRM, report, until};

fn with(field: &str, value: serde_json::Value) -> Vec<u8> {
    let mut record = report("bad", DAY);
    record[field] = value;
    record.to_string().into_bytes()
}

/// What comes, and the contract's reason for refusing it.
fn bad() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let record = with("note", json!("x"));
    let mut bad_utf8 = record.clone();
    let place = bad_utf8.windows(3).position(|w| w == b"bad").unwrap();
    bad_utf8[place] = 0xFF;
    let mut huge = record[..record.len() - 2].to_vec();
    huge.resize(10_000_000, b'x');
    huge.extend_from_slice(b"\"}");
    let deep = [br#"{"source":"#.to_vec(), b"[".repeat(100_000)].concat();
    let mut avro = vec![0xC3, 0x01];
    avro.extend(tocsin_schemas::wire::Kind::Report.fingerprint().to_le_bytes());
    avro.extend([0x04, b'h']);
    vec![
        ("empty", Vec::new(), "undecodable"),
        ("truncated Avro", avro, "undecodable"),
        ("unknown schema id", vec![0, 0, 0, 3, 0xE7, 2, 2], "unknown_schema"),
        ("wrong type", with("version", json!("two")), "bad_code:version"),
        ("bad UTF-8", bad_utf8, "undecodable"),
        ("10 MB", huge, "undecodable"),
        ("deep JSON", deep, "undecodable"),
        ("before 1990", with("occurred_on", json!("1989-12-31")), "occurred_too_old"),
        ("after arrival", with("occurred_on", json!("2025-03-03")), "occurred_after_arrival"),
        ("another's topic", with("source", json!("police")), "bad_code:source"),
        ("no version", with("version", json!(null)), "missing_field:version"),
    ]
}

#[test]
fn bad_input_lands_in_quarantine_within_a_second_and_the_next_record_is_processed() {
    let house = House::embedded().started();
    let run = house.run_caught_up(&[]);
    for (number, (what, raw, reason)) in bad().into_iter().enumerate() {
        house.append_raw("reports.hr", "bad", raw.clone(), AT);
        let began = Monotonic::now();
        until(what, || house.quarantined().len() > number);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "{what}: {took:?}");
        let q = house.quarantined().pop().unwrap();
        assert_eq!(q.reason, reason, "{what}: {}", q.detail);
        assert_eq!((q.topic.as_str(), q.raw_length), ("reports.hr", raw.len() as u64), "{what}");
        assert_eq!(q.raw, raw[..raw.len().min(1 << 20)], "{what}");
        assert_eq!(q.raw_sha256, HEXLOWER.encode(&Sha256::digest(&raw)), "{what}");
    }
    house.report("good", DAY, AT);
    until("the next record is told", || house.gateway.calls().len() == 1);
    let counters = house.progress().unwrap().counters;
    assert_eq!(counters.quarantined as usize, bad().len());
    assert_eq!(run.stop(), Some(0));
    // Quarantined once: a restart does not do it again.
    assert_eq!(house.run_caught_up(&[]).stop(), Some(0));
    assert_eq!(house.quarantined().len(), bad().len());
}

#[test]
fn a_slip_in_an_optional_field_is_flagged_and_the_injury_is_told() {
    let house = House::embedded().started();
    let run = house.run_caught_up(&[]);
    house.append_raw("reports.hr", "slip", with("lost_days", json!(-3)), AT);
    until("the owner is told", || house.gateway.calls().len() == 1);
    let counters = house.progress().unwrap().counters;
    assert_eq!((counters.flagged, counters.quarantined), (1, 0));
    assert_eq!(run.stop(), Some(0));
}

/// Said once each, counted, and told again by no restart; the circle that stands is named at a start.
#[test]
fn the_clerk_is_shown_a_headcount_that_jumps_and_a_circle_of_successions() {
    let house = House::embedded().started();
    let run = house.run_caught_up(&[]);
    let before = house.progress().unwrap().counters;
    for (month, insured) in [("2025-01", 40), ("2025-02", 4000)] {
        let headcount = json!({"uscc": FIRM, "month": month, "insured": insured, "version": 1});
        house.append("registry.headcount", &format!("{FIRM}|{month}"), &headcount, AT);
    }
    for (firm, of) in [(FIRM, OTHER_FIRM), (OTHER_FIRM, FIRM)] {
        let successor = json!({"uscc": firm, "version": 2, "name": firm, "area": AREA, "industry": "33",
            "valid_from": "2025-01-01", "status": "active", "successor_of": of});
        house.append("registry.enterprises", firm, &successor, AT);
    }
    let jump = format!("{FIRM}: 40 in 2025-01, 4000 in 2025-02");
    let circle = format!("{FIRM} -> {OTHER_FIRM} -> {FIRM}");
    let counted =
        |flagged: u64| house.progress().is_some_and(|p| p.counters.flagged == before.flagged + flagged);
    until("both are flagged", || counted(2));
    house.report("good", DAY, AT);
    until("the owner is told", || house.gateway.calls().len() == 1);
    let said = run.said();
    assert_eq!((said.matches(&jump).count(), said.matches(&circle).count()), (1, 1), "{said}");
    assert_eq!(run.stop(), Some(0));
    let again = house.run_caught_up(&[]);
    let said = again.said();
    assert!(!said.contains(&jump) && !said.contains(&circle), "{said}");
    assert!(said.contains(&format!("{FIRM} -> {OTHER_FIRM}")) && said.contains("stands"), "{said}");
    assert!(counted(2));
    assert_eq!(again.stop(), Some(0));
}
