//! The graph of one worker: inputs, operators, and the outputs of an epoch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use differential_dataflow::input::InputSession;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Concatenate, OkErr};
use timely::dataflow::{ProbeHandle, Scope};
use timely::worker::Worker;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::{Day, Month};

use super::circumstances::{self, Buckets, Circumstances};
use super::enterprises::{Answer, Census, Change, Enterprises, OfOne, ScopeKey, Turned};
use super::headcounts::{HeadcountChange, Headcounts};
use super::keyed::{Epoch, keyed, route, summed};
use super::measure::{Sums, Tally};
use super::resolve::{Persons, PlaceChange, Places};
use crate::facts::Shared;
use crate::incidents::Seen;
use crate::policy::Policies;
use crate::registry::Profile;
use crate::windows::{Calendar, Mask, Turn};

/// One input: changes of a collection.
pub(crate) type Updates<D> = Vec<(D, isize)>;

/// What one epoch changes.
#[derive(Default)]
pub(crate) struct Inputs {
    /// Reports that stand.
    pub reports: Updates<Shared>,
    /// Registered enterprises and whose they are read as.
    pub standing: Updates<(Uscc, Uscc)>,
    /// Enterprises that are read as their own, and where they belong.
    pub profiles: Updates<(Uscc, Profile)>,
    /// Insured persons by month.
    pub headcounts: Updates<(Uscc, (Month, u32))>,
    /// Which marks each day bears today.
    pub days: Updates<(Day, Mask)>,
    /// What day it is from now on: a message, not a collection.
    pub today: Option<Calendar>,
    /// Of which windows, by slot, the enterprises are to be counted once all else has taken effect.
    pub census: Vec<usize>,
}

/// What one epoch changed.
#[derive(Default)]
pub(crate) struct Changes {
    /// Incidents that went and came.
    pub incidents: Updates<Arc<Seen>>,
    /// Enterprises in windows, as they now are.
    pub totals: Vec<Told>,
    /// Scopes in windows.
    pub sums: Updates<(ScopeKey, Sums)>,
    /// The enterprises of the windows that were asked for, by slot, in parts.
    pub census: BTreeMap<usize, Census>,
}

pub(super) enum Part {
    Incidents(Updates<Arc<Seen>>),
    Enterprises(Vec<OfEnterprises>),
    Sums(Updates<(ScopeKey, Sums)>),
}

/// What is said of enterprises: of some, or of all in a window.
#[derive(Clone)]
pub(super) enum OfEnterprises {
    Some(Told),
    Census(usize, Census),
}

/// What is said of some enterprises.
#[derive(Clone)]
pub(crate) enum Told {
    /// As they now are.
    Totals(Vec<OfOne>),
    /// Several of which the calendar made something else: their counts turned with it, and they have these headcounts.
    /// Each has a counted incident in a window. In parts, as they were found.
    Turned(Box<Turn>, Vec<Vec<Turned>>),
}

impl Changes {
    /// Adds those of a later epoch.
    pub fn add(&mut self, mut later: Changes) {
        self.incidents.append(&mut later.incidents);
        self.totals.append(&mut later.totals);
        self.sums.append(&mut later.sums);
        self.census.append(&mut later.census);
    }

    pub(super) fn take(&mut self, part: Part) {
        match part {
            Part::Incidents(mut p) => self.incidents.append(&mut p),
            Part::Enterprises(all) => {
                for of in all {
                    match of {
                        OfEnterprises::Some(told) => self.totals.push(told),
                        // Each worker counts its own.
                        OfEnterprises::Census(slot, mut census) => {
                            self.census.entry(slot).or_default().append(&mut census);
                        }
                    }
                }
            }
            Part::Sums(mut p) => self.sums.append(&mut p),
        }
    }
}

/// The handles of one worker's graph.
pub(super) struct Flow {
    epoch: Epoch,
    probe: ProbeHandle<Epoch>,
    reports: InputSession<Epoch, Shared, isize>,
    standing: InputSession<Epoch, (Uscc, Uscc), isize>,
    profiles: InputSession<Epoch, (Uscc, Profile), isize>,
    headcounts: InputSession<Epoch, (Uscc, (Month, u32)), isize>,
    days: InputSession<Epoch, (Day, Mask), isize>,
    today: InputSession<Epoch, Calendar, isize>,
    census: InputSession<Epoch, usize, isize>,
}

