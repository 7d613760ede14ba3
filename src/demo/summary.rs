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
use super::gateway::{Ring, Seen};
use crate::ledger::answer::{Reconciliation, What};

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
    /// Every phone that rang, in order.
    pub rings: &'a [Ring],
    /// What the gateways have counted.
    pub seen: Seen,
    /// What the log alone says of each incident and each warning.
    pub reconciled: &'a Reconciliation,
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
                ("What happened to those who stand for the rest", stories(books)),
                ("What the ledger says, read back from the log alone", ledger(books)),
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
    let (mut accepted, mut open, mut requests) = (0_u64, 0_u64, 0_u64);
    for delivery in books.deliveries.values() {
        requests += u64::from(delivery.attempt);
        match delivery.state {
            DeliveryState::Accepted | DeliveryState::Delivered => accepted += 1,
            DeliveryState::Planned | DeliveryState::Sending | DeliveryState::Uncertain => open += 1,
            DeliveryState::Failed | DeliveryState::Skipped => {
                *states.entry(delivery.reason.as_deref().unwrap_or("no reason")).or_insert(0) += 1;
            }
        }
    }
    let others: u64 = states.values().sum();
    let seen = books.seen;
    let mut rang: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for ring in books.rings {
        *rang.entry((&ring.alert_id, &ring.to)).or_insert(0) += 1;
    }
    let phones: BTreeSet<&str> = books.rings.iter().map(|r| r.to.as_str()).collect();
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
                "{} due = {accepted} that their gateways took + {others} not sent or lost ({}); open {}",
                count_of(due as u64, "message"),
                by_name(&states),
                open
            ),
        ),
        check(
            accepted == books.rings.len() as u64 && accepted == seen.rang && most <= 1,
            format!(
                "{} on {}, at most {most} for each alert and phone",
                count_of(seen.rang, "ring"),
                count_of(phones.len() as u64, "phone")
            ),
        ),
        check(
            requests == seen.sends
                && seen.sends == seen.rang + seen.turned_away + seen.repeated
                && seen.refused == 0,
            format!(
                "{} by the ledger, and by the gateways {} = {} rings + {} turned away + {} repeated with the same \
                 key, which rang nobody",
                count_of(requests, "request"),
                seen.sends,
                seen.rang,
                seen.turned_away,
                seen.repeated
            ),
        ),
        check(
            open == 0 && (seen.answers_lost == 0 || seen.questions + seen.repeated > 0),
            format!(
                "{} of a message that had rung; {} to the provider of SMS, and none is open",
                count_of(seen.answers_lost, "lost answer"),
                count_of(seen.questions, "question"),
            ),
        ),
    ]
}

