//! The ratios beside their floors and their goals: a table for people, JSON for scripts.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, Table};
use serde::Serialize;

use crate::Options;

/// A measured value with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// The value, unrounded.
    pub value: f64,
    /// Its unit as printed: `reports/s`, `ms`, `µs`, `s`, `B`.
    pub unit: &'static str,
}

/// Which side of a limit a ratio should be on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The ratio should not exceed this.
    AtMost(f64),
    /// The ratio should reach this.
    AtLeast(f64),
    /// Printed to be known; there is no goal.
    None,
}

/// One line of the result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// That of the measurement.
    pub letter: char,
    /// What was measured, in a few words.
    pub what: String,
    /// What Tocsin takes.
    pub ours: Figure,
    /// What the floor takes, in the same run.
    pub floor: Figure,
    /// Ours to floor, in the sense that the goal is written in: see [`Row::costs`] and [`Row::yields`].
    pub ratio: f64,
    /// Where the ratio should be.
    pub goal: Goal,
    /// Why this row counts for nothing, if it does not.
    pub void: Option<String>,
    /// How it was measured, where that is not plain: sizes, spread, what is left out.
    pub note: String,
}

impl Goal {
    /// Whether the ratio is where it should be; `None` without a goal.
    pub fn met(self, ratio: f64) -> Option<bool> {
        match self {
            Goal::AtMost(limit) => Some(ratio <= limit),
            Goal::AtLeast(limit) => Some(ratio >= limit),
            Goal::None => None,
        }
    }

    fn shown(self) -> String {
        match self {
            Goal::AtMost(limit) => format!("≤ {limit}"),
            Goal::AtLeast(limit) => format!("≥ {limit}"),
            Goal::None => String::new(),
        }
    }
}

impl Figure {
    /// A value with its unit.
    pub fn new(value: f64, unit: &'static str) -> Figure {
        Figure { value, unit }
    }

    fn shown(&self) -> String {
        // Three figures that mean something, thousands apart.
        let text = match self.value.abs() {
            v if v >= 100.0 => grouped(self.value.round() as i64),
            v if v >= 10.0 => format!("{:.1}", self.value),
            _ => format!("{:.2}", self.value),
        };
        format!("{text} {}", self.unit)
    }
}

impl Row {
    /// A row of costs (time, memory): the ratio is ours over the floor's, less is better.
    pub fn costs(letter: char, what: impl Into<String>, ours: Figure, floor: Figure) -> Row {
        Row::of(letter, what.into(), ours, floor, ours.value / floor.value)
    }

    /// The same row with another ratio than that of the two figures: the median of many pairs, say.
    pub fn ratio(self, ratio: f64) -> Row {
        Row { ratio, ..self }
    }

    /// A row of yields (reports a second): the ratio is ours over the floor's, more is better.
    #[allow(dead_code, reason = "the other helper's measurements use it")]
    pub fn yields(letter: char, what: impl Into<String>, ours: Figure, floor: Figure) -> Row {
        Row::of(letter, what.into(), ours, floor, ours.value / floor.value)
    }

    /// Sets the goal.
    pub fn goal(self, goal: Goal) -> Row {
        Row { goal, ..self }
    }

    /// Sets the note.
    pub fn note(self, note: impl Into<String>) -> Row {
        Row { note: note.into(), ..self }
    }

    /// Marks the row as counting for nothing, with the reason.
    #[allow(dead_code, reason = "a run can be void on some machines only")]
    pub fn void(self, why: impl Into<String>) -> Row {
        Row { void: Some(why.into()), ..self }
    }

    fn of(letter: char, what: String, ours: Figure, floor: Figure, ratio: f64) -> Row {
        Row { letter, what, ours, floor, ratio, goal: Goal::None, void: None, note: String::new() }
    }

    fn verdict(&self) -> &'static str {
        match (&self.void, self.goal.met(self.ratio)) {
            (Some(_), _) => "VOID",
            (None, Some(true)) => "met",
            (None, Some(false)) => "missed",
            (None, None) => "",
        }
    }
}

/// A number with its thousands apart.
pub fn grouped(n: i64) -> String {
    let digits = n.abs().to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if n < 0 { format!("-{text}") } else { text }
}

/// The table for people: every row, then the notes. Small sizes neither meet nor miss a goal.
pub fn text(rows: &[Row], options: &Options) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    table.set_header(
        ["", "what", "ours", "floor", "ratio", "goal", ""]
            .map(|h| Cell::new(h).add_attribute(Attribute::Bold)),
    );
    for index in 2..=4 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in rows {
        table.add_row([
            row.letter.to_string(),
            row.what.clone(),
            row.ours.shown(),
            row.floor.shown(),
            format!("{:.2}", row.ratio),
            row.goal.shown(),
            if options.quick { "quick" } else { row.verdict() }.to_owned(),
        ]);
    }
    let mut all = table.to_string();
    for row in rows {
        if let Some(why) = &row.void {
            all.push_str(&format!("\n({}) {}: VOID: {why}", row.letter, row.what));
        }
        if !row.note.is_empty() {
            all.push_str(&format!("\n({}) {}: {}", row.letter, row.what, row.note));
        }
    }
    all
}

/// The rows for scripts, and whether they can be compared with others.
pub fn json(rows: &[Row], options: &Options) -> String {
    let all = serde_json::json!({ "quick": options.quick, "seed": options.seed, "rows": rows });
    serde_json::to_string_pretty(&all).unwrap_or_else(|why| format!("{{\"error\":\"{why}\"}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ratio: f64, goal: Goal) -> Row {
        Row::costs('b', "x", Figure::new(ratio, "ms"), Figure::new(1.0, "ms")).goal(goal)
    }

    #[test]
    fn a_goal_is_met_on_its_own_side() {
        assert_eq!(row(2.0, Goal::AtMost(2.0)).verdict(), "met");
        assert_eq!(row(2.1, Goal::AtMost(2.0)).verdict(), "missed");
        assert_eq!(row(0.4, Goal::AtLeast(0.5)).verdict(), "missed");
        assert_eq!(row(0.4, Goal::None).verdict(), "");
        assert_eq!(row(0.4, Goal::AtMost(1.0)).void("a slow disk").verdict(), "VOID");
    }

    #[test]
    fn figures_are_shown_with_three_places_that_mean_something() {
        let shown = |v| Figure::new(v, "x").shown();
        assert_eq!(shown(1_234_567.8), "1,234,568 x");
        assert_eq!((shown(12.34), shown(1.234)), ("12.3 x".to_owned(), "1.23 x".to_owned()));
        assert_eq!(shown(-1234.0), "-1,234 x");
    }

    #[test]
    fn every_line_of_the_table_is_equally_wide() {
        let rows = [row(1.0, Goal::AtMost(2.0)), row(12345.0, Goal::None)];
        let options =
            Options { long: false, quick: false, seed: 1, batch: Vec::new(), slices: None, place: None };
        let text = text(&rows, &options);
        let widths: Vec<usize> = text.lines().map(|l| l.chars().count()).collect();
        assert!(widths.iter().all(|w| *w == widths[0]), "{text}");
    }
}
