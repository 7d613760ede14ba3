//! The lists of this year and the last, as they change: what stands in the topic `lists`, and what should.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashSet};
use indexmap::IndexMap;
use tocsin_schemas::codes::{CITY, FreezeRefusal, List, ListClass, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Listed, Member, Reference, Whole};
use tocsin_schemas::time::Day;

use super::annual::{Year, judge};
use super::changed::{ListsChanged, OfList, Row};
use super::entry::{Said, Sizes, bare};
use super::freeze::{Asked, Freeze, Frozen};
use super::persistent::key_years;
use crate::cores;
use crate::dataflow::{Census, PARTS, Sum, together};
use crate::model::Model;
use crate::policy::Lists as Limits;
use crate::rates::{Figures, Stamp};
use crate::registry::Registry;
use crate::windows::{LAST_YEAR, SHOWN, YEAR, days, last_year};

/// The slot of 365 days, which the model of this year's list is fitted to: a year that has begun has too few days.
const MODELLED: usize = 2;

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// This year's and the last one's.
    years: BTreeMap<i32, OfYear>,
    /// Key enterprises by year, as last frozen.
    frozen: BTreeMap<i32, BTreeSet<Uscc>>,
    /// The list that was last frozen in full: what another event may freeze again.
    last: Option<Frozen>,
    /// Key enterprises of the years before those, as their lists last stood.
    left: BTreeMap<i32, BTreeSet<Uscc>>,
    /// Events that were decided on.
    events: BTreeSet<String>,
    /// The keys that were taken back.
    recalled: HashSet<String>,
    /// How many records stand in the topic.
    standing: u32,
}

/// What a restart finds in the topic `lists`, to be held against what was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListsFound {
    /// How many records stand in it.
    pub records: u32,
    /// Events that asked to freeze a list and were taken in, of which it has no record. Sorted.
    pub lost: Vec<String>,
}

/// The list of a year.
#[derive(Debug, Default)]
struct OfYear {
    /// What its enterprises are compared with.
    reference: Option<Reference>,
    model: Option<Arc<Model>>,
    /// Who is on it, as it was last said. In one vector, so that many entries are looked up on all cores and then each is
    /// written where it stands.
    on: IndexMap<Uscc, Said, DefaultHashBuilder>,
    sizes: Sizes,
    /// The list as a whole, as it was last said.
    told: Option<(Option<Reference>, Sizes)>,
}

/// An entry that is another than before.
struct Renewed {
    uscc: Uscc,
    /// Where the former one stands, if there is one.
    at: Option<usize>,
    said: Option<(Said, Year)>,
}

/// What a decision looks at.
pub(crate) struct Before<'a> {
    pub figures: &'a Figures,
    pub registry: &'a Registry,
    pub limits: &'a Limits,
    pub stamp: &'a Stamp,
}

