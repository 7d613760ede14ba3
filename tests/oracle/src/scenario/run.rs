//! Runs a scenario: the oracle against what the file says, and a subject against the oracle.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tocsin_schemas::codes::Rule;
use tocsin_schemas::ids::IncidentId;

use super::{After, Expected, Scenario, Scene, Shown};
use crate::compare::{Matcher, compare_findings, compare_rates};
use crate::findings::Finding;
use crate::histories::{History, Step};
use crate::judge::{Revisions, Subject, step_oracle, step_subject};
use crate::oracle::Oracle;
use crate::said::Said;

/// How a scenario is played. What must be said is the same under each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// As written.
    Straight,
    /// The arrivals of one instant in another order, by this seed.
    Shuffled(u64),
    /// Every record twice.
    Doubled,
    /// As written, and the subject is restarted after every step.
    Restarted,
}

impl Schedule {
    /// One of each kind, and three orders.
    pub const ALL: [Schedule; 6] = [
        Schedule::Straight,
        Schedule::Shuffled(1),
        Schedule::Shuffled(2),
        Schedule::Shuffled(3),
        Schedule::Doubled,
        Schedule::Restarted,
    ];

    fn step(self, step: &Step) -> Step {
        let mut step = step.clone();
        match self {
            Schedule::Straight | Schedule::Restarted => {}
            Schedule::Shuffled(seed) => step.arrivals.shuffle(&mut ChaCha8Rng::seed_from_u64(seed)),
            Schedule::Doubled => {
                step.arrivals = step.arrivals.iter().flat_map(|a| [a.clone(), a.clone()]).collect();
            }
        }
        step
    }
}

/// The oracle alone.
///
/// # Errors
/// The scene that is not as written, and how.
pub fn run(scenario: &Scenario, schedule: Schedule) -> Result<(), String> {
    play(scenario, schedule, None)
}

/// The oracle, and a subject beside it that must say the same.
///
/// `subject` makes it from the scenario's history, of which only the policies are looked at.
///
/// # Errors
/// The scene that is not as written or at which they differ, and how.
pub fn run_with(
    scenario: &Scenario,
    schedule: Schedule,
    subject: &mut dyn FnMut(&History) -> Box<dyn Subject>,
) -> Result<(), String> {
    let mut subject = subject(&scenario.history());
    play(scenario, schedule, Some(subject.as_mut()))
}

fn play(
    scenario: &Scenario,
    schedule: Schedule,
    mut subject: Option<&mut dyn Subject>,
) -> Result<(), String> {
    let mut oracle = Oracle::new(scenario.policies.clone());
    let mut matcher = Matcher::default();
    let mut revisions = Revisions::default();
    let mut letters: BTreeMap<String, IncidentId> = BTreeMap::new();
    for scene in &scenario.scenes {
        let failed = |what: String| format!("{schedule:?}, line {} ({}):\n{what}", scene.line, scene.step.at);
        let step = schedule.step(&scene.step);
        let before = oracle.findings().len();
        let said = step_oracle(&mut oracle, &step);
        let found = &oracle.findings()[before..];
        shown_as_written(scene, found).map_err(failed)?;
        letters = as_written(scene, &said, &letters).map_err(failed)?;
        for after in &scene.after {
            holds(after, &oracle, &mut letters, schedule).map_err(failed)?;
        }
        if oracle.unaccounted() > 0 {
            return Err(failed("an incident is unaccounted".into()));
        }
        if let Some(subject) = subject.as_deref_mut() {
            let alerts: Vec<_> = step_subject(subject, &step).into_iter().flatten().collect();
            revisions.follow(&alerts).map_err(failed)?;
            matcher.compare(&alerts, &said, &subject.incidents(), &oracle.incidents()).map_err(failed)?;
            compare_rates(&subject.rates(), &oracle.rates()).map_err(failed)?;
            if let Some(theirs) = subject.findings() {
                compare_findings(&theirs, found).map_err(failed)?;
            }
            if schedule == Schedule::Restarted {
                subject.restart();
            }
        }
    }
    Ok(())
}

/// Exactly what is written was shown to the clerk. Which record of the instant brought it is not written, since
/// that is another one in another order.
fn shown_as_written(scene: &Scene, found: &[Finding]) -> Result<(), String> {
    let of = |finding: &Finding| match finding.clone() {
        Finding::Loop { members, arrival, since } => {
            Shown::Loop { members, since: Some(since).filter(|_| arrival.is_none()) }
        }
        Finding::Jump { uscc, month, insured, before, .. } => Shown::Jump { uscc, month, insured, before },
    };
    let (mut found, mut written) = (found.iter().map(of).collect::<Vec<_>>(), scene.shown.clone());
    found.sort();
    written.sort();
    if found == written {
        return Ok(());
    }
    Err(format!("  the clerk is shown {found:?},\n  written is        {written:?}"))
}

type Letters = BTreeMap<String, IncidentId>;

