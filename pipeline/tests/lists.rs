//! The lists of a year: what moves them, what does not, and what a frozen one is. That each entry is right is the
//! oracle's to say (tests/oracle.rs).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tocsin_pipeline::{Arrival, Engine, Memory, Options, Outcome, Policies};
use tocsin_schemas::codes::{FreezeRefusal, List, ListClass};
use tocsin_schemas::door::{self, Admitted};
use tocsin_schemas::records::Listed;
use tocsin_schemas::time::Instant;
use tocsin_schemas::wire::NoIds;

const FIRMS: usize = 60;

fn uscc(n: usize) -> String {
    tocsin_oracle::histories::uscc(n).to_string()
}

/// A record through the door.
fn arrival(topic: &str, at: Instant, value: &Value) -> Arrival {
    let admitted = door::admit(topic, value.to_string().as_bytes(), at, &NoIds).unwrap();
    let Admitted { record, digest, .. } = admitted;
    Arrival { record, digest, arrived_at: at }
}

fn report(id: usize, firm: usize, on: &str, at: Instant) -> Arrival {
    let value = json!({
        "source": "hr", "source_record_id": id.to_string(), "version": 1, "status": "recognised",
        "occurred_on": on, "reported_at": at.to_string(), "uscc": uscc(firm),
    });
    arrival("reports.hr", at, &value)
}

fn freeze(id: &str, subject: &str, approver: Option<&str>, at: Instant) -> Arrival {
    let value = json!({
        "event_id": id, "kind": "freeze_list", "subject": subject, "on": at.day().to_string(), "version": 1,
        "actor": "clerk", "approver": approver, "details": {},
    });
    arrival("governance.events", at, &value)
}

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

/// A city with a year behind it: firm n has n % 4 incidents in 2024.
fn city() -> (Engine, Vec<Outcome>, Vec<Arrival>) {
    let start = at("2024-01-01T08:00:00+08:00");
    let mut first = Vec::new();
    for firm in 0..FIRMS {
        let registered = json!({
            "uscc": uscc(firm), "version": 1, "name": format!("E{firm}"), "area": "330784001",
            "industry": "33", "valid_from": "2020-01-01", "status": "active",
        });
        first.push(arrival("registry.enterprises", start, &registered));
        for month in 1..=12 {
            let month = format!("2024-{month:02}");
            // Three injuries among two persons are no chance.
            let insured = if firm == 3 { 2 } else { 20 + firm };
            let insured = json!({"uscc": uscc(firm), "month": month, "insured": insured, "version": 1});
            first.push(arrival("registry.headcount", start, &insured));
        }
    }
    let mut engine = Engine::new(Policies::default(), Options { workers: 1 });
    let mut outcomes = engine.arrive(start, first.clone());
    let mut all = first;
    for month in 1..=12 {
        let when = at(&format!("2024-{month:02}-15T08:00:00+08:00"));
        let on = format!("2024-{month:02}-10");
        let firms = (0..FIRMS).filter(|firm| month <= firm % 4);
        let reports: Vec<Arrival> = firms.map(|firm| report(firm * 100 + month, firm, &on, when)).collect();
        all.extend(reports.iter().cloned());
        outcomes.extend(engine.arrive(when, reports));
    }
    outcomes.extend(engine.tick_to("2025-01-10".parse().unwrap()));
    (engine, outcomes, all)
}

fn changed(outcomes: &[Outcome]) -> Vec<(String, Option<Listed>)> {
    outcomes.iter().flat_map(|outcome| outcome.lists.iter()).collect()
}

