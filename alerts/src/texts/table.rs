//! Which texts there are, and which slots each may have. No slot holds a person: what is not in this table
//! cannot get into a text, whatever a template asks for.

use std::str::FromStr;

use super::slots::cut;

/// One text of people.md section 5.3, or one of ours after them (T13 to T18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "`about` says what each is")]
pub enum Template {
    T1,
    T2,
    T3,
    T4,
    T5,
    T6,
    T7,
    T8,
    T9,
    T10,
    T11,
    T12,
    T13,
    T14,
    T15,
    T16,
    T17,
    T18,
}

use Slot::{
    Act, Area, CaseHead, CaseNo, CaseTail, Cause, Count, DayOfMonth, Enterprise, Hour, K, Level, Month,
    Office, Severity, Town, TownEnterprise, Window, Year, YearMonth,
};

impl Template {
    /// Every text.
    pub const ALL: [Template; 18] = [
        Template::T1,
        Template::T2,
        Template::T3,
        Template::T4,
        Template::T5,
        Template::T6,
        Template::T7,
        Template::T8,
        Template::T9,
        Template::T10,
        Template::T11,
        Template::T12,
        Template::T13,
        Template::T14,
        Template::T15,
        Template::T16,
        Template::T17,
        Template::T18,
    ];

    /// Its id in people.md and in the ledger.
    pub const fn id(self) -> &'static str {
        match self {
            Template::T1 => "T1",
            Template::T2 => "T2",
            Template::T3 => "T3",
            Template::T4 => "T4",
            Template::T5 => "T5",
            Template::T6 => "T6",
            Template::T7 => "T7",
            Template::T8 => "T8",
            Template::T9 => "T9",
            Template::T10 => "T10",
            Template::T11 => "T11",
            Template::T12 => "T12",
            Template::T13 => "T13",
            Template::T14 => "T14",
            Template::T15 => "T15",
            Template::T16 => "T16",
            Template::T17 => "T17",
            Template::T18 => "T18",
        }
    }

    /// The id of its fallback: the same news without the enterprise's name, in slots of 6 characters at most.
    pub const fn fallback_id(self) -> &'static str {
        match self {
            Template::T1 => "T1_fallback",
            Template::T2 => "T2_fallback",
            Template::T3 => "T3_fallback",
            Template::T4 => "T4_fallback",
            Template::T5 => "T5_fallback",
            Template::T6 => "T6_fallback",
            Template::T7 => "T7_fallback",
            Template::T8 => "T8_fallback",
            Template::T9 => "T9_fallback",
            Template::T10 => "T10_fallback",
            Template::T11 => "T11_fallback",
            Template::T12 => "T12_fallback",
            Template::T13 => "T13_fallback",
            Template::T14 => "T14_fallback",
            Template::T15 => "T15_fallback",
            Template::T16 => "T16_fallback",
            Template::T17 => "T17_fallback",
            Template::T18 => "T18_fallback",
        }
    }

    /// The text that has this wording: `T7` of `T7` and of `T7_fallback`.
    pub fn of_wording(id: &str) -> Option<Template> {
        Template::ALL.into_iter().find(|text| [text.id(), text.fallback_id()].contains(&id))
    }

    /// Whom it tells what, for pages.
    pub const fn about(self) -> &'static str {
        match self {
            Template::T1 => "owner, new event",
            Template::T2 => "owner, severe or fatal",
            Template::T3 => "owner, correction",
            Template::T4 => "owner, letter",
            Template::T5 => "owner, reminder",
            Template::T6 => "owner, overdue",
            Template::T7 => "township, several incidents",
            Template::T8 => "township, severe",
            Template::T9 => "owner, listed",
            Template::T10 => "on call, dead feed",
            Template::T11 => "township, correction",
            Template::T12 => "owner, severity corrected",
            Template::T13 => "owner, digest",
            Template::T14 => "township, digest",
            Template::T15 => "township, owner not reached",
            Template::T16 => "township, the morning's list",
            Template::T17 => "township, correction of owner not reached",
            Template::T18 => "township, host not reached",
        }
    }

    /// The slots that it may have.
    pub const fn slots(self) -> &'static [Slot] {
        match self {
            Template::T1 => &[YearMonth, Year, Month, DayOfMonth, Cause, Count, CaseNo, CaseHead, CaseTail],
            Template::T2 => {
                &[YearMonth, Year, Month, DayOfMonth, Severity, Cause, CaseNo, CaseHead, CaseTail]
            }
            Template::T3 => &[Act, Count, CaseNo, CaseHead, CaseTail],
            Template::T4 => &[YearMonth, Year, Month, DayOfMonth, CaseNo, CaseHead, CaseTail],
            Template::T5 => &[K, YearMonth, Year, Month, DayOfMonth, CaseNo, CaseHead, CaseTail],
            Template::T6 | Template::T9 => &[CaseNo, CaseHead, CaseTail],
            Template::T7 => &[Town, Area, Enterprise, Window, Count, Level, CaseNo, CaseHead, CaseTail],
            Template::T8 => &[Town, Area, Enterprise, Severity, CaseNo, CaseHead, CaseTail],
            Template::T10 => &[Office, K, Hour],
            Template::T11 => &[TownEnterprise, Area, Window, Count, Act, CaseNo, CaseHead, CaseTail],
            Template::T12 => &[Severity, CaseNo, CaseHead, CaseTail],
            Template::T13 => &[K, Count, CaseNo, CaseHead, CaseTail],
            Template::T14 | Template::T16 => &[Town, Area, K, CaseNo, CaseHead, CaseTail],
            Template::T15 | Template::T18 => &[
                Town, Area, YearMonth, Year, Month, DayOfMonth, Severity, Enterprise, CaseNo, CaseHead,
                CaseTail,
            ],
            Template::T17 => &[Town, Area, Enterprise, Act, CaseNo, CaseHead, CaseTail],
        }
    }

    /// Whether it must carry a number, so that two messages never look the same and people can quote it.
    pub const fn numbered(self) -> bool {
        !matches!(self, Template::T10)
    }
}

