//! Every record of the lists that the engine ever writes must be given again by `why` from the records alone, in random
//! histories; and one that somebody changed must not.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test may panic, read the environment and print"
)]

#[path = "subjected/log.rs"]
mod log;
#[path = "subjected/policies.rs"]
mod policies;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use log::{Had, Log, played};
use tocsin_oracle::histories::history;
use tocsin_pipeline::why::{EntryExplained, Known, ListedExplained, Records, Rules, Wanted, Why, YearBy};
use tocsin_schemas::codes::{List, ListClass, ListReason};
use tocsin_schemas::records::{Listed, Record};

/// The part of the log that concerns a record of the lists, as the command reads it: pass after pass.
fn concerning(log: &Records, listed: &Listed) -> Records {
    let mut wanted = Wanted::default();
    let Some(member) = &listed.member else {
        let of_it = |k: &&Known| matches!(&k.arrival.record, Record::Governance(g) if Some(&g.event_id) == listed.event_id.as_ref());
        let events = log.arrivals.iter().filter(of_it).cloned().collect();
        return Records { lists: log.lists.clone(), events, ..Records::default() };
    };
    wanted.enterprise(member.uscc);
    let mut records = Records::default();
    while !wanted.settled() {
        records.arrivals = log.arrivals.iter().filter(|k| wanted.wants(&k.arrival.record)).cloned().collect();
        records.alerts = log.alerts.iter().filter(|a| wanted.wants_alert(a)).cloned().collect();
        records.incidents = log.incidents.iter().filter(|i| wanted.wants_incident(i)).cloned().collect();
    }
    let insured = |k: &&Known| matches!(&k.arrival.record, Record::Headcount(h) if wanted.wants_headcount(h));
    records.headcounts = log.arrivals.iter().filter(insured).cloned().collect();
    records.lists = log.lists.iter().filter(|w| wanted.wants_listed(&w.key)).cloned().collect();
    records
}

/// The record in a place, explained.
fn explained(log: &Log, records: &Records, place: usize) -> ListedExplained {
    let of = |hash: &str| log.policies.iter().find(|p| hash == &**p.hash());
    let rules = Rules { at_hand: log.policies.last().unwrap(), of: &of, likely: &|_| None };
    let before = &log.records.lists[..place];
    let kept: BTreeSet<&str> = records.lists.iter().map(|w| &*w.key).collect();
    let place = before.iter().filter(|w| kept.contains(&*w.key)).count();
    Why::new(records, rules, log.clock).listed_at(place).unwrap()
}

/// Whether the log's order says what was known.
fn certain(log: &Log, listed: &Listed, had: &Had) -> bool {
    let at = listed.decided_at;
    let midnight = at == listed.as_of.midnight();
    let fits = |(i, k): (usize, &Known)| match midnight {
        true if k.not_before == at => false,
        _ => (k.not_before <= at) == (i < had.arrivals),
    };
    !had.adopts && log.records.arrivals.iter().enumerate().all(fits)
}

#[derive(Default)]
struct Count {
    kinds: BTreeMap<String, u64>,
    certain: u64,
    uncertain: u64,
    wrong: Vec<String>,
    unsettled: Vec<String>,
}

impl Count {
    fn entry(&mut self, name: &str, found: &EntryExplained, certain: bool) {
        let member = found.member();
        for reason in &member.reasons {
            *self.kinds.entry(format!("{} {reason}", found.entry.list)).or_default() += 1;
        }
        let several = |what: &str, holds: bool| holds.then(|| what.to_owned());
        let more = [
            several("undetermined", !member.undetermined.is_empty()),
            several("persistent", member.persistent),
            several(
                "by a frozen list",
                found.years.iter().any(|y| matches!(y.by, YearBy::Frozen { .. }) && y.key == Some(true)),
            ),
            several(
                "by the live list",
                found.years.iter().any(|y| y.by == YearBy::Live && y.key == Some(true)),
            ),
            several("moved since", !found.since.moved.is_empty()),
            several("taken off", found.taken_off),
        ];
        more.into_iter().flatten().for_each(|kind| *self.kinds.entry(kind).or_default() += 1);
        let guessed = !found.taken_later.is_empty() || !found.stamped_ahead.is_empty();
        *(if certain { &mut self.certain } else { &mut self.uncertain }) += 1;
        if !found.check.adds_up() || found.years_unknown || certain && guessed {
            let list = if certain { &mut self.wrong } else { &mut self.unsettled };
            list.push(format!(
                "{name}: {} at {}: {:?} {:?}",
                found.key, found.entry.decided_at, found.check, found.years
            ));
        }
    }
}

