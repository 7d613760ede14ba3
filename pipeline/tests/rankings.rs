//! What `tocsin lists` ranks, against the oracle and against the rates: random histories, after every step.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod subjected;

use std::collections::BTreeMap;

use subjected::Subjected;
use tocsin_oracle::histories::{history, shrink, uscc};
use tocsin_oracle::{History, ListLimits, Oracle, OraclePolicy, RankingLimits, Step, Subject};
use tocsin_pipeline::lists::{Details, Industry};
use tocsin_pipeline::{Arrival, Engine, Memory, Options};
use tocsin_schemas::codes::{Category, EnterpriseStatus, Scope, Source, Status};
use tocsin_schemas::ids::PersonKey;
use tocsin_schemas::records::{Enterprise, Headcount, Record, Report, Window};
use tocsin_schemas::time::{Day, Instant, Month};

/// How often what happened, so that a pass says something.
#[derive(Debug, Default)]
struct Seen {
    counts: BTreeMap<String, u64>,
}

impl Seen {
    fn see(&mut self, what: impl ToString, times: u64) {
        *self.counts.entry(what.to_string()).or_default() += times;
    }

    #[track_caller]
    fn all(&self, kinds: &[&str]) {
        for what in kinds {
            assert!(
                self.counts.get(*what).is_some_and(|n| *n > 0),
                "{what} never occurred: {:#?}",
                self.counts
            );
        }
    }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3)
}

fn both_near(a: Option<f64>, b: Option<f64>) -> bool {
    a.zip(b).map_or(a.is_none() && b.is_none(), |(a, b)| near(a, b))
}

/// The same history, but reports say something of post, process and equipment: what, is a function of the content.
fn with_texts(seed: u64, steps: usize) -> History {
    let texts = [None, Some("press"), Some(" press "), Some("Press"), Some("  "), Some("冲压工"), None, None];
    let mut history = history(seed, steps);
    for (record, digest, _) in history.steps.iter_mut().flat_map(|step| &mut step.arrivals) {
        if let Record::Report(report) = record {
            let text = |byte: usize| texts[usize::from(digest[byte]) % texts.len()].map(Into::into);
            (report.post, report.process, report.equipment) =
                (text(3), text(4).filter(|_| seed.is_multiple_of(2)), text(5));
        }
    }
    history
}

fn streaks(engine: &Engine, oracle: &Oracle, seen: &mut Seen) -> Result<(), String> {
    let found = engine.streaks().unwrap();
    let (expected, without) = oracle.streaks().unwrap();
    let rows: Vec<_> = found
        .streaks
        .iter()
        .map(|s| (s.uscc, s.area.as_str(), s.since, s.since_by.as_str(), s.days as i32, s.headcount))
        .collect();
    let same: Vec<_> = expected
        .iter()
        .map(|s| (s.uscc, s.area.as_str(), s.since, s.since_by, s.days, s.headcount))
        .collect();
    let left: BTreeMap<&str, u32> = found.left_out.iter().map(|(why, n)| (why.as_str(), *n)).collect();
    if rows != same || left != without {
        return Err(format!(
            "  streaks differ: engine {rows:?} {left:?}\n                  oracle {same:?} {without:?}"
        ));
    }
    found.streaks.iter().for_each(|s| seen.see(s.since_by, 1));
    without.iter().for_each(|(why, n)| seen.see(format!("no streak: {why}"), u64::from(*n)));
    Ok(())
}

fn same_industry(
    found: &Industry,
    expected: &tocsin_oracle::IndustrySeen,
    seen: &mut Seen,
) -> Result<(), String> {
    let passed: BTreeMap<&str, u32> = found.passed_over.iter().map(|(why, n)| (why.as_str(), *n)).collect();
    let plain = found.industry == expected.industry
        && found.enterprises == expected.enterprises
        && [found.figures.incidents, found.before.incidents] == expected.incidents
        && both_near(found.expected, expected.expected)
        && both_near(found.chance_of_as_many, expected.chance_of_as_many)
        && both_near(found.adjusted, expected.adjusted)
        && found.verdict.as_str() == expected.verdict
        && passed == expected.passed_over;
    let mut candidates: Vec<_> = found.candidates.iter().collect();
    let in_order = found.candidates.windows(2).all(|c| {
        let key = |n: usize| (c[n].conditional_p.unwrap_or(2.0), -c[n].headcount, c[n].uscc);
        key(0) < key(1)
    });
    candidates.sort_by_key(|c| c.uscc);
    let each = candidates.len() == expected.candidates.len()
        && candidates.iter().zip(&expected.candidates).all(|(a, b)| {
            (a.uscc, [a.incidents, a.incidents_before], a.few_before) == (b.uscc, b.incidents, b.few_before)
                && [a.headcount, a.headcount_before] == b.headcount
                && near(a.fall_percent, b.fall_percent)
                && both_near(a.conditional_p, Some(b.conditional_p))
        });
    if !(plain && each && in_order) {
        return Err(format!("  industry differs: engine {found:?}\n                    oracle {expected:?}"));
    }
    seen.see(format!("industry: {}", expected.verdict), 1);
    seen.see("candidates", expected.candidates.len() as u64);
    seen.see(
        "candidates with few before",
        expected.candidates.iter().filter(|c| c.few_before).count() as u64,
    );
    seen.see(
        "candidates with many before",
        expected.candidates.iter().filter(|c| !c.few_before).count() as u64,
    );
    passed.iter().for_each(|(why, n)| seen.see(format!("no benchmark: {why}"), u64::from(*n)));
    Ok(())
}

