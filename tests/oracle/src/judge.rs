//! The judge: one history through the oracle and through a subject, compared after every step.

use std::collections::BTreeMap;

use tocsin_schemas::codes::{Change, Rule};
use tocsin_schemas::ids::{IncidentId, ReportKey};
use tocsin_schemas::records::{Alert, Counters, Digest, Incident, Listed, Rate, Record};
use tocsin_schemas::time::{Day, Instant};

use crate::census::{Census, Witness};
use crate::compare::{Matcher, compare_findings, compare_rates};
use crate::findings::Finding;
use crate::histories::{History, Step};
use crate::lists::{compare_lists, spread};
use crate::oracle::Oracle;
use crate::policy::OraclePolicy;

/// A system that is judged: the engine, behind whatever drives it.
///
/// It is made by the caller, from the history's policies, and nothing arrived yet.
pub trait Subject {
    /// One batch at one instant, midnights that lie before it ticked first. The messages by decision.
    fn arrive(&mut self, at: Instant, arrivals: &[(Record, Digest, Instant)]) -> Vec<Vec<Alert>>;
    /// Ticks every midnight up to and including that of `day`.
    fn tick_to(&mut self, day: Day) -> Vec<Vec<Alert>>;
    /// Takes another policy over, at the clock as it stands.
    fn adopt(&mut self, policies: &[OraclePolicy]) -> Vec<Vec<Alert>>;
    /// Every incident, `gone` ones too.
    fn incidents(&mut self) -> Vec<Incident>;
    /// The rates at the clock's day.
    fn rates(&mut self) -> Vec<Rate>;
    /// The lists at the clock's day, what was frozen since the last call, and the lists of earlier years as they last
    /// stood, if the subject keeps any.
    fn lists(&mut self) -> Option<[Vec<Listed>; 3]> {
        None
    }
    /// What the clerk was shown since the last call, if the subject keeps that.
    fn findings(&mut self) -> Option<Vec<Finding>> {
        None
    }
    /// Stops and starts again from what a restart finds.
    fn restart(&mut self);
    /// What became of the records, if the subject counts that (`quarantined` and `flagged` are not compared).
    fn counters(&mut self) -> Option<Counters> {
        None
    }
}

/// Whether the subject is restarted on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restarts {
    /// Never.
    Never,
    /// After every step.
    EveryStep,
}

/// Runs a history through oracle and subject and compares messages, incidents, identities, rates, findings and
/// counters after every step.
///
/// # Errors
/// The first step at which they differ, and how.
pub fn judge(history: &History, subject: &mut dyn Subject, restarts: Restarts) -> Result<Census, String> {
    let mut oracle = Oracle::new(history.policies.clone());
    let mut matcher = Matcher::default();
    let mut revisions = Revisions::default();
    let mut witness = Witness::new(history);
    for (n, step) in history.steps.iter().enumerate() {
        if oracle.clock().is_none() && step.arrivals.is_empty() && step.adopt.is_none() {
            continue; // No midnight passes before the clock starts.
        }
        let failed = |what: String| format!("step {n} at {}:\n{what}", step.at);
        let shown = oracle.findings().len();
        let said = step_oracle(&mut oracle, step);
        witness.see(step, &said, &oracle);
        let decisions = step_subject(subject, step);
        in_order(&decisions).map_err(failed)?;
        let alerts: Vec<Alert> = decisions.into_iter().flatten().collect();
        revisions.follow(&alerts).map_err(failed)?;
        matcher.compare(&alerts, &said, &subject.incidents(), &oracle.incidents()).map_err(failed)?;
        if let Some([lists, frozen, left]) = subject.lists() {
            let listed = compare_lists(&mut oracle, step, &lists, &frozen, &left).map_err(failed)?;
            witness.listed(&listed);
            // By the engine's own model, which was judged with the lists.
            oracle.shrink_by(spread(&lists, oracle.clock()));
        }
        compare_rates(&subject.rates(), &oracle.rates()).map_err(failed)?;
        if let Some(theirs) = subject.findings() {
            compare_findings(&theirs, &oracle.findings()[shown..]).map_err(failed)?;
        }
        if let Some(theirs) = subject.counters() {
            let ours =
                Counters { quarantined: theirs.quarantined, flagged: theirs.flagged, ..oracle.counters() };
            if ours != theirs {
                return Err(failed(format!("  counters differ: engine {theirs:?}\n  oracle {ours:?}")));
            }
        }
        sound(&oracle).map_err(failed)?;
        if restarts == Restarts::EveryStep {
            subject.restart();
        }
    }
    Ok(witness.census(&oracle))
}

