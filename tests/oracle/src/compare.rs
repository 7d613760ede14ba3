//! Two systems' incidents and messages side by side, the numbers of incidents aside.
//!
//! Two systems may number incidents differently. What must agree is which incident *keeps* its number: so
//! numbers are paired when an incident is first seen (by its set of reports), and a pair holds for ever.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use tocsin_schemas::codes::{Rule, State};
use tocsin_schemas::ids::{IncidentId, ReportKey};
use tocsin_schemas::records::{Alert, Incident, Rate};

use crate::findings::Finding;
use crate::said::Said;

/// Which of their numbers stands for which of ours, over a whole run.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    ours_of: BTreeMap<IncidentId, IncidentId>,
    theirs_of: BTreeMap<IncidentId, IncidentId>,
}

/// One comparison without a past: see [`Matcher::compare`].
///
/// # Errors
/// What differs, as text for a person.
pub fn compare(
    engine_alerts: &[Alert],
    oracle_said: &[Said],
    engine_incidents: &[Incident],
    oracle_incidents: &[Incident],
) -> Result<(), String> {
    Matcher::default().compare(engine_alerts, oracle_said, engine_incidents, oracle_incidents)
}

impl Matcher {
    /// Compares the incidents after a step and the messages of the step.
    ///
    /// # Errors
    /// What differs, as text for a person. The pairs seen so far stay.
    pub fn compare(
        &mut self,
        engine_alerts: &[Alert],
        oracle_said: &[Said],
        engine_incidents: &[Incident],
        oracle_incidents: &[Incident],
    ) -> Result<(), String> {
        let mut wrong = String::new();
        self.incidents(engine_incidents, oracle_incidents, &mut wrong);
        let mut theirs: Vec<Said> = engine_alerts.iter().map(|a| self.as_ours(a)).collect();
        let mut ours = oracle_said.to_vec();
        theirs.sort();
        ours.sort();
        for said in &ours {
            if let Some(i) = theirs.iter().position(|t| t == said) {
                theirs.remove(i);
            } else {
                let _ = writeln!(wrong, "  not said by the engine:  {said}");
            }
        }
        for said in &theirs {
            let _ = writeln!(wrong, "  said by the engine only: {said}");
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Their alert with our numbers; a number without a partner is left and will not compare equal.
    fn as_ours(&self, alert: &Alert) -> Said {
        let mut said = Said::of(alert);
        for id in &mut said.incident_ids {
            *id = self.ours_of.get(id).copied().unwrap_or(IncidentId(IncidentId::MAX - id.0));
        }
        said.incident_ids.sort();
        for id in &mut said.facts.severe_incident_ids {
            *id = self.ours_of.get(id).copied().unwrap_or(IncidentId(IncidentId::MAX - id.0));
        }
        said.facts.severe_incident_ids.sort();
        if said.rule == Rule::OwnerIncident {
            said.subject = match said.subject.parse::<IncidentId>() {
                Ok(id) => self.ours_of.get(&id).map_or(format!("unpaired {id}"), ToString::to_string),
                Err(_) => format!("no incident number: {}", said.subject),
            };
        }
        said
    }

    fn incidents(&mut self, theirs: &[Incident], ours: &[Incident], wrong: &mut String) {
        let alive = |i: &&Incident| i.state != State::Gone;
        let by_reports = |all: &[Incident]| -> BTreeMap<Vec<ReportKey>, Incident> {
            let sorted = |i: &Incident| {
                let mut r = i.reports.clone();
                r.sort();
                r
            };
            all.iter().filter(alive).map(|i| (sorted(i), i.clone())).collect()
        };
        let (their_map, our_map) = (by_reports(theirs), by_reports(ours));
        for (reports, o) in &our_map {
            match their_map.get(reports) {
                None => {
                    let _ = writeln!(wrong, "  no such incident in the engine:  {}", Show(o));
                }
                Some(t) => {
                    self.pair(t.incident_id, o.incident_id, wrong);
                    if facts(t) != facts(o) {
                        let _ = writeln!(
                            wrong,
                            "  incident differs: engine {}\n                    oracle {}",
                            Show(t),
                            Show(o)
                        );
                    }
                }
            }
        }
        for (reports, t) in &their_map {
            if !our_map.contains_key(reports) {
                let _ = writeln!(wrong, "  incident in the engine only:     {}", Show(t));
            }
        }
        // The dead: what would bring them back must be the same. One that nothing can bring back may be left out.
        for o in ours.iter().filter(|i| i.state == State::Gone && !i.withdrawn.is_empty()) {
            let id = self.theirs_of.get(&o.incident_id);
            match theirs.iter().find(|t| Some(&t.incident_id) == id) {
                None => {
                    let _ = writeln!(wrong, "  gone incident missing in the engine: {}", Show(o));
                }
                Some(t) if t.state != State::Gone || sorted(&t.withdrawn) != sorted(&o.withdrawn) => {
                    let _ = writeln!(
                        wrong,
                        "  gone incident differs: engine {}\n                         oracle {}",
                        Show(t),
                        Show(o)
                    );
                }
                Some(_) => {}
            }
        }
    }

    fn pair(&mut self, theirs: IncidentId, ours: IncidentId, wrong: &mut String) {
        let (a, b) =
            (*self.ours_of.entry(theirs).or_insert(ours), *self.theirs_of.entry(ours).or_insert(theirs));
        if a != ours || b != theirs {
            let _ = writeln!(
                wrong,
                "  identity differs: the oracle's {ours} was the engine's {b}, now it is its {theirs} (which was {a})"
            );
        }
    }
}

fn sorted(reports: &[ReportKey]) -> Vec<ReportKey> {
    let mut all = reports.to_vec();
    all.sort();
    all
}

/// What of a living incident must be equal, its number aside.
fn facts(i: &Incident) -> impl PartialEq + use<> {
    (
        i.uscc,
        i.occurred_on,
        i.category,
        i.severity,
        i.persons,
        i.state,
        i.first_arrived_at,
        sorted(&i.withdrawn),
    )
}

/// Rates must be equal to the last bit, limits and shrunken rates to nine digits, whatever the order of the rows.
///
/// # Errors
/// The rows that differ.
pub fn compare_rates(engine: &[Rate], oracle: &[Rate]) -> Result<(), String> {
    let key = |r: &Rate| (r.scope, r.key.clone(), r.window);
    let mut wrong = String::new();
    let theirs: BTreeMap<_, &Rate> = engine.iter().map(|r| (key(r), r)).collect();
    let ours: BTreeMap<_, &Rate> = oracle.iter().map(|r| (key(r), r)).collect();
    if theirs.len() != engine.len() {
        let _ = writeln!(wrong, "  the engine has two rows of one key");
    }
    for (k, o) in &ours {
        match theirs.get(k) {
            None => {
                let _ = writeln!(wrong, "  no such rate in the engine: {o:?}");
            }
            Some(t) if !same(t, o) => {
                let _ = writeln!(wrong, "  rate differs: engine {t:?}\n                oracle {o:?}");
            }
            Some(_) => {}
        }
    }
    for (k, t) in &theirs {
        if !ours.contains_key(k) {
            let _ = writeln!(wrong, "  rate in the engine only: {t:?}");
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Counts, rates and reasons alike; what rests on logarithms and roots to nine digits.
fn same(engine: &Rate, oracle: &Rate) -> bool {
    let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * b.abs(),
        (a, b) => a.is_none() && b.is_none(),
    };
    let (low, high, shrunken) = (oracle.low, oracle.high, oracle.shrunken);
    near(engine.low, low)
        && near(engine.high, high)
        && near(engine.shrunken, shrunken)
        && Rate { low, high, shrunken, ..engine.clone() } == *oracle
}

/// What the clerk is shown at one step must be equal, whatever the order.
///
/// # Errors
/// What differs.
pub fn compare_findings(engine: &[Finding], oracle: &[Finding]) -> Result<(), String> {
    let sorted = |findings: &[Finding]| {
        let mut all = findings.to_vec();
        all.sort();
        all
    };
    let (theirs, ours) = (sorted(engine), sorted(oracle));
    if theirs == ours {
        return Ok(());
    }
    Err(format!(
        "  the clerk is shown: by the engine {theirs:?}\n                      by the oracle {ours:?}\n"
    ))
}

/// An incident on one line.
struct Show<'a>(&'a Incident);

impl fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let i = self.0;
        write!(
            f,
            "{} {} {} {} {} persons {} on {} first {}",
            i.incident_id,
            i.state,
            i.severity,
            i.category,
            i.uscc.map_or("no uscc".into(), |u| u.to_string()),
            i.persons,
            i.occurred_on,
            i.first_arrived_at
        )?;
        list(f, " reports", &i.reports)?;
        list(f, " withdrawn", &i.withdrawn)
    }
}

fn list(f: &mut fmt::Formatter<'_>, name: &str, items: &[impl fmt::Display]) -> fmt::Result {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    write!(f, "{name} [{}]", texts.join(" "))
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {} {}.{} uscc {}",
            self.decided_at, self.rule, self.change, self.subject, self.episode, self.revision, self.uscc
        )?;
        for (role, subject, ytd) in &self.audiences {
            write!(f, " to {role}:{subject}")?;
            if let Some(n) = ytd {
                write!(f, "(year {n})")?;
            }
        }
        if let Some(level) = self.level {
            write!(f, " {level}")?;
        }
        if let Some(severity) = self.severity {
            write!(f, " {severity}")?;
        }
        write!(f, " count {}", self.count)?;
        if let Some(reason) = self.reason {
            write!(f, " because {reason}")?;
        }
        list(f, " incidents", &self.incident_ids)?;
        list(f, " reports", &self.reports)?;
        write!(f, " {:?}", self.facts)
    }
}
