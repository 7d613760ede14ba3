//! What counts as one case (records.md section 2, rules 1 and 2): pure functions on the reports that stand.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use tocsin_schemas::codes::{Category, Cause, Severity, State};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::{Day, TimeOfDay};

use crate::facts::{Facts, Shared};
use crate::policy::{Policies, SeverityLimits};

/// One injured person in one incident: its reports, in source order. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Case(Arc<[Shared]>);

impl Case {
    /// A case of these reports.
    pub fn of(mut reports: Vec<Shared>) -> Case {
        reports.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Case(reports.into())
    }

    /// Its reports, best first.
    pub fn reports(&self) -> &Arc<[Shared]> {
        &self.0
    }

    /// The report that is believed first.
    pub fn best(&self) -> &Facts {
        &self.0[0]
    }

    /// The first report that gives a field, and what it says.
    pub fn giving<T>(&self, field: impl Fn(&Facts) -> Option<T>) -> Option<(&Facts, T)> {
        self.0.iter().find_map(|r| Some((&**r, field(r)?)))
    }

    fn first<T>(&self, field: impl Fn(&Facts) -> Option<T>) -> Option<T> {
        self.giving(field).map(|(_, value)| value)
    }

    /// Every field that it has, as text, and the report that gives it.
    pub fn given(&self) -> Vec<(&'static str, String, &Facts)> {
        fn text<'a, T: ToString>(
            name: &'static str,
            given: Option<(&'a Facts, T)>,
        ) -> Option<(&'static str, String, &'a Facts)> {
            given.map(|(report, value)| (name, value.to_string(), report))
        }
        let best = self.best();
        let required = [
            text("status", Some((best, best.status))),
            text("category", Some((best, self.category()))),
            text("occurred_on", Some((best, self.occurred_on()))),
        ];
        let optional = [
            text("occurred_time", self.giving(|r| r.occurred_time)),
            text("uscc", self.giving(|r| r.uscc)),
            text("host_uscc", self.giving(|r| r.host_uscc)),
            text("cause", self.giving(|r| r.cause)),
            text("lost_days", self.giving(|r| r.lost_days)),
            text("disability_grade", self.giving(|r| r.disability_grade)),
            text("died", self.giving(|r| r.died.then_some(true))),
        ];
        required.into_iter().chain(optional).flatten().collect()
    }

    /// The insured employer.
    pub fn uscc(&self) -> Option<Uscc> {
        self.first(|r| r.uscc)
    }
    /// The day of the accident.
    pub fn occurred_on(&self) -> Day {
        self.best().occurred_on
    }
    /// The time of the accident, where known.
    pub fn occurred_time(&self) -> Option<TimeOfDay> {
        self.first(|r| r.occurred_time)
    }
    /// The cause, where known.
    pub fn cause(&self) -> Option<Cause> {
        self.first(|r| r.cause)
    }
    /// Where a dispatched worker was harmed.
    pub fn host(&self) -> Option<Uscc> {
        self.first(|r| r.host_uscc)
    }
    /// The kind of work injury.
    pub fn category(&self) -> Category {
        self.best().category
    }
    /// Whether only a person's hash was missing: such a report looks for a case to join.
    pub fn keyless(&self) -> bool {
        self.0.len() == 1 && self.best().person_key.is_none()
    }

    /// Rule 5: `fatal` if somebody died, `severe` by lost days or disability grade, else `minor`.
    pub fn severity(&self, limits: &SeverityLimits) -> Severity {
        self.severity_by(limits).0
    }

    /// [`Case::severity`], and which report makes it so.
    pub fn severity_by(&self, limits: &SeverityLimits) -> (Severity, SeverityBy<'_>) {
        if let Some(report) = self.0.iter().find(|r| r.died) {
            return (Severity::Fatal, SeverityBy::Died(report));
        }
        if let Some((report, days)) =
            self.giving(|r| r.lost_days).filter(|(_, d)| *d >= limits.severe_lost_days)
        {
            return (Severity::Severe, SeverityBy::LostDays(report, days));
        }
        match self.giving(|r| r.disability_grade).filter(|(_, g)| *g <= limits.severe_grade_max) {
            Some((report, grade)) => (Severity::Severe, SeverityBy::Grade(report, grade)),
            None => (Severity::Minor, SeverityBy::Neither),
        }
    }

