//! The engine: drives clock, dataflow and decider; what `src/` and the tests hold. How it takes another policy over
//! is in `adopt`, how it learns without deciding in `learn`; what is ranked for people who ask, in `rankings`.

mod adopt;
mod learn;
mod rankings;

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use tocsin_schemas::codes::Reason;
use tocsin_schemas::ids::{ReportKey, Uscc};
use tocsin_schemas::records::{Alert, Digest, Headcount, Incident, Listed, Rates, Record, Window};
use tocsin_schemas::time::{Day, Instant, Month};

pub(crate) use self::learn::Learnt;
use crate::dataflow::{Changes, Dataflow, Inputs};
use crate::decider::{Context, Decider, Recalled};
use crate::exposure::{self, Exposure};
use crate::facts::{Facts, Shared};
use crate::findings::{Finding, Loop, jumps};
use crate::incidents::Seen;
use crate::lists::{Asked, Before, Figured, Freeze, Lists, ListsChanged, ListsFound, Moved as Affected};
use crate::policy::Policies;
use crate::rates::{Figures, RatesChanged, Stamp};
use crate::registry::{Moved, Registry};
use crate::versions::{Replaced, Versions};
use crate::windows::{Calendar, Spans};

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

impl Verdict {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Accepted => "accepted",
            Verdict::Duplicate => "duplicate",
            Verdict::Stale => "stale",
            Verdict::Conflict => "conflict",
        }
    }
}

