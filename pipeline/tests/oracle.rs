//! The engine against the oracle: random histories and golden scenarios, compared after every step.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and print")]

mod subjected;

use std::io::Write;
use std::path::Path;

use subjected::Subjected;
use tocsin_oracle::histories::{history, shrink};
use tocsin_oracle::scenario::{self, Schedule};
use tocsin_oracle::{Census, History, Restarts, judge};

fn agree(seeds: std::ops::Range<u64>, steps: usize, restarts: Restarts, workers: usize) -> Census {
    let mut census = Census::default();
    for seed in seeds {
        let one = |h: &History| judge(h, &mut Subjected::new(h, workers), restarts);
        let whole = history(seed, steps);
        match one(&whole) {
            Ok(found) => census.absorb(&found),
            Err(why) => {
                let small = shrink(&whole, &mut |h| one(h).is_err());
                let why = one(&small).err().unwrap_or(why);
                panic!("seed {seed}: {why}\n{small}");
            }
        }
    }
    census
}

#[test]
fn random_histories_agree_with_the_oracle_after_every_step() {
    // A hundred thousand: cargo run --release -p tocsin-pipeline --example histories
    let census = agree(0..500, 40, Restarts::Never, 1);
    // Straight to the stream: what a run covered is to be seen when it passes, too.
    writeln!(std::io::stdout().lock(), "{census}").unwrap();
    assert_eq!(census.missing(), Vec::<&str>::new(), "never occurred");
}

#[test]
fn a_restart_after_every_step_says_nothing_and_changes_nothing() {
    agree(1000..1040, 30, Restarts::EveryStep, 1);
}

#[test]
fn two_workers_agree_as_one_does() {
    agree(2000..2012, 30, Restarts::Never, 2);
}

#[test]
fn every_scenario_holds_under_every_schedule() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios");
    let scenarios = scenario::load(&folder).unwrap();
    assert!(scenarios.len() >= 25);
    for (name, scenario) in &scenarios {
        for schedule in &Schedule::ALL {
            let ran =
                scenario::run_with(scenario, *schedule, &mut |history| Box::new(Subjected::new(history, 1)));
            if let Err(why) = ran {
                panic!("{name} {schedule:?}: {why}");
            }
        }
    }
}
