//! `tocsin ledger`: what became of every message, and whether the books add up (docs/ledger.md).
//!
//! - [`source`]: which log, and the policy that decided there
//! - [`tail`]: reads what the books need, also beside a running service; writes nothing
//! - [`books`]: the fold of it
//! - [`reconcile`]: pure: what became of each incident and each warning, and what is missing; [`answer`]: its words
//! - [`deliveries`]: `show`, `find` and `export`
//! - [`retry`]: asks that what failed is said after all
//! - [`text`]: the pages for people; `--json` prints the same
//!
//! No phone and no name is in any of it: a person is the contact's place (role, subject, rank, version).

pub mod answer;
pub mod books;
mod deliveries;
pub mod reconcile;
mod retry;
mod source;
pub mod tail;
#[cfg(test)]
mod tests;
mod text;

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tocsin_schemas::codes::Role;
use tocsin_schemas::log::LogError;
use tocsin_schemas::records::Delivery;
use tocsin_schemas::time::Instant;

use crate::exit::{CommandResult, Failure};
use crate::output::say;
use answer::{Looked, Reconciliation, What};
use reconcile::reconcile;
pub use source::Source;
use source::{PolicyOf, Where};
use tail::Tail;

/// How long after a look that missed something the next one is taken.
const APART: Duration = Duration::from_millis(500);

/// Whose contact is really asked, where that is not of the delivery's own role and subject: another office of the same
/// enterprise, or a township that stands in for an owner.
pub fn rung(delivery: &Delivery) -> Option<(Role, &str)> {
    let role = delivery.contact_role.unwrap_or(delivery.role);
    let subject = delivery.contact_subject.as_deref().unwrap_or(&delivery.subject);
    (role != delivery.role || subject != delivery.subject).then_some((role, subject))
}

/// What to do with the ledger.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
All but retry read the event log and write no record, also beside a running service. No phone is ever shown, and no name
but that of whoever asked for a retry.

Examples:
  tocsin ledger reconcile --config tocsin.toml                is anything unaccounted for? exit code 1 if so
  tocsin ledger show 000000901 --config tocsin.toml           what became of the messages of an incident
  tocsin ledger find --state failed --day 2026-04-23 --config tocsin.toml
  tocsin ledger find --phone - --config tocsin.toml           what went to a phone; the number is typed on the next line
  tocsin ledger export --format csv --config tocsin.toml > deliveries.csv
  tocsin ledger retry --day 2026-04-23 --gateway aliyun --author 王主任 --reason \"account paid\" --config tocsin.toml
  tocsin demo --keep here && tocsin ledger reconcile --config here/tocsin.toml

Exit codes: 0 done (reconcile: nothing is unaccounted for), 1 failed (reconcile: something is; show, find: nothing was
found; retry: something was refused, or nothing found), 2 a wrong call.")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: Which,
}

/// The ways to look at it.
#[derive(Debug, clap::Subcommand)]
pub enum Which {
    /// Hold incidents and policy against alerts and deliveries: what became of each, and what is missing.
    Reconcile(Reconcile),
    /// Show the messages of one case, alert or delivery, step by step.
    Show(deliveries::Show),
    /// List deliveries by incident, enterprise, phone, gateway, day, state.
    Find(deliveries::Find),
    /// Write deliveries as CSV or JSON lines, for a spreadsheet or another system.
    Export(deliveries::Export),
    /// Ask that what failed is said after all, once what was wrong is repaired.
    ///
    /// Each delivery is retried once, by the running service, to whoever has the contact's place now. What was decided
    /// (a silence, an expiry) and what a later message has overtaken is refused, and so is what may have come.
    Retry(retry::Args),
}

