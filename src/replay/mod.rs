//! `tocsin replay`: a file of arrivals through the pipeline that serves production, on the embedded log, and
//! what it decided as files (records.md section 5).
//!
//! ```text
//! line -> envelope -> log (a temporary one) -> door -> engine -> log
//!            |                                  |        |
//!       undecodable                         quarantine  decisions, in order -> DIR/*.jsonl
//! ```
//!
//! - [`station`]: log, door, engine and sink in lockstep; the demo stands on it too
//! - [`files`]: the files' shapes, and how a file is written whole or not at all
//!
//! The stream is read line by line; a chunk of lines is one append. The files get their names only when the
//! whole stream was decided, so a wrong call or a failure leaves what was there before.

mod files;
pub mod station;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tocsin_pipeline::{Outcome, Policies};
use tocsin_schemas::codes::{Change, Reason, Rule, Scope, State};
use tocsin_schemas::door::{self, LineRefusal, Refusal};
use tocsin_schemas::log::LogRecord;
use tocsin_schemas::records::{Incident, Listed, Quarantined, Rates, Whole};
use tocsin_schemas::time::{Day, Instant};
use tocsin_schemas::topics;

use crate::exit::{CommandResult, Failure};
use crate::open;
use crate::output;
use crate::run::pipeline::clock;
use crate::stream::{self, Line, Lines};
use files::{AlertLine, FlagLine, IncidentLine, Pending, QuarantineLine, RateLine, Summary};
use station::{AtDoor, Fed, Station, at_door};

/// A chunk is full at this many lines…
const CHUNK_LINES: usize = 4_000;
/// …or this many bytes.
const CHUNK_BYTES: u64 = 4 << 20;

/// From so many midnights on their passing is announced where no bar shows it.
const MANY_DAYS: i32 = 365;

