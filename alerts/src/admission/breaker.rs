//! A circuit breaker: a gateway that does not answer, or refuses our account, is left in peace and looked at again
//! now and then. Pure: what came and when, in; what may go, out.
//!
//! ```text
//!            failures in a row, or one refusal of the account
//!   closed ───────────────────────────────────────────────────> open
//!     ^                                                          │ its time is over
//!     │ one probe is answered                                    v
//!     └──────────────────────────────────────────────────── half open ──> open, for twice as long
//!                                                                  every probe of the round failed
//! ```
//!
//! A round has more than one probe, each another message, because they are under way together: one message that
//! the gateway breaks on cannot hold the others back.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};

use super::Tick;
use crate::channel::OutcomeReason;

/// When to open, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// It opens after so many requests in a row without the gateway's own answer.
    pub failures: u32,
    /// For so long at first; twice as long after each round of probes that failed. Spread: up to twice this.
    pub first_open: Duration,
    /// But no longer than this, before it is spread.
    pub longest_open: Duration,
    /// Where our account is refused: for so long each time. It is the operator who ends it.
    pub account_open: Duration,
    /// Probes of a round.
    pub probes: u32,
    /// What the spread is drawn from: the same seed, the same delays.
    pub seed: u64,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        BreakerSettings {
            failures: 5,
            first_open: Duration::from_secs(10),
            longest_open: Duration::from_secs(150),
            account_open: Duration::from_secs(300),
            probes: 2,
            seed: 0,
        }
    }
}

/// Why it is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Because {
    /// Whether our account is refused (balance, key, permission, address): the operator acts. Else the gateway does
    /// not answer.
    pub account: bool,
    /// The last outcome's reason: from a bounded list.
    pub reason: OutcomeReason,
}

/// What an outcome says about the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signal {
    /// It answered in its own words, a no to one message included.
    Alive,
    /// It did not.
    Down(OutcomeReason),
    /// It answered that it will not serve us.
    Barred(OutcomeReason),
}

/// What may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gate {
    /// A request; as a probe if so.
    Pass(Pass),
    /// Nothing before this.
    Shut(Tick, Because),
    /// Nothing before a probe that is under way has ended.
    Probing(Because),
}

/// Which time of the breaker's life a request belongs to: what comes of one that began before it opened says nothing
/// of what is so after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pass {
    era: u64,
    pub(super) probe: bool,
}

/// What a signal changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turned {
    Opened { until: Tick, because: Because },
    Closed,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Tick, because: Because },
    HalfOpen { left: u32, under_way: u32, because: Because },
}

/// A breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    state: State,
    era: u64,
    /// Since when it is not closed.
    since: Option<Tick>,
    delays: <ExponentialBuilder as backon::BackoffBuilder>::Backoff,
}

impl Breaker {
    pub(super) fn new(settings: BreakerSettings) -> Breaker {
        let state = State::Closed { failures: 0 };
        Breaker { settings, state, era: 0, since: None, delays: delays(&settings, 0) }
    }

    /// What may go now. Does not change who is under way: [`Breaker::start`] does.
    pub(super) fn gate(&mut self, now: Tick) -> Gate {
        if let State::Open { until, because } = &self.state {
            if now < *until {
                return Gate::Shut(*until, because.clone());
            }
            let because = because.clone();
            self.enter(State::HalfOpen { left: self.settings.probes.max(1), under_way: 0, because });
        }
        match &self.state {
            State::HalfOpen { left: 0, because, .. } => Gate::Probing(because.clone()),
            State::HalfOpen { .. } => Gate::Pass(Pass { era: self.era, probe: true }),
            _ => Gate::Pass(Pass { era: self.era, probe: false }),
        }
    }

    /// A request goes, as the gate said.
    pub(super) fn start(&mut self, pass: Pass) {
        if let State::HalfOpen { left, under_way, .. } = &mut self.state
            && pass.era == self.era
        {
            *left = left.saturating_sub(1);
            *under_way += 1;
        }
    }

    /// What came of it.
    pub(super) fn done(&mut self, pass: Pass, signal: Signal, now: Tick) -> Option<Turned> {
        if pass.era != self.era {
            return self.late(signal, now);
        }
        match (&mut self.state, signal) {
            (State::Closed { failures }, Signal::Alive) => {
                *failures = 0;
                None
            }
            (State::HalfOpen { .. }, Signal::Alive) => {
                self.enter(State::Closed { failures: 0 });
                self.since = None;
                self.delays = delays(&self.settings, self.era);
                Some(Turned::Closed)
            }
            (State::Closed { failures }, Signal::Down(reason)) => {
                *failures += 1;
                let often = *failures >= self.settings.failures;
                often.then(|| self.open(Because { account: false, reason }, now))
            }
            (State::HalfOpen { left, under_way, .. }, Signal::Down(reason)) => {
                *under_way = under_way.saturating_sub(1);
                let over = *left == 0 && *under_way == 0;
                over.then(|| self.open(Because { account: false, reason }, now))
            }
            (_, Signal::Barred(reason)) => Some(self.open(Because { account: true, reason }, now)),
            // It opens into a new era, so nothing under way is of this one.
            (State::Open { .. }, _) => None,
        }
    }

    /// What came of a request that began before the last turn. That the account is refused is worth more than that
    /// nobody answers; anything else is old news.
    fn late(&mut self, signal: Signal, now: Tick) -> Option<Turned> {
        match (&self.state, signal) {
            (State::Open { because, .. }, Signal::Barred(reason)) if !because.account => {
                Some(self.open(Because { account: true, reason }, now))
            }
            _ => None,
        }
    }

    /// A request was given up without an outcome: its probe may be had again.
    pub(super) fn dropped(&mut self, pass: Pass) {
        if let State::HalfOpen { left, under_way, .. } = &mut self.state
            && pass.era == self.era
        {
            *left += 1;
            *under_way = under_way.saturating_sub(1);
        }
    }

    /// Until when nothing goes, and why.
    pub(super) fn shut(&self, now: Tick) -> Option<(Tick, &Because)> {
        match &self.state {
            State::Open { until, because } if now < *until => Some((*until, because)),
            _ => None,
        }
    }

    /// For how long it has not been closed.
    pub(super) fn away(&self, now: Tick) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// Why it is not closed.
    pub(super) fn because(&self) -> Option<&Because> {
        match &self.state {
            State::Closed { .. } => None,
            State::Open { because, .. } | State::HalfOpen { because, .. } => Some(because),
        }
    }

    fn open(&mut self, because: Because, now: Tick) -> Turned {
        let delay = match because.account {
            true => self.settings.account_open,
            // It has no end.
            false => self.delays.next().unwrap_or(self.settings.longest_open),
        };
        let until = now + delay;
        self.since.get_or_insert(now);
        self.enter(State::Open { until, because: because.clone() });
        Turned::Opened { until, because }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }
}

fn delays(settings: &BreakerSettings, era: u64) -> <ExponentialBuilder as backon::BackoffBuilder>::Backoff {
    ExponentialBuilder::new()
        .with_min_delay(settings.first_open)
        .with_max_delay(settings.longest_open)
        .with_factor(2.0)
        .without_max_times()
        .with_jitter()
        .with_jitter_seed(settings.seed.wrapping_add(era))
        .build()
}
