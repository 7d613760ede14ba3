//! The special functions, fenced in: arguments are checked by the callers, edges are dealt with here.
//!
//! The crate's incomplete gamma functions iterate until they settle. Near the mean they are right to 10 digits up to
//! counts of 10,000 and to 5 at [`super::LARGEST_COUNT`], where the terms that cancel have become that large. Its
//! incomplete beta function stops after 140 steps without saying so and is off in the third digit at a million trials,
//! so the binomial tail is summed here.

use statrs::distribution::{Continuous, ContinuousCDF, Gamma, Normal};
use statrs::function::factorial::ln_binomial;
use statrs::function::gamma::{digamma, gamma_lr, gamma_ur};

use super::Uncomputable;

/// The value below which the share `p` of a standard normal lies. `p` is above 0 and below 1.
pub(super) fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// The value below which the share `p` of a gamma distribution of this shape and rate 1 lies; 0 where it is below
/// 1e-308. Half a chi-square quantile with twice the degrees of freedom is the same number.
///
/// The crate's quantile is right to 1e-9 as an absolute number. Newton's steps on the logarithms of share and value,
/// where the curve is concave so that they never pass the root, give all digits, also of tiny values.
pub(super) fn gamma_quantile(shape: f64, p: f64) -> Result<f64, Uncomputable> {
    let gamma = Gamma::new(shape, 1.0).map_err(|_| Uncomputable::NotSettled)?;
    let mut x = gamma.inverse_cdf(p);
    for _ in 0..ROUNDS {
        let below = gamma.cdf(x);
        let step = (p / below).ln() * below / (x * gamma.pdf(x));
        if x == 0.0 || below == 0.0 || !step.is_finite() {
            return Ok(0.0);
        }
        x *= step.exp();
        if step.abs() < SETTLED {
            return finite(x);
        }
    }
    Err(Uncomputable::NotSettled)
}

/// The value above which the share `tail` of a gamma distribution of this shape, at least 1, and rate 1 lies.
///
/// As [`gamma_quantile`]; the logarithm of the upper share is concave in the value itself.
pub(super) fn gamma_upper_quantile(shape: f64, tail: f64) -> Result<f64, Uncomputable> {
    let gamma = Gamma::new(shape, 1.0).map_err(|_| Uncomputable::NotSettled)?;
    let mut x = gamma.inverse_cdf(1.0 - tail);
    for _ in 0..ROUNDS {
        let above = gamma.sf(x);
        let step = (above / tail).ln() * above / gamma.pdf(x);
        x += step;
        if step.abs() < SETTLED * x {
            return finite(x);
        }
    }
    Err(Uncomputable::NotSettled)
}

/// Newton's steps double the digits; a start that is far off takes some tens.
const ROUNDS: usize = 200;

/// The last step, as a share of the value: the next would be below 1e-13. Smaller steps drown in the rounding of the
/// gamma function at the largest counts.
const SETTLED: f64 = 1e-9;

fn finite(x: f64) -> Result<f64, Uncomputable> {
    if x.is_finite() { Ok(x) } else { Err(Uncomputable::NotSettled) }
}

/// The share of a gamma distribution of this shape and rate 1 that lies above `x`.
pub(super) fn gamma_above(shape: f64, x: f64) -> f64 {
    if x <= 0.0 { 1.0 } else { gamma_ur(shape, x).clamp(0.0, 1.0) }
}

/// P(X >= count) for X Poisson with this mean, above 0. 0 where it is below 1e-308.
pub(super) fn poisson_at_least(count: u64, mean: f64) -> f64 {
    if count == 0 { 1.0 } else { gamma_lr(count as f64, mean).clamp(0.0, 1.0) }
}

/// P(X <= count) for X Poisson with this mean, above 0.
pub(super) fn poisson_at_most(count: u64, mean: f64) -> f64 {
    gamma_above(count as f64 + 1.0, mean)
}

/// P(X <= count) for X binomial: `trials` trials that succeed with `share`, above 0 and below 1.
///
/// Summed from the term at the edge away from the mean, where terms only get smaller: some ten standard deviations of
/// terms, then nothing changes any more.
pub(super) fn binomial_at_most(count: u64, trials: u64, share: f64) -> f64 {
    if count >= trials {
        return 1.0;
    }
    let odds = share / (1.0 - share);
    let term = |k: u64| {
        (ln_binomial(trials, k) + k as f64 * share.ln() + (trials - k) as f64 * (-share).ln_1p()).exp()
    };
    let left = |k: u64| (trials - k) as f64;
    let at_most = if (count as f64) < trials as f64 * share {
        let (mut sum, mut step) = (1.0, 1.0);
        for k in (1..=count).rev() {
            step *= k as f64 / ((left(k) + 1.0) * odds);
            sum += step;
            if step < sum * 1e-17 {
                break;
            }
        }
        term(count) * sum
    } else {
        let (mut sum, mut step) = (1.0, 1.0);
        for k in count + 1..trials {
            step *= left(k) * odds / (k as f64 + 1.0);
            sum += step;
            if step < sum * 1e-17 {
                break;
            }
        }
        1.0 - term(count + 1) * sum
    };
    at_most.clamp(0.0, 1.0)
}

/// The sum of 1 / (start + j) for j from 0 to count - 1: how far the digamma function rises over `count` steps.
pub(super) fn reciprocals(start: f64, count: u64) -> f64 {
    // One by one there is no cancellation; the many are left to digamma.
    if count <= 100 {
        return (0..count).map(|j| 1.0 / (start + j as f64)).sum();
    }
    digamma(start + count as f64) - digamma(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binomial_tail_is_right_for_millions_of_trials() {
        // With an even number of trials and share 1/2, P(X <= half) is 1/2 and half of the middle term, which
        // Stirling's series gives: 1 / sqrt(pi n / 2) * (1 - 1/(4 n) + 1/(32 n^2)).
        for trials in [1_000_u64, 10_000, 1_000_000, 100_000_000] {
            let n = trials as f64;
            let middle = (1.0 - 0.25 / n + 1.0 / (32.0 * n * n)) / (std::f64::consts::PI * n / 2.0).sqrt();
            let exact = 0.5 + middle / 2.0;
            let got = binomial_at_most(trials / 2, trials, 0.5);
            assert!((got - exact).abs() < 1e-13 + 1e-15 * n, "{trials}: {got} {exact}");
        }
    }

    #[test]
    fn the_binomial_tail_of_a_few_trials_is_the_sum_of_its_terms() {
        // 4 trials with share 1/4: terms 81, 108, 54, 12, 1 of 256.
        for (count, of_256) in [(0, 81.0), (1, 189.0), (2, 243.0), (3, 255.0), (4, 256.0), (9, 256.0)] {
            assert!((binomial_at_most(count, 4, 0.25) - of_256 / 256.0).abs() < 1e-14, "{count}");
        }
    }

    #[test]
    fn digamma_and_the_sum_of_reciprocals_agree() {
        for start in [1e-6, 0.3, 7.0, 1e5] {
            let one_by_one: f64 = (0..250).map(|j| 1.0 / (start + f64::from(j))).sum();
            assert!((reciprocals(start, 250) / one_by_one - 1.0).abs() < 1e-9, "{start}");
        }
    }
}
