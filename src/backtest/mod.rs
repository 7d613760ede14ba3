//! `tocsin backtest`: history under two policies, and what would differ, before anyone changes anything
//! (docs/backtest.md).
//!
//! ```text
//!                                     ┌─> engine under OLD ─> tally ─┐
//! history: stream or log ─> door ─────┤      (a thread each)         ├─> report ─> table, or --json
//!          (read and decoded once)    └─> engine under NEW ─> tally ─┘
//! ```
//!
//! - [`history`]: batches of what arrived at one instant, in the order of `replay` and `run --clock arrivals`
//! - [`engines`]: the two threads. Nothing is written anywhere: the decisions are counted and forgotten
//! - [`tally`]: what one policy said in the days compared (pure)
//! - [`listed`]: who is on the lists of a year (pure)
//! - [`successors`]: whose an enterprise is read as at the end (pure)
//! - [`phones`], [`chance`]: messages by phone; the false alarms to expect (pure)
//! - [`compare`], [`table`]: two tallies side by side, and the page for people (pure)

mod chance;
mod compare;
mod engines;
pub mod history;
mod listed;
mod phones;
mod successors;
mod table;
mod tally;

use std::path::PathBuf;

use tocsin_pipeline::Policies;
use tocsin_pipeline::policy::Policy;
use tocsin_schemas::time::Day;

use crate::config;
use crate::exit::{CommandResult, Failure};
use crate::open;
use crate::output::{self, say};
use crate::policy::topic;
use crate::stream;
use chance::Compared;
use compare::{Report, Side};
use engines::Engines;
use history::{Batch, History, Stream, Topics};

/// What to compare.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("history").args(["stream", "config"]).required(true).multiple(true))]
#[command(after_long_help = "\
History is a file of arrivals as `tocsin replay` takes it, or the event log of --config, which is read and
never written to; the service may go on meanwhile. Earlier records than --from count as history.

Examples:
  tocsin backtest --policy new.toml --config tocsin.toml       what the service has seen, under a new policy
  tocsin backtest stream.jsonl --policy new.toml --against old.toml --from 2024-01-01 --to 2024-12-31
  tocsin backtest --policy new.toml --config tocsin.toml --table 2027-01-01    its table of the future, as if it had held
  tocsin backtest history.jsonl --policy new.toml --policy-from 2009-07-01 --json > differences.json

What each figure means: docs/backtest.md.")]
pub struct Args {
    /// The file of arrivals; left out: the event log of --config.
    #[arg(value_name = "STREAM.jsonl")]
    pub stream: Option<PathBuf>,
    /// The policy file to try (NEW).
    #[arg(long, value_name = "NEW")]
    pub policy: PathBuf,
    /// The policy file to compare with (OLD); left out: the policy of --config, without that the default one.
    #[arg(long, value_name = "OLD")]
    pub against: Option<PathBuf>,
    /// The configuration of the service: its event log, unless a stream is given, and its policy.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The first day to compare; left out: the day of the first arrival.
    #[arg(long, value_name = "DATE")]
    pub from: Option<Day>,
    /// The last day to compare, at most 100 years after the last arrival; left out: the last arrival's day.
    #[arg(long, value_name = "DATE")]
    pub to: Option<Day>,
    /// Let both policies take effect on this day instead (policies of one table only).
    #[arg(long, value_name = "DATE")]
    pub policy_from: Option<Day>,
    /// Of NEW run the table that begins on this day alone, as if it had held from the first day of OLD on: to try a
    /// table of the future.
    #[arg(long, value_name = "DATE")]
    pub table: Option<Day>,
    /// JSON on standard output instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// A policy and where it comes from.
struct Named {
    from: String,
    policies: Policies,
}

/// Runs it.
///
/// # Errors
/// A wrong call: a file that cannot be read, days that do not lie in the history, a policy that does not hold in
/// them, `--policy-from` with several tables, a `--table` that NEW does not have. A failure: the log, or a history that is not whole.
pub fn run(args: Args) -> CommandResult {
    let began = std::time::Instant::now();
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        return Err(Failure::wrong_call(format!(
            "--from {from} is after --to {to}: expected that day or an earlier one"
        )));
    }
    let config = args.config.as_deref().map(config::load).transpose()?;
    let [old, new] = policies(&args, config.as_ref())?;
    if let Some(to) = args.to {
        in_force(&old, &new, to)?;
    }
    let mut history: Box<dyn History> = match (&args.stream, &config) {
        (Some(stream), _) => Box::new(Stream::open(stream)?),
        (None, Some(config)) => Box::new(Topics::open(config)?),
        // The arguments' own rule; said again for whoever changes it.
        (None, None) => {
            return Err(Failure::wrong_call("name a STREAM.jsonl, or the --config of an event log"));
        }
    };
    let Some(first) = history.next()? else {
        return Err(Failure::wrong_call(
            "nothing ever arrived in this history, so there is nothing to compare: name another STREAM.jsonl or --config",
        ));
    };
    let first_day = first.at.day();
    let from = args.from.unwrap_or(first_day);
    if let Some((option, day)) = before(&args, first_day) {
        return Err(Failure::wrong_call(format!(
            "{option} {day} is before the first arrival's day {first_day}: expected that day or a later one"
        )));
    }
    let mut engines = Engines::start([old.policies.clone(), new.policies.clone()], from)?;
    let last = feed(&mut *history, first, args.to, &mut engines)?;
    let to = args.to.unwrap_or(last);
    if from > to {
        return Err(Failure::wrong_call(format!(
            "--from {from} is after the last arrival's day {last}: expected that day or an earlier one, or give --to"
        )));
    }
    in_force(&old, &new, to)?;
    stream::near("--to", to, last)?;
    let read = history.read();
    let contacts = std::mem::take(history.contacts());
    // Its bar gives way to that of the midnights.
    drop(history);
    stream::midnights(last, to, |day| engines.tick_to(day))?;
    let [was, is] = engines.finish()?;
    let days = Compared { first: first_day, from, to };
    let side = |named: Named, ran| Side { from: named.from, policies: named.policies, ran };
    let report = Report::of(&side(old, was), &side(new, is), days, read, &contacts);
    if args.json {
        let text = serde_json::to_string_pretty(&report)
            .map_err(|e| Failure::failed(format!("cannot write the report as JSON: {e}")))?;
        say!("{text}");
    } else {
        output::bytes(table::text(&report).as_bytes());
    }
    let seconds = began.elapsed().as_secs_f64();
    output::tell(format_args!("{} records through two engines in {seconds:.2} s", read.records));
    Ok(())
}

