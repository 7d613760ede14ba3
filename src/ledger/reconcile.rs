//! Whether the books add up: for each incident and each warning, what became of it, and what is missing. Pure.
//!
//! The judge reads the records alone. What an incident is owed comes from `incidents` and the policy
//! ([`tocsin_pipeline::owed`]); whether it was said, from `alerts`; whether it went out, from `deliveries`. Neither the
//! decider nor the alert worker is asked.
//!
//! # What has to hold
//! 1. A counted incident: its employer stands told, at its present severity; or nobody was ever told and a reason why
//!    not stands in `alerts`, which the policy bears out. One that does not count: nobody stands told.
//! 2. The messages of an incident or of a warning are numbered 1, 2, 3 … without a gap, a warning was closed before the
//!    next one of its enterprise was opened, and whatever was delivered was said.
//!    Every number of an incident that was given has a record.
//! 3. Each audience of each message has a delivery that has ended with a named reason, or is under way: with a due
//!    time, or being sent. Where the alert worker has not passed the alert, it may have none yet. A delivery that ended
//!    because another one stands for it (its digest, its twin to the same phone) stands as that one does. An audience
//!    that only `deliveries` has (a township's morning) is judged by what stands there.
//!
//! Hosts are not in `incidents`, so that each host was told is not judged here (`tocsin why` does); what was said to
//! them is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use compact_str::CompactString;
use tocsin_alerts::decide::Why;
use tocsin_alerts::ledger::terminal;
use tocsin_pipeline::Policies;
use tocsin_pipeline::owed::{FirstCounting, Owed, owed, warning_number};
use tocsin_schemas::codes::{Change, DeliveryState, Role, Rule, Says, Severity, State};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::records::Incident;

use super::answer::{Looked, Missing, Reconciliation, Row, Standing, Step, What};
use super::books::{Books, Said, Sent};

/// Adds the books up.
///
/// - `policies`: the policy that decided; `None` where it is not at hand, and then no reason is judged.
/// - `earlier`: what a look shortly before this one missed. Whoever reads several topics sees a transaction in parts, so
///   what one look misses may come a moment later: what only this one misses is pending (`in_sight`). `None`: the log
///   stands still, and whatever is missing is missing.
pub fn reconcile(books: &Books, policies: Option<&Policies>, earlier: Option<&Looked>) -> Reconciliation {
    let mut judge = Judge {
        books,
        earlier,
        out: Reconciliation::default(),
        cases: HashMap::new(),
        messages: BTreeMap::new(),
    };
    judge.messages();
    judge.numbers();
    judge.incidents(policies);
    judge.close()
}

/// What is known of one case so far.
#[derive(Debug)]
struct Case {
    what: What,
    missing: Option<Step>,
    pending: Option<&'static str>,
    suppressed: Option<&'static str>,
    /// The newest word to each audience: said, to be said, or silenced.
    last: Vec<Word>,
    /// Why a message was skipped.
    skipped: Option<Arc<str>>,
}

/// The newest word to one audience.
#[derive(Debug)]
struct Word {
    role: Role,
    subject: CompactString,
    revision: u32,
    /// Why it did not reach anybody; `None`: it did.
    failed: Option<Arc<str>>,
}

struct Judge<'b> {
    books: &'b Books,
    earlier: Option<&'b Looked>,
    out: Reconciliation,
    cases: HashMap<CompactString, Case>,
    /// Messages by state and reason.
    messages: BTreeMap<(&'static str, &'b str), u64>,
}

