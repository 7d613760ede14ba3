//! What stands in the slots of the texts.

use tocsin_schemas::areas;
use tocsin_schemas::codes::{Cause, Change, Level, Reason, Severity};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::Alert;
use tocsin_schemas::time::Day;

/// The longest enterprise name in a text.
pub(super) const NAME_LIMIT: usize = 14;

const CITY: &str = "永康市";

/// `{cause}`: four or five characters.
pub(super) fn cause(cause: Option<Cause>) -> &'static str {
    cause.map_or("原因待查", Cause::name)
}

/// A death, as the texts say it.
pub(crate) const FATAL: &str = "死亡";

/// `{sev}`.
pub(super) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Minor => "轻伤",
        Severity::Severe => "重伤",
        Severity::Fatal => FATAL,
    }
}

/// `{lv}`.
pub(super) fn level(level: Level) -> &'static str {
    match level {
        Level::Blue => "蓝色",
        Level::Yellow => "黄色",
        Level::Orange => "橙色",
        Level::Red => "红色",
    }
}

/// `{act}` of T3, to be read after 工伤信息已 (the information on this injury has been …):
///
/// | reason | act | meaning |
/// |---|---|---|
/// | withdrawn | 撤销 | taken back |
/// | refused | 认定为非工伤 | found to be no work injury |
/// | merged | 并入另案 | is part of another case, which goes on |
/// | moved, host_changed | 移出贵单位 | is not this enterprise's |
/// | suspected, unmatched | 转为待核实 | goes back to be verified |
/// | none of these | 更正 | corrected |
pub fn corrected_act(reason: Option<Reason>) -> &'static str {
    match reason {
        Some(Reason::Withdrawn) => "撤销",
        Some(Reason::Refused) => "认定为非工伤",
        Some(Reason::Merged) => "并入另案",
        Some(Reason::Moved | Reason::HostChanged) => "移出贵单位",
        Some(Reason::Suspected | Reason::Unmatched) => "转为待核实",
        _ => "更正",
    }
}

/// `{act}` of T17, to a township that was told that an owner or a host could not be reached: 更正为轻伤 where it is only
/// less grave, else that of T3, said of the employer by name.
pub(super) fn stood_in_act(change: Change, now: Option<Severity>, reason: Option<Reason>) -> String {
    match (change, now, reason) {
        (Change::Downgraded, Some(now), _) => format!("更正为{}", severity(now)),
        (_, _, Some(Reason::Moved)) => "移出该企业".to_owned(),
        (_, _, Some(Reason::HostChanged)) => "改列他单位".to_owned(),
        _ => corrected_act(reason).to_owned(),
    }
}

/// `{act}` of T11, to be read after 预警 (the warning): 降为黄色 (goes down to yellow), 解除 (ends), or
/// 转承继单位 (goes to the enterprise that took this one over).
pub fn eased_act(now: Option<Level>, reason: Option<Reason>) -> &'static str {
    match (now, reason) {
        (_, Some(Reason::Succeeded)) => "转承继单位",
        (None, _) => "解除",
        (Some(Level::Blue), _) => "降为蓝色",
        (Some(Level::Yellow), _) => "降为黄色",
        (Some(Level::Orange), _) => "降为橙色",
        (Some(Level::Red), _) => "降为红色",
    }
}

/// `{M}`, with the year before it when that is not the decision's.
pub(super) fn month(day: Day, as_of: Day) -> String {
    let date = day.date();
    let year = if day.year() == as_of.year() { String::new() } else { format!("{}年", date.year()) };
    format!("{year}{}", date.month())
}

/// `{id_head}` and `{id_tail}`: the whole number in two parts, the second of 4 characters, for gateways whose
/// variables are shorter than a number.
pub(crate) fn head_and_tail(number: &str) -> (&str, &str) {
    let tail = number.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
    number.split_at(tail)
}

/// A count of at most four characters.
pub(super) fn count(n: u32) -> String {
    if n > 999 { "999+".into() } else { n.to_string() }
}

/// Text from a registry, fit for a slot: no 【】 (they mark the signature), no control characters or space.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '【' | '】') && !c.is_control() && !c.is_whitespace()).collect()
}

/// At most `limit` characters; longer ones end with `…`.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// `{ent}`.
pub(super) fn enterprise(alert: &Alert, limit: usize) -> String {
    let facts = &alert.facts;
    let name = [&facts.short_name, &facts.enterprise_name]
        .into_iter()
        .flatten()
        .map(|name| clean(name))
        .find(|name| !name.is_empty());
    cut(&name.unwrap_or_else(|| nameless(&alert.uscc)), limit)
}

fn nameless(uscc: &Uscc) -> String {
    format!("尾号{}企业", &uscc.as_str()[10..])
}

/// The area's short name, the code itself where the table does not have it, 永康市 without one.
fn place(code: Option<&str>) -> String {
    let code = code.unwrap_or_default();
    let name = clean(areas::area(code).map_or(code, |area| area.short_name));
    if name.is_empty() { CITY.into() } else { name }
}

/// `{town}`: at most 9 characters.
pub(super) fn town(code: Option<&str>) -> String {
    cut(&place(code), 9)
}

/// `{area}`: at most 6 characters. A name is not cut for it: the city is named instead.
pub(super) fn area(code: Option<&str>) -> String {
    Some(place(code)).filter(|name| name.chars().count() <= 6).unwrap_or_else(|| CITY.into())
}
