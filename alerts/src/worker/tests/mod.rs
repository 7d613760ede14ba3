//! The worker against a log in memory and gateways that misbehave.

mod answers;
mod fuse;
mod gateway;
mod hands;
mod kills;
mod memlog;
mod morning;
mod order;
mod peace;
mod polls;
mod quiet;
mod quota;
mod recalled;
mod recalls;
mod receipts;
mod settling;
mod silence;
mod takeover;
mod telephones;
mod texts;
mod tidy;
mod together;
mod trouble;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use tocsin_schemas::codes::{Change, Level, Role, Severity};
use tocsin_schemas::ids::IncidentId;
use tocsin_schemas::log::NewRecord;
use tocsin_schemas::records::{Alert, Contact, Delivery, DeliveryState, Offset, Record};
use tocsin_schemas::time::{Day, Instant};
use tocsin_schemas::wire::{Encoding, encode_in};
use tokio::sync::Notify;

use super::*;
use crate::channel::{Channel, Outcome, Outgoing};
use crate::clock::BoxFuture;
use crate::codec;
use crate::fixtures::{day, escalation, owner_alert, uscc};
use crate::gateways::{Fate, Kind, Question, Told, Verdict};
use memlog::{Fault, MemLog};
use telephones::Gateway;

/// Longest that a test waits for anything.
const LIMIT: Duration = Duration::from_secs(20);

/// A clock that is there as soon as somebody waits for a time.
struct JumpClock(AtomicI64);

impl JumpClock {
    fn new() -> Arc<JumpClock> {
        Arc::new(JumpClock(AtomicI64::new(day().midnight().0)))
    }
}

impl Clock for JumpClock {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::SeqCst))
    }
    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.0.fetch_max(at.0, Ordering::SeqCst);
        })
    }
}

fn contact(role: Role, subject: &str, version: u64, phone: &str) -> NewRecord {
    ranked(role, subject, 1, version, phone)
}

fn ranked(role: Role, subject: &str, rank: u32, version: u64, phone: &str) -> NewRecord {
    until(role, subject, rank, version, phone, None)
}

/// The same, on duty to this day.
fn until(
    role: Role,
    subject: &str,
    rank: u32,
    version: u64,
    phone: &str,
    valid_to: Option<Day>,
) -> NewRecord {
    let contact = Contact {
        role,
        subject: subject.into(),
        rank,
        name: "甲".into(),
        phone: Some(phone.into()),
        addresses: BTreeMap::new(),
        valid_from: None,
        valid_to,
        verified_on: None,
        version,
    };
    NewRecord {
        topic: topic::CONTACTS.into(),
        key: format!("{role}|{subject}|{rank}").into_bytes(),
        value: Some(encode_in(&Record::Contact(contact), Encoding::SingleObject).unwrap()),
        stamp: None,
        route: None,
    }
}

fn owner(phone: &str) -> NewRecord {
    contact(Role::Owner, uscc().as_str(), 1, phone)
}

/// An alert about incident `case`.
fn about(case: u32, mut alert: Alert) -> NewRecord {
    alert.case_no = IncidentId(case).to_string().into();
    alert.subject = alert.case_no.clone();
    codec::encode(&alert)
}

fn new_alert(id: &str, case: u32) -> NewRecord {
    about(case, owner_alert(id, Change::New, Severity::Minor))
}

fn changed(id: &str, case: u32, change: Change) -> NewRecord {
    let severity = if change == Change::Upgraded { Severity::Fatal } else { Severity::Minor };
    let mut alert = owner_alert(id, change, severity);
    // Decided later than what it changes.
    alert.decided_at = alert.decided_at.plus_millis(1000);
    about(case, alert)
}

fn ends(log: &MemLog) -> Vec<Offset> {
    let bounds = log.bounds(topic::ALERTS).unwrap();
    (0..)
        .zip(bounds)
        .map(|(partition, b)| Offset { topic: topic::ALERTS.into(), partition, next: b.end })
        .collect()
}

fn worker(log: &Arc<MemLog>, gateway: &Arc<Gateway>, settings: Settings) -> Worker {
    let (log, gateway) = (Arc::clone(log), Arc::clone(gateway));
    Worker::new(log, Channels::one(gateway), JumpClock::new(), settings)
}

fn quick() -> Settings {
    Settings { retry: RetrySettings { max_attempts: 4, ..RetrySettings::default() }, ..Settings::default() }
}

