//! What was said: numbers of incidents, told severities, open escalations. History, and so order-bound.
//!
//! One pure state machine: its state, the dataflow's changes of one decision and the as-of day give the
//! decisions with their reasons, and the next state. Whatever is so and was not said is *desired minus
//! emitted*, so a crash between two decisions loses nothing, and a replay over its own history says
//! nothing. Only what a change touches is looked at.

pub(crate) mod book;
mod entries;
mod entry;
pub(crate) mod escalation;
mod identity;
mod memory;
mod numbering;
pub(crate) mod owner_incident;
mod saying;

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use tocsin_schemas::codes::Reason;
use tocsin_schemas::ids::{IncidentId, ReportKey, Uscc};
use tocsin_schemas::records::{Alert, Incident, Window};
use tocsin_schemas::time::{Day, Instant};

use self::book::Book;
use self::entries::Entries;
use self::entry::Entry;
pub(crate) use self::entry::Told;
use self::escalation::Escalation;
pub use self::memory::{Memory, Recalled};
use self::owner_incident::End;
use crate::engine::{Accounts, Occasion};
use crate::incidents::Seen;
use crate::policy::Policies;
use crate::rates::Figures;
use crate::registry::Registry;
use crate::versions::Versions;

/// All that was said, and what it was said of.
#[derive(Default)]
pub(crate) struct Decider {
    entries: Entries,
    numbers: HashMap<ReportKey, IncidentId>,
    book: Book,
    escalations: HashMap<Uscc, Escalation>,
    /// Counted incidents that nobody was told of.
    silent: BTreeSet<IncidentId>,
    /// Those of them whose first counting arrival is stamped ahead of the clock: they grow older with it.
    ahead: BTreeSet<IncidentId>,
    /// First day of the policy table of the last decision; `None` before the policy begins.
    table: Option<Day>,
}

/// What a decision looks at beside its own state.
pub(crate) struct Context<'a> {
    pub occasion: Occasion,
    pub decided_at: Instant,
    pub as_of: Day,
    pub policies: &'a Policies,
    pub versions: &'a Versions,
    pub registry: &'a Registry,
    pub figures: &'a Figures,
}

/// What one decision says.
#[derive(Default)]
pub(crate) struct Said {
    pub incidents: Vec<Incident>,
    pub alerts: Vec<Alert>,
}

/// One incident that a decision touches.
struct Touched {
    /// Its record before; `None` for a new one.
    before: Option<Incident>,
    /// As the dataflow had it before.
    former: Option<Arc<Seen>>,
    /// How it ends, if it does.
    end: End,
}

impl Decider {
    /// Takes back what was said and written before a restart.
    pub fn recall(&mut self, recalled: Recalled) {
        self.entries = recalled.entries;
        self.numbers = recalled.numbers;
        self.escalations = recalled.escalations;
    }

    /// The number that the next new incident gets.
    pub fn next_number(&self) -> u32 {
        self.entries.next()
    }

    /// The incidents as the dataflow last had them.
    pub fn live(&self) -> impl Iterator<Item = Arc<Seen>> {
        self.entries.iter().filter_map(|(_, entry)| entry.seen().cloned())
    }

