//! Identifiers: the enterprise's code, the person's keyed hash, a report's key, an incident's number.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::codes::Source;

/// A text that is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Wrong length or alphabet.
    #[error("expected {0}")]
    Form(&'static str),
    /// Well formed, but the check symbol does not fit.
    #[error("the check symbol does not fit")]
    CheckSymbol,
}

/// A unified social credit code (GB 32100-2015): 18 symbols, the last one a check symbol. Ordered as text.
#[derive(Clone, Copy)]
pub struct Uscc([u8; 18]);

const USCC_ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const NOT_IN_ALPHABET: u8 = 0xFF;
/// The place in the alphabet of every byte.
const USCC_VALUES: [u8; 256] = {
    let mut values = [NOT_IN_ALPHABET; 256];
    let mut place = 0;
    while place < USCC_ALPHABET.len() {
        values[USCC_ALPHABET[place] as usize] = place as u8;
        place += 1;
    }
    values
};
const USCC_WEIGHTS: [usize; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];

impl Uscc {
    /// The symbols as two numbers that are ordered as the text is. Enterprises are looked up and sorted by the million:
    /// numbers are compared and hashed in a step or two, text in a call. For the same reason all of it is inlined in other
    /// crates too.
    #[inline]
    fn words(&self) -> (u128, u16) {
        let [first @ .., a, b] = self.0;
        (u128::from_be_bytes(first), u16::from_be_bytes([a, b]))
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
    /// The check symbol that belongs to the first 17 symbols, or `None` if one is outside the alphabet.
    pub fn check_symbol(first: &[u8]) -> Option<u8> {
        let mut sum = 0;
        for (symbol, weight) in first.iter().zip(USCC_WEIGHTS) {
            let value = USCC_VALUES[usize::from(*symbol)];
            if value == NOT_IN_ALPHABET {
                return None;
            }
            sum += usize::from(value) * weight;
        }
        Some(USCC_ALPHABET[(31 - sum % 31) % 31])
    }
}

impl PartialEq for Uscc {
    #[inline]
    fn eq(&self, other: &Uscc) -> bool {
        self.words() == other.words()
    }
}

impl Eq for Uscc {}

impl PartialOrd for Uscc {
    #[inline]
    fn partial_cmp(&self, other: &Uscc) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Uscc {
    #[inline]
    fn cmp(&self, other: &Uscc) -> Ordering {
        self.words().cmp(&other.words())
    }
}

impl Hash for Uscc {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (first, last) = self.words();
        state.write_u64((first >> 64) as u64);
        // Spread over all bits, so that codes that differ in both parts do not fall together.
        state.write_u64(first as u64 ^ u64::from(last).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

impl FromStr for Uscc {
    type Err = IdError;
    /// # Errors
    /// `Form` for a wrong length or alphabet, `CheckSymbol` for a wrong last symbol. The inner check
    /// digit of GB 11714 is not tested (records.md section 1).
    fn from_str(s: &str) -> Result<Uscc, IdError> {
        let form = IdError::Form("18 symbols of 0-9 A-Y without I O S V Z");
        let bytes: [u8; 18] = s.as_bytes().try_into().map_err(|_| form.clone())?;
        if !USCC_ALPHABET.contains(&bytes[17]) {
            return Err(form);
        }
        match Uscc::check_symbol(&bytes[..17]) {
            None => Err(form),
            Some(c) if c != bytes[17] => Err(IdError::CheckSymbol),
            Some(_) => Ok(Uscc(bytes)),
        }
    }
}

/// The keyed hash that stands for a person: HMAC-SHA256 of id type and number, 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonKey(pub [u8; 32]);

impl FromStr for PersonKey {
    type Err = IdError;
    fn from_str(s: &str) -> Result<PersonKey, IdError> {
        let form = IdError::Form("64 lower-case hex digits");
        let bytes = data_encoding::HEXLOWER.decode(s.as_bytes()).map_err(|_| form.clone())?;
        bytes.try_into().map(PersonKey).map_err(|_| form)
    }
}

impl fmt::Display for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 64];
        data_encoding::HEXLOWER.encode_mut(&self.0, &mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// What names a report for ever: its source and the source's own record id. Ordered as the contract
/// orders reports: by source order, then by record id. Text form: `source/source_record_id`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReportKey {
    /// Who says it.
    pub source: Source,
    /// The source's own id of the record.
    pub id: CompactString,
}

impl ReportKey {
    /// To sort by the text form: lists of reports in files and messages are (records.md section 5), while
    /// the order of the type is that of trust. No source's name is the beginning of another's.
    pub fn text_order(&self) -> (&str, &str) {
        (self.source.as_str(), &self.id)
    }
}

impl fmt::Display for ReportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source.as_str())?;
        f.write_str("/")?;
        f.write_str(&self.id)
    }
}

