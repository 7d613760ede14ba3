use super::check::check;
use super::*;

const FROM: &str = "effective_from = \"2020-11-20\"\n";

fn wrong(text: &str) -> String {
    Policies::parse(text).unwrap_err().to_string()
}

#[test]
fn the_default_is_the_contracts() {
    let p = Policies::default();
    assert_eq!(p.begins().to_string(), "2020-11-20");
    assert_eq!((p.tables()[0].escalation.red, p.tables()[0].owner_alert.max_age_days), (5, 90));
}

#[test]
fn the_table_of_a_day_is_the_last_one_not_after_it() {
    let p = Policies::parse(
        "[[policy]]\neffective_from = \"2021-01-01\"\n[policy.escalation]\nblue = 1\n[[policy]]\neffective_from = \"2020-01-01\"\n",
    )
    .unwrap();
    let blue = |d: &str| p.on(d.parse().unwrap()).escalation.blue;
    assert_eq!((blue("2019-06-01"), blue("2020-12-31"), blue("2021-01-01")), (2, 2, 1));
}

/// Every kind of slip: one line that names its place, what came and what is allowed.
#[test]
fn each_error_names_line_column_and_what_is_allowed() {
    for (text, expected) in [
        ("", "line 1, column 1: expected at least one [[policy]] table, found none"),
        ("policy = []\n", "line 1, column 1: expected at least one [[policy]] table, found none"),
        ("policy = [7]\n", "line 1, column 11: expected a [[policy]] table"),
        (
            "[policy]\neffective_from = \"2020-11-20\"\n",
            "line 1, column 2: policy must be a list of tables: write [[policy]], in two brackets",
        ),
        (
            "[[policy]]\neffective_from = \"2020-11-20\"\n[escalation]\nblue = 1\n",
            "line 3, column 2: escalation is not a key here; allowed: [[policy]] tables",
        ),
        (
            "# 甲\n\n[[policy]]\n[policy.escalation]\nblue = 1\n",
            "line 3, column 1: this table has no effective_from, the first day on which it holds: effective_from = \"2020-11-20\"",
        ),
        (
            "[[policy]]\neffective_from = 2020-11-20\n",
            "line 2, column 18: effective_from must be a day in quotes, such as \"2020-11-20\" (S1), found 2020-11-20",
        ),
        (
            "[[policy]]\neffective_from = \"2021-02-29\"\n",
            "line 2, column 18: effective_from must be a day in quotes, such as \"2020-11-20\" (S1), found \"2021-02-29\"",
        ),
    ] {
        assert_eq!(wrong(text), expected, "{text}");
    }
    for (rest, expected) in [
        (
            "escalation.gren = 3\n",
            "line 3, column 12: escalation.gren is not a key of the policy; allowed in escalation: window_days, blue, yellow, orange, red, severe_is_red",
        ),
        (
            "[policy.escalations]\n",
            "line 3, column 9: escalations is not a key of a [[policy]] table; allowed: effective_from, escalation, owner_alert, merge, severity, lists",
        ),
        ("merge = 3\n", "line 3, column 9: merge must be a table [policy.merge], found 3"),
        (
            "  escalation.blue = \"两\" # 甲\n",
            "line 3, column 21: escalation.blue must be a whole number from 1 to 100000 (S20), found \"两\"",
        ),
        (
            "escalation.window_days = 0\n",
            "line 3, column 26: escalation.window_days must be a whole number from 1 to 3660 (S20), found 0",
        ),
        (
            "escalation.window_days = 70_000\n",
            "line 3, column 26: escalation.window_days must be a whole number from 1 to 3660 (S20), found 70_000",
        ),
        (
            "owner_alert.max_age_days = 99999999999999999999\n",
            "line 3, column 28: owner_alert.max_age_days must be a whole number from 0 to 36500 (S15), found 99999999999999999999",
        ),
        (
            "merge.case_days = 2.5\n",
            "line 3, column 19: merge.case_days must be a whole number from 0 to 3660 (S15), found 2.5",
        ),
        (
            "severity.severe_grade_max = 11\n",
            "line 3, column 29: severity.severe_grade_max must be a whole number from 0 to 10 (S26), found 11",
        ),
        (
            "escalation.severe_is_red = 1\n",
            "line 3, column 28: escalation.severe_is_red must be true or false (S20), found 1",
        ),
        (
            "escalation.yellow = 1\n",
            "line 3, column 21: escalation.yellow = 1 is below escalation.blue = 2 (its default): allowed is blue <= yellow <= orange <= red",
        ),
        (
            "escalation.blue = 4\nescalation.orange = 9\nescalation.red = 9\n",
            "line 3, column 19: escalation.yellow = 3 (its default) is below escalation.blue = 4: allowed is blue <= yellow <= orange <= red",
        ),
        (
            "\n[[policy]]\neffective_from = \"2020-11-20\"\n",
            "line 5, column 18: two tables are effective from 2020-11-20, the other one in line 2: allowed is one table for each day",
        ),
        ("escalation.blue = 1\nescalation.blue = 1\n", "line 4, column 12: duplicate key"),
        ("escalation.blue =\n", "line 3, column 18: string values must be quoted, expected literal string"),
    ] {
        assert_eq!(wrong(&format!("[[policy]]\n{FROM}{rest}")), expected, "{rest}");
    }
}

