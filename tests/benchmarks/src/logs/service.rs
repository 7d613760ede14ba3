//! A folder with a configuration, an event log, and the real program `tocsin` run on them.

use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant as Monotonic};

use tocsin_connectors::log::kafka::{KafkaLog, KafkaSettings, Stamps};
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::log::{EventLog, TopicPartition};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;

use crate::workload;

/// One installation: a configuration and a log with all topics.
pub struct House {
    dir: tempfile::TempDir,
    /// The log that the service runs on, for what the benchmark itself writes and reads.
    pub log: Arc<dyn EventLog>,
}

impl House {
    /// On the embedded log. `start`: where the service's clock begins; `None`: the machine's clock.
    pub fn embedded(start: Option<Instant>) -> House {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let log = SqliteLog::open(&dir.path().join("log.db")).expect("a new log");
        House::new(dir, Arc::new(log), "kind = \"embedded\"\npath = \"log.db\"\n", start)
    }

    /// On a broker, which has no topics yet.
    pub fn kafka(address: &str, stamps: Stamps, start: Option<Instant>) -> House {
        let settings = KafkaSettings { stamps, ..KafkaSettings::plain(address) };
        let log = KafkaLog::connect(&settings).expect("the broker answers");
        let stamps = match stamps {
            Stamps::CreateTime => "create_time",
            Stamps::LogAppendTime => "log_append_time",
        };
        let section = format!(
            "kind = \"kafka\"\nbrokers = \"{address}\"\nreplication_factor = 1\nstamps = \"{stamps}\"\n"
        );
        House::new(tempfile::tempdir().expect("a temporary folder"), Arc::new(log), &section, start)
    }

    fn new(dir: tempfile::TempDir, log: Arc<dyn EventLog>, section: &str, start: Option<Instant>) -> House {
        log.ensure(&topics::settings(), false).expect("new topics");
        let clock = start.map_or(String::new(), |s| format!("[clock]\nstart = \"{s}\"\n"));
        let text = format!("[log]\n{section}[policy]\nfile = \"policy.toml\"\n{clock}");
        // The default policy, in force from the first report on, so that everything is told.
        let policy = format!("[[policy]]\neffective_from = \"{}\"\n", workload::first_day());
        std::fs::write(dir.path().join("policy.toml"), policy).expect("the folder can be written");
        std::fs::write(dir.path().join("tocsin.toml"), text).expect("the folder can be written");
        House { dir, log }
    }

    /// The file of the embedded log.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("log.db")
    }

    /// `tocsin run --only pipeline` with these arguments.
    pub fn run(&self, args: &[&str]) -> Service {
        let config = self.dir.path().join("tocsin.toml");
        let mut command = Command::new(program());
        command.args(["run", "--only", "pipeline", "--config"]).arg(config).args(args);
        Service::start(command)
    }

    /// Every partition of these topics, from its first offset, and the committed ends.
    pub fn whole(&self, names: &[&str]) -> (Vec<(TopicPartition, u64)>, Vec<u64>) {
        let (mut from, mut ends) = (Vec::new(), Vec::new());
        for name in names {
            let topic: Arc<str> = Arc::from(*name);
            for (partition, bounds) in (0..).zip(self.log.bounds(name).expect("the topic is there")) {
                from.push((TopicPartition { topic: Arc::clone(&topic), partition }, bounds.first));
                ends.push(bounds.end);
            }
        }
        (from, ends)
    }
}

/// The release build of `tocsin` beside this program.
pub fn program() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a place");
    let path = own.with_file_name("tocsin");
    assert!(
        path.is_file(),
        "{} is missing: the benchmark runs the real program; build it with `cargo build --release -p tocsin`",
        path.display()
    );
    path
}

/// A `tocsin run` under way; killed when dropped.
pub struct Service {
    child: Child,
    began: Monotonic,
    lines: Receiver<(Monotonic, String)>,
    said: Vec<(Monotonic, String)>,
}

impl Service {
    fn start(mut command: Command) -> Service {
        command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Monotonic::now();
        let mut child = command.spawn().expect("tocsin starts");
        let (sender, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("piped above")),
            Box::new(child.stderr.take().expect("piped above")),
        ];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send((Monotonic::now(), line)).is_err() {
                        return;
                    }
                }
            });
        }
        Service { child, began, lines, said: Vec::new() }
    }

    /// When it was started.
    pub fn began(&self) -> Monotonic {
        self.began
    }

    /// When it first said this, waiting for it if it has not yet.
    pub fn when_said(&mut self, text: &str, limit: Duration) -> Monotonic {
        if let Some((at, _)) = self.said.iter().find(|(_, line)| line.contains(text)) {
            return *at;
        }
        let deadline = Monotonic::now() + limit;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Monotonic::now())) {
                Ok((at, line)) => {
                    let found = line.contains(text);
                    self.said.push((at, line));
                    if found {
                        return at;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("tocsin did not say {text:?} within {limit:?}:\n{}", self.all())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("tocsin ended without saying {text:?}:\n{}", self.all())
                }
            }
        }
    }

    /// Everything it said so far.
    pub fn all(&mut self) -> String {
        self.said.extend(self.lines.try_iter());
        let lines: Vec<&str> = self.said.iter().map(|(_, line)| line.as_str()).collect();
        lines.join("\n")
    }

    /// The largest resident size of the process so far, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// Waits for its end, which must be a good one; when that was.
    pub fn ended(mut self) -> Monotonic {
        let status = self.child.wait().expect("our own child");
        let at = Monotonic::now();
        // The reading threads see the ends of their pipes now.
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
            self.said.push(line);
        }
        assert!(status.success(), "tocsin ended with {status}:\n{}", self.all());
        at
    }

    /// Asks it to stop, and waits for that.
    pub fn stop(self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.is_ok_and(|s| s.success()), "kill is there");
        self.ended();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
