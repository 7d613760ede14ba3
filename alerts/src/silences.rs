//! Silences: what somebody answers for that it is not sent for a while. Pure.
//!
//! A silence is a governance event of kind `silence` (records.md section 1):
//!
//! | field | means |
//! |---|---|
//! | `subject` | an enterprise, an area, whose role, a contact (`role+subject+rank`, never a phone), a channel, or `*` |
//! | `on` | in force from this day on |
//! | `actor` | who answers for it |
//! | `details.until` | RFC 3339: in force before this instant; within 30 days of `on` |
//! | `details.reason` | why |
//! | `details.everything` | true: also what is severe or fatal, red, and corrections; left out: false |
//!
//! A further version with an earlier `until` ends it. A version that cannot be read ends it too: rather a phone
//! rings than that nobody hears of an accident because of a slip.

use serde::{Deserialize, Serialize};
use tocsin_schemas::codes::Role;
use tocsin_schemas::ids::{IdError, Uscc};
use tocsin_schemas::records::{Digest, GovernanceEvent};
use tocsin_schemas::time::{Day, Instant};

use crate::contacts::Person;
use crate::newest::Newest;

/// The kind of the event.
pub const KIND: &str = "silence";
/// The subject that covers everybody.
pub const EVERYBODY: &str = "*";
/// A silence ends within so many days.
pub const LONGEST_DAYS: i32 = 30;

/// What the event's `details` hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// In force before this instant.
    pub until: Instant,
    /// Why.
    pub reason: String,
    /// Also what is grave, and corrections.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everything: bool,
}

/// A silence as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// The event that says so.
    pub event_id: String,
    /// The event's version.
    pub version: u64,
    /// What is silent.
    pub subject: String,
    /// Its first day.
    pub on: Day,
    /// Who answers for it.
    pub author: String,
    /// Until when, why, and how much.
    pub details: Details,
}

impl Silence {
    /// The silence of an event; `None` for an event of another kind.
    ///
    /// # Errors
    /// What is wrong with its details.
    pub fn of(event: &GovernanceEvent) -> Option<Result<Silence, String>> {
        (event.kind == KIND).then(|| {
            let details: Details = serde_json::from_str(&event.details).map_err(|e| {
                format!("details: expected {{\"until\", \"reason\"}} and maybe \"everything\": {e}")
            })?;
            let last = event.on.plus(LONGEST_DAYS + 1).midnight();
            if details.until > last {
                let found = details.until;
                return Err(format!(
                    "details.until: expected at most {LONGEST_DAYS} days after {}, found {found}",
                    event.on
                ));
            }
            if details.reason.trim().is_empty() {
                return Err("details.reason: expected a reason, found nothing".to_owned());
            }
            Ok(Silence {
                event_id: event.event_id.clone(),
                version: event.version,
                subject: event.subject.trim().to_owned(),
                on: event.on,
                author: event.actor.clone(),
                details,
            })
        })
    }

    /// Whether it is in force at this instant.
    pub fn in_force(&self, now: Instant) -> bool {
        self.on.midnight() <= now && now < self.details.until
    }
}

/// What a subject names, in words.
///
/// # Errors
/// What it may be. A phone never stands in an event that is kept for ever.
pub fn subject_kind(subject: &str) -> Result<&'static str, String> {
    const MAY_BE: &str = "expected a USCC, an area code, an industry, a contact (role+subject+rank), a gateway such as webhook, or *";
    if subject == EVERYBODY {
        return Ok("everybody");
    }
    if subject.contains('+') {
        let parts: Vec<&str> = subject.split('+').collect();
        let contact = match parts[..] {
            [role, whose, rank] => {
                role.parse::<Role>().is_ok() && !whose.is_empty() && rank.parse::<u32>().is_ok()
            }
            _ => false,
        };
        let roles = || Role::ALL.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
        let wrong = || format!("{MAY_BE}, found {:?}; a role is one of {}", masked(subject), roles());
        return if contact { Ok("a contact") } else { Err(wrong()) };
    }
    match subject.parse::<Uscc>() {
        Ok(_) => return Ok("an enterprise"),
        Err(IdError::CheckSymbol) => {
            return Err(format!(
                "{MAY_BE}; {} has the form of a USCC, but its check symbol does not fit",
                masked(subject)
            ));
        }
        Err(IdError::Form(_)) => {}
    }
    let digits = subject.chars().filter(char::is_ascii_digit).count();
    match subject.chars().count() {
        9 if digits == 9 => Ok("an area"),
        6 if digits == 6 => Ok("the city's own roles"),
        2 if digits == 2 => Ok("an industry's roles"),
        1..=32 if digits < 7 => Ok("a gateway, or an area by its own code"),
        _ => Err(format!("{MAY_BE}, found {:?}; a phone never stands here", masked(subject))),
    }
}