/// Runs a worker until everything in the log is settled, and stops it.
async fn settle(log: &Arc<MemLog>, gateway: &Arc<Gateway>) -> Stats {
    let worker = worker(log, gateway, quick());
    let (mut stats, ends) = (worker.stats(), ends(log));
    let done = async move { drop(crate::stats::settled(&mut stats, &ends).await) };
    tokio::time::timeout(LIMIT, worker.run(done)).await.expect("settles in time").unwrap()
}

/// The same, though the ledger and the progress do not fit together.
async fn settle_accepting(log: &Arc<MemLog>, gateway: &Arc<Gateway>) -> Stats {
    let worker = worker(log, gateway, quick()).accepting_difference(true);
    let (mut stats, ends) = (worker.stats(), ends(log));
    let done = async move { drop(crate::stats::settled(&mut stats, &ends).await) };
    tokio::time::timeout(LIMIT, worker.run(done)).await.expect("settles in time").unwrap()
}

/// The last state of every delivery, as the log has it: (alert, state, reason).
fn ledger(log: &MemLog) -> BTreeMap<(String, Role), (DeliveryState, String)> {
    let mut out = BTreeMap::new();
    for record in log.records(topic::DELIVERIES) {
        let d: Delivery = codec::decode(&record, record.value.as_deref().unwrap()).unwrap();
        out.insert((d.alert_id, d.role), (d.state, d.reason.unwrap_or_default()));
    }
    out
}

fn of<'a>(
    ledger: &'a BTreeMap<(String, Role), (DeliveryState, String)>,
    id: &str,
) -> (DeliveryState, &'a str) {
    let (_, (state, reason)) = ledger.iter().find(|((alert, _), _)| alert == id).expect("in the ledger");
    (*state, reason)
}

fn timeout() -> Outcome {
    Outcome::Unknown { reason: "timeout".into(), retry_after_ms: None }
}
fn refused() -> Outcome {
    Outcome::Transient { reason: "connection_refused".into(), retry_after_ms: None }
}

#[tokio::test]
async fn everybody_is_told_once_and_a_second_run_says_nothing() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), contact(Role::TownshipDuty, "330784001", 1, "town")]);
    log.put(&[new_alert("a1", 1), about(7, escalation(Change::New, Some(Level::Blue), 2))]);
    log.put(&[about(3, owner_alert("a3", Change::Suppressed, Severity::Minor))]);
    let gateway = Arc::new(Gateway::default());
    let stats = settle(&log, &gateway).await;
    let mut rung = gateway.rung();
    rung.sort();
    assert_eq!(rung, [("a1".into(), "owner".into()), ("e1".into(), "town".into())]);
    assert_eq!((stats.alerts_read, stats.alerts_silent, stats.open, stats.requests), (3, 1, 0, 2));
    assert_eq!(stats.in_state(DeliveryState::Accepted), 2);
    assert_eq!(stats.progress, ends(&log));
    let appends = log.appends();
    for known in [0, 2] {
        let stats = settle(&log, &gateway).await;
        // It writes nothing but that it is there.
        assert_eq!((gateway.asked(), stats.alerts_read, log.appends()), (2, 0, appends));
        // What is over is read where there is no index.
        assert_eq!(stats.in_state(DeliveryState::Accepted), known);
        log.without_index();
    }
}

#[tokio::test]
async fn a_replay_from_the_first_alert_sends_nothing() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), new_alert("a1", 1), changed("a2", 1, Change::Corrected)]);
    let gateway = Arc::new(Gateway::default());
    settle(&log, &gateway).await;
    assert_eq!(gateway.asked(), 2);
    log.empty(topic::PROGRESS);
    let stats = settle_accepting(&log, &gateway).await;
    assert_eq!((stats.alerts_read, gateway.asked()), (2, 2));
}

#[tokio::test]
async fn failures_are_tried_again_with_the_same_key_until_the_attempts_are_used_up() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), contact(Role::TownshipDuty, "330784001", 1, "town"), new_alert("a1", 1)]);
    log.put(&[about(7, escalation(Change::New, Some(Level::Blue), 2))]);
    let gateway = Arc::new(Gateway::default());
    gateway.says("owner", [refused(), timeout()]);
    gateway.says("town", [timeout(), refused(), refused(), refused(), refused()]);
    let stats = settle(&log, &gateway).await;
    let ledger = ledger(&log);
    assert_eq!(of(&ledger, "a1"), (DeliveryState::Accepted, ""));
    assert_eq!(of(&ledger, "e1"), (DeliveryState::Failed, "gave_up:connection_refused"));
    assert_eq!((stats.requests, stats.resent_in_flight), (3 + 4, 0));
    let keys: HashSet<_> =
        gateway.asked.lock().unwrap().iter().map(|m| (m.to.clone(), m.idempotency_key.clone())).collect();
    assert_eq!(keys.len(), 2);
}