/// Hold them against each other.
#[derive(Debug, clap::Args)]
pub struct Reconcile {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    policy: PolicyOf,
    /// Print JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// A reconciliation with what it stands on.
#[derive(Debug, Serialize)]
pub struct Page {
    /// The decision clock of the pipeline's progress; `null`: it has not decided anything yet.
    pub clock: Option<Instant>,
    /// The clock of the alert worker's progress; `null`: it never ran here.
    pub delivered_to: Option<Instant>,
    /// Hash of the policy that decided.
    pub policy_hash: Option<String>,
    /// Whether reasons of suppressed incidents were held against that policy.
    pub reasons_judged: bool,
    /// The answer.
    #[serde(flatten)]
    pub found: Reconciliation,
}

/// Runs it.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: Args) -> CommandResult {
    match args.what {
        Which::Reconcile(args) => run_reconcile(&args),
        Which::Show(args) => deliveries::show(&args),
        Which::Find(args) => deliveries::find(&args),
        Which::Export(args) => deliveries::export(&args),
        Which::Retry(args) => retry::run(&args),
    }
}

fn run_reconcile(args: &Reconcile) -> CommandResult {
    let source = Source::open(&args.place, &args.policy)?;
    let page = add_up(&source, &bar())?;
    if page.clock.is_none() {
        return Err(Failure::failed(
            "the pipeline has not decided anything in this log, so there is nothing to hold against anything: start \
             `tocsin run`, or name the log that did decide with --config or --log-file",
        ));
    }
    if args.json {
        let text = serde_json::to_string_pretty(&page).map_err(Failure::failed)?;
        say!("{text}");
    } else {
        say!("{}", text::reconciliation(&page).trim_end());
    }
    match page.found.unaccounted {
        0 => Ok(()),
        n => Err(Failure::failed(format!(
            "{n} of {} cases unaccounted for: each stands above with its next step",
            page.found.cases()
        ))),
    }
}

/// Reads the books and adds them up; looks again where something is missing.
///
/// # Errors
/// Those of the log.
pub fn add_up(source: &Source, bar: &ProgressBar) -> Result<Page, LogError> {
    let each = |topic: &'static str| {
        if bar.position().is_multiple_of(1000) {
            bar.set_message(topic);
        }
        bar.inc(1);
    };
    let mut tail = Tail::new(std::sync::Arc::clone(&source.log));
    tail.advance(&each)?;
    let mut page = judged(&tail, source, None);
    if page.reasons_judged && !page.found.unjudged.is_empty() {
        tail.look_up(&page.found.unjudged, &*source.schemas, &each)?;
        page = judged(&tail, source, None);
    }
    if page.found.unaccounted > 0 {
        // The service may have been in the midst of a transaction.
        std::thread::sleep(APART);
        tail.advance(&each)?;
        page = judged(&tail, source, Some(&page.found.in_sight));
    }
    bar.finish_and_clear();
    Ok(page)
}

fn judged(tail: &Tail, source: &Source, earlier: Option<&Looked>) -> Page {
    let books = &tail.books;
    let decided = books.decided.as_ref();
    let policies = decided.and_then(|p| source.policy(&p.policy_hash));
    Page {
        clock: decided.and_then(|p| p.clock),
        delivered_to: books.delivered.as_ref().and_then(|p| p.clock),
        policy_hash: decided.map(|p| p.policy_hash.clone()),
        reasons_judged: policies.is_some(),
        found: reconcile(books, policies, earlier),
    }
}

impl Reconciliation {
    /// How many cases there are.
    pub fn cases(&self) -> u64 {
        self.rows.iter().map(|row| row.cases).sum()
    }

    /// How many of one kind.
    pub fn cases_of(&self, what: What) -> u64 {
        self.rows.iter().filter(|row| row.what == what).map(|row| row.cases).sum()
    }

    /// The counted incidents in one line: `80 incidents counted = 75 told + 5 suppressed (5 too_old); unaccounted 0`.
    pub fn line(&self, what: What) -> String {
        text::line(self, what)
    }
}

/// On standard error, if that is a terminal. How many records there are is not known before.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} reading {msg}: {human_pos} records, {per_sec}");
    let bar =
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
