//! Phones as the ledger knows them: by a keyed hash. Pure.
//!
//! Whoever decides about a phone must know that two deliveries go to the same one, and the ledger, which is kept,
//! must not hold it. Eleven digits are soon tried out, so the hash has a key (HMAC-SHA256), which stands in no topic.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::contacts::Person;
use crate::gateways;

/// Makes hashes of phones and addresses. Never shows its key.
#[derive(Clone)]
pub struct PhoneKey(Hmac<Sha256>);

impl fmt::Debug for PhoneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneKey(not shown)")
    }
}

impl PhoneKey {
    /// With this key. A log's deliveries have one key for life: with another, quotas begin anew and nobody who was told
    /// before is found again.
    pub fn new(key: &[u8]) -> PhoneKey {
        // HMAC takes a key of any length; longer ones than a block are hashed first.
        match Hmac::new_from_slice(key) {
            Ok(mac) => PhoneKey(mac),
            Err(_) => unreachable!("HMAC takes a key of any length"),
        }
    }

    /// The hash of the person's phone, or of the address where there is none: 26 characters.
    pub fn phone(&self, person: &Person) -> String {
        self.hash("phone", person.phone.as_deref().unwrap_or(&person.address))
    }

    /// The same of a number as a gateway writes it; `None`: it is no mobile number of mainland China.
    pub fn number(&self, phone: &str) -> Option<String> {
        mobile(phone).map(|digits| self.hash("phone", &digits))
    }

    /// The hash of the address on its channel.
    pub fn address(&self, person: &Person) -> String {
        self.hash("address", &person.address)
    }

    fn hash(&self, what: &str, text: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(what.as_bytes());
        mac.update(&[0]);
        mac.update(plain(text).as_bytes());
        data_encoding::BASE32_NOPAD.encode(&mac.finalize().into_bytes()[..16])
    }
}

/// A phone without what people put between its digits and before them, so that one number is one hash; any other
/// address as it is.
fn plain(text: &str) -> String {
    mobile(text).unwrap_or_else(|| text.trim().to_owned())
}

/// The eleven digits of a mobile number.
fn mobile(text: &str) -> Option<String> {
    let bare: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')')).collect();
    gateways::mainland(&bare).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_schemas::codes::Role;

    fn person(phone: Option<&str>, address: &str) -> Person {
        let (role, subject) = (Role::Owner, "s".to_owned());
        Person { role, subject, rank: 1, version: 1, address: address.into(), phone: phone.map(Into::into) }
    }

    #[test]
    fn one_number_has_one_hash_however_it_is_written() {
        let key = PhoneKey::new(b"k");
        let of = |phone| key.phone(&person(Some(phone), "x"));
        let hash = of("13900000001");
        for same in ["+8613900000001", "0086 139-0000-0001", " 139 0000 0001 ", "8613900000001"] {
            assert_eq!(of(same), hash, "{same}");
            assert_eq!(key.number(same).as_ref(), Some(&hash), "as a reply names it");
        }
        assert_eq!(key.number("057912345678"), None);
        for other in ["13900000002", "1390000000", "+86139000000012"] {
            assert_ne!(of(other), hash, "{other}");
        }
        assert_eq!(key.phone(&person(None, "13900000001")), hash, "an address in the phone's place");
        assert_ne!(key.address(&person(None, "13900000001")), hash, "an address is not a phone");
        assert_ne!(PhoneKey::new(b"l").phone(&person(Some("13900000001"), "x")), hash, "it has a key");
        assert_eq!(hash.len(), 26);
    }
}
