//! What goes wrong while it runs: a full disk, and an operator who will not wait.

use std::io::Read as _;
use std::net::TcpListener;
use std::time::Duration;

use crate::house::{AT, DAY, House, until};

/// As many reports as decide more than the space left takes.
const REPORTS: usize = 60;

/// The log may not grow any more, reports still come (their source has space): nothing more is decided, the
/// reason is said once, and when there is space again everything is told, once.
#[test]
fn a_full_disk_stops_the_commits_and_loses_nothing() {
    let mut house = House::embedded().started();
    let size = std::fs::metadata(house.dir.path().join("log.db")).unwrap().len();
    house.limit(Some(size + 200_000));
    let run = house.run_caught_up(&["--only", "pipeline"]);
    for n in 0..REPORTS {
        house.report(&format!("r{n}"), DAY, AT);
    }
    run.wait_said("decisions wait: free space");
    // What is visible fits together: no alert without its progress, no progress without its alerts.
    let told = |house: &House| house.said().iter().filter(|s| *s == "owner_incident new").count();
    let decided = house.progress().unwrap().counters.arrived() as usize - 2 - 3;
    assert_eq!(told(&house), decided);
    assert!(decided < REPORTS, "the limit was too high to matter");
    let complaints = run.said().matches("free space").count();
    assert_eq!(complaints, 1, "said once: {}", run.said());
    run.signal("TERM");
    let mut run = run;
    assert_eq!(run.ends_within(Duration::from_secs(10)), Some(1), "{}", run.said());
    let said = run.said();
    let last = said.lines().last().unwrap();
    assert!(last.contains("no space left") && last.contains("the next start decides it again"), "{last}");
    assert_eq!((told(&house), house.gateway.calls().len()), (decided, 0));

    house.limit(None);
    let run = house.run_caught_up(&[]);
    until("all are decided", || told(&house) == REPORTS);
    let keys = || house.gateway.calls().iter().map(|c| c["idempotency_key"].to_string()).collect::<Vec<_>>();
    until("all owners are told", || {
        house.gateway.calls().iter().filter(|c| c["role"] == "owner").count() == REPORTS
    });
    assert_eq!(run.stop(), Some(0));
    let mut once = keys();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), keys().len(), "nobody is told twice");
}

/// A request hangs; the first signal waits for it, the second one does not. The next start asks again with
/// the same key.
#[test]
fn a_second_signal_ends_at_once_and_the_request_in_flight_is_made_again_with_its_key() {
    let mut house = House::embedded().started();
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    house.configure(&format!("http://{}/send", deaf.local_addr().unwrap()), "");
    let mut run = house.run_caught_up(&[]);
    house.report("a", DAY, AT);
    let (mut caller, _) = deaf.accept().unwrap();
    let mut asked = Vec::new();
    while !String::from_utf8_lossy(&asked).contains("idempotency_key") {
        let mut buffer = [0; 4096];
        let n = caller.read(&mut buffer).unwrap();
        asked.extend_from_slice(&buffer[..n]);
    }
    run.signal("TERM");
    run.wait_said("stopping: finishing what is in hand");
    // Both halves have taken note, and one of them has ended: only the request keeps the process.
    run.wait_said("under_way=1");
    run.wait_said("pipeline stopped");
    assert!(run.alive(), "the first signal waits for the request: {}", run.said());
    run.signal("TERM");
    assert_eq!(run.ends_within(Duration::from_secs(2)), Some(1), "{}", run.said());
    assert!(run.said().contains("second signal"), "{}", run.said());

    let url = house.gateway.url.clone();
    house.configure(&url, "");
    let run = house.run_caught_up(&[]);
    until("the owner is told", || house.gateway.calls().len() == 1);
    let key = house.gateway.calls()[0]["idempotency_key"].as_str().unwrap().to_owned();
    assert!(String::from_utf8_lossy(&asked).contains(&key), "another key than before: {key}");
    assert_eq!(run.stop(), Some(0));
    assert_eq!((house.gateway.calls().len(), house.alerts().len()), (1, 1));
}
