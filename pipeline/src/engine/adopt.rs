//! Another policy, taken over while running: no restart, nothing said twice, nothing lost.
//!
//! What is so and what is said of it may both hang on the policy. Where only what is said does, the dataflow stays.
//! Where cases, severity or the windows of today change, a new dataflow is fed everything that stands, which is what
//! a restart under that policy would do; what differs from before goes to the decider like the changes of a batch.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tocsin_schemas::codes::Scope;
use tocsin_schemas::ids::ReportKey;
use tocsin_schemas::records::{Rate, Window};
use tocsin_schemas::time::{Day, Instant};

use super::{Context, Dataflow, Engine, Inputs, Occasion, Outcome, feed};
use crate::dataflow::{Changes, Updates};
use crate::incidents::Seen;
use crate::policy::Policies;
use crate::rates::Rates;
use crate::windows;

impl Engine {
    /// Takes another policy over: a decision at the clock as it stands, over everything there is. What it eases or
    /// closes, opens or raises has the reason `policy`, since the records had their say at the decision before.
    /// Before the first arrival there is nothing to decide, and the outcome is silent.
    ///
    /// An equal policy is taken over as well, and says nothing.
    pub fn adopt(&mut self, policies: Policies) -> Outcome {
        let former = std::mem::replace(&mut self.policies, Arc::new(policies));
        let Some(clock) = self.clock else {
            self.dataflow = Dataflow::new(self.workers, &self.policies);
            return Outcome::nothing(Occasion::Policy, Instant(0));
        };
        let as_of = clock.day();
        let kept = |policies: &Policies| windows::kept(policies.on(as_of));
        let (incidents, rates) =
            if former.resolves_as(&self.policies) && kept(&former) == kept(&self.policies) {
                (Vec::new(), Vec::new())
            } else {
                self.rebuild(as_of)
            };
        let context = Context {
            occasion: Occasion::Policy,
            decided_at: clock,
            as_of,
            policies: &self.policies,
            versions: &self.versions,
            registry: &self.registry,
            rates: &self.rates,
        };
        let said = self.decider.decide(incidents, Vec::new(), false, &context);
        Outcome {
            occasion: Occasion::Policy,
            decided_at: clock,
            verdicts: Vec::new(),
            incidents: said.incidents,
            alerts: said.alerts,
            rates,
        }
    }

    /// A new dataflow with everything that stands; the incidents and rows that differ from before.
    fn rebuild(&mut self, as_of: Day) -> (Updates<Arc<Seen>>, Vec<super::RowChange>) {
        let shown = std::mem::take(&mut self.rates).rows(as_of);
        self.dataflow = Dataflow::new(self.workers, &self.policies);
        let mut inputs = Inputs {
            reports: self.versions.standing().map(|report| (Arc::clone(report), 1)).collect(),
            headcounts: self.versions.headcounts().map(|row| (row, 1)).collect(),
            ..Inputs::default()
        };
        feed(self.registry.standing(), &mut inputs);
        // The windows of today are new to it.
        self.active = None;
        self.move_day(as_of, &mut inputs);
        self.versions.begin();
        let Changes { incidents, totals, sums } = self.dataflow.run(inputs);
        self.rates = Rates::default();
        self.rates.apply(totals, sums, as_of);
        let rows = row_changes(shown, self.rates.rows(as_of));
        (differences(self.decider.live(), incidents), rows)
    }
}

/// Out with the incidents that were so, in with those that are, but for what is in both.
fn differences(was: impl Iterator<Item = Arc<Seen>>, is: Updates<Arc<Seen>>) -> Updates<Arc<Seen>> {
    // A report stands in one incident, so its first report names it.
    let mut was: HashMap<ReportKey, Arc<Seen>> =
        was.map(|seen| (seen.reports[0].key.clone(), seen)).collect();
    let mut changes = Vec::new();
    for (seen, diff) in is {
        let key = &seen.reports[0].key;
        if was.get(key).is_some_and(|same| *same == seen) {
            was.remove(key);
        } else {
            changes.push((seen, diff));
        }
    }
    changes.extend(was.into_values().map(|seen| (seen, -1)));
    changes
}

/// The rows that differ; `None` for one that is no more. Sorted.
fn row_changes(was: Vec<Rate>, is: Vec<Rate>) -> Vec<super::RowChange> {
    let key = |rate: &Rate| (rate.scope, rate.key.clone(), rate.window);
    let by_key = |rates: Vec<Rate>| -> BTreeMap<(Scope, String, Window), Rate> {
        rates.into_iter().map(|rate| (key(&rate), rate)).collect()
    };
    let (mut was, is) = (by_key(was), by_key(is));
    let mut changes = Vec::new();
    for (key, rate) in is {
        if was.remove(&key).as_ref() != Some(&rate) {
            changes.push((key, Some(rate)));
        }
    }
    changes.extend(was.into_keys().map(|key| (key, None)));
    changes.sort_by(|(a, _), (b, _)| a.cmp(b));
    changes
}
