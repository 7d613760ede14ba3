//! Admission control: whether a gateway may be called now. One [`Admission`] for each gateway (which is one account),
//! so that none of them waits for another.
//!
//! | what | from | why |
//! |---|---|---|
//! | rate | `calls_per_minute` of its [`Limits`]: a token bucket | DingTalk's robot is silent for 10 minutes after 20 |
//! | back-off | `Retry-After`, and a used-up window of the whole robot | it said when to come back |
//! | requests under way | `max_in_flight` | a slow gateway takes no more sockets than these |
//! | circuit breaker | outcomes | a gateway that is down is not called for each message that waits |
//!
//! Questions (what became of a message?) have places, a rate and a breaker of their own and never take a place of a
//! send; while sends are held because the gateway does not answer, none is asked.
//!
//! Everything here is a function of state, outcome and the time that is handed in ([`Tick`]): no clock, no sleep, no
//! task. Whoever calls it waits. When to try a *message* again, and when to give it up, is
//! [`crate::decide`]'s: an attempt that is not permitted is no attempt.

mod breaker;
mod bucket;
mod class;
mod turn;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tocsin_schemas::time::Instant;

pub use breaker::{Because, BreakerSettings};
pub use class::Asked;
pub use turn::Turn;

use crate::channel::{Outcome, OutcomeReason};
use crate::gateways::{Limits, Profile, SharedStanding, Told};
use breaker::{Breaker, Gate, Pass, Signal, Turned};
use bucket::Bucket;

/// Time since some beginning that is the same for all calls, by a clock that is never set back.
pub type Tick = Duration;

/// How a gateway is treated, besides its published limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionSettings {
    /// Requests under way; `None`: the gateway's [`Limits::max_in_flight`].
    pub max_in_flight: Option<u32>,
    /// The longest that a gateway's word to wait is believed.
    pub longest_hold: Duration,
    /// The breaker of sends. That of questions has the same settings.
    pub breaker: BreakerSettings,
    /// Questions under way.
    pub max_questions: u32,
    /// Questions a minute, one at a time.
    pub questions_per_minute: u32,
    /// How long a request may take: after this whoever waits for a place looks again.
    pub look_again: Duration,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        AdmissionSettings {
            max_in_flight: None,
            longest_hold: Duration::from_secs(3600),
            breaker: BreakerSettings::default(),
            max_questions: 2,
            questions_per_minute: 60,
            look_again: Duration::from_secs(10),
        }
    }
}

/// Whether a request may go.
#[derive(Debug)]
pub enum Permit {
    /// Now. The ticket takes what comes of it.
    Go(Ticket),
    /// Not before this; nothing was taken.
    NotBefore(Tick, Wait),
}

/// Why a request has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// As many are under way as may be: until one of them is done, too.
    Full,
    /// The published rate.
    Rate,
    /// The gateway said when to come back.
    Hold(OutcomeReason),
    /// The breaker is open.
    Open(Because),
    /// Its probes are under way: until one of them is done, too.
    Probing(Because),
}

impl Wait {
    /// The name in logs and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Wait::Full => "full",
            Wait::Rate => "rate",
            Wait::Hold(_) => "hold",
            Wait::Open(Because { account: true, .. }) => "account",
            Wait::Open(_) => "open",
            Wait::Probing(_) => "probing",
        }
    }
}

/// How a gateway stands, for metrics and pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Why its breaker is not closed.
    pub open: Option<Because>,
    /// Why no question is asked.
    pub questions_open: Option<Because>,
    /// Until when it is not called because of a `Retry-After`, on the clock of [`Ticket::done`]. May be over.
    pub held_until: Option<Instant>,
    /// The same, because a window of its calls is used up.
    pub window_until: Option<Instant>,
    /// Sends under way.
    pub in_flight: u32,
    /// Questions under way.
    pub questions_in_flight: u32,
    /// How often the breaker opened because the gateway did not answer.
    pub opened: u64,
    /// How often because our account was refused.
    pub opened_by_account: u64,
    /// Requests that went as probes.
    pub probes: u64,
    /// Questions that were refused.
    pub questions_refused: u64,
}

