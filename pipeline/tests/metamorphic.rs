//! What must hold between two histories, whatever the numbers are: the engine against itself.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod subjected;

use std::collections::BTreeMap;

use subjected::Subjected;
use tocsin_oracle::histories::{history, uscc};
use tocsin_oracle::{History, Subject};
use tocsin_schemas::codes::{Scope, Source, State, Status};
use tocsin_schemas::ids::{PersonKey, Uscc};
use tocsin_schemas::records::{Alert, Incident, Rates, Record};

/// What a history comes to.
struct End {
    incidents: Vec<Incident>,
    rates: Vec<Rates>,
    alerts: Vec<Alert>,
}

fn run(history: &History) -> End {
    let mut subject = Subjected::new(history, 1);
    let mut alerts = Vec::new();
    for step in &history.steps {
        alerts.extend(step.adopt.iter().flat_map(|tables| subject.adopt(tables).concat()));
        alerts.extend(subject.arrive(step.at, &step.arrivals).concat());
    }
    let engine = &subject.engine;
    let mut incidents = engine.incidents();
    incidents.retain(|i| i.state != State::Gone);
    End { incidents, rates: engine.rates(), alerts }
}

fn changed(history: &History, mut change: impl FnMut(&mut Record)) -> History {
    let mut changed = history.clone();
    changed.steps.iter_mut().flat_map(|s| &mut s.arrivals).for_each(|(record, ..)| change(record));
    changed
}

/// Rates are many: only the first that differ are shown.
#[track_caller]
fn same_rates(expected: &[Rates], found: &[Rates], seed: u64) {
    let differ = expected.iter().zip(found).find(|(e, f)| e != f);
    assert!(differ.is_none(), "seed {seed}: {differ:#?}");
    assert_eq!(expected.len(), found.len(), "seed {seed}");
}

/// Without its number, which depends on what else was there.
fn nameless(incidents: &[Incident]) -> Vec<String> {
    let of = |i: &Incident| {
        let (uscc, day, reports) = (i.uscc, i.occurred_on, &i.reports);
        format!("{uscc:?} {day} {} {} {} {} {reports:?}", i.category, i.severity, i.persons, i.state)
    };
    let mut all: Vec<String> = incidents.iter().map(of).collect();
    all.sort();
    all
}

const HISTORIES: std::ops::Range<u64> = 5_000..5_060;

#[test]
fn twice_the_headcount_is_half_the_rate() {
    let (mut compared, mut shrunken) = (0, 0);
    for seed in HISTORIES {
        let single = history(seed, 40);
        let double = changed(&single, |record| {
            if let Record::Headcount(h) = record {
                h.insured *= 2;
            }
        });
        let (single, double) = (run(&single), run(&double));
        assert_eq!(single.alerts, double.alerts, "seed {seed}");
        let halved = |mut rates: Rates| {
            for window in &mut rates.windows {
                compared += usize::from(window.per_thousand.is_some_and(|rate| rate > 0.0));
                window.headcount = window.headcount.map(|n| n * 2.0);
                for rate in [&mut window.per_thousand, &mut window.low, &mut window.high] {
                    *rate = rate.map(|rate| rate / 2.0);
                }
            }
            rates
        };
        let mut expected: Vec<Rates> = single.rates.into_iter().map(halved).collect();
        // A fit does not halve to the last bit.
        let mut double = double.rates;
        let windows =
            expected.iter_mut().zip(&mut double).flat_map(|(e, d)| e.windows.iter_mut().zip(&mut d.windows));
        for (one, two) in windows {
            if let Some((one, two)) = one.shrunken.take().zip(two.shrunken.take()) {
                assert!((one - 2.0 * two).abs() <= 1e-9 * one, "seed {seed}: {one} is not twice {two}");
                shrunken += 1;
            }
        }
        same_rates(&expected, &double, seed);
    }
    assert!(shrunken > 10, "{shrunken} shrunken rates: models of so few firms are rare");
    assert!(compared > 500, "{compared} rates above 0");
}

