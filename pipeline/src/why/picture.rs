//! From merged records to what is shown of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_schemas::door::Flag;
use tocsin_schemas::ids::{IncidentId, PersonKey, ReportKey};
use tocsin_schemas::records::{Record, Report};

use super::knowledge::{Found, Knowledge};
use super::view::{
    CaseView, Differ, Given, How, IncidentView, LinkBy, LinkView, Place, ReportView, Said, SeverityWhy, Slip,
    StateWhy, TakenBy, VersionView,
};
use super::{Why, apart, since};
use crate::Verdict;
use crate::cases::{Case, SeverityBy, StateBy};
use crate::engine::Arrival;
use crate::facts::Facts;
use crate::incidents::LinkedBy;
use crate::policy::{Policies, SeverityLimits};
use crate::versions::{Replaced, Versions};

/// Numbers by report, and whether each is sure: see [`Why::numbers`].
pub(super) type Numbers = BTreeMap<ReportKey, (IncidentId, bool)>;

/// As many digits of a person's key as are shown: enough to tell persons apart.
const DIGITS: usize = 6;

/// The number of an incident: a sure one of its reports, else any.
pub(super) fn number(found: &Found, numbers: &Numbers) -> Option<IncidentId> {
    let of = || found.seen.reports.iter().filter_map(|r| numbers.get(&r.key));
    of().find(|(_, sure)| *sure).or_else(|| of().next()).map(|(id, _)| *id)
}

/// An incident with its cases, their fields and their reports.
pub(super) fn incident(
    found: &Found,
    of: &Knowledge,
    numbers: &Numbers,
    policies: &Policies,
    why: &Why<'_, '_>,
) -> IncidentView {
    let seen = &found.seen;
    let policy = policies.on(seen.occurred_on);
    let incident_id = number(found, numbers);
    let record = why.records.incidents.iter().find(|i| Some(i.incident_id) == incident_id);
    let is_withdrawn = |key: &&ReportKey| of.reports.get(key).is_some_and(|r| !r.stands());
    let withdrawn = record.iter().flat_map(|r| &r.withdrawn).filter(is_withdrawn);
    IncidentView {
        incident_id,
        uscc: seen.uscc,
        read_as: seen.root.filter(|root| seen.uscc != Some(*root)),
        hosts: seen.hosts.clone(),
        occurred_on: seen.occurred_on,
        category: seen.category,
        severity: seen.severity,
        state: seen.state,
        persons: seen.persons,
        cases: found.cases.iter().map(|c| case(c, of, policies, why)).collect(),
        links: found
            .links
            .iter()
            .map(|(first, second, by)| LinkView {
                first: first.clone(),
                second: second.clone(),
                by: match by {
                    LinkedBy::Number(source, number) => {
                        LinkBy::IncidentNo { source: *source, number: number.to_string() }
                    }
                    LinkedBy::Time(cause, minutes) => LinkBy::TimeAndCause {
                        cause: *cause,
                        minutes_apart: *minutes,
                        limit: policy.merge.incident_minutes,
                    },
                },
            })
            .collect(),
        apart: apart::apart(found, of, numbers, policies),
        withdrawn: withdrawn.map(|key| report(key, How::Withdrawn, of, why)).collect(),
    }
}

fn case(case: &Case, of: &Knowledge, policies: &Policies, why: &Why<'_, '_>) -> CaseView {
    let limits = &policies.on(case.occurred_on()).severity;
    let registered = case.uscc().is_some_and(|u| of.registered(&u));
    let (state, state_by) = case.state_by(registered);
    let (severity, severity_by) = case.severity_by(limits);
    let reports = case.reports();
    // Sources have their turn in source order, so of a case without a person the first report began it.
    let no_person = reports.iter().all(|r| r.person_key.is_none());
    let how = |place: usize, key: Option<PersonKey>| match (place, key) {
        (_, Some(_)) => How::Keyed,
        (0, None) if no_person => How::Alone,
        (_, None) => How::Joined,
    };
    CaseView {
        person: reports.iter().find_map(|r| r.person_key).map(digits),
        state,
        state_by: match state_by {
            StateBy::Status(report) => StateWhy::Status { status: report.status, from: report.key.clone() },
            StateBy::OnlySuspects => StateWhy::OnlySuspects,
            StateBy::NoEnterprise => StateWhy::NoEnterprise,
            StateBy::NotRegistered => StateWhy::NotRegistered,
        },
        severity,
        severity_by: match severity_by {
            SeverityBy::Died(r) => SeverityWhy::Died { from: r.key.clone() },
            SeverityBy::LostDays(r, days) => {
                SeverityWhy::LostDays { days, limit: limits.severe_lost_days, from: r.key.clone() }
            }
            SeverityBy::Grade(r, grade) => {
                SeverityWhy::Grade { grade, limit: limits.severe_grade_max, from: r.key.clone() }
            }
            SeverityBy::Neither => SeverityWhy::Neither,
        },
        fields: case
            .given()
            .into_iter()
            .map(|(field, value, from)| Given { field, value, from: from.key.clone() })
            .collect(),
        differ: differ(case, limits),
        reports: reports
            .iter()
            .enumerate()
            .map(|(place, r)| report(&r.key, how(place, r.person_key), of, why))
            .collect(),
    }
}

