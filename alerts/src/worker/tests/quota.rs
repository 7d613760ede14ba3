//! More messages than a phone may get. Each step is a run of a worker of its own.

use super::quiet::{House, at, owner_of};
use super::*;
use crate::quota;

/// Every delivery's last state.
fn last(log: &MemLog) -> BTreeMap<String, Delivery> {
    let all = log.records(topic::DELIVERIES);
    let all = all.iter().map(|r| codec::decode::<Delivery>(r, r.value.as_deref().unwrap()).unwrap());
    all.map(|d| (d.delivery_id.clone(), d)).collect()
}

/// The digests, and for each how many deliveries name it.
fn digests(log: &MemLog) -> Vec<(Delivery, i64)> {
    let last = last(log);
    let names = |id: &str| {
        let reason = format!("in_digest:{id}");
        last.values().filter(|d| d.reason.as_deref() == Some(&reason)).count() as i64
    };
    last.values().filter(|d| quota::is_digest(d)).map(|d| (d.clone(), names(&d.delivery_id))).collect()
}

fn house() -> House {
    let mut house = House::new();
    house.settings.per_phone_a_day = Some(2);
    house
}

/// A new minor incident of this case.
fn minor(case: u32, decided: &str) -> NewRecord {
    let mut alert = owner_alert(&format!("m{case:05}"), Change::New, Severity::Minor);
    alert.decided_at = at(decided);
    alert.audiences[0].year_to_date = Some(case);
    about(case, alert)
}

#[tokio::test]
async fn a_burst_of_ten_thousand_is_one_message_one_death_and_a_digest_that_adds_up() {
    let house = house();
    let burst: Vec<NewRecord> = (1..=10_000).map(|case| minor(case, "2026-11-26 10:00")).collect();
    house.log.put(&burst);
    let stats = house.step("2026-11-26 10:00", None).await;
    assert_eq!(house.rang(), ["m00001"]);
    assert_eq!((stats.open, stats.held), (1, 1), "the digest waits for its day");
    let [(digest, named)] = &digests(&house.log)[..] else { panic!("one digest") };
    assert_eq!((quota::count(digest), *named), (9_999, 9_999));
    assert_eq!(digest.due_at, Some(at("2026-11-27 08:00")));
    // The slot that was kept.
    house.step("2026-11-26 11:00", owner_of("death", Change::New, Severity::Fatal)).await;
    assert_eq!(house.rang(), ["m00001", "death"]);
    house.step("2026-11-27 07:30", None).await;
    assert_eq!(house.rang().len(), 2);
    house.step("2026-11-27 08:00", None).await;
    let texts: Vec<String> = house.gateway.rung.lock().unwrap().iter().map(|m| m.text.clone()).collect();
    assert_eq!(texts.len(), 3);
    assert!(texts[2].contains("另有9999起") && texts[2].contains("本年累计999+起"), "{}", texts[2]);
    let stats = house.step("2026-11-28 12:00", None).await;
    assert_eq!((house.rang().len(), stats.open), (3, 0));
    assert!(stats.progress == ends(&house.log), "nothing is left to do");
}

#[tokio::test]
async fn a_day_with_room_again_begins_anew_and_the_digest_takes_a_slot_of_it() {
    let house = house();
    house.log.put(&[minor(1, "2026-11-26 10:00"), minor(2, "2026-11-26 10:00")]);
    house.step("2026-11-26 10:00", None).await;
    house.step("2026-11-27 08:00", None).await;
    assert_eq!(house.rang(), ["m00001", "m00002"], "the digest of one carries its first alert");
    // The other slot is kept, so the next joins another digest, of another day.
    house.log.put(&[minor(3, "2026-11-27 10:00")]);
    house.step("2026-11-27 10:00", None).await;
    let all = digests(&house.log);
    let mut due: Vec<_> = all.iter().map(|(d, named)| (d.case_no.as_str(), d.state, *named)).collect();
    due.sort();
    assert_eq!(due, [("D261127", DeliveryState::Accepted, 1), ("D261128", DeliveryState::Planned, 1)]);
}

