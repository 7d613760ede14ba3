//! Why an enterprise is on a list of a year (S11, S36), and why a list has its sizes.
//!
//! The rule is the engine's ([`crate::lists`]), over what was known at the decision, with the city's rate and the model
//! that the entry itself names: those were taken at a midnight from the records of every enterprise, and are not taken
//! again here.

mod entry;
mod view;
mod whole;
mod years;

use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::Listed;

pub use self::view::{
    EntryExplained, EntrySince, EventView, HeadcountView, ListedExplained, MovedOnList, OnList,
    WholeExplained, YearBefore, YearBy,
};
use super::{Records, Why};

/// Of a frozen list as a whole, the event under whose keys the enterprises on it stand.
fn stand_with(whole: &Listed) -> Option<&String> {
    whole.whole.as_ref().and_then(|w| w.same_as.as_ref()).or(whole.event_id.as_ref())
}

/// A record of the topic `lists`.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its key.
    pub key: String,
    /// What it says; `None`: the enterprise is not on the list any more.
    pub listed: Option<Listed>,
}

impl Why<'_, '_> {
    /// The newest record under a key of the topic `lists`; of an entry of a list that was frozen again, the one that it
    /// was frozen with first. `None`: there is none.
    pub fn listed(&self, key: &str) -> Option<ListedExplained> {
        let last = |key: &str| self.records.lists.iter().rposition(|w| w.key == key && w.listed.is_some());
        let place = last(key).or_else(|| {
            let (list, uscc) = key.rsplit_once('|')?;
            let whole = self.records.lists[last(list)?].listed.as_ref()?;
            let first = whole.whole.as_ref()?.same_as.as_ref()?;
            last(&format!("{}|{}|{}|{uscc}", whole.list, whole.year, Listed::event_in_key(first)))
        })?;
        self.listed_at(place)
    }

    /// The record in this place of [`Records::lists`]. `None`: it says that an enterprise is not on a list any more.
    pub fn listed_at(&self, place: usize) -> Option<ListedExplained> {
        let listed = self.records.lists.get(place)?.listed.as_ref()?;
        if listed.member.is_none() {
            return Some(ListedExplained::Whole(Box::new(whole::explain(self, place, listed))));
        }
        let all = self.with_headcounts();
        let why = Why::new(&all, self.rules, self.clock);
        Some(ListedExplained::Entry(Box::new(entry::explain(&why, place, listed)?)))
    }

    /// The newest entry of an enterprise on each list, by key.
    pub(super) fn entries(&self, uscc: Uscc) -> Vec<EntryExplained> {
        let own =
            |w: &&Written| w.listed.as_ref().and_then(|l| l.member.as_ref()).is_some_and(|m| m.uscc == uscc);
        let mut keys: Vec<&str> = self.records.lists.iter().filter(own).map(|w| &*w.key).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return Vec::new();
        }
        let all = self.with_headcounts();
        let why = Why::new(&all, self.rules, self.clock);
        let explained = keys.into_iter().filter_map(|key| {
            let place = all.lists.iter().rposition(|w| w.key == key && w.listed.is_some())?;
            entry::explain(&why, place, all.lists[place].listed.as_ref()?)
        });
        explained.collect()
    }

    /// With the headcounts among the arrivals: to an alert they are nothing that may have come late.
    fn with_headcounts(&self) -> Records {
        let mut all = self.records.clone();
        all.arrivals.append(&mut all.headcounts);
        all
    }
}