#[test]
fn bytes_that_are_no_text_and_texts_of_other_editors() {
    let of = |raw: &[u8]| Policies::parse_bytes(raw).map(|p| p.hash().to_string()).map_err(|e| e.to_string());
    let default = Ok(Policies::default().hash().to_string());
    assert_eq!(of(b"\xEF\xBB\xBF[[policy]]\r\neffective_from = \"2020-11-20\"\r\n"), default);
    let expected = "line 2, column 4: expected a TOML text in UTF-8, found the byte 0xFF";
    assert_eq!(of(&[b"[[policy]]\n# \xE7\x94\xB2", &[0xFF][..]].concat()), Err(expected.to_owned()));
    let deep = format!("[[policy]]\nmerge = {}", "[".repeat(100_000));
    assert!(of(deep.as_bytes()).unwrap_err().starts_with("line 2, column "));
}

#[test]
fn of_several_problems_the_first_in_the_text_is_named() {
    let text = format!("[[policy]]\n{FROM}[policy.merge]\ncase_days = -1\n[policy.escalation]\nblue = 0\n");
    assert!(wrong(&text).starts_with("line 4, column 13: merge.case_days"), "{}", wrong(&text));
    // Of a wrong value nothing is said about its order.
    let text = format!("[[policy]]\n{FROM}escalation.blue = 9\nescalation.yellow = \"x\"\n");
    assert!(wrong(&text).contains("escalation.yellow must be"), "{}", wrong(&text));
}

/// A field that another rule will add is checked by its line alone.
#[test]
fn a_percentage_over_100_is_refused() {
    const LISTS: &[Section] = &[Section {
        name: "lists",
        about: "",
        rising: &["blue_share", "red_share"],
        fields: &[
            Field {
                name: "fall_percent",
                about: "Of last year's incidents (S30).",
                kind: Kind::Number { default: 30.0, min: 0.0, max: 100.0 },
            },
            Field {
                name: "blue_share",
                about: "(S11)",
                kind: Kind::Number { default: 0.1, min: 0.0, max: 1.0 },
            },
            Field {
                name: "red_share",
                about: "(S11)",
                kind: Kind::Number { default: 0.2, min: 0.0, max: 1.0 },
            },
        ],
    }];
    let of = |rest: &str| check(&format!("[[policy]]\n{FROM}{rest}"), LISTS).map_err(|e| e.to_string());
    assert_eq!(of("lists.fall_percent = 30"), Ok(()));
    assert_eq!(of("lists.fall_percent = 0.5"), Ok(()));
    for found in ["130", "100.1", "-1", "nan", "inf", "\"30\""] {
        let expected = format!(
            "line 3, column 22: lists.fall_percent must be a number from 0 to 100 (S30), found {found}"
        );
        assert_eq!(of(&format!("lists.fall_percent = {found}")), Err(expected));
    }
    assert!(of("lists.red_share = 0.05").unwrap_err().contains("lists.red_share = 0.05 is below"));
}

