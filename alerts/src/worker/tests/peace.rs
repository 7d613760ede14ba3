//! Gateways that are down, slow, or asked: whether each is called only when it may be, and what waits meanwhile.

use super::gateway::{requests_of, serve};
use super::*;
use crate::admission::{Admission, AdmissionSettings, BreakerSettings};
use crate::fixtures::audience;
use crate::gateways;

/// A gateway that does not answer for a while, and keeps when it was called and for what.
struct Down {
    clock: Arc<JumpClock>,
    until: Mutex<Option<Instant>>,
    /// When, which alert, which attempt, and whether it was taken.
    calls: Mutex<Vec<(Instant, String, u32, bool)>>,
    called: Notify,
}

impl Channel for Down {
    fn name(&self) -> &'static str {
        "webhook"
    }
    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let now = self.clock.now();
            let up = self.until.lock().unwrap().is_some_and(|until| now >= until);
            let call = (now, message.alert_id.clone(), message.attempt, up);
            self.calls.lock().unwrap().push(call);
            self.called.notify_one();
            tokio::task::yield_now().await;
            match up {
                true => Outcome::Accepted { gateway_ref: None },
                false => refused(),
            }
        })
    }
    fn kind(&self) -> Kind {
        Kind::Idempotent
    }
    fn not_found_counts_after_ms(&self) -> i64 {
        i64::MAX
    }
    fn ask<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Told> {
        Box::pin(async { Told::NotFound })
    }
}

/// An alert to somebody of its own, so that no phone waits for another message.
pub(super) fn to_somebody(n: u32, severity: Severity, after_ms: i64) -> [NewRecord; 2] {
    let first = format!("91330784XX{n:07}");
    let check = tocsin_schemas::ids::Uscc::check_symbol(first.as_bytes()).unwrap();
    let subject = format!("{first}{}", char::from(check));
    let mut alert = owner_alert(&format!("a{n:04}"), Change::New, severity);
    alert.decided_at = day().midnight().plus_millis(after_ms);
    alert.audiences = vec![audience(Role::Owner, &subject)];
    [contact(Role::Owner, &subject, 1, &format!("phone{n}")), about(n, alert)]
}

/// The most calls to a gateway that is down for so long: those that open the breaker, and each round of probes.
fn most_calls(down_ms: i64, breaker: &BreakerSettings) -> usize {
    let (mut at, mut delay, mut rounds) = (0, breaker.first_open.as_millis() as i64, 0);
    while at + delay <= down_ms {
        (at, rounds) = (at + delay, rounds + 1);
        delay = (delay * 2).min(breaker.longest_open.as_millis() as i64);
    }
    (breaker.failures + rounds * breaker.probes) as usize
}

