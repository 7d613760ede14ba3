//! What kind of id was given: each has a form of its own.

use std::fmt;

use tocsin_schemas::codes::{List, Source};
use tocsin_schemas::ids::{IncidentId, Uscc};
use tocsin_schemas::records::Listed;

/// Length of an alert's id.
const ALERT: usize = 26;
/// How many first signs of an alert's id are enough to look for it.
const ALERT_BEGINS: usize = 8;
/// Length of the case number of an escalation.
const CASE: usize = 10;

/// What is to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// One alert.
    Alert(String),
    /// The one alert whose id begins so: see `super::read::resolve`.
    AlertBegins(String),
    /// The one incident that holds a report, which is named in any case of letters: see `super::read::resolve`.
    Report(Source, String),
    /// One episode of an escalation, by the number that its messages quote; where there is none, the one alert whose id
    /// begins so: see `super::read::resolve`.
    Case(String),
    /// One incident.
    Incident(IncidentId),
    /// One enterprise.
    Enterprise(Uscc),
    /// A list of a year as a whole, by its key in the topic `lists`, with the event that froze it.
    List(String, Option<String>),
    /// One enterprise on such a list, by the key in the topic.
    Entry(String, Uscc),
}

/// Where the forms stand that an id may have.
pub const FORMS: &str = "The forms of ids: tocsin why --help";

impl Asked {
    /// Tells by its form what an id is of.
    ///
    /// # Errors
    /// One line: what does not fit, and where the forms stand.
    pub fn parse(id: &str) -> Result<Asked, String> {
        if let Some((source, record_id)) = id.split_once('/')
            && let Ok(source) = source.to_ascii_lowercase().parse::<Source>()
            && !record_id.is_empty()
        {
            return Ok(Asked::Report(source, record_id.to_owned()));
        }
        let base32 = |text: &str| text.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7'));
        if let Some((list, rest)) = id.split_once('|')
            && let Ok(list) = list.parse::<List>()
        {
            return Asked::of_list(id, list, rest)
                .ok_or_else(|| format!("{id:?} is no key of a list. {FORMS}"));
        }
        // Digits alone are a number with a slip: hardly one alert in a million begins with nine of them.
        let begins = |id: &str| {
            let alert = base32(id) && !id.bytes().all(|b| b.is_ascii_digit());
            alert.then(|| Asked::AlertBegins(id.to_owned()))
        };
        let upper = id.to_ascii_uppercase();
        let id = upper.as_str();
        match id.len() {
            ALERT if base32(id) => Ok(Asked::Alert(id.to_owned())),
            CASE if id.starts_with('E') && base32(id) => Ok(Asked::Case(id.to_owned())),
            9 | 10 => id.parse().map(Asked::Incident).or_else(|e| {
                begins(id).ok_or_else(|| {
                    format!("the incident number {id:?}: {e}; compare it with the message. {FORMS}")
                })
            }),
            18 => id.parse().map(Asked::Enterprise).or_else(|e| {
                begins(id)
                    .ok_or_else(|| format!("the USCC {id:?}: {e}; compare it with the message. {FORMS}"))
            }),
            ALERT_BEGINS..ALERT if base32(id) => Ok(Asked::AlertBegins(id.to_owned())),
            _ => Err(format!("{:?} is no id. {FORMS}", id.chars().take(64).collect::<String>())),
        }
    }

    fn of_list(id: &str, list: List, rest: &str) -> Option<Asked> {
        let (year, rest) = rest.split_once('|').map_or((rest, None), |(year, rest)| (year, Some(rest)));
        year.parse::<i32>().ok()?;
        match (list, rest) {
            (List::Annual, None) => Some(Asked::List(id.to_owned(), None)),
            (List::Annual, Some(uscc)) => Some(Asked::Entry(id.to_owned(), uscc.parse().ok()?)),
            (List::Frozen, None | Some("")) => None,
            (List::Frozen, Some(rest)) => {
                // As the key has it, or as the event does.
                let plain = |event: &str| event.replace("%7C", "|").replace("%25", "%");
                let whole = |event: &str| format!("{list}|{year}|{}", Listed::event_in_key(&plain(event)));
                Some(match rest.rsplit_once('|').map(|(event, last)| (event, last.parse::<Uscc>())) {
                    Some((event, Ok(uscc))) => Asked::Entry(format!("{}|{uscc}", whole(event)), uscc),
                    _ => Asked::List(whole(rest), Some(plain(rest))),
                })
            }
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asked::Alert(id) => write!(f, "alert {id}"),
            Asked::AlertBegins(id) => write!(f, "alert that begins with {id}"),
            Asked::Report(source, id) => write!(f, "incident with a report {source}/{id}"),
            Asked::Case(id) => write!(f, "escalation {id}"),
            Asked::Incident(id) => write!(f, "incident {id}"),
            Asked::Enterprise(uscc) => write!(f, "enterprise {uscc}"),
            Asked::List(key, _) => write!(f, "list {key}"),
            Asked::Entry(key, _) => write!(f, "entry {key}"),
        }
    }
}
