//! Workers side by side: they share the roles, hand them over, and nobody hears anything twice.

use super::*;
use tocsin_schemas::records::Heartbeat;

/// A warning to each of twelve townships, and the end of every other one.
fn crowd(log: &MemLog, from: u32) {
    for n in from..from + 12 {
        let subject = format!("town{n}");
        let told = |id: String, change, level: Option<Level>| {
            let mut alert = Alert { alert_id: id, ..escalation(change, level, 2) };
            alert.audiences = vec![crate::fixtures::audience(Role::TownshipDuty, &subject)];
            alert.decided_at = alert.decided_at.plus_millis(i64::from(change == Change::Closed));
            about(n, alert)
        };
        log.put(&[contact(Role::TownshipDuty, &subject, 1, &format!("phone{n}"))]);
        log.put(&[told(format!("n{n:02}"), Change::New, Some(Level::Blue))]);
        if n % 2 == 0 {
            log.put(&[told(format!("c{n:02}"), Change::Closed, None)]);
        }
    }
}

/// How often each alert rang.
fn rang(gateway: &Gateway) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    gateway.rung().into_iter().for_each(|(alert, _)| *times.entry(alert).or_default() += 1);
    times
}

fn everybody_once(log: &MemLog, gateway: &Gateway, alerts: usize) {
    let ledger = ledger(log);
    assert_eq!(ledger.len(), alerts);
    for ((id, _), (state, reason)) in &ledger {
        assert_eq!((*state, reason.as_str()), (DeliveryState::Accepted, ""), "{id}");
    }
    let times = rang(gateway);
    assert!(times.len() == alerts && times.values().all(|n| *n == 1), "{times:?}");
    let asked = gateway.asked.lock().unwrap();
    let keys: HashSet<_> = asked.iter().map(|m| &m.idempotency_key).collect();
    assert_eq!(asked.len(), keys.len(), "no request was made twice");
}

/// The roles that each member said last that it holds.
fn holds(log: &MemLog) -> BTreeMap<String, Vec<String>> {
    let beats = log.records(topic::MEMBERS);
    let beats = beats.iter().map(|r| codec::decode::<Heartbeat>(r, r.value.as_ref().unwrap()).unwrap());
    let tasks = |holds: Vec<String>| holds.into_iter().filter(|role| role != "books").collect();
    beats.map(|beat| (beat.name, tasks(beat.holds))).collect()
}

type Running = tokio::task::JoinHandle<Result<Stats, WorkerError>>;

/// A worker of this name that runs until it is told to stop.
fn member(
    log: &Arc<MemLog>,
    gateway: &Arc<Gateway>,
    name: &str,
) -> (Running, tokio::sync::oneshot::Sender<()>, watch::Receiver<Stats>) {
    let worker = worker(log, gateway, quick()).named(name);
    let (stats, (stop, stopped)) = (worker.stats(), tokio::sync::oneshot::channel());
    (tokio::spawn(worker.run(async { drop(stopped.await) })), stop, stats)
}

/// Waits until the log says so of its members.
async fn until(log: &MemLog, what: &str, so: impl Fn(&BTreeMap<String, Vec<String>>) -> bool) {
    let seen = async {
        while !so(&holds(log)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, seen).await.unwrap_or_else(|_| panic!("{what}: {:?}", holds(log)));
}

#[tokio::test]
async fn a_worker_more_takes_its_share_and_gives_it_back_and_nobody_hears_anything_twice() {
    let log = MemLog::new("l");
    log.put(&[owner("owner")]);
    let gateway = Arc::new(Gateway::default());
    let (first, stop_first, _) = member(&log, &gateway, "a");
    until(&log, "the first has all", |h| h.get("a").is_some_and(|roles| roles.len() == 4)).await;
    crowd(&log, 10);
    let (second, stop_second, _) = member(&log, &gateway, "b");
    crowd(&log, 30);
    until(&log, "shared", |h| {
        let (a, b) = (h.get("a").map_or(0, Vec::len), h.get("b").map_or(0, Vec::len));
        a > 0 && b > 0 && a + b == 4
    })
    .await;
    crowd(&log, 50);
    stop_first.send(()).unwrap();
    first.await.unwrap().unwrap();
    until(&log, "the second has all", |h| h["b"].len() == 4).await;
    crowd(&log, 70);
    // Its own figures say nothing of what the other planned: the ledger does.
    let all = 4 * 18;
    let done = async {
        while ledger(&log).values().filter(|(state, _)| *state == DeliveryState::Accepted).count() < all {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, done)
        .await
        .unwrap_or_else(|_| panic!("{:?} {:?}", holds(&log), ledger(&log)));
    stop_second.send(()).unwrap();
    second.await.unwrap().unwrap();
    everybody_once(&log, &gateway, all);
}

#[tokio::test]
async fn what_a_dead_worker_held_is_taken_over_when_the_log_says_that_it_is_gone() {
    let log = MemLog::new("l");
    let gateway = Arc::new(Gateway::default());
    let (dead, _stop, _) = member(&log, &gateway, "a");
    until(&log, "the first has all", |h| h.get("a").is_some_and(|roles| roles.len() == 4)).await;
    dead.abort();
    let (second, stop, _) = member(&log, &gateway, "b");
    crowd(&log, 10);
    until(&log, "the second waits", |h| h.contains_key("b")).await;
    assert!(holds(&log)["b"].is_empty(), "the other may only be slow");
    log.time_passes(members::GONE_MS);
    until(&log, "the second has all", |h| h["b"].len() == 4).await;
    let done = async {
        while ledger(&log).values().filter(|(state, _)| *state == DeliveryState::Accepted).count() < 18 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, done)
        .await
        .unwrap_or_else(|_| panic!("{:?} {:?}", holds(&log), ledger(&log)));
    stop.send(()).unwrap();
    second.await.unwrap().unwrap();
    everybody_once(&log, &gateway, 18);
}

/// A clock whose process stands still for ten seconds when the first request is about to be made.
struct Paused(Arc<JumpClock>, std::sync::atomic::AtomicUsize);

impl Clock for Paused {
    fn now(&self) -> Instant {
        self.0.now()
    }
    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.0.sleep_until(at).await })
    }
    fn boot(&self) -> Duration {
        let asked = self.1.fetch_add(1, Ordering::SeqCst);
        // Before the append, and before the request: every turn of every sender asks once, the request once more.
        Duration::from_secs(10 * asked as u64)
    }
}