/// Whose entries may be others than before.
pub(crate) enum Moved<'a> {
    /// Anybody's: another year, another policy, a rebuild.
    All,
    /// At a midnight, those of these, and of all who are compared with what was taken at it.
    Compared(&'a Figured),
    /// These.
    These(&'a Figured),
}

/// Who is otherwise than before.
#[derive(Default)]
pub(crate) struct Figured {
    /// In last year and in this one, by place among the figures.
    pub years: [Vec<usize>; 2],
    /// Others, by code: what is read as them is other than before.
    pub also: Vec<Uscc>,
}

/// Whose entry is looked at: where its figures are, if there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Whose(Option<usize>, Uscc);

fn year_of(day: Day) -> i32 {
    i32::from(day.year())
}

/// The years that are kept on a day, with the slots of their windows. The last year comes first: it decides who is key
/// for years running.
fn kept(as_of: Day) -> [(i32, usize); 2] {
    let year = year_of(as_of);
    [(year - 1, LAST_YEAR), (year, YEAR)]
}

/// How many days of a list's year there are by the as-of day.
fn length(slot: usize, as_of: Day) -> u32 {
    let (first, last) = if slot == LAST_YEAR { last_year(as_of) } else { days(SHOWN[slot], as_of) };
    (last.0 - first.0 + 1).unsigned_abs()
}

impl Lists {
    /// Takes a record of the topic back, in the order of the topic; `None`: an enterprise left its list.
    pub fn recall(&mut self, key: &str, listed: Option<Listed>) {
        let Some(listed) = listed else { return self.recall_gone(key) };
        self.recalled.insert(key.to_owned());
        let Listed { list, year, event_id, policy_hash, reference, whole, member, .. } = listed;
        match (list, member, whole) {
            (List::Annual, Some(member), _) => {
                let of = self.years.entry(year).or_default();
                let said = Said::of(&member);
                of.sizes.count(&said, true);
                if let Some(former) = of.on.insert(member.uscc, said) {
                    of.sizes.count(&former, false);
                }
            }
            (List::Annual, None, Some(whole)) => {
                let of = self.years.entry(year).or_default();
                of.model = reference.as_ref().and_then(|r| r.model.as_ref()).map(|m| Arc::new(m.into()));
                of.reference = reference.clone();
                of.told = Some((reference, Sizes::from(&whole)));
            }
            (List::Frozen, None, Some(whole)) => {
                let Some(event_id) = event_id else { return };
                self.events.insert(event_id.clone());
                if whole.refused.is_none() && whole.same_as.is_none() {
                    // The members of an earlier freezing of the year came before.
                    self.frozen.insert(year, BTreeSet::new());
                    self.last = Some(Frozen { year, event_id, policy_hash, members: BTreeMap::new() });
                }
            }
            (List::Frozen, Some(member), _) => {
                if member.class == ListClass::Key {
                    self.frozen.entry(year).or_default().insert(member.uscc);
                }
                if let Some(last) = self.last.as_mut().filter(|l| Some(&l.event_id) == event_id.as_ref()) {
                    last.members.insert(member.uscc, member);
                }
            }
            (_, None, None) => {}
        }
    }

    /// What was taken back, beside the events that were taken in.
    pub fn found(&self, asked: &Asked) -> ListsFound {
        let lost = asked.lost(&self.events).map(|freeze| freeze.event_id);
        ListsFound { records: self.recalled.len().try_into().unwrap_or(u32::MAX), lost: lost.collect() }
    }

    /// Everything is taken back. Gives the events that were taken in before and have no record: they get one that says so.
    pub fn recalled(&mut self, asked: &Asked) -> Vec<Freeze> {
        self.standing = self.found(asked).records;
        self.recalled = HashSet::new();
        asked.lost(&self.events).collect()
    }

    /// How many records stand in the topic, with all that was said so far.
    pub fn standing(&self) -> u32 {
        self.standing
    }

    fn recall_gone(&mut self, key: &str) {
        self.recalled.remove(key);
        let Some((year, uscc)) = Listed::live_entry(key) else { return };
        let Some(of) = self.years.get_mut(&year) else { return };
        if let Some(former) = of.on.swap_remove(&uscc) {
            of.sizes.count(&former, false);
        }
    }

    /// The windows, by slot, whose enterprises are to be counted at the midnight that begins this day: at the first of a
    /// month, and while nothing was tried.
    pub fn wants(&self, day: Day) -> Vec<usize> {
        let reference = |year| self.years.get(&year).and_then(|of| of.reference.as_ref());
        let tried = |year| reference(year).is_some_and(|r| r.modelled_on.is_some());
        let due = day.date().day() == 1;
        let wants = kept(day).into_iter().filter(|(year, _)| due || !tried(*year));
        wants.map(|(_, slot)| if slot == LAST_YEAR { LAST_YEAR } else { MODELLED }).collect()
    }

    /// Takes what enterprises are compared with from the figures of a midnight, and fits the models that were asked
    /// for. Years that are not kept any more go.
    pub fn midnight(&mut self, figures: &Figures, day: Day, mut census: BTreeMap<usize, Census>) {
        self.leave(day);
        let due = kept(day).into_iter().filter_map(|(year, slot)| {
            let last = slot == LAST_YEAR;
            let (modelled, days) = if last { (slot, length(slot, day)) } else { (MODELLED, 365) };
            Some((year, days, census.remove(&modelled)?))
        });
        // Why there is none is told where it is missed: an undetermined test.
        let fit = |(year, days, census): (i32, u32, Census)| {
            (year, Model::fit(day, days, &together(census)).ok().map(Arc::new))
        };
        let mut fitted: BTreeMap<_, _> = cores::each_of(due.collect(), fit).into_iter().collect();
        for (year, slot) in kept(day) {
            let of = self.years.entry(year).or_default();
            let mut modelled_on = of.reference.as_ref().and_then(|r| r.modelled_on);
            if let Some(model) = fitted.remove(&year) {
                (modelled_on, of.model) = (Some(day), model);
            }
            let city = figures.sum(Scope::City, CITY, slot);
            of.reference = Some(Reference {
                taken_on: day,
                incidents: city.with_headcount.max(0).unsigned_abs(),
                headcount: (city.known > 0).then(|| city.headcount_parts as f64 / PARTS as f64),
                per_thousand: per_thousand(&city),
                modelled_on,
                model: of.model.as_deref().map(Into::into),
            });
        }
    }

    /// The model that shrunken rates of a day come from.
    pub fn model(&self, as_of: Day) -> Option<&Arc<Model>> {
        self.years.get(&year_of(as_of)).and_then(|of| of.model.as_ref())
    }

    /// Brings the lists up to date; what changed.
    pub fn settle(&mut self, before: &Before, moved: &Moved, freezes: &[Freeze]) -> ListsChanged {
        let as_of = before.stamp.as_of;
        if matches!(moved, Moved::All) {
            self.leave(as_of);
        }
        let [last, this] = kept(as_of);
        // Who is another enterprise last year may be so for other years running.
        let lasts = self.renew(last, self.moved(last, before, moved), before);
        let mut frozen = Vec::new();
        for freeze in freezes {
            self.freeze(freeze, before, &mut frozen);
        }
        let mut also = self.moved(this, before, moved);
        also.extend(lasts.iter().filter_map(Row::entry).map(|uscc| before.whose(uscc)));
        if !freezes.is_empty() {
            let on = self.years.get(&this.0).into_iter().flat_map(|of| of.on.keys());
            also.extend(on.map(|uscc| before.whose(*uscc)));
        }
        let these = self.renew(this, also, before);
        let mut rows: Vec<Row> = self.tell(last.0, before).into_iter().collect();
        rows.extend(lasts);
        rows.extend(self.tell(this.0, before));
        rows.extend(these);
        frozen.sort_by_cached_key(Listed::key);
        rows.extend(frozen.into_iter().map(|listed| Row::Written(Box::new(listed))));
        ListsChanged(rows)
    }

    /// The lists of this year and the last as they stand, sorted by key: the lists as a whole, and who is on them.
    pub fn all(&self, before: &Before) -> Vec<Listed> {
        let mut all = Vec::new();
        for (year, slot) in kept(before.stamp.as_of) {
            let Some(of) = self.years.get(&year) else { continue };
            all.push(of.whole(year, before.stamp));
            let list = of.list(year, before);
            all.extend(of.on.iter().map(|(uscc, said)| list.listed(*uscc, said, before.now(uscc, slot))));
        }
        all.sort_by_cached_key(Listed::key);
        all
    }

    /// The windows of [`Lists::wants`], for both years.
    pub const MODELS: [usize; 2] = [LAST_YEAR, MODELLED];

    /// The entries of one enterprise, last year's first, and what each was compared with.
    pub fn of(&self, uscc: Uscc, before: &Before) -> Vec<Listed> {
        let kept = kept(before.stamp.as_of).into_iter();
        let all = kept.filter_map(|(year, slot)| {
            let of = self.years.get(&year)?;
            let said = of.on.get(&uscc)?;
            Some(of.list(year, before).listed(uscc, said, before.now(&uscc, slot)))
        });
        all.collect()
    }

    /// What the years are compared with, last year's first.
    pub fn references(&self) -> impl Iterator<Item = (i32, &Reference)> {
        self.years.iter().filter_map(|(year, of)| Some((*year, of.reference.as_ref()?)))
    }

    /// Whose entries in a list are to be looked at.
    fn moved(&self, (year, slot): (i32, usize), before: &Before, moved: &Moved) -> Vec<Whose> {
        let figures = before.figures;
        let at = |place: usize| figures.root(place).map(|uscc| Whose(Some(place), uscc));
        let these = |figured: &Figured| {
            let moved = &figured.years[usize::from(slot == YEAR)];
            let also = figured.also.iter().map(|uscc| before.whose(*uscc));
            moved.iter().filter_map(|place| at(*place)).chain(also).collect::<Vec<Whose>>()
        };
        match moved {
            Moved::These(figured) => these(figured),
            Moved::Compared(figured) => {
                // Fewer incidents than these are compared with nothing.
                let compared = before.limits.key_incidents.min(before.limits.rate_incidents);
                let mut all = these(figured);
                all.extend(figures.with_incidents(slot, compared).filter_map(at));
                all
            }
            Moved::All => {
                let mut all: Vec<Whose> = figures.with_incidents(slot, 1).filter_map(at).collect();
                let on = self.years.get(&year).into_iter().flat_map(|of| of.on.keys());
                all.extend(on.map(|uscc| before.whose(*uscc)));
                all
            }
        }
    }

    /// Brings the entries of these in the list of one year up to date; those that changed.
    fn renew(&mut self, of: (i32, usize), mut whose: Vec<Whose>, before: &Before) -> Vec<Row> {
        if whose.is_empty() {
            return Vec::new();
        }
        // Of many the greater part is in order: they came in rows.
        whose.sort();
        whose.dedup();
        let list = self.years.entry(of.0).or_default().list(of.0, before);
        let renewed = cores::some(&whose, |whose| self.renewed(of, *whose, &list, before));
        if renewed.is_empty() {
            return Vec::new();
        }
        let list = Arc::new(list);
        let of = self.years.entry(of.0).or_default();
        let mut rows = Vec::with_capacity(renewed.len());
        let mut left = Vec::new();
        for Renewed { uscc, at, said } in renewed {
            if let Some((said, _)) = &said {
                of.sizes.count(said, true);
                match at {
                    Some(at) => {
                        let former = std::mem::replace(&mut of.on[at], *said);
                        of.sizes.count(&former, false);
                    }
                    None => {
                        of.on.insert(uscc, *said);
                        self.standing += 1;
                    }
                }
            } else {
                left.push(uscc);
            }
            rows.push(Row::Entry(uscc, said, Arc::clone(&list)));
        }
        // The others are found at their places until all of them are written.
        for former in left.iter().filter_map(|uscc| of.on.swap_remove(uscc)) {
            of.sizes.count(&former, false);
            self.standing = self.standing.saturating_sub(1);
        }
        rows
    }

    /// One entry as it should be; `None`: as it is. It hangs on what was said of the years before, on nothing that is said
    /// of this one.
    fn renewed(
        &self,
        (year, slot): (i32, usize),
        Whose(place, uscc): Whose,
        list: &OfList,
        before: &Before,
    ) -> Option<Renewed> {
        let now = place.and_then(|place| before.figures.year(place, slot)).filter(|now| now.incidents() > 0);
        let stands = self.years.get(&year).and_then(|of| of.on.get_full(&uscc));
        let (at, stands) = (stands.map(|(at, ..)| at), stands.map(|(_, _, said)| said));
        if let (Some(said), Some(now)) = (stands, now)
            && said.stays(now, before.limits)
        {
            return None;
        }
        let desired = now.and_then(|now| {
            let verdict = judge(now, &list.against())?;
            let key_years = match verdict.class {
                ListClass::Key => key_years(year, |y| self.was_key(y, uscc, year, before.registry)),
                ListClass::General => 0,
            };
            Some((Said::new(now, verdict, key_years, before.limits.persistent_years), now))
        });
        if stands == desired.as_ref().map(|(said, _)| said) {
            return None;
        }
        Some(Renewed { uscc, at, said: desired })
    }

    /// Lets go of the years that are not kept on a day. Who was key in them is remembered, as they last stood.
    fn leave(&mut self, as_of: Day) {
        let is_kept = |year: &i32| kept(as_of).iter().any(|(y, _)| y == year);
        for (year, of) in self.years.extract_if(.., |year, _| !is_kept(year)) {
            let key = of.on.iter().filter(|(_, said)| said.is_key()).map(|(uscc, _)| *uscc);
            self.left.insert(year, key.collect());
        }
    }

    /// Whether an enterprise was key in a year before `than`: by that year's frozen list; while there is none by the live
    /// one, or as that last stood.
    fn was_key(&self, year: i32, uscc: Uscc, than: i32, registry: &Registry) -> bool {
        match self.frozen.get(&year).or_else(|| self.left.get(&year)) {
            Some(key) => {
                key.contains(&uscc) || registry.read_as(&uscc).iter().any(|former| key.contains(former))
            }
            None => {
                let said = self.years.get(&year).and_then(|of| of.on.get(&uscc));
                year + 1 == than && said.is_some_and(|said| said.is_key())
            }
        }
    }

    /// Says the list as a whole, if it changed: its sizes, or what was taken at a midnight.
    fn tell(&mut self, year: i32, before: &Before) -> Option<Row> {
        let of = self.years.entry(year).or_default();
        let now = (of.reference.clone(), of.sizes);
        if of.told.as_ref() == Some(&now) {
            return None;
        }
        self.standing += u32::from(of.told.is_none());
        of.told = Some(now);
        Some(Row::Written(Box::new(of.whole(year, before.stamp))))
    }

    /// Writes a list down as it stands, or that it stands frozen already, or why not. An event that was decided on is not
    /// decided again.
    fn freeze(&mut self, freeze: &Freeze, before: &Before, frozen: &mut Vec<Listed>) {
        if !self.events.insert(freeze.event_id.clone()) {
            return;
        }
        let mut write = |listed: Listed| {
            frozen.push(Listed { list: List::Frozen, event_id: Some(freeze.event_id.clone()), ..listed });
            self.standing += 1;
        };
        let nothing = OfYear::default();
        let (year, approver) = match freeze.decide(before.stamp.as_of) {
            Err(refused) => return write(refusal(freeze, refused, before.stamp)),
            Ok(what) => what,
        };
        let of = self.years.get(&year).unwrap_or(&nothing);
        let list = of.list(year, before);
        let member =
            |(uscc, said): (&Uscc, &Said)| (*uscc, list.member(*uscc, said, before.now(uscc, LAST_YEAR)));
        let members: BTreeMap<Uscc, Member> = of.on.iter().map(member).collect();
        let policy_hash = Arc::clone(&before.stamp.policy_hash);
        let same_as = self.last.as_ref().and_then(|last| last.same(year, &policy_hash, &members));
        let same_as = same_as.map(ToOwned::to_owned);
        let whole = Whole { approver: Some(approver.to_owned()), same_as, ..of.sizes.whole() };
        let again = whole.same_as.is_some();
        write(Listed { whole: Some(whole), ..list.bare() });
        if again {
            return;
        }
        members.values().for_each(|member| write(Listed { member: Some(member.clone()), ..list.bare() }));
        let key = members.values().filter(|m| m.class == ListClass::Key).map(|m| m.uscc);
        self.frozen.insert(year, key.collect());
        let event_id = freeze.event_id.clone();
        self.last = Some(Frozen { year, event_id, policy_hash, members });
    }
}

impl Before<'_> {
    /// An enterprise in the year of a slot.
    fn now(&self, uscc: &Uscc, slot: usize) -> Year {
        let place = self.figures.place(uscc);
        place.and_then(|place| self.figures.year(place, slot)).unwrap_or_default()
    }

    fn whose(&self, uscc: Uscc) -> Whose {
        Whose(self.figures.place(&uscc), uscc)
    }
}

impl OfYear {
    /// What its entries have in common.
    fn list(&self, year: i32, before: &Before) -> OfList {
        OfList {
            year,
            reference: self.reference.clone(),
            model: self.model.clone(),
            limits: *before.limits,
            stamp: before.stamp.clone(),
        }
    }

    /// The list as a whole.
    fn whole(&self, year: i32, stamp: &Stamp) -> Listed {
        Listed { whole: Some(self.sizes.whole()), ..bare(year, self.reference.as_ref(), stamp) }
    }
}

fn refusal(freeze: &Freeze, refused: FreezeRefusal, stamp: &Stamp) -> Listed {
    let whole =
        Whole { approver: freeze.approver.clone(), refused: Some(refused), ..Sizes::default().whole() };
    Listed { whole: Some(whole), ..bare(freeze.year.unwrap_or(0), None, stamp) }
}

/// The rate of the city or an industry in a window; `None` where it cannot be computed.
pub(super) fn per_thousand(city: &Sum) -> Option<f64> {
    let whole = |parts: i128| (i64::from(city.with_headcount) * 1000 * PARTS) as f64 / parts as f64;
    (city.headcount_parts > 0).then(|| whole(city.headcount_parts))
}
