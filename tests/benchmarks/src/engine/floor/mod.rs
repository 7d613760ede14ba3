//! The floor: the same contract kept by a plain loop on hash maps, one record after the other, the way one
//! would write it by hand without a dataflow.
//!
//! It keeps sections 1 (door), 2 (cases, incidents), 3 (all windows, rates) and the levels of section 4 of the
//! contract. It has no memory of what was said: no incident numbers, no messages, no texts; and no statistics by
//! sector, cause and period. So it does less than the engine, and that is what makes it a floor. [`super::agree`] checks at the end of a run that its
//! incidents, counts and levels are those of the engine.
//!
//! - `cases`: from reports to cases to incidents, pure functions
//! - `register`: enterprises, who is read as whose, headcounts, industries, areas, the city
//!
//! One policy table, as the workload has it; several would be looked up by day.

mod cases;
mod register;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use tocsin_pipeline::policy::Policy;
use tocsin_pipeline::{Arrival, Verdict};
use tocsin_schemas::codes::{Category, Level, Severity, State};
use tocsin_schemas::ids::{PersonKey, ReportKey, Uscc};
use tocsin_schemas::records::{Digest, Record, Report};
use tocsin_schemas::time::{Day, Instant};

use cases::{Incident, Stored, cases_of, incidents_of, place_of};
use register::Register;
use register::{LONGEST, spans};
pub use register::{Sum, Sums, WINDOWS};

/// Where cases meet: an enterprise (or none) and a day.
type PlaceKey = (Option<Uscc>, Day);

/// The plain loop's state.
pub struct Floor {
    policy: Policy,
    /// Which place of `reports` holds the newest version.
    numbers: HashMap<ReportKey, u32>,
    reports: Vec<Stored>,
    persons: HashMap<PersonKey, Vec<u32>>,
    places: HashMap<PlaceKey, Place>,
    /// Which enterprises have a place on a day; days before the window are forgotten.
    by_day: HashMap<Day, Vec<Uscc>>,
    register: Register,
    clock: Option<Instant>,
}

/// What is known of an enterprise on a day.
#[derive(Default)]
struct Place {
    /// Cases of persons, and reports without a key, each alone.
    pieces: Vec<Vec<u32>>,
    incidents: Vec<Incident>,
}

/// An incident as it is compared with the engine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// How it stands.
    pub state: State,
    /// The insured employer.
    pub uscc: Option<Uscc>,
    /// The day of the accident.
    pub occurred_on: Day,
    /// That of the worst case.
    pub category: Category,
    /// That of the worst case.
    pub severity: Severity,
    /// Its cases.
    pub persons: u32,
    /// Its reports, sorted.
    pub reports: Vec<ReportKey>,
}

impl Floor {
    /// A loop that has seen nothing.
    pub fn new(policy: Policy) -> Floor {
        Floor {
            policy,
            numbers: HashMap::new(),
            reports: Vec::new(),
            persons: HashMap::new(),
            places: HashMap::new(),
            by_day: HashMap::new(),
            register: Register::default(),
            clock: None,
        }
    }

    /// Takes a batch that arrives at `at`, after every missed midnight.
    pub fn arrive(&mut self, at: Instant, arrivals: Vec<Arrival>) -> Vec<Verdict> {
        if self.clock.is_none() {
            self.register.today = at.day();
            self.register.spans = spans(at.day());
            self.clock = Some(at);
        }
        self.tick_to(at.day());
        self.clock = self.clock.max(Some(at));
        let verdicts = arrivals.into_iter().map(|arrival| self.take(arrival)).collect();
        self.register.judge(&self.policy.escalation);
        verdicts
    }

