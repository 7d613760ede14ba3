//! The oracle itself: what it keeps, and one decision.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_schemas::codes::{Reason, State};
use tocsin_schemas::ids::{IncidentId, ReportKey, Uscc};
use tocsin_schemas::records::{Counters, Digest, Incident, Rate, Record, Report};
use tocsin_schemas::time::{Day, Instant};

use crate::arrivals::{self, Arrival, Verdict};
use crate::beside::Spread;
use crate::cases;
use crate::escalation::{self, Occasion, Warned};
use crate::findings::{self, Finding};
use crate::identity::{self, Before, Known, Moves};
use crate::lists::LastFrozen;
use crate::owner::{self, Moment, Told};
use crate::policy::{ListLimits, OraclePolicy, Tables};
use crate::rates::Basis;
use crate::registry::Registry;
use crate::said::Said;

/// Recomputes everything at every decision from the list of what arrived.
///
/// It keeps only that list, the clock, and the history: which number an incident has, and what was said. What follows
/// from the list whatever the day is made anew when the list or the policy is another one, not at each midnight.
pub struct Oracle {
    pub(crate) tables: Tables,
    arrivals: Vec<Arrival>,
    stands: arrivals::Stands,
    verdicts: Vec<Verdict>,
    counters: Counters,
    clock: Option<Instant>,
    settled: Settled,
    known: BTreeMap<IncidentId, Known>,
    told: BTreeMap<IncidentId, Told>,
    warned: BTreeMap<Uscc, Warned>,
    next_id: u32,
    /// The last midnight, and the last one at which the enterprises were modelled.
    pub(crate) midnight: Option<Midnight>,
    pub(crate) modelled: Option<Midnight>,
    /// Key enterprises of the years that were frozen.
    pub(crate) frozen: BTreeMap<i32, BTreeSet<Uscc>>,
    /// The last of them that was written down.
    pub(crate) last_frozen: Option<LastFrozen>,
    /// Events that were decided on.
    pub(crate) freezes: BTreeSet<String>,
    spread: Option<Spread>,
    findings: Vec<Finding>,
    /// The circles of successions as they stood at the decision before.
    loops: BTreeSet<Vec<Uscc>>,
    /// What happened to identities so far, for the census.
    pub(crate) moves: Moves,
}

/// A midnight that passed: what had arrived by then, and the policy.
#[derive(Clone)]
pub(crate) struct Midnight {
    pub(crate) day: Day,
    arrived: usize,
    tables: Tables,
}

/// What follows from the records that arrived up to some point, whatever the day.
#[derive(Default)]
struct Settled {
    found: Vec<cases::Found>,
    ages: identity::Ages,
    first_counting: BTreeMap<ReportKey, Instant>,
}

impl Settled {
    fn of(arrivals: &[Arrival], tables: &Tables) -> Settled {
        let standing = arrivals::standing_reports(arrivals);
        let registered = arrivals::standing_enterprises(arrivals);
        let present: Vec<&Report> = standing
            .values()
            .map(|s| s.report)
            .filter(|r| r.status != tocsin_schemas::codes::Status::Withdrawn)
            .collect();
        let found = cases::incidents(&present, tables, &|u| registered.contains_key(u));
        let ages = standing.iter().map(|(k, s)| (k.clone(), s.first_arrival)).collect();
        let first_counting =
            standing.iter().filter_map(|(k, s)| Some((k.clone(), s.first_counting?))).collect();
        Settled { found, ages, first_counting }
    }
}

fn registry_on(arrivals: &[Arrival], day: Day) -> Registry<'_> {
    Registry::new(arrivals::standing_enterprises(arrivals), day)
}

impl Oracle {
    /// An oracle to which nothing arrived yet. No table: the default policy.
    pub fn new(policies: Vec<OraclePolicy>) -> Oracle {
        Oracle {
            tables: Tables::new(policies),
            arrivals: Vec::new(),
            stands: arrivals::Stands::new(),
            verdicts: Vec::new(),
            counters: Counters::default(),
            clock: None,
            settled: Settled::default(),
            known: BTreeMap::new(),
            told: BTreeMap::new(),
            warned: BTreeMap::new(),
            next_id: 0,
            midnight: None,
            modelled: None,
            frozen: BTreeMap::new(),
            last_frozen: None,
            freezes: BTreeSet::new(),
            spread: None,
            findings: Vec::new(),
            loops: BTreeSet::new(),
            moves: Moves::default(),
        }
    }

