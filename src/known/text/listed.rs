//! Entries in lists, as lines.

use std::fmt::Write as _;

use tocsin_pipeline::known::{Compared, Comparison, ListEntry, ListMoved};
use tocsin_schemas::records::Reference;

use super::{Page, number};
use crate::output::probability;

/// The entries then and now; nothing where there is none on either side.
pub fn entries(page: &mut Page, c: &Comparison) {
    let mut years: Vec<i32> = c.then.lists.iter().chain(&c.now.lists).map(|entry| entry.year).collect();
    years.sort_unstable();
    years.dedup();
    if years.is_empty() {
        return;
    }
    for year in years {
        fn of(all: &[ListEntry], year: i32) -> Option<&ListEntry> {
            all.iter().find(|entry| entry.year == year)
        }
        let (then, now) = apart(of(&c.then.lists, year), of(&c.now.lists, year));
        page.line(0, format!("List of {year}"));
        page.line(2, format!("then  {then}"));
        page.line(2, format!("now   {now}"));
    }
    page.line(
        2,
        "(compared with the city's rate and the model that the end of the day would take from the same records; what was \
         published was compared with those of a midnight, see `tocsin why`)",
    );
    page.line(0, "");
}

/// What became of an entry.
pub fn moved(moved: &ListMoved) -> String {
    let (before, since) = apart(moved.before.as_ref(), moved.since.as_ref());
    format!("list of {}: {before} -> {since}", moved.year)
}

/// Both sides; with every digit where they differ by no other.
fn apart(before: Option<&ListEntry>, since: Option<&ListEntry>) -> (String, String) {
    let both = |exact| (entry(before, exact), entry(since, exact));
    let (short, other) = both(false);
    if short == other && before != since { both(true) } else { (short, other) }
}

/// What a list is compared with.
pub fn compared(compared: &Compared) -> String {
    let side = |r: &Reference| {
        let rate = r
            .per_thousand
            .map_or_else(|| "without a rate".to_owned(), |n| format!("{} per 1,000", number(n)));
        let model = r.model.as_ref();
        let model = model.map(|m| format!("model of {} enterprises, {} incidents", m.firms, m.incidents));
        format!("{rate}, {}", model.unwrap_or_else(|| "no model".to_owned()))
    };
    format!("list of {}: the city {} -> {}", compared.year, side(&compared.then), side(&compared.now))
}

fn entry(entry: Option<&ListEntry>, exact: bool) -> String {
    let Some(e) = entry else { return "not on it".to_owned() };
    let reasons: Vec<String> = e.reasons.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "{} ({}), incidents {}, persons {}, severe {}",
        e.class,
        reasons.join(", "),
        e.incidents,
        e.persons,
        e.severe
    );
    let shown = |short: fn(f64) -> String| move |n: f64| if exact { n.to_string() } else { short(n) };
    let figures = [
        ("headcount", e.headcount.map(shown(number))),
        ("per 1,000", e.per_thousand.map(shown(number))),
        ("shrunken", e.shrunken_per_thousand.map(shown(number))),
        ("chance above the city", e.chance_above_city.map(shown(probability))),
        ("chance of as many", e.chance_of_as_many.map(shown(probability))),
    ];
    for (what, figure) in figures {
        if let Some(figure) = figure {
            let _ = write!(text, ", {what} {figure}");
        }
    }
    for (test, why) in &e.undetermined {
        let _ = write!(text, ", {test} cannot be tested ({why})");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tocsin_schemas::codes::ListClass;

    use super::*;

    #[test]
    fn what_differs_is_never_shown_alike() {
        let entry = |chance| ListEntry {
            year: 2025,
            class: ListClass::General,
            reasons: Vec::new(),
            undetermined: BTreeMap::new(),
            incidents: 1,
            persons: 1,
            severe: 0,
            headcount: Some(50.0),
            per_thousand: Some(20.0),
            shrunken_per_thousand: None,
            chance_above_city: None,
            chance_of_as_many: Some(chance),
        };
        let text = |before, since| {
            moved(&ListMoved { year: 2025, before: Some(entry(before)), since: Some(entry(since)) })
        };
        let alike = text(0.43011, 0.43012);
        assert!(alike.contains("as many 0.43011 -> ") && alike.ends_with("as many 0.43012"), "{alike}");
        let far = text(0.43011, 0.2);
        assert!(far.contains("as many 0.4301 -> ") && far.ends_with("as many 0.2"), "{far}");
    }
}
