//! `[alerts.gateways.NAME]`, `[alerts.webhook]` and `[alerts.order]`: over what people are told, and in which order.
//!
//! A section of an SMS gateway that holds nothing but `sign_name` and `templates` says what is approved, for
//! `tocsin templates`; with anything else in it the gateway is in use.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize as _;
use tocsin_alerts::gateways::settings::Templates;
use tocsin_alerts::gateways::{self, Entry, Secret as Key, Settings};
use tocsin_schemas::codes::Role;

use super::secret::{Kept, SecretRef};
use super::{file, redacted, webhook_url};

/// The keys of every section, besides the gateway's own.
const COMMON: [&str; 3] = ["allow_private", "timeout_seconds", "max_in_flight"];
/// The keys that say what is approved.
const APPROVED: [&str; 2] = ["sign_name", "templates"];

/// The gateways in use.
#[derive(Debug, Clone, Default)]
pub struct Configured {
    /// In the order of [`gateways::TABLE`], which is the order in which a role tries them that has none of its own.
    pub all: Vec<Gateway>,
    /// Roles with an order of their own.
    pub order: BTreeMap<Role, Vec<String>>,
    /// What each has approved, by its name; those not in use too.
    pub approvals: BTreeMap<String, file::Approvals>,
}

/// A gateway in use.
#[derive(Clone)]
pub struct Gateway {
    /// Its line of the table.
    pub entry: &'static Entry,
    /// The section that it was read from.
    pub section: String,
    /// Its own keys, without secrets.
    values: serde_json::Value,
    allow_private: bool,
    /// Its secrets; only who calls it needs them.
    pub secrets: BTreeMap<&'static str, Kept>,
    /// After this a request's outcome is unknown.
    pub timeout: Duration,
    /// Requests at a time; `None`: as is known of it.
    pub max_in_flight: Option<u32>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gateway({} {:?})", self.section, self.secrets)
    }
}

impl Gateway {
    /// Its name in contacts, the ledger and metrics.
    pub fn name(&self) -> &'static str {
        self.entry.profile.name
    }

    /// What it is made from.
    ///
    /// # Errors
    /// One line: the key of a secret, and why it is missing.
    pub fn settings(&self) -> Result<Settings, String> {
        let key = |(name, secret): (&&str, &Kept)| {
            let secret = secret.get().map_err(|e| format!("{name}: {e}"))?;
            Ok(((*name).to_owned(), Key::new(secret.expose())))
        };
        let secrets = self.secrets.iter().map(key).collect::<Result<_, String>>()?;
        Ok(Settings { values: self.values.clone(), secrets, allow_private: self.allow_private })
    }
}

/// The gateways that reach whoever reads a group's chat.
const ROBOTS: [&str; 2] = ["dingtalk_robot", "wecom_robot"];

impl Configured {
    /// Over which gateways a role is told, in order. A robot writes to a group and not to a person: only who is named in the
    /// order is told over it.
    pub fn names(&self, role: Role) -> Vec<String> {
        let own = self.order.get(&role).cloned();
        own.unwrap_or_else(|| {
            let all = self.all.iter().map(Gateway::name).filter(|name| !ROBOTS.contains(name));
            all.map(str::to_owned).collect()
        })
    }

    /// The one of this name, if it is in use.
    pub fn find(&self, name: &str) -> Option<&Gateway> {
        self.all.iter().find(|gateway| gateway.name() == name)
    }
}

/// Checks the sections. What a gateway says of its own keys is found when its client is made.
///
/// # Errors
/// One line: section and key, what was expected and what came. No secret is in it.
pub fn checked(
    sections: BTreeMap<String, toml::Table>,
    webhook: Option<file::Webhook>,
    order: BTreeMap<String, Vec<String>>,
    base: &Path,
) -> Result<Configured, String> {
    let mut found = Configured::default();
    if let Some(name) = sections.keys().find(|name| gateways::find(name).is_none()) {
        return Err(format!("[alerts.gateways.{name}]: expected one of {}", names(|_| true)));
    }
    for entry in gateways::TABLE {
        let name = entry.profile.name;
        let section = sections.get(name);
        let webhook = webhook.as_ref().filter(|_| name == gateways::webhook::NAME);
        let gateway = match (section, webhook) {
            (None, None) => continue,
            (Some(_), Some(_)) => {
                return Err(format!(
                    "[alerts.gateways.{name}] and [alerts.webhook] are one gateway: leave one out"
                ));
            }
            (None, Some(webhook)) => Some(of_webhook(entry, webhook, base)?),
            (Some(section), None) => {
                let approvals = approvals(entry, section)?;
                found.approvals.extend(approvals.map(|approvals| (name.to_owned(), approvals)));
                gateway(entry, section, base)?
            }
        };
        found.all.extend(gateway);
    }
    for (role, names) in order {
        let (role, names) =
            of_role(&role, names, &found).map_err(|e| format!("[alerts.order] {role}: {e}"))?;
        found.order.insert(role, names);
    }
    Ok(found)
}

