//! Who is told next, against what has come of those before. Expected by hand from the table of the module's page.

use tocsin_schemas::codes::{Change, Level, Severity};
use tocsin_schemas::records::{Delivery, DeliveryState};

use super::super::tests::{AREA, House, NOW, followed, new_alert, who};
use super::*;
use crate::fixtures::{audience, escalation, owner_alert, uscc};

const HOUR: i64 = 3_600_000;
const CITY: &str = "330784";

/// A house to which answers and receipts come.
fn house(channels: &[&'static str]) -> House {
    House { awaits: Some(Awaits::default()), ..House::new(channels) }
}

fn sent(delivery: &Delivery, at: Instant) -> Delivery {
    Delivery { sent_at: Some(at), contact_version: Some(1), ..delivery.clone() }
}

fn yellow() -> Alert {
    escalation(Change::New, Some(Level::Yellow), 3)
}

#[test]
fn a_warning_that_nobody_answers_goes_to_the_next_rank_and_then_to_the_city_each_once() {
    let mut house = house(&["webhook"]);
    house.knows(Role::TownshipDuty, AREA, 1, "t1");
    house.knows(Role::TownshipDuty, AREA, 2, "t2");
    house.knows(Role::EmergencyDuty, "330999", 1, "another city");
    house.knows(Role::EmergencyDuty, CITY, 1, "e1");
    let alert = yellow();
    let mut last = house.tell(&alert).remove(0);
    let mut asked = Vec::new();
    loop {
        let at = house.now;
        house.ends(&sent(&last, at), DeliveryState::Accepted, "");
        let until = at.plus_millis(24 * HOUR);
        assert_eq!(house.further(&alert), Further::Wait(Some(until)));
        house.now = until;
        let Some((whom, _, next)) = house.next(&alert) else { break };
        asked.push(whom);
        last = next;
    }
    assert_eq!(asked, ["township_duty+2", "emergency_duty+1"]);
    assert_eq!((last.subject.as_str(), last.contact_subject.as_deref()), (AREA, Some(CITY)));
    // Whoever is told of the alert anyway is not asked in another's place.
    let mut red = yellow();
    red.audiences.push(audience(Role::EmergencyDuty, CITY));
    house.now = NOW;
    let first = house.tell(&Alert { alert_id: "e2".into(), ..red.clone() }).remove(0);
    let red = Alert { alert_id: "e2".into(), ..red };
    house.ends(&sent(&first, NOW), DeliveryState::Accepted, "");
    house.now = NOW.plus_millis(24 * HOUR);
    let second = house.next(&red).unwrap().2;
    house.ends(&sent(&second, house.now), DeliveryState::Accepted, "");
    house.now = house.now.plus_millis(24 * HOUR);
    assert_eq!(house.further(&red), Further::Done);
}

#[test]
fn an_answer_ends_the_asking_whenever_it_comes_and_whoever_gives_it() {
    for says in ["acknowledged", "withdrawn_claim"] {
        for late in [false, true] {
            let mut house = house(&["webhook"]);
            house.knows(Role::TownshipDuty, AREA, 1, "t1");
            house.knows(Role::TownshipDuty, AREA, 2, "t2");
            let alert = yellow();
            let first = sent(&house.tell(&alert)[0], NOW);
            house.ends(&first, DeliveryState::Accepted, "");
            let mut second = None;
            if late {
                house.now = NOW.plus_millis(24 * HOUR);
                second = house.next(&alert).map(|(.., d)| d);
            }
            house.ends(&first, DeliveryState::Delivered, says);
            let answered = house.told.answered(ShareKey::new(&alert, &alert.audiences[0]));
            assert_eq!(answered.map(|s| s.as_str()), Some(says));
            match second {
                // It is stopped where it is sent; until then it is under way.
                Some(second) => {
                    assert_eq!(house.further(&alert), Further::Wait(None));
                    house.ends(&second, DeliveryState::Skipped, "answered");
                }
                None => house.now = NOW.plus_millis(90 * HOUR),
            }
            assert_eq!(house.further(&alert), Further::Done, "{says} {late}");
        }
    }
}

#[test]
fn an_owners_minor_accident_asks_for_no_answer_and_a_death_goes_on_to_the_township() {
    let mut house = house(&["webhook"]);
    house.owner(1, "o1");
    house.knows(Role::SafetyOfficer, uscc().as_str(), 1, "s1");
    house.knows(Role::TownshipDuty, AREA, 1, "t1");
    let first = sent(&house.tell(&new_alert())[0], NOW);
    house.ends(&first, DeliveryState::Accepted, "");
    house.now = NOW.plus_millis(HOUR);
    assert_eq!(house.further(&new_alert()), Further::Done);
    let death = owner_alert("a2", Change::New, Severity::Fatal);
    let mut last = house.tell(&death).remove(0);
    let mut asked = Vec::new();
    for _ in 0..2 {
        house.ends(&sent(&last, house.now), DeliveryState::Accepted, "");
        house.now = house.now.plus_millis(2 * HOUR);
        let (whom, _, next) = house.next(&death).unwrap();
        asked.push((whom, next.template.clone()));
        last = next;
    }
    let expected = [("safety_officer+1", "T2"), ("township_duty+1", "T15")];
    assert_eq!(asked, expected.map(|(whom, text)| (whom.to_owned(), text.to_owned())));
}

#[test]
fn a_death_of_which_the_gateway_cannot_say_whether_it_came_goes_on_when_nobody_answers() {
    let mut house = house(&["tencent"]);
    house.owner(1, "o1");
    house.knows(Role::SafetyOfficer, uscc().as_str(), 1, "s1");
    let death = owner_alert("a2", Change::New, Severity::Fatal);
    let first = sent(&house.tell(&death)[0], NOW);
    let until = NOW.plus_millis(2 * HOUR);
    let asked = Delivery { uncertain: true, ..first.clone() };
    house.ends(&asked, DeliveryState::Uncertain, "unknown:timeout");
    // Not to somebody else as well before that.
    assert_eq!(house.further(&death), Further::Wait(Some(until)));
    house.now = until;
    let (whom, _, second) = house.next(&death).unwrap();
    assert_eq!(whom, "safety_officer+1");
    house.ends(&sent(&second, until), DeliveryState::Accepted, "");
    house.now = until.plus_millis(2 * HOUR);
    assert_eq!(
        house.further(&death),
        Further::Wait(None),
        "nobody is left, and the first is still asked about"
    );
    // It came after all, and somebody answers: nothing more is due.
    house.ends(&asked, DeliveryState::Delivered, "acknowledged");
    assert_eq!(house.further(&death), Further::Done);
    // Where no answer is due it is waited for.
    let first = sent(&house.tell(&new_alert())[0], house.now);
    house.ends(&Delivery { uncertain: true, ..first }, DeliveryState::Uncertain, "unknown:timeout");
    house.now = house.now.plus_millis(90 * HOUR);
    assert_eq!(house.further(&new_alert()), Further::Wait(None));
}

#[test]
fn a_death_that_waits_for_a_phones_quota_is_told_to_the_next_when_nobody_answers() {
    let mut house = house(&["tencent"]);
    house.owner(1, "o1");
    house.knows(Role::SafetyOfficer, uscc().as_str(), 1, "s1");
    let death = owner_alert("a2", Change::New, Severity::Fatal);
    let first = house.tell(&death).remove(0);
    house.ends(&Delivery { at: NOW, ..first.clone() }, DeliveryState::Planned, "quota");
    assert_eq!(house.further(&death), Further::Wait(Some(NOW.plus_millis(2 * HOUR))));
    house.now = NOW.plus_millis(2 * HOUR);
    let (whom, _, second) = house.next(&death).unwrap();
    assert_eq!(whom, "safety_officer+1");
    house.ends(&sent(&second, house.now), DeliveryState::Delivered, "acknowledged");
    assert!(
        house.told.answered(ShareKey::new(&death, &death.audiences[0])).is_some(),
        "the first is stopped"
    );
    house.ends(&first, DeliveryState::Skipped, "answered");
    assert_eq!(house.further(&death), Further::Done);
}

#[test]
fn a_death_that_a_gateway_refuses_for_its_window_is_told_to_the_next_too_and_may_still_go_out() {
    let mut house = house(&["tencent"]);
    house.owner(1, "o1");
    house.knows(Role::SafetyOfficer, uscc().as_str(), 1, "s1");
    let death = owner_alert("a2", Change::New, Severity::Fatal);
    let first = Delivery { decided_at: Some(NOW), ..house.tell(&death).remove(0) };
    // Tried hourly: that puts off nobody's deadline.
    let tried = |hours: i64| {
        let at = NOW.plus_millis(hours * HOUR);
        Delivery { at, attempt: 1, ..sent(&first, at) }
    };
    let window = "window_used_up:LimitExceeded.PhoneNumberDailyLimit";
    for hours in 0..2 {
        house.now = NOW.plus_millis(hours * HOUR);
        house.ends(&tried(hours), DeliveryState::Planned, window);
        assert_eq!(house.further(&death), Further::Wait(Some(NOW.plus_millis(2 * HOUR))));
    }
    house.now = NOW.plus_millis(2 * HOUR);
    house.ends(&tried(2), DeliveryState::Sending, "");
    assert_eq!(house.further(&death), Further::Wait(None), "it may be out by now");
    house.ends(&tried(2), DeliveryState::Planned, window);
    let (whom, _, second) = house.next(&death).unwrap();
    assert_eq!(whom, "safety_officer+1");
    house.ends(&sent(&second, house.now), DeliveryState::Accepted, "");
    // The window opens: the last who was told has as long, and whoever answers first ends it.
    house.now = NOW.plus_millis(3 * HOUR);
    house.ends(&tried(3), DeliveryState::Accepted, "");
    assert_eq!(house.further(&death), Further::Wait(Some(NOW.plus_millis(5 * HOUR))));
    house.ends(&tried(3), DeliveryState::Delivered, "acknowledged");
    assert_eq!(house.further(&death), Further::Done);
}

#[test]
fn who_says_that_it_is_not_theirs_is_followed_by_the_next_and_not_tried_again() {
    let mut house = house(&["webhook"]);
    house.owner(1, "wrong");
    house.owner(2, "right");
    let first = sent(&house.tell(&new_alert())[0], NOW);
    house.ends(&first, DeliveryState::Delivered, "not_ours");
    let (whom, _, second) = house.next(&new_alert()).unwrap();
    assert_eq!(whom, "owner+2");
    house.ends(&sent(&second, NOW), DeliveryState::Accepted, "");
    // Neither with the next accident nor with a correction.
    let next = house.ask(|p| p.first(&owner_alert("a2", Change::New, Severity::Fatal)));
    assert_eq!(who(&next[0].delivery), "owner+2");
    let corrected = house.ask(|p| p.first(&followed("a3", Change::Corrected)));
    assert_eq!(corrected.iter().map(|d| who(&d.delivery)).collect::<Vec<_>>(), ["owner+2"]);
    // Registered anew with the same number, somebody has looked at it.
    house.owner(1, "wrong");
    let next = house.ask(|p| p.first(&owner_alert("a4", Change::New, Severity::Minor)));
    assert_eq!(who(&next[0].delivery), "owner+1");
}

#[test]
fn a_carriers_no_is_waited_for_where_receipts_come_and_followed_by_the_next_person() {
    let mut house = house(&["aliyun"]);
    house.owner(1, "off");
    house.owner(2, "on");
    let first = sent(&house.tell(&new_alert())[0], NOW);
    house.ends(&first, DeliveryState::Accepted, "");
    let until = NOW.plus_millis(30 * 60_000);
    assert_eq!(house.further(&new_alert()), Further::Wait(Some(until)));
    house.ends(&first, DeliveryState::Failed, "bounced");
    let (whom, _, second) = house.next(&new_alert()).unwrap();
    assert_eq!(whom, "owner+2");
    house.ends(&sent(&second, NOW), DeliveryState::Delivered, "");
    assert_eq!(house.further(&new_alert()), Further::Wait(Some(until)), "it may not be theirs");
    house.ends(&second, DeliveryState::Delivered, "acknowledged");
    assert_eq!(house.further(&new_alert()), Further::Done);
    // Nobody waits for a receipt for ever.
    let other = owner_alert("a2", Change::New, Severity::Minor);
    let first = sent(&house.tell(&other)[0], NOW);
    assert_eq!(who(&first), "owner+2", "the number that nobody has is left out");
    house.ends(&first, DeliveryState::Accepted, "");
    house.now = until;
    assert_eq!(house.further(&other), Further::Done);
    // Nor where nothing comes back.
    (house.now, house.awaits) = (NOW, None);
    assert_eq!(house.further(&other), Further::Done);
}

#[test]
fn what_a_failed_digest_stood_for_is_told_to_the_next() {
    let mut house = house(&["webhook"]);
    house.owner(1, "one");
    house.owner(2, "two");
    let first = house.tell(&new_alert()).remove(0);
    house.ends(&first, DeliveryState::Skipped, "in_digest:D");
    assert_eq!(house.further(&new_alert()), Further::Wait(None));
    let digest =
        Delivery { delivery_id: "D".into(), case_no: "D261126".into(), template: "T13".into(), ..first };
    house.ends(&digest, DeliveryState::Failed, "bad_number");
    assert_eq!(house.next(&new_alert()).unwrap().0, "owner+2");
}

#[test]
fn what_becomes_of_the_same_words_in_another_role_counts_for_both() {
    for (state, reason, expected) in [
        (DeliveryState::Accepted, "", None),
        (DeliveryState::Failed, "bad_number", Some("industry_duty+2")),
        (DeliveryState::Failed, "expired", None),
    ] {
        let mut house = House::new(&["webhook"]);
        house.knows(Role::TownshipDuty, AREA, 1, "same");
        house.knows(Role::IndustryDuty, "33", 1, "same");
        house.knows(Role::IndustryDuty, "33", 2, "other");
        let mut alert = yellow();
        alert.audiences.push(audience(Role::IndustryDuty, "33"));
        let planned = house.tell(&alert);
        assert_eq!(planned[1].reason, Some(format!("same_person:{}", planned[0].delivery_id)));
        let further = |house: &House| house.ask(|p| p.further(&alert, &alert.audiences[1]));
        assert_eq!(further(&house), Further::Wait(None));
        house.ends(&planned[0], state, reason);
        let next = match further(&house) {
            Further::Plan(draft) => Some(who(&draft.delivery)),
            Further::Done => None,
            Further::Wait(_) => panic!("nothing is under way"),
        };
        assert_eq!(next.as_deref(), expected, "{state} {reason}");
    }
}

#[test]
fn a_reduction_follows_the_message_to_the_next_person_and_nobody_hears_it_alone() {
    let mut house = House::new(&["webhook"]);
    house.owner(1, "one");
    house.owner(2, "two");
    let death = owner_alert("a1", Change::New, Severity::Fatal);
    let reduced = Alert { revision: 2, ..owner_alert("a2", Change::Downgraded, Severity::Minor) };
    let first = house.tell(&death).remove(0);
    let behind = house.tell(&reduced).remove(0);
    house.ends(&first, DeliveryState::Failed, "bad_number");
    house.ends(&behind, DeliveryState::Skipped, "nothing_to_correct");
    assert_eq!(house.further(&reduced), Further::Wait(None), "the death goes on to somebody");
    let (whom, _, second) = house.next(&death).unwrap();
    assert_eq!(whom, "owner+2");
    let (whom, _, behind) = house.next(&reduced).unwrap();
    assert_eq!((whom.as_str(), behind.phone_hash.as_ref()), ("owner+2", second.phone_hash.as_ref()));
    house.ends(&second, DeliveryState::Accepted, "");
    house.ends(&behind, DeliveryState::Accepted, "");
    house.told.close(&death, &death.audiences[0]);
    assert_eq!(house.further(&reduced), Further::Done);
    // Who hears of the incident only later is not told of what was before.
    let again = Alert { revision: 3, ..owner_alert("a3", Change::Upgraded, Severity::Fatal) };
    house.knows(Role::Owner, uscc().as_str(), 0, "new");
    house.tell(&again);
    assert_eq!(house.further(&reduced), Further::Done);
}

#[test]
fn the_city_is_asked_once_though_neither_the_township_nor_the_industry_answers() {
    let mut house = house(&["webhook"]);
    house.knows(Role::TownshipDuty, AREA, 1, "t1");
    house.knows(Role::IndustryDuty, "33", 1, "i1");
    house.knows(Role::EmergencyDuty, CITY, 1, "e1");
    let mut alert = escalation(Change::New, Some(Level::Orange), 3);
    alert.audiences.push(audience(Role::IndustryDuty, "33"));
    for planned in house.tell(&alert) {
        house.ends(&sent(&planned, NOW), DeliveryState::Accepted, "");
    }
    house.now = NOW.plus_millis(24 * HOUR);
    let mut states = Vec::new();
    for audience in &alert.audiences {
        let Further::Plan(draft) = house.ask(|p| p.further(&alert, audience)) else { panic!("the city") };
        house.told.apply(&draft.delivery);
        states.push((
            draft.delivery.state,
            draft.delivery.reason.clone(),
            draft.delivery.delivery_id.clone(),
        ));
    }
    assert_eq!(states[0].0, DeliveryState::Planned);
    let twin = format!("same_person:{}", states[0].2);
    assert_eq!((states[1].0, states[1].1.as_ref()), (DeliveryState::Skipped, Some(&twin)));
}
