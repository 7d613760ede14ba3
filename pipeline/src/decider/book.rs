//! Which counted incidents an enterprise has: the index that a message's lists and counts are read from.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use tocsin_schemas::codes::{Category, Severity};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::time::Day;

use crate::incidents::Seen;
use crate::registry::Registry;

/// Counted incidents by enterprise (as succession reads them), sorted by day.
#[derive(Default)]
pub(crate) struct Book {
    /// Of which it is the insured employer.
    own: HashMap<Uscc, Vec<Booked>>,
    /// Of which it is the host, and not the insured employer.
    hosted: HashMap<Uscc, Vec<Booked>>,
    /// Enterprises with an incident of their own dated ahead of the clock, by its day.
    coming: BTreeMap<Day, Vec<Uscc>>,
}

/// One incident, with what lists and counts ask of it: looking up each incident instead costs more than
/// all the rest of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Booked {
    pub day: Day,
    pub id: IncidentId,
    /// Whose it is before succession.
    pub uscc: Option<Uscc>,
    pub category: Category,
    pub severity: Severity,
}

impl Booked {
    fn of(seen: &Seen, id: IncidentId) -> Booked {
        Booked {
            day: seen.occurred_on,
            id,
            uscc: seen.uscc,
            category: seen.category,
            severity: seen.severity,
        }
    }

    fn place(&self) -> (Day, IncidentId) {
        (self.day, self.id)
    }
}

impl Book {
    /// Enters an incident on a day, if it counts.
    pub fn enter(&mut self, seen: &Seen, id: IncidentId, as_of: Day) {
        let Some(root) = seen.root.filter(|_| seen.counted()) else { return };
        let booked = Booked::of(seen, id);
        insert(self.own.entry(root).or_default(), booked);
        if booked.day > as_of {
            self.coming.entry(booked.day).or_default().push(root);
        }
        for host in &seen.hosts {
            insert(self.hosted.entry(*host).or_default(), booked);
        }
    }

    /// Strikes an incident out as it was entered.
    pub fn strike(&mut self, seen: &Seen, id: IncidentId) {
        let Some(root) = seen.root.filter(|_| seen.counted()) else { return };
        let booked = Booked::of(seen, id);
        remove(&mut self.own, root, booked);
        for host in &seen.hosts {
            remove(&mut self.hosted, *host, booked);
        }
    }

    /// Takes out the enterprises that have an incident whose day has come by now. Where another one leaves the window at the
    /// same midnight, counts do not move, and yet it is another incident that stands there. One that was struck out meanwhile
    /// still brings its enterprise.
    pub fn come(&mut self, as_of: Day) -> impl Iterator<Item = Uscc> + use<> {
        let later = self.coming.split_off(&as_of.plus(1));
        std::mem::replace(&mut self.coming, later).into_values().flatten()
    }

    /// Its own incidents from one day to another, both included.
    pub fn own<'b>(&'b self, root: &Uscc, from: Day, to: Day) -> impl Iterator<Item = &'b Booked> + use<'b> {
        within(self.own.get(root), from, to)
    }

    /// Incidents that it hosted from one day to another, both included.
    pub fn hosted(&self, host: &Uscc, from: Day, to: Day) -> impl Iterator<Item = &Booked> {
        within(self.hosted.get(host), from, to)
    }

    /// The counted incidents of every category at an enterprise in the calendar year of an accident, up to `as_of`: its
    /// own, then those at which it is the host (`year_to_date` of records.md), each with whether it is one of these.
    pub fn of_year<'b>(
        &'b self,
        uscc: &'b Uscc,
        registry: &'b Registry,
        (from, to): (Day, Day),
    ) -> impl Iterator<Item = (&'b Booked, bool)> {
        // What is read as another's is that one's, in every figure; who was taken over keeps its own here.
        let root = registry.root(uscc);
        let own = self.own(&root, from, to).filter(move |b| root == *uscc || b.uscc == Some(*uscc));
        let read_as = |employer: Option<Uscc>| employer.map(|e| registry.root(&e));
        let hosted = self.hosted(uscc, from, to).filter(move |b| read_as(b.uscc) != Some(*uscc));
        own.map(|b| (b, false)).chain(hosted.map(|b| (b, true)))
    }

    /// Every enterprise with an incident of its own.
    pub fn enterprises(&self) -> impl Iterator<Item = Uscc> {
        self.own.keys().copied()
    }
}

/// The days of an accident's year that [`Book::of_year`] counts. `None`: it is out of every calendar.
pub(crate) fn year_of(occurred_on: Day, as_of: Day) -> Option<(Day, Day)> {
    let (first, last) = (Day::new(occurred_on.year(), 1, 1)?, Day::new(occurred_on.year(), 12, 31)?);
    // The day that a report gives may not be over yet, or not have begun.
    Some((first, last.min(as_of.max(occurred_on))))
}

fn insert(list: &mut Vec<Booked>, item: Booked) {
    if let Err(at) = list.binary_search_by_key(&item.place(), Booked::place) {
        list.insert(at, item);
    }
}

fn remove(map: &mut HashMap<Uscc, Vec<Booked>>, key: Uscc, item: Booked) {
    if let Some(list) = map.get_mut(&key) {
        if let Ok(at) = list.binary_search_by_key(&item.place(), Booked::place) {
            list.remove(at);
        }
        if list.is_empty() {
            map.remove(&key);
        }
    }
}

fn within(list: Option<&Vec<Booked>>, from: Day, to: Day) -> impl Iterator<Item = &Booked> {
    let list = list.map_or(&[][..], Vec::as_slice);
    let first = list.partition_point(|b| b.day < from);
    list[first..].iter().take_while(move |b| b.day <= to)
}
