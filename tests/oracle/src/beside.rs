//! What stands beside a raw rate, by the definitions in docs/statistics.md and slowly.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use tocsin_schemas::codes::{RateReason, Scope, ShrunkenReason};
use tocsin_schemas::records::{Rate, Window};

use crate::policy::OraclePolicy;

/// How firms' true rates are spread, as somebody fitted it: shape, rate in expected incidents, and incidents a
/// person-year of 365 days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Shape of the relative risks.
    pub nu: f64,
    /// Rate of the relative risks.
    pub alpha: f64,
    /// What a relative risk of 1 stands for.
    pub per_person_year: f64,
}

/// Completes a row whose counts, headcount and reason stand.
pub(crate) fn complete(rate: &mut Rate, policy: &OraclePolicy, spread: Option<Spread>) {
    let count = rate.incidents_with_headcount;
    rate.shrunken_reason = match rate.reason {
        Some(RateReason::HeadcountUnknown) => Some(ShrunkenReason::HeadcountUnknown),
        Some(RateReason::HeadcountZero) => Some(ShrunkenReason::HeadcountZero),
        Some(RateReason::NoHeadcount) => Some(ShrunkenReason::NoHeadcount),
        None => None,
    };
    let (None, Some(headcount)) = (rate.reason, rate.headcount) else { return };
    let (low, high) = limits(count, policy.confidence);
    rate.low = Some(low / headcount * 1000.0);
    rate.high = Some(high / headcount * 1000.0);
    rate.rankable = count >= policy.rank_min_incidents;
    match (rate.scope, rate.window, spread) {
        (Scope::Enterprise, Window::Rolling(days), Some(spread)) => {
            let person_years = headcount * f64::from(days) / 365.0;
            let expected = person_years * spread.per_person_year;
            let risk = (f64::from(count) + spread.nu) / (expected + spread.alpha);
            rate.shrunken = Some(risk * expected / headcount * 1000.0);
        }
        (Scope::Enterprise, Window::Rolling(_), None) => rate.shrunken_reason = Some(ShrunkenReason::NoModel),
        (Scope::Enterprise, ..) => rate.shrunken_reason = Some(ShrunkenReason::ToDate),
        _ => rate.shrunken_reason = Some(ShrunkenReason::Group),
    }
}

/// The means at which a Poisson count this large, and this small, becomes as rare as is left out at an end. Found by
/// halving; remembered, as the same few counts come in every row.
fn limits(count: u32, confidence: f64) -> (f64, f64) {
    type Found = BTreeMap<(u32, u64), (f64, f64)>;
    static FOUND: LazyLock<Mutex<Found>> = LazyLock::new(Mutex::default);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    *found.entry((count, confidence.to_bits())).or_insert_with(|| {
        let tail = (1.0 - confidence) / 2.0;
        let ln_factorial: f64 = (1..=count).map(|n| f64::from(n).ln()).sum();
        let seen = |mean: f64| (f64::from(count) * mean.ln() - mean - ln_factorial).exp();
        let at_least = |mean: f64| {
            let (mut n, mut term, mut sum) = (f64::from(count), seen(mean), 0.0);
            while n <= mean || term > sum * 1e-18 {
                sum += term;
                n += 1.0;
                term *= mean / n;
            }
            sum
        };
        let at_most = |mean: f64| {
            let (mut term, mut sum) = (seen(mean), 0.0);
            for n in (0..=count).rev() {
                sum += term;
                term *= f64::from(n) / mean;
            }
            sum
        };
        let top = 10.0 * f64::from(count) + 100.0;
        let low = if count == 0 { 0.0 } else { halved(f64::from(count), |mean| at_least(mean) < tail) };
        (low, halved(top, |mean| at_most(mean) > tail))
    })
}

/// Where it stops being below, from 0 to `top`.
fn halved(top: f64, below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, top);
    loop {
        let middle = (low + high) / 2.0;
        if middle <= low || middle >= high {
            return middle;
        }
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
}

#[cfg(test)]
mod tests {
    use tocsin_schemas::time::Day;

    use super::*;

    #[test]
    fn limits_that_are_printed_in_tables() {
        for (count, low, high) in
            [(0, 0.0, 3.688879), (1, 0.025318, 5.571643), (5, 1.623486, 11.668332), (10, 4.795389, 18.390356)]
        {
            let found = limits(count, 0.95);
            assert!((found.0 - low).abs() < 1e-6 && (found.1 - high).abs() < 1e-6, "{count}: {found:?}");
        }
        // With 40 digits, as are the same two in the engine's tests.
        let (low, high) = limits(1_000, 0.95);
        assert!((low / 938.973_018_407_695_5 - 1.0).abs() < 1e-11, "{low}");
        assert!(
            (limits(1_000, 0.95).1 - high).abs() == 0.0 && (high / 1_063.952_136_016_302 - 1.0).abs() < 1e-11
        );
    }

    #[test]
    fn one_firm_and_its_spread_by_hand() {
        let firm = Rate {
            scope: Scope::Enterprise,
            key: "91330784XX00000190".into(),
            window: Window::Rolling(73),
            as_of: Day(0),
            incidents: 4,
            persons: 4,
            incidents_with_headcount: 4,
            headcount: Some(500.0),
            per_thousand: Some(8.0),
            reason: None,
            low: None,
            high: None,
            shrunken: None,
            shrunken_reason: None,
            rankable: false,
            other: BTreeMap::new(),
        };
        let spread = Some(Spread { nu: 2.0, alpha: 3.0, per_person_year: 0.01 });
        let completed = |rate: &Rate, spread| {
            let mut rate = rate.clone();
            complete(&mut rate, &OraclePolicy::default(), spread);
            (rate.shrunken, rate.shrunken_reason, rate.rankable)
        };
        // A fifth of a year: 1 expected, so (4 + 2) / (1 + 3) of the city's 2 per thousand.
        assert_eq!(completed(&firm, spread), (Some(3.0), None, true));
        assert_eq!(completed(&firm, None), (None, Some(ShrunkenReason::NoModel), true));
        let other = Rate { scope: Scope::Area, incidents_with_headcount: 2, ..firm.clone() };
        assert_eq!(completed(&other, spread), (None, Some(ShrunkenReason::Group), false));
        let month = Rate { window: Window::Month, ..firm.clone() };
        assert_eq!(completed(&month, spread), (None, Some(ShrunkenReason::ToDate), true));
        let nobody = Rate { reason: Some(RateReason::HeadcountZero), headcount: Some(0.0), ..firm };
        assert_eq!(completed(&nobody, spread), (None, Some(ShrunkenReason::HeadcountZero), false));
    }
}
