//! Who may speak, and how much.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use axum::http::HeaderMap;
use governor::clock::DefaultClock;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;
use subtle::ConstantTimeEq;

use super::Outcome;
use crate::gateways::Secret;

/// A proxy in front of us, which alone may say who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its addresses.
    pub networks: Vec<IpNet>,
    /// The header to which it adds the address it was asked from, such as `x-forwarded-for`.
    pub header: String,
}

/// Requests a second, and how many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Of one peer.
    pub peer: (NonZeroU32, NonZeroU32),
    /// Of all gateways, and of all who look at pages: each by themselves, so that a flood of pages keeps no receipt out.
    pub all: (NonZeroU32, NonZeroU32),
    /// Peers that are remembered at most; while there are more, new ones wait.
    pub peers: usize,
}

impl Default for Rates {
    fn default() -> Self {
        let n = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Rates { peer: (n(50), n(200)), all: (n(200), n(1000)), peers: 10_000 }
    }
}

/// What is said at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Pushes,
    Pages,
}

type PerPeer = RateLimiter<IpAddr, governor::state::keyed::HashMapStateStore<IpAddr>, DefaultClock>;

/// Decides who is let in.
#[derive(Debug)]
pub struct Door {
    secret: Secret,
    allow: Vec<IpNet>,
    proxy: Option<Proxy>,
    pushes: (DefaultDirectRateLimiter, PerPeer),
    pages: (DefaultDirectRateLimiter, PerPeer),
    peers: usize,
}

impl Door {
    /// With this secret path, for gateways at these addresses.
    pub fn new(secret: Secret, allow: Vec<IpNet>, proxy: Option<Proxy>, rates: Rates) -> Door {
        let quota =
            |(a_second, burst): (NonZeroU32, NonZeroU32)| Quota::per_second(a_second).allow_burst(burst);
        let limits = || (RateLimiter::direct(quota(rates.all)), RateLimiter::hashmap(quota(rates.peer)));
        Door { secret, allow, proxy, pushes: limits(), pages: limits(), peers: rates.peers }
    }

    /// Whether this gateway may push under this secret.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn gateway(&self, peer: IpAddr, headers: &HeaderMap, secret: &str) -> Result<(), Outcome> {
        let from = self.from(peer, headers).ok_or(Outcome::WrongAddress)?;
        if !self.allow.iter().any(|network| network.contains(&from)) {
            return Err(Outcome::WrongAddress);
        }
        // Lengths may be told apart by time, the secret may not.
        if !bool::from(self.secret.reveal().as_bytes().ct_eq(secret.as_bytes())) {
            return Err(Outcome::WrongSecret);
        }
        self.rate(At::Pushes, from)
    }

    /// Whether this browser may look.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn browser(&self, peer: IpAddr, headers: &HeaderMap) -> Result<(), Outcome> {
        let from = self.from(peer, headers).ok_or(Outcome::WrongAddress)?;
        self.rate(At::Pages, from)
    }

    fn rate(&self, at: At, from: IpAddr) -> Result<(), Outcome> {
        let (all, peers) = match at {
            At::Pushes => &self.pushes,
            At::Pages => &self.pages,
        };
        // Only those who came lately have to be remembered.
        if peers.len() >= self.peers {
            peers.retain_recent();
        }
        let room = peers.len() < self.peers;
        // The peer's own share first: what is refused by it takes nothing from what all others share.
        let within = room && peers.check_key(&network_of(from)).is_ok() && all.check().is_ok();
        if within { Ok(()) } else { Err(Outcome::TooMany) }
    }

    /// How many peers are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.pushes.1.len() + self.pages.1.len()
    }

    /// Who asks: the peer, or whom a trusted proxy names. From the right, because what stands further left was written by
    /// whoever asked; the first that is no proxy of ours. `None`: the proxy's header cannot be read.
    fn from(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        let Some(proxy) = self.proxy.as_ref() else { return Some(peer) };
        let ours = |at: IpAddr| proxy.networks.iter().any(|network| network.contains(&at));
        if !ours(peer) {
            return Some(peer);
        }
        let mut named = Vec::new();
        for value in headers.get_all(proxy.header.as_str()) {
            for address in value.to_str().ok()?.split(',') {
                named.push(address.trim().parse::<IpAddr>().ok()?.to_canonical());
            }
        }
        Some(named.into_iter().rev().find(|at| !ours(*at)).unwrap_or(peer))
    }
}

/// A house has a /64 of IPv6 to itself: it is one peer.
fn network_of(at: IpAddr) -> IpAddr {
    match at {
        IpAddr::V4(_) => at,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}
