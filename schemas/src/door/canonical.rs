//! Canonical JSON, and its digest: what tells a duplicate from a conflict.
//!
//! Known fields as accepted, absent ones left out, defaults filled in, keys sorted, no white space. It is a
//! function of the accepted record, so it is the same whichever encoding the record came in.
//! An empty list or map is left out like an absent one: the record does not tell the two apart.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use sha2::{Digest as _, Sha256};

use super::json::Object;
use crate::ids::Uscc;
use crate::records::{Contact, Digest, Enterprise, GovernanceEvent, Headcount, Record, Report};

/// The canonical JSON of an accepted record, in UTF-8.
pub fn canonical_json(record: &Record) -> Vec<u8> {
    write(record).into_bytes()
}

/// SHA-256 of the canonical JSON.
pub fn digest(record: &Record) -> Digest {
    Sha256::digest(write(record)).into()
}

fn write(record: &Record) -> String {
    let mut w = Writer { out: String::with_capacity(512), last: "" };
    match record {
        Record::Report(r) => report(&mut w, r),
        Record::Enterprise(r) => enterprise(&mut w, r),
        Record::Headcount(r) => headcount(&mut w, r),
        Record::Contact(r) => contact(&mut w, r),
        Record::Governance(r) => governance(&mut w, r),
    }
    w.out.push('}');
    w.out
}

fn report(w: &mut Writer, r: &Report) {
    w.closed("category", Some(r.category.as_str()));
    w.plain("cause", r.cause);
    w.plain("died_on", r.died_on);
    w.number("disability_grade", r.disability_grade.map(u32::from));
    w.text("employer_name", r.employer_name.as_deref());
    w.text("equipment", r.equipment.as_deref());
    w.closed("host_uscc", r.host_uscc.as_ref().map(Uscc::as_str));
    w.text("incident_no", r.incident_no.as_deref());
    w.number("lost_days", r.lost_days);
    w.text("note", r.note.as_deref());
    w.plain("occurred_on", Some(r.occurred_on));
    w.plain("occurred_time", r.occurred_time);
    w.plain("person_key", r.person_key);
    w.text("post", r.post.as_deref());
    w.text("process", r.process.as_deref());
    w.plain("reported_at", Some(r.reported_at));
    w.closed("source", Some(r.source.as_str()));
    w.text("source_record_id", Some(&r.source_record_id));
    w.closed("status", Some(r.status.as_str()));
    w.closed("uscc", r.uscc.as_ref().map(Uscc::as_str));
    w.number("version", Some(r.version));
}

fn enterprise(w: &mut Writer, r: &Enterprise) {
    w.text("area", Some(&r.area));
    w.text("industry", Some(&r.industry));
    w.text("name", Some(&r.name));
    w.text("short_name", r.short_name.as_deref());
    w.closed("status", Some(r.status.as_str()));
    w.plain("successor_of", r.successor_of);
    if !r.tags.is_empty() {
        w.key("tags");
        for (place, tag) in r.tags.iter().enumerate() {
            w.out.push(if place == 0 { '[' } else { ',' });
            w.string(tag);
        }
        w.out.push(']');
    }
    w.closed("uscc", Some(r.uscc.as_str()));
    w.plain("valid_from", Some(r.valid_from));
    w.number("version", Some(r.version));
}

fn headcount(w: &mut Writer, r: &Headcount) {
    w.number("insured", Some(r.insured));
    w.plain("month", Some(r.month));
    w.closed("uscc", Some(r.uscc.as_str()));
    w.number("version", Some(r.version));
}

fn contact(w: &mut Writer, r: &Contact) {
    if !r.addresses.is_empty() {
        w.key("addresses");
        for (place, (channel, address)) in r.addresses.iter().enumerate() {
            w.out.push(if place == 0 { '{' } else { ',' });
            w.string(channel);
            w.out.push(':');
            w.string(address);
        }
        w.out.push('}');
    }
    w.text("name", Some(&r.name));
    w.text("phone", r.phone.as_deref());
    w.number("rank", Some(r.rank));
    w.closed("role", Some(r.role.as_str()));
    w.text("subject", Some(&r.subject));
    w.plain("valid_from", r.valid_from);
    w.plain("valid_to", r.valid_to);
    w.plain("verified_on", r.verified_on);
    w.number("version", Some(r.version));
}

fn governance(w: &mut Writer, r: &GovernanceEvent) {
    w.text("actor", Some(&r.actor));
    w.text("approver", r.approver.as_deref());
    w.key("details");
    w.out.push_str(&r.details);
    w.text("event_id", Some(&r.event_id));
    w.text("kind", Some(&r.kind));
    w.plain("on", Some(r.on));
    w.text("subject", Some(&r.subject));
    w.number("version", Some(r.version));
}

struct Writer {
    out: String,
    last: &'static str,
}

impl Writer {
    fn key(&mut self, key: &'static str) {
        debug_assert!(self.last < key, "keys are written in order: {} before {key}", self.last);
        self.out.push_str(if self.last.is_empty() { "{\"" } else { ",\"" });
        self.out.push_str(key);
        self.out.push_str("\":");
        self.last = key;
    }
    /// A text that needs no escapes.
    fn closed(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.key(key);
            self.out.push('"');
            self.out.push_str(value);
            self.out.push('"');
        }
    }
    /// What has a text form that needs no escapes.
    fn plain(&mut self, key: &'static str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.key(key);
            // Writing into a String cannot fail.
            let _ = write!(self.out, "\"{value}\"");
        }
    }
    fn number(&mut self, key: &'static str, value: Option<impl Into<u64>>) {
        if let Some(value) = value.map(Into::<u64>::into) {
            self.key(key);
            let _ = write!(self.out, "{value}");
        }
    }
    fn text(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.key(key);
            self.string(value);
        }
    }
    fn string(&mut self, text: &str) {
        string(&mut self.out, text);
    }
}

/// A JSON string: only what JSON demands is escaped.
fn string(out: &mut String, text: &str) {
    out.push('"');
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.push_str(text);
    } else {
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if c < ' ' => {
                    let _ = write!(out, "\\u{:04x}", c as u32);
                }
                c => out.push(c),
            }
        }
    }
    out.push('"');
}

/// Any JSON object in canonical form: keys sorted at every level (of several with one name the last
/// stands), no white space, numbers as they were written. `None` if the text is no JSON object.
pub(super) fn object(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    // `parse` bounds the depth, so the recursion is bounded too.
    write_object(&mut out, &Object::parse(text.as_bytes()).ok()?)?;
    Some(out)
}

fn write_object(out: &mut String, object: &Object<'_>) -> Option<()> {
    let sorted: BTreeMap<&str, &str> = object.members().collect();
    out.push('{');
    for (place, (key, value)) in sorted.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        string(out, key);
        out.push(':');
        write_value(out, value)?;
    }
    out.push('}');
    Some(())
}

fn write_value(out: &mut String, json: &str) -> Option<()> {
    match json.as_bytes().first()? {
        b'{' => write_object(out, &Object::parse_flat(json).ok()?)?,
        b'[' => {
            out.push('[');
            let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(json).ok()?;
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_value(out, item.get())?;
            }
            out.push(']');
        }
        b'"' => string(out, &serde_json::from_str::<String>(json).ok()?),
        _ => out.push_str(json),
    }
    Some(())
}
