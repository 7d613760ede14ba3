//! `tocsin ledger show`, `find` and `export`: deliveries out of the topic `deliveries`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use tocsin_alerts::ledger::{retry_id, stands_for};
use tocsin_alerts::quota;
use tocsin_schemas::codes::DeliveryState;
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::index::{self, Ask};
use tocsin_schemas::log::{EventLog, LogError, LogRecord};
use tocsin_schemas::records::{Alert, Delivery};
use tocsin_schemas::time::Day;
use tocsin_schemas::topics::{ALERTS, DELIVERIES};

use super::retry::requests;
use super::source::{PolicyOf, Source, Where};
use super::tail::own;
use super::{bar, text};
use crate::exit::{CommandResult, Failure};
use crate::output::{self, say};
use crate::run::pipeline::start::read_all;

/// Deliveries looked up at once by their ids.
const IDS_AT_ONCE: usize = 500;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// A delivery's or an alert's id (26 letters and digits), or a case: an incident's number, or a warning's (E…).
    #[arg(value_name = "DELIVERY_OR_CASE")]
    pub id: String,
    #[command(flatten)]
    place: Where,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Which deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct Filter {
    /// Of messages about this incident: to its owners, and warnings that name it.
    #[arg(long, value_name = "NUMBER")]
    pub incident: Option<IncidentId>,
    /// About this enterprise, or to it.
    #[arg(long, value_name = "USCC")]
    pub enterprise: Option<Uscc>,
    /// Over this gateway, by its name in the ledger, such as `webhook`.
    #[arg(long, value_name = "NAME")]
    pub gateway: Option<String>,
    /// That came to their present state on this day.
    #[arg(long, value_name = "DATE")]
    pub day: Option<Day>,
    /// In this state.
    #[arg(long, value_name = "STATE", value_parser = states())]
    pub state: Option<DeliveryState>,
    /// To the phone with this hash, as `--json` and `export` show it (26 letters and digits).
    #[arg(long, value_name = "HASH", value_parser = hash, conflicts_with = "phone")]
    pub phone_hash: Option<String>,
    /// To this mobile number: its hash is made with `[alerts] phone_key`, and nothing shows the number. `-`: the first
    /// line of standard input, so that it stands in no history of a shell.
    #[arg(long, value_name = "NUMBER")]
    pub phone: Option<String>,
}

/// What may be a phone's hash.
fn hash(text: &str) -> Result<String, String> {
    if text.len() == 26 && base32(text) {
        return Ok(text.to_owned());
    }
    // What was typed may be a phone, and is not repeated.
    Err("expected 26 letters A-Z and digits 2-7, as --json shows a phone_hash; a number goes to --phone"
        .to_owned())
}

pub(super) fn base32(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7'))
}

impl Filter {
    /// The hash of the phone that is asked for, if one is.
    ///
    /// # Errors
    /// A wrong call: no mobile number. A failure: the log has no id, or standard input cannot be read.
    pub(super) fn phone_hash(&self, source: &Source, place: &Where) -> Result<Option<String>, Failure> {
        let Some(given) = &self.phone else { return Ok(self.phone_hash.clone()) };
        if place.config.is_none() {
            return Err(Failure::wrong_call(
                "--phone needs --config: the key of phones' hashes stands in the configuration",
            ));
        }
        let mut line = String::new();
        let number = match given.as_str() {
            "-" => {
                std::io::stdin().read_line(&mut line).map_err(Failure::failed)?;
                line.trim()
            }
            given => given,
        };
        let hash = source.phone_key()?.number(number);
        hash.map(Some).ok_or_else(|| {
            Failure::wrong_call(
                "--phone: expected a mobile number of mainland China (11 digits, with or without +86)",
            )
        })
    }
}

/// The states by their names, so that help and errors list them.
fn states() -> impl TypedValueParser<Value = DeliveryState> {
    let names = DeliveryState::ALL.iter().map(|state| state.as_str());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<DeliveryState>())
}

