//! The alerts whose audiences are not all over: what holds the progress back. Pure bookkeeping.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tocsin_schemas::records::{Alert, Offset};
use tocsin_schemas::time::Instant;

use super::alerts_offset;
use crate::plan::told::ShareKey;

/// An alert under way.
pub(super) struct Promise {
    pub alert: Arc<Alert>,
    place: (u32, u64),
    /// When it is looked at again though nothing has moved.
    due: Option<Instant>,
}

/// All of them, numbered in the order in which they were read.
#[derive(Default)]
pub(super) struct Promises {
    by_seq: BTreeMap<u64, Promise>,
    next_seq: u64,
    by_share: HashMap<ShareKey, u64>,
    /// How many of each partition's offsets.
    places: BTreeMap<(u32, u64), u32>,
    ids: HashSet<String>,
    dues: BTreeSet<(Instant, u64)>,
}

impl Promises {
    /// Adds an alert. One that is there already (an alert that stands twice in the log is still one alert) is left.
    pub fn add(&mut self, alert: Arc<Alert>, place: (u32, u64)) -> Option<u64> {
        if !self.ids.insert(alert.alert_id.clone()) {
            return None;
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        for audience in &alert.audiences {
            self.by_share.insert(ShareKey::new(&alert, audience), seq);
        }
        *self.places.entry(place).or_default() += 1;
        self.by_seq.insert(seq, Promise { alert, place, due: None });
        Some(seq)
    }

    /// Whose share this is.
    pub fn of(&self, share: ShareKey) -> Option<u64> {
        self.by_share.get(&share).copied()
    }

    pub fn get(&self, seq: u64) -> Option<&Promise> {
        self.by_seq.get(&seq)
    }

    /// It waits until then, if for an instant at all.
    pub fn wait(&mut self, seq: u64, until: Option<Instant>) {
        let Some(promise) = self.by_seq.get_mut(&seq) else { return };
        if let Some(before) = promise.due {
            self.dues.remove(&(before, seq));
        }
        promise.due = until;
        self.dues.extend(until.map(|until| (until, seq)));
    }

    /// Those whose instant has come.
    pub fn due(&self, now: Instant) -> Vec<u64> {
        self.dues.range(..=(now, u64::MAX)).map(|(_, seq)| *seq).collect()
    }

    /// When the next one's comes.
    pub fn next_due(&self) -> Option<Instant> {
        self.dues.first().map(|(due, _)| *due)
    }

    /// How many wait for an answer or a receipt.
    pub fn waiting(&self) -> usize {
        self.dues.len()
    }

    /// It is over.
    pub fn remove(&mut self, seq: u64) {
        let Some(Promise { alert, place, due }) = self.by_seq.remove(&seq) else { return };
        if let Some(due) = due {
            self.dues.remove(&(due, seq));
        }
        self.ids.remove(&alert.alert_id);
        for audience in &alert.audiences {
            self.by_share.remove(&ShareKey::new(&alert, audience));
        }
        if let Some(left) = self.places.get_mut(&place) {
            *left -= 1;
            if *left == 0 {
                self.places.remove(&place);
            }
        }
    }

    /// The progress that may be written when alerts were taken in up to `taken_in`: in each partition not past the
    /// first alert that is not over.
    pub fn held_back(&self, taken_in: &[Offset]) -> Vec<Offset> {
        let held = |o: &Offset| {
            let first = self.places.range((o.partition, 0)..=(o.partition, u64::MAX)).next();
            first.map_or(o.next, |((_, offset), _)| (*offset).min(o.next))
        };
        taken_in.iter().map(|o| alerts_offset(o.partition, held(o))).collect()
    }
}
