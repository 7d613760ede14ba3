//! What a log would hold after a history, and what the engine had when it decided.

#![allow(dead_code, reason = "each test looks at a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_oracle::History;
use tocsin_pipeline::why::{Known, Records, Written};
use tocsin_pipeline::{Arrival, Engine, Occasion, Options, Outcome, Policies};
use tocsin_schemas::records::Record;
use tocsin_schemas::time::Instant;
use tocsin_schemas::topics;

use crate::policies::policies;

/// What a log would hold after a history.
pub struct Log {
    /// Every policy that was ever in force, the last one still.
    pub policies: Vec<Policies>,
    pub records: Records,
    pub clock: Instant,
    /// For each alert.
    pub known: Vec<Had>,
    /// For each record of the lists.
    pub listed: Vec<Had>,
}

/// What the engine had when it decided.
#[derive(Clone, Copy)]
pub struct Had {
    /// So many of the arrivals.
    pub arrivals: usize,
    /// So many before the first decision at the same instant.
    pub earlier: usize,
    /// Whether it took a policy over then: that falls at the instant of the decision before it.
    pub adopts: bool,
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

pub fn played(history: &History) -> Log {
    let mut in_force = vec![policies(&history.policies)];
    let mut engine = Engine::new(in_force[0].clone(), Options { workers: 1 });
    let mut records = Records::default();
    let mut latest: BTreeMap<&str, (Instant, u64)> = BTreeMap::new();
    let (mut known, mut listed) = (Vec::new(), Vec::new());
    let mut instant: Option<(Instant, usize)> = None;
    let mut keep = |records: &mut Records, outcomes: Vec<Outcome>, before: usize| {
        for outcome in outcomes {
            let arrivals =
                if outcome.occasion == Occasion::Midnight { before } else { records.arrivals.len() };
            let adopts = outcome.occasion == Occasion::Policy;
            let first = instant.filter(|(at, _)| *at == outcome.decided_at);
            let (_, earlier) = *instant.insert(first.unwrap_or((outcome.decided_at, before)));
            let had = Had { arrivals, earlier, adopts };
            known.extend(outcome.alerts.iter().map(|_| had));
            records.alerts.extend(outcome.alerts);
            listed.extend(outcome.lists.iter().map(|_| had));
            let written = outcome.lists.iter().map(|(key, listed)| Written { key, listed });
            records.lists.extend(written);
        }
    };
    for step in &history.steps {
        let before = records.arrivals.len();
        if let Some(tables) = &step.adopt {
            in_force.push(policies(tables));
            let adopted = engine.adopt(policies(tables));
            keep(&mut records, vec![adopted], before);
        }
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
                flags: Vec::new(),
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
    Log { policies: in_force, records, clock: engine.clock().unwrap_or(Instant(0)), known, listed }
}
