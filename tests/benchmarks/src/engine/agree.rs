//! Whether both sides ended at the same incidents, counts and levels. A floor that did less, or something
//! else, would be no floor.

use hashbrown::HashMap;
use tocsin_pipeline::{Engine, Outcome};
use tocsin_schemas::codes::{Category, Level, Rule, Scope, State};
use tocsin_schemas::ids::{ReportKey, Uscc};
use tocsin_schemas::records::{Rate, Rates, Window};

use super::floor::{Floor, Shown, Sum, Sums, WINDOWS};

/// The level last told of each enterprise: the fold of the engine's escalation alerts.
#[derive(Default)]
pub struct Told(HashMap<Uscc, Level>);

impl Told {
    /// Takes in what the engine said.
    pub fn hear(&mut self, outcomes: &[Outcome]) {
        for alert in outcomes.iter().flat_map(|o| &o.alerts).filter(|a| a.rule == Rule::Escalation) {
            match alert.level {
                Some(level) => drop(self.0.insert(alert.uscc, level)),
                None => drop(self.0.remove(&alert.uscc)),
            }
        }
    }
}

/// What was compared and found equal.
#[derive(Debug, Clone, Copy)]
pub struct Agreed {
    /// Incidents that are not gone, of whatever state.
    pub incidents: usize,
    /// Counts: enterprises, industries, areas and the city.
    pub counts: usize,
    /// Enterprises with a level.
    pub levels: usize,
}

impl std::fmt::Display for Agreed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Agreed { incidents, counts, levels } = self;
        write!(f, "both sides hold the same {incidents} incidents, {counts} counts, {levels} levels")
    }
}

/// Compares everything.
///
/// # Errors
/// What differs, with the first few examples: one of the two sides is wrong, and the figures are void.
pub fn check(engine: &Engine, told: &Told, floor: &Floor) -> Result<Agreed, String> {
    Ok(Agreed {
        incidents: incidents(engine, floor)?,
        counts: counts(engine, floor)?,
        levels: equal("levels", &told.0, &floor.levels())?,
    })
}

fn incidents(engine: &Engine, floor: &Floor) -> Result<usize, String> {
    let mut ours: HashMap<ReportKey, Shown> = HashMap::new();
    for i in engine.incidents().into_iter().filter(|i| i.state != State::Gone) {
        let shown = Shown {
            state: i.state,
            uscc: i.uscc,
            occurred_on: i.occurred_on,
            category: i.category,
            severity: i.severity,
            persons: i.persons,
            reports: {
                // The engine lists them as text, the plain loop in source order.
                let mut reports = i.reports;
                reports.sort();
                reports
            },
        };
        ours.insert(shown.reports[0].clone(), shown);
    }
    let theirs: HashMap<ReportKey, Shown> = floor.incidents().map(|i| (i.reports[0].clone(), i)).collect();
    equal("incidents", &ours, &theirs)
}

/// A count as both sides have it: incidents, persons, those with a headcount, headcount, other categories.
type Count = (u32, u32, u32, Option<f64>, [u32; 3]);

fn counts(engine: &Engine, floor: &Floor) -> Result<usize, String> {
    let others = [Category::Commuting, Category::SuddenIllness, Category::OccupationalDisease];
    let of_row = |r: &Rate| {
        let other = others.map(|category| r.other.get(&category).copied().unwrap_or(0));
        (r.incidents, r.persons, r.incidents_with_headcount, r.headcount, other)
    };
    let rows = engine.rates();
    let ours: HashMap<(Scope, String, Window), Count> = rows
        .iter()
        // The plain loop keeps no statistics by sector, cause and period: there it does less.
        .filter(|r| Scope::RATES.contains(&r.scope))
        .flat_map(Rates::rows)
        .map(|r| ((r.scope, r.key.clone(), r.window), of_row(&r)))
        .collect();
    let of_sum = |s: Sum| {
        let other = s.other.map(|n| n as u32);
        (s.incidents as u32, s.persons as u32, s.with_headcount as u32, s.headcount(), other)
    };
    // Enterprises without a production incident in three of the windows have no rows.
    let member = |sums: &Sums| [2, 5, 6].iter().any(|window: &usize| sums[*window].incidents != 0);
    let shown = |(key, sums): &((Scope, String), Sums)| key.0 != Scope::Enterprise || member(sums);
    let in_windows = |((scope, key), sums): ((Scope, String), Sums)| {
        WINDOWS.into_iter().zip(sums).map(move |(window, sum)| ((scope, key.clone(), window), of_sum(sum)))
    };
    let theirs: HashMap<_, Count> = floor.sums().into_iter().filter(shown).flat_map(in_windows).collect();
    equal("counts", &ours, &theirs)
}

fn equal<K, V>(what: &str, ours: &HashMap<K, V>, theirs: &HashMap<K, V>) -> Result<usize, String>
where
    K: std::hash::Hash + Eq + std::fmt::Debug,
    V: PartialEq + std::fmt::Debug,
{
    let mut different: Vec<String> = Vec::new();
    for (key, our) in ours {
        let their = theirs.get(key);
        if their != Some(our) {
            different.push(format!("{key:?}: engine {our:?}, plain loop {their:?}"));
        }
    }
    for (key, their) in theirs.iter().filter(|(key, _)| !ours.contains_key(*key)) {
        different.push(format!("{key:?}: engine nothing, plain loop {their:?}"));
    }
    match different.len() {
        0 => Ok(ours.len()),
        n => Err(format!(
            "engine and plain loop differ in {n} {what} of {}:\n  {}",
            ours.len().max(theirs.len()),
            different.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n  ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{engine, floor, register};
    use crate::workload::Reports;

    #[test]
    fn both_sides_agree_and_one_report_less_is_seen() {
        let (mut engine, mut floor, mut told) = (engine().unwrap(), floor().unwrap(), Told::default());
        for piece in register(5) {
            let at = piece[0].arrived_at;
            floor.arrive(at, piece.clone());
            engine.arrive(at, piece);
        }
        let mut reports = Reports::new(5);
        for many in [1, 7, 500, 3_000, 1, 1, 2_000] {
            let batch = reports.take_next(many);
            let at = batch[batch.len() - 1].arrived_at;
            let verdicts = floor.arrive(at, batch.clone());
            let outcomes = engine.arrive(at, batch);
            assert_eq!(outcomes.last().map(|o| &o.verdicts), Some(&verdicts));
            told.hear(&outcomes);
            let agreed = check(&engine, &told, &floor).unwrap();
            assert!(agreed.incidents > 0 && agreed.counts > 100, "{agreed}");
        }
        assert!(check(&engine, &told, &floor).unwrap().levels > 100);
        let batch = reports.take_next(1);
        engine.arrive(batch[0].arrived_at, batch);
        check(&engine, &told, &floor).unwrap_err();
    }
}
