use tocsin_schemas::records::DeliveryState::{Accepted, Delivered, Failed, Planned, Sending, Uncertain};

use super::*;
use crate::fixtures::delivery;
use crate::gateways::Verdict;

const SENT: Instant = Instant(1_000_000_000);
const MINUTE: i64 = 60_000;

fn settings() -> RetrySettings {
    RetrySettings::default()
}

fn sending(attempt: u32) -> Delivery {
    Delivery { attempt, sent_at: Some(SENT), at: SENT, ..delivery("a", Sending) }
}

fn uncertain() -> Delivery {
    Delivery {
        attempt: 1,
        sent_at: Some(SENT),
        at: SENT.plus_millis(9_000),
        due_at: Some(SENT.plus_millis(19_000)),
        reason: Some("timeout".into()),
        uncertain: true,
        ..delivery("a", Uncertain)
    }
}

#[test]
fn what_follows_an_unseen_outcome_is_the_gateways_kind() {
    let now = SENT.plus_millis(10_000);
    let after = |before: &Delivery, kind, settings: &RetrySettings| {
        let after = unseen(before, "timeout", None, kind, now, settings);
        assert!(after.uncertain && after.at == now && after.sent_at == Some(SENT));
        (after.state, after.reason.unwrap(), after.due_at.is_some())
    };
    let (once, never) = (RetrySettings { resend_unknown: true, ..settings() }, settings());
    let (first, last) = (sending(1), sending(never.max_attempts));
    let told = Delivery { uncertain: true, ..sending(2) };
    for (before, kind, settings, state, reason, open) in [
        (&first, Kind::Idempotent, &never, Planned, "timeout", true),
        (&last, Kind::Idempotent, &never, Failed, "gave_up:timeout", false),
        // Asking is no attempt: the last one is asked about, too.
        (&first, Kind::Askable, &never, Uncertain, "timeout", true),
        (&last, Kind::Askable, &once, Uncertain, "timeout", true),
        (&first, Kind::Neither, &never, Failed, "unknown:timeout", false),
        (&first, Kind::Neither, &once, Planned, "timeout", true),
        (&told, Kind::Neither, &once, Failed, "unknown:timeout", false),
    ] {
        let expected = (state, reason.to_owned(), open);
        assert_eq!(after(before, kind, settings), expected, "{kind:?} attempt {}", before.attempt);
    }
}

#[test]
fn where_not_found_never_counts_asking_ends_all_the_same() {
    let never = i64::from(u32::MAX) * 1_000;
    let at = |hours: i64| {
        let now = SENT.plus_millis(hours * 60 * MINUTE);
        told(&uncertain(), &Told::NotFound, never, now, &settings())
    };
    assert!(matches!(at(47), Settled::Still(_)));
    let Settled::Moves(after) = at(49) else { panic!("it is asked for ever") };
    assert_eq!((after.state, after.reason.as_deref()), (Failed, Some("never_settled")));
    assert!(after.uncertain, "it may have come");
}

#[test]
fn an_answer_settles_and_not_found_only_after_its_time() {
    let half_an_hour = 30 * MINUTE;
    let known = |fate| Told::Known { fate, gateway_ref: Some("m1".into()) };
    let at = |answer: &Told, minutes: i64| {
        told(&uncertain(), answer, half_an_hour, SENT.plus_millis(minutes * MINUTE), &settings())
    };
    for (fate, state, reason) in [
        (Fate::Accepted, Accepted, None),
        (Fate::Delivered, Delivered, None),
        (Fate::Failed("MK:0001".into()), Failed, Some("carrier_failed")),
        // As in a receipt: nobody has this number.
        (Fate::Failed("MK:0000".into()), Failed, Some("bounced")),
    ] {
        let Settled::Moves(after) = at(&known(fate), 1) else { panic!() };
        assert_eq!((after.state, after.reason.as_deref(), after.due_at), (state, reason, None));
        assert_eq!((after.gateway_ref.as_deref(), after.uncertain), (Some("m1"), false));
    }
    // A minute after the request half of that is waited; near the half hour not beyond it.
    let minutes = |n: i64| SENT.plus_millis(n * MINUTE);
    assert_eq!(at(&Told::NotFound, 1), Settled::Still(minutes(1).plus_millis(30_000)));
    assert_eq!(at(&Told::NotFound, 29), Settled::Still(minutes(30)));
    let Settled::Moves(after) = at(&Told::NotFound, 30) else { panic!() };
    assert_eq!((after.state, after.reason.as_deref()), (Planned, Some("not_found")));
    assert!(!after.uncertain && after.due_at > Some(minutes(30)));
    // No attempt is left.
    let last = Delivery { attempt: settings().max_attempts, ..uncertain() };
    let Settled::Moves(after) = told(&last, &Told::NotFound, half_an_hour, minutes(30), &settings()) else {
        panic!()
    };
    assert_eq!((after.state, after.reason.as_deref()), (Failed, Some("gave_up:not_found")));
    assert!(!after.uncertain);
}

#[test]
fn a_question_without_an_answer_is_put_again_and_believes_retry_after() {
    let at = |verdict, seconds: i64| {
        let now = SENT.plus_millis(seconds * 1000);
        let Settled::Still(until) = told(&uncertain(), &Told::CannotTell(verdict), 0, now, &settings())
        else {
            panic!()
        };
        (until.0 - now.0) / 1000
    };
    assert_eq!(at(Verdict::unknown("timeout"), 0), 10);
    assert_eq!(at(Verdict::unknown("timeout"), 100), 50);
    assert_eq!(at(Verdict::transient("http_503"), 86_400), 600);
    let busy = |retry_after_ms| {
        Verdict::of(crate::channel::Outcome::Transient { reason: "http_429".into(), retry_after_ms })
    };
    assert_eq!(at(busy(Some(1_800_000)), 100), 1_800);
    assert_eq!(at(busy(Some(i64::MAX)), 100), settings().max_retry_after_ms / 1000);
}

#[test]
fn asking_ends_when_it_found_nothing_out_for_long_enough_or_never_can() {
    let settings = RetrySettings { settle_for_ms: 1_000_000, ..settings() };
    let no = Told::CannotTell(Verdict::permanent("cannot_be_asked"));
    let later = Told::CannotTell(Verdict::transient("http_503"));
    // The answer, how long after the request, and how it ends.
    for (answer, after, end) in [
        (&no, 0, Some("cannot_ask")),
        (&later, 1_000_000, None),
        (&later, 1_000_001, Some("never_settled")),
        (&Told::NextPage(2), 1_000_001, Some("never_settled")),
    ] {
        let found = told(&uncertain(), answer, 0, SENT.plus_millis(after), &settings);
        match (found, end) {
            (Settled::Still(_), None) => {}
            (Settled::Moves(ended), Some(reason)) => {
                assert_eq!(
                    (ended.state, ended.reason.as_deref(), ended.uncertain),
                    (Failed, Some(reason), true)
                );
            }
            (found, _) => panic!("{found:?}"),
        }
    }
}
