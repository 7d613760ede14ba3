//! The lists of this year and the last, as they change: what stands in the topic `lists`, and what should.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use tocsin_schemas::codes::{CITY, FreezeRefusal, List, ListClass, RateReason, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Listed, Member, Model as Recorded, Reference, Whole};
use tocsin_schemas::time::Day;

use super::annual::{Against, Verdict, judge};
use super::freeze::Freeze;
use super::persistent::key_years;
use crate::dataflow::{Census, PARTS, Sum};
use crate::model::Model;
use crate::policy::Lists as Limits;
use crate::rates::{Figures, Stamp};
use crate::registry::Registry;
use crate::windows::{LAST_YEAR, SHOWN, YEAR, days, last_year};

/// Entries that changed, by key; `None`: an enterprise is not on the list any more.
pub(crate) type ListsChange = (String, Option<Listed>);

/// The slot of 365 days, which the model of this year's list is fitted to: a year that has begun has too few days.
const MODELLED: usize = 2;

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// What the enterprises of a year are compared with; this year's and the last one's.
    references: BTreeMap<i32, (Reference, Option<Model>)>,
    /// Who is on the lists of these two years, as it was last said.
    said: HashMap<(i32, Uscc), Said>,
    /// The lists as a whole, as they were last said.
    wholes: BTreeMap<i32, (Option<Reference>, Whole)>,
    /// Key enterprises by year, as last frozen.
    frozen: BTreeMap<i32, BTreeSet<Uscc>>,
    /// Events that were decided on.
    events: BTreeSet<String>,
}

/// What an entry says that makes it be said again when it changes. All else in it follows from this and from what was
/// taken at a midnight.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    verdict: Verdict,
    incidents: u32,
    persons: u32,
    severe: u32,
    headcount: Option<f64>,
    key_years: u32,
    persistent: bool,
}

/// What a decision looks at.
pub(crate) struct Before<'a> {
    pub figures: &'a Figures,
    pub registry: &'a Registry,
    pub limits: &'a Limits,
    pub stamp: &'a Stamp,
}

/// Whose figures may have changed.
pub(crate) enum Moved<'a> {
    /// Anybody's: another day, another policy, a rebuild.
    All,
    /// These.
    These(&'a [Uscc]),
}

fn year_of(day: Day) -> i32 {
    i32::from(day.date().year())
}

/// The years that are kept on a day, with the slots of their windows: the last year first.
fn years(as_of: Day) -> [(i32, usize); 2] {
    let year = year_of(as_of);
    [(year - 1, LAST_YEAR), (year, YEAR)]
}

/// How many days of a list's year there are by the as-of day.
fn length(slot: usize, as_of: Day) -> u32 {
    let (first, last) = if slot == LAST_YEAR { last_year(as_of) } else { days(SHOWN[slot], as_of) };
    (last.0 - first.0 + 1).unsigned_abs()
}

impl Lists {
    /// Takes an entry of the topic back, in the order of the topic. Of the two live lists of a day only what belongs to
    /// its years is kept ([`Lists::settle`]).
    pub fn recall(&mut self, listed: Listed) {
        match (listed.list, &listed.member, &listed.whole) {
            (List::Annual, Some(member), _) => {
                self.said.insert((listed.year, member.uscc), Said::of(member));
            }
            (List::Annual, None, Some(whole)) => {
                if let Some(reference) = &listed.reference {
                    let model = reference.model.as_ref().map(Model::from);
                    self.references.insert(listed.year, (reference.clone(), model));
                }
                self.wholes.insert(listed.year, (listed.reference.clone(), whole.clone()));
            }
            (List::Frozen, member, whole) => {
                if let (Some(whole), Some(event_id)) = (whole, &listed.event_id) {
                    self.events.insert(event_id.clone());
                    if whole.refused.is_none() {
                        // The members of an earlier freezing of the year came before.
                        self.frozen.insert(listed.year, BTreeSet::new());
                    }
                }
                if let Some(member) = member.as_ref().filter(|m| m.class == ListClass::Key) {
                    self.frozen.entry(listed.year).or_default().insert(member.uscc);
                }
            }
            (List::Annual, None, None) => {}
        }
    }

