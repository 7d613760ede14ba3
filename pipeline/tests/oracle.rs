//! The engine against the oracle: random histories and golden scenarios, compared after every step.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, read the environment and print"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use tocsin_oracle::histories::{history, shrink};
use tocsin_oracle::scenario::{self, Schedule};
use tocsin_oracle::{Census, History, OraclePolicy, Restarts, Subject, judge};
use tocsin_pipeline::policy::{Escalation, Merge, OwnerAlert, Policy, SeverityLimits};
use tocsin_pipeline::{Arrival, Engine, Memory, Options, Outcome, Policies};
use tocsin_schemas::codes::Scope;
use tocsin_schemas::records::{Alert, Digest, Incident, Rate, Record, Window};
use tocsin_schemas::time::{Day, Instant};

/// The engine with what a log would hold: everything that arrived and everything it said.
struct Subjected {
    engine: Engine,
    policies: Policies,
    workers: usize,
    arrived: Vec<Arrival>,
    alerts: Vec<Alert>,
    incidents: Vec<Incident>,
    /// The fold of the changed rows: what the topic `rates` would hold.
    rows: BTreeMap<(Scope, String, Window), Rate>,
}

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

impl Subjected {
    fn new(history: &History, workers: usize) -> Subjected {
        let policies = policies(&history.policies);
        Subjected {
            engine: Engine::new(policies.clone(), Options { workers }),
            policies,
            workers,
            arrived: Vec::new(),
            alerts: Vec::new(),
            incidents: Vec::new(),
            rows: BTreeMap::new(),
        }
    }

    fn keep(&mut self, outcomes: Vec<Outcome>) -> Vec<Vec<Alert>> {
        for outcome in &outcomes {
            self.alerts.extend(outcome.alerts.iter().cloned());
            self.incidents.extend(outcome.incidents.iter().cloned());
            for (key, row) in &outcome.rates {
                match row {
                    Some(row) => self.rows.insert(key.clone(), row.clone()),
                    None => self.rows.remove(key),
                };
            }
        }
        outcomes.into_iter().map(|o| o.alerts).collect()
    }
}

impl Subject for Subjected {
    fn arrive(&mut self, at: Instant, arrivals: &[(Record, Digest, Instant)]) -> Vec<Vec<Alert>> {
        let arrival = |(record, digest, arrived_at): &(Record, Digest, Instant)| Arrival {
            record: record.clone(),
            digest: *digest,
            arrived_at: *arrived_at,
        };
        let arrivals: Vec<Arrival> = arrivals.iter().map(arrival).collect();
        self.arrived.extend(arrivals.iter().cloned());
        let outcomes = self.engine.arrive(at, arrivals);
        self.keep(outcomes)
    }
    fn tick_to(&mut self, day: Day) -> Vec<Vec<Alert>> {
        let outcomes = self.engine.tick_to(day);
        self.keep(outcomes)
    }
    fn adopt(&mut self, tables: &[OraclePolicy]) -> Vec<Vec<Alert>> {
        self.policies = policies(tables);
        let outcome = self.engine.adopt(self.policies.clone());
        self.keep(vec![outcome])
    }
    fn incidents(&mut self) -> Vec<Incident> {
        self.engine.incidents()
    }
    fn rates(&mut self) -> Vec<Rate> {
        let rates = self.engine.rates();
        // A row is written when its numbers change, so only its day may be an older one.
        let mut written: Vec<Rate> = self.rows.values().cloned().collect();
        written.sort_by_cached_key(|r| (r.scope.as_str(), r.key.clone(), r.window.to_string()));
        for (row, rate) in written.iter_mut().zip(&rates) {
            row.as_of = rate.as_of;
        }
        assert_eq!(written, rates, "the changed rows do not add up to the rows");
        rates
    }
    fn rate_windows(&self) -> Vec<Window> {
        vec![Window::Rolling(365)]
    }
    fn rate_scopes(&self) -> Vec<Scope> {
        Scope::ALL.to_vec()
    }
    fn restart(&mut self) {
        let clock = self.engine.clock();
        let (mut written, mut said) = (Memory::default(), Memory::default());
        self.incidents.iter().cloned().for_each(|i| written.incident(i));
        self.alerts.iter().for_each(|a| said.alert(a));
        written.index();
        self.engine = Engine::new(self.policies.clone(), Options { workers: self.workers });
        self.engine.recover(clock);
        // In two parts, newest first: the order of a rebuild must not matter.
        let middle = self.arrived.len() / 2;
        self.engine.load(self.arrived[middle..].to_vec());
        self.engine.load(self.arrived[..middle].to_vec());
        let outcome = self.engine.resume(written.with(said));
        assert!(outcome.silent(), "a restart said {:?} and changed {:?}", outcome.alerts, outcome.incidents);
    }
}

fn agree(seeds: std::ops::Range<u64>, steps: usize, restarts: Restarts, workers: usize) -> Census {
    let mut census = Census::default();
    for seed in seeds {
        let one = |h: &History| judge(h, &mut Subjected::new(h, workers), restarts);
        let whole = history(seed, steps);
        match one(&whole) {
            Ok(found) => census.absorb(&found),
            Err(why) => {
                let small = shrink(&whole, &mut |h| one(h).is_err());
                let why = one(&small).err().unwrap_or(why);
                panic!("seed {seed}: {why}\n{small}");
            }
        }
    }
    census
}

#[test]
fn random_histories_agree_with_the_oracle_after_every_step() {
    // More of them by night: TOCSIN_TEST_HISTORIES=20000 cargo test --release -p tocsin-pipeline --test oracle
    let many = std::env::var("TOCSIN_TEST_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(500);
    let census = agree(0..many, 40, Restarts::Never, 1);
    // Straight to the stream: what a run covered is to be seen when it passes, too.
    writeln!(std::io::stdout().lock(), "{census}").unwrap();
    assert_eq!(census.missing(), Vec::<&str>::new(), "never occurred");
}

#[test]
fn a_restart_after_every_step_says_nothing_and_changes_nothing() {
    agree(1000..1040, 30, Restarts::EveryStep, 1);
}

#[test]
fn two_workers_agree_as_one_does() {
    agree(2000..2012, 30, Restarts::Never, 2);
}

#[test]
fn every_scenario_holds_under_every_schedule() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios");
    let scenarios = scenario::load(&folder).unwrap();
    assert!(scenarios.len() >= 25);
    for (name, scenario) in &scenarios {
        for schedule in &Schedule::ALL {
            let ran =
                scenario::run_with(scenario, *schedule, &mut |history| Box::new(Subjected::new(history, 1)));
            if let Err(why) = ran {
                panic!("{name} {schedule:?}: {why}");
            }
        }
    }
}
