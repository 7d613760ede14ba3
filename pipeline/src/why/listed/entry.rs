//! One enterprise on a list: the rule again, over what was known when the entry was written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_schemas::codes::{Category, List, ListClass, Severity};
use tocsin_schemas::ids::{ReportKey, Uscc};
use tocsin_schemas::records::{Headcount, Listed, Member, Record, Reference};
use tocsin_schemas::time::Day;

use super::view::{EntryExplained, EntrySince, HeadcountView, NAMED, YearBefore};
use super::years;
use crate::dataflow::{Heads, Tally};
use crate::lists::{Against, Said, Year, judge as rule};
use crate::model::Model;
use crate::policy::Policies;
use crate::why::check::{differ, option, words};
use crate::why::knowledge::{Cut, Found, Knowledge, Reading, guesses, late_registrations, plain_readings};
use crate::why::view::{Check, Difference, Place};
use crate::why::{Why, picture, since};
use crate::windows::{self, last_year};

/// What no policy moves.
const FREE: [&str; 3] = ["headcount", "reference", "key_years"];

/// The other fields: only the policy's values can give them again.
const BY_POLICY: [&str; 12] = [
    "class",
    "reasons",
    "undetermined",
    "incidents",
    "persons",
    "severe",
    "reason",
    "persistent",
    "per_thousand",
    "shrunken_per_thousand",
    "chance_above_city",
    "chance_of_as_many",
];

/// What follows from the reference of the day as well.
const CHANCES: [&str; 3] = ["shrunken_per_thousand", "chance_above_city", "chance_of_as_many"];

/// What was found for one reading.
struct Judged {
    known: Cut,
    then: Knowledge,
    counted: Vec<Found>,
    years: Vec<YearBefore>,
    years_unknown: bool,
    taken_later: Vec<usize>,
    stamped_ahead: Vec<usize>,
    check: Check,
}

/// The entry and what it is held against.
struct Of<'a> {
    place: usize,
    listed: &'a Listed,
    member: &'a Member,
    days: (Day, Day),
}

/// Explains the entry in this place of the topic; `None`: it is not one of an enterprise.
pub(super) fn explain(why: &Why<'_, '_>, place: usize, listed: &Listed) -> Option<EntryExplained> {
    let member = listed.member.as_ref()?;
    let of = Of { place, listed, member, days: days(listed) };
    let judge = |policies: &Policies, at_hand| judge(why, &of, policies, at_hand);
    let by = (&listed.policy_hash, listed.decided_at, listed.as_of);
    let (judged, policies, policy) = why.judged_by(by, judge, |judged| &judged.check);
    let numbers = why.numbers(None);
    let views = judged.counted.iter().map(|f| picture::incident(f, &judged.then, &numbers, policies, why));
    let places = |of: &[usize]| of.iter().map(|i| why.place(*i)).collect::<Vec<Place>>();
    let key = listed.key();
    let mut after = why.records.lists[place + 1..].iter().filter(|w| w.key == key);
    let frozen_by = |w: &&super::Written| {
        listed.list == List::Frozen
            && w.listed
                .as_ref()
                .is_some_and(|l| l.member.is_none() && l.year == listed.year && l.event_id == listed.event_id)
    };
    let whole = why.records.lists.iter().find(frozen_by).and_then(|w| w.listed.as_ref()?.whole.as_ref());
    let frozen =
        why.records.lists.iter().filter_map(|w| w.listed.as_ref()).filter(|l| l.list == List::Frozen);
    let again = frozen.filter(|l| {
        let same_as = l.whole.as_ref().and_then(|whole| whole.same_as.as_ref());
        l.year == listed.year && same_as.is_some() && same_as == listed.event_id.as_ref()
    });
    Some(EntryExplained {
        name: judged.then.registry.in_force(&member.uscc).map(|e| Arc::clone(&e.name)),
        taken_off: after.next_back().is_some_and(|w| w.listed.is_none()),
        approved: whole.map(|whole| whole.approver.is_some()),
        frozen_again: again.filter_map(|l| l.event_id.clone()).collect(),
        limits: policies.on(listed.as_of).lists,
        from: of.days.0,
        to: of.days.1,
        days: length(of.days),
        incidents: views.collect(),
        headcounts: standing(why, &judged.then, member.uscc, of.days),
        taken_later: places(&judged.taken_later),
        stamped_ahead: places(&judged.stamped_ahead),
        since: after_it(why, &of, &judged),
        years: judged.years,
        years_unknown: judged.years_unknown,
        check: judged.check,
        entry: masked(listed),
        policy,
        key,
    })
}

