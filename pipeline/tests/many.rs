//! Thousands of firms at once go through the engine in parts, on all cores; a few at a time, one after the other. Which way
//! they went must not show.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tocsin_pipeline::{Arrival, Engine, Options, Outcome, Policies};
use tocsin_schemas::codes::Scope;
use tocsin_schemas::door;
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Listed, Member, WindowRate};
use tocsin_schemas::time::{Day, Instant};
use tocsin_schemas::wire::NoIds;

const FIRMS: u32 = 3_000;

fn arrival(topic: &str, at: Instant, value: &Value) -> Arrival {
    let admitted = door::admit(topic, value.to_string().as_bytes(), at, &NoIds).unwrap();
    Arrival { record: admitted.record, digest: admitted.digest, arrived_at: at }
}

fn uscc(n: u32) -> String {
    let body = format!("91330784XX{n:07}");
    format!("{body}{}", Uscc::check_symbol(body.as_bytes()).unwrap() as char)
}

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

/// The firms, four in five with a headcount of every month but one.
fn register(at: Instant) -> Vec<Arrival> {
    let mut records = Vec::new();
    for n in 0..FIRMS {
        let (area, industry) = (format!("33078400{}", n % 4), format!("{}", 30 + n % 7));
        let registered = json!({
            "uscc": uscc(n), "version": 1, "name": "A", "area": area, "industry": industry,
            "valid_from": "2020-01-01", "status": "active",
        });
        records.push(arrival("registry.enterprises", at, &registered));
        let months = (1..=26).map(|m| format!("202{}-{:02}", 3 + (m - 1) / 12, (m - 1) % 12 + 1));
        for (m, month) in months.enumerate().filter(|(m, _)| n % 5 != 4 && *m as u32 != n % 26) {
            let insured = 3 + n % 40 + m as u32 % 3;
            let insured = json!({"uscc": uscc(n), "month": month, "insured": insured, "version": 1});
            records.push(arrival("registry.headcount", at, &insured));
        }
    }
    records
}

/// Firm n has n % 3 incidents, spread over 2023 and 2024, and some are withdrawn in another version.
fn reports(at: Instant, version: u32) -> Vec<Arrival> {
    let ids = (0..FIRMS).flat_map(|n| (0..n % 3).map(move |i| (n, i)));
    let reports = ids.filter(|(n, i)| version == 1 || (n + i) % 2 == 0).map(|(n, i)| {
        let day = Day::new(2023, 1, 5).unwrap().plus(((n * 37 + i * 211) % 715) as i32);
        let status = if version == 1 { "recognised" } else { "withdrawn" };
        let report = json!({
            "source": "hr", "source_record_id": format!("{n}-{i}"), "version": version, "status": status,
            "occurred_on": day.to_string(), "reported_at": at.to_string(), "uscc": uscc(n), "cause": "03",
            "lost_days": n % 130,
        });
        arrival("reports.hr", at, &report)
    });
    reports.collect()
}

type Windows = BTreeMap<(Scope, String), Vec<WindowRate>>;

/// What the topic of rates holds after these outcomes.
fn hear(topic: &mut Windows, outcomes: &[Outcome]) {
    for (key, rates) in outcomes.iter().flat_map(|outcome| outcome.rates.iter()) {
        match rates {
            Some(rates) => drop(topic.insert(key, rates.windows)),
            None => drop(topic.remove(&key)),
        }
    }
}

fn standing(engine: &Engine) -> Windows {
    engine.rates().into_iter().map(|rates| ((rates.scope, rates.key), rates.windows)).collect()
}

#[test]
fn at_once_or_in_pieces_the_figures_are_the_same() {
    let start = at("2024-12-30T08:00:00+08:00");
    let day = |text: &str| text.parse::<Day>().unwrap();
    let (mut once, mut pieces) = (Windows::new(), Windows::new());
    // All at once, and then a New Year and the turn of a month.
    let mut whole = Engine::new(Policies::default(), Options { workers: 1 });
    hear(&mut once, &whole.arrive(start, register(start)));
    hear(&mut once, &whole.arrive(start, reports(start, 1)));
    assert_eq!(once, standing(&whole));
    hear(&mut once, &whole.tick_to(day("2025-01-01")));
    assert_eq!(once, standing(&whole));
    // In pieces, after that New Year.
    let mut parted = Engine::new(Policies::default(), Options { workers: 1 });
    hear(&mut pieces, &parted.arrive(start, register(start)));
    hear(&mut pieces, &parted.tick_to(day("2025-01-01")));
    for piece in reports(start, 1).chunks(100) {
        hear(&mut pieces, &parted.arrive(start, piece.to_vec()));
    }
    let rates = |windows: &Windows| -> Vec<_> {
        let all = windows.iter().flat_map(|(key, windows)| windows.iter().map(move |w| (key.clone(), w)));
        all.map(|(key, w)| (key, w.window, w.incidents, w.persons, w.headcount, w.per_thousand)).collect()
    };
    assert_eq!(rates(&standing(&whole)), rates(&standing(&parted)));
    // Both take the same model at the turn of the month.
    hear(&mut once, &whole.tick_to(day("2025-02-01")));
    hear(&mut pieces, &parted.tick_to(day("2025-02-01")));
    assert_eq!((&once, &pieces), (&standing(&whole), &standing(&parted)));
    assert_eq!(once, pieces);
    // Of 2023, whose list was over when the pieces came, nobody was key in theirs.
    let entries = |engine: &Engine| -> Vec<Listed> {
        let members = engine.lists().into_iter().filter_map(|listed| {
            let member = Member { key_years: 0, persistent: false, ..listed.member.clone()? };
            Some(Listed { member: Some(member), ..listed })
        });
        members.collect()
    };
    assert_eq!(entries(&whole), entries(&parted));
    let many = (entries(&whole).len(), once.len());
    assert!(many.0 > 1_000 && many.1 > 1_000, "{many:?}");
    // Half of it is taken back.
    let later = at("2025-02-01T09:00:00+08:00");
    hear(&mut once, &whole.arrive(later, reports(later, 2)));
    for piece in reports(later, 2).chunks(100) {
        hear(&mut pieces, &parted.arrive(later, piece.to_vec()));
    }
    assert_eq!((&once, &pieces), (&standing(&whole), &standing(&parted)));
    assert_eq!(once, pieces);
}
