//! `tocsin ledger retry`: asks that what failed is said after all. It looks at each delivery as the planner will
//! (`tocsin_alerts::retry`), tells what is refused and why, and appends a governance event for each other one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;
use tocsin_alerts::ledger::retry_id;
use tocsin_alerts::plan::told::{ConversationKey, Order, order_of};
use tocsin_alerts::retry::{self, Beside, Details, KIND, Request, Requests};
use tocsin_schemas::codes::{DeliveryState, Role};
use tocsin_schemas::log::{EventLog, LogError};
use tocsin_schemas::records::{Delivery, GovernanceEvent};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics::DELIVERIES;
use tocsin_schemas::wire::SchemaIds;

use super::bar;
use super::deliveries::{Filter, base32, filtered};
use super::source::{PolicyOf, Source, Where};
use super::tail::own;
use crate::exit::{CommandResult, Failure};
use crate::governance;
use crate::lists::table::{Rows, clean};
use crate::output::say;
use crate::run::pipeline::start::read_all;
use crate::run::wall::WallClock;
use crate::silence::Signed;
use crate::{config, open};

/// Of several who write at once each is heard.
const WRITER: &str = "retry";

/// Which deliveries, and who asks.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ids of deliveries that failed (26 letters and digits); without one, those that the filters let through.
    #[arg(value_name = "DELIVERY", value_parser = id)]
    pub ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Also what may have come: the phone may ring twice.
    #[arg(long)]
    pub although_uncertain: bool,
    /// Only show what would be asked for and what refused.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub signed: Signed,
}

fn id(text: &str) -> Result<String, String> {
    match text.len() == 26 && base32(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("expected the id of a delivery, 26 letters A-Z and digits 2-7; ledger find shows it"
                .to_owned())
        }
    }
}

/// What was answered for one delivery.
#[derive(Debug, Serialize)]
struct Answer {
    delivery_id: String,
    case_no: String,
    role: &'static str,
    subject: String,
    channel: String,
    failed_at: Instant,
    reason: Option<String>,
    /// The delivery that says it after all, also where one does already.
    retry_id: String,
    /// `asked`; `retried`: one does already; else why it is refused.
    answer: &'static str,
    next_step: &'static str,
}

/// Runs it.
///
/// # Errors
/// A wrong call: neither ids nor a filter. A failure: nothing is such, something is refused, or the log.
pub fn run(args: &Args) -> CommandResult {
    let config = config::load(&args.signed.config)?;
    let wall = WallClock::new(config.clock_start);
    let now = wall.now();
    let place = Where { config: Some(args.signed.config.clone()), log_file: None };
    let source = Source::open(&place, &PolicyOf::default())?;
    let phone = args.filter.phone_hash(&source, &place)?;
    let wanted = wanted(&source.log, args, phone.as_deref())?;
    if wanted.is_empty() {
        return Err(Failure::failed(
            "no delivery of this log is such: look with `tocsin ledger find --state failed`",
        ));
    }
    let known = Known::read(&*source.log, &wanted)?;
    let mut asked_for: BTreeSet<Audience> = BTreeSet::new();
    let answer = |delivery: &Delivery| {
        let expired = retry::is_expired(delivery, &config.calendar, config.expire_after, now);
        // Of several deliveries of one message to one audience one is asked for.
        let twice = asked_for.contains(&audience(delivery));
        let answer = known.answer(delivery, args.although_uncertain, (expired, twice), now);
        if answer.answer == "asked" {
            asked_for.insert(audience(delivery));
        }
        answer
    };
    let answers: Vec<Answer> = wanted.iter().map(answer).collect();
    let asked: Vec<&Answer> = answers.iter().filter(|answer| answer.answer == "asked").collect();
    if !asked.is_empty() && !args.dry_run {
        let events = events(&*source.log, &*source.schemas, args, &asked, now)?;
        let (log, schemas) = (Arc::clone(&source.log), Arc::clone(&source.schemas));
        let look = format!("ledger show {}", asked[0].delivery_id);
        open::writing(&config, &look, move || {
            governance::append(&*log, WRITER, &events, &wall, || stand(&*log, &*schemas, &events))
        })?;
    }
    show(args, &answers, asked.len())?;
    match answers.len() - asked.len() {
        0 => Ok(()),
        n => Err(Failure::failed(format!(
            "{n} of {} refused: each stands above with its next step",
            answers.len()
        ))),
    }
}

