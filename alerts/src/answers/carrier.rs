//! What a carrier's code in a receipt means for what comes next: by table, from the providers' public lists. A code that is
//! in none is `unknown`, and stands in the record all the same.

use tocsin_schemas::codes::FailureClass::{self, *};

/// Codes, and beginnings of codes where a `*` ends them.
const TABLE: &[(&str, FailureClass)] = &[
    // Off, out of reach, busy: another time may help.
    ("MOBILE_NOT_ON_SERVICE", Transient),
    ("EXPIRED", Transient),
    ("TIMEOUT", Transient),
    ("MK:0001", Transient),
    ("MK:0005", Transient),
    ("MK:0010", Transient),
    ("ID:0013", Transient),
    ("IC:0001", Transient),
    // So many a day to one phone.
    ("MOBILE_SEND_LIMIT", Window),
    ("SEND_LIMIT*", Window),
    ("MN:0020", Window),
    ("MI:0024", Window),
    // Signature, content, route: nobody's phone is at fault.
    ("SP_*", Account),
    ("NO_ROUTE", Account),
    ("CONTENT_*", Account),
    ("SIGN_*", Account),
    ("MX:0001", Account),
    // No such number, or it wants none.
    ("MOBILE_ACCOUNT_ABNORMAL", Permanent),
    ("MOBILE_IN_BLACK", Permanent),
    ("MBBLACK", Permanent),
    ("MK:0000", Permanent),
    ("MK:0012", Permanent),
    ("MK:0015", Permanent),
    ("DB:0141", Permanent),
    ("BLACK*", Permanent),
    ("REJECTED", Permanent),
];

/// What follows from this code.
pub fn class(code: &str) -> FailureClass {
    let is = |known: &str| known.strip_suffix('*').map_or(known == code, |begin| code.starts_with(begin));
    TABLE.iter().find(|(known, _)| is(known)).map_or(Unknown, |(_, class)| *class)
}

/// A code as it may be kept: at most 64 visible ASCII characters, and nothing that could be a phone.
pub fn clean(code: &str) -> Option<String> {
    let text: String = code.chars().filter(char::is_ascii_graphic).take(64).collect();
    let digits = |run: &str| run.len() >= 11;
    let phone = text.split(|c: char| !c.is_ascii_digit()).any(digits);
    (!text.is_empty() && !phone).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_class_and_an_unknown_one_says_so() {
        for (code, expected) in [
            ("MOBILE_NOT_ON_SERVICE", Transient),
            ("MOBILE_SEND_LIMIT", Window),
            ("CONTENT_KEYWORD", Account),
            ("MBBLACK", Permanent),
            ("UNDELIV", Unknown),
            ("", Unknown),
            ("SP", Unknown),
        ] {
            assert_eq!(class(code), expected, "{code}");
        }
    }

    #[test]
    fn a_code_that_could_hold_a_phone_is_not_kept() {
        assert_eq!(clean("UNDELIV\n"), Some("UNDELIV".into()));
        assert_eq!(clean("phone 13800138000"), None);
        assert_eq!(clean("用户关机"), None);
        assert_eq!(clean(&"x".repeat(100)).unwrap().len(), 64);
    }
}
