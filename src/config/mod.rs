//! The one TOML file of the service: read, checked, completed with defaults, secrets fetched.
//!
//! ```toml
//! [log]                       # the event log
//! kind = "embedded"           # or "kafka"
//! path = "tocsin.db"          # embedded: the file
//! # max_bytes = 50000000000              # embedded: it may grow to this; left out: until the disk is full
//! # contacts_key = { env = "TOCSIN_CONTACTS_KEY" }   # contacts are encrypted with it; contacts_key_before = …
//! # brokers = "k1:9092,k2:9092"          # kafka
//! # replication_factor = 3               # kafka, for topics that are created; default 3
//! # stamps = "log_append_time"           # kafka, for topics that are created: or "create_time", for
//! #                                      # streams that carry their own arrival times
//! # prefix = "tocsin."                   # kafka: before the names by which writers fence each other off. The
//! #                                      # same for all that run on these topics; topics have no prefix,
//! #                                      # so two installations need two clusters
//! # [log.security]                       # kafka: properties of the client
//! # "security.protocol" = "SASL_SSL"
//! # "sasl.mechanism" = "SCRAM-SHA-512"
//! # "sasl.username" = "tocsin"
//! # "sasl.password" = { env = "TOCSIN_KAFKA_PASSWORD" }
//!
//! [policy]
//! file = "policy.toml"        # left out: the default policy
//!
//! [schemas]
//! ids = "schema-ids.json"     # {"7": {...schema...}}; left out: no ids of a schema registry are known
//!
//! [pipeline]
//! workers = 1
//! max_batch = 10000
//! linger_ms = 0
//!
//! [alerts.webhook]            # the same as [alerts.gateways.webhook]; without any only `--only pipeline` runs
//! url = "https://gateway.example/send"
//! token = { file = "webhook.token" }
//! secret = { file = "webhook.secret" }   # the key of the signature; left out: not signed
//! allow_private = false                  # true: its name may resolve to an address inside this house
//! timeout_seconds = 10
//! concurrency = 8
//!
//! # [alerts.answers], [alerts.deadlines]: see docs/configuration.md
//!
//! [alerts.templates]          # left out: the texts as they are delivered
//! folder = "texts"            # T1.jinja, T7_fallback.jinja, …: those that are there take the place of ours
//!
//! [alerts.gateways.aliyun]    # every gateway of docs/gateway.md, by its name
//! access_key_id = "LTAI…"     # what is its own; see docs/configuration.md
//! access_key_secret = { file = "aliyun.secret" }
//! sign_name = "永康人社"      # of templates that name none of their own
//! max_in_flight = 32          # all of them: requests at a time, timeout_seconds, allow_private
//! [alerts.gateways.aliyun.templates]       # what it has approved: see docs/templates.md
//! T1 = { id = "SMS_1", slots = ["M", "D", "cause", "n", "id"] }
//! T2 = { id = "SMS_2", slots = ["M", "D", "sev", "cause", "id"], sign_name = "永康应急" }
//!
//! [alerts.order]              # left out: all but the robots, as the table of docs/gateway.md has them
//! owner = ["aliyun", "webhook"]
//!
//! [metrics]                   # left out: none are served, and `run` does not watch over its ledger
//! listen = "127.0.0.1:9464"
//! ledger_seconds = 15         # how often the ledger is added up
//! [alerts]
//! per_phone_a_day = 20        # left out: as many as the gateways allow; what is over it joins a digest
//! mornings = true             # townships get one list at 08:30; left out: false
//! corrections_an_hour = 20    # what is over it waits until somebody has looked; 0: nothing waits
//! resend_unknown = false      # whether what nobody can find out about is sent once more: it may ring twice
//! phone_key = { file = "phone.key" }   # of phones' hashes in the ledger; never change it
//! expire_after_hours = 72     # a message that nobody could send for so long is not sent any more; 0: never
//!
//! [alerts.quiet]
//! from = "21:00"              # nobody is rung, but for what is severe
//! to = "08:00"
//! workday_from = "08:30"      # when a township reads, on a workday, what is below yellow
//! holidays = "holidays.toml"  # left out: the built-in table
//! # enabled = false           # nothing is held
//!
//! [clock]
//! start = "2025-03-01T08:00:00+08:00"   # for tests only
//! ```
//!
//! Relative paths are relative to the file. Unknown keys are errors that name the line. A secret never
//! stands in the file and is never shown.

