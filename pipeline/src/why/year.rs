//! The count of the year that an owner's message names, made again from what was known.

use std::sync::Arc;

use tocsin_schemas::codes::Role;
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::records::Alert;

use super::check::option;
use super::knowledge::{Found, Knowledge};
use super::picture::{self, Numbers};
use super::view::{Difference, InYear, YearCount};
use crate::decider::book::{Book, year_of};

/// Of each enterprise that an owner's message is for: the incidents behind its count of the year.
pub(super) fn counts(alert: &Alert, then: &Knowledge, numbers: &Numbers) -> Vec<YearCount> {
    let Some((from, to)) = alert.facts.occurred_on.and_then(|day| year_of(day, alert.as_of)) else {
        return Vec::new();
    };
    let mut book = Book::default();
    for (place, found) in (0u32..).zip(&then.incidents) {
        book.enter(&found.seen, IncidentId(place), alert.as_of);
    }
    // Its own incident by its own number, whatever its reports went by next at that instant.
    let own = alert.subject.parse::<IncidentId>().ok();
    let is_own = |found: &Found| found.keys() == alert.reports;
    let number = |id: IncidentId| {
        let found = then.incidents.get(id.0 as usize)?;
        own.filter(|_| is_own(found)).or_else(|| picture::number(found, numbers))
    };
    let owners = alert.audiences.iter().filter(|a| a.role == Role::Owner);
    let count = |uscc: Uscc, said| {
        let within = book.of_year(&uscc, &then.registry, (from, to));
        let incidents = within.map(|(booked, hosted)| InYear {
            incident_id: number(booked.id),
            occurred_on: booked.day,
            hosted,
        });
        let name = then.registry.in_force(&uscc).map(|e| Arc::clone(&e.name));
        let mut incidents: Vec<InYear> = incidents.collect();
        incidents.sort_by_key(|one| (one.hosted, one.occurred_on, one.incident_id));
        YearCount { subject: uscc, name, said, from, to, incidents }
    };
    owners.filter_map(|a| Some(count(a.subject.parse().ok()?, a.year_to_date))).collect()
}

/// Where what was said is not what the records give.
pub(super) fn differences(counts: &[YearCount]) -> impl Iterator<Item = Difference> + '_ {
    let wrong = counts.iter().filter(|c| c.said != Some(c.incidents.len() as u32));
    wrong.map(|c| Difference {
        field: "year_to_date",
        said: option(c.said),
        recomputed: c.incidents.len().to_string(),
    })
}
