//! What was wrong is taken back where the gateway can, after its correction.

use super::*;

fn forgetful() -> Arc<Gateway> {
    Arc::new(Gateway { recalled: Some(Mutex::default()), ..Gateway::default() })
}

fn recalled(gateway: &Gateway) -> Vec<String> {
    gateway.recalled.as_ref().unwrap().lock().unwrap().clone()
}

#[tokio::test]
async fn what_was_wrong_is_taken_back_once_and_what_was_true_stays() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), contact(Role::TownshipDuty, "330784001", 1, "town")]);
    let gateway = forgetful();
    // m-0: incident 1; m-1: the same as severe; m-2: incident 2; m-3: a warning.
    for alert in [new_alert("a1", 1), changed("a2", 1, Change::Upgraded), new_alert("b1", 2)] {
        log.put(&[alert]);
        settle(&log, &gateway).await;
    }
    log.put(&[about(7, escalation(Change::New, Some(Level::Blue), 2))]);
    settle(&log, &gateway).await;
    assert_eq!(recalled(&gateway), Vec::<String>::new());

    // A restart between, as between all of these: what went out is read back.
    let mut corrected = owner_alert("a3", Change::Corrected, Severity::Minor);
    (corrected.revision, corrected.decided_at) = (2, corrected.decided_at.plus_millis(2000));
    log.put(&[about(1, corrected)]);
    log.put(&[about(7, Alert { revision: 2, alert_id: "e2".into(), ..escalation(Change::Closed, None, 0) })]);
    let stats = settle(&log, &gateway).await;
    let mut taken_back = recalled(&gateway);
    taken_back.sort();
    assert_eq!(taken_back, ["m-0", "m-1"]);
    assert_eq!(stats.recalled, 2);
    // The words of the correction are on the phone all the same, and stay.
    assert_eq!(of(&ledger(&log), "a3"), (DeliveryState::Accepted, ""));
    settle(&log, &gateway).await;
    assert_eq!(recalled(&gateway).len(), 2);
}

#[tokio::test]
async fn nothing_is_taken_back_before_its_correction_is_accepted() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), new_alert("a1", 1)]);
    let gateway = forgetful();
    settle(&log, &gateway).await;
    let no = || Outcome::Permanent { reason: "refused".into() };
    gateway.says("owner", [no()]);
    log.put(&[changed("a2", 1, Change::Corrected)]);
    settle(&log, &gateway).await;
    assert_eq!(of(&ledger(&log), "a2"), (DeliveryState::Failed, "refused"));
    assert_eq!(recalled(&gateway), Vec::<String>::new());
}
