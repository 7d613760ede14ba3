use std::sync::LazyLock;

use tocsin_schemas::codes::{Level, Role, Severity};

use super::*;
use crate::fixtures::{delivery, escalation, owner_alert, uscc};

fn person() -> Person {
    Person {
        role: Role::Owner,
        subject: uscc().to_string(),
        rank: 2,
        version: 7,
        address: "phone".into(),
        phone: None,
    }
}

const NOW: Instant = Instant(1_000_000);
static OPEN: LazyLock<Calendar> = LazyLock::new(Calendar::always_open);
static RETRY: LazyLock<RetrySettings> = LazyLock::new(RetrySettings::default);

/// A new message that nothing keeps.
fn situation(delivery: &Delivery) -> Situation<'_> {
    Situation {
        delivery,
        change: Change::New,
        past: Past::default(),
        superseded: false,
        waited: false,
        decided_at: NOW,
        urgency: Urgency::Daytime,
        grave_behind: false,
        fused: false,
        silence: None,
        calendar: &OPEN,
        expire_after_ms: None,
        person: None,
        refused: false,
        kind: Kind::Idempotent,
        settings: &RETRY,
        now: NOW,
    }
}

#[test]
fn what_is_next_and_why() {
    use Change::*;
    use DeliveryState::{Planned, Sending};
    let silent = Past { ended: 1, ..Past::default() };
    let told = Past { ended: 1, maybe_out: true, ..Past::default() };
    let none = Past::default();
    let later = Some(NOW.plus_millis(1));
    // state, uncertain, due, change, past, superseded, somebody there, what is next; attempts: see below
    let table = [
        (Planned, false, None, New, none, false, true, "send"),
        (Planned, false, Some(NOW), New, none, false, true, "send"),
        (Planned, false, later, New, none, false, true, "wait"),
        (Planned, false, None, New, none, false, false, "skip contact_changed"),
        // found in sending at a start: at once, whatever was due
        (Sending, false, None, New, none, false, true, "resend"),
        (Sending, false, later, New, none, false, true, "resend"),
        (Sending, false, None, New, none, false, false, "fail contact_changed"),
        // overtaken
        (Planned, false, None, New, none, true, true, "send"),
        (Planned, false, later, New, none, true, true, "skip superseded"),
        (Planned, true, later, New, none, true, true, "fail superseded"),
        (Sending, false, None, New, none, true, true, "resend"),
        // what speaks of an earlier message
        (Planned, false, None, Corrected, silent, false, true, "skip nothing_to_correct"),
        (Planned, false, None, Corrected, silent, false, false, "skip nothing_to_correct"),
        (Planned, false, None, Downgraded, silent, false, true, "skip nothing_to_correct"),
        (Planned, false, None, Eased, silent, false, true, "skip nothing_to_correct"),
        (Planned, false, None, Closed, silent, false, true, "skip nothing_to_correct"),
        (Planned, false, None, Corrected, told, false, true, "send"),
        (Planned, false, None, Corrected, none, false, true, "send"),
        (Sending, false, None, Corrected, silent, false, true, "resend"),
        (Planned, true, None, Corrected, silent, false, true, "send"),
        // what is whole by itself
        (Planned, false, None, New, silent, false, true, "send"),
        (Planned, false, None, Upgraded, silent, false, true, "send"),
        (Planned, false, None, Raised, silent, false, true, "send"),
        (Planned, false, None, Added, silent, false, true, "send"),
    ];
    for row in table {
        let (state, uncertain, due_at, change, past, superseded, reachable, expected) = row;
        // Whoever waits for later, or is uncertain, or was being sent, was tried before.
        let attempt = u32::from(state == Sending || uncertain || due_at == later);
        let delivery = Delivery { uncertain, due_at, attempt, ..delivery("a", state) };
        let person = person();
        let next = next(&Situation {
            delivery: &delivery,
            change,
            past,
            superseded,
            person: reachable.then_some(&person),
            ..situation(&delivery)
        });
        let found = match next {
            Next::Send { resend: false, .. } => "send".to_owned(),
            Next::Send { resend: true, .. } => "resend".to_owned(),
            Next::Wait { .. } => "wait".to_owned(),
            Next::Ask { .. } => "ask".to_owned(),
            Next::Settle => "settle".to_owned(),
            Next::Skip(why) => format!("skip {}", why.as_str()),
            Next::Fail(why) => format!("fail {}", why.as_str()),
            Next::Hold { .. } | Next::Silence { .. } => unreachable!("nothing is held or silenced here"),
        };
        assert_eq!(found, expected, "{row:?}");
    }
}

