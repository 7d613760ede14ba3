//! Which records are needed to explain something: enterprises, persons, reports. It grows while records pass.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_schemas::codes::Rule;
use tocsin_schemas::ids::{IncidentId, PersonKey, ReportKey, Uscc};
use tocsin_schemas::records::{Alert, Headcount, Incident, Record, Report};
use tocsin_schemas::time::Day;

/// What is asked for, and whatever belongs to it.
///
/// An enterprise needs every report that names it, and every report of the persons in those (a case takes its
/// enterprise from its best report, which may be another one). Where one of those happened at another enterprise, so
/// does every report of that enterprise and day. A report asked for by name adds its enterprise. An enterprise adds
/// those that it took over and those that took it over. So one pass over the log may not be enough: pass again until
/// [`Wanted::settled`].
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    enterprises: BTreeSet<Uscc>,
    /// Others that its reports name: only their registration, without which an incident that moved there looks unmatched.
    named: BTreeSet<Uscc>,
    persons: BTreeSet<PersonKey>,
    /// Those among them whose reports are asked for.
    asked: BTreeSet<PersonKey>,
    /// Asked for by name.
    reports: BTreeSet<ReportKey>,
    /// Those of which some version belongs to it: then all do.
    known: BTreeSet<ReportKey>,
    /// Where else they happened: whatever has the enterprise and the day may stand in one case with them (a report without
    /// a person's key joins another one's case), as where the enterprise is the host.
    places: BTreeSet<(Uscc, Day)>,
    /// Of each person the enterprises and days of its reports: a case has each from the first report that gives it.
    of_person: BTreeMap<PersonKey, (BTreeSet<Uscc>, BTreeSet<Day>)>,
    /// The reports and the persons of those places. They lead no further.
    beside: (BTreeSet<ReportKey>, BTreeSet<PersonKey>),
    incidents: BTreeSet<IncidentId>,
    grown: bool,
}

impl Wanted {
    /// An enterprise is asked for.
    pub fn enterprise(&mut self, uscc: Uscc) {
        self.grown |= self.enterprises.insert(uscc);
    }

    /// An incident is asked for.
    pub fn incident(&mut self, id: IncidentId) {
        self.grown |= self.incidents.insert(id);
    }

    /// A report is asked for.
    pub fn report(&mut self, key: &ReportKey) {
        if !self.reports.contains(key) {
            self.grown = true;
            self.reports.insert(key.clone());
        }
    }

    /// An alert is asked for: its enterprise, its incidents, its reports, and every host or employer that hears of it, as
    /// each is told the count of its own year.
    pub fn alert(&mut self, alert: &Alert) {
        self.enterprise(alert.uscc);
        if alert.rule == Rule::OwnerIncident {
            alert.incident_ids.iter().for_each(|id| self.incident(*id));
            let told = alert.audiences.iter().filter_map(|a| a.subject.parse().ok());
            told.for_each(|uscc| self.enterprise(uscc));
        }
        alert.reports.iter().for_each(|key| self.report(key));
    }

    /// The enterprises that were asked for, or belong to those.
    pub fn enterprises(&self) -> impl Iterator<Item = &Uscc> {
        self.enterprises.iter()
    }

    /// Whether nothing was added since the last call. If not: pass again.
    pub fn settled(&mut self) -> bool {
        !std::mem::take(&mut self.grown)
    }

    /// Whether an alert belongs to it.
    pub fn wants_alert(&self, alert: &Alert) -> bool {
        self.enterprises.contains(&alert.uscc)
            || alert.audiences.iter().any(|a| a.subject.parse().is_ok_and(|u| self.enterprises.contains(&u)))
            || alert.incident_ids.iter().any(|id| self.incidents.contains(id))
    }

    /// Whether an incident belongs to it. That of a host is another enterprise's: its reports say so.
    pub fn wants_incident(&self, incident: &Incident) -> bool {
        let of_it = |key: &ReportKey| self.reports.contains(key) || self.known.contains(key);
        self.incidents.contains(&incident.incident_id)
            || incident.uscc.is_some_and(|u| self.enterprises.contains(&u))
            || incident.reports.iter().chain(&incident.withdrawn).any(of_it)
    }

    /// Whether a record of the topic `lists` belongs to it, by its key: an entry of its enterprises, and every list as a
    /// whole.
    pub fn wants_listed(&self, key: &str) -> bool {
        key.rsplit('|')
            .next()
            .and_then(|last| last.parse().ok())
            .is_none_or(|u: Uscc| self.enterprises.contains(&u))
    }

    /// Whether a headcount belongs to it.
    pub fn wants_headcount(&self, headcount: &Headcount) -> bool {
        self.enterprises.contains(&headcount.uscc)
    }

