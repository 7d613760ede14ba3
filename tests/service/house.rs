//! A folder with everything that one service needs, and short words for what tests do there.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Monotonic};

use serde_json::{Value, json};
use tocsin_connectors::log::kafka::{KafkaLog, KafkaSettings, Stamps};
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::log::{EventLog, LogRecord, NewRecord, TopicPartition};
use tocsin_schemas::records::{Alert, Progress, Quarantined};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;
use tocsin_schemas::wire::{self, OutputRecord};

pub const FIRM: &str = "91330784XX00000190";
pub const OTHER_FIRM: &str = "91330784XX000006X3";
pub const AREA: &str = "330784001";

/// The day of the reports of most tests, and when they arrive.
pub const DAY: &str = "2025-03-01";
pub const AT: Option<&str> = Some("2025-03-01T08:00:00+08:00");

pub struct House {
    pub dir: tempfile::TempDir,
    pub log: Arc<dyn EventLog>,
    pub gateway: Gateway,
    log_section: String,
    start: Option<String>,
    /// A gateway of the test's own instead of `gateway`, by its URL.
    other_gateway: Option<String>,
    /// Further sections of the configuration.
    more: String,
    /// Whether nights and holidays are kept.
    quiet: bool,
}

/// Calls the gateway took: every one is answered with yes.
pub struct Gateway {
    pub url: String,
    calls: Arc<Mutex<Vec<Value>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Gateway {
    fn open() -> Gateway {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let calls: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = Arc::clone(&calls);
        let answer = move |axum::Json(mut event): axum::Json<Value>| {
            let kept = Arc::clone(&kept);
            async move {
                kept.lock().unwrap().push(event["data"].take());
                axum::Json(json!({"accepted": true, "ref": "r"}))
            }
        };
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/send", listener.local_addr().unwrap());
        let app = axum::Router::new().route("/send", axum::routing::post(answer));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Gateway { url, calls, _runtime: runtime }
    }

    pub fn calls(&self) -> Vec<Value> {
        self.calls.lock().unwrap().clone()
    }
}

/// A process that was started; killed when dropped.
pub struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
    /// Reads its standard error to the end.
    reader: Option<std::thread::JoinHandle<()>>,
}

impl House {
    /// On the embedded log.
    pub fn embedded() -> House {
        let dir = tempfile::tempdir().unwrap();
        let log = SqliteLog::open(&dir.path().join("log.db")).unwrap();
        House::on(dir, Arc::new(log), "kind = \"embedded\"\npath = \"log.db\"\n".into())
    }

    /// On a broker; topics stamped by their writers.
    pub fn kafka(address: &str) -> House {
        let settings = KafkaSettings { stamps: Stamps::CreateTime, ..KafkaSettings::plain(address) };
        let log = KafkaLog::connect(&settings).unwrap();
        let section = format!(
            "kind = \"kafka\"\nbrokers = \"{address}\"\nreplication_factor = 1\nstamps = \"create_time\"\n"
        );
        House::on(tempfile::tempdir().unwrap(), Arc::new(log), section)
    }

    fn on(dir: tempfile::TempDir, log: Arc<dyn EventLog>, log_section: String) -> House {
        log.ensure(&topics::settings(), false).unwrap();
        let house = House {
            dir,
            log,
            gateway: Gateway::open(),
            log_section,
            start: None,
            other_gateway: None,
            more: String::new(),
            quiet: false,
        };
        house.write_config();
        house
    }

    /// The same with the clock at 09:00 of [`DAY`], and a registry that arrived before [`AT`].
    pub fn started(mut self) -> House {
        self.clock_starts("2025-03-01T09:00:00+08:00");
        self.register(Some("2025-03-01T07:00:00+08:00"));
        self
    }

    /// From now on the service's clock begins at this instant.
    pub fn clock_starts(&mut self, at: &str) {
        self.start = Some(at.to_owned());
        self.write_config();
    }

    /// From now on nights and holidays are kept. (They are not by default: nothing may hang on the hour at which a test
    /// is run.)
    pub fn keeps_quiet(&mut self) {
        self.quiet = true;
        self.write_config();
    }

