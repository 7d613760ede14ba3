//! What the anchors do not hold: numbers from a computation with 30 digits or by hand, edges, and bad input.

use tocsin_pipeline::statistics::cusum::{self, AfterAlarm, Chart};
use tocsin_pipeline::statistics::days_between::{Limits, Verdict};
use tocsin_pipeline::statistics::marshall::Common;
use tocsin_pipeline::statistics::shrinkage::{FittedBy, Prior};
use tocsin_pipeline::statistics::{
    Confidence, Observed, Uncomputable, discoveries, ears, fall, farrington, funnel, limits, scan, tail,
};

use crate::anchors::Anchors;

fn near(got: f64, exact: f64, relative: f64) {
    assert!((got - exact).abs() <= relative * exact.abs(), "{got} came, {exact} is right");
}

fn observed(count: u64, exposure: f64) -> Observed {
    Observed { count, exposure }
}

fn firms(counts: &[u64], expected: &[f64]) -> Vec<Observed> {
    counts.iter().zip(expected).map(|(o, e)| observed(*o, *e)).collect()
}

#[test]
fn the_likelihood_of_scotland_has_its_maximum_to_twelve_digits() {
    let anchors = Anchors::read();
    let districts =
        firms(&anchors.counts("clayton_kaldor_scotland/O"), &anchors.numbers("clayton_kaldor_scotland/E"));
    // The root of both derivatives, found with 30 digits.
    let prior = Prior::by_likelihood(&districts).unwrap();
    near(prior.nu(), 1.879489974321884, 1e-12);
    near(prior.alpha(), 1.3216671294147557, 1e-12);
    let prior = Prior::by_moments(&districts).unwrap();
    near(prior.nu(), 1.644015297709833, 1e-11);
    near(prior.alpha(), 1.148843009532181, 1e-11);
}

#[test]
fn the_moments_help_out_where_the_likelihood_has_no_maximum() {
    // One large firm has exactly what is expected of it, more steadily than chance would; the small ones differ.
    let mixed = firms(&[0, 4, 0, 3, 1000], &[1.0, 1.0, 1.0, 1.0, 1000.0]);
    assert_eq!(Prior::by_likelihood(&mixed), Err(Uncomputable::NoSpread));
    let (prior, by) = Prior::fit(&mixed).unwrap();
    assert_eq!(by, FittedBy::Moments);
    assert!(prior.nu() > 0.1 && prior.nu() < 10.0, "{prior:?}");
    // Two firms that are alike weigh as two.
    let grouped = [(mixed[0], 2), (mixed[1], 1), (mixed[3], 1), (observed(7, 2.0), 0), (mixed[4], 1)];
    let (alike, by) = Prior::fit_alike(&grouped).unwrap();
    assert_eq!(by, FittedBy::Moments);
    near(alike.nu(), prior.nu(), 1e-9);
    near(alike.alpha(), prior.alpha(), 1e-9);
}

#[test]
fn firms_that_differ_by_less_than_chance_cannot_be_ranked() {
    let alike = firms(&[2, 2, 2, 3], &[2.0, 2.0, 2.0, 3.0]);
    assert_eq!(Prior::fit(&alike), Err(Uncomputable::NoSpread));
    let common = Common::of(&alike).unwrap();
    assert_eq!(common.variance, 0.0);
    assert_eq!(common.shrunken(observed(0, 1.0)), Ok(1.0));
}

#[test]
fn nothing_is_fitted_to_nothing() {
    let too_few = |what, needed, got| Err(Uncomputable::TooFew { what, needed, got });
    assert_eq!(Prior::fit(&[observed(1, 1.0)]), too_few("firms", 2, 1));
    assert_eq!(Prior::fit(&firms(&[0, 0], &[1.0, 1.0])), too_few("events", 1, 0));
    assert_eq!(Prior::fit(&firms(&[1, 1], &[1.0, 0.0])), Err(Uncomputable::NoExposure));
    assert_eq!(Common::of(&[]).unwrap_err(), Uncomputable::TooFew { what: "areas", needed: 2, got: 0 });
    assert_eq!(Common::of(&firms(&[1, 1], &[1.0, 0.0])), Err(Uncomputable::NoExposure));
}

