//! Which records can matter to the windows of one day. Far in the past or after the day most cannot, and each that is
//! learnt alone costs a step of the dataflow.

use hashbrown::HashSet;
use tocsin_schemas::ids::{PersonKey, ReportKey};
use tocsin_schemas::records::Report;
use tocsin_schemas::time::{Day, Month};

use crate::engine::Engine;
use crate::windows::{SHOWN, days};

/// The days that the windows of one day look at, and what has a report in them.
pub(super) struct Relevant {
    first: Day,
    last: Day,
    keys: HashSet<ReportKey>,
    persons: HashSet<PersonKey>,
}

impl Relevant {
    /// For the windows that are published of a day.
    pub fn on(as_of: Day) -> Relevant {
        let first = SHOWN.iter().map(|window| days(*window, as_of).0).min();
        Relevant { first: first.unwrap_or(as_of), last: as_of, keys: HashSet::new(), persons: HashSet::new() }
    }

    /// Whether a day is in any window.
    pub fn day(&self, day: Day) -> bool {
        (self.first..=self.last).contains(&day)
    }

    /// Whether a month shares a day with any window.
    pub fn month(&self, month: Month) -> bool {
        (self.first.month()..=self.last.month()).contains(&month)
    }

    /// A version of a report arrived, at any time: it and its person may matter.
    pub fn note(&mut self, report: &Report) {
        if self.day(report.occurred_on) {
            self.keys.insert(report.key());
            self.persons.extend(report.person_key);
        }
    }

    /// Which of these later reports can change a window, given what `engine` knows already.
    ///
    /// A case happens on a day of one of its reports, and a person's cases are made of the person's reports alone. So
    /// who has no version in the windows, nor shares a person with one that has, changes nothing in them. All later
    /// versions of one report are taken or left together: which of them stands must not depend on it.
    pub fn of<'r>(
        &self,
        engine: &Engine,
        later: impl Iterator<Item = &'r Report> + Clone,
    ) -> HashSet<ReportKey> {
        let near = |person: Option<PersonKey>| person.is_some_and(|p| self.persons.contains(&p));
        let stands_near = |key: &ReportKey| near(engine.report_of(key).and_then(|facts| facts.person_key));
        later
            .map(|report| (report.key(), near(report.person_key)))
            .filter(|(key, near)| *near || self.keys.contains(key) || stands_near(key))
            .map(|(key, _)| key)
            .collect()
    }
}
