//! What is so is a function of what arrived, not of its order (records.md section 2).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use proptest::prelude::*;
use tocsin_oracle::{Oracle, histories};
use tocsin_schemas::codes::State;
use tocsin_schemas::records::{Digest, Incident, Record};
use tocsin_schemas::time::Instant;

type Arrivals = Vec<(Record, Digest, Instant)>;

/// Incidents without what history gives them: number, and what was withdrawn while it stood there.
fn bare(oracle: &Oracle) -> Vec<String> {
    let alive = |i: &Incident| i.state != State::Gone;
    let mut all: Vec<String> = oracle
        .incidents()
        .into_iter()
        .filter(alive)
        .map(|i| {
            let facts = (i.uscc, i.occurred_on, i.category, i.severity, i.persons, i.state);
            format!("{facts:?} {:?} {}", i.reports, i.first_arrived_at)
        })
        .collect();
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_order_and_any_batches_end_in_the_same_incidents_and_rates(
        seed in any::<u64>(),
        at_once in any::<bool>(),
        keys in prop::collection::vec(any::<u32>(), 400),
    ) {
        let history = histories::history(seed, 30);
        let end = history.steps.iter().map(|s| s.at).max().unwrap();
        let mut straight = Oracle::new(history.policies.clone());
        for step in &history.steps {
            straight.arrive(step.at, step.arrivals.clone());
        }
        let all: Arrivals = history.steps.iter().flat_map(|s| s.arrivals.clone()).collect();
        let mut shuffled: Vec<(u32, _)> = keys.iter().copied().cycle().zip(all).collect();
        shuffled.sort_by_key(|(key, _)| *key);
        let shuffled: Arrivals = shuffled.into_iter().map(|(_, a)| a).collect();
        let mut other = Oracle::new(history.policies.clone());
        if at_once {
            other.arrive(end, shuffled);
        } else {
            for arrival in shuffled {
                other.arrive(end, vec![arrival]);
            }
        }
        prop_assert_eq!(bare(&straight), bare(&other), "{}", history);
        prop_assert_eq!(straight.rates(), other.rates());
        prop_assert_eq!(straight.unaccounted() + other.unaccounted(), 0);
    }
}