fn industries(engine: &Engine, oracle: &Oracle, day: Day, seen: &mut Seen) -> Result<(), String> {
    let this = i32::from(day.year());
    assert!(engine.industries(this + 1).is_none(), "a year that has not begun");
    for year in [this, this - 1] {
        let found = engine.industries(year).unwrap();
        let expected = oracle.industries(year).unwrap();
        let mut sorted: Vec<&Industry> = found.industries.iter().collect();
        sorted.sort_by(|a, b| a.industry.cmp(&b.industry));
        if sorted.len() != expected.len() {
            return Err(format!("  industries differ: engine {sorted:?}\n  oracle {expected:?}"));
        }
        for (found, expected) in sorted.into_iter().zip(&expected) {
            same_industry(found, expected, seen)?;
        }
    }
    // What is published as a rate too is the same number, to the last digit.
    let now = engine.industries(this).unwrap();
    for rates in engine.rates() {
        let figures = match rates.scope {
            Scope::City => Some((&now.city, &now.city_before)),
            Scope::Industry => {
                let of = now.industries.iter().find(|i| i.industry == rates.key);
                of.map(|i| (&i.figures, &i.before))
            }
            _ => continue,
        };
        let (year, before) = figures.ok_or(format!("  there is no {} among the industries", rates.key))?;
        for (window, figures) in [(Window::Year, year), (Window::YearAgo, before)] {
            let rate = rates.windows.iter().find(|w| w.window == window).unwrap();
            let published = (
                rate.incidents,
                rate.incidents_with_headcount,
                rate.headcount,
                rate.per_thousand,
                rate.reason,
            );
            let ranked = (
                figures.incidents,
                figures.incidents_with_headcount,
                figures.headcount,
                figures.per_thousand,
                figures.reason,
            );
            if published != ranked {
                return Err(format!("  {} {} {window}: {published:?} {ranked:?}", rates.scope, rates.key));
            }
        }
    }
    Ok(())
}

fn hazards(engine: &Engine, details: &Details, oracle: &Oracle, seen: &mut Seen) -> Result<(), String> {
    for window in [Window::Year, Window::Rolling(365), Window::YearAgo, Window::Rolling(3)] {
        let found = engine.hazards(details, window).unwrap().hazards;
        let expected = oracle.hazards(window).unwrap();
        let rows: Vec<_> = found
            .iter()
            .map(|h| tocsin_oracle::HazardSeen {
                scope: if h.scope == Scope::Industry { "industry" } else { "tag" },
                key: h.key.clone(),
                how: [h.post.clone(), h.process.clone(), h.equipment.clone()],
                incidents: h.incidents,
                persons: h.persons,
                severe: h.severe,
                lost_days: h.lost_days,
                persons_without_lost_days: h.persons_without_lost_days,
                few: h.few,
            })
            .collect();
        // Of equal counts the order of the texts is the texts' own; the oracle puts `unknown` among them too.
        let sorted = |rows: &[tocsin_oracle::HazardSeen]| {
            let mut rows = rows.to_vec();
            rows.sort();
            rows
        };
        if sorted(&rows) != sorted(&expected) {
            return Err(format!("  hazards of {window} differ: engine {rows:#?}\n  oracle {expected:#?}"));
        }
        if rows != expected {
            return Err(format!(
                "  hazards of {window} are in another order: {rows:#?}\n  oracle {expected:#?}"
            ));
        }
        for row in &rows {
            seen.see(row.scope, 1);
            seen.see(if row.few { "few" } else { "not few" }, 1);
            seen.see("several persons", u64::from(row.persons > row.incidents));
            seen.see("unknown", row.how.iter().filter(|t| *t == "unknown").count() as u64);
        }
    }
    Ok(())
}

