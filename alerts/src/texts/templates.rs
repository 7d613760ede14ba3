//! The wording of people.md section 5.3, word for word.

use tocsin_schemas::codes::{Change, Severity};
use tocsin_schemas::records::{Alert, Audience};

use super::slots::{cause, corrected_act, count, day, eased_act, enterprise, level, severity, town};
use super::{Template, TextError};

impl Template {
    /// Whether the text names the enterprise.
    pub(super) const fn names_enterprise(self) -> bool {
        matches!(self, Template::T7 | Template::T8 | Template::T11)
    }
}

/// The text, with the enterprise's name in at most `name` characters.
pub(super) fn text(
    template: Template,
    alert: &Alert,
    audience: &Audience,
    name: usize,
) -> Result<String, TextError> {
    let missing = |fact| TextError::MissingFact { template, fact };
    let facts = &alert.facts;
    let id = &alert.case_no;
    let on = || facts.occurred_on.map(|d| day(d, alert.as_of)).ok_or(missing("facts.occurred_on"));
    let year = || audience.year_to_date.map(count).ok_or(missing("audience.year_to_date"));
    let sev = || alert.severity.map(severity).ok_or(missing("severity"));
    let window = || facts.window_days.map(count).ok_or(missing("facts.window_days"));
    let (town, ent) = (town(facts.area.as_deref()), enterprise(alert, name));
    Ok(match template {
        Template::T1 => format!(
            "【永康人社】贵单位{}登记工伤1起（{}），本年累计{}起。请立即排查隐患，回复1确认。编号{id}",
            on()?,
            cause(facts.cause),
            year()?
        ),
        Template::T2 => format!(
            "【永康应急】贵单位{}发生{}事故（{}）。请保护现场、依法报告并配合调查。编号{id}",
            on()?,
            sev()?,
            cause(facts.cause)
        ),
        Template::T3 => format!(
            "【永康人社】更正：编号{id}工伤信息已{}，本年累计更正为{}起，以本条为准。",
            corrected_act(alert.reason),
            year()?
        ),
        Template::T7 => format!(
            "【永康工伤预警】{town}：{ent}近{}天{}起工伤，达{}预警，请24小时内核查。单号{id}",
            window()?,
            count(alert.count),
            alert.level.map(level).ok_or(missing("level"))?
        ),
        Template::T8 => format!(
            "【永康工伤预警】{town}：{ent}发生{}事故1起，请立即牵头处置。单号{id}",
            joined(alert).ok_or(missing("facts.worst"))?
        ),
        Template::T11 => format!(
            "【永康工伤预警】更正：{town}{ent}近{}天工伤更正为{}起，预警{}，以本条为准。单号{id}",
            window()?,
            count(alert.count),
            eased_act(alert.level, alert.reason)
        ),
        Template::T12 => {
            format!("【永康人社】更正：编号{id}工伤的伤情已更正为{}，以本条为准。", sev()?)
        }
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
