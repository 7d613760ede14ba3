//! What is remembered of one incident number.

use std::sync::Arc;

use smallvec::SmallVec;
use tocsin_schemas::codes::{Reason, Severity, State};
use tocsin_schemas::ids::{IncidentId, ReportKey, Uscc};
use tocsin_schemas::records::Incident;

use crate::incidents::Seen;

/// Enterprises, mostly one: kept in place.
pub(crate) type Few = SmallVec<[Uscc; 1]>;

/// An incident and what was said of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub standing: Standing,
    /// Reports that were withdrawn while they stood here, sorted.
    pub withdrawn: Vec<ReportKey>,
    pub told: Told,
}

/// How it stands.
#[derive(Debug, Clone)]
pub(crate) enum Standing {
    /// As the dataflow has it.
    Live(Arc<Seen>),
    /// As the log has it: a dead one, or any one between reading back and [`super::Decider::resume`].
    Recorded(Box<Incident>),
}

/// What the owners were told.
#[derive(Debug, Default, Clone)]
pub(crate) struct Told {
    /// Enterprises told and not corrected since, sorted.
    pub to: Few,
    /// Enterprises ever told.
    pub ever_to: Few,
    /// The severity last told.
    pub severity: Option<Severity>,
    /// The number of messages.
    pub revision: u32,
    /// `suppressed` was written with these reasons.
    pub suppressed: Vec<Reason>,
}

impl Told {
    /// Whether anybody was ever told.
    pub fn ever(&self) -> bool {
        self.revision > 0
    }
}

impl Entry {
    /// The dataflow's view, if it is alive and has been matched.
    pub fn seen(&self) -> Option<&Arc<Seen>> {
        match &self.standing {
            Standing::Live(seen) => Some(seen),
            Standing::Recorded(_) => None,
        }
    }

    /// Whether nothing of it is left.
    pub fn gone(&self) -> bool {
        matches!(&self.standing, Standing::Recorded(record) if record.state == State::Gone)
    }

    /// Whether it counts.
    pub fn counted(&self) -> bool {
        self.seen().is_some_and(|s| s.counted())
    }

    /// Whether its record, not yet matched with what the dataflow has, says just this.
    pub fn stands_as(&self, seen: &Seen) -> bool {
        let Standing::Recorded(record) = &self.standing else { return false };
        record.state == seen.state
            && record.severity == seen.severity
            && record.persons == seen.persons
            && record.uscc == seen.uscc
            && record.occurred_on == seen.occurred_on
            && record.category == seen.category
            && record.first_arrived_at == seen.first_arrived_at()
            && record.reports.len() == seen.reports.len()
            && record.reports.iter().zip(seen.reports.iter()).all(|(key, report)| *key == report.key)
    }

    /// Keys of its present reports, sorted.
    pub fn reports(&self) -> Vec<ReportKey> {
        let mut keys = Vec::new();
        self.list_reports(&mut keys);
        keys
    }

    /// Adds the keys of its present reports to a list.
    pub fn list_reports(&self, list: &mut Vec<ReportKey>) {
        match &self.standing {
            Standing::Live(seen) => list.extend(seen.reports.iter().map(|r| r.key.clone())),
            Standing::Recorded(record) => list.extend_from_slice(&record.reports),
        }
    }

    /// The record of `incidents`.
    pub fn record(&self, incident_id: IncidentId) -> Incident {
        match &self.standing {
            Standing::Live(seen) => Incident {
                incident_id,
                uscc: seen.uscc,
                occurred_on: seen.occurred_on,
                category: seen.category,
                severity: seen.severity,
                persons: seen.persons,
                state: seen.state,
                reports: self.reports(),
                withdrawn: self.withdrawn.clone(),
                first_arrived_at: seen.first_arrived_at(),
            },
            Standing::Recorded(record) => {
                Incident { withdrawn: self.withdrawn.clone(), ..(**record).clone() }
            }
        }
    }

    /// Nothing of it is left: what stays is the record.
    pub fn bury(&mut self, id: IncidentId) {
        let record = self.record(id);
        let buried = Incident { state: State::Gone, reports: Vec::new(), persons: 0, ..record };
        self.standing = Standing::Recorded(Box::new(buried));
    }
}
