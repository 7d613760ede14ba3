//! `owner_incident`: what each incident has said, and what it has to say now (records.md section 4).

use std::collections::{BTreeMap, BTreeSet};

use tocsin_schemas::codes::{Change, Reason, Role, Rule, Severity, State};
use tocsin_schemas::ids::{IncidentId, ReportKey, Uscc};
use tocsin_schemas::time::{Day, Instant};

use crate::cases::Found;
use crate::identity::Known;
use crate::policy::Tables;
use crate::registry::Registry;
use crate::said::{Facts, Said};

/// What was said of one incident so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// Told and not corrected since.
    pub(crate) now: BTreeSet<Uscc>,
    /// Told at any time.
    pub(crate) ever: BTreeSet<Uscc>,
    pub(crate) severity: Option<Severity>,
    pub(crate) revision: u32,
    suppressed: BTreeSet<Reason>,
}

/// The decision: its instant, what was so before and is so now, and the rules of the day.
pub(crate) struct Moment<'a> {
    pub(crate) at: Instant,
    pub(crate) before: &'a BTreeMap<IncidentId, Known>,
    pub(crate) now: &'a BTreeMap<IncidentId, Known>,
    /// Earliest arrival that counts, of each report.
    pub(crate) first_counting: &'a BTreeMap<ReportKey, Instant>,
    pub(crate) tables: &'a Tables,
    pub(crate) registry: &'a Registry<'a>,
}

impl Moment<'_> {
    /// Facts of the enterprise that an alert is about.
    pub(crate) fn facts(&self, uscc: Uscc) -> Facts {
        let seen = self.registry.seen(&uscc);
        Facts {
            enterprise_name: seen.map(|e| e.name.to_string()),
            short_name: seen.and_then(|e| e.short_name.as_deref().map(str::to_owned)),
            area: seen.map(|e| e.area.to_string()),
            ..Facts::default()
        }
    }

    pub(crate) fn as_of(&self) -> Day {
        self.at.day()
    }

    /// Why a first `new` is not due, if it is not.
    pub(crate) fn not_due(&self, found: &Found) -> Option<Reason> {
        let arrivals = found.reports.iter().filter(|r| !r.source.only_suspects());
        let first = arrivals.filter_map(|r| self.first_counting.get(r).copied()).min()?;
        let heard_on = first.day().min(self.as_of());
        if heard_on.0 - found.occurred_on.0 > self.tables.on(self.as_of()).max_age_days {
            Some(Reason::TooOld)
        } else if first.day() < self.tables.begin() {
            Some(Reason::BeforePolicy)
        } else {
            None
        }
    }

    /// Incidents of any category at an enterprise, as employer or host, and of those that are read as it, from the year of
    /// `day` to the as-of day, or to `day` itself if that is later.
    fn year_to_date(&self, uscc: Uscc, day: Day) -> u32 {
        let latest = if day > self.as_of() { day } else { self.as_of() };
        let of_year = |f: &Found| f.occurred_on.year() == day.year() && f.occurred_on <= latest;
        let read_as = |f: &Found| f.uscc.is_some_and(|employer| self.registry.root(employer) == uscc);
        let of = |f: &Found| f.at(uscc) || (f.state == State::Counted && read_as(f));
        self.now.values().filter(|k| !k.gone && of(&k.found) && of_year(&k.found)).count() as u32
    }

    fn owners(&self, whom: &BTreeSet<Uscc>, day: Day) -> Vec<(Role, String, Option<u32>)> {
        whom.iter().map(|u| (Role::Owner, u.to_string(), Some(self.year_to_date(*u, day)))).collect()
    }
}

/// Why those who were told are corrected: the first reason that holds.
fn correction(was: &Found, now: &Known) -> Reason {
    if now.gone {
        let all_withdrawn = was.reports.iter().all(|r| now.withdrawn.contains(r));
        return if all_withdrawn { Reason::Withdrawn } else { Reason::Merged };
    }
    match now.found.state {
        State::Refused => Reason::Refused,
        State::Suspected => Reason::Suspected,
        State::Unmatched => Reason::Unmatched,
        State::Counted | State::Gone if now.found.uscc != was.uscc => Reason::Moved,
        State::Counted | State::Gone => Reason::HostChanged,
    }
}

/// Whether day and cause of such a message are laid down by the contract.
fn told_of(change: Change) -> bool {
    !matches!(change, Change::Corrected | Change::Suppressed)
}

/// Everything that is to be said of one incident at this decision.
pub(crate) fn decide(moment: &Moment<'_>, id: IncidentId, now: &Known, told: &mut Told) -> Vec<Said> {
    let mut said = Vec::new();
    let concerned = if now.gone { BTreeSet::new() } else { now.found.concerned() };
    let message = |change: Change, revision: u32, uscc: Uscc| Said {
        decided_at: moment.at,
        as_of: moment.as_of(),
        rule: Rule::OwnerIncident,
        subject: id.to_string(),
        episode: 1,
        revision,
        change,
        reason: None,
        uscc,
        audiences: Vec::new(),
        level: None,
        severity: Some(now.found.severity),
        count: now.found.persons,
        incident_ids: vec![id],
        reports: now.found.reports.iter().cloned().collect(),
        facts: Facts {
            occurred_on: told_of(change).then_some(now.found.occurred_on),
            cause: now.found.cause.filter(|_| told_of(change)),
            ..moment.facts(uscc)
        },
    };

    let wrong: BTreeSet<Uscc> = told.now.difference(&concerned).copied().collect();
    if let (Some(smallest), Some(was)) = (wrong.first(), moment.before.get(&id)) {
        let was = &was.found;
        let employer = was.uscc.filter(|u| wrong.contains(u));
        told.revision += 1;
        let mut m = message(Change::Corrected, told.revision, employer.unwrap_or(*smallest));
        m.reason = Some(correction(was, now));
        m.audiences = moment.owners(&wrong, was.occurred_on);
        m.severity = told.severity;
        m.count = 0;
        m.reports = was.reports.iter().cloned().collect();
        said.push(m);
        told.now.retain(|u| !wrong.contains(u));
    }
    let Some(employer) = now.found.uscc.filter(|_| !concerned.is_empty()) else { return said };

    if !told.now.is_empty() && told.severity != Some(now.found.severity) {
        told.revision += 1;
        let worse = told.severity < Some(now.found.severity);
        let change = if worse { Change::Upgraded } else { Change::Downgraded };
        let mut m = message(change, told.revision, employer);
        m.audiences = moment.owners(&told.now, now.found.occurred_on);
        told.severity = Some(now.found.severity);
        said.push(m);
    }

    let joining: BTreeSet<Uscc> = concerned.difference(&told.now).copied().collect();
    if joining.is_empty() {
        return said;
    }
    let not_due = if told.ever.is_empty() { moment.not_due(&now.found) } else { None };
    match not_due {
        None => {
            told.revision += 1;
            let mut m = message(Change::New, told.revision, employer);
            m.audiences = moment.owners(&joining, now.found.occurred_on);
            told.severity = Some(now.found.severity);
            told.now.extend(joining.iter().copied());
            told.ever.extend(joining);
            said.push(m);
        }
        Some(reason) => {
            if told.suppressed.insert(reason) {
                let mut m = message(Change::Suppressed, 0, employer);
                m.reason = Some(reason);
                said.push(m);
            }
        }
    }
    said
}
