//! Figures as known then and as known now, against the oracle over the same part of a random history; and the way from
//! the one to the other, against the oracle after each single record.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "subjected/policies.rs"]
mod policies;

use std::collections::{BTreeMap, BTreeSet};

use policies::policies;
use tocsin_oracle::histories::history;
use tocsin_oracle::{History, Oracle, OraclePolicy, WINDOWS};
use tocsin_pipeline::Arrival;
use tocsin_pipeline::known::{Because, Comparing, Comparison, Effect, ListEntry, Question, Side};
use tocsin_schemas::codes::{Category, Scope};
use tocsin_schemas::records::{Digest, Rate, Record, Window};
use tocsin_schemas::time::{Day, Instant};

type Taken = (Instant, (Record, Digest, Instant));

/// A history as one list, each record with the clock at which it was taken in.
fn taken(history: &History) -> (Vec<Taken>, Instant) {
    let mut clock = Instant(i64::MIN);
    let mut all = Vec::new();
    for step in &history.steps {
        clock = clock.max(step.at);
        all.extend(step.arrivals.iter().map(|arrival| (clock, arrival.clone())));
    }
    (all, clock)
}

/// A few numbers that depend on all of the seed.
fn draw(seed: u64, n: u64) -> u64 {
    let mixed = (seed << 8 | n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 20
}

/// Every row of a day from scratch, with these records known.
fn rows(tables: &[OraclePolicy], known: &[Taken], day: Day) -> Vec<Rate> {
    let mut oracle = Oracle::new(tables.to_vec());
    oracle.arrive(day.midnight(), known.iter().map(|(_, arrival)| arrival.clone()).collect());
    oracle.rates()
}

fn of<'r>(rows: &'r [Rate], question: &Question) -> BTreeMap<Window, &'r Rate> {
    let own = rows.iter().filter(|r| r.scope == question.scope && r.key == question.key);
    own.map(|row| (row.window, row)).collect()
}

fn compare(question: &Question, tables: [&[OraclePolicy]; 2], all: &[Taken], clock: Instant) -> Comparison {
    let mut comparing = Comparing::new(question.clone(), policies(tables[0]), policies(tables[1]));
    for (at, (record, digest, arrived_at)) in all {
        let arrival = Arrival { record: record.clone(), digest: *digest, arrived_at: *arrived_at };
        comparing.take(*at, arrival);
    }
    comparing.compare(clock, &mut |_, _| {})
}

/// A question about a random instant, a day not after it, and something that has a row there, or had one.
struct Drawn {
    question: Question,
    then: Vec<OraclePolicy>,
    now: Vec<OraclePolicy>,
    all: Vec<Taken>,
    known: usize,
    clock: Instant,
}

fn drawn(seed: u64, n: u64) -> Drawn {
    let history = history(seed, 40);
    let (all, clock) = taken(&history);
    let known_at = all[draw(seed, n) as usize % all.len()].0;
    let as_of = known_at.day().plus(-(draw(seed, n + 1) as i32 % 40).max(0));
    let known = all.iter().take_while(|(at, _)| *at <= known_at).count();
    let then = history.policies.clone();
    let now = history.steps.iter().rev().find_map(|s| s.adopt.clone()).unwrap_or_else(|| then.clone());
    let both: BTreeSet<(Scope, String)> = rows(&then, &all[..known], as_of)
        .into_iter()
        .chain(rows(&now, &all, as_of))
        .map(|r| (r.scope, r.key))
        .collect();
    let (scope, key) = both.iter().nth(draw(seed, n + 2) as usize % both.len()).unwrap().clone();
    Drawn { question: Question { scope, key, as_of, known_at }, then, now, all, known, clock }
}

fn same(side: &Side, rows: &BTreeMap<Window, &Rate>, place: &str) {
    assert_eq!(side.windows.is_some(), !rows.is_empty(), "{place}: {side:?}");
    for window in side.windows.iter().flatten() {
        let row = rows[&window.window];
        assert_eq!((window.incidents, window.persons), (row.incidents, row.persons), "{place}");
        assert_eq!(window.incidents_with_headcount, row.incidents_with_headcount, "{place}");
        assert_eq!((window.headcount, window.per_thousand), (row.headcount, row.per_thousand), "{place}");
        assert_eq!((window.reason, &window.other), (row.reason, &row.other), "{place}");
    }
}

