//! Silences, with a restart after every step.

use tocsin_schemas::records::GovernanceEvent;

use super::quiet::{House, at, owner_of, town};
use super::*;

/// A version of the silence `s1`.
fn silence(subject: &str, version: u64, until: &str, everything: bool) -> NewRecord {
    let until = at(until);
    let details = format!("{{\"until\":\"{until}\",\"reason\":\"drill\",\"everything\":{everything}}}");
    governance("silence", subject, version, details)
}

/// A version of the event `s1`.
pub(super) fn governance(kind: &str, subject: &str, version: u64, details: String) -> NewRecord {
    let event = GovernanceEvent {
        event_id: "s1".into(),
        kind: kind.into(),
        subject: subject.into(),
        on: "2026-11-26".parse().unwrap(),
        version,
        actor: "王主任".into(),
        approver: None,
        details,
    };
    raw(encode_in(&Record::Governance(event), Encoding::SingleObject).unwrap())
}

fn raw(value: Vec<u8>) -> NewRecord {
    NewRecord {
        topic: topic::GOVERNANCE.into(),
        key: b"s1".to_vec(),
        value: Some(value),
        stamp: None,
        route: None,
    }
}

const NOON: &str = "2026-11-26 12:00";
const SILENCED: (DeliveryState, &str) = (DeliveryState::Skipped, "silenced:s1");

fn is(house: &House, id: &str, (state, reason): (DeliveryState, &str)) {
    house.is(id, state, reason);
}

#[tokio::test]
async fn what_is_silenced_ends_with_the_name_of_the_event_and_stays_so() {
    let owner = format!("owner+{}+1", uscc());
    for subject in [uscc().as_str(), "330784001", "webhook", "*", &owner] {
        let house = House::new();
        house.log.put(&[silence(subject, 1, "2026-11-27 12:00", false)]);
        let stats = house.step(NOON, owner_of("a", Change::New, Severity::Minor)).await;
        is(&house, "a", SILENCED);
        assert_eq!(stats.deliveries[&(DeliveryState::Skipped, "silenced".to_owned())], 1, "{subject}");
        assert_eq!((stats.silences, stats.silences_refused), (1, 0));
        house.step("2026-11-27 12:00", None).await;
        is(&house, "a", SILENCED);
        assert!(house.rang().is_empty(), "{subject}");
    }
}

#[tokio::test]
async fn others_are_not_silenced_and_nobody_is_after_the_end() {
    let township = "township_duty+330784001+1".to_owned();
    for subject in ["91330784XX00000203", "330784002", "aliyun_sms", &township] {
        let house = House::new();
        house.log.put(&[silence(subject, 1, "2026-11-27 12:00", false)]);
        house.step(NOON, owner_of("a", Change::New, Severity::Minor)).await;
        assert_eq!(house.rang(), ["a"], "{subject}");
    }
    let house = House::new();
    house.log.put(&[silence("*", 1, "2026-11-26 11:59", false)]);
    house.step(NOON, owner_of("a", Change::New, Severity::Minor)).await;
    assert_eq!(house.rang(), ["a"]);
}

#[tokio::test]
async fn grave_news_and_corrections_of_what_was_told_are_spared() {
    let house = House::new();
    house.step("2026-11-26 11:00", owner_of("a", Change::New, Severity::Minor)).await;
    house.log.put(&[silence("*", 1, "2026-11-27 12:00", false)]);
    house.step(NOON, town("r", Change::New, Some(Level::Red))).await;
    house.step(NOON, owner_of("b", Change::Upgraded, Severity::Severe)).await;
    house.step(NOON, owner_of("c", Change::Corrected, Severity::Severe)).await;
    assert_eq!(house.rang(), ["a", "r", "b", "c"]);
}

#[tokio::test]
async fn everything_is_everything() {
    let house = House::new();
    house.step("2026-11-26 11:00", owner_of("a", Change::New, Severity::Minor)).await;
    house.log.put(&[silence("*", 1, "2026-11-27 12:00", true)]);
    house.step(NOON, owner_of("b", Change::Upgraded, Severity::Fatal)).await;
    house.step(NOON, owner_of("c", Change::Corrected, Severity::Fatal)).await;
    is(&house, "b", SILENCED);
    is(&house, "c", SILENCED);
    assert_eq!(house.rang(), ["a"]);
}

