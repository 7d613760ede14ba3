//! Many tests at once: which of thousands of small p-values are more than luck.
//!
//! Benjamini and Hochberg 1995 (*Journal of the Royal Statistical Society* B 57:289): with the `m` p-values in rising
//! order, the adjusted value of the `i`-th is
//!
//! ```text
//! q(i) = min over j >= i of  p(j) m / j,   at most 1
//! ```
//!
//! Those with q at most 5 % are the discoveries: on average at most 5 % of what is named is innocent. Trust it for
//! tests that are independent or rise together, as firms of one city do. The p-values of *all* firms must go in, also
//! those of firms without incidents (p = 1): leaving them out makes everything look more certain. Poisson p-values of
//! small counts are coarse, so the true share of innocents is smaller than promised.

use super::{Uncomputable, probability};

/// The adjusted p-values, in the order of the input, each at least as large as its p-value. Empty for no p-values.
///
/// # Errors
/// A p-value that is not between 0 and 1 (both allowed).
pub fn adjusted(p_values: &[f64]) -> Result<Vec<f64>, Uncomputable> {
    if let Some(bad) = p_values.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        let (what, allowed) = ("a p-value", "between 0 and 1");
        return Err(Uncomputable::OutOfRange { what, allowed, value: *bad });
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let tests = p_values.len() as f64;
    let mut adjusted = vec![1.0; p_values.len()];
    let mut smallest: f64 = 1.0;
    for (rank, position) in order.into_iter().enumerate().rev() {
        // The quotient first: it is exactly 1 for the largest, so that its adjusted value is not rounded below it.
        smallest = smallest.min(p_values[position] * (tests / (rank as f64 + 1.0)));
        adjusted[position] = smallest;
    }
    Ok(adjusted)
}

/// Which are discoveries when a share of `innocent` among those named is accepted on average (0.05: 5 %), in the order
/// of the input.
///
/// # Errors
/// As [`adjusted`]; a share that is not above 0 and below 1.
pub fn discovered(p_values: &[f64], innocent: f64) -> Result<Vec<bool>, Uncomputable> {
    let innocent = probability("the share of innocents", innocent)?;
    Ok(adjusted(p_values)?.into_iter().map(|q| q <= innocent).collect())
}
