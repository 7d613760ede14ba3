//! What must hold for any counts: order, containment, agreement with a second computation, and no NaN ever.

use proptest::prelude::*;
use statrs::function::gamma::ln_gamma;
use tocsin_pipeline::statistics::cusum::{self, AfterAlarm, Chart};
use tocsin_pipeline::statistics::days_between::Limits;
use tocsin_pipeline::statistics::limits::Interval;
use tocsin_pipeline::statistics::marshall::Common;
use tocsin_pipeline::statistics::shrinkage::Prior;
use tocsin_pipeline::statistics::{
    Confidence, Observed, Uncomputable, discoveries, ears, fall, farrington, funnel, limits, scan, tail,
};

fn some_count() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..30, 0_u64..3000, 0_u64..=1_000_000_000]
}

fn some_expected() -> impl Strategy<Value = f64> {
    (-6.0..6.0).prop_map(|exponent| 10_f64.powf(exponent))
}

fn some_confidence() -> impl Strategy<Value = Confidence> {
    prop_oneof![
        Just(Confidence::P95),
        Just(Confidence::P99_8),
        (0.01..0.999_999).prop_map(|level| Confidence::new(level).unwrap()),
    ]
}

fn some_firms() -> impl Strategy<Value = Vec<Observed>> {
    prop::collection::vec((0_u64..40, 0.05..20.0), 2..40)
        .prop_map(|firms| firms.into_iter().map(|(count, exposure)| Observed { count, exposure }).collect())
}

/// Numbers of all kinds, with those that break formulas.
fn any_number() -> impl Strategy<Value = f64> {
    let edges = [0.0, -0.0, 1.0, -1.0, 0.5, f64::MIN_POSITIVE, 5e-324, 1e-9, 1e9, 1e15, 1e300, f64::MAX];
    prop_oneof![
        any::<f64>(),
        prop::sample::select(edges.to_vec()),
        Just(f64::NAN),
        Just(f64::INFINITY),
        some_expected(),
        0.0..1.0,
    ]
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![some_count(), any::<u64>(), Just(u64::MAX)]
}

