//! Entries by running number.

use tocsin_schemas::ids::IncidentId;

use super::entry::Entry;

/// Entries of a page.
const PAGE: usize = 1024;

/// Every number given so far and what is remembered of it, in pages: a list that doubles would copy half
/// the city, and touch as much new memory, in the midst of one decision.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// All full but the last one.
    pages: Vec<Vec<Option<Entry>>>,
}

impl Entries {
    /// The number that comes after all of these, at least 1.
    pub fn next(&self) -> u32 {
        let full = self.pages.len().saturating_sub(1) * PAGE;
        ((full + self.pages.last().map_or(0, Vec::len)) as u32).max(1)
    }

    /// What is remembered of a number.
    pub fn get(&self, id: IncidentId) -> Option<&Entry> {
        let place = id.0 as usize;
        self.pages.get(place / PAGE)?.get(place % PAGE)?.as_ref()
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, id: IncidentId) -> Option<&mut Entry> {
        let place = id.0 as usize;
        self.pages.get_mut(place / PAGE)?.get_mut(place % PAGE)?.as_mut()
    }

    /// Remembers this of a number. Numbers below it that were not given yet are never given.
    pub fn put(&mut self, id: IncidentId, entry: Entry) {
        let place = id.0 as usize;
        while self.pages.len() * PAGE <= place || self.pages[place / PAGE].len() <= place % PAGE {
            self.push(None);
        }
        self.pages[place / PAGE][place % PAGE] = Some(entry);
    }

    /// Numbers below `next` were given, whatever is known of them: they are not given again.
    pub fn given(&mut self, next: u32) {
        while self.next() < next {
            self.push(None);
        }
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = (IncidentId, &Entry)> {
        let all = (0u32..).zip(self.pages.iter().flatten());
        all.filter_map(|(number, entry)| Some((IncidentId(number), entry.as_ref()?)))
    }

    fn push(&mut self, entry: Option<Entry>) {
        match self.pages.last_mut().filter(|page| page.len() < PAGE) {
            Some(page) => page.push(entry),
            None => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(entry);
                self.pages.push(page);
            }
        }
    }
}

impl FromIterator<Option<Entry>> for Entries {
    /// From number 0 on.
    fn from_iter<I: IntoIterator<Item = Option<Entry>>>(all: I) -> Entries {
        let mut entries = Entries::default();
        all.into_iter().for_each(|entry| entries.push(entry));
        entries
    }
}
