//! Reads scenario files.

use std::collections::BTreeMap;
use std::str::FromStr;

use tocsin_schemas::codes::{
    CITY, Category, Change, EnterpriseStatus, Reason, Role, Rule, Scope, Severity, Status,
};
use tocsin_schemas::ids::ReportKey;
use tocsin_schemas::records::{Enterprise, Headcount, Record, Report};
use tocsin_schemas::time::{Day, Instant, TimeOfDay};

use super::words::{self, enterprise, look_up, person};
use super::{After, Expected, RateRow, Scenario, Scene, Shown};
use crate::door;
use crate::histories::Step;
use crate::policy::OraclePolicy;

pub(super) fn parse(text: &str) -> Result<Scenario, String> {
    let mut scenario =
        Scenario { title: String::new(), why: String::new(), policies: Vec::new(), scenes: Vec::new() };
    for (n, line) in text.lines().enumerate() {
        let at = |what: String| format!("line {}: {what}: {line}", n + 1);
        let line = line.split("//").next().unwrap_or_default().trim();
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(first) = words.first() else { continue };
        match *first {
            "题目" | "Title" => {
                scenario.title = format!("{} {}", scenario.title, words[1..].join(" ")).trim().into()
            }
            "缘由" | "Why" => {
                scenario.why = format!("{} {}", scenario.why, words[1..].join(" ")).trim().into()
            }
            // Among the records of a scene: tables of one that is taken over then.
            "政策" => match scenario.scenes.last_mut() {
                None => scenario.policies.push(policy(&words).map_err(at)?),
                Some(scene) => {
                    scene.step.adopt.get_or_insert_default().push(policy(&words).map_err(at)?);
                }
            },
            "→" => {
                let scene = scenario.scenes.last_mut().ok_or_else(|| at("nothing arrived yet".into()))?;
                scene.spoken = true;
                if words[1..] != ["无"] {
                    scene.said.push(expected(line, &words[1..]).map_err(at)?);
                }
            }
            "?" => {
                let scene = scenario.scenes.last_mut().ok_or_else(|| at("nothing arrived yet".into()))?;
                scene.shown.push(shown(&words[1..]).map_err(at)?);
            }
            "=" => {
                let scene = scenario.scenes.last_mut().ok_or_else(|| at("nothing arrived yet".into()))?;
                scene.after.push(after(line, &words[1..]).map_err(at)?);
            }
            day if day.len() == 10 && day.starts_with(['1', '2']) => {
                let at = instant(&words).map_err(at)?;
                let step = Step { adopt: None, at, arrivals: Vec::new(), flagged: 0 };
                scenario.scenes.push(Scene {
                    line: n + 1,
                    step,
                    spoken: false,
                    said: Vec::new(),
                    shown: Vec::new(),
                    after: Vec::new(),
                });
            }
            _ => {
                let scene = scenario.scenes.last_mut().ok_or_else(|| at("no day yet".into()))?;
                let (record, arrived_at) = record(&words, scene.step.at).map_err(at)?;
                let admitted = door::through(&record, None, arrived_at)
                    .ok_or_else(|| at("the door refuses this record".into()))?;
                scene.step.arrivals.push((admitted.record, admitted.digest, arrived_at));
            }
        }
    }
    if scenario.policies.is_empty() {
        scenario.policies.push(OraclePolicy::default());
    }
    if let Some(scene) = scenario.scenes.iter().find(|s| !s.spoken) {
        return Err(format!("line {}: write what is said here, or → 无", scene.line));
    }
    if scenario.title.is_empty() || scenario.why.is_empty() || scenario.scenes.is_empty() {
        return Err("a scenario has a title, a reason why it matters, and at least one day".into());
    }
    Ok(scenario)
}

fn read<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word:?} is not understood"))
}

fn known<T>(found: Option<T>, word: &str) -> Result<T, String> {
    found.ok_or_else(|| format!("the word {word:?} is not known here"))
}

/// `2025-03-01 09:00` or `2025-03-01 零点`.
fn instant(words: &[&str]) -> Result<Instant, String> {
    let day: Day = read(words[0])?;
    match words.get(1) {
        Some(&"零点") => Ok(day.midnight()),
        Some(time) => Ok(moment(day, read(time)?)),
        None => Err("a day needs a time, or 零点".into()),
    }
}