#[tokio::test]
async fn a_gateway_down_for_half_an_hour_gets_its_probes_and_then_the_backlog_in_order() {
    const DOWN_MS: i64 = 1_800_000;
    let (log, clock) = (MemLog::new("l"), JumpClock::new());
    let gateway = Arc::new(Down {
        clock: Arc::clone(&clock),
        until: Mutex::default(),
        calls: Mutex::default(),
        called: Notify::new(),
    });
    let severity = |n: u32| match n % 10 {
        3 => Severity::Severe,
        7 if n % 20 == 7 => Severity::Fatal,
        _ => Severity::Minor,
    };
    // Not in the order of their numbers, which is that of reading.
    let decided = |n: u32| i64::from(n * 37 % 300) * 100;
    let some = |from: u32, to: u32| -> Vec<NewRecord> {
        (from..to).flat_map(|n| to_somebody(n, severity(n), decided(n))).collect()
    };
    log.put(&some(0, 200));
    let profile = gateways::find("webhook").unwrap().profile;
    let settings = AdmissionSettings { max_in_flight: Some(1), ..AdmissionSettings::default() };
    let mut channels = Channels::one(Arc::clone(&gateway) as _);
    let admission = Admission::new(profile, settings);
    channels.admit(admission.clone());
    let log_too = Arc::clone(&log);
    let worker = Worker::new(log_too, channels, Arc::clone(&clock) as _, Settings::default());
    let mut stats = worker.stats();
    let began = clock.now();
    let script = async {
        // The sixth is a probe.
        while gateway.calls.lock().unwrap().len() < 6 {
            gateway.called.notified().await;
        }
        assert_eq!(admission.report().open.map(|because| because.account), Some(false));
        // Load while it is down, a death among it.
        log.put(&some(200, 300));
        // What is planned reaches its sender over the log.
        stats.wait_for(|s| s.open == 300 && s.in_hand == 300).await.unwrap();
        let until = began.plus_millis(DOWN_MS).max(clock.now());
        *gateway.until.lock().unwrap() = Some(until);
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
    };
    let stats = tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    let calls = gateway.calls.lock().unwrap();
    let back = calls.iter().find(|call| call.3).unwrap().0;
    let down_ms = back.0 - began.0;
    let in_vain = calls.iter().filter(|call| !call.3).count();
    let most = most_calls(down_ms, &settings.breaker);
    println!("down {} s: {in_vain} calls, at most {most}", down_ms / 1000);
    assert!(down_ms >= DOWN_MS && in_vain >= 5, "{down_ms} {in_vain}");
    assert!(in_vain <= most, "{in_vain} calls in {} s, at most {most}", down_ms / 1000);
    // Nothing is lost, nothing expired, no attempt used up but by a call.
    assert_eq!((stats.in_state(DeliveryState::Accepted), stats.deliveries.len()), (300, 1), "{stats:?}");
    let sendings = log.records(topic::DELIVERIES);
    let sendings = sendings.iter().map(|r| codec::decode::<Delivery>(r, r.value.as_ref().unwrap()).unwrap());
    assert_eq!(sendings.filter(|d| d.state == DeliveryState::Sending).count(), calls.len());
    // The backlog in order: the worst first, of these the oldest. Who was a probe waits for its own next attempt.
    let drained: Vec<u32> =
        calls.iter().filter(|c| c.3 && c.2 == 1).map(|c| c.1[1..].parse().unwrap()).collect();
    let mut expected = drained.clone();
    expected.sort_by_key(|&n| (std::cmp::Reverse(severity(n)), decided(n), n));
    assert!(drained.len() > 250 && drained == expected, "{drained:?}");
    let report = admission.report();
    assert_eq!((report.open, report.in_flight, report.opened >= 1), (None, 0, true));
    assert_eq!(
        report.probes as usize + 5,
        in_vain + 1,
        "every call but the first five and the last was a probe"
    );
}

/// A gateway that answers when it is told to.
struct Slow {
    name: &'static str,
    gate: tokio::sync::Semaphore,
    under_way: AtomicI64,
    most: AtomicI64,
}

impl Slow {
    fn new(name: &'static str, answers: usize) -> Arc<Slow> {
        let gate = tokio::sync::Semaphore::new(answers);
        Arc::new(Slow { name, gate, under_way: AtomicI64::new(0), most: AtomicI64::new(0) })
    }
}

impl Channel for Slow {
    fn name(&self) -> &'static str {
        self.name
    }
    fn send<'a>(&'a self, _: &'a Outgoing) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            Outcome::Accepted { gateway_ref: None }
        })
    }
    fn kind(&self) -> Kind {
        Kind::Askable
    }
    fn not_found_counts_after_ms(&self) -> i64 {
        i64::MAX
    }
    fn ask<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Told> {
        Box::pin(async { Told::NotFound })
    }
}

#[tokio::test]
async fn a_slow_gateway_takes_its_own_places_and_delays_no_other() {
    // Also when it has more before it than may be open at all.
    for (max_open, max_batch) in [(10_000, 500), (40, 5)] {
        slow_beside_fast(Settings { max_open, max_batch, ..quick() }).await;
    }
}

