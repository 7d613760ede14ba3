//! The token of a link in a message: whoever holds it may see one case and answer once, until it ends.
//!
//! ```text
//!   8 bytes: the first half of the delivery's id │ 2 bytes: the last day it holds, from 1970 │ 12 bytes: HMAC-SHA256, cut
//! ```
//! 22 bytes are **30 characters** of unpadded base64url, so `https://rs.example.cn/a/` and the token have 54: a second segment
//! of an SMS. The last character is always one of `AQgw`, so no phone takes the end of the link for punctuation.
//!
//! - 96 bits of a MAC are what RFC 2104 asks for at least (half the hash is its other rule; here a guess is online, one in
//!   2^96, and rate-limited). They are compared in constant time.
//! - The token says nothing of the case, the person or the phone, and half an id is no id: it names a delivery only to
//!   whoever has the ledger.
//! - *Rotation*: tokens are made with the first key and believed by all of them. An earlier key may go when its last token
//!   has ended.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use tocsin_schemas::records::Delivery;
use tocsin_schemas::time::{Day, Instant};

use super::KeyTooShort;
use crate::decide;
use crate::quota;

/// Length of a token in characters.
pub const TOKEN_CHARS: usize = 30;

const MAC_BYTES: usize = 12;
const BODY_BYTES: usize = 10;

/// The half of a delivery's id that stands in a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(pub [u8; 8]);

impl Prefix {
    /// Of a delivery's id; `None`: it is no id of ours (26 characters of base32).
    pub fn of(delivery_id: &str) -> Option<Prefix> {
        let bytes =
            data_encoding::BASE32_NOPAD.decode(delivery_id.as_bytes()).ok().filter(|b| b.len() == 16)?;
        bytes.first_chunk().copied().map(Prefix)
    }
}

/// What a token says, if it is one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It holds.
    Of(Prefix),
    /// It held once.
    Expired(Prefix),
}

/// After so many days from its decision a message's link ends: the month of a rectification (S17), within which its owner
/// may still answer.
const HOLDS_DAYS: i32 = 31;

/// Makes the links that stand in messages.
#[derive(Debug, Clone)]
pub struct Links {
    base: String,
    signer: Signer,
}

impl Links {
    /// Links that begin with this, signed by this.
    pub fn new(public_url: &reqwest::Url, signer: Signer) -> Links {
        Links { base: format!("{}/a/", public_url.as_str().trim_end_matches('/')), signer }
    }

    /// The link of a message, the same in every attempt. `None`: no answer is wanted of it, because it corrects or ends
    /// what was said before; or the page would show other words than the message: a digest's is that of its first one, a
    /// stand-in's that of the owner.
    pub fn of(&self, delivery: &Delivery) -> Option<String> {
        let other_words = quota::is_digest(delivery) || quota::stands_in(delivery);
        if decide::looks_back(delivery.change) || other_words {
            return None;
        }
        let decided = delivery.decided_at.unwrap_or(delivery.at);
        let token = self.signer.token(&delivery.delivery_id, decided.day().plus(HOLDS_DAYS))?;
        Some(format!("{}{token}", self.base))
    }
}

/// Makes and reads tokens. Never shows its keys.
#[derive(Clone)]
pub struct Signer(Vec<Hmac<Sha256>>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} keys, not shown)", self.0.len())
    }
}

impl Signer {
    /// With the key that signs, and earlier ones that are still believed.
    ///
    /// # Errors
    /// One is shorter than [`super::MIN_KEY_BYTES`].
    pub fn new(key: &[u8], earlier: &[&[u8]]) -> Result<Signer, KeyTooShort> {
        let keys = [key].into_iter().chain(earlier.iter().copied());
        let keyed = |key| super::mac(key).map(|mac| mac.chain_update("link"));
        keys.map(keyed).collect::<Result<_, _>>().map(Signer)
    }

    /// The token of a delivery that holds to the end of this day. `None`: it is no id of ours, or the day is out of reach
    /// (before 1970 or after 2149).
    pub fn token(&self, delivery_id: &str, until: Day) -> Option<String> {
        let day = u16::try_from(until.0).ok()?;
        let mut bytes = Prefix::of(delivery_id)?.0.to_vec();
        bytes.extend(day.to_be_bytes());
        let mac = self.0.first()?.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend(&mac[..MAC_BYTES]);
        Some(data_encoding::BASE64URL_NOPAD.encode(&bytes))
    }

