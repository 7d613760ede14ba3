//! The deliveries under way in this run: who is next in its thread, who waits for when, whose phone is
//! busy. Pure bookkeeping; what is due is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Bound;

use tocsin_schemas::records::{Delivery, DeliveryState};
use tocsin_schemas::time::Instant;

use super::gates::{Lane, Pass};
use crate::admission::Turn as Place;
use crate::channel::Outgoing;
use crate::decide::{self, Urgency};
use crate::gateways::Question;
use crate::ledger::{ThreadKey, terminal};

/// A request to make once the ledger says so.
pub(super) struct Send {
    /// Which delivery.
    pub seq: u64,
    /// What to ask of the gateway.
    pub errand: Errand,
    /// Its gateway's leave.
    pub pass: Pass,
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
    /// Its thread.
    pub thread: ThreadKey,
    /// The address that it is being sent to, while it is.
    sending_to: Option<String>,
    /// Grave news has passed it: it waits for an answer beside its thread.
    aside: bool,
    /// What takes its place has passed it.
    overtaken: bool,
    /// It was due while its gateway was not to be called, or while one before it had no answer: it waited.
    pub waited: bool,
    /// Where it waits for its gateway.
    parked: Option<(Lane, Place)>,
}

/// Where a delivery stands among others: in the order of the alerts.
pub(super) fn place(delivery: &Delivery) -> (Instant, String, u32, u32, String) {
    let decided = delivery.decided_at.unwrap_or(delivery.at);
    let (case, id) = (delivery.case_no.clone(), delivery.delivery_id.clone());
    (decided, case, delivery.episode, delivery.revision, id)
}

/// All of them, numbered in the order in which they were read.
pub(super) struct Board {
    entries: BTreeMap<u64, Entry>,
    next_seq: u64,
    /// For each thread its open deliveries in order; only the first may be sent.
    threads: HashMap<ThreadKey, Thread>,
    /// First of their thread, due, not being sent.
    ready: BTreeSet<u64>,
    /// The same, looked at: they wait for their gateways, the worst first.
    backlog: BTreeMap<Lane, BTreeSet<(Place, u64)>>,
    /// Those of them that have not waited at a gate that was shut.
    fresh: BTreeMap<Lane, BTreeSet<u64>>,
    /// First of their thread, due later.
    waiting: BTreeSet<(Instant, u64)>,
    busy: HashSet<String>,
    ids: HashMap<String, u64>,
}

#[derive(Default)]
struct Thread {
    queue: VecDeque<u64>,
    /// Those of it that were passed, and wait for an answer.
    aside: Vec<u64>,
}

impl Board {
    /// Nothing under way.
    pub fn new() -> Board {
        Board {
            entries: BTreeMap::new(),
            next_seq: 0,
            threads: HashMap::new(),
            ready: BTreeSet::new(),
            backlog: BTreeMap::new(),
            fresh: BTreeMap::new(),
            waiting: BTreeSet::new(),
            busy: HashSet::new(),
            ids: HashMap::new(),
        }
    }

    /// Adds a delivery at the end of its thread.
    pub fn add(&mut self, delivery: Delivery) {
        let seq = self.next_seq;
        self.next_seq += 1;
        let thread = ThreadKey::of(&delivery);
        let queue = &mut self.threads.entry(thread).or_default().queue;
        queue.push_back(seq);
        let first = queue[0];
        let supersedes = decide::supersedes(delivery.change);
        let overtakes = supersedes || delivery.urgency == Urgency::AtOnce;
        self.ids.insert(delivery.delivery_id.clone(), seq);
        let entry = Entry {
            delivery,
            thread,
            sending_to: None,
            aside: false,
            overtaken: false,
            waited: false,
            parked: None,
        };
        self.entries.insert(seq, entry);
        if supersedes {
            self.overtake_those_aside(thread);
        }
        if first == seq || overtakes {
            // The first is looked at again now: it may be overtaken.
            self.first_is_ready(thread);
            self.step_aside(first);
        }
    }

    /// An uncertain first one does not keep grave news waiting until its gateway has answered.
    fn step_aside(&mut self, seq: u64) {
        let Some(entry) = self.entries.get(&seq) else { return };
        let free = entry.delivery.state == DeliveryState::Uncertain && entry.sending_to.is_none();
        if !free || entry.aside || !self.grave_behind(seq) {
            return;
        }
        let thread = entry.thread;
        // Asked while it stands in its thread: what takes its place may be out when it has its answer. Not all that is grave
        // does: of two accidents each is told.
        let overtaken = self.superseded(seq);
        if let Some(entry) = self.entries.get_mut(&seq) {
            (entry.aside, entry.overtaken) = (true, overtaken);
        }
        if let Some(of) = self.threads.get_mut(&thread) {
            of.queue.retain(|&other| other != seq);
            of.aside.push(seq);
        }
        self.first_is_ready(thread);
    }