    /// One batch, decided at `at` or, if that has passed, at the clock. Each midnight that lies between is
    /// ticked before. Records come as the door accepted them, with digest and their own arrival.
    pub fn arrive(&mut self, at: Instant, batch: Vec<(Record, Digest, Instant)>) -> Vec<Said> {
        let mut said = if self.clock.is_some() { self.tick_to(at.day()) } else { Vec::new() };
        let at = self.clock.map_or(at, |clock| clock.max(at));
        self.clock = Some(at);
        let before = self.arrivals.len();
        for (record, digest, arrived_at) in batch {
            let arrival = Arrival { record, digest, arrived_at };
            let verdict = arrivals::verdict(&mut self.stands, &arrival);
            arrivals::count(&mut self.counters, verdict);
            self.verdicts.push(verdict);
            self.arrivals.push(arrival);
        }
        let factor = self.tables.on(at.day()).headcount_jump;
        self.findings.extend(findings::jumps(&self.arrivals, before, factor));
        said.extend(self.decide(at, before, Occasion::Batch));
        said
    }

    /// Ticks every midnight after the clock up to and including that of `day`. Before the first arrival
    /// there is no clock to tick, and nothing happens.
    pub fn tick_to(&mut self, day: Day) -> Vec<Said> {
        let mut said = Vec::new();
        while let Some(clock) = self.clock
            && clock.day() < day
        {
            let midnight = clock.day().plus(1).midnight();
            self.clock = Some(midnight);
            said.extend(self.decide(midnight, self.arrivals.len(), Occasion::Midnight));
        }
        said
    }

    /// Takes another policy over: a decision at the clock as it stands. Before the first arrival there is none.
    pub fn adopt(&mut self, policies: Vec<OraclePolicy>) -> Vec<Said> {
        self.tables = Tables::new(policies);
        match self.clock {
            Some(clock) => self.decide(clock, self.arrivals.len(), Occasion::Policy),
            None => Vec::new(),
        }
    }

    /// Everything that is said at one decision. The batch is `arrivals[before..]`.
    fn decide(&mut self, at: Instant, before: usize, occasion: Occasion) -> Vec<Said> {
        let ages_before = self.settled.ages.clone();
        if before < self.arrivals.len() || occasion == Occasion::Policy {
            self.settled = Settled::of(&self.arrivals, &self.tables);
        }
        let settled = &self.settled;
        let registry = registry_on(&self.arrivals, at.day());
        let history = Before { known: &self.known, told: &self.told, ages: &ages_before };
        let (now, moves) =
            identity::identify(&history, settled.found.clone(), &settled.ages, &mut self.next_id);
        self.moves.merges += moves.merges;
        self.moves.splits += moves.splits;
        self.moves.reinstatements += moves.reinstatements;

        let moment = Moment {
            at,
            before: &self.known,
            now: &now,
            first_counting: &settled.first_counting,
            tables: &self.tables,
            registry: &registry,
        };
        let mut said = Vec::new();
        for (id, known) in &now {
            said.extend(owner::decide(&moment, *id, known, self.told.entry(*id).or_default()));
        }
        let mut subjects: BTreeSet<Uscc> = registry.roots();
        subjects.extend(self.warned.keys());
        let read_as = escalation::read_as(&moment, &registry);
        for uscc in subjects {
            let warned = self.warned.entry(uscc).or_default();
            said.extend(escalation::decide(&moment, &registry, &read_as, uscc, warned, occasion));
        }
        self.known = now;
        if occasion == Occasion::Midnight {
            let midnight = Midnight { day: at.day(), arrived: before, tables: self.tables.clone() };
            if self.modelled.is_none() || at.day().date().day() == 1 {
                self.modelled = Some(midnight.clone());
            }
            self.midnight = Some(midnight);
        }
        let loops = registry.loops.clone();
        for members in loops.difference(&self.loops) {
            let arrival = findings::closed_by(&self.arrivals, before, members, &registry, at.day());
            self.findings.push(Finding::Loop { members: members.clone(), arrival, since: at.day() });
        }
        self.loops = loops;
        said.sort_by(|a, b| {
            (a.rule.as_str(), &a.subject, a.episode, a.revision).cmp(&(
                b.rule.as_str(),
                &b.subject,
                b.episode,
                b.revision,
            ))
        });
        said
    }

