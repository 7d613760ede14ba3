//! What persons answer, and what follows when nobody does. Each step is a run of a worker of its own: a restart lies
//! between any two of them.

use tocsin_schemas::codes::{AnswerKind, Says};

use super::quiet::{House, at, owner_of, town};
use super::*;
use crate::answers::{self, Came};
use crate::plan::next::Awaits;

const AREA: &str = "330784001";

/// A township with two officers, the city behind it, an owner, and answers that come.
fn house() -> House {
    let mut house = House::new();
    house.settings.awaits = Some(Awaits::default());
    house.log.put(&[
        ranked(Role::TownshipDuty, AREA, 2, 1, "town2"),
        contact(Role::EmergencyDuty, "330784", 1, "city"),
    ]);
    house
}

/// The last state of the delivery of this alert to this address.
fn to(house: &House, alert: &str, address: &str) -> Delivery {
    let asked: Vec<String> = house
        .gateway
        .asked
        .lock()
        .unwrap()
        .iter()
        .filter(|m| m.alert_id == alert && m.to == address)
        .map(|m| m.idempotency_key.clone())
        .collect();
    let all = house.log.records(topic::DELIVERIES);
    let mut all = all.iter().map(|r| codec::decode::<Delivery>(r, r.value.as_deref().unwrap()).unwrap());
    all.rfind(|d| asked.contains(&d.delivery_id)).expect("it was sent")
}

/// A press on the page behind a link.
fn pressed(house: &House, alert: &str, address: &str, says: Says, when: &str) -> NewRecord {
    let came = Came { gateway: "webhook".into(), kind: AnswerKind::Link, received_at: at(when) };
    let id = to(house, alert, address).delivery_id;
    codec::encode(&answers::person_said(came, &id, says, None))
}

/// An SMS from this address.
fn replied(house: &House, alert: &str, address: &str, text: &str, when: &str) -> NewRecord {
    let came = Came { gateway: "webhook".into(), kind: AnswerKind::Reply, received_at: at(when) };
    let phone = to(house, alert, address).phone_hash.unwrap();
    codec::encode(&answers::replied(came, phone, text, None))
}

impl House {
    /// These answers come, and a worker runs until so many have moved something and nothing is left to do.
    async fn hears(&self, now: &str, answers: &[NewRecord], moved: u64) -> Stats {
        self.log.put(answers);
        let worker = self.worker(at(now));
        let (mut stats, ends) = (worker.stats(), ends(&self.log));
        let done = async move { drop(stats.wait_for(|s| s.answers == moved && s.settled(&ends)).await) };
        tokio::time::timeout(LIMIT, worker.run(done)).await.expect("they move it").unwrap()
    }
    fn whom(&self) -> Vec<String> {
        self.gateway.rung.lock().unwrap().iter().map(|m| m.to.clone()).collect()
    }
}

#[tokio::test]
async fn a_warning_without_an_answer_goes_up_rank_by_rank_and_an_answer_ends_it() {
    let house = house();
    let stats = house.step("2026-11-26 10:00", town("y", Change::New, Some(Level::Yellow))).await;
    assert_eq!((house.whom(), stats.awaiting), (vec!["town".to_owned()], 1));
    assert!(stats.progress != ends(&house.log), "it is held back until somebody answers");
    house.step("2026-11-27 09:30", None).await;
    assert_eq!(house.whom().len(), 1);
    house.step("2026-11-27 10:00", None).await;
    house.step("2026-11-27 10:00", None).await;
    assert_eq!(house.whom(), ["town", "town2"], "once, whatever restarts");
    house.step("2026-11-28 10:00", None).await;
    assert_eq!(house.whom(), ["town", "town2", "city"]);
    // The first one's, late, twice, and as a claim afterwards.
    let yes = replied(&house, "y", "town", "收到", "2026-11-28 10:05");
    let stats = house.hears("2026-11-28 10:06", &[yes.clone(), yes], 1).await;
    assert_eq!(stats.deliveries[&(DeliveryState::Delivered, "acknowledged".to_owned())], 1);
    assert_eq!(to(&house, "y", "town").reason.as_deref(), Some("acknowledged"));
    let stats = house.step("2026-12-20 10:00", None).await;
    assert_eq!((house.whom().len(), stats.awaiting, stats.progress == ends(&house.log)), (3, 0, true));
}

#[tokio::test]
async fn an_answer_stops_what_is_still_planned_for_another() {
    let house = house();
    // The second officer is due at 22:00, when people sleep, and held until the morning.
    house.step("2026-11-26 20:59", town("y", Change::New, Some(Level::Yellow))).await;
    house.step("2026-11-27 21:30", None).await;
    assert_eq!(house.whom(), ["town"]);
    house.is_held("y", "quiet_hours", "2026-11-28 08:00");
    let yes = pressed(&house, "y", "town", Says::Acknowledged, "2026-11-27 23:00");
    house.hears("2026-11-27 23:00", &[yes], 1).await;
    let stopped = || {
        house.log.records(topic::DELIVERIES).iter().any(|r| {
            let d: Delivery = codec::decode(r, r.value.as_deref().unwrap()).unwrap();
            (d.state, d.reason.as_deref()) == (DeliveryState::Skipped, Some("answered"))
        })
    };
    house.step("2026-11-28 08:00", None).await;
    assert!(stopped());
    let stats = house.step("2026-11-30 09:00", None).await;
    assert_eq!((house.whom(), stats.open), (vec!["town".to_owned()], 0));
}

