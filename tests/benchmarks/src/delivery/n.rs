//! (n) A ledger of years on the embedded log: the worker ready to send, and `tocsin ledger find`.
//!
//! A million deliveries to 50,000 phones that have ended (ten million with --long), and 10,000 that are open until a day
//! to come. Ready: from the start of a worker until its senders have all open ones in hand. Found: the release build of
//! `tocsin ledger find --phone-hash`, from start to end. The bars are those of ten million, beside a million, too: what both
//! do must not hang on how much has ended.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use tocsin_alerts::channels::Channels;
use tocsin_alerts::clock::SystemClock;
use tocsin_alerts::worker::{Settings, Worker};
use tocsin_schemas::codes::{Change, Role, Urgency};
use tocsin_schemas::ids::IncidentId;
use tocsin_schemas::log::NewRecord;
use tocsin_schemas::records::{Delivery, DeliveryState, Progress};

use super::gateway::Gateway;
use super::{now, output, webhook};
use crate::logs::caught;
use crate::logs::service::{House, program};
use crate::progress::Progress as Bars;
use crate::table::{Figure, Goal, Row};
use crate::{Failure, Options, workload};

const ENDED: u32 = 1_000_000;
const OPEN: u32 = 10_000;
const PHONES: u32 = 50_000;
const READY_SECONDS: f64 = 5.0;
const FOUND_MS: f64 = 50.0;
/// How often it is looked for.
const FINDS: u8 = 9;
/// Deliveries of one append.
const BATCH: u32 = 20_000;
const LIMIT: Duration = Duration::from_secs(1_800);

/// (n) as rows of the table.
///
/// # Errors
/// No `tocsin` beside this program, a worker that ended, or no room for a gigabyte (ten with --long).
pub fn run(options: &Options, bars: &Bars) -> Result<Vec<Row>, Failure> {
    let ended = options.size(ENDED) * if options.long { 10 } else { 1 };
    let measured = caught(|| measure(ended, bars))?;
    let row = |what: &str, ours: Figure, bar: Figure| {
        Row::costs('n', format!("{what}, {ended} deliveries"), ours, bar).goal(Goal::AtMost(1.0))
    };
    let Measured { ready, found, mebibytes, file, cpu } = measured;
    Ok(vec![
        row("ready to send", Figure::new(ready, "s"), Figure::new(READY_SECONDS, "s"))
            .note(format!(
                "{OPEN} open, {file:.0} MB in the file, {mebibytes:.0} MB more resident after it; {:.1} s of processor time",
                cpu.0
            )),
        row("found by phone", Figure::new(found, "ms"), Figure::new(FOUND_MS, "ms"))
            .note(format!("the whole command, the median of {FINDS}; {:.2} s of processor time", cpu.1)),
    ])
}

struct Measured {
    ready: f64,
    found: f64,
    mebibytes: f64,
    file: f64,
    /// Processor time of the start and of one search, in seconds.
    cpu: (f64, f64),
}

fn measure(ended: u32, bars: &Bars) -> Measured {
    let house = House::embedded(None);
    let work = bars.work("(n) writing the ledger", u64::from(ended));
    let mut writer = house.log.writer("benchmark").expect("a writer");
    for from in (0..ended).step_by(BATCH as usize) {
        let batch: Vec<NewRecord> = (from..(from + BATCH).min(ended)).map(|n| output(&sent(n))).collect();
        writer.append(&batch).expect("deliveries");
        work.advance(batch.len() as u64);
    }
    let open: Vec<NewRecord> = (ended..ended + OPEN).map(|n| output(&waiting(n))).collect();
    writer.append(&open).expect("open ones");
    // Of the alerts nothing is left to do.
    let progress = Progress {
        writer: tocsin_alerts::worker::WRITER.into(),
        log_id: house.log.log_id().expect("an id"),
        clock: Some(now()),
        offsets: Vec::new(),
        counters: Default::default(),
        policy_hash: String::new(),
        next_incident: 0,
        lists: None,
    };
    writer.append(&[output(&progress)]).expect("a progress");
    drop(work);

    let work = bars.work("(n) a worker starts", 0);
    let gateway = Gateway::open(Duration::ZERO);
    let (before, spent) = (resident(), processor().0);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let channels = Channels::one(Arc::new(webhook(&gateway.url)));
    let began = Monotonic::now();
    let worker = Worker::new(Arc::clone(&house.log), channels, Arc::new(SystemClock), Settings::default());
    let mut stats = worker.stats();
    let task = runtime.spawn(worker.run(std::future::pending()));
    let all = |s: &tocsin_alerts::stats::Stats| s.in_hand == OPEN as usize && s.open == OPEN as usize;
    let waited = runtime
        .block_on(async { tokio::time::timeout(LIMIT, stats.wait_for(all)).await.map(|seen| seen.is_ok()) });
    let ready = began.elapsed().as_secs_f64();
    assert!(waited == Ok(true), "the worker ended, or was not ready within {LIMIT:?}");
    let (mebibytes, start) = ((resident() - before) / 1e6, processor().0 - spent);
    task.abort();
    runtime.shutdown_timeout(Duration::from_secs(5));
    drop(work);

    let hash = sent(0).phone_hash.unwrap_or_default();
    let mut took: Vec<f64> = (0..FINDS).map(|_| find(&house, &hash)).collect();
    took.sort_by(f64::total_cmp);
    let search = processor().1 / f64::from(FINDS);
    let file = std::fs::metadata(house.path()).map_or(0.0, |m| m.len() as f64 / 1e6);
    Measured { ready, found: took[took.len() / 2], mebibytes, file, cpu: (start, search) }
}