pub mod answers;
pub mod contacts;
pub mod file;
pub mod gateways;
mod needed;
mod quiet;
pub mod secret;
mod shown;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tocsin_alerts::calendar::Calendar;
use tocsin_connectors::log::kafka::Stamps;
use tocsin_pipeline::Policies;
use tocsin_schemas::time::Instant;
use tocsin_schemas::wire::FileMap;

use crate::exit::Failure;
use file::{File, LogKind};
use secret::{Kept, Property, PropertyRef};

/// The configuration in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// The event log.
    pub log: LogConfig,
    /// What contacts are encrypted with at rest; `None`: they are stored as they are.
    pub contacts: Option<contacts::ContactKeys>,
    /// Where the policy was read from; `None`: the default one.
    pub policy_file: Option<PathBuf>,
    /// The policy.
    pub policies: Policies,
    /// The file that maps schema ids to schemas.
    pub schema_ids_file: Option<PathBuf>,
    /// What is in it.
    pub schema_ids: Arc<FileMap>,
    /// How the pipeline works.
    pub pipeline: file::Pipeline,
    /// Over what people are told; none: the alerts half cannot run.
    pub gateways: gateways::Configured,
    /// Where answers come in, and how long they may take.
    pub answers: answers::Configured,
    /// The operator's own texts; `None`: as they are delivered.
    pub texts_folder: Option<PathBuf>,
    /// Metrics; `None`: not served.
    pub metrics: Option<Metrics>,
    /// How many messages a day a phone gets over one channel; `None`: as many as the gateways allow.
    pub per_phone_a_day: Option<u32>,
    /// Whether townships get a list in the morning instead of a message for each minor thing.
    pub mornings: bool,
    /// Over so many corrections in an hour the rest is held until somebody has looked.
    pub corrections_an_hour: Option<u32>,
    /// Whether a message whose outcome nobody can find out is sent once more.
    pub resend_unknown: bool,
    /// The key of phones' hashes in `deliveries`; `None`: the log's id.
    pub phone_key: Option<Kept>,
    /// Quiet hours and holidays, as they are written.
    pub quiet: file::Quiet,
    /// What they mean.
    pub calendar: Calendar,
    /// After this a message that was not sent is of no use; `None`: never.
    pub expire_after: Option<Duration>,
    /// Where the service's clock begins, for tests.
    pub clock_start: Option<Instant>,
}

impl Config {
    /// The text of the policy, as it is published: that of the file, or the default one written out.
    ///
    /// # Errors
    /// The file has gone or was changed since the configuration was read.
    pub fn policy_text(&self) -> Result<String, String> {
        let Some(file) = &self.policy_file else {
            return self.policies.to_toml().map_err(|e| e.to_string());
        };
        let (policies, text) = read_policy_text(file)?;
        if policies.hash() != self.policies.hash() {
            return Err(format!("{} was changed while it was read: start again", file.display()));
        }
        Ok(text)
    }
}

/// Of an embedded log: it has room for its tables and a few records.
const LEAST_BYTES: u64 = 1 << 16;

/// Which event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogConfig {
    /// The embedded one: a file on this host.
    Embedded {
        /// The file.
        path: PathBuf,
        /// What it may grow to.
        max_bytes: Option<u64>,
    },
    /// Kafka.
    Kafka {
        /// `host:port`, several separated by commas.
        brokers: String,
        /// Of topics that are created.
        replication_factor: u16,
        /// Of topics that are created: which clock stamps their records.
        stamps: Stamps,
        /// Put before the names of writers.
        prefix: String,
        /// Properties of the client.
        security: BTreeMap<String, Property>,
    },
}

/// Metrics over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    /// Where they are served.
    pub listen: std::net::SocketAddr,
    /// How often the ledger is added up.
    pub ledger_every: Duration,
}

/// Reads and checks a configuration.
///
/// # Errors
/// Always a wrong call (exit code 2), one line: the file, the line where the file itself is wrong, what was
/// expected and what came.
pub fn load(path: &Path) -> Result<Config, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        Failure::wrong_call(format!("cannot read the configuration {}: {e}; see --config", path.display()))
    })?;
    let base = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    parse(&text, path, base)
}

