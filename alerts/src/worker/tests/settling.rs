//! Requests whose outcome nobody saw, at gateways of each kind.

use super::*;

/// One owner and one new incident, at a gateway of this kind.
fn one(kind: Kind) -> (Arc<MemLog>, Gateway) {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), new_alert("a1", 1)]);
    (log, Gateway { kind: Some(kind), ..Gateway::default() })
}

fn rings(gateway: &Gateway) -> usize {
    gateway.rung.lock().unwrap().len()
}

/// Every state that the delivery of an alert was in, in order.
fn states(log: &MemLog, alert: &str) -> Vec<(DeliveryState, String)> {
    let records = log.records(topic::DELIVERIES);
    let all = records.iter().map(|r| codec::decode::<Delivery>(r, r.value.as_ref().unwrap()).unwrap());
    all.filter(|d| d.alert_id == alert).map(|d| (d.state, d.reason.unwrap_or_default())).collect()
}

#[tokio::test]
async fn what_rang_unseen_is_asked_about_and_not_sent_again() {
    use DeliveryState::{Delivered, Planned, Sending, Uncertain};
    let (log, gateway) = one(Kind::Askable);
    gateway.drops.lock().unwrap().insert("owner".into(), 1);
    // The gateway's own lookup is late: not found at first, and once it does not answer.
    gateway.answers.lock().unwrap().extend([
        Told::NotFound,
        Told::CannotTell(Verdict::transient("http_503")),
        Told::NotFound,
    ]);
    let gateway = Arc::new(gateway);
    let stats = settle(&log, &gateway).await;
    let named = |state, reason: &str| (state, reason.to_owned());
    let expected =
        [named(Planned, ""), named(Sending, ""), named(Uncertain, "timeout"), named(Delivered, "")];
    assert_eq!(states(&log, "a1"), expected);
    assert_eq!((gateway.asked(), rings(&gateway)), (1, 1));
    assert_eq!((stats.questions, stats.settled, stats.resent_in_flight), (4, 1, 0));
    let asked = gateway.questions.lock().unwrap();
    let first = &gateway.asked.lock().unwrap()[0];
    assert!(asked.iter().all(|q| q.delivery_id == first.idempotency_key && q.to == "owner"));
    // Midnight is where the test's clock begins: the day that is asked for is that of the request.
    assert!(asked.iter().all(|q| q.sent_at == day().midnight()));
}

#[tokio::test]
async fn what_did_not_ring_is_sent_again_when_not_found_counts() {
    let (log, gateway) = one(Kind::Askable);
    gateway.says("owner", [timeout()]);
    let gateway = Arc::new(gateway);
    let stats = settle(&log, &gateway).await;
    assert_eq!(of(&ledger(&log), "a1"), (DeliveryState::Accepted, ""));
    assert_eq!((gateway.asked(), rings(&gateway), stats.settled), (2, 1, 1));
    let again = gateway.asked.lock().unwrap()[1].clone();
    assert_eq!(again.attempt, 2);
    let sendings: Vec<Instant> = log
        .records(topic::DELIVERIES)
        .iter()
        .map(|r| codec::decode::<Delivery>(r, r.value.as_ref().unwrap()).unwrap())
        .filter(|d| d.state == DeliveryState::Sending)
        .map(|d| d.at)
        .collect();
    let apart = sendings[1].0 - sendings[0].0;
    assert!((1_800_000..1_900_000).contains(&apart), "{apart}");
}

#[tokio::test]
async fn a_kill_during_a_request_is_settled_by_asking_whether_it_rang_or_not() {
    for rang in [false, true] {
        let (log, gateway) = one(Kind::Askable);
        *gateway.die_at.lock().unwrap() = Some((0, rang));
        let gateway = Arc::new(gateway);
        let dies = worker(&log, &gateway, quick()).run(std::future::pending());
        tokio::select! {
            ended = dies => panic!("{ended:?}"),
            () = gateway.died.notified() => {}
        }
        let stats = settle(&log, &gateway).await;
        let end = if rang { DeliveryState::Delivered } else { DeliveryState::Accepted };
        assert_eq!(of(&ledger(&log), "a1").0, end);
        assert_eq!((rings(&gateway), gateway.asked()), (1, if rang { 1 } else { 2 }));
        assert_eq!((stats.resent_in_flight, stats.settled), (0, 1));
        assert!(states(&log, "a1").contains(&(DeliveryState::Uncertain, crate::settle::STOPPED.into())));
    }
}

