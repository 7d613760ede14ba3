//! A log under test, and helpers around it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tocsin_connectors::log::kafka::{KafkaLog, KafkaSettings, Stamps};
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::log::{
    EventLog, LogReader, LogRecord, NewRecord, Retention, TopicPartition, TopicSettings,
};
use tocsin_testkit::unique;

/// Longer than anything here takes on a busy machine; reached only by a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where a log under test stands.
pub struct Subject {
    place: Place,
    _folder: Option<TempDir>,
}

enum Place {
    Sqlite(PathBuf),
    Kafka(String),
}

impl Subject {
    /// A new file.
    pub fn sqlite() -> Subject {
        let folder = tempfile::tempdir().unwrap();
        Subject { place: Place::Sqlite(folder.path().join("log")), _folder: Some(folder) }
    }

    /// The run's broker, if there is one.
    pub fn kafka(test: &str) -> Option<Subject> {
        let address = tocsin_testkit::kafka(test)?;
        Some(Subject::broker(&address))
    }

    /// A broker of the test's own.
    pub fn broker(address: &str) -> Subject {
        Subject { place: Place::Kafka(address.to_owned()), _folder: None }
    }

    /// The file, if it is one.
    pub fn path(&self) -> &Path {
        match &self.place {
            Place::Sqlite(path) => path,
            Place::Kafka(_) => panic!("not a file"),
        }
    }

    /// Opens the log, as a new process would.
    pub fn open(&self) -> Arc<dyn EventLog> {
        self.open_with(Stamps::LogAppendTime)
    }

    pub fn open_with(&self, stamps: Stamps) -> Arc<dyn EventLog> {
        match &self.place {
            Place::Sqlite(path) => Arc::new(SqliteLog::open(path).unwrap()),
            Place::Kafka(address) => {
                let settings = KafkaSettings { stamps, ..KafkaSettings::plain(address) };
                Arc::new(KafkaLog::connect(&settings).unwrap())
            }
        }
    }

    /// Another process that plays `role` on this log.
    pub fn process(&self, role: &str, topics: &[&Arc<str>], writer: &str) -> Process {
        self.run(Command::new(std::env::current_exe().unwrap()), role, topics, writer)
    }

    /// The same, with its writes and syncs written down.
    pub fn traced_process(&self, into: &Path, role: &str, topics: &[&Arc<str>], writer: &str) -> Process {
        let mut command = Command::new("strace");
        // -y: the names of files; only calls that say something about durability, and our own words.
        command.args(["-f", "-y", "-s", "32", "-e", "trace=fsync,fdatasync,pwrite64,write", "-o"]);
        command.arg(into).arg(std::env::current_exe().unwrap());
        self.run(command, role, topics, writer)
    }

    fn run(&self, mut command: Command, role: &str, topics: &[&Arc<str>], writer: &str) -> Process {
        let (kind, place) = match &self.place {
            Place::Sqlite(path) => ("sqlite", path.display().to_string()),
            Place::Kafka(address) => ("kafka", address.clone()),
        };
        let topics = topics.iter().map(|t| &***t).collect::<Vec<_>>().join(",");
        let mut child = command
            .args(["--exact", "in_another_process", "--nocapture", "--test-threads=1"])
            .env("CONFORMANCE_ROLE", role)
            .env("CONFORMANCE_KIND", kind)
            .env("CONFORMANCE_PLACE", place)
            .env("CONFORMANCE_TOPICS", topics)
            .env("CONFORMANCE_WRITER", writer)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Process { child, input: Some(input), output }
    }
}

/// Another process; dropping it kills it.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// The next thing that it says, or `None` at its end.
    pub fn next(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            // The test harness speaks on the same pipe, and may leave its line open.
            if let Some((_, said)) = line.trim_end().split_once("@@") {
                return Some(said.to_owned());
            }
        }
    }

    /// Everything that it still says.
    pub fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Tells it to go on.
    pub fn go(&mut self) {
        writeln!(self.input.as_mut().unwrap(), "go").unwrap();
    }

    /// `kill -9`.
    pub fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.input.take();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@@{text}").unwrap();
    out.flush().unwrap();
}