/// [`load`] without the reading.
pub fn parse(text: &str, path: &Path, base: &Path) -> Result<Config, Failure> {
    let wrong = |what: String| Failure::wrong_call(format!("{}: {what}", path.display()));
    let file: File = toml::from_str(text).map_err(|e| wrong(toml_line(text, &e)))?;
    let contacts = contacts::keys(&file.log, base).map_err(wrong)?;
    let log = log_config(file.log, base).map_err(wrong)?;
    let policy_file = file.policy.file.map(|p| base.join(p));
    let policies = match &policy_file {
        None => Policies::default(),
        Some(p) => read_policies(p).map_err(wrong)?,
    };
    let schema_ids_file = file.schemas.ids.map(|p| base.join(p));
    let schema_ids = match &schema_ids_file {
        None => FileMap::default(),
        Some(p) => read_schema_ids(p).map_err(|e| wrong(format!("[schemas] ids: {}: {e}", p.display())))?,
    };
    let p = file.pipeline;
    let in_range = |key: &str, value: u64, range: std::ops::RangeInclusive<u64>| {
        if range.contains(&value) {
            return Ok(());
        }
        Err(wrong(format!("{key} must be {} to {}, found {value}", range.start(), range.end())))
    };
    in_range("[pipeline] workers", p.workers as u64, 1..=64)?;
    in_range("[pipeline] max_batch", p.max_batch as u64, 1..=1_000_000)?;
    in_range("[pipeline] linger_ms", p.linger_ms, 0..=1000)?;
    let alerts = file.alerts;
    in_range("[alerts] expire_after_hours", alerts.expire_after_hours, 0..=8_760)?;
    let expire_after =
        (alerts.expire_after_hours > 0).then(|| Duration::from_secs(alerts.expire_after_hours * 3600));
    let calendar = quiet::calendar(&alerts.quiet, base).map_err(wrong)?;
    if let Some(most) = alerts.per_phone_a_day {
        in_range("[alerts] per_phone_a_day", most.into(), 1..=1_000)?;
    }
    let most = alerts.corrections_an_hour;
    in_range("[alerts] corrections_an_hour", most.into(), 0..=100_000)?;
    let phone_key = alerts.phone_key.map(|key| key.keep(base));
    let found = phone_key.as_ref().and_then(|key| key.get().ok());
    if let Some(short) = found.map(|key| key.expose().len()).filter(|len| *len < 32) {
        return Err(wrong(format!("[alerts] phone_key: expected at least 32 bytes, found {short}")));
    }
    let gateways = gateways::checked(alerts.gateways, alerts.webhook, alerts.order, base).map_err(wrong)?;
    let answers = answers::checked(alerts.answers, &alerts.deadlines, phone_key.as_ref(), base);
    let answers = answers.map_err(wrong)?;
    let metrics = match (file.metrics.listen, file.metrics.ledger_seconds) {
        (None, None) => None,
        (None, Some(_)) => return Err(wrong("[metrics] ledger_seconds needs [metrics] listen".to_owned())),
        (Some(listen), seconds) => {
            let seconds = seconds.unwrap_or(15);
            in_range("[metrics] ledger_seconds", seconds, 1..=3600)?;
            let expected = "expected an IP address with a port, such as 127.0.0.1:9464";
            let listen = listen
                .parse()
                .map_err(|_| wrong(format!("[metrics] listen: {expected}, found {listen:?}")))?;
            Some(Metrics { listen, ledger_every: Duration::from_secs(seconds) })
        }
    };
    Ok(Config {
        path: path.to_owned(),
        log,
        contacts,
        policy_file,
        policies,
        schema_ids_file,
        schema_ids: Arc::new(schema_ids),
        pipeline: p,
        gateways,
        answers,
        texts_folder: alerts.templates.folder.map(|folder| base.join(folder)),
        metrics,
        quiet: alerts.quiet,
        per_phone_a_day: alerts.per_phone_a_day,
        mornings: alerts.mornings,
        corrections_an_hour: (most > 0).then_some(most),
        resend_unknown: alerts.resend_unknown,
        phone_key,
        calendar,
        expire_after,
        clock_start: file.clock.start,
    })
}

/// Reads a policy file.
///
/// # Errors
/// One line: the file, and what is wrong with it.
pub fn read_policies(path: &Path) -> Result<Policies, String> {
    read_policy_text(path).map(|(policies, _)| policies)
}

