//! The published limits, as the gateways enforce them.

use tocsin_alerts::channel::Outcome;
use tocsin_alerts::gateways::Told;
use tocsin_alerts::gateways::limits::Window;
use tocsin_schemas::time::Instant;
use tocsin_simulator::{Gateway, Plan};

use super::{HOUR, House, NOON, message, question, said};

#[tokio::test]
async fn a_used_up_window_says_until_when_and_opens_again_then() {
    for (gateway, most, ends) in [
        (Gateway::Aliyun, 50, NOON + 12 * HOUR),
        (Gateway::Tencent, 2, NOON + 12 * HOUR),
        (Gateway::DingtalkRobot, 20, NOON + 600_000),
        (Gateway::WecomRobot, 20, NOON + 60_000),
    ] {
        let house = House::new(Plan::default()).await;
        let post = house.client(gateway);
        // Our table says the same.
        let limits = post.gateway().profile().limits;
        let daily = limits.quotas.iter().find(|q| q.window == Window::Day).map(|q| q.max);
        assert_eq!(daily.or(limits.calls_per_minute), Some(most), "{gateway:?}");
        for n in 1..=most {
            assert_eq!(said(&post.deliver(&message(gateway, n)).await), "accepted", "{gateway:?} {n}");
        }
        let over = post.deliver(&message(gateway, most + 1)).await;
        let Outcome::WindowUsedUp { until, .. } = over.outcome else {
            panic!("{gateway:?}: {}", said(&over))
        };
        assert_eq!(until, Some(Instant(ends)), "{gateway:?}");
        house.clock.advance(ends - 1 - house.clock.now());
        let still = post.deliver(&message(gateway, most + 1)).await;
        assert!(matches!(still.outcome, Outcome::WindowUsedUp { .. }), "{gateway:?}: {}", said(&still));
        assert_eq!(house.rang(), most as usize);
        // DingTalk's penalty runs from the first refusal, WeCom's minute from the last message.
        house.clock.advance(1);
        let open = post.deliver(&message(gateway, most + 1)).await;
        assert_eq!(said(&open), "accepted", "{gateway:?}");
    }
}

#[tokio::test]
async fn a_message_is_found_among_many_and_around_midnight() {
    let gateway = Gateway::Aliyun;
    let house = House::new(Plan::default()).await;
    let post = house.client(gateway);
    // 100 messages to one phone on a day, 50 of each of two templates: two pages.
    for n in 1..=100 {
        let mut message = message(gateway, n);
        message.template = if n > 50 { "T3" } else { "T1" }.into();
        assert_eq!(said(&post.deliver(&message).await), "accepted", "{n}");
    }
    // One more a second before midnight, by our clock; the gateway books it on the next day.
    let midnight = NOON + 12 * HOUR;
    house.clock.advance(midnight - NOON);
    let late = message(gateway, 101);
    assert_eq!(said(&post.deliver(&late).await), "accepted");
    let unseen = tocsin_alerts::gateways::Verdict::unknown("timeout");
    for (n, sent_at, found) in [
        (1, NOON, true),
        (51, NOON, true),
        (100, NOON, true),
        (101, midnight - 1000, true),
        (102, midnight - 1000, false),
    ] {
        let told = post.ask(&question(&message(gateway, n), &unseen, sent_at)).await;
        assert_eq!(matches!(told, Told::Known { .. }), found, "{n}: {told:?}");
        assert_eq!(told == Told::NotFound, !found, "{n}: {told:?}");
    }
}

#[tokio::test]
async fn a_carrier_that_has_not_answered_is_told_apart_from_a_message_that_never_came() {
    let house = House::new(Plan { receipt_after_ms: (HOUR, HOUR), ..Plan::default() }).await;
    let unseen = tocsin_alerts::gateways::Verdict::unknown("timeout");
    for (gateway, at_once) in [(Gateway::Aliyun, true), (Gateway::Tencent, false)] {
        let post = house.client(gateway);
        assert_eq!(said(&post.deliver(&message(gateway, 1)).await), "accepted");
        let told = post.ask(&question(&message(gateway, 1), &unseen, NOON)).await;
        // Tencent lists a message only once its carrier has answered: "not found" proves nothing before.
        assert_eq!(matches!(told, Told::Known { .. }), at_once, "{gateway:?}: {told:?}");
    }
}

#[tokio::test]
async fn a_notice_is_taken_back_once_and_only_by_its_number() {
    let gateway = Gateway::DingtalkNotice;
    let house = House::new(Plan::default()).await;
    let post = house.client(gateway);
    let Outcome::Accepted { gateway_ref: Some(number) } = post.deliver(&message(gateway, 1)).await.outcome
    else {
        panic!("no task's number");
    };
    house.clock.advance(HOUR);
    assert_eq!(said(&post.recall(&number).await), "accepted");
    assert_eq!(house.simulator.messages()[0].recalled_at, Some(NOON + HOUR));
    assert_eq!(said(&post.recall("1").await), "permanent 40035");
    assert_eq!(said(&post.recall("no number").await), "permanent cannot_be_recalled");
    let robot = house.client(Gateway::WecomRobot);
    assert_eq!(said(&robot.recall(&number).await), "permanent cannot_be_recalled");
}
