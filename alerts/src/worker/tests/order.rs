//! One incident's messages stand in different partitions of `alerts` when its employer drops out; they must
//! still be heard in the order in which they were decided, however far behind the worker is.

use super::*;
use crate::fixtures::audience;
use tocsin_schemas::records::Audience;

/// The enterprises' USCCs; their alerts stand in three different partitions.
const USCCS: [&str; 3] = ["91330784XX00000003", "91330784XX00000016", "91330784XX00000029"];
const CASES: u32 = 25;

fn host_alone() -> Vec<Audience> {
    vec![audience(Role::Owner, HOST)]
}

/// Case `case`: `new` with key `first`, revision 2 with key `second`, each told to the host. `new` comes
/// with two messages about something else before it, so that its partition is the longer one. In the order
/// of decision, which is that of the appends.
fn decided(first: &str, second: &str, apart_ms: i64) -> Vec<NewRecord> {
    let mut records = Vec::new();
    for case in 0..CASES {
        let at = day().midnight().plus_millis(i64::from(case) * 10_000);
        let keyed = |id: String, change, revision, key: &str, ms| Alert {
            uscc: key.parse().unwrap(),
            audiences: host_alone(),
            revision,
            decided_at: at.plus_millis(ms),
            ..owner_alert(&id, change, Severity::Minor)
        };
        for filler in 0..2 {
            let silent = keyed(format!("s{case:02}{filler}"), Change::Suppressed, 0, first, 0);
            records.push(about(1_000 + case, silent));
        }
        records.push(about(case, keyed(format!("n{case:02}"), Change::New, 1, first, 0)));
        records.push(about(case, keyed(format!("u{case:02}"), Change::Upgraded, 2, second, apart_ms)));
    }
    records
}

fn backlog(first: &str, second: &str, apart_ms: i64) -> Arc<MemLog> {
    let log = MemLog::new("l");
    log.put(&[contact(Role::Owner, HOST, 1, "host")]);
    log.put(&decided(first, second, apart_ms));
    log
}

fn judge(gateway: &Gateway, what: &str) {
    let rung: Vec<String> = gateway.rung().into_iter().map(|(alert, _)| alert).collect();
    assert_eq!(rung.len(), 2 * CASES as usize, "{what}: everything was heard once: {rung:?}");
    for case in 0..CASES {
        let at = |id: String| rung.iter().position(|alert| *alert == id).expect("told");
        assert!(at(format!("n{case:02}")) < at(format!("u{case:02}")), "{what}: case {case}: {rung:?}");
    }
}

#[tokio::test]
async fn an_incident_is_told_in_order_though_its_messages_stand_in_several_partitions() {
    for first in USCCS {
        for second in USCCS {
            for (max_batch, apart_ms) in [(1, 1_000), (3, 1_000), (1, 0), (500, 0)] {
                let what = format!("{first} then {second}, {max_batch} at once, {apart_ms} ms apart");
                let log = backlog(first, second, apart_ms);
                let gateway = Arc::new(Gateway::default());
                let worker = worker(&log, &gateway, Settings { max_batch, ..quick() });
                let (mut stats, ends) = (worker.stats(), ends(&log));
                let done = async move { drop(crate::stats::settled(&mut stats, &ends).await) };
                let stats = tokio::time::timeout(LIMIT, worker.run(done)).await.expect(&what).unwrap();
                judge(&gateway, &what);
                assert_eq!(stats.alerts_read, 4 * u64::from(CASES), "{what}: each was read once");
            }
        }
    }
}

#[tokio::test]
async fn the_order_holds_through_stops_in_the_middle() {
    for (first, second) in [(USCCS[0], USCCS[1]), (USCCS[1], USCCS[0]), (USCCS[2], USCCS[0])] {
        let log = backlog(first, second, 1_000);
        let gateway = Arc::new(Gateway::default());
        let mut runs = 0;
        loop {
            let worker = worker(&log, &gateway, Settings { max_batch: 1, ..quick() });
            let (mut stats, ends) = (worker.stats(), ends(&log));
            let few = async move {
                drop(stats.wait_for(|s| s.alerts_read >= 9 || s.settled(&ends)).await);
            };
            let stats = tokio::time::timeout(LIMIT, worker.run(few)).await.unwrap().unwrap();
            runs += 1;
            if stats.settled(&super::ends(&log)) {
                break;
            }
            assert!(runs < 100, "it moves on");
        }
        assert!(runs > 3, "stopped in the middle: {runs}");
        judge(&gateway, &format!("{first} then {second}"));
    }
}

#[tokio::test]
async fn a_burst_while_it_works_is_told_in_order_too() {
    for (first, second) in [(USCCS[0], USCCS[1]), (USCCS[1], USCCS[0])] {
        let log = MemLog::new("l");
        let gateway = Arc::new(Gateway::default());
        let worker = worker(&log, &gateway, Settings { max_batch: 1, ..quick() });
        let mut stats = worker.stats();
        let script = async {
            log.put(&[contact(Role::Owner, HOST, 1, "host")]);
            stats.wait_for(|s| s.contacts == 1).await.unwrap();
            for record in decided(first, second, 1_000) {
                log.put(&[record]);
            }
            crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
        };
        tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
        judge(&gateway, first);
    }
}
