//! What a record of a delivery is found by.

use tocsin_schemas::index::{Ask, Mark, mark_of, marks, open};
use tocsin_schemas::records::Delivery;
use tocsin_schemas::wire;

/// See the module's page.
pub(super) struct Facts {
    /// Whether it is not the delivery's end, if nothing comes behind it.
    pub(super) open: bool,
    pub(super) marks: Vec<Mark>,
    /// Nothing of one that cannot be read, or that deletes.
    pub(super) case_and_time: Option<(String, i64)>,
}

impl Facts {
    pub(super) fn of(key: &[u8], value: Option<&[u8]>) -> Facts {
        let delivery: Option<Delivery> = value.and_then(|value| wire::decode(value).ok());
        let Some(delivery) = delivery else {
            // One that cannot be read stays open: whoever starts meets it, and says so.
            let marks = id(key).into_iter().collect();
            return Facts { open: value.is_some(), marks, case_and_time: None };
        };
        Facts {
            open: open(delivery.state),
            marks: marks(&delivery),
            case_and_time: Some((delivery.case_no.to_string(), delivery.at.0)),
        }
    }
}

/// The mark of a record's key, which is the delivery's id.
pub(super) fn id(key: &[u8]) -> Option<Mark> {
    mark_of(Ask::Id(&String::from_utf8_lossy(key)))
}
