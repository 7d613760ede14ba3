//! What the explanation of a list, or of an entry on it, consists of. As elsewhere nothing personal stands in it: of who
//! approved a frozen list only whether there was somebody with a name.

use std::sync::Arc;

use serde::Serialize;
use tocsin_schemas::codes::{FreezeRefusal, ListClass};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::records::{Listed, Member};
use tocsin_schemas::time::{Day, Instant, Month};

use crate::policy::Lists;
use crate::why::view::{Changed, Check, IncidentView, Place, PolicyUsed, Registered};

/// What stands in a record of a list in place of the name of whoever approved it.
pub(super) const NAMED: &str = "named";

/// Why a record of the topic `lists` is as it is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListedExplained {
    /// An enterprise on a list.
    Entry(Box<EntryExplained>),
    /// A list as a whole.
    Whole(Box<WholeExplained>),
}

/// Why an enterprise is on a list.
#[derive(Debug, Clone, Serialize)]
pub struct EntryExplained {
    /// The key in the topic.
    pub key: String,
    /// The record as it was last written.
    pub entry: Listed,
    /// The name of the enterprise, as registered then.
    pub name: Option<Arc<str>>,
    /// Whether the enterprise was taken off the list after it.
    pub taken_off: bool,
    /// Of a frozen list: whether somebody with a name approved it; `None`: its record as a whole is not there.
    pub approved: Option<bool>,
    /// Of a frozen list: the events that froze an equal one after it, and name this one instead of repeating it.
    pub frozen_again: Vec<String>,
    /// By which policy.
    pub policy: PolicyUsed,
    /// Its thresholds.
    pub limits: Lists,
    /// First day of what is counted.
    pub from: Day,
    /// Last day of it.
    pub to: Day,
    /// How many days that are.
    pub days: u32,
    /// Every incident that counts in it, as known at the decision.
    pub incidents: Vec<IncidentView>,
    /// The headcounts that make the mean, as known at the decision: those of the enterprise and of those that are read
    /// as it.
    pub headcounts: Vec<HeadcountView>,
    /// The years before it that were looked at, the newest first; none of a general enterprise.
    pub years: Vec<YearBefore>,
    /// As of an alert.
    pub taken_later: Vec<Place>,
    /// As of an alert.
    pub stamped_ahead: Vec<Place>,
    /// What came since.
    pub since: EntrySince,
    /// Whether the records give the entry again.
    pub check: Check,
    /// `key_years` could not be checked: the log does not hold the list of the year before any more as it stood then.
    pub years_unknown: bool,
}

impl EntryExplained {
    /// What the entry says of the enterprise.
    pub fn member(&self) -> &Member {
        self.entry.member.as_ref().unwrap_or_else(|| unreachable!("an entry has a member"))
    }
}

/// One version of the insured persons of a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields are those of the contract, records.md section 1")]
pub struct HeadcountView {
    pub uscc: Uscc,
    pub month: Month,
    pub insured: u32,
    pub version: u64,
    pub arrived_at: Instant,
    pub place: Place,
}

/// Whether an enterprise was key in an earlier year.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct YearBefore {
    /// The year.
    pub year: i32,
    /// Whether it was; `None`: the log does not say any more.
    pub key: Option<bool>,
    /// By which list.
    pub by: YearBy,
}

/// Which list says what an enterprise was in an earlier year.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum YearBy {
    /// The last that was frozen by then.
    Frozen {
        /// By this event.
        event_id: String,
    },
    /// The live list of last year, as nobody had frozen it.
    Live,
    /// Its own as that last stood: nobody had frozen it, and it was not last year's any more.
    NotFrozen,
    /// None: the topic holds none of that year, as where the log began later.
    NoList,
}

/// What came after an entry was written.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EntrySince {
    /// Versions of the reports concerned that were taken in later.
    pub reports: Vec<Changed>,
    /// Headcounts of the year that were taken in later.
    pub headcounts: Vec<HeadcountView>,
    /// Versions of the enterprise's registration that were taken in later.
    pub registered: Vec<Registered>,
    /// The incidents that count in the year by what is known now.
    pub incidents: u32,
    /// Of a frozen entry: the live one as last written; `None`: the enterprise is not on the live list.
    pub live: Option<Listed>,
    /// Of a frozen entry: field, what was frozen, what the live list says.
    pub moved: Vec<(&'static str, String, String)>,
}

/// Why a list as a whole is as it is.
#[derive(Debug, Clone, Serialize)]
pub struct WholeExplained {
    /// The key in the topic.
    pub key: String,
    /// The record as it was last written.
    pub entry: Listed,
    /// Who is on it.
    pub members: Vec<OnList>,
    /// Of a frozen list: the versions of the event that froze it, in the order of arrival.
    pub events: Vec<EventView>,
    /// Of a frozen list: what the live list of its year says otherwise.
    pub moved: Vec<MovedOnList>,
    /// Whether the entries and the event give the record again.
    pub check: Check,
}

/// Who is on a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OnList {
    /// The enterprise.
    pub uscc: Uscc,
    /// As what.
    pub class: ListClass,
    /// Whether for years running.
    pub persistent: bool,
}

/// Who stands otherwise on the live list than on a frozen one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovedOnList {
    /// The enterprise.
    pub uscc: Uscc,
    /// As what it was frozen; `None`: not at all.
    pub frozen: Option<ListClass>,
    /// As what it stands on the live list.
    pub live: Option<ListClass>,
}

/// A version of an event that asks to freeze a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventView {
    /// Its version.
    pub version: u64,
    /// What it asks for; only `freeze_list` freezes.
    pub kind: String,
    /// The year that it names.
    pub subject: String,
    /// Whether somebody with a name approved it.
    pub approved: bool,
    /// When it arrived.
    pub arrived_at: Instant,
    /// Where the log holds it.
    pub place: Place,
    /// Why it could not have frozen anything on that day; `None`: it could.
    pub refused: Option<FreezeRefusal>,
}