    /// The decision clock; `None` before the first arrival.
    pub fn clock(&self) -> Option<Instant> {
        self.clock
    }

    /// Every incident that was ever numbered, `gone` ones too, by number.
    pub fn incidents(&self) -> Vec<Incident> {
        let ages = &self.settled.ages;
        let mut all = Vec::new();
        for (id, known) in &self.known {
            let f = &known.found;
            let reports: Vec<ReportKey> =
                if known.gone { Vec::new() } else { f.reports.iter().cloned().collect() };
            let of = if known.gone { &known.withdrawn } else { &f.reports };
            let first = of.iter().filter_map(|r| ages.get(r).copied()).min();
            all.push(Incident {
                incident_id: *id,
                uscc: f.uscc,
                occurred_on: f.occurred_on,
                category: f.category,
                severity: f.severity,
                persons: if known.gone { 0 } else { f.persons },
                state: if known.gone { State::Gone } else { f.state },
                reports,
                withdrawn: known.withdrawn.iter().cloned().collect(),
                first_arrived_at: first.unwrap_or(Instant(0)),
            });
        }
        all
    }

    /// From now on shrunken rates come from this spread of the firms; without one there are none.
    pub fn shrink_by(&mut self, spread: Option<Spread>) {
        self.spread = spread;
    }

    /// Rows of `rates.jsonl` at the clock's day; none before the first arrival.
    pub fn rates(&self) -> Vec<Rate> {
        self.at_present(|basis| basis.rows()).unwrap_or_default()
    }

    /// Asks what rates are made of at the clock; `None` before the first arrival.
    pub(crate) fn at_present<T>(&self, ask: impl FnOnce(&Basis<'_>) -> T) -> Option<T> {
        let day = self.clock?.day();
        let registry = registry_on(&self.arrivals, day);
        let headcounts = arrivals::standing_headcounts(&self.arrivals);
        let policy = self.tables.on(day);
        let basis = Basis::new(&registry, &headcounts, &self.settled.found, day, policy, self.spread);
        Some(ask(&basis))
    }

    /// Asks what they were made of at a midnight.
    pub(crate) fn at_midnight<T>(&self, midnight: &Midnight, ask: impl FnOnce(&Basis<'_>) -> T) -> T {
        let Midnight { day, arrived, tables } = midnight;
        let arrivals = &self.arrivals[..*arrived];
        let settled = Settled::of(arrivals, tables);
        let registry = registry_on(arrivals, *day);
        let headcounts = arrivals::standing_headcounts(arrivals);
        ask(&Basis::new(&registry, &headcounts, &settled.found, *day, tables.on(*day), None))
    }

    /// The limits of the lists today.
    pub(crate) fn limits(&self) -> Option<ListLimits> {
        Some(self.tables.on(self.clock?.day()).lists)
    }

    /// Everything that the clerk was shown so far, by decision.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What became of each record, in order of arrival.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// The verdicts, counted. `quarantined` and `flagged` are the door's own and stay 0 here.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Counted incidents that were told to nobody, by the reason that holds now.
    pub fn not_due(&self) -> BTreeMap<Reason, u64> {
        let mut not_due = BTreeMap::new();
        for reason in self.untold().into_iter().flatten() {
            *not_due.entry(reason).or_default() += 1;
        }
        not_due
    }

    /// Counted incidents neither told nor in [`Oracle::not_due`]: 0 unless the rules have a hole.
    pub fn unaccounted(&self) -> u64 {
        self.untold().iter().filter(|reason| reason.is_none()).count() as u64
    }

    fn untold(&self) -> Vec<Option<Reason>> {
        let Some(clock) = self.clock else { return Vec::new() };
        let registry = registry_on(&self.arrivals, clock.day());
        let moment = Moment {
            at: clock,
            before: &self.known,
            now: &self.known,
            first_counting: &self.settled.first_counting,
            tables: &self.tables,
            registry: &registry,
        };
        let mut untold = Vec::new();
        for (id, known) in &self.known {
            let counted = !known.gone && known.found.state == State::Counted;
            if counted && self.told.get(id).is_none_or(|t| t.now.is_empty()) {
                untold.push(moment.not_due(&known.found));
            }
        }
        untold
    }
}
