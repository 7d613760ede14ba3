//! Two workers as processes, under load: one is killed, one is paused until the other has taken over and then goes on.
//! Nobody hears anything by two decisions, a phone with a quota gets one digest, and the paused one asks nobody any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Monotonic};

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use tocsin_alerts::quota;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::log::NewRecord;
use tocsin_schemas::records::{Delivery, DeliveryState, Heartbeat};
use tocsin_schemas::topics;

use crate::house::{AREA, AT, DAY, House, Running, report, tocsin};

/// Waits for what takes a death or a pause to be noticed: 10 s by the log, on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);
/// Firms; every third report is about the first one, so that its owner's phone uses its quota up. So many that no other one does.
const FIRMS: usize = 901;
/// What the quota lets through in a day, one kept slot among it.
const A_DAY: usize = 12;
/// Reports that are published ahead of what the gateway was asked for.
const AHEAD: usize = 12;

/// One request.
#[derive(Debug, Clone)]
struct Ring {
    life: String,
    key: String,
    alert_id: String,
    to: String,
    answered: bool,
}

/// Takes everything, each life of a process at a URL of its own.
struct Gateway {
    url: String,
    rings: Arc<Mutex<Vec<Ring>>>,
    _runtime: tokio::runtime::Runtime,
}

async fn take(
    State(rings): State<Arc<Mutex<Vec<Ring>>>>,
    Path(life): Path<String>,
    Json(event): Json<Value>,
) -> Json<Value> {
    let text = |name: &str| event["data"][name].as_str().unwrap().to_owned();
    let (key, alert_id, to) = (text("idempotency_key"), text("alert_id"), text("to"));
    let place = {
        let mut rings = rings.lock().unwrap();
        rings.push(Ring { life, key, alert_id, to, answered: false });
        rings.len() - 1
    };
    // As a real one it takes a moment: most of the time something is under way.
    tokio::time::sleep(Duration::from_millis(30)).await;
    rings.lock().unwrap()[place].answered = true;
    Json(json!({"accepted": true, "ref": place.to_string()}))
}

impl Gateway {
    fn open() -> Gateway {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let rings: Arc<Mutex<Vec<Ring>>> = Arc::default();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/send", listener.local_addr().unwrap());
        let app = axum::Router::new()
            .route("/send/{life}", axum::routing::post(take))
            .with_state(Arc::clone(&rings));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Gateway { url, rings, _runtime: runtime }
    }
    fn rings(&self) -> Vec<Ring> {
        self.rings.lock().unwrap().clone()
    }
    fn of(&self, life: &str) -> usize {
        self.rings().iter().filter(|r| r.life == life).count()
    }
    fn under_way(&self, life: &str) -> bool {
        self.rings().iter().any(|r| r.life == life && !r.answered)
    }
}