/// What may be a phone, without most of its digits.
fn masked(text: &str) -> String {
    text.chars()
        .take(32)
        .enumerate()
        .map(|(at, c)| if at > 2 && c.is_ascii_digit() { '*' } else { c })
        .collect()
}

/// What a delivery is about, as far as a silence may name it.
#[derive(Debug, Clone, Copy)]
pub struct Matter<'a> {
    /// The enterprise.
    pub uscc: &'a str,
    /// Where it is.
    pub area: Option<&'a str>,
    /// Whose role is told.
    pub subject: &'a str,
    /// The gateway.
    pub channel: &'a str,
    /// Who would be rung.
    pub person: Option<&'a Person>,
}

/// Every silence as it stands now: the fold of `governance.events`.
#[derive(Debug, Default)]
pub struct Silences {
    newest: Newest<Silence>,
}

impl Silences {
    /// Nothing is silent.
    pub fn new() -> Silences {
        Silences::default()
    }

    /// Takes in an event, with the digest of its canonical JSON; those of other kinds change nothing. Of two with the
    /// same version the one with the greater digest stands, as with contacts.
    ///
    /// # Errors
    /// What is wrong with it; a silence of that id is over then.
    pub fn apply(&mut self, event: &GovernanceEvent, digest: Digest) -> Result<(), String> {
        let silence = match Silence::of(event) {
            Some(silence) => silence,
            // It was one before, and is none any more.
            None if self.newest.knows(&event.event_id) => Err(format!(
                "version {} is of kind {:?}, not {KIND}",
                event.version,
                event.kind.chars().take(64).collect::<String>()
            )),
            None => return Ok(()),
        };
        self.newest.take(KIND, event, digest, silence)
    }

    /// All that can be read, in force or not, by id.
    pub fn all(&self) -> impl Iterator<Item = &Silence> {
        self.newest.all()
    }

    /// The version of this event that stands, readable or not.
    pub fn version(&self, event_id: &str) -> Option<u64> {
        self.newest.version(event_id)
    }

    /// How many are in force.
    pub fn in_force(&self, now: Instant) -> usize {
        self.all().filter(|silence| silence.in_force(now)).count()
    }

    /// The silence that covers this now, if one does; of several the first by id. `spared`: whether it is something
    /// that only a silence of everything covers.
    pub fn covering(&self, matter: &Matter<'_>, spared: bool, now: Instant) -> Option<&Silence> {
        let mut all = self.all();
        all.find(|s| s.in_force(now) && (s.details.everything || !spared) && names(&s.subject, matter))
    }
}