    /// Decides. `changes` are the incidents that went (-1) and came (+1); `touched` the enterprises whose
    /// window or succession changed. With `all`, everything that stands recorded is judged too: the guard
    /// at a restart.
    pub fn decide(
        &mut self,
        changes: Vec<(Arc<Seen>, isize)>,
        mut touched: Vec<Uscc>,
        all: bool,
        context: &Context<'_>,
    ) -> Said {
        let (changes, quiet) = if all { self.as_recorded(changes, context) } else { (changes, Vec::new()) };
        let mut incidents = self.renumber(changes, all, context.versions);
        let table = context.policies.on(context.as_of).effective_from;
        let table = context.policies.begun_on(context.as_of).then_some(table);
        // Another table, or another policy: whatever a threshold may have held back is looked at.
        if table != self.table || context.occasion == Occasion::Policy {
            self.table = table;
            touched.extend(self.book.enterprises());
            touched.extend(self.escalations.iter().filter(|(_, e)| e.open.is_some()).map(|(uscc, _)| *uscc));
            self.look_again(&self.silent, &mut incidents);
        } else if context.occasion == Occasion::Midnight {
            self.look_again(&self.ahead, &mut incidents);
        }
        touched.extend(self.book.come(context.as_of));
        let mut said = Said {
            incidents: Vec::with_capacity(incidents.len()),
            alerts: Vec::with_capacity(incidents.len()),
        };
        for (id, touch) in &incidents {
            touched.extend(touch.former.iter().filter_map(|s| s.root));
            touched.extend(self.entry(*id).and_then(Entry::seen).and_then(|s| s.root));
            self.rebook(*id, touch, context.as_of);
        }
        for (id, touch) in &incidents {
            self.tell_owners(*id, touch, context, &mut said);
        }
        touched.sort_unstable();
        touched.dedup();
        for uscc in touched {
            self.escalate(uscc, context, &mut said);
        }
        for id in quiet {
            self.keep_silent(id, context.as_of);
        }
        said.alerts.sort_by(|a, b| (a.rule, &a.subject, a.revision).cmp(&(b.rule, &b.subject, b.revision)));
        said.alerts.iter_mut().for_each(|alert| as_text(&mut alert.reports));
        said.incidents.iter_mut().for_each(lists_as_text);
        said
    }

    /// Adds incidents that nothing touched, but that may be judged otherwise than before.
    fn look_again(&self, ids: &BTreeSet<IncidentId>, incidents: &mut Vec<(IncidentId, Touched)>) {
        let known = incidents.len();
        for id in ids {
            if incidents[..known].binary_search_by_key(id, |(id, _)| *id).is_err() {
                let entry = self.entry(*id);
                let (before, former) = (entry.map(|e| e.record(*id)), entry.and_then(Entry::seen).cloned());
                incidents.push((*id, Touched { before, former, end: End::Merged }));
            }
        }
        incidents.sort_unstable_by_key(|(id, _)| *id);
    }

    /// Remembers an incident that nobody was told of.
    fn keep_silent(&mut self, id: IncidentId, as_of: Day) {
        self.silent.insert(id);
        let first = self.entry(id).and_then(Entry::seen).and_then(|seen| seen.first_counting_at());
        if first.is_some_and(|first| first.day() > as_of) {
            self.ahead.insert(id);
        } else {
            self.ahead.remove(&id);
        }
    }

    fn entry(&self, id: IncidentId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// Every incident, `gone` ones too, by number.
    pub fn incidents(&self) -> Vec<Incident> {
        let mut records: Vec<Incident> = self.entries.iter().map(|(id, e)| e.record(id)).collect();
        records.iter_mut().for_each(lists_as_text);
        records
    }

    /// The counted incidents, accounted for.
    pub fn accounts(&self, policies: &Policies, as_of: Day) -> Accounts {
        let mut accounts = Accounts::default();
        for entry in self.entries.iter().map(|(_, e)| e).filter(|e| e.counted()) {
            accounts.counted += 1;
            if !entry.told.to.is_empty() {
                accounts.told += 1;
                continue;
            }
            let said = |reason: &Reason| entry.told.suppressed.contains(reason);
            let reason = entry.seen().and_then(|s| owner_incident::not_due(s, policies, as_of));
            match reason.filter(said) {
                Some(reason) => *accounts.not_due.entry(reason).or_default() += 1,
                None => accounts.unaccounted += 1,
            }
        }
        accounts
    }

    /// The window that escalations look at on a day.
    fn window(policies: &Policies, as_of: Day) -> Window {
        Window::Rolling(policies.on(as_of).escalation.window_days)
    }
}

/// Inside, reports stand in source order; outside, as text.
fn as_text(reports: &mut [ReportKey]) {
    reports.sort_unstable_by(|a, b| a.text_order().cmp(&b.text_order()));
}

fn lists_as_text(incident: &mut Incident) {
    as_text(&mut incident.reports);
    as_text(&mut incident.withdrawn);
}
