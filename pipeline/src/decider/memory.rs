//! What was said and written so far: the fold of the `incidents` and `alerts` topics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use tocsin_schemas::codes::{Change, Reason, Role, Rule, Severity};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::records::{Alert, Incident};
use tocsin_schemas::time::Instant;

use super::entry::Told;
use super::escalation::{Escalation, Open};

/// Read back at a restart. Alerts of different enterprises may be added in any order, because they stand
/// in different partitions; those of one enterprise in the order in which they were written.
#[derive(Debug, Default)]
pub struct Memory {
    pub(super) incidents: HashMap<IncidentId, Incident>,
    told: HashMap<IncidentId, Heard>,
    pub(super) escalations: HashMap<Uscc, Escalation>,
    /// When the newest message was decided, and by which policy.
    newest: Option<(Instant, Arc<str>)>,
}

#[derive(Debug, Default)]
struct Heard {
    /// Enterprise -> the last revision that concerned it, and whether it is told since.
    to: BTreeMap<Uscc, (u32, bool)>,
    severity: Option<(u32, Severity)>,
    revision: u32,
    suppressed: Vec<Reason>,
}

impl Memory {
    /// Adds a record of `incidents`. A later one of the same number replaces an earlier one.
    pub fn incident(&mut self, incident: Incident) {
        self.incidents.insert(incident.incident_id, incident);
    }

    /// Adds a record of `alerts`.
    pub fn alert(&mut self, alert: &Alert) {
        if self.newest.as_ref().is_none_or(|(at, _)| *at <= alert.decided_at) {
            self.newest = Some((alert.decided_at, Arc::clone(&alert.policy_hash)));
        }
        match alert.rule {
            Rule::OwnerIncident => {
                let Ok(id) = alert.subject.parse::<IncidentId>() else { return };
                self.told.entry(id).or_default().hear(alert);
            }
            Rule::Escalation => {
                self.escalations.entry(alert.uscc).or_default().hear(alert);
            }
        }
    }

    /// The policy that decided the newest message; `None` if nothing was said.
    pub(crate) fn policy_hash(&self) -> Option<&Arc<str>> {
        self.newest.as_ref().map(|(_, hash)| hash)
    }

    pub(super) fn told(&mut self, id: IncidentId) -> Told {
        let heard = self.told.remove(&id).unwrap_or_default();
        Told {
            to: heard.to.iter().filter(|(_, (_, told))| *told).map(|(uscc, _)| *uscc).collect(),
            ever_to: heard.to.keys().copied().collect(),
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
            let last = self.to.entry(uscc).or_default();
            if alert.revision >= last.0 {
                *last = (alert.revision, told);
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