#[tokio::test]
async fn who_leaves_a_digest_before_it_goes_out_is_not_counted_in_it() {
    let house = house();
    house.log.put(&[
        minor(1, "2026-11-26 10:00"),
        minor(2, "2026-11-26 10:00"),
        minor(3, "2026-11-26 10:00"),
    ]);
    house.step("2026-11-26 10:00", None).await;
    let follows = |case: u32, id: &str, change, severity| {
        let mut alert = owner_alert(id, change, severity);
        alert.decided_at = at("2026-11-26 11:00");
        alert.revision = 2;
        about(case, alert)
    };
    // One was wrong, and nobody has heard of it; of the other somebody has died, and that is said at once.
    house.log.put(&[follows(2, "c2", Change::Corrected, Severity::Minor)]);
    house.step("2026-11-26 11:00", None).await;
    house.is("c2", DeliveryState::Skipped, "nothing_to_correct");
    house.is("m00002", DeliveryState::Skipped, "superseded");
    let [(digest, named)] = &digests(&house.log)[..] else { panic!("one digest") };
    assert_eq!((quota::count(digest), *named), (1, 1));
    house.log.put(&[follows(3, "u3", Change::Upgraded, Severity::Fatal)]);
    house.step("2026-11-26 11:30", None).await;
    assert_eq!(house.rang(), ["m00001", "u3"]);
    let [(digest, named)] = &digests(&house.log)[..] else { panic!("one digest") };
    assert_eq!((digest.state, *named), (DeliveryState::Skipped, 0), "nothing is left to say");
    house.step("2026-11-27 08:00", None).await;
    assert_eq!(house.rang().len(), 2);
}

#[tokio::test]
async fn what_a_digest_told_is_corrected() {
    let house = house();
    house.log.put(&[minor(1, "2026-11-26 10:00"), minor(2, "2026-11-26 10:00")]);
    house.step("2026-11-26 10:00", None).await;
    house.step("2026-11-27 08:00", None).await;
    let mut corrected = owner_alert("c2", Change::Corrected, Severity::Minor);
    (corrected.decided_at, corrected.revision) = (at("2026-11-27 09:00"), 2);
    house.log.put(&[about(2, corrected)]);
    house.step("2026-11-27 09:00", None).await;
    assert_eq!(house.rang(), ["m00001", "m00002", "c2"]);
}

#[tokio::test]
async fn a_digest_names_the_newest_that_remains_and_the_count_that_is_left() {
    let house = house();
    house.log.put(&[1, 2, 3].map(|case| minor(case, &format!("2026-11-26 10:0{case}"))));
    house.step("2026-11-26 10:05", None).await;
    let mut wrong = owner_alert("c3", Change::Corrected, Severity::Minor);
    (wrong.decided_at, wrong.revision) = (at("2026-11-26 11:00"), 2);
    wrong.audiences[0].year_to_date = Some(2);
    house.log.put(&[about(3, wrong)]);
    // By another worker, which has read all this back.
    house.step("2026-11-26 11:00", None).await;
    house.step("2026-11-27 08:00", None).await;
    let rung = house.gateway.rung.lock().unwrap();
    let text = &rung.last().unwrap().text;
    let says = format!("另有1起工伤信息未逐条发送，本年累计2起，最近编号{}", IncidentId(2));
    assert!(text.contains(&says), "{text}");
}

#[tokio::test]
async fn a_kill_at_any_append_leaves_one_digest_whose_sum_is_right() {
    for append in 0..8 {
        for fault in [Fault::DieBefore, Fault::DieAfter] {
            let house = house();
            let burst: Vec<NewRecord> = (1..=6).map(|case| minor(case, "2026-11-26 10:00")).collect();
            house.log.put(&burst);
            house.log.faults(std::iter::repeat_n(Fault::None, append).chain([fault]));
            let _ = house.try_step("2026-11-26 10:00").await;
            house.log.faults([]);
            house.step("2026-11-26 10:01", None).await;
            house.step("2026-11-27 08:00", None).await;
            let what = format!("{fault:?} at {append}");
            let [(digest, named)] = &digests(&house.log)[..] else { panic!("{what}: one digest") };
            assert_eq!(
                (quota::count(digest), *named, digest.state),
                (5, 5, DeliveryState::Accepted),
                "{what}"
            );
            assert_eq!(house.rang().len(), 2, "{what}");
        }
    }
}

#[tokio::test]
async fn a_reduction_leaves_the_message_in_its_digest_and_a_correction_at_night_takes_it_out() {
    let house = house();
    house.log.put(&[
        minor(1, "2026-11-26 10:00"),
        minor(2, "2026-11-26 10:00"),
        minor(3, "2026-11-26 10:00"),
    ]);
    house.step("2026-11-26 10:00", None).await;
    let follows = |case: u32, id: &str, change, decided: &str| {
        let mut alert = owner_alert(id, change, Severity::Minor);
        (alert.decided_at, alert.revision) = (at(decided), 2);
        about(case, alert)
    };
    // Less grave than was known: the digest still tells of it.
    house.log.put(&[follows(3, "d3", Change::Downgraded, "2026-11-26 11:00")]);
    house.step("2026-11-26 11:00", None).await;
    house.is("d3", DeliveryState::Skipped, "nothing_to_correct");
    assert!(house.state("m00003").1.starts_with("in_digest:"));
    // Wrong after all, found when people sleep: the morning's digest does not count it.
    house.log.put(&[follows(2, "c2", Change::Corrected, "2026-11-26 23:00")]);
    house.step("2026-11-26 23:00", None).await;
    house.step("2026-11-27 08:00", None).await;
    house.is("c2", DeliveryState::Skipped, "nothing_to_correct");
    let [(digest, named)] = &digests(&house.log)[..] else { panic!("one digest") };
    assert_eq!((quota::count(digest), *named, digest.state), (1, 1, DeliveryState::Accepted));
    assert_eq!(house.rang().len(), 2);
}

