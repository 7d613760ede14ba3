//! The engine as the oracle's judge takes it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod policies;

use std::collections::BTreeMap;

use policies::policies;
use tocsin_oracle::{Finding as Shown, History, OraclePolicy, Subject};
use tocsin_pipeline::{Arrival, Engine, Finding, Memory, Options, Outcome, Policies};
use tocsin_schemas::codes::{List, Scope};
use tocsin_schemas::records::{Alert, Digest, Incident, Listed, Member, Rate, Rates, Record, WindowRate};
use tocsin_schemas::time::{Day, Instant};
use tocsin_schemas::wire;

/// The engine with what a log would hold: everything that arrived and everything it said.
pub struct Subjected {
    /// The engine itself.
    pub engine: Engine,
    policies: Policies,
    workers: usize,
    arrived: Vec<Arrival>,
    alerts: Vec<Alert>,
    incidents: Vec<Incident>,
    rates: BTreeMap<(Scope, String), Vec<WindowRate>>,
    /// As the topic has them, and in the order in which they were written.
    lists: BTreeMap<String, Listed>,
    listed: Vec<Listed>,
    /// What was frozen since somebody asked.
    frozen: Vec<Listed>,
    /// What the clerk was shown since the judge asked last.
    shown: Vec<Shown>,
}

impl Subjected {
    /// An engine that has seen nothing, under the history's policies.
    pub fn new(history: &History, workers: usize) -> Subjected {
        let policies = policies(&history.policies);
        Subjected {
            engine: Engine::new(policies.clone(), Options { workers }),
            policies,
            workers,
            arrived: Vec::new(),
            alerts: Vec::new(),
            incidents: Vec::new(),
            rates: BTreeMap::new(),
            lists: BTreeMap::new(),
            listed: Vec::new(),
            frozen: Vec::new(),
            shown: Vec::new(),
        }
    }

    fn keep(&mut self, outcomes: Vec<Outcome>) -> Vec<Vec<Alert>> {
        for outcome in &outcomes {
            self.alerts.extend(outcome.alerts.iter().cloned());
            self.incidents.extend(outcome.incidents.iter().cloned());
            self.shown.extend(outcome.findings.iter().map(as_ours));
            for (key, rates) in outcome.rates.iter() {
                match rates {
                    Some(rates) => self.rates.insert(key, rates.windows),
                    None => self.rates.remove(&key),
                };
            }
            for (key, listed) in outcome.lists.iter() {
                match listed {
                    Some(listed) => {
                        let again = wire::decode::<Listed>(&wire::encode(&listed)).unwrap();
                        assert_eq!(
                            (&again, &key),
                            (&listed, &listed.key()),
                            "a record of a list survives the wire"
                        );
                        self.listed.retain(|l| l.key() != key);
                        self.listed.push(again);
                        self.frozen.extend((listed.list == List::Frozen).then(|| listed.clone()));
                        self.lists.insert(key, listed);
                    }
                    None => {
                        assert!(self.lists.remove(&key).is_some(), "{key} was on no list");
                        self.listed.retain(|l| l.key() != key);
                    }
                }
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
        // What the topic says must be what is so: each change, folded.
        let of = |rates: &Rates| ((rates.scope, rates.key.clone()), rates.windows.clone());
        let all: BTreeMap<_, _> = rates.iter().map(of).collect();
        assert!(self.rates == all, "the changes of rates do not add up to the rates");
        rates.iter().flat_map(Rates::rows).collect()
    }
    fn lists(&mut self) -> Option<[Vec<Listed>; 3]> {
        let lists = self.engine.lists();
        // What the topic says must be what is so: each change, folded. What it was compared with may be another day's.
        let plain = |listed: &Listed| {
            let member = listed.member.clone().map(|m| Member {
                per_thousand: None,
                shrunken_per_thousand: None,
                chance_above_city: None,
                chance_of_as_many: None,
                ..m
            });
            let reference = listed.reference.clone().filter(|_| member.is_none());
            (listed.key(), reference, listed.whole.clone(), member)
        };
        let years: Vec<i32> = lists.iter().map(|l| l.year).collect();
        let told = self.lists.values().filter(|l| l.list == List::Annual && years.contains(&l.year));
        let (told, so): (Vec<_>, Vec<_>) = (told.map(plain).collect(), lists.iter().map(plain).collect());
        assert_eq!(told, so, "the changes of lists do not add up to the lists");
        let left = self.lists.values().filter(|l| l.list == List::Annual && !years.contains(&l.year));
        Some([lists, std::mem::take(&mut self.frozen), left.cloned().collect()])
    }
    fn findings(&mut self) -> Option<Vec<Shown>> {
        Some(std::mem::take(&mut self.shown))
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
        for listed in &self.listed {
            self.engine.recall(&listed.key(), Some(listed.clone()));
        }
        let outcome = self.engine.resume(written.with(said));
        assert!(outcome.lists.is_empty(), "a restart changed the lists: {:?}", outcome.lists);
        assert_eq!(outcome.findings, [], "a restart tells the clerk again");
        assert!(outcome.silent(), "a restart said {:?} and changed {:?}", outcome.alerts, outcome.incidents);
    }
}

fn as_ours(finding: &Finding) -> Shown {
    match finding {
        Finding::SuccessionLoop { members, arrival, since } => {
            Shown::Loop { members: members.to_vec(), arrival: *arrival, since: *since }
        }
        Finding::HeadcountJump { uscc, month, insured, before, arrival } => {
            Shown::Jump { uscc: *uscc, month: *month, insured: *insured, before: *before, arrival: *arrival }
        }
    }
}
