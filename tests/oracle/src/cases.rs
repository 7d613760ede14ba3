//! Cases and incidents, made anew from the reports that stand (records.md section 2, rules 1 to 5).

use std::collections::{BTreeMap, BTreeSet};

use tocsin_schemas::codes::{Category, Cause, Severity, State};
use tocsin_schemas::ids::{PersonKey, ReportKey, Uscc};
use tocsin_schemas::records::Report;
use tocsin_schemas::time::{Day, TimeOfDay};

use crate::policy::Tables;

/// One injured person in one incident: reports, the best one first.
#[derive(Clone)]
struct Case<'a>(Vec<&'a Report>);

impl<'a> Case<'a> {
    fn of(mut reports: Vec<&'a Report>) -> Case<'a> {
        reports.sort_by_key(|r| r.key());
        Case(reports)
    }
    fn best(&self) -> &'a Report {
        self.0[0]
    }
    /// The first report that gives it.
    fn first<T>(&self, field: impl Fn(&Report) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(|r| field(r))
    }
    fn uscc(&self) -> Option<Uscc> {
        self.first(|r| r.uscc)
    }
    fn day(&self) -> Day {
        self.best().occurred_on
    }
    fn time(&self) -> Option<TimeOfDay> {
        self.first(|r| r.occurred_time)
    }
    fn cause(&self) -> Option<Cause> {
        self.first(|r| r.cause)
    }
    fn holds_source_of(&self, report: &Report) -> bool {
        self.0.iter().any(|r| r.source == report.source)
    }
    fn severity(&self, tables: &Tables) -> Severity {
        let table = tables.on(self.day());
        let lost = self.first(|r| r.lost_days);
        let grade = self.first(|r| r.disability_grade);
        if self.first(|r| r.died_on).is_some() {
            Severity::Fatal
        } else if lost.is_some_and(|d| d >= table.severe_lost_days)
            || grade.is_some_and(|g| g <= table.severe_grade_max)
        {
            Severity::Severe
        } else {
            Severity::Minor
        }
    }
    fn state(&self, registered: &dyn Fn(&Uscc) -> bool) -> State {
        if !self.best().status.counts() {
            State::Refused
        } else if self.0.iter().all(|r| r.source.only_suspects()) {
            State::Suspected
        } else if !self.uscc().is_some_and(|u| registered(&u)) {
            State::Unmatched
        } else {
            State::Counted
        }
    }
}

/// What is so of one incident; it has no id yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) uscc: Option<Uscc>,
    pub(crate) hosts: BTreeSet<Uscc>,
    pub(crate) occurred_on: Day,
    pub(crate) category: Category,
    pub(crate) severity: Severity,
    pub(crate) persons: u32,
    pub(crate) state: State,
    pub(crate) cause: Option<Cause>,
    pub(crate) time: Option<TimeOfDay>,
    pub(crate) reports: BTreeSet<ReportKey>,
    /// Lost days of each person, where known.
    pub(crate) lost_days: Vec<Option<u32>>,
    /// Post, process and equipment, where somebody says them.
    pub(crate) how: [Option<String>; 3],
}

impl Found {
    /// Whose owners are to be told of it: nobody's while it does not count.
    pub(crate) fn concerned(&self) -> BTreeSet<Uscc> {
        let mut all = BTreeSet::new();
        if self.state == State::Counted {
            all.extend(self.uscc);
            all.extend(self.hosts.iter().copied());
        }
        all
    }
    /// Whether it is the insured employer's or happened at this host.
    pub(crate) fn at(&self, uscc: Uscc) -> bool {
        self.concerned().contains(&uscc)
    }
}

/// All incidents of the reports that stand and are not withdrawn.
pub(crate) fn incidents(
    reports: &[&Report],
    tables: &Tables,
    registered: &dyn Fn(&Uscc) -> bool,
) -> Vec<Found> {
    let cases = all_cases(reports, tables);
    let mut found = Vec::new();
    // Only cases of one enterprise and day can link (rule 4), so each enterprise and day is looked at by itself.
    let mut counted: BTreeMap<(Option<Uscc>, Day), Vec<Case<'_>>> = BTreeMap::new();
    for case in cases {
        if case.state(registered) == State::Counted {
            counted.entry((case.uscc(), case.day())).or_default().push(case);
        } else {
            found.push(as_incident(&[&case], tables, registered));
        }
    }
    for cases in counted.into_values() {
        found.extend(grouped(&cases, tables, registered));
    }
    found
}

