//! Quotas against counts by hand.

use super::*;
use crate::calendar::{Calendar, Holidays, Hours};
use crate::fixtures::delivery;
use crate::gateways::limits::NO_LIMITS;

const TWO_A_DAY: Limits =
    Limits { quotas: &[Quota { max: 2, per: Per::Phone, window: Window::Day }], ..NO_LIMITS };
const THREE_OF_A_TEXT: Limits =
    Limits { quotas: &[Quota { max: 3, per: Per::PhoneAndTemplate, window: Window::Day }], ..NO_LIMITS };
const ONE_IN_TEN_SECONDS: Limits =
    Limits { quotas: &[Quota { max: 1, per: Per::Phone, window: Window::Seconds(10) }], ..NO_LIMITS };

fn at(text: &str) -> Instant {
    format!("2026-11-26T{text}+08:00").parse().unwrap()
}

fn of(id: &str, change: Change, urgency: Urgency) -> Delivery {
    Delivery {
        delivery_id: id.into(),
        phone_hash: Some("P".into()),
        change,
        urgency,
        ..delivery(id, DeliveryState::Planned)
    }
}

fn news(id: &str) -> Delivery {
    of(id, Change::New, Urgency::Daytime)
}

fn sent(id: &str, state: DeliveryState, when: &str) -> Delivery {
    Delivery { state, sent_at: Some(at(when)), ..news(id) }
}

fn room(usage: &Usage, limits: &Limits, delivery: &Delivery, now: Instant) -> Option<Instant> {
    usage.room(delivery, Quotas { limits, per_phone_a_day: None }, now).err()
}

#[test]
fn one_slot_is_kept_for_what_is_grave_and_for_corrections() {
    let mut usage = Usage::default();
    let now = at("10:00:00");
    let opens = at("00:00:00").day().plus(1).midnight();
    let midnight = Some(opens);
    assert_eq!(room(&usage, &TWO_A_DAY, &news("a"), now), None);
    usage.apply(&sent("a", DeliveryState::Accepted, "09:00:00"));
    assert_eq!(room(&usage, &TWO_A_DAY, &news("b"), now), midnight, "the second is kept");
    let death = of("d", Change::Upgraded, Urgency::AtOnce);
    let correction = of("c", Change::Corrected, Urgency::Daytime);
    assert_eq!(room(&usage, &TWO_A_DAY, &death, now), None);
    assert_eq!(room(&usage, &TWO_A_DAY, &correction, now), None);
    usage.apply(&sent("d", DeliveryState::Sending, "09:59:00"));
    let another = of("e", Change::New, Urgency::AtOnce);
    assert_eq!(room(&usage, &TWO_A_DAY, &another, now), midnight, "no more than the gateway takes");
    assert_eq!(room(&usage, &TWO_A_DAY, &news("b"), opens), None);
    let other = Delivery { phone_hash: Some("Q".into()), ..news("q") };
    assert_eq!(room(&usage, &TWO_A_DAY, &other, now), None, "another phone");
    // The house may be stricter, over a gateway without limits.
    let house = |max| usage.room(&news("b"), Quotas { limits: &NO_LIMITS, per_phone_a_day: max }, now);
    assert_eq!((house(Some(4)), house(Some(3)), house(None)), (Ok(()), Err(opens), Ok(())));
}

#[test]
fn only_what_may_have_been_sent_counts() {
    use DeliveryState::*;
    for (state, uncertain, counts) in [
        (Sending, false, true),
        (Uncertain, true, true),
        (Accepted, false, true),
        (Delivered, false, true),
        (Failed, true, true),
        (Planned, true, true),
        (Failed, false, false),
        (Planned, false, false),
    ] {
        let mut usage = Usage::default();
        usage.apply(&sent("a", Sending, "09:00:00"));
        usage.apply(&Delivery { uncertain, ..sent("a", state, "09:00:00") });
        assert_eq!(
            room(&usage, &TWO_A_DAY, &news("b"), at("10:00:00")).is_some(),
            counts,
            "{state} {uncertain}"
        );
        assert_eq!(room(&usage, &TWO_A_DAY, &news("a"), at("10:00:00")), None, "its own retry");
    }
    // A carrier's no comes after the gateway has counted it.
    for reason in ["carrier_failed", "bounced"] {
        let mut usage = Usage::default();
        usage.apply(&Delivery { reason: Some(reason.into()), ..sent("a", Failed, "09:00:00") });
        assert!(room(&usage, &TWO_A_DAY, &news("b"), at("10:00:00")).is_some(), "{reason}");
    }
}

#[test]
fn a_quota_of_a_text_counts_that_text_and_one_of_seconds_slides() {
    let mut usage = Usage::default();
    for n in 0..2 {
        usage.apply(&sent(&format!("a{n}"), DeliveryState::Accepted, "09:00:00"));
    }
    assert!(room(&usage, &THREE_OF_A_TEXT, &news("b"), at("10:00:00")).is_some());
    let other = Delivery { template: "T7".into(), ..news("b") };
    assert_eq!(room(&usage, &THREE_OF_A_TEXT, &other, at("10:00:00")), None);
    assert_eq!(room(&usage, &ONE_IN_TEN_SECONDS, &news("b"), at("09:00:04")), Some(at("09:00:10")));
    assert_eq!(room(&usage, &ONE_IN_TEN_SECONDS, &news("b"), at("09:00:10")), None);
}

