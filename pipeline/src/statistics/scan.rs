//! The space-time scan: in which towns, and since when, is there a cluster that each town alone does not show.
//!
//! Kulldorff 2001 (*Journal of the Royal Statistical Society* A 164:61), the prospective scan with Poisson counts, on
//! the condition of the total. A window is a zone (a set of towns) over the latest 1, 2, 3, ... periods. With `C`
//! events in all, `c` in the window, and `E` expected there (its share of all baselines, times `C`), its score is
//!
//! ```text
//! c ln(c / E) + (C - c) ln((C - c) / (C - E))   if c > E, else 0
//! ```
//!
//! The best window is reported. Its score alone says nothing: how high the best score of nothing but chance is depends
//! on how many windows were looked at. So draw counts at random from the baselines (999 times) outside the engine,
//! which knows no chance, scan each, and let [`p_by_replicates`] compare. Trust the p-value, not the score; baselines
//! must hold what makes towns differ (industry, season, headcount). One large firm is no cluster: look at what is
//! inside.

use super::{Uncomputable, count, not_negative};

/// The best window of a scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// The position of its zone in the list of zones, from 0.
    pub zone: usize,
    /// How many periods back it reaches; 1: the latest alone.
    pub periods: usize,
    /// Events in the window.
    pub count: u64,
    /// The sum of its baselines, as they came in.
    pub baseline: f64,
    /// Events expected in it: its share of all baselines, times all events.
    pub expected: f64,
    /// The logarithm of the likelihood ratio, above 0.
    pub score: f64,
}

/// The score of a window: 0 if no more was seen than expected, else above 0. A logarithm of a likelihood ratio.
///
/// # Errors
/// [`Uncomputable::NoExposure`] where events were seen but none expected; an expectation above the total; a count above
/// the total or above 1e9.
pub fn score(seen: u64, expected: f64, total: u64) -> Result<f64, Uncomputable> {
    let (c, all) = (count("the count", seen)?, count("the total", total)?);
    let expected = not_negative("the expected count", expected)?;
    // A window of everything expects everything, but for the last digit.
    if expected > all * (1.0 + 1e-9) {
        let (what, allowed) = ("the expected count", "at most the total");
        return Err(Uncomputable::OutOfRange { what, allowed, value: expected });
    }
    if c > all {
        return Err(Uncomputable::OutOfRange { what: "the count", allowed: "at most the total", value: c });
    }
    if c <= expected {
        return Ok(0.0);
    }
    let expected = super::expected("the expected count", expected)?;
    let outside = if seen == total { 0.0 } else { (all - c) * ((all - c) / (all - expected)).ln() };
    Ok((c * (c / expected).ln() + outside).max(0.0))
}

/// The window of highest score over all zones and all spans that end with the latest period. Of equal ones the
/// shortest, then the one whose zone stands first. None: nowhere was more seen than expected.
///
/// # Arguments
/// `counts` and `baselines`: one row a period, *the latest first*, one column a town. Baselines are expected events,
/// or headcounts: their scale does not matter. `zones`: the towns of each, as columns from 0.
///
/// # Errors
/// No event; rows or columns that do not match; a zone that is empty or names a town twice or one that does not exist;
/// events in a town and period of baseline 0 ([`Uncomputable::NoExposure`]); numbers out of range.
pub fn best(
    counts: &[Vec<u64>],
    baselines: &[Vec<f64>],
    zones: &[Vec<usize>],
) -> Result<Option<Window>, Uncomputable> {
    let totals = check(counts, baselines)?;
    let towns = counts.first().map_or(0, Vec::len);
    check_zones(zones, towns)?;

    let mut in_zone = vec![(0_u64, 0.0_f64); zones.len()];
    let mut best: Option<Window> = None;
    for (back, (seen, baseline)) in counts.iter().zip(baselines).enumerate() {
        for (zone, members) in zones.iter().enumerate() {
            let sums = &mut in_zone[zone];
            for town in members {
                sums.0 += seen[*town];
                sums.1 += baseline[*town];
            }
            let expected = sums.1 / totals.baseline * totals.events as f64;
            let score = score(sums.0, expected, totals.events)?;
            // Later windows are longer: only a higher score replaces a shorter one.
            if score > best.map_or(0.0, |b| b.score) {
                let (count, baseline) = *sums;
                best = Some(Window { zone, periods: back + 1, count, baseline, expected, score });
            }
        }
    }
    Ok(best)
}

/// The p-value of a best score, from the best scores of scans of random counts: `(1 + as high or higher) / (1 + all)`.
/// Not below 1/1000 with 999 replicates.
///
/// # Errors
/// No replicates; a score that is no number.
pub fn p_by_replicates(score: f64, replicates: &[f64]) -> Result<f64, Uncomputable> {
    if replicates.is_empty() {
        return Err(Uncomputable::TooFew { what: "replicates", needed: 1, got: 0 });
    }
    not_negative("the score", score)?;
    let mut as_high = 0;
    for replicate in replicates {
        as_high += usize::from(not_negative("a replicate's score", *replicate)? >= score);
    }
    Ok((1.0 + as_high as f64) / (1.0 + replicates.len() as f64))
}

struct Totals {
    events: u64,
    baseline: f64,
}

fn check(counts: &[Vec<u64>], baselines: &[Vec<f64>]) -> Result<Totals, Uncomputable> {
    let mismatch = |what, needed, got| Err(Uncomputable::Mismatch { what, needed, got });
    if counts.len() != baselines.len() {
        return mismatch("rows of baselines", counts.len(), baselines.len());
    }
    let towns = counts.first().map_or(0, Vec::len);
    let mut totals = Totals { events: 0, baseline: 0.0 };
    for (seen, baseline) in counts.iter().zip(baselines) {
        for got in [seen.len(), baseline.len()] {
            if got != towns {
                return mismatch("towns in a row", towns, got);
            }
        }
        for (c, b) in seen.iter().zip(baseline) {
            count("the count", *c)?;
            if not_negative("the baseline", *b)? == 0.0 && *c > 0 {
                return Err(Uncomputable::NoExposure);
            }
            // Not above 1e9 each, so that no sum of real length overflows.
            totals.events = totals.events.saturating_add(*c);
            totals.baseline += b;
        }
    }
    count("the total", totals.events)?;
    if totals.events == 0 {
        return Err(Uncomputable::TooFew { what: "events", needed: 1, got: 0 });
    }
    Ok(totals)
}

fn check_zones(zones: &[Vec<usize>], towns: usize) -> Result<(), Uncomputable> {
    let mut last_seen_in = vec![None; towns];
    for (zone, members) in zones.iter().enumerate() {
        if members.is_empty() {
            return Err(Uncomputable::TooFew { what: "towns in a zone", needed: 1, got: 0 });
        }
        for town in members {
            let (what, value) = ("a town of a zone", *town as f64);
            match last_seen_in.get_mut(*town) {
                None => {
                    return Err(Uncomputable::OutOfRange { what, allowed: "a column of the counts", value });
                }
                Some(last) if *last == Some(zone) => {
                    return Err(Uncomputable::OutOfRange { what, allowed: "named once", value });
                }
                Some(last) => *last = Some(zone),
            }
        }
    }
    Ok(())
}
