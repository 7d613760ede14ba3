//! What an alert says in each slot.

use tocsin_schemas::codes::{Change, Severity};
use tocsin_schemas::records::{Alert, Audience};

use super::slots::{
    area, cause, corrected_act, count, eased_act, enterprise, head_and_tail, level, month, severity,
    stood_in_act, town,
};
use super::{Slot, Template, TextError};

/// The value of a slot, the enterprise's name in at most `name_limit` characters.
///
/// # Errors
/// `MissingFact` where the alert does not say it.
pub(super) fn value(
    template: Template,
    slot: Slot,
    alert: &Alert,
    audience: &Audience,
    name_limit: usize,
) -> Result<String, TextError> {
    let missing = |fact| TextError::MissingFact { template, fact };
    let facts = &alert.facts;
    let on = || facts.occurred_on.ok_or(missing("facts.occurred_on"));
    let (head, tail) = head_and_tail(&alert.case_no);
    Ok(match slot {
        Slot::YearMonth => month(on()?, alert.as_of),
        Slot::Year => on()?.date().year().to_string(),
        Slot::Month => on()?.date().month().to_string(),
        Slot::DayOfMonth => on()?.date().day().to_string(),
        Slot::Cause => cause(facts.cause).to_owned(),
        Slot::Count => match template {
            Template::T1 | Template::T3 => {
                audience.year_to_date.map(count).ok_or(missing("audience.year_to_date"))?
            }
            _ => count(alert.count),
        },
        Slot::CaseNo => alert.case_no.to_string(),
        Slot::CaseHead => head.to_owned(),
        Slot::CaseTail => tail.to_owned(),
        Slot::Severity => match template {
            Template::T8 => joined(alert).ok_or(missing("facts.worst"))?.to_owned(),
            _ => alert.severity.map(severity).ok_or(missing("severity"))?.to_owned(),
        },
        Slot::Act => match template {
            Template::T3 => corrected_act(alert.reason).to_owned(),
            Template::T17 => stood_in_act(alert.change, alert.severity, alert.reason),
            _ => eased_act(alert.level, alert.reason).to_owned(),
        },
        Slot::Town => town(facts.area.as_deref()),
        Slot::Area => area(facts.area.as_deref()),
        Slot::Enterprise => enterprise(alert, name_limit),
        Slot::TownEnterprise => {
            format!("{}{}", town(facts.area.as_deref()), enterprise(alert, name_limit))
        }
        Slot::Window => facts.window_days.map(count).ok_or(missing("facts.window_days"))?,
        Slot::Level => alert.level.map(level).ok_or(missing("level"))?.to_owned(),
        // One message of the morning's list.
        Slot::K if template == Template::T16 => count(1),
        // No alert says these: T5, T10, T13 and T14 are not worded from one.
        Slot::K | Slot::Office | Slot::Hour => return Err(missing(slot.name())),
    })
}

/// `{sev}` of T8: how bad the incident is that rings now. The alert knows the worst of the window; where
/// others were there before (`added`) and the worst is a death, the new one may be either: 重伤以上, the
/// official word for severe or worse, is true of both.
fn joined(alert: &Alert) -> Option<&'static str> {
    let worst = alert.facts.worst?;
    let several = alert.change == Change::Added && alert.facts.severe_incident_ids.len() > 1;
    Some(if several && worst == Severity::Fatal { "重伤以上" } else { severity(worst) })
}