    /// The windows, by slot, whose enterprises are to be counted at the midnight that begins this day: at the first of a
    /// month, and while nothing was tried.
    pub fn wants(&self, day: Day) -> Vec<usize> {
        let tried = |year| self.references.get(&year).is_some_and(|(r, _)| r.modelled_on.is_some());
        let due = day.date().day() == 1;
        let wants = years(day).into_iter().filter(|(year, _)| due || !tried(*year));
        wants.map(|(_, slot)| if slot == LAST_YEAR { LAST_YEAR } else { MODELLED }).collect()
    }

    /// Takes what enterprises are compared with from the figures of a midnight, and fits the models that were asked
    /// for. Years that are not kept any more go.
    pub fn midnight(&mut self, before: &Before, census: &BTreeMap<usize, Census>) {
        let day = before.stamp.as_of;
        let kept = years(day);
        self.references.retain(|year, _| kept.iter().any(|(y, _)| y == year));
        for (year, slot) in kept {
            let city = before.figures.sum(Scope::City, CITY, slot);
            let known = city.known > 0;
            let headcount = known.then(|| city.headcount_parts as f64 / PARTS as f64);
            let former = self.references.remove(&year);
            let (mut modelled_on, mut model) =
                former.map(|(reference, model)| (reference.modelled_on, model)).unwrap_or_default();
            let (modelled, days) =
                if slot == LAST_YEAR { (slot, length(slot, day)) } else { (MODELLED, 365) };
            if let Some(census) = census.get(&modelled) {
                modelled_on = Some(day);
                // Why not is told where it is asked for: an undetermined test.
                model = Model::fit(day, days, census).ok();
            }
            let reference = Reference {
                taken_on: day,
                incidents: city.with_headcount.max(0).unsigned_abs(),
                headcount,
                per_thousand: per_thousand(&city),
                modelled_on,
                model: model.as_ref().map(Into::into),
            };
            self.references.insert(year, (reference, model));
        }
    }

    /// The model that shrunken rates of the day come from.
    pub fn model(&self, as_of: Day) -> Option<&Model> {
        self.references.get(&year_of(as_of)).and_then(|(_, model)| model.as_ref())
    }

    /// Brings the lists up to date; what changed, sorted by key.
    pub fn settle(&mut self, before: &Before, moved: &Moved, freezes: &[Freeze]) -> Vec<ListsChange> {
        let kept = years(before.stamp.as_of);
        let mut changes = Vec::new();
        if matches!(moved, Moved::All) {
            self.said.retain(|(year, _), _| kept.iter().any(|(y, _)| y == year));
            self.wholes.retain(|year, _| kept.iter().any(|(y, _)| y == year));
        }
        // Last year first: it decides who is key for years running.
        for (year, slot) in kept {
            let firms: BTreeSet<Uscc> = match moved {
                Moved::These(firms) => firms.iter().copied().collect(),
                Moved::All => {
                    let on = self.said.keys().filter(|(y, _)| *y == year).map(|(_, uscc)| *uscc);
                    before.figures.with_incidents(slot).chain(on).collect()
                }
            };
            for uscc in firms {
                self.of(year, slot, uscc, before, &mut changes);
            }
        }
        for freeze in freezes {
            self.freeze(freeze, before, &mut changes);
        }
        for (year, _) in kept {
            self.whole(year, before, &mut changes);
        }
        changes.sort_by(|(a, _), (b, _)| a.cmp(b));
        changes
    }

    /// The lists of this year and the last as they stand, sorted by key: the lists as a whole, and who is on them.
    pub fn all(&self, before: &Before) -> Vec<Listed> {
        let mut all = Vec::new();
        for (year, slot) in years(before.stamp.as_of) {
            all.extend(self.wholes.contains_key(&year).then(|| self.header(year, before)));
            let on = self.said.iter().filter(|((y, _), _)| *y == year);
            all.extend(on.map(|((_, uscc), said)| self.listed(year, slot, *uscc, said, before)));
        }
        all.sort_by_cached_key(Listed::key);
        all
    }