#[test]
fn a_firm_without_headcount_has_no_number_rather_than_zero() {
    let prior = Prior::new(2.0, 1.0).unwrap();
    for count in [0, 1] {
        assert_eq!(prior.posterior_mean(observed(count, 0.0)), Err(Uncomputable::NoExposure));
        assert_eq!(prior.chance_above(observed(count, 0.0), 1.0), Err(Uncomputable::NoExposure));
        assert_eq!(tail::at_least(count, 0.0), Err(Uncomputable::NoExposure));
    }
    let interval = limits::exact(1, Confidence::P95).unwrap();
    assert_eq!(interval.over(0.0), Err(Uncomputable::NoExposure));
    assert_eq!(funnel::limits(0.0, 1.0, Confidence::P95), Err(Uncomputable::NoExposure));
    assert_eq!(tail::alarm_count(0.0, 0.001), Err(Uncomputable::NoExposure));
}

#[test]
fn the_posterior_chance_is_that_of_a_gamma_distribution() {
    // Shape 1 is exponential: P(theta > 1) = e^-rate.
    let prior = Prior::new(1.0, 0.5).unwrap();
    near(prior.chance_above(observed(0, 1.5), 1.0).unwrap(), (-2.0_f64).exp(), 1e-13);
    // Shape 2: (1 + r) e^-r at r = rate x ratio.
    near(prior.chance_above(observed(1, 1.5), 1.5).unwrap(), 4.0 * (-3.0_f64).exp(), 1e-13);
}

#[test]
fn tiny_tails_keep_their_digits() {
    // P(X >= 5 | 0.001) = 0.001^5 / 5! (1 - 5/6 0.001 + 5/14 0.001^2 - ...), P(X >= 1 | E) = 1 - e^-E.
    let series = 1e-15 / 120.0 * (1.0 - 5.0 / 6.0 * 1e-3 + 5.0 / 14.0 * 1e-6);
    near(tail::at_least(5, 1e-3).unwrap(), series, 1e-9);
    near(tail::at_least(1, 1e-8).unwrap(), 1e-8 - 0.5e-16, 1e-12);
    assert_eq!(tail::at_least(0, 3.0), Ok(1.0));
    assert_eq!(tail::at_least(1_000_000, 1e-3), Ok(0.0));
}

#[test]
fn a_true_fall_is_recognised_about_every_second_time() {
    // Published for last years of 2 to 30.
    for before in [2, 3, 4, 5, 6, 8, 10, 15, 20, 30] {
        let recognised = fall::chance(before, 30, 0.7).unwrap();
        assert!((0.465..0.655).contains(&recognised), "{before}: {recognised}");
    }
    assert_eq!(fall::at_most(10, 30), Ok(7));
    assert_eq!(fall::at_most(3, 100), Ok(0));
    assert!(matches!(fall::at_most(10, 101), Err(Uncomputable::OutOfRange { value: 101.0, .. })));
    assert!(matches!(fall::chance(0, 30, 1.0), Err(Uncomputable::TooFew { .. })));
}

#[test]
fn the_conditional_p_knows_unequal_exposure() {
    // One event each, the second year with a third of the exposure of the first: 1 - P(both in the second) = 15/16.
    let p = |b, a| fall::conditional_p(b, a);
    near(p(observed(1, 3.0), observed(1, 1.0)).unwrap(), 15.0 / 16.0, 1e-14);
    near(p(observed(2, 3.0), observed(0, 1.0)).unwrap(), 9.0 / 16.0, 1e-14);
    assert_eq!(p(observed(0, 3.0), observed(5, 1.0)), Ok(1.0));
    assert!(matches!(p(observed(0, 3.0), observed(0, 1.0)), Err(Uncomputable::TooFew { .. })));
    assert_eq!(p(observed(1, 3.0), observed(0, 0.0)), Err(Uncomputable::NoExposure));
}