/// The same, with the text as it stands in the file.
///
/// # Errors
/// Those of [`read_policies`].
pub fn read_policy_text(path: &Path) -> Result<(Policies, String), String> {
    let raw = std::fs::read(path).map_err(|e| format!("cannot read the policy {}: {e}", path.display()))?;
    let policies = Policies::parse_bytes(&raw).map_err(|e| format!("{}: {e}", path.display()))?;
    // It was read as text just now.
    Ok((policies, String::from_utf8_lossy(&raw).into_owned()))
}

fn read_schema_ids(path: &Path) -> Result<FileMap, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    FileMap::from_json(&text).map_err(|e| one_line(&e.to_string()))
}

fn log_config(log: file::Log, base: &Path) -> Result<LogConfig, String> {
    let stray = |key: &str, kind: &str| format!("[log] {key} belongs to kind = \"{kind}\": leave it out");
    match log.kind {
        LogKind::Embedded => {
            for (given, key) in [
                (log.brokers.is_some(), "brokers"),
                (log.replication_factor.is_some(), "replication_factor"),
                (log.stamps.is_some(), "stamps"),
                (log.prefix.is_some(), "prefix"),
                (!log.security.is_empty(), "security"),
            ] {
                if given {
                    return Err(stray(key, "kafka"));
                }
            }
            let path = log.path.ok_or("[log] kind = \"embedded\" needs path, the file of the log")?;
            if let Some(bytes) = log.max_bytes.filter(|bytes| *bytes < LEAST_BYTES) {
                return Err(format!("[log] max_bytes must be at least {LEAST_BYTES}, found {bytes}"));
            }
            Ok(LogConfig::Embedded { path: base.join(path), max_bytes: log.max_bytes })
        }
        LogKind::Kafka => {
            for (given, key) in [(log.path.is_some(), "path"), (log.max_bytes.is_some(), "max_bytes")] {
                if given {
                    return Err(stray(key, "embedded"));
                }
            }
            let brokers = log.brokers.filter(|b| !b.trim().is_empty());
            let brokers = brokers.ok_or("[log] kind = \"kafka\" needs brokers, such as \"kafka1:9092\"")?;
            let replication_factor = log.replication_factor.unwrap_or(3);
            if replication_factor == 0 {
                return Err("[log] replication_factor must be at least 1".into());
            }
            let mut security = BTreeMap::new();
            for (key, value) in log.security {
                let property = security_property(&key, value, base)
                    .map_err(|e| format!("[log.security] {key:?}: {e}"))?;
                security.insert(key, property);
            }
            let prefix = log.prefix.unwrap_or_else(|| "tocsin.".to_owned());
            let stamps = match log.stamps.unwrap_or_default() {
                file::StampKind::LogAppendTime => Stamps::LogAppendTime,
                file::StampKind::CreateTime => Stamps::CreateTime,
            };
            Ok(LogConfig::Kafka { brokers, replication_factor, stamps, prefix, security })
        }
    }
}

fn security_property(key: &str, value: PropertyRef, base: &Path) -> Result<Property, String> {
    if !["security.", "sasl.", "ssl.", "enable.ssl."].iter().any(|p| key.starts_with(p)) {
        return Err("only properties security.*, sasl.* and ssl.* stand here".into());
    }
    let secret = ["password", "passphrase", "secret", ".pem"].iter().any(|part| key.contains(part))
        && !matches!(key, "ssl.certificate.pem" | "ssl.ca.pem");
    match value {
        PropertyRef::Secret(place) => place.fetch(base).map(Property::Secret),
        PropertyRef::Plain(_) if secret => {
            Err("a secret never stands in this file: write { env = \"NAME\" } or { file = \"PATH\" }".into())
        }
        PropertyRef::Plain(text) => Ok(Property::Plain(text)),
    }
}

