//! What a worker has done so far: for pages and metrics, and for whoever waits until it is done.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tocsin_schemas::records::{DeliveryState, Offset};
use tocsin_schemas::time::Instant;
use tokio::sync::watch;

/// A snapshot, published after the append that makes it true.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Alerts read since the start, those read again after a restart included.
    pub alerts_read: u64,
    /// Of these, decisions that nobody is told of: suppressed, or without audiences.
    pub alerts_silent: u64,
    /// Of these, messages that went out although an earlier one of their incident never came: must be 0.
    pub out_of_turn: u64,
    /// For each partition of `alerts`, the offset after the last one taken in.
    pub taken_in: Vec<Offset>,
    /// For each partition of `answers`, the offset after the last one that the planner has taken in.
    pub answers_planned: Vec<Offset>,
    /// The same of the senders that this worker has had since the start: of that one which is least far, and nothing as
    /// long as one has not said how far it is.
    pub answers_sent: Vec<Offset>,
    /// For each partition of `deliveries`, the offset after the last one that the planner has taken in.
    pub deliveries_planned: Vec<Offset>,
    /// The progress that is written: as `taken_in`, but held back before the first alert that still has a
    /// delivery under way.
    pub progress: Vec<Offset>,
    /// Deliveries under way: planned, or being sent, whichever worker sends them.
    pub open: usize,
    /// Of these, those that wait for the end of quiet hours or a holiday, and those behind them in their threads.
    pub held: usize,
    /// Corrections that the fuse holds, by alert.
    pub fused: usize,
    /// Alerts that went out and wait for a person's answer or a gateway's receipt.
    pub awaiting: usize,
    /// Senders of this worker that have read back their partitions, since the start.
    pub senders: usize,
    /// Deliveries that this worker's senders have in hand.
    pub in_hand: usize,
    /// When the next retry is due, if nothing is due now.
    pub next_due: Option<Instant>,
    /// Deliveries by state and reason (empty where there is none): of this run, and of earlier ones those whose cases came
    /// up again; where the log has no index, all of the ledger.
    pub deliveries: BTreeMap<(DeliveryState, String), u64>,
    /// Requests made since the start.
    pub requests: u64,
    /// Requests repeated because a stop came before their outcome, since the start; each with the same key.
    pub resent_in_flight: u64,
    /// Requests made once more at a gateway that knows no key and cannot be asked, as the configuration wants, since the
    /// start: each may ring a phone twice.
    pub resent_unknown: u64,
    /// Questions put to gateways about requests whose outcome nobody saw, and about what they accepted and of which no
    /// receipt came, since the start.
    pub questions: u64,
    /// Of the deliveries asked about, those whose fate the gateway told, since the start.
    pub settled: u64,
    /// Receipts that moved a delivery on, since the start.
    pub receipts: u64,
    /// Answers of persons that moved a delivery on, since the start.
    pub answers: u64,
    /// Messages that a gateway took back because they were wrong, since the start.
    pub recalled: u64,
    /// Contacts known.
    pub contacts: usize,
    /// Records of `registry.contacts` that could not be read, since the start.
    pub contacts_refused: u64,
    /// Silences in force.
    pub silences: usize,
    /// Requests to say after all what failed that were looked at, of earlier runs too.
    pub retries_seen: usize,
    /// Governance events that could not be read, or silences that say something wrong, since the start.
    pub silences_refused: u64,
}

impl Stats {
    /// Whether every alert before these offsets was taken in and nothing is under way, but what is held until a
    /// morning or a workday. Never before the worker has read back its state.
    pub fn settled(&self, up_to: &[Offset]) -> bool {
        self.open == self.held && reached(&self.taken_in, up_to)
    }