    /// Whether a record in belongs to it; takes in what it adds.
    pub fn wants(&mut self, record: &Record) -> bool {
        match record {
            Record::Report(report) => self.wants_report(report),
            Record::Enterprise(e) => {
                let near = |u: &Uscc| self.enterprises.contains(u);
                if !near(&e.uscc) && !e.successor_of.as_ref().is_some_and(near) {
                    return self.named.contains(&e.uscc);
                }
                self.enterprise(e.uscc);
                if let Some(before) = e.successor_of {
                    self.enterprise(before);
                }
                true
            }
            Record::Headcount(_) | Record::Contact(_) | Record::Governance(_) => false,
        }
    }

    fn wants_report(&mut self, report: &Report) -> bool {
        let key = report.key();
        let named = [report.uscc, report.host_uscc].iter().flatten().any(|u| self.enterprises.contains(u));
        // Whoever is in a case with a report that was asked for may have moved it to another enterprise.
        let beside = report.person_key.is_some_and(|p| self.asked.contains(&p));
        let asked = beside || self.reports.contains(&key);
        if asked {
            self.grown |= report.person_key.is_some_and(|p| self.asked.insert(p));
            report.uscc.into_iter().for_each(|uscc| self.enterprise(uscc));
        }
        let known = named || asked || self.known.contains(&key);
        if known {
            self.grown |= report.person_key.is_some_and(|p| self.persons.insert(p));
        }
        let wanted = known || report.person_key.is_some_and(|p| self.persons.contains(&p));
        let place = report.uscc.map(|uscc| (uscc, report.occurred_on));
        if wanted {
            self.grown |= self.known.insert(key);
            let mut places: Vec<(Uscc, Day)> = place.into_iter().collect();
            if let Some(person) = report.person_key {
                let (usccs, days) = self.of_person.entry(person).or_default();
                usccs.extend(report.uscc);
                days.insert(report.occurred_on);
                places = usccs.iter().flat_map(|uscc| days.iter().map(|day| (*uscc, *day))).collect();
            }
            for place in places.into_iter().filter(|(uscc, _)| !self.enterprises.contains(uscc)) {
                self.grown |= self.places.insert(place);
            }
        } else {
            let (reports, persons) = &mut self.beside;
            if !place.is_some_and(|place| self.places.contains(&place))
                && !reports.contains(&key)
                && !report.person_key.is_some_and(|p| persons.contains(&p))
            {
                return false;
            }
            self.grown |= reports.insert(key);
            self.grown |= report.person_key.is_some_and(|p| persons.insert(p));
        }
        for uscc in [report.uscc, report.host_uscc].into_iter().flatten() {
            self.grown |= self.named.insert(uscc);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tocsin_schemas::door::admit;
    use tocsin_schemas::time::Instant;
    use tocsin_schemas::wire::NoIds;

    use super::*;

    fn record(topic: &str, value: &Value) -> Record {
        admit(topic, value.to_string().as_bytes(), Instant(1_750_000_000_000), &NoIds).unwrap().record
    }

    /// An incident that moved away is counted where it went only if that enterprise is known to be registered, and its
    /// case there may hold other reports of the day.
    #[test]
    fn of_where_an_incident_moved_the_registration_and_the_day_are_wanted_and_no_more() {
        let [here, there, elsewhere] = ["91330784XX00000190", "91330784XX000006X3", "91330784XX0000027T"];
        let report = |id: &str, version: u64, (uscc, day): (&str, u8)| {
            let value = json!({"source": "hr", "source_record_id": id, "version": version, "status": "recognised",
                "occurred_on": format!("2025-02-0{day}"), "reported_at": "2025-02-02T08:00:00+08:00", "uscc": uscc});
            record("reports.hr", &value)
        };
        let registered = |uscc: &str| {
            let value = json!({"uscc": uscc, "version": 1, "name": "E", "area": "330784001", "industry": "33",
                "valid_from": "2020-01-01", "status": "active"});
            record("registry.enterprises", &value)
        };
        let mut wanted = Wanted::default();
        wanted.enterprise(here.parse().unwrap());
        let all = [
            report("1", 1, (here, 1)),
            report("1", 2, (there, 1)),
            report("2", 1, (there, 1)),
            report("3", 1, (there, 2)),
            report("4", 1, (elsewhere, 1)),
        ];
        while !wanted.settled() {
            for report in &all {
                wanted.wants(report);
            }
        }
        assert_eq!(all.each_ref().map(|report| wanted.wants(report)), [true, true, true, false, false]);
        let wants = [here, there, elsewhere].map(|uscc| wanted.wants(&registered(uscc)));
        assert_eq!(wants, [true, true, false]);
    }
}