#[test]
fn one_incident_moves_its_own_entry_and_no_other() {
    let (mut engine, _, _) = city();
    let now = at("2025-01-10T09:00:00+08:00");
    let outcomes = engine.arrive(now, [report(9_000, 4, "2024-12-30", now)]);
    let said = changed(&outcomes);
    let keys: Vec<&str> = said.iter().map(|(key, _)| key.as_str()).collect();
    let own = format!("annual|2024|{}", uscc(4));
    // The list as a whole has one enterprise more; what it is compared with stays that of the midnight.
    assert_eq!(keys, ["annual|2024", &own]);
    let whole = said[0].1.as_ref().unwrap();
    assert_eq!(whole.reference.as_ref().unwrap().incidents, 90);
    // The midnight takes it in, for all, and says so once: no entry is another because of it.
    let outcomes = engine.tick_to("2025-01-11".parse().unwrap());
    let said = changed(&outcomes);
    let kept: Vec<&str> = said.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(kept, ["annual|2024", "annual|2025"]);
    assert_eq!(said[0].1.as_ref().unwrap().reference.as_ref().unwrap().incidents, 91);
}

#[test]
fn a_frozen_list_stays_while_the_live_one_moves() {
    let (mut engine, mut outcomes, _) = city();
    let now = at("2025-01-20T09:00:00+08:00");
    outcomes.extend(engine.arrive(now, [freeze("G1", " 2024 ", Some("the head"), now)]));
    let mut frozen: BTreeMap<String, Listed> = BTreeMap::new();
    for (key, listed) in outcomes.iter().flat_map(|o| o.lists.iter()) {
        if let Some(listed) = listed.filter(|l| l.list == List::Frozen) {
            frozen.insert(key, listed);
        }
    }
    let header = &frozen["frozen|2024|G1"];
    let whole = header.whole.as_ref().unwrap();
    assert_eq!((whole.approver.as_deref(), whole.refused), (Some("the head"), None));
    assert_eq!(whole.key + whole.general, 45);
    assert_eq!(frozen.len(), 46);
    let live: BTreeMap<String, Listed> = engine.lists().into_iter().map(|l| (l.key(), l)).collect();
    for (key, listed) in frozen.iter().filter(|(_, listed)| listed.member.is_some()) {
        let own = listed.member.as_ref().map(|m| m.uscc.to_string()).unwrap();
        assert_eq!(live[&format!("annual|2024|{own}")].member, listed.member, "{key}");
    }
    // A death reported later, the same event again, and a second version of it: the frozen list is what it was.
    let later = at("2025-02-03T09:00:00+08:00");
    let again = freeze("G1", "2024", Some("somebody else"), later);
    let outcomes = engine.arrive(later, [report(9_001, 8, "2024-11-11", later), again]);
    let (live, other): (Vec<_>, Vec<_>) =
        changed(&outcomes).into_iter().partition(|(key, _)| key.starts_with("annual|"));
    assert!(live.iter().any(|(key, _)| *key == format!("annual|2024|{}", uscc(8))), "{live:?}");
    assert!(other.is_empty(), "{other:?}");
}

#[test]
fn who_may_not_freeze_is_told_why_and_nothing_is_frozen() {
    let (mut engine, _, _) = city();
    let now = at("2025-01-20T09:00:00+08:00");
    let wishes = [
        ("G1", "2024", None, FreezeRefusal::NoApprover),
        ("G2", "2024", Some("  "), FreezeRefusal::NoApprover),
        ("G3", "2025", Some("the head"), FreezeRefusal::YearNotOver),
        ("G4", "2023", Some("the head"), FreezeRefusal::YearTooOld),
        ("G5", "last year", Some("the head"), FreezeRefusal::NotAYear),
    ];
    for (id, subject, approver, refusal) in wishes {
        let outcomes = engine.arrive(now, [freeze(id, subject, approver, now)]);
        let said: Vec<Listed> = changed(&outcomes).into_iter().filter_map(|(_, l)| l).collect();
        let frozen: Vec<&Listed> = said.iter().filter(|l| l.list == List::Frozen).collect();
        let [listed] = frozen[..] else { panic!("{id}: {frozen:?}") };
        let whole = listed.whole.as_ref().unwrap();
        assert_eq!((listed.list, whole.refused, whole.key + whole.general), (List::Frozen, Some(refusal), 0));
    }
}