/// Not a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a text from T1 to T18, found {0}")]
pub struct NoTemplate(String);

impl FromStr for Template {
    type Err = NoTemplate;
    fn from_str(text: &str) -> Result<Template, NoTemplate> {
        let found = Template::ALL.into_iter().find(|t| t.id() == text);
        found.ok_or_else(|| NoTemplate(text.chars().take(64).collect()))
    }
}

/// What a template may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The month, with its year where that is not this year's.
    YearMonth,
    /// The year.
    Year,
    /// The month.
    Month,
    /// The day of the month.
    DayOfMonth,
    /// The cause by GB 6441.
    Cause,
    /// A count.
    Count,
    /// The number that people quote.
    CaseNo,
    /// That number without its last 4 characters.
    CaseHead,
    /// The last 4 characters of that number.
    CaseTail,
    /// How severe.
    Severity,
    /// What was done.
    Act,
    /// Township or zone; an unknown one by its code.
    Town,
    /// The same, 永康市 where that has over 6 characters.
    Area,
    /// The enterprise's name, 14 characters at most.
    Enterprise,
    /// Township and enterprise as one slot, because gateways refuse two side by side.
    TownEnterprise,
    /// Days looked back.
    Window,
    /// The level of the warning.
    Level,
    /// Days left, hours without data, or messages that were not sent one by one.
    K,
    /// The office that reports.
    Office,
    /// Hour and minute.
    Hour,
}

impl Slot {
    /// Every slot.
    pub const ALL: [Slot; 20] = [
        YearMonth,
        Year,
        Month,
        DayOfMonth,
        Cause,
        Count,
        CaseNo,
        CaseHead,
        CaseTail,
        Severity,
        Act,
        Town,
        Area,
        Enterprise,
        TownEnterprise,
        Window,
        Level,
        K,
        Office,
        Hour,
    ];

    /// Its name in a template, and as a gateway's variable.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The slot of this name.
    pub fn named(name: &str) -> Option<Slot> {
        Slot::ALL.into_iter().find(|slot| slot.name() == name)
    }

    /// An everyday value in this text.
    pub fn example(self, template: Template) -> String {
        match (self, template) {
            (Act, Template::T11) => "解除".to_owned(),
            _ => self.row().1.to_owned(),
        }
    }

    /// A value as long as one can get in this text, with the enterprise's name (which has no end of its own)
    /// in at most `name_limit` characters.
    pub fn longest(self, template: Template, name_limit: usize) -> String {
        match (self, template) {
            (Enterprise, _) => cut(LONG_NAME, name_limit),
            (TownEnterprise, _) => format!("{}{}", Town.row().2, cut(LONG_NAME, name_limit)),
            (Act, Template::T11) => "转承继单位".to_owned(),
            // Only T8 speaks of an incident that may be either severe or fatal.
            (Severity, Template::T2 | Template::T12 | Template::T15 | Template::T18) => "重伤".to_owned(),
            _ => self.row().2.to_owned(),
        }
    }

    /// Whether it names the enterprise, and so may be shortened, and has no place in a fallback.
    pub const fn names_enterprise(self) -> bool {
        matches!(self, Enterprise | TownEnterprise)
    }

    /// Name, everyday value, longest value.
    const fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            YearMonth => ("M", "3", "2024年12"),
            Year => ("Y", "2026", "2026"),
            Month => ("month", "3", "12"),
            DayOfMonth => ("D", "1", "31"),
            Cause => ("cause", "物体打击", "中毒和窒息"),
            Count => ("n", "2", "999+"),
            CaseNo => ("id", "000000901", "9999999999"),
            CaseHead => ("id_head", "00000", "999999"),
            CaseTail => ("id_tail", "0901", "9999"),
            Severity => ("sev", "重伤", "重伤以上"),
            Act => ("act", "撤销", "认定为非工伤"),
            Town => ("town", "东城街道", "YK-LONGE…"),
            Area => ("area", "东城街道", "江南山水新城"),
            Enterprise => ("ent", "长城五金", LONG_NAME),
            TownEnterprise => ("town_ent", "东城街道长城五金", LONG_NAME),
            Window => ("w", "365", "999+"),
            Level => ("lv", "黄色", "黄色"),
            K => ("k", "7", "999+"),
            Office => ("src", "人社", "用人单位"),
            Hour => ("hm", "08:30", "23:59"),
        }
    }
}

/// A registered name that is longer than any text has room for.
const LONG_NAME: &str = "浙江省永康市长城五金工具制造有限责任公司第二分公司";
