//! What is asked: a scope and its key, a day, an instant; and what can be said of them before anything is read.

use std::str::FromStr;

use tocsin_pipeline::known::Question;
use tocsin_schemas::codes::{CITY, Scope};
use tocsin_schemas::ids::Uscc;
use tocsin_schemas::time::{Day, Instant};

/// An instant, or a day, which means its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// RFC 3339 with an offset.
    Instant(Instant),
    /// The whole of a day was known.
    EndOf(Day),
}

impl FromStr for At {
    type Err = String;
    fn from_str(text: &str) -> Result<At, String> {
        let day = text.parse().map(At::EndOf);
        let instant = text.parse().map(At::Instant);
        day.or(instant).map_err(|_| {
            format!("expected an instant such as 2025-03-31T18:00:00+08:00, or a day YYYY-MM-DD, which means its end; found {text:?}")
        })
    }
}

impl At {
    /// The last instant that it takes in.
    fn instant(self) -> Instant {
        match self {
            At::Instant(at) => at,
            At::EndOf(day) => day.plus(1).midnight().plus_millis(-1),
        }
    }

    /// Its day.
    fn day(self) -> Day {
        match self {
            At::Instant(at) => at.day(),
            At::EndOf(day) => day,
        }
    }
}

/// The whole question; the day of the instant, or the end of the day, where only one of the two is given.
///
/// # Errors
/// One line: a key that the scope cannot have, or a day that had not come at the instant.
pub fn question(
    scope: Scope,
    key: &str,
    as_of: Option<Day>,
    known_at: Option<At>,
) -> Result<Question, String> {
    let (as_of, at) = match (as_of, known_at) {
        (Some(day), Some(at)) => (day, at),
        (Some(day), None) => (day, At::EndOf(day)),
        (None, Some(at)) => (at.day(), at),
        (None, None) => return Err("give --as-of DAY, --known-at INSTANT or both".to_owned()),
    };
    let known_at = at.instant();
    if as_of > at.day() {
        return Err(format!(
            "--as-of {as_of} had not come yet at --known-at {known_at}: expected that instant's day {} or an earlier one",
            at.day()
        ));
    }
    let key = match scope {
        Scope::Enterprise => {
            key.parse::<Uscc>().map_err(|e| format!("the USCC {key:?}: {e}"))?.as_str().to_owned()
        }
        Scope::City if key != CITY => {
            return Err(format!("the key of the city is {CITY}, found {key:?}"));
        }
        _ => key.to_owned(),
    };
    Ok(Question { scope, key, as_of, known_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_follows_from_what_is_given() {
        let day: Day = "2025-03-31".parse().unwrap();
        let at = |text: &str| Some(text.parse::<At>().unwrap());
        let asked = |day, at| question(Scope::Area, "330784001", day, at).map(|q| (q.as_of, q.known_at));
        let end: Instant = "2025-03-31T23:59:59.999+08:00".parse().unwrap();
        assert_eq!(asked(Some(day), None), Ok((day, end)));
        assert_eq!(asked(None, at("2025-03-31")), Ok((day, end)));
        let noon: Instant = "2025-04-02T12:00:00+08:00".parse().unwrap();
        assert_eq!(asked(None, at("2025-04-02T04:00:00Z")), Ok((day.plus(2), noon)));
        assert_eq!(asked(Some(day), at("2025-04-02T12:00:00+08:00")), Ok((day, noon)));
        assert!(asked(Some(day), at("2025-03-30")).unwrap_err().contains("had not come yet"));
        assert!(asked(None, None).is_err());
        assert!("yesterday".parse::<At>().is_err());
    }

    #[test]
    fn a_key_that_the_scope_cannot_have_is_refused() {
        let day = "2025-03-31".parse().ok();
        assert!(question(Scope::Enterprise, "91330784", day, None).unwrap_err().contains("USCC"));
        assert!(question(Scope::City, "330700", day, None).unwrap_err().contains("330784"));
    }
}
