//! The gateways' admissions ([`crate::admission`]), as the senders of a worker share them: who may send or ask now, and
//! whose turn it is among them. Waiting is the senders' own: what is not permitted is no attempt, and writes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tocsin_schemas::time::Instant;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::admission::{Admission, Permit, Tick, Ticket, Turn as Place, Wait};
use crate::channel::Outcome;
use crate::channels::Channels;
use crate::clock::Clock;
use crate::gateways::Told;

/// Sends or questions of one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lane {
    pub gateway: &'static str,
    pub asks: bool,
    /// Of questions, those about what the gateway has accepted: behind all others.
    pub later: bool,
}

/// When to look at a lane again that is closed now. `None`: when [`Gates::freed`] says so.
pub(crate) type Again = Option<Instant>;

/// What each sender that waits at a lane would send next, and when it looks again.
type Fronts = BTreeMap<Lane, BTreeMap<u32, (Place, Again)>>;

/// One gate for each gateway.
pub(crate) struct Gates {
    admissions: BTreeMap<&'static str, Admission>,
    clock: Arc<dyn Clock>,
    /// What the clock said last, and how far it went forward since the beginning.
    ticks: Mutex<(Instant, Tick)>,
    freed: Notify,
    fronts: Mutex<Fronts>,
}

/// Leave to make one request. It gives its place back when it is dropped; without an outcome it says nothing about the
/// gateway.
pub(crate) struct Pass {
    gates: Arc<Gates>,
    ticket: Option<Ticket>,
}

impl Gates {
    /// Those of these channels. Where nothing was said about one, so many requests may be under way at a time.
    pub fn new(channels: &Channels, max_in_flight: usize, clock: Arc<dyn Clock>) -> Gates {
        let most = u32::try_from(max_in_flight).unwrap_or(u32::MAX);
        let admissions = channels.all().map(|channel| (channel.name(), channels.admission(&**channel, most)));
        Gates {
            admissions: admissions.collect(),
            ticks: Mutex::new((clock.now(), Tick::ZERO)),
            clock,
            freed: Notify::new(),
            fronts: Mutex::default(),
        }
    }

    /// The lane of a channel, if there is that channel.
    pub fn lane(&self, channel: &str, asks: bool) -> Option<Lane> {
        let (gateway, _) = self.admissions.get_key_value(channel)?;
        Some(Lane { gateway, asks, later: false })
    }

    /// The lane of questions about what this channel has accepted. They pass the same gate as all questions, when no other
    /// question waits there.
    pub fn later_questions(&self, channel: &str) -> Option<Lane> {
        self.lane(channel, true).map(|lane| Lane { later: true, ..lane })
    }

    /// The ledger knows that this gateway has said yes.
    pub fn prove(&self, channel: &str) {
        if let Some(admission) = self.admissions.get(channel) {
            admission.standing().prove();
        }
    }

    /// Returns when a place is free, or a turn is over, after it was enabled.
    pub fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// Whether nobody may pass now, and then when to look again. Takes nothing.
    pub fn closed(&self, lane: Lane) -> Option<Again> {
        let admission = self.admissions.get(lane.gateway)?;
        let (now, tick) = self.now();
        let (until, wait) = match lane.asks {
            true => admission.questions_closed(tick),
            false => admission.closed(tick),
        }?;
        Some(again(now, tick, until, &wait))
    }

    /// Whether nothing but places and rate keeps messages to this gateway back.
    pub fn serves(&self, gateway: &str) -> bool {
        let (_, tick) = self.now();
        self.admissions.get(gateway).is_some_and(|admission| admission.serves(tick))
    }

    /// Where the breaker of sends is not closed: whether our account is refused, and for how long.
    pub fn away(&self, gateway: &str) -> Option<(bool, Duration)> {
        let (_, tick) = self.now();
        let (because, away) = self.admissions.get(gateway)?.away(tick)?;
        Some((because.account, away))
    }

