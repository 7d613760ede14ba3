//! What counts as one incident (records.md section 2, rules 3 to 5): cases of one enterprise on one day.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use tocsin_schemas::codes::{Category, Cause, Severity, Source, State};
use tocsin_schemas::ids::{ReportKey, Uscc};
use tocsin_schemas::time::{Day, Instant, TimeOfDay};

use crate::cases::{Case, joined};
use crate::facts::{Age, Shared};
use crate::policy::Policies;

/// An incident as the records have it now: everything but its number, which is history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub uscc: Option<Uscc>,
    /// Whose it is read as: the enterprise, or its successor of today.
    pub root: Option<Uscc>,
    pub occurred_on: Day,
    pub category: Category,
    pub severity: Severity,
    pub persons: u32,
    pub state: State,
    pub cause: Option<Cause>,
    /// When it happened, where that is known.
    pub time: Option<TimeOfDay>,
    /// Hosts other than `uscc`, sorted.
    pub hosts: Vec<Uscc>,
    /// Sorted by key.
    pub reports: Arc<[Shared]>,
}

impl Seen {
    /// Whether it counts.
    pub fn counted(&self) -> bool {
        self.state == State::Counted
    }

    /// The age of its oldest report.
    pub fn age(&self) -> Age {
        // A case is never empty, so neither is an incident.
        self.reports.iter().map(|r| r.age()).min().unwrap_or_else(|| unreachable!("an incident has reports"))
    }

    /// The first arrival of any of its reports.
    pub fn first_arrived_at(&self) -> Instant {
        let first = self.reports.iter().map(|r| r.first_arrived_at).min();
        first.unwrap_or_else(|| unreachable!("an incident has reports"))
    }

    /// The earliest arrival that makes it due (records.md section 4), from sources that do more than suspect.
    pub fn first_counting_at(&self) -> Option<Instant> {
        let told = self.reports.iter().filter(|r| !r.source().only_suspects());
        told.filter_map(|r| r.first_counting_at).min()
    }
}

/// A case without an enterprise links to nothing and is an incident of its own.
pub(crate) fn alone(case: &Case, policies: &Policies) -> Seen {
    one(std::slice::from_ref(case), None, None, policies)
}

/// The incidents of one enterprise on one day. `root` is `None` while it is not registered.
pub(crate) fn of_place(
    pieces: &[Case],
    uscc: Uscc,
    root: Option<Uscc>,
    policies: &Policies,
) -> SmallVec<[Seen; 1]> {
    match pieces {
        [] => return SmallVec::new(),
        [case] => return smallvec![one(std::slice::from_ref(case), Some(uscc), root, policies)],
        _ => {}
    }
    let groups = grouped(pieces, root.is_some(), policies, &mut |_, _, _| {});
    groups.iter().map(|cases| one(cases, Some(uscc), root, policies)).collect()
}

/// An incident with what it was made of.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub seen: Seen,
    pub cases: Vec<Case>,
    /// What made one incident of several cases: the best reports of each two that are linked, and by what.
    pub links: Vec<(ReportKey, ReportKey, LinkedBy)>,
}

/// [`of_place`] with what each incident was made of.
pub(crate) fn of_place_by(pieces: &[Case], uscc: Uscc, root: Option<Uscc>, policies: &Policies) -> Vec<Made> {
    let mut links = Vec::new();
    let groups = grouped(pieces, root.is_some(), policies, &mut |a, b, by| {
        links.push((a.best().key.clone(), b.best().key.clone(), by));
    });
    let with_links = |cases: Vec<Case>| {
        let own = |key: &ReportKey| cases.iter().any(|c| c.best().key == *key);
        let links = links.iter().filter(|(a, _, _)| own(a)).cloned().collect();
        Made { seen: one(&cases, Some(uscc), root, policies), cases, links }
    };
    groups.into_iter().map(with_links).collect()
}

/// What makes two cases one incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkedBy {
    /// Two reports of one source carry the same number of the event.
    Number(Source, CompactString),
    /// One cause, and times so many minutes apart.
    Time(Cause, u16),
}

/// The cases of one place, by incident: one in another state than counted is always alone. `note` hears of
/// every two cases that are linked, and by what.
fn grouped(
    pieces: &[Case],
    registered: bool,
    policies: &Policies,
    note: &mut impl FnMut(&Case, &Case, LinkedBy),
) -> Vec<Vec<Case>> {
    let (counted, rest): (Vec<Case>, Vec<Case>) =
        joined(pieces).into_iter().partition(|c| c.state(registered) == State::Counted);
    let mut groups: Vec<Vec<Case>> = rest.into_iter().map(|case| vec![case]).collect();
    groups.extend(linked(counted, policies, note));
    groups
}

