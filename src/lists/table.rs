//! Tables that line up, whatever script a name is in, and the words that all pages share. Pure.

use std::fmt::Write as _;
use std::io::IsTerminal;

use comfy_table::{Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};
use tocsin_schemas::areas;

use super::Heading;
use crate::output::plain;

/// The most characters of a free text in a cell; `--json` has all.
const LONGEST: usize = 40;

/// How wide a table may be: what a terminal or a sheet of paper on its side shows. Free texts are wrapped.
const WIDEST: u16 = 120;
/// How wide a column of free texts may be.
const WIDEST_TEXT: u16 = 30;

/// A table of one page.
pub struct Rows {
    table: Table,
    /// Columns of words, which stand to the left.
    words: Vec<usize>,
    /// Those of free texts, which may be wrapped.
    texts: Vec<usize>,
    rows: usize,
    top: usize,
}

impl Rows {
    /// With these headings; those of columns of words begin with `<`, those of free texts with `~`. At most `top` rows are
    /// shown.
    pub fn new(headings: &[&str], top: usize) -> Rows {
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(WIDEST);
        let styled = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        if styled {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(headings.iter().map(|h| h.trim_start_matches(['<', '~'])));
        let begins = |with: &[char]| (0..headings.len()).filter(|i| headings[*i].starts_with(with)).collect();
        Rows { table, words: begins(&['<', '~']), texts: begins(&['~']), rows: 0, top }
    }

    /// A row; one that stands out is shown in red on a terminal.
    pub fn add(&mut self, cells: Vec<String>, stands_out: bool) {
        self.rows += 1;
        if self.rows > self.top {
            return;
        }
        let cell = |(at, text): (usize, String)| {
            let cell = Cell::new(text);
            if stands_out && at == 0 { cell.fg(Color::Red) } else { cell }
        };
        self.table.add_row(cells.into_iter().enumerate().map(cell).collect::<Vec<Cell>>());
    }

    /// The table as text; `none` if there is no row.
    pub fn shown(mut self) -> String {
        if self.rows == 0 {
            self.table.add_row(vec!["none"]);
        }
        for (at, column) in self.table.column_iter_mut().enumerate() {
            let left = self.words.contains(&at);
            column.set_cell_alignment(if left { CellAlignment::Left } else { CellAlignment::Right });
            column.set_constraint(match self.texts.contains(&at) {
                true => ColumnConstraint::UpperBoundary(Width::Fixed(WIDEST_TEXT)),
                false => ColumnConstraint::ContentWidth,
            });
        }
        let mut text = String::new();
        for line in self.table.lines() {
            let _ = writeln!(text, "{}", line.trim_end());
        }
        let more = self.rows.saturating_sub(self.top);
        if more > 0 {
            let _ = writeln!(text, " and {more} more: see --top, --json");
        }
        text
    }
}

/// The first lines of a page.
pub fn heading(heading: &Heading) -> String {
    let hash: String = heading.policy_hash.chars().take(12).collect();
    let newer = heading.not_taken_over.as_ref();
    let newer = newer.map(|newer| format!("         not taken over yet: {newer}\n")).unwrap_or_default();
    format!(
        "As of:   {}, by the day of the accident; clock {}\nPolicy:  {}, hash {hash}…\n{newer}From:    {}, {} records, {} refused\n\n",
        heading.as_of, heading.clock, heading.policy, heading.source, heading.records, heading.refused
    )
}

/// A free text in one cell of one line: what moves a cursor is not passed on.
pub fn clean(text: &str) -> String {
    let mut clean: String = plain(text).chars().take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        clean.push('…');
    }
    clean
}

/// An area with its name, where it has one.
pub fn area(code: &str) -> String {
    areas::area(code).map_or_else(|| clean(code), |area| format!("{code} {}", area.short_name))
}

/// An industry with its name, where it has one.
pub fn industry(code: &str) -> String {
    areas::division(code).map_or_else(|| clean(code), |division| format!("{code} {}", division.name))
}

/// A number with so many decimals, or `-`.
pub fn number(n: Option<f64>, decimals: usize) -> String {
    n.map_or_else(|| "-".to_owned(), |n| format!("{n:.decimals$}"))
}

/// A probability that is held against a limit which it may reach: rounded up, so that what is above stands above.
pub fn adjusted(p: Option<f64>) -> String {
    // Less than arithmetic adds to a number that has four decimals.
    chance(p.map(|p| if p < 0.0001 { p } else { (p * 1e4 - 1e-7).ceil() / 1e4 }))
}

/// A probability: four decimals, or the power of ten below that.
pub fn chance(p: Option<f64>) -> String {
    match p {
        None => "-".to_owned(),
        Some(p) if p > 0.0 && p < 0.0001 => format!("{p:.0e}"),
        Some(p) => format!("{p:.4}"),
    }
}

/// `3 too_small, 1 closed`, or `none`.
pub fn counts<'a, T: std::fmt::Display + 'a>(counts: impl IntoIterator<Item = (&'a T, &'a u32)>) -> String {
    let parts: Vec<String> = counts.into_iter().map(|(what, n)| format!("{n} {what}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_a_limit_is_shown_above_it() {
        let shown = [0.05, 0.05003, 0.0004, 0.00044, 0.00002, 1.0].map(|p| adjusted(Some(p)));
        assert_eq!(shown, ["0.0500", "0.0501", "0.0004", "0.0005", "2e-5", "1.0000"]);
    }

    #[test]
    fn columns_line_up_under_names_of_any_script() {
        let mut rows = Rows::new(&["N", "<ENTERPRISE", "<AREA"], 2);
        for name in ["永康市某某五金厂", "Works 7", "left out"] {
            rows.add(vec!["1".into(), name.into(), "东城".into()], false);
        }
        let text = rows.shown();
        let expected = " N  ENTERPRISE        AREA\n 1  永康市某某五金厂  东城\n 1  Works 7           东城\n and 1 more: see --top, --json\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_text_cannot_move_the_cursor_and_ends_somewhere() {
        assert_eq!(clean("press\u{1b}[2J\nline"), "press?[2J?line");
        assert_eq!(clean(&"冲".repeat(60)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn small_probabilities_keep_a_digit() {
        let shown = [None, Some(0.0), Some(0.00002), Some(0.5)].map(chance);
        assert_eq!(shown, ["-", "0.0000", "2e-5", "0.5000"]);
    }
}