    /// Lets a sender's next one through, unless another sender has a worse or older one waiting, or nobody may pass.
    ///
    /// # Errors
    /// When to look again.
    pub fn enter(self: &Arc<Self>, lane: Lane, sender: u32, place: &Place) -> Result<Pass, Again> {
        let Some(admission) = self.admissions.get(lane.gateway) else { return Err(None) };
        let mut all = self.fronts();
        let (now, tick) = self.now();
        let ahead = all.get(&Lane { later: false, ..lane }).filter(|_| lane.later);
        let ahead = ahead.and_then(|fronts| fronts.values().next()).map(|(_, again)| *again);
        let fronts = all.entry(lane).or_default();
        if let Some(again) = ahead {
            let again = again.filter(|at| *at > now);
            fronts.insert(sender, (place.clone(), again));
            return Err(again);
        }
        let before = |(other, (front, _)): &(&u32, &(Place, Again))| **other != sender && front < place;
        if let Some((_, (_, again))) = fronts.iter().find(before) {
            // It may have that other's time by now, which then says so when it has passed.
            let again = again.filter(|at| *at > now);
            fronts.insert(sender, (place.clone(), again));
            return Err(again);
        }
        let permit = match lane.asks {
            true => admission.permit_question(tick),
            false => admission.permit(tick),
        };
        match permit {
            Permit::Go(ticket) => {
                fronts.remove(&sender);
                // Whoever let this one go first may be next.
                if !fronts.is_empty() {
                    self.freed.notify_waiters();
                }
                Ok(Pass { gates: Arc::clone(self), ticket: Some(ticket) })
            }
            Permit::NotBefore(until, wait) => {
                let again = again(now, tick, until, &wait);
                fronts.insert(sender, (place.clone(), again));
                Err(again)
            }
        }
    }

    /// A sender waits at a closed lane with this one.
    pub fn wait(&self, lane: Lane, sender: u32, place: Place, again: Again) {
        self.fronts().entry(lane).or_default().insert(sender, (place, again));
    }

    /// A sender has nothing more for this lane.
    pub fn leave(&self, lane: Lane, sender: u32) {
        let left = self.fronts().get_mut(&lane).is_some_and(|fronts| fronts.remove(&sender).is_some());
        if left {
            self.freed.notify_waiters();
        }
    }

    /// A sender stops.
    fn leave_all(&self, sender: u32) {
        for fronts in self.fronts().values_mut() {
            fronts.remove(&sender);
        }
        self.freed.notify_waiters();
    }

    fn fronts(&self) -> MutexGuard<'_, Fronts> {
        self.fronts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present by both clocks. A wall clock that is set back goes on from there: nothing waits longer for it.
    fn now(&self) -> (Instant, Tick) {
        let mut ticks = self.ticks.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let on = u64::try_from(now.0.saturating_sub(ticks.0.0)).unwrap_or(0);
        *ticks = (now, ticks.1 + Duration::from_millis(on));
        *ticks
    }
}

fn again(now: Instant, tick: Tick, until: Tick, wait: &Wait) -> Again {
    match wait {
        // Nobody knows when; whoever leaves says so.
        Wait::Full | Wait::Probing(_) => None,
        Wait::Rate | Wait::Hold(_) | Wait::Open(_) => {
            let left = until.saturating_sub(tick).as_nanos().div_ceil(1_000_000);
            Some(now.plus_millis(i64::try_from(left).unwrap_or(i64::MAX)))
        }
    }
}

impl Pass {
    /// What came of the send.
    pub fn done(mut self, outcome: &Outcome) {
        let (now, tick) = self.gates.now();
        if let Some(ticket) = self.ticket.take() {
            ticket.done(outcome, tick, now);
        }
    }

    /// What came of the question.
    pub fn answered(mut self, told: &Told) {
        let (_, tick) = self.gates.now();
        if let Some(ticket) = self.ticket.take() {
            // A question that is refused for good ends its delivery: [`crate::settle`].
            let _ = ticket.answered(told, tick);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // First free, then told: whoever is woken finds it.
        self.ticket = None;
        self.gates.freed.notify_waiters();
    }
}

/// A sender's place among the others, until it ends in whatever way.
pub(crate) struct Present<'a> {
    pub gates: &'a Gates,
    pub sender: u32,
}

impl Present<'_> {
    /// It sends nothing more.
    pub fn leave(&self) {
        self.gates.leave_all(self.sender);
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