#[test]
fn a_restart_recalls_what_was_taken_at_midnights_and_changes_nothing() {
    let (mut engine, mut outcomes, mut arrived) = city();
    let now = at("2025-01-10T10:00:00+08:00");
    // After the midnight: taken anew, the city's rate would know of it.
    let late = report(9_002, 12, "2024-12-31", now);
    arrived.push(late.clone());
    outcomes.extend(engine.arrive(now, [late]));
    let gone = json!({
        "source": "hr", "source_record_id": "101", "version": 2, "status": "withdrawn",
        "occurred_on": "2024-01-10", "reported_at": now.to_string(), "uscc": uscc(1),
    });
    let gone = arrival("reports.hr", now, &gone);
    arrived.push(gone.clone());
    outcomes.extend(engine.arrive(now, [gone]));
    assert!(changed(&outcomes).iter().any(|(_, listed)| listed.is_none()));
    let (mut written, mut said) = (Memory::default(), Memory::default());
    outcomes.iter().flat_map(|o| &o.incidents).for_each(|i| written.incident(i.clone()));
    outcomes.iter().flat_map(|o| &o.alerts).for_each(|a| said.alert(a));
    written.index();
    let mut again = Engine::new(Policies::default(), Options { workers: 1 });
    again.recover(Some(now));
    again.load(arrived);
    // As the topic has it before it is compacted, entries that were taken off among them.
    outcomes.iter().flat_map(|o| o.lists.iter()).for_each(|(key, listed)| again.recall(&key, listed));
    let resumed = again.resume(written.with(said));
    assert!(resumed.lists.is_empty(), "{:?}", resumed.lists);
    assert_eq!(again.lists(), engine.lists());
    assert!(again.lists().iter().any(|l| l.member.as_ref().is_some_and(|m| m.class == ListClass::Key)));
    // And it goes on as the other does.
    let day = "2025-02-02".parse().unwrap();
    let lists = |outcomes: Vec<Outcome>| changed(&outcomes);
    assert_eq!(lists(again.tick_to(day)), lists(engine.tick_to(day)));
}

/// Everything that was written of frozen lists, by key; panics where a key is written a second time.
fn frozen_once(outcomes: &[Outcome]) -> BTreeMap<String, Listed> {
    let mut frozen = BTreeMap::new();
    for (key, listed) in outcomes.iter().flat_map(|o| o.lists.iter()) {
        if let Some(listed) = listed.filter(|l| l.list == List::Frozen) {
            assert_eq!(frozen.insert(key.clone(), listed), None, "{key} was written twice");
        }
    }
    frozen
}

/// An event's id is free text. None of them may overwrite what another event froze.
#[test]
fn no_event_id_writes_over_what_another_event_froze() {
    let (mut engine, _, _) = city();
    let now = at("2025-01-20T09:00:00+08:00");
    let mut outcomes = engine.arrive(now, [freeze("G1", "2024", Some("the head"), now)]);
    let odd = format!("G1|{}", uscc(3));
    outcomes.extend(engine.arrive(now, [freeze(&odd, "2024", None, now)]));
    let escaped = odd.replace('|', "%7C");
    outcomes.extend(engine.arrive(now, [freeze(&escaped, "2024", None, now)]));
    let frozen = frozen_once(&outcomes);
    assert!(frozen[&format!("frozen|2024|G1|{}", uscc(3))].member.is_some());
    assert_eq!(frozen.values().filter(|l| l.whole.as_ref().is_some_and(|w| w.refused.is_some())).count(), 2);
}

/// One event may be a megabyte long. What it makes Tocsin write may not grow with that for every enterprise.
#[test]
fn a_long_event_id_is_not_written_once_for_each_enterprise() {
    let (mut engine, _, _) = city();
    let now = at("2025-01-20T09:00:00+08:00");
    let long = "G".repeat(900_000);
    let outcomes = engine.arrive(now, [freeze(&long, "2024", Some("the head"), now)]);
    let written: usize = changed(&outcomes)
        .iter()
        .map(|(key, listed)| key.len() + listed.as_ref().map_or(0, |l| tocsin_schemas::wire::encode(l).len()))
        .sum();
    assert!(written < 4_000_000, "{written} bytes for one event");
    let refused = frozen_once(&outcomes).into_values().filter_map(|l| l.whole?.refused);
    assert_eq!(refused.collect::<Vec<_>>(), [FreezeRefusal::EventIdTooLong]);
}

