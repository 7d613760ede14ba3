//! The worker on the real embedded log: killed again and again, it tells everybody once.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tocsin_alerts::channel::{Channel, Outcome, Outgoing};
use tocsin_alerts::channels::Channels;
use tocsin_alerts::clock::SystemClock;
use tocsin_alerts::gateways::{Kind, Question, Told};
use tocsin_alerts::stats::{Stats, settled};
use tocsin_alerts::worker::{Settings, Worker, WorkerError};
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::codes::{Change, Role, Rule, Severity};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::log::{EventLog, LogError, NewRecord, TopicPartition};
use tocsin_schemas::records::{
    Alert, AlertFacts, Audience, Contact, Delivery, DeliveryState, Offset, Record,
};
use tocsin_schemas::time::{Day, Instant};
use tocsin_schemas::topics;
use tocsin_schemas::wire::{Encoding, OutputRecord, decode, encode, encode_in};
use tokio::sync::Notify;

const LIMIT: Duration = Duration::from_secs(60);
const CASES: u32 = 120;

/// One of seven enterprises.
fn uscc(case: u32) -> Uscc {
    let first = format!("91330784XX000000{}", case % 7);
    let check = char::from(Uscc::check_symbol(first.as_bytes()).unwrap());
    format!("{first}{check}").parse().unwrap()
}

/// Says yes after a moment, and calls for a kill at every so many requests, before or after it has rung.
struct Gateway {
    asked: Mutex<Vec<String>>,
    rung: Mutex<Vec<(String, String)>>,
    kill_every: usize,
    kill: Notify,
}

impl Channel for Gateway {
    fn name(&self) -> &'static str {
        "webhook"
    }
    fn send<'a>(&'a self, message: &'a Outgoing) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        Box::pin(async move {
            let number = {
                let mut asked = self.asked.lock().unwrap();
                asked.push(message.idempotency_key.clone());
                asked.len()
            };
            let kill = self.kill_every > 0 && number % self.kill_every == 0;
            if kill && number % 2 == 0 {
                self.kill.notify_one();
                std::future::pending::<()>().await;
            }
            {
                let mut rung = self.rung.lock().unwrap();
                if rung.iter().all(|(key, _)| *key != message.idempotency_key) {
                    rung.push((message.idempotency_key.clone(), message.alert_id.clone()));
                }
            }
            if kill {
                self.kill.notify_one();
                std::future::pending::<()>().await;
            }
            Outcome::Accepted { gateway_ref: None }
        })
    }

    fn kind(&self) -> Kind {
        Kind::Idempotent
    }

    fn not_found_counts_after_ms(&self) -> i64 {
        0
    }

    fn ask<'a>(&'a self, _question: &'a Question) -> tocsin_alerts::clock::BoxFuture<'a, Told> {
        Box::pin(async { unreachable!("it knows our keys") })
    }
}