fn names(which: impl Fn(&gateways::Profile) -> bool) -> String {
    let names = gateways::TABLE.iter().map(|entry| entry.profile).filter(|profile| which(profile));
    names.map(|profile| profile.name).collect::<Vec<_>>().join(", ")
}

fn of_role(role: &str, names: Vec<String>, found: &Configured) -> Result<(Role, Vec<String>), String> {
    let known = || Role::ALL.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
    let role = role.parse().map_err(|_| format!("expected one of {}", known()))?;
    if names.is_empty() {
        return Err(
            "expected at least one gateway; left out: all but the robots, which write to a group".into()
        );
    }
    for (at, name) in names.iter().enumerate() {
        if found.find(name).is_none() {
            let in_use: Vec<&str> = found.all.iter().map(Gateway::name).collect();
            return Err(format!("{name} is not configured: expected some of {}", in_use.join(", ")));
        }
        if names[..at].contains(name) {
            return Err(format!("{name} stands twice"));
        }
    }
    Ok((role, names))
}

/// What a section says to be approved; `None`: the gateway approves nothing.
fn approvals(entry: &Entry, section: &toml::Table) -> Result<Option<file::Approvals>, String> {
    let name = entry.profile.name;
    if entry.profile.marks.is_none() {
        return match section.keys().find(|key| APPROVED.contains(&key.as_str())) {
            None => Ok(None),
            Some(key) => {
                let with = names(|profile| profile.marks.is_some());
                Err(format!("[alerts.gateways.{name}] {key}: only these have templates to approve: {with}"))
            }
        };
    }
    let wrong = |key: &str, e: &toml::de::Error| format!("[alerts.gateways.{name}] {key}: {}", e.message());
    let sign_name = section.get("sign_name").cloned().ok_or_else(|| {
        format!("[alerts.gateways.{name}] sign_name: expected the approved signature, without its brackets")
    })?;
    let sign_name = String::deserialize(sign_name).map_err(|e| wrong("sign_name", &e))?;
    let templates = section.get("templates").cloned().map(Templates::deserialize).transpose();
    let templates = templates.map_err(|e| wrong("templates", &e))?.unwrap_or_default();
    Ok(Some(file::Approvals { sign_name, templates }))
}

/// `None`: the section only says what is approved.
fn gateway(entry: &'static Entry, section: &toml::Table, base: &Path) -> Result<Option<Gateway>, String> {
    let name = format!("alerts.gateways.{}", entry.profile.name);
    if entry.profile.marks.is_some() && section.keys().all(|key| APPROVED.contains(&key.as_str())) {
        return Ok(None);
    }
    let mut values = section.clone();
    let mut secrets = BTreeMap::new();
    for key in entry.secrets {
        if let Some(place) = values.remove(*key) {
            let place =
                SecretRef::deserialize(place).map_err(|e| format!("[{name}] {key}: {}", e.message()))?;
            secrets.insert(*key, place.keep(base));
        }
    }
    let [allow_private, timeout, max_in_flight] = COMMON.map(|key| values.remove(key));
    let allow_private = match allow_private {
        None => false,
        Some(value) => {
            value.as_bool().ok_or_else(|| format!("[{name}] allow_private: expected true or false"))?
        }
    };
    let number = |key: &str, value: Option<toml::Value>, range: std::ops::RangeInclusive<i64>| match value {
        None => Ok(None),
        Some(value) => match value.as_integer().filter(|n| range.contains(n)) {
            Some(n) => Ok(Some(n.unsigned_abs())),
            None => {
                Err(format!("[{name}] {key} must be {} to {}, found {value}", range.start(), range.end()))
            }
        },
    };
    let timeout = number("timeout_seconds", timeout, 1..=300)?.unwrap_or(10);
    let max_in_flight = number("max_in_flight", max_in_flight, 1..=1024)?;
    if entry.profile.marks.is_some() {
        values.entry("templates").or_insert_with(|| toml::Table::new().into());
    }
    if let Some(url) = values.get("url").and_then(toml::Value::as_str) {
        webhook_url(url).map_err(|e| format!("[{name}] url: {e}"))?;
    }
    let values = serde_json::to_value(values).map_err(|e| format!("[{name}] {e}"))?;
    Ok(Some(Gateway {
        entry,
        section: name,
        values,
        allow_private,
        secrets,
        timeout: Duration::from_secs(timeout),
        max_in_flight: max_in_flight.and_then(|n| u32::try_from(n).ok()),
    }))
}

