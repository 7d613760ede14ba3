//! The topic catalogue: every topic of Tocsin, how it is kept, and what in it is personal data.
//!
//! `tocsin topics apply` creates what stands here; the door knows by it which record a topic carries.
//!
//! What decided the settings:
//! - **Kept for ever**, never compacted: what comes in (but contacts) and `alerts`. They are the evidence,
//!   and "as known on that day" and the fold of what was said need every record.
//! - **Compacted**: where only the newest record of a key means anything, and `registry.contacts`, so that
//!   old personal data goes.
//! - **Partitions**: 3 where volume is, keyed so that all versions of one thing stay in order. One where
//!   the order of *all* records matters (`policy`) or the topic is small and read whole. One, too, for `rates`: an incident
//!   changes a dozen records at once (enterprise, industry, area, city, cause, hour, …), each further
//!   partition in a transaction costs 0.35 ms, and it is compacted.
//!   More partitions later would move keys, so the number is for life.
//! - **Record size**: what comes in may be 16 MiB, because a report that is too large must still arrive to
//!   be refused into quarantine by the door. What goes out is ours and small. But an incident names all its
//!   reports, and a feed that gives everybody the same key must not stop the others: 8 MiB hold two hundred
//!   thousand of them, and the first 1 MiB of a refused record with its provenance.

use std::sync::Arc;

use crate::codes::Source;
use crate::log::{Retention, TopicSettings};
use crate::wire::Kind;

/// Largest record of a topic that carries records in, in bytes.
pub const MAX_IN_BYTES: usize = 16 << 20;
/// Largest record of a topic that carries records out, in bytes.
pub const MAX_OUT_BYTES: usize = 8 << 20;

/// The topic of alerts.
pub const ALERTS: &str = "alerts";
/// The topic of incidents.
pub const INCIDENTS: &str = "incidents";
/// The topic of rates.
pub const RATES: &str = "rates";
/// The topic of lists.
pub const LISTS: &str = "lists";
/// The ledger of deliveries.
pub const DELIVERIES: &str = "deliveries";
/// What came back after messages: receipts, replies, presses on a page.
pub const ANSWERS: &str = "answers";
/// How far each writer has come.
pub const PROGRESS: &str = "progress";
/// Which alert workers are there.
pub const MEMBERS: &str = "members";
/// Records that were refused at the door.
pub const QUARANTINE: &str = "quarantine";
/// The registry of enterprises.
pub const ENTERPRISES: &str = "registry.enterprises";
/// Insured persons by month.
pub const HEADCOUNT: &str = "registry.headcount";
/// Whom to reach.
pub const CONTACTS: &str = "registry.contacts";
/// Letters, rectification reports, inspections, approvals.
pub const GOVERNANCE: &str = "governance.events";
/// Policy files, as TOML text; the newest that can be used is in force.
pub const POLICY: &str = "policy";

/// Which way a topic's records go, seen from the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Read by Tocsin.
    In,
    /// Written by Tocsin.
    Out,
}

/// One topic of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: &'static str,
    /// What its key is made of, by field names.
    pub key: &'static str,
    /// Number of partitions; for life.
    pub partitions: u32,
    /// What is kept.
    pub retention: Retention,
    /// The largest record, in bytes.
    pub max_record_bytes: usize,
    /// The schema of its records; `None`: not Avro (`policy` is TOML text).
    pub schema: Option<Kind>,
    /// Which way its records go.
    pub direction: Direction,
    /// The one source that may report here.
    pub source: Option<Source>,
    /// Fields that are personal data (invariant I9): never in logs, metrics, keys or traces.
    pub personal: &'static [&'static str],
}

impl Topic {
    /// The full name of the record's schema, such as `tocsin.Report`.
    pub fn schema_name(&self) -> Option<String> {
        self.schema.map(|kind| format!("tocsin.{kind}"))
    }
    /// As the event log takes it.
    pub fn settings(&self) -> TopicSettings {
        TopicSettings {
            name: Arc::from(self.name),
            partitions: self.partitions,
            retention: self.retention,
            max_record_bytes: self.max_record_bytes,
        }
    }
}

impl From<&Topic> for TopicSettings {
    fn from(topic: &Topic) -> TopicSettings {
        topic.settings()
    }
}

const fn input(
    name: &'static str,
    key: &'static str,
    partitions: u32,
    schema: Option<Kind>,
    personal: &'static [&'static str],
) -> Topic {
    Topic {
        name,
        key,
        partitions,
        retention: Retention::Forever,
        max_record_bytes: MAX_IN_BYTES,
        schema,
        direction: Direction::In,
        source: None,
        personal,
    }
}

/// A person's key follows the person around, so it is treated as personal too.
const fn reports(name: &'static str, source: Source) -> Topic {
    let topic = input(name, "source_record_id", 3, Some(Kind::Report), &["person_key", "note"]);
    Topic { source: Some(source), ..topic }
}

const fn output(
    name: &'static str,
    key: &'static str,
    partitions: u32,
    retention: Retention,
    schema: Option<Kind>,
    personal: &'static [&'static str],
) -> Topic {
    Topic {
        name,
        key,
        partitions,
        retention,
        max_record_bytes: MAX_OUT_BYTES,
        schema,
        direction: Direction::Out,
        source: None,
        personal,
    }
}

