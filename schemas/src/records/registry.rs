use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codes::{EnterpriseStatus, Role};
use crate::ids::Uscc;
use crate::time::{Day, Month};

/// One version of an enterprise's registration (`registry.enterprises`, key `uscc`). All versions are
/// kept: they are dated, and a late lower one takes effect for its days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the contract, records.md section 1")]
pub struct Enterprise {
    pub uscc: Uscc,
    #[serde(with = "crate::wire::long")]
    pub version: u64,
    pub name: Arc<str>,
    pub short_name: Option<Arc<str>>,
    /// Nine-digit code, or a zone's own code.
    pub area: Arc<str>,
    /// GB/T 4754-2017, two digits or more.
    pub industry: String,
    pub valid_from: Day,
    pub status: EnterpriseStatus,
    pub tags: Vec<String>,
    pub successor_of: Option<Uscc>,
}

impl Enterprise {
    /// The two-digit division of the industry.
    pub fn division(&self) -> &str {
        self.industry.get(..2).unwrap_or(&self.industry)
    }
}

/// Insured persons of an enterprise in a month (`registry.headcount`, key `uscc+month`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the contract, records.md section 1")]
pub struct Headcount {
    pub uscc: Uscc,
    pub month: Month,
    pub insured: u32,
    #[serde(with = "crate::wire::long")]
    pub version: u64,
}

/// Whom to reach for a role (`registry.contacts`, key `role+subject+rank`). Personal data.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the contract, records.md section 1")]
pub struct Contact {
    pub role: Role,
    pub subject: String,
    /// 1 is asked first.
    pub rank: u32,
    pub name: String,
    pub phone: Option<String>,
    pub addresses: BTreeMap<String, String>,
    pub valid_from: Option<Day>,
    pub valid_to: Option<Day>,
    pub verified_on: Option<Day>,
    #[serde(with = "crate::wire::long")]
    pub version: u64,
}

impl std::fmt::Debug for Contact {
    /// Names and phones stay out of every log line (invariant I9).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Contact({}/{}/{} v{})", self.role, self.subject, self.rank, self.version)
    }
}

/// A letter, rectification report, inspection or approval (`governance.events`, key `event_id`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the contract, records.md section 1")]
pub struct GovernanceEvent {
    pub event_id: String,
    pub kind: String,
    pub subject: String,
    pub on: Day,
    #[serde(with = "crate::wire::long")]
    pub version: u64,
    pub actor: String,
    pub approver: Option<String>,
    /// The kind's own fields, as JSON text.
    pub details: String,
}