fn of_webhook(entry: &'static Entry, webhook: &file::Webhook, base: &Path) -> Result<Gateway, String> {
    let in_range = |key: &str, value: u64, most: u64| match (1..=most).contains(&value) {
        true => Ok(()),
        false => Err(format!("[alerts.webhook] {key} must be 1 to {most}, found {value}")),
    };
    in_range("timeout_seconds", webhook.timeout_seconds, 300)?;
    in_range("concurrency", webhook.concurrency as u64, 1024)?;
    let url = webhook_url(&webhook.url).map_err(|e| format!("[alerts.webhook] url: {e}"))?;
    let mut secrets = BTreeMap::new();
    for (key, place) in [("token", &webhook.token), ("secret", &webhook.secret)] {
        if let Some(place) = place {
            secrets.insert(key, place.keep(base));
        }
    }
    Ok(Gateway {
        entry,
        section: "alerts.webhook".to_owned(),
        values: serde_json::json!({ "url": url.as_str() }),
        allow_private: webhook.allow_private,
        secrets,
        timeout: Duration::from_secs(webhook.timeout_seconds),
        max_in_flight: u32::try_from(webhook.concurrency).ok(),
    })
}

impl fmt::Display for Configured {
    /// In the form of the file, secrets masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all.is_empty() {
            writeln!(
                f,
                "\n# no [alerts.gateways.NAME] in use, no [alerts.webhook]: only `run --only pipeline` is possible"
            )?;
        }
        for gateway in &self.all {
            write!(f, "{gateway}")?;
        }
        let unused = |name: &&String| self.find(name).is_none();
        for (name, approvals) in self.approvals.iter().filter(|(name, _)| unused(name)) {
            writeln!(f, "\n[alerts.gateways.{name}] # not in use: what is approved alone")?;
            writeln!(f, "sign_name = {:?}", approvals.sign_name)?;
            writeln!(f, "# {} approved templates", approvals.templates.len())?;
        }
        if !self.order.is_empty() {
            writeln!(f, "\n[alerts.order]")?;
        }
        for (role, names) in &self.order {
            writeln!(f, "{role} = {names:?}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n[{}]", self.section)?;
        for (key, value) in self.values.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("templates", templates) => {
                    let count = templates.as_object().map_or(0, serde_json::Map::len);
                    writeln!(f, "# {count} approved templates")?;
                }
                // A key may stand in its query.
                ("url" | "endpoint", serde_json::Value::String(url)) => {
                    let shown = url::Url::parse(url).map_or_else(|_| "***".to_owned(), |url| redacted(&url));
                    writeln!(f, "{key} = {shown:?}")?;
                }
                _ => writeln!(f, "{key} = {value}")?,
            }
        }
        for (key, secret) in &self.secrets {
            writeln!(f, "{key} = {secret}")?;
        }
        writeln!(f, "allow_private = {}", self.allow_private)?;
        writeln!(f, "timeout_seconds = {}", self.timeout.as_secs())?;
        let most = self.max_in_flight.unwrap_or(self.entry.profile.limits.max_in_flight);
        let key = if self.section == "alerts.webhook" { "concurrency" } else { "max_in_flight" };
        writeln!(f, "{key} = {most}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "hunter2-hunter2";
    const ALIYUN: &str = "[alerts.gateways.aliyun]\naccess_key_id = \"LTAI\"\naccess_key_secret = { file = \"key\" }\n\
        sign_name = \"永康人社\"\nmax_in_flight = 4\n[alerts.gateways.aliyun.templates]\n\
        T1 = { id = \"SMS_1\", slots = [\"M\"] }\n";
    const OTHERS: &str = "[alerts.gateways.tencent]\nsecret_id = \"AKID\"\nsecret_key = { file = \"key\" }\n\
        sdk_app_id = \"1400\"\nsign_name = \"永康人社\"\n\
        [alerts.gateways.dingtalk_robot]\naccess_token = { file = \"key\" }\nsign_secret = { file = \"key\" }\n\
        [alerts.gateways.dingtalk_notice]\napp_key = \"k\"\napp_secret = { file = \"key\" }\nagent_id = 7\n\
        [alerts.gateways.wecom_robot]\nkey = { file = \"key\" }\n\
        [alerts.gateways.webhook]\nurl = \"https://h.example/?k=sesame\"\nsecret = { file = \"key\" }\n";

    fn read(text: &str) -> Result<Configured, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), KEY).unwrap();
        let file: toml::Table = toml::from_str(text).unwrap();
        let alerts = file.get("alerts").cloned().unwrap_or_else(|| toml::Table::new().into());
        let alerts = file::Alerts::deserialize(alerts).map_err(|e| e.message().to_owned())?;
        let found = checked(alerts.gateways, alerts.webhook, alerts.order, dir.path())?;
        for gateway in &found.all {
            crate::run::alerts::client(gateway)?;
        }
        Ok(found)
    }

    #[test]
    fn every_gateway_can_be_configured_and_none_of_its_secrets_is_shown() {
        let order =
            "[alerts.order]\nowner = [\"tencent\", \"aliyun\"]\ntownship_duty = [\"dingtalk_robot\"]\n";
        let found = read(&format!("{ALIYUN}{OTHERS}{order}")).unwrap();
        let all: Vec<&str> = found.all.iter().map(Gateway::name).collect();
        let table: Vec<&str> = gateways::TABLE.iter().map(|entry| entry.profile.name).collect();
        assert_eq!(all, table, "in the order of the table");
        let shown = format!("{found}{found:?}");
        assert!(!shown.contains(KEY) && !shown.contains("sesame"), "{shown}");
        for part in [
            "[alerts.gateways.aliyun]",
            "access_key_id = \"LTAI\"",
            "access_key_secret = *** (from file key)",
            "max_in_flight = 4",
            "# 1 approved templates",
            "url = \"https://h.example/?***\"",
            "owner = [\"tencent\", \"aliyun\"]",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert_eq!(found.order[&Role::TownshipDuty], ["dingtalk_robot"]);
        assert_eq!(found.find("aliyun").unwrap().max_in_flight, Some(4));
    }

    #[test]
    fn what_is_approved_alone_puts_no_gateway_in_use() {
        let found = read("[alerts.gateways.aliyun]\nsign_name = \"永康人社\"\n").unwrap();
        assert!(found.all.is_empty() && found.approvals.contains_key("aliyun"));
        assert!(found.to_string().contains("not in use"), "{found}");
    }

    #[test]
    fn what_is_wrong_is_one_line_with_its_key_and_no_secret() {
        let aliyun = |from: &str, to: &str| {
            assert!(ALIYUN.contains(from), "{from}");
            ALIYUN.replace(from, to)
        };
        let webhook = "[alerts.webhook]\nurl = \"https://h.example/\"\n";
        for (text, said) in [
            (
                "[alerts.gateways.aliyn]\n".to_owned(),
                "[alerts.gateways.aliyn]: expected one of aliyun, tencent",
            ),
            (
                aliyun("access_key_id", "access_kye_id"),
                "[alerts.gateways.aliyun] unknown field `access_kye_id`",
            ),
            (aliyun("access_key_id = \"LTAI\"\n", ""), "missing field `access_key_id`"),
            (
                aliyun("access_key_secret = { file = \"key\" }\n", ""),
                "the secret access_key_secret is missing",
            ),
            (
                aliyun("{ file = \"key\" }", "\"hunter2\""),
                "access_key_secret: a secret never stands in this file",
            ),
            (
                aliyun("{ file = \"key\" }", "{ env = \"TOCSIN_TEST_NOT_SET\" }"),
                "TOCSIN_TEST_NOT_SET is not set",
            ),
            (aliyun("sign_name = \"永康人社\"\n", ""), "sign_name: expected the approved signature"),
            (aliyun("slots = [\"M\"]", "slot = [\"M\"]"), "templates: unknown field `slot`"),
            (aliyun("max_in_flight = 4", "max_in_flight = 0"), "max_in_flight must be 1 to 1024, found 0"),
            (
                aliyun("max_in_flight = 4", "timeout_seconds = \"4\""),
                "timeout_seconds must be 1 to 300, found \"4\"",
            ),
            (aliyun("max_in_flight = 4", "endpoint = \"https://evil.example/\""), "the host must be one of"),
            (
                "[alerts.gateways.wecom_robot]\nsign_name = \"x\"\n".to_owned(),
                "only these have templates to approve",
            ),
            (
                "[alerts.gateways.wecom_robot]\n".to_owned(),
                "[alerts.gateways.wecom_robot] the secret key is missing",
            ),
            (format!("{webhook}[alerts.gateways.webhook]\nurl = \"https://h.example/\"\n"), "leave one out"),
            (
                "[alerts.gateways.webhook]\nurl = \"https://u:hunter2@h/\"\n".to_owned(),
                "never stands in a URL",
            ),
            (
                format!("{ALIYUN}[alerts.order]\nowner = [\"tencent\"]\n"),
                "[alerts.order] owner: tencent is not configured: expected some of aliyun",
            ),
            (
                format!("{ALIYUN}[alerts.order]\nownr = [\"aliyun\"]\n"),
                "[alerts.order] ownr: expected one of",
            ),
            (format!("{ALIYUN}[alerts.order]\nowner = []\n"), "expected at least one gateway"),
            (format!("{ALIYUN}[alerts.order]\nowner = [\"aliyun\", \"aliyun\"]\n"), "aliyun stands twice"),
        ] {
            let e = read(&text).unwrap_err();
            assert!(e.contains(said) && !e.contains("hunter2") && !e.contains('\n'), "{text}: {e}");
        }
    }
}
