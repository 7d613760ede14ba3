//! `tocsin lists`: the lists that people act on (docs/lists.md): the list of a year (S11, S36), streaks without injury
//! (S54), industries and their benchmarks (S27), post x process x equipment (S32, S45).
//!
//! - [`source`]: where records and policy come from: a file of arrivals, or the service's event log, which is only read
//! - [`known`]: an engine that knows what was known by a day
//! - [`annual`]: the list of a year, as the topic `lists` has it or as the engine keeps it
//! - [`table`], [`text`]: the pages for people; `--json` prints the same figures
//!
//! The rules themselves are [`tocsin_pipeline::lists`].

mod annual;
mod known;
mod source;
pub mod table;
mod text;

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tocsin_pipeline::lists::Details;
use tocsin_schemas::codes::Scope;
use tocsin_schemas::records::Window;
use tocsin_schemas::time::{Day, Instant};

use crate::exit::{CommandResult, Failure};
use crate::output::{self, say};
use known::Known;
use source::Source;

/// Which list.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Records come from a file of arrivals as `tocsin replay` takes it, or from the event log of --config, which is read and
never written to, also beside a running service.

Examples:
  tocsin lists annual --config tocsin.toml                       what others see of this year's list
  tocsin lists annual --config tocsin.toml --year 2025 --policy new.toml    last year's, under other thresholds
  tocsin lists streaks stream.jsonl --as-of 2025-06-30
  tocsin lists industries stream.jsonl --year 2025 --json
  tocsin lists hazards --config tocsin.toml --window month

Exit codes: 0 done, 1 failed (the log), 2 wrong call or policy. What each figure means: docs/lists.md.")]
pub struct Args {
    /// Which list.
    #[command(subcommand)]
    pub list: Which,
}

/// The lists.
#[derive(Debug, clap::Subcommand)]
pub enum Which {
    /// Key (重点) and general (一般) enterprises of a year, with the reasons.
    Annual(Annual),
    /// Enterprises without injury: days since their last incident.
    Streaks(Streaks),
    /// Industries with many incidents and a high rate in a year, and who could be a benchmark there.
    Industries(Industries),
    /// Post x process x equipment by incidents and lost days, per industry or cluster.
    Hazards(Hazards),
}

/// Where records and policy come from, and how to show the result.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("records").args(["stream", "config"]).required(true))]
pub struct Common {
    /// The file of arrivals; left out: the event log of --config.
    #[arg(value_name = "STREAM.jsonl")]
    pub stream: Option<PathBuf>,
    /// The configuration of the service: its event log, and the policy in force there.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The policy file; left out: the policy of --config, without that the default one.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Let the policy take effect on this day instead (a policy of one table only).
    #[arg(long, value_name = "DATE")]
    pub policy_from: Option<Day>,
    /// As known at the end of this day; left out: of the last one.
    #[arg(long, value_name = "DATE")]
    pub as_of: Option<Day>,
    /// Show so many rows of each table.
    #[arg(long, value_name = "N", conflicts_with = "json")]
    pub top: Option<usize>,
    /// JSON on standard output instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// The list of a year.
#[derive(Debug, clap::Args)]
pub struct Annual {
    /// This year or the last one, as seen from the as-of day; left out: this year, with --frozen every year.
    #[arg(long, value_name = "YEAR")]
    pub year: Option<i32>,
    /// The lists that were frozen, with the event and who approved it.
    #[arg(long)]
    pub frozen: bool,
    #[command(flatten)]
    common: Common,
}

/// Streaks without injury.
#[derive(Debug, clap::Args)]
pub struct Streaks {
    #[command(flatten)]
    common: Common,
}

/// The industries of a year.
#[derive(Debug, clap::Args)]
pub struct Industries {
    /// A year up to that of the as-of day; left out: that one, to date.
    #[arg(long, value_name = "YEAR")]
    pub year: Option<i32>,
    #[command(flatten)]
    common: Common,
}

/// Post x process x equipment.
#[derive(Debug, clap::Args)]
pub struct Hazards {
    /// Days looked at, up to the as-of day: month, quarter, year, year_ago, or such as 365d.
    #[arg(long, value_name = "WINDOW", default_value = "365d", value_parser = window)]
    pub window: Window,
    /// Per what.
    #[arg(long, value_enum, default_value_t = By::Industry)]
    pub by: By,
    #[command(flatten)]
    common: Common,
}

/// What hazards are ranked within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Two-digit industries.
    Industry,
    /// Tags of enterprises: local clusters such as 保温杯.
    Tag,
}