    /// Reads a token. `None`: it was not made here.
    pub fn read(&self, token: &str, now: Instant) -> Option<Link> {
        if token.len() != TOKEN_CHARS {
            return None;
        }
        let bytes = data_encoding::BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
        let (body, mac) = bytes.split_first_chunk::<BODY_BYTES>()?;
        // Every key is tried, in constant time each.
        let believed = self.0.iter().fold(false, |believed, key| {
            believed | key.clone().chain_update(body).verify_truncated_left(mac).is_ok()
        });
        let (prefix, day) = body.split_first_chunk::<8>()?;
        let until = Day(i32::from(u16::from_be_bytes(*day.first_chunk()?)));
        let link =
            if now.day() <= until { Link::Of(Prefix(*prefix)) } else { Link::Expired(Prefix(*prefix)) };
        (believed && mac.len() == MAC_BYTES).then_some(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::delivery_id;
    use tocsin_schemas::codes::Role;

    #[test]
    fn a_message_has_one_link_that_opens_its_own_page_and_a_correction_has_none() {
        use crate::fixtures::delivery;
        use tocsin_schemas::codes::{Change, DeliveryState};
        let signer = Signer::new(NEW, &[]).unwrap();
        let links = Links::new(&"https://rs.example.cn/".parse().unwrap(), signer.clone());
        let sent = delivery("a1", DeliveryState::Planned);
        let link = links.of(&sent).unwrap();
        let retried = Delivery { attempt: 3, at: sent.at.plus_millis(7_200_000), ..sent.clone() };
        let decided = Delivery { decided_at: Some(sent.at), ..retried };
        assert_eq!(links.of(&decided).as_ref(), Some(&link), "the same in every attempt");
        let token = link.strip_prefix("https://rs.example.cn/a/").unwrap();
        let prefix = Prefix::of(&sent.delivery_id).unwrap();
        let last = sent.at.day().plus(HOLDS_DAYS + 1).midnight().plus_millis(-1);
        assert_eq!(signer.read(token, last), Some(Link::Of(prefix)));
        assert_eq!(signer.read(token, last.plus_millis(1)), Some(Link::Expired(prefix)));
        let digest = crate::quota::joined(None, &sent, sent.at, sent.at);
        let stand_in = Delivery { template: "T15".into(), ..sent.clone() };
        for other in [digest, stand_in, Delivery { change: Change::Corrected, ..sent }] {
            assert_eq!(links.of(&other), None, "{}", other.template);
        }
    }

    const OLD: &[u8] = &[7; 32];
    const NEW: &[u8] = &[8; 32];
    const DAY: Day = Day(20_500);

    fn id() -> String {
        delivery_id("A", Role::Owner, "s", "aliyun", &[])
    }

    #[test]
    fn a_token_holds_to_the_end_of_its_day_and_is_short_enough() {
        let signer = Signer::new(NEW, &[]).unwrap();
        let token = signer.token(&id(), DAY).unwrap();
        assert_eq!(token.len(), TOKEN_CHARS);
        assert!(token.ends_with(['A', 'Q', 'g', 'w']), "{token}");
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        let prefix = Prefix::of(&id()).unwrap();
        let last = DAY.plus(1).midnight().plus_millis(-1);
        assert_eq!(signer.read(&token, last), Some(Link::Of(prefix)));
        assert_eq!(signer.read(&token, last.plus_millis(1)), Some(Link::Expired(prefix)));
        assert_eq!(signer.token("no id", DAY), None);
        assert_eq!(signer.token(&id(), Day(-1)), None);
    }

    #[test]
    fn whatever_is_changed_in_a_token_makes_it_nobodys() {
        let signer = Signer::new(NEW, &[]).unwrap();
        let token = signer.token(&id(), DAY).unwrap();
        let bytes = data_encoding::BASE64URL_NOPAD.decode(token.as_bytes()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            let other = data_encoding::BASE64URL_NOPAD.encode(&other);
            assert_eq!(signer.read(&other, DAY.midnight()), None, "bit {bit}");
        }
        for other in
            ["", "a", &token[..29], &format!("{token}A"), &token.replace(&token[..1], "!"), &"汉".repeat(10)]
        {
            assert_eq!(signer.read(other, DAY.midnight()), None, "{other}");
        }
        // The same bytes, written otherwise: the unused bits of the last character.
        let last = token.as_bytes()[29];
        let other = format!("{}{}", &token[..29], char::from(last + 1));
        assert_eq!(signer.read(&other, DAY.midnight()), None);
    }

    #[test]
    fn an_earlier_key_is_believed_and_does_not_sign() {
        let (before, now) = (Signer::new(OLD, &[]).unwrap(), Signer::new(NEW, &[OLD]).unwrap());
        let (old, new) = (before.token(&id(), DAY).unwrap(), now.token(&id(), DAY).unwrap());
        assert!(now.read(&old, DAY.midnight()).is_some() && now.read(&new, DAY.midnight()).is_some());
        assert_eq!(before.read(&new, DAY.midnight()), None);
        assert_eq!(
            Signer::new(NEW, &[]).unwrap().read(&old, DAY.midnight()),
            None,
            "when the old key has gone"
        );
        assert_eq!(Signer::new(NEW, &[b"short"]).unwrap_err(), KeyTooShort { found: 5 });
        assert_eq!(format!("{now:?}"), "Signer(2 keys, not shown)");
    }
}
