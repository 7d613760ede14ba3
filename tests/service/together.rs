//! Two workers as processes, under load: one is killed, one is paused until the other has taken over and then goes on.
//! Nobody hears anything by two decisions, a phone with a quota gets one digest, and the paused one asks nobody any more.
//! At a gateway that neither knows keys nor can be asked, nothing is sent twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Monotonic};

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use tocsin_alerts::quota;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::log::NewRecord;
use tocsin_schemas::records::{Delivery, DeliveryState, Heartbeat};
use tocsin_schemas::topics;

use crate::house::{AREA, AT, DAY, House, Running, report, tocsin};

/// Waits for what takes a death or a pause to be noticed: 10 s by the log, on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);
/// How long another's turn at the embedded log may last: a transaction takes milliseconds.
const TURN: Duration = Duration::from_millis(500);
/// Firms; every third report is about the first one, so that its owner's phone uses its quota up. So many that no other one does.
const FIRMS: usize = 901;
/// What the quota lets through in a day, one kept slot among it.
const A_DAY: usize = 12;
/// Requests at a time.
const MOST_UNDER_WAY: usize = 8;
/// Reports that are published ahead of what the gateway was asked for.
const AHEAD: usize = 12;

/// What the gateway is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A webhook, which is told a key.
    Keys,
    /// DingTalk's work notices: no key, and a lost answer cannot be asked about.
    Neither,
}

/// One request.
#[derive(Debug, Clone)]
struct Ring {
    life: String,
    /// Its key; of a gateway without keys the words, which name the case.
    key: String,
    to: String,
    answered: bool,
}

type Rings = Arc<Mutex<Vec<Ring>>>;

/// Takes everything, each life of a process at a port of its own.
struct Gateway {
    kind: Kind,
    rings: Rings,
    runtime: tokio::runtime::Runtime,
}

async fn take(State((life, rings)): State<(String, Rings)>, Json(said): Json<Value>) -> Json<Value> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (key, to) = match said.get("data") {
        Some(data) => (text(&data["idempotency_key"]), text(&data["to"])),
        None => (text(&said["msg"]["text"]["content"]), text(&said["userid_list"])),
    };
    let place = {
        let mut rings = rings.lock().unwrap();
        rings.push(Ring { life, key, to, answered: false });
        rings.len() - 1
    };
    // As a real one it takes a moment: most of the time something is under way.
    tokio::time::sleep(Duration::from_millis(30)).await;
    rings.lock().unwrap()[place].answered = true;
    Json(json!({"accepted": true, "ref": place.to_string(), "errcode": 0, "task_id": place + 1}))
}

async fn token() -> Json<Value> {
    Json(json!({"errcode": 0, "access_token": "t", "expires_in": 7200}))
}

impl Gateway {
    fn new(kind: Kind) -> Gateway {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Gateway { kind, rings: Rings::default(), runtime }
    }
    /// Where this life asks.
    fn open(&self, life: &str) -> String {
        let listener = self.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new()
            .route("/send", axum::routing::post(take))
            .route("/gettoken", axum::routing::get(token))
            .route("/topapi/message/corpconversation/asyncsend_v2", axum::routing::post(take))
            .with_state((life.to_owned(), Arc::clone(&self.rings)));
        self.runtime.spawn(async move { axum::serve(listener, app).await });
        base
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
    fn new(mut house: House, kind: Kind) -> Two {
        let gateway = Gateway::new(kind);
        std::fs::write(house.dir.path().join("secret"), "s").unwrap();
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
                "addresses": {"webhook": format!("phone-{n}"), "dingtalk_notice": format!("phone-{n}")}, "version": 1});
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
        let base = self.gateway.open(life);
        let notice = match self.gateway.kind {
            Kind::Keys => String::new(),
            Kind::Neither => format!(
                "[alerts.order]\nowner = [\"dingtalk_notice\"]\n[alerts.gateways.dingtalk_notice]\napp_key = \"k\"\n\
                 app_secret = {{ file = \"secret\" }}\nagent_id = 7\nendpoint = \"{base}\"\nallow_private = true\n\
                 max_in_flight = 8\n"
            ),
        };
        let more = format!(
            "concurrency = 8\n[policy]\nfile = \"policy.toml\"\n[alerts]\nper_phone_a_day = {A_DAY}\n{notice}"
        );
        self.house.configure(&format!("{base}/send"), &more);
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