/// A sender that tries again under new ids gets a record for each, and the list once.
#[test]
fn an_equal_list_is_not_written_again_but_named() {
    let (mut engine, outcomes, arrived) = city();
    let mut log = (outcomes, arrived);
    type Log = (Vec<Outcome>, Vec<Arrival>);
    let ask = |engine: &mut Engine, log: &mut Log, id: &str, when: &str, more: Option<Arrival>| {
        let records: Vec<Arrival> =
            more.into_iter().chain([freeze(id, "2024", Some("the head"), at(when))]).collect();
        log.1.extend(records.iter().cloned());
        let decided = engine.arrive(at(when), records);
        let frozen = frozen_once(&decided);
        log.0.extend(decided);
        let whole = frozen[&format!("frozen|2024|{id}")].whole.clone().unwrap();
        assert_eq!(whole.key + whole.general, 45);
        (frozen.len(), whole.same_as)
    };
    let same = |id: &str| (1, Some(id.to_owned()));
    assert_eq!(ask(&mut engine, &mut log, "A", "2025-01-20T09:00:00+08:00", None), (46, None));
    assert_eq!(ask(&mut engine, &mut log, "B", "2025-01-20T09:01:00+08:00", None), same("A"));
    // Another injury of somebody who is on it already.
    let late = report(9_001, 9, "2024-11-11", at("2025-01-20T09:02:00+08:00"));
    let (written, same_as) = ask(&mut engine, &mut log, "C", "2025-01-20T09:02:00+08:00", Some(late));
    assert_eq!((written > 45, same_as), (true, None));
    assert_eq!(ask(&mut engine, &mut log, "D", "2025-01-20T09:03:00+08:00", None), same("C"));
    // Another policy is another list, though nobody stands on it otherwise.
    let other = "[[policy]]\neffective_from = \"2020-11-20\"\nowner_alert.max_age_days = 91\n";
    let policies = Policies::parse(other).unwrap();
    log.0.push(engine.adopt(policies.clone()));
    let (written, same_as) = ask(&mut engine, &mut log, "E", "2025-01-20T09:04:00+08:00", None);
    assert_eq!((written > 45, same_as), (true, None));
    // A restart knows it, and how much it wrote.
    let standing = engine.lists_standing();
    let (mut again, resumed) = restarted_under(policies, &log.0, &log.1, engine.clock().unwrap(), 1);
    assert_eq!((resumed.lists.len(), again.lists_standing()), (0, standing));
    assert_eq!(ask(&mut again, &mut log, "F", "2025-01-20T09:05:00+08:00", None), same("E"));
    assert_eq!(again.lists_standing(), standing + 1);
}

/// The count that a restart holds against the topic is that of the keys that stand in it, whatever came and went.
#[test]
fn the_records_that_stand_are_counted_as_the_topic_has_them() {
    let (mut engine, mut outcomes, mut arrived) = city();
    let mut stand: BTreeMap<String, Listed> = BTreeMap::new();
    let mut fold = |outcomes: &[Outcome], standing: u32| {
        for (key, listed) in outcomes.iter().flat_map(|o| o.lists.iter()) {
            match listed {
                Some(listed) => drop(stand.insert(key, listed)),
                None => drop(stand.remove(&key)),
            }
        }
        assert_eq!(stand.len(), standing as usize);
    };
    fold(&outcomes, engine.lists_standing());
    let gone = json!({
        "source": "hr", "source_record_id": "101", "version": 2, "status": "withdrawn",
        "occurred_on": "2024-01-10", "reported_at": "2025-01-20T09:00:00+08:00", "uscc": uscc(1),
    });
    let now = at("2025-01-20T09:00:00+08:00");
    for record in [
        arrival("reports.hr", now, &gone),
        freeze("A", "2024", Some("the head"), now),
        freeze("B", "2023", Some("the head"), now),
    ] {
        arrived.push(record.clone());
        let decided = engine.arrive(now, [record]);
        fold(&decided, engine.lists_standing());
        outcomes.extend(decided);
    }
    // The turn of a year: what is not kept any more stands there still.
    let turned = engine.tick_to("2026-01-02".parse().unwrap());
    fold(&turned, engine.lists_standing());
    outcomes.extend(turned);
    let (again, _) = restarted(&outcomes, &arrived, engine.clock().unwrap(), 1);
    assert_eq!(again.lists_standing(), engine.lists_standing());
}

