//! Which counted incidents an enterprise has: the index that a message's lists and counts are read from.

use hashbrown::HashMap;
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::time::Day;

/// Counted incidents by enterprise (as succession reads them), sorted by day.
#[derive(Default)]
pub(crate) struct Book {
    /// Of which it is the insured employer.
    own: HashMap<Uscc, Vec<(Day, IncidentId)>>,
    /// Of which it is the host, and not the insured employer.
    hosted: HashMap<Uscc, Vec<(Day, IncidentId)>>,
}

impl Book {
    /// Enters an incident.
    pub fn enter(&mut self, root: Uscc, hosts: &[Uscc], day: Day, id: IncidentId) {
        insert(self.own.entry(root).or_default(), (day, id));
        for host in hosts {
            insert(self.hosted.entry(*host).or_default(), (day, id));
        }
    }

    /// Strikes an incident out.
    pub fn strike(&mut self, root: Uscc, hosts: &[Uscc], day: Day, id: IncidentId) {
        remove(&mut self.own, root, (day, id));
        for host in hosts {
            remove(&mut self.hosted, *host, (day, id));
        }
    }

    /// Its own incidents from one day to another, both included.
    pub fn own(&self, root: &Uscc, from: Day, to: Day) -> impl Iterator<Item = IncidentId> {
        within(self.own.get(root), from, to)
    }

    /// Incidents that it hosted from one day to another, both included.
    pub fn hosted(&self, host: &Uscc, from: Day, to: Day) -> impl Iterator<Item = IncidentId> {
        within(self.hosted.get(host), from, to)
    }

    /// Every enterprise with an incident of its own.
    pub fn enterprises(&self) -> impl Iterator<Item = Uscc> {
        self.own.keys().copied()
    }
}

fn insert(list: &mut Vec<(Day, IncidentId)>, item: (Day, IncidentId)) {
    if let Err(at) = list.binary_search(&item) {
        list.insert(at, item);
    }
}

fn remove(map: &mut HashMap<Uscc, Vec<(Day, IncidentId)>>, key: Uscc, item: (Day, IncidentId)) {
    if let Some(list) = map.get_mut(&key) {
        if let Ok(at) = list.binary_search(&item) {
            list.remove(at);
        }
        if list.is_empty() {
            map.remove(&key);
        }
    }
}

fn within(list: Option<&Vec<(Day, IncidentId)>>, from: Day, to: Day) -> impl Iterator<Item = IncidentId> {
    let list = list.map_or(&[][..], Vec::as_slice);
    let first = list.partition_point(|(day, _)| *day < from);
    list[first..].iter().take_while(move |(day, _)| *day <= to).map(|(_, id)| *id)
}
