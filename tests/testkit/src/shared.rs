//! The broker that all tests of a run share.

use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Broker;

/// `host:port` of a broker to use, or `none`.
const CHOICE: &str = "TOCSIN_TEST_KAFKA";
/// A file that the names of skipped tests are appended to, for whoever sums up the run.
const SKIPPED: &str = "TOCSIN_TEST_SKIPPED";

/// Whether this run has Kafka at all; if not, the test `name` is reported as skipped. For tests that start
/// a [`Broker`] of their own.
pub fn kafka_wanted(name: &str) -> bool {
    if std::env::var(CHOICE).as_deref() != Ok("none") {
        return true;
    }
    // Not by eprintln!, which the test harness swallows when a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED without Kafka ({CHOICE}=none): {name}");
    if let Some(path) = std::env::var_os(SKIPPED) {
        let line = format!("{name}\n");
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        let _ = file.and_then(|mut f| f.write_all(line.as_bytes()));
    }
    false
}

/// The address of the run's broker: the one that `TOCSIN_TEST_KAFKA` names, else one that this process
/// starts at the first call and that ends with it. `None`: this run is without Kafka, and the test `name`
/// is reported as skipped. Use [`unique`] names for topics and writers.
///
/// # Panics
/// When a broker is wanted and does not start.
pub fn kafka(name: &str) -> Option<String> {
    static OWN: OnceLock<Broker> = OnceLock::new();
    if !kafka_wanted(name) {
        return None;
    }
    match std::env::var(CHOICE) {
        Ok(address) if !address.is_empty() => Some(address),
        _ => Some(OWN.get_or_init(Broker::start).address().to_owned()),
    }
}

/// A name that no other test, run or process uses.
pub fn unique(stem: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{stem}-{:x}-{:x}-{count}", std::process::id(), since.as_micros())
}
