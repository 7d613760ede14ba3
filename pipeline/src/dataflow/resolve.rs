//! Reports to cases to incidents, incrementally: two keyed states and the rules of records.md section 2.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::iter::Peekable;
use std::sync::Arc;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use serde::{Deserialize, Serialize};
use smallvec::{Array, SmallVec};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::Day;

use crate::cases::{Case, keyed as cases_of};
use crate::facts::Shared;
use crate::incidents::{Seen, alone, of_place};
use crate::policy::Policies;

/// All reports of each person. Never an empty list: the reports themselves say whose they are.
#[derive(Default)]
pub(crate) struct Persons {
    reports: HashTable<Reports>,
    hasher: DefaultHashBuilder,
}

/// Those of one person: mostly one or two, kept in place.
type Reports = SmallVec<[Shared; 2]>;

/// What the places hear of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum PlaceChange {
    /// A case (or a report without a key) comes or goes.
    Case(Case),
    /// An enterprise is registered, and read as this one.
    Standing(Uscc, Uscc),
}

/// All cases of each enterprise, by day.
#[derive(Default)]
pub(crate) struct Places(HashMap<Uscc, Enterprise>);

#[derive(Default)]
struct Enterprise {
    /// Whose it is read as; `None` while not registered.
    root: Option<Uscc>,
    days: BTreeMap<Day, SmallVec<[Case; 1]>>,
}

/// Adds or removes one item of a small bag. Removing what is not there would be our own mistake.
fn apply<A: Array<Item: PartialEq>>(bag: &mut SmallVec<A>, item: A::Item, diff: isize) {
    if diff > 0 {
        bag.push(item);
    } else if let Some(at) = bag.iter().position(|i| *i == item) {
        bag.swap_remove(at);
    } else {
        debug_assert!(false, "a change takes away what was never given");
    }
}

/// Out with `old`, in with `new`, but for what is in both.
fn differ<A: Array<Item: PartialEq>, O>(
    old: SmallVec<A>,
    new: SmallVec<A>,
    mut wrap: impl FnMut(A::Item) -> O,
    out: &mut Vec<(O, isize)>,
) {
    // Of many, mostly all but one stand as they stood, in the same order.
    let equal = |(o, n): &(&A::Item, &A::Item)| o == n;
    let ahead = old.iter().zip(&new).take_while(equal).count();
    let behind = old[ahead..].iter().rev().zip(new[ahead..].iter().rev()).take_while(equal).count();
    let between = |list: SmallVec<A>| {
        let end = list.len() - behind;
        list.into_iter().take(end).skip(ahead)
    };
    let mut new: SmallVec<A> = between(new).collect();
    for o in between(old) {
        match new.iter().position(|n| *n == o) {
            Some(same) => drop(new.remove(same)),
            None => out.push((wrap(o), -1)),
        }
    }
    out.extend(new.into_iter().map(|n| (wrap(n), 1)));
}

impl Persons {
    /// Reports of persons in, changed cases out.
    pub fn step(
        &mut self,
        changes: Vec<(Shared, isize)>,
        policies: &Policies,
        out: &mut Vec<(PlaceChange, isize)>,
    ) {
        let mut changes = sorted_by(changes, |r: &Shared| r.person_key);
        while let Some(person) = changes.peek().map(|((person, _), _)| *person) {
            let of_person = std::iter::from_fn(|| changes.next_if(|((p, _), _)| *p == person));
            let Some(person) = person else {
                of_person.for_each(drop);
                continue;
            };
            let change = |reports: &mut Reports, out: &mut Vec<_>| {
                let old = cases_of(reports, policies);
                for ((_, diff), report) in of_person {
                    apply(reports, report, diff);
                }
                differ(old, cases_of(reports, policies), PlaceChange::Case, out);
            };
            let hasher = &self.hasher;
            let hash = |reports: &Reports| hasher.hash_one(reports[0].person_key);
            let same = |reports: &Reports| reports[0].person_key == Some(person);
            match self.reports.entry(hasher.hash_one(Some(person)), same, hash) {
                Entry::Occupied(mut place) => {
                    change(place.get_mut(), out);
                    if place.get().is_empty() {
                        place.remove();
                    }
                }
                Entry::Vacant(place) => {
                    let mut reports = Reports::new();
                    change(&mut reports, out);
                    if !reports.is_empty() {
                        place.insert(reports);
                    }
                }
            }
        }
    }
}