/// Whether one gateway may be called now. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    gateway: &'static str,
    limits: Limits,
    settings: AdmissionSettings,
    standing: SharedStanding,
    state: Mutex<State>,
}

/// One of sends, one of questions.
#[derive(Debug)]
struct Lane {
    breaker: Breaker,
    bucket: Bucket,
    under_way: u32,
    most: u32,
}

/// Nobody is to call before this is over.
#[derive(Debug)]
struct Hold {
    until: Tick,
    wall: Instant,
    reason: OutcomeReason,
}

#[derive(Debug)]
struct State {
    sends: Lane,
    questions: Lane,
    /// A `Retry-After`.
    hold: Option<Hold>,
    /// A used-up window.
    window: Option<Hold>,
    report: Report,
}

impl Admission {
    /// That of a gateway with this profile.
    pub fn new(profile: &Profile, settings: AdmissionSettings) -> Admission {
        let limits = profile.limits;
        let lane = |bucket, most: u32| Lane {
            breaker: Breaker::new(settings.breaker),
            bucket,
            under_way: 0,
            most: most.max(1),
        };
        let most = settings.max_in_flight.unwrap_or(limits.max_in_flight);
        let state = State {
            sends: lane(Bucket::per_minute(limits.calls_per_minute), most),
            questions: lane(Bucket::spread(settings.questions_per_minute), settings.max_questions),
            hold: None,
            window: None,
            report: Report::default(),
        };
        let (gateway, standing) = (profile.name, SharedStanding::default());
        Admission(Arc::new(Shared { gateway, limits, settings, standing, state: Mutex::new(state) }))
    }

    /// Whether the gateway has ever said yes, for its client
    /// ([`with_standing`](crate::gateways::send::Post::with_standing)) and for whoever reads the ledger back.
    pub fn standing(&self) -> &SharedStanding {
        &self.0.standing
    }

    /// Whether a message may be sent now. The caller offers the next one of its backlog ([`Turn`]).
    pub fn permit(&self, now: Tick) -> Permit {
        let mut state = self.0.lock();
        if let Some((until, wait)) = state.held(now) {
            return Permit::NotBefore(until, wait);
        }
        let look_again = now + self.0.settings.look_again;
        match state.sends.enter(now, look_again) {
            Err((until, wait)) => Permit::NotBefore(until, wait),
            Ok(pass) => {
                state.report.probes += u64::from(pass.probe);
                Permit::Go(Ticket(Some(Open { shared: Arc::clone(&self.0), pass, question: false })))
            }
        }
    }

    /// Whether a question may be asked now.
    pub fn permit_question(&self, now: Tick) -> Permit {
        let mut state = self.0.lock();
        if let Some((until, wait)) = state.held(now).or_else(|| state.down(now)) {
            return Permit::NotBefore(until, wait);
        }
        let look_again = now + self.0.settings.look_again;
        match state.questions.enter(now, look_again) {
            Err((until, wait)) => Permit::NotBefore(until, wait),
            Ok(pass) => Permit::Go(Ticket(Some(Open { shared: Arc::clone(&self.0), pass, question: true }))),
        }
    }

    /// Whether no message may be sent now, whatever its turn, but for the rate; and then not before which instant. Takes
    /// nothing.
    pub fn closed(&self, now: Tick) -> Option<(Tick, Wait)> {
        let mut state = self.0.lock();
        let held = state.held(now);
        held.or_else(|| state.sends.closed(now, now + self.0.settings.look_again))
    }

