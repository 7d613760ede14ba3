//! Which log, and the policy that decided there.

use std::path::PathBuf;
use std::sync::Arc;

use tocsin_alerts::phone_key::PhoneKey;
use tocsin_connectors::log::sqlite::SqliteLog;
use tocsin_pipeline::Policies;
use tocsin_schemas::log::EventLog;
use tocsin_schemas::time::Day;
use tocsin_schemas::wire::{NoIds, SchemaIds};

use crate::exit::Failure;
use crate::policy::topic;
use crate::{config, open};

/// The event log to read.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("event_log").args(["config", "log_file"]).required(true))]
pub struct Where {
    /// The configuration file: its log.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// An embedded log instead, such as `demo --keep` and `replay --keep-log` leave.
    #[arg(long = "log-file", value_name = "FILE", id = "log_file")]
    pub log_file: Option<PathBuf>,
}

/// The policy that decided, where the log does not say it.
#[derive(Debug, Default, clap::Args)]
pub struct PolicyOf {
    /// The policy file of the time; left out: the one that decided is looked for in the log and the configuration, then
    /// the default one is tried.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// That policy took effect on this day, as `replay --policy-from` had it.
    #[arg(long, value_name = "DATE")]
    pub policy_from: Option<Day>,
}

/// A log that is open.
pub struct Source {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Writers' schemas of what comes in.
    pub schemas: Arc<dyn SchemaIds>,
    /// The policies that may have decided.
    policies: Vec<Policies>,
    /// The configured key of phones' hashes, or why it is missing.
    phone_key: Result<Option<PhoneKey>, Failure>,
}

impl Source {
    /// Opens it.
    ///
    /// # Errors
    /// A wrong call: what the options name is not there or cannot be read. A failure: the log.
    pub fn open(place: &Where, policy: &PolicyOf) -> Result<Source, Failure> {
        let (mut policies, mut phone_key) = (vec![given(policy)?], Ok(None));
        let (log, schemas): (Arc<dyn EventLog>, Arc<dyn SchemaIds>) = match (&place.config, &place.log_file) {
            (Some(path), _) => {
                let config = config::load(path)?;
                let log = open::open(&config, open::Missing::Refuse)?;
                phone_key = config.phone_key();
                policies.push(config.policies);
                (log, config.schema_ids)
            }
            (None, Some(path)) if path.is_file() => (Arc::new(SqliteLog::open(path)?), Arc::new(NoIds)),
            (None, path) => {
                let path = path.as_deref().map(|p| p.display().to_string()).unwrap_or_default();
                return Err(Failure::wrong_call(format!("there is no event log at {path}: see --log-file")));
            }
        };
        policies.extend(topic::read(&*log)?.valid.into_iter().map(|one| one.policies));
        Ok(Source { log, schemas, policies, phone_key })
    }

    /// A log that is open already, and the policy that decided there.
    pub fn of(log: Arc<dyn EventLog>, schemas: Arc<dyn SchemaIds>, policies: Policies) -> Source {
        Source { log, schemas, policies: vec![policies], phone_key: Ok(None) }
    }

    /// What makes phones' hashes: the configured key, without one the log's id, as for the worker.
    ///
    /// # Errors
    /// A wrong call: the configured one is missing. Those of the log.
    pub fn phone_key(&self) -> Result<PhoneKey, Failure> {
        match self.phone_key.clone()? {
            Some(key) => Ok(key),
            None => Ok(PhoneKey::new(self.log.log_id()?.as_bytes())),
        }
    }

    /// The policy of this hash, if it is at hand.
    pub fn policy(&self, hash: &str) -> Option<&Policies> {
        self.policies.iter().find(|policies| **policies.hash() == *hash)
    }
}

fn given(of: &PolicyOf) -> Result<Policies, Failure> {
    let policies = match &of.policy {
        None => Policies::default(),
        Some(path) => config::read_policies(path).map_err(Failure::wrong_call)?,
    };
    match of.policy_from {
        None => Ok(policies),
        Some(day) => policies.effective_from(day).map_err(Failure::wrong_call),
    }
}
