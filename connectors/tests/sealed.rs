//! Contacts at rest: what stands in the file, who can read it, and what a log that was plain becomes.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tocsin_connectors::log::sealed::{Keyring, SealedLog, Survey, reseal, survey};
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::log::{EventLog, LogError, NewRecord, TopicPartition};
use tocsin_schemas::topics::{CONTACTS, DELIVERIES, QUARANTINE, topic};

const PHONE: &str = "13800138000";

fn keyring(newest: u8, earlier: &[u8]) -> Option<Arc<Keyring>> {
    let earlier: Vec<_> = earlier.iter().map(|n| [*n; 32]).collect();
    Some(Arc::new(Keyring::new(&[newest; 32], &earlier)))
}

fn raw(path: &Path) -> Arc<SqliteLog> {
    let log = SqliteLog::open(path).unwrap();
    let topics = [CONTACTS, DELIVERIES, QUARANTINE].map(|name| topic(name).unwrap().settings());
    log.ensure(&topics, false).unwrap();
    Arc::new(log)
}

fn sealed(path: &Path, keys: Option<Arc<Keyring>>) -> SealedLog {
    SealedLog::new(raw(path), keys)
}

fn contact(rank: u32, phone: &str) -> NewRecord {
    record(CONTACTS, &format!("owner|91330784|{rank}"), &format!("{{\"phone\":\"{phone}\",\"name\":\"甲\"}}"))
}

fn record(topic: &str, key: &str, value: &str) -> NewRecord {
    NewRecord { topic: topic.into(), key: key.into(), value: Some(value.into()), stamp: None, route: None }
}

fn read(log: &dyn EventLog, topic: &str) -> Result<Vec<(String, Option<String>)>, LogError> {
    let first = log.bounds(topic)?[0].first;
    let mut reader = log.reader(&[(TopicPartition { topic: topic.into(), partition: 0 }, first)])?;
    let mut out = Vec::new();
    while !reader.caught_up()? {
        for record in reader.poll(10, Duration::ZERO)? {
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            out.push((text(record.key.unwrap()), record.value.map(text)));
        }
    }
    Ok(out)
}

/// Whether the file or its journal holds these bytes anywhere.
fn holds(path: &Path, bytes: &str) -> bool {
    ["", "-wal"].iter().any(|end| {
        let mut path = path.as_os_str().to_owned();
        path.push(end);
        let file = std::fs::read(path).unwrap_or_default();
        file.windows(bytes.len()).any(|window| window == bytes.as_bytes())
    })
}

#[test]
fn the_file_and_its_journal_hold_no_phone_and_readers_see_plain_records() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let log = sealed(&path, keyring(1, &[]));
    let refused = record(QUARANTINE, "registry.contacts/0/7", &format!("raw {PHONE}"));
    let others = [record(QUARANTINE, "reports.hr/0/7", "raw"), record(DELIVERIES, "d", "delivery")];
    let mut writer = log.writer("w").unwrap();
    writer.append(&[contact(1, PHONE), refused.clone(), others[0].clone(), others[1].clone()]).unwrap();
    let tombstone = NewRecord { value: None, ..contact(2, PHONE) };
    writer.append(&[contact(2, PHONE), tombstone]).unwrap();

    for text in [PHONE, "甲"] {
        assert!(!holds(&path, text), "the file holds {text}");
    }
    assert!(holds(&path, "owner|91330784|1") && holds(&path, "delivery"), "the rest stands as it is");
    let contacts = read(&log, CONTACTS).unwrap();
    assert_eq!(
        contacts[0],
        ("owner|91330784|1".into(), Some(format!("{{\"phone\":\"{PHONE}\",\"name\":\"甲\"}}")))
    );
    assert_eq!((contacts.len(), &contacts[2].1), (3, &None));
    let quarantine = read(&log, QUARANTINE).unwrap();
    assert_eq!(quarantine[0].1, Some(format!("raw {PHONE}")));
    assert_eq!(quarantine[1].1, Some("raw".into()));
    drop(writer);
    raw(&path).checkpoint().unwrap();
    assert!(!holds(&path, PHONE));
}