    /// What comes now takes the place of those that were passed before, too.
    fn overtake_those_aside(&mut self, thread: ThreadKey) {
        for seq in self.threads.get(&thread).map(|of| of.aside.clone()).unwrap_or_default() {
            if let Some(entry) = self.entries.get_mut(&seq) {
                entry.overtaken = true;
            }
        }
    }

    /// The first of a thread is looked at now. Where it must wait for the answer of one that was passed, grave news
    /// behind it does not wait with it.
    fn first_is_ready(&mut self, thread: ThreadKey) {
        let Some(queue) = self.threads.get(&thread).map(|of| &of.queue) else { return };
        let Some(&first) = queue.front() else { return };
        let entry = |seq: &u64| self.entries.get(seq);
        let waits = entry(&first).is_some_and(|e| e.sending_to.is_none() && self.must_know(e));
        let passes =
            |e: &Entry| e.delivery.urgency == Urgency::AtOnce && !decide::looks_back(e.delivery.change);
        let grave = queue.iter().position(|seq| entry(seq).is_some_and(passes)).filter(|_| waits);
        let Some(at) = grave else { return self.make_ready(first) };
        let Some(queue) = self.threads.get_mut(&thread).map(|of| &mut of.queue) else { return };
        let Some(seq) = queue.remove(at) else { return };
        let passed: Vec<u64> = queue.iter().take(at).copied().collect();
        queue.push_front(seq);
        if self.entries.get(&seq).is_some_and(|e| decide::supersedes(e.delivery.change)) {
            for other in passed {
                if let Some(entry) = self.entries.get_mut(&other) {
                    (entry.overtaken, entry.waited) = (true, true);
                }
            }
        }
        self.make_ready(seq);
    }

    /// Whether one that was passed still waits, and this one speaks of what was said: it must know.
    fn must_know(&self, entry: &Entry) -> bool {
        !entry.aside
            && decide::looks_back(entry.delivery.change)
            && self.threads.get(&entry.thread).is_some_and(|thread| !thread.aside.is_empty())
    }

