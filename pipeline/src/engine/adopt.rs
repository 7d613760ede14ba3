//! Another policy, taken over while running: no restart, nothing said twice, nothing lost.
//!
//! What is so and what is said of it may both hang on the policy. Where only what is said does, the dataflow stays.
//! Where cases, severity or the windows of today change, a new dataflow is fed everything that stands, which is what
//! a restart under that policy would do; what differs from before goes to the decider like the changes of a batch.

use std::collections::HashMap;
use std::sync::Arc;

use tocsin_schemas::ids::ReportKey;
use tocsin_schemas::records::{Rates, Window};
use tocsin_schemas::time::Instant;

use super::{Context, Dataflow, Engine, Inputs, Occasion, Outcome, feed};
use crate::dataflow::{Changes, ScopeKey, Updates};
use crate::incidents::Seen;
use crate::lists::Moved;
use crate::policy::Policies;
use crate::rates::RatesChanged;
use crate::windows::Spans;

impl Engine {
    /// Takes another policy over: a decision at the clock as it stands, over everything there is. What it eases or
    /// closes, opens or raises has the reason `policy`, since the records had their say at the decision before.
    /// One that has not begun yet opens and raises nothing before its day, and takes back what does not hold.
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
        let kept = |policies: &Policies| Spans::of_days(policies.on(as_of), as_of);
        let (incidents, rates) =
            if former.resolves_as(&self.policies) && kept(&former) == kept(&self.policies) {
                let stamp = self.stamp(clock);
                (Vec::new(), self.figures.changes(Vec::new(), Vec::new(), &stamp))
            } else {
                self.rebuild(clock)
            };
        let context = Context {
            occasion: Occasion::Policy,
            decided_at: clock,
            as_of,
            policies: &self.policies,
            versions: &self.versions,
            registry: &self.registry,
            figures: &self.figures,
        };
        let said = self.decider.decide(incidents, Vec::new(), false, &context);
        let lists = self.list(&self.stamp(clock), &Moved::All);
        Outcome {
            occasion: Occasion::Policy,
            decided_at: clock,
            verdicts: Vec::new(),
            incidents: said.incidents,
            alerts: said.alerts,
            rates,
            lists,
            findings: Vec::new(),
        }
    }

    /// A new dataflow with everything that stands; the incidents and rates that differ from before.
    fn rebuild(&mut self, clock: Instant) -> (Updates<Arc<Seen>>, RatesChanged) {
        let (as_of, stamp) = (clock.day(), self.stamp(clock));
        let shown = std::mem::take(&mut self.figures).all(&stamp);
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
        let Changes { incidents, totals, sums, census: _ } = self.dataflow.run(inputs);
        // The decider looks at every enterprise anyway.
        self.figures.apply(totals, sums, Window::Year, drop);
        self.figures.changes(Vec::new(), Vec::new(), &stamp);
        let rates = self.figures.these(differing(shown, self.figures.all(&stamp)), &stamp);
        (differences(self.decider.live(), incidents), rates)
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

/// The scopes whose rates differ.
fn differing(was: Vec<Rates>, is: Vec<Rates>) -> Vec<ScopeKey> {
    let key = |rates: &Rates| -> ScopeKey { (rates.scope, rates.key.as_str().into()) };
    let mut was: HashMap<ScopeKey, Rates> = was.into_iter().map(|rates| (key(&rates), rates)).collect();
    let mut differ: Vec<ScopeKey> = is
        .iter()
        .map(|rates| (key(rates), &rates.windows))
        .filter(|(key, windows)| was.remove(key).is_none_or(|before| before.windows != **windows))
        .map(|(key, _)| key)
        .collect();
    differ.extend(was.into_keys());
    differ
}
