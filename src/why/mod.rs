//! `tocsin why`: from an alert, an incident, an enterprise or an entry on a list back to the records, out of the event log alone.
//!
//! - [`asked`]: what kind of id was given
//! - [`read`]: finds in the log what belongs to it, reading only, beside a running service
//! - [`deep`]: what an entry was compared with, made again from everything
//! - [`text`]: the explanation for people; `--json` prints it as it is
//!
//! The explaining itself is [`tocsin_pipeline::why`]. Page: `docs/why.md`.

mod asked;
mod deep;
mod read;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tocsin_alerts::{ledger, quota};
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_pipeline::Policies;
use tocsin_pipeline::why::{
    AlertExplained, EnterpriseExplained, EntryExplained, IncidentExplained, ListedExplained, Rules, Why,
};
use tocsin_schemas::log::EventLog;
use tocsin_schemas::records::{Delivery, Progress};
use tocsin_schemas::time::{Day, Instant};
use tocsin_schemas::wire::{NoIds, SchemaIds};

use crate::exit::{CommandResult, Failure};
use crate::output::say;
use crate::policy::topic;
use crate::{config, open};
use asked::{Asked, FORMS};
use read::Found;
pub use text::{place_name, said, value};

/// What to explain.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("event_log").args(["config", "log_file"]).required(true))]
#[command(after_long_help = "\
ID is one of:
  an alert       26 letters and digits, as alert_id has them; its first 8 or more, where only one begins so
  an incident    9 or 10 digits, as messages to owners quote them
  a case number  E and 9 letters and digits, as messages to townships quote them
  an enterprise  its unified social credit code (18 symbols)
  a report       SOURCE/ID, such as hr/HR-1: its incident
  a list entry   its key: 'annual|2025|USCC' or 'frozen|2024|EVENT|USCC' (in quotes, so that the shell leaves it alone)
  a whole list   'annual|2025' or 'frozen|2024|EVENT'
Upper and lower case are the same, but in the key of a list.

It reads the event log and writes nothing, also beside a running service. Names, notes and phones of persons are
never shown.

Examples:
  tocsin why 000000901 --config tocsin.toml
  tocsin why 91330784XX00000190 --config tocsin.toml --json
  tocsin why 'annual|2025|91330784XX00000190' --config tocsin.toml --deep
  tocsin replay old.jsonl --out out --keep-log old.db && tocsin why EALFNNLNRR --log-file old.db

Exit codes: 0 explained, and it adds up. 1: not found; or the records do not give again what was said (\"does not add
up\": a defect, report it); or it could not be checked, because the policy that decided is not at hand (\"not checked\":
give it with --policy). 2: the id has no such form, or a wrong call.")]
pub struct Args {
    /// What to explain.
    #[arg(value_name = "ID")]
    pub id: String,
    /// The configuration file: its log, its policy.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// An embedded log instead, such as `replay --keep-log` leaves.
    #[arg(long = "log-file", value_name = "FILE", id = "log_file")]
    pub log_file: Option<PathBuf>,
    /// The policy file of the time; left out: those that were published on the log; where none was, the configured or the
    /// default one.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// That policy took effect on this day, as `replay --policy-from` had it.
    #[arg(long, value_name = "DATE")]
    pub policy_from: Option<Day>,
    /// Of a list or an entry on it: make the city's rate and the model again, from the records of every enterprise. Reads
    /// the whole history.
    #[arg(long)]
    pub deep: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Where to look, and by which policy.
struct Source {
    log: Arc<dyn EventLog>,
    schemas: Arc<dyn SchemaIds>,
    /// The policy in force.
    policies: Policies,
    /// Those that were published, oldest first, with the instant from which each was in force.
    published: Vec<(Instant, Policies)>,
    /// The one that the caller says decided.
    given: Option<Policies>,
}

impl Source {
    /// A policy by its hash: in force now or once, or given.
    fn policy_of(&self, hash: &str) -> Option<&Policies> {
        let published = self.published.iter().map(|(_, policies)| policies);
        let mut known = std::iter::once(&self.policies).chain(published).chain(&self.given);
        known.find(|policies| **policies.hash() == *hash)
    }

