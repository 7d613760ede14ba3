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
        let of = |all: &[ListEntry]| entry(all.iter().find(|entry| entry.year == year));
        page.line(0, format!("List of {year}"));
        page.line(2, format!("then  {}", of(&c.then.lists)));
        page.line(2, format!("now   {}", of(&c.now.lists)));
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
    format!("list of {}: {} -> {}", moved.year, entry(moved.before.as_ref()), entry(moved.since.as_ref()))
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

fn entry(entry: Option<&ListEntry>) -> String {
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
    let figures = [
        ("headcount", e.headcount.map(number)),
        ("per 1,000", e.per_thousand.map(number)),
        ("shrunken", e.shrunken_per_thousand.map(number)),
        ("chance above the city", e.chance_above_city.map(probability)),
        ("chance of as many", e.chance_of_as_many.map(probability)),
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