/// A window by its name; one of no days or of more than ten years is a slip.
fn window(text: &str) -> Result<Window, String> {
    match text.parse::<Window>() {
        Ok(Window::Rolling(days)) if !(1..=3660).contains(&days) => {
            Err(format!("{days} days: expected 1d to 3660d"))
        }
        Ok(window) => Ok(window),
        Err(_) => Err("expected month, quarter, year, year_ago, or a number of days such as 365d".into()),
    }
}

/// What every page begins with.
#[derive(Debug, Serialize)]
pub struct Heading {
    /// The day it is seen from (Asia/Shanghai).
    pub as_of: Day,
    /// The decision clock.
    pub clock: Instant,
    /// Where the policy comes from.
    pub policy: String,
    /// SHA-256 (hex) of the policy.
    pub policy_hash: Arc<str>,
    /// Of what stands in the topic `lists`: the policy that was published since and has not decided anything yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_taken_over: Option<String>,
    /// Where the records come from.
    pub source: String,
    /// How many lines or records were looked at.
    pub records: u64,
    /// Those that were refused: no sound envelope, or at the door.
    pub refused: u64,
}

/// A page: its heading, and what is listed.
#[derive(Debug, Serialize)]
struct Page<'a, T> {
    #[serde(flatten)]
    heading: &'a Heading,
    #[serde(flatten)]
    list: &'a T,
}

/// Runs it.
///
/// # Errors
/// A wrong call: a file that cannot be read, a policy that cannot be used, a day or year that cannot be answered for. A
/// failure: the log, or records that are not whole.
pub fn run(args: Args) -> CommandResult {
    match args.list {
        Which::Annual(args) => annual::run(&args),
        Which::Streaks(args) => {
            let known = Known::load(Source::open(&args.common)?, args.common.as_of, |_| {})?;
            let heading = known.heading();
            let list = known.engine.streaks().ok_or_else(nothing)?.beside(&known.refused_reports());
            let limits = &known.engine.policies().on(heading.as_of).lists;
            show(&args.common, &heading, &list, |top| text::streaks(&list, limits, top))
        }
        Which::Industries(args) => {
            let known = Known::load(Source::open(&args.common)?, args.common.as_of, |_| {})?;
            let heading = known.heading();
            let this_year = i32::from(heading.as_of.year());
            let year = args.year.unwrap_or(this_year);
            if !(1990..=this_year).contains(&year) {
                return Err(Failure::wrong_call(format!(
                    "--year {year}: expected a year from 1990 to {this_year}, that of the as-of day {}",
                    heading.as_of
                )));
            }
            let list = known.engine.industries(year).ok_or_else(nothing)?;
            let limits = &known.engine.policies().on(heading.as_of).lists;
            show(&args.common, &heading, &list, |top| text::industries(&list, limits, top))
        }
        Which::Hazards(args) => {
            let mut details = Details::default();
            let known = Known::load(Source::open(&args.common)?, args.common.as_of, |a| details.take(a))?;
            let heading = known.heading();
            let mut list = known.engine.hazards(&details, args.window).ok_or_else(nothing)?;
            let scope = match args.by {
                By::Industry => Scope::Industry,
                By::Tag => Scope::Tag,
            };
            list.hazards.retain(|hazard| hazard.scope == scope);
            let limits = &known.engine.policies().on(heading.as_of).lists;
            show(&args.common, &heading, &list, |top| text::hazards(&list, args.window, limits, top))
        }
    }
}

/// An engine without a clock was never given anything, which was said before.
fn nothing() -> Failure {
    Failure::failed("the engine has no clock: this is a defect of Tocsin, report it")
}

/// Prints a list as a page or as JSON.
fn show<T: Serialize>(
    common: &Common,
    heading: &Heading,
    list: &T,
    text: impl FnOnce(usize) -> String,
) -> CommandResult {
    if common.json {
        let text = serde_json::to_string_pretty(&Page { heading, list })
            .map_err(|e| Failure::failed(format!("cannot write the list as JSON: {e}")))?;
        say!("{text}");
    } else {
        output::bytes(table::heading(heading).as_bytes());
        output::bytes(text(common.top.unwrap_or(usize::MAX)).as_bytes());
    }
    Ok(())
}