#[test]
fn one_that_may_be_out_is_settled_before_anything_else() {
    let settings = RetrySettings { settle_for_ms: 1_000, ..RetrySettings::default() };
    let sent_at = Some(Instant(NOW.0 - 500));
    let of = |delivery: &Delivery, kind, person: Option<&Person>, superseded| {
        next(&Situation {
            change: Change::Corrected,
            past: Past { ended: 1, ..Past::default() },
            superseded,
            person,
            kind,
            settings: &settings,
            ..situation(delivery)
        })
    };
    let there = person();
    let sending =
        Delivery { sent_at, due_at: None, ..sending(&delivery("a", DeliveryState::Planned), &there, NOW) };
    assert_eq!(of(&sending, Kind::Askable, Some(&there), true), Next::Settle);
    assert_eq!(of(&sending, Kind::Neither, None, false), Next::Settle);
    let uncertain = Delivery { state: DeliveryState::Uncertain, sent_at, ..sending.clone() };
    let asks = Next::Ask { person: person() };
    assert_eq!(of(&uncertain, Kind::Askable, Some(&there), true), asks, "nothing overtakes it");
    let later = Delivery { due_at: Some(NOW.plus_millis(1)), ..uncertain.clone() };
    assert!(matches!(of(&later, Kind::Askable, Some(&there), false), Next::Wait { .. }));
    let changed = Next::Fail(Why::ContactChanged);
    assert_eq!(of(&uncertain, Kind::Askable, None, false), changed);
    // However long ago: whoever was down for days asks once before it gives up.
    let old = Delivery { sent_at: Some(Instant(NOW.0 - 1_000_000_000)), ..uncertain };
    assert_eq!(of(&old, Kind::Askable, Some(&there), false), Next::Ask { person: person() });
    // Found in `sending` by a successor: not before the other's request must be over.
    let taken_over = Delivery { due_at: Some(NOW.plus_millis(1)), ..sending };
    assert!(matches!(of(&taken_over, Kind::Askable, Some(&there), false), Next::Wait { .. }));
    assert_eq!(
        of(&taken_over, Kind::Idempotent, Some(&there), false),
        Next::Send { person: person(), resend: true }
    );
}

#[test]
fn an_address_that_is_not_tried_any_more_ends_what_would_go_there_at_once() {
    use DeliveryState::{Planned, Sending, Uncertain};
    let later = Some(NOW.plus_millis(1));
    let silent = Past { ended: 1, ..Past::default() };
    for (state, uncertain, change, past, expected) in [
        (Planned, false, Change::New, Past::default(), Next::Fail(Why::Refused)),
        (Planned, true, Change::New, Past::default(), Next::Fail(Why::Refused)),
        // Its outcome is hidden by a stop: no second request, not with the same key either.
        (Sending, false, Change::New, Past::default(), Next::Fail(Why::Refused)),
        (Planned, false, Change::Corrected, Past::default(), Next::Fail(Why::Refused)),
        // What ends for everybody ends so.
        (Planned, false, Change::Corrected, silent, Next::Skip(Why::NothingToCorrect)),
        // Asking a gateway rings nobody.
        (Uncertain, true, Change::New, Past::default(), Next::Ask { person: person() }),
    ] {
        let due_at = later.filter(|_| state == Planned);
        let delivery = Delivery { uncertain, due_at, ..delivery("a", state) };
        let (person, refused) = (person(), true);
        let situation = Situation { change, past, person: Some(&person), refused, ..situation(&delivery) };
        assert_eq!(next(&situation), expected, "{state} {change}");
    }
}