/// How to replay.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Each line is one arrival, in order:
  {\"topic\":\"reports.hr\",\"arrived_at\":\"2025-03-01T08:00:00+08:00\",\"value\":{…}}

Writes incidents.jsonl, flags.jsonl, rates.jsonl, statistics.jsonl (by sector, tag, cause and period),
lists.jsonl (key and general enterprises), alerts.jsonl, quarantine.jsonl and summary.json, byte for
byte the same on every run. Lines that cannot be used, also those of more than 4 MiB, are listed in quarantine.jsonl
and are no failure; if every line is such a one, a warning on standard error says so.

Examples:
  tocsin replay stream.jsonl --out out
  tocsin replay history.jsonl --out out --policy-from 2009-07-01    run today's policy on old history
  tocsin replay stream.jsonl --out out --keep-log out.db            and keep the log, for `tocsin why`

Exit codes: 0 done, also where lines were quarantined. 1: the disk failed. 2: a wrong call.")]
pub struct Args {
    /// The file of arrivals.
    #[arg(value_name = "STREAM.jsonl")]
    pub stream: PathBuf,
    /// Where to write; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The policy file; left out: the default policy.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Let the policy take effect on this day instead (a policy of one table only).
    #[arg(long, value_name = "DATE")]
    pub policy_from: Option<Day>,
    /// Go on to this day after the last arrival, at most 100 years; left out: the last arrival's day.
    #[arg(long, value_name = "DATE")]
    pub as_of: Option<Day>,
    /// Keep the event log it ran on in this new file: `tocsin why ID --log-file FILE` explains from it.
    #[arg(long, value_name = "FILE")]
    pub keep_log: Option<PathBuf>,
    /// Threads of the engine. The result is the same with any number.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub workers: u8,
}

/// Runs it.
///
/// # Errors
/// A wrong call: the stream or the policy cannot be read, the folder cannot be made, `--policy-from` with
/// several tables, `--as-of` before the last arrival or a century after it. A failure: the disk.
pub fn run(args: Args) -> CommandResult {
    let began = std::time::Instant::now();
    let policies = policies(&args)?;
    let stream = Lines::open(&args.stream)?;
    fs::create_dir_all(&args.out)
        .map_err(|e| Failure::wrong_call(format!("cannot make the folder {}: {e}", args.out.display())))?;
    let folder = log_folder(&args)?;
    let log = folder.path().join("replay.db");
    let mut replay = Replay::new(&args, policies, &log)?;
    let lines = replay.stream(stream)?;
    let Finished { quarantined, before_policy } = replay.finish(args.as_of)?;
    if let Some(kept) = &args.keep_log {
        keep(&log, kept)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let refused = match quarantined {
        0 => "none quarantined".to_owned(),
        n => format!("{n} quarantined (see quarantine.jsonl)"),
    };
    output::tell(format_args!(
        "{lines} lines in {seconds:.2} s ({:.0} lines/s) with {} worker(s), {refused}; written to {}",
        lines as f64 / seconds.max(1e-9),
        args.workers,
        args.out.display()
    ));
    if let Some(text) = before_policy {
        output::tell(format_args!("{text}"));
    }
    // Quarantined lines are no failure; but whoever named the wrong file shall learn it.
    if lines > 0 && quarantined >= lines {
        output::tell(format_args!(
            "warning: every line was quarantined ({lines} of {lines}), so nothing was decided: {} has the reason of \
             each, and `tocsin replay --help` says what a line looks like",
            args.out.join("quarantine.jsonl").display()
        ));
    }
    Ok(())
}

/// Where the log is while it is written: in the folder of its file, or in the output folder, which is where the caller
/// has room. It goes with what is in it.
fn log_folder(args: &Args) -> Result<tempfile::TempDir, Failure> {
    let folder = match &args.keep_log {
        None => args.out.as_path(),
        Some(kept) if kept.exists() => {
            let text = format!(
                "{} is there already, expected the name of a new file: see --keep-log",
                kept.display()
            );
            return Err(Failure::wrong_call(text));
        }
        Some(kept) => match kept.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        },
    };
    let made = tempfile::Builder::new().prefix(".replay-").tempdir_in(folder);
    made.map_err(|e| match args.keep_log {
        Some(_) => Failure::wrong_call(format!("cannot write to {}: {e}; see --keep-log", folder.display())),
        None => disk(folder)(e),
    })
}

/// Gives the log its name, now that the whole stream was decided and its files are written.
fn keep(log: &Path, kept: &Path) -> CommandResult {
    open::one_file(log)?;
    fs::rename(log, kept)
        .map_err(|e| Failure::failed(format!("cannot keep the log as {}: {e}", kept.display())))
}

/// What a finished replay tells of itself.
struct Finished {
    /// Lines that were quarantined.
    quarantined: u64,
    /// That a part of the history lies before the policy, if it does.
    before_policy: Option<String>,
}

/// What to know of a history that began before the policy did: it says little, and that is no finding.
fn before_policy(incidents: &[Incident], policies: &Policies, not_due: u64) -> Option<String> {
    let counted = || incidents.iter().filter(|i| i.state == State::Counted);
    let begins = policies.begins();
    let earlier = counted().filter(|i| i.occurred_on < begins).count();
    // What was first reported after that day is told all the same.
    (earlier > 0 && not_due > 0).then(|| {
        format!(
            "{earlier} of {} counted incidents occurred before the policy's first day, {begins}: nobody is told of what \
             was first reported before it (not_due in summary.json). To run them as if a policy of one table had held \
             then: --policy-from DATE",
            counted().count()
        )
    })
}

fn policies(args: &Args) -> Result<Policies, Failure> {
    let policies = match &args.policy {
        None => Policies::default(),
        Some(path) => crate::config::read_policies(path).map_err(Failure::wrong_call)?,
    };
    stream::effective(policies, args.policy_from)
}

/// A line that was not decided yet.
struct Waiting {
    number: u64,
    /// The line as it came, without its end.
    raw: Vec<u8>,
    topic: String,
    at: Instant,
    door: AtDoor,
}

/// What a line of a chunk waits for.
enum Step {
    /// The log gives it back: the next one of those fed.
    Log(String, Instant),
    /// Nothing: no log has such a topic or takes such a record, so it came to the door by hand.
    Door(String, Instant, Box<AtDoor>),
    /// Nothing: its envelope is not sound.
    Refused(LineRefusal),
}

/// The replay under way.
struct Replay {
    station: Station,
    out: PathBuf,
    policy_hash: String,
    lines: u64,
    /// Refused before the log: no sound envelope.
    without_envelope: u64,
    /// The run of lines with the same arrival, which may go on.
    batch: Vec<Waiting>,
    /// Lines refused since the last decision.
    refused: Vec<QuarantineLine>,
    alerts: BTreeMap<Rule, BTreeMap<Change, u64>>,
    /// The lists of all years and what was frozen, as they were last written, by key.
    listed: BTreeMap<String, Listed>,
    alerts_file: Pending,
    flags_file: Pending,
    quarantine_file: Pending,
}

/// Without the name of who approved it, which is personal data: the files are passed on, and the event says who it was.
fn nameless(listed: Listed) -> Listed {
    let whole = listed.whole.map(|whole| Whole { approver: None, ..whole });
    Listed { whole, ..listed }
}

fn disk(dir: &Path) -> impl Fn(std::io::Error) -> Failure + '_ {
    move |e| Failure::failed(format!("cannot write to {}: {e}", dir.display()))
}

