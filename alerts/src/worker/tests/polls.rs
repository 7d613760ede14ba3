//! Messages that a gateway has accepted and of which no receipt came: it is asked, and nothing waits for that.

use super::peace::{Still, to_somebody};
use super::*;
use crate::admission::Turn as Place;
use crate::sender::Gates;
use tocsin_schemas::codes::AnswerKind;
use tocsin_schemas::records::Answer;

const MINUTE: i64 = 60_000;

/// A clock that stands still so long after the test's beginning.
fn still(minutes: i64) -> Arc<Still> {
    let now = day().midnight().plus_millis(minutes * MINUTE);
    Arc::new(Still(Arc::new(JumpClock(AtomicI64::new(now.0))), tokio::sync::watch::Sender::new(false)))
}

fn askable() -> Gateway {
    Gateway { kind: Some(Kind::Askable), tells_later: true, ..Gateway::default() }
}

/// The log after these alerts were told and accepted, by a gateway that was not asked about them.
async fn told(records: &[NewRecord]) -> Arc<MemLog> {
    let log = MemLog::new("l");
    log.put(records);
    settle(&log, &Arc::new(Gateway::default())).await;
    log
}

/// A further worker, so long after.
fn then(log: &Arc<MemLog>, gateway: &Arc<Gateway>, clock: &Arc<Still>) -> Worker {
    let (log, gateway) = (Arc::clone(log), Arc::clone(gateway));
    Worker::new(log, Channels::one(gateway), Arc::clone(clock) as _, quick())
}

