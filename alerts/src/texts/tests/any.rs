//! Any alert within the contract: one segment, variables that the gateway takes, and what its approved template
//! makes of them is our text.

use proptest::prelude::*;
use tocsin_schemas::codes::Reason;
use tocsin_schemas::ids::IncidentId;
use tocsin_schemas::time::Day;

use super::super::*;
use crate::fixtures::{audience, escalation, owner_alert, uscc};
use crate::gateways::{Marks, TABLE};

/// What a gateway makes of its approved template, written independently of ours.
fn filled_by_gateway(to_approve: &str, marks: Marks, signature: &str, slots: &[(&str, String)]) -> String {
    let mut text = to_approve.to_owned();
    for (at, (name, value)) in slots.iter().enumerate() {
        let mark = match marks {
            Marks::Named => "${".to_owned() + name + "}",
            Marks::Numbered => "{".to_owned() + &(at + 1).to_string() + "}",
        };
        let (before, after) = text.split_once(&mark).expect("the template has each of its variables");
        text = before.to_owned() + value + after;
    }
    "【".to_owned() + signature + "】" + &text
}

fn reason() -> impl Strategy<Value = Option<Reason>> {
    prop::option::of(prop::sample::select(vec![
        Reason::Withdrawn,
        Reason::Refused,
        Reason::Merged,
        Reason::Moved,
        Reason::HostChanged,
        Reason::Suspected,
        Reason::Unmatched,
        Reason::Corrected,
        Reason::Succeeded,
        Reason::Policy,
    ]))
}

/// A name as registries have it: any characters but the braces that mark a variable in this test's templates.
fn name() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[\u{4e00}-\u{9fa5}A-Za-z0-9（）·【】 \u{20000}-\u{20100}]{0,60}")
}

prop_compose! {
    fn facts()(
        names in (name(), name()),
        area in prop::option::of(prop_oneof![
            prop::sample::select(tocsin_schemas::areas::areas()).prop_map(|area| area.code.to_owned()),
            "[A-Z0-9-]{0,20}",
        ]),
        occurred in 0i64..12_000,
        cause in prop::option::of(1u8..=20),
        counts in (any::<u32>(), any::<u32>(), any::<u32>()),
        number in 0..=IncidentId::MAX,
        reason in reason(),
    ) -> (Alert, u32) {
        {
            let mut alert = owner_alert("a", Change::New, Severity::Minor);
            let epoch: Day = "2000-01-01".parse().unwrap();
            alert.case_no = IncidentId(number).to_string().into();
            alert.reason = reason;
            alert.count = counts.0;
            alert.facts.short_name = names.0.clone().map(Into::into);
            alert.facts.enterprise_name = names.1.clone().map(Into::into);
            alert.facts.area = area.clone().map(Into::into);
            alert.facts.occurred_on = Some(epoch.plus(occurred.try_into().unwrap()));
            alert.facts.cause = cause.and_then(|n| format!("{n:02}").parse().ok());
            alert.facts.window_days = Some(counts.1);
            (alert, counts.2)
        }
    }
}

/// Another alert with the facts of the first.
fn said(facts: Alert, alert: Alert) -> Alert {
    let Alert { case_no, reason, count, facts, .. } = facts;
    Alert { case_no, reason, count, facts, ..alert }
}