/// The deliveries that are named, by time; of a filter without a state, those that failed.
fn wanted(log: &Arc<dyn EventLog>, args: &Args, phone: Option<&str>) -> Result<Vec<Delivery>, Failure> {
    let filters = args.filter != Filter::default();
    if args.ids.is_empty() && !filters {
        return Err(Failure::wrong_call(
            "expected ids of deliveries, or filters, such as --day and --gateway",
        ));
    }
    if args.ids.is_empty() {
        let state = args.filter.state.or(Some(DeliveryState::Failed));
        return Ok(filtered(log, &Filter { state, ..args.filter.clone() }, phone)?);
    }
    let ids: BTreeSet<&str> = args.ids.iter().map(String::as_str).collect();
    let mut all = filtered(log, &args.filter, phone)?;
    all.retain(|delivery| ids.contains(delivery.delivery_id.as_str()));
    if all.len() < ids.len() {
        let lacking = ids.iter().filter(|id| all.iter().all(|d| d.delivery_id != **id));
        let lacking: Vec<&str> = lacking.copied().collect();
        return Err(Failure::failed(format!(
            "no delivery of this log {}has the id {}: nothing was asked for",
            if filters { "that the filters let through " } else { "" },
            lacking.join(", ")
        )));
    }
    Ok(all)
}

/// What stands beside the deliveries in the log.
#[derive(Default)]
struct Known {
    /// Of each conversation, its latest message: when it was decided, episode, revision.
    last: HashMap<ConversationKey, Order>,
    /// The retries that are there.
    retried: BTreeSet<String>,
    /// Of each message to an audience, its deliveries as last written.
    of: HashMap<Audience, BTreeMap<String, Delivery>>,
}

/// The alert, and the role and subject that are told.
type Audience = (String, Role, String);

fn audience(delivery: &Delivery) -> Audience {
    (delivery.alert_id.clone(), delivery.role, delivery.subject.clone())
}

impl Known {
    fn read(log: &dyn EventLog, wanted: &[Delivery]) -> Result<Known, LogError> {
        let conversations: BTreeSet<ConversationKey> = wanted.iter().map(ConversationKey::told_by).collect();
        let retries: BTreeSet<String> = wanted.iter().map(|d| retry_id(&d.delivery_id)).collect();
        let (mut known, bar) = (Known::default(), bar());
        let audiences: BTreeSet<Audience> = wanted.iter().map(audience).collect();
        read_all(log, DELIVERIES, &mut |record| {
            bar.inc(1);
            let Some(delivery) = own::<Delivery>(&record)? else { return Ok(()) };
            let of = ConversationKey::told_by(&delivery);
            if conversations.contains(&of) {
                let last = known.last.entry(of).or_insert(order_of(&delivery));
                *last = order_of(&delivery).max(*last);
            }
            if retries.contains(&delivery.delivery_id) {
                known.retried.insert(delivery.delivery_id.clone());
            }
            if audiences.contains(&audience(&delivery)) {
                let of = known.of.entry(audience(&delivery)).or_default();
                of.insert(delivery.delivery_id.clone(), delivery);
            }
            Ok(())
        })?;
        bar.finish_and_clear();
        Ok(known)
    }