    /// The same of questions.
    pub fn questions_closed(&self, now: Tick) -> Option<(Tick, Wait)> {
        let mut state = self.0.lock();
        let held = state.held(now).or_else(|| state.down(now));
        held.or_else(|| state.questions.closed(now, now + self.0.settings.look_again))
    }

    /// Whether nothing but places and rate keeps messages back: no hold, and its breaker is closed.
    pub fn serves(&self, now: Tick) -> bool {
        let state = self.0.lock();
        state.held(now).is_none() && state.sends.breaker.because().is_none()
    }

    /// Where the breaker of sends is not closed: why, and for how long, the looks whether it answers again included.
    pub fn away(&self, now: Tick) -> Option<(Because, Duration)> {
        let state = self.0.lock();
        let breaker = &state.sends.breaker;
        breaker.because().map(|because| (because.clone(), breaker.away(now)))
    }

    /// The gateway.
    pub fn gateway(&self) -> &'static str {
        self.0.gateway
    }

    /// How it stands.
    pub fn report(&self) -> Report {
        let state = self.0.lock();
        Report {
            open: state.sends.breaker.because().cloned(),
            questions_open: state.questions.breaker.because().cloned(),
            held_until: state.hold.as_ref().map(|hold| hold.wall),
            window_until: state.window.as_ref().map(|hold| hold.wall),
            in_flight: state.sends.under_way,
            questions_in_flight: state.questions.under_way,
            ..state.report.clone()
        }
    }
}

impl State {
    /// The gateway said when to come back.
    fn held(&self, now: Tick) -> Option<(Tick, Wait)> {
        let holds = [&self.hold, &self.window].into_iter().flatten();
        let hold = holds.filter(|hold| now < hold.until).max_by_key(|hold| hold.until)?;
        Some((hold.until, Wait::Hold(hold.reason.clone())))
    }

    /// A gateway that does not answer is not asked either. One that refuses to send (no balance) may still answer.
    fn down(&self, now: Tick) -> Option<(Tick, Wait)> {
        let (until, because) = self.sends.breaker.shut(now).filter(|(_, because)| !because.account)?;
        Some((until, Wait::Open(because.clone())))
    }
}

impl Lane {
    fn closed(&mut self, now: Tick, look_again: Tick) -> Option<(Tick, Wait)> {
        self.pass(now, look_again).err()
    }

    fn pass(&mut self, now: Tick, look_again: Tick) -> Result<Pass, (Tick, Wait)> {
        let pass = match self.breaker.gate(now) {
            Gate::Shut(until, because) => return Err((until, Wait::Open(because))),
            Gate::Probing(because) => return Err((look_again, Wait::Probing(because))),
            Gate::Pass(pass) => pass,
        };
        match self.under_way >= self.most {
            true => Err((look_again, Wait::Full)),
            false => Ok(pass),
        }
    }

    /// The place is taken last: whoever has to wait has taken nothing.
    fn enter(&mut self, now: Tick, look_again: Tick) -> Result<Pass, (Tick, Wait)> {
        let pass = self.pass(now, look_again)?;
        self.bucket.take(now).map_err(|until| (until, Wait::Rate))?;
        self.breaker.start(pass);
        self.under_way += 1;
        Ok(pass)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked in between left counters, no half-done work.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn said(&self, turned: &Turned, now: Tick, questions: bool) {
        let gateway = self.gateway;
        match turned {
            Turned::Closed => tracing::info!(gateway, questions, "the gateway answers again"),
            Turned::Opened { until, because } => {
                let (reason, seconds) = (&*because.reason, until.saturating_sub(now).as_secs());
                if because.account && questions {
                    tracing::error!(
                        gateway,
                        reason,
                        seconds,
                        "the gateway refuses to be asked by our account: messages go out, and receipts that were lost stay \
                         unknown until its operator has acted; it is tried again after these seconds"
                    );
                } else if because.account {
                    tracing::error!(
                        gateway,
                        reason,
                        questions,
                        seconds,
                        "the gateway refuses our account: nothing is sent and nothing is lost until its operator has \
                         acted; it is tried again after these seconds"
                    );
                } else {
                    tracing::warn!(
                        gateway,
                        reason,
                        questions,
                        seconds,
                        "the gateway does not answer: it is left in peace for these seconds, then probed"
                    );
                }
            }
        }
    }
}

/// A request under way. Dropped without an outcome (its task was ended) it gives its place back and says nothing about
/// the gateway.
#[derive(Debug)]
#[must_use = "it holds one of the gateway's places until it is done or dropped"]
pub struct Ticket(Option<Open>);

#[derive(Debug)]
struct Open {
    shared: Arc<Shared>,
    pass: Pass,
    question: bool,
}

impl Ticket {
    /// Whether it is a probe of an open breaker.
    pub fn is_probe(&self) -> bool {
        self.0.as_ref().is_some_and(|open| open.pass.probe)
    }