fn answers_in(log: &MemLog) -> Vec<Answer> {
    let records = log.records(topic::ANSWERS);
    records.iter().map(|r| codec::decode(r, r.value.as_deref().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn after_a_restart_it_is_asked_and_what_it_tells_stands_in_ledger_and_answers_once() {
    for (code, end) in [
        (None, (DeliveryState::Delivered, "")),
        (Some("MK:0001"), (DeliveryState::Failed, "carrier_failed")),
        (Some("MK:0000"), (DeliveryState::Failed, "bounced")),
    ] {
        let log = told(&[owner("owner"), new_alert("a1", 1)]).await;
        let gateway = Arc::new(askable());
        let fate = code.map_or(Fate::Delivered, |code| Fate::Failed(code.into()));
        gateway.answers.lock().unwrap().push_back(Told::Known { fate, gateway_ref: None });
        let worker = then(&log, &gateway, &still(20));
        let mut stats = worker.stats();
        let done = async move { drop(stats.wait_for(|s| s.settled == 1).await) };
        let stats = tokio::time::timeout(LIMIT, worker.run(done)).await.unwrap().unwrap();
        assert_eq!(of(&ledger(&log), "a1"), end);
        assert_eq!((stats.questions, stats.receipts, stats.requests), (1, 0, 0));
        let answers = answers_in(&log);
        let [answer] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((answer.kind, answer.code.as_deref()), (AnswerKind::Poll, code));
        // The next one knows, and a later word of the gateway moves nothing.
        let written = log.records(topic::DELIVERIES).len();
        let worker = then(&log, &gateway, &still(100));
        let mut stats = worker.stats();
        let ends = ends(&log);
        let done = async move {
            stats.wait_for(|s| s.senders > 0).await.unwrap();
            drop(crate::stats::settled(&mut stats, &ends).await);
        };
        let stats = tokio::time::timeout(LIMIT, worker.run(done)).await.unwrap().unwrap();
        assert_eq!((stats.questions, log.records(topic::DELIVERIES).len()), (0, written));
    }
}

#[tokio::test]
async fn not_known_yet_changes_nothing_and_is_asked_again_at_growing_distances() {
    let log = told(&[owner("owner"), new_alert("a1", 1)]).await;
    let written = log.records(topic::DELIVERIES).len();
    let gateway = Arc::new(askable());
    let accepted = Told::Known { fate: Fate::Accepted, gateway_ref: None };
    gateway.answers.lock().unwrap().extend([accepted, Told::NotFound]);
    gateway.answers.lock().unwrap().extend(vec![Told::NotFound; 20]);
    let clock = still(0);
    clock.1.send_replace(true);
    let worker = then(&log, &gateway, &clock);
    let mut stats = worker.stats();
    let over = async {
        stats.wait_for(|s| s.questions == 6).await.unwrap();
        // A turn later there is nothing to wait for.
        log.put(&[new_alert("b1", 2)]);
        stats.wait_for(|s| s.requests == 1).await.unwrap();
    };
    tokio::time::timeout(LIMIT, worker.run(over)).await.unwrap().unwrap();
    let a1 = gateway.questions.lock().unwrap()[0].delivery_id.clone();
    assert_eq!(gateway.questions.lock().unwrap().iter().filter(|q| q.delivery_id == a1).count(), 6);
    assert_eq!(of(&ledger(&log), "a1"), (DeliveryState::Accepted, ""));
    let of_a1 = log.records(topic::DELIVERIES);
    let of_a1 = of_a1.iter().map(|r| codec::decode::<Delivery>(r, r.value.as_deref().unwrap()).unwrap());
    assert_eq!(of_a1.filter(|d| d.alert_id == "a1").count(), written);
    assert!(answers_in(&log).is_empty());
}

#[tokio::test]
async fn a_gateway_that_cannot_tell_is_never_asked() {
    let log = told(&[owner("owner"), new_alert("a1", 1)]).await;
    for kind in [Kind::Idempotent, Kind::Neither] {
        let gateway = Arc::new(Gateway { kind: Some(kind), ..Gateway::default() });
        let worker = then(&log, &gateway, &still(20));
        let mut stats = worker.stats();
        log.put(&[new_alert(&format!("b{kind:?}"), 2)]);
        let ends = ends(&log);
        let done = async move { drop(crate::stats::settled(&mut stats, &ends).await) };
        let stats = tokio::time::timeout(LIMIT, worker.run(done)).await.unwrap().unwrap();
        assert_eq!((stats.questions, gateway.questions.lock().unwrap().len()), (0, 0));
    }
}

#[tokio::test]
async fn a_new_message_does_not_wait_for_a_burst_of_questions() {
    let records: Vec<NewRecord> = (0..40).flat_map(|n| to_somebody(n, Severity::Minor, 0)).collect();
    let log = told(&records).await;
    let (gateway, clock) = (Arc::new(askable()), still(60));
    let worker = then(&log, &gateway, &clock);
    let mut stats = worker.stats();
    let began = clock.now();
    let asked = || {
        let questions = gateway.questions.lock().unwrap();
        questions.iter().map(|q| q.delivery_id.clone()).collect::<HashSet<_>>().len()
    };
    let script = async {
        // Forty are due, and while the clock stands still the gate lets one of them through.
        stats.wait_for(|s| s.questions > 0).await.unwrap();
        log.put(&to_somebody(99, Severity::Minor, 1));
        stats.wait_for(|s| s.requests == 1).await.unwrap();
        assert_eq!((gateway.questions.lock().unwrap().len(), clock.now()), (1, began));
        clock.1.send_replace(true);
        // Then each of them has its turn. Senders that have asked theirs let the clock jump on meanwhile.
        stats.wait_for(|_| asked() >= 40).await.unwrap();
    };
    tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    assert!(gateway.rung().contains(&("a0099".into(), "phone99".into())));
}

#[test]
fn a_question_about_what_may_be_lost_goes_before_one_about_what_was_accepted() {
    let clock = JumpClock::new();
    let channels = Channels::one(Arc::new(askable()) as _);
    let gates = Arc::new(Gates::new(&channels, 8, Arc::clone(&clock) as _));
    let (pressing, later) = (gates.lane("webhook", true).unwrap(), gates.later_questions("webhook").unwrap());
    let place = |severity, id: &str| Place::new(severity, day().midnight(), "1", id);
    // The first one's second is used up; then one of each kind waits for the next.
    assert!(gates.enter(later, 0, &place(Severity::Minor, "a")).is_ok());
    assert!(gates.enter(later, 0, &place(Severity::Fatal, "b")).is_err());
    let again = gates.enter(pressing, 1, &place(Severity::Minor, "c")).err().flatten();
    clock.0.store(again.expect("an instant").0, Ordering::SeqCst);
    assert!(gates.enter(later, 0, &place(Severity::Fatal, "b")).is_err());
    assert!(gates.enter(pressing, 1, &place(Severity::Minor, "c")).is_ok());
    clock.0.fetch_add(1_000, Ordering::SeqCst);
    assert!(gates.enter(later, 0, &place(Severity::Fatal, "b")).is_ok());
}