#[test]
fn discoveries_are_those_of_a_list_worked_by_hand() {
    let p = [0.04, 0.01, 0.5, 0.02, 0.03];
    let q = discoveries::adjusted(&p).unwrap();
    // In rising order p 5/rank = 0.05 0.05 0.05 0.05 0.5.
    for (got, exact) in q.iter().zip([0.05, 0.05, 0.5, 0.05, 0.05]) {
        near(*got, exact, 1e-14);
    }
    let p = [0.001, 0.2, 0.012, 1.0];
    assert_eq!(discoveries::discovered(&p, 0.05).unwrap(), [true, false, true, false]);
    assert_eq!(discoveries::adjusted(&[]), Ok(vec![]));
    assert!(matches!(discoveries::adjusted(&[0.1, f64::NAN]), Err(Uncomputable::OutOfRange { .. })));
}

#[test]
fn a_visited_firm_begins_anew_and_one_that_nobody_visits_alarms_again() {
    let chart = |after_alarm| Chart { reference: 1.0, threshold: 3.0, start: 1.5, after_alarm };
    let values = [2.0, 2.0, 1.0, 2.0];
    let seen = |after_alarm| -> Vec<(f64, bool)> {
        chart(after_alarm).run(&values).unwrap().into_iter().map(|s| (s.sum, s.alarm)).collect()
    };
    assert_eq!(seen(AfterAlarm::GoOn), [(2.5, false), (3.5, true), (3.5, true), (4.5, true)]);
    assert_eq!(seen(AfterAlarm::Restart), [(2.5, false), (3.5, true), (1.5, false), (2.5, false)]);
    let wrong = Chart { start: 3.0, ..chart(AfterAlarm::GoOn) };
    assert!(matches!(wrong.run(&values), Err(Uncomputable::OutOfRange { what: "the start", .. })));
    assert!(chart(AfterAlarm::GoOn).run(&[f64::NAN]).is_err());
    assert!(cusum::reference(2.0, 2.0).is_err());
    assert_eq!(cusum::standardised(1, 0.0), Err(Uncomputable::NoExposure));
    assert_eq!(cusum::rossi(1, 0.0), Err(Uncomputable::NoExposure));
}

#[test]
fn gaps_between_incidents_have_limits_in_days() {
    // Computed independently with the same formula.
    let gaps = Limits::of(&[30, 40, 25, 35, 45, 38, 28, 33]).unwrap();
    near(gaps.lower.unwrap(), 14.561082232435686, 1e-9);
    near(gaps.centre, 33.84440150769242, 1e-9);
    near(gaps.upper, 66.99768491835107, 1e-9);
    assert_eq!([5, 33, 200].map(|gap| gaps.judge(gap)), [Verdict::TooShort, Verdict::Usual, Verdict::Longer]);

    let wild = Limits::of(&[0, 300, 2, 90]).unwrap();
    assert_eq!((wild.lower, wild.judge(0)), (None, Verdict::Usual));
    assert_eq!(Limits::of(&[7, 7, 7]), Err(Uncomputable::NoSpread));
    assert_eq!(Limits::of(&[7]), Err(Uncomputable::TooFew { what: "gaps", needed: 2, got: 1 }));
}

#[test]
fn ears_needs_its_history_and_does_not_take_silence_for_certainty() {
    let silent = [0; 9];
    assert_eq!(ears::Chart::c1(0.05, 0.0).upper_bound(&silent), Ok(0.0));
    let softened = ears::Chart::c1(0.05, 0.5).upper_bound(&silent).unwrap();
    near(softened, 0.5 * 1.6448536269514722, 1e-12);
    let few = ears::Chart::c2(0.05, 0.5).upper_bound(&silent[..8]);
    assert_eq!(few, Err(Uncomputable::TooFew { what: "periods before", needed: 9, got: 8 }));
    // C2 does not see the last two weeks, C1 does.
    let rising = [3, 4, 3, 4, 3, 4, 3, 9, 9];
    let (c1, c2) = (ears::Chart::c1(0.05, 0.5), ears::Chart::c2(0.05, 0.5));
    assert!(c1.upper_bound(&rising).unwrap() > 9.0 && c2.upper_bound(&rising).unwrap() < 5.0);
}

