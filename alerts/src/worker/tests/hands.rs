//! What the planner gives to the sender beside it.

use std::slice;

use super::*;
use crate::worker::hands::Hands;
use tocsin_schemas::log::LogRecord;

/// The sender sees nothing of its partition: only what was given to it.
#[tokio::test]
async fn the_first_message_of_a_case_goes_by_hand_and_is_known_when_the_log_brings_it() {
    let log = MemLog::new("l");
    log.put(&[contact(Role::Owner, uscc().as_str(), 1, "owner")]);
    log.open_at(topic::DELIVERIES, 0, 1);
    let gateway = Arc::new(Gateway::default());
    let worker = worker(&log, &gateway, quick());
    let mut stats = worker.stats();
    let script = async {
        // A sender that is not there yet is given nothing.
        stats.wait_for(|s| s.contacts == 1 && s.senders == 3).await.unwrap();
        log.put(&[new_alert("first", 1)]);
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
        assert_eq!(gateway.rung(), [("first".into(), "owner".into())]);
        let second = Alert { revision: 2, ..owner_alert("second", Change::Upgraded, Severity::Severe) };
        log.put(&[about(1, second)]);
        stats.wait_for(|s| s.open == 1).await.unwrap();
        log.put(&[new_alert("third", 2)]);
        // The planner has planned both, and their sender cannot have read that.
        stats.wait_for(|s| s.open == 2).await.unwrap();
        assert_eq!(gateway.asked(), 1, "one comes through the log, and none overtakes it");
        // The log brings the second, and not the third yet.
        log.open_at(topic::DELIVERIES, 4, 1);
        stats.wait_for(|s| s.requests == 2).await.unwrap();
        log.put(&[new_alert("fourth", 3)]);
        stats.wait_for(|s| s.alerts_read == 4 && s.open == 2).await.unwrap();
        log.show();
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
        let rung: Vec<_> = gateway.rung().into_iter().map(|(alert, _)| alert).collect();
        assert_eq!(rung, ["first", "second", "third", "fourth"]);
    };
    tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    let sender = by(&log, "first")[0].0.clone();
    assert_ne!(sender, WRITER);
    assert_eq!(
        by(&log, "first"),
        [(sender.clone(), vec![PLANNED, SENDING]), (sender.clone(), vec![ACCEPTED])]
    );
    for alert in ["second", "third"] {
        let each = [(WRITER.to_owned(), PLANNED), (sender.clone(), SENDING), (sender.clone(), ACCEPTED)];
        assert_eq!(by(&log, alert), each.map(|(by, state)| (by, vec![state])), "{alert}");
    }
    let states = by(&log, "fourth").into_iter().flat_map(|(_, states)| states);
    assert_eq!(states.collect::<Vec<_>>(), [PLANNED, SENDING, ACCEPTED]);
}

const PLANNED: DeliveryState = DeliveryState::Planned;
const SENDING: DeliveryState = DeliveryState::Sending;
const ACCEPTED: DeliveryState = DeliveryState::Accepted;

/// Who wrote what of an alert: the states of each append.
fn by(log: &MemLog, alert: &str) -> Vec<(String, Vec<DeliveryState>)> {
    let decoded = |r: &LogRecord| codec::decode::<Delivery>(r, r.value.as_ref().unwrap()).unwrap();
    let appends = log.ledgers().into_iter().map(|(writer, records)| {
        let of = records.iter().map(decoded).filter(|delivery| delivery.alert_id == alert);
        (writer, of.map(|delivery| delivery.state).collect::<Vec<_>>())
    });
    appends.filter(|(_, states)| !states.is_empty()).collect()
}

/// A clock whose process can stand still.
struct Stands(Arc<JumpClock>, AtomicI64);

impl Clock for Stands {
    fn now(&self) -> Instant {
        self.0.now()
    }
    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.0.sleep_until(at).await })
    }
    fn boot(&self) -> Duration {
        Duration::from_secs(self.1.load(Ordering::SeqCst).unsigned_abs())
    }
}

