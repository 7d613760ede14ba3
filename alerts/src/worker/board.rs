//! The deliveries under way in this run: who is next in its thread, who waits for when, whose phone is
//! busy. Pure bookkeeping; what is due is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tocsin_schemas::records::{Alert, Delivery, Offset};
use tocsin_schemas::time::Instant;

use super::alerts_offset;
use crate::channel::Outgoing;
use crate::decide::{self, Urgency};
use crate::gateways::Question;
use crate::ledger::{ThreadKey, terminal};
use crate::texts::Message;

/// A request to make once the ledger says so.
pub(super) struct Send {
    /// Which delivery.
    pub seq: u64,
    /// What to ask of the gateway.
    pub errand: Errand,
}

/// What a gateway is asked for.
pub(super) enum Errand {
    /// To send this.
    Send(Outgoing),
    /// To tell what became of this.
    Ask(Question),
}

/// One delivery under way.
pub(super) struct Entry {
    /// Its state as last recorded.
    pub delivery: Delivery,
    /// Its alert.
    pub alert: Arc<Alert>,
    /// Its words.
    pub message: Message,
    /// Its thread.
    pub thread: ThreadKey,
    /// When it may ring.
    pub urgency: Urgency,
    place: (u32, u64),
    /// The address that it is being sent to, while it is.
    sending_to: Option<String>,
}

/// All of them, numbered in the order in which their alerts were read.
pub(super) struct Board {
    entries: BTreeMap<u64, Entry>,
    next_seq: u64,
    /// For each thread its open deliveries in order; only the first may be sent.
    threads: HashMap<ThreadKey, VecDeque<u64>>,
    /// First of their thread, due, not being sent.
    ready: BTreeSet<u64>,
    /// First of their thread, due later.
    waiting: BTreeSet<(Instant, u64)>,
    busy: HashSet<String>,
    ids: HashSet<String>,
    /// How many open deliveries each alert (partition, offset) has.
    alerts: BTreeMap<(u32, u64), u32>,
    /// Threads whose first waits for the end of quiet hours or a holiday, and how many deliveries they hold up.
    held: HashSet<ThreadKey>,
    held_up: usize,
}

impl Board {
    /// Nothing under way.
    pub fn new() -> Board {
        Board {
            entries: BTreeMap::new(),
            next_seq: 0,
            threads: HashMap::new(),
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            busy: HashSet::new(),
            ids: HashSet::new(),
            alerts: BTreeMap::new(),
            held: HashSet::new(),
            held_up: 0,
        }
    }

