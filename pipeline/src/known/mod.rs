//! Figures of a past day, as they were known at a past instant and as they are known now, and the difference record
//! by record.
//!
//! A figure is a function of the newest versions (records.md section 2), so "as of D, as known at T" is what an engine
//! gives that stands at D and was loaded with what had been taken in by T. Two engines are asked:
//!
//! ```text
//! taken in by T --+--> engine at D, policy of T --> THEN --> policy of now --> record --> record --> ... (effects)
//!                 |                                                                                        |
//! everything -----+--> engine at D, policy of now, loaded at once --> NOW <--- THEN + effects, or a gap ---+
//! ```
//!
//! The first goes on from T one record at a time, and what each changes of the exact sums is its effect. The second
//! knows nothing of that order, so that what is named is held against something: a rest is a [`Gap`], never passed over.
//!
//! - [`view`]: what comes out
//! - `explain`: from what one record changed to a named cause
//! - `incidents`: what became of incidents
//! - `listed`: entries in lists
//! - `effect`: exact sums and their differences
//! - `relevant`: which records can matter to a day at all
//!
//! *Taken in* is the decision clock: a record that came late, stamped before the clock, was in no figure before it.
//! The row is compared whatever it holds; what is added up are its sums. Of an enterprise its entries in lists are compared
//! beside it, with the same steps from one picture to the other.

mod effect;
mod explain;
mod incidents;
mod listed;
mod relevant;
mod view;

use std::sync::Arc;

use tocsin_schemas::codes::Scope;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Record, WindowRate};
use tocsin_schemas::time::{Day, Instant};

use self::explain::Here;
use self::relevant::Relevant;
pub use self::view::{
    Absent, Because, Belongs, Compared, Comparison, Difference, Effect, Gap, How, ListEntry, ListMoved,
    Moved, Picture, ReportDid, Row, Side, Transition,
};
use crate::dataflow::Exact;
use crate::decider::Recalled;
use crate::engine::{Arrival, Engine, Options};
use crate::policy::Policies;

/// So many records are loaded at once.
const CHUNK: usize = 20_000;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Of what.
    pub scope: Scope,
    /// Of which.
    pub key: String,
    /// For which day.
    pub as_of: Day,
    /// As known at which past instant; not before the day.
    pub known_at: Instant,
}

/// Takes a history in, in the order in which it was taken in, and compares.
pub struct Comparing {
    question: Question,
    newest: Policies,
    then: Engine,
    now: Engine,
    relevant: Relevant,
    /// Not loaded yet: known then.
    early: Vec<Arrival>,
    /// Taken in after the past instant, and when.
    later: Vec<(Instant, Arrival)>,
    known: (u64, u64),
}

impl Comparing {
    /// Nothing was taken in yet. `then` was in force at the past instant, `now` is.
    pub fn new(question: Question, then: Policies, now: Policies) -> Comparing {
        // The last millisecond: of the clock only its day matters here.
        let clock = question.as_of.plus(1).midnight().plus_millis(-1);
        let at_day = |policies: Policies| {
            let mut engine = Engine::new(policies, Options { workers: 1 });
            engine.recover(Some(clock));
            engine
        };
        Comparing {
            newest: now.clone(),
            then: at_day(then),
            now: at_day(now),
            relevant: Relevant::on(question.as_of),
            early: Vec::new(),
            later: Vec::new(),
            known: (0, 0),
            question,
        }
    }

    /// Takes a record in at this clock, which does not go back from one call to the next.
    pub fn take(&mut self, taken_in_at: Instant, arrival: Arrival) {
        let early = taken_in_at <= self.question.known_at;
        self.known.0 += u64::from(early);
        self.known.1 += 1;
        match &arrival.record {
            Record::Report(report) => self.relevant.note(report),
            Record::Headcount(headcount) if !self.relevant.month(headcount.month) => return,
            Record::Headcount(_) | Record::Enterprise(_) => {}
            // No figure hangs on them.
            Record::Contact(_) | Record::Governance(_) => return,
        }
        if early {
            self.early.push(arrival);
            if self.early.len() >= CHUNK {
                self.load();
            }
        } else {
            self.later.push((taken_in_at, arrival));
        }
    }

    fn load(&mut self) {
        let early = std::mem::take(&mut self.early);
        self.now.load(early.iter().cloned());
        self.then.load(early);
    }