/// OLD and NEW.
fn policies(args: &Args, config: Option<&config::Config>) -> Result<[Named; 2], Failure> {
    let of_file = |path: &PathBuf| -> Result<Named, Failure> {
        let policies = config::read_policies(path).map_err(Failure::wrong_call)?;
        Ok(Named { from: path.display().to_string(), policies })
    };
    let old = match (&args.against, config) {
        (Some(path), _) => of_file(path)?,
        (None, Some(config)) => published(config)?,
        (None, None) => Named { from: "the default policy".to_owned(), policies: Policies::default() },
    };
    let effective = |named: Named, option: &str, or: &str| -> Result<Named, Failure> {
        let policies = stream::effective(named.policies, args.policy_from)
            .map_err(|e| Failure::wrong_call(format!("{option} ({}): {}{or}", named.from, e.text())))?;
        Ok(Named { policies, ..named })
    };
    let old = effective(old, "OLD", ", or give --against a file of one table")?;
    let new = of_file(&args.policy)?;
    let new = match args.table {
        Some(day) => alone(new, day, old.policies.begins())?,
        None => effective(new, "NEW", ", or pick one with --table DATE")?,
    };
    Ok([old, new])
}

/// The table of NEW that begins on `day`, as if it had held from `from` on.
fn alone(Named { from: file, policies }: Named, day: Day, from: Day) -> Result<Named, Failure> {
    let Some(table) = policies.tables().iter().find(|table| table.effective_from == day) else {
        let days: Vec<String> = policies.tables().iter().map(|t| t.effective_from.to_string()).collect();
        let all = if days.len() == 1 { "one" } else { "those" };
        return Err(Failure::wrong_call(format!(
            "--table {day}: NEW ({file}) has no table that begins on {day}: it has {all} from {}",
            days.join(", ")
        )));
    };
    let held = Policy { effective_from: from, ..table.clone() };
    let policies = Policies::new(vec![held]).map_err(Failure::wrong_call)?;
    Ok(Named { from: format!("{file}, its table of {day} as if it held from {from}"), policies })
}

/// The policy in force: the newest of the topic, or, before the first `run`, the configuration's.
fn published(config: &config::Config) -> Result<Named, Failure> {
    let log = open::open(config, open::Missing::Refuse)?;
    let held = open::within(open::LIMIT, &config.log, move || topic::read(&*log))?;
    Ok(match (held.newest(), &config.policy_file) {
        (Some(newest), _) => Named {
            from: format!("version {} of the topic policy", newest.version),
            policies: newest.policies.clone(),
        },
        (None, Some(path)) => Named {
            from: format!("{}, of the configuration", path.display()),
            policies: config.policies.clone(),
        },
        (None, None) => Named {
            from: "the default policy, of the configuration".to_owned(),
            policies: config.policies.clone(),
        },
    })
}

/// That both policies hold on the last day compared: one that does not says nothing at all.
fn in_force(old: &Named, new: &Named, to: Day) -> Result<(), Failure> {
    for (name, Named { from, policies }) in [("OLD", old), ("NEW", new)] {
        let begins = policies.begins();
        if begins > to {
            let instead = match (name, policies.tables().len()) {
                ("NEW", _) => format!("run its table as if it had held, with --table {begins}"),
                (_, 1) => "let it begin earlier with --policy-from DATE".to_owned(),
                _ => "give the policy that held then with --against".to_owned(),
            };
            return Err(Failure::wrong_call(format!(
                "{name} ({from}) takes effect on {begins}, after the last day compared, {to}: {instead}, or compare \
                 later days"
            )));
        }
    }
    Ok(())
}

/// The day of the call that lies before the first arrival, if one does.
fn before(args: &Args, first: Day) -> Option<(&'static str, Day)> {
    let days = [("--from", args.from), ("--to", args.to)];
    days.into_iter().find_map(|(option, day)| day.filter(|day| *day < first).map(|day| (option, day)))
}

/// Gives the engines everything up to the end of `to`; returns the last day of those. What arrived later is read
/// all the same, for its contacts.
fn feed(
    history: &mut dyn History,
    first: Batch,
    to: Option<Day>,
    engines: &mut Engines,
) -> Result<Day, Failure> {
    let mut next = Some(first);
    let (mut last, mut over) = (None, false);
    while let Some(batch) = next {
        let day = batch.at.day();
        over |= to.is_some_and(|to| day > to);
        if !over {
            last = last.max(Some(day));
            engines.arrive(batch)?;
        }
        next = history.next()?;
    }
    // The first one is not after `to`, else the call was wrong.
    Ok(last.unwrap_or(Day(0)))
}