    /// The policy that most likely decided at an instant: the one given, else the newest that had been published.
    fn likely(&self, at: Instant) -> Option<&Policies> {
        let published = || self.published.iter().rev().find(|(from, _)| *from <= at).map(|(_, p)| p);
        self.given.as_ref().or_else(published)
    }
}

/// An explanation with what the ledger knows.
#[derive(Debug, Serialize)]
struct Answer {
    /// The records up to which it was read.
    read: Read,
    #[serde(flatten)]
    what: What,
    /// The topic `incidents` could not be held against the reports: the policy that decided last is not at hand.
    records_unchecked: bool,
    /// What became of the messages, by alert.
    deliveries: Vec<Delivery>,
    /// What else the ledger has that says whether somebody was told: deliveries of the messages before, and the digests
    /// that stand for others.
    beside: Vec<Delivery>,
    /// What the list was compared with, made again; if that was asked for and there is anything to make.
    #[serde(skip_serializing_if = "Option::is_none")]
    deep: Option<deep::Again>,
    /// Whether the log holds a delivery of any alert; what a replay leaves holds none.
    delivered: bool,
}

/// How far the log was read.
#[derive(Debug, Serialize)]
struct Read {
    /// The decision clock of the progress.
    clock: Instant,
    /// The policy of that progress.
    policy_hash: String,
    /// Records that were looked at, all passes together.
    records: u64,
    /// For each input topic, how many records of it the progress stands for.
    offsets: Vec<tocsin_schemas::records::Offset>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Alert(Box<AlertExplained>),
    /// All alerts of one episode of an escalation.
    Case(Vec<AlertExplained>),
    Incident(Box<IncidentExplained>),
    Enterprise(Box<EnterpriseExplained>),
    /// An entry on a list, or a list.
    Listed(ListedExplained),
}

/// Runs it.
///
/// # Errors
/// A wrong call: no such form of an id, or what `--config` and `--policy` say. A failure: nothing in the log has the
/// id, the log cannot be read, or the records do not give again what was said.
pub fn run(args: Args) -> CommandResult {
    let asked = Asked::parse(&args.id).map_err(Failure::wrong_call)?;
    if args.deep && !matches!(asked, Asked::List(..) | Asked::Entry(..)) {
        return Err(Failure::wrong_call(
            "--deep makes again what an entry of a list was compared with: expected the key of one, such as \
             'annual|2025|USCC', or of a list as a whole, 'annual|2025'",
        ));
    }
    let source = source(&args)?;
    let asked = read::resolve(&*source.log, &*source.schemas, asked)?;
    let found = read::find(&*source.log, &*source.schemas, &asked)?;
    let Some(mut answer) = answer(&source, &asked, found.as_ref()) else {
        return Err(not_found(&asked, found.as_ref()));
    };
    if args.deep {
        answer.look_deep(&source)?;
    }
    if args.json {
        let text = serde_json::to_string_pretty(&answer).map_err(Failure::failed)?;
        say!("{text}");
    } else {
        say!("{}", text::of(&answer));
    }
    answer.verdict()
}

fn source(args: &Args) -> Result<Source, Failure> {
    let (log, schemas, configured): (Arc<dyn EventLog>, Arc<dyn SchemaIds>, _) = match &args.config {
        Some(path) => {
            let config = config::load(path)?;
            let log = open::open(&config, open::Missing::Refuse)?;
            (log, config.schema_ids, Some(config.policies))
        }
        None => (log_file(args)?, Arc::new(NoIds), None),
    };
    let held = topic::read(&*log)?;
    let given = args.policy.is_some() || args.policy_from.is_some();
    let given = if given { Some(given_policy(args)?) } else { None };
    let newest = held.newest().map(|newest| newest.policies.clone());
    let policies = newest.or(configured).or_else(|| given.clone()).unwrap_or_default();
    let published = held.valid.into_iter().map(|one| (one.published_at, one.policies)).collect();
    Ok(Source { log, schemas, policies, published, given })
}

fn log_file(args: &Args) -> Result<Arc<SqliteLog>, Failure> {
    let path = args.log_file.as_deref().unwrap_or_else(|| unreachable!("one of the two is required"));
    if !path.is_file() {
        return Err(Failure::wrong_call(format!(
            "there is no event log at {}: see --log-file",
            path.display()
        )));
    }
    Ok(Arc::new(SqliteLog::open(path)?))
}

/// The policy of --policy and --policy-from; the default one where neither says another.
fn given_policy(args: &Args) -> Result<Policies, Failure> {
    let policies = match &args.policy {
        None => Policies::default(),
        Some(path) => config::read_policies(path).map_err(Failure::wrong_call)?,
    };
    match args.policy_from {
        None => Ok(policies),
        Some(day) => policies.effective_from(day).map_err(Failure::wrong_call),
    }
}

/// Explains what was found; `None`: nothing has the id.
fn answer(source: &Source, asked: &Asked, found: Option<&Found>) -> Option<Answer> {
    let found = found?;
    let of = |hash: &str| source.policy_of(hash);
    let likely = |at: Instant| source.likely(at);
    // What stands was decided by the one of the progress; another one may be published by now.
    let named = of(&found.progress.policy_hash);
    let decided = named.or_else(|| likely(found.clock)).unwrap_or(&source.policies);
    let rules = Rules { at_hand: decided, of: &of, likely: &likely };
    let why = Why::new(&found.records, rules, found.clock);
    let what = match asked {
        Asked::Alert(id) => What::Alert(Box::new(why.alert(id)?)),
        Asked::Case(case_no) => {
            let of_it = found.records.alerts.iter().filter(|a| a.case_no == *case_no);
            let all: Vec<AlertExplained> = of_it.filter_map(|a| why.alert(&a.alert_id)).collect();
            What::Case(if all.is_empty() { return None } else { all })
        }
        Asked::AlertBegins(_) | Asked::Report(..) => return None,
        Asked::Incident(id) => What::Incident(Box::new(why.incident(*id)?)),
        Asked::Enterprise(uscc) => What::Enterprise(Box::new(why.enterprise(*uscc)?)),
        Asked::List(key, _) | Asked::Entry(key, _) => What::Listed(why.listed(key)?),
    };
    let mut answer = Answer {
        read: Read {
            clock: found.clock,
            policy_hash: found.progress.policy_hash.clone(),
            records: found.looked_at,
            offsets: found.progress.offsets.clone(),
        },
        deliveries: Vec::new(),
        beside: Vec::new(),
        delivered: found.delivered,
        records_unchecked: false,
        deep: None,
        what,
    };
    let explained: BTreeSet<String> = answer.alerts().iter().map(|a| a.alert.alert_id.clone()).collect();
    let own = |d: &Delivery| explained.contains(&d.alert_id);
    (answer.deliveries, answer.beside) = found.deliveries.iter().cloned().partition(own);
    // Of the cases that are explained, and what stands for a delivery of theirs.
    let cases: BTreeSet<String> = answer.alerts().iter().map(|a| a.alert.case_no.to_string()).collect();
    let of_them = |d: &&Delivery| cases.contains(&d.case_no) && !quota::is_digest(d);
    let near = answer.beside.iter().filter(of_them).chain(&answer.deliveries);
    let standing: BTreeSet<String> = near.filter_map(ledger::stands_for).map(str::to_owned).collect();
    answer.beside.retain(|d| match quota::is_digest(d) {
        true => standing.contains(&d.delivery_id),
        false => cases.contains(&d.case_no),
    });
    // Records written before the newest of their reports cannot be held against what these make.
    if found.moved_on {
        answer.leave_out_records();
    }
    if named.is_none() && answer.records_differ() > 0 {
        answer.leave_out_records();
        answer.records_unchecked = true;
    }
    Some(answer)
}

impl Answer {
    /// Makes again what the list was compared with, by the policy that decided.
    fn look_deep(&mut self, source: &Source) -> CommandResult {
        let What::Listed(listed) = &self.what else { return Ok(()) };
        let listed = match listed {
            ListedExplained::Entry(entry) => &entry.entry,
            ListedExplained::Whole(whole) => &whole.entry,
        };
        let Some(policies) = source.policy_of(&listed.policy_hash) else {
            return Err(Failure::failed(
                "not checked: the policy that decided is not at hand, and --deep needs it. Give the one of that time with \
                 --policy FILE, or with --policy-from DATE alone where it was the default one from another day",
            ));
        };
        self.deep = deep::again(&source.log, &source.schemas, listed, policies)?;
        Ok(())
    }

