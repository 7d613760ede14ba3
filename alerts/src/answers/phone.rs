//! The keyed hash that stands for a phone: `HMAC-SHA256(key, "phone" ‖ the eleven digits)`. Without the key a phone cannot
//! be found by trying all of them, which for eleven digits takes a minute.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::KeyTooShort;

/// Makes hashes of phones. Never shows its key.
#[derive(Clone)]
pub struct PhoneHasher(Hmac<Sha256>);

impl fmt::Debug for PhoneHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneHasher(key not shown)")
    }
}

impl PhoneHasher {
    /// With this key.
    ///
    /// # Errors
    /// It is shorter than [`super::MIN_KEY_BYTES`].
    pub fn new(key: &[u8]) -> Result<PhoneHasher, KeyTooShort> {
        super::mac(key).map(|mac| PhoneHasher(mac.chain_update("phone")))
    }

    /// The hash of a number of mainland China, with or without its prefix, as 64 lower-case hex digits. `None`: it is no
    /// such number.
    pub fn hash(&self, phone: &str) -> Option<String> {
        let digits: String = phone.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        let bare = crate::gateways::mainland(&digits)?;
        Some(data_encoding::HEXLOWER.encode(&self.0.clone().chain_update(bare).finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_phone_has_one_hash_however_it_is_written_and_none_without_the_key() {
        let one = PhoneHasher::new(&[1; 32]).unwrap();
        let hash = one.hash("13800138000").unwrap();
        assert_eq!(hash.len(), 64);
        for written in ["+8613800138000", "8613800138000", "138 0013 8000", "138-0013-8000"] {
            assert_eq!(one.hash(written).as_ref(), Some(&hash), "{written}");
        }
        assert_ne!(one.hash("13800138001"), Some(hash.clone()));
        assert_ne!(PhoneHasher::new(&[2; 32]).unwrap().hash("13800138000"), Some(hash));
        assert_eq!(one.hash("057912345678"), None);
        assert_eq!(PhoneHasher::new(&[1; 31]).unwrap_err(), KeyTooShort { found: 31 });
        assert!(!format!("{one:?}").contains('1'));
    }
}
