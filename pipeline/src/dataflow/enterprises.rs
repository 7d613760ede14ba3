//! Enterprises in windows, and what they add to their industries, areas and the city.
//!
//! The state holds of each enterprise its counts by window and its insured persons by month. A mean
//! headcount is not linear in what it is made of, so what an enterprise adds to its industry is worked out
//! as it was before an epoch and as it is after it; the difference goes on, summed over all enterprises that
//! the epoch touched. That makes a month that enters or leaves a window, which touches every enterprise, one
//! pass over the state, and one change for each industry.

use std::sync::Arc;

use compact_str::{CompactString, ToCompactString};
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use hashbrown::HashMap;
use smallvec::SmallVec;
use tocsin_schemas::areas::sector;
use tocsin_schemas::codes::{CITY, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::Month;

use super::measure::{Heads, Sums, Tally, Total};
use crate::registry::Profile;
use crate::windows::{KEPT, Mask, SHOWN};

/// A group of incidents: an industry, an area, the city, a cause, an hour.
pub(crate) type ScopeKey = (Scope, CompactString);

/// What the enterprises hear of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) enum Change {
    /// From now on a month belongs to these windows. Every worker is told, each by its number.
    Month(usize, Month, Mask),
    /// An enterprise that is read as its own, and where it belongs.
    Profile(Uscc, Profile),
    /// Insured persons of a month, of the enterprise itself or of one that is read as it.
    Insured(Uscc, Month, u32),
    /// Counted incidents enter windows, or leave them.
    Counted(Uscc, Mask, Tally),
}

/// What they say.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// An enterprise as it is now; `None`: without a counted incident in any window.
    Total(Uscc, Option<Arc<Total>>),
    /// What a scope gained or lost.
    Sums(ScopeKey, Box<Sums>),
}

/// See the module's page.
#[derive(Default)]
pub(crate) struct Enterprises {
    all: HashMap<Uscc, Enterprise>,
    /// The months that belong to a window, sorted.
    months: Vec<(Month, Mask)>,
    /// Every scope that had a member, by number.
    scopes: Vec<ScopeKey>,
    numbers: HashMap<ScopeKey, u32>,
    /// What the epoch under way changed of each scope, by number.
    gained: Vec<Sums>,
}

#[derive(Default)]
struct Enterprise {
    /// The scopes it is a member of, by number; empty while it is not registered or read as another's.
    scopes: SmallVec<[u32; 4]>,
    /// By month, sorted: the sum of what the records say, and how many there are.
    insured: Vec<(Month, u32, i64)>,
    /// By window; `None`: no counted incident in any.
    tallies: Option<Box<[Tally; KEPT]>>,
}

const NONE: [Tally; KEPT] = [const { Tally::NONE }; KEPT];

impl Tally {
    const NONE: Tally = Tally {
        incidents: 0,
        persons: 0,
        severe: 0,
        commuting: 0,
        sudden_illness: 0,
        occupational_disease: 0,
    };
}

impl Change {
    /// The enterprise, but for a month's.
    fn uscc(&self) -> Option<Uscc> {
        match self {
            Change::Month(..) => None,
            Change::Profile(uscc, _) | Change::Insured(uscc, ..) | Change::Counted(uscc, ..) => Some(*uscc),
        }
    }

    /// Which worker takes it.
    pub fn route(&self) -> u64 {
        match self {
            Change::Month(worker, ..) => *worker as u64,
            _ => super::keyed::route(&self.uscc()),
        }
    }
}

impl Enterprise {
    /// Its insured persons by window.
    fn heads(&self, months: &[(Month, Mask)]) -> [Heads; SHOWN.len()] {
        let mut heads = [Heads::default(); SHOWN.len()];
        let Some((first, _)) = months.first() else { return heads };
        let begin = self.insured.partition_point(|(month, ..)| month < first);
        let mut own = self.insured[begin..].iter().peekable();
        for (month, windows) in months {
            while own.next_if(|(m, ..)| m < month).is_some() {}
            if let Some((_, _, insured)) = own.next_if(|(m, ..)| m == month) {
                windows.slots().for_each(|slot| heads[slot].month(*insured));
            }
        }
        heads
    }

    fn tallies(&self) -> &[Tally; KEPT] {
        self.tallies.as_deref().unwrap_or(&NONE)
    }

    /// A month's records come or go.
    fn insure(&mut self, month: Month, insured: u32, diff: isize) {
        let at = match self.insured.binary_search_by_key(&month, |(m, ..)| *m) {
            Ok(at) => at,
            Err(at) => {
                self.insured.insert(at, (month, 0, 0));
                at
            }
        };
        let (_, records, sum) = &mut self.insured[at];
        *records = records.wrapping_add_signed(diff as i32);
        *sum += i64::from(insured) * diff as i64;
        if *records == 0 {
            self.insured.remove(at);
        }
    }

    fn count(&mut self, windows: Mask, tally: Tally) {
        let tallies = self.tallies.get_or_insert_with(|| Box::new(NONE));
        tally.spread(windows, tallies);
    }
}

