//! The insured persons of one enterprise by month. At the turn of a month all enterprises are read, and what that costs
//! is mostly to fetch them from memory: so the usual one, with one record each month, is its numbers and no more.

use std::ops::Range;

use smallvec::SmallVec;
use tocsin_schemas::time::Month;

use super::measure::Heads;
use crate::windows::SUMMED;

/// From a month to the one before another.
pub(super) type Span = (Month, Month);

/// Spans that are asked of one enterprise after the other.
pub(super) struct Spans {
    /// As months after the first of all.
    all: Vec<(usize, usize)>,
    /// What holds them all.
    hull: Span,
}

/// Where each span lies among the months of an enterprise: asked of one after the other, it is found once for all in a row that
/// have the same months, as most have.
pub(super) struct Places<'a> {
    spans: &'a Spans,
    /// The first month with a record, and how many there are.
    of: Option<(Month, usize)>,
    /// The months that any span holds.
    hull: Range<usize>,
    /// Of these, by span: from which on, and up to which.
    all: SmallVec<[(usize, usize); 2 * SUMMED]>,
}

/// Up to so many months sums are kept while spans are answered; windows that are published need 25.
const KEPT: usize = 32;

/// The months that have a record.
pub(super) enum Insured {
    /// From the first on one record each month, without a gap.
    Plain { first: Month, persons: Vec<u32> },
    /// Anything else, by month, sorted.
    Other(Vec<OfMonth>),
}

/// A month.
pub(super) struct OfMonth {
    month: Month,
    /// How many records it has: several where others are read as this enterprise.
    records: u32,
    /// What they say together.
    persons: i64,
}

impl Default for Insured {
    fn default() -> Insured {
        Insured::Plain { first: Month(0), persons: Vec::new() }
    }
}

impl Spans {
    /// These, in their order.
    pub fn of(all: Vec<Span>) -> Spans {
        // An empty one is nowhere.
        let some = || all.iter().filter(|(from, to)| from < to);
        let first = some().map(|(from, _)| *from).min().unwrap_or(Month(0));
        let end = some().map(|(_, to)| *to).max().unwrap_or(first);
        let places = all.iter().map(|(from, to)| match from < to {
            true => (after(*from, first), after(*to, first)),
            false => (0, 0),
        });
        Spans { all: places.collect(), hull: (first, end) }
    }

    /// To ask enterprises.
    pub fn places(&self) -> Places<'_> {
        Places { spans: self, of: None, hull: 0..0, all: SmallVec::new() }
    }
}

impl Places<'_> {
    /// Those of an enterprise with so many months, from this one on.
    fn find(&mut self, first: Month, months: usize) {
        if self.of == Some((first, months)) {
            return;
        }
        let Spans { all, hull } = self.spans;
        self.of = Some((first, months));
        self.hull = after(hull.0, first).min(months)..after(hull.1, first).min(months);
        let (missing, held) = (after(first, hull.0), self.hull.len());
        let place = |month: usize| month.saturating_sub(missing).min(held);
        self.all.clear();
        self.all.extend(all.iter().map(|(from, to)| (place(*from), place(*to))));
    }
}

impl Insured {
    /// Whether no month has a record.
    pub fn is_empty(&self) -> bool {
        match self {
            Insured::Plain { persons, .. } => persons.is_empty(),
            Insured::Other(months) => months.is_empty(),
        }
    }

    /// Something of the memory that its months are in, where it is the usual one; see [`crate::cores::touch`].
    pub fn lines(&self) -> i32 {
        match self {
            Insured::Plain { persons, .. } => {
                persons.iter().step_by(16).fold(0, |sum, n| sum.wrapping_add_unsigned(*n))
            }
            Insured::Other(_) => 0,
        }
    }

    /// A record of a month comes or goes.
    pub fn insure(&mut self, month: Month, insured: u32, diff: isize) {
        if let Insured::Plain { first, persons } = self {
            if persons.is_empty() {
                *first = month;
            }
            if diff == 1 && i64::from(month.0) == i64::from(first.0) + persons.len() as i64 {
                persons.push(insured);
                return;
            }
        }
        let mut months = std::mem::take(self).into_months();
        let at = match months.binary_search_by_key(&month, |of| of.month) {
            Ok(at) => at,
            Err(at) => {
                months.insert(at, OfMonth { month, records: 0, persons: 0 });
                at
            }
        };
        let of = &mut months[at];
        of.records = of.records.wrapping_add_signed(diff as i32);
        of.persons += i64::from(insured) * diff as i64;
        if of.records == 0 {
            months.remove(at);
        }
        *self = Insured::of(months);
    }

    /// The months of each of these spans.
    pub fn within(&self, places: &mut Places, mut each: impl FnMut(usize, Heads)) {
        let (first, persons) = match self {
            Insured::Plain { first, persons } => (*first, &persons[..]),
            Insured::Other(months) => {
                let spans = places.spans;
                let month = |at: usize| Month(spans.hull.0.0 + at as i32);
                let of = spans.all.iter().map(|(from, to)| of_months(months, (month(*from), month(*to))));
                return of.enumerate().for_each(|(at, heads)| each(at, heads));
            }
        };
        places.find(first, persons.len());
        let persons = &persons[places.hull.clone()];
        // The sum of those before each, so that each span is one difference.
        let (mut before, mut sum) = ([0; KEPT + 1], 0);
        for (before, n) in before[1..].iter_mut().zip(persons) {
            sum += i64::from(*n);
            *before = sum;
        }
        for (at, &(low, high)) in places.all.iter().enumerate() {
            let insured = match (before.get(low), before.get(high)) {
                (Some(low), Some(high)) => high - low,
                _ => persons[low..high].iter().map(|n| i64::from(*n)).sum(),
            };
            each(at, Heads { insured, months: (high - low) as i32 });
        }
    }

