//! What one policy said in the days compared. Pure: alerts in, counts out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use tocsin_alerts::texts;
use tocsin_schemas::codes::{Change, Level, Reason, Role, Rule, Severity};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::records::{Alert, Audience};
use tocsin_schemas::time::Day;

use super::listed::Lists;

/// What was said of one enterprise on one day. Two alerts of two policies are *the same* if all of this is equal:
/// ids, episodes and revisions are left out, because they count what was said before, and the numbers of incidents,
/// because they depend on what was merged. See docs/backtest.md.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Said {
    /// Which rule.
    pub rule: Rule,
    /// What it changed.
    pub change: Change,
    /// The level after the change, of an escalation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The severity, of an owner's alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Why, where the change alone does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Who is told. Empty: recorded, not sent.
    pub audiences: Vec<Told>,
}

/// One role that is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Told {
    /// The role.
    pub role: Role,
    /// Whose.
    pub subject: String,
}

/// One day of one enterprise, and how often each thing was said then.
pub type Days = BTreeMap<(Day, Uscc), BTreeMap<Said, u64>>;

/// An alert that is sent to somebody.
#[derive(Debug)]
pub struct Sent {
    /// The day.
    pub on: Day,
    /// To whom, with the words where two of them could be one person.
    pub to: Vec<(Audience, Option<String>)>,
}

/// A level that stood: on the evenings of `from` up to and without `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The enterprise.
    pub uscc: Uscc,
    /// The level.
    pub level: Level,
    /// The first day.
    pub from: Day,
    /// The day on which another level, or none, stood in the evening.
    pub until: Day,
}

/// What an enterprise is called, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Known {
    /// Its name.
    pub name: Option<Arc<str>>,
    /// Its area.
    pub area: Option<Arc<str>>,
}

/// See the module's page.
#[derive(Debug)]
pub struct Tally {
    from: Day,
    /// Alerts by rule and change.
    pub alerts: BTreeMap<(Rule, Change), u64>,
    /// What was said of each enterprise on each day.
    pub days: Days,
    /// Escalations that opened at a level or rose to it, by area.
    pub reached: BTreeMap<(Level, Arc<str>), u64>,
    /// What was sent.
    pub sent: Vec<Sent>,
    /// Enterprises by the levels at which they stood at any time of the days compared.
    pub stood: BTreeMap<Level, BTreeSet<Uscc>>,
    /// The lists of a year.
    pub lists: Lists,
    /// Enterprises that were named.
    pub known: BTreeMap<Uscc, Known>,
    /// Incidents that nobody was told of, why, and since when.
    silent: BTreeMap<IncidentId, (Reason, Day)>,
    open: BTreeMap<Uscc, (Level, Day)>,
    spans: Vec<Span>,
}

impl Tally {
    /// Nothing said yet; what is said from `from` on counts.
    pub fn new(from: Day) -> Tally {
        Tally {
            from,
            alerts: BTreeMap::new(),
            days: BTreeMap::new(),
            reached: BTreeMap::new(),
            sent: Vec::new(),
            stood: BTreeMap::new(),
            lists: Lists::default(),
            known: BTreeMap::new(),
            silent: BTreeMap::new(),
            open: BTreeMap::new(),
            spans: Vec::new(),
        }
    }

    /// Takes in one alert, in the order of decision.
    pub fn hear(&mut self, alert: &Alert) {
        match alert.rule {
            Rule::OwnerIncident => self.owners(alert),
            Rule::Escalation => self.level(alert),
        }
        if alert.as_of < self.from || alert.change == Change::Suppressed {
            return;
        }
        *self.alerts.entry((alert.rule, alert.change)).or_default() += 1;
        let known = self.known.entry(alert.uscc).or_default();
        let facts = &alert.facts;
        if facts.enterprise_name.is_some() {
            *known = Known { name: facts.enterprise_name.clone(), area: facts.area.clone() };
        }
        *self.days.entry((alert.as_of, alert.uscc)).or_default().entry(Said::of(alert)).or_default() += 1;
        if matches!((alert.rule, alert.change), (Rule::Escalation, Change::New | Change::Raised))
            && let Some(level) = alert.level
        {
            let area = facts.area.clone().unwrap_or_default();
            *self.reached.entry((level, area)).or_default() += 1;
        }
        if alert.audiences.is_empty() {
            return;
        }
        let several = alert.audiences.len() > 1;
        let words = |to: &Audience| texts::render(alert, to).ok().filter(|_| several).map(|m| m.text);
        let to = alert.audiences.iter().map(|to| (to.clone(), words(to))).collect();
        self.sent.push(Sent { on: alert.as_of, to });
    }

    /// Incidents that nobody was told of, by reason: those of `counted` of which that was decided in the days
    /// compared.
    pub fn not_due(&self, counted: &[IncidentId]) -> BTreeMap<Reason, u64> {
        let mut by_reason = BTreeMap::new();
        for (reason, on) in counted.iter().filter_map(|id| self.silent.get(id)) {
            if *on >= self.from {
                *by_reason.entry(*reason).or_default() += 1;
            }
        }
        by_reason
    }

    /// The levels that stood, up to the evening of `to`.
    pub fn spans(&self, to: Day) -> Vec<Span> {
        let until = to.plus(1);
        let open = self.open.iter().map(|(uscc, (level, from))| Span {
            uscc: *uscc,
            level: *level,
            from: *from,
            until,
        });
        self.spans.iter().copied().chain(open).collect()
    }

    fn owners(&mut self, alert: &Alert) {
        for id in &alert.incident_ids {
            match (alert.change, alert.reason) {
                (Change::Suppressed, Some(reason)) => {
                    self.silent.insert(*id, (reason, alert.as_of));
                }
                (Change::New, _) => {
                    self.silent.remove(id);
                }
                _ => {}
            }
        }
    }

    fn level(&mut self, alert: &Alert) {
        if let Some((level, from)) = self.open.remove(&alert.uscc) {
            self.spans.push(Span { uscc: alert.uscc, level, from, until: alert.as_of });
            // It still stood when the days compared began: only what fell at that very midnight did not.
            if alert.decided_at > self.from.midnight() {
                self.stood.entry(level).or_default().insert(alert.uscc);
            }
        }
        if let Some(level) = alert.level {
            self.open.insert(alert.uscc, (level, alert.as_of));
            if alert.as_of >= self.from {
                self.stood.entry(level).or_default().insert(alert.uscc);
            }
        }
    }

    /// Ends the tally: what is open still stands.
    pub fn end(&mut self) {
        for (uscc, (level, _)) in &self.open {
            self.stood.entry(*level).or_default().insert(*uscc);
        }
    }
}

impl Said {
    fn of(alert: &Alert) -> Said {
        let told = |to: &Audience| Told { role: to.role, subject: to.subject.to_string() };
        let mut audiences: Vec<Told> = alert.audiences.iter().map(told).collect();
        audiences.sort_unstable();
        Said {
            rule: alert.rule,
            change: alert.change,
            level: alert.level,
            severity: alert.severity,
            reason: alert.reason,
            audiences,
        }
    }
}
