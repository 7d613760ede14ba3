//! The closed lists of the contract. Each has one text form, the same in JSON, Avro, metrics and pages.

mod answers;
mod delivery;
mod rankings;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::answers::{AnswerKind, FailureClass, Says};
pub use self::delivery::{DeliveryState, Urgency};
pub use self::rankings::{IndustryVerdict, NoBenchmark, NoStreak, StreakSince};

/// A code that is not on its list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a {list}")]
pub struct UnknownCode {
    /// The list that was asked.
    pub list: &'static str,
    /// What came.
    pub found: String,
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident: $list:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }
        impl $name {
            /// Every code, in the order of the contract.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];
            /// The text form.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.as_str()) }
        }
        impl FromStr for $name {
            type Err = UnknownCode;
            fn from_str(s: &str) -> Result<$name, UnknownCode> {
                match s {
                    $($text => Ok($name::$variant),)*
                    _ => Err(UnknownCode { list: $list, found: s.chars().take(64).collect() }),
                }
            }
        }
        // As a string in every format: Avro has no enum here, so that a wrong code reaches the door.
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_str(crate::codes::FromText::<$name>(std::marker::PhantomData))
            }
        }
    };
}
pub(crate) use codes;

/// Reads anything that has a text form, from whatever kind of string the format holds.
pub(crate) struct FromText<T>(pub(crate) std::marker::PhantomData<T>);