fn moment(day: Day, time: TimeOfDay) -> Instant {
    day.midnight().plus_millis(i64::from(time.0) * 60_000)
}

fn policy(words: &[&str]) -> Result<OraclePolicy, String> {
    let mut p = OraclePolicy::from(read(words.get(1).ok_or("a policy begins on a day")?)?);
    for word in &words[2..] {
        let (name, value) = word.split_once(':').ok_or_else(|| format!("{word:?}: name:value"))?;
        match name {
            "窗口" => p.window_days = read(value)?,
            "蓝" => p.blue = read(value)?,
            "黄" => p.yellow = read(value)?,
            "橙" => p.orange = read(value)?,
            "红" => p.red = read(value)?,
            "重伤即红" => p.severe_is_red = value == "是",
            "最长天数" => p.max_age_days = read(value)?,
            "并案天数" => p.case_days = read(value)?,
            "并起分钟" => p.incident_minutes = read(value)?,
            "重伤误工" => p.severe_lost_days = read(value)?,
            "重伤等级" => p.severe_grade_max = read(value)?,
            "参保突增" => p.headcount_jump = read(value)?,
            _ => return Err(format!("no policy value {name:?}")),
        }
    }
    Ok(p)
}

fn record(words: &[&str], at: Instant) -> Result<(Record, Instant), String> {
    match words[0] {
        "报告" => report(&words[1..], at),
        "登记" => Ok((Record::Enterprise(registration(&words[1..])?), at)),
        "参保" => Ok((Record::Headcount(headcount(&words[1..])?), at)),
        other => Err(format!("{other:?} is no record")),
    }
}

fn report_key(word: &str) -> Result<ReportKey, String> {
    let (source, id) = word.split_once('#').ok_or_else(|| format!("{word:?}: source#number"))?;
    Ok(ReportKey { source: known(look_up(&words::SOURCES, source), source)?, id: id.into() })
}

fn report(words: &[&str], at: Instant) -> Result<(Record, Instant), String> {
    let key = report_key(words.first().ok_or("a report has a source and a number")?)?;
    let mut arrived_at = at;
    let mut r = Report {
        source: key.source,
        source_record_id: key.id,
        version: 1,
        status: Status::Reported,
        category: Category::Production,
        occurred_on: at.day(),
        occurred_time: None,
        reported_at: at.day().midnight(),
        uscc: None,
        employer_name: None,
        host_uscc: None,
        person_key: None,
        incident_no: None,
        cause: None,
        post: None,
        process: None,
        equipment: None,
        note: None,
        lost_days: None,
        disability_grade: None,
        died_on: None,
    };
    for word in &words[1..] {
        if let Some(uscc) = enterprise(word) {
            r.uscc = Some(uscc);
        } else if let Some(key) = person(word) {
            r.person_key = Some(key);
        } else if let Some(status) = look_up(&words::STATUSES, word) {
            r.status = status;
        } else if let Some(severity) = look_up(&words::SEVERITIES, word) {
            match severity {
                Severity::Minor => {}
                Severity::Severe => r.lost_days = Some(105),
                Severity::Fatal => r.died_on = Some(r.occurred_on),
            }
        } else if let Ok(day) = word.parse::<Day>() {
            r.occurred_on = day;
        } else if let Ok(time) = word.parse::<TimeOfDay>() {
            r.occurred_time = Some(time);
        } else if let Some((name, value)) = word.split_once(':') {
            match name {
                "版本" => r.version = read(value)?,
                "类别" => r.category = known(look_up(&words::CATEGORIES, value), value)?,
                "用工" => r.host_uscc = Some(known(enterprise(value), value)?),
                "编号" => r.incident_no = Some(value.into()),
                "事由" => r.cause = Some(read(value)?),
                "误工" => r.lost_days = Some(read(value.trim_end_matches('天'))?),
                "伤残" => r.disability_grade = Some(read(value.trim_end_matches('级'))?),
                "到达" => arrived_at = moment(read(value)?, TimeOfDay(540)),
                _ => return Err(format!("{word:?} is not understood")),
            }
        } else if !["无名", "单位不明"].contains(word) {
            return Err(format!("{word:?} is not understood"));
        }
    }
    Ok((Record::Report(r), arrived_at))
}

