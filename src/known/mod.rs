//! `tocsin known`: the figures of a past day as they were known at a past instant and as they are known now, and which
//! records make the difference. It reads only.
//!
//! - [`asked`]: what is asked, and what can be said of it before anything is read
//! - [`text`]: the answer for people; `--json` prints it as it is
//!
//! The comparing itself is [`tocsin_pipeline::known`]; the history is that of `backtest`. Page: `docs/known.md`.

mod asked;
mod text;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::ProgressBar;
use serde::Serialize;
use tocsin_pipeline::Policies;
use tocsin_pipeline::known::{Absent, Comparing, Comparison, Question};
use tocsin_schemas::codes::Scope;
use tocsin_schemas::time::{Day, Instant};

use crate::backtest::history::{History, Stream, Topics};
use crate::config::{self, Config};
use crate::exit::{CommandResult, Failure};
use crate::output::{self, say};
use crate::policy::topic;
use crate::run::pipeline::start;
use crate::{open, stream};
use asked::At;

/// So many keys are named where one is asked for that has no figures.
const KEYS: usize = 40;

/// What to compare.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
SCOPE and KEY name a row as the topic rates and statistics.jsonl have it:
  enterprise USCC, industry 33, area 330784001, city 330784, sector 2, tag 保温杯,
  cause 12, hour 08, shift night, weekday 1, month 03, quarter 1

Without --known-at: as known at the end of the day. Without --as-of: for the day of the instant.
The history is a file of arrivals as `tocsin replay` takes it, or the event log of --config, which is read and never
written to; the service may go on meanwhile. Names, notes and phones of persons are never shown.

Examples:
  tocsin known area 330784001 --as-of 2025-03-31 --config tocsin.toml
  tocsin known city 330784 --as-of 2025-03-31 --known-at 2025-04-10T09:00:00+08:00 --config tocsin.toml
  tocsin known enterprise 91330784XX00000190 stream.jsonl --known-at 2025-03-31 --json

Exit codes: 0 compared, and the differences add up. 1: nothing has such a key, the history cannot be read, or the
differences do not add up (a defect, report it). 2: a wrong call, also a day or an instant that the history does not
reach.")]
#[command(group = clap::ArgGroup::new("records").args(["stream", "config"]).required(true))]
#[command(group = clap::ArgGroup::new("when").args(["as_of", "known_at"]).required(true).multiple(true))]
pub struct Args {
    /// What the figures are of.
    #[arg(value_name = "SCOPE", value_parser = scopes())]
    pub scope: Scope,
    /// Which one.
    #[arg(value_name = "KEY")]
    pub key: String,
    /// The file of arrivals; left out: the event log of --config.
    #[arg(value_name = "STREAM.jsonl")]
    pub stream: Option<PathBuf>,
    /// The day that the figures are for.
    #[arg(long, value_name = "DAY")]
    pub as_of: Option<Day>,
    /// The past instant, RFC 3339 with an offset; a day means its end.
    #[arg(long, value_name = "INSTANT")]
    pub known_at: Option<At>,
    /// The configuration of the service: its event log, and the policies that were published on it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// With a stream: the policy file; left out: the default policy.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub policy: Option<PathBuf>,
    /// With a stream: the policy file that was in force at the past instant; left out: the same as now.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub policy_then: Option<PathBuf>,
    /// With a stream: both policies took effect on this day, as `replay --policy-from` had it (one table only).
    #[arg(long, value_name = "DATE", conflicts_with = "config")]
    pub policy_from: Option<Day>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

fn scopes() -> impl TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(Scope::ALL.iter().map(|scope| scope.as_str())).try_map(|name| name.parse())
}

/// The answer with what it was read from.
#[derive(Debug, Serialize)]
struct Answer {
    /// Whether what was known then and the differences give what is known now.
    adds_up: bool,
    history: Read,
    #[serde(flatten)]
    comparison: Comparison,
}

/// What was read.
#[derive(Debug, Serialize)]
struct Read {
    /// Lines or records.
    records: u64,
    /// Those that were refused: no sound envelope, or at the door.
    refused: u64,
}

/// Where records come from, and by which policies they are read.
struct Source {
    history: Box<dyn History>,
    then: Policies,
    now: Policies,
    /// How far the service has come, which may be later than the last record.
    clock: Option<Instant>,
}

/// Runs it.
///
/// # Errors
/// A wrong call: a key that the scope cannot have, a day or instant that the history does not reach, a file that cannot
/// be read. A failure: the log, a key that has no figures then or now, or differences that do not add up.
pub fn run(args: Args) -> CommandResult {
    let began = std::time::Instant::now();
    let question =
        asked::question(args.scope, &args.key, args.as_of, args.known_at).map_err(Failure::wrong_call)?;
    let Source { mut history, then, now, clock } = source(&args, question.known_at)?;
    let mut comparing = Comparing::new(question.clone(), then, now);
    let last = feed(&mut *history, &question, &mut comparing)?;
    let clock = clock.map_or(last, |clock| clock.max(last));
    reached(&args, &question, clock)?;
    let read = history.read();
    // Its bar gives way to that of the steps.
    drop(history);
    let comparison = explained(&mut comparing, clock);
    named(&comparing, &comparison)?;
    let answer = Answer {
        adds_up: comparison.adds_up(),
        history: Read { records: read.records, refused: read.refused },
        comparison,
    };
    if args.json {
        let text = serde_json::to_string_pretty(&answer).map_err(Failure::failed)?;
        say!("{text}");
    } else {
        output::bytes(text::of(&answer).as_bytes());
    }
    let seconds = began.elapsed().as_secs_f64();
    output::tell(format_args!("{} records in {seconds:.2} s", read.records));
    if answer.adds_up {
        return Ok(());
    }
    Err(Failure::failed(
        "does not add up: what was known then and the differences do not give what is known now. That is a defect: \
         report it with this output",
    ))
}

