//! A worker that has nothing to do learns that another one has taken over, and asks for nothing else.

use super::*;
use tocsin_schemas::records::Progress;

/// Within this time the older one must have ended.
const SOON: Duration = Duration::from_secs(5);

/// A worker that runs until it ends by itself, and has read back.
async fn started(
    log: &Arc<MemLog>,
    gateway: &Arc<Gateway>,
) -> (tokio::task::JoinHandle<Result<Stats, WorkerError>>, watch::Receiver<Stats>) {
    let worker = worker(log, gateway, quick());
    let mut stats = worker.stats();
    let running = tokio::spawn(worker.run(std::future::pending()));
    stats.wait_for(|s| s.contacts == 1).await.unwrap();
    (running, stats)
}

#[tokio::test]
async fn an_idle_worker_ends_when_a_newer_one_has_taken_over() {
    // Never anything to tell; something told by an earlier run; something told just before.
    for (earlier, just_before) in [(false, false), (true, false), (false, true)] {
        let what = format!("told earlier: {earlier}, just before: {just_before}");
        let log = MemLog::new("l");
        let gateway = Arc::new(Gateway::default());
        log.put(&[owner("owner")]);
        if earlier {
            log.put(&[new_alert("a1", 1)]);
            settle(&log, &gateway).await;
        }
        let (older, mut stats) = started(&log, &gateway).await;
        if just_before {
            log.put(&[new_alert("a1", 1)]);
            crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
        }
        let (newer, mut stats) = started(&log, &gateway).await;
        let error = tokio::time::timeout(SOON, older).await.expect(&what).unwrap().unwrap_err();
        assert!(matches!(error, WorkerError::Log(LogError::Fenced { .. })), "{what}: {error}");
        // The newer one goes on.
        log.put(&[new_alert("a2", 2)]);
        let ends = ends(&log);
        let done = crate::stats::settled(&mut stats, &ends);
        tokio::time::timeout(SOON, done).await.expect(&what).unwrap();
        assert!(!newer.is_finished() && gateway.rung().iter().any(|(id, _)| id == "a2"), "{what}");
        newer.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_says_that_it_is_there_and_nothing_else() {
    let (log, gateway) = trouble::told().await;
    let (running, _stats) = started(&log, &gateway).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (beats, appends) = (log.records(topic::MEMBERS).len(), log.appends());
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The pipeline's, in a partition of its own.
        let pipeline = Progress { writer: "pipeline".into(), ..Progress::default() };
        log.put(&[codec::encode(&pipeline)]);
    }
    let beats = log.records(topic::MEMBERS).len() - beats;
    assert!((29..=31).contains(&beats), "{beats} in 60 s");
    assert_eq!(log.appends(), appends);
    running.abort();
}

/// A disk that is full while it starts or asks is no reason to end: nothing is to be written.
#[tokio::test(start_paused = true)]
async fn an_idle_worker_outlives_a_log_that_takes_nothing_just_now() {
    for fault in [Fault::Retry, Fault::UncertainLost, Fault::UncertainWritten] {
        let log = MemLog::new("l");
        let gateway = Arc::new(Gateway::default());
        log.put(&[owner("owner")]);
        log.faults(std::iter::repeat_n(fault, 100));
        log.beats_fail_too();
        let worker = worker(&log, &gateway, quick());
        let mut stats = worker.stats();
        let running = tokio::spawn(worker.run(std::future::pending()));
        tokio::time::sleep(Duration::from_secs(150)).await;
        assert!(!running.is_finished(), "{fault:?}");
        log.faults([]);
        log.put(&[new_alert("a1", 1)]);
        crate::stats::settled(&mut stats, &ends(&log)).await.unwrap();
        assert_eq!(gateway.asked(), 1, "{fault:?}");
        running.abort();
    }
}
