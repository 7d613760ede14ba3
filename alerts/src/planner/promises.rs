//! The alerts whose audiences are not all over: what holds the progress back. Pure bookkeeping.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tocsin_schemas::records::{Alert, Offset};

use super::alerts_offset;
use crate::decide;
use crate::plan::told::{ConversationKey, ShareKey};

/// An alert under way.
pub(super) struct Promise {
    pub alert: Arc<Alert>,
    place: (u32, u64),
}

/// All of them, numbered in the order in which they were read.
#[derive(Default)]
pub(super) struct Promises {
    by_seq: BTreeMap<u64, Promise>,
    next_seq: u64,
    by_share: HashMap<ShareKey, u64>,
    conversations: HashMap<ConversationKey, Vec<u64>>,
    /// How many of each partition's offsets.
    places: BTreeMap<(u32, u64), u32>,
    ids: HashSet<String>,
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
            self.conversations.entry(ConversationKey::new(&alert, audience)).or_default().push(seq);
        }
        *self.places.entry(place).or_default() += 1;
        self.by_seq.insert(seq, Promise { alert, place });
        Some(seq)
    }

    /// Whose share this is.
    pub fn of(&self, share: ShareKey) -> Option<u64> {
        self.by_share.get(&share).copied()
    }

    pub fn get(&self, seq: u64) -> Option<&Promise> {
        self.by_seq.get(&seq)
    }

    /// Whether a later message of this conversation takes the place of this one.
    pub fn overtaken(&self, seq: u64, conversation: ConversationKey) -> bool {
        let later = self.conversations.get(&conversation).into_iter().flatten().filter(|other| **other > seq);
        later.filter_map(|other| self.by_seq.get(other)).any(|p| decide::supersedes(p.alert.change))
    }

    /// It is over.
    pub fn remove(&mut self, seq: u64) {
        let Some(Promise { alert, place }) = self.by_seq.remove(&seq) else { return };
        self.ids.remove(&alert.alert_id);
        for audience in &alert.audiences {
            self.by_share.remove(&ShareKey::new(&alert, audience));
            let of = ConversationKey::new(&alert, audience);
            if let Some(all) = self.conversations.get_mut(&of) {
                all.retain(|other| *other != seq);
                if all.is_empty() {
                    self.conversations.remove(&of);
                }
            }
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
