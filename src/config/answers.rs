//! `[alerts.answers]` and `[alerts.deadlines]`: where answers come in, from whom, and how long they may take.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;
use tocsin_alerts::answers::deadline::Deadlines;
use tocsin_alerts::answers::http::Proxy;
use tocsin_alerts::answers::link::Signer;
use tocsin_alerts::phone_key::PhoneKey;
use url::{Host, Url};

use super::secret::{Kept, Secret, SecretRef};

/// The shortest secret path, in characters.
const PATH_CHARS: usize = 32;
/// The longest deadline, in hours: a month.
const MOST_HOURS: i64 = 744;

/// `[alerts.answers]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    listen: String,
    secret: SecretRef,
    allow: Vec<String>,
    proxy: Option<ProxySection>,
    public_url: String,
    link_key: SecretRef,
    #[serde(default)]
    earlier_link_keys: Vec<SecretRef>,
    call: String,
    writer: Option<String>,
}

/// `proxy`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProxySection {
    networks: Vec<String>,
    header: String,
}

/// `[alerts.deadlines]` as it is written: hours, 0: no answer is due.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    owner: Option<i64>,
    owner_severe: Option<i64>,
    blue: Option<i64>,
    yellow: Option<i64>,
    orange: Option<i64>,
    red: Option<i64>,
}

/// Both, checked.
#[derive(Debug, Clone)]
pub struct Configured {
    /// The server, or which of its secrets is missing; `None`: answers come by asking alone.
    pub server: Option<Result<Answers, String>>,
    /// Whether answers come at all: to this server, or to another one of the house (then `[alerts.deadlines]` is there).
    pub awaited: bool,
    /// How long an answer may take.
    pub deadlines: Deadlines,
}

/// The server that answers come to.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The first part of the paths that gateways push to.
    pub secret: Secret,
    /// Where gateways push from.
    pub allow: Vec<ipnet::IpNet>,
    /// The proxy in front.
    pub proxy: Option<Proxy>,
    /// What links begin with.
    pub public_url: Url,
    /// Makes and reads the tokens of links.
    pub links: Signer,
    /// Hashes phones.
    pub phones: PhoneKey,
    /// Whom a page tells people to call.
    pub call: String,
    /// The name under which it writes: each server has its own.
    pub writer: String,
    /// Where its secrets come from, to be shown.
    place: Secret,
    earlier_keys: usize,
}

/// Checks both sections.
///
/// # Errors
/// One line: the key, what was expected and what came. No secret is in it.
pub fn checked(
    section: Option<Section>,
    hours: &Hours,
    phone_key: Option<&Kept>,
    base: &Path,
) -> Result<Configured, String> {
    let server = section.map(|section| server(section, phone_key, base)).transpose();
    let server = server.map_err(|e| format!("[alerts.answers] {e}"))?;
    let Hours { owner, owner_severe, blue, yellow, orange, red } = hours;
    let said = [owner, owner_severe, blue, yellow, orange, red].into_iter().any(Option::is_some);
    Ok(Configured { awaited: server.is_some() || said, server, deadlines: deadlines(hours)? })
}