macro_rules! all_inputs {
    ($self:ident, $input:ident => $do:expr) => {{
        {
            let $input = &mut $self.reports;
            $do
        }
        {
            let $input = &mut $self.standing;
            $do
        }
        {
            let $input = &mut $self.profiles;
            $do
        }
        {
            let $input = &mut $self.headcounts;
            $do
        }
        {
            let $input = &mut $self.days;
            $do
        }
        {
            let $input = &mut $self.today;
            $do
        }
        {
            let $input = &mut $self.census;
            $do
        }
    }};
}

impl Flow {
    /// Builds the graph; what comes out of it on this worker is sent to `out`.
    pub fn build(worker: &mut Worker, policies: &Arc<Policies>, out: &Sender<Part>) -> Flow {
        let mut flow = Flow {
            epoch: 0,
            probe: ProbeHandle::new(),
            reports: InputSession::new(),
            standing: InputSession::new(),
            profiles: InputSession::new(),
            headcounts: InputSession::new(),
            days: InputSession::new(),
            today: InputSession::new(),
            census: InputSession::new(),
        };
        worker.dataflow::<Epoch, _, _>(|scope| flow.wire(scope, policies, out));
        flow
    }

    fn wire(&mut self, scope: Scope<'_, Epoch>, policies: &Arc<Policies>, out: &Sender<Part>) {
        let reports = self.reports.to_collection(scope);
        let standing = self.standing.to_collection(scope);
        let profiles = self.profiles.to_collection(scope);
        let headcounts = self.headcounts.to_collection(scope);
        let days = self.days.to_collection(scope);
        let today = self.today.to_collection(scope);
        let census = self.census.to_collection(scope);

        // Reports to cases to incidents.
        let cases = {
            let (policies, mut persons) = (Arc::clone(policies), Persons::default());
            let with_key = reports.clone().filter(|r| r.person_key.is_some());
            keyed(
                with_key.inner,
                "Persons",
                |r| route(&r.person_key),
                move |changes, out| {
                    persons.step(changes, &policies, out);
                },
            )
            .as_collection()
        };
        let loose = reports
            .filter(|r| r.person_key.is_none())
            .map(|r| PlaceChange::Case(crate::cases::Case::of(vec![r])));
        let stands = standing.clone().map(|(uscc, root)| PlaceChange::Standing(uscc, root));
        let incidents = {
            let (policies, mut places) = (Arc::clone(policies), Places::default());
            let changes = cases.concat(loose).concat(stands);
            keyed(
                changes.inner,
                "Places",
                |c: &PlaceChange| route(&c.uscc()),
                move |changes, out| {
                    places.step(changes, &policies, out);
                },
            )
            .as_collection()
        };
        send(incidents.clone(), &self.probe, out, Part::Incidents);

        // Counted incidents by day, and the marks of each day.
        let cells: VecCollection<'_, Epoch, (Day, (Uscc, Circumstances)), Tally> =
            incidents.explode(|seen: Arc<Seen>| {
                let root = if seen.counted() { seen.root } else { None };
                let cell = root.map(|root| (seen.occurred_on, (root, Circumstances::of(&seen))));
                cell.map(|cell| (cell, Tally::of(&seen)))
            });
        let marks = days.arrange_by_key_named("Marks of each day");
        let counted = cells
            .arrange_by_key_named("Cells by day")
            .join_core(marks, |day, (root, how), marks: &Mask| Some((*root, *day, *how, *marks)))
            .inner;
        let workers = scope.peers();
        let today = today.inner.flat_map(move |(calendar, at, diff)| {
            (0..workers).map(move |worker| ((worker, Box::new(calendar)), at, diff))
        });
        let kinds = counted.clone().map(|((_, day, how, marks), at, tally)| {
            (circumstances::Change::Counted(day, how, marks, tally), at, 1)
        });
        let days = today
            .clone()
            .map(|((worker, calendar), at, diff)| (circumstances::Change::Today(worker, calendar), at, diff));
        let mut buckets = Buckets::default();
        let by_circumstance =
            keyed(kinds.concat(days), "Circumstances", circumstances::Change::route, move |changes, out| {
                buckets.step(changes, out)
            });
        let counted = counted
            .map(|((root, day, _, marks), at, tally)| (Change::Counted(root, day, marks, tally), at, 1));

        // Headcounts of registered enterprises, read as their successors'.
        let insured = headcounts.map(|(uscc, (month, n))| HeadcountChange::Insured(uscc, month, n));
        let read_as = standing.map(|(uscc, root)| HeadcountChange::Standing(uscc, root));
        let mut own = Headcounts::default();
        let insured = keyed(
            insured.concat(read_as).inner,
            "Headcounts",
            |c| route(&c.uscc()),
            move |changes, out| own.step(changes, out),
        );

        // Enterprises in windows, and what they add to their industries, areas and the city.
        let today = today.map(|((worker, calendar), at, diff)| (Change::Today(worker, calendar), at, diff));
        let census = census.inner.flat_map(move |(slot, at, diff)| {
            (0..workers).map(move |worker| (Change::Census(worker, slot), at, diff))
        });
        let profiles =
            profiles.inner.map(|((uscc, profile), at, diff)| (Change::Profile(uscc, profile), at, diff));
        let mut enterprises = Enterprises::default();
        let answers = keyed(
            scope.concatenate([counted, insured, today, census, profiles]),
            "Enterprises",
            Change::route,
            move |changes, out| enterprises.step(changes, out),
        );
        let (told, gained) = answers.ok_err(|(answer, at, _)| match answer {
            Answer::Totals(totals) => Ok((OfEnterprises::Some(Told::Totals(totals)), at, 1)),
            Answer::Turned(turn, turned) => Ok((OfEnterprises::Some(Told::Turned(turn, turned)), at, 1)),
            Answer::Census(slot, census) => Ok((OfEnterprises::Census(slot, census), at, 1)),
            Answer::Sums(key, gained) => Err((key, at, gained)),
        });
        let by_circumstance = by_circumstance.map(|((key, gained), at, _)| (key, at, gained));
        let gained = gained.concat(by_circumstance);
        let gained = gained.map(|(key, at, gained)| (key, at, *gained)).as_collection();
        let only = |told: Updates<_>| Part::Enterprises(told.into_iter().map(|(of, _)| of).collect());
        send(told.as_collection(), &self.probe, out, only);
        send(summed(gained, "Scopes in windows"), &self.probe, out, Part::Sums);
    }