fn source(args: &Args, known_at: Instant) -> Result<Source, Failure> {
    if let Some(path) = &args.config {
        let config = config::load(path)?;
        return of_log(&config, known_at);
    }
    let of_file = |path: &PathBuf| config::read_policies(path).map_err(Failure::wrong_call);
    let now = args.policy.as_ref().map(of_file).transpose()?.unwrap_or_default();
    let then = args.policy_then.as_ref().map(of_file).transpose()?.unwrap_or_else(|| now.clone());
    let [then, now] = [then, now].map(|policies| stream::effective(policies, args.policy_from));
    // The arguments' own rule; said again for whoever changes it.
    let Some(path) = &args.stream else {
        return Err(Failure::wrong_call("name a STREAM.jsonl, or the --config of an event log"));
    };
    Ok(Source { history: Box::new(Stream::open(path)?), then: then?, now: now?, clock: None })
}

/// The log of the service, the policy that had been published by the instant (before the first one: that), and the
/// newest one.
fn of_log(config: &Config, known_at: Instant) -> Result<Source, Failure> {
    let log = open::open(config, open::Missing::Refuse)?;
    let (held, progress) = open::within(open::LIMIT, &config.log, move || {
        Ok((topic::read(&*log)?, start::read_progress(&*log)?))
    })?;
    let by_then = held.valid.iter().rev().find(|one| one.published_at <= known_at).or(held.valid.first());
    let policies = |one: Option<&topic::Published>| {
        one.map_or_else(|| config.policies.clone(), |published| published.policies.clone())
    };
    Ok(Source {
        then: policies(by_then),
        now: policies(held.newest()),
        history: Box::new(Topics::open(config)?),
        clock: progress.and_then(|progress| progress.clock),
    })
}

/// Gives everything to `comparing`; returns the clock at the end.
fn feed(
    history: &mut dyn History,
    question: &Question,
    comparing: &mut Comparing,
) -> Result<Instant, Failure> {
    let mut clock = None;
    while let Some(batch) = history.next()? {
        if clock.is_none() && batch.at > question.known_at {
            return Err(Failure::wrong_call(format!(
                "nothing was known yet at {}: the first record arrived at {}; expected an instant not before that",
                question.known_at, batch.at
            )));
        }
        // What came late was taken in at the clock.
        let at = clock.map_or(batch.at, |clock: Instant| clock.max(batch.at));
        clock = Some(at);
        for arrival in batch.arrivals {
            comparing.take(at, arrival);
        }
    }
    clock.ok_or_else(|| {
        Failure::wrong_call("nothing ever arrived in this history: name another STREAM.jsonl or --config")
    })
}

/// That day and instant have come. The end of a day that is not over yet is as far as the history goes.
fn reached(args: &Args, question: &Question, clock: Instant) -> Result<(), Failure> {
    let to_come = args.known_at.and_then(|at| match at {
        At::Instant(at) => (at > clock).then(|| at.to_string()),
        At::EndOf(day) => (day > clock.day()).then(|| day.to_string()),
    });
    let (option, found) = match to_come {
        _ if args.as_of.is_some_and(|day| day > clock.day()) => ("--as-of", question.as_of.to_string()),
        Some(at) => ("--known-at", at),
        None => return Ok(()),
    };
    Err(Failure::wrong_call(format!("{option} {found} has not come yet: the history goes up to {clock}")))
}

/// The comparison, under a bar where it takes long.
fn explained(comparing: &mut Comparing, clock: Instant) -> Comparison {
    let mut bar: Option<ProgressBar> = None;
    let comparison = comparing.compare(clock, &mut |done, all| {
        let form = "{bar:40} {percent}%  {human_pos}/{human_len} later records  {eta} left";
        bar.get_or_insert_with(|| stream::bar(all, form)).set_position(done);
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    comparison
}

/// That there is such a thing, then or now.
fn named(comparing: &Comparing, found: &Comparison) -> Result<(), Failure> {
    let nothing = |side: Option<Absent>| matches!(side, Some(Absent::Empty | Absent::NotRegistered));
    if !nothing(found.then.absent) || !nothing(found.now.absent) {
        return Ok(());
    }
    let (scope, key, day) = (found.scope, &found.key, found.now.as_of);
    if scope == Scope::Enterprise {
        return Err(Failure::failed(format!(
            "{key} is not in the register, neither as known then nor as known now: it is in no figure"
        )));
    }
    let keys = comparing.keys();
    let listed = keys.iter().take(KEYS).map(|key| output::plain(key)).collect::<Vec<_>>().join(", ");
    let more = if keys.len() > KEYS { format!(" and {} more", keys.len() - KEYS) } else { String::new() };
    let with = if keys.is_empty() { "none has any".to_owned() } else { format!("there is {listed}{more}") };
    Err(Failure::failed(format!(
        "there are no figures of {scope} {key} for {day}, neither as known then nor as known now; {with}"
    )))
}
