//! What was said and written so far: the fold of the `incidents` and `alerts` topics.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use smallvec::SmallVec;
use tocsin_schemas::codes::{Change, Reason, Role, Rule, Severity};
use tocsin_schemas::ids::{IncidentId, ReportKey, Uscc};
use tocsin_schemas::records::{Alert, Incident};

use super::entries::Entries;
use super::entry::{Entry, Standing, Told};
use super::escalation::{Escalation, Open};

/// Read back at a restart. Alerts of different enterprises may be added in any order, because they stand
/// in different partitions; those of one enterprise in the order in which they were written. The two topics
/// do not know of each other: each may be folded by itself, and [`Memory::with`] brings them together.
#[derive(Debug, Default)]
pub struct Memory {
    /// By number.
    incidents: Vec<Option<Box<Incident>>>,
    /// Where each report stands, once all incidents are there.
    numbers: HashMap<ReportKey, IncidentId>,
    /// By number.
    told: Vec<Heard>,
    escalations: HashMap<Uscc, Escalation>,
}

/// What was said and written so far, as the engine keeps it: [`crate::Engine::resume`] takes it over.
#[derive(Debug, Default)]
pub struct Recalled {
    pub(super) entries: Entries,
    pub(super) numbers: HashMap<ReportKey, IncidentId>,
    pub(super) escalations: HashMap<Uscc, Escalation>,
    /// The policy that decided last; `None`: the present one.
    pub(crate) policy_hash: Option<String>,
}

#[derive(Debug, Default)]
struct Heard {
    /// Enterprises, the last revision that concerned each, and whether it is told since.
    to: SmallVec<[(Uscc, u32, bool); 1]>,
    severity: Option<(u32, Severity)>,
    revision: u32,
    suppressed: Vec<Reason>,
}

impl Memory {
    /// Adds a record of `incidents`. A later one of the same number replaces an earlier one.
    pub fn incident(&mut self, incident: Incident) {
        let number = incident.incident_id.0 as usize;
        *at(&mut self.incidents, number) = Some(Box::new(incident));
    }

    /// Adds a record of `alerts`.
    pub fn alert(&mut self, alert: &Alert) {
        match alert.rule {
            Rule::OwnerIncident => {
                let Ok(id) = alert.subject.parse::<IncidentId>() else { return };
                at(&mut self.told, id.0 as usize).hear(alert);
            }
            Rule::Escalation => {
                self.escalations.entry(alert.uscc).or_default().hear(alert);
            }
        }
    }

    /// What the owners were told of an incident, by these alerts of it.
    pub(crate) fn told<'a>(alerts: impl Iterator<Item = &'a Alert>) -> Told {
        let mut heard = Heard::default();
        alerts.for_each(|alert| heard.hear(alert));
        heard.into()
    }

    /// The escalation of an enterprise, by the alerts added so far.
    pub(crate) fn escalation(mut self, uscc: &Uscc) -> Escalation {
        self.escalations.remove(uscc).unwrap_or_default()
    }

    /// After the last incident: looks up where each report stands.
    pub fn index(&mut self) {
        let reports = self.incidents.iter().flatten().map(|i| i.reports.len() + i.withdrawn.len());
        self.numbers = HashMap::with_capacity(reports.sum());
        for record in self.incidents.iter_mut().flatten() {
            record.reports.sort_unstable();
            record.withdrawn.sort_unstable();
            let id = record.incident_id;
            let keys = record.reports.iter().chain(&record.withdrawn);
            self.numbers.extend(keys.map(|key| (key.clone(), id)));
        }
    }

    /// This one's incidents, indexed, with the other one's alerts.
    pub fn with(self, other: Memory) -> Recalled {
        let (mut told, escalations) = (other.told, other.escalations);
        // A number that was told and has no record is never given again, whatever was lost.
        let numbers = told.len().max(self.incidents.len());
        told.resize_with(numbers, Heard::default);
        let mut incidents = self.incidents;
        incidents.resize_with(numbers, || None);
        let entry = |(record, heard): (Option<Box<Incident>>, Heard)| {
            let mut record = record?;
            let withdrawn = std::mem::take(&mut record.withdrawn);
            Some(Entry { standing: Standing::Recorded(record), withdrawn, told: heard.into() })
        };
        Recalled {
            entries: incidents.into_iter().zip(told).map(entry).collect(),
            numbers: self.numbers,
            escalations,
            policy_hash: None,
        }
    }
}

impl Recalled {
    /// Which policy decided last (`policy_hash` of `progress`).
    pub fn decided_by(&mut self, policy_hash: &str) {
        self.policy_hash = Some(policy_hash.to_owned());
    }

    /// Numbers below `next` were given once (`next_incident` of `progress`): even if their records are lost,
    /// they are never given again.
    pub fn given(&mut self, next: u32) {
        self.entries.given(next);
    }
}

/// The place of a number, made where there is none yet.
fn at<T: Default>(list: &mut Vec<T>, number: usize) -> &mut T {
    if list.len() <= number {
        list.resize_with(number + 1, T::default);
    }
    &mut list[number]
}

impl From<Heard> for Told {
    fn from(heard: Heard) -> Told {
        let mut all = heard.to;
        all.sort_unstable();
        Told {
            to: all.iter().filter(|(_, _, told)| *told).map(|(uscc, _, _)| *uscc).collect(),
            ever_to: all.iter().map(|(uscc, _, _)| *uscc).collect(),
            severity: heard.severity.map(|(_, severity)| severity),
            revision: heard.revision,
            suppressed: heard.suppressed,
        }
    }
}

impl Heard {
    fn hear(&mut self, alert: &Alert) {
        if alert.change == Change::Suppressed {
            self.suppressed.extend(alert.reason);
            return;
        }
        self.revision = self.revision.max(alert.revision);
        let told = alert.change != Change::Corrected;
        for uscc in
            alert.audiences.iter().filter(|a| a.role == Role::Owner).filter_map(|a| a.subject.parse().ok())
        {
            match self.to.iter_mut().find(|(u, _, _)| *u == uscc) {
                None => self.to.push((uscc, alert.revision, told)),
                Some(last) if alert.revision >= last.1 => *last = (uscc, alert.revision, told),
                Some(_) => {}
            }
        }
        let newer = self.severity.is_none_or(|(revision, _)| alert.revision >= revision);
        if let (true, true, Some(severity)) = (told, newer, alert.severity) {
            self.severity = Some((alert.revision, severity));
        }
    }
}

impl Escalation {
    /// Takes in one of its own messages.
    pub(super) fn hear(&mut self, alert: &Alert) {
        self.episodes = self.episodes.max(alert.episode);
        if alert.change == Change::Closed {
            self.open = None;
            return;
        }
        let Some(level) = alert.level else { return };
        let fresh = || Open { revision: 0, level, told: BTreeSet::new(), named: BTreeSet::new() };
        let open = self.open.get_or_insert_with(fresh);
        open.level = level;
        open.revision = alert.revision;
        open.told.extend(alert.audiences.iter().map(|a| (a.role, a.subject.clone())));
        open.named.extend(alert.facts.severe_incident_ids.iter().copied());
    }
}
