use super::*;
use crate::answers::{Came, gateway_said};
use tocsin_schemas::codes::AnswerKind;
use tocsin_schemas::time::Instant;

const STEPS: [Step; 5] = [Step::Planned, Step::Out, Step::Failed, Step::Delivered, Step::Ended];

fn answer(says: Says) -> Answer {
    let came = Came { gateway: "aliyun".into(), kind: AnswerKind::Receipt, received_at: Instant(5) };
    let fate = if says == Says::Failed {
        crate::gateways::Fate::Failed("UNDELIV".into())
    } else {
        crate::gateways::Fate::Delivered
    };
    let answer = gateway_said(came, "D", Some("1^0".into()), &fate, None).unwrap();
    Answer { says, ..answer }.with_id()
}

fn standing(step: Step, tried: bool, said: Option<Says>) -> Standing {
    Standing { step, tried, gateway_ref: Some("1^0".into()), said }
}

/// The table of the module's page again, as text.
fn expected(step: Step, tried: bool, said: Option<Says>, says: Says) -> String {
    let rank = |s: Says| match s {
        Says::Acknowledged => 1,
        Says::WithdrawnClaim => 2,
        Says::NotOurs => 3,
        _ => 0,
    };
    let text = match (tried, step, says) {
        (false, ..) => "ignored not_sent",
        (_, Step::Ended, _) => "late",
        (_, Step::Delivered, Says::Delivered) | (_, Step::Failed, Says::Failed) => "duplicate",
        (_, _, Says::Delivered) => "delivered",
        (_, Step::Delivered, Says::Failed) => "ignored was_delivered",
        (_, Step::Planned, Says::Failed) => "ignored trying_again",
        (_, _, Says::Failed) => "failed",
        (_, _, Says::Other) => "ignored not_understood",
        _ if rank(says) <= said.map_or(0, rank) => "duplicate",
        (_, _, Says::Acknowledged) => "acknowledged",
        (_, _, Says::WithdrawnClaim) => "withdrawn_claim",
        (_, _, Says::NotOurs) => "not_ours",
    };
    text.to_owned()
}

fn named(effect: &Effect) -> String {
    match effect {
        Effect::Delivered => "delivered".into(),
        Effect::Failed { .. } => "failed".into(),
        Effect::Acknowledged => "acknowledged".into(),
        Effect::NotOurs => "not_ours".into(),
        Effect::WithdrawnClaim => "withdrawn_claim".into(),
        Effect::Late(_) => "late".into(),
        Effect::Duplicate => "duplicate".into(),
        Effect::Unknown => "unknown".into(),
        Effect::Ignored(why) => format!("ignored {}", why.as_str()),
    }
}

#[test]
fn every_pair_has_its_named_effect() {
    let saids = [None, Some(Says::Acknowledged), Some(Says::WithdrawnClaim), Some(Says::NotOurs)];
    let mut pairs = 0;
    for step in STEPS {
        for tried in [false, true] {
            for said in saids {
                for &says in Says::ALL {
                    let found = effect(Some(&standing(step, tried, said)), &answer(says));
                    assert_eq!(
                        named(&found),
                        expected(step, tried, said, says),
                        "{step:?} {tried} {said:?} {says}"
                    );
                    pairs += 1;
                }
            }
        }
    }
    assert_eq!(pairs, 5 * 2 * 4 * 6);
    for &says in Says::ALL {
        assert_eq!(effect(None, &answer(says)), Effect::Unknown);
    }
}

#[test]
fn every_state_of_the_ledger_has_a_step_and_an_effect_is_never_taken_back() {
    for &state in DeliveryState::ALL {
        let step = Step::of(state);
        for &first in Says::ALL {
            let before = standing(step, true, None);
            let moved = before.clone().after(&effect(Some(&before), &answer(first)));
            for &second in Says::ALL {
                let after = moved.clone().after(&effect(Some(&moved), &answer(second)));
                assert!(after.said >= moved.said, "{state} {first} {second}");
                assert!(
                    moved.step != Step::Delivered || after.step == Step::Delivered,
                    "{state} {first} {second}"
                );
                // The same once more does nothing.
                assert_eq!(after.clone().after(&effect(Some(&after), &answer(second))), after);
            }
        }
    }
}

#[test]
fn a_failure_of_an_earlier_try_is_told_apart() {
    let other = Answer { gateway_ref: Some("0^0".into()), ..answer(Says::Failed) };
    assert_eq!(effect(Some(&standing(Step::Out, true, None)), &other), Effect::Ignored(Ignored::EarlierTry));
    let nameless = Answer { gateway_ref: None, ..answer(Says::Failed) };
    assert_eq!(named(&effect(Some(&standing(Step::Out, true, None)), &nameless)), "failed");
    // What reached the phone reached it, whichever try it was.
    let other = Answer { gateway_ref: Some("0^0".into()), ..answer(Says::Delivered) };
    assert_eq!(effect(Some(&standing(Step::Out, true, None)), &other), Effect::Delivered);
}

proptest::proptest! {
    /// Doubled and reordered answers end in the same place: that of each once, in any order.
    #[test]
    fn the_order_and_the_number_of_answers_do_not_matter(
        order in proptest::collection::vec(0..6usize, 1..24),
        start in 1..5usize,
    ) {
        let all = Says::ALL;
        let end = |order: &[usize]| {
            order.iter().fold(standing(STEPS[start], true, None), |standing, n| {
                let effect = effect(Some(&standing), &answer(all[*n]));
                standing.after(&effect)
            })
        };
        let mut sorted = order.clone();
        sorted.sort_unstable();
        sorted.dedup();
        proptest::prop_assert_eq!(end(&order), end(&sorted));
    }
}