/// Exactly what is written was said; gives the letters with those bound that are new.
fn as_written(scene: &Scene, said: &[Said], letters: &Letters) -> Result<Letters, String> {
    let all: Vec<&Said> = said.iter().collect();
    if scene.said.len() == all.len()
        && let Some(bound) = assign(&scene.said, &all, letters)
    {
        return Ok(bound);
    }
    let mut text = String::from("  written:\n");
    for e in &scene.said {
        text.push_str(&format!("    {}\n", e.text));
    }
    text.push_str("  said:\n");
    for s in said {
        text.push_str(&format!("    {s}\n"));
    }
    text.push_str(&format!("  letters: {letters:?}"));
    Err(text)
}

/// Finds a message for each expectation such that letters stay one to one.
fn assign(expected: &[Expected], said: &[&Said], letters: &Letters) -> Option<Letters> {
    let Some((first, others)) = expected.split_first() else { return Some(letters.clone()) };
    for (i, s) in said.iter().enumerate() {
        if let Some(bound) = fits(first, s, letters) {
            let mut rest = said.to_vec();
            rest.remove(i);
            if let Some(all) = assign(others, &rest, &bound) {
                return Some(all);
            }
        }
    }
    None
}

fn bind(letters: &mut Letters, letter: &str, id: IncidentId) -> bool {
    match letters.get(letter) {
        Some(known) => *known == id,
        None if letters.values().any(|known| *known == id) => false,
        None => {
            letters.insert(letter.to_string(), id);
            true
        }
    }
}

fn fits(e: &Expected, s: &Said, letters: &Letters) -> Option<Letters> {
    let mut letters = letters.clone();
    let given = |wanted: bool| wanted.then_some(());
    given(e.rule == s.rule && e.change == s.change && e.level == s.level && e.reason == s.reason)?;
    given(e.severity.is_none() || e.severity == s.severity)?;
    given(e.count.is_none_or(|n| n == s.count))?;
    given(e.uscc.is_none_or(|u| u == s.uscc))?;
    given(e.episode.is_none_or(|n| n == s.episode) && e.revision.is_none_or(|n| n == s.revision))?;
    given(e.reports.as_ref().is_none_or(|r| *r == s.reports))?;
    given(e.audiences.len() == s.audiences.len())?;
    for (wanted, found) in e.audiences.iter().zip(&s.audiences) {
        given(wanted.0 == found.0 && wanted.1 == found.1)?;
        given(wanted.2.is_none() || wanted.2 == found.2)?;
    }
    if let Some(letter) = &e.letter {
        given(s.rule == Rule::OwnerIncident && s.subject == s.incident_ids.first()?.to_string())?;
        given(bind(&mut letters, letter, s.incident_ids[0]))?;
    }
    if let Some(wanted) = &e.incidents {
        let mut ids: Vec<IncidentId> = wanted.iter().filter_map(|l| letters.get(l).copied()).collect();
        ids.sort();
        given(ids == s.incident_ids)?;
    }
    Some(letters)
}

fn holds(after: &After, oracle: &Oracle, letters: &mut Letters, schedule: Schedule) -> Result<(), String> {
    match after {
        After::Incident { text, letter, state, uscc, persons, severity, reports } => {
            let fit = oracle.incidents().into_iter().find(|i| {
                let named = match letters.get(letter) {
                    Some(id) => *id == i.incident_id,
                    None => !letters.values().any(|id| *id == i.incident_id),
                };
                named
                    && i.state == *state
                    && (uscc.is_none() || i.uscc == *uscc)
                    && persons.is_none_or(|n| n == i.persons)
                    && severity.is_none_or(|s| s == i.severity)
                    && reports.as_ref().is_none_or(|r| *r == i.reports)
            });
            let found =
                fit.ok_or_else(|| format!("  not so: {text}\n  incidents: {:#?}", oracle.incidents()))?;
            letters.insert(letter.clone(), found.incident_id);
            Ok(())
        }
        After::NotDue(wanted) if *wanted == oracle.not_due() => Ok(()),
        After::NotDue(wanted) => Err(format!("  not due: written {wanted:?}, found {:?}", oracle.not_due())),
        // Doubled, there are as many more duplicates as there are records.
        After::Counters(..) if schedule == Schedule::Doubled => Ok(()),
        After::Counters(text, wanted) => {
            let c = oracle.counters();
            for (kind, n) in wanted {
                let found = match kind.as_str() {
                    "接收" => c.accepted,
                    "重复" => c.duplicates,
                    "旧版" => c.stale,
                    "冲突" => c.conflicts,
                    _ => return Err(format!("  no counter {kind}")),
                };
                if found != *n {
                    return Err(format!("  not so: {text}\n  found {c:?}"));
                }
            }
            Ok(())
        }
        After::Rate(row) => {
            let rates = oracle.rates();
            let found =
                rates.iter().find(|r| r.scope == row.scope && r.key == row.key && r.window == row.window);
            let same = found.is_some_and(|r| {
                r.incidents == row.incidents
                    && r.persons == row.persons
                    && r.headcount == row.headcount
                    && r.per_thousand == row.per_thousand
            });
            if same { Ok(()) } else { Err(format!("  not so: {}\n  found {found:?}", row.text)) }
        }
    }
}
