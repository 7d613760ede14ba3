//! One record more, at a day that does not move, without a decision: what it changes of what is so. For whoever
//! explains a difference ([`crate::known`]); an engine that learns has nothing sensible to say afterwards.

use std::sync::Arc;

use tocsin_schemas::codes::Scope;
use tocsin_schemas::ids::{ReportKey, Uscc};
use tocsin_schemas::records::{Listed, Rates, Reference, Window};
use tocsin_schemas::time::Month;

use super::{Affected, Arrival, Engine, Figured, Inputs, Lists, Verdict};
use crate::dataflow::{Exact, Updates};
use crate::facts::Shared;
use crate::incidents::Seen;
use crate::registry::{Profile, Registry};

/// What one record changed: out with (-1), in with (+1).
pub(crate) struct Learnt {
    /// What the door made of it.
    pub verdict: Verdict,
    /// Reports that stand and were not withdrawn.
    pub reports: Updates<Shared>,
    /// Registered enterprises, and as whose each is read.
    pub standing: Updates<(Uscc, Uscc)>,
    /// Where enterprises that are read as their own belong.
    pub profiles: Updates<(Uscc, Profile)>,
    /// Insured persons of a month.
    pub headcounts: Updates<(Uscc, (Month, u32))>,
    /// Incidents.
    pub incidents: Updates<Arc<Seen>>,
}

impl Engine {
    /// Takes one record in at the clock as it stands. Rates are up to date afterwards; nothing is decided, so the
    /// decider does not hear of it.
    pub(crate) fn learn(&mut self, arrival: Arrival) -> Learnt {
        let mut inputs = Inputs::default();
        let verdict = self.admit(std::iter::once(arrival), &mut inputs, None).pop();
        let mut learnt = Learnt {
            // One came in, so one verdict came out.
            verdict: verdict.unwrap_or(Verdict::Duplicate),
            reports: inputs.reports.clone(),
            standing: inputs.standing.clone(),
            profiles: inputs.profiles.clone(),
            headcounts: inputs.headcounts.clone(),
            incidents: Vec::new(),
        };
        let nothing = learnt.reports.is_empty() && learnt.standing.is_empty();
        if nothing && learnt.profiles.is_empty() && learnt.headcounts.is_empty() {
            return learnt;
        }
        let changes = self.dataflow.run(inputs);
        self.figures.apply(changes.totals, changes.sums, Window::Year, drop);
        learnt.incidents = changes.incidents;
        learnt
    }

    /// Takes what the lists are compared with from what is known now, as a midnight at the end of the clock's day would; the
    /// models too, whatever the day.
    pub(crate) fn compare_lists(&mut self) {
        let Some(clock) = self.clock else { return };
        let inputs = Inputs { census: Lists::MODELS.to_vec(), ..Inputs::default() };
        let changes = self.dataflow.run(inputs);
        self.lists.midnight(&self.figures, clock.day(), changes.census);
        self.list(&self.stamp(clock), &Affected::All);
    }

    /// Brings the entries of one enterprise up to date with what was learnt.
    pub(crate) fn list_again(&mut self, uscc: Uscc) {
        if let Some(clock) = self.clock {
            let one = Figured { also: vec![uscc], ..Figured::default() };
            self.list(&self.stamp(clock), &Affected::These(&one));
        }
    }

    /// The entries of one enterprise in the lists of the clock's year and the one before.
    pub(crate) fn entries_of(&self, uscc: Uscc) -> Vec<Listed> {
        let Some(clock) = self.clock else { return Vec::new() };
        let stamp = self.stamp(clock);
        self.lists.of(uscc, &self.before(&stamp))
    }

    /// What the lists of the two years are compared with.
    pub(crate) fn references(&self) -> impl Iterator<Item = (i32, &Reference)> {
        self.lists.references()
    }

    /// The rates of one scope as of the clock's day; `None`: it has none.
    pub(crate) fn rates_of(&self, scope: Scope, key: &str) -> Option<Rates> {
        self.figures.one(scope, key, &self.stamp(self.clock?))
    }

    /// The exact sums that [`Engine::rates_of`] is divided from.
    pub(crate) fn sums_of(&self, scope: Scope, key: &str) -> Option<Exact> {
        self.figures.exact(scope, key)
    }

    /// The keys of a scope that have rates, sorted.
    pub(crate) fn keys_of(&self, scope: Scope) -> Vec<String> {
        self.figures.keys(scope)
    }

    /// The incidents at the last decision.
    pub(crate) fn decided_on(&self) -> impl Iterator<Item = Arc<Seen>> {
        self.decider.live()
    }

    /// The register as it stands on the clock's day.
    pub(crate) fn register(&self) -> &Registry {
        &self.registry
    }

    /// The version of a report that stands, a withdrawn one too.
    pub(crate) fn report_of(&self, key: &ReportKey) -> Option<&Shared> {
        self.versions.report_of(key)
    }
}