fn alert(case: u32, revision: u32) -> NewRecord {
    let day: Day = "2025-03-01".parse().unwrap();
    let incident = IncidentId(case);
    let alert = Alert {
        alert_id: format!("{case:04}-{revision}"),
        case_no: incident.to_string().into(),
        rule: Rule::OwnerIncident,
        change: if revision == 1 { Change::New } else { Change::Corrected },
        subject: incident.to_string().into(),
        uscc: uscc(case),
        episode: 1,
        revision,
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
        decided_at: Instant(i64::from(case) * 1000 + i64::from(revision)),
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

fn contact(subject: String) -> NewRecord {
    let key = format!("owner|{subject}|1").into_bytes();
    let contact = Contact {
        role: Role::Owner,
        phone: Some(format!("phone of {subject}")),
        subject,
        rank: 1,
        name: "甲".into(),
        addresses: BTreeMap::new(),
        valid_from: None,
        valid_to: None,
        verified_on: None,
        version: 1,
    };
    let value = Some(encode_in(&Record::Contact(contact), Encoding::Json).unwrap());
    NewRecord { topic: topics::CONTACTS.into(), key, value, stamp: None, route: None }
}

fn ends(log: &dyn EventLog) -> Vec<Offset> {
    let end = |(partition, bounds): (u32, tocsin_schemas::log::Bounds)| Offset {
        topic: topics::ALERTS.into(),
        partition,
        next: bounds.end,
    };
    (0..).zip(log.bounds(topics::ALERTS).unwrap()).map(end).collect()
}

/// How many deliveries the ledger says were accepted.
fn accepted(log: &dyn EventLog) -> usize {
    let place = |partition| TopicPartition { topic: topics::DELIVERIES.into(), partition };
    let bounds = log.bounds(topics::DELIVERIES).unwrap();
    let from: Vec<_> = (0..).zip(bounds).map(|(n, bounds)| (place(n), bounds.first)).collect();
    let (mut reader, mut last) = (log.reader(&from).unwrap(), HashMap::new());
    while !reader.caught_up().unwrap() {
        for record in reader.poll(1_000, Duration::from_millis(100)).unwrap() {
            let delivery: Delivery = decode(&record.value.unwrap()).unwrap();
            last.insert(delivery.delivery_id, delivery.state);
        }
    }
    last.into_values().filter(|state| *state == DeliveryState::Accepted).count()
}

/// Runs until the gateway calls for a kill (`None`) or everything is settled.
async fn run(log: &Arc<dyn EventLog>, gateway: &Arc<Gateway>) -> (Option<Stats>, u64) {
    let settings = Settings { max_in_flight: 4, max_batch: 16, ..Settings::default() };
    let channel = Arc::clone(gateway);
    let worker = Worker::new(Arc::clone(log), Channels::one(channel), Arc::new(SystemClock), settings);
    let (stats, mut watched, ends) = (worker.stats(), worker.stats(), ends(&**log));
    let done = async move { drop(settled(&mut watched, &ends).await) };
    let end = tokio::select! {
        result = tokio::time::timeout(LIMIT, worker.run(done)) => Some(result.expect("in time").unwrap()),
        () = gateway.kill.notified() => None,
    };
    let resent = stats.borrow().resent_in_flight;
    (end, resent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_tells_everybody_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let open = || -> Arc<dyn EventLog> { Arc::new(SqliteLog::open(&path).unwrap()) };
    let log = open();
    log.ensure(&topics::settings(), false).unwrap();
    let mut pipeline = log.writer("pipeline").unwrap();
    pipeline.append(&(0..7).map(|n| contact(uscc(n).to_string())).collect::<Vec<_>>()).unwrap();
    for case in 0..CASES {
        pipeline.append(&[alert(case, 1), alert(case, 2)]).unwrap();
    }
    drop((pipeline, log));

    let gateway = Arc::new(Gateway {
        asked: Mutex::default(),
        rung: Mutex::default(),
        kill_every: 17,
        kill: Notify::new(),
    });
    let (mut kills, mut resent) = (0, 0);
    let stats = loop {
        let (end, again) = run(&open(), &gateway).await;
        resent += again;
        match end {
            Some(stats) => break stats,
            None => kills += 1,
        }
    };
    assert_eq!(stats.contacts, 7);
    assert!(kills >= 10, "{kills}");
    assert_eq!(accepted(&*open()), 2 * CASES as usize);
    assert_eq!(stats.progress, ends(&*open()));
    let rung = gateway.rung.lock().unwrap();
    let place: HashMap<_, _> = rung.iter().enumerate().map(|(n, (_, alert))| (alert.clone(), n)).collect();
    assert_eq!((rung.len(), place.len()), (2 * CASES as usize, 2 * CASES as usize));
    for case in 0..CASES {
        assert!(
            place[&format!("{case:04}-1")] < place[&format!("{case:04}-2")],
            "{case}: new before corrected"
        );
    }
    let asked = gateway.asked.lock().unwrap();
    let keys: HashSet<_> = asked.iter().collect();
    let repeated = asked.len() - keys.len();
    assert!(repeated > 0 && repeated as u64 <= resent, "{repeated} repeated, {resent} counted");
}

/// Two workers with nothing to do: the older one ends within 5 seconds, the newer one stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_ends_when_another_one_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let open = || -> Arc<dyn EventLog> { Arc::new(SqliteLog::open(&path).unwrap()) };
    open().ensure(&topics::settings(), false).unwrap();
    let start = || {
        let gateway =
            Gateway { asked: Mutex::default(), rung: Mutex::default(), kill_every: 0, kill: Notify::new() };
        let worker =
            Worker::new(open(), Channels::one(Arc::new(gateway)), Arc::new(SystemClock), Settings::default());
        (worker.stats(), tokio::spawn(worker.run(std::future::pending())))
    };
    let ends = ends(&*open());
    let (mut stats, older) = start();
    settled(&mut stats, &ends).await.unwrap();
    let (mut stats, newer) = start();
    settled(&mut stats, &ends).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), older).await.expect("it ends").unwrap();
    assert!(matches!(ended, Err(WorkerError::Log(LogError::Fenced { .. }))), "{ended:?}");
    assert!(!newer.is_finished());
    newer.abort();
}
