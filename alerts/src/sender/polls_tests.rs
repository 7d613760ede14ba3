//! When a gateway is asked about what it has accepted, and how many are remembered.

use super::*;
use crate::gateways::Verdict;

const SENT: Instant = Instant(1_000_000_000);

fn later(minutes: i64) -> Instant {
    SENT.plus_millis(minutes * MINUTE)
}

fn known(fate: Fate) -> Told {
    Told::Known { fate, gateway_ref: None }
}

#[test]
fn while_nothing_is_known_the_distances_grow_and_it_ends() {
    // By hand: a quarter of an hour, 1, 6, 24, 48 and 71 hours after the request.
    let expected = [15, 60, 360, 1_440, 2_880, 4_260];
    for told in [known(Fate::Accepted), Told::NotFound] {
        let (mut asked, mut due) = (Vec::new(), first(SENT, SENT));
        while let Some(at) = due {
            asked.push((at.0 - SENT.0) / MINUTE);
            due = again(SENT, &told, at);
        }
        assert_eq!(asked, expected);
    }
}

#[test]
fn a_word_of_the_carrier_ends_it_and_so_does_a_no_to_the_question() {
    for told in [
        known(Fate::Delivered),
        known(Fate::Failed("MK:0001".into())),
        Told::CannotTell(Verdict::permanent("cannot_be_asked")),
    ] {
        assert_eq!(again(SENT, &told, later(15)), None, "{told:?}");
    }
}

#[test]
fn a_question_without_an_answer_costs_no_step_and_is_not_put_for_ever() {
    let down = Told::CannotTell(Verdict::transient("http_503"));
    assert_eq!(again(SENT, &down, later(16)), Some(later(24)));
    // Never beyond the next one that is due anyway, whatever the gateway wants.
    assert_eq!(again(SENT, &down, later(50)), Some(later(60)));
    let wait = Outcome::Transient { reason: "http_429".into(), retry_after_ms: Some(10 * MINUTE) };
    let wait = Told::CannotTell(Verdict::of(wait));
    assert_eq!(again(SENT, &wait, later(16)), Some(later(26)));
    let (mut questions, mut due) = (0, first(SENT, SENT));
    while let Some(at) = due {
        questions += 1;
        due = again(SENT, &down, at);
    }
    assert!((6..=30).contains(&questions), "{questions}");
}

#[test]
fn after_a_start_it_is_asked_at_once_where_a_question_may_have_been_missed() {
    for (minutes, due) in [
        (0, Some(15)),
        (14, Some(15)),
        (15, Some(15)),
        (59, Some(15)),
        (61, Some(60)),
        (3_000, Some(2_880)),
        (4_320, Some(4_260)),
        (4_321, None),
        // A clock that was set back.
        (-600, Some(15)),
    ] {
        assert_eq!(first(SENT, later(minutes)), due.map(later), "{minutes} minutes after it was sent");
    }
}

#[test]
fn only_what_was_accepted_and_no_more_is_asked_about() {
    use DeliveryState::*;
    for state in [Planned, Sending, Uncertain, Accepted, Delivered, Failed, Skipped] {
        let delivery = Delivery { sent_at: Some(SENT), ..crate::fixtures::delivery("a", state) };
        assert_eq!(without_word(&delivery).is_some(), state == Accepted, "{state}");
    }
}

#[test]
fn so_many_are_remembered_those_due_first_and_that_some_were_left_out() {
    let mut polls = Polls::default();
    for minute in [30, 10, 50, 20, 40] {
        polls.wait(format!("d{minute}"), later(minute), 3);
    }
    assert!(polls.left_out && !polls.wants_more(3));
    let mut woken = Vec::new();
    while let Some(id) = polls.wake(later(100)) {
        woken.push(id);
    }
    assert_eq!(woken, ["d10", "d20", "d30"]);
    assert!(polls.wants_more(3) && polls.known.is_empty() && polls.next_due().is_none());
}

#[test]
fn one_that_has_its_word_leaves_nothing_behind() {
    let mut polls = Polls::default();
    let lane = Lane { gateway: "aliyun", asks: true, later: true };
    let delivery = crate::fixtures::delivery("b", DeliveryState::Accepted);
    let id = delivery.delivery_id.clone();
    polls.wait("a".into(), later(15), 9);
    polls.park(id.clone(), lane, place(&delivery, SENT));
    polls.forget("a");
    polls.forget(&id);
    assert!(polls.known.is_empty() && polls.waiting.is_empty());
    assert!(polls.due.values().all(BTreeSet::is_empty));
}