    fn into_months(self) -> Vec<OfMonth> {
        match self {
            Insured::Plain { first, persons } => {
                let months = (first.0..).map(Month).zip(persons);
                months.map(|(month, n)| OfMonth { month, records: 1, persons: n.into() }).collect()
            }
            Insured::Other(months) => months,
        }
    }

    fn of(months: Vec<OfMonth>) -> Insured {
        let Some(first) = months.first().map(|of| of.month) else { return Insured::default() };
        let plain = (first.0..).map(Month).zip(&months).map(|(month, of)| {
            u32::try_from(of.persons).ok().filter(|_| of.month == month && of.records == 1)
        });
        match plain.collect() {
            Some(persons) => Insured::Plain { first, persons },
            None => Insured::Other(months),
        }
    }
}

/// How many months one is after another; 0: it is not.
fn after(month: Month, other: Month) -> usize {
    (i64::from(month.0) - i64::from(other.0)).max(0) as usize
}

fn of_months(months: &[OfMonth], (from, to): Span) -> Heads {
    let mut heads = Heads::default();
    let from = months.partition_point(|of| of.month < from);
    for of in months[from..].iter().take_while(|of| of.month < to) {
        heads.month(of.persons);
    }
    heads
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// All spans of so many months, empty ones too, beside a second sum.
    fn agrees(insured: &Insured, by_month: &BTreeMap<i32, Vec<u32>>, until: i32) {
        let all: Vec<Span> =
            (0..until).flat_map(|from| (from..until).map(move |to| (Month(from), Month(to)))).collect();
        let spans = Spans::of(all.clone());
        let mut judged = 0;
        insured.within(&mut spans.places(), |at, heads| {
            let (from, to) = all[at];
            let within: Vec<&Vec<u32>> = by_month.range(from.0..to.0).map(|(_, records)| records).collect();
            let persons: i64 = within.iter().flat_map(|records| records.iter()).map(|n| i64::from(*n)).sum();
            assert_eq!((heads.insured, heads.months), (persons, within.len() as i32), "{from:?} {to:?}");
            judged += 1;
        });
        assert_eq!(judged, all.len());
    }

    #[test]
    fn any_span_is_the_sum_of_its_months_whatever_came_and_went() {
        let (mut insured, mut by_month) = (Insured::default(), BTreeMap::<i32, Vec<u32>>::new());
        // In a row; a second record; gaps at both ends and one in the middle; the greatest number twice; all of it gone.
        let comes = [(3, 30), (4, 0), (5, u32::MAX), (4, 7), (8, 80), (1, 10), (5, u32::MAX), (2, 20)];
        let goes = [(4, 0), (8, 80), (5, u32::MAX), (3, 30), (3, 31), (1, 10), (4, 7), (2, 20)];
        let changes = comes.map(|(month, n)| (month, n, 1)).into_iter();
        let changes = changes.chain([(3, 31, 1)]).chain(goes.map(|(month, n)| (month, n, -1)));
        let mut plain = Vec::new();
        for (month, n, diff) in changes.chain([(5, u32::MAX, -1), (6, 60, 1)]) {
            insured.insure(Month(month), n, diff);
            let records = by_month.entry(month).or_default();
            match diff {
                1 => records.push(n),
                _ => drop(records.remove(records.iter().position(|r| *r == n).unwrap())),
            }
            by_month.retain(|_, records| !records.is_empty());
            agrees(&insured, &by_month, 10);
            plain.push(matches!(insured, Insured::Plain { .. }));
        }
        assert!(plain.contains(&true) && plain.contains(&false) && *plain.last().unwrap(), "{plain:?}");
        insured.insure(Month(6), 60, -1);
        assert!(insured.is_empty());
    }

    #[test]
    fn places_that_were_found_for_one_serve_those_of_the_same_months_alone() {
        let spans = Spans::of(vec![(Month(2), Month(6)), (Month(0), Month(9)), (Month(7), Month(7))]);
        let mut places = spans.places();
        let plain =
            |first, persons: &[u32]| Insured::Plain { first: Month(first), persons: persons.to_vec() };
        let other = Insured::Other(vec![OfMonth { month: Month(3), records: 2, persons: 70 }]);
        let mut of = |insured: &Insured| {
            let mut heads = [(0, 0); 3];
            insured.within(&mut places, |at, of| heads[at] = (of.insured, of.months));
            heads
        };
        assert_eq!(of(&plain(1, &[1, 2, 4])), [(6, 2), (7, 3), (0, 0)]);
        assert_eq!(of(&plain(1, &[8, 16, 32])), [(48, 2), (56, 3), (0, 0)]);
        assert_eq!(of(&plain(1, &[1, 2, 4, 8])), [(14, 3), (15, 4), (0, 0)], "a month more");
        assert_eq!(of(&plain(5, &[1, 2, 4, 8])), [(1, 1), (15, 4), (0, 0)], "later");
        assert_eq!(of(&other), [(70, 1), (70, 1), (0, 0)]);
        assert_eq!(of(&plain(5, &[])), [(0, 0); 3]);
        assert_eq!(of(&plain(1, &[1, 2, 4])), [(6, 2), (7, 3), (0, 0)], "the first once more");
    }

    #[test]
    fn more_months_than_are_kept_are_summed_too() {
        let mut insured = Insured::default();
        let by_month: BTreeMap<i32, Vec<u32>> = (2..50).map(|month| (month, vec![month as u32])).collect();
        by_month.iter().for_each(|(month, n)| insured.insure(Month(*month), n[0], 1));
        agrees(&insured, &by_month, 52);
    }
}
