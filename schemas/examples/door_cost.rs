//! What the door and the wire cost, in microseconds a record: `cargo run --release -p tocsin-schemas --example door_cost`.
//!
//! Each figure is the best of several rounds over the same record, so it is the cost with warm caches.

use std::hint::black_box;
use std::time::Instant as Clock;

use tocsin_schemas::door;
use tocsin_schemas::records::{Alert, AlertFacts, Audience, Incident, Progress, Rates, Record, WindowRate};
use tocsin_schemas::time::Instant;
use tocsin_schemas::wire::{self, Encoding, NoIds, OutputRecord};

const REPORT: &str = r#"{"source":"hr","source_record_id":"HR-2025-000123","version":1,"status":"recognised","category":"production","occurred_on":"2025-02-28","occurred_time":"08:30","reported_at":"2025-03-01T08:00:00+08:00","uscc":"91330784XX00000190","employer_name":"永康市某某五金厂","person_key":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","incident_no":"7","cause":"03","post":"冲压工","lost_days":120}"#;

fn best_of(label: &str, mut work: impl FnMut()) {
    const ROUNDS: usize = 20;
    const EACH: u32 = 5_000;
    let best = (0..ROUNDS).map(|_| {
        let start = Clock::now();
        (0..EACH).for_each(|_| work());
        start.elapsed() / EACH
    });
    let best = best.min().unwrap_or_default();
    println!("{label:<40} {:>7.2} us", best.as_secs_f64() * 1e6);
}

fn both_ways<T: OutputRecord>(name: &str, record: &T) {
    let bytes = wire::encode(record);
    best_of(&format!("encode {name} ({} bytes)", bytes.len()), || {
        black_box(wire::encode(black_box(record)));
    });
    best_of(&format!("decode {name}"), || {
        black_box(wire::decode::<T>(black_box(&bytes)).is_ok());
    });
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arrived: Instant = "2025-03-01T12:00:00+08:00".parse()?;
    let admitted = door::admit("reports.hr", REPORT.as_bytes(), arrived, &NoIds)?;
    let record = &admitted.record;
    let avro = wire::encode_in(record, Encoding::SingleObject)?;
    best_of("admit a report, Avro", || {
        black_box(door::admit("reports.hr", black_box(&avro), arrived, &NoIds).is_ok());
    });
    best_of("  of it: canonical JSON", || {
        black_box(door::canonical_json(black_box(record)));
    });
    best_of("  of it: canonical JSON and SHA-256", || {
        black_box(door::digest(black_box(record)));
    });
    best_of("  of it: parsing an instant", || {
        black_box(black_box("2025-03-01T08:00:00+08:00").parse::<Instant>().is_ok());
    });
    best_of("  of it: parsing a day", || {
        black_box(black_box("2025-03-01").parse::<tocsin_schemas::time::Day>().is_ok());
    });
    best_of("  of it: parsing a USCC", || {
        black_box(black_box("91330784XX00000190").parse::<tocsin_schemas::ids::Uscc>().is_ok());
    });
    best_of("  of it: parsing a person key", || {
        let key = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        black_box(black_box(key).parse::<tocsin_schemas::ids::PersonKey>().is_ok());
    });
    best_of("admit a report, JSON", || {
        black_box(door::admit("reports.hr", black_box(REPORT.as_bytes()), arrived, &NoIds).is_ok());
    });
    best_of("encode a report, Avro", || {
        black_box(wire::encode_in(black_box(record), Encoding::SingleObject).is_ok());
    });
    let Record::Report(report) = record else { return Ok(()) };
    let uscc = report.uscc.ok_or("the sample has a uscc")?;
    let id = "000000075".parse()?;
    let incident = Incident {
        incident_id: id,
        uscc: Some(uscc),
        occurred_on: report.occurred_on,
        category: report.category,
        severity: "minor".parse()?,
        persons: 1,
        state: "counted".parse()?,
        reports: vec![report.key(), "health/2025-17".parse()?],
        withdrawn: Vec::new(),
        first_arrived_at: arrived,
    };
    let alert = Alert {
        alert_id: "ABCDEFGHIJKLMNOPQRSTUVWXYZ".into(),
        case_no: "000000075".into(),
        rule: "owner_incident".parse()?,
        change: "new".parse()?,
        subject: "000000075".into(),
        uscc,
        episode: 1,
        revision: 1,
        audiences: vec![Audience {
            role: "owner".parse()?,
            subject: uscc.to_string().into(),
            year_to_date: Some(1),
        }],
        level: None,
        severity: Some("minor".parse()?),
        incident_ids: vec![id],
        reports: incident.reports.clone(),
        count: 1,
        as_of: arrived.day(),
        decided_at: arrived,
        reason: None,
        policy_hash: "0123456789abcdef".repeat(4).into(),
        facts: AlertFacts {
            enterprise_name: report.employer_name.as_deref().map(Into::into),
            area: Some("330784106".into()),
            occurred_on: Some(report.occurred_on),
            cause: report.cause,
            ..AlertFacts::default()
        },
    };
    let rate = WindowRate {
        window: "365d".parse()?,
        incidents: 1,
        persons: 1,
        incidents_with_headcount: 1,
        headcount: Some(88.5),
        per_thousand: Some(11.3),
        reason: None,
        low: Some(0.29),
        high: Some(62.9),
        shrunken: Some(6.1),
        shrunken_reason: None,
        rankable: false,
        other: std::iter::empty().collect(),
    };
    let rates = Rates {
        scope: "enterprise".parse()?,
        key: uscc.to_string(),
        as_of: arrived.day(),
        decided_at: arrived,
        policy_hash: "0123456789abcdef".repeat(4).into(),
        windows: vec![rate; 7],
    };
    both_ways("an incident", &incident);
    both_ways("an alert", &alert);
    both_ways("rates in seven windows", &rates);
    both_ways("progress without offsets", &Progress::default());
    Ok(())
}