#[tokio::test]
async fn a_message_that_did_not_go_out_is_not_corrected_but_one_that_may_have_is() {
    // what the gateway says to `new`; the change that follows; the end of `new`; the end of what follows
    let no = || Outcome::Permanent { reason: "http_404".into() };
    let (accepted, failed, skipped) =
        (DeliveryState::Accepted, DeliveryState::Failed, DeliveryState::Skipped);
    for (says, change, first, second) in [
        (vec![], Change::Corrected, (accepted, ""), (accepted, "")),
        (vec![no()], Change::Corrected, (failed, "http_404"), (skipped, "nothing_to_correct")),
        (vec![no()], Change::Upgraded, (failed, "http_404"), (accepted, "")),
        (vec![timeout(), no()], Change::Downgraded, (failed, "http_404"), (accepted, "")),
    ] {
        let log = MemLog::new("l");
        log.put(&[owner("owner"), new_alert("a1", 1)]);
        let gateway = Arc::new(Gateway::default());
        gateway.says("owner", says);
        settle(&log, &gateway).await;
        log.put(&[changed("a2", 1, change)]);
        settle(&log, &gateway).await;
        let ledger = ledger(&log);
        assert_eq!((of(&ledger, "a1"), of(&ledger, "a2")), (first, second), "{change}");
    }
}

#[tokio::test]
async fn what_is_known_to_be_wrong_is_not_sent_late() {
    let (failed, skipped, accepted) =
        (DeliveryState::Failed, DeliveryState::Skipped, DeliveryState::Accepted);
    for (fault, change, first, second) in [
        // refused: certainly not out. Nobody hears anything of a report that was withdrawn meanwhile.
        (refused(), Change::Corrected, (skipped, "superseded"), (skipped, "nothing_to_correct")),
        (timeout(), Change::Corrected, (failed, "superseded"), (accepted, "")),
        (refused(), Change::Upgraded, (skipped, "superseded"), (accepted, "")),
    ] {
        let log = MemLog::new("l");
        log.put(&[owner("owner"), new_alert("a1", 1)]);
        let gateway = Arc::new(Gateway { gate: Some(tokio::sync::Semaphore::new(0)), ..Gateway::default() });
        gateway.says("owner", [fault]);
        // `new` is under way when the change arrives, and fails then.
        let worker = worker(&log, &gateway, quick());
        let mut stats = worker.stats();
        let script = async {
            stats.wait_for(|s| s.requests == 1 && s.alerts_read == 1).await.unwrap();
            log.put(&[changed("a2", 1, change)]);
            stats.wait_for(|s| s.in_hand == 2).await.unwrap();
            gateway.gate.as_ref().unwrap().add_permits(9);
            crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
        };
        tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
        let ledger = ledger(&log);
        assert_eq!((of(&ledger, "a1"), of(&ledger, "a2")), (first, second), "{change}");
        assert!(gateway.rung().iter().all(|(alert, _)| alert == "a2"), "only what is true is heard");
    }
}

#[tokio::test]
async fn one_person_is_asked_one_thing_at_a_time_and_in_order() {
    let log = MemLog::new("l");
    log.put(&[owner("owner")]);
    for case in 0..30 {
        log.put(&[
            new_alert(&format!("n{case:02}"), case),
            changed(&format!("u{case:02}"), case, Change::Upgraded),
        ]);
        let township = Alert {
            alert_id: format!("e{case:02}"),
            audiences: vec![crate::fixtures::audience(Role::TownshipDuty, &format!("town{case}"))],
            ..escalation(Change::New, Some(Level::Blue), 2)
        };
        log.put(&[contact(Role::TownshipDuty, &format!("town{case}"), 1, &format!("phone{case}"))]);
        log.put(&[about(100 + case, township)]);
    }
    let gateway = Arc::new(Gateway { gate: Some(tokio::sync::Semaphore::new(0)), ..Gateway::default() });
    let settings = Settings { max_in_flight: 8, ..quick() };
    let worker = worker(&log, &gateway, settings);
    let mut stats = worker.stats();
    let script = async {
        // Eight are under way before the first one is answered: neither fewer nor more.
        stats.wait_for(|s| s.requests == 8).await.unwrap();
        gateway.gate.as_ref().unwrap().add_permits(1000);
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
    };
    tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    let under_way = gateway.under_way.lock().unwrap();
    assert!(!under_way.2, "two requests to one phone at once");
    assert_eq!(under_way.1, 8);
    let rung = gateway.rung();
    for case in 0..30 {
        let at = |id: String| rung.iter().position(|(alert, _)| *alert == id).expect("told");
        assert!(at(format!("n{case:02}")) < at(format!("u{case:02}")), "{case}");
        at(format!("e{case:02}"));
    }
}