static CATALOGUE: [Topic; 23] = [
    reports("reports.hr", Source::Hr),
    reports("reports.emergency", Source::Emergency),
    reports("reports.construction", Source::Construction),
    reports("reports.market_supervision", Source::MarketSupervision),
    reports("reports.transport", Source::Transport),
    reports("reports.water", Source::Water),
    reports("reports.employer", Source::Employer),
    reports("reports.police", Source::Police),
    reports("reports.health", Source::Health),
    input(ENTERPRISES, "uscc", 3, Some(Kind::Enterprise), &[]),
    input(HEADCOUNT, "uscc|month", 3, Some(Kind::Headcount), &[]),
    // A few thousand records, read whole by the alert worker: one partition.
    Topic {
        retention: Retention::Compacted,
        ..input(CONTACTS, "role|subject|rank", 1, Some(Kind::Contact), &["name", "phone", "addresses"])
    },
    // A few a day; the order across enterprises makes the clerk's journal readable.
    input(GOVERNANCE, "event_id", 1, Some(Kind::GovernanceEvent), &["actor", "approver", "details"]),
    // The order of all versions is what a policy means: one partition.
    input(POLICY, "effective_from", 1, None, &[]),
    output(ALERTS, "uscc", 3, Retention::Forever, Some(Kind::Alert), &[]),
    output(INCIDENTS, "incident_id", 3, Retention::Compacted, Some(Kind::Incident), &[]),
    output(RATES, "scope|key", 1, Retention::Compacted, Some(Kind::Rates), &[]),
    // Read whole at a start, and small: the enterprises with incidents of two years, and what was frozen.
    output(LISTS, "list|year|event_id|uscc", 1, Retention::Compacted, Some(Kind::Listed), &["approver"]),
    // The partition is that of the phone's hash: its owner alone decides about a phone.
    output(DELIVERIES, "delivery_id", 3, Retention::Compacted, Some(Kind::Delivery), &[]),
    // Keyed so that all answers to one message stay in order. By time, because each is evidence (who was asked and has not
    // answered, S53) and a claim that the clerk looks into, while the hash of a phone follows a person around. A year and a
    // month, as for quarantine: the yearly review still finds every answer of the year. What answers did to
    // a delivery stands in `deliveries` for good.
    output(
        ANSWERS,
        "delivery_id, else phone_hash",
        3,
        Retention::Days(400),
        Some(Kind::Answer),
        &["phone_hash"],
    ),
    // One record a writer and transaction. So many partitions that `pipeline` and `alerts` have one each: a
    // transaction that one of them left open when it died would hide the other's progress behind it.
    output(PROGRESS, "writer", 4, Retention::Compacted, Some(Kind::Progress), &[]),
    // So many partitions that a worker which died in the middle of a transaction seldom hides another's heartbeat.
    output(MEMBERS, "name", 8, Retention::Compacted, Some(Kind::Heartbeat), &[]),
    // Rare, and read in the order of arrival by the clerk. A year and a month: the yearly review of the
    // sources still finds what they sent wrongly, and whatever personal data is in it goes afterwards.
    output(
        QUARANTINE,
        "topic/partition/offset",
        1,
        Retention::Days(400),
        Some(Kind::Quarantined),
        &["raw", "detail"],
    ),
];

/// Every topic, records in first, reports in source order.
pub fn catalogue() -> &'static [Topic] {
    &CATALOGUE
}

/// The topic of this name.
pub fn topic(name: &str) -> Option<&'static Topic> {
    CATALOGUE.iter().find(|topic| topic.name == name)
}

/// The topic that this source reports on.
pub fn reports_of(source: Source) -> &'static Topic {
    // The catalogue begins with the sources in source order; a test holds it to that.
    &CATALOGUE[source as usize]
}

/// The whole catalogue as the event log takes it.
pub fn settings() -> Vec<TopicSettings> {
    CATALOGUE.iter().map(Topic::settings).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_source_has_its_topic_and_no_name_stands_twice() {
        for source in Source::ALL {
            let topic = reports_of(*source);
            assert_eq!(topic.name, format!("reports.{source}"));
            assert_eq!(topic.source, Some(*source));
            assert_eq!(topic.schema_name().unwrap(), "tocsin.Report");
        }
        let names: BTreeSet<&str> = catalogue().iter().map(|t| t.name).collect();
        assert_eq!(names.len(), catalogue().len());
    }

    #[test]
    fn what_comes_in_is_evidence_but_for_contacts() {
        for topic in catalogue() {
            let expected = match topic.name {
                "registry.contacts" | "incidents" | "rates" | "lists" | "deliveries" | "progress"
                | "members" => Retention::Compacted,
                "quarantine" | "answers" => Retention::Days(400),
                _ => Retention::Forever,
            };
            assert_eq!(topic.retention, expected, "{}", topic.name);
            let limit = if topic.direction == Direction::In { 10_000_000 } else { 8 << 20 };
            assert!(topic.max_record_bytes >= limit, "{}", topic.name);
        }
    }

    #[test]
    fn a_personal_field_is_a_field_of_the_schema() {
        for topic in catalogue() {
            let Some(kind) = topic.schema else { continue };
            for field in topic.personal {
                assert!(kind.text().contains(&format!("\"name\": \"{field}\"")), "{} {field}", topic.name);
            }
        }
    }
}