/// Without the name of whoever approved it.
pub(super) fn masked(listed: &Listed) -> Listed {
    let mut listed = listed.clone();
    if let Some(approver) = listed.whole.as_mut().and_then(|whole| whole.approver.as_mut()) {
        NAMED.clone_into(approver);
    }
    listed
}

/// First and last day of what an entry counts: its year, to date while that runs.
fn days(listed: &Listed) -> (Day, Day) {
    if i32::from(listed.as_of.date().year()) == listed.year {
        windows::days(tocsin_schemas::records::Window::Year, listed.as_of)
    } else {
        last_year(listed.as_of)
    }
}

fn length((from, to): (Day, Day)) -> u32 {
    (to.0 - from.0 + 1).unsigned_abs()
}

/// The first reading of what was known that gives the entry again, else the plain one that comes nearest.
fn judge(why: &Why<'_, '_>, of: &Of, policies: &Policies, at_hand: bool) -> Judged {
    let at = of.listed.decided_at;
    let one = |reading: Reading| judge_reading(why, of, policies, at_hand, reading);
    let mut best: Option<Judged> = None;
    for reading in plain_readings(why.records, at) {
        let judged = one(reading);
        if judged.check.adds_up() {
            return judged;
        }
        if best.as_ref().is_none_or(|b| judged.check.differences.len() < b.check.differences.len()) {
            best = Some(judged);
        }
    }
    let readings = late_registrations(why.records, at).into_iter().chain(guesses(why.records, at));
    let guessed = readings.map(one).find(|judged| judged.check.adds_up());
    guessed.or(best).unwrap_or_else(|| unreachable!("there is a plain reading"))
}

fn judge_reading(why: &Why<'_, '_>, of: &Of, policies: &Policies, at_hand: bool, reading: Reading) -> Judged {
    let Of { listed, member, .. } = *of;
    let then = Knowledge::at(why.records, &reading.known, policies, listed.as_of);
    let counted: Vec<Found> = counting(&then, member.uscc, of.days).cloned().collect();
    let year = Year { tally: tally(&counted), heads: heads(why, &then, member.uscc, of.days) };
    let limits = &policies.on(listed.as_of).lists;
    let model = listed.reference.as_ref().and_then(|r| r.model.as_ref()).map(Model::from);
    let against = Against { reference: listed.reference.as_ref(), model: model.as_ref(), limits };
    let mut differences = Vec::new();
    match rule(year, &against) {
        None => {
            differ(&mut differences, "incidents", member.incidents, 0);
            number(&mut differences, "headcount", member.headcount, year.headcount());
        }
        Some(verdict) => {
            let again = Said::new(year, verdict, member.key_years, limits.persistent_years);
            compare(&mut differences, member, &again.member(member.uscc, year, &against));
        }
    }
    reference(&mut differences, listed.reference.as_ref());
    let (mut looked_at, mut years_unknown) = (Vec::new(), false);
    let mut running = 0;
    if member.class == ListClass::Key {
        let found = years::before(
            &why.records.lists,
            of.place,
            listed,
            member.uscc,
            &then.registry,
            member.key_years,
        );
        years_unknown = found.running != member.key_years && found.at_most == member.key_years;
        (looked_at, running) = (found.years, found.running);
    }
    if running != member.key_years && !years_unknown {
        differ(&mut differences, "key_years", member.key_years, running);
    }
    differences.retain(|d| at_hand || FREE.contains(&d.field));
    Judged {
        known: reading.known,
        then,
        counted,
        years: looked_at,
        years_unknown,
        taken_later: reading.taken_later,
        stamped_ahead: reading.stamped_ahead,
        check: Check { differences, unchecked: if at_hand { Vec::new() } else { BY_POLICY.to_vec() } },
    }
}