/// Milliseconds of the command.
fn find(house: &House, hash: &str) -> f64 {
    let began = Monotonic::now();
    let done = Command::new(program())
        .args(["ledger", "find", "--json", "--phone-hash", hash, "--log-file"])
        .arg(house.path())
        .stdout(Stdio::null())
        .status()
        .expect("tocsin starts");
    assert!(done.success(), "it finds what is there");
    began.elapsed().as_secs_f64() * 1e3
}

/// Processor time of this process and of its children that have ended, in seconds.
fn processor() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> =
        stat.rsplit(") ").next().unwrap_or_default().split(' ').map(|f| f.parse().unwrap_or(0.0)).collect();
    // A hundred ticks to a second on Linux.
    let of = |at: usize| fields.get(at..at + 2).map_or(0.0, |ticks| (ticks[0] + ticks[1]) / 100.0);
    (of(11), of(13))
}

/// Bytes of this process.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or(0.0) * 1024.0
}

fn hash(what: &str, n: u32) -> String {
    // As a keyed hash looks: 26 letters and digits.
    format!("{what}{:A>width$}", digits(n), width = 26 - what.len())
}

/// A number in the alphabet of base32: `A` is 0.
fn digits(n: u32) -> String {
    n.to_string().bytes().map(|digit| char::from(b'A' + (digit - b'0'))).collect()
}

/// One that went out, some years ago: ten million are of nearly four years.
fn sent(n: u32) -> Delivery {
    let phone = n % PHONES;
    let firm = workload::uscc(phone);
    let at = now().plus_millis(-4 * 365 * 86_400_000 + 12_000 * i64::from(n));
    Delivery {
        delivery_id: hash("D", n),
        alert_id: hash("A", n),
        case_no: IncidentId(n + 1).to_string(),
        uscc: firm,
        role: Role::Owner,
        subject: firm.to_string(),
        contact_rank: Some(1),
        contact_version: Some(1),
        channel: "webhook".into(),
        template: "T1".into(),
        state: DeliveryState::Accepted,
        reason: None,
        attempt: 1,
        at,
        due_at: None,
        gateway_ref: Some(format!("9006197469364984{n:08}")),
        uncertain: false,
        contact_role: Some(Role::Owner),
        sent_at: Some(at),
        contact_subject: None,
        phone_hash: Some(hash("P", phone)),
        address_hash: Some(hash("W", phone)),
        change: Change::New,
        urgency: Urgency::Daytime,
        decided_at: Some(at),
        episode: 1,
        revision: 1,
        area: Some("330784001".into()),
        slots: [("date", "11月25日"), ("ent", "长城五金"), ("n", "3"), ("id", "000000901")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    }
}

/// One that waits for a day to come.
fn waiting(n: u32) -> Delivery {
    let now = now();
    Delivery {
        state: DeliveryState::Planned,
        // Held as a digest is: no change of hours moves it.
        reason: Some("digest".into()),
        attempt: 0,
        at: now,
        due_at: Some(now.plus_millis(86_400_000)),
        gateway_ref: None,
        sent_at: None,
        decided_at: Some(now),
        ..sent(n)
    }
}