pub(super) fn report(key: &ReportKey, how: How, of: &Knowledge, why: &Why<'_, '_>) -> ReportView {
    let standing = of.reports.get(key);
    let mut versions: Vec<VersionView> = of
        .verdicts
        .get(key)
        .into_iter()
        .flatten()
        .filter_map(|(index, verdict)| version(why, *index, *verdict))
        .collect();
    let mut door = Versions::default();
    for version in &mut versions {
        let Some((arrival, said)) = arrived(why, &version.place) else { continue };
        let (_, replaced) = door.report(said, arrival.digest, arrival.arrived_at);
        if let Some(Replaced { old: Some(old), new: Some(new) }) = replaced {
            version.changed = since::between(Some(&old), Some(&new));
        }
    }
    // Of several arrivals of one content the first one stands.
    let stands = versions.iter().position(|v| {
        standing.is_some_and(|s| s.version == v.version)
            && content(why, &v.place) == standing.map(|s| s.digest)
    });
    if let Some(place) = stands {
        versions[place].stands = true;
    }
    ReportView { report: key.clone(), person: standing.and_then(|r| r.person_key).map(digits), how, versions }
}

fn content(why: &Why<'_, '_>, place: &Place) -> Option<[u8; 32]> {
    arrived(why, place).map(|(arrival, _)| arrival.digest)
}

/// The report at a place of the log.
fn arrived<'a>(why: &'a Why<'_, '_>, place: &Place) -> Option<(&'a Arrival, &'a Report)> {
    let at = |k: &&super::Known| {
        k.offset == place.offset && k.partition == place.partition && k.topic == place.topic
    };
    let known = why.records.arrivals.iter().find(at)?;
    Some((&known.arrival, as_report(&known.arrival.record)?))
}

/// Where the reports of a case do not say the same; fields as [`Case::given`] has them.
fn differ(case: &Case, limits: &SeverityLimits) -> Vec<Differ> {
    let reports = case.reports();
    let mut all = Vec::new();
    let mut hold = |field, taken: String, by: Option<TakenBy>, said: Vec<(&Facts, String)>| {
        let Some((first, rest)) =
            said.split_first().filter(|(first, rest)| rest.iter().any(|s| s.1 != first.1))
        else {
            return;
        };
        let other_source = rest.iter().any(|(r, value)| *value != first.1 && r.source() != first.0.source());
        let by = by.unwrap_or(if other_source { TakenBy::SourceOrder } else { TakenBy::RecordId });
        let said = said.into_iter();
        let said = said.map(|(r, value)| Said { from: r.key.clone(), version: r.version, value }).collect();
        all.push(Differ { field, taken, by, said });
    };
    let each: Vec<(&Facts, Case)> = reports.iter().map(|r| (&**r, Case::of(vec![Arc::clone(r)]))).collect();
    // That one office has recognised what another one reports is no dispute; that one of them refused it is.
    let counts = reports.iter().filter(|r| r.status.counts()).count();
    let agreed = counts == 0 || counts == reports.len();
    for (field, taken, _) in case.given().into_iter().filter(|(field, ..)| !(agreed && *field == "status")) {
        let own = |one: &Case| one.given().into_iter().find(|(f, ..)| *f == field).map(|(_, value, _)| value);
        let said = each.iter().filter_map(|(r, one)| Some((*r, own(one)?))).collect();
        hold(field, taken, None, said);
    }
    let speaks = |r: &Facts| r.died || r.lost_days.is_some() || r.disability_grade.is_some();
    let own = each.iter().filter(|(r, _)| speaks(r)).map(|(r, one)| (*r, one.severity(limits).to_string()));
    hold("severity", case.severity(limits).to_string(), Some(TakenBy::Severity), own.collect());
    all
}

/// A version as it arrived. `None`: the record is no report.
pub(super) fn version(why: &Why<'_, '_>, index: usize, verdict: Verdict) -> Option<VersionView> {
    let known = &why.records.arrivals[index];
    let report = as_report(&known.arrival.record)?;
    Some(VersionView {
        version: report.version,
        arrived_at: known.arrival.arrived_at,
        place: Place { topic: Arc::clone(&known.topic), partition: known.partition, offset: known.offset },
        status: report.status,
        verdict,
        stands: false,
        changed: Vec::new(),
        left_out: known.flags.iter().map(slip).collect(),
    })
}

fn slip(flag: &Flag) -> Slip {
    Slip { field: flag.field, problem: flag.problem, found: flag.found.clone() }
}

/// The report in a record, if it is one.
pub(super) fn as_report(record: &Record) -> Option<&Report> {
    match record {
        Record::Report(report) => Some(report),
        _ => None,
    }
}

/// So much of a person's key as is shown.
pub(super) fn digits(person: PersonKey) -> String {
    person.to_string().chars().take(DIGITS).collect()
}
