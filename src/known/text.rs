//! The answer for people: two rows of each figure that line up, then what makes the difference. Pure: an answer in,
//! text out. Nothing personal is in it: see the pipeline's views.

mod differences;
mod listed;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;
use tocsin_pipeline::known::{Absent, Comparison, Side};
use tocsin_schemas::codes::Scope;

use super::Answer;
use crate::output::plain;
use crate::why::{place_name, value};

/// Figures that come first, in this order; whatever else a row has follows by name.
const FIRST: [&str; 5] = ["incidents", "persons", "incidents_with_headcount", "headcount", "per_thousand"];

/// A page that grows line by line.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    /// One line, whatever the texts of records in it try.
    fn line(&mut self, indent: usize, text: impl AsRef<str>) {
        let text = plain(text.as_ref());
        let indent = if text.is_empty() { 0 } else { indent };
        let _ = writeln!(self.text, "{:indent$}{text}", "");
    }
}

/// The whole text.
pub fn of(answer: &Answer) -> String {
    let c = &answer.comparison;
    let mut page = Page::default();
    page.line(0, format!("FIGURES of {} {}, as of {}", c.scope, name(c), c.now.as_of));
    for (what, side) in [("then", &c.then), ("now ", &c.now)] {
        let (at, records, policy) = (side.known_at, side.records, &side.policy_hash);
        page.line(2, format!("{what}  as known at {at} from {records} records, policy {policy}"));
        if let Some(absent) = side.absent {
            page.line(8, format!("no row: {}", why_absent(absent)));
        }
    }
    page.line(0, "");
    figures(c).lines().for_each(|line| page.line(0, line));
    page.line(0, "");
    listed::entries(&mut page, c);
    differences::of(&mut page, c);
    page.line(0, "");
    page.line(
        0,
        format!(
            "Read: {} records, {} of them refused at the door. A record counts from the clock at which it was taken in.",
            answer.history.records, answer.history.refused
        ),
    );
    page.text
}

/// A key with its name, where there is one.
fn name(c: &Comparison) -> String {
    match c.scope {
        Scope::Area | Scope::Industry => place_name(&c.key),
        Scope::Cause => value("cause", &c.key),
        _ => c.key.clone(),
    }
}

fn why_absent(absent: Absent) -> String {
    match absent {
        Absent::NotRegistered => "the register did not have it".to_owned(),
        Absent::ReadAs { uscc } => format!("what is its is read as {uscc}'s, which took it over"),
        Absent::NoIncident => {
            "no counted production incident in 365 days, this year or the year before to date".to_owned()
        }
        Absent::Empty => "no registered enterprise belonged to it, or nothing had happened in it".to_owned(),
    }
}

/// The figures of a side by name, one value for each window. Whatever a row publishes is in here.
fn by_figure(side: &Side) -> BTreeMap<String, BTreeMap<String, Value>> {
    let mut all: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for window in side.windows.iter().flatten() {
        let mut put = |figure: String, value: Value| {
            all.entry(figure).or_default().insert(window.window.to_string(), value);
        };
        // A row is plain data: it always has a form in JSON.
        let Ok(Value::Object(fields)) = serde_json::to_value(window) else { continue };
        for (field, value) in fields.into_iter().filter(|(field, _)| field != "window") {
            flat(field, value, &mut put);
        }
    }
    all
}

/// What is nested gets a name of its parts.
fn flat(field: String, value: Value, put: &mut impl FnMut(String, Value)) {
    match value {
        Value::Null => {}
        Value::Object(parts) => {
            parts.into_iter().for_each(|(part, value)| flat(format!("{field}.{part}"), value, put));
        }
        Value::Array(parts) => {
            let numbered = parts.into_iter().enumerate();
            numbered.for_each(|(place, value)| flat(format!("{field}.{}", place + 1), value, put));
        }
        plain => put(field, plain),
    }
}

