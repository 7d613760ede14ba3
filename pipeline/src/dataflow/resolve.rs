//! Reports to cases to incidents, incrementally: two keyed states and the rules of records.md section 2.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use tocsin_schemas::ids::{PersonKey, Uscc};
use tocsin_schemas::time::Day;

use crate::cases::{Case, keyed as cases_of};
use crate::facts::Shared;
use crate::incidents::{Seen, alone, of_place};
use crate::policy::Policies;

/// All reports of each person.
#[derive(Default)]
pub(crate) struct Persons(HashMap<PersonKey, Vec<Shared>>);

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
    days: BTreeMap<Day, Vec<Case>>,
}

/// Adds or removes one item of a small bag. Removing what is not there would be our own mistake.
fn apply<T: PartialEq>(bag: &mut Vec<T>, item: T, diff: isize) {
    if diff > 0 {
        // Most bags hold one item for ever: do not let the first push reserve four.
        if bag.is_empty() {
            bag.reserve_exact(1);
        }
        bag.push(item);
    } else if let Some(at) = bag.iter().position(|i| *i == item) {
        bag.swap_remove(at);
    } else {
        debug_assert!(false, "a change takes away what was never given");
    }
}

/// Out with `old`, in with `new`, but for what is in both.
fn differ<T: PartialEq, O>(
    old: Vec<T>,
    new: Vec<T>,
    mut wrap: impl FnMut(T) -> O,
    out: &mut Vec<(O, isize)>,
) {
    let mut new: Vec<Option<T>> = new.into_iter().map(Some).collect();
    for o in old {
        match new.iter_mut().find(|n| n.as_ref() == Some(&o)) {
            Some(same) => *same = None,
            None => out.push((wrap(o), -1)),
        }
    }
    out.extend(new.into_iter().flatten().map(|n| (wrap(n), 1)));
}

impl Persons {
    /// Reports of persons in, changed cases out.
    pub fn step(
        &mut self,
        changes: Vec<(Shared, isize)>,
        policies: &Policies,
        out: &mut Vec<(PlaceChange, isize)>,
    ) {
        for (person, changes) in by_key(changes, |r| r.person_key) {
            let Some(person) = person else { continue };
            let reports = self.0.entry(person).or_default();
            let old = cases_of(reports, policies);
            for (report, diff) in changes {
                apply(reports, report, diff);
            }
            let new = cases_of(reports, policies);
            if reports.is_empty() {
                self.0.remove(&person);
            }
            differ(old, new, PlaceChange::Case, out);
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
        for (uscc, changes) in by_key(changes, PlaceChange::uscc) {
            let Some(uscc) = uscc else {
                for (change, diff) in changes {
                    if let PlaceChange::Case(case) = change {
                        out.push((Arc::new(alone(&case, policies)), diff));
                    }
                }
                continue;
            };
            let enterprise = self.0.entry(uscc).or_default();
            let old_root = enterprise.root;
            let mut root = None;
            let mut moved = false;
            let mut by_day: BTreeMap<Day, Vec<(Case, isize)>> = BTreeMap::new();
            for (change, diff) in changes {
                match change {
                    PlaceChange::Case(case) => {
                        by_day.entry(case.occurred_on()).or_default().push((case, diff))
                    }
                    PlaceChange::Standing(_, to) => {
                        moved = true;
                        if diff > 0 {
                            root = Some(to);
                        }
                    }
                }
            }
            if moved {
                enterprise.root = root;
                for day in enterprise.days.keys() {
                    by_day.entry(*day).or_default();
                }
            }
            for (day, changes) in by_day {
                let pieces = enterprise.days.entry(day).or_default();
                let old = of_place(pieces, uscc, old_root, policies);
                // Out before in: a case that only changed its reports must find its place empty.
                let (outs, ins): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, diff)| *diff < 0);
                for (case, diff) in outs.into_iter().chain(ins) {
                    apply(pieces, case, diff);
                }
                let new = of_place(pieces, uscc, enterprise.root, policies);
                if pieces.is_empty() {
                    enterprise.days.remove(&day);
                }
                differ(old, new, Arc::new, out);
            }
            if enterprise.root.is_none() && enterprise.days.is_empty() {
                self.0.remove(&uscc);
            }
        }
    }
}

impl PlaceChange {
    /// The enterprise that it belongs to.
    pub fn uscc(&self) -> Option<Uscc> {
        match self {
            PlaceChange::Case(case) => case.uscc(),
            PlaceChange::Standing(uscc, _) => Some(*uscc),
        }
    }
}

/// Groups the changes of an epoch by key; within a key, what goes comes before what comes.
fn by_key<I, K: Ord>(mut changes: Vec<(I, isize)>, key: impl Fn(&I) -> K) -> Vec<(K, Vec<(I, isize)>)> {
    changes.sort_by_cached_key(|(item, diff)| (key(item), *diff));
    let mut groups: Vec<(K, Vec<(I, isize)>)> = Vec::new();
    for (item, diff) in changes {
        let key = key(&item);
        match groups.last_mut() {
            Some((last, group)) if *last == key => group.push((item, diff)),
            _ => groups.push((key, vec![(item, diff)])),
        }
    }
    groups
}
