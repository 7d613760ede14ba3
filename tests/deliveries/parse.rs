//! The text of a story. Everything that is not understood is an error with its line.

use std::collections::BTreeMap;

use tocsin_schemas::codes::{Change, Level, Role, Says, Severity};
use tocsin_schemas::time::{Day, Instant};

/// A story.
#[derive(Debug, Default)]
pub struct Story {
    pub setting: Setting,
    /// Contacts before the first step.
    pub cast: Vec<Act>,
    pub steps: Vec<Step>,
}

/// What holds throughout.
#[derive(Debug, Default)]
pub struct Setting {
    /// Messages a day for a phone.
    pub a_day: Option<u32>,
    pub expire_hours: Option<u64>,
    pub resend_unknown: bool,
    /// Channels of everybody, and those of one role.
    pub channels: Vec<String>,
    pub of_role: BTreeMap<Role, Vec<String>>,
    pub holidays: Vec<Day>,
    pub made_up: Vec<Day>,
    /// Answers and receipts come, and are waited for.
    pub awaits: bool,
    /// Townships get a list in the morning.
    pub mornings: bool,
    /// Corrections an hour before the fuse blows.
    pub corrections: Option<u32>,
}

/// What happens at one instant, and what must be so after it.
#[derive(Debug)]
pub struct Step {
    pub line: usize,
    pub at: Instant,
    pub acts: Vec<Act>,
    /// What each phone hears: exactly this, for each phone in this order.
    pub heard: Vec<Heard>,
    pub ledger: Vec<Row>,
}

/// Something that happens.
#[derive(Debug, Clone)]
pub enum Act {
    Contact {
        role: Role,
        subject: String,
        rank: u32,
        phone: Option<String>,
        until: Option<Day>,
    },
    Owner {
        change: Change,
        case: char,
        firm: String,
        severity: Severity,
        told: Vec<String>,
    },
    Warning {
        change: Change,
        case: char,
        firm: String,
        level: Option<Level>,
        grave: bool,
        told: Vec<Role>,
        policy: bool,
    },
    Silence {
        subject: String,
        until: Instant,
        everything: bool,
    },
    Answers {
        phone: String,
        answers: Vec<String>,
    },
    /// A carrier's word; `None`: it arrived.
    Receipt {
        alert: String,
        phone: String,
        failed: Option<&'static str>,
    },
    /// An SMS written back by this phone.
    Reply {
        phone: String,
        text: String,
    },
    /// A press on the page behind a link of this alert.
    Link {
        alert: String,
        phone: String,
        says: Says,
    },
    /// Corrections decided up to now are let go.
    Release,
    /// What failed is said after all; also where it may have come.
    Again {
        alert: String,
        phone: String,
        although: bool,
    },
}

/// One message that a phone hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub phone: String,
    /// Text, alert (or how many a digest stands for), and the channel if it is said.
    pub what: Vec<String>,
}

/// A delivery as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The alert, or 汇总.
    pub alert: String,
    pub phone: String,
    /// State, reason, until when, how many: as far as written.
    pub words: Vec<String>,
}

/// The instant of `2026-11-26 21:30`.
pub fn instant(text: &str) -> Option<Instant> {
    format!("{}:00+08:00", text.replace(' ', "T")).parse().ok()
}

pub fn role(word: &str) -> Option<Role> {
    Some(match word {
        "业主" => Role::Owner,
        "安全员" => Role::SafetyOfficer,
        "乡镇" => Role::TownshipDuty,
        "行业" => Role::IndustryDuty,
        "应急" => Role::EmergencyDuty,
        _ => return None,
    })
}

/// Reads a story.
///
/// # Errors
/// The line, and what is wrong with it.
pub fn story(text: &str) -> Result<Story, String> {
    let mut story = Story::default();
    let mut headings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        let said = line.split("//").next().unwrap_or_default().trim();
        let words: Vec<&str> = said.split_whitespace().collect();
        let wrong = |what: &str| format!("line {at}: {what}: {line}");
        let Some(&first) = words.first() else { continue };
        match first {
            "题目" | "Title" | "缘由" | "Why" if story.steps.is_empty() => {
                headings.push(first.to_owned())
            }
            "设置" if story.steps.is_empty() => {
                words[1..]
                    .iter()
                    .try_for_each(|word| setting(&mut story.setting, word).ok_or_else(|| wrong(word)))?;
            }
            "→" => {
                let step = story.steps.last_mut().ok_or_else(|| wrong("no step"))?;
                match words[1..] {
                    ["无"] => {}
                    [phone, ref what @ ..] if !what.is_empty() => step
                        .heard
                        .push(Heard { phone: phone.into(), what: what.iter().map(|&w| w.into()).collect() }),
                    _ => return Err(wrong("expected who hears what, or 无")),
                }
            }
            "=" => {
                let step = story.steps.last_mut().ok_or_else(|| wrong("no step"))?;
                let [alert, phone, ref words @ ..] = words[1..] else {
                    return Err(wrong("expected ALERT WHO STATE"));
                };
                let words = words.iter().map(|&w| w.to_owned()).collect();
                step.ledger.push(Row { alert: alert.into(), phone: phone.into(), words });
            }
            _ if first.starts_with("20") => {
                let instant = instant(said).ok_or_else(|| wrong("no instant"))?;
                let (acts, heard, ledger) = (Vec::new(), Vec::new(), Vec::new());
                story.steps.push(Step { line: at, at: instant, acts, heard, ledger });
            }
            _ => {
                let act = act(&words).ok_or_else(|| wrong("not understood"))?;
                match story.steps.last_mut() {
                    Some(step) => step.acts.push(act),
                    None => story.cast.push(act),
                }
            }
        }
    }
    for wanted in ["题目", "Title", "缘由", "Why"] {
        if !headings.iter().any(|h| h == wanted) {
            return Err(format!("{wanted} is missing"));
        }
    }
    if story.setting.channels.is_empty() {
        story.setting.channels.push("webhook".to_owned());
    }
    Ok(story)
}