/// Only who runs it needs its secrets, so that one is missing is no mistake of the file.
fn server(
    section: Section,
    phone_key: Option<&Kept>,
    base: &Path,
) -> Result<Result<Answers, String>, String> {
    let expected = "expected an IP address with a port, such as 127.0.0.1:9465";
    let listen =
        section.listen.parse().map_err(|_| format!("listen: {expected}, found {:?}", section.listen))?;
    let phone_key =
        phone_key.ok_or("needs [alerts] phone_key: by it the ledger and a reply name the same phone")?;
    if section.allow.is_empty() {
        return Err(
            "allow: expected the networks that gateways push from, such as [\"203.0.113.0/24\"]".into()
        );
    }
    let allow = networks("allow", &section.allow)?;
    let proxy = match section.proxy {
        None => None,
        Some(proxy) => {
            let header = proxy.header.to_ascii_lowercase();
            if header.is_empty() || !header.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                return Err(format!(
                    "proxy header: expected a name such as x-forwarded-for, found {:?}",
                    proxy.header
                ));
            }
            Some(Proxy { networks: networks("proxy networks", &proxy.networks)?, header })
        }
    };
    if section.call.trim().is_empty() {
        return Err("call: expected the telephone number that people reach you at".into());
    }
    let writer = section.writer.unwrap_or_else(|| "answers".into());
    let named = writer.strip_prefix("answers").is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if !named {
        return Err(format!(
            "writer: expected answers, or answers. and a name of this server, found {writer:?}"
        ));
    }
    let public_url = public_url(&section.public_url)?;
    // All else was looked at: what is wrong in the file is not hidden by a secret that is not here.
    let secrets = || {
        let fetch = |key: &str, place: &SecretRef| place.fetch(base).map_err(|e| format!("{key}: {e}"));
        let earlier = section.earlier_link_keys.iter().map(|key| fetch("earlier_link_keys", key));
        let phone_key = phone_key.get().map_err(|e| format!("needs [alerts] phone_key: {e}"))?;
        Ok::<_, String>((
            fetch("secret", &section.secret)?,
            fetch("link_key", &section.link_key)?,
            earlier.collect::<Result<Vec<Secret>, String>>()?,
            phone_key,
        ))
    };
    let (secret, link_key, earlier, phone_key) = match secrets() {
        Ok(secrets) => secrets,
        Err(missing) => return Ok(Err(format!("[alerts.answers] {missing}"))),
    };
    let plain = secret.expose().bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !plain || secret.expose().len() < PATH_CHARS {
        return Err(format!(
            "secret: expected at least {PATH_CHARS} of A-Z a-z 0-9 - _, from a random source ({secret})"
        ));
    }
    let earlier_bytes: Vec<&[u8]> = earlier.iter().map(|key| key.expose().as_bytes()).collect();
    let links = Signer::new(link_key.expose().as_bytes(), &earlier_bytes);
    let links = links.map_err(|e| format!("link_key, earlier_link_keys: {e}"))?;
    let phones = PhoneKey::new(phone_key.expose().as_bytes());
    Ok(Ok(Answers {
        listen,
        secret,
        allow,
        proxy,
        public_url,
        links,
        phones,
        call: section.call.trim().to_owned(),
        writer,
        place: link_key,
        earlier_keys: earlier.len(),
    }))
}

fn networks(key: &str, texts: &[String]) -> Result<Vec<ipnet::IpNet>, String> {
    let network = |text: &String| {
        let one = || text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from);
        text.parse()
            .or_else(|_| one())
            .map_err(|_| format!("{key}: expected a network such as 203.0.113.0/24, found {text:?}"))
    };
    texts.iter().map(network).collect()
}