    fn alerts(&self) -> Vec<&AlertExplained> {
        match &self.what {
            What::Alert(alert) => vec![alert],
            What::Case(all) => all.iter().collect(),
            What::Incident(incident) => incident.alerts.iter().collect(),
            What::Enterprise(enterprise) => enterprise.alerts.iter().collect(),
            What::Listed(_) => Vec::new(),
        }
    }

    /// Entries on lists.
    fn entries(&self) -> &[EntryExplained] {
        match &self.what {
            What::Enterprise(enterprise) => &enterprise.lists,
            What::Listed(ListedExplained::Entry(entry)) => std::slice::from_ref(entry),
            What::Listed(ListedExplained::Whole(_)) | What::Alert(_) | What::Case(_) | What::Incident(_) => {
                &[]
            }
        }
    }

    /// What does not add up.
    fn wrong(&self) -> Vec<String> {
        let alerts = self.alerts().into_iter().filter(|a| !a.check.adds_up());
        let mut wrong: Vec<String> = alerts.map(|a| format!("alert {}", a.alert.alert_id)).collect();
        wrong
            .extend(self.entries().iter().filter(|e| !e.check.adds_up()).map(|e| format!("entry {}", e.key)));
        if let What::Listed(ListedExplained::Whole(whole)) = &self.what
            && !whole.check.adds_up()
        {
            wrong.push(format!("list {}", whole.key));
        }
        let records = self.records_differ();
        if records > 0 {
            wrong.push(format!("{records} fields of the topic incidents"));
        }
        wrong
    }