/// An event that a rebuild brings and the topic does not know is lost, and is not frozen from what is known now. One that
/// asks for something else in another version may never have been decided on: that is no loss.
#[test]
fn an_event_without_a_record_is_lost_and_not_frozen_anew() {
    let (engine, outcomes, mut arrived) = city();
    let now = engine.clock().unwrap();
    arrived.push(freeze("A", "2024", Some("the head"), now));
    let letter = |id: &str, version: u32| {
        let value = json!({"event_id": id, "kind": "letter", "subject": "2024", "on": "2025-01-02", "version": version,
            "actor": "clerk", "details": {}});
        arrival("governance.events", now, &value)
    };
    arrived.extend([letter("L", 1), freeze("M", "2024", None, now), letter("M", 2)]);
    let mut again = Engine::new(Policies::default(), Options { workers: 1 });
    again.recover(Some(now));
    again.load(arrived);
    outcomes.iter().flat_map(|o| o.lists.iter()).for_each(|(key, listed)| again.recall(&key, listed));
    let found = again.lists_found();
    assert_eq!((found.lost, found.records), (vec!["A".to_owned()], engine.lists_standing()));
    let (mut written, mut said) = (Memory::default(), Memory::default());
    outcomes.iter().flat_map(|o| &o.incidents).for_each(|i| written.incident(i.clone()));
    outcomes.iter().flat_map(|o| &o.alerts).for_each(|a| said.alert(a));
    written.index();
    let resumed = again.resume(written.with(said));
    let resumed = changed(&[resumed]);
    let [(key, Some(listed))] = &resumed[..] else { panic!("{resumed:?}") };
    assert_eq!(
        (&**key, listed.whole.as_ref().unwrap().refused),
        ("frozen|2024|A", Some(FreezeRefusal::NoRecord))
    );
}

fn enterprise(firm: usize, version: u64, from: &str, successor_of: Option<usize>, at: Instant) -> Arrival {
    let value = json!({
        "uscc": uscc(firm), "version": version, "name": format!("E{firm}"), "area": "330784001",
        "industry": "33", "valid_from": from, "status": "active", "successor_of": successor_of.map(uscc),
    });
    arrival("registry.enterprises", at, &value)
}

fn insured(firm: usize, month: &str, insured: u32, version: u64, at: Instant) -> Arrival {
    let value = json!({"uscc": uscc(firm), "month": month, "insured": insured, "version": version});
    arrival("registry.headcount", at, &value)
}

/// Sources give their greatest number for "unknown".
#[test]
fn no_figure_is_out_of_the_range_of_numbers_whatever_the_headcounts() {
    for (some, others) in [(u32::MAX, u32::MAX), (u32::MAX, 1), (1, u32::MAX), (0, u32::MAX)] {
        let (mut engine, mut outcomes, _) = city();
        let now = at("2025-01-20T09:00:00+08:00");
        let restated = (0..FIRMS).flat_map(|firm| {
            let n = if firm % 7 == 3 { some } else { others };
            (1..=12).map(move |month| insured(firm, &format!("2024-{month:02}"), n, 2, now))
        });
        outcomes.extend(engine.arrive(now, restated));
        outcomes.extend(engine.arrive(now, [report(9_003, 3, "2024-12-30", now)]));
        outcomes.extend(engine.tick_to("2025-03-02".parse().unwrap()));
        for (key, listed) in changed(&outcomes) {
            let Some(listed) = listed else { continue };
            let text = serde_json::to_value(&listed).unwrap().to_string();
            let again: Listed = tocsin_schemas::wire::decode(&tocsin_schemas::wire::encode(&listed)).unwrap();
            assert_eq!(again, listed, "{key}: a NaN is not equal to itself: {text}");
            let Some(member) = &listed.member else { continue };
            for x in [
                member.per_thousand,
                member.shrunken_per_thousand,
                member.chance_above_city,
                member.chance_of_as_many,
            ]
            .into_iter()
            .flatten()
            {
                assert!(x.is_finite() && x >= 0.0, "{key}: {text}");
            }
        }
    }
}