/// The entry of the day's year is what the row of the year to date says, against the city's row of the same days.
fn listed(side: &Side, rows: &[Rate], question: &Question, place: &str) {
    if question.scope != Scope::Enterprise {
        assert_eq!(side.lists, [], "{place}");
        return;
    }
    let year = i32::from(question.as_of.year());
    let entry = side.lists.iter().find(|entry| entry.year == year);
    let row = of(rows, question).get(&Window::Year).copied().filter(|row| row.incidents > 0);
    assert_eq!(entry.is_some(), row.is_some(), "{place}: {entry:?} {row:?}");
    let Some((entry, row)) = entry.zip(row) else { return };
    let figures = (entry.incidents, entry.persons, entry.headcount, entry.per_thousand);
    assert_eq!(figures, (row.incidents, row.persons, row.headcount, row.per_thousand), "{place}");
    let city = rows.iter().find(|r| r.scope == Scope::City && r.window == Window::Year);
    let expected =
        row.headcount.zip(city.and_then(|city| city.per_thousand)).map(|(h, rate)| h * rate / 1000.0);
    let Some(chance) = entry.chance_of_as_many else { return };
    // As many or more, by summing up what is below.
    let mut term = (-expected.unwrap()).exp();
    let mut below = 0.0;
    for k in 0..row.incidents {
        below += term;
        term *= expected.unwrap() / f64::from(k + 1);
    }
    assert!((chance - (1.0 - below)).abs() < 1e-9, "{place}: {chance} for {}", 1.0 - below);
}

/// Counts and headcount of a row; zeros where there is none.
fn counts(row: Option<&&Rate>) -> ([i64; 3], f64, BTreeMap<Category, i64>) {
    let Some(row) = row else { return Default::default() };
    let counts = [row.incidents, row.persons, row.incidents_with_headcount].map(i64::from);
    let other = row.other.iter().map(|(category, n)| (*category, i64::from(*n))).collect();
    (counts, row.headcount.unwrap_or(0.0), other)
}

/// That these effects lead from one set of rows to another.
fn leads<'e>(
    effects: impl Iterator<Item = &'e Effect> + Clone,
    from: &BTreeMap<Window, &Rate>,
    to: &BTreeMap<Window, &Rate>,
    place: &str,
) {
    for window in WINDOWS {
        let (mut sums, mut headcount, mut other) = counts(from.get(&window));
        for effect in effects.clone().filter(|effect| effect.window == window) {
            sums[0] += effect.incidents;
            sums[1] += effect.persons;
            sums[2] += effect.incidents_with_headcount;
            headcount += effect.headcount;
            for (category, n) in &effect.other {
                *other.entry(*category).or_default() += n;
            }
        }
        other.retain(|_, n| *n != 0);
        let (wanted, heads, others) = counts(to.get(&window));
        assert_eq!((sums, &other), (wanted, &others), "{place} {window}");
        assert!((headcount - heads).abs() < 1e-6, "{place} {window}: {headcount} for {heads}");
    }
}

