//! What the planner gives to the sender beside it.

use super::*;

/// The sender sees nothing of its partition: only what was given to it.
#[tokio::test]
async fn the_first_message_of_a_case_goes_by_hand_and_is_known_when_the_log_brings_it() {
    let log = MemLog::new("l");
    log.put(&[contact(Role::Owner, uscc().as_str(), 1, "owner")]);
    log.open_at(topic::DELIVERIES, 0, 1);
    let gateway = Arc::new(Gateway::default());
    let worker = worker(&log, &gateway, quick());
    let mut stats = worker.stats();
    let script = async {
        // A sender that is not there yet is given nothing.
        stats.wait_for(|s| s.contacts == 1 && s.senders == 3).await.unwrap();
        log.put(&[new_alert("first", 1)]);
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
        assert_eq!(gateway.rung(), [("first".into(), "owner".into())]);
        let second = Alert { revision: 2, ..owner_alert("second", Change::Upgraded, Severity::Severe) };
        log.put(&[about(1, second)]);
        stats.wait_for(|s| s.open == 1).await.unwrap();
        log.put(&[new_alert("third", 2)]);
        // The planner has planned both, and their sender cannot have read that.
        stats.wait_for(|s| s.open == 2).await.unwrap();
        assert_eq!(gateway.asked(), 1, "one comes through the log, and none overtakes it");
        // The log brings the second, and not the third yet.
        log.open_at(topic::DELIVERIES, 4, 1);
        stats.wait_for(|s| s.requests == 2).await.unwrap();
        log.put(&[new_alert("fourth", 3)]);
        stats.wait_for(|s| s.alerts_read == 4 && s.open == 2).await.unwrap();
        log.show();
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
        let rung: Vec<_> = gateway.rung().into_iter().map(|(alert, _)| alert).collect();
        assert_eq!(rung, ["first", "second", "third", "fourth"]);
    };
    tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    let written = |alert: &str| {
        let all = log.records(topic::DELIVERIES);
        let all = all.iter().map(|r| codec::decode::<Delivery>(r, r.value.as_ref().unwrap()).unwrap());
        all.filter(|d| d.alert_id == alert).map(|d| d.state).collect::<Vec<_>>()
    };
    let once = [DeliveryState::Planned, DeliveryState::Sending, DeliveryState::Accepted];
    for alert in ["first", "second", "third", "fourth"] {
        assert_eq!(written(alert), once, "{alert}");
    }
}

#[tokio::test]
async fn a_worker_ends_when_somebody_adds_partitions_to_the_ledger() {
    let log = MemLog::new("l");
    log.put(&[contact(Role::Owner, uscc().as_str(), 1, "owner"), new_alert("0", 0)]);
    let gateway = Arc::new(Gateway::default());
    let worker = worker(&log, &gateway, quick());
    let mut stats = worker.stats();
    let script = async {
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
        log.grow(topic::DELIVERIES);
        // It looks again every second.
        for n in 1.. {
            log.put(&[new_alert(&n.to_string(), n)]);
            crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
        }
    };
    let ended = tokio::time::timeout(LIMIT, worker.run(script)).await.expect("it ends");
    assert!(matches!(ended, Err(WorkerError::OtherPartitions { expected: 3, found: 4 })), "{ended:?}");
}
