//! Governance events of one kind, each as its newest version says. Pure.

use std::collections::BTreeMap;

use tocsin_schemas::records::{Digest, GovernanceEvent};

/// The newest version of each event; one that cannot be read says nothing.
#[derive(Debug)]
pub(crate) struct Newest<T> {
    by_id: BTreeMap<String, (u64, Digest, Option<T>)>,
}

impl<T> Default for Newest<T> {
    fn default() -> Newest<T> {
        Newest { by_id: BTreeMap::new() }
    }
}

impl<T> Newest<T> {
    /// Takes in what a version says, or what is wrong with it. `digest` is that of its canonical JSON: of two with the same
    /// version the one with the greater digest stands, as with contacts.
    ///
    /// # Errors
    /// What is wrong with it, unless a newer one stands; an earlier version is over then.
    pub fn take(
        &mut self,
        kind: &str,
        event: &GovernanceEvent,
        digest: Digest,
        says: Result<T, String>,
    ) -> Result<(), String> {
        let newness = (event.version, digest);
        let known = self.by_id.get(&event.event_id);
        if known.is_some_and(|(version, digest, _)| (*version, *digest) > newness) {
            return Ok(());
        }
        let (says, wrong) = match says {
            Ok(says) => (Some(says), None),
            Err(wrong) => (None, Some(wrong)),
        };
        self.by_id.insert(event.event_id.clone(), (event.version, digest, says));
        wrong.map_or(Ok(()), |wrong| Err(format!("{kind} {}: {wrong}", event.event_id)))
    }

    /// Whether there is an event of this id, readable or not.
    pub fn knows(&self, event_id: &str) -> bool {
        self.by_id.contains_key(event_id)
    }

    /// The version of this event that stands, readable or not.
    pub fn version(&self, event_id: &str) -> Option<u64> {
        self.by_id.get(event_id).map(|(version, ..)| *version)
    }

    /// All that can be read, by id.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.by_id.values().filter_map(|(_, _, says)| says.as_ref())
    }
}
