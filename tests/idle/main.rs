//! What a service costs that has nothing to do. A suite of its own: suites run one after the other, and a
//! neighbour in the same suite would raise the processor time that is measured here.

#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code, reason = "the service tests use the rest of it")]
#[path = "../service/house.rs"]
mod house;

use std::time::{Duration, Instant as Monotonic};

use house::{AT, DAY, House, until};

#[test]
fn an_idle_service_costs_at_most_a_hundredth_of_a_core() {
    let house = House::embedded().started();
    house.report("a", DAY, AT);
    let run = house.run_caught_up(&[]);
    until("the owner is told", || house.gateway.calls().len() == 1);
    // utime and stime, in ticks of 10 ms (proc(5)).
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", run.id())).unwrap();
        let after = stat.rsplit_once(')').unwrap().1;
        after.split_whitespace().skip(11).take(2).map(|t| t.parse::<u64>().unwrap()).sum()
    };
    // Long enough that what a start leaves behind (memory that a thread touches for the first time) is a small part of it.
    let (before, began) = (ticks(), Monotonic::now());
    std::thread::sleep(Duration::from_secs(20));
    let share = (ticks() - before) as f64 * 0.01 / began.elapsed().as_secs_f64();
    assert!(share <= 0.01, "{share} of a core");
    assert_eq!(run.stop(), Some(0));
}