/// What a log holds of lists, for a restart: everything that was written, in order.
fn restarted(outcomes: &[Outcome], arrived: &[Arrival], clock: Instant, workers: usize) -> (Engine, Outcome) {
    restarted_under(Policies::default(), outcomes, arrived, clock, workers)
}

fn restarted_under(
    policies: Policies,
    outcomes: &[Outcome],
    arrived: &[Arrival],
    clock: Instant,
    workers: usize,
) -> (Engine, Outcome) {
    let (mut written, mut said) = (Memory::default(), Memory::default());
    outcomes.iter().flat_map(|o| &o.incidents).for_each(|i| written.incident(i.clone()));
    outcomes.iter().flat_map(|o| &o.alerts).for_each(|a| said.alert(a));
    written.index();
    let mut again = Engine::new(policies, Options { workers });
    again.recover(Some(clock));
    again.load(arrived.to_vec());
    outcomes.iter().flat_map(|o| o.lists.iter()).for_each(|(key, listed)| again.recall(&key, listed));
    let resumed = again.resume(written.with(said));
    (again, resumed)
}

/// A successor that takes over on New Year's Day, of a key enterprise whose list was frozen, twice, under odd names.
#[test]
fn a_successor_of_new_years_day_inherits_the_years_and_a_restart_knows_it() {
    let (mut engine, mut outcomes, mut arrived) = city();
    let mut take = |engine: &mut Engine, outcomes: &mut Vec<Outcome>, now: Instant, records: Vec<Arrival>| {
        arrived.extend(records.iter().cloned());
        outcomes.extend(engine.arrive(now, records));
    };
    let now = at("2025-01-20T09:00:00+08:00");
    take(
        &mut engine,
        &mut outcomes,
        now,
        vec![
            freeze("E1", "2024", Some("the head"), now),
            freeze("E10", "2024", Some("the head"), now),
            enterprise(100, 1, "2026-01-01", Some(3), now),
        ],
    );
    let now = at("2025-06-01T09:00:00+08:00");
    let mut more: Vec<Arrival> =
        (1..=5).map(|n| report(9_100 + n, 3, &format!("2025-05-{n:02}"), now)).collect();
    more.extend((1..=12).map(|m| insured(3, &format!("2025-{m:02}"), 2, 1, now)));
    more.extend((0..FIRMS).filter(|f| *f != 3).map(|f| insured(f, "2025-01", 20, 1, now)));
    take(&mut engine, &mut outcomes, now, more);
    outcomes.extend(engine.tick_to("2025-12-31".parse().unwrap()));
    let entry = |engine: &Engine, year: i32, firm: usize| {
        let key = format!("annual|{year}|{}", uscc(firm));
        engine.lists().into_iter().find(|l| l.key() == key).and_then(|l| l.member)
    };
    assert_eq!(entry(&engine, 2025, 3).map(|m| (m.key_years, m.persistent)), Some((2, true)));
    outcomes.extend(engine.tick_to("2026-01-01".parse().unwrap()));
    assert_eq!(entry(&engine, 2025, 3), None);
    assert_eq!(entry(&engine, 2025, 100).map(|m| (m.key_years, m.persistent)), Some((2, true)));
    let clock = engine.clock().unwrap();
    for workers in [1, 2, 3] {
        let (again, resumed) = restarted(&outcomes, &arrived, clock, workers);
        assert!(resumed.lists.is_empty(), "{workers} workers: {:?}", resumed.lists);
        assert_eq!(again.lists(), engine.lists());
    }
}