impl FromStr for ReportKey {
    type Err = IdError;
    fn from_str(s: &str) -> Result<ReportKey, IdError> {
        let form = IdError::Form("source/source_record_id");
        let (source, id) = s.split_once('/').ok_or(form.clone())?;
        Ok(ReportKey { source: source.parse().map_err(|_| form)?, id: id.into() })
    }
}

/// An incident's number as people quote it on the telephone: a running number of at least 8 digits and
/// one check digit (Luhn), at most 10 characters. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(pub u32);

impl IncidentId {
    /// The largest running number whose text still has 10 characters.
    pub const MAX: u32 = 999_999_999;

    fn luhn(number: u32) -> u32 {
        let (mut n, mut sum, mut double) = (number, 0, true);
        while n > 0 {
            let d = n % 10 * if double { 2 } else { 1 };
            sum += d / 10 + d % 10;
            n /= 10;
            double = !double;
        }
        (10 - sum % 10) % 10
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}{}", self.0, IncidentId::luhn(self.0))
    }
}

impl FromStr for IncidentId {
    type Err = IdError;
    /// # Errors
    /// A slip of one digit, or of two neighbours, is a `CheckSymbol` error.
    fn from_str(s: &str) -> Result<IncidentId, IdError> {
        let form = IdError::Form("an incident number of 9 or 10 digits");
        if !matches!(s.len(), 9 | 10) || !s.bytes().all(|b| b.is_ascii_digit()) {
            return Err(form);
        }
        let n: u32 = s[..s.len() - 1].parse().map_err(|_| form.clone())?;
        let id = IncidentId(n);
        if id.to_string() == s { Ok(id) } else { Err(IdError::CheckSymbol) }
    }
}

impl fmt::Display for Uscc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Debug for Uscc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Debug for PersonKey {
    // A key is not a name, but it still follows a person around: eight digits are enough to debug with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PersonKey({}…)", &self.to_string()[..8])
    }
}

impl Serialize for Uscc {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl Serialize for ReportKey {
    /// Most of what is written are these: one allocation each, of the right size.
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&[self.source.as_str(), "/", &self.id].concat())
    }
}

macro_rules! written_as_text {
    ($($t:ty),*) => {$(
        impl Serialize for $t {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
    )*};
}
written_as_text!(PersonKey, IncidentId);

macro_rules! read_as_text {
    ($($t:ty),*) => {$(
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_str(crate::codes::FromText(std::marker::PhantomData))
            }
        }
    )*};
}
read_as_text!(Uscc, PersonKey, ReportKey, IncidentId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_worked_examples_pass() {
        for code in ["91350100M000100Y43", "91330784XX00000190", "91330784XX000006X3", "91330784XX0000027T"] {
            assert_eq!(code.parse::<Uscc>().unwrap().as_str(), code);
        }
        assert_eq!(
            "91350100M000100Y4Z".parse::<Uscc>(),
            Err(IdError::Form("18 symbols of 0-9 A-Y without I O S V Z"))
        );
        assert_eq!("91350100M000100Y44".parse::<Uscc>(), Err(IdError::CheckSymbol));
    }

    #[test]
    fn codes_are_equal_and_ordered_as_their_texts() {
        let hashed = |code: &Uscc| {
            let mut state = std::hash::DefaultHasher::new();
            code.hash(&mut state);
            state.finish()
        };
        let first = b"91330784XX0000019";
        let mut codes = Vec::new();
        // One that differs in each place, before and behind.
        for place in 0..17 {
            for symbol in [b'0', b'8', b'Y'] {
                let mut other = *first;
                other[place] = symbol;
                let check = Uscc::check_symbol(&other).unwrap();
                let text = [&other[..], &[check]].concat();
                codes.push(std::str::from_utf8(&text).unwrap().parse::<Uscc>().unwrap());
            }
        }
        for a in &codes {
            for b in &codes {
                assert_eq!(a.cmp(b), a.as_str().cmp(b.as_str()), "{a} {b}");
                assert_eq!(a == b, a.as_str() == b.as_str());
                assert_eq!(hashed(a) == hashed(b), a == b, "{a} {b}");
            }
        }
    }

    #[test]
    fn an_incident_number_shows_a_slip() {
        assert_eq!(IncidentId(7).to_string(), "000000075");
        for n in [0, 1, 42, 12_345_678, IncidentId::MAX] {
            let text = IncidentId(n).to_string();
            assert!(text.len() <= 10);
            assert_eq!(text.parse::<IncidentId>().unwrap(), IncidentId(n));
        }
        assert_eq!("000000076".parse::<IncidentId>(), Err(IdError::CheckSymbol));
    }
}