#[tokio::test]
async fn a_correction_waits_until_the_message_before_it_is_settled() {
    // Whether the first one rang; what becomes of the correction.
    for (rang, end) in [(true, (DeliveryState::Accepted, "")), (false, (DeliveryState::Accepted, ""))] {
        let (log, gateway) = one(Kind::Askable);
        match rang {
            true => drop(gateway.drops.lock().unwrap().insert("owner".into(), 1)),
            false => gateway.says("owner", [timeout()]),
        }
        log.put(&[changed("a2", 1, Change::Corrected)]);
        let gateway = Arc::new(gateway);
        settle(&log, &gateway).await;
        let told: Vec<String> = gateway.rung().into_iter().map(|(alert, _)| alert).collect();
        match rang {
            true => assert_eq!((told, of(&ledger(&log), "a2")), (vec!["a1".to_owned(), "a2".into()], end)),
            // Certainly not sent, and overtaken by then: neither is said.
            false => {
                assert!(told.is_empty());
                assert_eq!(of(&ledger(&log), "a1"), (DeliveryState::Skipped, "superseded"));
                assert_eq!(of(&ledger(&log), "a2"), (DeliveryState::Skipped, "nothing_to_correct"));
            }
        }
    }
}

/// A worker whose process died after the phone of `a1` rang, before anybody knew.
async fn killed_after_it_rang() -> (Arc<MemLog>, Arc<Gateway>) {
    let (log, gateway) = one(Kind::Askable);
    *gateway.die_at.lock().unwrap() = Some((0, true));
    let gateway = Arc::new(gateway);
    let dies = worker(&log, &gateway, quick()).run(std::future::pending());
    tokio::select! {
        ended = dies => panic!("{ended:?}"),
        () = gateway.died.notified() => {}
    }
    (log, gateway)
}

#[tokio::test]
async fn whose_duty_has_ended_meanwhile_is_asked_about_all_the_same() {
    let (log, gateway) = killed_after_it_rang().await;
    let long_ago = "2020-01-01".parse().unwrap();
    log.put(&[until(Role::Owner, uscc().as_str(), 1, 2, "owner", Some(long_ago))]);
    settle(&log, &gateway).await;
    assert_eq!(of(&ledger(&log), "a1"), (DeliveryState::Delivered, ""));
    assert_eq!((rings(&gateway), gateway.questions.lock().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn after_the_contact_changed_nobody_is_asked_by_another_phone() {
    let (log, gateway) = killed_after_it_rang().await;
    log.put(&[contact(Role::Owner, uscc().as_str(), 2, "another")]);
    settle(&log, &gateway).await;
    assert_eq!(of(&ledger(&log), "a1"), (DeliveryState::Failed, "contact_changed"));
    assert_eq!((rings(&gateway), gateway.questions.lock().unwrap().len()), (1, 0));
}

#[tokio::test]
async fn a_gateway_that_can_tell_nothing_is_asked_once_more_only_if_that_was_wanted() {
    for (resend_unknown, asked) in [(false, 1), (true, 2)] {
        let (log, gateway) = one(Kind::Neither);
        gateway.drops.lock().unwrap().insert("owner".into(), 5);
        let gateway = Arc::new(gateway);
        let retry = RetrySettings { resend_unknown, ..quick().retry };
        let worker = worker(&log, &gateway, Settings { retry, ..quick() });
        let mut stats = worker.stats();
        let done = async { drop(crate::stats::settled(&mut stats, &ends(&log)).await) };
        tokio::time::timeout(LIMIT, worker.run(done)).await.unwrap().unwrap();
        assert_eq!(of(&ledger(&log), "a1"), (DeliveryState::Failed, "unknown:timeout"));
        // The test's gateway rings once for a key: this one has none, so what it was asked for is counted.
        assert_eq!(gateway.asked(), asked);
    }
}
