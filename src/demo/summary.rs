//! What the demo says at its end, and whether it adds up. Pure: everything that was read back from the log
//! and from the gateway in, lines and verdicts out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use tocsin_pipeline::Accounts;
use tocsin_schemas::codes::{Change, Rule, State};
use tocsin_schemas::ids::IncidentId;
use tocsin_schemas::records::{Alert, Counters, Delivery, DeliveryState, Incident};

use super::cast::STORIES;
use super::city::City;
use super::gateway::Seen;

/// What is summed up. `alerts`, `incidents`, `deliveries` and `counters` are read back from the log, the
/// rest was counted by those who did it: so each check compares two who do not know of each other.
#[derive(Debug)]
pub struct Books<'a> {
    /// The city, for the names.
    pub city: &'a City,
    /// Records that the feeds sent.
    pub sent: u64,
    /// Of these, reports; the others are registry records.
    pub sent_reports: u64,
    /// The door's verdicts, from the last progress.
    pub counters: Counters,
    /// The engine's account of the counted incidents.
    pub accounts: &'a Accounts,
    /// Every decision, in order.
    pub alerts: &'a [Alert],
    /// The newest record of each incident.
    pub incidents: &'a BTreeMap<IncidentId, Incident>,
    /// The newest record of each delivery.
    pub deliveries: &'a BTreeMap<String, Delivery>,
    /// What the gateway saw.
    pub seen: &'a Seen,
}

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was compared, in words and numbers.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
}

/// The summary: three sums and the stories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Heading and what stands under it.
    pub parts: Vec<(&'static str, Vec<Check>)>,
}

fn check(holds: bool, text: String) -> Check {
    Check { text, holds }
}

/// `n thing` or `n things`.
pub fn count_of(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

fn by_name<K: std::fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    let parts: Vec<String> = counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

impl Summary {
    /// Sums up.
    pub fn of(books: &Books<'_>) -> Summary {
        Summary {
            parts: vec![
                ("What came in", came_in(books)),
                ("What it was", what_it_was(books)),
                ("What was said", what_was_said(books)),
                ("What happened to ten firms", stories(books)),
            ],
        }
    }

    /// Whether everything adds up.
    pub fn holds(&self) -> bool {
        self.failed().is_empty()
    }

    /// What does not hold.
    pub fn failed(&self) -> Vec<&Check> {
        self.parts.iter().flat_map(|(_, checks)| checks).filter(|c| !c.holds).collect()
    }

    /// As text; each line is marked with `ok` or `WRONG`.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (heading, checks) in &self.parts {
            let _ = writeln!(out, "{heading}");
            for check in checks {
                let _ = writeln!(out, "  {:<5} {}", if check.holds { "ok" } else { "WRONG" }, check.text);
            }
        }
        out
    }
}

fn came_in(books: &Books<'_>) -> Vec<Check> {
    let c = &books.counters;
    vec![check(
        books.sent == c.arrived(),
        format!(
            "{} in ({} and {} registry records) = {} accepted + {} duplicates + {} stale + {} conflicts \
             + {} quarantined",
            count_of(books.sent, "record"),
            count_of(books.sent_reports, "report"),
            books.sent - books.sent_reports,
            c.accepted,
            c.duplicates,
            c.stale,
            c.conflicts,
            c.quarantined
        ),
    )]
}

fn what_it_was(books: &Books<'_>) -> Vec<Check> {
    let a = books.accounts;
    let mut states: BTreeMap<State, u64> = BTreeMap::new();
    for incident in books.incidents.values() {
        *states.entry(incident.state).or_insert(0) += 1;
    }
    let counted = states.remove(&State::Counted).unwrap_or(0);
    let not_due: u64 = a.not_due.values().sum();
    vec![
        check(
            a.counted == a.told + not_due && a.unaccounted == 0 && counted == a.counted,
            format!(
                "{} counted = {} told + {} not due ({}); unaccounted {}",
                count_of(counted, "incident"),
                a.told,
                not_due,
                by_name(&a.not_due),
                a.unaccounted
            ),
        ),
        check(true, format!("beside them: {}", by_name(&states))),
    ]
}

fn what_was_said(books: &Books<'_>) -> Vec<Check> {
    let said: Vec<&Alert> = books.alerts.iter().filter(|a| a.change != Change::Suppressed).collect();
    let ids: BTreeSet<&str> = said.iter().map(|a| a.alert_id.as_str()).collect();
    let owner = said.iter().filter(|a| a.rule == Rule::OwnerIncident).count();
    let due: usize = said.iter().map(|a| a.audiences.len()).sum();
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut accepted, mut open) = (0_u64, 0_u64);
    for delivery in books.deliveries.values() {
        match delivery.state {
            DeliveryState::Accepted => accepted += 1,
            DeliveryState::Planned | DeliveryState::Sending => open += 1,
            DeliveryState::Failed | DeliveryState::Skipped => {
                *states.entry(delivery.reason.as_deref().unwrap_or("no reason")).or_insert(0) += 1;
            }
        }
    }
    let others: u64 = states.values().sum();
    let seen = books.seen;
    let mut rang: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for ring in &seen.rings {
        *rang.entry((&ring.alert_id, &ring.to)).or_insert(0) += 1;
    }
    let phones: BTreeSet<&str> = seen.rings.iter().map(|r| r.to.as_str()).collect();
    let most = rang.values().copied().max().unwrap_or(0);
    vec![
        check(
            ids.len() == said.len(),
            format!(
                "{} to owners and {} to townships and bureaus, no number twice",
                count_of(owner as u64, "alert"),
                count_of((said.len() - owner) as u64, "warning")
            ),
        ),
        check(
            due == books.deliveries.len() && open == 0,
            format!(
                "{} due = {} + {} not delivered ({}); open {}",
                count_of(due as u64, "message"),
                count_of(accepted, "delivered message"),
                others,
                by_name(&states),
                open
            ),
        ),
        check(
            accepted == seen.rings.len() as u64 && most <= 1 && seen.unreadable == 0,
            format!(
                "{} on {}, at most {most} for each alert and phone",
                count_of(seen.rings.len() as u64, "ring"),
                count_of(phones.len() as u64, "phone")
            ),
        ),
        check(
            seen.requests == seen.rings.len() as u64 + seen.busy + seen.broken + seen.repeated
                && seen.repeated >= seen.answer_lost,
            format!(
                "{} = {} rings + {} turned away (429) + {} broken (500) + {} repeated after a lost answer, which \
                 rang nobody",
                count_of(seen.requests, "request"),
                seen.rings.len(),
                seen.busy,
                seen.broken,
                seen.repeated
            ),
        ),
    ]
}

fn stories(books: &Books<'_>) -> Vec<Check> {
    let changes = |wanted: &dyn Fn(&Alert) -> bool| -> Vec<&'static str> {
        books.alerts.iter().filter(|a| wanted(a)).map(|a| a.change.as_str()).collect()
    };
    STORIES
        .iter()
        .map(|story| {
            let firm = &books.city.firms[story.role as usize];
            let owner = changes(&|a| a.rule == Rule::OwnerIncident && a.uscc == firm.uscc);
            let escalation = changes(&|a| a.rule == Rule::Escalation && a.uscc == firm.uscc);
            let holds = owner == story.owner && escalation == story.escalation;
            let mut text = format!("{}: {}", firm.english, story.story);
            if !holds {
                let _ = write!(
                    text,
                    " (expected owner {:?} and warnings {:?}, found {owner:?} and {escalation:?})",
                    story.owner, story.escalation
                );
            }
            check(holds, text)
        })
        .collect()
}
