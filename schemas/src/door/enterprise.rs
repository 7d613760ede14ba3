//! The enterprise: one dated version of a registration.

use std::sync::Arc;

use super::check::Checker;
use super::{Door, Fields};
use crate::records::{Enterprise, Record};

/// Characters of a tag.
const LONGEST_TAG: usize = 64;
/// Tags of an enterprise.
const MOST_TAGS: usize = 32;

pub(super) struct Names;

impl Fields for Names {
    const NAMES: &'static [&'static str] = &[
        "uscc",
        "version",
        "name",
        "short_name",
        "area",
        "industry",
        "valid_from",
        "status",
        "tags",
        "successor_of",
    ];
}

pub(super) fn check(c: &mut Checker, _: &Door) -> Option<Record> {
    let uscc = c.uscc("uscc");
    let version = c.version();
    let name = c.text("name");
    let short_name = c.optional_text("short_name").map(|text| Arc::from(text.as_str()));
    let area = c.text_that("area", "a nine-digit area code or a zone's own code", is_area);
    let industry = c.text_that("industry", "a code of GB/T 4754-2017, two digits or more", is_industry);
    let valid_from = c.parsed("valid_from", "a day YYYY-MM-DD");
    let status = c.parsed("status", "active or closed");
    // Each is a scope of the statistics, so their number is bounded.
    let tags = c.optional_labels("tags", LONGEST_TAG, MOST_TAGS).into_iter().map(String::from).collect();
    let successor_of = c.optional_uscc("successor_of");
    Some(Record::Enterprise(Enterprise {
        uscc: uscc?,
        version: version?,
        name: name?.as_str().into(),
        short_name,
        area: area?.as_str().into(),
        industry: industry?.into(),
        valid_from: valid_from?,
        status: status?,
        tags,
        successor_of,
    }))
}

/// Nine digits, or a zone's own code. Not held against the list of areas: townships are merged and
/// founded, and an unknown area must not lose the enterprise.
pub(super) fn is_area(code: &str) -> bool {
    let digits_only = code.bytes().all(|b| b.is_ascii_digit());
    if digits_only { code.len() == 9 } else { code.chars().count() <= 32 }
}

/// Two to four digits whose first two are a division of GB/T 4754-2017.
pub(super) fn is_industry(code: &str) -> bool {
    matches!(code.len(), 2..=4)
        && code.bytes().all(|b| b.is_ascii_digit())
        && code.get(..2).is_some_and(|division| crate::areas::division(division).is_some())
}