#[test]
fn news_of_a_full_day_joins_and_everything_else_waits() {
    let (now, midnight) = (at("10:00:00"), at("00:00:00").day().plus(1).midnight());
    for (change, urgency, expected) in [
        (Change::New, Urgency::Daytime, Overflow::Digest),
        (Change::Raised, Urgency::Workday, Overflow::Digest),
        (Change::New, Urgency::AtOnce, Overflow::Wait),
        (Change::Corrected, Urgency::Daytime, Overflow::Wait),
        (Change::Closed, Urgency::Daytime, Overflow::Wait),
    ] {
        assert_eq!(overflow(&of("a", change, urgency), midnight, now), expected, "{change}");
    }
    assert_eq!(overflow(&news("a"), at("10:00:10"), now), Overflow::Wait, "ten seconds are no reason");
    let digest = joined(None, &news("a"), midnight, now);
    assert_eq!(overflow(&digest, midnight, now), Overflow::Wait, "a digest is in no digest");
}

#[test]
fn a_digest_counts_its_messages_and_goes_out_when_people_read() {
    let calendar = Calendar::new(Hours::default(), Holidays::new());
    let midnight = at("00:00:00").day().plus(1).midnight();
    // 27 November is a Friday.
    let due = |urgency| digest_due(&of("a", Change::New, urgency), midnight, &calendar);
    assert_eq!(due(Urgency::Daytime), at("00:00:00").plus_millis(32 * 3_600_000));
    assert_eq!(due(Urgency::Workday), at("00:00:00").plus_millis(32 * 3_600_000 + 1_800_000));
    let slots = |n: &str| [("n".to_owned(), n.to_owned())].into();
    let first = joined(None, &Delivery { slots: slots("3"), ..news("a") }, midnight, at("10:00:00"));
    let second = Delivery { slots: slots("4"), case_no: "000000134".into(), ..news("b") };
    let both = joined(Some(&first), &second, midnight, at("10:00:01"));
    assert_eq!((count(&first), count(&both)), (1, 2));
    assert_eq!((&both.delivery_id, both.case_no.as_str()), (&first.delivery_id, "D261127"));
    let (text, _) = crate::texts::Texts::built_in().filled(&both.template, &both.slots).unwrap();
    assert_eq!(
        text,
        "【永康人社】贵单位另有2起工伤信息未逐条发送，本年累计4起，最近编号000000134。请立即排查隐患，回复1确认。"
    );
    let a = Delivery { slots: slots("3"), case_no: "000000126".into(), ..news("a") };
    let says = |by: &str| {
        let correction = Delivery { slots: slots(by), ..of("c", Change::Corrected, Urgency::Daytime) };
        let one = left(&both, Some(&a), &correction, at("10:00:02")).unwrap();
        assert_eq!(left(&one, Some(&a), &correction, at("10:00:03")), None);
        (count(&one), one.slots["n"].clone(), one.slots["id"].clone())
    };
    assert_eq!(says("3"), (1, "3".into(), "000000126".into()), "the newest has gone");
    assert_eq!(says("0"), (1, "3".into(), "000000126".into()), "a correction of last year");
    let correction = Delivery { slots: slots("3"), ..of("c", Change::Corrected, Urgency::Daytime) };
    let one = left(&both, Some(&second), &correction, at("10:00:02")).unwrap();
    assert_eq!((&*one.slots["n"], &*one.slots["id"]), ("3", "000000134"), "an earlier one has gone");
    // Another day, phone, channel, role or subject: another digest.
    let id = |d: &Delivery, day: Day| digest_id(d, day);
    let day = midnight.day();
    let a = news("a");
    assert_eq!(id(&a, day), id(&second, day));
    for other in [
        id(&a, day.plus(1)),
        id(&Delivery { phone_hash: Some("Q".into()), ..a.clone() }, day),
        id(&Delivery { channel: "aliyun".into(), ..a.clone() }, day),
        id(&Delivery { subject: "host".into(), ..a.clone() }, day),
    ] {
        assert_ne!(other, id(&a, day));
    }
}

#[test]
fn a_digest_of_a_stand_in_speaks_to_the_township() {
    let texts = crate::texts::Texts::built_in();
    let due = at("00:00:00").day().plus(1).midnight();
    // The slots of people.md's T15, and of T18.
    let slots: BTreeMap<String, String> = [("town", "古山镇"), ("area", "古山镇"), ("M", "11"), ("D", "26")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    for (channel, template, expected) in [
        (
            "aliyun",
            "T15",
            "【永康工伤预警】古山镇：另有1条预警未逐条发送，请查看名单，24小时内核查。最近单号000000901",
        ),
        (
            "aliyun",
            "T18",
            "【永康工伤预警】古山镇：另有1条预警未逐条发送，请查看名单，24小时内核查。最近单号000000901",
        ),
        (
            "tencent",
            "T15_fallback",
            "【永康工伤预警】古山镇另有1条预警未逐条发送，请查看名单，24小时内核查。最近单号00000-0901",
        ),
    ] {
        let message = Delivery {
            role: Role::Owner,
            channel: channel.into(),
            template: template.into(),
            case_no: "000000901".into(),
            slots: slots.clone(),
            ..news("a")
        };
        let digest = joined(None, &message, due, at("10:00:00"));
        let (text, _) = texts.filled(&digest.template, &digest.slots).unwrap();
        assert_eq!(text, expected);
        // The same phone may be an owner's, too: what is said to him stands in another digest.
        let own = Delivery { template: "T1".into(), ..message.clone() };
        assert_ne!(digest_id(&own, due.day()), digest.delivery_id);
        assert!(takes_in(&digest, &message, due) && !takes_in(&digest, &own, due));
    }
}