    /// Passes every midnight after the clock, up to the one that begins `day`.
    pub fn tick_to(&mut self, day: Day) {
        while self.clock.is_some() && self.register.today < day {
            let today = self.register.today.plus(1);
            self.clock = self.clock.max(Some(today.midnight()));
            self.register.today = today;
            let old = std::mem::replace(&mut self.register.spans, spans(today));
            for (window, ((old_first, old_last), (first, last))) in
                old.into_iter().zip(self.register.spans).enumerate()
            {
                let days = |a: Day, b: Day| (a.0..=b.0).map(Day);
                let leaving = days(old_first, old_last).filter(|d| *d < first || last < *d);
                let entering = days(first, last).filter(|d| *d < old_first || old_last < *d);
                let moves: Vec<(Day, i32)> =
                    leaving.map(|day| (day, -1)).chain(entering.map(|day| (day, 1))).collect();
                for (day, sign) in moves {
                    for uscc in self.by_day.get(&day).cloned().unwrap_or_default() {
                        self.count_in(|w| w == window, (Some(uscc), day), sign);
                    }
                }
            }
            let (forgotten, first) = (old[LONGEST].0, self.register.spans[LONGEST].0);
            (forgotten.0..first.0).for_each(|day| drop(self.by_day.remove(&Day(day))));
            let begun = self.register.begin_day();
            self.reread(begun);
            self.register.judge(&self.policy.escalation);
        }
    }

    /// One record at the door.
    fn take(&mut self, arrival: Arrival) -> Verdict {
        match arrival.record {
            Record::Report(report) => self.report(report, arrival.digest),
            Record::Enterprise(enterprise) => {
                let uscc = enterprise.uscc;
                let verdict = self.register.enterprise(enterprise, arrival.digest);
                self.reread(vec![uscc]);
                verdict
            }
            Record::Headcount(headcount) => self.register.headcount(&headcount, arrival.digest),
            // Contacts and governance events enter no incident, count or level.
            Record::Contact(_) | Record::Governance(_) => Verdict::Accepted,
        }
    }

    /// A report: the newest version stands; of one version with two contents the greater digest.
    fn report(&mut self, report: Report, digest: Digest) -> Verdict {
        let new = Stored::of(report, digest);
        let mut touched = Vec::with_capacity(2);
        let (number, verdict) = match self.numbers.entry(new.key.clone()) {
            Entry::Vacant(entry) => {
                let number = self.reports.len() as u32;
                entry.insert(number);
                self.reports.push(new);
                (number, Verdict::Accepted)
            }
            Entry::Occupied(entry) => {
                let number = *entry.get();
                let standing = &self.reports[number as usize];
                let verdict = match new.version.cmp(&standing.version) {
                    std::cmp::Ordering::Less => return Verdict::Stale,
                    std::cmp::Ordering::Greater => Verdict::Accepted,
                    std::cmp::Ordering::Equal if new.digest == standing.digest => return Verdict::Duplicate,
                    std::cmp::Ordering::Equal if new.digest < standing.digest => return Verdict::Conflict,
                    std::cmp::Ordering::Equal => Verdict::Conflict,
                };
                if standing.stands() {
                    self.file(number, false, &mut touched);
                }
                self.reports[number as usize] = new;
                (number, verdict)
            }
        };
        if self.reports[number as usize].stands() {
            self.file(number, true, &mut touched);
        }
        touched.sort_unstable();
        touched.dedup();
        for place in touched {
            let root = place.0.and_then(|uscc| self.register.root(&uscc));
            self.recount(place, root);
        }
        verdict
    }