/// The incidents that count for an enterprise in some days.
fn counting(then: &Knowledge, uscc: Uscc, (from, to): (Day, Day)) -> impl Iterator<Item = &Found> {
    let counts = move |f: &&Found| {
        let seen = &f.seen;
        seen.root == Some(uscc)
            && seen.counted()
            && seen.category == Category::Production
            && (from..=to).contains(&seen.occurred_on)
    };
    then.incidents.iter().filter(counts)
}

fn tally(counted: &[Found]) -> Tally {
    let sum = |of: &dyn Fn(&Found) -> u32| counted.iter().map(of).sum::<u32>() as i32;
    Tally {
        incidents: sum(&|_| 1),
        persons: sum(&|f| f.seen.persons),
        severe: sum(&|f| u32::from(f.seen.severity >= Severity::Severe)),
        ..Tally::default()
    }
}

/// The months of some days that have a record of an enterprise, or of one that is read as it.
fn heads(why: &Why<'_, '_>, then: &Knowledge, uscc: Uscc, days: (Day, Day)) -> Heads {
    let mut months: BTreeMap<i32, i64> = BTreeMap::new();
    for (_, headcount) in own(why, then, uscc, days) {
        *months.entry(headcount.month.0).or_default() += i64::from(headcount.insured);
    }
    Heads { insured: months.values().sum(), months: months.len() as i32 }
}

/// The headcounts that stand of them, with their places among the arrivals.
fn own<'k>(
    why: &'k Why<'_, '_>,
    then: &'k Knowledge,
    uscc: Uscc,
    (from, to): (Day, Day),
) -> impl Iterator<Item = (usize, &'k Headcount)> {
    let all = then.headcounts.iter().filter(move |((of, month), _)| {
        (from.month()..=to.month()).contains(month) && then.registered(of) && then.registry.root(of) == uscc
    });
    all.filter_map(|(_, index)| match &why.records.arrivals[*index].arrival.record {
        Record::Headcount(headcount) => Some((*index, headcount)),
        _ => None,
    })
}

fn standing(why: &Why<'_, '_>, then: &Knowledge, uscc: Uscc, days: (Day, Day)) -> Vec<HeadcountView> {
    let mut all: Vec<HeadcountView> =
        own(why, then, uscc, days).map(|(index, headcount)| view(why, index, headcount)).collect();
    all.sort_by_key(|h| (h.month, h.uscc));
    all
}

fn view(why: &Why<'_, '_>, index: usize, headcount: &Headcount) -> HeadcountView {
    HeadcountView {
        uscc: headcount.uscc,
        month: headcount.month,
        insured: headcount.insured,
        version: headcount.version,
        arrived_at: why.records.arrivals[index].arrival.arrived_at,
        place: why.place(index),
    }
}

/// Whether two numbers are one but for how a machine rounds.
fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

fn number(differences: &mut Vec<Difference>, field: &'static str, said: Option<f64>, again: Option<f64>) {
    let alike = match (said, again) {
        (Some(said), Some(again)) => near(said, again),
        (said, again) => said == again,
    };
    if !alike {
        differ(differences, field, option(said), option(again));
    }
}

