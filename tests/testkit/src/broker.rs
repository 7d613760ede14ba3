//! A real Kafka broker: one node, ports of its own on loopback, data in a temporary folder.
//!
//! Each broker has a small shell as its keeper. The keeper waits on a pipe from this process; when the
//! pipe closes, because the [`Broker`] was dropped or this process was killed, it kills the broker and
//! removes its folder. So no run leaves a broker behind, however it ends.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A broker is ready in 2 to 4 s on a small machine; one that cannot start may hang for ever.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// `$1` the folder, `$2` the log, the rest the broker's command. A line on standard input keeps the folder.
const KEEPER: &str = r#"
trap '' INT TERM HUP
folder=$1 log=$2
shift 2
"$@" >>"$log" 2>&1 </dev/null &
broker=$!
read -r word
kill -9 "$broker" 2>/dev/null
wait "$broker" 2>/dev/null
[ "$word" = keep ] || rm -rf "$folder"
"#;

const PROPERTIES: &str = include_str!("../../broker/server.properties");

/// A running broker; dropping it kills it (`kill -9`) and removes its data.
pub struct Broker {
    folder: PathBuf,
    profile: Profile,
    address: String,
    /// The address that wants a password, and the port it keeps over restarts.
    password_port: Option<u16>,
    keeper: Option<Child>,
    starts: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Profile {
    /// Starts quickly and stays small.
    Test,
    /// Lets the compiler of the JVM do its work.
    Benchmark,
}

impl Broker {
    /// Starts a broker and returns when it is ready.
    ///
    /// # Panics
    /// When there is no Java or no Maven (the message says what to run), or the broker is not ready in
    /// time; with the end of its log.
    pub fn start() -> Broker {
        Broker::new(Profile::Test, false)
    }

    /// A broker for measurements: full compilation and a larger heap. Warm it up: its first 500
    /// transactions are three times slower.
    ///
    /// # Panics
    /// As [`Broker::start`].
    pub fn start_for_benchmark() -> Broker {
        Broker::new(Profile::Benchmark, false)
    }

    /// A broker that has a second address, where it wants the user `tocsin` with the password `right` by
    /// SASL PLAIN.
    ///
    /// # Panics
    /// As [`Broker::start`].
    pub fn start_with_password() -> Broker {
        Broker::new(Profile::Test, true)
    }

    /// `host:port` of the listener without security. The same over [`Broker::restart`].
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `host:port` of the listener that wants a password.
    ///
    /// # Panics
    /// When the broker was started without one.
    pub fn password_address(&self) -> String {
        format!("127.0.0.1:{}", self.password_port.expect("started with a password"))
    }

    /// Kills the broker with `kill -9`; its data stays.
    pub fn kill9(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            if let Some(mut pipe) = keeper.stdin.take() {
                let _ = pipe.write_all(b"keep\n");
            }
            let _ = keeper.wait();
        }
    }

    /// Starts it again on the same data and ports, killing it first if it still runs.
    ///
    /// # Panics
    /// As [`Broker::start`].
    pub fn restart(&mut self) {
        self.kill9();
        self.launch();
    }

    fn new(profile: Profile, password: bool) -> Broker {
        let libs = jars();
        let folder = tempfile::Builder::new()
            .prefix("tocsin-broker.")
            .tempdir()
            .expect("a temporary folder for the broker")
            .keep();
        let password_port = password.then(free_port);
        let mut broker =
            Broker { folder, profile, address: String::new(), password_port, keeper: None, starts: 0 };
        broker.write_properties();
        let format = java(&["-Xmx128m", "-XX:TieredStopAtLevel=1"], &libs)
            .args(["kafka.tools.StorageTool", "format", "--standalone", "-t", &cluster_id(), "-c"])
            .arg(broker.folder.join("server.properties"))
            .output()
            .expect("java runs");
        assert!(
            format.status.success(),
            "the broker's folder could not be formatted: {}{}",
            String::from_utf8_lossy(&format.stdout),
            String::from_utf8_lossy(&format.stderr)
        );
        broker.launch();
        broker
    }