fn webhook_url(text: &str) -> Result<url::Url, String> {
    // The text is not repeated: a key may stand in its query.
    let url = url::Url::parse(text).map_err(|e| format!("{e}: expected https://host/path"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(
            "expected https://host/path; http only on this machine (http://127.0.0.1:8080/path)".into()
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a name or password never stands in a URL: use token".into());
    }
    Ok(url)
}

/// A URL without what may be a key.
pub fn redacted(url: &url::Url) -> String {
    let mut shown = url.clone();
    if shown.query().is_some() {
        shown.set_query(Some("***"));
    }
    shown.into()
}

/// One line from an error of the TOML reader: where and what, without the excerpt of the file.
fn toml_line(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', ", ");
    match error.span() {
        None => message,
        Some(span) => {
            let before = &text[..span.start.min(text.len())];
            format!("line {}: {message}", before.matches('\n').count() + 1)
        }
    }
}

/// A message of several lines as one, without excerpts of a file (` | …` and `3 | …`).
pub fn one_line(text: &str) -> String {
    let excerpt = |line: &&str| {
        line.split_once('|').is_none_or(|(left, _)| !left.chars().all(|c| c == ' ' || c.is_ascii_digit()))
    };
    let lines: Vec<&str> =
        text.lines().map(str::trim_end).filter(excerpt).map(str::trim).filter(|l| !l.is_empty()).collect();
    lines.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        parse(text, Path::new("t.toml"), Path::new("/base")).map_err(|f| {
            assert!(matches!(f, Failure::WrongCall(_)), "{f:?}");
            assert!(!f.text().contains('\n'), "one line: {f:?}");
            f.text().to_owned()
        })
    }

    const LOG: &str = "[log]\nkind = \"embedded\"\npath = \"l.db\"\n";

    #[test]
    fn a_short_file_is_completed_with_defaults() {
        let c = read(LOG).unwrap();
        assert_eq!(c.log, LogConfig::Embedded { path: "/base/l.db".into(), max_bytes: None });
        assert_eq!((c.pipeline.workers, c.pipeline.max_batch), (1, 10_000));
        assert_eq!(c.policies.hash(), Policies::default().hash());
        assert!(c.gateways.all.is_empty() && c.clock_start.is_none());
        assert_eq!(c.expire_after, Some(Duration::from_secs(72 * 3600)));
        let night: Instant = "2026-11-26T21:00:00+08:00".parse().unwrap();
        assert!(c.calendar.is_quiet(night) && !c.calendar.is_quiet(night.plus_millis(-1)));
        assert!(!c.calendar.is_workday("2026-10-05".parse().unwrap()), "the built-in table");
        let open = read(&format!("{LOG}[alerts]\nexpire_after_hours = 0\n[alerts.quiet]\nenabled = false\n"));
        let open = open.unwrap();
        assert!(!open.calendar.is_quiet(night) && open.expire_after.is_none());
    }

    #[test]
    fn metrics_need_an_address_and_a_port() {
        assert!(read(LOG).unwrap().metrics.is_none());
        let m = read(&format!("{LOG}[metrics]\nlisten = \"127.0.0.1:9464\"\n")).unwrap().metrics.unwrap();
        assert_eq!((m.listen.port(), m.ledger_every), (9464, Duration::from_secs(15)));
        for (lines, said) in [
            ("listen = \"127.0.0.1\"", "expected an IP address with a port, such as 127.0.0.1:9464"),
            ("ledger_seconds = 5", "ledger_seconds needs [metrics] listen"),
            ("listen = \"127.0.0.1:1\"\nledger_seconds = 0", "must be 1 to 3600, found 0"),
        ] {
            let e = read(&format!("{LOG}[metrics]\n{lines}\n")).unwrap_err();
            assert!(e.contains(said), "{e}");
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_file_and_line() {
        let e = read(&format!("{LOG}\n[pipeline]\nworker = 2\n")).unwrap_err();
        assert!(e.starts_with("t.toml: line 6: ") && e.contains("worker"), "{e}");
        let e = read(&format!("{LOG}[pipelines]\n")).unwrap_err();
        assert!(e.contains("line 4") && e.contains("pipelines"), "{e}");
        let e = read("[log]\nkind = \"embeded\"\n").unwrap_err();
        assert!(e.contains("line 2") && e.contains("embeded"), "{e}");
        let e = read("[log\n").unwrap_err();
        assert!(e.contains("line 1"), "{e}");
    }

    #[test]
    fn keys_of_the_other_log_are_named() {
        let e = read(&format!("{LOG}brokers = \"a:1\"\n")).unwrap_err();
        assert!(e.contains("brokers") && e.contains("kafka"), "{e}");
        let e = read("[log]\nkind = \"kafka\"\n").unwrap_err();
        assert!(e.contains("needs brokers"), "{e}");
        let e = read("[log]\nkind = \"embedded\"\n").unwrap_err();
        assert!(e.contains("needs path"), "{e}");
    }

    #[test]
    fn a_secret_never_stands_in_the_file_nor_in_the_error() {
        let kafka = "[log]\nkind = \"kafka\"\nbrokers = \"a:1\"\n[log.security]\n";
        let e = read(&format!("{kafka}\"sasl.password\" = \"hunter2\"\n")).unwrap_err();
        assert!(e.contains("sasl.password") && !e.contains("hunter2"), "{e}");
        let e =
            read(&format!("{LOG}[alerts.webhook]\nurl = \"http://h/\"\ntoken = \"hunter2\"\n")).unwrap_err();
        assert!(e.contains("line 6") && e.contains("never stands") && !e.contains("hunter2"), "{e}");
        let e = read(&format!("{LOG}[alerts.webhook]\nurl = \"http://u:hunter2@h/\"\n")).unwrap_err();
        assert!(!e.contains("hunter2"), "{e}");
        let e = read(&format!("{kafka}\"acks\" = \"0\"\n")).unwrap_err();
        assert!(e.contains("acks"), "{e}");
    }

    #[test]
    fn a_missing_secret_is_named_and_a_found_one_is_masked() {
        let hook = |place: &str| {
            let url = "url = \"http://h/?key=k1\"\nallow_private = true";
            format!("{LOG}[alerts.webhook]\n{url}\ntoken = {place}\nsecret = {place}\n")
        };
        // Not every command calls the gateway: those that do say what is missing.
        for (place, part) in [
            ("{ env = \"TOCSIN_TEST_NOT_SET\" }", "TOCSIN_TEST_NOT_SET"),
            ("{ file = \"nowhere.token\" }", "/base/nowhere.token"),
        ] {
            let c = read(&hook(place)).unwrap();
            let e = c.gateways.find("webhook").unwrap().settings().unwrap_err();
            assert!(e.starts_with("secret: ") && e.contains(part), "{e}");
            assert!(c.to_string().contains("token = MISSING # "), "{c}");
        }
        let e = read(&hook("{ file = \"a\", env = \"B\" }")).unwrap_err();
        assert!(e.contains("exactly"), "{e}");
        let c = read(&hook("{ env = \"PATH\" }")).unwrap();
        let path = std::env::var("PATH").unwrap();
        let webhook = c.gateways.find("webhook").unwrap();
        assert_eq!(webhook.secrets["token"].get().unwrap().expose(), path);
        assert_eq!(webhook.secrets["secret"].get().unwrap().expose(), path);
        assert!(webhook.settings().unwrap().allow_private && c.to_string().contains("allow_private = true"));
        for shown in [c.to_string(), format!("{webhook:?} {:?}", webhook.secrets)] {
            assert!(!shown.contains(&path) && !shown.contains("k1"), "{shown}");
        }
    }

    #[test]
    fn what_is_out_of_range_or_not_there_is_said_in_one_line() {
        for (text, part) in [
            ("[pipeline]\nworkers = 0\n", "workers must be 1 to 64"),
            ("max_bytes = 5000\n", "[log] max_bytes must be at least 65536, found 5000"),
            ("[pipeline]\nmax_batch = 0\n", "max_batch must be"),
            ("[policy]\nfile = \"no.toml\"\n", "/base/no.toml"),
            ("[schemas]\nids = \"no.toml\"\n", "/base/no.toml"),
            ("[alerts.webhook]\nurl = \"ftp://h/\"\n", "https://host/path"),
            ("[alerts.webhook]\nurl = \"gateway\"\n", "https://host/path"),
            // Elsewhere it is refused (the channel does), so it must not be advised.
            ("[alerts.webhook]\nurl = \"ftp://h/\"\n", "http only on this machine"),
            ("[clock]\nstart = \"2025-03-01\"\n", "RFC 3339"),
            ("[alerts.quiet]\nfrom = \"9 pm\"\n", "HH:MM"),
            ("[alerts.quiet]\nform = \"21:00\"\n", "form"),
            ("[alerts.quiet]\nholidays = \"no.toml\"\n", "/base/no.toml"),
            ("[alerts]\nexpire_after_hours = 9000\n", "expire_after_hours must be 0 to 8760"),
        ] {
            let e = read(&format!("{LOG}{text}")).unwrap_err();
            assert!(e.contains(part), "{text}: {e}");
        }
    }

    #[test]
    fn excerpts_of_a_file_are_taken_out_of_messages() {
        let text = "policy: TOML parse error at line 3, column 1\n  |\n3 | gren = 3\n  | ^^^^\nunknown field `gren`\n";
        assert_eq!(one_line(text), "policy: TOML parse error at line 3, column 1: unknown field `gren`");
    }
}