    /// Files a report under its person, or takes it away, and brings the pieces of the touched places up to
    /// date. Their incidents are not.
    fn file(&mut self, number: u32, comes: bool, touched: &mut Vec<PlaceKey>) {
        let report = &self.reports[number as usize];
        let (mut old, mut new) = (Vec::new(), Vec::new());
        match report.person_key {
            None if comes => new.push(vec![number]),
            None => old.push(vec![number]),
            Some(person) => {
                let filed = self.persons.entry(person).or_default();
                old = cases_of(filed, &self.reports, &self.policy);
                if comes {
                    filed.push(number);
                } else {
                    filed.retain(|n| *n != number);
                }
                new = cases_of(filed, &self.reports, &self.policy);
                if filed.is_empty() {
                    self.persons.remove(&person);
                }
            }
        }
        for case in old.iter().filter(|case| !new.contains(case)) {
            let key = place_of(case, &self.reports);
            if let Some(place) = self.places.get_mut(&key) {
                place.pieces.retain(|piece| piece != case);
            }
            touched.push(key);
        }
        for case in new {
            if old.contains(&case) {
                continue;
            }
            let key = place_of(&case, &self.reports);
            let place = match self.places.entry(key) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    if let (Some(uscc), day) = key {
                        self.register.at(uscc).days.push(day);
                        if day >= self.register.spans[LONGEST].0 {
                            self.by_day.entry(day).or_default().push(uscc);
                        }
                    }
                    entry.insert(Place::default())
                }
            };
            place.pieces.push(case);
            touched.push(key);
        }
    }

    /// Makes the incidents of a place anew, and counts what they differ by. An empty place goes.
    fn recount(&mut self, key: PlaceKey, root: Option<Uscc>) {
        self.count(key, -1);
        let Some(place) = self.places.get_mut(&key) else { return };
        place.incidents = incidents_of(&place.pieces, key.0, root.is_some(), &self.reports, &self.policy);
        if place.pieces.is_empty() {
            self.places.remove(&key);
            if let (Some(uscc), day) = key {
                self.register.at(uscc).days.retain(|d| *d != day);
                if let Some(there) = self.by_day.get_mut(&day) {
                    there.retain(|u| *u != uscc);
                }
            }
        }
        self.count(key, 1);
    }

    /// Adds a place's incidents to the counts of whom they are read as, or takes them out.
    fn count(&mut self, key: PlaceKey, sign: i32) {
        let spans = self.register.spans;
        let holds = |window: usize| spans[window].0 <= key.1 && key.1 <= spans[window].1;
        if (0..WINDOWS.len()).any(holds) {
            self.count_in(holds, key, sign);
        }
    }

    /// The same in these windows.
    fn count_in(&mut self, holds: impl Fn(usize) -> bool, key: PlaceKey, sign: i32) {
        let (Some(uscc), Some(place)) = (key.0, self.places.get(&key)) else { return };
        let (mut incidents, mut persons, mut severe, mut other) = (0, 0, 0, [0; 3]);
        for i in place.incidents.iter().filter(|i| i.state == State::Counted) {
            match i.category {
                Category::Production => {
                    incidents += sign;
                    persons += sign * i.persons as i32;
                    severe += sign * i32::from(i.severity >= Severity::Severe);
                }
                Category::Commuting => other[0] += sign,
                Category::SuddenIllness => other[1] += sign,
                Category::OccupationalDisease => other[2] += sign,
            }
        }
        if incidents == 0 && other == [0; 3] {
            return;
        }
        if let Some(root) = self.register.root(&uscc) {
            self.register.shift(root, |counts| {
                for (_, counts) in counts.iter_mut().enumerate().filter(|(window, _)| holds(*window)) {
                    counts.incidents += incidents;
                    counts.persons += persons;
                    counts.severe += severe;
                    counts.other.iter_mut().zip(other).for_each(|(to, n)| *to += n);
                }
            });
        }
    }

    /// Reads enterprises anew whose versions in force may have changed: registered, moved, succeeded.
    fn reread(&mut self, enterprises: Vec<Uscc>) {
        for (uscc, root) in self.register.reread(enterprises) {
            let days = self.register.at(uscc).days.clone();
            for day in &days {
                self.count((Some(uscc), *day), -1);
            }
            self.register.move_to(uscc, root);
            for day in days {
                let key = (Some(uscc), day);
                if let Some(place) = self.places.get_mut(&key) {
                    place.incidents = incidents_of(&place.pieces, key.0, true, &self.reports, &self.policy);
                }
                self.count(key, 1);
            }
        }
    }

    /// Every incident.
    pub fn incidents(&self) -> impl Iterator<Item = Shown> {
        self.places.iter().flat_map(|((uscc, day), place)| {
            place.incidents.iter().map(|i| Shown {
                state: i.state,
                uscc: *uscc,
                occurred_on: *day,
                category: i.category,
                severity: i.severity,
                persons: i.persons,
                reports: i.reports.iter().map(|n| self.reports[*n as usize].key.clone()).collect(),
            })
        })
    }

    /// The level of each enterprise that has one.
    pub fn levels(&self) -> HashMap<Uscc, Level> {
        self.register.levels()
    }

    /// The counts of all windows: enterprises with an incident, industries, areas, the city.
    pub fn sums(&self) -> HashMap<(tocsin_schemas::codes::Scope, String), Sums> {
        self.register.sums()
    }
}
