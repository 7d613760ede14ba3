//! The headcount: insured persons of an enterprise in a month.

use super::check::Checker;
use super::{Door, Fields};
use crate::records::{Headcount, Record};

pub(super) struct Names;

impl Fields for Names {
    const NAMES: &'static [&'static str] = &["uscc", "month", "insured", "version"];
}

pub(super) fn check(c: &mut Checker, _: &Door) -> Option<Record> {
    let uscc = c.uscc("uscc");
    let month = c.parsed("month", "a month YYYY-MM");
    let insured = c.count("insured");
    let version = c.version();
    Some(Record::Headcount(Headcount { uscc: uscc?, month: month?, insured: insured?, version: version? }))
}
