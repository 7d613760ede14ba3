//! What `tocsin lists` ranks when somebody asks: from what stands at the clock, once.
//!
//! Reading every enterprise and incident is little beside reading the records, so nothing of it is kept up to date. An
//! engine of [`Engine::of_decisions`] answers as well, and one that was only loaded ([`Engine::load`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_schemas::codes::{Category, EnterpriseStatus, Severity, State};
use tocsin_schemas::ids::{PersonKey, ReportKey, Uscc};
use tocsin_schemas::records::{Enterprise, Incident, Window};

use super::Engine;
use crate::cases::{Case, joined, keyed};
use crate::facts::Shared;
use crate::incidents::told;
use crate::lists::{
    self, Details, Firm, Happened, Harm, Hazards, How, Industries, Refused, RefusedReports, Streaks,
};
use crate::windows::days;

impl Engine {
    /// The registration of an enterprise that is in force on the clock's day.
    pub fn enterprise(&self, uscc: &Uscc) -> Option<&Enterprise> {
        self.registry.in_force(uscc).map(Arc::as_ref)
    }

    /// Streaks without injury (S54) on the clock's day; `None` before the first arrival.
    pub fn streaks(&self) -> Option<Streaks> {
        let day = self.clock?.day();
        Some(lists::streaks(self.firms().values(), day, &self.policies.on(day).lists))
    }

    /// Of each enterprise, as its incidents are read, the refused reports that name it. What was accepted under the same
    /// source and record id is known, and left out.
    pub fn refused_reports(&self, refused: &[Refused]) -> BTreeMap<Uscc, RefusedReports> {
        let mut all: BTreeMap<Uscc, Option<RefusedReports>> = BTreeMap::new();
        let unknown = |key: &ReportKey| self.versions.report_of(key).is_none();
        for one in refused.iter().filter(|r| r.glimpse.key.as_ref().is_none_or(unknown)) {
            let named: BTreeSet<Uscc> =
                one.glimpse.enterprises.iter().map(|uscc| self.registry.root(uscc)).collect();
            named.into_iter().for_each(|uscc| RefusedReports::add(all.entry(uscc).or_default(), one));
        }
        all.into_iter().filter_map(|(uscc, sum)| Some((uscc, sum?))).collect()
    }

    /// The industries of a year (S27) as seen from the clock's day; `None` before the first arrival, and of a year that
    /// has not begun.
    pub fn industries(&self, year: i32) -> Option<Industries> {
        let day = self.clock?.day();
        let begun = year <= i32::from(day.year());
        begun.then(|| lists::industries(self.firms().values(), year, day, &self.policies.on(day).lists))
    }

    /// The ranking of post x process x equipment (S32, S45) in a window that ends on the clock's day; `None` before the
    /// first arrival. `details` took in what the engine took in.
    pub fn hazards(&self, details: &Details, window: Window) -> Option<Hazards> {
        let day = self.clock?.day();
        let span = days(window, day);
        let of = |incident: Incident| {
            let root = self.registry.root(&incident.uscc?);
            let profile = self.registry.profile(&root)?;
            let cases = self.cases(&incident);
            let limits = &self.policies.on(incident.occurred_on).severity;
            let severity = |case: &Case| case.severity(limits);
            let given = |pick: fn(&How) -> Option<&_>| {
                let field =
                    |case: &Case| case.reports().iter().find_map(|r| pick(details.of(&r.key)?).cloned());
                told(&cases, severity, incident.severity, field)
            };
            let lost: Vec<Option<u32>> =
                cases.iter().map(|case| case.giving(|r| r.lost_days).map(|(_, days)| days)).collect();
            Some(Harm {
                on: incident.occurred_on,
                division: profile.division,
                tags: profile.tags,
                persons: incident.persons,
                severe: incident.severity >= Severity::Severe,
                lost_days: lost.iter().flatten().map(|days| u64::from(*days)).sum(),
                persons_without_lost_days: lost.iter().filter(|days| days.is_none()).count() as u32,
                how: How {
                    post: given(|how| how.post.as_ref()),
                    process: given(|how| how.process.as_ref()),
                    equipment: given(|how| how.equipment.as_ref()),
                },
            })
        };
        let within = self.production().filter(|i| (span.0..=span.1).contains(&i.occurred_on));
        let harms: Vec<Harm> = within.filter_map(of).collect();
        Some(lists::hazards(&harms, span, &self.policies.on(day).lists))
    }

    /// Counted production incidents.
    fn production(&self) -> impl Iterator<Item = Incident> {
        let counts = |i: &Incident| i.state == State::Counted && i.category == Category::Production;
        self.incidents().into_iter().filter(counts)
    }

    /// Every registered enterprise that is read as its own.
    fn firms(&self) -> BTreeMap<Uscc, Firm> {
        let own = self.registry.standing().into_iter().filter_map(|moved| {
            let (uscc, profile) = (moved.uscc, moved.new.1?);
            let enterprise = self.registry.in_force(&uscc)?;
            let firm = Firm {
                uscc,
                name: Arc::clone(&enterprise.name),
                area: profile.area,
                division: profile.division,
                active: enterprise.status == EnterpriseStatus::Active,
                insured: BTreeMap::new(),
                incidents: Vec::new(),
            };
            Some((uscc, firm))
        });
        let mut firms: BTreeMap<Uscc, Firm> = own.collect();
        let registered = |uscc: &Uscc| self.registry.in_force(uscc).is_some();
        for (uscc, (month, insured)) in self.versions.headcounts().filter(|(uscc, _)| registered(uscc)) {
            if let Some(firm) = firms.get_mut(&self.registry.root(&uscc)) {
                *firm.insured.entry(month).or_default() += i64::from(insured);
            }
        }
        for incident in self.production() {
            let root = incident.uscc.map(|uscc| self.registry.root(&uscc));
            if let Some(firm) = root.and_then(|root| firms.get_mut(&root)) {
                let severe = incident.severity >= Severity::Severe;
                firm.incidents.push(Happened { on: incident.occurred_on, severe });
            }
        }
        firms
    }

    /// The cases of an incident, by the rules that made it: those rules never look beyond it, since the cases of a
    /// person and those that a report without a key joins keep their order when others are left out.
    fn cases(&self, incident: &Incident) -> Vec<Case> {
        let mut persons: BTreeMap<PersonKey, Vec<Shared>> = BTreeMap::new();
        let mut pieces = Vec::new();
        for report in incident.reports.iter().filter_map(|key| self.versions.report_of(key)) {
            match report.person_key {
                Some(person) => persons.entry(person).or_default().push(Arc::clone(report)),
                None => pieces.push(Case::of(vec![Arc::clone(report)])),
            }
        }
        pieces.extend(persons.values().flat_map(|reports| keyed(reports, &self.policies)));
        joined(&pieces)
    }
}
