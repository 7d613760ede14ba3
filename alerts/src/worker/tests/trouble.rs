//! A log that stands still while the state is read back, and one that cannot be asked what became of an append.

use super::*;

/// A log in which something of every topic is to be read back. (No time limit: where the time is paused, it
/// would run out while a thread reads.)
pub async fn told() -> (Arc<MemLog>, Arc<Gateway>) {
    let log = MemLog::new("l");
    let gateway = Arc::new(Gateway::default());
    log.put(&[owner("owner"), new_alert("a1", 1)]);
    let worker = worker(&log, &gateway, quick());
    let (mut stats, ends) = (worker.stats(), ends(&log));
    worker.run(async move { drop(crate::stats::settled(&mut stats, &ends).await) }).await.unwrap();
    (log, gateway)
}

const READ_BACK: [&str; 4] = [topic::ALERTS, topic::CONTACTS, topic::DELIVERIES, topic::PROGRESS];

#[tokio::test]
async fn a_stop_while_reading_back_ends_the_worker_quietly() {
    for topic in READ_BACK {
        let (log, gateway) = told().await;
        log.stick(topic);
        log.put(&[new_alert("a2", 2)]);
        let (appends, stop) = (log.appends(), tokio::time::sleep(Duration::from_millis(200)));
        let run = worker(&log, &gateway, quick()).run(stop);
        let ended = tokio::time::timeout(Duration::from_secs(2), run).await;
        ended.unwrap_or_else(|_| panic!("{topic}: it looks at the stop")).unwrap();
        assert_eq!((gateway.asked(), log.appends()), (1, appends), "{topic}");
    }
}

#[tokio::test]
async fn reading_back_that_stands_still_is_given_up_with_the_place() {
    for topic in READ_BACK {
        let (log, gateway) = told().await;
        log.stick(topic);
        let settings = Settings { read_patience: Duration::from_millis(300), ..quick() };
        let run = worker(&log, &gateway, settings).run(std::future::pending());
        let error = tokio::time::timeout(LIMIT, run).await.expect(topic).unwrap_err();
        assert!(matches!(error, WorkerError::Log(LogError::Retry { .. })), "{topic}: {error}");
        let said = error.to_string();
        assert!(said.contains(&format!("{topic} partition ")), "{topic}: {said}");
        assert!(said.contains("stands at 0 of "), "{topic}: {said}");
    }
}

#[tokio::test]
async fn what_stands_behind_anothers_open_append_is_waited_for_before_anything_is_sent() {
    // All partitions are read by the planner, one by a sender.
    for (topic, most) in [(topic::DELIVERIES, 3), (topic::DELIVERIES, 1), (topic::PROGRESS, 4)] {
        let (log, gateway) = told().await;
        log.open_at(topic, 1, most);
        let worker = worker(&log, &gateway, quick());
        let (mut stats, ends) = (worker.stats(), ends(&log));
        let script = async {
            // They have looked, and looked again.
            while log.in_vain() < 9 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            log.show();
            crate::stats::settled(&mut stats, &ends).await.unwrap();
        };
        let stats = tokio::time::timeout(LIMIT, worker.run(script)).await.expect(topic).unwrap();
        assert_eq!((gateway.asked(), stats.requests), (1, 0), "{topic}: it was told before");
    }
}

fn cannot_ask() -> [LogError; 3] {
    [
        LogError::Unreachable { place: "memory".into(), why: "a test".into() },
        LogError::Retry { what: "make a writer", why: "a test".into() },
        LogError::NoSpace { place: "memory".into() },
    ]
}

#[tokio::test(start_paused = true)]
async fn an_append_of_unknown_outcome_is_asked_for_until_there_is_an_answer() {
    for fault in [Fault::UncertainWritten, Fault::UncertainLost] {
        for at in 1..4 {
            let (log, gateway) = told().await;
            let before = log.records(topic::DELIVERIES).len();
            let worker = worker(&log, &gateway, quick());
            let mut stats = worker.stats();
            let script = async {
                stats.wait_for(|s| s.contacts == 1).await.unwrap();
                log.faults(std::iter::repeat_n(Fault::None, at - 1).chain([fault]));
                log.no_writer(cannot_ask());
                log.put(&[new_alert("a2", 2)]);
                stats.wait_for(|s| s.in_state(DeliveryState::Accepted) == 1).await.unwrap();
                crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
            };
            worker.run(script).await.unwrap();
            assert_eq!((gateway.asked(), gateway.rung().len()), (2, 2), "{fault:?} at {at}");
            let written = log.records(topic::DELIVERIES).len() - before;
            // The planner may say `planned` once more after the end, and the sender then the end once more.
            assert!((3..=5).contains(&written), "{fault:?} at {at}: {written}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_that_can_never_be_asked_for_ends_the_worker_and_nothing_is_sent() {
    let (log, gateway) = told().await;
    let worker = worker(&log, &gateway, Settings { append_tries: 3, ..quick() });
    let mut stats = worker.stats();
    let script = async {
        stats.wait_for(|s| s.contacts == 1).await.unwrap();
        log.faults([Fault::UncertainLost]);
        log.no_writer(std::iter::repeat_with(cannot_ask).take(100).flatten());
        log.put(&[new_alert("a2", 2)]);
        std::future::pending::<()>().await;
    };
    let error = worker.run(script).await.unwrap_err();
    assert!(error.to_string().contains("event log"), "{error}");
    assert_eq!(gateway.asked(), 1, "nothing is sent before it is settled");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_waited_for_however_long_and_then_everything_goes_on() {
    let (log, gateway) = told().await;
    let worker = worker(&log, &gateway, Settings { append_tries: 3, ..quick() });
    let mut stats = worker.stats();
    let script = async {
        stats.wait_for(|s| s.contacts == 1).await.unwrap();
        log.faults(std::iter::repeat_n(Fault::NoSpace, 100));
        log.put(&[new_alert("a2", 2)]);
        stats.wait_for(|s| s.in_state(DeliveryState::Accepted) == 1).await.unwrap();
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
    };
    worker.run(script).await.unwrap();
    assert_eq!((gateway.asked(), gateway.rung().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_space() {
    let (log, gateway) = told().await;
    let worker = worker(&log, &gateway, quick());
    let mut stats = worker.stats();
    let script = async {
        stats.wait_for(|s| s.contacts == 1).await.unwrap();
        log.faults(std::iter::repeat_n(Fault::NoSpace, 1_000_000));
        log.put(&[new_alert("a2", 2)]);
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    };
    let ended = tokio::time::timeout(Duration::from_secs(3_625), worker.run(script)).await.expect("it ends");
    assert!(ended.unwrap_err().to_string().contains("space"), "what was not written is said");
    assert_eq!(gateway.asked(), 1, "nothing is sent that is not written");
}