    /// Whether everybody can still write: whoever is paused in a transaction on the embedded log, or in the door before
    /// it, keeps all others out.
    fn all_may_write(&self) -> bool {
        let path = self.house.dir.path().join("log.db");
        if !path.exists() {
            return true;
        }
        let file = rusqlite::Connection::open(path).unwrap();
        file.busy_timeout(TURN).unwrap();
        if file.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err() {
            return false;
        }
        let door = std::fs::File::open(self.house.dir.path().join("log.db-door")).unwrap();
        let deadline = Monotonic::now() + TURN;
        while door.try_lock().is_err() {
            if Monotonic::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    fn last(&self) -> BTreeMap<String, Delivery> {
        self.house.all::<Delivery>().into_iter().map(|d| (d.delivery_id.clone(), d)).collect()
    }
}

#[test]
fn on_the_embedded_log_one_is_killed_and_one_is_paused_and_nobody_hears_anything_twice() {
    killed_and_paused(House::embedded(), Kind::Keys, "embedded");
}

#[test]
fn at_a_gateway_without_keys_one_is_killed_and_one_is_paused_and_nothing_is_sent_twice() {
    killed_and_paused(House::embedded(), Kind::Neither, "embedded, no keys");
}

#[test]
fn on_kafka_one_is_killed_and_one_is_paused_and_nobody_hears_anything_twice() {
    if !tocsin_testkit::kafka_wanted(
        "on_kafka_one_is_killed_and_one_is_paused_and_nobody_hears_anything_twice",
    ) {
        return;
    }
    let broker = tocsin_testkit::Broker::start();
    killed_and_paused(House::kafka(broker.address()), Kind::Keys, "Kafka");
}

fn killed_and_paused(house: House, kind: Kind, log: &str) {
    let mut two = Two::new(house, kind);
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
    until("it is in the midst of a request, and writes nothing", || {
        if !two.gateway.under_way("a1") {
            return false;
        }
        a.pause();
        let free = two.all_may_write();
        if !free {
            a.signal("CONT");
        }
        free
    });
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
    let settled =
        |d: &Delivery| matches!(d.state, DeliveryState::Accepted | DeliveryState::Skipped) || is_unknown(d);
    until("everybody is told, or in a digest, or nobody can know", || {
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

    let unknown: Vec<&&Delivery> = direct.iter().filter(|d| is_unknown(d)).collect();
    match two.gateway.kind {
        Kind::Keys => assert_eq!(unknown.len(), 0, "{unknown:?}"),
        // What was under way at the kill and at the pause, at most.
        Kind::Neither => assert!(unknown.len() <= 2 * MOST_UNDER_WAY, "{unknown:?}"),
    }
    let rings = two.gateway.rings();
    let mut keys: BTreeMap<&str, Vec<&Ring>> = BTreeMap::new();
    let mut told: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    // The words name the case, a digest's its last one; each report here is a case.
    let cases: BTreeMap<&str, &Delivery> =
        last.values().filter(|d| d.attempt > 0).map(|d| (d.slots["id"].as_str(), d)).collect();
    let of = |ring: &Ring| -> &Delivery {
        let by_words = || cases.iter().find(|(case, _)| ring.key.contains(**case)).map(|(_, d)| *d);
        last.get(&ring.key).or_else(by_words).unwrap_or_else(|| panic!("{ring:?} is in no ledger"))
    };
    for ring in &rings {
        let delivery = of(ring);
        keys.entry(&delivery.delivery_id).or_default().push(ring);
        told.entry((&delivery.alert_id, &ring.to)).or_default().insert(&delivery.delivery_id);
    }
    let sent: BTreeSet<&str> = last
        .values()
        .filter(|d| d.state == DeliveryState::Accepted)
        .map(|d| d.delivery_id.as_str())
        .collect();
    let asked: BTreeSet<&str> = keys.keys().copied().filter(|key| !is_unknown(&last[*key])).collect();
    let odd: Vec<(&Delivery, Option<&Vec<&Ring>>)> =
        asked.symmetric_difference(&sent).map(|key| (&last[*key], keys.get(key))).collect();
    assert!(odd.is_empty(), "whoever was asked for is accepted, and nobody else: {odd:#?}");
    for (who, keys) in told {
        // A digest names the first alert that it stands for.
        let direct = keys.iter().filter(|key| !quota::is_digest(&last[**key])).count();
        assert!(direct <= 1, "{who:?} by two decisions: {keys:?}");
    }
    let heavy =
        keys.iter().filter(|(key, rings)| rings[0].to == "phone-0" && !quota::is_digest(&last[**key]));
    let unheard = unknown.iter().filter(|d| d.subject == firm(0) && !keys.contains_key(&*d.delivery_id));
    assert_eq!(heavy.count() + unheard.count(), A_DAY - 1, "what the quota lets through; one slot is kept");
    for (key, rings) in &keys {
        let again = two.gateway.kind == Kind::Keys && last[*key].uncertain;
        assert!(rings.len() == 1 || again, "asked again without a word in the ledger: {rings:?}");
    }
    rings.len() - keys.len()
}

/// Nobody can know what became of its request.
fn is_unknown(delivery: &Delivery) -> bool {
    delivery.state == DeliveryState::Failed && delivery.uncertain
}

fn reconciles(two: &Two) {
    let config = two.house.config();
    let done = tocsin(&["ledger", "reconcile", "--json", "--config", config.to_str().unwrap()]);
    let page: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((done.status.code(), &page["unaccounted"]), (Some(0), &json!(0)), "{page}");
}
