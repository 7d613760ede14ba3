//! What comes back after a message: late, twice, out of order, and before the gateway's own answer.

use super::*;
use crate::answers::{self, Came};
use tocsin_schemas::codes::AnswerKind;
use tocsin_schemas::records::Answer;

/// What a gateway pushes about the delivery of an alert, said at this second.
fn receipt(log: &MemLog, alert: &str, fate: &Fate, second: i64) -> NewRecord {
    let all = log.records(topic::DELIVERIES);
    let mut all = all.iter().map(|r| codec::decode::<Delivery>(r, r.value.as_deref().unwrap()).unwrap());
    let delivery = all.rfind(|d| d.alert_id == alert).unwrap();
    let at = day().midnight().plus_millis(second * 1000);
    let came = Came { gateway: "webhook".into(), kind: AnswerKind::Receipt, received_at: at };
    let answer: Answer =
        answers::gateway_said(came, &delivery.delivery_id, None, fate, Some(at)).expect("an answer");
    codec::encode(&answer)
}

fn failed() -> Fate {
    Fate::Failed("MK:0001".into())
}

/// Runs a worker until this many receipts have moved something.
async fn moved(log: &Arc<MemLog>, gateway: &Arc<Gateway>, receipts: u64) -> Stats {
    let worker = worker(log, gateway, quick());
    let mut stats = worker.stats();
    let done = async move { drop(stats.wait_for(|s| s.receipts == receipts).await) };
    tokio::time::timeout(LIMIT, worker.run(done)).await.expect("they move it").unwrap()
}

#[tokio::test]
async fn a_receipt_moves_a_state_forward_once_and_never_back() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), new_alert("a1", 1)]);
    let gateway = Arc::new(Gateway::default());
    settle(&log, &gateway).await;
    let (no, yes) = (receipt(&log, "a1", &failed(), 1), receipt(&log, "a1", &Fate::Delivered, 2));
    // Doubled, and in the wrong order; the yes stands.
    log.put(&[no.clone(), no.clone(), yes.clone(), no, yes]);
    moved(&log, &gateway, 2).await;
    assert_eq!(of(&ledger(&log), "a1"), (DeliveryState::Delivered, ""));
    let written = log.records(topic::DELIVERIES).len();
    // How far they were read stands in the progress: nothing is looked at again.
    let stats = settle(&log, &gateway).await;
    assert_eq!((stats.receipts, log.records(topic::DELIVERIES).len(), gateway.asked()), (0, written, 1));
}

#[tokio::test]
async fn a_receipt_settles_what_nobody_saw_and_one_that_overtakes_the_outcome_waits_for_it() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), new_alert("a1", 1)]);
    let gateway = Arc::new(Gateway { gate: Some(tokio::sync::Semaphore::new(0)), ..Gateway::default() });
    let worker = worker(&log, &gateway, quick());
    let mut stats = worker.stats();
    let script = async {
        stats.wait_for(|s| s.requests == 1).await.unwrap();
        log.put(&[receipt(&log, "a1", &Fate::Delivered, 1)]);
        // A second one's, whose end shows that the first was read.
        log.put(&[contact(Role::TownshipDuty, "330784001", 1, "town")]);
        gateway.gate.as_ref().unwrap().add_permits(9);
        stats.wait_for(|s| s.receipts == 1).await.unwrap();
    };
    tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    assert_eq!(of(&ledger(&log), "a1"), (DeliveryState::Delivered, ""));
    assert_eq!(gateway.asked(), 1);
}

#[tokio::test]
async fn an_uncertain_message_is_not_asked_about_once_its_receipt_came() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), new_alert("a1", 1)]);
    let gateway = Gateway { kind: Some(Kind::Askable), ..Gateway::default() };
    gateway.drops.lock().unwrap().insert("owner".into(), 1);
    *gateway.die_at.lock().unwrap() = Some((0, true));
    let gateway = Arc::new(gateway);
    let dies = worker(&log, &gateway, quick()).run(std::future::pending());
    tokio::select! {
        ended = dies => panic!("{ended:?}"),
        () = gateway.died.notified() => {}
    }
    log.put(&[receipt(&log, "a1", &Fate::Delivered, 1)]);
    settle(&log, &gateway).await;
    assert_eq!(of(&ledger(&log), "a1"), (DeliveryState::Delivered, ""));
    assert_eq!(gateway.asked(), 1, "it is not sent again");
}

#[tokio::test]
async fn an_answer_of_a_delivery_that_nobody_knows_changes_nothing() {
    let log = MemLog::new("l");
    log.put(&[owner("owner"), new_alert("a1", 1)]);
    let gateway = Arc::new(Gateway::default());
    settle(&log, &gateway).await;
    let came = Came { gateway: "webhook".into(), kind: AnswerKind::Receipt, received_at: day().midnight() };
    let unknown = answers::gateway_said(came, "NOBODYS", None, &Fate::Delivered, None).unwrap();
    log.put(&[codec::encode(&unknown), receipt(&log, "a1", &Fate::Delivered, 1)]);
    moved(&log, &gateway, 1).await;
    assert_eq!(ledger(&log).len(), 1);
}