    fn write_properties(&self) {
        // The first start finds a free port; a restart keeps it.
        let port = self.address.rsplit(':').next().filter(|p| !p.is_empty()).unwrap_or("0");
        let mut text = format!("{PROPERTIES}\nlog.dirs={}\n", self.folder.join("data").display());
        let mut listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:0");
        let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
        if let Some(port) = self.password_port {
            listeners = format!("PASSWORD://127.0.0.1:{port},{listeners}");
            protocols += ",PASSWORD:SASL_PLAINTEXT";
            text += "sasl.enabled.mechanisms=PLAIN\n\
                     listener.name.password.plain.sasl.jaas.config=\
                     org.apache.kafka.common.security.plain.PlainLoginModule required user_tocsin=\"right\";\n";
        }
        text += &format!("listeners={listeners}\nlistener.security.protocol.map={protocols}\n");
        fs::write(self.folder.join("server.properties"), text).expect("the broker's folder can be written");
    }

    fn launch(&mut self) {
        self.write_properties();
        self.starts += 1;
        let log = self.folder.join(format!("log.{}", self.starts));
        let flags: &[&str] = match self.profile {
            Profile::Test => &["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
            Profile::Benchmark => &["-Xms1g", "-Xmx1g", "-XX:+UseSerialGC"],
        };
        let log4j = format!("-Dlog4j2.configurationFile={}", scripts().join("log4j2.properties").display());
        let flags: Vec<&str> = flags.iter().copied().chain([log4j.as_str()]).collect();
        let java = java(&flags, &jars());
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&self.folder).arg(&log);
        keeper.arg(java.get_program()).args(java.get_args());
        keeper.arg("kafka.Kafka").arg(self.folder.join("server.properties"));
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.keeper = Some(keeper.spawn().expect("sh runs"));
        self.address = wait_until_ready(&log, self.password_port);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        match self.keeper.take() {
            Some(mut keeper) => {
                drop(keeper.stdin.take());
                let _ = keeper.wait();
            }
            None => {
                let _ = fs::remove_dir_all(&self.folder);
            }
        }
    }
}

/// Reads the log until the broker says that it is ready; its address.
fn wait_until_ready(log: &Path, password_port: Option<u16>) -> String {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let mut text = String::new();
        let _ = fs::File::open(log).and_then(|mut f| f.read_to_string(&mut text));
        if text.contains("Kafka Server started") {
            let not_ours = password_port.map(|p| format!(":{p}"));
            let address = text
                .lines()
                .filter_map(|line| line.split_once("Awaiting socket connections on "))
                .map(|(_, rest)| rest.trim_end_matches('.').trim())
                .rfind(|address| not_ours.as_ref().is_none_or(|p| !address.ends_with(p.as_str())));
            return address.expect("a broker that is ready has said where").to_owned();
        }
        let end: String = text.lines().rev().take(15).collect::<Vec<_>>().join("\n");
        assert!(
            Instant::now() < deadline,
            "the broker is not ready after {READY_WITHIN:?}; its log ends:\n{end}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn java(flags: &[&str], libs: &Path) -> Command {
    let mut command = Command::new("java");
    command.args(flags).arg("-cp").arg(libs.join("*"));
    command
}

/// 22 characters that no other broker has: base64 of 16 bytes, whose last character ends in four zero bits.
fn cluster_id() -> String {
    let unique: String = crate::unique("").chars().filter(char::is_ascii_alphanumeric).collect();
    let unique = format!("{unique:0>21}");
    format!("{}A", &unique[unique.len() - 21..])
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../broker")
}

/// The folder with the broker's jars, fetched by `tests/broker/install` if they are missing.
fn jars() -> PathBuf {
    let libs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kafka/libs");
    if !libs.join(".complete").exists() {
        let install = scripts().join("install");
        let done = Command::new(&install).status().expect("sh runs");
        assert!(done.success(), "{} failed: the test broker needs java and maven", install.display());
    }
    libs
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_broker_is_there_until_killed_and_back_at_the_same_address_and_leaves_nothing() {
        if !crate::kafka_wanted("a broker is there until killed") {
            return;
        }
        let mut broker = Broker::start();
        let address = broker.address().to_owned();
        let folder = broker.folder.clone();
        assert!(TcpStream::connect(&address).is_ok());
        broker.kill9();
        assert!(TcpStream::connect(&address).is_err(), "killed, yet it answers");
        broker.restart();
        assert_eq!(broker.address(), address);
        assert!(TcpStream::connect(&address).is_ok());
        drop(broker);
        assert!(TcpStream::connect(&address).is_err(), "dropped, yet it answers");
        assert!(!folder.exists(), "{} is left", folder.display());
    }
}