impl Places {
    /// Cases and registrations in, changed incidents out.
    pub fn step(
        &mut self,
        changes: Vec<(PlaceChange, isize)>,
        policies: &Policies,
        out: &mut Vec<(Arc<Seen>, isize)>,
    ) {
        // By enterprise; its standing first, then its days.
        let mut changes = sorted_by(changes, PlaceChange::place);
        while let Some((uscc, _)) = changes.peek().map(|((place, _), _)| *place) {
            let Some(uscc) = uscc else {
                if let Some(((_, diff), PlaceChange::Case(case))) = changes.next() {
                    out.push((Arc::new(alone(&case, policies)), diff));
                }
                continue;
            };
            let enterprise = self.0.entry(uscc).or_default();
            let old_root = enterprise.root;
            let mut moved = false;
            let standing = |((place, _), _): &_| *place == (Some(uscc), None);
            let mut root = None;
            while let Some(((_, diff), change)) = changes.next_if(standing) {
                moved = true;
                if let (PlaceChange::Standing(_, to), true) = (change, diff > 0) {
                    root = Some(to);
                }
            }
            // Where the enterprise itself moved, every day of it is looked at.
            let mut rest: BTreeSet<Day> = BTreeSet::new();
            if moved {
                enterprise.root = root;
                rest.extend(enterprise.days.keys());
            }
            while let Some(((_, Some(day)), _)) =
                changes.peek().map(|(key, _)| key).filter(|((u, _), _)| *u == Some(uscc))
            {
                let day = *day;
                rest.remove(&day);
                // Out before in: a case that only changed its reports must find its place empty.
                let here = |((place, _), _): &_| *place == (Some(uscc), Some(day));
                let of_day = std::iter::from_fn(|| changes.next_if(here));
                enterprise.step(uscc, day, old_root, of_day, policies, out);
            }
            for day in rest {
                enterprise.step(uscc, day, old_root, std::iter::empty(), policies, out);
            }
            if enterprise.root.is_none() && enterprise.days.is_empty() {
                self.0.remove(&uscc);
            }
        }
    }
}

impl Enterprise {
    /// The cases of one day in, its changed incidents out. `old_root` is whose they were read as.
    fn step(
        &mut self,
        uscc: Uscc,
        day: Day,
        old_root: Option<Uscc>,
        changes: impl Iterator<Item = Keyed<Place, PlaceChange>>,
        policies: &Policies,
        out: &mut Vec<(Arc<Seen>, isize)>,
    ) {
        let pieces = self.days.entry(day).or_default();
        let old = of_place(pieces, uscc, old_root, policies);
        for ((_, diff), change) in changes {
            if let PlaceChange::Case(case) = change {
                apply(pieces, case, diff);
            }
        }
        let new = of_place(pieces, uscc, self.root, policies);
        if pieces.is_empty() {
            self.days.remove(&day);
        }
        differ(old, new, Arc::new, out);
    }
}

/// An enterprise, and a day there; no day: the enterprise itself.
type Place = (Option<Uscc>, Option<Day>);

impl PlaceChange {
    /// What it changes.
    fn place(&self) -> Place {
        match self {
            PlaceChange::Case(case) => (case.uscc(), Some(case.occurred_on())),
            PlaceChange::Standing(uscc, _) => (Some(*uscc), None),
        }
    }

    /// The enterprise that it belongs to.
    pub fn uscc(&self) -> Option<Uscc> {
        match self {
            PlaceChange::Case(case) => case.uscc(),
            PlaceChange::Standing(uscc, _) => Some(*uscc),
        }
    }
}

/// A change with its key and sign.
type Keyed<K, I> = ((K, isize), I);

/// The changes of an epoch by key; within a key, what goes comes before what comes.
fn sorted_by<I, K: Ord>(
    changes: Vec<(I, isize)>,
    key: impl Fn(&I) -> K,
) -> Peekable<std::vec::IntoIter<Keyed<K, I>>> {
    let mut keyed: Vec<Keyed<K, I>> =
        changes.into_iter().map(|(item, diff)| ((key(&item), diff), item)).collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    keyed.into_iter().peekable()
}
