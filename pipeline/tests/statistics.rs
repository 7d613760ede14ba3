//! The statistics against published numbers: every number of `stat-anchors.json`, to the digits that it prints.
//!
//! Each group of the file is one function here, which takes what it needs as input and has its results judged. The
//! last test runs them all and asserts that no number of the file was passed over.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "statistics/anchors.rs"]
mod anchors;
#[path = "statistics/by_hand.rs"]
mod by_hand;
#[path = "statistics/properties.rs"]
mod properties;

use anchors::Anchors;
use tocsin_pipeline::statistics::cusum::{self, AfterAlarm};
use tocsin_pipeline::statistics::marshall::Common;
use tocsin_pipeline::statistics::shrinkage::{FittedBy, Prior};
use tocsin_pipeline::statistics::{Confidence, Observed, ears, fall, farrington, funnel, limits, scan, tail};

/// Numbers that are not reproduced, and why.
const NOT_BUILT: &[(&str, &str)] = &[
    (
        "ears/C3_stat_2011W01_W06",
        "C3 adds up the excess of three periods: it alarms about a week that is past, and the city asked for C1 and C2",
    ),
    (
        "marshall_auckland/a",
        "the variance between areas needs all 167, of which the file has five; `by_hand` judges the method, and this \
         number is what the shrunken rates are computed with",
    ),
];

/// What the methods are applied to. Everything else that is a number must be judged.
const INPUTS: &[&str] = &[
    "ears/weeks",
    "ears/counts",
    "funnel_sr/expected",
    "clayton_kaldor_scotland/O",
    "clayton_kaldor_scotland/E",
    "marshall_auckland/N",
    "marshall_auckland/sum_cases",
    "marshall_auckland/sum_person_years",
    "marshall_auckland/rows_cases_pop",
    "poisson_alarm_count/E",
    "fall30_by_luck/k",
    "cusum_std/m",
    "cusum_std/x",
    "cusum_rossi/m",
    "cusum_rossi/x",
    "poisson_cusum_reference/m0,m1",
    "scan_pb_llr/counts_rows_most_recent_first",
    "scan_pb_llr/baselines",
    "scan_pb_llr/single/c",
    "scan_pb_llr/single/E",
    "scan_pb_llr/single/C",
    "city_false_alarms/N",
    "city_false_alarms/E_per_month",
];

const GROUPS: &[fn(&mut Anchors)] = &[
    ears_bounds,
    exact_limits,
    byars_limits,
    funnel_limits,
    scotland,
    auckland,
    alarming_counts,
    falls_by_luck,
    conditional_falls,
    standard_cusum,
    rossis_cusum,
    cusum_reference,
    farrington_thresholds,
    best_window,
    false_alarms_of_a_city,
];

fn confidence(percent: &str) -> Confidence {
    match percent {
        "95" => Confidence::P95,
        "99.8" => Confidence::P99_8,
        other => panic!("a level that nobody asked for: {other}"),
    }
}

fn ears_bounds(anchors: &mut Anchors) {
    let weeks = anchors.words("ears/weeks");
    let counts = anchors.counts("ears/counts");
    let first = weeks.iter().position(|w| w == "2011-W01").unwrap();
    let bounds = |chart: ears::Chart, weeks: usize| -> Vec<f64> {
        (first..first + weeks).map(|week| chart.upper_bound(&counts[..week]).unwrap()).collect()
    };
    anchors.judge("ears/C1_upper_2011W01_W04", &bounds(ears::Chart::c1(0.05, 0.0), 4));
    anchors.judge("ears/C2_upper_2011W01_W06", &bounds(ears::Chart::c2(0.05, 0.0), 6));
    // One-sided 5 % and two-sided 10 % share their quantile.
    anchors.judge("ears/z", &[Confidence::new(0.9).unwrap().z()]);
}

fn exact_limits(anchors: &mut Anchors) {
    for path in anchors.leaves_below("poisson_exact_ci") {
        let [_, percent, count] = path.split('/').collect::<Vec<_>>()[..] else { panic!("{path}") };
        let got = limits::exact(count.parse().unwrap(), confidence(percent)).unwrap();
        anchors.judge(&path, &[got.lower, got.upper]);
    }
}