#[tokio::test]
async fn a_reply_counts_for_the_last_message_before_it_or_for_the_one_whose_number_it_quotes() {
    let house = house();
    house.step("2026-11-26 10:00", owner_of("d1", Change::New, Severity::Fatal)).await;
    let second = about(
        2,
        Alert { decided_at: at("2026-11-26 10:10"), ..owner_alert("d2", Change::New, Severity::Fatal) },
    );
    house.log.put(&[second]);
    house.step("2026-11-26 10:10", None).await;
    let early = replied(&house, "d1", "owner", "1", "2026-11-26 10:05");
    house.hears("2026-11-26 10:11", &[early], 1).await;
    assert_eq!(to(&house, "d1", "owner").state, DeliveryState::Delivered);
    assert_eq!(to(&house, "d2", "owner").state, DeliveryState::Accepted, "not yet sent when it was written");
    let number = to(&house, "d2", "owner").slots["id"].clone();
    let quoting = replied(&house, "d2", "owner", &format!("收到 {number}"), "2026-11-26 10:20");
    house.hears("2026-11-26 10:21", &[quoting], 1).await;
    assert_eq!(to(&house, "d2", "owner").reason.as_deref(), Some("acknowledged"));
    // Words that are not understood are no answer.
    let stats = house.step("2026-11-26 13:00", None).await;
    assert_eq!(stats.awaiting, 0);
}

#[tokio::test]
async fn not_ours_goes_on_to_the_next_at_once_and_the_address_is_left_alone() {
    let house = house();
    house.log.put(&[ranked(Role::Owner, uscc().as_str(), 2, 1, "partner")]);
    house.step("2026-11-26 10:00", owner_of("a1", Change::New, Severity::Minor)).await;
    let stats = house.step("2026-11-26 10:40", None).await;
    assert!(stats.progress == ends(&house.log), "a minor one asks for no answer");
    house.step("2026-11-26 11:00", owner_of("d1", Change::Upgraded, Severity::Fatal)).await;
    let no = replied(&house, "d1", "owner", "不是我单位", "2026-11-26 11:05");
    house.hears("2026-11-26 11:06", &[no], 1).await;
    house.step("2026-11-26 11:06", None).await;
    assert_eq!(house.whom(), ["owner", "owner", "partner"]);
    let later = about(
        2,
        Alert { decided_at: at("2026-11-26 12:00"), ..owner_alert("a2", Change::New, Severity::Minor) },
    );
    house.log.put(&[later]);
    house.step("2026-11-26 12:00", None).await;
    assert_eq!(house.whom().last().unwrap(), "partner");
}

#[tokio::test]
async fn a_reply_is_never_taken_for_a_message_that_certainly_did_not_go_out() {
    let mut house = house();
    house.settings.retry.first_delay_ms = 3_600_000;
    house.settings.retry.max_delay_ms = 3_600_000;
    house.step("2026-11-26 10:00", owner_of("d1", Change::New, Severity::Fatal)).await;
    let busy = Outcome::Transient { reason: "http_429".into(), retry_after_ms: None };
    house.gateway.says("owner", [busy]);
    let second =
        Alert { decided_at: at("2026-11-26 10:05"), ..owner_alert("d2", Change::New, Severity::Fatal) };
    house.log.put(&[about(2, second)]);
    let worker = house.worker(at("2026-11-26 10:05"));
    let mut stats = worker.stats();
    let tried = async move { drop(stats.wait_for(|s| s.next_due.is_some()).await) };
    tokio::time::timeout(LIMIT, worker.run(tried)).await.expect("it is tried").unwrap();
    let yes = replied(&house, "d1", "owner", "收到", "2026-11-26 10:06");
    house.log.put(&[yes]);
    let worker = house.worker(at("2026-11-26 10:06"));
    let mut stats = worker.stats();
    let moved = async move { drop(stats.wait_for(|s| s.answers == 1).await) };
    tokio::time::timeout(LIMIT, worker.run(moved)).await.expect("it moves").unwrap();
    assert_eq!(to(&house, "d1", "owner").reason.as_deref(), Some("acknowledged"));
    assert_eq!(to(&house, "d2", "owner").state, DeliveryState::Planned);
    house.step("2026-11-26 11:30", None).await;
    assert_eq!(to(&house, "d2", "owner").state, DeliveryState::Accepted, "it rings in the end");
}

#[tokio::test]
async fn a_log_that_cannot_say_how_far_it_is_written_keeps_answers_waiting_and_ends_nothing() {
    let house = house();
    house.step("2026-11-26 10:00", town("y", Change::New, Some(Level::Yellow))).await;
    let answer = pressed(&house, "y", "town", Says::Acknowledged, "2026-11-26 10:05");
    let worker = house.worker(at("2026-11-26 10:06"));
    let (mut stats, ends) = (worker.stats(), ends(&house.log));
    let log = Arc::clone(&house.log);
    let script = async move {
        // What a start asks for must not meet this.
        stats.wait_for(|s| s.settled(&ends) && s.senders == 3).await.unwrap();
        let unable = || LogError::Retry { what: "look up", why: "a test".into() };
        log.no_written(std::iter::repeat_with(unable).take(4));
        log.put(&[answer]);
        stats.wait_for(|s| s.answers == 1 && s.settled(&ends)).await.unwrap();
        assert_eq!(log.unwritten(), 0);
    };
    tokio::time::timeout(LIMIT, worker.run(script)).await.expect("it is heard").unwrap();
}