fn registration(words: &[&str]) -> Result<Enterprise, String> {
    let name = words.first().ok_or("which enterprise?")?;
    let mut e = Enterprise {
        uscc: known(enterprise(name), name)?,
        version: 1,
        name: format!("{name}公司").into(),
        short_name: None,
        area: "330784001".into(),
        industry: "33".into(),
        valid_from: read("2020-01-01")?,
        status: EnterpriseStatus::Active,
        tags: Vec::new(),
        successor_of: None,
    };
    for word in &words[1..] {
        match word.split_once(':') {
            Some(("版本", v)) => e.version = read(v)?,
            Some(("地区", v)) => e.area = v.into(),
            Some(("行业", v)) => e.industry = v.into(),
            Some(("自", v)) => e.valid_from = read(v)?,
            Some(("承继", v)) => e.successor_of = Some(known(enterprise(v), v)?),
            None if *word == "注销" => e.status = EnterpriseStatus::Closed,
            _ => return Err(format!("{word:?} is not understood")),
        }
    }
    Ok(e)
}

fn headcount(words: &[&str]) -> Result<Headcount, String> {
    let [name, month, insured, rest @ ..] = words else {
        return Err("参保 enterprise month persons".into());
    };
    let version = match rest {
        [] => 1,
        [v] => read(v.trim_start_matches("版本:"))?,
        _ => return Err("too much".into()),
    };
    let insured = read(insured.trim_end_matches('人'))?;
    Ok(Headcount { uscc: known(enterprise(name), name)?, month: read(month)?, insured, version })
}

fn letters(text: &str) -> Vec<String> {
    text.split(',').map(String::from).collect()
}

fn report_keys(text: &str) -> Result<Vec<ReportKey>, String> {
    let mut keys = text.split(',').map(report_key).collect::<Result<Vec<_>, _>>()?;
    keys.sort();
    Ok(keys)
}

fn expected(text: &str, words: &[&str]) -> Result<Expected, String> {
    let [rule, change, subject, rest @ ..] = words else { return Err("rule, change, subject".into()) };
    let (rule, change) = match *rule {
        "告知" => (Rule::OwnerIncident, known(look_up(&words::OWNER_CHANGES, change), change)?),
        "预警" => (Rule::Escalation, known(look_up(&words::ESCALATION_CHANGES, change), change)?),
        other => return Err(format!("no rule {other:?}")),
    };
    let owner = rule == Rule::OwnerIncident;
    let mut e = Expected {
        text: text.into(),
        rule,
        change,
        letter: owner.then(|| subject.to_string()),
        uscc: if owner { None } else { Some(known(enterprise(subject), subject)?) },
        audiences: Vec::new(),
        level: None,
        severity: None,
        count: None,
        reason: None,
        incidents: None,
        reports: None,
        episode: None,
        revision: None,
    };
    for word in rest {
        if let Some(level) = look_up(&words::LEVELS, word) {
            e.level = Some(level);
        } else if let Some(severity) = look_up(&words::SEVERITIES, word) {
            e.severity = Some(severity);
        } else if let Some(n) = word.strip_suffix('人').or(word.strip_suffix('起')) {
            e.count = Some(read(n)?);
        } else if *word == "应急" {
            e.audiences.push((Role::EmergencyDuty, CITY.to_string(), None));
        } else {
            let (name, value) = word.split_once(':').ok_or_else(|| format!("{word:?} is not understood"))?;
            match name {
                "业主" => e.audiences.push(owner_audience(value)?),
                "乡镇" | "行业" => {
                    let role = known(look_up(&words::ROLES, name), name)?;
                    e.audiences.push((role, value.into(), None));
                }
                "因" => e.reason = Some(known(look_up(&words::REASONS, value), value)?),
                "单位" => e.uscc = Some(known(enterprise(value), value)?),
                "事故" => e.incidents = Some(letters(value)),
                "报告" => e.reports = Some(report_keys(value)?),
                "轮" => e.episode = Some(read(value)?),
                "次" => e.revision = Some(read(value)?),
                _ => return Err(format!("{word:?} is not understood")),
            }
        }
    }
    e.audiences.sort();
    if e.change == Change::Corrected && e.reason.is_none() {
        return Err("更正 needs a reason (因:…)".into());
    }
    Ok(e)
}