/// The log likelihood of negative-binomial counts, written down plainly.
fn log_likelihood(firms: &[Observed], nu: f64, alpha: f64) -> f64 {
    let of = |firm: &Observed| {
        let (o, e) = (firm.count as f64, firm.exposure);
        ln_gamma(o + nu) - ln_gamma(nu) - ln_gamma(o + 1.0)
            + nu * (alpha / (alpha + e)).ln()
            + o * (e / (alpha + e)).ln()
    };
    firms.iter().map(of).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn limits_hold_the_count_and_rise_with_it(count in some_count(), confidence in some_confidence()) {
        for of in [limits::exact, limits::byar] {
            let here = of(count, confidence).unwrap();
            prop_assert!(here.contains(count as f64), "{here:?}");
            let next = of((count + 1).min(1_000_000_000), confidence).unwrap();
            prop_assert!(here.lower <= next.lower && here.upper <= next.upper, "{here:?} {next:?}");
        }
    }

    #[test]
    fn a_surer_interval_is_wider(count in some_count(), level in 0.1..0.99) {
        let of = |level| Confidence::new(level).and_then(|c| limits::exact(count, c)).unwrap();
        let (narrow, wide) = (of(level), of(level + 0.009));
        prop_assert!(wide.lower <= narrow.lower && narrow.upper < wide.upper, "{narrow:?} {wide:?}");
    }

    #[test]
    fn at_an_exact_limit_the_tail_is_what_was_left_out(count in 1_u64..2000, confidence in some_confidence()) {
        let Interval { lower, upper } = limits::exact(count, confidence).unwrap();
        let left_out = confidence.tail();
        let above = tail::at_least(count, lower).unwrap();
        let below = 1.0 - tail::at_least(count + 1, upper).unwrap();
        prop_assert!((above - left_out).abs() < 1e-9, "{above} above {lower}");
        prop_assert!((below - left_out).abs() < 1e-9, "{below} below {upper}");
    }

    #[test]
    fn the_funnel_holds_the_target_and_narrows_with_size(
        expected in some_expected(), target in 0.2..5.0, confidence in some_confidence()
    ) {
        let small = funnel::limits(expected, target, confidence).unwrap();
        let large = funnel::limits(expected * 1.5, target, confidence).unwrap();
        prop_assert!(small.upper > large.upper, "{small:?} {large:?}");
        // From one expected event on; below, lower limits of all sizes are next to 0.
        if expected * target >= 1.0 && confidence.tail() <= 0.1 {
            prop_assert!(small.contains(target) && small.lower <= large.lower, "{small:?} {large:?}");
        }
    }

    #[test]
    fn the_alarming_count_is_the_first_below_alpha_and_rises_with_what_is_expected(
        expected in some_expected(), more in 1.0..3.0, alpha in 1e-6..0.5
    ) {
        let alarm = tail::alarm_count(expected, alpha).unwrap();
        prop_assert!(tail::at_least(alarm, expected).unwrap() < alpha);
        prop_assert!(tail::at_least(alarm - 1, expected).unwrap() >= alpha);
        prop_assert!(tail::alarm_count(expected * more, alpha).unwrap() >= alarm);
    }

    #[test]
    fn adjusted_p_values_keep_the_order_and_never_fall(p in prop::collection::vec(0.0..=1.0, 0..60)) {
        let q = discoveries::adjusted(&p).unwrap();
        for (i, (p_i, q_i)) in p.iter().zip(&q).enumerate() {
            prop_assert!(p_i <= q_i && *q_i <= 1.0, "{p_i} {q_i}");
            for (p_j, q_j) in p.iter().zip(&q).skip(i + 1) {
                prop_assert!(p_i > p_j || q_i <= q_j, "{p_i} {p_j} became {q_i} {q_j}");
            }
        }
        // The step-up rule itself: the largest rank whose p is at most rank / all of the share.
        let named = discoveries::discovered(&p, 0.2).unwrap().iter().filter(|d| **d).count();
        let mut sorted = p.clone();
        sorted.sort_by(f64::total_cmp);
        let allowed = |rank: usize| 0.2 * rank as f64 / p.len() as f64;
        let by_rule = (1..=p.len()).filter(|rank| sorted[rank - 1] <= allowed(*rank)).max().unwrap_or(0);
        prop_assert_eq!(named, by_rule);
    }

    #[test]
    fn a_shrunken_value_lies_between_the_raw_one_and_the_mean(
        count in some_count(), expected in some_expected(), nu in 0.01..100.0, alpha in 0.01..100.0,
        variance in 0.0..10.0, rate in 0.001..10.0
    ) {
        let firm = Observed { count, exposure: expected };
        let raw = count as f64 / expected;
        let prior = Prior::new(nu, alpha).unwrap();
        let common = Common { rate, variance };
        for (shrunken, mean) in [
            (prior.posterior_mean(firm).unwrap(), prior.mean()),
            (common.shrunken(firm).unwrap(), rate),
        ] {
            let rounding = 1e-12 * raw.max(mean);
            prop_assert!(shrunken >= raw.min(mean) - rounding, "{shrunken} {raw} {mean}");
            prop_assert!(shrunken <= raw.max(mean) + rounding, "{shrunken} {raw} {mean}");
        }
    }

    #[test]
    fn the_chance_to_be_above_falls_with_the_ratio_and_rises_with_the_count(
        count in 0_u64..2000, expected in some_expected(), nu in 0.01..100.0, alpha in 0.01..100.0
    ) {
        let prior = Prior::new(nu, alpha).unwrap();
        let above = |count, ratio| prior.chance_above(Observed { count, exposure: expected }, ratio).unwrap();
        prop_assert!(above(count, 1.2) <= above(count, 1.0) + 1e-12);
        prop_assert!(above(count, 1.0) <= above(count + 1, 1.0) + 1e-12);
    }

    #[test]
    fn no_neighbour_of_the_fit_is_likelier(firms in some_firms()) {
        if let Ok(prior) = Prior::by_likelihood(&firms) {
            let (nu, alpha) = (prior.nu(), prior.alpha());
            let best = log_likelihood(&firms, nu, alpha);
            for (a, b) in [(1.01, 1.0), (0.99, 1.0), (1.0, 1.01), (1.0, 0.99), (1.01, 1.01), (0.99, 0.99)] {
                let there = log_likelihood(&firms, nu * a, alpha * b);
                prop_assert!(there <= best + 1e-7, "{prior:?}: {there} at {a} {b}, {best} here");
            }
        }
    }

    #[test]
    fn the_moments_are_a_fixed_point(firms in some_firms()) {
        if let Ok(prior) = Prior::by_moments(&firms) {
            let n = firms.len() as f64;
            let shrunken: Vec<f64> = firms.iter().map(|f| prior.posterior_mean(*f).unwrap()).collect();
            let mean = shrunken.iter().sum::<f64>() / n;
            let weighted = |(s, f): (&f64, &Observed)| (1.0 + prior.alpha() / f.exposure) * (s - mean).powi(2);
            let variance = shrunken.iter().zip(&firms).map(weighted).sum::<f64>() / (n - 1.0);
            prop_assert!((mean / prior.mean() - 1.0).abs() < 1e-8);
            prop_assert!((variance * prior.alpha() / mean - 1.0).abs() < 1e-8);
        }
    }

    #[test]
    fn doubling_what_is_expected_halves_all_risks(firms in some_firms()) {
        let doubled: Vec<Observed> =
            firms.iter().map(|f| Observed { exposure: f.exposure * 2.0, ..*f }).collect();
        match (Prior::by_likelihood(&firms), Prior::by_likelihood(&doubled)) {
            (Ok(one), Ok(two)) => {
                prop_assert!((one.nu() / two.nu() - 1.0).abs() < 1e-6, "{one:?} {two:?}");
                prop_assert!((one.mean() / two.mean() / 2.0 - 1.0).abs() < 1e-6, "{one:?} {two:?}");
            }
            (one, two) => prop_assert_eq!(one.err(), two.err()),
        }
    }

    #[test]
    fn a_scan_scores_no_window_above_the_one_it_names(
        counts in prop::collection::vec(prop::collection::vec(0_u64..9, 3), 1..6),
        baselines in prop::collection::vec(prop::collection::vec(0.1..9.0, 3), 6),
    ) {
        let zones = [vec![0], vec![1], vec![2], vec![0, 2]];
        let baselines = &baselines[..counts.len()];
        let events: u64 = counts.iter().flatten().sum();
        prop_assume!(events > 0);
        let all: f64 = baselines.iter().flatten().sum();
        let best = scan::best(&counts, baselines, &zones).unwrap();
        let best_score = best.map_or(0.0, |b| b.score);
        let mut named = best.is_none();
        for zone in &zones {
            for periods in 1..=counts.len() {
                let seen: u64 = counts[..periods].iter().flat_map(|row| zone.iter().map(|t| row[*t])).sum();
                let base: f64 = baselines[..periods].iter().flat_map(|row| zone.iter().map(|t| row[*t])).sum();
                let score = scan::score(seen, base / all * events as f64, events).unwrap();
                prop_assert!(score <= best_score + 1e-9, "{zone:?} {periods}: {score} > {best_score}");
                named |= (score - best_score).abs() < 1e-9;
            }
        }
        prop_assert!(named, "{best:?}");
    }
}