/// Rule 4: cases that share a source's number of the event, or that have one cause and times at most
/// `merge.incident_minutes` apart; transitive.
fn linked(
    mut cases: Vec<Case>,
    policies: &Policies,
    note: &mut impl FnMut(&Case, &Case, LinkedBy),
) -> Vec<Vec<Case>> {
    let Some(first) = cases.first() else { return Vec::new() };
    let minutes = policies.on(first.occurred_on()).merge.incident_minutes;
    cases.sort_unstable_by(|a, b| a.best().key.cmp(&b.best().key));
    let mut group: Vec<usize> = (0..cases.len()).collect();
    let mut join = |a: usize, b: usize| {
        let (a, b) = (first_of(&mut group, a), first_of(&mut group, b));
        group[a.max(b)] = a.min(b);
    };
    let mut numbers: BTreeMap<(Source, &CompactString), usize> = BTreeMap::new();
    for (i, case) in cases.iter().enumerate() {
        for report in case.reports().iter() {
            if let Some(number) = &report.incident_no {
                let other = *numbers.entry((report.source(), number)).or_insert(i);
                if other != i {
                    note(&cases[other], case, LinkedBy::Number(report.source(), number.clone()));
                }
                join(i, other);
            }
        }
    }
    let mut timed: Vec<(Cause, u16, usize)> =
        cases.iter().enumerate().filter_map(|(i, c)| Some((c.cause()?, c.occurred_time()?.0, i))).collect();
    timed.sort_unstable();
    // Sorted by cause and time, only neighbours can be the nearest; transitivity does the rest.
    for pair in timed.windows(2) {
        let apart = pair[1].1.saturating_sub(pair[0].1);
        if pair[0].0 == pair[1].0 && u32::from(apart) <= minutes {
            note(&cases[pair[0].2], &cases[pair[1].2], LinkedBy::Time(pair[0].0, apart));
            join(pair[0].2, pair[1].2);
        }
    }
    let mut groups: BTreeMap<usize, Vec<Case>> = BTreeMap::new();
    for (place, case) in cases.into_iter().enumerate() {
        groups.entry(first_of(&mut group, place)).or_default().push(case);
    }
    groups.into_values().collect()
}

/// The first case of the group that this one is in, and a shorter way to it for the next who asks.
fn first_of(group: &mut [usize], mut case: usize) -> usize {
    while group[case] != case {
        group[case] = group[group[case]];
        case = group[case];
    }
    case
}

/// The incident of these cases, which are linked (or one).
fn one(cases: &[Case], uscc: Option<Uscc>, root: Option<Uscc>, policies: &Policies) -> Seen {
    let occurred_on = cases[0].occurred_on();
    let limits = &policies.on(occurred_on).severity;
    let severity = |c: &Case| c.severity(limits);
    let worst = cases.iter().map(severity).max().unwrap_or(Severity::Minor);
    let category = cases.iter().filter(|c| severity(c) == worst).map(Case::category).min();
    let mut hosts: Vec<Uscc> = cases.iter().filter_map(Case::host).filter(|h| Some(*h) != uscc).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let reports = if let [case] = cases {
        Arc::clone(case.reports())
    } else {
        let mut all: Vec<Shared> = cases.iter().flat_map(|c| c.reports().iter().cloned()).collect();
        all.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        all.into()
    };
    let state = cases[0].state(root.is_some());
    Seen {
        uscc,
        root: if state == State::Counted { root } else { None },
        occurred_on,
        category: category.unwrap_or(Category::Production),
        severity: worst,
        persons: cases.len() as u32,
        state,
        cause: told(cases, severity, worst, Case::cause),
        time: told(cases, severity, worst, Case::occurred_time),
        hosts,
        reports,
    }
}

/// What an incident says of itself: what the worst of its cases says that says it, of several the one that is
/// believed first; else any other case.
pub(crate) fn told<T>(
    cases: &[Case],
    severity: impl Fn(&Case) -> Severity,
    worst: Severity,
    field: impl Fn(&Case) -> Option<T>,
) -> Option<T> {
    let giving = cases.iter().filter(|case| field(case).is_some());
    let first = giving.min_by_key(|case| (severity(case) != worst, &case.best().key));
    first.and_then(field)
}
