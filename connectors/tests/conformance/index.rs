//! The index of deliveries against what a reading of the whole topic finds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rusqlite::{Connection, params};
use tocsin_connectors::log::sqlite::{SqliteLog, SqliteOptions};
use tocsin_schemas::codes::{Change, Role, Urgency};
use tocsin_schemas::index::{Ask, LedgerIndex};
use tocsin_schemas::log::{EventLog, LogError, LogRecord, NewRecord, Retention, TopicSettings};
use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics::DELIVERIES;
use tocsin_schemas::wire::{self, OutputRecord as _};

use crate::subject::{Subject, read_to_end};

const PARTITIONS: u32 = 3;
/// Records of a partition that the index is left behind by, where a test does not vary it.
const LAG: u32 = 4;
const FIRMS: [&str; 3] = ["91330784XX00000003", "91330784XX00000016", "91330784XX00000029"];

/// The log of this file, whose index takes records in once a partition has so many.
fn lagging(subject: &Subject, index_lag: u32) -> SqliteLog {
    SqliteLog::open_with(subject.path(), SqliteOptions { index_lag, ..SqliteOptions::default() }).unwrap()
}

fn with_deliveries(subject: &Subject, index_lag: u32) -> SqliteLog {
    let log = lagging(subject, index_lag);
    let settings = TopicSettings {
        name: DELIVERIES.into(),
        partitions: PARTITIONS,
        retention: Retention::Compacted,
        max_record_bytes: 1 << 20,
    };
    log.ensure(&[settings], false).unwrap();
    log
}

/// A delivery in some state; its case, phone and gateway hang on `n` alone.
fn delivery(n: u64, state: DeliveryState, reason: Option<&str>, at: i64) -> Delivery {
    Delivery {
        delivery_id: format!("D{n:025}"),
        alert_id: format!("A{n:025}"),
        case_no: format!("{:09}", n % 7),
        uscc: FIRMS[(n % 3) as usize].parse().unwrap(),
        role: if n.is_multiple_of(5) { Role::TownshipDuty } else { Role::Owner },
        subject: if n.is_multiple_of(5) { "330784001" } else { FIRMS[(n % 2) as usize] }.to_owned(),
        contact_rank: Some(1),
        contact_version: Some(1),
        channel: if n.is_multiple_of(4) { "wecom_robot" } else { "webhook" }.to_owned(),
        template: "T1".into(),
        state,
        reason: reason.map(str::to_owned),
        attempt: 1,
        at: Instant(at),
        due_at: None,
        gateway_ref: None,
        uncertain: false,
        contact_role: Some(Role::Owner),
        sent_at: None,
        contact_subject: None,
        phone_hash: (n % 6 != 1).then(|| format!("P{:025}", n % 4)),
        address_hash: None,
        change: Change::New,
        urgency: Urgency::Daytime,
        decided_at: None,
        episode: 1,
        revision: 1,
        area: None,
        slots: BTreeMap::new(),
    }
}

fn new_record(delivery: &Delivery) -> NewRecord {
    NewRecord {
        topic: DELIVERIES.into(),
        key: delivery.key(),
        value: Some(wire::encode(delivery)),
        stamp: None,
        route: delivery.route(),
    }
}

fn some(random: &mut StdRng, deliveries: u64) -> NewRecord {
    use DeliveryState::*;
    let n = random.random_range(0..deliveries);
    let states = [
        (Planned, None),
        (Sending, None),
        (Uncertain, None),
        (Accepted, None),
        (Delivered, None),
        (Delivered, Some("not_ours")),
        (Failed, Some("bounced")),
        (Failed, Some("expired")),
        (Skipped, Some("superseded")),
    ];
    let (state, reason) = states[random.random_range(0..states.len())];
    let one = delivery(n, state, reason, random.random_range(0..1_000));
    let record = new_record(&one);
    match random.random_range(0..40) {
        0 => NewRecord { value: None, ..record },
        _ => record,
    }
}