async fn slow_beside_fast(settings: Settings) {
    let log = MemLog::new("l");
    for n in 0..100 {
        // One after the other: alerts of one instant are read together.
        log.put(&to_somebody(n, Severity::Minor, i64::from(n)));
        let town = format!("town{n}");
        let audiences = vec![audience(Role::TownshipDuty, &town)];
        let (alert_id, decided_at) = (format!("b{n:04}"), day().midnight().plus_millis(i64::from(n)));
        let alert =
            Alert { alert_id, audiences, decided_at, ..escalation(Change::New, Some(Level::Blue), 2) };
        log.put(&[contact(Role::TownshipDuty, &town, 1, &format!("duty{n}")), about(1000 + n, alert)]);
    }
    let (slow, fast) = (Slow::new("aliyun", 0), Slow::new("webhook", 1_000));
    let mut channels = Channels::new([Arc::clone(&slow) as Arc<dyn Channel>, Arc::clone(&fast) as _]);
    channels.order_for(Role::Owner, &["aliyun".into()]).unwrap();
    channels.order_for(Role::TownshipDuty, &["webhook".into()]).unwrap();
    let log_too = Arc::clone(&log);
    let worker = Worker::new(log_too, channels, JumpClock::new(), settings);
    let mut stats = worker.stats();
    let script = async {
        // All of the fast one's are told before the slow one has answered once.
        let told = stats.wait_for(|s| s.in_state(DeliveryState::Accepted) == 100).await.unwrap().clone();
        assert_eq!(told.requests, 116, "the slow one has its 16 places");
        slow.gate.add_permits(1_000);
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
    };
    let stats = tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    assert_eq!(stats.in_state(DeliveryState::Accepted), 200);
    assert_eq!(slow.most.load(Ordering::SeqCst), 16);
}

#[tokio::test]
async fn a_yes_in_the_ledger_proves_a_receiver_to_the_next_worker() {
    for (before, requests, expected) in [(true, 1, "http_404"), (false, 4, "gave_up:http_404")] {
        let log = MemLog::new("l");
        log.put(&[owner("phone")]);
        if before {
            log.put(&[new_alert("a1", 1)]);
            settle(&log, &Arc::new(Gateway::default())).await;
        }
        log.put(&[new_alert("a2", 2)]);
        let (served, webhook) = serve(&["404"; 9]).await;
        let profile = gateways::find("webhook").unwrap().profile;
        let admission = Admission::new(profile, AdmissionSettings::default());
        let mut channels = Channels::one(Arc::new(webhook.with_standing(admission.standing().clone())));
        channels.admit(admission);
        let log_too = Arc::clone(&log);
        let worker = Worker::new(log_too, channels, JumpClock::new(), quick());
        let (mut stats, ends) = (worker.stats(), ends(&log));
        let done = async move { drop(crate::stats::settled(&mut stats, &ends).await) };
        tokio::time::timeout(LIMIT, worker.run(done)).await.unwrap().unwrap();
        assert_eq!(of(&ledger(&log), "a2"), (DeliveryState::Failed, expected), "a yes before: {before}");
        assert_eq!(requests_of(&served), requests, "a yes before: {before}");
    }
}

#[tokio::test]
async fn questions_are_put_one_a_second_and_two_at_a_time() {
    let log = MemLog::new("l");
    let gateway = Gateway { kind: Some(Kind::Askable), ..Gateway::default() };
    for n in 0..20 {
        log.put(&to_somebody(n, Severity::Minor, 0));
        gateway.drops.lock().unwrap().insert(format!("phone{n}"), 1);
    }
    let (gateway, clock) = (Arc::new(gateway), JumpClock::new());
    let profile = gateways::find("webhook").unwrap().profile;
    // Twenty lost answers in a row are no outage here: the breaker has tests of its own.
    let breaker = BreakerSettings { failures: 1_000, ..BreakerSettings::default() };
    let settings = AdmissionSettings { breaker, ..AdmissionSettings::default() };
    let mut channels = Channels::one(Arc::clone(&gateway) as _);
    channels.admit(Admission::new(profile, settings));
    let log_too = Arc::clone(&log);
    let worker = Worker::new(log_too, channels, Arc::clone(&clock) as _, quick());
    let (mut stats, ends) = (worker.stats(), ends(&log));
    let began = clock.now();
    let done = async move { drop(crate::stats::settled(&mut stats, &ends).await) };
    let stats = tokio::time::timeout(LIMIT, worker.run(done)).await.unwrap().unwrap();
    assert_eq!((stats.questions, stats.in_state(DeliveryState::Delivered)), (20, 20));
    let took = clock.now().0 - began.0;
    assert!(took >= 19_000, "20 questions in {took} ms");
}

/// A gateway that always says the same, and keeps when it was called and for which alert.
struct Says {
    name: &'static str,
    clock: Arc<JumpClock>,
    outcome: fn() -> Outcome,
    calls: Mutex<Vec<(Instant, String)>>,
}