#[tokio::test]
async fn a_digest_that_may_have_rung_is_left_by_nobody() {
    let house = house();
    house.log.put(&[minor(1, "2026-11-26 10:00"), minor(2, "2026-11-26 10:00")]);
    house.step("2026-11-26 10:00", None).await;
    // It rang, and the answer was lost; it is asked again much later.
    let later = Outcome::Unknown { reason: "timeout".into(), retry_after_ms: Some(3_600_000) };
    house.gateway.says("owner", [later]);
    let worker = house.worker(at("2026-11-27 08:00"));
    let mut stats = worker.stats();
    let script = async move { drop(stats.wait_for(|s| s.next_due > Some(at("2026-11-27 08:30"))).await) };
    tokio::time::timeout(LIMIT, worker.run(script)).await.unwrap().unwrap();
    let mut corrected = owner_alert("c2", Change::Corrected, Severity::Minor);
    (corrected.decided_at, corrected.revision) = (at("2026-11-27 08:20"), 2);
    house.log.put(&[about(2, corrected)]);
    house.step("2026-11-27 09:30", None).await;
    assert_eq!(house.rang().last().unwrap(), "c2", "who may have been told hears the correction");
    assert_eq!(digests(&house.log)[0].1, 1, "it is still named");
}

#[tokio::test]
async fn who_was_on_duty_when_it_rang_hears_the_correction_though_the_duty_is_over() {
    let house = House::new();
    let on_duty = |to: &str| {
        let contact = Contact {
            role: Role::Owner,
            subject: uscc().to_string(),
            rank: 1,
            name: "甲".into(),
            phone: Some("owner".into()),
            addresses: BTreeMap::new(),
            valid_from: None,
            valid_to: Some(to.parse().unwrap()),
            verified_on: None,
            version: 2,
        };
        NewRecord {
            topic: topic::CONTACTS.into(),
            key: format!("{}|{}|1", Role::Owner, uscc()).into_bytes(),
            value: Some(encode_in(&Record::Contact(contact), Encoding::SingleObject).unwrap()),
            stamp: None,
            route: None,
        }
    };
    house.log.put(&[on_duty("2026-11-26")]);
    house.step("2026-11-26 10:00", owner_of("a", Change::New, Severity::Minor)).await;
    house.step("2026-11-27 10:00", owner_of("c", Change::Corrected, Severity::Minor)).await;
    assert_eq!(house.rang(), ["a", "c"]);
}

#[tokio::test]
async fn a_correction_is_heard_though_a_second_message_of_its_case_leaves_a_digest_unheard() {
    let house = house();
    house.log.put(&[minor(1, "2026-11-26 10:00")]);
    house.step("2026-11-26 10:00", None).await;
    // The same case once more, over the quota; then it is all wrong.
    let of = |id: &str, revision: u32, change: Change, decided: &str| {
        let alert = owner_alert(id, change, Severity::Minor);
        about(1, Alert { decided_at: at(decided), revision, ..alert })
    };
    house.log.put(&[of("again", 2, Change::New, "2026-11-26 11:00")]);
    house.step("2026-11-26 11:00", None).await;
    assert_eq!(digests(&house.log)[0].1, 1, "it is in a digest");
    house.log.put(&[of("wrong", 3, Change::Corrected, "2026-11-26 12:00")]);
    house.step("2026-11-26 12:00", None).await;
    assert_eq!(house.rang(), ["m00001", "wrong"]);
    let [(digest, named)] = &digests(&house.log)[..] else { panic!("one digest") };
    assert_eq!((digest.state, *named), (DeliveryState::Skipped, 0));
}

#[tokio::test]
async fn a_township_over_its_quota_hears_of_owners_that_have_nobody_in_words_of_its_own() {
    let house = House { log: MemLog::new("l"), ..house() };
    house.log.put(&[contact(Role::TownshipDuty, "330784001", 1, "town")]);
    house.log.put(&[1, 2, 3].map(|case| minor(case, "2026-11-26 10:00")));
    house.step("2026-11-26 10:00", None).await;
    house.step("2026-11-27 08:00", None).await;
    let [(digest, named)] = &digests(&house.log)[..] else { panic!("one digest") };
    assert_eq!((quota::count(digest), *named, digest.state), (2, 2, DeliveryState::Accepted));
    let texts: Vec<String> = house.gateway.rung.lock().unwrap().iter().map(|m| m.text.clone()).collect();
    assert_eq!(texts.len(), 2);
    assert!(texts[0].contains("请上门告知"), "{}", texts[0]);
    assert!(texts[1].contains("另有2条预警未逐条发送"), "{}", texts[1]);
}