/// As a program writes that knows no index.
fn append_unindexed(file: &Connection, record: &NewRecord, partition: u32) {
    let id: i64 = file
        .query_row(
            "SELECT p.id FROM partitions p JOIN topics t ON t.id = p.topic WHERE t.name = ?1 AND p.number = ?2",
            params![DELIVERIES, partition],
            |row| row.get(0),
        )
        .unwrap();
    let next: i64 =
        file.query_row("SELECT next FROM partitions WHERE id = ?1", [id], |row| row.get(0)).unwrap();
    let insert = format!("INSERT INTO p{id} VALUES (?1, 0, ?2, ?3)");
    file.execute(&insert, params![next, record.key, record.value]).unwrap();
    file.execute("UPDATE partitions SET next = ?2 WHERE id = ?1", [id, next + 1]).unwrap();
}

fn asks() -> Vec<Ask<'static>> {
    let mut asks = vec![
        Ask::Open,
        Ask::Refused,
        Ask::Case("000000003"),
        Ask::Case("nothing"),
        Ask::Id("D0000000000000000000000002"),
        Ask::Id("nothing"),
        Ask::Phone("P0000000000000000000000003"),
        Ask::Gateway("wecom_robot"),
        Ask::Written(Instant(400), None),
        Ask::Written(Instant(400), Some(Instant(500))),
    ];
    asks.extend(FIRMS.map(Ask::Enterprise));
    asks
}

fn found(index: &mut dyn LedgerIndex, ask: Ask<'_>, of: Option<u32>) -> Result<Vec<LogRecord>, LogError> {
    let mut found = Vec::new();
    index.look_up(&[ask], of, &mut |record| {
        found.push(record);
        Ok(())
    })?;
    Ok(found)
}

/// What must be among what is found: every record of the deliveries by which one is found.
fn expected(all: &[LogRecord], ask: Ask<'_>, of: Option<u32>) -> BTreeSet<(u32, u64)> {
    let mut by_key: BTreeMap<&[u8], Vec<&LogRecord>> = BTreeMap::new();
    for record in all.iter().filter(|record| of.is_none_or(|of| of == record.partition)) {
        by_key.entry(record.key.as_deref().unwrap()).or_default().push(record);
    }
    let covers = |record: &&LogRecord| {
        let delivery = record.value.as_ref().map(|value| wire::decode::<Delivery>(value).unwrap());
        delivery.is_some_and(|delivery| ask.covers(&delivery))
    };
    let wanted = |records: &Vec<&LogRecord>| match ask {
        Ask::Open => records.last().is_some_and(covers),
        _ => records.iter().any(covers),
    };
    let places = by_key.into_values().filter(wanted).flatten();
    places.map(|record| (record.partition, record.offset)).collect()
}

fn compare(log: &dyn EventLog, index: &mut dyn LedgerIndex, seed: u64) {
    let from: Vec<_> = (0..PARTITIONS)
        .map(|partition| tocsin_schemas::log::TopicPartition { topic: DELIVERIES.into(), partition })
        .zip(log.bounds(DELIVERIES).unwrap().into_iter().map(|bounds| bounds.first))
        .collect();
    let all = read_to_end(&mut *log.reader(&from).unwrap());
    for of in [None, Some(0), Some(1)] {
        for ask in asks() {
            let records = found(index, ask, of).unwrap();
            let places: Vec<_> = records.iter().map(|record| (record.partition, record.offset)).collect();
            let distinct: BTreeSet<_> = places.iter().copied().collect();
            assert_eq!(distinct.len(), places.len(), "seed {seed}, {ask:?} of {of:?}: none comes twice");
            let expected = expected(&all, ask, of);
            assert!(
                distinct.is_superset(&expected),
                "seed {seed}, {ask:?} of {of:?}: {places:?}, not {expected:?}"
            );
            assert!(records.iter().all(|record| all.contains(record)), "seed {seed}: as they stand");
            let mut last: BTreeMap<_, u64> = BTreeMap::new();
            for record in &records {
                let before = last.insert((record.partition, record.key.clone()), record.offset);
                assert!(before.is_none_or(|before| before < record.offset), "seed {seed}: in their order");
            }
            if !matches!(ask, Ask::Refused | Ask::Written(..)) {
                let more =
                    records.iter().filter(|record| !expected.contains(&(record.partition, record.offset)));
                // Of one that was deleted nothing says any more by what it was found.
                let deleted = more.into_iter().all(|record| record.value.is_none());
                assert!(
                    deleted,
                    "seed {seed}, {ask:?} of {of:?}: and no others: {places:?}, not {expected:?}"
                );
            }
        }
        for gateway in ["webhook", "wecom_robot"] {
            let ask = Ask::Accepted(gateway);
            let ever = !expected(&all, ask, of).is_empty();
            assert!(
                !ever || of.is_some() || !found(index, ask, of).unwrap().is_empty(),
                "seed {seed}: {gateway}"
            );
        }
    }
}

