//! Each incident's messages in the order of their revisions, though they stand in different partitions.
//!
//! Revision r of an incident is handed out after revision r - 1 was; one that comes too early waits here. (Those
//! of an escalation all stand in one partition, so their order is that of the offsets.)
//!
//! # When the one before never comes
//! A commit that was acknowledged becomes visible everywhere, at the latest when the broker is well again. So
//! what does not come was lost from a topic that is kept for ever: an error, said with the incident. But the
//! people must hear what is known, and a fatal accident must not wait for a record that nobody will bring
//! back: after [`PATIENCE`] the message goes out without it. Should the earlier one come after all, it is handed
//! out too.
//!
//! # Memory
//! For each incident the last revision, 8 bytes; what lies before the worker's progress is read back at the start,
//! so an incident that was told long ago makes nobody wait. At most [`MOST_WAITING`] messages wait; beyond that
//! the one that waits longest goes out as if its time were over.

use std::collections::HashMap;
use std::time::{Duration, Instant as Monotonic};

use tocsin_schemas::codes::Rule;
use tocsin_schemas::ids::IncidentId;
use tocsin_schemas::records::Alert;

use super::merge::Read;

/// How long a message waits for the one before it. Markers of a transaction are written within milliseconds, and
/// within seconds when a broker's work has to be taken over by another.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How many messages may wait at once.
pub(crate) const MOST_WAITING: usize = 1_000;

/// Which revisions were handed out, and what waits for its turn.
pub(crate) struct Turns {
    /// The highest revision handed out of each incident.
    last: HashMap<IncidentId, u32>,
    /// In the order of their coming.
    waiting: Vec<Waiting>,
    patience: Duration,
    out_of_turn: u64,
}

struct Waiting {
    since: Monotonic,
    id: IncidentId,
    read: Read,
}

/// The incident whose order is kept, if this is a message of one.
fn incident(alert: &Alert) -> Option<IncidentId> {
    let numbered = alert.rule == Rule::OwnerIncident && alert.revision > 0;
    alert.case_no.parse().ok().filter(|_| numbered)
}

impl Turns {
    /// Nothing was handed out.
    pub fn new(patience: Duration) -> Turns {
        Turns { last: HashMap::new(), waiting: Vec::new(), patience, out_of_turn: 0 }
    }

    /// Takes note of an alert that was taken in before.
    pub fn before(&mut self, alert: &Alert) {
        if let Some(id) = incident(alert) {
            self.note(id, alert.revision);
        }
    }

    fn note(&mut self, id: IncidentId, revision: u32) {
        let last = self.last.entry(id).or_default();
        *last = revision.max(*last);
    }

    /// Whether the one before it was handed out. What was handed out itself, and is read again after a restart
    /// of the reading, passes too.
    fn turn(&self, id: IncidentId, revision: u32) -> bool {
        revision <= self.last.get(&id).map_or(1, |last| last + 1)
    }

    /// Of these, in this order, and of those that wait: what may go out now.
    pub fn in_turn(&mut self, reads: impl Iterator<Item = Read>, now: Monotonic) -> Vec<Read> {
        let mut out = Vec::new();
        for read in reads {
            match incident(&read.alert) {
                None => out.push(read),
                Some(id) if self.turn(id, read.alert.revision) => self.hand_out(id, read, &mut out),
                Some(id) => self.waiting.push(Waiting { since: now, id, read }),
            }
        }
        while let Some(first) = self.waiting.first() {
            let over = now.saturating_duration_since(first.since) >= self.patience;
            if !over && self.waiting.len() <= MOST_WAITING {
                break;
            }
            let id = first.id;
            self.go_without(id, over, &mut out);
        }
        out
    }

    /// Hands one out, and whatever waited for it.
    fn hand_out(&mut self, id: IncidentId, read: Read, out: &mut Vec<Read>) {
        self.note(id, read.alert.revision);
        out.push(read);
        while let Some(next) =
            self.waiting.iter().position(|w| w.id == id && self.turn(id, w.read.alert.revision))
        {
            let read = self.waiting.remove(next).read;
            self.note(id, read.alert.revision);
            out.push(read);
        }
    }

    /// Hands out the earliest one of this incident that waits, without those before it.
    fn go_without(&mut self, id: IncidentId, over: bool, out: &mut Vec<Read>) {
        let of_this = self.waiting.iter().enumerate().filter(|(_, w)| w.id == id);
        let Some((earliest, _)) = of_this.min_by_key(|(_, w)| w.read.alert.revision) else { return };
        let read = self.waiting.remove(earliest).read;
        self.out_of_turn += 1;
        tracing::error!(
            case_no = %read.alert.case_no,
            revision = read.alert.revision,
            last_seen = self.last.get(&id).copied().unwrap_or(0),
            alert_id = %read.alert.alert_id,
            waited_seconds = over.then_some(self.patience.as_secs()),
            "an earlier message of this incident is missing in alerts, which is kept for ever: this one goes out \
             without it; look whether records were lost"
        );
        self.hand_out(id, read, out);
    }

    /// The first offset of this partition that waits.
    pub fn first_waiting(&self, partition: u32) -> Option<u64> {
        self.waiting.iter().filter(|w| w.read.partition == partition).map(|w| w.read.offset).min()
    }

    /// How many were handed out although the one before them never came.
    pub fn out_of_turn(&self) -> u64 {
        self.out_of_turn
    }
}