/// Waits until it is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Monotonic::now() + LIMIT;
    while !so() {
        assert!(Monotonic::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn firm(n: usize) -> String {
    let first = format!("91330784Y{n:08}");
    format!("{first}{}", char::from(Uscc::check_symbol(first.as_bytes()).unwrap()))
}

/// The house of two members.
struct Two {
    house: House,
    gateway: Gateway,
}

impl Two {
    fn new(mut house: House) -> Two {
        let gateway = Gateway::open();
        // Nobody is warned: owners alone are told.
        let policy = "[[policy]]\neffective_from = \"2020-11-20\"\n[policy.escalation]\nblue = 90000\nyellow = 90000\n\
                      orange = 90000\nred = 90000\n";
        std::fs::write(house.dir.path().join("policy.toml"), policy).unwrap();
        house.clock_starts("2025-03-01T09:00:00+08:00");
        let mut lines = Vec::new();
        for n in 0..FIRMS {
            let uscc = firm(n);
            let registered = json!({"uscc": uscc, "version": 1, "name": format!("厂{n}"), "area": AREA, "industry": "33",
                "valid_from": "2015-01-01", "status": "active"});
            lines.push(record(topics::ENTERPRISES, uscc.clone(), &registered, "2025-03-01T07:00:00+08:00"));
            let owner = json!({"role": "owner", "subject": uscc, "rank": 1, "name": "某人",
                "addresses": {"webhook": format!("phone-{n}")}, "version": 1});
            lines.push(record(
                topics::CONTACTS,
                format!("owner|{uscc}|1"),
                &owner,
                "2025-03-01T07:00:00+08:00",
            ));
        }
        house.log.writer("test").unwrap().append(&lines).unwrap();
        let mut two = Two { house, gateway };
        two.urls("nobody");
        two
    }

    /// Who starts from now on asks here.
    fn urls(&mut self, life: &str) {
        let url = format!("{}/{life}", self.gateway.url);
        let more = format!(
            "concurrency = 8\n[policy]\nfile = \"policy.toml\"\n[alerts]\nper_phone_a_day = {A_DAY}\n"
        );
        self.house.configure(&url, &more);
    }

    /// The member of this life's first letter.
    fn start(&mut self, life: &str) -> Running {
        self.urls(life);
        let run = self.house.run(&["--only", "alerts", "--member", &life[..1]]);
        // By then it has read the configuration, and the next one's may be written.
        run.wait_said("alert worker joined");
        run
    }

    /// What each member said last that it does.
    fn holds(&self) -> BTreeMap<String, BTreeSet<String>> {
        let beats = self.house.all::<Heartbeat>().into_iter();
        let tasks = |beat: Heartbeat| beat.holds.into_iter().filter(|role| role != "books").collect();
        beats.map(|beat| (beat.name.clone(), tasks(beat))).collect()
    }

    fn shared(&self) -> bool {
        let holds = self.holds();
        let of = |name| holds.get(name).map_or(0, BTreeSet::len);
        of("a") > 0 && of("b") > 0 && of("a") + of("b") == 4
    }

    fn all(&self, name: &str) -> bool {
        self.holds().get(name).is_some_and(|roles| roles.len() == 4)
    }

    fn last(&self) -> BTreeMap<String, Delivery> {
        self.house.all::<Delivery>().into_iter().map(|d| (d.delivery_id.clone(), d)).collect()
    }
}

#[test]
fn on_the_embedded_log_one_is_killed_and_one_is_paused_and_nobody_hears_anything_twice() {
    killed_and_paused(House::embedded(), "embedded");
}

#[test]
fn on_kafka_one_is_killed_and_one_is_paused_and_nobody_hears_anything_twice() {
    if !tocsin_testkit::kafka_wanted(
        "on_kafka_one_is_killed_and_one_is_paused_and_nobody_hears_anything_twice",
    ) {
        return;
    }
    let broker = tocsin_testkit::Broker::start();
    killed_and_paused(House::kafka(broker.address()), "Kafka");
}

fn killed_and_paused(house: House, log: &str) {
    let mut two = Two::new(house);
    let pipeline = two.house.run_caught_up(&["--only", "pipeline"]);
    let mut a = two.start("a1");
    let mut b = two.start("b1");
    until("they share", || two.shared());
    let load = Load::start(&two);
    until("both send", || two.gateway.of("a1") > 5 && two.gateway.of("b1") > 5);

    // One dies in the midst of a request; the other takes over when the log says that it is gone.
    until("it is in the midst of a request", || two.gateway.under_way("b1"));
    b.signal("KILL");
    b.ends_within(LIMIT);
    until("the other has all", || two.all("a"));
    let b = two.start("b2");
    until("they share again", || two.shared());
    until("both send again", || two.gateway.of("b2") > 5);

    // The other one is paused in the midst of a request, for longer than it takes to be gone.
    until("it is in the midst of a request", || two.gateway.under_way("a1"));
    a.signal("STOP");
    until("the other has all", || two.all("b"));
    let (asked, others) = (two.gateway.of("a1"), two.gateway.of("b2"));
    until("the other sends", || two.gateway.of("b2") > others + 5);
    assert_eq!(two.gateway.of("a1"), asked, "it is paused");
    a.signal("CONT");
    assert_eq!(a.ends_within(LIMIT), Some(1), "{}", a.said());
    assert!(a.said().lines().last().unwrap().contains("has taken over"), "{}", a.said());
    assert_eq!(two.gateway.of("a1"), asked, "it makes no request after its successor took over");
    let again = two.start("a2");
    until("they share again", || two.shared());

    let reports = load.stop();
    let direct = |two: &Two| two.last().into_values().filter(|d| !quota::is_digest(d)).collect::<Vec<_>>();
    let settled = |d: &Delivery| matches!(d.state, DeliveryState::Accepted | DeliveryState::Skipped);
    until("everybody is told, or in a digest", || {
        let all = direct(&two);
        all.len() == reports && all.iter().all(settled)
    });
    for run in [again, b, pipeline] {
        assert_eq!(run.stop(), Some(0));
    }
    let resent = judge(&two, reports);
    reconciles(&two);

    // The day after, when the digest is due.
    two.house.clock_starts("2025-03-02T08:00:01+08:00");
    let before = two.gateway.rings().len();
    let next = two.start("b3");
    until("the digest is told", || {
        two.last().values().any(|d| quota::is_digest(d) && d.state == DeliveryState::Accepted)
    });
    assert_eq!(next.stop(), Some(0));
    assert_eq!(two.gateway.rings().len(), before + 1, "one digest");
    judge(&two, reports);
    reconciles(&two);
    let says: BTreeMap<&str, usize> =
        ["a1", "b1", "b2", "a2"].map(|life| (life, two.gateway.of(life))).into();
    eprintln!(
        "two members on {log}: {reports} alerts, requests {says:?}, {resent} of them again with the same key"
    );
}

/// Publishes reports, always so many ahead of the gateway, until it is stopped.
struct Load {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<usize>,
}

impl Load {
    fn start(two: &Two) -> Load {
        let (log, rings) = (Arc::clone(&two.house.log), Arc::clone(&two.gateway.rings));
        let stop: Arc<AtomicBool> = Arc::default();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut writer = log.writer("test").unwrap();
            let mut n = 0;
            while !stopped.load(Ordering::Acquire) {
                // Two of three are about a phone of their own: the others go into a digest, and nobody is asked for them.
                let asked: BTreeSet<String> = rings.lock().unwrap().iter().map(|r| r.key.clone()).collect();
                if n * 2 / 3 < asked.len() + AHEAD {
                    let batch: Vec<NewRecord> = (n..n + 3).map(line).collect();
                    writer.append(&batch).unwrap();
                    n += 3;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            n
        });
        Load { stop, thread }
    }

    /// How many it has published.
    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

/// Report number n.
fn line(n: usize) -> NewRecord {
    // Nobody but the first one gets more than the quota lets through.
    let about = if n.is_multiple_of(3) { 0 } else { 1 + n % (FIRMS - 1) };
    let mut value = report(&format!("r{n}"), DAY);
    value["uscc"] = json!(firm(about));
    value["person_key"] = json!(format!("{n:064x}"));
    record("reports.hr", format!("r{n}"), &value, AT.unwrap())
}

fn record(topic: &str, key: String, value: &Value, at: &str) -> NewRecord {
    NewRecord {
        topic: Arc::from(topic),
        key: key.into_bytes(),
        value: Some(value.to_string().into_bytes()),
        stamp: Some(at.parse().unwrap()),
        route: None,
    }
}

/// One decision for each alert, and digests that stand for exactly those that name them. How many requests were made
/// again, with the same key.
fn judge(two: &Two, reports: usize) -> usize {
    let last = two.last();
    let (digests, direct): (Vec<&Delivery>, Vec<&Delivery>) =
        last.values().partition(|d| quota::is_digest(d));
    let alerts: BTreeSet<&str> = direct.iter().map(|d| d.alert_id.as_str()).collect();
    assert_eq!((alerts.len(), direct.len()), (reports, reports), "one delivery for each alert");
    let mut names: BTreeMap<String, i64> = BTreeMap::new();
    for member in direct.iter().filter(|d| d.state == DeliveryState::Skipped) {
        let reason = member.reason.as_deref().unwrap_or_default();
        let digest = reason.strip_prefix("in_digest:").unwrap_or_else(|| panic!("{member:?}"));
        *names.entry(digest.to_owned()).or_default() += 1;
    }
    let counted: BTreeMap<String, i64> =
        digests.iter().map(|d| (d.delivery_id.clone(), quota::count(d))).collect();
    assert_eq!(counted, names, "a digest counts those that name it");
    let phones: BTreeSet<Option<&str>> = digests.iter().map(|d| d.phone_hash.as_deref()).collect();
    assert_eq!(phones.len(), digests.len(), "one digest for a phone");

    let rings = two.gateway.rings();
    let mut keys: BTreeMap<&str, Vec<&Ring>> = BTreeMap::new();
    let mut told: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for ring in &rings {
        keys.entry(&ring.key).or_default().push(ring);
        told.entry((&ring.alert_id, &ring.to)).or_default().insert(&ring.key);
    }
    let sent = last.values().filter(|d| d.state == DeliveryState::Accepted).count();
    assert_eq!(keys.len(), sent, "whoever was asked for is accepted, and nobody else");
    assert!(keys.keys().all(|key| last[*key].state == DeliveryState::Accepted));
    for (who, keys) in told {
        // A digest names the first alert that it stands for.
        let direct = keys.iter().filter(|key| !quota::is_digest(&last[**key])).count();
        assert!(direct <= 1, "{who:?} by two decisions: {keys:?}");
    }
    let heavy = rings.iter().filter(|r| r.to == "phone-0" && !quota::is_digest(&last[&r.key]));
    let heavy: BTreeSet<&str> = heavy.map(|r| r.key.as_str()).collect();
    assert_eq!(heavy.len(), A_DAY - 1, "what the quota lets through; one slot is kept");
    for (key, rings) in &keys {
        assert!(
            rings.len() == 1 || last[*key].uncertain,
            "asked again without a word in the ledger: {rings:?}"
        );
    }
    rings.len() - keys.len()
}

fn reconciles(two: &Two) {
    let config = two.house.config();
    let done = tocsin(&["ledger", "reconcile", "--json", "--config", config.to_str().unwrap()]);
    let page: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((done.status.code(), &page["unaccounted"]), (Some(0), &json!(0)), "{page}");
}
