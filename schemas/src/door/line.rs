//! The envelope of a replay file's lines: `{"topic":…,"arrived_at":…,"value":{…}}`.

use std::borrow::Cow;

use super::Refusal;
use super::json::{Object, undecodable};
use crate::time::Instant;

/// One arrival of a replay file, its value untouched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// The topic, known or not.
    pub topic: Cow<'a, str>,
    /// When it arrived.
    pub arrived_at: Instant,
    /// The bytes of its value, a JSON object, exactly as they stand in the line.
    pub value: &'a [u8],
}

/// A line whose envelope is not sound: it is `undecodable` and moves no clock. (A line whose envelope is
/// sound comes back as a [`Line`], and moves the clock even if the door then refuses its value.)
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{refusal}")]
pub struct LineRefusal {
    /// Always `undecodable`, with what is wrong.
    pub refusal: Refusal,
    /// The topic, where it could be read.
    pub topic: Option<String>,
}

/// Opens the envelope of one line (without its line feed; a carriage return at its end is dropped).
///
/// # Errors
/// The line is no JSON object with these three well formed: a text, an RFC 3339 instant, an object.
pub fn admit_line(line: &[u8]) -> Result<Line<'_>, LineRefusal> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let refused = |refusal| LineRefusal { refusal, topic: None };
    let text = std::str::from_utf8(line)
        .map_err(|why| refused(undecodable(format!("not UTF-8 from byte {} on", why.valid_up_to()))))?;
    let object = Object::parse_flat(text).map_err(refused)?;
    let string = |name| object.get(name).and_then(|json| serde_json::from_str::<String>(json).ok());
    let Some(topic) = string("topic") else {
        return Err(refused(undecodable("topic: expected a text".into())));
    };
    let refused =
        |detail: &str| LineRefusal { refusal: undecodable(detail.into()), topic: Some(topic.clone()) };
    let Some(arrived_at) = string("arrived_at").and_then(|text| text.parse().ok()) else {
        return Err(refused("arrived_at: expected an instant, RFC 3339 with offset"));
    };
    match object.get("value") {
        Some(value) if value.starts_with('{') => {
            Ok(Line { topic: Cow::Owned(topic), arrived_at, value: value.as_bytes() })
        }
        _ => Err(refused("value: expected a JSON object")),
    }
}
