//! What happened in a run: a test that never saw a split proves nothing about splits.

use std::collections::BTreeMap;
use std::fmt;

use tocsin_schemas::codes::{Change, Reason, Rule, State};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::records::Record;
use tocsin_schemas::time::Day;

use crate::findings::Finding;
use crate::histories::{History, Step};
use crate::lists::Compared;
use crate::oracle::Oracle;
use crate::policy::Tables;
use crate::said::Said;

/// How often each thing happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census(BTreeMap<&'static str, u64>);

/// Everything that is counted.
const KINDS: [&str; 51] = [
    "records",
    "duplicates",
    "stale",
    "conflicts",
    "flags",
    "late arrivals",
    "arrivals out of order",
    "29 Februaries",
    "merges",
    "splits",
    "moves",
    "reinstatements",
    "told",
    "upgrades",
    "downgrades",
    "corrections",
    "withdrawn after told",
    "refused after told",
    "suspected after told",
    "unmatched after told",
    "merged after told",
    "moved after told",
    "host changes",
    "joined later",
    "too old",
    "before policy",
    "opened",
    "raised",
    "eased",
    "closed",
    "added",
    "successions",
    "expiries",
    "policy changes",
    "policy reasons",
    "adoptions",
    "opened by policy",
    "raised by policy",
    "key enterprises",
    "general enterprises",
    "key by the model",
    "undetermined tests",
    "persistently key",
    "lists frozen",
    "lists frozen as before",
    "freezings refused",
    "headcount jumps",
    "loops by a record",
    "loops by a midnight",
    "loops of three or more",
    "corrected before its day",
];

impl Default for Census {
    fn default() -> Census {
        Census(KINDS.iter().map(|k| (*k, 0)).collect())
    }
}

impl Census {
    fn add(&mut self, kind: &'static str, n: u64) {
        debug_assert!(KINDS.contains(&kind), "{kind} is not a kind");
        *self.0.entry(kind).or_default() += n;
    }
    /// Adds another run's.
    pub fn absorb(&mut self, other: &Census) {
        for (kind, n) in &other.0 {
            self.add(kind, *n);
        }
    }
    /// What never happened.
    pub fn missing(&self) -> Vec<&'static str> {
        self.0.iter().filter(|(_, n)| **n == 0).map(|(k, _)| *k).collect()
    }
    /// How often one kind happened.
    pub fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kind in KINDS {
            writeln!(f, "{:>9} {kind}", self.of(kind))?;
        }
        Ok(())
    }
}

/// Watches a run and counts.
pub(crate) struct Witness {
    census: Census,
    tables: Tables,
    day: Option<Day>,
    place: BTreeMap<IncidentId, Uscc>,
}

impl Witness {
    pub(crate) fn new(history: &History) -> Witness {
        Witness {
            census: Census::default(),
            tables: Tables::new(history.policies.clone()),
            day: None,
            place: BTreeMap::new(),
        }
    }

