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
use tocsin_pipeline::{Arrival, Engine, Options, Outcome, Policies};
use tocsin_schemas::codes::Rule;
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
    let mut said =
        |outcomes: Vec<Outcome>| -> Vec<Alert> { outcomes.into_iter().flat_map(|o| o.alerts).collect() };
    for step in &history.steps {
        if step.arrivals.is_empty() {
            records.alerts.extend(said(engine.tick_to(step.at.day())));
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
            });
            *offset += 1;
            batch.push(arrival);
        }
        records.alerts.extend(said(engine.arrive(step.at, batch)));
    }
    records.incidents = engine.incidents();
    Log { policies, records, clock: engine.clock().unwrap_or(Instant(0)) }
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
    guessed: u64,
    wrong: Vec<String>,
}

impl Count {
    fn take(&mut self, name: &str, history: &History) {
        let log = played(history);
        for alert in &log.records.alerts {
            let found = explained(&log, alert);
            *self.kinds.entry(format!("{} {}", alert.rule, alert.change)).or_default() += 1;
            self.guessed += u64::from(!found.taken_later.is_empty());
            if !found.check.adds_up() {
                self.wrong.push(format!(
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
    writeln!(std::io::stdout().lock(), "{:?}, {} with records taken in later", count.kinds, count.guessed)
        .unwrap();
    assert!(
        count.wrong.is_empty(),
        "{} of all: {:#?}",
        count.wrong.len(),
        &count.wrong[..count.wrong.len().min(12)]
    );
}

#[test]
fn every_alert_of_every_scenario_adds_up() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios");
    let mut count = Count::default();
    for (name, scenario) in &scenario::load(&folder).unwrap() {
        count.take(name, &scenario.history());
    }
    assert!(count.wrong.is_empty(), "{:#?}", count.wrong);
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