fn public_url(text: &str) -> Result<Url, String> {
    let wrong = || {
        format!(
            "public_url: expected https://host, what links begin with (http only for this machine), found {text:?}"
        )
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let here = match url.host() {
        Some(Host::Ipv4(at)) => at.is_loopback(),
        Some(Host::Ipv6(at)) => at.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let nobody = url.username().is_empty() && url.password().is_none();
    let safe = url.scheme() == "https" || (url.scheme() == "http" && here);
    if bare && nobody && safe { Ok(url) } else { Err(wrong()) }
}

fn deadlines(hours: &Hours) -> Result<Deadlines, String> {
    let default = Deadlines::default();
    let of = |key: &str, hours: Option<i64>, default: Option<i64>| match hours {
        None => Ok(default),
        Some(0) => Ok(None),
        Some(n) if (1..=MOST_HOURS).contains(&n) => Ok(Some(n * 3_600_000)),
        Some(n) => Err(format!("[alerts.deadlines] {key} must be 0 to {MOST_HOURS} hours, found {n}")),
    };
    Ok(Deadlines {
        owner: of("owner", hours.owner, default.owner)?,
        owner_severe: of("owner_severe", hours.owner_severe, default.owner_severe)?,
        blue: of("blue", hours.blue, default.blue)?,
        yellow: of("yellow", hours.yellow, default.yellow)?,
        orange: of("orange", hours.orange, default.orange)?,
        red: of("red", hours.red, default.red)?,
    })
}

impl fmt::Display for Configured {
    /// In the form of the file, secrets masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            None => writeln!(f, "\n# no [alerts.answers]: receipts and replies are not taken in")?,
            Some(Err(missing)) => writeln!(f, "\n# MISSING: {missing}")?,
            Some(Ok(a)) => {
                let texts = |all: &[ipnet::IpNet]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
                writeln!(f, "\n[alerts.answers]\nlisten = \"{}\"\nsecret = {}", a.listen, a.secret)?;
                writeln!(f, "allow = {:?}", texts(&a.allow))?;
                if let Some(proxy) = &a.proxy {
                    let networks = texts(&proxy.networks);
                    writeln!(f, "proxy = {{ networks = {networks:?}, header = {:?} }}", proxy.header)?;
                }
                let link_key = &a.place;
                writeln!(f, "public_url = \"{}\"\nlink_key = {link_key}", a.public_url)?;
                writeln!(f, "# {} earlier link keys are believed", a.earlier_keys)?;
                writeln!(f, "call = {:?}\nwriter = {:?}", a.call, a.writer)?;
            }
        }
        let d = &self.deadlines;
        let hours = |ms: Option<i64>| ms.unwrap_or(0) / 3_600_000;
        writeln!(
            f,
            "\n[alerts.deadlines]\nowner = {}\nowner_severe = {}",
            hours(d.owner),
            hours(d.owner_severe)
        )?;
        write!(f, "blue = {}\nyellow = {}\n", hours(d.blue), hours(d.yellow))?;
        writeln!(f, "orange = {}\nred = {}", hours(d.orange), hours(d.red))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef-of-a-test";

    fn read(change: (&str, &str), more: &str) -> Result<Configured, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), KEY).unwrap();
        std::fs::write(dir.path().join("short"), "short").unwrap();
        let text = "listen = \"127.0.0.1:0\"\nsecret = { file = \"key\" }\nallow = [\"203.0.113.0/24\", \"192.0.2.1\"]\n\
            public_url = \"https://rs.example.cn\"\nlink_key = { file = \"key\" }\nearlier_link_keys = [{ file = \"key\" }]\n\
            call = \"0579-1\"\n";
        assert!(text.contains(change.0));
        let section = toml::from_str(&text.replace(change.0, change.1)).map_err(|e| e.to_string())?;
        let key = SecretRef::File("key".into()).keep(dir.path());
        let hours = toml::from_str(more).map_err(|e| e.to_string())?;
        let found = checked(Some(section), &hours, Some(&key), dir.path())?;
        found.server.clone().transpose()?;
        Ok(found)
    }

    #[test]
    fn what_is_right_is_shown_without_its_secrets() {
        let proxy = "call = \"0579-1\"\nproxy = { networks = [\"10.0.0.0/8\"], header = \"X-Real-IP\" }";
        let configured = read(("call = \"0579-1\"", proxy), "yellow = 12\nred = 0\n").unwrap();
        let shown = format!("{configured}{configured:?}");
        assert!(!shown.contains(KEY), "{shown}");
        for part in [
            "192.0.2.1/32",
            "x-real-ip",
            "yellow = 12",
            "red = 0",
            "writer = \"answers\"",
            "# 1 earlier link keys",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert_eq!(configured.deadlines.yellow, Some(12 * 3_600_000));
        assert_eq!(
            (configured.deadlines.red, configured.deadlines.orange),
            (None, Deadlines::default().orange)
        );
        let none = checked(None, &Hours::default(), None, Path::new("/")).unwrap();
        assert!(none.server.is_none() && none.to_string().contains("no [alerts.answers]"));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_allowed_and_no_secret() {
        for (from, to, said) in [
            ("\"127.0.0.1:0\"", "\"8080\"", "listen: expected an IP address with a port"),
            ("secret = { file = \"key\" }", "secret = { file = \"short\" }", "secret: expected at least 32"),
            (
                "secret = { file = \"key\" }",
                "secret = { env = \"TOCSIN_TEST_NOT_SET\" }",
                "TOCSIN_TEST_NOT_SET",
            ),
            ("[\"203.0.113.0/24\", \"192.0.2.1\"]", "[]", "allow: expected the networks"),
            ("192.0.2.1", "192.0.2.256", "allow: expected a network"),
            ("https://rs.example.cn", "http://rs.example.cn", "public_url: expected https"),
            ("https://rs.example.cn", "https://rs.example.cn/x", "public_url: expected https"),
            (
                "link_key = { file = \"key\" }",
                "link_key = { file = \"short\" }",
                "at least 32 bytes, found 5",
            ),
            ("0579-1", " ", "call: expected the telephone number"),
            ("call =", "calls =", "unknown field"),
            ("call = \"0579-1\"", "call = \"1\"\nwriter = \"alerts\"", "writer: expected answers"),
        ] {
            let e = read((from, to), "").unwrap_err();
            assert!(e.contains(said) && !e.contains(KEY) && !e.contains("\"short\""), "{to}: {e}");
        }
        assert!(
            read(("call", "call"), "yellow = 745\n")
                .unwrap_err()
                .contains("must be 0 to 744 hours, found 745")
        );
        assert!(read(("call", "call"), "purple = 1\n").is_err());
    }
}
