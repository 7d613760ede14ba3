//! What the log puts off.

use super::*;

#[tokio::test]
async fn a_sender_lets_the_log_do_it_when_nothing_is_under_way_and_nothing_comes() {
    let log = MemLog::new("l");
    log.untidy();
    log.put(&[contact(Role::Owner, uscc().as_str(), 1, "owner")]);
    let gate = tokio::sync::Semaphore::new(0);
    let gateway = Arc::new(Gateway { gate: Some(gate), ..Gateway::default() });
    let worker = worker(&log, &gateway, quick());
    let mut stats = worker.stats();
    let tidied = async |writer: &str, times: usize| {
        while log.tidied(writer) < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let script = async {
        stats.wait_for(|s| s.contacts == 1 && s.senders == 3).await.unwrap();
        log.put(&[new_alert("first", 1)]);
        stats.wait_for(|s| s.requests == 1).await.unwrap();
        let (busy, _) = log.ledgers().pop().unwrap();
        let before = log.tidied(&busy);
        // Two that have nothing to do: as long as that takes, it has been quiet here.
        let all = (0..3).map(|partition| format!("{WRITER}.{partition}"));
        for other in all.filter(|name| *name != busy) {
            tidied(&other, log.tidied(&other) + 2).await;
        }
        assert_eq!(log.tidied(&busy), before, "its request is under way");
        gateway.gate.as_ref().unwrap().add_permits(1);
        tidied(&busy, before + 1).await;
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
    };
    tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    assert_eq!(log.tidied(WRITER), 0, "a planner appends what others wait for");
}