#[test]
fn every_record_of_the_lists_of_random_histories_adds_up() {
    let many = std::env::var("TOCSIN_TEST_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let mut count = Count::default();
    for seed in 0..many {
        let log = played(&history(seed, 40));
        for (place, written) in log.records.lists.iter().enumerate() {
            let Some(listed) = &written.listed else { continue };
            let records = concerning(&log.records, listed);
            match explained(&log, &records, place) {
                ListedExplained::Entry(found) => {
                    let certain = certain(&log, listed, &log.listed[place]);
                    count.entry(&format!("seed {seed}"), &found, certain);
                }
                ListedExplained::Whole(found) => {
                    let kind = format!("{} as a whole", listed.list);
                    *count.kinds.entry(kind).or_default() += 1;
                    if !found.check.adds_up() {
                        count.wrong.push(format!(
                            "seed {seed}: {} at {}: {:?}",
                            found.key, listed.decided_at, found.check
                        ));
                    }
                }
            }
        }
    }
    let unsettled = count.unsettled.len() as u64;
    let (certain, uncertain) = (count.certain, count.uncertain);
    writeln!(
        std::io::stdout().lock(),
        "{:?}\n{certain} entries whose records are certain, {uncertain} not, of these {unsettled} unsettled",
        count.kinds
    )
    .unwrap();
    assert!(
        count.wrong.is_empty(),
        "{} of all: {:#?}",
        count.wrong.len(),
        &count.wrong[..count.wrong.len().min(20)]
    );
    assert!(unsettled * 100 <= uncertain, "{:#?}", count.unsettled);
    for kind in [
        "annual several_and_above_average",
        "annual high_rate",
        "annual severe",
        "annual incidents",
        "frozen severe",
        "frozen incidents",
        "annual as a whole",
        "frozen as a whole",
        "undetermined",
        "persistent",
        "by the live list",
        "moved since",
        "taken off",
    ] {
        assert!(count.kinds.contains_key(kind), "{kind} never occurred");
    }
}

/// A change of a record that somebody might make.
type Change = fn(&mut Listed);

/// Each field of an entry, changed as somebody might who wants another picture.
#[test]
fn an_entry_that_was_changed_does_not_add_up() {
    let changes: [(&str, Change); 13] = [
        ("class", |l| member(l).class = ListClass::General),
        ("reasons", |l| member(l).reasons = vec![ListReason::Incidents]),
        ("undetermined", |l| member(l).undetermined.clear()),
        ("incidents", |l| member(l).incidents += 1),
        ("persons", |l| member(l).persons += 1),
        ("severe", |l| member(l).severe += 1),
        ("headcount", |l| member(l).headcount = Some(1234.5)),
        ("per_thousand", |l| member(l).per_thousand = Some(0.25)),
        ("shrunken_per_thousand", |l| member(l).shrunken_per_thousand = Some(0.25)),
        ("chance_above_city", |l| member(l).chance_above_city = Some(0.25)),
        ("chance_of_as_many", |l| member(l).chance_of_as_many = Some(0.25)),
        ("persistent", |l| member(l).persistent = !member(l).persistent),
        ("reference", |l| {
            if let Some(reference) = &mut l.reference {
                reference.per_thousand = Some(0.001);
            }
        }),
    ];
    let mut caught: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..12 {
        let mut log = played(&history(seed, 40));
        for place in 0..log.records.lists.len() {
            let Some(as_it_was) = log.records.lists[place].listed.clone().filter(|l| l.member.is_some())
            else {
                continue;
            };
            let records = concerning(&log.records, &as_it_was);
            let ListedExplained::Entry(found) = explained(&log, &records, place) else { continue };
            // Of two decisions at one instant the log does not say which was first: another number may be the other's.
            let guessed = !found.taken_later.is_empty() || !found.stamped_ahead.is_empty();
            if guessed || !found.check.adds_up() || found.member().class != ListClass::Key {
                continue;
            }
            for (field, change) in changes {
                let mut changed = as_it_was.clone();
                change(&mut changed);
                if changed == as_it_was {
                    continue;
                }
                log.records.lists[place].listed = Some(changed.clone());
                let records = concerning(&log.records, &changed);
                let ListedExplained::Entry(found) = explained(&log, &records, place) else { continue };
                // Another order of arrival may give what was never said; then the page names that order.
                let guessed = !found.taken_later.is_empty() || !found.stamped_ahead.is_empty();
                assert!(!found.check.adds_up() || guessed, "seed {seed}: {field} of {}", found.key);
                let named = found.check.differences.iter().any(|d| d.field == field);
                *caught.entry(field).or_default() += u32::from(named);
            }
            log.records.lists[place].listed = Some(as_it_was);
        }
    }
    assert!(changes.iter().all(|(field, _)| caught.get(field).is_some_and(|n| *n > 0)), "{caught:?}");
}

fn member(listed: &mut Listed) -> &mut tocsin_schemas::records::Member {
    listed.member.as_mut().unwrap()
}

/// Sizes, years running and who froze it are held against what the topic and the event say.
#[test]
fn a_list_and_its_years_that_were_changed_do_not_add_up() {
    let (mut sizes, mut years, mut events) = (0, 0, 0);
    for seed in 0..40 {
        let mut log = played(&history(seed, 40));
        for place in 0..log.records.lists.len() {
            let Some(as_it_was) = log.records.lists[place].listed.clone() else { continue };
            let mut changed = as_it_was.clone();
            let field = match (&mut changed.whole, &mut changed.member) {
                (Some(whole), _) if whole.refused.is_some() => {
                    whole.refused = None;
                    events += 1;
                    "event"
                }
                (Some(whole), _) if as_it_was.list == List::Frozen => {
                    whole.key += 1;
                    sizes += 1;
                    "key"
                }
                // Where nothing of last year is in the topic, that it was not key then cannot be told from a record gone.
                (_, Some(member)) if member.key_years == 2 => {
                    member.key_years = 4;
                    years += 1;
                    "key_years"
                }
                _ => continue,
            };
            log.records.lists[place].listed = Some(changed.clone());
            let records = concerning(&log.records, &changed);
            let check = match explained(&log, &records, place) {
                ListedExplained::Entry(found) => found.check,
                ListedExplained::Whole(found) => found.check,
            };
            assert!(
                check.differences.iter().any(|d| d.field == field),
                "seed {seed}: {changed:?}: {check:?}"
            );
            log.records.lists[place].listed = Some(as_it_was);
        }
    }
    assert!(sizes > 0 && years > 0 && events > 0, "{sizes} {years} {events}");
}
