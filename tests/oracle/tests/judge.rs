//! The judge is judged: the oracle beside itself agrees, and each of many faults is found.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::cell::Cell;

use tocsin_oracle::scenario::{Scenario, Schedule, run_with};
use tocsin_oracle::{
    Census, Finding, History, Oracle, OraclePolicy, Restarts, Said, Subject, histories, judge,
};
use tocsin_schemas::codes::{Change, Rule, State};
use tocsin_schemas::ids::IncidentId;
use tocsin_schemas::records::{Alert, AlertFacts, Audience, Counters, Digest, Incident, Rate, Record};
use tocsin_schemas::time::{Day, Instant};

/// What is done wrong.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    None,
    /// One kind of message is lost.
    Loses(Change),
    /// Everything is said twice.
    Twice,
    /// The year to date is one too many.
    Year,
    /// The numbers of incidents change hands in the middle.
    Numbers,
    /// A rate is off by the smallest amount.
    Rate,
    /// A limit of a rate is off in its ninth digit.
    Limit,
    /// A rate may be ranked where it may not.
    Rank,
    /// An hour late.
    Late,
    /// Without the cause.
    Cause,
    /// A number is left out between two messages of one incident.
    Skips,
    /// The clerk is not shown a headcount that jumps, or a loop.
    Hides(&'static str),
    /// A loop is blamed on another record.
    Blames,
}

/// The oracle with other incident numbers, and a fault.
struct Mirror {
    oracle: Oracle,
    fault: Fault,
    steps: Cell<u32>,
    shown: usize,
}

impl Mirror {
    fn new(policies: Vec<OraclePolicy>, fault: Fault) -> Mirror {
        Mirror { oracle: Oracle::new(policies), fault, steps: Cell::new(0), shown: 0 }
    }
    fn number(&self, id: IncidentId) -> IncidentId {
        let swapped = self.fault == Fault::Numbers && self.steps.get() > 12 && (1..=2).contains(&id.0);
        IncidentId(1000 + if swapped { 3 - id.0 } else { id.0 })
    }
    fn alerts(&self, said: Vec<Said>) -> Vec<Vec<Alert>> {
        self.steps.set(self.steps.get() + 1);
        let mut alerts = Vec::new();
        for s in said {
            if self.fault == Fault::Loses(s.change) {
                continue;
            }
            let owner = s.rule == Rule::OwnerIncident;
            let late = if self.fault == Fault::Late { 3_600_000 } else { 0 };
            let extra = u32::from(self.fault == Fault::Year);
            let alert = Alert {
                alert_id: String::new(),
                case_no: String::new().into(),
                rule: s.rule,
                change: s.change,
                subject: if owner {
                    self.number(s.incident_ids[0]).to_string().into()
                } else {
                    s.subject.into()
                },
                uscc: s.uscc,
                episode: s.episode,
                revision: s.revision + u32::from(self.fault == Fault::Skips && s.revision > 1),
                audiences: s
                    .audiences
                    .into_iter()
                    .map(|(role, subject, y)| Audience {
                        role,
                        subject: subject.into(),
                        year_to_date: y.map(|n| n + extra),
                    })
                    .collect(),
                level: s.level,
                severity: s.severity,
                incident_ids: s.incident_ids.into_iter().map(|id| self.number(id)).collect(),
                reports: s.reports,
                count: s.count,
                as_of: s.as_of,
                decided_at: s.decided_at.plus_millis(late),
                reason: s.reason,
                policy_hash: "".into(),
                facts: AlertFacts {
                    enterprise_name: s.facts.enterprise_name.map(Into::into),
                    short_name: s.facts.short_name.map(Into::into),
                    area: s.facts.area.map(Into::into),
                    occurred_on: s.facts.occurred_on,
                    cause: s.facts.cause.filter(|_| self.fault != Fault::Cause),
                    window_days: s.facts.window_days,
                    severe_incident_ids: s
                        .facts
                        .severe_incident_ids
                        .into_iter()
                        .map(|id| self.number(id))
                        .collect(),
                    worst: s.facts.worst,
                },
            };
            if self.fault == Fault::Twice {
                alerts.push(alert.clone());
            }
            alerts.push(alert);
        }
        alerts.into_iter().map(|a| vec![a]).collect()
    }
}