#[test]
fn farringtons_threshold_refuses_what_no_regression_gives() {
    assert_eq!(farrington::threshold(0.0, 1.0, 0.1, 0.01), Err(Uncomputable::NoExposure));
    for (mu, phi, var, alpha) in [(2.0, 0.5, 0.1, 0.01), (2.0, 1.0, -0.1, 0.01), (2.0, 1.0, 0.1, 0.0)] {
        assert!(matches!(farrington::threshold(mu, phi, var, alpha), Err(Uncomputable::OutOfRange { .. })));
    }
}

#[test]
fn the_scan_refuses_what_does_not_match_and_finds_nothing_in_nothing() {
    let counts = [vec![1, 2], vec![1, 2]];
    let even = [vec![1.0, 2.0], vec![1.0, 2.0]];
    let zones = [vec![0], vec![1], vec![0, 1]];
    assert_eq!(scan::best(&counts, &even, &zones), Ok(None));
    assert!(matches!(scan::best(&counts, &even[..1], &zones), Err(Uncomputable::Mismatch { .. })));
    assert!(matches!(scan::best(&counts, &even, &[vec![2]]), Err(Uncomputable::OutOfRange { .. })));
    assert!(matches!(scan::best(&counts, &even, &[vec![1, 1]]), Err(Uncomputable::OutOfRange { .. })));
    assert!(matches!(scan::best(&counts, &even, &[vec![]]), Err(Uncomputable::TooFew { .. })));
    let nobody = [vec![0.0, 2.0], vec![1.0, 2.0]];
    assert_eq!(scan::best(&counts, &nobody, &zones), Err(Uncomputable::NoExposure));
    let none = [vec![0, 0], vec![0, 0]];
    assert!(matches!(scan::best(&none, &even, &zones), Err(Uncomputable::TooFew { .. })));
}

#[test]
fn all_events_in_one_window_have_a_finite_score() {
    near(scan::score(4, 1.0, 4).unwrap(), 4.0 * 4.0_f64.ln(), 1e-14);
    assert_eq!(scan::score(4, 4.0, 4), Ok(0.0));
    assert_eq!(scan::score(1, 0.0, 4), Err(Uncomputable::NoExposure));
    assert_eq!(scan::score(0, 0.0, 4), Ok(0.0));
    assert_eq!(scan::p_by_replicates(3.0, &[1.0, 3.0, 2.0, 0.0]), Ok(0.4));
    assert!(scan::p_by_replicates(3.0, &[]).is_err());
}

#[test]
fn a_reason_is_a_sentence() {
    let said = |reason: Uncomputable| reason.to_string();
    assert_eq!(
        said(Confidence::new(1.0).unwrap_err()),
        "the confidence level must be above 0 and at most 1 - 2e-9, not 1"
    );
    assert_eq!(said(Limits::of(&[7]).unwrap_err()), "too few gaps: 1 came, at least 2 needed");
}

#[test]
fn three_areas_shrink_as_reckoned_on_paper() {
    let areas = firms(&[10, 0, 5], &[10.0, 10.0, 10.0]);
    let common = Common::of(&areas).unwrap();
    // 15 events in 30; squares 10 x 0.25 twice over 30, less 0.5 / 10 by chance.
    assert_eq!(common.rate, 0.5);
    assert!((common.variance - (1.0 / 6.0 - 0.05)).abs() < 1e-15, "{common:?}");
    // 0.1167 / (0.1167 + 0.05) = 0.7 of the way from the common rate to its own.
    assert!((common.shrunken(areas[0]).unwrap() - 0.85).abs() < 1e-14);
}