/// List deliveries.
#[derive(Debug, clap::Args)]
pub struct Find {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    place: Where,
    /// Show so many rows.
    #[arg(long, value_name = "N", conflicts_with = "json")]
    pub top: Option<usize>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Write deliveries.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The columns, which stay: delivery_id, alert_id, case_no, uscc, role, subject, contact_rank, contact_version, channel,
template, state, reason, attempt, at, due_at, gateway_ref, uncertain, phone_hash, contact_role, contact_subject. The last two: whose contact is
asked, where that is known; contact_subject only where it is not `subject`. Rows stand by `at`, then by delivery_id.")]
pub struct Export {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    place: Where,
    /// How.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    pub format: Format,
}

/// How to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A heading and one line for each, with commas (RFC 4180).
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// What was found of one case, alert or delivery.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    /// The alerts, in the order of their decisions.
    pub alerts: Vec<Alert>,
    /// Every record of their deliveries that the log still holds, in the order in which they were written.
    pub steps: Vec<Delivery>,
    /// What the digests among them stand for, as last written.
    pub members: Vec<Delivery>,
    /// Who has asked that what failed of it is said after all.
    pub retries: Vec<Asked>,
}

/// A request to say after all what failed.
#[derive(Debug, Serialize)]
pub struct Asked {
    /// The delivery that failed.
    pub delivery_id: String,
    /// When.
    pub on: Day,
    /// Who.
    pub author: String,
    /// What was repaired.
    pub reason: String,
    /// The delivery that says it after all, if the alert worker has planned it.
    pub retry_id: Option<String>,
}

/// Shows one case.
///
/// # Errors
/// A wrong call: no such form of an id. A failure: nothing has the id, or the log.
pub fn show(args: &Show) -> CommandResult {
    let incident = args.id.parse::<IncidentId>().is_ok();
    let warning = args.id.len() == 10 && args.id.starts_with('E') && base32(&args.id);
    let (alert_or_delivery, case) = (args.id.len() == 26 && base32(&args.id), incident || warning);
    if !alert_or_delivery && !case {
        return Err(Failure::wrong_call(format!(
            "{:?} is no id of a delivery or an alert (26 letters A-Z and digits 2-7), no incident's number (9 or 10 digits \
             with their check digit) and no warning's (E and 9 letters and digits)",
            args.id
        )));
    }
    let source = Source::open(&args.place, &PolicyOf::default())?;
    let found = look(&source, &args.id)?;
    if found.alerts.is_empty() && found.steps.is_empty() {
        return Err(Failure::failed(format!(
            "no alert and no delivery of this log has the id {}: compare it with the message",
            args.id
        )));
    }
    if args.json {
        let text = serde_json::to_string_pretty(&found).map_err(Failure::failed)?;
        say!("{text}");
    } else {
        say!("{}", text::show(&found).trim_end());
    }
    Ok(())
}