impl Subject for Mirror {
    fn arrive(&mut self, at: Instant, arrivals: &[(Record, Digest, Instant)]) -> Vec<Vec<Alert>> {
        let said = self.oracle.arrive(at, arrivals.to_vec());
        self.alerts(said)
    }
    fn tick_to(&mut self, day: Day) -> Vec<Vec<Alert>> {
        let said = self.oracle.tick_to(day);
        self.alerts(said)
    }
    fn adopt(&mut self, policies: &[OraclePolicy]) -> Vec<Vec<Alert>> {
        let said = self.oracle.adopt(policies.to_vec());
        self.alerts(said)
    }
    fn incidents(&mut self) -> Vec<Incident> {
        let mut all = self.oracle.incidents();
        for i in &mut all {
            i.incident_id = self.number(i.incident_id);
        }
        all.retain(|i| i.state != State::Gone || !i.withdrawn.is_empty());
        all
    }
    fn rates(&mut self) -> Vec<Rate> {
        let mut rates = self.oracle.rates();
        if self.fault == Fault::Rate {
            for r in &mut rates {
                r.per_thousand = r.per_thousand.map(f64::next_up);
            }
        }
        for r in &mut rates {
            r.high = r.high.map(|high| if self.fault == Fault::Limit { high * (1.0 + 2e-9) } else { high });
            r.rankable |= self.fault == Fault::Rank;
        }
        rates
    }
    fn findings(&mut self) -> Option<Vec<Finding>> {
        let mut new = self.oracle.findings()[self.shown..].to_vec();
        self.shown += new.len();
        new.retain(|finding| match finding {
            Finding::Jump { .. } => self.fault != Fault::Hides("jump"),
            Finding::Loop { .. } => self.fault != Fault::Hides("loop"),
        });
        for finding in &mut new {
            if let (Fault::Blames, Finding::Loop { arrival: Some(n), .. }) = (self.fault, finding) {
                *n += 1;
            }
        }
        Some(new)
    }
    fn restart(&mut self) {}
    fn counters(&mut self) -> Option<Counters> {
        Some(self.oracle.counters())
    }
}

fn verdict(history: &History, fault: Fault) -> Result<Census, String> {
    judge(history, &mut Mirror::new(history.policies.clone(), fault), Restarts::EveryStep)
}

#[test]
fn the_oracle_agrees_with_itself_under_other_numbers() {
    for seed in 0..5 {
        let history = histories::history(seed, 40);
        verdict(&history, Fault::None).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{history}"));
    }
}

#[test]
fn every_fault_is_found() {
    let mut faults = vec![Fault::Twice, Fault::Year, Fault::Numbers, Fault::Rate, Fault::Late, Fault::Cause];
    faults.extend([Fault::Skips, Fault::Limit, Fault::Rank]);
    faults.extend([Fault::Skips, Fault::Hides("jump"), Fault::Hides("loop"), Fault::Blames]);
    faults.extend(Change::ALL.iter().map(|c| Fault::Loses(*c)));
    for fault in faults {
        let found = (0..12).any(|seed| verdict(&histories::history(seed, 40), fault).is_err());
        assert!(found, "{fault:?} was not found in 12 histories");
    }
}

#[test]
fn a_left_out_revision_is_called_by_its_name() {
    let found = (0..12).find_map(|seed| verdict(&histories::history(seed, 40), Fault::Skips).err()).unwrap();
    assert!(found.contains("revision 3 follows revision 1"), "{found}");
}

#[test]
fn a_failing_history_shrinks_to_what_matters() {
    let mut fails = |h: &History| verdict(h, Fault::Loses(Change::Upgraded)).is_err();
    let long = (0..).map(|seed| histories::history(seed, 30)).find(|h| fails(h)).unwrap();
    let short = histories::shrink(&long, &mut fails);
    let records: usize = short.steps.iter().map(|s| s.arrivals.len()).sum();
    assert!(fails(&short));
    assert!(records <= 4, "an upgrade needs a registration and two versions:\n{short}");
}

#[test]
fn a_scenario_is_played_with_a_subject_beside_the_oracle() {
    let text = include_str!("../../scenarios/10-moved-to-another-employer.scenario");
    let scenario = Scenario::parse(text).unwrap();
    for (fault, right) in [(Fault::None, true), (Fault::Loses(Change::Corrected), false)] {
        for schedule in Schedule::ALL {
            let result = run_with(&scenario, schedule, &mut |h: &History| {
                Box::new(Mirror::new(h.policies.clone(), fault)) as Box<dyn Subject>
            });
            assert_eq!(result.is_ok(), right, "{fault:?} {schedule:?}: {result:?}");
        }
    }
}