fn setting(setting: &mut Setting, word: &str) -> Option<()> {
    let names = |value: &str| value.split(',').map(str::to_owned).collect::<Vec<_>>();
    let (name, value) = word.split_once(':').unwrap_or((word, ""));
    match name {
        "每日" => setting.a_day = Some(value.parse().ok()?),
        "过期" => setting.expire_hours = Some(value.strip_suffix("小时")?.parse().ok()?),
        "重发" => setting.resend_unknown = true,
        "等答复" => setting.awaits = true,
        "早报" => setting.mornings = true,
        "更正每小时" => setting.corrections = Some(value.parse().ok()?),
        "渠道" => setting.channels = names(value),
        "假日" => {
            let (first, last) = value.split_once('~').unwrap_or((value, value));
            let (first, last): (Day, Day) = (first.parse().ok()?, last.parse().ok()?);
            setting.holidays.extend((0..).map(|days| first.plus(days)).take_while(|day| *day <= last));
        }
        "补班" => setting.made_up.push(value.parse().ok()?),
        _ => {
            let of = role(name.strip_suffix("渠道")?)?;
            setting.of_role.insert(of, names(value));
        }
    }
    Some(())
}

fn severity(word: &str) -> Option<Severity> {
    Some(match word {
        "轻伤" => Severity::Minor,
        "重伤" => Severity::Severe,
        "死亡" => Severity::Fatal,
        _ => return None,
    })
}

fn act(words: &[&str]) -> Option<Act> {
    let letter = |word: &str| word.chars().next().filter(|c| word.len() == 1 && c.is_ascii_uppercase());
    Some(match *words {
        ["联系人", of, subject, rank, phone, ref rest @ ..] => {
            let until = match *rest {
                [] => None,
                [until] => Some(until.strip_prefix("至:")?.parse().ok()?),
                _ => return None,
            };
            let phone = (phone != "无").then(|| phone.to_owned());
            Act::Contact { role: role(of)?, subject: subject.into(), rank: rank.parse().ok()?, phone, until }
        }
        ["告知", change, case, firm, how, ref rest @ ..] => {
            let change = match change {
                "新报" => Change::New,
                "加重" => Change::Upgraded,
                "减轻" => Change::Downgraded,
                "更正" => Change::Corrected,
                _ => return None,
            };
            let told = match *rest {
                [] => vec![firm.to_owned()],
                [told] => told.strip_prefix("业主:")?.split(',').map(str::to_owned).collect(),
                _ => return None,
            };
            Act::Owner { change, case: letter(case)?, firm: firm.into(), severity: severity(how)?, told }
        }
        ["预警", change, case, firm, ref rest @ ..] => {
            let change = match change {
                "启动" => Change::New,
                "升级" => Change::Raised,
                "降级" => Change::Eased,
                "补报" => Change::Added,
                "解除" => Change::Closed,
                _ => return None,
            };
            let (mut level, mut grave, mut policy, mut told) = (None, false, false, vec![Role::TownshipDuty]);
            for word in rest {
                match *word {
                    "蓝" => level = Some(Level::Blue),
                    "黄" => level = Some(Level::Yellow),
                    "橙" => level = Some(Level::Orange),
                    "红" => level = Some(Level::Red),
                    "重伤" | "死亡" => grave = true,
                    "新政策" => policy = true,
                    word => told = word.strip_prefix("告知:")?.split(',').map(role).collect::<Option<_>>()?,
                }
            }
            Act::Warning { change, case: letter(case)?, firm: firm.into(), level, grave, told, policy }
        }
        ["静默", subject, day, time, ref rest @ ..] => {
            let until = instant(&format!("{} {time}", day.strip_prefix("至:")?))?;
            let everything = matches!(*rest, ["全部"]);
            if !everything && !rest.is_empty() {
                return None;
            }
            Act::Silence { subject: subject.into(), until, everything }
        }
        ["网关", phone, ref answers @ ..] if !answers.is_empty() => {
            let known =
                ["拒绝", "忙", "账户", "丢响", "丢失", "满", "挡住", "放行", "查送达", "查失败", "查空号"];
            if answers.iter().any(|a| !known.contains(&a.split('@').next().unwrap_or_default())) {
                return None;
            }
            Act::Answers { phone: phone.into(), answers: answers.iter().map(|&a| a.to_owned()).collect() }
        }
        ["回执", alert, phone, what] => {
            let failed = match what {
                "送达" => None,
                "失败" => Some("MK:0001"),
                "空号" => Some("MK:0000"),
                _ => return None,
            };
            Act::Receipt { alert: alert.into(), phone: phone.into(), failed }
        }
        ["回复", phone, ref text @ ..] if !text.is_empty() => {
            Act::Reply { phone: phone.into(), text: text.join(" ") }
        }
        ["链接", alert, phone, what] => {
            let says = match what {
                "确认" => Says::Acknowledged,
                "不是我" => Says::NotOurs,
                _ => return None,
            };
            Act::Link { alert: alert.into(), phone: phone.into(), says }
        }
        ["放行更正"] => Act::Release,
        ["再发", alert, phone, ref rest @ ..] if rest.is_empty() || *rest == ["不论"] => {
            Act::Again { alert: alert.into(), phone: phone.into(), although: !rest.is_empty() }
        }
        _ => return None,
    })
}
