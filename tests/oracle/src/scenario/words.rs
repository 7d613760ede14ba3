//! The words of scenario files, and what they stand for.

use tocsin_schemas::codes::{Category, Change, Level, Reason, Role, Severity, Source, State, Status};
use tocsin_schemas::ids::{PersonKey, Uscc};

use crate::histories;

pub(super) const SOURCES: [(&str, Source); 9] = [
    ("人社", Source::Hr),
    ("应急", Source::Emergency),
    ("建设", Source::Construction),
    ("市监", Source::MarketSupervision),
    ("交通", Source::Transport),
    ("水务", Source::Water),
    ("单位", Source::Employer),
    ("公安", Source::Police),
    ("医院", Source::Health),
];

pub(super) const STATUSES: [(&str, Status); 7] = [
    ("报告", Status::Reported),
    ("受理", Status::Accepted),
    ("认定", Status::Recognised),
    ("视同", Status::Deemed),
    ("不予受理", Status::NotAccepted),
    ("不予认定", Status::Refused),
    ("撤回", Status::Withdrawn),
];

pub(super) const CATEGORIES: [(&str, Category); 4] = [
    ("生产", Category::Production),
    ("通勤", Category::Commuting),
    ("突发疾病", Category::SuddenIllness),
    ("职业病", Category::OccupationalDisease),
];

pub(super) const SEVERITIES: [(&str, Severity); 3] =
    [("轻伤", Severity::Minor), ("重伤", Severity::Severe), ("死亡", Severity::Fatal)];

pub(super) const LEVELS: [(&str, Level); 4] =
    [("蓝", Level::Blue), ("黄", Level::Yellow), ("橙", Level::Orange), ("红", Level::Red)];

pub(super) const STATES: [(&str, State); 5] = [
    ("计入", State::Counted),
    ("疑似", State::Suspected),
    ("待核", State::Unmatched),
    ("不予认定", State::Refused),
    ("已消", State::Gone),
];

pub(super) const OWNER_CHANGES: [(&str, Change); 5] = [
    ("新报", Change::New),
    ("加重", Change::Upgraded),
    ("减轻", Change::Downgraded),
    ("更正", Change::Corrected),
    ("不告知", Change::Suppressed),
];

pub(super) const ESCALATION_CHANGES: [(&str, Change); 5] = [
    ("启动", Change::New),
    ("升级", Change::Raised),
    ("降级", Change::Eased),
    ("解除", Change::Closed),
    ("补报", Change::Added),
];

pub(super) const REASONS: [(&str, Reason); 13] = [
    ("过久", Reason::TooOld),
    ("政策前", Reason::BeforePolicy),
    ("到期", Reason::Expired),
    ("更正", Reason::Corrected),
    ("承继", Reason::Succeeded),
    ("政策", Reason::Policy),
    ("撤回", Reason::Withdrawn),
    ("不予认定", Reason::Refused),
    ("仅疑似", Reason::Suspected),
    ("待核", Reason::Unmatched),
    ("改单位", Reason::Moved),
    ("并案", Reason::Merged),
    ("改用工", Reason::HostChanged),
];

pub(super) const ROLES: [(&str, Role); 4] = [
    ("业主", Role::Owner),
    ("乡镇", Role::TownshipDuty),
    ("行业", Role::IndustryDuty),
    ("应急", Role::EmergencyDuty),
];

/// Enterprises in the order of their codes.
const ENTERPRISES: [&str; 8] = ["甲", "乙", "丙", "丁", "戊", "己", "庚", "辛"];
const PERSONS: [&str; 8] = ["张三", "李四", "王五", "赵六", "钱七", "孙八", "周九", "吴十"];

pub(super) fn look_up<T: Copy>(list: &[(&str, T)], word: &str) -> Option<T> {
    list.iter().find(|(w, _)| *w == word).map(|(_, t)| *t)
}

pub(super) fn enterprise(word: &str) -> Option<Uscc> {
    ENTERPRISES.iter().position(|e| *e == word).map(|n| histories::uscc(n + 1))
}

pub(super) fn person(word: &str) -> Option<PersonKey> {
    PERSONS.iter().position(|p| *p == word).map(|n| histories::person(n as u8 + 1))
}