#[tokio::test]
async fn a_process_that_stood_still_before_a_request_does_not_make_it() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), new_alert("a1", 1)]);
    let gateway = Arc::new(Gateway::default());
    let clock = Arc::new(Paused(JumpClock::new(), Default::default()));
    let (log_too, channel) = (Arc::clone(&log), Channels::one(Arc::clone(&gateway) as Arc<dyn Channel>));
    let worker = Worker::new(log_too, channel, clock, quick());
    let (mut stats, ends) = (worker.stats(), ends(&log));
    let done = async move { drop(crate::stats::settled(&mut stats, &ends).await) };
    tokio::time::timeout(LIMIT, worker.run(done)).await.unwrap().unwrap();
    // It always stands still here, so the attempts are used up; what counts is that the gateway was never asked.
    assert_eq!(of(&ledger(&log), "a1"), (DeliveryState::Failed, "gave_up:stood_still"));
    assert_eq!(gateway.asked(), 0);
}

#[tokio::test]
async fn grave_news_passes_a_message_whose_fate_is_unknown_and_a_correction_waits_for_both() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), new_alert("a1", 1)]);
    let gateway = Gateway { kind: Some(Kind::Askable), ..Gateway::default() };
    gateway.drops.lock().unwrap().insert("owner".into(), 1);
    // It rang, and for an hour nobody can say so.
    let busy = std::iter::repeat_with(|| Told::CannotTell(Verdict::transient("http_503")));
    gateway.answers.lock().unwrap().extend(busy.take(12));
    let corrected = {
        let mut alert = owner_alert("a3", Change::Corrected, Severity::Fatal);
        alert.decided_at = alert.decided_at.plus_millis(2000);
        alert
    };
    log.put(&[changed("a2", 1, Change::Upgraded), about(1, corrected)]);
    let gateway = Arc::new(gateway);
    settle(&log, &gateway).await;
    let rung: Vec<String> = gateway.rung().into_iter().map(|(alert, _)| alert).collect();
    assert_eq!(rung, ["a1", "a2", "a3"]);
    let states: Vec<(String, DeliveryState)> = log
        .records(topic::DELIVERIES)
        .iter()
        .map(|r| codec::decode::<Delivery>(r, r.value.as_ref().unwrap()).unwrap())
        .filter(|d| crate::ledger::terminal(d.state))
        .map(|d| (d.alert_id, d.state))
        .collect();
    let named = |id: &str, state| (id.to_owned(), state);
    let (accepted, delivered) = (DeliveryState::Accepted, DeliveryState::Delivered);
    assert_eq!(states, [named("a2", accepted), named("a1", delivered), named("a3", accepted)]);
}

#[tokio::test]
async fn grave_news_passes_a_correction_that_waits_for_an_answer_and_takes_its_place() {
    let log = MemLog::new("l");
    let upgraded = {
        let mut alert = owner_alert("a3", Change::Upgraded, Severity::Fatal);
        alert.decided_at = alert.decided_at.plus_millis(2000);
        alert
    };
    log.put(&[owner("owner"), new_alert("a1", 1), changed("a2", 1, Change::Corrected), about(1, upgraded)]);
    let gateway = Gateway { kind: Some(Kind::Askable), ..Gateway::default() };
    gateway.drops.lock().unwrap().insert("owner".into(), 1);
    // It rang, and for long nobody can say so.
    let busy = std::iter::repeat_with(|| Told::CannotTell(Verdict::transient("http_503")));
    gateway.answers.lock().unwrap().extend(busy.take(12));
    let gateway = Arc::new(gateway);
    settle(&log, &gateway).await;
    let rung: Vec<String> = gateway.rung().into_iter().map(|(alert, _)| alert).collect();
    assert_eq!(rung, ["a1", "a3"]);
    let ended: Vec<String> = log
        .records(topic::DELIVERIES)
        .iter()
        .map(|r| codec::decode::<Delivery>(r, r.value.as_ref().unwrap()).unwrap())
        .filter(|d| crate::ledger::terminal(d.state))
        .map(|d| d.alert_id)
        .collect();
    assert_eq!(ended, ["a3", "a1", "a2"], "it did not wait for the answer");
    assert_eq!(of(&ledger(&log), "a2"), (DeliveryState::Skipped, "superseded"));
}