    pub(crate) fn see(&mut self, step: &Step, said: &[Said], oracle: &Oracle) {
        let c = &mut self.census;
        if let Some(policies) = &step.adopt {
            self.tables = Tables::new(policies.clone());
            // Another file has other tables: what the next midnight changes is counted from here.
            self.day = None;
            c.add("adoptions", 1);
        }
        c.add("records", step.arrivals.len() as u64);
        c.add("flags", u64::from(step.flagged));
        for (record, _, arrived_at) in &step.arrivals {
            if let Record::Report(r) = record {
                let date = r.occurred_on.date();
                c.add("29 Februaries", u64::from((date.month(), date.day()) == (2, 29)));
                let heard = arrived_at.day().0 - r.occurred_on.0;
                c.add("late arrivals", u64::from(heard > 90));
            }
            c.add("arrivals out of order", u64::from(Some(*arrived_at) < oracle.clock()));
        }
        for s in said {
            c.add(kind_of(s), 1);
            if s.change == Change::Corrected {
                c.add("corrections", 1);
            }
            c.add(
                "joined later",
                u64::from(s.rule == Rule::OwnerIncident && s.change == Change::New && s.revision > 1),
            );
            let by_policy = s.reason == Some(Reason::Policy);
            c.add("policy reasons", u64::from(by_policy));
            c.add("opened by policy", u64::from(by_policy && s.change == Change::New));
            c.add("raised by policy", u64::from(by_policy && s.change == Change::Raised));
            let falls = s.rule == Rule::Escalation && s.reason == Some(Reason::Corrected);
            c.add("corrected before its day", u64::from(falls && s.as_of < self.tables.begin()));
            c.add("expiries", u64::from(s.reason == Some(Reason::Expired)));
            c.add("successions", u64::from(s.reason == Some(Reason::Succeeded)));
        }
        for incident in oracle.incidents() {
            if let (State::Counted, Some(uscc)) = (incident.state, incident.uscc) {
                let was = self.place.insert(incident.incident_id, uscc);
                c.add("moves", u64::from(was.is_some_and(|w| w != uscc)));
            }
        }
        let day = oracle.clock().map(|clock| clock.day());
        if let (Some(was), Some(is)) = (self.day, day) {
            c.add("policy changes", (self.tables.index(is) - self.tables.index(was)) as u64);
        }
        self.day = day;
    }

    pub(crate) fn listed(&mut self, seen: &Compared) {
        let c = &mut self.census;
        c.add("key enterprises", seen.key);
        c.add("general enterprises", seen.general);
        c.add("key by the model", seen.by_model);
        c.add("undetermined tests", seen.undetermined);
        c.add("persistently key", seen.persistent);
        c.add("lists frozen", seen.frozen);
        c.add("lists frozen as before", seen.frozen_again);
        c.add("freezings refused", seen.refused);
    }

    pub(crate) fn census(mut self, oracle: &Oracle) -> Census {
        let counters = oracle.counters();
        self.census.add("duplicates", counters.duplicates);
        self.census.add("stale", counters.stale);
        self.census.add("conflicts", counters.conflicts);
        self.census.add("merges", oracle.moves.merges);
        self.census.add("splits", oracle.moves.splits);
        self.census.add("reinstatements", oracle.moves.reinstatements);
        for finding in oracle.findings() {
            let kind = match finding {
                Finding::Jump { .. } => "headcount jumps",
                Finding::Loop { arrival: Some(_), .. } => "loops by a record",
                Finding::Loop { arrival: None, .. } => "loops by a midnight",
            };
            self.census.add(kind, 1);
            let long = matches!(finding, Finding::Loop { members, .. } if members.len() >= 3);
            self.census.add("loops of three or more", u64::from(long));
        }
        self.census
    }
}

fn kind_of(said: &Said) -> &'static str {
    match (said.change, said.reason) {
        (Change::New, _) if said.rule == Rule::Escalation => "opened",
        (Change::New, _) => "told",
        (Change::Upgraded, _) => "upgrades",
        (Change::Downgraded, _) => "downgrades",
        (Change::Corrected, Some(Reason::Withdrawn)) => "withdrawn after told",
        (Change::Corrected, Some(Reason::Refused)) => "refused after told",
        (Change::Corrected, Some(Reason::Suspected)) => "suspected after told",
        (Change::Corrected, Some(Reason::Unmatched)) => "unmatched after told",
        (Change::Corrected, Some(Reason::Merged)) => "merged after told",
        (Change::Corrected, Some(Reason::Moved)) => "moved after told",
        (Change::Corrected, _) => "host changes",
        (Change::Suppressed, Some(Reason::TooOld)) => "too old",
        (Change::Suppressed, _) => "before policy",
        (Change::Raised, _) => "raised",
        (Change::Eased, _) => "eased",
        (Change::Closed, _) => "closed",
        (Change::Added, _) => "added",
    }
}