/// Everything of one id.
fn look(source: &Source, id: &str) -> Result<Found, LogError> {
    let (log, bar) = (&*source.log, bar());
    let mut found = Found::default();
    // Partitions come in any order: what was written earlier is told by its time, and stays in order where that is equal.
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    let again = retry_id(id);
    let mut take = |record: &LogRecord, found: &mut Found| {
        bar.inc(1);
        if let Some(d) = own::<Delivery>(record)?
            && ([id, &again].contains(&&*d.delivery_id) || d.alert_id == id || d.case_no == id)
        {
            // A digest stands for more than the alert that it carries.
            if !quota::is_digest(&d) {
                wanted.insert(d.alert_id.clone());
            }
            found.steps.push(d);
        }
        Ok(())
    };
    if let Some(mut index) = log.index(None)? {
        index.look_up(&[Ask::Id(id), Ask::Id(&again), Ask::Case(id)], None, &mut |record| {
            take(&record, &mut found)
        })?;
    }
    // By an alert's id nothing is indexed.
    if found.steps.is_empty() {
        read_all(log, DELIVERIES, &mut |record| take(&record, &mut found))?;
    }
    read_all(log, ALERTS, &mut |record| {
        bar.inc(1);
        if let Some(alert) = own::<Alert>(&record)?
            && (*alert.case_no == *id || alert.alert_id == id || wanted.contains(&alert.alert_id))
        {
            found.alerts.push(alert);
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    found.members = members(&source.log, &found.steps)?;
    for request in requests(log, &*source.schemas)?.all() {
        let is = |id: &str| found.steps.iter().any(|step| step.delivery_id == id);
        if is(&request.delivery_id) {
            found.retries.push(Asked {
                delivery_id: request.delivery_id.clone(),
                on: request.on,
                author: request.author.clone(),
                reason: request.details.reason.clone(),
                retry_id: Some(retry_id(&request.delivery_id)).filter(|id| is(id)),
            });
        }
    }
    found.alerts.sort_by_key(|alert| (alert.decided_at, alert.episode, alert.revision));
    found.steps.sort_by_key(|step| step.at);
    Ok(found)
}

/// What these digests stand for: all of it goes to their phones.
pub(super) fn members(log: &Arc<dyn EventLog>, steps: &[Delivery]) -> Result<Vec<Delivery>, LogError> {
    let digests: BTreeMap<&str, &Delivery> = steps
        .iter()
        .filter(|step| quota::is_digest(step))
        .map(|digest| (&*digest.delivery_id, digest))
        .collect();
    let mut members = Vec::new();
    for (id, digest) in digests {
        let gateway = Filter { gateway: Some(digest.channel.clone()), ..Filter::default() };
        let mut same_phone = filtered(log, &gateway, digest.phone_hash.as_deref())?;
        same_phone.retain(|delivery| stands_for(delivery) == Some(id));
        members.append(&mut same_phone);
    }
    Ok(members)
}

/// Lists deliveries.
///
/// # Errors
/// A failure: none is such, or the log.
pub fn find(args: &Find) -> CommandResult {
    let source = Source::open(&args.place, &PolicyOf::default())?;
    let phone = args.filter.phone_hash(&source, &args.place)?;
    let all = filtered(&source.log, &args.filter, phone.as_deref())?;
    if args.json {
        let text = serde_json::to_string_pretty(&all).map_err(Failure::failed)?;
        say!("{text}");
    } else if !all.is_empty() {
        say!("{}", text::deliveries(&all, args.top.unwrap_or(usize::MAX)).trim_end());
    }
    match all.len() {
        0 => Err(Failure::failed("no delivery of this log is such: leave a filter out")),
        _ => Ok(()),
    }
}

/// The deliveries that a filter lets through, as last written, by time and id.
pub(super) fn filtered(
    log: &Arc<dyn EventLog>,
    filter: &Filter,
    phone: Option<&str>,
) -> Result<Vec<Delivery>, LogError> {
    let bar = bar();
    let named = match filter.incident {
        None => None,
        Some(id) => {
            let mut named: BTreeSet<String> = BTreeSet::new();
            read_all(&**log, ALERTS, &mut |record| {
                bar.inc(1);
                if let Some(alert) = own::<Alert>(&record)?
                    && alert.incident_ids.contains(&id)
                {
                    named.insert(alert.alert_id);
                }
                Ok(())
            })?;
            Some((id.to_string(), named))
        }
    };
    let wants = |d: &Delivery| {
        let incident = |(case_no, named): &(String, BTreeSet<String>)| {
            d.case_no == *case_no || named.contains(&d.alert_id)
        };
        named.as_ref().is_none_or(incident)
            && filter.enterprise.is_none_or(|u| d.uscc == u || d.subject == u.as_str())
            && filter.gateway.as_ref().is_none_or(|name| d.channel == *name)
            && filter.day.is_none_or(|day| d.at.day() == day)
            && filter.state.is_none_or(|state| d.state == state)
            && phone.is_none_or(|hash| d.phone_hash.as_deref() == Some(hash))
    };
    // A later record of the same delivery may be let through no longer.
    let mut all: BTreeMap<Vec<u8>, Delivery> = BTreeMap::new();
    let take = |all: &mut BTreeMap<Vec<u8>, Delivery>, record: LogRecord| {
        bar.inc(1);
        let key = record.key.clone().unwrap_or_default();
        match own::<Delivery>(&record)?.filter(|d| wants(d)) {
            Some(delivery) => drop(all.insert(key, delivery)),
            None => drop(all.remove(&key)),
        }
        Ok(())
    };
    // Of the most selective filter; what else there is, is looked at as it comes.
    let day = filter.day.map(|day| Ask::Written(day.midnight(), Some(day.plus(1).midnight())));
    let open = filter.state.is_some_and(index::open).then_some(Ask::Open);
    let ask = phone
        .map(Ask::Phone)
        .or(filter.enterprise.as_ref().map(|u| Ask::Enterprise(u.as_str())))
        .or(open)
        .or(day);
    let ask = ask.or(filter.gateway.as_deref().map(Ask::Gateway));
    let looked_up = match ask {
        Some(ask) => log.index(None)?.map(|index| (index, ask)),
        // Of an incident the alerts tell, which are read as they stand.
        None => None,
    };
    match looked_up {
        Some((mut index, ask)) => {
            index.look_up(&[ask], None, &mut |record| take(&mut all, record))?;
            // By a day it may bring what a delivery was, and not what it has become since.
            let found: Vec<String> = match ask {
                Ask::Written(..) => all.values().map(|d| d.delivery_id.clone()).collect(),
                _ => Vec::new(),
            };
            for some in found.chunks(IDS_AT_ONCE) {
                let asks: Vec<Ask<'_>> = some.iter().map(|id| Ask::Id(id)).collect();
                index.look_up(&asks, None, &mut |record| take(&mut all, record))?;
            }
        }
        None => drop(read_all(&**log, DELIVERIES, &mut |record| take(&mut all, record))?),
    }
    bar.finish_and_clear();
    let mut all: Vec<Delivery> = all.into_values().collect();
    all.sort_by(|a, b| (a.at, &a.delivery_id).cmp(&(b.at, &b.delivery_id)));
    Ok(all)
}

/// Writes deliveries.
///
/// # Errors
/// A failure: the log.
pub fn export(args: &Export) -> CommandResult {
    let source = Source::open(&args.place, &PolicyOf::default())?;
    let phone = args.filter.phone_hash(&source, &args.place)?;
    let all = filtered(&source.log, &args.filter, phone.as_deref())?;
    let bytes = match args.format {
        Format::Csv => csv(&all).map_err(Failure::failed)?,
        Format::Jsonl => jsonl(&all).map_err(Failure::failed)?,
    };
    output::bytes(&bytes);
    Ok(())
}

fn jsonl(all: &[Delivery]) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::new();
    for delivery in all {
        serde_json::to_writer(&mut out, delivery)?;
        out.push(b'\n');
    }
    Ok(out)
}

/// A row of a CSV file: the fields of a delivery by their names, with text that a spreadsheet does not run.
#[derive(Serialize)]
struct Row<'a> {
    delivery_id: &'a str,
    alert_id: &'a str,
    case_no: String,
    uscc: Uscc,
    role: &'a str,
    subject: String,
    contact_rank: Option<u32>,
    contact_version: Option<i64>,
    channel: String,
    template: String,
    state: &'a str,
    reason: Option<String>,
    attempt: u32,
    at: String,
    due_at: Option<String>,
    gateway_ref: Option<String>,
    uncertain: bool,
    phone_hash: Option<&'a str>,
    contact_role: Option<&'a str>,
    contact_subject: Option<String>,
}

/// The names of its fields.
const COLUMNS: [&str; 20] = [
    "delivery_id",
    "alert_id",
    "case_no",
    "uscc",
    "role",
    "subject",
    "contact_rank",
    "contact_version",
    "channel",
    "template",
    "state",
    "reason",
    "attempt",
    "at",
    "due_at",
    "gateway_ref",
    "uncertain",
    "phone_hash",
    "contact_role",
    "contact_subject",
];

pub(super) fn csv(all: &[Delivery]) -> Result<Vec<u8>, String> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(|e| e.to_string())?;
    for d in all {
        writer
            .serialize(Row {
                delivery_id: &d.delivery_id,
                alert_id: &d.alert_id,
                case_no: inert(&d.case_no),
                uscc: d.uscc,
                role: d.role.as_str(),
                subject: inert(&d.subject),
                contact_rank: d.contact_rank,
                contact_version: d.contact_version,
                channel: inert(&d.channel),
                template: inert(&d.template),
                state: d.state.as_str(),
                reason: d.reason.as_deref().map(inert),
                attempt: d.attempt,
                at: d.at.to_string(),
                due_at: d.due_at.map(|at| at.to_string()),
                gateway_ref: d.gateway_ref.as_deref().map(inert),
                uncertain: d.uncertain,
                phone_hash: d.phone_hash.as_deref(),
                contact_role: d.contact_role.as_ref().map(|role| role.as_str()),
                contact_subject: d.contact_subject.as_deref().map(inert),
            })
            .map_err(|e| e.to_string())?;
    }
    writer.into_inner().map_err(|e| e.to_string())
}

/// A spreadsheet runs what begins like this; a gateway's receipt number is anybody's text.
fn inert(text: &str) -> String {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_text() {
        assert_eq!(inert("=1+1"), "'=1+1");
        assert_eq!(inert("@SUM(A1)"), "'@SUM(A1)");
        assert_eq!(inert("900619746936498440^0"), "900619746936498440^0");
    }
}
