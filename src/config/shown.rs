//! The configuration as it is shown: the form of the file, secrets masked.

use std::fmt;
use std::path::PathBuf;

use tocsin_connectors::log::kafka::Stamps;

use super::{Config, LogConfig, file};

impl fmt::Display for LogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogConfig::Embedded { path, .. } => write!(f, "embedded, {}", path.display()),
            LogConfig::Kafka { brokers, .. } => write!(f, "kafka, {brokers}"),
        }
    }
}

impl fmt::Display for Config {
    /// The effective configuration, in the form of the file, secrets masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {}", self.path.display())?;
        match &self.log {
            LogConfig::Embedded { path, max_bytes } => {
                writeln!(f, "[log]\nkind = \"embedded\"\npath = {:?}", path.display().to_string())?;
                match max_bytes {
                    Some(bytes) => writeln!(f, "max_bytes = {bytes}")?,
                    None => writeln!(f, "# max_bytes: until the disk is full")?,
                }
            }
            LogConfig::Kafka { brokers, replication_factor, stamps, prefix, security } => {
                writeln!(f, "[log]\nkind = \"kafka\"\nbrokers = {brokers:?}")?;
                writeln!(f, "replication_factor = {replication_factor}\nprefix = {prefix:?}")?;
                let stamps = match stamps {
                    Stamps::LogAppendTime => "log_append_time",
                    Stamps::CreateTime => "create_time",
                };
                writeln!(f, "stamps = {stamps:?}")?;
                if !security.is_empty() {
                    writeln!(f, "[log.security]")?;
                }
                for (key, value) in security {
                    writeln!(f, "{key:?} = {value}")?;
                }
            }
        }
        self.contacts.iter().try_for_each(|keys| write!(f, "{keys}"))?;
        let shown = |p: &Option<PathBuf>, none: &str| match p {
            Some(p) => format!("{:?}", p.display().to_string()),
            None => format!("none # {none}"),
        };
        writeln!(f, "\n[policy]\nfile = {}", shown(&self.policy_file, "the default policy"))?;
        writeln!(f, "# from {}, hash {}", self.policies.begins(), self.policies.hash())?;
        writeln!(f, "\n[schemas]\nids = {}", shown(&self.schema_ids_file, "no ids of a schema registry"))?;
        let p = self.pipeline;
        writeln!(
            f,
            "\n[pipeline]\nworkers = {}\nmax_batch = {}\nlinger_ms = {}",
            p.workers, p.max_batch, p.linger_ms
        )?;
        write!(f, "{}", self.gateways)?;
        write!(f, "{}", self.answers)?;
        writeln!(
            f,
            "\n[alerts.templates]\nfolder = {}",
            shown(&self.texts_folder, "the texts as delivered")
        )?;
        if let Some(m) = &self.metrics {
            let seconds = m.ledger_every.as_secs();
            writeln!(f, "\n[metrics]\nlisten = \"{}\"\nledger_seconds = {seconds}", m.listen)?;
        }
        let hours = self.expire_after.map_or(0, |d| d.as_secs() / 3600);
        writeln!(f, "\n[alerts]\nexpire_after_hours = {hours}")?;
        if let Some(most) = self.per_phone_a_day {
            writeln!(f, "per_phone_a_day = {most}")?;
        }
        writeln!(f, "mornings = {}", self.mornings)?;
        writeln!(f, "corrections_an_hour = {}", self.corrections_an_hour.unwrap_or(0))?;
        writeln!(f, "resend_unknown = {}", self.resend_unknown)?;
        if let Some(key) = &self.phone_key {
            writeln!(f, "phone_key = {key}")?;
        }
        let file::Quiet { enabled, from, to, workday_from, holidays } = &self.quiet;
        writeln!(f, "\n[alerts.quiet]\nenabled = {enabled}\nfrom = \"{from}\"\nto = \"{to}\"")?;
        writeln!(
            f,
            "workday_from = \"{workday_from}\"\nholidays = {}",
            shown(holidays, "the built-in table")
        )?;
        if let Some(start) = self.clock_start {
            writeln!(f, "\n[clock]\nstart = \"{start}\" # for tests: not the real time")?;
        }
        Ok(())
    }
}
