//! What a township reads in the morning, and what it hears at once. Each step is a run of a worker of its own.

use tocsin_schemas::codes::Reason;

use super::quiet::{House, at, town};
use super::*;
use crate::quota;

fn house() -> House {
    let mut house = House::new();
    house.settings.mornings = true;
    house
}

fn of(case: u32, change: Change, severity: Severity, decided: &str) -> NewRecord {
    let revision = if change == Change::New { 1 } else { 2 };
    let alert = owner_alert(&format!("{change}{case:02}"), change, severity);
    about(case, Alert { decided_at: at(decided), revision, ..alert })
}

/// What the township's phone read, in order.
fn read(house: &House) -> Vec<String> {
    let rung = house.gateway.rung.lock().unwrap();
    rung.iter().filter(|m| m.to == "town").map(|m| m.text.clone()).collect()
}

/// The digests, by the day on which they go out: state, how many they say, how many name them.
fn lists(house: &House) -> Vec<(String, DeliveryState, i64, usize)> {
    let all = house.log.records(topic::DELIVERIES);
    let all = all.iter().map(|r| codec::decode::<Delivery>(r, r.value.as_deref().unwrap()).unwrap());
    let last: BTreeMap<String, Delivery> = all.map(|d| (d.delivery_id.clone(), d)).collect();
    let named = |id: &str| {
        let reason = format!("in_digest:{id}");
        last.values().filter(|d| d.reason.as_deref() == Some(&reason)).count()
    };
    let digests = last.values().filter(|d| quota::is_digest(d));
    let mut lists: Vec<_> =
        digests.map(|d| (d.case_no.clone(), d.state, quota::count(d), named(&d.delivery_id))).collect();
    lists.sort();
    lists
}

#[tokio::test]
async fn a_township_reads_the_new_incidents_of_its_area_at_half_past_eight_in_one_message() {
    let house = house();
    // Thursday; one in the night after.
    house.log.put(&[
        of(1, Change::New, Severity::Minor, "2026-11-26 10:00"),
        of(2, Change::New, Severity::Minor, "2026-11-26 10:00"),
    ]);
    let stats = house.step("2026-11-26 10:00", None).await;
    assert_eq!((house.rang().len(), stats.open, stats.held), (2, 1, 1), "the owners; the list waits");
    house.step("2026-11-26 11:00", town("blue", Change::New, Some(Level::Blue))).await;
    house.log.put(&[of(3, Change::New, Severity::Minor, "2026-11-26 23:00")]);
    house.step("2026-11-26 23:00", None).await;
    assert!(read(&house).is_empty());
    house.step("2026-11-27 08:00", None).await;
    assert!(read(&house).is_empty(), "the owner of the night is told, the township not yet");
    house.step("2026-11-27 08:30", None).await;
    let [list] = &read(&house)[..] else { panic!("one message") };
    assert!(list.contains("东城街道") && list.contains("共4条"), "{list}");
    assert_eq!(lists(&house), [("D261127".to_owned(), DeliveryState::Accepted, 4, 4)]);
    let stats = house.step("2026-12-20 10:00", None).await;
    assert!(stats.progress == ends(&house.log) && read(&house).len() == 1);
}

#[tokio::test]
async fn what_is_yellow_or_severe_is_told_at_once_and_what_a_new_policy_opens_in_the_list() {
    let house = house();
    house.log.put(&[of(1, Change::New, Severity::Severe, "2026-11-26 10:00")]);
    house.step("2026-11-26 10:00", None).await;
    assert!(read(&house).is_empty(), "a severe one is an escalation of its own");
    house.step("2026-11-26 10:10", town("yellow", Change::New, Some(Level::Yellow))).await;
    assert_eq!(read(&house).len(), 1);
    for n in 0..5_u32 {
        let alert = Alert {
            reason: Some(Reason::Policy),
            ..town(&format!("p{n}"), Change::New, Some(Level::Orange)).unwrap()
        };
        house.log.put(&[about(50 + n, Alert { decided_at: at("2026-11-26 11:00"), ..alert })]);
    }
    house.step("2026-11-26 11:00", None).await;
    assert_eq!(read(&house).len(), 1);
    // Friday morning: one message of five.
    house.step("2026-11-27 08:30", None).await;
    assert_eq!(lists(&house), [("D261127".to_owned(), DeliveryState::Accepted, 5, 5)]);
    assert_eq!(read(&house).len(), 2);
}

#[tokio::test]
async fn what_is_withdrawn_before_the_list_is_not_in_it_and_after_it_stands_in_the_next() {
    let house = house();
    house.log.put(&[
        of(1, Change::New, Severity::Minor, "2026-11-26 10:00"),
        of(2, Change::New, Severity::Minor, "2026-11-26 10:00"),
        of(3, Change::New, Severity::Minor, "2026-11-26 10:00"),
    ]);
    house.step("2026-11-26 10:00", None).await;
    house.log.put(&[of(2, Change::Corrected, Severity::Minor, "2026-11-26 12:00")]);
    house.step("2026-11-26 12:00", None).await;
    house.step("2026-11-27 08:30", None).await;
    assert_eq!(lists(&house), [("D261127".to_owned(), DeliveryState::Accepted, 2, 2)]);
    house.log.put(&[of(1, Change::Corrected, Severity::Minor, "2026-11-27 09:00")]);
    house.step("2026-11-27 09:00", None).await;
    // Friday's goes out on Monday.
    house.step("2026-11-29 12:00", None).await;
    assert_eq!(read(&house).len(), 1);
    house.step("2026-11-30 08:30", None).await;
    let lists = lists(&house);
    assert_eq!(lists.last(), Some(&("D261130".to_owned(), DeliveryState::Accepted, 1, 1)));
    assert_eq!((lists.len(), read(&house).len()), (2, 2));
    assert_eq!(read(&house)[1].matches("共1条").count(), 1);
}