    /// Rule 3, but for the registry: what the case is if its enterprise is registered.
    pub fn state(&self, registered: bool) -> State {
        self.state_by(registered).0
    }

    /// [`Case::state`], and why.
    pub fn state_by(&self, registered: bool) -> (State, StateBy<'_>) {
        if !self.best().status.counts() {
            (State::Refused, StateBy::Status(self.best()))
        } else if self.0.iter().all(|r| r.source().only_suspects()) {
            (State::Suspected, StateBy::OnlySuspects)
        } else if self.uscc().is_none() {
            (State::Unmatched, StateBy::NoEnterprise)
        } else if !registered {
            (State::Unmatched, StateBy::NotRegistered)
        } else {
            (State::Counted, StateBy::Status(self.best()))
        }
    }
}

/// What makes a case as severe as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeverityBy<'a> {
    /// This report says that the person died.
    Died(&'a Facts),
    /// These lost days.
    LostDays(&'a Facts, u32),
    /// This disability grade.
    Grade(&'a Facts, u8),
    /// Nothing known reaches a limit.
    Neither,
}

/// What makes a case count, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateBy<'a> {
    /// The status of the report that is believed first.
    Status(&'a Facts),
    /// Only hospitals or the police know of it.
    OnlySuspects,
    /// No report names an enterprise.
    NoEnterprise,
    /// The enterprise is not registered.
    NotRegistered,
}

/// Rule 1: the cases of one person. Sorted by day, a new case begins where the gap to the report before
/// is more than `merge.case_days` of the table of the later report's day.
pub(crate) fn keyed(reports: &[Shared], policies: &Policies) -> SmallVec<[Case; 1]> {
    if let [one] = reports {
        return smallvec![Case([Arc::clone(one)].into())];
    }
    let mut sorted: Vec<&Shared> = reports.iter().collect();
    sorted.sort_unstable_by(|a, b| (a.occurred_on, &a.key).cmp(&(b.occurred_on, &b.key)));
    let mut cases: Vec<Vec<Shared>> = Vec::with_capacity(1);
    let mut last = None;
    for report in sorted {
        let limit = i64::from(policies.on(report.occurred_on).merge.case_days);
        let near = |day: Day| i64::from(report.occurred_on.0) - i64::from(day.0) <= limit;
        match (last, cases.last_mut()) {
            (Some(day), Some(case)) if near(day) => case.push(Arc::clone(report)),
            _ => cases.push(vec![Arc::clone(report)]),
        }
        last = Some(report.occurred_on);
    }
    cases.into_iter().map(Case::of).collect()
}

/// Rule 2: reports without a person key join, per enterprise and day, source by source, record ids
/// ascending, the case that holds no report of their source yet and whose best report comes first.
/// Returns all cases of the place.
pub(crate) fn joined(pieces: &[Case]) -> Vec<Case> {
    if pieces.len() == 1 || !pieces.iter().any(Case::keyless) {
        return pieces.to_vec();
    }
    let (mut loose, kept): (Vec<&Case>, Vec<&Case>) = pieces.iter().partition(|c| c.keyless());
    loose.sort_unstable_by(|a, b| a.best().key.cmp(&b.best().key));
    let mut cases: Vec<Case> = kept.into_iter().cloned().collect();
    for of_source in loose.chunk_by(|a, b| a.best().source() == b.best().source()) {
        let source = of_source[0].best().source();
        let holds = |case: &Case| case.reports().iter().any(|r| r.source() == source);
        // A case that one of them joins is not free for the next: so the first joins the best, and so on.
        let mut free: Vec<usize> = (0..cases.len()).filter(|c| !holds(&cases[*c])).collect();
        free.sort_unstable_by(|a, b| cases[*a].best().key.cmp(&cases[*b].best().key));
        let mut free = free.into_iter();
        for report in of_source {
            match free.next() {
                Some(case) => {
                    let mut all = cases[case].reports().to_vec();
                    all.extend_from_slice(report.reports());
                    cases[case] = Case::of(all);
                }
                None => cases.push((*report).clone()),
            }
        }
    }
    cases
}