#[test]
fn what_is_said_of_a_field_holds_for_it() {
    let policies = Policies::default();
    let fields: Vec<&Field> = SECTIONS.iter().flat_map(|s| s.fields).collect();
    assert_eq!(policies.tables()[0].values(), fields.iter().map(|f| f.default()).collect::<Vec<_>>());
    for section in SECTIONS {
        for field in section.fields {
            assert!(!field.rows().is_empty(), "{}.{} names no row of the notice", section.name, field.name);
            assert!(field.allows(field.default()), "the default of {} is not allowed", field.name);
        }
        assert!(section.rising.iter().all(|name| section.field(name).is_some()));
    }
}

/// What deploy/policy.toml calls the default is the default, and every threshold stands in it and in docs/policy.md.
#[test]
fn the_policy_that_is_delivered_is_the_default_written_out_and_explained() {
    let text = include_str!("../../../deploy/policy.toml");
    assert_eq!(Policies::parse(text).unwrap().hash(), Policies::default().hash());
    let written: toml::Table = text.parse().unwrap();
    let page = include_str!("../../../docs/policy.md");
    for section in SECTIONS {
        for field in section.fields {
            let name = format!("{}.{}", section.name, field.name);
            assert!(
                written["policy"][0].get(section.name).is_some_and(|s| s.get(field.name).is_some()),
                "deploy/policy.toml does not have {name}"
            );
            let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("docs/policy.md has no row | `{name}` |"));
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let allowed = field.kind.to_string();
            let allowed =
                allowed.trim_start_matches("a whole number from ").trim_start_matches("a number from ");
            let expected = ["", &format!("`{name}`"), &field.default().to_string(), allowed];
            assert_eq!(cells[..4], expected, "docs/policy.md");
            assert_eq!(cells[4], field.rows().join(", "), "docs/policy.md: the rows of {name}");
        }
    }
}

#[test]
fn the_hash_is_over_values_not_over_text() {
    let a = Policies::parse("[[policy]]\neffective_from = \"2020-11-20\"\n# a remark\n").unwrap();
    let b = Policies::parse("[[policy]]\neffective_from='2020-11-20'\nescalation.blue=2\n").unwrap();
    let c = Policies::parse("[[policy]]\neffective_from='2020-11-20'\nescalation.blue=1\n").unwrap();
    assert_eq!(a.hash(), b.hash());
    assert_ne!(a.hash(), c.hash());
    assert_eq!(a.hash(), Policies::default().hash());
    assert_eq!(Policies::parse(&c.to_toml().unwrap()).unwrap(), c);
}

#[test]
fn two_policies_resolve_alike_when_they_differ_in_what_is_said_alone() {
    let of = |rest: &str| Policies::parse(&format!("[[policy]]\n{FROM}{rest}")).unwrap();
    let later = |rest: &str| of(&format!("\n[[policy]]\neffective_from = \"2024-01-01\"\n{rest}"));
    assert!(of("").resolves_as(&of("escalation.blue = 1\nowner_alert.max_age_days = 9")));
    assert!(of("").resolves_as(&later("escalation.blue = 1")));
    assert!(!of("").resolves_as(&of("merge.case_days = 4")));
    assert!(!of("").resolves_as(&later("severity.severe_lost_days = 50")));
    assert!(!later("severity.severe_lost_days = 50").resolves_as(&of("severity.severe_lost_days = 50")));
    // The first table holds before its day as well.
    let from = |day: &str, rest: &str| {
        Policies::parse(&format!("[[policy]]\neffective_from = \"{day}\"\n{rest}")).unwrap()
    };
    assert!(
        from("2024-01-01", "merge.case_days = 5").resolves_as(&from("2020-01-01", "merge.case_days = 5"))
    );
}