    fn answer(
        &self,
        delivery: &Delivery,
        although_uncertain: bool,
        (expired, twice): (bool, bool),
        now: Instant,
    ) -> Answer {
        let last = self.last.get(&ConversationKey::told_by(delivery));
        let later = last.is_some_and(|last| *last > order_of(delivery));
        let retry_id = retry_id(&delivery.delivery_id);
        let others = self.of.get(&audience(delivery)).into_iter().flatten();
        let mut others = others.filter(|(id, _)| **id != delivery.delivery_id);
        let told_otherwise = twice || others.any(|(_, other)| retry::tells(other, although_uncertain));
        let beside = Beside { later, told_otherwise, expired };
        let refusal = retry::refusal(delivery, beside, although_uncertain, now);
        let (answer, next_step) = match refusal {
            _ if self.retried.contains(&retry_id) => {
                ("retried", "it was said again already: retry that delivery, if it failed")
            }
            Some(why) => (why.as_str(), why.next_step()),
            None => ("asked", ""),
        };
        Answer {
            delivery_id: delivery.delivery_id.clone(),
            case_no: delivery.case_no.clone(),
            role: delivery.role.as_str(),
            subject: delivery.subject.clone(),
            channel: delivery.channel.clone(),
            failed_at: delivery.at,
            reason: delivery.reason.clone(),
            retry_id,
            answer,
            next_step,
        }
    }
}

/// The requests of the topic.
///
/// # Errors
/// Those of the log.
pub(super) fn requests(log: &dyn EventLog, schemas: &dyn SchemaIds) -> Result<Requests, LogError> {
    let mut requests = Requests::default();
    governance::each(log, schemas, |event, digest| {
        // One that says nothing valid asks for nothing.
        let _ = requests.apply(event, digest);
    })?;
    Ok(requests)
}

fn events(
    log: &dyn EventLog,
    schemas: &dyn SchemaIds,
    args: &Args,
    asked: &[&Answer],
    now: Instant,
) -> Result<Vec<GovernanceEvent>, Failure> {
    let before = requests(log, schemas)?;
    let details = Details { reason: args.signed.reason.clone(), although_uncertain: args.although_uncertain };
    let details = serde_json::to_string(&details).map_err(Failure::failed)?;
    let event = |answer: &&Answer| {
        let event_id = Request::event_of(&answer.delivery_id);
        let version = before.version(&event_id).map_or(1, |version| version + 1);
        GovernanceEvent {
            event_id,
            kind: KIND.to_owned(),
            subject: answer.delivery_id.clone(),
            on: now.day(),
            version,
            actor: args.signed.author.clone(),
            approver: None,
            details: details.clone(),
        }
    };
    Ok(asked.iter().map(event).collect())
}

/// Whether the topic holds these, or newer versions of them.
fn stand(log: &dyn EventLog, schemas: &dyn SchemaIds, events: &[GovernanceEvent]) -> Result<bool, LogError> {
    let there = requests(log, schemas)?;
    Ok(events.iter().all(|event| there.version(&event.event_id) >= Some(event.version)))
}

fn show(args: &Args, answers: &[Answer], asked: usize) -> CommandResult {
    if args.signed.json {
        say!("{}", serde_json::to_string_pretty(answers).map_err(Failure::failed)?);
        return Ok(());
    }
    let mut rows =
        Rows::new(&["<FAILED", "<CASE", "<TO", "<CHANNEL", "<REASON", "<DELIVERY", "<ANSWER"], usize::MAX);
    let mut next_steps: BTreeMap<&str, &str> = BTreeMap::new();
    for answer in answers {
        let to = format!("{} {}", answer.role, answer.subject);
        let refused = answer.answer != "asked";
        if refused {
            next_steps.insert(answer.answer, answer.next_step);
        }
        rows.add(
            vec![
                answer.failed_at.to_string(),
                clean(&answer.case_no),
                clean(&to),
                clean(&answer.channel),
                clean(answer.reason.as_deref().unwrap_or_default()),
                answer.delivery_id.clone(),
                answer.answer.to_owned(),
            ],
            refused,
        );
    }
    say!("{}", rows.shown());
    for (answer, next_step) in next_steps {
        say!("{answer}: {next_step}.");
    }
    if args.dry_run {
        say!("{asked} would be asked for; nothing was written");
    } else if asked > 0 {
        say!(
            "{asked} asked for; the running service says them after all: tocsin ledger show DELIVERY --config FILE"
        );
    }
    Ok(())
}
