//! The governance event: a letter, rectification report, inspection or approval.

use super::check::Checker;
use super::{Door, Fields};
use crate::records::{GovernanceEvent, Record};

pub(super) struct Names;

impl Fields for Names {
    const NAMES: &'static [&'static str] =
        &["event_id", "kind", "subject", "on", "version", "actor", "approver", "details"];
}

pub(super) fn check(c: &mut Checker, _: &Door) -> Option<Record> {
    let event_id = c.text("event_id");
    let kind = c.text("kind");
    let subject = c.text("subject");
    let on = c.parsed("on", "a day YYYY-MM-DD");
    let version = c.version();
    let actor = c.text("actor");
    let approver = c.optional_text("approver").map(String::from);
    let details = c.object("details");
    Some(Record::Governance(GovernanceEvent {
        event_id: event_id?.into(),
        kind: kind?.into(),
        subject: subject?.into(),
        on: on?,
        version: version?,
        actor: actor?.into(),
        approver,
        details: details?,
    }))
}
