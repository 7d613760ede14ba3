//! The engine: drives clock, dataflow and decider; what `src/` and the tests hold.

use std::collections::BTreeMap;

use tocsin_schemas::codes::Reason;
use tocsin_schemas::codes::Scope;
use tocsin_schemas::records::{Alert, Digest, Incident, Rate, Record, Window};
use tocsin_schemas::time::{Day, Instant};

use crate::policy::Policies;

/// A record that was admitted at the door.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The record.
    pub record: Record,
    /// SHA-256 of its canonical JSON.
    pub digest: Digest,
    /// When it arrived: the log's append time, or what the stream says.
    pub arrived_at: Instant,
}

/// What became of an admitted record (records.md section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stands.
    Accepted,
    /// The same as the one that stands.
    Duplicate,
    /// An older version than the one that stands.
    Stale,
    /// The same version with other content; the one with the greater digest stands.
    Conflict,
}

/// What made a decision fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A midnight.
    Midnight,
    /// A batch of arrivals.
    Batch,
}

/// Everything that one decision changed. What a caller writes in one transaction with its progress.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What made it fall.
    pub occasion: Occasion,
    /// The clock: 00:00:00 of the day for a midnight.
    pub decided_at: Instant,
    /// One verdict for each arrival, in order; empty for a midnight.
    pub verdicts: Vec<Verdict>,
    /// Incidents as they now stand, if they changed; sorted by id.
    pub incidents: Vec<Incident>,
    /// Decisions, by rule, subject, revision. Suppressed ones are among them.
    pub alerts: Vec<Alert>,
    /// Rows that changed; `None` for a row that is no more. Sorted.
    pub rates: Vec<((Scope, String, Window), Option<Rate>)>,
}

/// What was said and written so far, read back at a restart: the fold of `incidents` and `alerts`.
#[derive(Debug, Default)]
pub struct Memory {}

impl Memory {
    /// Adds a record of `incidents`. A later one of the same id replaces an earlier one.
    pub fn incident(&mut self, _incident: Incident) {
        todo!()
    }
    /// Adds a record of `alerts`, in the order in which those of one enterprise were written.
    pub fn alert(&mut self, _alert: &Alert) {
        todo!()
    }
}

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Timely workers (threads). 1 is best on two cores.
    pub workers: usize,
}

/// The counted incidents, accounted for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accounts {
    /// Counted incidents.
    pub counted: u64,
    /// Of these, told to at least one enterprise.
    pub told: u64,
    /// Told to nobody, by reason.
    pub not_due: BTreeMap<Reason, u64>,
    /// The rest. Must be 0.
    pub unaccounted: u64,
}

/// Records and clock in, decisions out.
pub struct Engine {}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(_policies: Policies, _options: Options) -> Engine {
        todo!()
    }
    /// Takes records in without deciding: to rebuild at a restart, before [`Engine::resume`].
    /// Order does not matter here; several calls are fine. Returns the verdicts, which after a restart
    /// are of no use to anybody but a benchmark.
    pub fn load(&mut self, _arrivals: Vec<Arrival>) -> Vec<Verdict> {
        todo!()
    }
    /// Ends a rebuild at the clock of the last progress: desired minus emitted. The guard of the caller:
    /// the outcome must be silent ([`Outcome::silent`]), else something is missing or was changed.
    pub fn resume(&mut self, _memory: Memory, _clock: Option<Instant>) -> Outcome {
        todo!()
    }
    /// Takes a batch that arrives at `at`: first every missed midnight (a decision each), then the batch
    /// (one decision). An `at` before the clock is decided at the clock.
    pub fn arrive(&mut self, _at: Instant, _arrivals: Vec<Arrival>) -> Vec<Outcome> {
        todo!()
    }
    /// Ticks every midnight after the clock up to and including the one that begins `day`.
    pub fn tick_to(&mut self, _day: Day) -> Vec<Outcome> {
        todo!()
    }
    /// The decision clock; `None` before the first arrival or tick.
    pub fn clock(&self) -> Option<Instant> {
        todo!()
    }
    /// Every incident, `gone` ones too, sorted by id.
    pub fn incidents(&self) -> Vec<Incident> {
        todo!()
    }
    /// Every row of rates as of the clock's day, sorted by scope, key and window.
    pub fn rates(&self) -> Vec<Rate> {
        todo!()
    }
    /// The counted incidents, accounted for.
    pub fn accounts(&self) -> Accounts {
        todo!()
    }
    /// The number that the next new incident will get.
    pub fn next_incident(&self) -> u32 {
        todo!()
    }
}

impl Outcome {
    /// Whether it says nothing: no alert and no incident changed.
    pub fn silent(&self) -> bool {
        self.alerts.is_empty() && self.incidents.is_empty()
    }
}
