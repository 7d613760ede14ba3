//! Published limits, enforced.

use std::collections::HashMap;

const MINUTE_MS: i64 = 60_000;
const UTC8_MS: i64 = 8 * 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// The natural day in UTC+8, counted from 1970.
pub fn day(at: i64) -> i64 {
    (at + UTC8_MS).div_euclid(DAY_MS)
}

/// Counts of one gateway.
#[derive(Debug, Default)]
pub struct Quotas {
    daily: HashMap<(i64, String), u32>,
    last: HashMap<String, i64>,
    minute: HashMap<String, Vec<i64>>,
    silent_until: HashMap<String, i64>,
}

impl Quotas {
    /// Takes one of `most` a day for this key. `false`: used up, nothing taken.
    pub fn a_day(&mut self, key: &str, most: u32, now: i64) -> bool {
        let used = self.daily.entry((day(now), key.to_owned())).or_default();
        let fits = *used < most;
        *used += u32::from(fits);
        fits
    }

    /// How many were taken today.
    pub fn today(&self, key: &str, now: i64) -> u32 {
        self.daily.get(&(day(now), key.to_owned())).copied().unwrap_or(0)
    }

    /// Takes one in `ms` for this key.
    pub fn every(&mut self, key: &str, ms: i64, now: i64) -> bool {
        let fits = self.last.get(key).is_none_or(|last| now - last >= ms);
        if fits {
            self.last.insert(key.to_owned(), now);
        }
        fits
    }

    /// Takes one of `most` a minute, sliding; over that the key is silent for `penalty_ms`.
    pub fn a_minute(&mut self, key: &str, most: usize, penalty_ms: i64, now: i64) -> bool {
        if self.silent_until.get(key).is_some_and(|until| now < *until) {
            return false;
        }
        let times = self.minute.entry(key.to_owned()).or_default();
        times.retain(|at| now - at < MINUTE_MS);
        if times.len() >= most {
            self.silent_until.insert(key.to_owned(), now + penalty_ms);
            return false;
        }
        times.push(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_in_utc8() {
        let mut quotas = Quotas::default();
        let midnight = 1_767_196_800_000; // 2026-01-01T00:00:00+08:00
        for _ in 0..2 {
            assert!(quotas.a_day("p", 2, midnight - 1));
        }
        assert!(!quotas.a_day("p", 2, midnight - 1));
        assert!(quotas.a_day("q", 2, midnight - 1) && quotas.a_day("p", 2, midnight));
        assert_eq!((quotas.today("p", midnight - 1), quotas.today("p", midnight)), (2, 1));
    }

    #[test]
    fn the_twenty_first_of_a_minute_silences_for_ten() {
        let mut quotas = Quotas::default();
        for n in 0..20 {
            assert!(quotas.a_minute("r", 20, 600_000, n));
        }
        assert!(!quotas.a_minute("r", 20, 600_000, 20));
        assert!(!quotas.a_minute("r", 20, 600_000, 600_019));
        assert!(quotas.a_minute("r", 20, 600_000, 600_020));
    }
}
