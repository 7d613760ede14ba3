//! The graph of one worker: inputs, operators, and the outputs of an epoch.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use compact_str::CompactString;
use differential_dataflow::input::InputSession;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::{ProbeHandle, Scope};
use timely::worker::Worker;
use tocsin_schemas::codes::{CITY, Scope as RateScope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::Window;
use tocsin_schemas::time::{Day, Month};

use super::keyed::{Epoch, keyed, route, summed};
use super::measure::{Insured, Sum, Tally, Total};
use super::resolve::{Persons, PlaceChange, Places};
use crate::facts::Shared;
use crate::incidents::Seen;
use crate::policy::Policies;
use crate::registry::Profile;
use crate::windows::PUBLISHED;

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
    /// Which days belong to which window today.
    pub days: Updates<(Day, Window)>,
    /// Which months share a day with which window today.
    pub months: Updates<(Month, Window)>,
}

/// A row of an industry, an area or the city.
pub(crate) type ScopeKey = (RateScope, CompactString, Window);

/// What one epoch changed.
#[derive(Default)]
pub(crate) struct Changes {
    /// Incidents that went and came.
    pub incidents: Updates<Arc<Seen>>,
    /// Enterprises in windows.
    pub totals: Updates<((Uscc, Window), Total)>,
    /// Scopes in windows.
    pub sums: Updates<(ScopeKey, Sum)>,
}

pub(super) enum Part {
    Incidents(Updates<Arc<Seen>>),
    Totals(Updates<((Uscc, Window), Total)>),
    Sums(Updates<(ScopeKey, Sum)>),
}

impl Changes {
    /// Adds those of a later epoch.
    pub fn add(&mut self, mut later: Changes) {
        self.incidents.append(&mut later.incidents);
        self.totals.append(&mut later.totals);
        self.sums.append(&mut later.sums);
    }

    pub(super) fn take(&mut self, part: Part) {
        match part {
            Part::Incidents(mut p) => self.incidents.append(&mut p),
            Part::Totals(mut p) => self.totals.append(&mut p),
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
    days: InputSession<Epoch, (Day, Window), isize>,
    months: InputSession<Epoch, (Month, Window), isize>,
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
            let $input = &mut $self.months;
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
            months: InputSession::new(),
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
        let months = self.months.to_collection(scope);

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

        // Counted incidents by day, and the days of today's windows.
        let cells: VecCollection<'_, Epoch, (Day, Uscc), Tally> = incidents.explode(|seen: Arc<Seen>| {
            let place = if seen.counted() { seen.root.map(|root| (seen.occurred_on, root)) } else { None };
            place.map(|place| (place, Tally::of(&seen)))
        });
        let active_days = days.arrange_by_key_named("Active days");
        let counts = cells
            .arrange_by_key_named("Cells by day")
            .join_core(active_days, |_day, root: &Uscc, window: &Window| Some((*root, *window)));
        let counts = counts.inner.map(|(key, epoch, tally)| (key, epoch, Total::from(tally))).as_collection();

        // Headcounts of registered enterprises, read as their successors', summed by month.
        let insured: VecCollection<'_, Epoch, (Month, Uscc), Insured> = headcounts
            .join_map(standing, |_uscc, (month, insured), root| (*month, *root, *insured))
            .explode(|(month, root, sum)| Some(((month, root), Insured { sum: i64::from(sum), records: 1 })));
        let active_months = months.arrange_by_key_named("Active months");
        let heads = summed(insured, "Insured by month")
            .map(|((month, root), insured)| (month, (root, insured.sum)))
            .join_core(active_months, |_month, (root, sum): &(Uscc, i64), window: &Window| {
                Some(((*root, *window), *sum))
            });
        let heads: VecCollection<'_, Epoch, (Uscc, Window), Total> =
            heads.explode(|(key, insured)| Some((key, Total { insured, months: 1, ..Total::default() })));

        // Enterprises in windows.
        let totals = summed(counts.concat(heads), "Enterprises in windows");
        send(totals.clone(), &self.probe, out, Part::Totals);

        // Industries, areas and the city, from their members. What a member adds is a difference: an old and
        // a new total of one enterprise are one change here, not two.
        let published = totals.filter(|((_, window), _)| PUBLISHED.contains(window));
        let shares: VecCollection<'_, Epoch, (Uscc, Window), Sum> =
            published.explode(|(place, total)| Some((place, total.share())));
        let profiles = profiles.arrange_by_key_named("Profiles");
        let members: VecCollection<'_, Epoch, ScopeKey, Sum> =
            profiles.clone().as_collection(|_uscc, profile: &Profile| profile.clone()).explode(|profile| {
                let one = Sum { members: 1, ..Sum::default() };
                let each = move |window: &Window| scopes(&profile, *window).map(move |key| (key, one));
                PUBLISHED.iter().flat_map(each).collect::<Vec<_>>()
            });
        let sums = shares
            .arrange_by_key_named("Shares")
            .join_core(profiles, |_uscc, window: &Window, profile: &Profile| scopes(profile, *window));
        send(summed(sums.concat(members), "Scopes in windows"), &self.probe, out, Part::Sums);
    }

    /// Gives one epoch its changes. Every worker must be given every epoch, if only an empty one.
    pub fn feed(&mut self, inputs: Inputs) {
        fn all<D: differential_dataflow::Data>(
            session: &mut InputSession<Epoch, D, isize>,
            updates: Updates<D>,
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
        all(&mut self.months, inputs.months);
        self.epoch += 1;
        let next = self.epoch;
        all_inputs!(self, input => { input.advance_to(next); input.flush(); });
    }

    /// Whether the last epoch has not come out whole yet.
    pub fn busy(&self) -> bool {
        self.probe.less_than(&self.epoch)
    }
}

/// The rows that an enterprise is a member of.
fn scopes(profile: &Profile, window: Window) -> impl Iterator<Item = ScopeKey> + use<> {
    let industry = (RateScope::Industry, profile.division.clone(), window);
    let area = (RateScope::Area, profile.area.clone(), window);
    [industry, area, (RateScope::City, CompactString::const_new(CITY), window)].into_iter()
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
