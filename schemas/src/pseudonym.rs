//! Pseudonyms: what a source's connector makes of an id before anything leaves it.
//!
//! `HMAC-SHA256(key, length of the id type ‖ id type ‖ id number)`, the length as 8 bytes big-endian. The
//! length makes the two parts unambiguous: no other type and number give the same bytes. The key is the
//! bureau's secret; without it an id cannot be found by trying all ids. Reading the key from a file or
//! the environment is the caller's business. Ids are not checked against GB 11643: that is their source's.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::ids::PersonKey;

/// The shortest key, in bytes: as long as the hash (RFC 2104 section 3).
pub const MIN_KEY_BYTES: usize = 32;

/// A key that is too short. The operator makes a longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a pseudonym key of at least {MIN_KEY_BYTES} bytes, found {found}: make one from a random source"
)]
pub struct KeyTooShort {
    /// Its length in bytes.
    pub found: usize,
}

/// Makes person keys. Cheap to clone and to share; never shows its key.
#[derive(Clone)]
pub struct Pseudonymiser(Hmac<Sha256>);

impl fmt::Debug for Pseudonymiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonymiser(key not shown)")
    }
}

impl Pseudonymiser {
    /// With this key.
    ///
    /// # Errors
    /// The key is shorter than [`MIN_KEY_BYTES`].
    pub fn new(key: &[u8]) -> Result<Pseudonymiser, KeyTooShort> {
        let too_short = KeyTooShort { found: key.len() };
        if key.len() < MIN_KEY_BYTES {
            return Err(too_short);
        }
        // HMAC takes a key of any length.
        Hmac::new_from_slice(key).map(Pseudonymiser).map_err(|_| too_short)
    }

    /// The key that stands for the person with this id, such as type `resident_id` and its number.
    pub fn person_key(&self, id_type: &str, id_number: &str) -> PersonKey {
        let mut mac = self.0.clone();
        mac.update(&(id_type.len() as u64).to_be_bytes());
        mac.update(id_type.as_bytes());
        mac.update(id_number.as_bytes());
        PersonKey(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

    #[test]
    fn type_and_number_are_told_apart() {
        let p = Pseudonymiser::new(KEY).unwrap();
        let keys = [("resident", "1"), ("residen", "t1"), ("", "resident1"), ("resident1", "")]
            .map(|(id_type, number)| p.person_key(id_type, number));
        for (place, key) in keys.iter().enumerate() {
            assert!(!keys[..place].contains(key));
            assert_eq!(key.to_string().len(), 64);
        }
    }

    /// The anchor is computed by hand from the definition of HMAC (RFC 2104): inner and outer hash.
    #[test]
    fn it_is_the_hmac_of_the_framed_id() {
        use sha2::Digest;
        let (inner, outer) = ([0x36u8; 64], [0x5cu8; 64]);
        let pad = |mut block: [u8; 64]| {
            block.iter_mut().zip(KEY).for_each(|(b, k)| *b ^= k);
            block
        };
        let message = [&[0, 0, 0, 0, 0, 0, 0, 8][..], b"resident", b"330784"].concat();
        let first = Sha256::digest([&pad(inner)[..], &message].concat());
        let expected: [u8; 32] = Sha256::digest([&pad(outer)[..], &first].concat()).into();
        let p = Pseudonymiser::new(KEY).unwrap();
        assert_eq!(p.person_key("resident", "330784"), PersonKey(expected));
    }

    #[test]
    fn another_key_makes_another_person_and_a_short_one_is_refused() {
        let (a, b) = (Pseudonymiser::new(KEY).unwrap(), Pseudonymiser::new(&[7; 40]).unwrap());
        assert_ne!(a.person_key("resident", "1"), b.person_key("resident", "1"));
        assert_eq!(Pseudonymiser::new(&KEY[..31]).unwrap_err(), KeyTooShort { found: 31 });
        assert!(!format!("{a:?}").contains("0123"));
    }
}