impl Channel for Says {
    fn name(&self) -> &'static str {
        self.name
    }
    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            self.calls.lock().unwrap().push((self.clock.now(), message.alert_id.clone()));
            tokio::task::yield_now().await;
            (self.outcome)()
        })
    }
    fn kind(&self) -> Kind {
        Kind::Idempotent
    }
    fn not_found_counts_after_ms(&self) -> i64 {
        i64::MAX
    }
    fn ask<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Told> {
        Box::pin(async { Told::NotFound })
    }
}

fn yes() -> Outcome {
    Outcome::Accepted { gateway_ref: None }
}
fn no_balance() -> Outcome {
    Outcome::Account { reason: "balance".into() }
}

/// How the deliveries over this gateway ended, by alert.
fn ends_over(log: &MemLog, channel: &str) -> BTreeMap<String, (DeliveryState, String)> {
    let records = log.records(topic::DELIVERIES);
    let all = records.iter().map(|r| codec::decode::<Delivery>(r, r.value.as_ref().unwrap()).unwrap());
    all.filter(|d| d.channel == channel && crate::ledger::terminal(d.state))
        .map(|d| (d.alert_id, (d.state, d.reason.unwrap_or_default())))
        .collect()
}

#[tokio::test]
async fn what_waits_at_a_gateway_that_is_left_in_peace_is_told_over_the_next_one() {
    // What the first gateway says; the least wait of what rings at once, and of the rest.
    for (outcome, grave_ms, others_ms) in
        [(no_balance as fn() -> Outcome, 0, 0), (refused as fn() -> Outcome, 120_000, 1_800_000)]
    {
        let (log, clock) = (MemLog::new("l"), JumpClock::new());
        let severity = |n| if n % 4 == 0 { Severity::Fatal } else { Severity::Minor };
        for n in 0..40 {
            log.put(&to_somebody(n, severity(n), 0));
        }
        // While something is looked up this clock would jump on by hours.
        log.without_index();
        let says = |name, outcome| {
            Arc::new(Says { name, clock: Arc::clone(&clock), outcome, calls: Mutex::default() })
        };
        let (first, second) = (says("aliyun", outcome), says("webhook", yes));
        let channels = Channels::new([Arc::clone(&first) as Arc<dyn Channel>, Arc::clone(&second) as _]);
        let log_too = Arc::clone(&log);
        let worker = Worker::new(log_too, channels, Arc::clone(&clock) as _, Settings::default());
        let began = clock.now();
        let (mut stats, ends) = (worker.stats(), ends(&log));
        let done = async move { drop(crate::stats::settled(&mut stats, &ends).await) };
        tokio::time::timeout(LIMIT, worker.run(done)).await.unwrap().unwrap();
        let calls = second.calls.lock().unwrap();
        assert_eq!(calls.len(), 40);
        for (at, alert) in calls.iter() {
            let grave = severity(alert[1..].parse().unwrap()) == Severity::Fatal;
            let waited = at.0 - began.0;
            assert!(waited >= if grave { grave_ms } else { others_ms }, "{alert}: {waited} ms");
        }
        let over_first = ends_over(&log, "aliyun");
        let left = (DeliveryState::Failed, "gateway_open".to_owned());
        assert!(over_first.len() == 40 && over_first.values().all(|end| *end == left), "{over_first:?}");
    }
}

#[tokio::test]
async fn a_message_whose_template_is_refused_goes_over_the_next_gateway_at_once() {
    let (log, clock) = (MemLog::new("l"), JumpClock::new());
    (0..40).for_each(|n| log.put(&to_somebody(n, Severity::Minor, 0)));
    log.without_index();
    let refused = || Outcome::Text { reason: "isv.SMS_TEMPLATE_ILLEGAL".into() };
    let says =
        |name, outcome| Arc::new(Says { name, clock: Arc::clone(&clock), outcome, calls: Mutex::default() });
    let (first, second) = (says("aliyun", refused as fn() -> Outcome), says("webhook", yes));
    let channels = Channels::new([Arc::clone(&first) as Arc<dyn Channel>, Arc::clone(&second) as _]);
    let worker = Worker::new(Arc::clone(&log) as _, channels, Arc::clone(&clock) as _, Settings::default());
    let (mut stats, ends) = (worker.stats(), ends(&log));
    let done = async move { drop(crate::stats::settled(&mut stats, &ends).await) };
    tokio::time::timeout(LIMIT, worker.run(done)).await.unwrap().unwrap();
    assert_eq!([&first, &second].map(|says| says.calls.lock().unwrap().len()), [40, 40], "each once");
    let over_first = ends_over(&log, "aliyun");
    let left = (DeliveryState::Failed, "isv.SMS_TEMPLATE_ILLEGAL".to_owned());
    assert!(over_first.len() == 40 && over_first.values().all(|end| *end == left), "{over_first:?}");
}

