//! Everything that the engine ever says must be given again by `why` from the records alone, in random histories and
//! in every scenario. The engine is the judge: `why` recomputes from what had arrived, and knows nothing of its state.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test may panic, read the environment and print"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use tocsin_oracle::histories::history;
use tocsin_oracle::{History, OraclePolicy, scenario};
use tocsin_pipeline::policy::{Escalation, Merge, OwnerAlert, Policy, SeverityLimits};
use tocsin_pipeline::why::{AlertExplained, Known, Records, Rules, Wanted, Why};
use tocsin_pipeline::{Arrival, Engine, Occasion, Options, Outcome, Policies};
use tocsin_schemas::records::{Alert, Record};
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;

fn policies(tables: &[OraclePolicy]) -> Policies {
    let table = |t: &OraclePolicy| Policy {
        effective_from: t.effective_from,
        escalation: Escalation {
            window_days: t.window_days,
            blue: t.blue,
            yellow: t.yellow,
            orange: t.orange,
            red: t.red,
            severe_is_red: t.severe_is_red,
        },
        owner_alert: OwnerAlert { max_age_days: t.max_age_days as u32 },
        merge: Merge { case_days: t.case_days as u32, incident_minutes: t.incident_minutes as u32 },
        severity: SeverityLimits {
            severe_lost_days: t.severe_lost_days,
            severe_grade_max: t.severe_grade_max,
        },
    };
    Policies::new(tables.iter().map(table).collect()).unwrap()
}

/// What a log would hold after a history.
struct Log {
    policies: Policies,
    records: Records,
    clock: Instant,
    /// For each alert, how many of the arrivals the engine had when it decided.
    known: Vec<usize>,
}

/// The partition of a record: its topic's only one here.
fn topic(record: &Record) -> &'static str {
    match record {
        Record::Report(r) => topics::reports_of(r.source).name,
        Record::Enterprise(_) => topics::ENTERPRISES,
        Record::Headcount(_) => topics::HEADCOUNT,
        Record::Contact(_) => topics::CONTACTS,
        Record::Governance(_) => topics::GOVERNANCE,
    }
}

fn played(history: &History) -> Log {
    let policies = policies(&history.policies);
    let mut engine = Engine::new(policies.clone(), Options { workers: 1 });
    let mut records = Records::default();
    let mut latest: BTreeMap<&str, (Instant, u64)> = BTreeMap::new();
    let mut known = Vec::new();
    let mut keep = |records: &mut Records, outcomes: Vec<Outcome>, before: usize| {
        for outcome in outcomes {
            let had = if outcome.occasion == Occasion::Midnight { before } else { records.arrivals.len() };
            known.extend(outcome.alerts.iter().map(|_| had));
            records.alerts.extend(outcome.alerts);
        }
    };
    for step in &history.steps {
        let before = records.arrivals.len();
        if step.arrivals.is_empty() {
            keep(&mut records, engine.tick_to(step.at.day()), before);
            continue;
        }
        let mut batch = Vec::new();
        for (record, digest, arrived_at) in &step.arrivals {
            let arrival = Arrival { record: record.clone(), digest: *digest, arrived_at: *arrived_at };
            let topic = topic(record);
            let (upto, offset) = latest.entry(topic).or_insert((*arrived_at, 0));
            *upto = (*upto).max(*arrived_at);
            records.arrivals.push(Known {
                arrival: arrival.clone(),
                topic: Arc::from(topic),
                partition: 0,
                offset: *offset,
                not_before: *upto,
                followed_at: None,
            });
            *offset += 1;
            batch.push(arrival);
        }
        keep(&mut records, engine.arrive(step.at, batch), before);
    }
    for i in (0..records.arrivals.len()).rev() {
        let (before, after) = records.arrivals.split_at_mut(i + 1);
        let this = &mut before[i];
        if let Some(next) = after.iter().find(|k| k.topic == this.topic) {
            let stamp = next.arrival.arrived_at;
            this.followed_at = Some(next.followed_at.map_or(stamp, |t| t.min(stamp)));
        }
    }
    records.incidents = engine.incidents();
    Log { policies, records, clock: engine.clock().unwrap_or(Instant(0)), known }
}

