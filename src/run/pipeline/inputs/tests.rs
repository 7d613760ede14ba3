//! On a real embedded log.

use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::log::NewRecord;

use super::*;

struct House {
    _dir: tempfile::TempDir,
    log: Arc<dyn EventLog>,
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(&dir.path().join("log.db")).unwrap();
    log.ensure(&topics::settings(), false).unwrap();
    House { _dir: dir, log: Arc::new(log) }
}

fn from_the_beginning() -> Vec<(TopicPartition, u64)> {
    input_topics()
        .flat_map(|t| {
            (0..t.partitions).map(|p| (TopicPartition { topic: Arc::from(t.name), partition: p }, 0))
        })
        .collect()
}

fn options(order: Order, max_batch: usize, until_end: bool) -> Options {
    Options { order, max_batch, linger: Duration::ZERO, until_end }
}

impl House {
    /// Appends `(topic, key, stamp)`; the value is the stamp.
    fn append(&self, records: &[(&str, &str, i64)]) {
        let records: Vec<NewRecord> = records
            .iter()
            .map(|(topic, key, stamp)| NewRecord {
                topic: Arc::from(*topic),
                key: key.as_bytes().to_vec(),
                value: Some(stamp.to_string().into_bytes()),
                stamp: Some(Instant(*stamp)),
                route: None,
            })
            .collect();
        self.log.writer("test").unwrap().append(&records).unwrap();
    }

    fn inputs(&self, from: &[(TopicPartition, u64)], options: Options) -> Inputs {
        Inputs::new(Arc::clone(&self.log), from, options).unwrap()
    }
}

/// The next thing that is not nothing, within 5 seconds.
fn next(inputs: &mut Inputs) -> Next {
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while std::time::Instant::now() < deadline {
        match inputs.next(Duration::from_millis(100)).unwrap() {
            Next::Nothing | Next::Behind => {}
            next => return next,
        }
    }
    panic!("nothing came");
}

fn batch(inputs: &mut Inputs) -> Vec<(String, i64)> {
    match next(inputs) {
        Next::Batch(taken, _) => {
            taken.iter().map(|t| (t.record.topic.to_string(), t.record.stamp.0)).collect()
        }
        other => panic!("expected a batch, found {other:?}"),
    }
}

fn stamps(inputs: &mut Inputs) -> Vec<i64> {
    batch(inputs).into_iter().map(|(_, stamp)| stamp).collect()
}

#[test]
fn while_behind_partitions_are_merged_by_arrival() {
    let house = house();
    let keys = ["a", "b", "c", "d", "e"];
    let mut records = Vec::new();
    for n in 0..200i64 {
        let topic = if n % 3 == 0 { "reports.health" } else { "reports.hr" };
        records.push((topic, keys[n as usize % 5], n * 7 % 200));
    }
    // Within a partition arrivals are in order: sort, so that only the partitions are mixed.
    records.sort_by_key(|r| (r.0, r.2));
    house.append(&records);
    let mut inputs = house.inputs(&from_the_beginning(), options(Order::Service, 64, false));
    let mut seen = Vec::new();
    while let Next::Batch(taken, _) = next(&mut inputs) {
        assert!(taken.len() <= 64);
        seen.extend(taken.into_iter().map(|t| t.record.stamp.0));
    }
    assert_eq!(seen, (0..200).collect::<Vec<_>>());
    // Caught up; from here on what comes is a batch.
    house.append(&[("reports.hr", "z", 900), ("reports.hr", "z", 901)]);
    assert_eq!(stamps(&mut inputs), [900, 901]);
}

#[test]
fn registry_is_read_to_its_end_before_the_first_report() {
    let house = house();
    house.append(&[("reports.hr", "a", 10), ("reports.hr", "a", 11), ("registry.enterprises", "u", 99)]);
    let mut inputs = house.inputs(&from_the_beginning(), options(Order::Service, 2, false));
    let first = batch(&mut inputs);
    assert_eq!(first[0], ("registry.enterprises".into(), 99));
    assert_eq!(&first[1..], [("reports.hr".into(), 10), ("reports.hr".into(), 11)]);
}