impl Replay {
    fn new(args: &Args, policies: Policies, log: &Path) -> Result<Replay, Failure> {
        let out = &args.out;
        let begin = |name| Pending::begin(out, name).map_err(disk(out));
        Ok(Replay {
            policy_hash: policies.hash().to_string(),
            station: Station::open(log, policies, usize::from(args.workers))?,
            lines: 0,
            without_envelope: 0,
            batch: Vec::new(),
            refused: Vec::new(),
            alerts: BTreeMap::new(),
            listed: BTreeMap::new(),
            alerts_file: begin("alerts.jsonl")?,
            flags_file: begin("flags.jsonl")?,
            quarantine_file: begin("quarantine.jsonl")?,
            out: out.clone(),
        })
    }

    /// Reads the stream to its end; returns how many lines it has.
    fn stream(&mut self, mut stream: Lines) -> Result<u64, Failure> {
        // A line's bytes stay here until it is decided, because the clerk is shown the line and not only its
        // value.
        let mut chunk: Vec<Line> = Vec::new();
        let mut bytes = 0;
        loop {
            let read = stream.next()?;
            let last = read.is_none();
            if let Some(line) = read {
                bytes += line.bytes;
                chunk.push(line);
            }
            if last || chunk.len() >= CHUNK_LINES || bytes >= CHUNK_BYTES {
                self.chunk(std::mem::take(&mut chunk))?;
                bytes = 0;
            }
            if last {
                self.decide()?;
                self.station.commit()?;
                self.lines = stream.count();
                return Ok(self.lines);
            }
        }
    }

    /// Takes a chunk of lines through the log to the door, and decides every batch that is complete.
    fn chunk(&mut self, chunk: Vec<Line>) -> Result<(), Failure> {
        let mut fed: Vec<Fed> = Vec::with_capacity(chunk.len());
        let mut steps: Vec<(Line, Step)> = Vec::with_capacity(chunk.len());
        for read in chunk {
            let step = match read.admit() {
                Err(refused) => Step::Refused(refused),
                Ok(line) => {
                    let (topic, at) = (line.topic.into_owned(), line.arrived_at);
                    match self.station.takes(&topic) {
                        Some(name) if line.value.len() <= door::MAX_RECORD_BYTES => {
                            let (key, value) = (key_of(&topic, line.value), line.value.to_vec());
                            fed.push(Fed { topic: name, key, value, arrived_at: at });
                            Step::Log(topic, at)
                        }
                        _ => {
                            let by_hand = at_door(LogRecord {
                                topic: Arc::from(topic.as_str()),
                                partition: 0,
                                offset: read.number,
                                stamp: at,
                                key: None,
                                value: Some(line.value.to_vec()),
                            });
                            Step::Door(topic, at, Box::new(by_hand))
                        }
                    }
                }
            };
            steps.push((read, step));
        }
        let mut answers = self.station.through_the_log(&fed)?.into_iter();
        for (Line { number, raw, .. }, step) in steps {
            let (topic, at, door) = match step {
                Step::Refused(LineRefusal { refusal, topic }) => {
                    // Moves no clock and ends no batch; but the file is in the order of lines.
                    self.without_envelope += 1;
                    self.refused.push(quarantine_line(number, topic, &refusal, &raw));
                    if self.batch.is_empty() {
                        self.write_refused()?;
                    }
                    continue;
                }
                Step::Door(topic, at, door) => (topic, at, *door),
                Step::Log(topic, at) => match answers.next() {
                    Some(door) => (topic, at, door),
                    None => return Err(Failure::failed("the log gave back fewer records than it was fed")),
                },
            };
            if self.batch.first().is_some_and(|waiting| waiting.at != at) {
                self.decide()?;
            }
            self.batch.push(Waiting { number, raw, topic, at, door });
        }
        self.station.commit()?;
        Ok(())
    }