/// `甲(本年2起)` or `甲`.
fn owner_audience(value: &str) -> Result<(Role, String, Option<u32>), String> {
    let (name, year) = match value.split_once("(本年") {
        None => (value, None),
        Some((name, n)) => (name, Some(read(n.trim_end_matches("起)"))?)),
    };
    Ok((Role::Owner, known(enterprise(name), name)?.to_string(), year))
}

/// `循环 甲,乙 自:2025-06-01` or `突增 甲 2025-03 20000人 上月:100人`.
fn shown(words: &[&str]) -> Result<Shown, String> {
    let of = |name: &str| known(enterprise(name), name);
    match words {
        ["循环", members, rest @ ..] => {
            let members = members.split(',').map(of).collect::<Result<Vec<_>, _>>()?;
            let since = match rest {
                [] => None,
                [day] => Some(read(day.strip_prefix("自:").ok_or("自:DAY")?)?),
                _ => return Err("too much".into()),
            };
            Ok(Shown::Loop { members, since })
        }
        ["突增", name, month, insured, before] => Ok(Shown::Jump {
            uscc: of(name)?,
            month: read(month)?,
            insured: read(insured.trim_end_matches('人'))?,
            before: read(before.strip_prefix("上月:").ok_or("上月:N人")?.trim_end_matches('人'))?,
        }),
        _ => Err("not understood".into()),
    }
}

fn after(text: &str, words: &[&str]) -> Result<After, String> {
    let text = text.to_string();
    match words {
        ["事故", letter, state, rest @ ..] => {
            let state = known(look_up(&words::STATES, state), state)?;
            let (mut uscc, mut persons, mut severity, mut reports) = (None, None, None, None);
            for word in rest {
                if let Some(s) = look_up(&words::SEVERITIES, word) {
                    severity = Some(s);
                } else if let Some(u) = enterprise(word) {
                    uscc = Some(u);
                } else if let Some(n) = word.strip_suffix('人') {
                    persons = Some(read(n)?);
                } else if let Some(keys) = word.strip_prefix("报告:") {
                    reports = Some(report_keys(keys)?);
                } else {
                    return Err(format!("{word:?} is not understood"));
                }
            }
            Ok(After::Incident { text, letter: letter.to_string(), state, uscc, persons, severity, reports })
        }
        ["未告知", rest @ ..] => {
            let mut all: BTreeMap<Reason, u64> = BTreeMap::new();
            for word in rest.iter().filter(|w| **w != "无") {
                let (name, n) = word.split_once(':').ok_or("reason:number")?;
                all.insert(known(look_up(&words::REASONS, name), name)?, read(n)?);
            }
            Ok(After::NotDue(all))
        }
        ["收件", rest @ ..] => {
            let mut all = BTreeMap::new();
            for word in rest {
                let (name, n) = word.split_once(':').ok_or("kind:number")?;
                all.insert(name.to_string(), read(n)?);
            }
            Ok(After::Counters(text, all))
        }
        ["率", key, window, incidents, persons, rest @ ..] => {
            let (scope, key) = match (*key, enterprise(key)) {
                (_, Some(uscc)) => (Scope::Enterprise, uscc.to_string()),
                ("全市", _) => (Scope::City, CITY.to_string()),
                (area, _) if area.len() > 2 => (Scope::Area, area.to_string()),
                (industry, _) => (Scope::Industry, industry.to_string()),
            };
            let number = |word: &str, unit: char| -> Result<Option<f64>, String> {
                if word.starts_with('无') { Ok(None) } else { read(word.trim_end_matches(unit)).map(Some) }
            };
            let [headcount, per_thousand] = rest else { return Err("headcount and rate".into()) };
            Ok(After::Rate(Box::new(RateRow {
                text,
                scope,
                key,
                window: read(window)?,
                incidents: read(incidents.trim_end_matches('起'))?,
                persons: read(persons.trim_end_matches('人'))?,
                headcount: number(headcount.trim_end_matches("参保"), ' ')?,
                per_thousand: number(per_thousand, '‰')?,
            })))
        }
        _ => Err("not understood".into()),
    }
}
