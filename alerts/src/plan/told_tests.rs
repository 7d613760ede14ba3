//! The fold against deliveries written by hand.

use tocsin_schemas::codes::Severity;

use super::*;
use crate::fixtures::{delivery, owner_alert, uscc};

fn to(phone: &str, delivery: Delivery) -> Delivery {
    Delivery {
        contact_role: Some(Role::Owner),
        contact_rank: Some(1),
        phone_hash: Some(phone.into()),
        address_hash: Some(phone.into()),
        delivery_id: format!("{}-{phone}", delivery.delivery_id),
        ..delivery
    }
}
fn ended(delivery: Delivery, state: DeliveryState, reason: &str) -> Delivery {
    Delivery { state, reason: (!reason.is_empty()).then(|| reason.into()), ..delivery }
}
fn fates(told: &Told, alert: &str) -> Vec<Fate> {
    let share = told.share(ShareKey::of(alert, Role::Owner, uscc().as_str())).unwrap();
    share.tries.iter().map(|one| told.standing(one).fate).collect()
}

#[test]
fn what_stands_for_others_decides_for_them_in_whichever_order_it_is_read() {
    use DeliveryState::*;
    let skipped =
        |told: &mut Told| told.apply(&ended(to("p", delivery("a1", Planned)), Skipped, "in_digest:D1"));
    let digest = |state| Delivery {
        delivery_id: "D1".into(),
        case_no: "D250301".into(),
        template: "T13".into(),
        ..to("p", ended(delivery("a0", state), state, ""))
    };
    let mut told = Told::new();
    let key = skipped(&mut told);
    assert_eq!(fates(&told, "a1"), [Fate::Open], "not known yet: on its way");
    assert_eq!(told.apply(&digest(Planned)), key);
    assert_eq!(told.apply(&ended(digest(Failed), Failed, "bad_number")), key);
    assert_eq!(fates(&told, "a1"), [Fate::Lost]);
    let mut told = Told::new();
    told.apply(&ended(digest(Delivered), Delivered, "acknowledged"));
    skipped(&mut told);
    assert_eq!(fates(&told, "a1"), [Fate::Reached]);
    let share = told.share(key[0]).unwrap();
    assert_eq!(told.standing(&share.tries[0]).said, Some(Says::Acknowledged));
    assert!(
        told.share(ShareKey::of("a0", Role::Owner, uscc().as_str())).is_none(),
        "a digest is of no alert"
    );
}

#[test]
fn what_was_over_before_the_restart_is_closed() {
    let mut told = Told::with_promised(Arc::new(["a2".to_owned()].into()));
    for alert in ["a1", "a2"] {
        told.recall(&to("p", delivery(alert, DeliveryState::Accepted)));
    }
    let closed =
        |told: &Told, alert| told.share(ShareKey::of(alert, Role::Owner, uscc().as_str())).unwrap().closed;
    assert!(closed(&told, "a1") && !closed(&told, "a2"));
    told.apply(&to("p", delivery("a3", DeliveryState::Planned)));
    assert!(!closed(&told, "a3"));
}

#[test]
fn an_address_is_refused_until_its_contact_is_registered_anew() {
    use DeliveryState::*;
    let mut told = Told::new();
    let whom = |subject: &str, channel: &str| Heard {
        role: Role::Owner,
        subject: subject.into(),
        rank: 1,
        channel: channel.into(),
        phone_hash: "p".into(),
        address_hash: "p".into(),
    };
    let sent = Delivery { contact_version: Some(3), ..to("p", delivery("a1", Accepted)) };
    told.apply(&ended(sent.clone(), Delivered, "not_ours"));
    let firm = uscc();
    assert!(told.refuses(&whom(firm.as_str(), "webhook"), Some(3)));
    assert!(told.refuses(&whom(firm.as_str(), "aliyun"), Some(3)), "whatever the channel");
    assert!(!told.refuses(&whom(firm.as_str(), "webhook"), Some(4)));
    assert!(!told.refuses(&whom("another firm", "webhook"), Some(3)));
    let mut told = Told::new();
    told.apply(&ended(sent, Failed, "bounced"));
    assert!(told.refuses(&whom("another firm", "webhook"), Some(3)), "nobody has it");
    assert!(
        !told.refuses(&whom(firm.as_str(), "aliyun"), Some(3)),
        "another channel may know another number"
    );
}

#[test]
fn those_who_heard_or_will_are_named_once_by_whom_came_before() {
    use DeliveryState::*;
    let mut told = Told::new();
    let [alert, later] = [Instant(1), Instant(9)]
        .map(|decided_at| Alert { decided_at, ..owner_alert("a", Change::Corrected, Severity::Minor) });
    let of = ConversationKey::new(&alert, &alert.audiences[0]);
    let at = |at, delivery: Delivery| Delivery { decided_at: Some(Instant(at)), ..delivery };
    let heard = |told: &Told, alert: &Alert| -> Vec<String> {
        let heard = told.heard_before(alert, &alert.audiences[0]);
        heard.into_iter().map(|h| h.phone_hash).collect()
    };
    assert!(heard(&told, &later).is_empty() && !told.has_past(of));
    told.apply(&at(0, to("p", ended(delivery("a1", Failed), Failed, "http_404"))));
    assert!(heard(&told, &later).is_empty() && told.has_past(of), "certainly not told");
    told.apply(&at(5, to("q", delivery("a2", Accepted))));
    told.apply(&at(5, to("r", delivery("a2", Planned))));
    assert_eq!(heard(&told, &later), ["q", "r"]);
    assert!(heard(&told, &alert).is_empty(), "told after it");
    told.apply(&at(0, to("q", delivery("a1", Accepted))));
    assert_eq!((heard(&told, &later).len(), heard(&told, &alert)), (2, vec!["q".to_owned()]));
    told.apply(&at(5, to("r", ended(delivery("a2", Failed), Failed, "http_404"))));
    assert_eq!(heard(&told, &later), ["q"], "it did not go out");
    told.apply(&at(5, to("r", delivery("a2", Delivered))));
    assert_eq!(heard(&told, &later), ["q", "r"], "it did after all");
}

#[test]
fn what_is_behind_a_held_one_in_its_thread_is_held_too() {
    use DeliveryState::*;
    let mut told = Told::new();
    let first = to("p", delivery("a1", Planned));
    let second = to("p", delivery("a2", Planned));
    told.apply(&first);
    told.apply(&second);
    told.apply(&to("q", delivery("a1", Planned)));
    assert_eq!(told.held(Instant(0)), 0);
    told.apply(&ended(first.clone(), Planned, "quiet_hours"));
    assert_eq!(told.held(Instant(0)), 2, "not the other phone's");
    told.apply(&ended(first.clone(), Sending, ""));
    assert_eq!(told.held(Instant(0)), 0);
    told.apply(&ended(second.clone(), Planned, "holiday"));
    told.apply(&ended(first, Accepted, ""));
    assert_eq!(told.held(Instant(0)), 1);
    told.apply(&ended(second, Accepted, ""));
    assert_eq!(told.held(Instant(0)), 0);
}