fn compare(differences: &mut Vec<Difference>, said: &Member, again: &Member) {
    let mut plain = |field, said: String, again: String| {
        if said != again {
            differ(differences, field, said, again);
        }
    };
    plain("class", said.class.to_string(), again.class.to_string());
    plain("reasons", words(&said.reasons), words(&again.reasons));
    let open = |m: &Member| {
        words(&m.undetermined.iter().map(|(test, why)| format!("{test} ({why})")).collect::<Vec<_>>())
    };
    plain("undetermined", open(said), open(again));
    plain("incidents", said.incidents.to_string(), again.incidents.to_string());
    plain("persons", said.persons.to_string(), again.persons.to_string());
    plain("severe", said.severe.to_string(), again.severe.to_string());
    plain("reason", option(said.reason), option(again.reason));
    plain("persistent", said.persistent.to_string(), again.persistent.to_string());
    let mut number = |field, said, again| number(differences, field, said, again);
    number("headcount", said.headcount, again.headcount);
    number("per_thousand", said.per_thousand, again.per_thousand);
    number("shrunken_per_thousand", said.shrunken_per_thousand, again.shrunken_per_thousand);
    number("chance_above_city", said.chance_above_city, again.chance_above_city);
    number("chance_of_as_many", said.chance_of_as_many, again.chance_of_as_many);
}

/// The city's rate against the city's numbers beside it.
fn reference(differences: &mut Vec<Difference>, reference: Option<&Reference>) {
    let Some(reference) = reference else { return };
    let rate =
        reference.headcount.filter(|heads| *heads > 0.0).map(|h| f64::from(reference.incidents) * 1000.0 / h);
    number(differences, "reference", reference.per_thousand, rate);
}

/// What came after it.
fn after_it(why: &Why<'_, '_>, of: &Of, judged: &Judged) -> EntrySince {
    let uscc = of.member.uscc;
    let clock = why.clock.day();
    // The year may have gone on, but never beyond its end.
    let to =
        if i32::from(clock.date().year()) == of.listed.year { clock } else { last_year_day(of.listed.year) };
    let days = (of.days.0, to.max(of.days.1));
    let now: Vec<&Found> = counting(&why.now, uscc, days).collect();
    let keys: BTreeSet<ReportKey> =
        judged.counted.iter().chain(now.iter().copied()).flat_map(Found::keys).collect();
    let later = why.records.arrivals.iter().enumerate().filter(|(i, _)| !judged.known[*i]);
    let headcounts = later.filter_map(|(index, known)| match &known.arrival.record {
        Record::Headcount(h) => {
            let concerns = h.uscc == uscc || why.now.registry.root(&h.uscc) == uscc;
            let within = (days.0.month()..=days.1.month()).contains(&h.month);
            (concerns && within).then(|| view(why, index, h))
        }
        _ => None,
    });
    let mut since = EntrySince {
        reports: since::changed(why, &judged.known, &keys),
        headcounts: headcounts.collect(),
        registered: since::register_after(why.records, uscc, &judged.known),
        incidents: now.len() as u32,
        live: None,
        moved: Vec::new(),
    };
    if of.listed.list == List::Frozen {
        let live = format!("{}|{}|{uscc}", List::Annual, of.listed.year);
        let newest = years::newest(&why.records.lists);
        since.live = newest.get(&*live).and_then(|(_, written)| written.listed.clone());
        let mut moved = Vec::new();
        match since.live.as_ref().and_then(|l| l.member.as_ref()) {
            Some(live) => {
                compare(&mut moved, of.member, live);
                if of.member.key_years != live.key_years {
                    differ(&mut moved, "key_years", of.member.key_years, live.key_years);
                }
            }
            None => differ(&mut moved, "class", of.member.class, "not on the list"),
        }
        // Each has the chances of the day on which it was written; they make no entry be written again.
        moved.retain(|d| !CHANCES.contains(&d.field));
        since.moved = moved.into_iter().map(|d| (d.field, d.said, d.recomputed)).collect();
    }
    since
}

fn last_year_day(year: i32) -> Day {
    let first = i16::try_from(year + 1).ok().and_then(|year| Day::new(year, 1, 1));
    first.map_or(Day(i32::MAX), |day| day.plus(-1))
}