    /// Adds a delivery at the end of its thread. One that is there already is left as it is (an alert
    /// that stands twice in the log is still one alert).
    pub fn add(
        &mut self,
        delivery: Delivery,
        alert: Arc<Alert>,
        message: Message,
        partition: u32,
        offset: u64,
    ) {
        if !self.ids.insert(delivery.delivery_id.clone()) {
            return;
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        let thread = ThreadKey::of(&delivery);
        let queue = self.threads.entry(thread).or_default();
        queue.push_back(seq);
        let first = queue[0];
        self.held_up += usize::from(self.held.contains(&thread));
        let urgency = decide::hold::urgency(&alert, delivery.role);
        let place = (partition, offset);
        let entry = Entry { delivery, alert, message, thread, urgency, place, sending_to: None };
        let overtakes = decide::supersedes(entry.alert.change) || urgency == Urgency::AtOnce;
        self.entries.insert(seq, entry);
        if first == seq || overtakes {
            // The first is looked at again now: it may be overtaken.
            self.make_ready(first);
        }
        *self.alerts.entry(place).or_default() += 1;
    }

    fn make_ready(&mut self, seq: u64) {
        if self.entries.get(&seq).is_some_and(|e| e.sending_to.is_some()) {
            return;
        }
        let Some(entry) = self.entries.get(&seq) else { return };
        let thread = entry.thread;
        if let Some(due) = entry.delivery.due_at {
            self.waiting.remove(&(due, seq));
        }
        self.release(thread);
        self.ready.insert(seq);
    }

    /// The first of this thread is not held any more.
    fn release(&mut self, thread: ThreadKey) {
        if self.held.remove(&thread) {
            self.held_up -= self.threads.get(&thread).map_or(0, VecDeque::len);
        }
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// How many of them wait for the end of quiet hours or a holiday, those behind them in their threads included.
    pub fn held_up(&self) -> usize {
        self.held_up
    }
    /// How many requests are being made.
    pub fn in_flight(&self) -> usize {
        self.busy.len()
    }
    /// One of them.
    pub fn get(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(&seq)
    }
    /// Whether a request to this address is being made.
    pub fn busy(&self, address: &str) -> bool {
        self.busy.contains(address)
    }
    /// The first one that is ready, from this number on.
    pub fn ready_from(&self, seq: u64) -> Option<u64> {
        self.ready.range(seq..).next().copied()
    }
    /// When the next one is due that waits for a time.
    pub fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// Makes ready what is due.
    pub fn wake(&mut self, now: Instant) {
        while let Some((due, seq)) = self.waiting.first().copied().filter(|(due, _)| *due <= now) {
            self.waiting.remove(&(due, seq));
            if let Some(thread) = self.entries.get(&seq).map(|e| e.thread) {
                self.release(thread);
            }
            self.ready.insert(seq);
        }
    }

    /// Whether a later delivery of its thread takes its place.
    pub fn superseded(&self, seq: u64) -> bool {
        let Some(queue) = self.entries.get(&seq).and_then(|e| self.threads.get(&e.thread)) else {
            return false;
        };
        let later = queue.iter().filter(|&&other| other > seq);
        later.filter_map(|other| self.entries.get(other)).any(|e| decide::supersedes(e.alert.change))
    }

    /// Whether a later delivery of its thread may ring at any hour.
    pub fn grave_behind(&self, seq: u64) -> bool {
        let Some(queue) = self.entries.get(&seq).and_then(|e| self.threads.get(&e.thread)) else {
            return false;
        };
        let mut later = queue.iter().filter(|&&other| other > seq);
        later.any(|other| self.entries.get(other).is_some_and(|e| e.urgency == Urgency::AtOnce))
    }

    /// It is held like this, until its `due_at`.
    pub fn hold(&mut self, seq: u64, delivery: Delivery) {
        self.ready.remove(&seq);
        let Some(entry) = self.entries.get_mut(&seq) else { return };
        let (thread, due) = (entry.thread, delivery.due_at);
        entry.delivery = delivery;
        if let Some(due) = due {
            self.waiting.insert((due, seq));
        }
        if self.held.insert(thread) {
            self.held_up += self.threads.get(&thread).map_or(0, VecDeque::len);
        }
    }

    /// It waits for this instant, which is its `due_at`.
    pub fn wait(&mut self, seq: u64, until: Instant) {
        self.ready.remove(&seq);
        self.waiting.insert((until, seq));
    }

    /// Its request is about to be made.
    pub fn start(&mut self, seq: u64, delivery: Delivery, address: String) {
        self.ready.remove(&seq);
        if let Some(entry) = self.entries.get_mut(&seq) {
            self.busy.insert(address.clone());
            entry.delivery = delivery;
            entry.sending_to = Some(address);
        }
    }

    /// Its request is over, and it stands like this now.
    pub fn settle(&mut self, seq: u64, delivery: Delivery) {
        let Some(entry) = self.entries.get_mut(&seq) else { return };
        if let Some(address) = entry.sending_to.take() {
            self.busy.remove(&address);
        }
        let (ended, due) = (terminal(delivery.state), delivery.due_at);
        entry.delivery = delivery;
        if ended {
            self.remove(seq);
            return;
        }
        self.ready.remove(&seq);
        match due {
            // Overtaken while it was being sent: looked at again now, not when its retry is due.
            Some(due) if !self.superseded(seq) => {
                self.waiting.insert((due, seq));
            }
            _ => {
                self.ready.insert(seq);
            }
        }
    }

    /// It has ended: the next one of its thread comes first.
    pub fn remove(&mut self, seq: u64) -> Option<Entry> {
        let entry = self.entries.remove(&seq)?;
        self.ids.remove(&entry.delivery.delivery_id);
        self.ready.remove(&seq);
        if let Some(due) = entry.delivery.due_at {
            self.waiting.remove(&(due, seq));
        }
        if let Some(address) = &entry.sending_to {
            self.busy.remove(address);
        }
        if let Some(queue) = self.threads.get_mut(&entry.thread) {
            queue.retain(|&other| other != seq);
            match queue.front() {
                Some(&first) => {
                    self.make_ready(first);
                }
                None => {
                    self.threads.remove(&entry.thread);
                }
            }
        }
        if let Some(left) = self.alerts.get_mut(&entry.place) {
            *left -= 1;
            if *left == 0 {
                self.alerts.remove(&entry.place);
            }
        }
        Some(entry)
    }

    /// The progress that may be written when alerts were taken in up to `taken_in`: in each partition not
    /// past the first alert with a delivery under way.
    pub fn held_back(&self, taken_in: &[Offset]) -> Vec<Offset> {
        let held = |o: &Offset| {
            let first = self.alerts.range((o.partition, 0)..=(o.partition, u64::MAX)).next();
            first.map_or(o.next, |((_, offset), _)| (*offset).min(o.next))
        };
        taken_in.iter().map(|o| alerts_offset(o.partition, held(o))).collect()
    }
}
