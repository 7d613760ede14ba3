//! A long run of random histories: the engine against the oracle, compared after every step.
//!
//! ```text
//! cargo run --release -p tocsin-pipeline --example histories                  100,000 histories
//! cargo run --release -p tocsin-pipeline --example histories -- 500 70000     500, from seed 70000 on
//! ```
//!
//! One thread for each processor. It ends at the first difference with the smallest history that still shows it
//! (exit code 1); otherwise with what the run covered.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "a tool of the developers: it may panic, print and look at the clock"
)]

#[path = "../tests/subjected/mod.rs"]
mod subjected;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use subjected::Subjected;
use tocsin_oracle::histories::{history, shrink};
use tocsin_oracle::{Census, History, Restarts, judge};

const STEPS: usize = 40;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>());
    let (many, first) = match (args.next().unwrap_or(Ok(100_000)), args.next().unwrap_or(Ok(0))) {
        (Ok(many), Ok(first)) => (many, first),
        _ => {
            eprintln!("expected [HOW MANY [FIRST SEED]], two numbers");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let bar = ProgressBar::new(many).with_style(
        ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} histories, {eta} to go").unwrap(),
    );
    let (next, steps, failed) = (AtomicU64::new(first), AtomicU64::new(0), AtomicBool::new(false));
    let (covered, wrong) = (Mutex::new(Census::default()), Mutex::new(None));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + many {
                        break;
                    }
                    let history = history(seed, STEPS);
                    match one(&history) {
                        Ok(census) => covered.lock().unwrap().absorb(&census),
                        Err(why) => {
                            failed.store(true, Ordering::Relaxed);
                            wrong.lock().unwrap().get_or_insert((seed, why, history));
                        }
                    }
                    steps.fetch_add(STEPS as u64, Ordering::Relaxed);
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    if let Some((seed, why, whole)) = wrong.into_inner().unwrap() {
        let small = shrink(&whole, &mut |history| one(history).is_err());
        println!("seed {seed}: {}\n{small}", one(&small).err().unwrap_or(why));
        return ExitCode::FAILURE;
    }
    let covered = covered.into_inner().unwrap();
    println!("{covered}");
    println!(
        "{many} histories from seed {first}, {} steps each compared in full: 0 differences, in {:.0} s on {threads} threads",
        steps.into_inner(),
        began.elapsed().as_secs_f64()
    );
    let missing = covered.missing();
    if !missing.is_empty() {
        println!("never occurred: {}", missing.join(", "));
    }
    ExitCode::SUCCESS
}

/// A panic of the engine is a difference, too.
fn one(history: &History) -> Result<Census, String> {
    let judged = || judge(history, &mut Subjected::new(history, 1), Restarts::Never);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(judged)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
    })
}
