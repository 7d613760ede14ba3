//! How many firms a rule of levels warns of when nothing is wrong: its false alarms.
//!
//! ```text
//! a firm expected to have E incidents, of which a share s is severe (Poisson, split by severity):
//!   P(count >= c)                        = P(X >= c | E)
//!   P(count >= c or any severe)          = 1 - e^(-s E) (1 - P(X >= c | (1 - s) E))
//! summed over all firms
//! ```
//!
//! Both are exact: the severe and the other incidents of a firm are two independent Poisson counts. Textbook (Johnson,
//! Kemp and Kotz, *Univariate Discrete Distributions*, 4.2 and 4.5).
//!
//! Trust it for one window that is looked at on one day. A rolling window that is looked at every day gives a firm many
//! chances: over a year more firms reach a level at some time than stand at it on any one day. It counts events as
//! independent and every firm as average for its size; firms differ, so more will be found than chance gives.

use super::special::poisson_at_least;
use super::{Uncomputable, count, probability};

/// Below this many expected incidents a firm reaches nothing: not one firm in a thousand million.
const NOTHING: f64 = 1e-9;

/// A rule of levels, lowest first: counts from which each is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps<const N: usize> {
    /// Incidents for each level, at least 1; they do not fall.
    pub counts: [u64; N],
    /// Whether a single severe incident reaches the last level, and so all.
    pub severe_is_last: bool,
}

/// How many firms stand at each level or above it by chance alone, if each has exactly the incidents `expected` of it
/// and the share `severe` of them is severe. Numbers of firms; 0 for no firms.
///
/// # Errors
/// [`Uncomputable::OutOfRange`]: an expected count that is no number, below 0 or above 1e9; a share outside 0 to 1; a
/// count above 1e9.
pub fn firms_at_levels<const N: usize>(
    expected: impl IntoIterator<Item = f64>,
    severe: f64,
    steps: Steps<N>,
) -> Result<[f64; N], Uncomputable> {
    if severe != 0.0 && severe != 1.0 {
        probability("the share of severe incidents", severe)?;
    }
    for c in steps.counts {
        count("the count of a level", c)?;
    }
    let severe = if steps.severe_is_last { severe } else { 0.0 };
    let mut firms = [0.0; N];
    for expected in expected {
        if (0.0..NOTHING).contains(&expected) {
            continue;
        }
        let expected = super::expected("the expected count", expected)?;
        let other = expected * (1.0 - severe);
        let no_severe = (-expected * severe).exp();
        for (firms, c) in firms.iter_mut().zip(steps.counts) {
            let by_count = if other < NOTHING { 0.0 } else { poisson_at_least(c, other) };
            *firms += 1.0 - no_severe * (1.0 - by_count);
        }
    }
    Ok(firms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: Steps<4> = Steps { counts: [2, 3, 4, 5], severe_is_last: false };

    /// The tail by its definition, term by term.
    fn tail(c: u64, e: f64) -> f64 {
        let mut term = (-e).exp();
        let mut below = 0.0;
        for j in 0..c {
            below += term;
            term *= e / (j + 1) as f64;
        }
        1.0 - below
    }

    #[test]
    fn without_severity_it_is_the_tail_summed_over_firms() {
        let firms = [0.05, 0.5, 2.0];
        let found = firms_at_levels(firms, 0.3, STEPS).unwrap();
        for (c, found) in [2, 3, 4, 5].into_iter().zip(found) {
            let by_hand: f64 = firms.iter().map(|e| tail(c, *e)).sum();
            assert!((found - by_hand).abs() < 1e-12, "{c}: {found} {by_hand}");
        }
        assert_eq!(super::super::tail::firms_by_chance(&firms, 2).unwrap(), found[0]);
    }

    #[test]
    fn one_severe_incident_is_enough_for_every_level() {
        let steps = Steps { severe_is_last: true, ..STEPS };
        let (e, s) = (0.8, 0.25);
        let found = firms_at_levels([e], s, steps).unwrap();
        // By hand: over all counts of others below the step, and no severe one, nothing is reached.
        for (c, found) in [2, 3, 4, 5].into_iter().zip(found) {
            let not = (-e * s).exp() * (1.0 - tail(c, e * (1.0 - s)));
            assert!((found - (1.0 - not)).abs() < 1e-12);
        }
        // All severe: whoever has one.
        let all = firms_at_levels([e], 1.0, steps).unwrap();
        assert!(all.iter().all(|p| (p - (1.0 - (-e).exp())).abs() < 1e-12));
    }

    #[test]
    fn nobody_expected_nobody_warned() {
        let none: [f64; 0] = [];
        assert_eq!(firms_at_levels(none, 0.1, STEPS).unwrap(), [0.0; 4]);
        assert_eq!(firms_at_levels([0.0, 1e-12], 0.1, STEPS).unwrap(), [0.0; 4]);
        for wrong in [f64::NAN, -1.0, f64::INFINITY] {
            assert!(firms_at_levels([wrong], 0.1, STEPS).is_err());
            assert!(firms_at_levels([1.0], wrong, STEPS).is_err());
        }
    }
}
