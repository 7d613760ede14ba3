//! `tocsin why --deep`: what an entry of a list was compared with, made again from the records of every enterprise.
//!
//! The city's rate was taken at one midnight and the model at another, from what had been taken in before them. So an
//! engine is loaded with that, and takes both midnights itself. It shares nothing with what the log holds of lists: had
//! that been changed, it would be seen. It reads the whole history, which is why it has to be asked for.

use std::sync::Arc;

use serde::Serialize;
use tocsin_pipeline::why::Difference;
use tocsin_pipeline::{Arrival, Engine, Options, Policies, Recalled};
use tocsin_schemas::log::EventLog;
use tocsin_schemas::records::{Listed, Model, Reference};
use tocsin_schemas::wire::SchemaIds;

use crate::backtest::history::{History, Topics};
use crate::exit::Failure;
use crate::why::text::modelled;

/// How many records are handed to the engine at once while loading.
const LOAD: usize = 10_000;

/// What comes out again.
#[derive(Debug, Serialize)]
pub struct Again {
    /// The same as the record's; `None`: nothing was there to compare with.
    pub reference: Option<Reference>,
    /// Records that were read.
    pub records: u64,
    /// Where the two differ.
    pub differences: Vec<Difference>,
}

/// Makes the reference of a record again, by this policy. `None`: it has none, as no midnight of the year had passed.
///
/// # Errors
/// Those of the log, and a history that is not whole.
pub fn again(
    log: &Arc<dyn EventLog>,
    schemas: &Arc<dyn SchemaIds>,
    listed: &Listed,
    policies: &Policies,
) -> Result<Option<Again>, Failure> {
    let Some(said) = &listed.reference else { return Ok(None) };
    let modelled_on = said.modelled_on.unwrap_or(said.taken_on);
    let [first, last] = [modelled_on, said.taken_on].map(|day| day.midnight());
    let mut history = Topics::of(Arc::clone(log), Arc::clone(schemas))?;
    let mut engine = Engine::of_decisions(policies.clone(), Options { workers: 1 });
    engine.recover(Some(first.plus_millis(-1)));
    let mut held: Vec<Arrival> = Vec::new();
    let mut next = history.next()?;
    while let Some(batch) = next.take_if(|batch| batch.at < first) {
        held.extend(batch.arrivals);
        if held.len() >= LOAD {
            engine.load(held.drain(..));
        }
        next = history.next()?;
    }
    engine.load(held);
    // What would be said is of no account here; the lists are made from what is so.
    engine.resume(Recalled::default());
    engine.tick_to(modelled_on);
    while let Some(batch) = next.take_if(|batch| batch.at < last) {
        engine.arrive(batch.at, batch.arrivals);
        next = history.next()?;
    }
    engine.tick_to(said.taken_on);
    let whole = engine.lists().into_iter().find(|l| l.year == listed.year && l.whole.is_some());
    let reference = whole.and_then(|whole| whole.reference);
    let differences = differences(said, reference.as_ref());
    Ok(Some(Again { reference, records: history.read().records, differences }))
}

fn differences(said: &Reference, again: Option<&Reference>) -> Vec<Difference> {
    let none = "nothing".to_owned();
    let mut all = Vec::new();
    let mut compare = |field, said: String, again: Option<String>, alike: bool| {
        if !alike {
            all.push(Difference { field, said, recomputed: again.unwrap_or_else(|| none.clone()) });
        }
    };
    let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
        (a, b) => a == b,
    };
    let heads = again.and_then(|r| r.headcount);
    let incidents = again.map(|r| r.incidents.to_string());
    compare(
        "city incidents",
        said.incidents.to_string(),
        incidents,
        again.map(|r| r.incidents) == Some(said.incidents),
    );
    compare("city headcount", option(said.headcount), Some(option(heads)), near(said.headcount, heads));
    let rate = again.and_then(|r| r.per_thousand);
    compare("city rate", option(said.per_thousand), Some(option(rate)), near(said.per_thousand, rate));
    let (model, other) = (said.model.as_ref(), again.and_then(|r| r.model.as_ref()));
    let alike = match (model, other) {
        (Some(a), Some(b)) => {
            let plain = (a.taken_on, a.fitted_by, a.firms, a.incidents)
                == (b.taken_on, b.fitted_by, b.firms, b.incidents);
            let numbers = [(a.nu, b.nu), (a.alpha, b.alpha), (a.per_person_year, b.per_person_year)];
            plain && numbers.into_iter().all(|(a, b)| near(Some(a), Some(b)))
        }
        (a, b) => a.is_none() && b.is_none(),
    };
    let words =
        |model: Option<&Model>| model.map_or_else(|| "none".to_owned(), |m| modelled(m, |n| n.to_string()));
    compare("model", words(model), Some(words(other)), alike);
    all
}

fn option(value: Option<f64>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}
