//! `kill -9` in every gap between a delivery's steps, with the simulated gateways: Aliyun, which can be asked, the
//! webhook, which knows our keys, and DingTalk's notices, which can neither.
//!
//! - `gates`: the simulated gateways, behind a network that takes a moment each way; and time, sixty times as fast
//! - `lives`: one life of the worker after the other, frozen in the gap that is wanted, looked at, and killed
//! - `verdict`: what must be true afterwards
//! - `worker`: the process that is killed: this test program, started again
//!
//! Fifty kills; as many as `TOCSIN_TEST_KILLS` says, such as 300:
//! `TOCSIN_TEST_KILLS=300 cargo test --test gaps -- --nocapture`

#![allow(clippy::unwrap_used, missing_docs, reason = "in a test an unwrap is an assertion")]

mod gates;
mod lives;
mod verdict;
mod worker;

use std::io::Write as _;
use std::time::Instant as Monotonic;

#[test]
fn whichever_gap_a_kill_falls_into_nothing_is_lost_and_nothing_is_decided_twice() {
    let kills = std::env::var("TOCSIN_TEST_KILLS").map_or(50, |n| n.parse().unwrap());
    let began = Monotonic::now();
    let mut lives = lives::Lives::new();
    while lives.kills.len() < kills {
        lives.one_more();
    }
    let killed = began.elapsed();
    lives.finish();
    let figures = verdict::of(&lives);
    // Past the test harness, which keeps what a passing test prints to itself.
    let (killed, whole) = (killed.as_secs_f64(), began.elapsed().as_secs_f64());
    let _ = writeln!(std::io::stdout(), "gaps: {figures}; {killed:.0} s of lives, {whole:.0} s in all");
}

/// Not a test: the process that is killed. Without its variable it does nothing.
#[test]
fn worker() {
    worker::run();
}
