//! Where requests may go. A URL is the operator's, but what its name resolves to is not: a name that is
//! turned to an address inside the house would carry phones and keys to whoever listens there, and make this
//! process a way in (server-side request forgery).
//!
//! - The host is one of the gateway's own, where it has published ones.
//! - https; http only to this machine.
//! - No address of [`INSIDE`], neither in the URL nor after the name was resolved ([`Resolver`], at each
//!   connection), unless `allow_private` is set. A URL that names this machine in so many words
//!   (`127.0.0.1`, `::1`, `localhost`) has said so itself, for a gateway without hosts of its own.
//! - No redirect is followed, and no proxy of the environment is used: both would resolve names out of sight.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::LazyLock;

use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::ConfigError;
use super::http::redacted;

/// Where a gateway's requests go: checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The URL that requests start from.
    pub url: Url,
    /// Whether its name may resolve to an address inside.
    pub allow_private: bool,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({})", redacted(&self.url))
    }
}

/// Networks that no public gateway is in, and what they are (IANA's special-purpose registries).
const INSIDE: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "a private address"),
    ("100.64.0.0/10", "a shared address of a carrier"),
    ("127.0.0.0/8", "a loopback address"),
    ("169.254.0.0/16", "a link-local address"),
    ("172.16.0.0/12", "a private address"),
    ("192.0.0.0/24", "a protocol address"),
    ("192.0.2.0/24", "an address for documents"),
    ("192.88.99.0/24", "an address of 6to4 relays"),
    ("192.168.0.0/16", "a private address"),
    ("198.18.0.0/15", "an address for benchmarks"),
    ("198.51.100.0/24", "an address for documents"),
    ("203.0.113.0/24", "an address for documents"),
    ("224.0.0.0/4", "a multicast address"),
    ("240.0.0.0/4", "a reserved address"),
    ("::/128", "this network"),
    ("::1/128", "a loopback address"),
    ("::/96", "an IPv4 address in a form that is no longer used"),
    ("64:ff9b:1::/48", "an address translated inside a house"),
    ("100::/64", "a discard address"),
    ("2001::/32", "a Teredo tunnel"),
    ("2001:db8::/32", "an address for documents"),
    ("fc00::/7", "a private address"),
    ("fe80::/10", "a link-local address"),
    ("fec0::/10", "a site-local address"),
    ("ff00::/8", "a multicast address"),
];

static NETS: LazyLock<Vec<(IpNet, &'static str)>> = LazyLock::new(|| {
    INSIDE.iter().filter_map(|(net, what)| net.parse().ok().map(|net| (net, *what))).collect()
});

/// What kind of inside address this is; `None`: a public one. IPv6 forms that carry an IPv4 address
/// (mapped, NAT64, 6to4) are judged by it; those that no public gateway has (Teredo, IPv4-compatible, a NAT64 of the
/// house) are inside whatever they carry.
pub fn inside(ip: IpAddr) -> Option<&'static str> {
    let ip = match ip {
        IpAddr::V6(v6) => {
            let o = v6.octets();
            let carried = |at: usize| IpAddr::V4(Ipv4Addr::new(o[at], o[at + 1], o[at + 2], o[at + 3]));
            if let Some(v4) = v6.to_ipv4_mapped() {
                IpAddr::V4(v4)
            } else if o[..12] == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0] {
                carried(12)
            } else if o[..2] == [0x20, 0x02] {
                carried(2)
            } else {
                ip
            }
        }
        IpAddr::V4(_) => ip,
    };
    NETS.iter().find(|(net, _)| net.contains(&ip)).map(|(_, what)| *what)
}

/// Whether the URL names this machine in so many words.
fn on_loopback(url: &Url) -> bool {
    url.host_str() == Some("localhost") || literal(url).is_some_and(|ip| ip.is_loopback())
}

fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

impl Endpoint {
    /// The endpoint that this text names, if a gateway with these hosts may have it.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn new(text: &str, hosts: &[&str], allow_private: bool) -> Result<Endpoint, ConfigError> {
        let url = Url::parse(text).map_err(|e| ConfigError::NotAUrl(e.to_string()))?;
        let here = on_loopback(&url);
        let safe = url.scheme() == "https" || (url.scheme() == "http" && here);
        let Some(host) = url.host_str().filter(|_| safe) else {
            return Err(ConfigError::NotSafe(redacted(&url)));
        };
        let private = if url.host_str() == Some("localhost") {
            Some("a loopback address")
        } else {
            literal(&url).and_then(inside)
        };
        let said_so = here && hosts.is_empty();
        if let Some(what) = private.filter(|_| !allow_private && !said_so) {
            return Err(ConfigError::Private { found: redacted(&url), what });
        }
        // A private address that was allowed stands in for the gateway: a simulated one, or a relay of the house.
        if !hosts.is_empty() && private.is_none() && !hosts.contains(&host) {
            return Err(ConfigError::OtherHost { allowed: hosts.join(", "), found: redacted(&url) });
        }
        Ok(Endpoint { allow_private: allow_private || said_so, url })
    }

    /// Where its name leads just now: how many addresses, and what the first one inside is. `None`: it names an
    /// address itself. Blocks until the system's resolver answers or gives up.
    ///
    /// # Errors
    /// The name leads nowhere, or nobody can be asked.
    pub fn look_up(&self) -> Result<Option<(usize, Option<LeadsInside>)>, NoSuchName> {
        let Some(host) = self.url.host_str().filter(|_| literal(&self.url).is_none()) else {
            return Ok(None);
        };
        let found = (host, 0).to_socket_addrs().map_err(|e| NoSuchName(e.to_string()))?;
        let found: Vec<SocketAddr> = found.collect();
        let inside = found.iter().find_map(|address| inside(address.ip()));
        Ok(Some((found.len(), inside.map(LeadsInside))))
    }

    /// The endpoint's host and port as the header `Host` carries them.
    pub fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

/// Resolves names by the system, and refuses a name with any address inside: a mixed answer is no accident.
#[derive(Debug, Clone, Copy)]
pub struct Resolver {
    /// Whether inside addresses are fine.
    pub allow_private: bool,
}

/// A name that leads inside, and to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway's name resolves to {0}: set allow_private = true if it really is there")]
pub struct LeadsInside(pub &'static str);

/// A name that leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("the gateway's name cannot be resolved: {0}")]
pub struct NoSuchName(pub String);

/// The addresses, if requests may go to all of them.
///
/// # Errors
/// One of them is inside.
pub fn judged(addresses: Vec<SocketAddr>, allow_private: bool) -> Result<Vec<SocketAddr>, LeadsInside> {
    match addresses.iter().find_map(|address| inside(address.ip())) {
        Some(what) if !allow_private => Err(LeadsInside(what)),
        _ => Ok(addresses),
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            // Errors of our own types, so that the client can tell them from a connection that is refused.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found: Vec<SocketAddr> = found.map_err(|e| NoSuchName(e.to_string()))?.collect();
            if found.is_empty() {
                return Err(NoSuchName("it has no address".into()).into());
            }
            Ok(Box::new(judged(found, allow_private)?.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
#[test]
fn every_line_of_the_table_is_a_network() {
    assert_eq!(NETS.len(), INSIDE.len());
}
