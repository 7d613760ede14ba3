//! From reports to cases to incidents (section 2 of the contract): pure functions on report numbers.

use compact_str::CompactString;
use hashbrown::HashMap;
use tocsin_pipeline::policy::Policy;
use tocsin_schemas::codes::{Category, Cause, Severity, Source, State, Status};
use tocsin_schemas::ids::{PersonKey, ReportKey, Uscc};
use tocsin_schemas::records::{Digest, Report};
use tocsin_schemas::time::{Day, TimeOfDay};

use super::PlaceKey;

/// What the rules need of the newest version of a report.
pub struct Stored {
    pub key: ReportKey,
    pub version: u64,
    pub digest: Digest,
    status: Status,
    category: Category,
    occurred_on: Day,
    occurred_time: Option<TimeOfDay>,
    uscc: Option<Uscc>,
    pub person_key: Option<PersonKey>,
    incident_no: Option<CompactString>,
    cause: Option<Cause>,
    lost_days: Option<u32>,
    disability_grade: Option<u8>,
    died: bool,
}

/// One event at one enterprise.
pub struct Incident {
    pub state: State,
    pub category: Category,
    pub severity: Severity,
    pub persons: u32,
    /// Sorted by key.
    pub reports: Vec<u32>,
}

impl Stored {
    pub fn of(report: Report, digest: Digest) -> Stored {
        Stored {
            key: ReportKey { source: report.source, id: report.source_record_id },
            version: report.version,
            digest,
            status: report.status,
            category: report.category,
            occurred_on: report.occurred_on,
            occurred_time: report.occurred_time,
            uscc: report.uscc,
            person_key: report.person_key,
            incident_no: report.incident_no,
            cause: report.cause,
            lost_days: report.lost_days,
            disability_grade: report.disability_grade,
            died: report.died_on.is_some(),
        }
    }

    /// Whether it is in a case at all.
    pub fn stands(&self) -> bool {
        self.status != Status::Withdrawn
    }
}

/// The cases of one person, each sorted by source order and record id: best report first.
pub fn cases_of(filed: &[u32], reports: &[Stored], policy: &Policy) -> Vec<Vec<u32>> {
    if let [only] = filed {
        return vec![vec![*only]];
    }
    let of = |n: u32| &reports[n as usize];
    let mut sorted = filed.to_vec();
    sorted.sort_unstable_by(|a, b| (of(*a).occurred_on, &of(*a).key).cmp(&(of(*b).occurred_on, &of(*b).key)));
    let gap = policy.merge.case_days as i32;
    let near = |a: &u32, b: &u32| of(*b).occurred_on.0 - of(*a).occurred_on.0 <= gap;
    let mut cases: Vec<Vec<u32>> = sorted.chunk_by(near).map(<[u32]>::to_vec).collect();
    for case in &mut cases {
        case.sort_unstable_by(|a, b| of(*a).key.cmp(&of(*b).key));
    }
    cases
}

/// What the first report says that says anything.
fn first<T>(case: &[u32], reports: &[Stored], field: impl Fn(&Stored) -> Option<T>) -> Option<T> {
    case.iter().find_map(|n| field(&reports[*n as usize]))
}

/// Where a case belongs.
pub fn place_of(case: &[u32], reports: &[Stored]) -> PlaceKey {
    (first(case, reports, |r| r.uscc), reports[case[0] as usize].occurred_on)
}

/// The incidents of one place.
pub fn incidents_of(
    pieces: &[Vec<u32>],
    uscc: Option<Uscc>,
    registered: bool,
    reports: &[Stored],
    policy: &Policy,
) -> Vec<Incident> {
    let state = |case: &[u32]| state_of(case, uscc.is_some() && registered, reports);
    if let [only] = pieces {
        return vec![incident(&[only.as_slice()], state(only), reports, policy)];
    }
    if uscc.is_none() {
        return pieces.iter().map(|p| incident(&[p.as_slice()], state(p), reports, policy)).collect();
    }
    let cases = join_keyless(pieces, reports);
    let (counted, rest): (Vec<&[u32]>, Vec<&[u32]>) =
        cases.iter().map(Vec::as_slice).partition(|c| state(c) == State::Counted);
    let mut incidents: Vec<Incident> =
        rest.iter().map(|c| incident(&[*c], state(c), reports, policy)).collect();
    for group in linked(&counted, reports, policy) {
        incidents.push(incident(&group, State::Counted, reports, policy));
    }
    incidents
}