    /// Compares, once. `clock` is the end of the history; `progress` hears how many of how many later records were
    /// looked at.
    pub fn compare(&mut self, clock: Instant, progress: &mut dyn FnMut(u64, u64)) -> Comparison {
        self.load();
        for chunk in self.later.chunks(CHUNK) {
            self.now.load(chunk.iter().map(|(_, arrival)| arrival.clone()));
        }
        // Nothing was ever said by these engines, so they have much to say; only what is so is asked for.
        self.then.resume(Recalled::default());
        self.now.resume(Recalled::default());
        let Question { scope, key, known_at, .. } = self.question.clone();
        let whose = listed::whose(&self.question);
        if whose.is_some() {
            self.then.compare_lists();
            self.now.compare_lists();
        }
        // A day that is not over yet is known as far as the history goes.
        let then = side(&self.then, &self.question, known_at.min(clock), self.known.0);
        let now = side(&self.now, &self.question, clock, self.known.1);
        let was = self.then.sums_of(scope, &key);
        let is = self.now.sums_of(scope, &key);
        let (mut differences, explained) = self.explain(progress);
        if whose.is_some() {
            differences.extend(listed::compared_anew(&mut self.then, whose));
        }
        let reached = listed::entries(&self.then, whose);
        let listed = differences.iter().filter(|d| d.taken_in_at.is_some()).count() as u64;
        Comparison {
            unexplained: effect::gaps(was.as_ref(), &explained, is.as_ref()),
            explained: effect::shown(&explained),
            lists_unexplained: listed::moved(&reached, &now.lists),
            without_effect: self.known.1 - self.known.0 - listed,
            differences,
            scope,
            key,
            then,
            now,
        }
    }

    /// The way from then to now, a step at a time, and the sum of what the steps changed.
    fn explain(&mut self, progress: &mut dyn FnMut(u64, u64)) -> (Vec<Difference>, Exact) {
        let here = Here { question: &self.question, relevant: &self.relevant };
        let mut sum = Exact::default();
        let mut differences = Vec::new();
        if self.then.policies().hash() != self.newest.hash() {
            let (difference, change) = here.policy(&mut self.then, self.newest.clone());
            effect::add(&mut sum, &change);
            differences.push(difference);
        }
        let later = std::mem::take(&mut self.later);
        let reports = later.iter().filter_map(|(_, arrival)| match &arrival.record {
            Record::Report(report) => Some(report),
            _ => None,
        });
        let relevant = self.relevant.of(&self.then, reports);
        let all = later.len() as u64;
        for (done, (taken_in_at, arrival)) in (1..).zip(later) {
            progress(done, all);
            if matches!(&arrival.record, Record::Report(report) if !relevant.contains(&report.key())) {
                continue;
            }
            let (difference, change) = here.record(&mut self.then, taken_in_at, arrival);
            effect::add(&mut sum, &change);
            differences.extend(difference);
        }
        (differences, sum)
    }

    /// The keys of the scope that have a row now; for whoever asked for one that has none.
    pub fn keys(&self) -> Vec<String> {
        self.now.keys_of(self.question.scope)
    }
}

/// A window without its shrunken rate: that hangs on the model which a midnight took and kept, from what was known then,
/// so it does not follow from the records of an instant.
fn given_again(window: WindowRate) -> WindowRate {
    WindowRate { shrunken: None, shrunken_reason: None, ..window }
}

/// One side of the comparison.
fn side(engine: &Engine, question: &Question, known_at: Instant, records: u64) -> Side {
    let rates = engine.rates_of(question.scope, &question.key);
    let absent = rates.is_none().then(|| absent(engine, question));
    Side {
        as_of: question.as_of,
        known_at,
        policy_hash: Arc::clone(engine.policies().hash()),
        records,
        windows: rates.map(|rates| rates.windows.into_iter().map(given_again).collect()),
        absent,
        lists: listed::entries(engine, listed::whose(question)),
    }
}

fn absent(engine: &Engine, question: &Question) -> Absent {
    let Some(uscc) = question.key.parse::<Uscc>().ok().filter(|_| question.scope == Scope::Enterprise) else {
        return Absent::Empty;
    };
    match engine.register().root(&uscc) {
        other if other != uscc => Absent::ReadAs { uscc: other },
        _ if engine.register().in_force(&uscc).is_none() => Absent::NotRegistered,
        _ => Absent::NoIncident,
    }
}
