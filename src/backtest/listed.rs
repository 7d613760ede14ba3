//! Who is on the lists of a year (S11) under each policy, and who enters or leaves it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tocsin_schemas::codes::{List, ListClass, ListReason};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::Listed;

use super::compare::Counts;
use super::tally::Known;

/// An enterprise on a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OnList {
    /// Key or general.
    pub class: ListClass,
    /// Why.
    pub reasons: Vec<ListReason>,
    /// Key for years running (S36).
    pub persistent: bool,
}

/// The lists of all years, as they last stood.
#[derive(Debug, Default)]
pub struct Lists(BTreeMap<(i32, Uscc), OnList>);

/// The enterprises of one class on the list of a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ListRow {
    /// The calendar year.
    pub year: i32,
    /// The class.
    pub class: ListClass,
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
    /// Those that are not in it under NEW.
    pub only_old: u64,
    /// Those that are not in it under OLD.
    pub only_new: u64,
}

/// An enterprise that is not the same on the list of a year.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListDifference {
    /// The calendar year.
    pub year: i32,
    /// The enterprise.
    pub uscc: Uscc,
    /// Its name and area, where it was named.
    #[serde(flatten)]
    pub known: Known,
    /// As it stands under OLD; null: not on the list.
    pub old: Option<OnList>,
    /// As it stands under NEW.
    pub new: Option<OnList>,
}

impl Lists {
    /// Takes in what a decision changed.
    pub fn hear(&mut self, changes: impl Iterator<Item = (String, Option<Listed>)>) {
        for (key, listed) in changes {
            match listed {
                Some(Listed { list: List::Annual, year, member: Some(member), .. }) => {
                    let on = OnList {
                        class: member.class,
                        reasons: member.reasons,
                        persistent: member.persistent,
                    };
                    self.0.insert((year, member.uscc), on);
                }
                Some(_) => {}
                None => {
                    Listed::live_entry(&key).map(|gone| self.0.remove(&gone));
                }
            }
        }
    }
}

/// A row for each class of each of these years that either policy has somebody in.
pub fn rows(old: &Lists, new: &Lists, years: &BTreeSet<i32>) -> Vec<ListRow> {
    let of = |lists: &Lists, year: i32, class: ListClass| -> BTreeSet<Uscc> {
        let within = lists.0.iter().filter(|((y, _), on)| *y == year && on.class == class);
        within.map(|((_, uscc), _)| *uscc).collect()
    };
    let mut rows = Vec::new();
    for year in years {
        for class in ListClass::ALL {
            let (was, is) = (of(old, *year, *class), of(new, *year, *class));
            let only_old = was.difference(&is).count() as u64;
            let only_new = is.difference(&was).count() as u64;
            let counts = Counts::new(was.len() as u64, is.len() as u64);
            if !was.is_empty() || !is.is_empty() {
                rows.push(ListRow { year: *year, class: *class, counts, only_old, only_new });
            }
        }
    }
    rows
}

/// The enterprises that do not stand alike on the lists of these years, by year and USCC.
pub fn differences(
    old: &Lists,
    new: &Lists,
    years: &BTreeSet<i32>,
    known: impl Fn(&Uscc) -> Known,
) -> Vec<ListDifference> {
    let keys: BTreeSet<&(i32, Uscc)> = old.0.keys().chain(new.0.keys()).collect();
    let differs = |(year, uscc): &&(i32, Uscc)| {
        let key = (*year, *uscc);
        years.contains(year) && old.0.get(&key) != new.0.get(&key)
    };
    let difference = |key: &(i32, Uscc)| ListDifference {
        year: key.0,
        uscc: key.1,
        known: known(&key.1),
        old: old.0.get(key).cloned(),
        new: new.0.get(key).cloned(),
    };
    keys.into_iter().filter(differs).map(difference).collect()
}
