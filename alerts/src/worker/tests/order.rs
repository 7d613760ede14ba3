//! One incident's messages stand in different partitions of `alerts` when its employer drops out; they must
//! still be heard in the order in which they were decided, however far behind the worker is.

use super::*;
use crate::fixtures::audience;
use crate::planner::merge::Read;
use crate::planner::turns::{MOST_WAITING, Turns};
use tocsin_schemas::codes::Rule;
use tocsin_schemas::records::Audience;

/// The enterprises' USCCs; their alerts stand in three different partitions.
const USCCS: [&str; 3] = ["91330784XX0000005J", "91330784XX00000029", "91330784XX00000003"];
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

/// Of one transaction what stands in one partition may be visible a moment before what stands in another.
#[tokio::test]
async fn what_becomes_visible_a_moment_later_is_waited_for() {
    for (first, second) in [(USCCS[0], USCCS[1]), (USCCS[1], USCCS[0]), (USCCS[2], USCCS[1])] {
        let log = MemLog::new("l");
        log.put(&[contact(Role::Owner, HOST, 1, "host"), contact(Role::Owner, second, 1, "other")]);
        let gateway = Arc::new(Gateway::default());
        let worker = worker(&log, &gateway, quick());
        let mut stats = worker.stats();
        let script = async {
            stats.wait_for(|s| s.contacts == 2).await.unwrap();
            log.hide(first);
            let corrected = Alert { revision: 3, ..keyed("c", Change::Corrected, second) };
            log.put(&[
                about(1, keyed("n", Change::New, first)),
                about(1, Alert { revision: 2, ..keyed("u", Change::Upgraded, second) }),
                about(1, corrected),
                about(
                    2,
                    Alert {
                        audiences: vec![audience(Role::Owner, second)],
                        ..keyed("o", Change::New, second)
                    },
                ),
            ]);
            stats.wait_for(|s| s.in_state(DeliveryState::Accepted) >= 1).await.unwrap();
            assert_eq!(gateway.rung(), [("o".into(), "other".into())], "others do not wait");
            log.show();
            crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
        };
        tokio::time::timeout(LIMIT, worker.run(script)).await.expect(first).unwrap();
        let rung: Vec<String> = gateway.rung().into_iter().map(|(alert, _)| alert).collect();
        assert_eq!(rung, ["o", "n", "u", "c"], "{first} then {second}");
    }
}

fn keyed(id: &str, change: Change, key: &str) -> Alert {
    let alert = owner_alert(id, change, Severity::Minor);
    Alert { uscc: key.parse().unwrap(), audiences: host_alone(), ..alert }
}

/// With everything before it taken in, a message goes out at once, however long it could wait.
#[tokio::test]
async fn what_was_taken_in_before_the_start_keeps_nobody_waiting() {
    for (first, second) in [(USCCS[0], USCCS[1]), (USCCS[1], USCCS[0])] {
        let log = MemLog::new("l");
        let gateway = Arc::new(Gateway::default());
        log.put(&[contact(Role::Owner, HOST, 1, "host"), about(1, keyed("n", Change::New, first))]);
        settle(&log, &gateway).await;
        log.put(&[about(1, Alert { revision: 2, ..keyed("u", Change::Upgraded, second) })]);
        let hour = Settings { turn_patience: Duration::from_secs(3_600), ..quick() };
        let worker = worker(&log, &gateway, hour);
        let (mut stats, ends) = (worker.stats(), ends(&log));
        let done = async move { drop(crate::stats::settled(&mut stats, &ends).await) };
        let stats = tokio::time::timeout(LIMIT, worker.run(done)).await.expect(second).unwrap();
        assert_eq!((gateway.rung().len(), stats.out_of_turn), (2, 0));
    }
}