    /// From now on the service asks this gateway, and its configuration has these lines too (those of
    /// `[alerts.webhook]` first).
    pub fn configure(&mut self, gateway: &str, more: &str) {
        (self.other_gateway, self.more) = (Some(gateway.to_owned()), more.to_owned());
        self.write_config();
    }

    /// From now on the service decides by this policy file.
    pub fn policy(&mut self, text: &str) {
        std::fs::write(self.dir.path().join("policy.toml"), text).unwrap();
        self.more = "[policy]\nfile = \"policy.toml\"\n".to_owned();
        self.write_config();
    }

    /// The embedded log may grow to this size from now on; `None`: as the disk lets it.
    pub fn limit(&mut self, max_bytes: Option<u64>) {
        let limit = max_bytes.map_or(String::new(), |n| format!("max_bytes = {n}\n"));
        self.log_section = format!("kind = \"embedded\"\npath = \"log.db\"\n{limit}");
        self.write_config();
    }

    fn write_config(&self) {
        let start = self.start.as_ref().map_or(String::new(), |s| format!("[clock]\nstart = \"{s}\"\n"));
        let quiet = format!("[alerts.quiet]\nenabled = {}\n", self.quiet);
        let url = self.other_gateway.as_ref().unwrap_or(&self.gateway.url);
        let text = format!(
            "[log]\n{}[alerts.webhook]\nurl = \"{url}\"\n{}{quiet}{start}",
            self.log_section, self.more
        );
        std::fs::write(self.config(), text).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("tocsin.toml")
    }

    /// `tocsin run` with the configuration and these arguments.
    pub fn run(&self, args: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
        command.arg("run").arg("--config").arg(self.config()).args(args).env("RUST_LOG", "info");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said: Arc<Mutex<String>> = Arc::default();
        let (kept, mut stderr) = (Arc::clone(&said), child.stderr.take().unwrap());
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut buffer) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n]));
            }
        });
        Running { child, said, reader: Some(reader) }
    }

    /// Runs it and waits until it has caught up.
    pub fn run_caught_up(&self, args: &[&str]) -> Running {
        let running = self.run(args);
        running.wait_said("caught up");
        running
    }

    /// Appends a JSON record; `stamp` is its arrival, `None` the append time.
    pub fn append(&self, topic: &str, key: &str, value: &Value, stamp: Option<&str>) {
        self.append_raw(topic, key, value.to_string().into_bytes(), stamp);
    }

    pub fn append_raw(&self, topic: &str, key: &str, value: Vec<u8>, stamp: Option<&str>) {
        let record = NewRecord {
            topic: Arc::from(topic),
            key: key.as_bytes().to_vec(),
            value: Some(value),
            stamp: stamp.map(|s| s.parse::<Instant>().unwrap()),
            route: None,
        };
        self.log.writer("test").unwrap().append(&[record]).unwrap();
    }

    /// A firm in the registry, its owner's and its township's contacts.
    pub fn register(&self, stamp: Option<&str>) {
        for (uscc, name) in [(FIRM, "长城五金"), (OTHER_FIRM, "永康电动工具")] {
            let firm = json!({"uscc": uscc, "version": 1, "name": name, "area": AREA, "industry": "33",
                "valid_from": "2015-01-01", "status": "active"});
            self.append(topics::ENTERPRISES, uscc, &firm, stamp);
            self.contact("owner", uscc, stamp);
        }
        self.contact("township_duty", AREA, stamp);
    }

    fn contact(&self, role: &str, subject: &str, stamp: Option<&str>) {
        let contact = json!({"role": role, "subject": subject, "rank": 1, "name": "某人",
            "addresses": {"webhook": format!("{role}-{subject}")}, "version": 1});
        self.append(topics::CONTACTS, &format!("{role}|{subject}|1"), &contact, stamp);
    }

    /// A report of HR.
    pub fn report(&self, id: &str, occurred_on: &str, stamp: Option<&str>) {
        self.append("reports.hr", id, &report(id, occurred_on), stamp);
    }

    /// Empties a topic of the embedded log, which has no command for it: as if it had been lost.
    pub fn lose(&self, topic: &str) {
        let file = rusqlite::Connection::open(self.dir.path().join("log.db")).unwrap();
        let partitions: Vec<i64> = file
            .prepare("SELECT p.id FROM partitions p JOIN topics t ON p.topic = t.id WHERE t.name = ?1")
            .unwrap()
            .query_map([topic], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(partitions.len(), topics::topic(topic).unwrap().partitions as usize);
        for id in partitions {
            file.execute_batch(&format!(
                "DELETE FROM p{id}; UPDATE partitions SET first = 0, next = 0 WHERE id = {id}"
            ))
            .unwrap();
        }
    }

    /// Every committed record of a topic.
    pub fn records(&self, topic: &str) -> Vec<LogRecord> {
        let from: Vec<(TopicPartition, u64)> = (0..)
            .zip(self.log.bounds(topic).unwrap())
            .map(|(partition, b)| (TopicPartition { topic: Arc::from(topic), partition }, b.first))
            .collect();
        let mut reader = self.log.reader(&from).unwrap();
        let mut all = Vec::new();
        while !reader.caught_up().unwrap() {
            all.extend(reader.poll(10_000, Duration::from_millis(100)).unwrap());
        }
        all
    }

    /// Every committed record of an output topic, as it was written.
    pub fn all<T: OutputRecord>(&self) -> Vec<T> {
        self.records(T::TOPIC)
            .into_iter()
            .filter_map(|r| r.value)
            .map(|raw| wire::decode(&raw).unwrap())
            .collect()
    }

    pub fn alerts(&self) -> Vec<Alert> {
        self.all()
    }

    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.all()
    }

    /// The pipeline's own progress.
    pub fn progress(&self) -> Option<Progress> {
        self.all::<Progress>().into_iter().rfind(|p| p.writer == "pipeline")
    }

    /// Writes progress of the pipeline as if it had written it.
    pub fn forge(&self, progress: &Progress) {
        self.append_raw(topics::PROGRESS, "pipeline", wire::encode(progress), None);
    }

    /// What was said, in short: `rule change`, in order.
    pub fn said(&self) -> Vec<String> {
        self.alerts().iter().map(|a| format!("{} {}", a.rule, a.change)).collect()
    }
}