impl Enterprises {
    /// The changes of an epoch in; what they come to, out.
    pub fn step(&mut self, mut changes: Vec<(Change, isize)>, out: &mut Vec<(Answer, isize)>) {
        // One batch may move an enterprise twice: what nets to nothing never was.
        consolidate(&mut changes);
        let mut by_enterprise = Vec::with_capacity(changes.len());
        let mut months = self.months.clone();
        for (change, diff) in changes {
            match (change.uscc(), change) {
                (_, Change::Month(_, month, windows)) => set(&mut months, month, windows),
                (Some(uscc), change) => by_enterprise.push((uscc, diff, change)),
                (None, _) => {}
            }
        }
        // Of one enterprise what goes comes before what comes.
        by_enterprise.sort_unstable_by_key(|(uscc, diff, _)| (*uscc, *diff));
        let old_months = std::mem::replace(&mut self.months, months);
        let turned = old_months != self.months;
        let mut by_enterprise = by_enterprise.into_iter().peekable();
        let mut touched = Vec::new();
        while let Some(uscc) = by_enterprise.peek().map(|(uscc, ..)| *uscc) {
            let mut enterprise = self.all.remove(&uscc).unwrap_or_default();
            let heads = enterprise.heads(&old_months);
            self.gain(&enterprise.scopes, &Sums::of_member(enterprise.tallies(), &heads, -1));
            let had = enterprise.tallies.is_some();
            while let Some((_, diff, change)) = by_enterprise.next_if(|(u, ..)| *u == uscc) {
                match change {
                    Change::Profile(_, profile) if diff > 0 => {
                        enterprise.scopes = scopes(&profile).map(|scope| self.number(scope)).collect();
                    }
                    Change::Profile(..) => enterprise.scopes.clear(),
                    Change::Insured(_, month, insured) => enterprise.insure(month, insured, diff),
                    Change::Counted(_, windows, tally) => {
                        enterprise.count(windows, tally.multiply(&diff));
                    }
                    Change::Month(..) => {}
                }
            }
            enterprise.tallies = enterprise.tallies.filter(|tallies| **tallies != NONE);
            let heads = enterprise.heads(&self.months);
            self.gain(&enterprise.scopes, &Sums::of_member(enterprise.tallies(), &heads, 1));
            let total = enterprise.tallies.as_deref().map(|tallies| Total { tallies: *tallies, heads });
            if had || total.is_some() {
                out.push((Answer::Total(uscc, total.map(Arc::new)), 1));
            }
            if turned {
                touched.push(uscc);
            }
            if enterprise.tallies.is_some() || !enterprise.insured.is_empty() || !enterprise.scopes.is_empty()
            {
                self.all.insert(uscc, enterprise);
            }
        }
        if turned {
            self.turn(&old_months, &touched, out);
        }
        for (scope, gained) in self.scopes.iter().zip(&mut self.gained) {
            if !gained.is_zero() {
                out.push((Answer::Sums(scope.clone(), Box::new(std::mem::take(gained))), 1));
            }
        }
    }

    /// Months entered or left windows: every enterprise but those that were settled already (sorted).
    fn turn(&mut self, old_months: &[(Month, Mask)], settled: &[Uscc], out: &mut Vec<(Answer, isize)>) {
        for (uscc, enterprise) in &self.all {
            if settled.binary_search(uscc).is_ok() {
                continue;
            }
            let (old, new) = (enterprise.heads(old_months), enterprise.heads(&self.months));
            if old == new {
                continue;
            }
            let tallies = enterprise.tallies();
            let mut gain = Sums::of_member(tallies, &new, 1);
            gain.plus_equals(&Sums::of_member(tallies, &old, -1));
            for scope in &enterprise.scopes {
                self.gained[*scope as usize].plus_equals(&gain);
            }
            if enterprise.tallies.is_some() {
                let total = Arc::new(Total { tallies: *tallies, heads: new });
                out.push((Answer::Total(*uscc, Some(total)), 1));
            }
        }
    }

    fn gain(&mut self, scopes: &[u32], gain: &Sums) {
        for scope in scopes {
            self.gained[*scope as usize].plus_equals(gain);
        }
    }

    fn number(&mut self, scope: ScopeKey) -> u32 {
        *self.numbers.entry(scope).or_insert_with_key(|scope| {
            self.scopes.push(scope.clone());
            self.gained.push(Sums::default());
            self.scopes.len() as u32 - 1
        })
    }
}

/// Brings one month up to date; in no window it goes.
fn set(months: &mut Vec<(Month, Mask)>, month: Month, windows: Mask) {
    match months.binary_search_by_key(&month, |(m, _)| *m) {
        Ok(at) if windows.is_empty() => drop(months.remove(at)),
        Ok(at) => months[at].1 = windows,
        Err(_) if windows.is_empty() => {}
        Err(at) => months.insert(at, (month, windows)),
    }
}

/// What an enterprise is a member of (S10: by area, industry, sector and cluster).
fn scopes(profile: &Profile) -> impl Iterator<Item = ScopeKey> {
    let industry = (Scope::Industry, profile.division.clone());
    let area = (Scope::Area, profile.area.clone());
    let city = (Scope::City, CompactString::const_new(CITY));
    let sector = sector(&profile.division).map(|sector| (Scope::Sector, sector.to_compact_string()));
    let tags = profile.tags.iter().map(|tag| (Scope::Tag, tag.clone()));
    [industry, area, city].into_iter().chain(sector).chain(tags)
}