/// A list is frozen as it stands when its event arrived. A service that was down, or is behind, must not freeze it before
/// what had arrived by then; it would refuse last year's list where its clock still stands in that year.
#[test]
fn a_governance_event_has_its_turn() {
    let house = house();
    house.append(&[
        ("reports.hr", "a", 10),
        ("reports.health", "a", 20),
        ("governance.events", "G1", 20),
        ("reports.hr", "a", 30),
        ("registry.enterprises", "u", 40),
    ]);
    let expected =
        ["registry.enterprises", "reports.hr", "reports.health", "governance.events", "reports.hr"];
    let mut inputs = house.inputs(&from_the_beginning(), options(Order::Service, 64, false));
    let topics = |taken: Vec<(String, i64)>| taken.into_iter().map(|(topic, _)| topic).collect::<Vec<_>>();
    assert_eq!(topics(batch(&mut inputs)), expected);
    // The same once it is live.
    let Next::CaughtUp = next(&mut inputs) else { panic!("expected to be caught up") };
    house.append(&[("governance.events", "G2", 60), ("reports.hr", "a", 50), ("reports.health", "a", 60)]);
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(topics(batch(&mut inputs)));
    }
    assert_eq!(seen, ["reports.hr", "reports.health", "governance.events"]);
}

#[test]
fn equal_arrivals_are_never_parted_and_registry_comes_first_among_them() {
    let house = house();
    let mut records: Vec<(&str, &str, i64)> = vec![("reports.hr", "a", 5)];
    for key in ["a", "b", "c", "d"] {
        records.extend([("reports.hr", key, 7), ("reports.emergency", key, 7)]);
    }
    records.extend([("registry.headcount", "u", 7), ("reports.hr", "a", 8)]);
    house.append(&records);
    let mut inputs = house.inputs(&from_the_beginning(), options(Order::Arrivals, 3, true));
    let first = batch(&mut inputs);
    assert_eq!(first.iter().map(|r| r.1).collect::<Vec<_>>(), [5, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
    assert_eq!(first[1].0, "registry.headcount");
    assert_eq!(first[2].0, "reports.hr");
    assert_eq!(first[9].0, "reports.emergency");
    assert_eq!(stamps(&mut inputs), [8]);
    assert!(matches!(next(&mut inputs), Next::End));
}

#[test]
fn until_end_ends_at_the_ends_seen_at_the_start() {
    let house = house();
    house.append(&[("reports.hr", "a", 1)]);
    let mut inputs = house.inputs(&from_the_beginning(), options(Order::Arrivals, 10, true));
    house.append(&[("reports.hr", "a", 2)]);
    let Next::Batch(taken, offsets) = next(&mut inputs) else { panic!("no batch") };
    assert_eq!(taken.len(), 1);
    assert_eq!(offsets.iter().map(|o| o.next).sum::<u64>(), 1);
    assert!(matches!(next(&mut inputs), Next::End));
}

#[test]
fn the_offsets_of_a_batch_lead_on_to_the_next_record_and_to_no_other() {
    let house = house();
    let records: Vec<(&str, &str, i64)> =
        (0..50).map(|n| ("reports.hr", if n % 2 == 0 { "a" } else { "b" }, n)).collect();
    house.append(&records);
    let mut from = from_the_beginning();
    let mut seen = Vec::new();
    // A restart after every batch.
    loop {
        let mut inputs = house.inputs(&from, options(Order::Service, 7, false));
        let Next::Batch(taken, offsets) = next(&mut inputs) else { break };
        seen.extend(taken.iter().map(|t| t.record.stamp.0));
        for (at, offset) in &mut from {
            let here = |o: &&Offset| o.topic == *at.topic && o.partition == at.partition;
            *offset = offsets.iter().find(here).unwrap().next;
        }
    }
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
}

#[test]
fn a_burst_while_live_is_merged_again() {
    let house = house();
    let mut inputs = house.inputs(&from_the_beginning(), options(Order::Service, 4, false));
    assert!(matches!(next(&mut inputs), Next::CaughtUp));
    // One topic after the other in the log, mixed in time.
    let mut records: Vec<(&str, &str, i64)> = (0..10).map(|n| ("reports.hr", "a", 2 * n)).collect();
    records.extend((0..10).map(|n| ("reports.health", "a", 2 * n + 1)));
    house.append(&records);
    let mut seen = Vec::new();
    while seen.len() < 20 {
        seen.extend(stamps(&mut inputs));
    }
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
    assert!(matches!(next(&mut inputs), Next::CaughtUp));
}