    fn of(&mut self, year: i32, slot: usize, uscc: Uscc, before: &Before, changes: &mut Vec<ListsChange>) {
        let now = before.figures.year(&uscc, slot);
        let verdict = now.and_then(|now| judge(now, &self.against(year, slot, before)).map(|v| (now, v)));
        let desired = verdict.map(|(now, verdict)| {
            let key_years = match verdict.class {
                ListClass::Key => key_years(year, |y| self.was_key(y, uscc, year, before.registry)),
                ListClass::General => 0,
            };
            Said {
                verdict,
                incidents: now.incidents(),
                persons: now.tally.persons.max(0).unsigned_abs(),
                severe: now.tally.severe.max(0).unsigned_abs(),
                headcount: now.headcount(),
                key_years,
                persistent: key_years >= before.limits.persistent_years,
            }
        });
        if self.said.get(&(year, uscc)) == desired.as_ref() {
            return;
        }
        match desired {
            Some(said) => {
                let listed = self.listed(year, slot, uscc, &said, before);
                changes.push((listed.key(), Some(listed)));
                self.said.insert((year, uscc), said);
            }
            None => {
                self.said.remove(&(year, uscc));
                changes.push((format!("{}|{year}|{uscc}", List::Annual), None));
            }
        }
    }

    /// Whether an enterprise was key in a year before `than`, by that year's frozen list, or by the live one while
    /// there is none.
    fn was_key(&self, year: i32, uscc: Uscc, than: i32, registry: &Registry) -> bool {
        match self.frozen.get(&year) {
            Some(key) => key.contains(&uscc) || key.iter().any(|former| registry.root(former) == uscc),
            None => {
                let said = self.said.get(&(year, uscc));
                year + 1 == than && said.is_some_and(|said| said.verdict.class == ListClass::Key)
            }
        }
    }

    fn against<'a>(&'a self, year: i32, slot: usize, before: &'a Before) -> Against<'a> {
        let reference = self.references.get(&year);
        Against {
            reference: reference.map(|(reference, _)| reference),
            model: reference.and_then(|(_, model)| model.as_ref()),
            days: length(slot, before.stamp.as_of),
            limits: before.limits,
        }
    }

    /// An entry with everything that explains it.
    fn listed(&self, year: i32, slot: usize, uscc: Uscc, said: &Said, before: &Before) -> Listed {
        let against = self.against(year, slot, before);
        let now = before.figures.year(&uscc, slot).unwrap_or_default();
        let member = Member {
            uscc,
            class: said.verdict.class,
            reasons: said.verdict.reasons.clone(),
            undetermined: said.verdict.undetermined.clone(),
            incidents: said.incidents,
            persons: said.persons,
            severe: said.severe,
            headcount: said.headcount,
            per_thousand: now.per_thousand(),
            reason: match said.headcount {
                None => Some(RateReason::HeadcountUnknown),
                Some(0.0) => Some(RateReason::HeadcountZero),
                Some(_) => None,
            },
            shrunken_per_thousand: against.shrunken(now).ok(),
            chance_above_city: against.chance_above_city(now).ok(),
            chance_of_as_many: against.chance_of_as_many(now).ok(),
            key_years: said.key_years,
            persistent: said.persistent,
        };
        Listed { member: Some(member), ..self.bare(year, before) }
    }

    fn bare(&self, year: i32, before: &Before) -> Listed {
        Listed {
            list: List::Annual,
            year,
            event_id: None,
            as_of: before.stamp.as_of,
            decided_at: before.stamp.decided_at,
            policy_hash: before.stamp.policy_hash.clone(),
            reference: self.references.get(&year).map(|(reference, _)| reference.clone()),
            whole: None,
            member: None,
        }
    }

