//! (m) Deliveries a second on one core, over the 500 that are asked for, against a gateway that takes 20 ms.
//!
//! The worker runs in a process of its own that has one core; the gateway is here, on another. All alerts stand in the
//! embedded log before it starts; what counts is the time between the first and the last request of the fast gateway.
//! Each phone gets one message. The second row has as many messages again for a second gateway that takes a second:
//! it must not slow the first one down.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use tocsin_alerts::channel::Channel;
use tocsin_alerts::channels::Channels;
use tocsin_alerts::clock::SystemClock;
use tocsin_alerts::worker::{Settings, Worker};
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_schemas::codes::Role;
use tocsin_schemas::log::NewRecord;

use super::gateway::Gateway;
use super::{Named, alert, contact, output, webhook};
use crate::logs::caught;
use crate::logs::service::House;
use crate::progress::Progress;
use crate::table::{Figure, Goal, Row};
use crate::{Failure, Options, workload};

/// Deliveries a second that are asked for.
const ASKED: f64 = 500.0;
const MESSAGES: u32 = 5_000;
const LATENCY: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_secs(1);
/// Requests under way at once, of all gateways.
const IN_FLIGHT: usize = 32;
/// The name of the slow one; it is in no table, so it has no published limit.
const OTHER: &str = "slow";

/// (m) as rows of the table.
///
/// # Errors
/// No `taskset`, or a worker that ended.
pub fn run(options: &Options, progress: &Progress) -> Result<Vec<Row>, Failure> {
    let messages = options.size(MESSAGES);
    let (alone, _) = caught(|| measure(messages, 0, progress))?;
    let (beside, slow) = caught(|| measure(messages, messages, progress))?;
    let row = |what: &str, rate: f64| {
        Row::yields('m', what, Figure::new(rate, "a second"), Figure::new(ASKED, "asked for"))
            .goal(Goal::AtLeast(1.0))
    };
    Ok(vec![
        row("deliveries on one core, 20 ms gateway", alone).note(format!(
            "{messages} messages to as many phones, at most {IN_FLIGHT} requests at once, embedded log"
        )),
        row("the same beside a gateway that takes 1 s", beside)
            .note(format!("{messages} more for the slow one, in turns; it had {slow} of them meanwhile")),
    ])
}

/// Deliveries a second of the fast gateway, and how many the slow one had meanwhile.
fn measure(fast: u32, slow: u32, progress: &Progress) -> (f64, usize) {
    let work = progress.work("(m) deliveries", u64::from(fast));
    let house = House::embedded(None);
    let mut writer = house.log.writer("benchmark").expect("a writer");
    // Phones of their own; the slow ones are safety officers', whose channel is the other one.
    for from in (0..fast.max(slow)).step_by(500) {
        let mut batch: Vec<NewRecord> = Vec::new();
        for n in from..(from + 500).min(fast.max(slow)) {
            let firm = workload::uscc(n);
            let firm = firm.as_str();
            if n < fast {
                batch.push(contact(Role::Owner, firm, n));
                batch.push(output(&alert(2 * n, n, Role::Owner, firm)));
            }
            if n < slow {
                batch.push(contact(Role::SafetyOfficer, firm, 10_000_000 + n));
                batch.push(output(&alert(2 * n + 1, n, Role::SafetyOfficer, firm)));
            }
        }
        writer.append(&batch).expect("alerts");
    }
    let (gateway, other) = (Gateway::open(LATENCY), Gateway::open(SLOW));
    let worker = child(&house.path(), &gateway.url, &other.url);
    let mut times: Vec<Monotonic> = Vec::new();
    for _ in 0..fast {
        times.push(gateway.next().0);
        work.advance(1);
    }
    drop(worker);
    let took = times[times.len() - 1] - times[0];
    (f64::from(fast - 1) / took.as_secs_f64(), other.came.try_iter().count())
}

struct Worked(Child);

impl Drop for Worked {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This program as the worker, on the first core.
fn child(log: &Path, url: &str, other: &str) -> Worked {
    let own = std::env::current_exe().expect("this program has a place");
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(own).arg("--deliver").arg(log).arg(url).arg(other);
    Worked(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("taskset (util-linux) is there"))
}

/// The child: delivers what stands in the log until it is killed.
///
/// # Errors
/// Those of the worker.
pub fn deliver(args: &[String]) -> Result<(), Failure> {
    let [log, url, other] = args else { return Err("--deliver LOG URL SLOW_URL".into()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let log = Arc::new(SqliteLog::open(Path::new(log))?);
    let all: [Arc<dyn Channel>; 2] = [Arc::new(webhook(url)), Arc::new(Named(OTHER, webhook(other)))];
    let mut channels = Channels::new(all);
    channels.order_for(Role::Owner, &["webhook".to_owned()])?;
    channels.order_for(Role::SafetyOfficer, &[OTHER.to_owned()])?;
    let settings = Settings { max_in_flight: IN_FLIGHT, ..Settings::default() };
    let worker = Worker::new(log, channels, Arc::new(SystemClock), settings);
    runtime.block_on(worker.run(std::future::pending()))?;
    Ok(())
}