/// A stop while a message waits for one that is not visible: the next start takes both, in order, once.
#[tokio::test]
async fn what_waits_at_a_stop_is_read_again() {
    let log = MemLog::new("l");
    let gateway = Arc::new(Gateway::default());
    let (first, second) = (USCCS[0], USCCS[1]);
    log.put(&[contact(Role::Owner, HOST, 1, "host"), contact(Role::Owner, second, 1, "other")]);
    log.hide(first);
    let other = Alert { audiences: vec![audience(Role::Owner, second)], ..keyed("o", Change::New, second) };
    log.put(&[
        about(1, keyed("n", Change::New, first)),
        about(1, Alert { revision: 2, ..keyed("u", Change::Upgraded, second) }),
        about(2, other),
    ]);
    let worker = worker(&log, &gateway, quick());
    let mut stats = worker.stats();
    let told = async move { drop(stats.wait_for(|s| s.in_state(DeliveryState::Accepted) == 1).await) };
    let stats = tokio::time::timeout(LIMIT, worker.run(told)).await.unwrap().unwrap();
    assert_eq!(stats.progress.iter().map(|o| o.next).max(), Some(0), "progress does not pass what waits");
    log.show();
    settle(&log, &gateway).await;
    let rung: Vec<String> = gateway.rung().into_iter().map(|(alert, _)| alert).collect();
    assert_eq!((rung, gateway.asked()), (vec!["o".into(), "n".into(), "u".into()], 3));
}

/// Messages of incident `case` as read from partition `partition`; the offset is the revision.
fn read(case: u32, revision: u32, partition: u32) -> Read {
    let mut alert = Alert { revision, ..keyed(&format!("{case}-{revision}"), Change::Upgraded, USCCS[0]) };
    alert.case_no = IncidentId(case).to_string().into();
    Read { alert, partition, offset: u64::from(revision) }
}

fn ids(out: &[Read]) -> Vec<&str> {
    out.iter().map(|read| read.alert.alert_id.as_str()).collect()
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn one_that_never_comes_is_waited_for_a_while_and_then_missed_aloud() {
    let logged = Logged::default();
    let _guard = logged.listen();
    let mut turns = Turns::new(MINUTE);
    let start = std::time::Instant::now();
    assert_eq!(
        ids(&turns.in_turn([read(1, 3, 0), read(1, 2, 1), read(2, 1, 0)].into_iter(), start)),
        ["2-1"]
    );
    assert_eq!(
        (turns.first_waiting(0), turns.first_waiting(1), turns.first_waiting(2)),
        (Some(3), Some(2), None)
    );
    let nearly = start + MINUTE - Duration::from_millis(1);
    assert_eq!(ids(&turns.in_turn(std::iter::empty(), nearly)), [""; 0]);
    assert_eq!((turns.out_of_turn(), logged.text()), (0, String::new()));
    // Both, in their order, and one complaint: the second one has the one before it.
    assert_eq!(ids(&turns.in_turn(std::iter::empty(), start + MINUTE)), ["1-2", "1-3"]);
    let (case, said) = (IncidentId(1).to_string(), logged.text());
    assert_eq!((turns.out_of_turn(), said.lines().count()), (1, 1), "{said}");
    assert!(said.contains("ERROR") && said.contains(&format!("case_no={case}")), "{said}");
    assert_eq!(turns.first_waiting(0), None);
    // Late is better than never.
    assert_eq!(
        ids(&turns.in_turn([read(1, 1, 2), read(1, 4, 0)].into_iter(), start + MINUTE)),
        ["1-1", "1-4"]
    );
    assert_eq!(turns.out_of_turn(), 1);
}

#[test]
fn not_more_wait_than_there_is_room_for() {
    let mut turns = Turns::new(MINUTE);
    let now = std::time::Instant::now();
    let most = MOST_WAITING as u32;
    assert!(turns.in_turn((0..most).map(|case| read(case, 2, 0)), now).is_empty());
    assert_eq!(ids(&turns.in_turn([read(most, 2, 0)].into_iter(), now)), ["0-2"]);
    assert_eq!(ids(&turns.in_turn([read(5, 1, 0)].into_iter(), now)), ["5-1", "5-2"]);
}

#[test]
fn suppressed_decisions_and_escalations_wait_for_nobody() {
    let mut turns = Turns::new(MINUTE);
    let mut silent = read(1, 2, 0);
    (silent.alert.revision, silent.alert.change) = (0, Change::Suppressed);
    let mut warning = read(2, 5, 0);
    warning.alert.rule = Rule::Escalation;
    warning.alert.case_no = "EAAAAAAAAA".into();
    assert_eq!(turns.in_turn([silent, warning].into_iter(), std::time::Instant::now()).len(), 2);
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(move || writer.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
