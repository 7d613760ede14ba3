//! The process that is killed: a worker on the embedded log, as `tocsin run --only alerts` has it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tocsin_alerts::worker::{Settings, Worker};
use tocsin_connectors::log::sqlite::SqliteLog;

use crate::gates::{Fast, channels};

/// `LOG BASE_URL BEGAN`: what it works on.
pub const CHILD: &str = "TOCSIN_TEST_GAPS_WORKER";

pub fn run() {
    let Ok(what) = std::env::var(CHILD) else { return };
    let [log, base, began] = what.split(' ').collect::<Vec<_>>()[..] else { panic!("{what}") };
    let clock = Fast { began: began.parse().unwrap() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let log = Arc::new(SqliteLog::open(Path::new(log)).unwrap());
    // Few at once, so that at any moment some are planned, some on their way and some over.
    let settings =
        Settings { max_in_flight: 4, stop_grace: Duration::from_millis(500), ..Settings::default() };
    let worker = Worker::new(log, channels(base, clock), Arc::new(clock), settings);
    if let Err(error) = runtime.block_on(worker.run(std::future::pending())) {
        eprintln!("the worker ended by itself: {error}");
        std::process::exit(3);
    }
}