/// A report of HR about a minor injury at [`FIRM`].
pub fn report(id: &str, occurred_on: &str) -> Value {
    json!({"source": "hr", "source_record_id": id, "version": 1, "status": "reported",
        "occurred_on": occurred_on, "reported_at": "2025-01-01T08:00:00+08:00", "uscc": FIRM, "cause": "03"})
}

/// Any command of the binary, to its end.
pub fn tocsin(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tocsin")).args(args).output().unwrap()
}

/// Waits until it is so, at most 20 seconds.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Monotonic::now() + Duration::from_secs(20);
    while !so() {
        assert!(Monotonic::now() < deadline, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Standard error so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub fn wait_said(&self, text: &str) {
        let deadline = Monotonic::now() + Duration::from_secs(20);
        while !self.said().contains(text) {
            assert!(Monotonic::now() < deadline, "did not say {text:?} within 20 s, but:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM, and the exit code, which must come within 10 seconds.
    pub fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        let code = self.ends_within(Duration::from_secs(10));
        if code != Some(0) {
            // What the assertion of the caller cannot show.
            eprintln!("{}", self.said());
        }
        code
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// SIGSTOP; when this returns, each of its threads stands still.
    pub fn pause(&self) {
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
        self.signal("STOP");
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        let status = waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED).unwrap().unwrap();
        assert!(status.stopped(), "{status:?}");
    }

    /// The exit code, which must come within this time.
    pub fn ends_within(&mut self, limit: Duration) -> Option<i32> {
        let deadline = Monotonic::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                if let Some(reader) = self.reader.take() {
                    reader.join().unwrap();
                }
                return status.code();
            }
            assert!(Monotonic::now() < deadline, "still there after {limit:?}; it said:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One incident was told under the default policy, and the service stopped.
pub fn told(house: House) -> House {
    let house = house.started();
    let run = house.run_caught_up(&[]);
    house.report("a", DAY, AT);
    until("the owner is told", || house.gateway.calls().len() == 1);
    assert_eq!(run.stop(), Some(0));
    house
}