/// The reconciliation knows nothing of the engine's memory, and the engine's account nothing of what was delivered.
fn ledger(books: &Books<'_>) -> Vec<Check> {
    let (found, a) = (books.reconciled, books.accounts);
    let not_due: u64 = a.not_due.values().sum();
    let owners = found.count(What::Counted, "unaccounted") == 0
        && found.cases_of(What::Counted) == a.counted
        && found.count(What::Counted, "suppressed") == not_due;
    let others = |what| found.count(what, "unaccounted") == 0 && found.count(what, "pending") == 0;
    vec![
        check(owners && others(What::Counted), found.line(What::Counted)),
        check(others(What::NotCounted), found.line(What::NotCounted)),
        check(others(What::Warning), found.line(What::Warning)),
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

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use tocsin_schemas::codes::{Reason, Role};

    use super::*;
    use crate::ledger::answer::{Row, Standing, Step};

    struct Kept {
        city: City,
        accounts: Accounts,
        incidents: BTreeMap<IncidentId, Incident>,
        deliveries: BTreeMap<String, Delivery>,
        rings: Vec<Ring>,
        seen: Seen,
        counters: Counters,
        reconciled: Reconciliation,
    }

    fn incident(n: u32, state: State) -> (IncidentId, Incident) {
        let json = serde_json::json!({"incident_id": IncidentId(n), "uscc": null, "occurred_on": "2026-03-01",
            "category": "production", "severity": "minor", "persons": 1, "state": state.as_str(),
            "reports": [], "withdrawn": [], "first_arrived_at": "2026-03-01T08:00:00+08:00"});
        (IncidentId(n), serde_json::from_value(json).unwrap())
    }

    fn ring(alert: &str, to: &str) -> Ring {
        let [alert_id, template, to, text] = [alert, "T1", to, "t"].map(str::to_owned);
        Ring { alert_id, role: Role::Owner, template, to, text }
    }

    fn delivery(id: &str) -> (String, Delivery) {
        let json = serde_json::json!({"delivery_id": id, "alert_id": "a", "case_no": "1",
            "uscc": "91330784XX00000190", "role": "owner", "subject": "s", "contact_rank": 1,
            "contact_version": 1, "channel": "webhook", "template": "T1", "state": "accepted", "reason": null,
            "attempt": 1, "at": "2026-03-01T08:00:00+08:00", "due_at": null, "gateway_ref": null,
            "uncertain": false});
        (id.to_owned(), serde_json::from_value(json).unwrap())
    }

    fn reconciled(rows: &[(Standing, u64)]) -> Reconciliation {
        let row = |(standing, cases): &(Standing, u64)| Row {
            what: What::Counted,
            standing: standing.clone(),
            cases: *cases,
        };
        Reconciliation { rows: rows.iter().map(row).collect(), ..Reconciliation::default() }
    }

    #[test]
    fn a_ledger_that_knows_of_fewer_or_misses_one_does_not_add_up() {
        for rows in [
            vec![(Standing::Told, 1)],
            vec![(Standing::Told, 2)],
            vec![(Standing::Suppressed("too_old"), 1), (Standing::Unaccounted(Step::NoDelivery), 1)],
            vec![(Standing::Suppressed("too_old"), 1), (Standing::Pending("planned"), 1)],
        ] {
            let kept = Kept { reconciled: reconciled(&rows), ..kept() };
            assert_eq!(failed(&kept, ledger), 1, "{rows:?}");
        }
    }

    fn kept() -> Kept {
        Kept {
            city: City::new(&mut ChaCha8Rng::seed_from_u64(1)),
            accounts: Accounts {
                counted: 2,
                told: 1,
                not_due: BTreeMap::from([(Reason::TooOld, 1)]),
                unaccounted: 0,
            },
            incidents: [incident(1, State::Counted), incident(2, State::Counted), incident(3, State::Gone)]
                .into(),
            deliveries: BTreeMap::new(),
            rings: Vec::new(),
            seen: Seen::default(),
            counters: Counters { accepted: 5, duplicates: 1, quarantined: 2, ..Counters::default() },
            reconciled: reconciled(&[(Standing::Told, 1), (Standing::Suppressed("too_old"), 1)]),
        }
    }

    fn failed(kept: &Kept, part: fn(&Books<'_>) -> Vec<Check>) -> usize {
        let books = Books {
            city: &kept.city,
            sent: 8,
            sent_reports: 6,
            counters: kept.counters,
            accounts: &kept.accounts,
            alerts: &[],
            incidents: &kept.incidents,
            deliveries: &kept.deliveries,
            rings: &kept.rings,
            seen: kept.seen,
            reconciled: &kept.reconciled,
        };
        part(&books).iter().filter(|c| !c.holds).count()
    }

    #[test]
    fn what_adds_up_holds() {
        let kept = kept();
        assert_eq!(failed(&kept, came_in) + failed(&kept, what_it_was) + failed(&kept, what_was_said), 0);
        assert_eq!(failed(&kept, ledger), 0);
    }

    #[test]
    fn a_lost_record_does_not_add_up() {
        let mut kept = kept();
        kept.counters.quarantined -= 1;
        assert_eq!(failed(&kept, came_in), 1);
    }

    #[test]
    fn an_incident_that_nobody_was_told_of_and_no_reason_explains_does_not_add_up() {
        let mut lost = kept();
        (lost.accounts.told, lost.accounts.unaccounted) = (0, 1);
        assert_eq!(failed(&lost, what_it_was), 1);
        let mut unknown = kept();
        unknown.incidents.extend([incident(4, State::Counted)]);
        assert_eq!(failed(&unknown, what_it_was), 1);
    }

    #[test]
    fn a_phone_that_rings_twice_for_one_alert_does_not_add_up() {
        let mut kept = kept();
        kept.deliveries = [delivery("x"), delivery("y")].into();
        kept.rings = vec![ring("a", "1"), ring("b", "1")];
        kept.seen = Seen { sends: 2, rang: 2, ..Seen::default() };
        // Two deliveries of alerts that are not in the log.
        assert_eq!(failed(&kept, what_was_said), 1);
        kept.rings = vec![ring("a", "1"), ring("a", "1")];
        assert_eq!(failed(&kept, what_was_said), 2);
    }

    #[test]
    fn a_story_that_was_not_told_does_not_add_up() {
        assert_eq!(failed(&kept(), stories), STORIES.len());
    }
}
