mod any;
mod lint;
mod wordings;

use tocsin_schemas::codes::{Cause, Reason};
use tocsin_schemas::ids::IncidentId;
use tocsin_schemas::records::{Alert, Audience};

use super::*;
use crate::fixtures::{audience, escalation, owner_alert, uscc};

/// One alert for every text, with everyday facts.
fn everyday() -> Vec<(&'static str, Alert)> {
    let corrected = |reason| Alert {
        reason: Some(reason),
        count: 0,
        ..owner_alert("a", Change::Corrected, Severity::Minor)
    };
    let severe = |mut alert: Alert, worst, ids: u32| {
        alert.facts.worst = Some(worst);
        alert.facts.severe_incident_ids = (0..ids).map(IncidentId).collect();
        alert
    };
    let new_year = {
        let mut alert = owner_alert("a", Change::New, Severity::Minor);
        alert.facts.occurred_on = "2024-12-31".parse().ok();
        alert
    };
    let no_cause = {
        let mut alert = owner_alert("a", Change::New, Severity::Minor);
        alert.facts.cause = None;
        alert
    };
    let nameless = {
        let mut alert = escalation(Change::New, Some(Level::Blue), 2);
        (alert.facts.short_name, alert.facts.enterprise_name, alert.facts.area) = (None, None, None);
        alert
    };
    let long_name = {
        let mut alert = escalation(Change::Raised, Some(Level::Yellow), 3);
        alert.facts.short_name = None;
        alert
    };
    vec![
        ("a new minor one", owner_alert("a", Change::New, Severity::Minor)),
        ("told after new year", new_year),
        ("cause unknown", no_cause),
        ("severe", owner_alert("a", Change::New, Severity::Severe)),
        ("upgraded to fatal", owner_alert("a", Change::Upgraded, Severity::Fatal)),
        ("downgraded", owner_alert("a", Change::Downgraded, Severity::Minor)),
        ("withdrawn", corrected(Reason::Withdrawn)),
        ("refused", corrected(Reason::Refused)),
        ("merged", corrected(Reason::Merged)),
        ("moved", corrected(Reason::Moved)),
        ("host changed", corrected(Reason::HostChanged)),
        ("suspected", corrected(Reason::Suspected)),
        ("unmatched", corrected(Reason::Unmatched)),
        ("second incident", escalation(Change::New, Some(Level::Blue), 2)),
        ("third incident, long name", long_name),
        ("nameless", nameless),
        ("fifth incident, none severe", escalation(Change::Raised, Some(Level::Red), 5)),
        ("severe at once", severe(escalation(Change::New, Some(Level::Red), 1), Severity::Severe, 1)),
        ("one dead joins", severe(escalation(Change::Added, Some(Level::Red), 3), Severity::Fatal, 1)),
        (
            "another severe one joins a dead one",
            severe(escalation(Change::Added, Some(Level::Red), 3), Severity::Fatal, 2),
        ),
        (
            "eased",
            Alert { reason: Some(Reason::Corrected), ..escalation(Change::Eased, Some(Level::Blue), 2) },
        ),
        ("closed", Alert { reason: Some(Reason::Corrected), ..escalation(Change::Closed, None, 1) }),
        ("taken over", Alert { reason: Some(Reason::Succeeded), ..escalation(Change::Closed, None, 0) }),
    ]
}

#[test]
fn the_texts_read_like_this() {
    let mut page = String::new();
    for (name, alert) in everyday() {
        let message = render(&alert, &alert.audiences[0]).unwrap();
        page += &format!(
            "{name}: {} ({})\n  {}\n",
            message.template.id(),
            message.text.chars().count(),
            message.text
        );
    }
    insta::assert_snapshot!(page);
}

