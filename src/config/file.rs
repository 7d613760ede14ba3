//! The file as it is written: names, types and defaults. Meaning is given to it in the parent module.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use tocsin_alerts::calendar::Hours;
use tocsin_alerts::gateways::settings::Templates;
use tocsin_schemas::time::{Instant, TimeOfDay};

use super::secret::{PropertyRef, SecretRef};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub log: Log,
    #[serde(default)]
    pub policy: Policy,
    #[serde(default)]
    pub schemas: Schemas,
    #[serde(default)]
    pub pipeline: Pipeline,
    #[serde(default)]
    pub alerts: Alerts,
    #[serde(default)]
    pub metrics: Metrics,
    #[serde(default)]
    pub clock: Clock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    Embedded,
    Kafka,
}

/// Which clock stamps the records of topics that are created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StampKind {
    #[default]
    LogAppendTime,
    CreateTime,
}

/// `[log]`. What belongs to the other kind is an error, found by the parent module.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub kind: LogKind,
    pub path: Option<PathBuf>,
    pub max_bytes: Option<u64>,
    pub brokers: Option<String>,
    pub replication_factor: Option<u16>,
    pub stamps: Option<StampKind>,
    pub prefix: Option<String>,
    #[serde(default)]
    pub security: BTreeMap<String, PropertyRef>,
    pub contacts_key: Option<SecretRef>,
    pub contacts_key_before: Option<SecretRef>,
}

/// `[policy]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub file: Option<PathBuf>,
}

/// `[schemas]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schemas {
    pub ids: Option<PathBuf>,
}

/// `[pipeline]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pipeline {
    /// Timely workers (threads), 1 to 64. 1 is best on two cores.
    pub workers: usize,
    /// The most records that one decision takes, 1 to 1,000,000.
    pub max_batch: usize,
    /// How long a batch that is not full waits for more, 0 to 1,000 ms. 0 takes what is at hand.
    pub linger_ms: u64,
}

impl Default for Pipeline {
    fn default() -> Self {
        Pipeline { workers: 1, max_batch: 10_000, linger_ms: 0 }
    }
}

/// `[alerts]`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    pub webhook: Option<Webhook>,
    pub answers: Option<super::answers::Section>,
    pub deadlines: super::answers::Hours,
    pub templates: Texts,
    pub gateways: BTreeMap<String, toml::Table>,
    /// The gateways to try, by role, in order.
    pub order: BTreeMap<String, Vec<String>>,
    pub quiet: Quiet,
    /// A message that was not sent for so long is of no use; 0: never.
    pub expire_after_hours: u64,
    /// How many messages a day a phone gets over one channel; left out: as many as the gateways allow.
    pub per_phone_a_day: Option<u32>,
    /// Whether townships get a list in the morning instead of a message for each minor thing.
    pub mornings: bool,
    /// Over so many corrections in an hour the rest is held until somebody has looked; 0: never.
    pub corrections_an_hour: u32,
    /// Whether a message whose outcome nobody can find out is sent once more.
    pub resend_unknown: bool,
    /// The key of phones' hashes in `deliveries`.
    pub phone_key: Option<SecretRef>,
}

impl Default for Alerts {
    fn default() -> Self {
        Alerts {
            webhook: None,
            answers: None,
            deadlines: super::answers::Hours::default(),
            templates: Texts::default(),
            gateways: BTreeMap::new(),
            order: BTreeMap::new(),
            quiet: Quiet::default(),
            expire_after_hours: 72,
            per_phone_a_day: None,
            mornings: false,
            corrections_an_hour: tocsin_alerts::fuse::MOST_AN_HOUR,
            resend_unknown: false,
            phone_key: None,
        }
    }
}

/// `[alerts.templates]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    pub folder: Option<PathBuf>,
}

/// Of `[alerts.gateways.NAME]`: what a gateway has approved.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approvals {
    /// The signature of templates that name none of their own, without its brackets.
    pub sign_name: String,
    /// The wording's id (`T1`, `T7_fallback`) to the gateway's template.
    #[serde(default)]
    pub templates: Templates,
}

/// `[alerts.quiet]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quiet {
    /// False: nothing is held, at no hour and on no day.
    pub enabled: bool,
    /// Quiet from this time on.
    pub from: TimeOfDay,
    /// Until this time, of the next day where it is not later.
    pub to: TimeOfDay,
    /// When offices begin to read on a workday.
    pub workday_from: TimeOfDay,
    /// The table of holidays; left out: the built-in one.
    pub holidays: Option<PathBuf>,
}

impl Default for Quiet {
    fn default() -> Self {
        let Hours { quiet_from, quiet_to, office_from } = Hours::default();
        Quiet { enabled: true, from: quiet_from, to: quiet_to, workday_from: office_from, holidays: None }
    }
}

/// `[alerts.webhook]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    pub url: String,
    pub token: Option<SecretRef>,
    pub secret: Option<SecretRef>,
    #[serde(default)]
    pub allow_private: bool,
    #[serde(default = "ten")]
    pub timeout_seconds: u64,
    #[serde(default = "eight")]
    pub concurrency: usize,
}

fn ten() -> u64 {
    10
}

fn eight() -> usize {
    8
}

/// `[metrics]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Address and port; left out: there are none.
    pub listen: Option<String>,
    /// How often the ledger is added up, 1 to 3,600 s.
    pub ledger_seconds: Option<u64>,
}

/// `[clock]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// For tests: the service's wall clock begins at this instant and runs on from there.
    pub start: Option<Instant>,
}