    fn header(&self, year: i32, before: &Before) -> Listed {
        let mut whole = Whole { key: 0, persistent: 0, general: 0, approver: None, refused: None };
        for ((_, _), said) in self.said.iter().filter(|((y, _), _)| *y == year) {
            match said.verdict.class {
                ListClass::Key => whole.key += 1,
                ListClass::General => whole.general += 1,
            }
            whole.persistent += u32::from(said.persistent);
        }
        Listed { whole: Some(whole), ..self.bare(year, before) }
    }

    /// The list as a whole, if it changed: its sizes, or what was taken at a midnight.
    fn whole(&mut self, year: i32, before: &Before, changes: &mut Vec<ListsChange>) {
        let listed = self.header(year, before);
        let Some(whole) = listed.whole.clone() else { return };
        let now = (listed.reference.clone(), whole);
        if self.wholes.get(&year) != Some(&now) {
            changes.push((listed.key(), Some(listed)));
            self.wholes.insert(year, now);
        }
    }

    /// Writes a list down as it stands, or why not. An event that was decided on is not decided again.
    fn freeze(&mut self, freeze: &Freeze, before: &Before, changes: &mut Vec<ListsChange>) {
        if !self.events.insert(freeze.event_id.clone()) {
            return;
        }
        let frozen = |listed: Listed| {
            let listed = Listed { list: List::Frozen, event_id: Some(freeze.event_id.clone()), ..listed };
            (listed.key(), Some(listed))
        };
        let (year, approver) = match freeze.decide(before.stamp.as_of) {
            Ok(decided) => decided,
            Err(refused) => {
                changes.push(frozen(self.refused(freeze, refused, before)));
                return;
            }
        };
        let mut header = self.header(year, before);
        header.whole = header.whole.map(|whole| Whole { approver: Some(approver.to_owned()), ..whole });
        changes.push(frozen(header));
        let mut key = BTreeSet::new();
        for ((_, uscc), said) in self.said.iter().filter(|((y, _), _)| *y == year) {
            changes.push(frozen(self.listed(year, LAST_YEAR, *uscc, said, before)));
            if said.verdict.class == ListClass::Key {
                key.insert(*uscc);
            }
        }
        self.frozen.insert(year, key);
    }

    fn refused(&self, freeze: &Freeze, refused: FreezeRefusal, before: &Before) -> Listed {
        let whole = Whole {
            key: 0,
            persistent: 0,
            general: 0,
            approver: freeze.approver.clone(),
            refused: Some(refused),
        };
        Listed { whole: Some(whole), reference: None, ..self.bare(freeze.year.unwrap_or(0), before) }
    }
}

impl Said {
    fn of(member: &Member) -> Said {
        Said {
            verdict: Verdict {
                class: member.class,
                reasons: member.reasons.clone(),
                undetermined: member.undetermined.clone(),
            },
            incidents: member.incidents,
            persons: member.persons,
            severe: member.severe,
            headcount: member.headcount,
            key_years: member.key_years,
            persistent: member.persistent,
        }
    }
}

/// The rate of the city or an industry in a window; `None` where it cannot be computed.
pub(super) fn per_thousand(city: &Sum) -> Option<f64> {
    let whole = |parts: i128| (i64::from(city.with_headcount) * 1000 * PARTS) as f64 / parts as f64;
    (city.headcount_parts > 0).then(|| whole(city.headcount_parts))
}

impl From<&Recorded> for Model {
    fn from(model: &Recorded) -> Model {
        let Recorded { taken_on, nu, alpha, per_person_year, fitted_by, firms, incidents } = *model;
        Model { taken_on, nu, alpha, per_person_year, fitted_by, firms, incidents }
    }
}

impl From<&Model> for Recorded {
    fn from(model: &Model) -> Recorded {
        let Model { taken_on, nu, alpha, per_person_year, fitted_by, firms, incidents } = *model;
        Recorded { taken_on, nu, alpha, per_person_year, fitted_by, firms, incidents }
    }
}