#[test]
fn an_outcome_moves_a_delivery_like_this() {
    let settings = RetrySettings { max_attempts: 3, ..RetrySettings::default() };
    let yes = Outcome::Accepted { gateway_ref: Some("m".into()) };
    let no = Outcome::Permanent { reason: "http_404".into() };
    let busy = Outcome::Transient { reason: "http_429".into(), retry_after_ms: Some(90_000) };
    let lost = Outcome::Unknown { reason: "timeout".into(), retry_after_ms: None };
    let used_up = Outcome::WindowUsedUp { reason: "130101".into(), until: Some(NOW.plus_millis(600_000)) };
    let account = Outcome::Account { reason: "http_401".into() };
    let text = Outcome::Text { reason: "isv.SMS_TEMPLATE_ILLEGAL".into() };
    // outcome, attempt, uncertain before; state, reason, uncertain after
    for (outcome, attempt, before, state, reason, uncertain) in [
        (&yes, 1, false, DeliveryState::Accepted, None, false),
        (&no, 1, false, DeliveryState::Failed, Some("http_404"), false),
        (&no, 2, true, DeliveryState::Failed, Some("http_404"), true),
        (&busy, 1, false, DeliveryState::Planned, Some("http_429"), false),
        (&text, 2, false, DeliveryState::Planned, Some("isv.SMS_TEMPLATE_ILLEGAL"), false),
        (&text, 3, false, DeliveryState::Failed, Some("gave_up:isv.SMS_TEMPLATE_ILLEGAL"), false),
        (&busy, 3, false, DeliveryState::Failed, Some("gave_up:http_429"), false),
        (&used_up, 1, false, DeliveryState::Planned, Some("window_used_up:130101"), false),
        (&used_up, 3, false, DeliveryState::Failed, Some("gave_up:130101"), false),
        (&account, 1, false, DeliveryState::Planned, Some("http_401"), false),
        (&account, 3, false, DeliveryState::Failed, Some("gave_up:http_401"), false),
        (&lost, 2, false, DeliveryState::Planned, Some("timeout"), true),
        (&lost, 3, false, DeliveryState::Failed, Some("gave_up:timeout"), true),
    ] {
        let sent = Delivery { attempt, uncertain: before, ..delivery("a", DeliveryState::Sending) };
        let after = after(&sent, outcome, Kind::Idempotent, NOW, &settings);
        assert_eq!((after.state, after.reason.as_deref(), after.uncertain), (state, reason, uncertain));
        assert_eq!(after.due_at.is_some(), state == DeliveryState::Planned);
        assert_eq!(after.gateway_ref.is_some(), state == DeliveryState::Accepted);
    }
    let sent = Delivery { attempt: 1, ..delivery("a", DeliveryState::Sending) };
    assert_eq!(
        after(&sent, &busy, Kind::Idempotent, NOW, &settings).due_at,
        Some(NOW.plus_millis(90_000)),
        "Retry-After is kept"
    );
    // Nobody else hears a correction: it waits until the template is approved, and then has all its attempts.
    let correction = Delivery { attempt: 3, change: Change::Corrected, ..sent.clone() };
    let waits = after(&correction, &text, Kind::Idempotent, NOW, &settings);
    assert_eq!((waits.state, waits.attempt), (DeliveryState::Planned, 1));
    assert_eq!(waits.due_at, Some(NOW.plus_millis(settings.max_delay_ms)));
    let waits = after(&sent, &used_up, Kind::Idempotent, NOW, &settings);
    assert_eq!(waits.due_at, Some(NOW.plus_millis(600_000)), "not before the window opens");
}

