//! Whom to reach, and what is silent: the folds of `registry.contacts` and `governance.events`, shared by all roles of
//! a worker. A role refreshes it after it has read something to act on, so whoever was registered before an alert was
//! decided is known when it is delivered; what the planner gives by hand it has refreshed it for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use tocsin_schemas::log::{EventLog, LogReader, LogRecord};
use tocsin_schemas::time::Instant;
use tocsin_schemas::wire::SchemaIds;
use tokio::sync::watch;

use super::WorkerError;
use super::reading::{self, Reading, from_first, to_end};
use crate::codec::topic;
use crate::contacts::Contacts;
use crate::fuse::Releases;
use crate::retry::{self, Requests};
use crate::silences::Silences;

/// What is known.
#[derive(Default)]
pub(crate) struct Known {
    pub contacts: Contacts,
    pub silences: Silences,
    pub releases: Releases,
    pub retries: Requests,
}

/// The shared fold and its readers.
pub(crate) struct Registry {
    log: Arc<dyn EventLog>,
    schemas: Arc<dyn SchemaIds>,
    known: RwLock<Known>,
    /// Up to when corrections are let go.
    released: watch::Sender<Option<Instant>>,
    /// Changes when somebody asks that what failed is said after all.
    asked: watch::Sender<()>,
    /// Of both topics, so that one question tells whether it has read all.
    tail: Mutex<Box<dyn LogReader>>,
    contacts_refused: AtomicU64,
    silences_refused: AtomicU64,
}

impl Registry {
    /// Everything that is there now. Blocks.
    ///
    /// # Errors
    /// Those of reading.
    pub fn open(
        log: Arc<dyn EventLog>,
        schemas: Arc<dyn SchemaIds>,
        reading: &Reading,
    ) -> Result<Registry, WorkerError> {
        let tail = from_first(&*log, &[topic::CONTACTS, topic::GOVERNANCE])?;
        let registry = Registry {
            log,
            schemas,
            known: RwLock::default(),
            released: watch::Sender::new(None),
            asked: watch::Sender::new(()),
            tail: Mutex::new(tail),
            contacts_refused: AtomicU64::new(0),
            silences_refused: AtomicU64::new(0),
        };
        registry.refresh(reading)?;
        Ok(registry)
    }

    /// Reads on to the present ends. Blocks.
    ///
    /// # Errors
    /// Those of reading; what was read before is taken in, and the call may be repeated.
    pub fn refresh(&self, reading: &Reading) -> Result<(), WorkerError> {
        // Whoever panicked while holding it has taken the worker down with it.
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        to_end(&*self.log, &mut **tail, reading, |record| {
            match &*record.topic {
                topic::CONTACTS => self.take_in_contact(&record),
                _ => self.take_in_event(&record),
            }
            Ok(())
        })?;
        let until = self.known().releases.until();
        self.released.send_if_modified(|known| std::mem::replace(known, until) != until);
        Ok(())
    }

    fn take_in_contact(&self, record: &LogRecord) {
        match reading::contact(record, &*self.schemas) {
            Some((key, contact)) => self.change(|known| known.contacts.apply(&key, contact)),
            None => drop(self.contacts_refused.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn take_in_event(&self, record: &LogRecord) {
        let kept = reading::governance(record, &*self.schemas).is_some_and(|(event, digest)| {
            let mut right = true;
            self.change(|known| {
                for (taken_in, says_nothing) in [
                    (known.silences.apply(&event, digest), "nothing is silent"),
                    (known.releases.apply(&event, digest), "no correction is let go"),
                    (known.retries.apply(&event, digest), "nothing is said after all"),
                ] {
                    right &= reading::right(taken_in, says_nothing);
                }
            });
            self.asked.send_if_modified(|_| event.kind == retry::KIND);
            right
        });
        self.silences_refused.fetch_add(u64::from(!kept), Ordering::Relaxed);
    }

    /// Changes when somebody lets corrections go.
    pub fn released(&self) -> watch::Receiver<Option<Instant>> {
        self.released.subscribe()
    }

    /// Changes when somebody asks that what failed is said after all.
    pub fn asked(&self) -> watch::Receiver<()> {
        self.asked.subscribe()
    }

    fn change(&self, with: impl FnOnce(&mut Known)) {
        with(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// What is known now.
    pub fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that could not be read, since the start: contacts, and governance events.
    pub fn refused(&self) -> (u64, u64) {
        (self.contacts_refused.load(Ordering::Relaxed), self.silences_refused.load(Ordering::Relaxed))
    }
}