/// The oracle alone: what a history holds, and that nothing is left unaccounted.
///
/// # Errors
/// The first step after which an incident is neither told nor not due.
pub fn survey(history: &History) -> Result<Census, String> {
    let mut oracle = Oracle::new(history.policies.clone());
    let mut witness = Witness::new(history);
    for (n, step) in history.steps.iter().enumerate() {
        let said = step_oracle(&mut oracle, step);
        witness.see(step, &said, &oracle);
        sound(&oracle).map_err(|what| format!("step {n} at {}: {what}", step.at))?;
    }
    Ok(witness.census(&oracle))
}

/// The oracle's own invariants: nothing unaccounted, and every report stands in exactly one record.
fn sound(oracle: &Oracle) -> Result<(), String> {
    if oracle.unaccounted() > 0 {
        return Err("the oracle itself has an unaccounted incident".into());
    }
    let mut stands: BTreeMap<ReportKey, IncidentId> = BTreeMap::new();
    for incident in oracle.incidents() {
        for report in incident.reports.iter().chain(&incident.withdrawn) {
            if let Some(other) = stands.insert(report.clone(), incident.incident_id) {
                return Err(format!(
                    "the oracle itself has {report} in {other} and {}",
                    incident.incident_id
                ));
            }
        }
    }
    Ok(())
}

/// A policy first; then a step without arrivals is a run of midnights, any other a batch.
pub(crate) fn step_oracle(oracle: &mut Oracle, step: &Step) -> Vec<crate::Said> {
    let mut said = step.adopt.clone().map_or_else(Vec::new, |policies| oracle.adopt(policies));
    said.extend(if step.arrivals.is_empty() {
        oracle.tick_to(step.at.day())
    } else {
        oracle.arrive(step.at, step.arrivals.clone())
    });
    said
}

pub(crate) fn step_subject(subject: &mut dyn Subject, step: &Step) -> Vec<Vec<Alert>> {
    let mut said = step.adopt.as_deref().map_or_else(Vec::new, |policies| subject.adopt(policies));
    said.extend(if step.arrivals.is_empty() {
        subject.tick_to(step.at.day())
    } else {
        subject.arrive(step.at, &step.arrivals)
    });
    said
}

/// Within one decision alerts come by rule, subject and revision (records.md section 5).
fn in_order(decisions: &[Vec<Alert>]) -> Result<(), String> {
    for decision in decisions {
        let keys: Vec<_> =
            decision.iter().map(|a| (a.rule.as_str(), a.subject.clone(), a.episode, a.revision)).collect();
        if !keys.is_sorted() {
            return Err(format!("  the alerts of one decision are not in order: {keys:?}"));
        }
    }
    Ok(())
}

/// The revisions of every episode are 1, 2, 3 … in the order in which they are said, whatever lies between
/// them: who delivers them can tell by that whether one is missing (records.md section 4).
#[derive(Debug, Default)]
pub(crate) struct Revisions(BTreeMap<(Rule, String, u32), u32>);

impl Revisions {
    pub(crate) fn follow(&mut self, alerts: &[Alert]) -> Result<(), String> {
        for alert in alerts.iter().filter(|a| a.change != Change::Suppressed) {
            let last = self.0.entry((alert.rule, alert.subject.to_string(), alert.episode)).or_default();
            if alert.revision != *last + 1 {
                return Err(format!(
                    "  {} {} episode {}: revision {} follows revision {last}",
                    alert.rule, alert.subject, alert.episode, alert.revision
                ));
            }
            *last = alert.revision;
        }
        Ok(())
    }
}
