//! A kill at every point of the sequence, and a restart after it.

use super::*;

/// A history with two cases, a correction, an upgrade and a township, in three batches.
fn history() -> Arc<MemLog> {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), contact(Role::TownshipDuty, "330784001", 1, "town")]);
    log.put(&[
        new_alert("a1", 1),
        new_alert("b1", 2),
        about(7, escalation(Change::New, Some(Level::Blue), 2)),
    ]);
    log.put(&[changed("a2", 1, Change::Downgraded)]);
    log.put(&[about(3, owner_alert("s1", Change::Suppressed, Severity::Minor))]);
    log
}

const TOLD: [&str; 4] = ["a1", "a2", "b1", "e1"];

/// Runs a worker until it dies or settles.
async fn run_to_death(log: &Arc<MemLog>, gateway: &Arc<Gateway>) -> u64 {
    let worker = worker(log, gateway, quick());
    let (stats, mut settled, ends) = (worker.stats(), worker.stats(), ends(log));
    let done = async move { drop(crate::stats::settled(&mut settled, &ends).await) };
    tokio::select! {
        result = tokio::time::timeout(LIMIT, worker.run(done)) => drop(result.expect("in time")),
        () = gateway.died.notified() => {}
    }
    stats.borrow().resent_in_flight
}

/// What must hold once a further run has settled.
fn judge(log: &MemLog, gateway: &Gateway, resent: u64, what: &str) {
    let mut rung: Vec<String> = gateway.rung().into_iter().map(|(alert, _)| alert).collect();
    let place = |id: &str| rung.iter().position(|r| r == id);
    assert!(place("a1") < place("a2"), "{what}: in order: {rung:?}");
    rung.sort();
    assert_eq!(rung, TOLD, "{what}: everybody heard everything once");
    let ledger = ledger(log);
    for id in TOLD {
        assert_eq!(of(&ledger, id), (DeliveryState::Accepted, ""), "{what}: {id}");
    }
    let asked = gateway.asked.lock().unwrap();
    let keys: HashSet<_> = asked.iter().map(|m| &m.idempotency_key).collect();
    assert_eq!(keys.len(), TOLD.len(), "{what}: one key for each");
    let again = (asked.len() - keys.len()) as u64;
    assert!(again <= resent, "{what}: {again} requests were repeated, {resent} were counted");
}

#[tokio::test]
async fn a_kill_before_or_after_any_append_doubles_nothing() {
    let clean = history();
    let gateway = Arc::new(Gateway::default());
    settle(&clean, &gateway).await;
    judge(&clean, &gateway, 0, "without a kill");
    let appends = clean.appends();
    assert!(appends >= 3, "{appends}");
    let (mut repeated, mut kills) = (0, 0);
    for at in 0..appends {
        for fault in [Fault::DieBefore, Fault::DieAfter] {
            let log = history();
            log.faults(std::iter::repeat_n(Fault::None, at).chain([fault]));
            let gateway = Arc::new(Gateway::default());
            let mut resent = run_to_death(&log, &gateway).await;
            resent += settle(&log, &gateway).await.resent_in_flight;
            judge(&log, &gateway, resent, &format!("{fault:?} append {at}"));
            let asked = gateway.asked();
            let stats = settle(&log, &gateway).await;
            assert_eq!((gateway.asked(), stats.resent_in_flight), (asked, 0), "a third run says nothing");
            repeated += resent;
            kills += 1;
        }
    }
    assert!(repeated > 0 && kills == 2 * appends, "some of the kills came between request and outcome");
}

#[tokio::test]
async fn a_kill_during_any_request_repeats_it_with_the_same_key() {
    for at in 0..TOLD.len() {
        for rings in [false, true] {
            let log = history();
            let gateway = Arc::new(Gateway::default());
            *gateway.die_at.lock().unwrap() = Some((at, rings));
            let mut resent = run_to_death(&log, &gateway).await;
            resent += settle(&log, &gateway).await.resent_in_flight;
            assert!(resent > 0);
            judge(&log, &gateway, resent, &format!("request {at}, rings: {rings}"));
        }
    }
}

#[tokio::test]
async fn kills_at_every_append_one_after_the_other_still_end_well() {
    let log = history();
    let gateway = Arc::new(Gateway::default());
    let mut resent = 0;
    for round in 0..12 {
        // After the one by which a worker says that it is there.
        log.faults([Fault::None, if round % 2 == 0 { Fault::DieAfter } else { Fault::DieBefore }]);
        resent += run_to_death(&log, &gateway).await;
    }
    log.faults([]);
    resent += settle(&log, &gateway).await.resent_in_flight;
    judge(&log, &gateway, resent, "twelve kills");
}
