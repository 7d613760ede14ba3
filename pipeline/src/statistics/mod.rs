//! Statistics of small numbers: what a count of 0, 1 or 5 allows to be said, and what it does not.
//!
//! A firm of five with one injury tops every ranking by raw rate, and in a city of 12,000 firms chance alone gives
//! fourteen a month with two. Each file below answers one question, with its formula, its source, and when to trust
//! it. `docs/statistics.md` says which to use for what.
//!
//! | file | question |
//! |---|---|
//! | [`limits`] | how sure is this count or rate |
//! | [`funnel`] | how far from the target may a firm of this size be by chance |
//! | [`tail`] | is this count too high for what was expected; which count would be |
//! | [`chance`] | how many firms does a rule of levels warn of when nothing is wrong |
//! | [`discoveries`] | which of many small p-values are more than luck |
//! | [`shrinkage`], [`marshall`] | a rate that can be ranked |
//! | [`fall`] | is a fall by 30 % more than luck |
//! | [`cusum`] | has a firm or town drifted upwards |
//! | [`days_between`] | do the incidents of one firm come closer together |
//! | [`ears`], [`farrington`] | is this week's count of a town or industry too high |
//! | [`scan`] | in which towns, and since when, is there a cluster |
//!
//! All functions are pure: the same input gives the same bits on one machine (between machines the last digit of a
//! logarithm may differ, so publish rounded). They return a finite number or say why
//! there is none ([`Uncomputable`]): never NaN or infinity, never a panic. Counts and expected counts may go up to
//! [`LARGEST_COUNT`], beyond which the special functions lose digits.
//!
//! Special functions (gamma, error function, their inverses) are those of the crate `statrs`.

pub mod chance;
pub mod cusum;
pub mod days_between;
pub mod discoveries;
pub mod ears;
pub mod fall;
pub mod farrington;
pub mod funnel;
pub mod limits;
pub mod marshall;
pub mod scan;
pub mod shrinkage;
mod special;
pub mod tail;

/// The largest count, observed or expected, that is judged: a thousand million.
pub const LARGEST_COUNT: f64 = 1e9;

/// Why a number cannot be given. Nothing is changed and nothing is half computed when it comes.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Uncomputable {
    /// Nothing was expected or nobody was there: a firm without headcount has no rate, neither 0 nor infinite.
    #[error("no exposure: without headcount or expected events there is no rate")]
    NoExposure,
    /// An argument that has no meaning.
    #[error("{what} must be {allowed}, not {value}")]
    OutOfRange {
        /// The argument.
        what: &'static str,
        /// What is allowed.
        allowed: &'static str,
        /// What came; may be NaN.
        value: f64,
    },
    /// Not enough to go by.
    #[error("too few {what}: {got} came, at least {needed} needed")]
    TooFew {
        /// What is counted.
        what: &'static str,
        /// How many are needed.
        needed: usize,
        /// How many came.
        got: usize,
    },
    /// Two lists that belong together are not equally long.
    #[error("{what} must be {needed}, {got} came")]
    Mismatch {
        /// What is counted.
        what: &'static str,
        /// How many were to come.
        needed: usize,
        /// How many came.
        got: usize,
    },
    /// The values differ by no more than chance (or not at all), so a spread between them cannot be measured.
    #[error("no spread: the values differ by no more than chance")]
    NoSpread,
    /// An iteration did not come to rest.
    #[error("the iteration did not settle")]
    NotSettled,
}

/// A count and what it is to be compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// Events seen.
    pub count: u64,
    /// Events expected (then count / exposure is a relative risk, 1 = as expected), or person-years (then it is a
    /// rate per person-year). Above 0.
    pub exposure: f64,
}

/// How sure an interval is to hold the true value: the share left out at *each* end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confidence {
    tail: f64,
}

impl Confidence {
    /// 95 %: 2.5 % left out at each end; about two standard deviations.
    pub const P95: Confidence = Confidence { tail: 0.025 };
    /// 99.8 %: 0.1 % left out at each end; about three standard deviations.
    pub const P99_8: Confidence = Confidence { tail: 0.001 };

    /// A level between 0 and 1, such as 0.99.
    ///
    /// # Errors
    /// Outside 0 to 1, or so near to 1 that less than 1e-9 is left at an end (the quantiles lose their digits there).
    pub fn new(level: f64) -> Result<Confidence, Uncomputable> {
        let tail = (1.0 - level) / 2.0;
        if !(level > 0.0 && tail >= 1e-9) {
            let allowed = "above 0 and at most 1 - 2e-9";
            return Err(Uncomputable::OutOfRange { what: "the confidence level", allowed, value: level });
        }
        Ok(Confidence { tail })
    }

    /// The share left out at each end, 0 to 0.5.
    pub fn tail(self) -> f64 {
        self.tail
    }

    /// The normal quantile above which the upper tail lies, e.g. 1.96 for 95 %.
    pub fn z(self) -> f64 {
        -special::normal_quantile(self.tail)
    }
}

/// To 12 digits, so that machines whose logarithms differ in the last one publish the same.
pub(crate) fn rounded(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

/// The share of a gamma distribution of this shape and rate 1 that lies above `x`: what is left of a posterior.
pub(crate) fn chance_above(shape: f64, x: f64) -> f64 {
    special::gamma_above(shape, x.min(f64::MAX))
}

/// A count as a float, at most [`LARGEST_COUNT`].
fn count(what: &'static str, value: u64) -> Result<f64, Uncomputable> {
    let value = value as f64;
    if value > LARGEST_COUNT {
        return Err(Uncomputable::OutOfRange { what, allowed: "at most 1e9", value });
    }
    Ok(value)
}

/// An expected count or a mean: above 0, at most [`LARGEST_COUNT`]. Zero is [`Uncomputable::NoExposure`].
fn expected(what: &'static str, value: f64) -> Result<f64, Uncomputable> {
    if value == 0.0 { Err(Uncomputable::NoExposure) } else { positive(what, value) }
}

/// A positive number of the size of counts.
fn positive(what: &'static str, value: f64) -> Result<f64, Uncomputable> {
    // Below 1e-9 even the smallest gamma quantile leaves the range of floats.
    if !(1e-9..=LARGEST_COUNT).contains(&value) {
        return Err(Uncomputable::OutOfRange { what, allowed: "between 1e-9 and 1e9", value });
    }
    Ok(value)
}

/// A share of probability: above 0 and below 1.
fn probability(what: &'static str, value: f64) -> Result<f64, Uncomputable> {
    if !(value > 0.0 && value < 1.0) {
        return Err(Uncomputable::OutOfRange { what, allowed: "above 0 and below 1", value });
    }
    Ok(value)
}

/// A number that may be 0: a variance, a threshold.
fn not_negative(what: &'static str, value: f64) -> Result<f64, Uncomputable> {
    if !(0.0..=1e15).contains(&value) {
        return Err(Uncomputable::OutOfRange { what, allowed: "between 0 and 1e15", value });
    }
    Ok(value)
}