#[tokio::test]
async fn nobody_to_reach_is_a_failure_in_sight() {
    let log = MemLog::new("l");
    log.put(&[new_alert("a1", 1), changed("a2", 1, Change::Corrected)]);
    let gateway = Arc::new(Gateway::default());
    let stats = settle(&log, &gateway).await;
    assert_eq!(gateway.asked(), 0);
    assert_eq!(stats.deliveries[&(DeliveryState::Failed, "no_contact".into())], 1);
    assert_eq!(stats.deliveries[&(DeliveryState::Skipped, "nothing_to_correct".into())], 1);
    log.put(&[new_alert("a3", 3)]);
    let stats = settle(&log, &gateway).await;
    // Of what came up.
    assert_eq!(stats.deliveries, [((DeliveryState::Failed, "no_contact".into()), 1)].into());
    assert_eq!(of(&ledger(&log), "a3"), (DeliveryState::Failed, "no_contact"));
}

#[tokio::test]
async fn a_retry_goes_to_whom_the_register_names_by_then() {
    let log = MemLog::new("l");
    log.put(&[owner("old phone"), new_alert("a1", 1)]);
    let gateway = Arc::new(Gateway { gate: Some(tokio::sync::Semaphore::new(0)), ..Gateway::default() });
    gateway.says("old phone", [refused()]);
    let worker = worker(&log, &gateway, quick());
    let mut stats = worker.stats();
    let script = async {
        stats.wait_for(|s| s.requests == 1).await.unwrap();
        // The next alert brings the new contact along.
        log.put(&[contact(Role::Owner, uscc().as_str(), 2, "new phone")]);
        log.put(&[about(9, owner_alert("a9", Change::Suppressed, Severity::Minor))]);
        stats.wait_for(|s| s.alerts_read == 2).await.unwrap();
        gateway.gate.as_ref().unwrap().add_permits(9);
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
    };
    tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    assert_eq!(gateway.rung(), [("a1".into(), "new phone".into())]);
}

#[tokio::test]
async fn progress_stays_before_an_alert_under_way() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), new_alert("a1", 1)]);
    log.put(&[about(2, owner_alert("a2", Change::Suppressed, Severity::Minor))]);
    let gateway = Arc::new(Gateway { gate: Some(tokio::sync::Semaphore::new(0)), ..Gateway::default() });
    let worker = worker(&log, &gateway, Settings { stop_grace: Duration::ZERO, ..quick() });
    let mut stats = worker.stats();
    let stop = async move { drop(stats.wait_for(|s| s.requests == 1 && s.alerts_read == 2).await) };
    let stats = worker.run(stop).await.unwrap();
    assert_eq!(stats.taken_in.iter().map(|o| o.next).sum::<u64>(), 2);
    assert_eq!(stats.progress.iter().map(|o| o.next).sum::<u64>(), 0);
    let gateway = Arc::new(Gateway::default());
    let stats = settle(&log, &gateway).await;
    assert_eq!((stats.resent_in_flight, gateway.rung().len()), (1, 1));
    assert_eq!(stats.progress, ends(&log));
}

#[tokio::test]
async fn guards_stop_before_anything_is_sent() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), new_alert("a1", 1)]);
    let gateway = Arc::new(Gateway::default());
    settle(&log, &gateway).await;
    let run = |log: Arc<MemLog>| worker(&log, &gateway, quick()).run(std::future::pending());

    let other = log.copy_as("other");
    other.put(&[new_alert("a2", 2)]);
    let error = run(other).await.unwrap_err();
    assert!(
        matches!(&error, WorkerError::OtherLog { expected, found } if expected == "l" && found == "other")
    );

    log.empty(topic::ALERTS);
    assert!(matches!(run(Arc::clone(&log)).await, Err(WorkerError::ProgressAhead { end: 0, next: 1, .. })));
    assert_eq!(gateway.asked(), 1);
}