    fn make_ready(&mut self, seq: u64) {
        if self.entries.get(&seq).is_some_and(|e| e.sending_to.is_some()) {
            return;
        }
        let Some(entry) = self.entries.get(&seq) else { return };
        if let Some(due) = entry.delivery.due_at {
            self.waiting.remove(&(due, seq));
        }
        // Looked at when the last one that was passed has its answer.
        if !self.must_know(entry) {
            self.unpark(seq);
            self.ready.insert(seq);
        }
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// One of them.
    pub fn get(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(&seq)
    }
    /// Whether a request to this address is being made.
    pub fn busy(&self, address: &str) -> bool {
        self.busy.contains(address)
    }
    /// The next one that is ready: it is to be looked at now.
    pub fn next_ready(&mut self) -> Option<u64> {
        self.ready.pop_first()
    }
    /// Whether one is ready.
    pub fn any_ready(&self) -> bool {
        !self.ready.is_empty()
    }
    /// It waits for its gateway.
    pub fn park(&mut self, seq: u64, lane: Lane, place: Place) {
        self.unpark(seq);
        let Some(entry) = self.entries.get_mut(&seq) else { return };
        self.backlog.entry(lane).or_default().insert((place.clone(), seq));
        if !entry.waited {
            self.fresh.entry(lane).or_default().insert(seq);
        }
        entry.parked = Some((lane, place));
    }
    /// Where any wait.
    pub fn lanes(&self) -> Vec<Lane> {
        self.backlog.keys().copied().collect()
    }
    /// The next one that waits in this lane, behind this one.
    pub fn parked_after(&self, lane: Lane, after: Option<&(Place, u64)>) -> Option<(Place, u64)> {
        let waiting = self.backlog.get(&lane)?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        waiting.range((from, Bound::Unbounded)).next().cloned()
    }
    fn unpark(&mut self, seq: u64) {
        let Some((lane, place)) = self.entries.get_mut(&seq).and_then(|entry| entry.parked.take()) else {
            return;
        };
        if let Some(waiting) = self.backlog.get_mut(&lane) {
            waiting.remove(&(place, seq));
        }
        if let Some(fresh) = self.fresh.get_mut(&lane) {
            fresh.remove(&seq);
        }
    }
    /// All that wait in this lane have waited for it.
    pub fn wait_at_gate(&mut self, lane: Lane) {
        for seq in self.fresh.remove(&lane).unwrap_or_default() {
            if let Some(entry) = self.entries.get_mut(&seq) {
                entry.waited = true;
            }
        }
    }
    /// When the next one is due that waits for a time.
    pub fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// Makes ready what is held for this reason, whenever it is due.
    pub fn look_at_held(&mut self, why: &str) {
        self.look_at_waiting(|delivery| delivery.reason.as_deref() == Some(why));
    }

    /// Makes ready what goes to the address with this hash, whenever it is due, and whether its gateway may be called or not.
    pub fn look_at_address(&mut self, address: &str) {
        let to_it = |delivery: &Delivery| delivery.address_hash.as_deref() == Some(address);
        self.look_at_waiting(to_it);
        let parked = self.backlog.values().flatten().map(|(_, seq)| *seq);
        let found: Vec<u64> =
            parked.filter(|seq| self.entries.get(seq).is_some_and(|e| to_it(&e.delivery))).collect();
        for seq in found {
            self.unpark(seq);
            self.ready.insert(seq);
        }
    }

    fn look_at_waiting(&mut self, of: impl Fn(&Delivery) -> bool) {
        let these = |seq: &u64| self.entries.get(seq).is_some_and(|e| of(&e.delivery));
        let found: Vec<(Instant, u64)> = self.waiting.iter().filter(|(_, seq)| these(seq)).copied().collect();
        for (due, seq) in found {
            self.waiting.remove(&(due, seq));
            self.ready.insert(seq);
        }
    }

    /// Makes ready what is due.
    pub fn wake(&mut self, now: Instant) {
        while let Some((due, seq)) = self.waiting.first().copied().filter(|(due, _)| *due <= now) {
            self.waiting.remove(&(due, seq));
            self.ready.insert(seq);
        }
    }

    /// Whether a later delivery of its thread takes its place.
    pub fn superseded(&self, seq: u64) -> bool {
        let Some(entry) = self.entries.get(&seq) else { return false };
        let Some(thread) = self.threads.get(&entry.thread) else { return false };
        if entry.overtaken {
            return true;
        }
        let later = thread.queue.iter().filter(|&&other| other > seq);
        later.filter_map(|other| self.entries.get(other)).any(|e| decide::supersedes(e.delivery.change))
    }

    /// Whether a later delivery of its thread may ring at any hour.
    pub fn grave_behind(&self, seq: u64) -> bool {
        let Some(thread) = self.entries.get(&seq).and_then(|e| self.threads.get(&e.thread)) else {
            return false;
        };
        let mut later = thread.queue.iter().filter(|&&other| other > seq);
        later.any(|other| self.entries.get(other).is_some_and(|e| e.delivery.urgency == Urgency::AtOnce))
    }

    /// Which entry is this delivery, and how it stands; `None` while a request for it is made.
    pub fn at_rest(&self, delivery_id: &str) -> Option<(u64, &Delivery)> {
        let seq = *self.ids.get(delivery_id)?;
        let entry = self.entries.get(&seq)?;
        entry.sending_to.is_none().then_some((seq, &entry.delivery))
    }

    /// It stands like this now, and waits as before.
    pub fn changed(&mut self, seq: u64, delivery: Delivery) {
        if let Some(entry) = self.entries.get_mut(&seq) {
            entry.delivery = delivery;
        }
    }

    /// It is held like this, until its `due_at`.
    pub fn hold(&mut self, seq: u64, delivery: Delivery) {
        self.ready.remove(&seq);
        self.unpark(seq);
        let Some(entry) = self.entries.get_mut(&seq) else { return };
        if let Some(due) = delivery.due_at {
            self.waiting.insert((due, seq));
        }
        entry.delivery = delivery;
    }

    /// It waits for this instant, which is its `due_at`.
    pub fn wait(&mut self, seq: u64, until: Instant) {
        self.ready.remove(&seq);
        self.unpark(seq);
        self.waiting.insert((until, seq));
    }

    /// Its request is about to be made.
    pub fn start(&mut self, seq: u64, delivery: Delivery, address: String) {
        self.ready.remove(&seq);
        self.unpark(seq);
        if let Some(entry) = self.entries.get_mut(&seq) {
            self.busy.insert(address.clone());
            entry.delivery = delivery;
            entry.sending_to = Some(address);
        }
    }

    /// Its request is over, and it stands like this now.
    pub fn settle(&mut self, seq: u64, delivery: Delivery) {
        self.unpark(seq);
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
        self.step_aside(seq);
    }

    /// It has ended: the next one of its thread comes first.
    pub fn remove(&mut self, seq: u64) -> Option<Entry> {
        self.unpark(seq);
        let entry = self.entries.remove(&seq)?;
        self.ids.remove(&entry.delivery.delivery_id);
        self.ready.remove(&seq);
        if let Some(due) = entry.delivery.due_at {
            self.waiting.remove(&(due, seq));
        }
        if let Some(address) = &entry.sending_to {
            self.busy.remove(address);
        }
        if let Some(thread) = self.threads.get_mut(&entry.thread) {
            thread.queue.retain(|&other| other != seq);
            thread.aside.retain(|&other| other != seq);
            match thread.queue.is_empty() {
                false => self.first_is_ready(entry.thread),
                true if thread.aside.is_empty() => drop(self.threads.remove(&entry.thread)),
                true => {}
            }
        }
        Some(entry)
    }
}