#[tokio::test]
async fn what_was_never_told_is_not_corrected_after_the_silence() {
    let house = House::new();
    house.log.put(&[silence("*", 1, "2026-11-26 13:00", false)]);
    house.step(NOON, owner_of("a", Change::New, Severity::Minor)).await;
    house.step("2026-11-26 14:00", owner_of("b", Change::Corrected, Severity::Minor)).await;
    is(&house, "b", (DeliveryState::Skipped, "nothing_to_correct"));
}

#[tokio::test]
async fn a_further_version_ends_it_before_its_time() {
    let house = House::new();
    house.log.put(&[silence("*", 1, "2026-11-27 12:00", false)]);
    house.step(NOON, owner_of("a", Change::New, Severity::Minor)).await;
    house.log.put(&[silence("*", 2, "2026-11-26 13:00", false)]);
    // The old one once more, late.
    house.log.put(&[silence("*", 1, "2026-11-27 12:00", false)]);
    house.step("2026-11-26 14:00", town("y", Change::New, Some(Level::Yellow))).await;
    is(&house, "a", SILENCED);
    assert_eq!(house.rang(), ["y"]);
}

/// What counts is whether it is silent when it would ring: nothing is stored up for the end of a silence.
#[tokio::test]
async fn a_silence_that_comes_at_night_covers_what_is_held_for_the_morning() {
    let house = House::new();
    house.step("2026-11-26 22:00", owner_of("a", Change::New, Severity::Minor)).await;
    house.log.put(&[silence("*", 1, "2026-11-27 12:00", false)]);
    house.step("2026-11-27 08:00", None).await;
    is(&house, "a", SILENCED);
}

#[tokio::test]
async fn a_message_that_may_have_gone_out_before_the_silence_is_failed_and_corrected() {
    let house = House::new();
    let lost = Outcome::Unknown { reason: "timeout".into(), retry_after_ms: Some(600_000) };
    house.gateway.says("owner", [lost.clone(), lost]);
    let worker_dies = [Fault::None, Fault::None, Fault::None, Fault::DieBefore];
    let alert = owner_of("a", Change::New, Severity::Minor).unwrap();
    house.log.put(&[codec::encode(&Alert { decided_at: at(NOON), ..alert })]);
    house.log.faults(worker_dies);
    assert!(house.try_step(NOON).await.is_err());
    house.log.faults([]);
    house.log.put(&[silence("*", 1, "2026-11-26 13:00", false)]);
    house.step("2026-11-26 12:20", None).await;
    is(&house, "a", (DeliveryState::Failed, "silenced:s1"));
    house.step("2026-11-26 12:30", owner_of("b", Change::Corrected, Severity::Minor)).await;
    assert_eq!(house.rang(), ["b"]);
}

#[tokio::test]
async fn a_silence_that_cannot_be_read_silences_nobody_and_is_counted() {
    let wrong: [&[u8]; 2] = [
        br#"{"event_id":"s1","kind":"silence","subject":"*","on":"2026-11-26","version":1,"actor":"a","details":{"reason":"r"}}"#,
        b"{",
    ];
    for value in wrong {
        let house = House::new();
        house.log.put(&[raw(value.to_vec())]);
        let stats = house.step(NOON, owner_of("a", Change::New, Severity::Minor)).await;
        assert_eq!((house.rang(), stats.silences_refused), (vec!["a".to_owned()], 1));
    }
}

/// Read by a worker that is running, not only by one that starts.
#[tokio::test]
async fn a_running_worker_learns_of_a_silence_before_the_alert_that_comes_after_it() {
    let house = House::new();
    let worker = house.worker(at(NOON));
    let (mut stats, mut seen) = (worker.stats(), worker.stats());
    let log = Arc::clone(&house.log);
    let script = async move {
        let first = owner_of("a", Change::New, Severity::Minor).unwrap();
        log.put(&[codec::encode(&Alert { decided_at: at(NOON), ..first })]);
        stats.wait_for(|s| s.in_state(DeliveryState::Accepted) == 1).await.unwrap();
        log.put(&[silence("*", 1, "2026-11-27 12:00", false)]);
        let second = town("y", Change::New, Some(Level::Yellow)).unwrap();
        log.put(&[codec::encode(&Alert { decided_at: at(NOON), ..second })]);
        seen.wait_for(|s| s.in_state(DeliveryState::Skipped) == 1).await.unwrap();
    };
    tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    is(&house, "y", SILENCED);
}
