//! No phone in a log line of the worker, at the finest level, whatever goes wrong. A test binary of its own, because the
//! log is kept for the whole process: a worker reads and writes on threads of its own.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

#[path = "support/kept.rs"]
mod kept;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tocsin_alerts::admission::{Admission, AdmissionSettings, BreakerSettings};
use tocsin_alerts::channel::{Channel, Outcome, Outgoing};
use tocsin_alerts::channels::Channels;
use tocsin_alerts::clock::{BoxFuture, Clock, SystemClock};
use tocsin_alerts::decide::RetrySettings;
use tocsin_alerts::gateways::{self, Kind, Question, Told};
use tocsin_alerts::stats::settled;
use tocsin_alerts::worker::{Settings, Worker};
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::codes::{Change, Role, Rule, Severity};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::log::{EventLog, NewRecord};
use tocsin_schemas::records::{Alert, AlertFacts, Audience, Contact, Offset, Record};
use tocsin_schemas::time::{Day, Instant};
use tocsin_schemas::topics;
use tocsin_schemas::wire::{Encoding, OutputRecord, encode, encode_in};
use tracing_subscriber::filter::LevelFilter;

use kept::Kept;

const CASES: u32 = 12;

/// Gives each message another fate, in turn.
#[derive(Default)]
struct Gateway(Mutex<Vec<String>>);

impl Channel for Gateway {
    fn name(&self) -> &'static str {
        "webhook"
    }
    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Outcome> {
        let mut told = self.0.lock().unwrap();
        told.push(message.to.clone());
        let case: u32 = message.alert_id[..4].parse().unwrap();
        let reason = || "simulated".into();
        let outcome = match (case % 6, message.attempt) {
            (0, _) => Outcome::Permanent { reason: reason() },
            (1, 1) => Outcome::Account { reason: reason() },
            (2, 1) => Outcome::Unknown { reason: reason(), retry_after_ms: None },
            (3, 1) => Outcome::Transient { reason: reason(), retry_after_ms: Some(1) },
            (4, 1) => {
                let until = Some(Instant(SystemClock.now().0 + 20));
                Outcome::WindowUsedUp { reason: reason(), until }
            }
            _ => Outcome::Accepted { gateway_ref: None },
        };
        Box::pin(async move { outcome })
    }
    fn kind(&self) -> Kind {
        Kind::Idempotent
    }
    fn not_found_counts_after_ms(&self) -> i64 {
        0
    }
    fn ask<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Told> {
        Box::pin(async { Told::NotFound })
    }
}

fn uscc(case: u32) -> Uscc {
    let first = format!("91330784XX00000{:02}", case % 7);
    let check = char::from(Uscc::check_symbol(first.as_bytes()).unwrap());
    format!("{first}{check}").parse().unwrap()
}

fn phone(n: u32) -> String {
    format!("1380000{n:04}")
}

fn alert(case: u32) -> NewRecord {
    let day: Day = "2025-03-01".parse().unwrap();
    let incident = IncidentId(case);
    let alert = Alert {
        alert_id: format!("{case:04}"),
        case_no: incident.to_string().into(),
        rule: Rule::OwnerIncident,
        change: Change::New,
        subject: incident.to_string().into(),
        uscc: uscc(case),
        episode: 1,
        revision: 1,
        audiences: vec![Audience {
            role: Role::Owner,
            subject: uscc(case).to_string().into(),
            year_to_date: Some(1),
        }],
        level: None,
        severity: Some(Severity::Minor),
        incident_ids: vec![incident],
        reports: Vec::new(),
        count: 1,
        as_of: day,
        decided_at: Instant(i64::from(case) * 1000),
        reason: None,
        policy_hash: "".into(),
        facts: AlertFacts { occurred_on: Some(day), ..AlertFacts::default() },
    };
    NewRecord {
        topic: topics::ALERTS.into(),
        key: alert.key(),
        value: Some(encode(&alert)),
        stamp: None,
        route: None,
    }
}