fn alert() -> impl Strategy<Value = (Alert, Audience)> {
    let severity = prop::sample::select(Severity::ALL);
    let owner = (facts(), severity.clone(), 0usize..4).prop_map(|(facts, severity, change)| {
        let change = [Change::New, Change::Upgraded, Change::Corrected, Change::Downgraded][change];
        let (alert, year_to_date) = facts;
        let alert = said(alert, owner_alert("a", change, severity));
        (alert, Audience { year_to_date: Some(year_to_date), ..audience(Role::Owner, uscc().as_str()) })
    });
    let level = prop::sample::select(Level::ALL);
    let township =
        (facts(), severity, level, 0usize..5, 0u32..3).prop_map(|(facts, worst, level, change, ids)| {
            let change = [Change::New, Change::Raised, Change::Added, Change::Eased, Change::Closed][change];
            let mut alert = said(facts.0, escalation(change, Some(level), 1));
            alert.facts.worst = Some(worst);
            alert.facts.severe_incident_ids = (0..ids).map(IncidentId).collect();
            if change == Change::Closed {
                alert.level = None;
            }
            (alert, audience(Role::TownshipDuty, "330784001"))
        });
    prop_oneof![owner, township]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_alert_is_worded_for_any_gateway((alert, audience) in alert()) {
        let texts = Texts::built_in();
        for profile in TABLE.iter().map(|entry| entry.profile) {
            let most = profile.limits.variable_chars;
            let message = texts.render(&alert, &audience, most).unwrap();
            let text = &message.text;
            prop_assert!(text.chars().count() <= 70, "{}: {text}", profile.name);
            prop_assert_eq!(text.matches(['【', '】']).count(), 2, "{}", text);
            for (slot, value) in &message.slots {
                let chars = value.chars().count();
                prop_assert!(chars > 0 && most.is_none_or(|most| chars <= most), "{} {slot}: {value}", profile.name);
            }
            // The number is there as a whole: in one piece, or in two with a hyphen.
            prop_assert!(text.replace('-', "").contains(&alert.case_no.replace('-', "")), "{}", text);
            let Some(marks) = profile.marks else {
                // With a name of this contract nothing but a limit on variables calls for the fallback.
                prop_assert_eq!(message.fallback, None);
                continue;
            };
            let (_, wording) = texts.wordings(message.template).find(|(id, _)| *id == message.wording()).unwrap();
            let to_approve = wording.to_approve(marks);
            let signature = wording.signature().unwrap();
            prop_assert_eq!(&filled_by_gateway(&to_approve, marks, signature, &message.slots), text);
            if let Some(why) = &message.fallback {
                prop_assert_eq!(why.reason(), "variable_too_long");
                for name in [&alert.facts.short_name, &alert.facts.enterprise_name].into_iter().flatten() {
                    let name: String = name.chars().filter(|c| !"【】 ".contains(*c)).take(5).collect();
                    prop_assert!(name.chars().count() < 5 || !text.contains(&name), "{name}: {text}");
                }
            }
        }
    }
}

#[test]
fn the_fallback_is_sent_for_a_named_reason_and_without_the_name() {
    let alert = escalation(Change::New, Some(Level::Yellow), 3);
    let texts = Texts::built_in();
    let rendered = |most| texts.render(&alert, &alert.audiences[0], most).unwrap();
    assert_eq!((rendered(None).wording(), rendered(Some(35)).wording()), ("T7", "T7"));
    let message = rendered(Some(6));
    assert_eq!(message.wording(), "T7_fallback");
    assert_eq!(
        message.text,
        "【永康工伤预警】东城街道一企业近365天3起工伤，达黄色预警，请24小时内核查。单号00000-0422"
    );
    let why = message.fallback.unwrap();
    assert_eq!(why.reason(), "variable_too_long");
    assert_eq!(why.to_string(), "T7 has 9 characters in id, and the gateway takes 6");
    // Where even the fallback has no room nothing is cut: it is not sent.
    let error = texts.render(&alert, &alert.audiences[0], Some(4)).unwrap_err();
    assert_eq!(error.to_string(), "T7 has 5 characters in id_head, and the gateway takes 4");
}

#[test]
fn an_area_that_is_too_long_for_a_variable_is_the_city_not_a_part_of_its_name() {
    let mut alert = escalation(Change::New, Some(Level::Blue), 2);
    alert.facts.area = Some("YK-LONGEST-ZONE".into());
    let text = Texts::built_in().render(&alert, &alert.audiences[0], Some(6)).unwrap().text;
    assert!(text.starts_with("【永康工伤预警】永康市一企业近365天"), "{text}");
}

#[test]
fn a_text_of_the_operators_takes_the_place_of_ours() {
    let own = BTreeMap::from([("T12".to_owned(), "【永康人社】编号{{ id }}伤情：{{ sev }}。\n".to_owned())]);
    let texts = Texts::read(&own).unwrap();
    let alert = owner_alert("a", Change::Downgraded, Severity::Minor);
    assert_eq!(
        texts.render(&alert, &alert.audiences[0], None).unwrap().text,
        "【永康人社】编号000000422伤情：轻伤。"
    );
    let alert = owner_alert("a", Change::New, Severity::Minor);
    assert_eq!(texts.render(&alert, &alert.audiences[0], None), render(&alert, &alert.audiences[0]));
}
