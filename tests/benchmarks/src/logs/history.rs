//! The made-up city's register and reports on a real log, and the bare decoding of what is there.

use std::sync::Arc;

use tocsin_pipeline::Arrival;
use tocsin_schemas::log::{EventLog, LogWriter, NewRecord};
use tocsin_schemas::records::{
    Alert, Enterprise, Headcount, Incident, Listed, Progress, Rates, Record, Report,
};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics::{self, Direction, ENTERPRISES, HEADCOUNT};
use tocsin_schemas::wire::{self, Encoding, Framing, OutputRecord};

use crate::progress::Work;
use crate::workload;

/// Records of one transaction of a source.
const CHUNK: usize = 10_000;

/// Publishes the register; returns how many records that were. Its stamp is `at`, where that is given.
pub fn publish_register(log: &dyn EventLog, seed: u64, at: Option<Instant>, work: &Work) -> u64 {
    let mut writer = log.writer("registry").expect("a writer");
    publish(
        &mut *writer,
        workload::register(seed).map(|a| Arrival { arrived_at: at.unwrap_or(a.arrived_at), ..a }),
        work,
    )
}

/// Publishes reports as their sources would; returns how many.
pub fn publish_reports(log: &dyn EventLog, reports: impl Iterator<Item = Arrival>, work: &Work) -> u64 {
    let mut writer = log.writer("sources").expect("a writer");
    publish(&mut *writer, reports, work)
}

fn publish(writer: &mut dyn LogWriter, arrivals: impl Iterator<Item = Arrival>, work: &Work) -> u64 {
    let mut count = 0;
    let mut records = Vec::with_capacity(CHUNK);
    let mut flush = |records: &mut Vec<NewRecord>| {
        writer.append(records).expect("an append");
        work.advance(records.len() as u64);
        records.clear();
    };
    for arrival in arrivals {
        count += 1;
        records.push(published(&arrival.record, arrival.arrived_at));
        if records.len() >= CHUNK {
            flush(&mut records);
        }
    }
    flush(&mut records);
    count
}

/// A record in, as it stands on its topic.
fn published(record: &Record, stamp: Instant) -> NewRecord {
    let (topic, key) = match record {
        Record::Report(r) => (topics::reports_of(r.source).name, r.source_record_id.to_string()),
        Record::Enterprise(e) => (ENTERPRISES, e.uscc.as_str().to_owned()),
        Record::Headcount(h) => (HEADCOUNT, format!("{}|{}", h.uscc.as_str(), h.month)),
        Record::Contact(_) | Record::Governance(_) => unreachable!("the workload has none"),
    };
    let value = wire::encode_in(record, Encoding::SingleObject).expect("a sound record");
    NewRecord {
        topic: Arc::from(topic),
        key: key.into_bytes(),
        value: Some(value),
        stamp: Some(stamp),
        route: None,
    }
}

/// The topics that the workload fills and the pipeline reads.
pub fn inputs() -> Vec<&'static str> {
    let report = |t: &&topics::Topic| t.direction == Direction::In && t.source.is_some();
    let reports = topics::catalogue().iter().filter(report).map(|t| t.name);
    [ENTERPRISES, HEADCOUNT].into_iter().chain(reports).collect()
}

/// Decodes a record of a topic into its Rust form and does nothing else: no check, no digest.
pub fn decode(topic: &str, raw: &[u8]) {
    fn input<T: serde::de::DeserializeOwned>(raw: &[u8]) {
        let Ok(Framing::SingleObject(fingerprint, datum)) = wire::framing(raw) else {
            panic!("not in the framing that the benchmark writes")
        };
        let schema = wire::schema::own_by_fingerprint(fingerprint).expect("a schema of ours");
        std::hint::black_box(schema.read::<T>(datum).expect("a record of the workload"));
    }
    fn output<T: OutputRecord>(raw: &[u8]) {
        std::hint::black_box(wire::decode::<T>(raw).expect("a record of ours"));
    }
    match topic {
        ENTERPRISES => input::<Enterprise>(raw),
        HEADCOUNT => input::<Headcount>(raw),
        topics::INCIDENTS => output::<Incident>(raw),
        topics::ALERTS => output::<Alert>(raw),
        topics::LISTS => output::<Listed>(raw),
        topics::RATES => output::<Rates>(raw),
        topics::PROGRESS => output::<Progress>(raw),
        _ => input::<Report>(raw),
    }
}