    /// What came of a send, at this time by both clocks.
    pub fn done(mut self, outcome: &Outcome, now: Tick, wall: Instant) {
        let Some(open) = self.0.take() else { return };
        let shared = &open.shared;
        let heard = class::heard(outcome, &shared.limits, shared.settings.longest_hold, wall);
        let mut state = shared.lock();
        let free = state.held(now).is_none();
        // It serves us again, whatever it said before.
        if heard.yes {
            state.hold = None;
        }
        let mut begins = None;
        if let Some((wait, reason)) = heard.hold {
            let ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
            let hold = Hold { until: now + wait, wall: wall.plus_millis(ms), reason };
            begins = free.then(|| (hold.reason.clone(), wait.as_secs()));
            let known = if heard.window { &mut state.window } else { &mut state.hold };
            if known.as_ref().is_none_or(|known| known.until < hold.until) {
                *known = Some(hold);
            }
        }
        let turned = open.leave(&mut state, heard.signal, now);
        drop(state);
        if let Some((reason, seconds)) = begins {
            let (gateway, reason) = (shared.gateway, &*reason);
            tracing::warn!(
                gateway,
                reason,
                seconds,
                "the gateway said when to come back: nothing is sent for these seconds"
            );
        }
        if let Some(turned) = turned {
            shared.said(&turned, now, false);
        }
    }

    /// What came of a question, and what that is worth.
    pub fn answered(mut self, told: &Told, now: Tick) -> Asked {
        let asked = Asked::of(told);
        let Some(open) = self.0.take() else { return asked };
        let signal = match &asked {
            Asked::Answered | Asked::Refused { account: false, .. } => Signal::Alive,
            Asked::Unanswered { reason } => Signal::Down(reason.clone()),
            Asked::Refused { reason, account: true } => Signal::Barred(reason.clone()),
        };
        let mut state = open.shared.lock();
        state.report.questions_refused += u64::from(matches!(asked, Asked::Refused { .. }));
        let turned = open.leave(&mut state, signal, now);
        drop(state);
        if let Some(turned) = turned {
            open.shared.said(&turned, now, true);
        }
        asked
    }
}

impl Open {
    fn leave(&self, state: &mut State, signal: Signal, now: Tick) -> Option<Turned> {
        let lane = if self.question { &mut state.questions } else { &mut state.sends };
        lane.under_way = lane.under_way.saturating_sub(1);
        let turned = lane.breaker.done(self.pass, signal, now);
        if let Some(Turned::Opened { because, .. }) = &turned
            && !self.question
        {
            let counter = match because.account {
                true => &mut state.report.opened_by_account,
                false => &mut state.report.opened,
            };
            *counter += 1;
        }
        turned
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        let mut state = open.shared.lock();
        let lane = if open.question { &mut state.questions } else { &mut state.sends };
        lane.under_way = lane.under_way.saturating_sub(1);
        lane.breaker.dropped(open.pass);
    }
}

#[cfg(test)]
mod tests;