/// What made a decision fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A midnight.
    Midnight,
    /// A batch of arrivals.
    Batch,
    /// Another policy was taken over, while running or at a restart.
    Policy,
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
    /// Incidents as they now stand, if they changed; sorted by id, their reports as text.
    pub incidents: Vec<Incident>,
    /// Decisions, by rule, subject, revision. Suppressed ones are among them.
    pub alerts: Vec<Alert>,
    /// Rates that changed, in all windows.
    pub rates: RatesChanged,
    /// Entries of the lists of this year and the last that changed.
    pub lists: ListsChanged,
    /// What the clerk is shown of the records of this batch, in their order, or of this midnight. Nothing of it is
    /// written down: a decision that is taken again after a crash finds it again.
    pub findings: Vec<Finding>,
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
pub struct Engine {
    policies: Arc<Policies>,
    versions: Versions,
    registry: Registry,
    figures: Figures,
    decider: Decider,
    lists: Lists,
    /// Lists to freeze, with the decision that falls next.
    freezes: Vec<Freeze>,
    /// What the events that a rebuild brought asked for.
    asked: Asked,
    dataflow: Dataflow,
    workers: usize,
    clock: Option<Instant>,
    /// The day that register and windows stand at.
    active: Option<Day>,
    /// What a rebuild has brought so far.
    loaded: Changes,
    /// Whether rates are kept; else only what escalations and lists look at.
    rated: bool,
    /// What the headcounts of the batch in hand showed.
    findings: Vec<Finding>,
}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(policies: Policies, options: Options) -> Engine {
        let policies = Arc::new(policies);
        Engine {
            dataflow: Dataflow::new(options.workers, &policies),
            workers: options.workers,
            policies,
            versions: Versions::default(),
            registry: Registry::default(),
            figures: Figures::default(),
            decider: Decider::default(),
            lists: Lists::default(),
            freezes: Vec::new(),
            asked: Asked::default(),
            clock: None,
            active: None,
            loaded: Changes::default(),
            rated: true,
            findings: Vec::new(),
        }
    }

    /// An engine that takes the same decisions, has the same lists and keeps no rates: no rule reads any. For a
    /// backtest, which runs years of history twice.
    pub fn of_decisions(policies: Policies, options: Options) -> Engine {
        Engine { rated: false, ..Engine::new(policies, options) }
    }

    /// A rebuild begins: what had arrived by this clock, that of the last progress, comes through
    /// [`Engine::load`]; [`Engine::resume`] ends it.
    pub fn recover(&mut self, clock: Option<Instant>) {
        self.clock = clock;
    }

    /// Takes records in without deciding. Order does not matter here; several calls are fine, and fastest
    /// with the register in the first ones. Returns the verdicts. What the clerk was shown when these records
    /// arrived is not found again.
    pub fn load(&mut self, arrivals: impl IntoIterator<Item = Arrival>) -> Vec<Verdict> {
        let mut inputs = Inputs::default();
        let mut asked = std::mem::take(&mut self.asked);
        let arrivals = arrivals.into_iter().inspect(|arrival| {
            if let Record::Governance(event) = &arrival.record {
                asked.by(event);
            }
        });
        let verdicts = self.admit(arrivals, &mut inputs, None);
        self.asked = asked;
        // The register stands at its day from the start, else every incident would come twice: before its
        // enterprise was registered, and after. The windows stay empty until the end.
        if let Some(clock) = self.clock {
            feed(self.registry.advance(clock.day()), &mut inputs);
        }
        self.loaded.add(self.dataflow.run(inputs));
        // What was to be frozen was, or was refused, when it came; the lists that were written say so, or it was lost.
        self.freezes.clear();
        verdicts
    }

    /// Takes an entry of the lists back that was written before (topic `lists`, by its key; `None`: it was taken off),
    /// in the order in which it was written; before [`Engine::resume`].
    pub fn recall(&mut self, key: &str, listed: Option<Listed>) {
        self.lists.recall(key, listed);
    }

    /// What of the lists was taken back, for the guard of the caller; after everything was loaded and recalled, before
    /// [`Engine::resume`]. What is lost is not made again: a list that was frozen cannot be, and the others are compared
    /// with what was taken at midnights.
    pub fn lists_found(&self) -> ListsFound {
        self.lists.found(&self.asked)
    }

    /// How many records stand in the topic `lists`, with everything that was decided so far.
    pub fn lists_standing(&self) -> u32 {
        self.lists.standing()
    }

    /// Ends a rebuild: desired minus emitted, and what differs in the lists. The guard of the caller: the outcome must be silent
    /// ([`Outcome::silent`]), else something is missing or was changed.
    pub fn resume(&mut self, recalled: Recalled) -> Outcome {
        let other_policy =
            recalled.policy_hash.as_deref().is_some_and(|hash| hash != &**self.policies.hash());
        let occasion = if other_policy { Occasion::Policy } else { Occasion::Batch };
        self.decider.recall(recalled);
        let loaded = std::mem::take(&mut self.loaded);
        self.freezes = self.lists.recalled(&std::mem::take(&mut self.asked));
        match self.clock {
            Some(clock) => {
                let outcome = self.decide(occasion, clock, Inputs::default(), Some(loaded));
                Outcome { findings: Vec::new(), ..outcome }
            }
            None => Outcome::nothing(occasion, Instant(0)),
        }
    }

    /// Takes a batch that arrives at `at`: first every missed midnight (a decision each), then the batch
    /// (one decision). An `at` before the clock is decided at the clock. An empty batch moves the clock.
    pub fn arrive(&mut self, at: Instant, arrivals: impl IntoIterator<Item = Arrival>) -> Vec<Outcome> {
        let mut outcomes = self.tick_to(at.day());
        let clock = self.clock.map_or(at, |c| c.max(at));
        self.clock = Some(clock);
        let mut arrivals = arrivals.into_iter().peekable();
        if arrivals.peek().is_none() {
            return outcomes;
        }
        let mut inputs = Inputs::default();
        let factor = self.policies.on(clock.day()).quality.headcount_jump;
        let verdicts = self.admit(arrivals, &mut inputs, Some(factor).filter(|_| self.rated));
        let mut outcome = self.decide(Occasion::Batch, clock, inputs, None);
        outcome.verdicts = verdicts;
        outcomes.push(outcome);
        outcomes
    }

    /// Ticks every midnight after the clock up to and including the one that begins `day`. Before the first
    /// arrival there is no clock to tick.
    pub fn tick_to(&mut self, day: Day) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some(next) = self.clock.map(|c| c.day().plus(1)).filter(|next| *next <= day) {
            let midnight = next.midnight();
            if self.clock.is_some_and(|clock| midnight <= clock) {
                // The end of the calendar: no more midnights.
                break;
            }
            self.clock = Some(midnight);
            outcomes.push(self.decide(Occasion::Midnight, midnight, Inputs::default(), None));
        }
        outcomes
    }

    /// The decision clock; `None` before the first arrival.
    pub fn clock(&self) -> Option<Instant> {
        self.clock
    }

    /// Every incident, `gone` ones too, sorted by id.
    pub fn incidents(&self) -> Vec<Incident> {
        self.decider.incidents()
    }

    /// All rates as of the clock's day, sorted by scope and key. Empty before the first arrival; of no account in an
    /// engine of [`Engine::of_decisions`].
    pub fn rates(&self) -> Vec<Rates> {
        self.clock.map(|clock| self.figures.all(&self.stamp(clock))).unwrap_or_default()
    }

    fn stamp(&self, decided_at: Instant) -> Stamp {
        let as_of = decided_at.day();
        Stamp {
            as_of,
            decided_at,
            policy_hash: Arc::clone(self.policies.hash()),
            statistics: self.policies.on(as_of).statistics,
            model: self.lists.model(as_of).cloned(),
        }
    }

    /// The lists of the clock's year and the one before, sorted by key: each as a whole, and who is on it. Empty before
    /// the first arrival.
    pub fn lists(&self) -> Vec<Listed> {
        let Some(clock) = self.clock else { return Vec::new() };
        let stamp = self.stamp(clock);
        self.lists.all(&self.before(&stamp))
    }

    fn before<'a>(&'a self, stamp: &'a Stamp) -> Before<'a> {
        let limits = &self.policies.on(stamp.as_of).lists;
        Before { figures: &self.figures, registry: &self.registry, limits, stamp }
    }

    /// Brings the lists up to date with the figures; what changed.
    fn list(&mut self, stamp: &Stamp, moved: &Affected) -> ListsChanged {
        let limits = &self.policies.on(stamp.as_of).lists;
        let before = Before { figures: &self.figures, registry: &self.registry, limits, stamp };
        self.lists.settle(&before, moved, &std::mem::take(&mut self.freezes))
    }

    /// The counted incidents, accounted for.
    pub fn accounts(&self) -> Accounts {
        self.clock.map(|c| self.decider.accounts(&self.policies, c.day())).unwrap_or_default()
    }

    /// What happened at the enterprises from `from` to `to`, both included, and how many were insured there: as the
    /// register reads them on the clock's day. What a rate of those days, or an expected count, rests on.
    pub fn exposure(&self, from: Day, to: Day) -> Exposure {
        exposure::of(&self.versions, &self.registry, self.incidents(), from, to)
    }

    /// The loops of successions that stand, and are ignored while they do: what a restart tells, since the outcome
    /// in which each was found is past.
    pub fn loops(&self) -> Vec<Loop> {
        self.registry.loops().into_iter().collect()
    }

    /// The number that the next new incident will get.
    pub fn next_incident(&self) -> u32 {
        self.decider.next_number()
    }

    /// The policy that decides.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The door: versions are judged in the order of arrival; what stands goes into the dataflow. From this factor
    /// on a headcount is a jump; `None`: none is held against others.
    fn admit(
        &mut self,
        arrivals: impl Iterator<Item = Arrival>,
        inputs: &mut Inputs,
        factor: Option<u32>,
    ) -> Vec<Verdict> {
        self.versions.begin();
        let mut verdicts = Vec::with_capacity(arrivals.size_hint().0);
        for (place, Arrival { record, digest, arrived_at }) in arrivals.enumerate() {
            verdicts.push(match record {
                Record::Report(report) => {
                    let (verdict, replaced) = self.versions.report(&report, digest, arrived_at);
                    if let Some(Replaced { old, new }) = replaced {
                        let stands = |r: &Shared| r.stands();
                        inputs.reports.extend(old.filter(stands).map(|r| (r, -1)));
                        inputs.reports.extend(new.filter(stands).map(|r| (r, 1)));
                    }
                    verdict
                }
                Record::Enterprise(enterprise) => self.registry.take(enterprise, digest, place),
                Record::Headcount(headcount) => {
                    let (verdict, replaced) = self.versions.headcount(&headcount, digest);
                    if let Some(factor) = factor.filter(|_| replaced.is_some()) {
                        self.look_beside(&headcount, place, factor);
                    }
                    if let Some(Replaced { old, new }) = replaced {
                        let row = |insured| (headcount.uscc, (headcount.month, insured));
                        inputs.headcounts.extend(old.map(|insured| (row(insured), -1)));
                        inputs.headcounts.extend(new.map(|insured| (row(insured), 1)));
                    }
                    verdict
                }
                Record::Contact(contact) => self.versions.contact(&contact, digest),
                Record::Governance(event) => {
                    let verdict = self.versions.governance(&event, digest);
                    let accepted = verdict == Verdict::Accepted;
                    self.freezes.extend(Freeze::of(&event).filter(|_| accepted));
                    verdict
                }
            });
        }
        feed(self.registry.moved(), inputs);
        net(&mut inputs.reports);
        verdicts
    }

    /// Holds a headcount that stands now against those of the month before and, where it came late, the month after.
    fn look_beside(&mut self, headcount: &Headcount, arrival: usize, factor: u32) {
        let Headcount { uscc, month, insured, .. } = *headcount;
        let [earlier, later] = self.versions.headcounts_beside(uscc, month);
        let pairs = [(month, earlier, Some(insured)), (Month(month.0 + 1), Some(insured), later)];
        for (month, before, insured) in pairs {
            if let (Some(before), Some(insured)) = (before, insured)
                && jumps(insured, before, factor)
            {
                self.findings.push(Finding::HeadcountJump { uscc, month, insured, before, arrival });
            }
        }
    }

    /// One decision at the clock: moves the day where it must, runs the dataflow, and asks the decider.
    fn decide(
        &mut self,
        occasion: Occasion,
        decided_at: Instant,
        mut inputs: Inputs,
        rebuilt: Option<Changes>,
    ) -> Outcome {
        let as_of = decided_at.day();
        self.move_day(as_of, &mut inputs);
        let midnight = occasion == Occasion::Midnight;
        if midnight {
            inputs.census = self.lists.wants(as_of);
        }
        let mut touched: Vec<Uscc> = inputs.standing.iter().map(|((uscc, _), _)| *uscc).collect();
        let read_as: Vec<Uscc> = inputs.standing.iter().map(|((_, root), _)| *root).collect();
        let mut changes = self.dataflow.run(inputs);
        let resuming = rebuilt.is_some();
        if let Some(mut loaded) = rebuilt {
            loaded.add(changes);
            loaded.incidents = consolidated(loaded.incidents);
            changes = loaded;
        }
        let watched = Window::Rolling(self.policies.on(as_of).escalation.window_days);
        let shifted = |root| touched.push(root);
        let moves = self.figures.apply(changes.totals, changes.sums, watched, shifted);
        if midnight {
            self.lists.midnight(&self.figures, as_of, changes.census);
        }
        // With the model of this midnight, if it is one that takes it.
        let stamp = self.stamp(decided_at);
        let mut rates = RatesChanged::default();
        if self.rated {
            rates = self.figures.changes(moves.rates, moves.scopes, &stamp);
        }
        let context = Context {
            occasion,
            decided_at,
            as_of,
            policies: &self.policies,
            versions: &self.versions,
            registry: &self.registry,
            figures: &self.figures,
        };
        let said = self.decider.decide(changes.incidents, touched, resuming, &context);
        // Another year, and another table of the policy, may be anybody's.
        let yesterday = self.policies.on(as_of.plus(-1)).effective_from;
        let turned = as_of.date().day_of_year() == 1 || self.policies.on(as_of).effective_from != yesterday;
        let figured = Figured { years: moves.years, also: read_as };
        let moved = match midnight {
            _ if resuming || midnight && turned => Affected::All,
            true => Affected::Compared(&figured),
            false => Affected::These(&figured),
        };
        let lists = self.list(&stamp, &moved);
        let mut findings = std::mem::take(&mut self.findings);
        findings.extend(self.registry.found());
        findings.sort_by(|a, b| (a.arrival(), a).cmp(&(b.arrival(), b)));
        Outcome {
            occasion,
            decided_at,
            verdicts: Vec::new(),
            incidents: said.incidents,
            alerts: said.alerts,
            rates,
            lists,
            findings,
        }
    }

    /// Brings register and windows to a day. Does nothing if they are there.
    fn move_day(&mut self, as_of: Day, inputs: &mut Inputs) {
        if self.active == Some(as_of) {
            return;
        }
        feed(self.registry.advance(as_of), inputs);
        let spans = |day: Day| {
            let (policy, rated) = (self.policies.on(day), self.rated);
            let all = Spans::of_days(policy, day);
            if rated { all } else { all.for_decisions(policy) }
        };
        for (day, old, new) in self.active.map(spans).unwrap_or_default().moved(&spans(as_of)) {
            let sides = [(old, -1), (new, 1)].into_iter().filter(|(marks, _)| !marks.is_empty());
            inputs.days.extend(sides.map(|(marks, diff)| ((Day(day), marks), diff)));
        }
        let calendar = Calendar::of(as_of);
        let decisive = || calendar.for_decisions(self.policies.on(as_of));
        inputs.today = Some(if self.rated { calendar } else { decisive() });
        self.active = Some(as_of);
    }
}