    /// Decides the batch that is complete.
    fn decide(&mut self) -> CommandResult {
        let batch = std::mem::take(&mut self.batch);
        let Some((number, at)) = batch.first().map(|waiting| (waiting.number, waiting.at)) else {
            return Ok(());
        };
        clock::near(self.station.engine().clock(), [at].into_iter())
            .map_err(|jump| Failure::failed(format!("line {number}: {jump}")))?;
        let mut doors = Vec::with_capacity(batch.len());
        let (mut flags, mut admitted_lines) = (Vec::new(), Vec::with_capacity(batch.len()));
        for Waiting { number, raw, topic, door, .. } in batch {
            match &door.answer {
                Err(refusal) => self.refused.push(quarantine_line(number, Some(topic), refusal, &raw)),
                Ok(admitted) => {
                    admitted_lines.push(number);
                    flags.extend(admitted.flags.iter().map(|flag| FlagLine::of_slip(number, &topic, flag)));
                }
            }
            doors.push(door);
        }
        self.write_refused()?;
        let (_, outcomes) = self.station.arrive(at, doors);
        let findings = outcomes.iter().flat_map(|o| &o.findings);
        flags.extend(findings.map(|finding| FlagLine::of_finding(finding, &admitted_lines)));
        // Those of the midnights before the batch have no line, and come first.
        flags.sort_by_key(|flag| flag.line);
        self.flagged(&flags)?;
        self.said(&outcomes)
    }

    /// Writes down what the clerk is shown.
    fn flagged(&mut self, flags: &[FlagLine]) -> CommandResult {
        flags.iter().try_for_each(|flag| self.flags_file.line(flag)).map_err(disk(&self.out))
    }

    /// Writes down what was refused up to here.
    fn write_refused(&mut self) -> CommandResult {
        self.refused.sort_by_key(|line| line.line);
        for line in self.refused.drain(..) {
            self.quarantine_file.line(&line).map_err(disk(&self.out))?;
        }
        Ok(())
    }

    fn said(&mut self, outcomes: &[Outcome]) -> CommandResult {
        for alert in outcomes.iter().flat_map(|o| &o.alerts) {
            let Some(line) = AlertLine::of(alert) else { continue };
            self.alerts_file.line(&line).map_err(disk(&self.out))?;
            *self.alerts.entry(alert.rule).or_default().entry(alert.change).or_insert(0) += 1;
        }
        for (key, listed) in outcomes.iter().flat_map(|o| o.lists.iter()) {
            match listed {
                Some(listed) => self.listed.insert(key, nameless(listed)),
                None => self.listed.remove(&key),
            };
        }
        Ok(())
    }

    /// Lets the midnights after the last arrival pass, one after the other; says so where they are many.
    fn tick(&mut self, last: Day, as_of: Day) -> CommandResult {
        stream::near("--as-of", as_of, last)?;
        if as_of > last.plus(MANY_DAYS) && stream::days_bar(last, as_of).is_hidden() {
            output::tell(format_args!("letting every midnight from {last} to {as_of} pass"));
        }
        stream::midnights(last, as_of, |day| {
            let outcomes = self.station.tick_to(day);
            let findings = outcomes.iter().flat_map(|o| &o.findings);
            let flags: Vec<FlagLine> = findings.map(|found| FlagLine::of_finding(found, &[])).collect();
            self.flagged(&flags)?;
            self.said(&outcomes)?;
            self.station.commit()
        })
    }