fn byars_limits(anchors: &mut Anchors) {
    for path in anchors.leaves_below("byar") {
        let [_, percent, count] = path.split('/').collect::<Vec<_>>()[..] else { panic!("{path}") };
        let got = limits::byar(count.parse().unwrap(), confidence(percent)).unwrap();
        anchors.judge(&path, &[got.lower, got.upper]);
    }
}

fn funnel_limits(anchors: &mut Anchors) {
    let expected = anchors.numbers("funnel_sr/expected");
    for (name, level) in [("95", Confidence::P95), ("998", Confidence::P99_8)] {
        let got: Vec<_> = expected.iter().map(|e| funnel::limits(*e, 1.0, level).unwrap()).collect();
        let (lower, upper): (Vec<f64>, Vec<f64>) = got.iter().map(|i| (i.lower, i.upper)).unzip();
        // Written with 7 significant digits, whatever their size.
        anchors.judge_significant(&format!("funnel_sr/ll{name}"), &lower, 7);
        anchors.judge_significant(&format!("funnel_sr/ul{name}"), &upper, 7);
    }
}

fn scotland(anchors: &mut Anchors) {
    let group = "clayton_kaldor_scotland";
    let counts = anchors.counts(&format!("{group}/O"));
    let expected = anchors.numbers(&format!("{group}/E"));
    let districts: Vec<Observed> =
        counts.iter().zip(&expected).map(|(o, e)| Observed { count: *o, exposure: *e }).collect();
    let shrunken = |prior: &Prior, some: &[Observed]| -> Vec<f64> {
        some.iter().map(|d| prior.posterior_mean(*d).unwrap()).collect()
    };

    let (prior, by) = Prior::fit(&districts).unwrap();
    assert_eq!(by, FittedBy::Likelihood);
    // The anchors' optimiser stopped 3e-8 (relative) short of the maximum; `by_hand` has the maximum to 12 digits.
    anchors.judge_significant(&format!("{group}/negbin_mle/nu"), &[prior.nu()], 7);
    anchors.judge_significant(&format!("{group}/negbin_mle/alpha"), &[prior.alpha()], 7);
    anchors.judge(&format!("{group}/posterior_mean_mle_first5"), &shrunken(&prior, &districts[..5]));
    anchors.judge(&format!("{group}/posterior_mean_mle_last2"), &shrunken(&prior, &districts[54..]));

    let prior = Prior::by_moments(&districts).unwrap();
    // The anchors' iteration stopped where two rounds differed by 1e-10, ours goes on to 1e-13.
    anchors.judge_significant(&format!("{group}/moment_iteration/nu"), &[prior.nu()], 10);
    anchors.judge_significant(&format!("{group}/moment_iteration/alpha"), &[prior.alpha()], 10);
    anchors.judge(&format!("{group}/moment_iteration/smoothed_first5"), &shrunken(&prior, &districts[..5]));
}

fn auckland(anchors: &mut Anchors) {
    let group = "marshall_auckland";
    let number = |anchors: &Anchors, name: &str| anchors.numbers(&format!("{group}/{name}"))[0];
    // Nine years, as the file says; the rows are of one.
    let rows = anchors.numbers(&format!("{group}/rows_cases_pop"));
    let mut areas: Vec<Observed> =
        rows.chunks(2).map(|row| Observed { count: row[0] as u64, exposure: row[1] * 9.0 }).collect();

    // The common rate needs only the sums: whatever is not in the five rows is one area more.
    let (cases, years) = (number(anchors, "sum_cases") as u64, number(anchors, "sum_person_years"));
    let rest = Observed {
        count: cases - areas.iter().map(|a| a.count).sum::<u64>(),
        exposure: years - areas.iter().map(|a| a.exposure).sum::<f64>(),
    };
    areas.push(rest);
    let rate = Common::of(&areas).unwrap().rate;
    anchors.judge(&format!("{group}/b"), &[rate]);

    let common = Common { rate, variance: number(anchors, "a") };
    let shrunken: Vec<f64> = areas[..5].iter().map(|a| common.shrunken(*a).unwrap() * 1000.0).collect();
    anchors.judge(&format!("{group}/eb_per_1000"), &shrunken);
}