#[test]
fn it_finds_what_a_reading_of_everything_finds() {
    for seed in 0..42 {
        let mut random = StdRng::seed_from_u64(seed);
        let subject = Subject::sqlite();
        // From one that takes in each append to one that takes in none.
        let lag = [1, 2, 5, 12, 30, 1_000][seed as usize % 6];
        let log = with_deliveries(&subject, lag);
        let mut index = log.index(None).unwrap().expect("a new file is never behind");
        let mut writer = log.writer("w").unwrap();
        let deliveries = random.random_range(3..40);
        for _ in 0..12 {
            let batch: Vec<_> =
                (0..random.random_range(1..12)).map(|_| some(&mut random, deliveries)).collect();
            writer.append(&batch).unwrap();
            match random.random_range(0..8) {
                6..8 => writer.tidy().unwrap(),
                0 => drop(log.compact().unwrap()),
                // The same file, opened again.
                1 => index = lagging(&subject, lag).index(None).unwrap().expect("it is kept up to date"),
                _ => {}
            }
            compare(&log, &mut *index, seed);
        }
    }
}

/// How many records of `deliveries` are in no table of the index yet.
fn in_tails(file: &Connection) -> i64 {
    let tails = "SELECT total(p.next - coalesce(i.upto, 0)) FROM partitions p JOIN topics t ON t.id = p.topic
                 LEFT JOIN index_upto i ON i.partition = p.id WHERE t.name = ?1";
    file.query_row(tails, [DELIVERIES], |row| row.get::<_, f64>(0)).unwrap() as i64
}

#[test]
fn the_index_takes_in_what_a_writer_has_put_off() {
    let subject = Subject::sqlite();
    // A quarter of it is worth a moment.
    let log = with_deliveries(&subject, 4 * LAG);
    let file = Connection::open(subject.path()).unwrap();
    let mut random = StdRng::seed_from_u64(3);
    let mut some = |many: u32| (0..many).map(|_| some(&mut random, 30)).collect::<Vec<_>>();
    let mut writer = log.writer("w").unwrap();
    writer.append(&some(LAG - 1)).unwrap();
    writer.tidy().unwrap();
    assert_eq!((writer.is_untidy(), in_tails(&file)), (false, i64::from(LAG) - 1), "too few");
    writer.append(&some(1)).unwrap();
    assert!(writer.is_untidy());
    // Somebody else is in, or stands in the door: nobody is waited for.
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    writer.tidy().unwrap();
    assert_eq!((writer.is_untidy(), in_tails(&file)), (false, i64::from(LAG)));
    file.execute_batch("ROLLBACK").unwrap();
    let door =
        std::fs::OpenOptions::new().write(true).open(format!("{}-door", subject.path().display())).unwrap();
    writer.append(&some(LAG)).unwrap();
    door.lock().unwrap();
    writer.tidy().unwrap();
    assert_eq!((writer.is_untidy(), in_tails(&file)), (false, 2 * i64::from(LAG)));
    door.unlock().unwrap();
    // An append waits as ever: the other one goes when it has seen it wait.
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waits = std::thread::spawn({
        let more = some(LAG);
        move || writer.append(&more).map(|()| writer)
    });
    while !waits.is_finished() && door.try_lock().is_ok() {
        door.unlock().unwrap();
        std::thread::yield_now();
    }
    file.execute_batch("ROLLBACK").unwrap();
    let mut writer = waits.join().unwrap().unwrap();
    writer.tidy().unwrap();
    assert_eq!((writer.is_untidy(), in_tails(&file)), (false, 0));
    compare(&log, &mut *log.index(None).unwrap().unwrap(), 3);
    // One that was fenced leaves nothing.
    writer.append(&some(LAG)).unwrap();
    let mut newer = log.writer("w").unwrap();
    writer.tidy().unwrap();
    assert_eq!(in_tails(&file), i64::from(LAG));
    newer.append(&some(LAG)).unwrap();
    newer.tidy().unwrap();
    let left = in_tails(&file);
    assert!(left < 2 * i64::from(LAG), "{left}: but for partitions that the newer one did not write to");
    compare(&log, &mut *log.index(None).unwrap().unwrap(), 3);
    // What is behind stays behind.
    for partition in (0..PARTITIONS).flat_map(|partition| [partition; 4 * LAG as usize]) {
        append_unindexed(&file, &new_record(&delivery(99, DeliveryState::Planned, None, 5)), partition);
    }
    newer.append(&some(LAG)).unwrap();
    let before = in_tails(&file);
    newer.tidy().unwrap();
    assert_eq!((newer.is_untidy(), in_tails(&file)), (false, before));
}