#[test]
fn delays_double_up_to_a_limit_and_are_spread() {
    let settings = RetrySettings::default();
    let mut seen = std::collections::HashSet::new();
    for id in ["a", "b", "c", "d"] {
        for attempt in 1..=60 {
            let whole = (2_000_i64 << (attempt - 1).min(20)).min(600_000);
            let delay = backoff_ms(id, attempt, &settings);
            assert!((whole / 2..=whole).contains(&delay), "{attempt}: {delay} of {whole}");
            assert_eq!(delay, backoff_ms(id, attempt, &settings));
        }
        seen.insert(backoff_ms(id, 5, &settings));
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn sending_names_the_contact_and_remembers_a_lost_request() {
    let planned = sending(&delivery("a", DeliveryState::Planned), &person(), NOW);
    assert_eq!((planned.contact_rank, planned.contact_version, planned.attempt), (Some(2), Some(7), 1));
    assert!(!planned.uncertain);
    let again = sending(&planned, &person(), NOW);
    assert_eq!((again.attempt, again.uncertain, &again.delivery_id), (2, true, &planned.delivery_id));
}

#[test]
fn what_may_ring_at_which_hour() {
    use Urgency::*;
    let owner = |change, severity| hold::urgency(&owner_alert("a", change, severity), Role::Owner);
    for (change, severity, expected) in [
        (Change::New, Severity::Minor, Daytime),
        (Change::New, Severity::Severe, AtOnce),
        (Change::New, Severity::Fatal, AtOnce),
        (Change::Upgraded, Severity::Fatal, AtOnce),
        (Change::Corrected, Severity::Fatal, Daytime),
        (Change::Downgraded, Severity::Severe, Daytime),
        (Change::Corrected, Severity::Minor, Daytime),
    ] {
        assert_eq!(owner(change, severity), expected, "{change} {severity}");
    }
    for (change, level, township, emergency) in [
        (Change::New, Some(Level::Blue), Workday, Daytime),
        (Change::New, Some(Level::Yellow), Daytime, Daytime),
        (Change::Raised, Some(Level::Orange), Daytime, Daytime),
        (Change::Raised, Some(Level::Red), AtOnce, AtOnce),
        (Change::Added, Some(Level::Red), AtOnce, AtOnce),
        (Change::Eased, Some(Level::Blue), Daytime, Daytime),
        (Change::Closed, None, Daytime, Daytime),
    ] {
        let alert = escalation(change, level, 2);
        assert_eq!(hold::urgency(&alert, Role::TownshipDuty), township, "{change} {level:?}");
        assert_eq!(hold::urgency(&alert, Role::EmergencyDuty), emergency, "{change} {level:?}");
    }
}

#[test]
fn a_message_grows_old_from_when_it_might_first_ring() {
    let hour = 3_600_000;
    let calendar = Calendar::new(Default::default(), Default::default());
    let planned = delivery("a", DeliveryState::Planned);
    // Saturday noon; offices read on Monday at 08:30, 44.5 hours later.
    let decided_at: Instant = "2026-11-28T12:00:00+08:00".parse().unwrap();
    let monday = decided_at.plus_millis(44 * hour + hour / 2);
    let told = Past { ended: 1, maybe_out: true, ..Past::default() };
    for (change, past, urgency, age, expected) in [
        (Change::New, Past::default(), Urgency::Daytime, 71, false),
        (Change::New, Past::default(), Urgency::Daytime, 72, true),
        (Change::New, Past::default(), Urgency::AtOnce, 72, true),
        (Change::New, Past::default(), Urgency::Workday, 72, false),
        (Change::New, told, Urgency::Daytime, 72, true),
        (Change::Corrected, told, Urgency::Daytime, 720, false),
    ] {
        let situation = Situation {
            change,
            past,
            urgency,
            decided_at,
            calendar: &calendar,
            expire_after_ms: Some(72 * hour),
            now: decided_at.plus_millis(age * hour),
            ..situation(&planned)
        };
        assert_eq!(expired(&situation), expected, "{change} after {age} hours");
    }
    let workday = Situation {
        urgency: Urgency::Workday,
        decided_at,
        calendar: &calendar,
        expire_after_ms: Some(72 * hour),
        now: monday.plus_millis(72 * hour),
        ..situation(&planned)
    };
    assert!(expired(&workday));
    let digest = quota::joined(None, &planned, planned.at, decided_at);
    assert!(quota::is_digest(&digest));
    assert!(!expired(&Situation { delivery: &digest, ..workday }), "it waits behind others of its phone");
    assert!(!expired(&Situation { now: workday.now.plus_millis(-1), ..workday }));
}