#[test]
fn then_and_now_are_the_oracles_and_the_differences_add_up() {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for (seed, n) in (0..300).flat_map(|seed| [(seed, 0), (seed, 10)]) {
        let drawn = drawn(seed, n);
        let Drawn { question, then, now, all, known, clock } = &drawn;
        let place = format!("seed {seed} {question:?}");
        let found = compare(question, [then, now], all, *clock);
        let was = rows(then, &all[..*known], question.as_of);
        let is = rows(now, all, question.as_of);
        same(&found.then, &of(&was, question), &place);
        same(&found.now, &of(&is, question), &place);
        assert!(found.adds_up(), "{place}: {:?} {:?}", found.unexplained, found.lists_unexplained);
        listed(&found.then, &was, question, &place);
        listed(&found.now, &is, question, &place);
        let each = found.differences.iter().flat_map(|d| &d.effect);
        leads(each, &of(&was, question), &of(&is, question), &place);
        leads(found.explained.iter(), &of(&was, question), &of(&is, question), &place);
        assert_eq!((found.then.records, found.now.records), (*known as u64, all.len() as u64), "{place}");
        let listed = found.differences.iter().filter(|d| d.taken_in_at.is_some()).count();
        assert_eq!(found.without_effect as usize + listed, all.len() - known, "{place}");
        census(&found, &mut kinds);
    }
    for kind in [
        "policy",
        "register",
        "headcount",
        "entered",
        "left",
        "arrived",
        "withdrawn",
        "refused",
        "admitted",
        "restored",
        "replaced",
        "came",
        "went",
        "merged",
        "split",
        "state",
        "enterprise",
        "day",
        "category",
        "severity",
        "persons",
        "appeared",
        "vanished",
        "compared",
        "none to general",
        "general to none",
        "general to general",
        "general to key",
        "key to general",
    ] {
        assert!(kinds.contains_key(kind), "{kind} never occurred: {kinds:?}");
    }
}

/// What occurred.
fn census(found: &Comparison, kinds: &mut BTreeMap<String, usize>) {
    let mut count = |kind: String| *kinds.entry(kind).or_default() += 1;
    for difference in &found.differences {
        match &difference.cause {
            Because::Policy { .. } if difference.effect.is_empty() => {}
            Because::Policy { .. } => count("policy".to_owned()),
            Because::ComparedWith { lists } => {
                assert!(!lists.is_empty() && !difference.lists.is_empty());
                count("compared".to_owned());
            }
            Because::Report { did, .. } => count(word(did)),
            Because::Headcount { .. } => count("headcount".to_owned()),
            Because::Register { moved, .. } => {
                count("register".to_owned());
                for one in moved {
                    match one.here {
                        (false, true) => count("entered".to_owned()),
                        (true, false) => count("left".to_owned()),
                        _ => {}
                    }
                }
            }
        }
        difference.incidents.iter().flat_map(|t| &t.how).for_each(|how| count(word(how)));
        difference.row.iter().for_each(|row| count(word(row)));
        for moved in &difference.lists {
            let class =
                |side: &Option<ListEntry>| side.as_ref().map_or("none".to_owned(), |e| e.class.to_string());
            count(format!("{} to {}", class(&moved.before), class(&moved.since)));
        }
    }
}

fn word(of: &impl serde::Serialize) -> String {
    serde_json::to_value(of).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn each_difference_is_what_its_record_changes_and_no_other_record_changes_anything() {
    let mut steps = 0;
    for seed in 1000..1060 {
        let Drawn { question, then, now, all, known, clock } = &drawn(seed, 0);
        let found = compare(question, [then, now], all, *clock);
        // A headcount of 0 that was not known before changes the number of known ones alone: no sum.
        let shown = |e: &Effect| {
            e.incidents != 0
                || e.persons != 0
                || e.incidents_with_headcount != 0
                || e.headcount != 0.0
                || !e.other.is_empty()
        };
        let mut named = found.differences.iter().filter(|d| d.effect.iter().any(shown)).peekable();
        let day = question.as_of;
        let mut before = rows(then, &all[..*known], day);
        let mut step = |after: Vec<Rate>, taken_in_at: Option<Instant>, place: String| {
            let (from, to) = (of(&before, question), of(&after, question));
            let changed = WINDOWS.iter().any(|w| counts(from.get(w)) != counts(to.get(w)));
            if changed {
                let difference = named.next().unwrap_or_else(|| panic!("{place}: not named"));
                assert_eq!(difference.taken_in_at, taken_in_at, "{place}");
                leads(difference.effect.iter(), &from, &to, &place);
                steps += 1;
            }
            before = after;
        };
        step(rows(now, &all[..*known], day), None, format!("seed {seed} policy"));
        for n in known + 1..=all.len() {
            let place = format!("seed {seed} record {n} {:?}: {question:?}", all[n - 1]);
            step(rows(now, &all[..n], day), Some(all[n - 1].0), place);
        }
        assert!(named.peek().is_none(), "seed {seed}: {:?} changed nothing", named.next());
    }
    assert!(steps > 100, "{steps}");
}