fn check(engine: &Engine, details: &Details, oracle: &Oracle, seen: &mut Seen) -> Result<(), String> {
    let day = oracle.clock().unwrap().day();
    streaks(engine, oracle, seen)?;
    industries(engine, oracle, day, seen)?;
    hazards(engine, details, oracle, seen)
}

fn arrivals(step: &Step) -> impl Iterator<Item = Arrival> {
    step.arrivals.iter().cloned().map(|(record, digest, arrived_at)| Arrival { record, digest, arrived_at })
}

fn judged(history: &History, seen: &mut Seen) -> Result<(), String> {
    let (mut oracle, mut subject) = (Oracle::new(history.policies.clone()), Subjected::new(history, 1));
    let mut details = Details::default();
    for (n, step) in history.steps.iter().enumerate() {
        if let Some(policies) = &step.adopt {
            oracle.adopt(policies.clone());
            subject.adopt(policies);
        }
        if step.arrivals.is_empty() {
            oracle.tick_to(step.at.day());
            subject.tick_to(step.at.day());
        } else {
            oracle.arrive(step.at, step.arrivals.clone());
            subject.arrive(step.at, &step.arrivals);
        }
        arrivals(step).for_each(|arrival| details.take(&arrival));
        if oracle.clock().is_some() {
            check(&subject.engine, &details, &oracle, seen)
                .map_err(|what| format!("step {n} at {}:\n{what}", step.at))?;
        }
    }
    Ok(())
}

#[test]
fn streaks_industries_and_hazards_agree_with_the_oracle_after_every_step() {
    let mut seen = Seen::default();
    for seed in 6_000..6_070 {
        let history = with_texts(seed, 40);
        if let Err(why) = judged(&history, &mut seen) {
            let small = shrink(&history, &mut |h| judged(h, &mut Seen::default()).is_err());
            let why = judged(&small, &mut Seen::default()).err().unwrap_or(why);
            panic!("seed {seed}: {why}\n{small}");
        }
    }
    seen.all(&[
        "last_incident",
        "first_headcount",
        "no streak: closed",
        "no streak: headcount_unknown",
        "no streak: too_small",
        "industry: high",
        "industry: few_incidents",
        "industry: by_chance",
        "industry: headcount_unknown",
        "industry: headcount_zero",
        "industry: no_city_rate",
        "no benchmark: closed",
        "no benchmark: headcount_unknown",
        "no benchmark: too_small",
        "no benchmark: severe",
        "no benchmark: no_rate_before",
        "industry",
        "tag",
        "few",
        "not few",
        "several persons",
        "unknown",
    ]);
}