/// The incidents of counted cases: start with one group a case, melt two groups as long as two cases link.
fn grouped(counted: &[Case<'_>], tables: &Tables, registered: &dyn Fn(&Uscc) -> bool) -> Vec<Found> {
    let mut found = Vec::new();
    let mut group: Vec<usize> = (0..counted.len()).collect();
    for i in 0..counted.len() {
        for j in 0..i {
            if linked(&counted[i], &counted[j], tables) && group[i] != group[j] {
                let (from, to) = (group[i], group[j]);
                group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
            }
        }
    }
    for g in 0..counted.len() {
        let members: Vec<&Case<'_>> =
            (0..counted.len()).filter(|i| group[*i] == g).map(|i| &counted[i]).collect();
        if !members.is_empty() {
            found.push(as_incident(&members, tables, registered));
        }
    }
    found
}

fn all_cases<'a>(reports: &[&'a Report], tables: &Tables) -> Vec<Case<'a>> {
    let mut by_person: BTreeMap<PersonKey, Vec<&'a Report>> = BTreeMap::new();
    let mut keyless: Vec<&'a Report> = Vec::new();
    for report in reports {
        match report.person_key {
            Some(key) => by_person.entry(key).or_default().push(report),
            None => keyless.push(report),
        }
    }
    let mut cases: Vec<Case<'a>> = Vec::new();
    for (_, mut of_person) in by_person {
        of_person.sort_by_key(|r| (r.occurred_on, r.key()));
        let mut run: Vec<&'a Report> = Vec::new();
        for report in of_person {
            let gap = run.last().map(|last| report.occurred_on.0 - last.occurred_on.0);
            if gap.is_some_and(|days| days > tables.on(report.occurred_on).case_days) {
                cases.push(Case::of(std::mem::take(&mut run)));
            }
            run.push(report);
        }
        cases.push(Case::of(run));
    }
    keyless.sort_by_key(|r| r.key());
    for report in keyless {
        let mut joined: Option<usize> = None;
        for (i, case) in cases.iter().enumerate() {
            let fits = report.uscc.is_some()
                && case.uscc() == report.uscc
                && case.day() == report.occurred_on
                && !case.holds_source_of(report);
            if fits && joined.is_none_or(|j| case.best().key() < cases[j].best().key()) {
                joined = Some(i);
            }
        }
        match joined {
            Some(i) => {
                let mut all = cases[i].0.clone();
                all.push(report);
                cases[i] = Case::of(all);
            }
            None => cases.push(Case::of(vec![report])),
        }
    }
    cases
}

/// Whether two counted cases are of one incident (rule 4), not looking at others.
fn linked(a: &Case<'_>, b: &Case<'_>, tables: &Tables) -> bool {
    if a.uscc() != b.uscc() || a.day() != b.day() {
        return false;
    }
    let same_number = a.0.iter().any(|x| {
        b.0.iter().any(|y| x.source == y.source && x.incident_no.is_some() && x.incident_no == y.incident_no)
    });
    let same_moment = match (a.time(), b.time(), a.cause(), b.cause()) {
        (Some(at), Some(bt), Some(ac), Some(bc)) => {
            let minutes = (i32::from(at.0) - i32::from(bt.0)).abs();
            ac == bc && minutes <= tables.on(a.day()).incident_minutes
        }
        _ => false,
    };
    same_number || same_moment
}

fn as_incident(cases: &[&Case<'_>], tables: &Tables, registered: &dyn Fn(&Uscc) -> bool) -> Found {
    let severity = cases.iter().map(|c| c.severity(tables)).max().unwrap_or(Severity::Minor);
    let worst: Vec<&&Case<'_>> = cases.iter().filter(|c| c.severity(tables) == severity).collect();
    let category = worst.iter().map(|c| c.best().category).min().unwrap_or(Category::Production);
    let first_cause = |of: &mut dyn Iterator<Item = &&Case<'_>>| {
        of.filter_map(|c| c.cause().map(|cause| (c.best().key(), cause)))
            .min_by(|a, b| a.0.cmp(&b.0))
            .map(|(_, cause)| cause)
    };
    let cause = first_cause(&mut worst.iter().copied()).or_else(|| first_cause(&mut cases.iter()));
    let first_time = |of: &mut dyn Iterator<Item = &&Case<'_>>| {
        of.filter_map(|c| c.time().map(|time| (c.best().key(), time)))
            .min_by(|a, b| a.0.cmp(&b.0))
            .map(|(_, time)| time)
    };
    let time = first_time(&mut worst.iter().copied()).or_else(|| first_time(&mut cases.iter()));
    let said = |field: fn(&Report) -> Option<&str>| {
        let text = |r: &Report| field(r).map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned);
        let mut all: Vec<(bool, ReportKey, String)> = Vec::new();
        for case in cases {
            all.extend(case.first(text).map(|t| (case.severity(tables) != severity, case.best().key(), t)));
        }
        all.sort();
        all.into_iter().next().map(|(.., text)| text)
    };
    Found {
        uscc: cases[0].uscc(),
        hosts: cases.iter().filter_map(|c| c.first(|r| r.host_uscc)).collect(),
        occurred_on: cases[0].day(),
        category,
        severity,
        persons: cases.len() as u32,
        state: cases[0].state(registered),
        cause,
        time,
        reports: cases.iter().flat_map(|c| c.0.iter().map(|r| r.key())).collect(),
        lost_days: cases.iter().map(|c| c.first(|r| r.lost_days)).collect(),
        how: [said(|r| r.post.as_deref()), said(|r| r.process.as_deref()), said(|r| r.equipment.as_deref())],
    }
}