fn wait_for_go() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// What this binary does when it is run as another process of a test.
pub fn child_main() {
    let Ok(role) = std::env::var("CONFORMANCE_ROLE") else { return };
    let env = |name: &str| std::env::var(format!("CONFORMANCE_{name}")).unwrap();
    let place = match env("KIND").as_str() {
        "sqlite" => Place::Sqlite(PathBuf::from(env("PLACE"))),
        _ => Place::Kafka(env("PLACE")),
    };
    let log = Subject { place, _folder: None }.open();
    let topics: Vec<Arc<str>> = env("TOPICS").split(',').map(Arc::from).collect();
    let mut writer = log.writer(&env("WRITER")).unwrap();
    say("ready");
    match role.as_str() {
        // Appends one record to each topic, again and again, until it is fenced or killed.
        "append until fenced" => {
            for n in 0..3_000 {
                let records: Vec<_> = topics.iter().map(|t| record(t, "key", &format!("{n}"))).collect();
                match writer.append(&records) {
                    Ok(()) => say(&format!("{n}")),
                    Err(e) => return say(&format!("{e:?}")),
                }
            }
            say("was never fenced");
        }
        // Three records to each topic at once; says what was acknowledged.
        "append groups" => {
            for n in 0.. {
                let mut records = Vec::new();
                for topic in &topics {
                    for part in 0..3 {
                        let value = format!("{}/{n}/{part}", env("WRITER"));
                        records.push(record(topic, &format!("{part}"), &value));
                    }
                }
                writer.append(&records).unwrap();
                say(&format!("{n}"));
            }
        }
        "append 50" => {
            for n in 0..50 {
                writer.append(&[record(&topics[0], "key", &format!("{}/{n}", env("WRITER")))]).unwrap();
            }
            say("done");
        }
        // One append at each word; says when it returned.
        "append on demand" => {
            for n in 0..20 {
                wait_for_go();
                writer.append(&[record(&topics[0], "key", &format!("{n}"))]).unwrap();
                say(&format!("{}", micros()));
            }
        }
        other => panic!("no role {other:?}"),
    }
}

/// Microseconds since 1970, to compare between processes of one machine.
pub fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

/// A new topic with a name of its own.
pub fn topic(log: &dyn EventLog, stem: &str, partitions: u32) -> Arc<str> {
    let name: Arc<str> = Arc::from(unique(stem));
    let settings = settings(&name, partitions);
    log.ensure(&[settings], false).unwrap();
    name
}

pub fn settings(name: &Arc<str>, partitions: u32) -> TopicSettings {
    TopicSettings {
        name: Arc::clone(name),
        partitions,
        retention: Retention::Forever,
        max_record_bytes: 11_000_000,
    }
}

pub fn record(topic: &Arc<str>, key: &str, value: &str) -> NewRecord {
    NewRecord {
        topic: Arc::clone(topic),
        key: key.as_bytes().to_vec(),
        value: Some(value.as_bytes().to_vec()),
        stamp: None,
        route: None,
    }
}

pub fn text(record: &LogRecord) -> String {
    String::from_utf8(record.value.clone().unwrap()).unwrap()
}

pub fn at(topic: &Arc<str>, partition: u32) -> TopicPartition {
    TopicPartition { topic: Arc::clone(topic), partition }
}

/// A reader of all partitions of these topics from their first offsets.
pub fn reader(log: &dyn EventLog, topics: &[&Arc<str>]) -> Box<dyn LogReader> {
    let mut from = Vec::new();
    for topic in topics {
        for (partition, bounds) in log.bounds(topic).unwrap().iter().enumerate() {
            from.push((at(topic, partition as u32), bounds.first));
        }
    }
    log.reader(&from).unwrap()
}

/// Reads until there are `count`.
pub fn read_count(reader: &mut dyn LogReader, count: usize) -> Vec<LogRecord> {
    let deadline = Instant::now() + PATIENCE;
    let mut records = Vec::new();
    while records.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} records came", records.len());
        records.extend(reader.poll(1000, Duration::from_millis(100)).unwrap());
    }
    records
}

/// Reads until the reader has caught up.
pub fn read_to_end(reader: &mut dyn LogReader) -> Vec<LogRecord> {
    let deadline = Instant::now() + PATIENCE;
    let mut records = Vec::new();
    while !reader.caught_up().unwrap() {
        assert!(Instant::now() < deadline, "not caught up with {} records", records.len());
        records.extend(reader.poll(1000, Duration::from_millis(20)).unwrap());
    }
    records
}

/// All that is committed in these topics: at least `count` records, and whatever else is there. (On Kafka
/// an acknowledged append may take some milliseconds more to be seen.)
pub fn all(log: &dyn EventLog, topics: &[&Arc<str>], count: usize) -> Vec<LogRecord> {
    let mut reader = reader(log, topics);
    let mut records = read_count(&mut *reader, count);
    records.extend(read_to_end(&mut *reader));
    records
}

/// Waits for a condition; it must come true.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