impl<T: FromStr> serde::de::Visitor<'_> for FromText<T>
where
    T::Err: fmt::Display,
{
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

codes! {
    /// Who reports. The order is the *source order*: the first one is believed first.
    Source: "source" {
        /// The human resources bureau (claims).
        Hr = "hr",
        /// The emergency management bureau.
        Emergency = "emergency",
        /// The construction bureau.
        Construction = "construction",
        /// Market supervision (special equipment, food).
        MarketSupervision = "market_supervision",
        /// Transport.
        Transport = "transport",
        /// Water works.
        Water = "water",
        /// The employer itself.
        Employer = "employer",
        /// The police.
        Police = "police",
        /// Hospitals.
        Health = "health",
    }
}

impl Source {
    /// Whether this source only raises a suspicion (records.md section 2.3): hospitals and the police.
    pub const fn only_suspects(self) -> bool {
        matches!(self, Source::Police | Source::Health)
    }
}

codes! {
    /// Where a claim stands.
    Status: "status" {
        /// Reported.
        Reported = "reported",
        /// Accepted for decision.
        Accepted = "accepted",
        /// Recognised as a work injury (认定).
        Recognised = "recognised",
        /// Deemed a work injury (视同).
        Deemed = "deemed",
        /// Not accepted for decision.
        NotAccepted = "not_accepted",
        /// Refused (不予认定).
        Refused = "refused",
        /// Taken back by the source: the report is removed.
        Withdrawn = "withdrawn",
    }
}

impl Status {
    /// Whether a report with this status counts.
    pub const fn counts(self) -> bool {
        matches!(self, Status::Reported | Status::Accepted | Status::Recognised | Status::Deemed)
    }
}

codes! {
    /// What kind of work injury. Only `production` enters the rates; the order breaks ties.
    Category: "category" {
        /// An injury at work.
        Production = "production",
        /// On the way to or from work (条例 art. 14-6).
        Commuting = "commuting",
        /// Sudden illness (art. 15-1).
        SuddenIllness = "sudden_illness",
        /// Occupational disease (art. 14-4).
        OccupationalDisease = "occupational_disease",
    }
}

codes! {
    /// How badly. Ordered: a later one is worse.
    Severity: "severity" {
        /// Less than the others (轻伤).
        Minor = "minor",
        /// 重伤: lost days or disability grade at or past the policy's limits.
        Severe = "severe",
        /// Somebody died.
        Fatal = "fatal",
    }
}

codes! {
    /// The state of a case or an incident.
    State: "state" {
        /// It counts, and its enterprise is told.
        Counted = "counted",
        /// Only a hospital or the police know of it: waits for the clerk.
        Suspected = "suspected",
        /// Its enterprise is unknown or not registered: waits for the clerk.
        Unmatched = "unmatched",
        /// The authority says it is no work injury.
        Refused = "refused",
        /// Nothing of it is left; kept so that its number comes back if its reports do.
        Gone = "gone",
    }
}

codes! {
    /// The colour of an escalation. Ordered: a later one is worse.
    Level: "level" {
        /// 蓝
        Blue = "blue",
        /// 黄
        Yellow = "yellow",
        /// 橙
        Orange = "orange",
        /// 红
        Red = "red",
    }
}

codes! {
    /// Who can be told.
    Role: "role" {
        /// The enterprise's responsible person (S15).
        Owner = "owner",
        /// The enterprise's safety officer.
        SafetyOfficer = "safety_officer",
        /// The township's duty officer.
        TownshipDuty = "township_duty",
        /// The duty officer of the bureau that answers for an industry.
        IndustryDuty = "industry_duty",
        /// The emergency bureau's duty officer.
        EmergencyDuty = "emergency_duty",
        /// The bureau's clerk.
        Clerk = "clerk",
        /// The on-call monitor.
        OnCall = "on_call",
    }
}

codes! {
    /// The rule that decided an alert. Text order is the order inside one decision.
    Rule: "rule" {
        /// A township is warned of an enterprise with several incidents (S20).
        Escalation = "escalation",
        /// The owner is told of each incident (S15).
        OwnerIncident = "owner_incident",
    }
}

codes! {
    /// What an alert changes for those who get it.
    Change: "change" {
        /// Told for the first time, or again after a correction.
        New = "new",
        /// The injury is worse than last told.
        Upgraded = "upgraded",
        /// The injury is less than last told.
        Downgraded = "downgraded",
        /// What was told does not hold.
        Corrected = "corrected",
        /// A higher level.
        Raised = "raised",
        /// A lower level.
        Eased = "eased",
        /// No level applies any more.
        Closed = "closed",
        /// A severe or fatal incident joins a red that did not name it.
        Added = "added",
        /// Due, but not said; the reason says why.
        Suppressed = "suppressed",
    }
}

codes! {
    /// Why a decision fell as it did.
    Reason: "reason" {
        /// First heard of more than `owner_alert.max_age_days` after it happened.
        TooOld = "too_old",
        /// First heard of before the policy took effect.
        BeforePolicy = "before_policy",
        /// Its days went by (decided at a midnight).
        Expired = "expired",
        /// The records changed (decided at a batch).
        Corrected = "corrected",
        /// Another enterprise took this one over.
        Succeeded = "succeeded",
        /// The policy changed.
        Policy = "policy",
        /// Every report of it was withdrawn.
        Withdrawn = "withdrawn",
        /// It was refused as a work injury.
        Refused = "refused",
        /// What is left of it is only a suspicion.
        Suspected = "suspected",
        /// Its enterprise is not known any more.
        Unmatched = "unmatched",
        /// It happened to another enterprise.
        Moved = "moved",
        /// It is the same as another incident, which goes on.
        Merged = "merged",
        /// The worker was not harmed at this host.
        HostChanged = "host_changed",
    }
}

codes! {
    /// What a rate is of.
    Scope: "scope" {
        /// One enterprise; key is its USCC.
        Enterprise = "enterprise",
        /// One industry; key is the two-digit division of GB/T 4754.
        Industry = "industry",
        /// One township or zone; key is its code.
        Area = "area",
        /// The whole city; key `330784`.
        City = "city",
        /// One of the three sectors of the economy (三次产业); key `1`, `2` or `3`.
        Sector = "sector",
        /// Enterprises with one tag, such as a local cluster (保温杯) or `special_equipment`; key is the tag.
        Tag = "tag",
        /// One cause of GB 6441; key `01`-`20` or `unknown`.
        Cause = "cause",
        /// One hour of the day; key `00`-`23` or `unknown`.
        Hour = "hour",
        /// One shift of eight hours; key `night` (from 00:00), `day`, `evening` or `unknown`.
        Shift = "shift",
        /// One day of the week; key `1` (Monday) to `7`.
        Weekday = "weekday",
        /// One month of any year; key `01`-`12`.
        Month = "month",
        /// One quarter of any year; key `1`-`4`.
        Quarter = "quarter",
    }
}

codes! {
    /// Why a rate cannot be computed.
    RateReason: "rate reason" {
        /// No month of the window has a headcount.
        HeadcountUnknown = "headcount_unknown",
        /// The headcounts are all zero.
        HeadcountZero = "headcount_zero",
        /// It is of no group of enterprises: a cause or an hour employs nobody.
        NoHeadcount = "no_headcount",
    }
}

codes! {
    /// Why a rate has no shrunken value.
    ShrunkenReason: "reason for no shrunken rate" {
        /// As [`RateReason::HeadcountUnknown`].
        HeadcountUnknown = "headcount_unknown",
        /// As [`RateReason::HeadcountZero`].
        HeadcountZero = "headcount_zero",
        /// As [`RateReason::NoHeadcount`].
        NoHeadcount = "no_headcount",
        /// It is of a group of enterprises: only single ones are compared with each other.
        Group = "group",
        /// The window grows from day to day, and the value would with it though nothing happened: take `365d`.
        ToDate = "to_date",
        /// No model has been taken yet, or the firms differ by no more than chance, so that there is none.
        NoModel = "no_model",
    }
}

impl From<RateReason> for ShrunkenReason {
    /// Without a rate there is nothing to shrink.
    fn from(reason: RateReason) -> ShrunkenReason {
        match reason {
            RateReason::HeadcountUnknown => ShrunkenReason::HeadcountUnknown,
            RateReason::HeadcountZero => ShrunkenReason::HeadcountZero,
            RateReason::NoHeadcount => ShrunkenReason::NoHeadcount,
        }
    }
}

codes! {
    /// How the spread of the firms' true rates was found.
    FittedBy: "way to fit" {
        /// The maximum of the negative-binomial likelihood.
        Likelihood = "likelihood",
        /// The moment iteration, as the likelihood has no maximum.
        Moments = "moments",
    }
}

codes! {
    /// Whether an enterprise is in business.
    EnterpriseStatus: "enterprise status" {
        /// In business.
        Active = "active",
        /// Closed.
        Closed = "closed",
    }
}

codes! {
    /// A list of enterprises (S11).
    List: "list" {
        /// The list of a calendar year, kept up to date.
        Annual = "annual",
        /// A list of a year as it stood when somebody with a name froze it.
        Frozen = "frozen",
    }
}

codes! {
    /// What an enterprise is on the list of a year (S11).
    ListClass: "list class" {
        /// 工伤事故多发重点企业.
        Key = "key",
        /// 一般工伤事故企业.
        General = "general",
    }
}

codes! {
    /// Why an enterprise is on the list of a year (S11).
    ListReason: "list reason" {
        /// Several incidents, and the lower bound of its shrunken rate is above the city's rate. Key.
        SeveralAndAboveAverage = "several_and_above_average",
        /// A rate some times the city's, and chance alone would hardly do it. Key.
        HighRate = "high_rate",
        /// A severe or fatal incident. Key.
        Severe = "severe",
        /// At least one incident. General, unless one of the others holds.
        Incidents = "incidents",
    }
}

codes! {
    /// Why a test of S11 could not be made.
    Undetermined: "undetermined test" {
        /// No month of the year has a headcount.
        HeadcountUnknown = "headcount_unknown",
        /// The mean headcount is 0.
        HeadcountZero = "headcount_zero",
        /// The city has no rate yet: none was taken at a midnight of the year, or it was 0.
        NoCityRate = "no_city_rate",
        /// The rates of all enterprises could not be modelled.
        NoModel = "no_model",
    }
}

codes! {
    /// Why a list was not frozen.
    FreezeRefusal: "refused freezing" {
        /// Nobody with a name approved it.
        NoApprover = "no_approver",
        /// The subject of the event is no year.
        NotAYear = "not_a_year",
        /// The year is not over.
        YearNotOver = "year_not_over",
        /// The list of that year is not kept any more: only the last one is.
        YearTooOld = "year_too_old",
        /// The id of the event is too long to stand in every record of a list.
        EventIdTooLong = "event_id_too_long",
        /// It was taken in before, and the topic has no record of what was made of it: that was lost, or no lists were
        /// kept yet.
        NoRecord = "no_record",
    }
}

codes! {
    /// What the clerk is shown of a record that was accepted (`problem` of flags.jsonl). The last two are of values that
    /// may stand where they stand and count as they are; the others of a value in an optional field, which was left out.
    Problem: "problem" {
        /// Not the JSON or Avro type of the field.
        WrongType = "wrong_type",
        /// A text that is no day, time, or the like.
        Unparsable = "unparsable",
        /// Not on its list of codes.
        NotInList = "not_in_list",
        /// A number beyond the field's range.
        OutOfRange = "out_of_range",
        /// A number below 0.
        Negative = "negative",
        /// Too short or too long.
        WrongLength = "wrong_length",
        /// A symbol that may not stand there.
        WrongAlphabet = "wrong_alphabet",
        /// The check symbol of a USCC does not fit.
        WrongCheckSymbol = "wrong_check_symbol",
        /// A headcount is many times that of the month before.
        HeadcountJump = "headcount_jump",
        /// Successions lead round in a circle, and are ignored.
        SuccessionLoop = "succession_loop",
    }
}

/// The city's own code (GB/T 2260): the key of its rates and the subject of its duty officers.
pub const CITY: &str = "330784";

/// The coarse cause of an accident, GB 6441-1986 `01`-`20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause(u8);

const CAUSES: [&str; 20] = [
    "物体打击",
    "车辆伤害",
    "机械伤害",
    "起重伤害",
    "触电",
    "淹溺",
    "灼烫",
    "火灾",
    "高处坠落",
    "坍塌",
    "冒顶片帮",
    "透水",
    "放炮",
    "火药爆炸",
    "瓦斯爆炸",
    "锅炉爆炸",
    "容器爆炸",
    "其他爆炸",
    "中毒和窒息",
    "其他伤害",
];

impl Scope {
    /// The scopes of `rates.jsonl` (records.md section 5); all others are statistics only.
    pub const RATES: [Scope; 4] = [Scope::Enterprise, Scope::Industry, Scope::Area, Scope::City];

    /// Whether it is made of enterprises, and so has insured persons.
    pub const fn of_enterprises(self) -> bool {
        matches!(
            self,
            Scope::Enterprise | Scope::Industry | Scope::Area | Scope::City | Scope::Sector | Scope::Tag
        )
    }
}

impl Cause {
    /// The number of the code, 1 to 20.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The name that people read.
    pub const fn name(self) -> &'static str {
        CAUSES[self.0 as usize - 1]
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}

impl FromStr for Cause {
    type Err = UnknownCode;
    /// `01`-`20`; the standard's own `010`-`020` are read as `10`-`20`.
    fn from_str(s: &str) -> Result<Cause, UnknownCode> {
        let unknown = || UnknownCode { list: "cause of GB 6441-1986", found: s.chars().take(64).collect() };
        let digits = match s.as_bytes() {
            [b'0', b'1', _] | [b'0', b'2', b'0'] => &s[1..],
            [_, _] => s,
            _ => return Err(unknown()),
        };
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(unknown());
        }
        match digits.parse::<u8>() {
            Ok(n @ 1..=20) => Ok(Cause(n)),
            _ => Err(unknown()),
        }
    }
}

impl Serialize for Cause {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Cause {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(crate::codes::FromText(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_cause_are_read() {
        assert_eq!("010".parse::<Cause>().unwrap().to_string(), "10");
        assert_eq!("020".parse::<Cause>().unwrap().name(), "其他伤害");
        assert_eq!("03".parse::<Cause>().unwrap().name(), "机械伤害");
        for bad in ["00", "21", "3", "003", "021", "030", "+3", "é"] {
            assert!(bad.parse::<Cause>().is_err(), "{bad}");
        }
    }

    #[test]
    fn source_order_is_the_contracts() {
        assert!(
            Source::Hr < Source::Emergency
                && Source::Employer < Source::Police
                && Source::Police < Source::Health
        );
    }
}
