//! What is added up: exact sums by window, and their differences.

use std::collections::BTreeMap;

use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use tocsin_schemas::codes::Category;

use super::view::{Effect, Gap};
use crate::dataflow::{Exact, PARTS, Sum};
use crate::windows::SHOWN;

/// `to` minus `from`; no row is a row of zeros.
pub(super) fn between(from: Option<&Exact>, to: Option<&Exact>) -> Exact {
    let sum = |side: Option<&Exact>, slot: usize| side.map(|sums| sums[slot]).unwrap_or_default();
    std::array::from_fn(|slot| {
        let mut change = sum(to, slot);
        change.plus_equals(&sum(from, slot).multiply(&-1));
        change
    })
}

/// Adds one to the other.
pub(super) fn add(to: &mut Exact, what: &Exact) {
    to.iter_mut().zip(what).for_each(|(to, what)| to.plus_equals(what));
}

/// As people and scripts read it, windows without a change left out.
pub(super) fn shown(change: &Exact) -> Vec<Effect> {
    let windows = SHOWN.iter().zip(change).filter(|(_, sum)| !published(sum).is_zero());
    windows
        .map(|(window, sum)| {
            let tally = &sum.tally;
            let other = [
                (Category::Commuting, tally.commuting),
                (Category::SuddenIllness, tally.sudden_illness),
                (Category::OccupationalDisease, tally.occupational_disease),
            ];
            Effect {
                window: *window,
                incidents: tally.incidents.into(),
                persons: tally.persons.into(),
                incidents_with_headcount: sum.with_headcount.into(),
                headcount: sum.headcount_parts as f64 / PARTS as f64,
                known_headcounts: sum.known.into(),
                other: other.into_iter().filter(|(_, n)| *n != 0).map(|(c, n)| (c, n.into())).collect(),
            }
        })
        .collect::<Vec<_>>()
}

/// Without what no row shows.
fn published(sum: &Sum) -> Sum {
    let mut sum = *sum;
    sum.tally.severe = 0;
    sum
}

/// Where `then` and `explained` do not give `now`.
pub(super) fn gaps(then: Option<&Exact>, explained: &Exact, now: Option<&Exact>) -> Vec<Gap> {
    let mut left = between(then, now);
    let zero = Exact::default();
    let (then, now) = (then.unwrap_or(&zero), now.unwrap_or(&zero));
    left.iter_mut().zip(explained).for_each(|(left, part)| left.plus_equals(&part.multiply(&-1)));
    let windows = SHOWN.iter().enumerate().filter(|(slot, _)| !left[*slot].is_zero());
    windows
        .flat_map(|(slot, window)| {
            let sides = [then[slot], explained[slot], now[slot]].map(|sum| figures(&sum));
            let [then, explained, now] = sides;
            let wrong = figures(&left[slot]).into_iter().filter(|(_, left)| *left != 0.0);
            wrong
                .map(move |(figure, _)| Gap {
                    window: *window,
                    figure,
                    then: then[figure],
                    explained: explained[figure],
                    now: now[figure],
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

fn figures(sum: &Sum) -> BTreeMap<&'static str, f64> {
    let tally = &sum.tally;
    BTreeMap::from([
        ("incidents", tally.incidents.into()),
        ("persons", tally.persons.into()),
        ("severe", tally.severe.into()),
        ("commuting", tally.commuting.into()),
        ("sudden_illness", tally.sudden_illness.into()),
        ("occupational_disease", tally.occupational_disease.into()),
        ("incidents_with_headcount", sum.with_headcount.into()),
        ("headcount", sum.headcount_parts as f64 / PARTS as f64),
        ("known_headcounts", sum.known.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(incidents: i32, persons: i32, heads: i128) -> Exact {
        let mut row = Exact::default();
        row[2].tally.incidents = incidents;
        row[2].tally.persons = persons;
        row[2].headcount_parts = heads * i128::from(PARTS);
        row
    }

    #[test]
    fn what_is_not_explained_is_named_with_its_window_and_figure() {
        let (then, now) = (row(2, 3, 100), row(4, 5, 90));
        let whole = between(Some(&then), Some(&now));
        assert_eq!(gaps(Some(&then), &whole, Some(&now)), []);
        let mut part = whole;
        part[2].tally.persons -= 1;
        part[2].headcount_parts += 7 * i128::from(PARTS);
        let gaps = gaps(Some(&then), &part, Some(&now));
        let named: Vec<_> = gaps.iter().map(|g| (g.figure, g.then, g.explained, g.now)).collect();
        assert_eq!(named, [("headcount", 100.0, -3.0, 90.0), ("persons", 3.0, 1.0, 5.0)]);
        assert_eq!(gaps[0].window, SHOWN[2]);
    }

    #[test]
    fn no_row_is_a_row_of_zeros_and_windows_without_a_change_are_left_out() {
        let effect = shown(&between(None, Some(&row(1, 2, 10))));
        assert_eq!(effect.len(), 1);
        assert_eq!((effect[0].incidents, effect[0].persons, effect[0].headcount), (1, 2, 10.0));
        assert_eq!(shown(&between(Some(&row(1, 2, 10)), None))[0].incidents, -1);
    }
}
