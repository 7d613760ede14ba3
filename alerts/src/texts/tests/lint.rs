//! Every rule, broken once.

use serde_json::json;

use super::super::lint::{Rule, approved, gateway, read};
use super::super::*;
use crate::gateways::limits::NO_LIMITS;
use crate::gateways::settings::Templates;
use crate::gateways::{Limits, Profile, TABLE, find};

/// What is found when this template takes the place of a text.
fn found(id: &str, template: &str) -> Vec<String> {
    let own = BTreeMap::from([(id.to_owned(), template.to_owned())]);
    let (_, problems) = read(&own);
    assert_eq!(Texts::read(&own).is_err(), !problems.is_empty(), "what lint finds cannot be used");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_delivered_breaks_no_rule_at_any_gateway() {
    let (texts, problems) = read(&BTreeMap::new());
    assert_eq!(problems, []);
    for entry in TABLE {
        for template in Template::ALL {
            let carried = gateway(&texts, template, entry.profile).unwrap();
            assert!(carried.chars <= LIMIT, "{carried:?}");
            let fallback = entry.profile.name == "tencent" && template != Template::T10;
            assert_eq!(carried.wording == template.fallback_id(), fallback, "{carried:?}");
            assert_eq!(carried.why.is_some(), fallback, "{carried:?}");
        }
    }
}

#[test]
fn every_rule_of_a_wording_can_be_broken() {
    for (id, template, expected) in [
        ("T99", "【永康人社】编号{{ id }}", "T99: unknown_text: expected T1 to T18"),
        ("t1", "【永康人社】编号{{ id }}", "t1: unknown_text: "),
        ("T10_fallbacks", "【永康人社】编号{{ id }}", "T10_fallbacks: unknown_text: "),
        ("T6", "【永康安委办】编号{{ id", "T6: syntax: "),
        ("T6", "【永康安委办】编号{{ id }}{% if id %}。{% endif %}", "T6: not_plain: "),
        ("T6", "【永康安委办】编号{{ id }}{# 注 #}", "T6: not_plain: "),
        ("T6", "【永康安委办】编号{{id}}", "T6: not_plain: expected words and slots such as {{ id }}"),
        ("T6", "【永康安委办】编号{{ id|upper }}", "T6: not_plain: "),
        ("T6", "【永康安委办】编号{{ id ~ 1 }}", "T6: not_plain: "),
        ("T6", "【永康安委办】编号{{ id if id == '1' else '' }}", "T6: not_plain: "),
        ("T6", "【永康安委办】编号{{ id }}{% include '/etc/passwd' %}", "T6: "),
        (
            "T6",
            "【永康安委办】编号{{ id }}{{ range(3) }}",
            "T6: unknown_slot: range: T6 has id, id_head, id_tail",
        ),
        ("T6", "【永康安委办】编号{{ id }}近{{ lv }}级", "T6: unknown_slot: lv: T6 has id, id_head, id_tail"),
        ("T1", "【永康人社】{{ worker_name }}受伤，编号{{ id }}", "T1: personal_data: worker_name"),
        ("T1", "【永康人社】编号{{ id }}，{{ phone }}", "T1: personal_data: phone"),
        ("T1", "【永康人社】编号{{ id }}，诊断{{ diagnosis }}", "T1: personal_data: diagnosis"),
        ("T6", "【永康安委办】编号{{ id }}，即{{ id }}", "T6: slot_repeated: id stands in it more than once"),
        ("T1", "【永康人社】{{ M }}{{ D }}日，编号{{ id }}", "T1: slots_adjacent: no words between M and D"),
        ("T6", "【永康安委办】{{ id }}", "T6: only_slots: "),
        ("T6", "【永康安委办】{{ id_head }}-{{ id_tail }}", "T6: only_slots: "),
        ("T6", "编号{{ id }}", "T6: no_signature: "),
        ("T6", "【永康安委办】请看【通知】，编号{{ id }}", "T6: bracket_in_body: 【"),
        ("T6", "【永康安委办】通知\n编号{{ id }}", "T6: not_one_line: "),
        ("T6", "【永康安委办】通知编号{{ id }}\n\n", "T6: not_plain: "),
        ("T6", "【永康安委办】告知书已逾期。", "T6: no_number: "),
        ("T6", "【永康安委办】告知书{{ id_tail }}已逾期。", "T6: no_number: "),
        ("T6", "【永康安委办】告知书{{ id_tail }}-{{ id_head }}已逾期。", "T6: no_number: "),
        (
            "T7_fallback",
            "【永康工伤预警】{{ ent }}达{{ lv }}，单号{{ id }}",
            "T7_fallback: fallback_names: ent",
        ),
        (
            "T6_fallback",
            "【永康人社】编号{{ id }}",
            "T6_fallback: fallback_signature: expected that of T6, 【永康安委办】, found 【永康人社】",
        ),
    ] {
        let found = found(id, template);
        assert_eq!(found.len(), 1, "{template}: {found:?}");
        assert!(found[0].starts_with(expected), "{template}: {found:?}");
    }
}

#[test]
fn a_signature_stands_at_the_beginning_and_is_fixed() {
    for template in
        ["【】编号{{ id }}", "编号{{ id }}【永康安委办】", "【{{ id }}】编号", " 【永康安委办】编号{{ id }}"]
    {
        let found = found("T6", template);
        assert!(found.iter().any(|f| f.starts_with("T6: no_signature: ")), "{template}: {found:?}");
    }
}

#[test]
fn a_text_of_two_segments_is_found_and_one_of_exactly_one_is_not() {
    let fixed = "【永康安委办】编号".chars().count() + 10;
    let of = |chars: usize| format!("【永康安委办】{}编号{{{{ id }}}}", "请".repeat(chars - fixed));
    assert_eq!(found("T6", &of(70)), Vec::<String>::new());
    let expected =
        "T6: several_segments: with the longest values 71 characters, 2 segments; expected 70 at most";
    assert_eq!(found("T6", &of(71)), [expected]);
    let expected =
        "T6: several_segments: with the longest values 500 characters, 8 segments; expected 70 at most";
    assert_eq!(found("T6", &of(500)), [expected]);
    let expected =
        "T6: text_too_long: with the longest values 501 characters, 8 segments; expected 70 at most";
    assert_eq!(found("T6", &of(501)), [expected]);
    // A name gives way until 2 characters are left of it.
    let fixed = "【永康工伤预警】编号发生".chars().count() + 10;
    let of = |name: usize| {
        format!("【永康工伤预警】{{{{ ent }}}}发生{}编号{{{{ id }}}}", "请".repeat(70 - fixed - name))
    };
    assert_eq!(found("T8", &of(2)), Vec::<String>::new());
    assert_eq!(found("T8", &of(1)).len(), 1);
}

#[test]
fn what_one_gateway_cannot_carry_is_found_for_that_one() {
    let profile = |limits| Profile { name: "small", limits, ..*find("tencent").unwrap().profile };
    let judged = |texts: &Texts, template, limits| match gateway(texts, template, &profile(limits)) {
        Ok(carried) => format!("{} {}", carried.wording, carried.chars),
        Err(problem) => problem.to_string(),
    };
    let texts = Texts::built_in();
    let variables = |most| Limits { variable_chars: Some(most), ..NO_LIMITS };
    assert_eq!(judged(&texts, Template::T7, variables(35)), "T7 70");
    assert_eq!(judged(&texts, Template::T7, variables(6)), "T7_fallback 59");
    let expected = "T7 for small: variable_too_long: with the longest values: T7 has 6 characters in area, and the gateway takes 5";
    assert_eq!(judged(&texts, Template::T7, variables(5)), expected);
    let expected = "T10 for small: variable_too_long: with the longest values: T10 has 5 characters in hm, and the gateway takes 4";
    assert_eq!(judged(&texts, Template::T10, variables(4)), expected);
    let bytes = Limits { text_bytes: Some(100), ..NO_LIMITS };
    let expected = "T6 for small: text_too_long: with the longest values 48 characters in 124 bytes";
    assert_eq!(judged(&texts, Template::T6, bytes), expected);
    assert!(
        judged(&texts, Template::T6, Limits { text_chars: Some(47), ..NO_LIMITS }).contains("text_too_long")
    );
    assert_eq!(judged(&texts, Template::T6, Limits { text_chars: Some(48), ..NO_LIMITS }), "T6 48");
    // An operator's fallback that still has a slot of 10 characters is no help to Tencent.
    let own = BTreeMap::from([("T6_fallback".to_owned(), "【永康安委办】编号{{ id }}".to_owned())]);
    let own = Texts::read(&own).unwrap();
    let expected = "T6 for tencent: variable_too_long: with the longest values: T6 has 10 characters in id, and the gateway takes 6";
    assert_eq!(
        gateway(&own, Template::T6, find("tencent").unwrap().profile).unwrap_err().to_string(),
        expected
    );
}

/// An operator's table with everything that a gateway needs.
fn whole_table(gateway: &str) -> Templates {
    let texts = Texts::built_in();
    let rows = Template::ALL.into_iter().flat_map(|template| {
        let fallback = gateway == "tencent" && template != Template::T10;
        let (id, wording) = texts.wordings(template).nth(usize::from(fallback)).unwrap();
        let slots: Vec<&str> = wording.slots().iter().map(|slot| slot.name()).collect();
        let row = json!({"id": format!("SMS_{id}"), "slots": slots, "sign_name": wording.signature()});
        [(id.to_owned(), serde_json::from_value(row).unwrap())]
    });
    rows.collect()
}

#[test]
fn a_table_of_approved_templates_is_that_of_the_texts() {
    let texts = Texts::built_in();
    for name in ["aliyun", "tencent"] {
        let profile = find(name).unwrap().profile;
        let whole = whole_table(name);
        assert_eq!(approved(&texts, profile, "永康人社", &whole), [], "{name}");
        let judged = |change: &dyn Fn(&mut Templates)| -> Vec<String> {
            let mut table = whole.clone();
            change(&mut table);
            approved(&texts, profile, "永康人社", &table).iter().map(ToString::to_string).collect()
        };
        let t7 = if name == "tencent" { "T7_fallback" } else { "T7" };
        let missing = judged(&|table| drop(table.remove(t7)));
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert!(missing[0].starts_with(&format!("{t7} for {name}: not_approved: ")), "{missing:?}");
        let turned = judged(&|table| table.get_mut(t7).unwrap().slots.reverse());
        assert!(turned.len() == 1 && turned[0].contains("approved_slots: expected "), "{turned:?}");
        let signed = judged(&|table| table.get_mut(t7).unwrap().sign_name = None);
        let expected = "approved_signature: expected sign_name = \"永康工伤预警\", found \"永康人社\"";
        assert!(signed.len() == 1 && signed[0].ends_with(expected), "{signed:?}");
        let stray = judged(&|table| {
            let row = table[t7].clone();
            table.insert("T77".into(), row);
        });
        assert_eq!(
            stray,
            [format!("T77 for {name}: unknown_text: expected T1 to T18, or one of these with _fallback")]
        );
    }
    // Who takes texts as they are needs no table.
    assert_eq!(approved(&texts, find("webhook").unwrap().profile, "", &Templates::new()), []);
}

#[test]
fn every_rule_and_every_slot_has_a_name_of_its_own_and_a_row_in_the_docs() {
    use Rule::*;
    let all = [
        UnknownText,
        Syntax,
        NotPlain,
        UnknownSlot,
        PersonalData,
        SlotRepeated,
        SlotsAdjacent,
        OnlySlots,
        NoSignature,
        BracketInBody,
        NotOneLine,
        NoNumber,
        FallbackNames,
        FallbackSignature,
        SeveralSegments,
        TextTooLong,
        VariableTooLong,
        NotApproved,
        ApprovedSlots,
        ApprovedSignature,
    ];
    let names: std::collections::BTreeSet<&str> = all.iter().map(|rule| rule.as_str()).collect();
    assert_eq!(names.len(), all.len());
    let slots: std::collections::BTreeSet<&str> = Slot::ALL.iter().map(|slot| slot.name()).collect();
    assert_eq!(slots.len(), Slot::ALL.len());
    let docs = include_str!("../../../../docs/templates.md");
    for name in names.into_iter().chain(slots) {
        assert!(docs.lines().any(|row| row.starts_with('|') && row.contains(&format!("`{name}`"))), "{name}");
    }
}