fn figures(c: &Comparison) -> String {
    let rows = [&c.then, &c.now].into_iter().find_map(|side| side.windows.as_ref());
    let windows: Vec<String> = rows.into_iter().flatten().map(|w| w.window.to_string()).collect();
    if windows.is_empty() {
        return "There was no row then and there is none now.\n".to_owned();
    }
    let (then, now) = (by_figure(&c.then), by_figure(&c.now));
    let mut names: Vec<&String> = then.keys().chain(now.keys()).collect();
    let rank = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    names.sort_by_key(|name| (rank(name), in_order(name)));
    names.dedup();
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["", ""].into_iter().chain(windows.iter().map(String::as_str)));
    for name in names {
        let of = |side: &BTreeMap<String, BTreeMap<String, Value>>, window: &String| {
            side.get(name).and_then(|values| values.get(window)).cloned()
        };
        let was: Vec<Option<Value>> = windows.iter().map(|w| of(&then, w)).collect();
        let is: Vec<Option<Value>> = windows.iter().map(|w| of(&now, w)).collect();
        if was == is {
            table.add_row(row(name, "then and now", is.iter().map(cell)));
            continue;
        }
        table.add_row(row(name, "then", was.iter().map(cell)));
        table.add_row(row("", "now", is.iter().map(cell)));
        let change = was.iter().zip(&is).map(|(was, is)| changed(was.as_ref(), is.as_ref()));
        table.add_row(row("", "difference", change));
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// A figure's name as it is sorted: the lower end of an interval before the upper one.
fn in_order(name: &str) -> String {
    let part = |part: &str| match part {
        "low" | "lower" => "low 1".to_owned(),
        "high" | "upper" => "low 2".to_owned(),
        other => other.to_owned(),
    };
    name.split('.').map(part).collect::<Vec<_>>().join(".")
}

fn row(figure: &str, side: &str, cells: impl Iterator<Item = String>) -> Vec<String> {
    let cells = [figure.to_owned(), side.to_owned()].into_iter().chain(cells);
    cells.map(|cell| plain(&cell).into_owned()).collect()
}

fn cell(value: &Option<Value>) -> String {
    match value {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(n)) => n.as_f64().map_or_else(|| n.to_string(), number),
        Some(other) => other.to_string(),
    }
}

/// What was added; empty where nothing was. Of what only one side has, or of a word, that it is so.
fn changed(was: Option<&Value>, is: Option<&Value>) -> String {
    if was == is {
        return String::new();
    }
    match (was, is) {
        (None, _) => "new".to_owned(),
        (_, None) => "gone".to_owned(),
        (Some(was), Some(is)) => match (was.as_f64(), is.as_f64()) {
            (Some(was), Some(is)) => signed(is - was),
            _ => "changed".to_owned(),
        },
    }
}

/// At most three decimals; two digits where nothing else would be left.
fn number(n: f64) -> String {
    let short = format!("{n:.3}");
    if n != 0.0 && short.trim_start_matches('-').bytes().all(|b| matches!(b, b'0' | b'.')) {
        return format!("{n:.1e}").replace(".0e", "e");
    }
    short.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn signed(n: f64) -> String {
    if n > 0.0 { format!("+{}", number(n)) } else { number(n) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_vanish() {
        let all = [0.0, 12.0, 38.0 / 3.0, 0.5, 0.00004, -0.00040887, -2.0, 1200.0].map(number);
        assert_eq!(all, ["0", "12", "12.667", "0.5", "4e-5", "-4.1e-4", "-2", "1200"]);
        assert_eq!((signed(2.0), signed(-0.25)), ("+2".to_owned(), "-0.25".to_owned()));
    }

    #[test]
    fn the_lower_end_of_an_interval_comes_first() {
        let mut names = ["high", "low", "shrunken.upper", "shrunken.lower", "other.commuting"];
        names.sort_by_key(|name| in_order(name));
        assert_eq!(names, ["low", "high", "other.commuting", "shrunken.lower", "shrunken.upper"]);
    }

    /// A figure that is added to the row later is shown without a change here.
    #[test]
    fn whatever_a_row_has_is_a_figure() {
        let mut seen = Vec::new();
        let value = serde_json::json!({"interval": {"lower": 1.5, "upper": null}, "limits": [1, 2], "n": 3});
        flat("row".to_owned(), value, &mut |name, value| seen.push(format!("{name} {value}")));
        assert_eq!(seen, ["row.interval.lower 1.5", "row.limits.1 1", "row.limits.2 2", "row.n 3"]);
    }
}