fn names(subject: &str, matter: &Matter<'_>) -> bool {
    subject == EVERYBODY
        || [matter.uscc, matter.subject, matter.channel].contains(&subject)
        || matter.area == Some(subject)
        || (subject.contains('+') && matter.person.is_some_and(|person| person.key() == subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, version: u64, subject: &str, details: &str) -> GovernanceEvent {
        GovernanceEvent {
            event_id: id.into(),
            kind: KIND.into(),
            subject: subject.into(),
            on: "2026-11-01".parse().unwrap(),
            version,
            actor: "甲".into(),
            approver: None,
            details: details.into(),
        }
    }
    fn until(text: &str) -> String {
        format!("{{\"until\":\"{text}T12:00:00+08:00\",\"reason\":\"r\"}}")
    }
    fn now(text: &str) -> Instant {
        format!("{text}T12:00:00+08:00").parse().unwrap()
    }
    const NOBODY: Matter<'_> =
        Matter { uscc: "u", area: Some("a"), subject: "s", channel: "webhook", person: None };

    #[test]
    fn it_covers_what_it_names_from_its_first_day_to_its_end() {
        let person = Person {
            role: Role::Owner,
            subject: "u".into(),
            rank: 2,
            version: 1,
            address: "13800000000".into(),
            phone: None,
        };
        let known = Matter { person: Some(&person), ..NOBODY };
        for (subject, covers) in [
            ("u", true),
            ("a", true),
            ("s", true),
            ("webhook", true),
            ("*", true),
            ("owner+u+2", true),
            ("owner+u+1", false),
            ("13800000000", false),
            ("", false),
            ("b", false),
        ] {
            let mut all = Silences::new();
            all.apply(&event("e", 1, subject, &until("2026-11-20")), [0; 32]).unwrap();
            for (day, force) in
                [("2026-10-31", false), ("2026-11-01", true), ("2026-11-19", true), ("2026-11-20", false)]
            {
                let found = all.covering(&known, false, now(day)).is_some();
                assert_eq!(found, covers && force, "{subject} on {day}");
                assert!(all.covering(&known, true, now(day)).is_none(), "it spares what is grave");
            }
        }
    }

    #[test]
    fn a_subject_is_one_of_those_and_never_a_phone() {
        for (subject, kind) in [
            ("*", "everybody"),
            ("91330784XX00000190", "an enterprise"),
            ("330784001", "an area"),
            ("330784", "the city's own roles"),
            ("webhook", "a gateway, or an area by its own code"),
            ("owner+91330784XX00000190+1", "a contact"),
        ] {
            assert_eq!(subject_kind(subject), Ok(kind), "{subject}");
        }
        for wrong in [
            "",
            "13812345678",
            "+8613812345678",
            "owner+x",
            "boss+91330784XX00000190+1",
            "91330784XX00000191",
        ] {
            let said = subject_kind(wrong).unwrap_err();
            assert!(said.contains("expected a USCC") && !said.contains("12345678"), "{said}");
        }
        // A resident's number has the form too, and is shown to nobody.
        for slip in ["91330784XX00000191", "110101199003074518"] {
            let said = subject_kind(slip).unwrap_err();
            assert!(said.contains("check symbol does not fit") && !said.contains(&slip[4..]), "{said}");
        }
    }

    #[test]
    fn everything_is_said_expressly() {
        let mut all = Silences::new();
        let details = "{\"until\":\"2026-11-20T12:00:00+08:00\",\"reason\":\"r\",\"everything\":true}";
        all.apply(&event("e", 1, "*", details), [0; 32]).unwrap();
        assert!(all.covering(&NOBODY, true, now("2026-11-02")).is_some());
    }

    #[test]
    fn a_further_version_ends_it_and_an_older_one_changes_nothing() {
        let mut all = Silences::new();
        all.apply(&event("e", 2, "*", &until("2026-11-03")), [0; 32]).unwrap();
        all.apply(&event("e", 1, "*", &until("2026-11-20")), [0; 32]).unwrap();
        assert_eq!((all.in_force(now("2026-11-02")), all.in_force(now("2026-11-04"))), (1, 0));
        assert_eq!(all.version("e"), Some(2));
    }

    #[test]
    fn one_that_cannot_be_read_is_over_and_says_why() {
        let beyond = until("2026-12-03");
        for (details, said) in [
            ("{}", "until"),
            ("{\"until\":\"2026-11-20\",\"reason\":\"r\"}", "RFC 3339"),
            ("{\"until\":\"2026-11-20T12:00:00+08:00\",\"reason\":\" \"}", "reason"),
            ("{\"until\":\"2026-11-20T12:00:00+08:00\",\"reason\":\"r\",\"evrything\":true}", "evrything"),
            (&*beyond, "at most 30 days"),
        ] {
            let mut all = Silences::new();
            all.apply(&event("e", 1, "*", &until("2026-11-20")), [0; 32]).unwrap();
            let wrong = all.apply(&event("e", 2, "*", details), [0; 32]).unwrap_err();
            assert!(wrong.contains("silence e: ") && wrong.contains(said), "{wrong}");
            assert_eq!(all.in_force(now("2026-11-02")), 0, "{details}");
        }
        let mut all = Silences::new();
        let letter = GovernanceEvent { kind: "letter".into(), ..event("l", 1, "*", "{}") };
        all.apply(&letter, [0; 32]).unwrap();
        assert_eq!(all.version("l"), None, "events of other kinds are nobody's business here");
    }
}