    /// Gives one epoch its changes. Every worker must be given every epoch, if only an empty one.
    pub fn feed(&mut self, inputs: Inputs) {
        fn all<D: differential_dataflow::Data>(
            session: &mut InputSession<Epoch, D, isize>,
            updates: impl IntoIterator<Item = (D, isize)>,
        ) {
            for (item, diff) in updates {
                session.update(item, diff);
            }
        }
        all(&mut self.reports, inputs.reports);
        all(&mut self.standing, inputs.standing);
        all(&mut self.profiles, inputs.profiles);
        all(&mut self.headcounts, inputs.headcounts);
        all(&mut self.days, inputs.days);
        all(&mut self.today, inputs.today.into_iter().map(|calendar| (calendar, 1)));
        all(&mut self.census, inputs.census.into_iter().map(|slot| (slot, 1)));
        self.epoch += 1;
        let next = self.epoch;
        all_inputs!(self, input => { input.advance_to(next); input.flush(); });
    }

    /// Whether the last epoch has not come out whole yet.
    pub fn busy(&self) -> bool {
        self.probe.less_than(&self.epoch)
    }
}

/// Hands what comes out to the driver, and lets the probe watch it.
fn send<D: Clone + 'static>(
    collection: VecCollection<'_, Epoch, D, isize>,
    probe: &ProbeHandle<Epoch>,
    out: &Sender<Part>,
    wrap: impl Fn(Updates<D>) -> Part + 'static,
) {
    let out = out.clone();
    let sent = collection.inner.unary::<timely::container::CapacityContainerBuilder<Vec<()>>, _, _, _>(
        Pipeline,
        "Out",
        move |_capability, _info| {
            move |input, _output| {
                input.for_each(|_capability, data| {
                    let part = data.drain(..).map(|(item, _epoch, diff)| (item, diff)).collect();
                    // The driver only hangs up when it drops the engine: nobody is left to tell.
                    let _ = out.send(wrap(part));
                });
            }
        },
    );
    timely::dataflow::operators::Probe::probe_with(sent, probe);
}