#[test]
fn without_its_key_nothing_is_read_and_the_reader_stays_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    sealed(&path, keyring(1, &[])).writer("w").unwrap().append(&[contact(1, PHONE)]).unwrap();
    for keys in [None, keyring(2, &[])] {
        let log = sealed(&path, keys);
        let mut reader = log.reader(&[(TopicPartition { topic: CONTACTS.into(), partition: 0 }, 0)]).unwrap();
        for _ in 0..2 {
            let error = reader.poll(10, Duration::ZERO).unwrap_err();
            assert!(matches!(&error, LogError::Refused { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("contacts_key") && text.contains(&keyring(1, &[]).unwrap().id()), "{text}");
            assert_eq!((reader.position()[0].1, reader.caught_up().unwrap()), (0, false));
        }
    }
    // As an earlier key it opens, and the newest one seals.
    let log = sealed(&path, keyring(2, &[1]));
    assert_eq!(read(&log, CONTACTS).unwrap().len(), 1);
    assert!(!format!("{:?}", keyring(65, &[66]).unwrap()).contains("AAAA"));
}

#[test]
fn a_value_that_is_altered_or_moved_to_another_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let log = sealed(&path, keyring(1, &[]));
    log.writer("w").unwrap().append(&[contact(1, PHONE), contact(1, PHONE)]).unwrap();
    let raw = raw(&path);
    let mut reader = raw.reader(&[(TopicPartition { topic: CONTACTS.into(), partition: 0 }, 0)]).unwrap();
    let values: Vec<_> =
        reader.poll(10, Duration::ZERO).unwrap().into_iter().map(|r| r.value.unwrap()).collect();
    assert_ne!(values[0], values[1], "a nonce of its own each time");
    let mut altered = values[0].clone();
    *altered.last_mut().unwrap() ^= 1;
    for (n, (topic, key, value)) in [
        (CONTACTS, "owner|91330784|2", values[0].clone()),
        (QUARANTINE, "registry.contacts/0/1", values[0].clone()),
        (CONTACTS, "owner|91330784|1", altered),
    ]
    .into_iter()
    .enumerate()
    {
        let path = dir.path().join(format!("{n}.db"));
        let other = self::raw(&path);
        let moved =
            NewRecord { topic: topic.into(), key: key.into(), value: Some(value), stamp: None, route: None };
        other.writer("w").unwrap().append(&[moved]).unwrap();
        let error = read(&SealedLog::new(other, keyring(1, &[])), topic).unwrap_err();
        assert!(matches!(error, LogError::Damaged(_)), "{error}");
    }
}

#[test]
fn a_plain_log_reads_on_and_is_sealed_anew_until_nothing_plain_is_left_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let raw = raw(&path);
    let many: Vec<_> = (0..300).map(|n| contact(n, &format!("138{n:08}"))).collect();
    raw.writer("w").unwrap().append(&many).unwrap();
    raw.writer("w").unwrap().append(&[NewRecord { value: None, ..contact(299, PHONE) }]).unwrap();
    let keys = keyring(1, &[]).unwrap();
    let log = SealedLog::new(Arc::clone(&raw) as _, Some(Arc::clone(&keys)));
    log.writer("w").unwrap().append(&[contact(0, PHONE)]).unwrap();
    let before = read(&log, CONTACTS).unwrap();
    assert_eq!(before.len(), 302);
    let counts = |plain, sealed, earlier, unknown| Survey { plain, sealed, earlier, unknown, quarantined: 0 };
    assert_eq!(survey(&*raw, Some(&keys)).unwrap(), counts(298, 1, 0, 0));
    assert_eq!(survey(&*raw, None).unwrap(), counts(298, 0, 0, 1));

    assert_eq!(reseal(&*raw, &keys, None).unwrap(), 298);
    assert_eq!(survey(&*raw, Some(&keys)).unwrap(), counts(0, 299, 0, 0));
    assert!(holds(&path, "13800000007"), "it is superseded, not gone");
    raw.compact().unwrap();
    raw.scrub().unwrap();
    for n in 0..300 {
        assert!(!holds(&path, &format!("138{n:08}")), "{n}");
    }
    let newest = |records: Vec<(String, Option<String>)>| {
        records.into_iter().collect::<std::collections::BTreeMap<_, _>>()
    };
    assert_eq!(newest(read(&log, CONTACTS).unwrap()), newest(before.clone()));
    assert_eq!(reseal(&*raw, &keys, None).unwrap(), 0, "and nothing more is to be done");

    // The key is changed: the earlier one opens until all are written anew.
    let keys = keyring(2, &[1]).unwrap();
    assert_eq!(survey(&*raw, Some(&keys)).unwrap(), counts(0, 0, 299, 0));
    assert_eq!(reseal(&*raw, &keys, None).unwrap(), 299);
    let alone = SealedLog::new(Arc::clone(&raw) as _, keyring(2, &[]));
    raw.compact().unwrap();
    assert_eq!(newest(read(&alone, CONTACTS).unwrap()), newest(before));
}
