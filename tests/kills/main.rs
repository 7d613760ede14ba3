//! `kill -9` at random points, on a real broker, with the real binary: every due alert is said once, alerts
//! and progress agree, and no phone rings twice but for requests in flight at a kill.
//!
//! - `city`: the stream, 10,000 reports of a made-up city that repeat, correct and take back
//! - `gateway`: rings phones, knows which requests are in flight, can hold its answers back
//! - `watch`: the broker's own view: transactions that are open, records that were aborted
//! - `lives`: one life of the process after the other, each ended by `kill -9`
//! - `verdict`: what must be true afterwards
//!
//! Fifty kills; as many as `TOCSIN_TEST_KILLS` says. (The gaps between a delivery's steps, with other gateways: `tests/gaps`.)
//!
//! # How the verdict stays independent of the kills
//! Every record carries an arrival time of its own, so with `--clock arrivals` each is decided by itself,
//! in one order, however often the process dies. `tocsin replay` of the same lines, which is never killed
//! and never sees Kafka, therefore says what every run must say: the same alerts, the same counters.
//! New records are published while the process is dead, because the order in which a *live* reader sees two
//! partitions is the broker's.

#![allow(clippy::unwrap_used, missing_docs)]

mod city;
mod gateway;
#[allow(dead_code, reason = "the service tests use the rest of it")]
#[path = "../service/house.rs"]
mod house;
mod lives;
mod verdict;
mod watch;

use std::io::Write as _;
use std::time::Instant as Monotonic;

use tocsin_testkit::{Broker, kafka_wanted};

/// Past the test harness, which keeps what a passing test prints to itself.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[test]
fn kills_over_ten_thousand_reports_leave_every_alert_said_once() {
    if !kafka_wanted("kills over ten thousand reports") {
        return;
    }
    let kills = std::env::var("TOCSIN_TEST_KILLS").map_or(50, |n| n.parse().unwrap());
    let began = Monotonic::now();
    let stream = city::stream(2025_0301);
    assert!(stream.reports >= 10_000, "{}", stream.reports);
    let reference = verdict::replay(&stream);
    let replayed = began.elapsed();
    let broker = Broker::start();
    let mut lives = lives::Lives::new(broker.address(), &stream, 7, kills);
    while !lives.all_published() || lives.kills.len() < kills {
        lives.one_more();
        if lives.kills.len().is_multiple_of(13) {
            verdict::halfway(&lives, &stream, &reference);
        }
    }
    let killed = began.elapsed();
    let restart = lives.finish(&reference);
    let ended = began.elapsed();
    let figures = verdict::of(&lives, &stream, &reference);
    let seconds =
        [replayed, killed - replayed, ended - killed, began.elapsed() - ended].map(|d| d.as_secs_f64());
    let [replay, lives, end, verdict] = seconds;
    say(&format!(
        "kills: {figures}; a start with all of it there took {:.2} s; replay {replay:.0} s, lives {lives:.0} s, \
         the rest {end:.0} s, verdict {verdict:.0} s",
        restart.as_secs_f64()
    ));
}