#[test]
fn the_journal_is_moved_into_the_file_after_some_appends() {
    let subject = Subject::sqlite();
    let log = with_deliveries(&subject, 1_000);
    let mut writer = log.writer("w").unwrap();
    let ends = "SELECT group_concat(next) FROM (SELECT next FROM partitions ORDER BY id)";
    let last = |path: &Path| -> Option<String> {
        Connection::open(path).unwrap().query_row(ends, [], |row| row.get(0)).ok()
    };
    for n in 0..64 {
        assert!(!writer.is_untidy(), "{n}");
        writer.append(&[new_record(&delivery(n, DeliveryState::Planned, None, 5))]).unwrap();
    }
    assert!(writer.is_untidy());
    let there = last(subject.path());
    // The file alone, without its journal.
    let copy = subject.path().with_extension("copy");
    std::fs::copy(subject.path(), &copy).unwrap();
    assert_ne!(last(&copy), there, "it is in the journal");
    writer.tidy().unwrap();
    assert!(!writer.is_untidy());
    std::fs::copy(subject.path(), &copy).unwrap();
    assert_eq!(last(&copy), there);
}

#[test]
fn one_that_is_behind_says_so_and_is_brought_up_to_date() {
    let subject = Subject::sqlite();
    let log = with_deliveries(&subject, LAG);
    let mut random = StdRng::seed_from_u64(1);
    let mut writer = log.writer("w").unwrap();
    let batch = |random: &mut StdRng| (0..20).map(|_| some(random, 30)).collect::<Vec<_>>();
    writer.append(&batch(&mut random)).unwrap();
    let (mut reads, mut builds) =
        (log.index(None).unwrap().unwrap(), log.index(Some(&|| Ok(()))).unwrap().unwrap());
    let file = Connection::open(subject.path()).unwrap();
    // A program writes that knows no index, and then one that does: a tail that was too long before stays.
    for partition in (0..PARTITIONS).flat_map(|partition| [partition; LAG as usize]) {
        append_unindexed(&file, &new_record(&delivery(99, DeliveryState::Planned, None, 5)), partition);
    }
    writer.append(&batch(&mut random)).unwrap();
    assert!(log.index(None).unwrap().is_none(), "whoever only reads reads everything");
    assert!(matches!(found(&mut *reads, Ask::Open, None), Err(LogError::Retry { .. })));
    assert_eq!(
        found(&mut *builds, Ask::Id("D0000000000000000000000099"), None).unwrap().len(),
        3 * LAG as usize
    );
    compare(&log, &mut *reads, 0);
    // A file of an earlier release has none of it.
    writer.append(&batch(&mut random)).unwrap();
    for table in ["upto", "places", "open", "cases", "times", "marks"] {
        file.execute_batch(&format!("DROP TABLE index_{table}")).unwrap();
    }
    drop((file, log, reads, builds, writer));
    let log = lagging(&subject, LAG);
    assert!(log.index(None).unwrap().is_none());
    let stop = || Err(LogError::Retry { what: "go on", why: "a test".into() });
    assert!(matches!(log.index(Some(&stop)), Err(LogError::Retry { what: "go on", .. })));
    let mut index = log.index(Some(&|| Ok(()))).unwrap().unwrap();
    compare(&log, &mut *index, 0);
    log.writer("w").unwrap().append(&batch(&mut random)).unwrap();
    compare(&log, &mut *index, 0);
}
