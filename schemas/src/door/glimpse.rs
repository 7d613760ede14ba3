//! What can still be read of a report that was refused: which enterprise it names, and when it happened there.

use std::str::FromStr;

use super::raw::{Cell, Fields};
use super::report::Names;
use super::{Input, opened};
use crate::ids::{ReportKey, Uscc};
use crate::time::Day;
use crate::topics;
use crate::wire::{Kind, SchemaIds};

/// As much of a refused report as can be read. Nothing personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glimpse {
    /// Its key, if source and id can be read and the id is one that the contract allows.
    pub key: Option<ReportKey>,
    /// The enterprises that it names: the employer, and where a dispatched worker was harmed. Never empty.
    pub enterprises: Vec<Uscc>,
    /// The day of the accident, sound or not.
    pub occurred_on: Option<Day>,
}

/// Looks into the bytes of a refused record of `topic`. `None`: it is no report, they cannot be decoded, or no enterprise
/// can be read in them.
pub fn glimpse(topic: &str, raw: &[u8], schemas: &dyn SchemaIds) -> Option<Glimpse> {
    topics::topic(topic).filter(|known| known.source.is_some())?;
    let cells = match opened(Some(Kind::Report), raw, schemas).ok()? {
        Input::Json(object) => object.cells(Names::NAMES),
        Input::Avro(schema, datum) if schema.kind == Kind::Report => {
            schema.read::<super::Raw<Names>>(datum).ok()?.cells
        }
        Input::Avro(..) => return None,
    };
    let text = |name: &str| {
        let place = Names::NAMES.iter().position(|known| *known == name)?;
        match cells.get(place) {
            Some(Cell::Text(text)) => Some(text.as_str()),
            _ => None,
        }
    };
    fn parsed<T: FromStr>(text: Option<&str>) -> Option<T> {
        text.and_then(|text| text.parse().ok())
    }
    let enterprises: Vec<Uscc> = ["uscc", "host_uscc"].into_iter().filter_map(|n| parsed(text(n))).collect();
    // An id that the contract does not allow may be anything, a name in a column that slipped too: it is not shown.
    let sound = |id: &&str| (1..=64).contains(&id.chars().count()) && !id.chars().any(char::is_control);
    let key = parsed(text("source")).zip(text("source_record_id").filter(sound));
    (!enterprises.is_empty()).then(|| Glimpse {
        key: key.map(|(source, id)| ReportKey { source, id: id.into() }),
        enterprises,
        occurred_on: parsed(text("occurred_on")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::NoIds;

    #[test]
    fn what_can_be_read_is_and_the_rest_is_not_guessed() {
        let uscc = "91330784XX00000190";
        let seen =
            |topic: &str, value: serde_json::Value| glimpse(topic, value.to_string().as_bytes(), &NoIds);
        let late = json!({"source": "hr", "source_record_id": "7", "version": 1, "occurred_on": "2030-01-01",
            "uscc": uscc, "host_uscc": "91330784XX00000191"});
        let found = seen("reports.hr", late.clone()).unwrap();
        assert_eq!(found.key, Some("hr/7".parse().unwrap()));
        assert_eq!(
            found.enterprises,
            [uscc.parse::<Uscc>().unwrap()],
            "the other one's check symbol is wrong"
        );
        assert_eq!(found.occurred_on, Some("2030-01-01".parse().unwrap()));
        let found = seen("reports.hr", json!({"host_uscc": uscc, "occurred_on": "soon"})).unwrap();
        assert_eq!((found.key, found.enterprises.len(), found.occurred_on), (None, 1, None));
        for id in [String::new(), "7".repeat(65), "7\u{1b}[2J".to_owned()] {
            let found = seen("reports.hr", json!({"source": "hr", "source_record_id": id, "uscc": uscc}));
            assert_eq!(found.unwrap().key, None, "{id:?}");
        }
        assert_eq!(seen("reports.hr", json!({"source": "hr", "uscc": 7})), None);
        assert_eq!(seen("registry.headcount", late), None);
        assert_eq!(glimpse("reports.hr", b"{\"uscc\":", &NoIds), None);
    }
}