fn state_of(case: &[u32], registered: bool, reports: &[Stored]) -> State {
    if !reports[case[0] as usize].status.counts() {
        State::Refused
    } else if case.iter().all(|n| reports[*n as usize].key.source.only_suspects()) {
        State::Suspected
    } else if !registered {
        State::Unmatched
    } else {
        State::Counted
    }
}

/// Reports without a person key join the best case that has none of their source yet.
fn join_keyless(pieces: &[Vec<u32>], reports: &[Stored]) -> Vec<Vec<u32>> {
    let of = |n: u32| &reports[n as usize];
    let keyless = |piece: &&Vec<u32>| piece.len() == 1 && of(piece[0]).person_key.is_none();
    let mut loose: Vec<u32> = pieces.iter().filter(keyless).map(|p| p[0]).collect();
    let mut cases: Vec<Vec<u32>> = pieces.iter().filter(|p| !keyless(p)).cloned().collect();
    loose.sort_unstable_by(|a, b| of(*a).key.cmp(&of(*b).key));
    for n in loose {
        let free = |case: &&mut Vec<u32>| case.iter().all(|m| of(*m).key.source != of(n).key.source);
        match cases.iter_mut().filter(free).min_by(|a, b| of(a[0]).key.cmp(&of(b[0]).key)) {
            Some(case) => {
                case.push(n);
                case.sort_unstable_by(|a, b| of(*a).key.cmp(&of(*b).key));
            }
            None => cases.push(vec![n]),
        }
    }
    cases
}

/// Groups of counted cases that are one event.
fn linked<'a>(cases: &[&'a [u32]], reports: &[Stored], policy: &Policy) -> Vec<Vec<&'a [u32]>> {
    if cases.len() < 2 {
        return cases.iter().map(|c| vec![*c]).collect();
    }
    let mut group: Vec<usize> = (0..cases.len()).collect();
    let mut join = |a: usize, b: usize| {
        let (from, to) = (group[a], group[b]);
        group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
    };
    let mut numbers: HashMap<(Source, &CompactString), usize> = HashMap::new();
    let mut timed: Vec<(Cause, TimeOfDay, usize)> = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        for n in *case {
            let report = &reports[*n as usize];
            if let Some(number) = &report.incident_no {
                join(i, *numbers.entry((report.key.source, number)).or_insert(i));
            }
        }
        let cause = first(case, reports, |r| r.cause);
        let time = first(case, reports, |r| r.occurred_time);
        timed.extend(cause.zip(time).map(|(cause, time)| (cause, time, i)));
    }
    timed.sort_unstable();
    for pair in timed.windows(2) {
        let apart = u32::from(pair[1].1.0.saturating_sub(pair[0].1.0));
        if pair[0].0 == pair[1].0 && apart <= policy.merge.incident_minutes {
            join(pair[0].2, pair[1].2);
        }
    }
    let mut groups: HashMap<usize, Vec<&[u32]>> = HashMap::new();
    for (case, group) in cases.iter().zip(group) {
        groups.entry(group).or_default().push(case);
    }
    groups.into_values().collect()
}

fn severity_of(case: &[u32], reports: &[Stored], policy: &Policy) -> Severity {
    let limits = &policy.severity;
    if case.iter().any(|n| reports[*n as usize].died) {
        Severity::Fatal
    } else if first(case, reports, |r| r.lost_days).is_some_and(|d| d >= limits.severe_lost_days)
        || first(case, reports, |r| r.disability_grade).is_some_and(|g| g <= limits.severe_grade_max)
    {
        Severity::Severe
    } else {
        Severity::Minor
    }
}

fn incident(cases: &[&[u32]], state: State, reports: &[Stored], policy: &Policy) -> Incident {
    let mut severity = Severity::Minor;
    let mut category = None;
    for case in cases {
        let (s, c) = (severity_of(case, reports, policy), reports[case[0] as usize].category);
        if s > severity || category.is_none() {
            (severity, category) = (s, Some(c));
        } else if s == severity {
            category = category.min(Some(c));
        }
    }
    let mut all: Vec<u32> = cases.concat();
    all.sort_unstable_by(|a, b| reports[*a as usize].key.cmp(&reports[*b as usize].key));
    Incident {
        state,
        category: category.unwrap_or(Category::Production),
        severity,
        persons: cases.len() as u32,
        reports: all,
    }
}