fn alarming_counts(anchors: &mut Anchors) {
    let expected = anchors.numbers("poisson_alarm_count/E");
    for (name, alpha) in [(".05", 0.05), (".01", 0.01), (".001", 0.001)] {
        let got: Vec<f64> = expected.iter().map(|e| tail::alarm_count(*e, alpha).unwrap() as f64).collect();
        anchors.judge(&format!("poisson_alarm_count/alpha_{name}"), &got);
    }
}

fn falls_by_luck(anchors: &mut Anchors) {
    let before = anchors.counts("fall30_by_luck/k");
    let got: Vec<f64> = before.iter().map(|k| fall::chance(*k, 30, 1.0).unwrap()).collect();
    anchors.judge("fall30_by_luck/P", &got);
}

fn conditional_falls(anchors: &mut Anchors) {
    let paths = anchors.leaves_below("conditional_binomial");
    for path in &paths {
        let (a, b) = path.rsplit('/').next().unwrap().split_once(',').unwrap();
        let year = |count: &str| Observed { count: count.parse().unwrap(), exposure: 1.0 };
        let got = fall::conditional_p(year(a), year(b)).unwrap();
        anchors.judge_decimals(path, &[got], 5);
    }
}

/// `k` and `h` that the anchors use; the sums go on after an alarm.
const CUSUM: cusum::Chart =
    cusum::Chart { reference: 1.04, threshold: 2.26, start: 0.0, after_alarm: AfterAlarm::GoOn };

fn judge_cusum(anchors: &mut Anchors, group: &str, values: &[f64]) {
    let steps = CUSUM.run(values).unwrap();
    let sums: Vec<f64> = steps.iter().map(|s| s.sum).collect();
    anchors.judge(&format!("{group}/S"), &sums);
    let alarms: Vec<f64> = (1..).zip(&steps).filter(|(_, s)| s.alarm).map(|(i, _)| f64::from(i)).collect();
    anchors.judge(&format!("{group}/alarm_index_1based"), &alarms);
}

fn standard_cusum(anchors: &mut Anchors) {
    let mean = anchors.numbers("cusum_std/m")[0];
    let counts = anchors.counts("cusum_std/x");
    let values: Vec<f64> = counts.iter().map(|c| cusum::standardised(*c, mean).unwrap()).collect();
    judge_cusum(anchors, "cusum_std", &values);
}

fn rossis_cusum(anchors: &mut Anchors) {
    let mean = anchors.numbers("cusum_rossi/m")[0];
    let counts = anchors.counts("cusum_rossi/x");
    let values: Vec<f64> = counts.iter().map(|c| cusum::rossi(*c, mean).unwrap()).collect();
    anchors.judge("cusum_rossi/z", &values);
    judge_cusum(anchors, "cusum_rossi", &values);
}

fn cusum_reference(anchors: &mut Anchors) {
    let means = anchors.numbers("poisson_cusum_reference/m0,m1");
    let got: Vec<f64> = means.chunks(2).map(|m| cusum::reference(m[0], m[1]).unwrap()).collect();
    anchors.judge("poisson_cusum_reference/k", &got);
}

fn farrington_thresholds(anchors: &mut Anchors) {
    let path = "farrington_threshold_2_3/cases";
    let cases = anchors.at(path).as_array().unwrap().clone();
    let field = |case: &serde_json::Value, name: &str| case[name].as_f64().unwrap();
    let printed: Vec<&serde_json::Value> = cases.iter().map(|case| &case["U"]).collect();
    let got: Vec<f64> = cases
        .iter()
        .map(|c| farrington::threshold(field(c, "mu"), field(c, "phi"), field(c, "var"), 0.01).unwrap())
        .collect();
    anchors.judge_values(path, &printed, &got);
}

