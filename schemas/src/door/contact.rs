//! The contact: whom to reach for a role. Personal data: no name, phone or address is ever shown.

use compact_str::CompactString;

use super::check::Checker;
use super::enterprise::is_area;
use super::{Door, Fields, RefusalReason};
use crate::codes::{CITY, Role};
use crate::records::{Contact, Record};

pub(super) struct Names;

impl Fields for Names {
    const NAMES: &'static [&'static str] = &[
        "role",
        "subject",
        "rank",
        "name",
        "phone",
        "addresses",
        "valid_from",
        "valid_to",
        "verified_on",
        "version",
    ];
}

pub(super) fn check(c: &mut Checker, _: &Door) -> Option<Record> {
    let role: Option<Role> = c.parsed("role", "a role of the contract");
    let subject = c.text("subject").and_then(|subject| fits(c, role?, subject));
    let rank = c.optional_count("rank", 1, u32::MAX).unwrap_or(1);
    let name = c.text("name");
    let phone = c.optional_text("phone").map(String::from);
    let addresses = c.optional_map("addresses").into_iter().collect();
    let valid_from = c.optional_time("valid_from");
    let valid_to = c.optional_time("valid_to");
    let verified_on = c.optional_time("verified_on");
    let version = c.version();
    Some(Record::Contact(Contact {
        role: role?,
        subject: subject?.into(),
        rank,
        name: name?.into(),
        phone,
        addresses,
        valid_from,
        valid_to,
        verified_on,
        version: version?,
    }))
}

/// The subject, which must be of the kind that the role is for.
fn fits(c: &mut Checker, role: Role, subject: CompactString) -> Option<CompactString> {
    let (wanted, fits) = match role {
        Role::Owner | Role::SafetyOfficer => {
            return c.uscc_of("subject", subject).map(|uscc| uscc.as_str().into());
        }
        Role::TownshipDuty => ("an area code", is_area(&subject)),
        Role::IndustryDuty => ("a two-digit industry", crate::areas::division(&subject).is_some()),
        Role::EmergencyDuty | Role::Clerk | Role::OnCall => (CITY, subject == CITY),
    };
    if fits {
        return Some(subject);
    }
    let found: String = subject.chars().take(64).collect();
    let detail = format!("subject: expected {wanted} for {role}, found {found:?}");
    c.refuse(RefusalReason::BadCode("subject"), detail);
    None
}