fn contact(n: u32) -> NewRecord {
    let subject = uscc(n).to_string();
    let key = format!("owner|{subject}|1").into_bytes();
    let contact = Contact {
        role: Role::Owner,
        phone: Some(phone(n)),
        subject,
        rank: 1,
        name: "甲".into(),
        addresses: BTreeMap::from([("webhook".to_owned(), phone(100 + n))]),
        valid_from: None,
        valid_to: None,
        verified_on: None,
        version: 1,
    };
    let value = Some(encode_in(&Record::Contact(contact), Encoding::Json).unwrap());
    NewRecord { topic: topics::CONTACTS.into(), key, value, stamp: None, route: None }
}

/// Holds end after milliseconds here: what is shut for minutes would be waited for.
fn impatient() -> AdmissionSettings {
    let short = Duration::from_millis(20);
    let breaker = BreakerSettings {
        first_open: short,
        longest_open: short,
        account_open: short,
        ..BreakerSettings::default()
    };
    AdmissionSettings { breaker, longest_hold: short, look_again: short, ..AdmissionSettings::default() }
}

/// What looks like a mobile number of the mainland: eleven digits by themselves.
fn phones(line: &str) -> Vec<&str> {
    line.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.len() == 11 && word.bytes().all(|b| b.is_ascii_digit()))
        .filter(|word| word.starts_with('1') && word.as_bytes()[1] >= b'3')
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_log_line_of_the_worker_shows_a_phone() {
    assert_eq!(phones("to=13800000001, id 1380000000a at 1740787200000 +8613800000001"), ["13800000001"]);
    let kept = Kept::default();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(kept.clone())
        .init();
    let folder = tempfile::tempdir().unwrap();
    let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(&folder.path().join("log.db")).unwrap());
    log.ensure(&topics::settings(), false).unwrap();
    let mut writer = log.writer("pipeline").unwrap();
    writer.append(&(0..7).map(contact).collect::<Vec<_>>()).unwrap();
    // What cannot be read is told of, and holds phones too.
    let broken = |n: u32, value: String| NewRecord { value: Some(value.into_bytes()), ..contact(n) };
    writer
        .append(&[
            broken(200, format!("{{\"role\":\"owner\",\"phone\":\"{}\"", phone(200))),
            broken(201, format!("{{\"phone\":{}}}", phone(201))),
            broken(202, phone(202)),
        ])
        .unwrap();
    writer.append(&(0..CASES).map(alert).collect::<Vec<_>>()).unwrap();
    drop(writer);

    let gateway = Arc::new(Gateway::default());
    let retry =
        RetrySettings { max_attempts: 3, first_delay_ms: 1, max_delay_ms: 10, ..RetrySettings::default() };
    let settings = Settings { retry, ..Settings::default() };
    let mut channels = Channels::one(Arc::clone(&gateway) as Arc<dyn Channel>);
    channels.admit(Admission::new(gateways::find("webhook").unwrap().profile, impatient()));
    let worker = Worker::new(Arc::clone(&log), channels, Arc::new(SystemClock), settings);
    let end = |(partition, bounds): (u32, tocsin_schemas::log::Bounds)| Offset {
        topic: topics::ALERTS.into(),
        partition,
        next: bounds.end,
    };
    let ends: Vec<Offset> = (0..).zip(log.bounds(topics::ALERTS).unwrap()).map(end).collect();
    let mut watched = worker.stats();
    let done = async move { drop(settled(&mut watched, &ends).await) };
    let stats = tokio::time::timeout(Duration::from_secs(60), worker.run(done)).await.unwrap().unwrap();

    // The phones were used, and what is broken was met.
    assert!(gateway.0.lock().unwrap().iter().any(|to| *to == phone(100)));
    assert!(stats.contacts_refused > 0 && stats.requests > u64::from(CASES), "{stats:?}");
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert!(text.lines().count() > 5, "nothing was logged:\n{text}");
    for line in text.lines() {
        assert_eq!(phones(line), Vec::<&str>::new(), "{line}");
        assert!((0..300).all(|n| !line.contains(&phone(n))), "{line}");
    }
}