#[tokio::test]
async fn a_worker_that_others_may_believe_gone_takes_nothing_by_hand() {
    for (stood, by_sender) in [(5, true), (6, false)] {
        let log = MemLog::new("l");
        log.put(&[owner("owner")]);
        let gateway = Arc::new(Gateway::default());
        let clock = Arc::new(Stands(JumpClock::new(), AtomicI64::new(0)));
        let channels = Channels::one(Arc::clone(&gateway) as Arc<dyn Channel>);
        let log_too = Arc::clone(&log) as Arc<dyn EventLog>;
        let worker = Worker::new(log_too, channels, Arc::clone(&clock) as Arc<dyn Clock>, quick());
        let mut stats = worker.stats();
        let script = async {
            stats.wait_for(|s| s.contacts == 1 && s.senders == 3).await.unwrap();
            // Two beats: the second says what the worker has taken. No other comes within two seconds.
            while log.records(topic::MEMBERS).len() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            clock.1.store(stood, Ordering::SeqCst);
            log.put(&[new_alert("first", 1)]);
            crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
        };
        tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
        assert_eq!(by(&log, "first")[0].0 != WRITER, by_sender, "after {stood} s");
        assert_eq!(gateway.rung().len(), 1);
    }
}

#[tokio::test]
async fn what_another_planner_plans_again_meanwhile_is_not_the_last_word() {
    let log = MemLog::new("l");
    log.put(&[owner("owner")]);
    let gate = Some(tokio::sync::Semaphore::new(0));
    let gateway = Arc::new(Gateway { gate, ..Gateway::default() });
    let worker = worker(&log, &gateway, quick());
    let mut stats = worker.stats();
    let states = || by(&log, "first").into_iter().flat_map(|(_, states)| states).collect::<Vec<_>>();
    let script = async {
        stats.wait_for(|s| s.contacts == 1 && s.senders == 3).await.unwrap();
        log.put(&[new_alert("first", 1)]);
        while gateway.asked() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let planned = log.ledgers()[0].1[0].clone();
        let delivery: Delivery = codec::decode(&planned, planned.value.as_ref().unwrap()).unwrap();
        log.put(&[codec::encode(&delivery)]);
        while states() != [PLANNED, SENDING, SENDING] {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        gateway.gate.as_ref().unwrap().add_permits(1);
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
    };
    tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    assert_eq!(states(), [PLANNED, SENDING, SENDING, ACCEPTED]);
    assert_eq!(gateway.asked(), 1);
}

#[tokio::test]
async fn a_kill_before_or_after_any_append_of_what_goes_by_hand_doubles_and_loses_nothing() {
    // Tells three, one after the other; dies at this append, if it is one. How many appends there were.
    async fn run(log: &Arc<MemLog>, gateway: &Arc<Gateway>, dies: Option<(usize, Fault)>) -> (usize, u64) {
        let worker = worker(log, gateway, quick());
        let mut stats = worker.stats();
        let mut before = 0;
        let script = async {
            stats.wait_for(|s| s.contacts == 2 && s.senders == 3).await.unwrap();
            let fault =
                dies.into_iter().flat_map(|(at, fault)| std::iter::repeat_n(Fault::None, at).chain([fault]));
            log.faults(fault);
            before = log.appends();
            for told in [
                new_alert("a1", 1),
                new_alert("b1", 2),
                about(7, escalation(Change::New, Some(Level::Blue), 2)),
            ] {
                log.put(&[told]);
                // A worker that is gone settles nothing.
                drop(crate::stats::settled(&mut stats, &ends(log)).await);
            }
        };
        drop(tokio::time::timeout(LIMIT, worker.run(script)).await.expect("in time"));
        (log.appends() - before, stats.borrow().resent_in_flight)
    }
    let house = || {
        let log = MemLog::new("l");
        log.put(&[owner("owner"), contact(Role::TownshipDuty, "330784001", 1, "town")]);
        (log, Arc::new(Gateway::default()))
    };
    let (log, gateway) = house();
    let (appends, _) = run(&log, &gateway, None).await;
    assert!(["a1", "b1", "e1"].iter().all(|id| by(&log, id)[0].1 == [PLANNED, SENDING]) && appends >= 6);
    let mut resent_in_all = 0;
    for at in 0..appends {
        for fault in [Fault::DieBefore, Fault::DieAfter] {
            let (log, gateway) = house();
            let (_, mut resent) = run(&log, &gateway, Some((at, fault))).await;
            log.faults([]);
            let told = ["a1", "b1", "e1"].iter().filter(|id| !by(&log, id).is_empty()).count();
            let there = log.records(topic::ALERTS).len();
            resent += settle(&log, &gateway).await.resent_in_flight;
            let mut rung: Vec<String> = gateway.rung().into_iter().map(|(alert, _)| alert).collect();
            rung.sort();
            let what = format!("{fault:?} append {at}: {told} of {there} were in the ledger");
            assert_eq!(rung, ["a1", "b1", "e1"][..there], "{what}: everybody heard everything once");
            let all = ledger(&log);
            assert!(
                all.len() == there && all.values().all(|(state, _)| *state == ACCEPTED),
                "{what}: {all:?}"
            );
            let asked = gateway.asked.lock().unwrap();
            let keys: HashSet<_> = asked.iter().map(|m| &m.idempotency_key).collect();
            assert_eq!(keys.len(), there, "{what}: one key for each");
            assert!((asked.len() - keys.len()) as u64 <= resent, "{what}: {resent} were counted");
            resent_in_all += resent;
        }
    }
    assert!(resent_in_all > 0, "some of the kills came between request and outcome");
}

#[tokio::test(start_paused = true)]
async fn what_a_sender_leaves_or_does_not_take_is_the_planners() {
    let hands = Hands::new(1);
    let delivery = |id: &str| crate::fixtures::delivery(id, PLANNED);
    let (first, other) = (delivery("a"), delivery("b"));
    let id = slice::from_ref(&first.delivery_id);
    let offer = |of: &[(&Delivery, bool)]| hands.offer(of.iter().copied(), None);
    assert!(offer(&[(&first, true)]).is_empty(), "nobody is there");
    let mut hand = hands.open(0);
    assert_eq!(hand.recv().await.unwrap().coming, id, "it is told what is about to be written");
    hands.written();
    assert!(offer(&[(&first, true)]).is_empty(), "it reads back");
    let given = hand.recv().await.unwrap();
    assert_eq!((given.firsts, given.coming), (vec![], vec![first.delivery_id.clone()]));
    hands.writes(0);
    assert!(offer(&[(&other, false), (&first, true)]).is_empty(), "one is to come first");
    assert_eq!(hand.recv().await.unwrap().coming.len(), 2);
    // Taken, and written down but for one.
    let (ids, left) = offer(&[(&first, true)]).pop().unwrap();
    assert_eq!(ids, *id);
    let given = hand.recv().await.unwrap();
    assert_eq!(given.firsts, *slice::from_ref(&first));
    given.answer.unwrap().send(vec!["b".into()]).unwrap();
    assert_eq!(left.left().await.unwrap(), ["b"]);
    // Taken by one that ends in the midst of it: nobody knows what is written.
    let (_, left) = offer(&[(&first, true)]).pop().unwrap();
    drop(hand.recv().await.unwrap());
    assert!(matches!(left.left().await, Err(WorkerError::Died("sender"))));
    // Not taken.
    let (_, left) = offer(&[(&first, true)]).pop().unwrap();
    drop(hand);
    assert_eq!(left.left().await.unwrap(), *id);
    assert!(offer(&[(&first, true)]).is_empty(), "it is gone");
    assert_eq!(hands.open(0).recv().await.unwrap().coming, id, "its successor is told");
}

#[tokio::test]
async fn a_worker_ends_when_somebody_adds_partitions_to_the_ledger() {
    let log = MemLog::new("l");
    log.put(&[contact(Role::Owner, uscc().as_str(), 1, "owner"), new_alert("0", 0)]);
    let gateway = Arc::new(Gateway::default());
    let worker = worker(&log, &gateway, quick());
    let mut stats = worker.stats();
    let script = async {
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
        log.grow(topic::DELIVERIES);
        // It looks again every second.
        for n in 1.. {
            log.put(&[new_alert(&n.to_string(), n)]);
            crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
        }
    };
    let ended = tokio::time::timeout(LIMIT, worker.run(script)).await.expect("it ends");
    assert!(matches!(ended, Err(WorkerError::OtherPartitions { expected: 3, found: 4 })), "{ended:?}");
}
