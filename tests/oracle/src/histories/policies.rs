//! Random policies: those that a history begins with, and those that are taken over on its way.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tocsin_schemas::time::Day;

use super::pick;
use crate::policy::{ListLimits, OraclePolicy, RankingLimits};

/// The tables of a history.
pub(super) fn policies(rng: &mut ChaCha8Rng, start: Day) -> Vec<OraclePolicy> {
    let first = OraclePolicy::from(start.plus(rng.random_range(-40..=15)));
    let mut all = vec![first];
    while rng.random_bool(0.5) && all.len() < 3 {
        let last = all[all.len() - 1].effective_from;
        let from = last.plus(rng.random_range(20..=200));
        all.push(varied(rng, from));
    }
    all
}

fn varied(rng: &mut ChaCha8Rng, effective_from: Day) -> OraclePolicy {
    let blue = rng.random_range(1..=3);
    let yellow = blue + rng.random_range(1..=2);
    let orange = yellow + 1;
    // Not drawn, so that all else of a seed stays as it was.
    let rankings = if blue == 1 { RankingLimits::default() } else { RankingLimits::low() };
    OraclePolicy {
        effective_from,
        window_days: pick(rng, &[1, 7, 30, 45, 90, 365, 365, 366, 400, 3660]),
        blue,
        yellow,
        orange,
        red: orange + rng.random_range(1..=2),
        severe_is_red: rng.random_bool(0.6),
        max_age_days: pick(rng, &[10, 30, 90, 365]),
        case_days: pick(rng, &[1, 3, 5]),
        incident_minutes: pick(rng, &[10, 29, 30, 31]),
        severe_lost_days: pick(rng, &[50, 105]),
        severe_grade_max: pick(rng, &[4, 6]),
        lists: ListLimits {
            key_incidents: rng.random_range(1..=4),
            confidence: pick(rng, &[500, 800, 950]),
            rate_incidents: rng.random_range(1..=3),
            rate_factor: pick(rng, &[1000, 1500, 2000]),
            chance_below: pick(rng, &[10, 50, 300, 1000]),
            severe_is_key: rng.random_bool(0.5),
            persistent_years: rng.random_range(2..=3),
            rankings,
        },
        confidence: pick(rng, &[0.8, 0.95, 0.95, 0.998]),
        rank_min_incidents: pick(rng, &[0, 2, 3]),
        headcount_jump: pick(rng, &[20, 100, 100, 101]),
    }
}

/// One that is taken over: as often as not it says nothing new of what counts as one and as severe.
pub(super) fn adopted(rng: &mut ChaCha8Rng, start: Day) -> Vec<OraclePolicy> {
    let mut all = policies(rng, start);
    let first = all[0].clone();
    all[0] = varied(rng, first.effective_from);
    if rng.random_bool(0.5) {
        for table in &mut all {
            table.case_days = first.case_days;
            table.incident_minutes = first.incident_minutes;
            table.severe_lost_days = first.severe_lost_days;
            table.severe_grade_max = first.severe_grade_max;
        }
    }
    all
}