/// What a start says of this log: it must refuse, and neither ask nor write anything.
async fn refusal(log: &Arc<MemLog>, gateway: &Arc<Gateway>) -> String {
    let before = (gateway.asked(), log.appends());
    let run = worker(log, gateway, quick()).run(std::future::pending());
    let error = tokio::time::timeout(LIMIT, run).await.expect("it refuses at once").unwrap_err();
    assert_eq!((gateway.asked(), log.appends()), before, "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_lost_progress_stops_the_start_until_it_is_accepted() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), new_alert("a1", 1), new_alert("a2", 2)]);
    let gateway = Arc::new(Gateway::default());
    settle(&log, &gateway).await;
    log.empty(topic::PROGRESS);
    let why = refusal(&log, &gateway).await;
    for part in ["2 deliveries", "no progress of alerts", "nothing was sent", "--accept-difference"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    settle_accepting(&log, &gateway).await;
    assert_eq!(gateway.asked(), 2, "what the ledger has is not said again");
    settle(&log, &gateway).await;
}

#[tokio::test]
async fn a_lost_ledger_stops_the_start_until_it_is_accepted() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), new_alert("a1", 1)]);
    let gateway = Arc::new(Gateway::default());
    settle(&log, &gateway).await;
    log.empty(topic::DELIVERIES);
    log.put(&[changed("a2", 1, Change::Corrected)]);
    let why = refusal(&log, &gateway).await;
    for part in ["deliveries partition", "ends at 0", "nothing was sent", "--accept-difference"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    settle_accepting(&log, &gateway).await;
    assert_eq!(gateway.rung().len(), 2, "it goes on after the progress: what follows is said, and no more");
    settle(&log, &gateway).await;
}

#[tokio::test]
async fn a_first_start_with_alerts_waiting_tells_them() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), new_alert("a1", 1), new_alert("a2", 2)]);
    let gateway = Arc::new(Gateway::default());
    settle(&log, &gateway).await;
    assert_eq!(gateway.rung().len(), 2);
}

#[tokio::test]
async fn a_newer_worker_ends_the_older_one() {
    let log = MemLog::new("l");
    log.put(&[owner("owner")]);
    let gateway = Arc::new(Gateway::default());
    let old = worker(&log, &gateway, quick());
    let mut stats = old.stats();
    let old = tokio::spawn(old.run(std::future::pending()));
    stats.wait_for(|s| s.contacts == 1 && s.senders == 3).await.unwrap();
    // As a worker opens them: each before it reads anything back.
    let _planner = log.writer(WRITER).unwrap();
    let _senders: Vec<_> = (0..3).map(|n| log.writer(&format!("{WRITER}.{n}")).unwrap()).collect();
    log.put(&[new_alert("a1", 1)]);
    let error = tokio::time::timeout(LIMIT, old).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, WorkerError::Log(LogError::Fenced { .. })), "{error}");
    assert_eq!(gateway.asked(), 0, "nothing is asked without an append");
}

#[tokio::test(start_paused = true)]
async fn an_append_of_unknown_outcome_is_settled_and_nothing_is_doubled() {
    for fault in [Fault::UncertainWritten, Fault::UncertainLost, Fault::Retry] {
        for at in 0..6 {
            let log = MemLog::new("l");
            log.put(&[owner("owner"), contact(Role::SafetyOfficer, HOST, 1, "host"), new_alert("a1", 1)]);
            let mut alert = owner_alert("b1", Change::New, Severity::Minor);
            alert.audiences = vec![crate::fixtures::audience(Role::Owner, HOST)];
            log.put(&[about(2, alert)]);
            log.faults(std::iter::repeat_n(Fault::None, at).chain([fault]));
            let gateway = Arc::new(Gateway::default());
            // The first alert is refused twice, so that the outcome of the second one moves no offset.
            gateway.says("owner", [refused(), refused()]);
            let worker = worker(&log, &gateway, quick());
            let (mut stats, ends) = (worker.stats(), ends(&log));
            let done = async move { drop(crate::stats::settled(&mut stats, &ends).await) };
            let stats = worker.run(done).await.unwrap();
            assert_eq!((gateway.asked(), stats.resent_in_flight), (4, 0), "{fault:?} at {at}");
            let ledger = ledger(&log);
            for id in ["a1", "b1"] {
                assert_eq!(of(&ledger, id), (DeliveryState::Accepted, ""), "{fault:?} at {at}: {id}");
            }
        }
    }
}

/// Another enterprise.
const HOST: &str = "91330784XX000006X3";