/// Numbers from a seed, so that a city is a function of it.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Two years of a city whose enterprises are larger and hurt more people than those of the histories, at two dates: as
/// a whole in December, and to date in June.
fn city(seed: u64) -> History {
    let mut dice = Dice(seed);
    let day = |text: &str| text.parse::<Day>().unwrap();
    let mut records = Vec::new();
    let mut later = Vec::new();
    for firm in 0..18 {
        records.push(Record::Enterprise(Enterprise {
            uscc: uscc(firm),
            version: 1,
            name: format!("Works {firm}").into(),
            short_name: None,
            area: "330784001".into(),
            industry: ["3311", "50", "1310"][dice.below(3) as usize].into(),
            valid_from: day("2020-01-01"),
            status: if dice.below(12) == 0 { EnterpriseStatus::Closed } else { EnterpriseStatus::Active },
            tags: vec!["保温杯".to_owned(); dice.below(2) as usize],
            successor_of: None,
        }));
        let size = [0, 8, 60, 100, 300][dice.below(5) as usize];
        for month in (0..18).filter(|month| firm != 3 && (firm != 4 || *month > 11)) {
            let month = Month(day("2024-01-01").month().0 + month);
            let insured = size as u32 + (dice.below(10) as u32).min(size as u32);
            records.push(Record::Headcount(Headcount { uscc: uscc(firm), month, insured, version: 1 }));
        }
        let often = [1, 4, 16][dice.below(3) as usize];
        for n in 0..dice.below(often) + dice.below(often) {
            // More in the first year than in the second.
            let first = day("2024-01-01");
            let days = if dice.below(4) == 0 { 500 } else { 366 };
            let occurred_on = first.plus(dice.below(days) as i32);
            let report = Report {
                source: Source::Hr,
                source_record_id: format!("{firm}-{n}").as_str().into(),
                version: 1,
                status: Status::Accepted,
                category: Category::Production,
                occurred_on,
                occurred_time: None,
                reported_at: occurred_on.midnight(),
                uscc: Some(uscc(firm)),
                employer_name: None,
                host_uscc: None,
                person_key: None,
                incident_no: None,
                cause: None,
                post: None,
                process: None,
                equipment: Some("press".into()),
                note: None,
                lost_days: (dice.below(3) > 0).then_some(if dice.below(30) == 0 { 105 } else { 7 }),
                disability_grade: None,
                died_on: None,
            };
            later.push(report);
        }
    }
    // Each of its own person, and so an incident of its own.
    for (n, report) in later.iter_mut().enumerate() {
        report.person_key = Some(PersonKey([n as u8; 32]));
    }
    let rankings = RankingLimits {
        industry_innocent: 500,
        industry_incidents: 2,
        benchmark_headcount: 5,
        ..RankingLimits::default()
    };
    let lists = ListLimits { rankings, ..ListLimits::default() };
    let step = |at: &str, records: Vec<Record>| {
        let at: Instant = format!("{at}T12:00:00+08:00").parse().unwrap();
        let arrival = |(n, record): (usize, Record)| (record, [n as u8; 32], at);
        let arrivals = records.into_iter().enumerate().map(arrival).collect();
        Step { adopt: None, at, arrivals, flagged: 0 }
    };
    let by = |last: Day, from: Day| {
        let within = later.iter().filter(move |r| from <= r.occurred_on && r.occurred_on <= last);
        within.cloned().map(Record::Report)
    };
    records.extend(by(day("2024-12-31"), day("2024-01-01")));
    let second = by(day("2025-06-15"), day("2025-01-01")).collect();
    History {
        policies: vec![OraclePolicy { lists, ..OraclePolicy::from(day("2020-11-20")) }],
        steps: vec![step("2024-12-31", records), step("2025-06-15", second)],
    }
}

#[test]
fn benchmarks_of_a_city_agree_with_the_oracle() {
    let mut seen = Seen::default();
    for seed in 0..60 {
        if let Err(why) = judged(&city(seed), &mut seen) {
            panic!("seed {seed}: {why}");
        }
    }
    seen.all(&[
        "industry: high",
        "industry: by_chance",
        "candidates",
        "candidates with few before",
        "candidates with many before",
        "no benchmark: not_fallen",
        "no benchmark: not_below_industry",
        "no benchmark: severe",
        "no benchmark: none_before",
    ]);
}

/// What `tocsin lists` does: everything is loaded in no order, and no midnight passes.
#[test]
fn an_engine_that_was_only_loaded_ranks_alike() {
    for seed in 6_200..6_240 {
        let mut history = with_texts(seed, 40);
        history.steps.iter_mut().for_each(|step| step.adopt = None);
        let mut oracle = Oracle::new(history.policies.clone());
        for step in &history.steps {
            oracle.arrive(step.at, step.arrivals.clone());
        }
        let Some(clock) = oracle.clock() else { continue };
        let mut all: Vec<Arrival> = history.steps.iter().flat_map(arrivals).collect();
        all.reverse();
        let mut engine = Engine::of_decisions(
            Subjected::new(&history, 1).engine.policies().clone(),
            Options { workers: 1 },
        );
        let mut details = Details::default();
        all.iter().for_each(|arrival| details.take(arrival));
        let middle = all.split_off(all.len() / 2);
        // The day is not known before the end.
        engine.recover(Some(Instant(clock.0 - 400 * 86_400_000)));
        engine.load(all);
        engine.recover(Some(clock));
        engine.load(middle);
        engine.resume(Memory::default().with(Memory::default()));
        if let Err(why) = streaks(&engine, &oracle, &mut Seen::default())
            .and_then(|()| hazards(&engine, &details, &oracle, &mut Seen::default()))
        {
            panic!("seed {seed}: {why}");
        }
        for year in [clock.day().year(), clock.day().year() - 1].map(i32::from) {
            let found = engine.industries(year).unwrap();
            let mut sorted: Vec<&Industry> = found.industries.iter().collect();
            sorted.sort_by(|a, b| a.industry.cmp(&b.industry));
            let expected = oracle.industries(year).unwrap();
            assert_eq!(sorted.len(), expected.len(), "seed {seed}");
            for (found, expected) in sorted.into_iter().zip(&expected) {
                if let Err(why) = same_industry(found, expected, &mut Seen::default()) {
                    panic!("seed {seed}: {why}");
                }
            }
        }
    }
}