/// The part of the log that concerns an alert, as the command reads it: pass after pass.
fn concerning(log: &Records, alert: &Alert) -> Records {
    let mut wanted = Wanted::default();
    wanted.enterprise(alert.uscc);
    wanted.alert(alert);
    let mut records = Records::default();
    while !wanted.settled() {
        records.arrivals = log.arrivals.iter().filter(|k| wanted.wants(&k.arrival.record)).cloned().collect();
        records.alerts = log.alerts.iter().filter(|a| wanted.wants_alert(a)).cloned().collect();
        records.incidents = log.incidents.iter().filter(|i| wanted.wants_incident(i)).cloned().collect();
    }
    records
}

fn explained(log: &Log, alert: &Alert) -> AlertExplained {
    let of = |hash: &str| (hash == &**log.policies.hash()).then_some(&log.policies);
    let records = concerning(&log.records, alert);
    let why = Why::new(&records, Rules { at_hand: &log.policies, of: &of }, log.clock);
    why.alert(&alert.alert_id).unwrap()
}

#[derive(Default)]
struct Count {
    kinds: BTreeMap<String, u64>,
    /// The log's order says what was known.
    certain: u64,
    /// It does not: late records, records stamped ahead, several decisions at one instant.
    uncertain: u64,
    wrong: Vec<String>,
    unsettled: Vec<String>,
}

impl Count {
    fn take(&mut self, name: &str, history: &History) {
        let log = played(history);
        for (alert, known) in log.records.alerts.iter().zip(&log.known) {
            let found = explained(&log, alert);
            *self.kinds.entry(format!("{} {}", alert.rule, alert.change)).or_default() += 1;
            let midnight = alert.decided_at == alert.as_of.midnight();
            let by_then = |k: &Known| match midnight {
                // What comes at the very instant of a midnight may have come before or after this one.
                true if k.not_before == alert.decided_at => None,
                _ => Some(k.not_before <= alert.decided_at),
            };
            let certain =
                log.records.arrivals.iter().enumerate().all(|(i, k)| by_then(k) == Some(i < *known));
            let guessed = !found.taken_later.is_empty() || !found.stamped_ahead.is_empty();
            *(if certain { &mut self.certain } else { &mut self.uncertain }) += 1;
            if !found.check.adds_up() || (certain && guessed) {
                let list = if certain { &mut self.wrong } else { &mut self.unsettled };
                list.push(format!(
                    "{name}: {} {} of {} rev {} at {}: {:?}",
                    alert.rule, alert.change, alert.subject, alert.revision, alert.decided_at, found.check
                ));
            }
        }
    }
}

#[test]
fn every_alert_of_random_histories_adds_up() {
    let many = std::env::var("TOCSIN_TEST_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let mut count = Count::default();
    for seed in 0..many {
        count.take(&format!("seed {seed}"), &history(seed, 40));
    }
    let unsettled = count.unsettled.len() as u64;
    let (certain, uncertain) = (count.certain, count.uncertain);
    writeln!(
        std::io::stdout().lock(),
        "{:?}\n{certain} whose records are certain, {uncertain} not, of these {unsettled} unsettled",
        count.kinds
    )
    .unwrap();
    assert!(count.wrong.is_empty(), "{} of all: {:#?}", count.wrong.len(), &count.wrong);
    assert!(certain > many * 10, "hardly any is certain");
    // The histories shuffle time as no office does. What cannot be told from the log must stay rare even there.
    assert!(unsettled * 100 <= uncertain, "{:#?}", count.unsettled);
}

#[test]
fn every_alert_of_every_scenario_adds_up() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios");
    let mut count = Count::default();
    for (name, scenario) in &scenario::load(&folder).unwrap() {
        count.take(name, &scenario.history());
    }
    assert!(
        count.wrong.is_empty() && count.unsettled.is_empty(),
        "{:#?} {:#?}",
        count.wrong,
        count.unsettled
    );
    for kind in [
        "owner_incident new",
        "owner_incident upgraded",
        "owner_incident downgraded",
        "owner_incident corrected",
        "owner_incident suppressed",
        "escalation new",
        "escalation raised",
        "escalation eased",
        "escalation closed",
        "escalation added",
    ] {
        assert!(count.kinds.contains_key(kind), "{kind} never occurred");
    }
}