#[test]
fn other_codes_of_the_enterprises_only_rename_the_rows() {
    // In the same order: of several successors the smallest code is one of the contract's ties.
    let names: BTreeMap<Uscc, Uscc> = (0..1_000).map(|n| (uscc(n), uscc(2 * n + 10_000))).collect();
    let renamed = |u: &Uscc| names[u];
    let text = |key: &str| key.parse().map_or(key.to_owned(), |u: Uscc| renamed(&u).to_string());
    let mut enterprises = 0;
    for seed in HISTORIES {
        let before = history(seed, 40);
        let after = changed(&before, |record| match record {
            Record::Report(r) => {
                r.uscc = r.uscc.as_ref().map(renamed);
                r.host_uscc = r.host_uscc.as_ref().map(renamed);
            }
            Record::Enterprise(e) => {
                e.uscc = renamed(&e.uscc);
                e.successor_of = e.successor_of.as_ref().map(renamed);
            }
            Record::Headcount(h) => h.uscc = renamed(&h.uscc),
            Record::Contact(_) | Record::Governance(_) => {}
        });
        let (before, after) = (run(&before), run(&after));
        let rename = |mut rates: Rates| {
            if rates.scope == Scope::Enterprise {
                enterprises += 1;
                rates.key = text(&rates.key);
            }
            rates
        };
        let expected: Vec<Rates> = before.rates.into_iter().map(rename).collect();
        same_rates(&expected, &after.rates, seed);
        let expected = before.incidents.into_iter().map(|mut i| {
            i.uscc = i.uscc.as_ref().map(renamed);
            i
        });
        assert_eq!(expected.collect::<Vec<_>>(), after.incidents, "seed {seed}");
        let said = |a: &Alert, subject: String| {
            format!(
                "{} {} {subject} {:?} {:?} {:?} {}",
                a.rule, a.change, a.level, a.incident_ids, a.reason, a.count
            )
        };
        let expected: Vec<String> = before.alerts.iter().map(|a| said(a, text(&a.subject))).collect();
        let found: Vec<String> = after.alerts.iter().map(|a| said(a, a.subject.to_string())).collect();
        assert_eq!(expected, found, "seed {seed}");
    }
    assert!(enterprises > 100, "{enterprises} enterprises with rates");
}

#[test]
fn a_report_that_was_withdrawn_changes_nothing_that_is_so() {
    let mut in_between = 0;
    for seed in HISTORIES {
        let without = history(seed, 40);
        let all = without.steps.iter().flat_map(|s| &s.arrivals);
        let reports: Vec<_> = all
            .filter_map(|(record, ..)| if let Record::Report(r) = record { Some(r.clone()) } else { None })
            .collect();
        let Some(like) = reports.get(seed as usize % reports.len().max(1)) else { continue };
        let end = run(&without);
        // Withdrawn in the batch that brings it, and some steps later.
        for later in [0, 7] {
            let mut with = without.clone();
            let mut report = like.clone();
            report.source_record_id = "withdrawn".into();
            (report.version, report.status) = (1, Status::Reported);
            for (step, status) in [(10, Status::Reported), (10 + later, Status::Withdrawn)] {
                report.status = status;
                let at = with.steps[step].at;
                with.steps[step].arrivals.push((
                    Record::Report(report.clone()),
                    [report.version as u8; 32],
                    at,
                ));
                report.version += 1;
            }
            let found = run(&with);
            assert_eq!(nameless(&end.incidents), nameless(&found.incidents), "seed {seed}, {later} later");
            same_rates(&end.rates, &found.rates, seed);
            if later == 0 {
                assert_eq!(end.alerts, found.alerts, "seed {seed}");
            } else {
                in_between += usize::from(end.alerts != found.alerts);
            }
        }
    }
    assert!(in_between > 5, "{in_between} were told before they were withdrawn");
}

#[test]
fn which_of_several_bureaus_reports_an_injury_makes_no_difference() {
    // A person each, and no number of the event: what belongs together by source, and which of two cases a
    // report without a key joins, are other rules.
    let many = [Source::Construction, Source::MarketSupervision, Source::Transport, Source::Water];
    let mut moved = 0;
    for seed in HISTORIES {
        let one = changed(&history(seed, 40), |record| {
            if let Record::Report(r) = record
                && (r.source == Source::Construction || r.person_key.is_none())
            {
                let mut key = [0xC0; 32];
                let name = format!("{}/{}", r.source, r.source_record_id);
                name.bytes().zip(&mut key).for_each(|(from, to)| *to = from);
                (r.person_key, r.incident_no) = (Some(PersonKey(key)), None);
            }
        });
        let spread = changed(&one, |record| {
            if let Record::Report(r) = record
                && r.source == Source::Construction
            {
                r.source = many[r.source_record_id.bytes().map(usize::from).sum::<usize>() % many.len()];
                moved += usize::from(r.source != Source::Construction);
            }
        });
        let (one, spread) = (run(&one), run(&spread));
        same_rates(&one.rates, &spread.rates, seed);
        let shown = |a: &Alert| (a.rule, a.change, a.count, a.level, a.severity, a.as_of, a.reason);
        let count = |alerts: &[Alert]| {
            let mut all: Vec<String> = alerts.iter().map(|a| format!("{:?}", shown(a))).collect();
            all.sort();
            all
        };
        assert_eq!(count(&one.alerts), count(&spread.alerts), "seed {seed}");
        assert_eq!(one.incidents.len(), spread.incidents.len(), "seed {seed}");
    }
    assert!(moved > 200, "{moved} records moved");
}