fn best_window(anchors: &mut Anchors) {
    let rows = |path: &str| anchors.at(path).as_array().unwrap().iter().map(anchors::flatten).collect();
    let counts: Vec<Vec<f64>> = rows("scan_pb_llr/counts_rows_most_recent_first");
    let counts: Vec<Vec<u64>> = counts.iter().map(|row| row.iter().map(|c| *c as u64).collect()).collect();
    let baselines: Vec<Vec<f64>> = rows("scan_pb_llr/baselines");
    let zones = [vec![0], vec![1], vec![0, 1]];
    let best = scan::best(&counts, &baselines, &zones).unwrap().unwrap();

    // The file counts towns from 1.
    let towns: Vec<f64> = zones[best.zone].iter().map(|town| *town as f64 + 1.0).collect();
    anchors.judge("scan_pb_llr/best/zone", &towns);
    anchors.judge("scan_pb_llr/best/duration", &[best.periods as f64]);
    anchors.judge("scan_pb_llr/best/C", &[best.count as f64]);
    anchors.judge("scan_pb_llr/best/B", &[best.baseline]);
    anchors.judge("scan_pb_llr/best/score", &[best.score]);

    let of = |name: &str| anchors.numbers(&format!("scan_pb_llr/single/{name}"))[0];
    let single = scan::score(of("c") as u64, of("E"), of("C") as u64).unwrap();
    anchors.judge("scan_pb_llr/single/llr", &[single]);
}

fn false_alarms_of_a_city(anchors: &mut Anchors) {
    let firms = anchors.counts("city_false_alarms/N")[0] as usize;
    let expected = vec![anchors.numbers("city_false_alarms/E_per_month")[0]; firms];
    let got = |count| tail::firms_by_chance(&expected, count).unwrap();
    anchors.judge("city_false_alarms/expected_ge2", &[got(2)]);
    anchors.judge("city_false_alarms/expected_ge3", &[got(3)]);
}

#[test]
fn ears_bounds_are_those_of_the_published_series() {
    ears_bounds(&mut Anchors::read());
}

#[test]
fn exact_limits_are_those_of_the_chi_square_form() {
    exact_limits(&mut Anchors::read());
}

#[test]
fn byars_limits_are_those_of_public_health_tables() {
    byars_limits(&mut Anchors::read());
}

#[test]
fn the_funnel_has_the_published_width() {
    funnel_limits(&mut Anchors::read());
}

#[test]
fn the_districts_of_scotland_shrink_as_by_clayton_and_kaldor() {
    scotland(&mut Anchors::read());
}

#[test]
fn the_areas_of_auckland_shrink_as_by_marshall() {
    auckland(&mut Anchors::read());
}

#[test]
fn the_smallest_alarming_counts_are_exact() {
    alarming_counts(&mut Anchors::read());
}

#[test]
fn a_fall_by_thirty_percent_happens_by_luck_as_often_as_computed() {
    falls_by_luck(&mut Anchors::read());
}

#[test]
fn the_conditional_p_of_a_fall_is_binomial() {
    conditional_falls(&mut Anchors::read());
}

#[test]
fn the_standard_cusum_alarms_at_the_sixth_point_and_goes_on() {
    standard_cusum(&mut Anchors::read());
}

#[test]
fn rossis_cusum_alarms_at_the_sixth_point_and_goes_on() {
    rossis_cusum(&mut Anchors::read());
}

#[test]
fn the_reference_value_lies_between_the_two_means() {
    cusum_reference(&mut Anchors::read());
}

#[test]
fn farringtons_thresholds_are_those_of_the_two_thirds_power() {
    farrington_thresholds(&mut Anchors::read());
}

#[test]
fn the_scan_finds_the_published_window_and_score() {
    best_window(&mut Anchors::read());
}

#[test]
fn chance_alone_gives_a_city_its_false_alarms() {
    false_alarms_of_a_city(&mut Anchors::read());
}

#[test]
fn every_number_of_the_anchors_is_judged_or_listed() {
    let mut anchors = Anchors::read();
    for group in GROUPS {
        group(&mut anchors);
    }
    let mut open = Vec::new();
    for leaf in anchors.leaves() {
        let places = [
            anchors.judged(&leaf),
            INPUTS.contains(&leaf.as_str()),
            NOT_BUILT.iter().any(|(path, _)| *path == leaf),
        ];
        // Exactly one: a result that is read as an input would judge itself.
        if places.iter().filter(|here| **here).count() != 1 {
            open.push(leaf);
        }
    }
    assert!(open.is_empty(), "neither judged nor listed, or both: {open:?}");
    for path in INPUTS.iter().chain(NOT_BUILT.iter().map(|(path, _)| path)) {
        assert!(anchors.leaves().iter().any(|leaf| leaf == path), "listed but not in the file: {path}");
    }
}