/// Takes out what one batch both brought and replaced: the keyed states must not be asked to take away a
/// version before it is given. Equal facts of one report are one allocation.
fn net(reports: &mut Vec<(Shared, isize)>) {
    if reports.iter().all(|(_, diff)| *diff > 0) {
        return;
    }
    let mut sums: HashMap<*const Facts, isize> = HashMap::new();
    for (report, diff) in reports.iter() {
        *sums.entry(Arc::as_ptr(report)).or_default() += diff;
    }
    reports.retain(|(report, _)| sums.get(&Arc::as_ptr(report)) != Some(&0));
}

/// Passes changes of the register on to the dataflow.
fn feed(moved: Vec<Moved>, inputs: &mut Inputs) {
    for Moved { uscc, old, new } in moved {
        let sides = old.into_iter().map(|side| (side, -1)).chain([(new, 1)]);
        for ((root, profile), diff) in sides {
            inputs.standing.push(((uscc, root), diff));
            inputs.profiles.extend(profile.map(|p| ((uscc, p), diff)));
        }
    }
}

/// What a rebuild left standing. A load in several calls may bring an incident, take it away and bring
/// another.
fn consolidated(mut changes: Vec<(Arc<Seen>, isize)>) -> Vec<(Arc<Seen>, isize)> {
    let first = |seen: &Seen| seen.reports[0].key.clone();
    // Most never go: only those that share a first report with one that did are compared.
    let gone: HashSet<ReportKey> =
        changes.iter().filter(|(_, diff)| *diff < 0).map(|(seen, _)| first(seen)).collect();
    if gone.is_empty() {
        return changes;
    }
    let mut standing: HashMap<ReportKey, Vec<Arc<Seen>>> = HashMap::with_capacity(gone.len());
    let mut leaving = Vec::with_capacity(gone.len());
    changes.retain(|(seen, diff)| {
        let key = &seen.reports[0].key;
        if *diff < 0 {
            leaving.push(Arc::clone(seen));
        } else if gone.contains(key) {
            standing.entry(key.clone()).or_default().push(Arc::clone(seen));
        } else {
            return true;
        }
        false
    });
    for seen in leaving {
        if let Some(same) = standing.get_mut(&seen.reports[0].key)
            && let Some(at) = same.iter().position(|s| *s == seen)
        {
            same.swap_remove(at);
        }
    }
    changes.extend(standing.into_values().flatten().map(|seen| (seen, 1)));
    changes
}

impl Outcome {
    /// Whether it says nothing: no alert and no incident changed.
    pub fn silent(&self) -> bool {
        self.alerts.is_empty() && self.incidents.is_empty()
    }

    fn nothing(occasion: Occasion, decided_at: Instant) -> Outcome {
        Outcome {
            occasion,
            decided_at,
            verdicts: Vec::new(),
            incidents: Vec::new(),
            alerts: Vec::new(),
            rates: RatesChanged::default(),
            lists: ListsChanged::default(),
            findings: Vec::new(),
        }
    }
}