    fn records_differ(&self) -> usize {
        match &self.what {
            What::Incident(i) => i.differences.len(),
            What::Enterprise(e) => e.differences.len(),
            What::Alert(_) | What::Case(_) | What::Listed(_) => 0,
        }
    }

    /// What could not be checked, because the policy that decided is not at hand.
    fn unchecked(&self) -> Vec<String> {
        let alerts = self.alerts().into_iter().filter(|a| !a.check.unchecked.is_empty());
        let mut all: Vec<String> = alerts.map(|a| format!("alert {}", a.alert.alert_id)).collect();
        let entries = self.entries().iter().filter(|e| !e.check.unchecked.is_empty());
        all.extend(entries.map(|e| format!("entry {}", e.key)));
        if self.records_unchecked {
            all.push("the topic incidents".to_owned());
        }
        all
    }

    /// How the command ends: what was not checked is no success.
    fn verdict(&self) -> CommandResult {
        let (wrong, unchecked) = (self.wrong(), self.unchecked());
        if !wrong.is_empty() {
            return Err(Failure::failed(format!(
                "does not add up: the records do not give again what was said in {}. That is a defect: report it \
                 with this output",
                wrong.join(", ")
            )));
        }
        if !unchecked.is_empty() {
            return Err(Failure::failed(format!(
                "explained, but not checked: the policy that decided is not at hand for {}. Give the one of that time \
                 with --policy FILE, or with --policy-from DATE alone where it was the default one from another day",
                unchecked.join(", ")
            )));
        }
        if self.deep.as_ref().is_some_and(|deep| !deep.differences.is_empty()) {
            return Err(Failure::failed(
                "the city's rate or the model does not come out again: see the end of the page. Another policy at that \
                 midnight, or a record that came late or within seconds of it and was taken in on the other side of it, can be \
                 why; else it is a defect: report it with this output",
            ));
        }
        let unknown: Vec<&str> =
            self.entries().iter().filter(|e| e.years_unknown).map(|e| e.key.as_str()).collect();
        if !unknown.is_empty() {
            return Err(Failure::failed(format!(
                "explained, but not checked: for how many years running the enterprise is key in {}, as the topic lists \
                 does not hold the year before any more as it stood then. A replay of the same arrivals says it: tocsin \
                 replay --keep-log, then tocsin why --log-file",
                unknown.join(", ")
            )));
        }
        Ok(())
    }

    fn leave_out_records(&mut self) {
        match &mut self.what {
            What::Incident(i) => i.differences.clear(),
            What::Enterprise(e) => e.differences.clear(),
            What::Alert(_) | What::Case(_) | What::Listed(_) => {}
        }
    }
}

fn not_found(asked: &Asked, found: Option<&Found>) -> Failure {
    let Some(Found { clock, looked_at, progress, .. }) = found else {
        return Failure::failed(
            "the pipeline has not decided anything yet, as the log holds no progress of it: start `tocsin run`, or name \
             the log that did decide with --config or --log-file",
        );
    };
    if let Some(delivery) = found.and_then(|found| found.is_delivery.as_ref()) {
        let id = &delivery.delivery_id;
        let (what, of_it) = match quota::is_digest(delivery) {
            true => ("digest", format!("; what is in it are the deliveries whose reason is in_digest:{id}")),
            false => ("delivery", String::new()),
        };
        return Failure::failed(format!(
            "{id} is a {what}, not an alert: `tocsin ledger show {id}` says what became of it{of_it}"
        ));
    }
    let ends = |p: &Progress| p.offsets.iter().map(|o| o.next).sum::<u64>();
    Failure::failed(format!(
        "there is no {asked}: looked at {looked_at} records of the topics alerts, incidents, lists, registry.enterprises \
         and reports.*, as decided up to {clock} (the sum of the input offsets is {}). Compare it with the message; what \
         another log said stands in that log: --config of its service, or --log-file for what `tocsin replay \
         --keep-log` left. {FORMS}",
        ends(progress),
    ))
}