    /// Whether every answer before these offsets (of the topic `answers`) was taken in by the planner and by the senders, and
    /// every delivery before the others (of `deliveries`) by the planner. What that led to is in the log, but what waits
    /// for the outcome of a request: a planner may pass an answer on, a sender's word may make it plan. So ask again for the
    /// new ends. Of a worker whose roles another one has taken over it says nothing.
    pub fn heard(&self, answers: &[Offset], deliveries: &[Offset]) -> bool {
        reached(&self.answers_planned, answers)
            && reached(&self.answers_sent, answers)
            && reached(&self.deliveries_planned, deliveries)
    }

    /// Deliveries in this state, whatever the reason.
    pub fn in_state(&self, state: DeliveryState) -> u64 {
        self.deliveries.iter().filter(|((s, _), _)| *s == state).map(|(_, n)| n).sum()
    }
}

fn reached(have: &[Offset], want: &[Offset]) -> bool {
    want.iter().all(|want| {
        let here = |have: &&Offset| have.topic == want.topic && have.partition == want.partition;
        have.iter().find(here).is_some_and(|have| have.next >= want.next)
    })
}

/// What the sender of one partition has done since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct OfSender {
    pub requests: u64,
    pub resent_in_flight: u64,
    pub resent_unknown: u64,
    pub questions: u64,
    pub settled: u64,
    pub receipts: u64,
    pub answers: u64,
    pub recalled: u64,
    pub answered_to: Vec<Offset>,
    pub next_due: Option<Instant>,
    pub in_hand: usize,
}

/// Where the roles of a worker bring their figures together.
pub(crate) struct Hub {
    stats: watch::Sender<Stats>,
    senders: Mutex<BTreeMap<u32, OfSender>>,
}

impl Hub {
    pub fn new() -> Hub {
        Hub { stats: watch::Sender::new(Stats::default()), senders: Mutex::default() }
    }

    pub fn subscribe(&self) -> watch::Receiver<Stats> {
        self.stats.subscribe()
    }

    /// Changes what the planner says. Whoever waits looks again.
    pub fn change(&self, with: impl FnOnce(&mut Stats)) {
        self.stats.send_modify(with);
    }

    /// Changes what a sender says.
    pub fn of_sender(&self, partition: u32, with: impl FnOnce(&mut OfSender)) {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        with(senders.entry(partition).or_default());
        self.stats.send_modify(|stats| {
            let sum = |of: fn(&OfSender) -> u64| senders.values().map(of).sum();
            stats.requests = sum(|s| s.requests);
            stats.resent_in_flight = sum(|s| s.resent_in_flight);
            stats.resent_unknown = sum(|s| s.resent_unknown);
            stats.questions = sum(|s| s.questions);
            stats.settled = sum(|s| s.settled);
            stats.receipts = sum(|s| s.receipts);
            stats.answers = sum(|s| s.answers);
            stats.recalled = sum(|s| s.recalled);
            stats.senders = senders.len();
            stats.answers_sent = least(senders.values().map(|s| &s.answered_to));
            stats.in_hand = senders.values().map(|s| s.in_hand).sum();
            stats.next_due = senders.values().filter_map(|s| s.next_due).min();
        });
    }
}

/// Of each place the least offset that any of these has; nothing if one has none.
fn least<'a>(all: impl Iterator<Item = &'a Vec<Offset>> + Clone) -> Vec<Offset> {
    if all.clone().any(Vec::is_empty) {
        return Vec::new();
    }
    let mut least: Vec<Offset> = Vec::new();
    for offset in all.flatten() {
        match least.iter_mut().find(|o| o.topic == offset.topic && o.partition == offset.partition) {
            Some(known) => known.next = known.next.min(offset.next),
            None => least.push(offset.clone()),
        }
    }
    least
}

/// Waits until the worker has [`Stats::settled`] everything before `up_to` (offsets of the topic `alerts`,
/// such as its committed ends). Retries may keep it waiting for hours: bound it where that matters.
///
/// # Errors
/// The worker ended before.
pub async fn settled(
    stats: &mut watch::Receiver<Stats>,
    up_to: &[Offset],
) -> Result<Stats, watch::error::RecvError> {
    stats.wait_for(|stats| stats.settled(up_to)).await.map(|stats| stats.clone())
}