/// What became of one message.
enum End<'b> {
    Missing(Step),
    Pending(&'static str),
    Ended(&'b Sent),
}

impl<'b> Judge<'b> {
    fn case(&mut self, case_no: &str, rule: Rule) -> &mut Case {
        let what = match rule {
            Rule::OwnerIncident => {
                let record = case_no.parse().ok().and_then(|id: IncidentId| self.books.incidents.get(&id));
                match record {
                    Some(incident) if incident.state != State::Counted => What::NotCounted,
                    _ => What::Counted,
                }
            }
            Rule::Escalation => What::Warning,
        };
        self.cases.entry(case_no.into()).or_insert_with(|| Case {
            what,
            missing: None,
            pending: None,
            suppressed: None,
            last: Vec::new(),
            skipped: None,
        })
    }

    fn missing(&mut self, rule: Rule, missing: Missing) {
        let place = (missing.case_no.clone(), missing.step);
        let confirmed = self.earlier.is_none_or(|earlier| earlier.contains(&place));
        self.out.in_sight.insert(place);
        let case = self.case(&missing.case_no, rule);
        if !confirmed {
            case.pending = case.pending.max(Some("in_sight"));
            return;
        }
        case.missing = Some(case.missing.map_or(missing.step, |step| step.min(missing.step)));
        self.out.missing.push(missing);
    }

    /// Rule 3, and of rule 2 that whatever was delivered was said.
    fn messages(&mut self) {
        let books = self.books;
        let audience = |s: &&'b Sent| (s.alert_id.as_str(), s.role, s.subject.as_str());
        // A digest is no audience's: the messages that name it are judged by it.
        let mut sent: Vec<&Sent> = books.deliveries.values().filter(|s| !s.digest).collect();
        sent.sort_unstable_by_key(audience);
        for delivery in sent.iter().filter(|s| !books.alerts.contains_key(&s.alert_id)) {
            self.unsaid(delivery);
        }
        for (alert_id, alert) in &books.alerts {
            if alert.change == Change::Suppressed {
                continue;
            }
            self.case(&alert.case_no, alert.rule);
            let from = &sent[sent.partition_point(|s| s.alert_id.as_str() < alert_id.as_str())..];
            let of_alert = &from[..from.partition_point(|s| s.alert_id == *alert_id)];
            for (role, subject) in &alert.audiences {
                let place = (alert_id.as_str(), *role, subject.as_str());
                let from = &of_alert[of_alert.partition_point(|s| audience(s) < place)..];
                let of_it = from.partition_point(|s| audience(s) == place);
                self.message(alert_id, alert, *role, subject, &from[..of_it]);
            }
            // The alert worker adds the township that reads of an incident in the morning.
            for added in of_alert.chunk_by(|a, b| audience(a) == audience(b)) {
                let Sent { role, subject, .. } = added[0];
                if !alert.audiences.iter().any(|(r, s)| (r, s) == (role, subject)) {
                    self.message(alert_id, alert, *role, subject, added);
                }
            }
        }
    }

    fn unsaid(&mut self, delivery: &Sent) {
        let rule = match delivery.case_no.parse::<IncidentId>() {
            Ok(_) => Rule::OwnerIncident,
            Err(_) => Rule::Escalation,
        };
        self.missing(
            rule,
            Missing {
                case_no: delivery.case_no.to_string(),
                step: Step::NoAlert,
                detail: "there is a delivery of an alert that is not in alerts".to_owned(),
                uscc: Some(delivery.uscc),
                alert_id: Some(delivery.alert_id.clone()),
                role: Some(delivery.role),
                subject: Some(delivery.subject.to_string()),
                next_step: Step::NoAlert.next_step(),
            },
        );
    }

    fn message(&mut self, alert_id: &str, alert: &Said, role: Role, subject: &str, sent: &[&'b Sent]) {
        let end = end(self.books, sent, self.books.passed(alert.partition, alert.offset));
        let (state, reason) = match &end {
            End::Missing(Step::NoDelivery) => ("none", Step::NoDelivery.as_str()),
            End::Pending(why) if sent.is_empty() => (*why, ""),
            End::Missing(_) | End::Pending(_) | End::Ended(_) => {
                let newest = sent.iter().max_by_key(|s| s.at);
                newest.map_or(("none", ""), |s| (s.state.as_str(), s.reason.as_deref().unwrap_or_default()))
            }
        };
        *self.messages.entry((state, reason)).or_default() += 1;
        let revision = alert.revision;
        match end {
            End::Missing(step) => self.missing(
                alert.rule,
                Missing {
                    case_no: alert.case_no.to_string(),
                    step,
                    detail: format!("{} of {}", alert.change, alert.decided_at),
                    uscc: Some(alert.uscc),
                    alert_id: Some(alert_id.to_owned()),
                    role: Some(role),
                    subject: Some(subject.to_owned()),
                    next_step: step.next_step(),
                },
            ),
            End::Pending(why) => {
                let since = self.out.pending_since.get_or_insert(alert.decided_at);
                *since = (*since).min(alert.decided_at);
                let case = self.case(&alert.case_no, alert.rule);
                case.pending = case.pending.max(Some(why));
            }
            End::Ended(sent) => {
                let told = told(sent);
                let reason = sent.reason.clone().unwrap_or_default();
                let case = self.case(&alert.case_no, alert.rule);
                // There was nothing to say, or another delivery says it: the message before it is the last word. What was skipped
                // for another reason, such as a silence or a contact that is gone, had something to say.
                let idle = [Why::NothingToCorrect, Why::Superseded, Why::Answered].map(Why::as_str);
                if sent.state == DeliveryState::Skipped && idle.contains(&&*reason) {
                    case.skipped = case.skipped.take().max(Some(reason));
                    return;
                }
                let failed = if told { None } else { Some(reason) };
                match case.last.iter_mut().find(|w| w.role == role && w.subject == subject) {
                    Some(last) if revision >= last.revision => {
                        (last.revision, last.failed) = (revision, failed)
                    }
                    Some(_) => {}
                    None => case.last.push(Word { role, subject: subject.into(), revision, failed }),
                }
            }
        }
    }

    /// Rule 2: messages are numbered without a gap.
    fn numbers(&mut self) {
        let episode = |said: &&'b Said| (said.rule, said.subject.as_str(), said.episode);
        let mut all: Vec<&Said> =
            self.books.alerts.values().filter(|a| a.change != Change::Suppressed).collect();
        all.sort_unstable_by_key(|said| (episode(said), said.revision));
        let mut warnings: BTreeMap<&str, BTreeMap<u32, &Said>> = BTreeMap::new();
        for messages in all.chunk_by(|a, b| episode(a) == episode(b)) {
            let newest = messages[messages.len() - 1];
            let seen = |n: &u32| messages.binary_search_by_key(n, |said| said.revision).is_ok();
            let lacking: Vec<String> =
                (1..=newest.revision).filter(|n| !seen(n)).map(|n| n.to_string()).collect();
            if !lacking.is_empty() {
                let numbers = lacking.join(", ");
                let detail = format!("message {numbers} of {} is not in alerts", newest.revision);
                self.missing(newest.rule, unsaid(&newest.case_no, newest.uscc, detail));
            }
            if newest.rule == Rule::Escalation {
                warnings.entry(&newest.subject).or_default().insert(newest.episode, newest);
            }
        }
        // At most one is open at a time: before a later one was opened, each earlier one was said, and closed.
        for (subject, episodes) in warnings {
            let Some((highest, last)) = episodes.last_key_value() else { continue };
            for episode in 1..*highest {
                let detail = match episodes.get(&episode) {
                    Some(newest) if newest.change == Change::Closed => continue,
                    Some(_) => {
                        format!("its end is not in alerts, though warning {highest} was opened after it")
                    }
                    None => format!("no message of warning {episode} of {highest} is in alerts"),
                };
                self.missing(Rule::Escalation, unsaid(&warning_number(subject, episode), last.uscc, detail));
            }
        }
    }

    /// Rule 1.
    fn incidents(&mut self, policies: Option<&Policies>) {
        let books = self.books;
        let mut all: Vec<&Said> = books.alerts.values().filter(|a| a.rule == Rule::OwnerIncident).collect();
        all.sort_unstable_by_key(|said| (said.subject.as_str(), said.revision, said.decided_at));
        let mut heard: HashMap<&str, &[&Said]> = all
            .chunk_by(|a, b| a.subject == b.subject)
            .map(|said| (said[0].subject.as_str(), said))
            .collect();
        for (id, incident) in &books.incidents {
            let case_no = id.to_string();
            let said = heard.remove(case_no.as_str()).unwrap_or(&[]);
            self.incident(*id, incident, &case_no, Heard::of(said), policies);
        }
        // A number that was given has a record for ever: a dead incident stays as `gone`.
        let given = books.decided.as_ref().map_or(0, |p| p.next_incident);
        for id in (1..given).map(IncidentId).filter(|id| !books.incidents.contains_key(id)) {
            let case_no = id.to_string();
            if !heard.contains_key(case_no.as_str()) {
                let detail = "its number was given, and it is not in incidents".to_owned();
                self.missing(
                    Rule::OwnerIncident,
                    Missing {
                        step: Step::NoIncident,
                        next_step: Step::NoIncident.next_step(),
                        ..unsaid(&case_no, None, detail)
                    },
                );
            }
        }
        for (subject, said) in heard {
            let uscc = said[0].uscc;
            let detail = "alerts speak of it, and it is not in incidents".to_owned();
            self.missing(
                Rule::OwnerIncident,
                Missing {
                    step: Step::NoIncident,
                    next_step: Step::NoIncident.next_step(),
                    ..unsaid(subject, uscc, detail)
                },
            );
        }
    }

    fn incident(
        &mut self,
        id: IncidentId,
        incident: &Incident,
        case_no: &str,
        heard: Heard,
        policies: Option<&Policies>,
    ) {
        if incident.state != State::Counted {
            if let Some(uscc) = heard.told.first() {
                let detail =
                    format!("{uscc} was told, it is {} since, and no correction was said", incident.state);
                self.missing(Rule::OwnerIncident, unsaid(case_no, *uscc, detail));
            }
            return;
        }
        let Some(employer) = incident.uscc else {
            // The engine counts none without one.
            return;
        };
        self.case(case_no, Rule::OwnerIncident);
        let mut lacks = |detail: String| {
            self.missing(Rule::OwnerIncident, unsaid(case_no, employer, detail));
        };
        if heard.told.contains(&employer) {
            if heard.severity != Some(incident.severity) {
                let told = heard.severity.map_or("none", |s| s.as_str());
                lacks(format!("its severity is {}, the one last told {told}", incident.severity));
            }
            return;
        }
        let Some(said) = heard.suppressed.last().copied().filter(|_| !heard.ever) else {
            lacks(match heard.ever {
                true => "its employer does not stand told, and it counts".to_owned(),
                false => "it counts, nobody was told, and no reason says why not".to_owned(),
            });
            return;
        };
        let known = books_first(self.books, id, incident);
        let clock = self.books.decided.as_ref().and_then(|p| p.clock);
        let owed = match (policies, clock) {
            (Some(policies), Some(clock)) => owed(incident, known, policies, clock.day()),
            _ => Owed::Unknown,
        };
        let (reason, wrong) = match owed {
            Owed::Message => (said, Some("by the policy it is due".to_owned())),
            Owed::Reason(reason) if !heard.suppressed.contains(&reason.as_str()) => {
                (said, Some(format!("by the policy the reason is {reason}")))
            }
            Owed::Reason(reason) => (reason.as_str(), None),
            Owed::Unknown => {
                self.out.unjudged.push(id);
                (said, None)
            }
            Owed::Correction => (said, None),
        };
        self.case(case_no, Rule::OwnerIncident).suppressed = Some(reason);
        if let Some(wrong) = wrong {
            self.missing(
                Rule::OwnerIncident,
                Missing {
                    step: Step::WrongReason,
                    next_step: Step::WrongReason.next_step(),
                    ..unsaid(case_no, employer, format!("suppressed as {said}, and {wrong}"))
                },
            );
        }
    }

    fn close(mut self) -> Reconciliation {
        let mut rows: BTreeMap<(What, Standing), u64> = BTreeMap::new();
        for ((state, reason), n) in std::mem::take(&mut self.messages) {
            self.out.messages.entry(state.to_owned()).or_default().insert(reason.to_owned(), n);
        }
        for case in std::mem::take(&mut self.cases).into_values() {
            *rows.entry((case.what, case.standing())).or_default() += 1;
        }
        let unaccounted = |standing: &Standing| matches!(standing, Standing::Unaccounted(_));
        self.out.unaccounted = rows.iter().filter(|((_, s), _)| unaccounted(s)).map(|(_, n)| n).sum();
        self.out.rows =
            rows.into_iter().map(|((what, standing), cases)| Row { what, standing, cases }).collect();
        self.out.missing.sort();
        self.out.missing.dedup();
        self.out
    }
}

impl Case {
    fn standing(self) -> Standing {
        if let Some(step) = self.missing {
            return Standing::Unaccounted(step);
        }
        if let Some(why) = self.pending {
            return Standing::Pending(why);
        }
        let failed = self.last.iter().filter_map(|word| word.failed.clone()).min();
        let failed = failed.or(self.skipped.filter(|_| self.last.is_empty()));
        match (failed, self.suppressed) {
            (Some(why), _) => Standing::NotDelivered(why.to_string()),
            (None, _) if !self.last.is_empty() => Standing::Told,
            (None, Some(reason)) => Standing::Suppressed(reason),
            (None, None) => Standing::Recorded,
        }
    }
}

/// What the owners heard of one incident, by its alerts alone.
#[derive(Debug, Default)]
struct Heard {
    /// Told and not corrected since.
    told: BTreeSet<Uscc>,
    /// Whether anybody was ever told.
    ever: bool,
    /// The severity last told.
    severity: Option<Severity>,
    /// Reasons why nobody was, in the order of their decisions.
    suppressed: Vec<&'static str>,
}

impl Heard {
    /// Of its alerts by revision.
    fn of(said: &[&Said]) -> Heard {
        let mut heard = Heard::default();
        for alert in said {
            if alert.change == Change::Suppressed {
                heard.suppressed.extend(alert.reason);
                continue;
            }
            heard.ever = true;
            let owners = alert.audiences.iter().filter(|(role, _)| *role == Role::Owner);
            let owners = owners.filter_map(|(_, subject)| subject.parse::<Uscc>().ok());
            if alert.change == Change::Corrected {
                let gone: BTreeSet<Uscc> = owners.collect();
                heard.told.retain(|uscc| !gone.contains(uscc));
            } else {
                heard.told.extend(owners);
                heard.severity = alert.severity;
            }
        }
        heard
    }
}

fn books_first(books: &Books, id: IncidentId, incident: &Incident) -> FirstCounting {
    let known = books.first_counting.get(&id).copied();
    known.unwrap_or(FirstCounting::NotBefore(incident.first_arrived_at))
}

fn unsaid(case_no: &str, uscc: impl Into<Option<Uscc>>, detail: String) -> Missing {
    Missing {
        case_no: case_no.to_owned(),
        step: Step::NoAlert,
        detail,
        uscc: uscc.into(),
        alert_id: None,
        role: None,
        subject: None,
        next_step: Step::NoAlert.next_step(),
    }
}

/// Whether somebody whom they concern read these words, as far as a gateway's yes or the person's answer says it.
fn told(sent: &Sent) -> bool {
    match sent.state {
        DeliveryState::Accepted => true,
        // Who says that the case is not theirs is not the one who had to be told.
        DeliveryState::Delivered => sent.reason.as_deref() != Some(Says::NotOurs.as_str()),
        // The same person got the same words in another delivery of the alert, and the record does not say in which.
        DeliveryState::Skipped => {
            sent.leader.is_none() && sent.reason.as_deref() == Some(Why::SamePerson.as_str())
        }
        DeliveryState::Planned
        | DeliveryState::Sending
        | DeliveryState::Uncertain
        | DeliveryState::Failed => false,
    }
}

/// A message stands for its twin and a digest for the message. What goes on longer than this goes in a circle.
const MOST_LEADERS: usize = 4;

/// The delivery whose end is this one's: itself, or the one that stands for it. `None`: that one is not there.
fn leader<'b>(books: &'b Books, sent: &'b Sent) -> Option<&'b Sent> {
    let mut sent = sent;
    for _ in 0..MOST_LEADERS {
        let Some(id) = &sent.leader else { return Some(sent) };
        sent = books.deliveries.get(&**id)?;
    }
    None
}

/// What became of a message that has these deliveries. `passed`: the alert worker will not look at its alert again.
fn end<'b>(books: &'b Books, sent: &[&'b Sent], passed: bool) -> End<'b> {
    if sent.is_empty() {
        return if passed { End::Missing(Step::NoDelivery) } else { End::Pending("not_taken_in") };
    }
    let led: Vec<(&'b Sent, Option<&'b Sent>)> = sent.iter().map(|s| (*s, leader(books, s))).collect();
    // Where there are several, one that reached somebody settles it; then those under way; then the newest.
    if let Some(told) = led.iter().filter_map(|(_, by)| *by).find(|by| told(by)) {
        return End::Ended(told);
    }
    let open: Vec<(&Sent, &Sent)> = led
        .iter()
        .filter_map(|(own, by)| Some((*own, (*by)?)))
        .filter(|(_, by)| !terminal(by.state))
        .collect();
    if !open.is_empty() {
        if open.iter().any(|(_, by)| by.state != DeliveryState::Sending && !by.due) {
            return End::Missing(Step::OpenWithoutDueTime);
        }
        // One that stands for it does not hang on this alert: a digest is its sender's, a twin is judged where it stands. Nor
        // does a retry.
        if passed && open.iter().any(|(own, _)| own.leader.is_none() && !books.is_retry(own)) {
            return End::Missing(Step::LeftBehind);
        }
        let mut states = open.iter().map(|(_, by)| by.state);
        return End::Pending(match states.find(|state| *state != DeliveryState::Planned) {
            Some(DeliveryState::Sending) => "sending",
            Some(_) => "uncertain",
            None => "planned",
        });
    }
    match led.iter().max_by_key(|(own, _)| own.at) {
        Some((_, Some(last))) if last.reason.as_deref().is_none_or(str::is_empty) => {
            End::Missing(Step::NoReason)
        }
        Some((_, Some(last))) => End::Ended(last),
        Some((_, None)) | None => End::Missing(Step::NoDelivery),
    }
}