/// Every value of every slot that is from a closed list, and the longest of every other. `case_no` has
/// 10 characters at most, names 14, counts 4 (`999+`).
fn worst_cases() -> Vec<(Alert, Audience)> {
    let mut cases = Vec::new();
    // A code that is in no table: longer than every short name, and cut.
    let longest_town = "YK-LONGEST-ZONE";
    let causes = (1..=20).map(|n| format!("{n:02}").parse::<Cause>().ok()).chain([None]);
    let reasons = [
        None,
        Some(Reason::TooOld),
        Some(Reason::BeforePolicy),
        Some(Reason::Expired),
        Some(Reason::Corrected),
        Some(Reason::Succeeded),
        Some(Reason::Policy),
        Some(Reason::Withdrawn),
        Some(Reason::Refused),
        Some(Reason::Suspected),
        Some(Reason::Unmatched),
        Some(Reason::Moved),
        Some(Reason::Merged),
        Some(Reason::HostChanged),
    ];
    let owner = Audience { year_to_date: Some(u32::MAX), ..audience(Role::Owner, uscc().as_str()) };
    let longest = |mut alert: Alert| {
        alert.case_no = IncidentId(IncidentId::MAX).to_string().into();
        alert.count = u32::MAX;
        alert.facts.occurred_on = "2024-12-31".parse().ok();
        alert.facts.window_days = Some(u32::MAX);
        alert.facts.short_name = None;
        alert.facts.enterprise_name = Some("浙".repeat(200).into());
        alert.facts.area = Some(longest_town.into());
        alert
    };
    for cause in causes {
        for &severity in Severity::ALL {
            for change in [Change::New, Change::Upgraded, Change::Downgraded] {
                let mut alert = longest(owner_alert("a", change, severity));
                alert.facts.cause = cause;
                cases.push((alert, owner.clone()));
            }
        }
    }
    for reason in reasons {
        let alert = longest(owner_alert("a", Change::Corrected, Severity::Fatal));
        cases.push((Alert { reason, ..alert }, owner.clone()));
        for level in Level::ALL.iter().copied().map(Some).chain([None]) {
            for change in [Change::New, Change::Raised, Change::Added, Change::Eased, Change::Closed] {
                for (worst, ids) in [(Severity::Minor, 0), (Severity::Severe, 1), (Severity::Fatal, 2)] {
                    if level.is_none() && matches!(change, Change::New | Change::Raised) {
                        continue;
                    }
                    let mut alert = Alert { reason, ..longest(escalation(change, level, 1)) };
                    alert.facts.worst = Some(worst);
                    alert.facts.severe_incident_ids = (0..ids).map(IncidentId).collect();
                    cases.push((alert, audience(Role::TownshipDuty, "330784001")));
                }
            }
        }
    }
    cases
}

#[test]
fn no_text_is_ever_longer_than_one_segment() {
    let mut longest = std::collections::BTreeMap::new();
    for (alert, audience) in worst_cases() {
        let message = render(&alert, &audience).unwrap();
        let chars = message.text.chars().count();
        assert!(chars <= LIMIT, "{chars}: {}", message.text);
        assert_eq!(message.text.matches('【').count(), 1, "{}", message.text);
        assert!(message.text.starts_with('【') && message.text.contains(&*alert.case_no), "{}", message.text);
        let known = longest.entry(message.template).or_insert((chars, message.text.clone()));
        if known.0 < chars {
            *known = (chars, message.text);
        }
    }
    use Template::{T1, T2, T3, T7, T8, T11, T12};
    let sent = [T1, T2, T3, T7, T8, T11, T12];
    assert_eq!(
        longest.keys().copied().collect::<Vec<_>>(),
        sent,
        "every text that an alert sends was judged"
    );
    let page: String = longest.iter().map(|(t, (n, text))| format!("{} {n} {text}\n", t.id())).collect();
    insta::assert_snapshot!(page);
}

#[test]
fn a_usual_name_of_fourteen_characters_is_never_cut() {
    let fourteen = "永康市长城五金工具制造厂一部";
    assert_eq!(fourteen.chars().count(), 14);
    for (change, level) in [
        (Change::New, Some(Level::Blue)),
        (Change::Added, Some(Level::Red)),
        (Change::Eased, Some(Level::Blue)),
    ] {
        let mut alert = escalation(change, level, 999);
        alert.case_no = IncidentId(IncidentId::MAX).to_string().into();
        alert.facts.short_name = Some(fourteen.into());
        alert.facts.area = Some("330784001".into());
        let text = render(&alert, &alert.audiences[0]).unwrap().text;
        assert!(text.contains(fourteen), "{text}");
        alert.facts.short_name = Some(format!("{fourteen}二").into());
        let text = render(&alert, &alert.audiences[0]).unwrap().text;
        assert!(text.contains("永康市长城五金工具制造厂一…"), "{text}");
    }
}

#[test]
fn a_registered_name_cannot_forge_a_signature() {
    let mut alert = escalation(Change::New, Some(Level::Blue), 2);
    alert.facts.short_name = Some("【银行】\n转账 厂".into());
    let text = render(&alert, &alert.audiences[0]).unwrap().text;
    assert!(text.contains("银行转账厂") && !text.contains('\n'), "{text}");
    assert_eq!(text.matches('【').count(), 1);
}

#[test]
fn a_missing_fact_is_named() {
    let mut alert = owner_alert("a", Change::New, Severity::Minor);
    alert.facts.occurred_on = None;
    let error = render(&alert, &alert.audiences[0]).unwrap_err();
    assert_eq!(error.to_string(), "the alert lacks facts.occurred_on, which T1 says");
    assert_eq!(error.reason(), "missing_fact");
    let township = audience(Role::TownshipDuty, "x");
    let error = render(&owner_alert("a", Change::Corrected, Severity::Minor), &township).unwrap_err();
    assert_eq!(error.to_string(), "no text tells township_duty of corrected");
}