/// Every number that came is finite; that none came is allowed.
fn finite(results: impl IntoIterator<Item = Result<f64, Uncomputable>>) -> Result<(), TestCaseError> {
    for (position, result) in results.into_iter().enumerate() {
        prop_assert!(result.is_err() || result.is_ok_and(f64::is_finite), "{position}: {result:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_comes_in_no_infinity_comes_out(
        counts in prop::array::uniform2(any_count()),
        numbers in prop::array::uniform4(any_number()),
        percent in any::<u8>(),
    ) {
        let [n, m] = counts;
        let [a, b, c, d] = numbers;
        let (one, two) = (Observed { count: n, exposure: a }, Observed { count: m, exposure: b });
        let confidence = Confidence::new(c).unwrap_or(Confidence::P99_8);
        let prior = Prior::new(c, d).or_else(|_| Prior::fit(&[one, two]).map(|(prior, _)| prior));
        let common = Common::of(&[one, two]).unwrap_or(Common { rate: c, variance: d });
        let exact = limits::exact(n, confidence);
        let ratio = funnel::limits(a, b, confidence);
        finite([
            exact.map(|i| i.lower), exact.map(|i| i.upper),
            limits::byar(n, confidence).map(|i| i.lower), limits::byar(n, confidence).map(|i| i.upper),
            exact.and_then(|i| i.over(a)).map(|i| i.upper),
            ratio.map(|i| i.lower), ratio.map(|i| i.upper),
            tail::at_least(n, a), tail::alarm_count(a, b).map(|c| c as f64), tail::firms_by_chance(&[a, b], n),
            prior.and_then(|p| p.posterior_mean(one)), prior.and_then(|p| p.chance_above(one, b)),
            common.shrunken(two),
            fall::at_most(n, percent).map(|c| c as f64), fall::chance(n, percent, a), fall::conditional_p(one, two),
        ])?;
        let chart = Chart { reference: a, threshold: b, start: c, after_alarm: AfterAlarm::Restart };
        let gaps = Limits::of(&[n as u32, m as u32, u32::from(percent)]);
        finite([
            cusum::reference(a, b), cusum::standardised(n, a), cusum::rossi(n, a),
            chart.step(None, d).map(|s| s.sum),
            chart.run(&[d, a, d]).map(|steps| steps[2].sum),
            gaps.map(|g| g.upper), gaps.map(|g| g.lower.unwrap_or(0.0)),
            ears::Chart::c1(a, b).upper_bound(&[n, m, 0, 1, 2, 3, n]),
            ears::Chart { baseline: n as usize, guard: m as usize, alpha: a, min_sigma: b }.upper_bound(&[n, m]),
            farrington::threshold(a, b, c, d),
            scan::score(n, a, m), scan::p_by_replicates(a, &[b, c]),
            scan::best(&[vec![n, m]], &[vec![a, b]], &[vec![0], vec![1]]).map(|w| w.map_or(0.0, |w| w.score)),
            discoveries::adjusted(&[a, b]).map(|q| q[0]),
        ])?;
    }
}