/// Nobody froze the list before: the list of the year, which is frozen in January, still says who was key before.
#[test]
fn the_turn_of_a_year_alone_takes_no_years_running_from_a_list() {
    let (mut engine, mut outcomes, _) = city();
    let now = at("2025-06-01T09:00:00+08:00");
    let mut more: Vec<Arrival> =
        (1..=5).map(|n| report(9_100 + n, 3, &format!("2025-05-{n:02}"), now)).collect();
    more.extend((1..=12).map(|m| insured(3, &format!("2025-{m:02}"), 2, 1, now)));
    more.extend((0..FIRMS).filter(|f| *f != 3).map(|f| insured(f, "2025-01", 20, 1, now)));
    outcomes.extend(engine.arrive(now, more));
    outcomes.extend(engine.tick_to("2025-12-31".parse().unwrap()));
    let entry = |engine: &Engine| {
        let key = format!("annual|2025|{}", uscc(3));
        engine
            .lists()
            .into_iter()
            .find(|l| l.key() == key)
            .and_then(|l| l.member)
            .map(|m| (m.key_years, m.persistent))
    };
    assert_eq!(entry(&engine), Some((2, true)));
    outcomes.extend(engine.tick_to("2026-01-01".parse().unwrap()));
    assert_eq!(entry(&engine), Some((2, true)), "nothing was reported overnight");
}

/// An engine without rates, and one of several workers, keep the same lists: over a leap day, two turns of a year and a
/// policy that is taken over on the way.
#[test]
fn every_engine_keeps_the_same_lists() {
    let day = |text: &str| text.parse().unwrap();
    let strict = "[[policy]]\neffective_from='2020-11-20'\nlists.rate_factor=1.0\nlists.chance_below=0.2\nmerge.case_days=9\n\
                  [[policy]]\neffective_from='2025-07-01'\nlists.persistent_years=3\nlists.severe_is_key=false\n";
    let run = |mut engine: Engine| {
        let (_, _, first) = city();
        let mut outcomes: Vec<Outcome> = Vec::new();
        let mut begun = 0;
        while begun < first.len() {
            let when = first[begun].arrived_at;
            let n = first[begun..].iter().take_while(|a| a.arrived_at == when).count();
            outcomes.extend(engine.arrive(when, first[begun..begun + n].to_vec()));
            begun += n;
        }
        outcomes.extend(engine.tick_to(day("2025-02-28")));
        let now = at("2025-02-28T09:00:00+08:00");
        outcomes.extend(engine.arrive(
            now,
            [enterprise(100, 1, "2026-01-01", Some(3), now), enterprise(101, 1, "2025-12-31", Some(7), now)],
        ));
        outcomes.push(engine.adopt(Policies::parse(strict).unwrap()));
        let now = at("2025-03-01T09:00:00+08:00");
        outcomes.extend(engine.arrive(now, (0..9).map(|n| report(9_200 + n, 7 * n, "2024-02-29", now))));
        outcomes
            .extend(engine.arrive(at("2026-03-01T09:00:00+08:00"), [freeze("E", "2025", Some("x"), now)]));
        let lists: Vec<Vec<ListsChange>> =
            outcomes.iter().map(|o| o.lists.iter().collect()).filter(|l: &Vec<_>| !l.is_empty()).collect();
        (lists, engine.lists())
    };
    let expected = run(Engine::new(Policies::default(), Options { workers: 1 }));
    assert!(expected.0.len() > 700 && !expected.1.is_empty());
    for workers in [1, 3] {
        assert!(run(Engine::of_decisions(Policies::default(), Options { workers })) == expected, "{workers}");
    }
    assert!(run(Engine::new(Policies::default(), Options { workers: 4 })) == expected);
}

type ListsChange = (String, Option<Listed>);
