//! For how many years running an enterprise was key, from what the topic held when an entry was written.

use std::collections::BTreeMap;

use tocsin_schemas::codes::{List, ListClass};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::Listed;

use super::view::{YearBefore, YearBy};
use super::{Written, stand_with};
use crate::lists::key_years;
use crate::registry::Registry;

/// What the topic says of earlier years.
pub(super) struct Years {
    /// Those that were looked at, the newest first.
    pub years: Vec<YearBefore>,
    /// For how many years running it was key, this one included, if what the topic has no record of was not so.
    pub running: u32,
    /// The same if it was.
    pub at_most: u32,
}

/// Of the entry in this place, for an enterprise that is key in it for so many years running, as it says.
///
/// The topic has one partition, so its order is that of the decisions, and within one that of the keys: what a decision
/// froze stands after the entries that it moved.
pub(super) fn before(
    lists: &[Written],
    place: usize,
    entry: &Listed,
    uscc: Uscc,
    registry: &Registry,
    said: u32,
) -> Years {
    let mut upto = place + 1;
    while lists.get(upto).is_some_and(|next| {
        let same = next.listed.as_ref().is_none_or(|l| l.decided_at == entry.decided_at);
        same && lists[upto - 1].key < next.key
    }) {
        upto += 1;
    }
    let of = |upto: usize| {
        let topic = Topic { lists, upto, entry, uscc, registry };
        let mut years = Vec::new();
        for year in (0..entry.year).rev() {
            let (key, by) = topic.year(year);
            years.push(YearBefore { year, key, by });
            if key == Some(false) {
                break;
            }
        }
        let was = |y: i32| years.iter().find(|before| before.year == y).map(|before| before.key);
        let running =
            |unknown: bool| key_years(entry.year, |y| was(y).is_some_and(|key| key.unwrap_or(unknown)));
        Years { running: running(false), at_most: running(true), years }
    };
    // Another decision at the instant may have frozen what stands behind it.
    let narrow = of(place + 1);
    if narrow.running == said { narrow } else { of(upto) }
}

/// The topic up to a decision.
struct Topic<'a> {
    lists: &'a [Written],
    upto: usize,
    entry: &'a Listed,
    uscc: Uscc,
    registry: &'a Registry,
}

impl Topic<'_> {
    fn year(&self, year: i32) -> (Option<bool>, YearBy) {
        let frozen = |l: &&Listed| l.list == List::Frozen && l.year == year;
        let known = || self.lists[..self.upto].iter().filter_map(|w| w.listed.as_ref()).filter(frozen);
        let stands = |l: &&Listed| l.whole.as_ref().is_some_and(|whole| whole.refused.is_none());
        if let Some(event_id) = known().rfind(stands).and_then(stand_with).cloned() {
            let of_event = known().filter(|l| l.event_id.as_ref() == Some(&event_id));
            let mut key = of_event.filter_map(|l| l.member.as_ref()).filter(|m| m.class == ListClass::Key);
            let own = key.any(|m| m.uscc == self.uscc || self.registry.root(&m.uscc) == self.uscc);
            return (Some(own), YearBy::Frozen { event_id });
        }
        let this_year = self.entry.as_of.date().year();
        if i32::from(this_year) != self.entry.year || year + 1 != self.entry.year {
            return match self.left(year) {
                Some(key) => (Some(key), YearBy::NotFrozen),
                None => (Some(false), YearBy::NoList),
            };
        }
        (self.live(year), YearBy::Live)
    }

    /// By the list of a year that was not kept any more, as it last stood. `None`: the topic has no record of it before
    /// the decision, not even of the list as a whole, which stays for ever.
    fn left(&self, year: i32) -> Option<bool> {
        let whole = format!("{}|{year}", List::Annual);
        let mut last: BTreeMap<Uscc, bool> = BTreeMap::new();
        let mut any = false;
        for written in &self.lists[..self.upto] {
            any |= written.key == whole;
            if let Some((_, uscc)) = Listed::live_entry(&written.key).filter(|(y, _)| *y == year) {
                let member = written.listed.as_ref().and_then(|l| l.member.as_ref());
                last.insert(uscc, member.is_some_and(|m| m.class == ListClass::Key));
            }
        }
        let own = |uscc: &Uscc| *uscc == self.uscc || self.registry.root(uscc) == self.uscc;
        (any || !last.is_empty()).then(|| last.iter().any(|(uscc, key)| *key && own(uscc)))
    }

    /// By the live list of a year. `None`: the topic has no record of it before the decision.
    fn live(&self, year: i32) -> Option<bool> {
        let key = format!("{}|{year}|{}", List::Annual, self.uscc);
        let last = self.lists[..self.upto].iter().rev().find(|w| w.key == key);
        let is_key = |w: &Written| {
            let member = w.listed.as_ref().and_then(|l| l.member.as_ref());
            member.is_some_and(|m| m.class == ListClass::Key)
        };
        last.map(is_key)
    }
}

/// The last word on each key.
pub(super) fn newest(lists: &[Written]) -> BTreeMap<&str, (usize, &Written)> {
    lists.iter().enumerate().map(|(place, written)| (&*written.key, (place, written))).collect()
}