/// Its own backoff always ends when the gateway may be looked at again, so it never finds it shut.
#[tokio::test]
async fn a_death_alone_at_a_gateway_that_is_down_goes_over_the_next_one_within_minutes() {
    let (log, clock) = (MemLog::new("l"), JumpClock::new());
    log.put(&to_somebody(1, Severity::Fatal, 0));
    let says =
        |name, outcome| Arc::new(Says { name, clock: Arc::clone(&clock), outcome, calls: Mutex::default() });
    let (first, second) = (says("aliyun", refused as fn() -> Outcome), says("webhook", yes));
    let channels = Channels::new([Arc::clone(&first) as Arc<dyn Channel>, Arc::clone(&second) as _]);
    let worker = Worker::new(Arc::clone(&log) as _, channels, Arc::clone(&clock) as _, Settings::default());
    let began = clock.now();
    let (mut stats, ends) = (worker.stats(), ends(&log));
    let done = async move { drop(crate::stats::settled(&mut stats, &ends).await) };
    tokio::time::timeout(LIMIT, worker.run(done)).await.unwrap().unwrap();
    let calls = second.calls.lock().unwrap();
    let waited: Vec<i64> = calls.iter().map(|(at, _)| (at.0 - began.0) / 1000).collect();
    // Two minutes, and as long as the wait before its next try here may be by then.
    assert!(
        matches!(waited[..], [120..=480]),
        "{waited:?} s; {} requests",
        first.calls.lock().unwrap().len()
    );
    assert_eq!(ends_over(&log, "aliyun").values().next().unwrap().1, "gateway_open");
}

/// A clock that stands still until it is let go.
pub(super) struct Still(pub Arc<JumpClock>, pub watch::Sender<bool>);

impl Clock for Still {
    fn now(&self) -> Instant {
        self.0.now()
    }
    fn sleep_until(&self, at: Instant) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let _ = self.1.subscribe().wait_for(|goes| *goes).await;
            self.0.sleep_until(at).await;
        })
    }
}

#[tokio::test]
async fn what_was_withdrawn_while_its_gateway_was_left_in_peace_is_not_said() {
    let (log, gateway) = (MemLog::new("l"), Arc::new(Gateway::default()));
    let mut other = owner_alert("b1", Change::New, Severity::Minor);
    other.audiences = vec![audience(Role::Owner, HOST)];
    log.put(&[owner("owner"), contact(Role::Owner, HOST, 1, "host"), about(9, other)]);
    gateway.says("host", [no_balance()]);
    let profile = gateways::find("webhook").unwrap().profile;
    let admission = Admission::new(profile, AdmissionSettings::default());
    let mut channels = Channels::one(Arc::clone(&gateway) as _);
    channels.admit(admission.clone());
    let clock = Arc::new(Still(JumpClock::new(), watch::Sender::new(false)));
    let log_too = Arc::clone(&log);
    let worker = Worker::new(log_too, channels, Arc::clone(&clock) as _, quick());
    let mut stats = worker.stats();
    let script = async {
        stats.wait_for(|s| s.requests == 1 && s.in_hand == 1).await.unwrap();
        while admission.report().open.is_none() {
            tokio::task::yield_now().await;
        }
        log.put(&[new_alert("a1", 1)]);
        stats.wait_for(|s| s.in_hand == 2).await.unwrap();
        log.put(&[changed("a2", 1, Change::Corrected)]);
        stats.wait_for(|s| s.in_state(DeliveryState::Skipped) == 2).await.unwrap();
        clock.1.send_replace(true);
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
    };
    tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    let ledger = ledger(&log);
    assert_eq!(of(&ledger, "a1"), (DeliveryState::Skipped, "superseded"));
    assert_eq!(of(&ledger, "a2"), (DeliveryState::Skipped, "nothing_to_correct"));
    assert_eq!(gateway.rung(), [("b1".into(), "host".into())]);
}
