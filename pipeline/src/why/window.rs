//! The window of an escalation, as records give it.

use std::collections::BTreeMap;

use tocsin_schemas::codes::{Rule, Severity};
use tocsin_schemas::ids::{IncidentId, ReportKey, Uscc};
use tocsin_schemas::records::{Alert, Window};
use tocsin_schemas::time::Day;

use super::knowledge::{Found, Knowledge};
use super::picture;
use super::view::Numbers;
use crate::decider::Memory;
use crate::decider::book::Book;
use crate::decider::escalation::{self, Open};
use crate::policy::Policies;
use crate::windows;

/// The escalation of an enterprise as its alerts left it, up to one of them or to the last.
pub(super) fn open_before(alerts: &[Alert], uscc: Uscc, upto: Option<&Alert>) -> Option<Open> {
    let mut memory = Memory::default();
    let own = alerts.iter().filter(|a| a.rule == Rule::Escalation && a.uscc == uscc);
    let earlier =
        own.filter(|a| upto.is_none_or(|upto| (a.episode, a.revision) < (upto.episode, upto.revision)));
    let mut earlier: Vec<&Alert> = earlier.collect();
    earlier.sort_by_key(|a| (a.episode, a.revision));
    earlier.into_iter().for_each(|a| memory.alert(a));
    memory.escalation(&uscc).open
}

/// The window of an escalation as records give it.
pub(super) struct Windowed<'k> {
    pub book: Book,
    pub days: (Day, Day),
    pub succeeded: bool,
    /// By number, with the number and the severity of each.
    pub found: Vec<&'k Found>,
    pub ids: Vec<IncidentId>,
    severities: Vec<Severity>,
    /// Those numbers that an alert of the time gives.
    pub sure: Vec<IncidentId>,
}

impl<'k> Windowed<'k> {
    pub fn of(
        uscc: Uscc,
        then: &'k Knowledge,
        policies: &Policies,
        as_of: Day,
        numbers: &picture::Numbers,
    ) -> Windowed<'k> {
        let mut book = Book::default();
        let mut by_id = BTreeMap::new();
        for (place, found) in (0u32..).zip(&then.incidents) {
            // Without a number of its own, or where two claim it: one that nobody has.
            let own = picture::number(found, numbers).filter(|id| !by_id.contains_key(id));
            let id = own.unwrap_or(IncidentId(u32::MAX - place));
            by_id.insert(id, found);
            book.enter(&found.seen, id, as_of);
        }
        let days = windows::days(Window::Rolling(policies.on(as_of).escalation.window_days), as_of);
        let succeeded = then.registry.root(&uscc) != uscc;
        let listed = if succeeded { Vec::new() } else { escalation::listed(&book, &uscc, days) };
        let found: Vec<&Found> = listed.iter().filter_map(|(id, _)| by_id.get(id).copied()).collect();
        // Where a number's reports stand in several incidents nothing may have been said of which one kept it.
        let of_number = |f: &&Found, id: &IncidentId| {
            f.seen.reports.iter().any(|r| numbers.get(&r.key).is_some_and(|(n, sure)| *sure && n == id))
        };
        let split = |id: &IncidentId| then.incidents.iter().filter(|f| of_number(f, id)).count() > 1;
        // Where reports of several numbers stand in one incident, as after another policy, which of them stayed.
        let alone = |f: &&Found, id: &IncidentId| {
            let sure = f.seen.reports.iter().filter_map(|r| numbers.get(&r.key)).filter(|(_, sure)| *sure);
            sure.map(|(n, _)| n).all(|n| n == id)
        };
        let is_sure = |(id, _): &&(IncidentId, Severity)| {
            by_id.get(id).is_some_and(|f| of_number(f, id) && alone(f, id)) && !split(id)
        };
        Windowed {
            days,
            succeeded,
            found,
            sure: listed.iter().filter(is_sure).map(|(id, _)| *id).collect(),
            ids: listed.iter().map(|(id, _)| *id).collect(),
            severities: listed.iter().map(|(_, severity)| *severity).collect(),
            book,
        }
    }

    pub fn count(&self) -> usize {
        self.ids.len()
    }

    pub fn severe(&self) -> Vec<IncidentId> {
        let pairs = self.ids.iter().zip(&self.severities);
        pairs.filter(|(_, s)| **s >= Severity::Severe).map(|(id, _)| *id).collect()
    }

    /// Whether the severe and fatal ones can have had these numbers, of all that were said: as many, with every certain
    /// number of a severe one and none of another.
    pub fn may_be_severe(&self, said: &[IncidentId], of: &[IncidentId]) -> bool {
        let severe = self.severe();
        let agrees = |id: &IncidentId| severe.contains(id) == said.contains(id);
        said.len() == severe.len() && said.iter().all(|id| of.contains(id)) && self.sure.iter().all(agrees)
    }

    pub fn worst(&self) -> Option<Severity> {
        self.severities.iter().copied().max()
    }

    pub fn reports(&self) -> Vec<ReportKey> {
        let mut all: Vec<ReportKey> = self.found.iter().flat_map(|f| f.keys()).collect();
        all.sort_unstable_by(|a, b| a.text_order().cmp(&b.text_order()));
        all
    }

    pub fn numbers(
        &self,
        policies: &Policies,
        as_of: Day,
        open: Option<&Open>,
        uscc: Uscc,
        then: &Knowledge,
    ) -> Numbers {
        let steps = &policies.on(as_of).escalation;
        let (incidents, severe) = (self.count() as u32, self.severe().len() as u32);
        Numbers::Escalation {
            window_days: steps.window_days,
            from: self.days.0,
            to: self.days.1,
            incidents,
            severe,
            steps: [steps.blue, steps.yellow, steps.orange, steps.red],
            severe_is_red: steps.severe_is_red,
            reaches: escalation::level(steps, incidents as i32, severe as i32).filter(|_| !self.succeeded),
            told_before: open.map(|o| o.level),
            read_as: self.succeeded.then(|| then.registry.root(&uscc)),
            policy_begins: policies.begins(),
            before: None,
        }
    }
}

/// The window that escalations look at, for an enterprise as it stands.
pub(super) fn window(
    uscc: Uscc,
    now: &Knowledge,
    policies: &Policies,
    as_of: Day,
    alerts: &[Alert],
) -> Numbers {
    let open = open_before(alerts, uscc, None);
    let seen = Windowed::of(uscc, now, policies, as_of, &picture::Numbers::new());
    seen.numbers(policies, as_of, open.as_ref(), uscc, now)
}