    /// Ticks to the as-of day and writes the files.
    fn finish(mut self, as_of: Option<Day>) -> Result<Finished, Failure> {
        let last = self.station.engine().clock().map(Instant::day);
        match (as_of, last) {
            (Some(as_of), Some(last)) if as_of < last => {
                return Err(Failure::wrong_call(format!(
                    "--as-of {as_of} is before the last arrival's day {last}: expected that day or a later one"
                )));
            }
            (Some(as_of), Some(last)) => self.tick(last, as_of)?,
            // Nothing arrived: there is nothing to be seen from any day.
            _ => {}
        }
        let engine = self.station.engine();
        // Those of the last two years as they stand beside the city's rate of today.
        self.listed.extend(engine.lists().into_iter().map(|listed| (listed.key(), nameless(listed))));
        let incidents = engine.incidents();
        let mut counters = self.station.counters();
        counters.quarantined += self.without_envelope;
        let as_of = as_of.or(last);
        let (out, failed) = (&self.out, disk(&self.out));
        let not_due = engine.accounts().not_due.get(&Reason::BeforePolicy).copied().unwrap_or(0);
        let before_policy = before_policy(&incidents, engine.policies(), not_due);
        let summary = Summary::new(
            self.lines,
            counters,
            &incidents,
            &self.alerts,
            engine.accounts(),
            as_of,
            &self.policy_hash,
        );
        let write = || {
            let mut file = Pending::begin(out, "incidents.jsonl")?;
            for line in incidents.iter().filter_map(IncidentLine::of) {
                file.line(&line)?;
            }
            file.keep()?;
            let mut file = Pending::begin(out, "rates.jsonl")?;
            let (rates, statistics): (Vec<Rates>, Vec<Rates>) =
                engine.rates().into_iter().partition(|r| Scope::RATES.contains(&r.scope));
            for row in rates.iter().flat_map(Rates::rows) {
                file.line(&RateLine::from(&row))?;
            }
            file.keep()?;
            let mut file = Pending::begin(out, "statistics.jsonl")?;
            for row in statistics.iter().flat_map(Rates::rows) {
                file.line(&RateLine::from(&row))?;
            }
            file.keep()?;
            let mut file = Pending::begin(out, "lists.jsonl")?;
            for listed in self.listed.values() {
                file.line(listed)?;
            }
            file.keep()?;
            let mut file = Pending::begin(out, "summary.json")?;
            file.pretty(&summary)?;
            file.keep()
        };
        write().map_err(&failed)?;
        for file in [self.alerts_file, self.flags_file, self.quarantine_file] {
            file.keep().map_err(&failed)?;
        }
        Ok(Finished { quarantined: counters.quarantined, before_policy })
    }
}

fn quarantine_line(number: u64, topic: Option<String>, refusal: &Refusal, raw: &[u8]) -> QuarantineLine {
    let raw = &raw[..raw.len().min(Quarantined::RAW_LIMIT)];
    QuarantineLine::new(number, topic, refusal.reason.to_string(), refusal.detail.clone(), raw)
}

/// Fields that keys are made of, as they stand in a value. Whether they are any good the door says later.
#[derive(Deserialize)]
struct KeyFields {
    source_record_id: Option<serde_json::Value>,
    uscc: Option<serde_json::Value>,
    month: Option<serde_json::Value>,
    role: Option<serde_json::Value>,
    subject: Option<serde_json::Value>,
    rank: Option<serde_json::Value>,
    event_id: Option<serde_json::Value>,
}

/// The key that a source would give this value: all versions of one thing have the same.
fn key_of(topic: &str, value: &[u8]) -> Vec<u8> {
    let (Some(topic), Ok(fields)) = (topics::topic(topic), serde_json::from_slice::<KeyFields>(value)) else {
        return Vec::new();
    };
    let text = |name: &str| {
        let field = match name {
            "source_record_id" => &fields.source_record_id,
            "uscc" => &fields.uscc,
            "month" => &fields.month,
            "role" => &fields.role,
            "subject" => &fields.subject,
            "rank" => &fields.rank,
            "event_id" => &fields.event_id,
            _ => &None,
        };
        match field {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None if name == "rank" => "1".to_owned(),
            None => String::new(),
        }
    };
    topic.key.split('|').map(text).collect::<Vec<_>>().join("|").into_bytes()
}
