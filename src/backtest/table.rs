//! The report for people: short tables that line up, then what the figures assume. Pure: a report in, text out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use tocsin_schemas::areas;
use tocsin_schemas::codes::Level;

use super::chance::Chance;
use super::compare::{Counts, Difference, Messages, Report, Times};
use super::listed::{ListDifference, OnList};
use super::phones::Phones;
use crate::output::plain;

/// Rows of a long table; `--json` has all.
const ROWS: usize = 12;

/// A table that lines up, whatever the texts of records in it try.
struct Sheet(Table);

impl Sheet {
    fn add_row(&mut self, cells: Vec<impl AsRef<str>>) {
        self.0.add_row(cells.iter().map(|cell| plain(cell.as_ref())));
    }
}

/// One line, as above.
fn line(out: &mut String, text: impl AsRef<str>) {
    let _ = writeln!(out, "{}", plain(text.as_ref()));
}

/// The whole page.
pub fn text(report: &Report) -> String {
    let r = report;
    let mut out = String::new();
    line(&mut out, format!("Compared: {} to {}, {} days", r.from, r.to, r.days));
    let (first, records, refused) = (r.history.first_on, r.history.records, r.history.refused);
    line(&mut out, format!("History:  from {first} on, {records} records, {refused} refused"));
    for (name, policy) in [("OLD", &r.policies.old), ("NEW", &r.policies.new)] {
        let begins: Vec<String> = policy.effective_from.iter().map(ToString::to_string).collect();
        let hash: String = policy.hash.chars().take(12).collect();
        line(&mut out, format!("{name}:      {}, from {}, hash {hash}…", policy.from, begins.join(", ")));
    }
    for note in &r.notes {
        line(&mut out, format!("Note:     {note}"));
    }
    let parts = [
        alerts(r),
        days(r),
        levels(r),
        townships(r),
        lists(r),
        messages(r),
        not_due(r),
        by_chance("OLD", &r.by_chance.old),
        by_chance("NEW", &r.by_chance.new),
        differences(&r.differences),
        list_differences(&r.list_differences),
    ];
    for part in parts {
        let _ = write!(out, "\n{part}");
    }
    let _ = write!(out, "\n{}", foot());
    out
}

fn table(header: &[&str]) -> Sheet {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    Sheet(table)
}

/// The table as text, numbers to the right.
fn shown(Sheet(mut table): Sheet) -> String {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// `+3`, `-3`, `0`.
fn signed(n: i64) -> String {
    if n > 0 { format!("+{n}") } else { n.to_string() }
}

fn number(n: Option<f64>) -> String {
    n.map_or_else(|| "-".to_owned(), |n| format!("{n:.1}"))
}

/// As [`number`], with two digits of what is below 0.1: nothing is only as rare as it is shown.
fn rare(n: Option<f64>) -> String {
    match n {
        Some(n) if n > 0.0 && n < 0.001 => format!("{n:.1e}"),
        Some(n) if n > 0.0 && n < 0.01 => format!("{n:.4}"),
        Some(n) if n > 0.0 && n < 0.1 => format!("{n:.3}"),
        n => number(n),
    }
}

fn counts(what: &str, c: Counts) -> Vec<String> {
    vec![what.to_owned(), c.old.to_string(), c.new.to_string(), signed(c.difference)]
}

fn alerts(r: &Report) -> String {
    let mut t = table(&["ALERTS", "old", "new", "difference", "only in old", "only in new"]);
    for row in &r.alerts {
        let mut cells = counts(&format!("{} {}", row.rule, row.change), row.counts);
        cells.extend([row.only_old.to_string(), row.only_new.to_string()]);
        t.add_row(cells);
    }
    if r.alerts.is_empty() {
        t.add_row(vec!["none"]);
    }
    shown(t)
}

fn days(r: &Report) -> String {
    let d = r.enterprise_days;
    format!(
        "Days of an enterprise on which something is said: the same {}, in old only {}, in new only {}, in both but not \
         the same {}\n",
        d.same, d.only_old, d.only_new, d.other
    )
}

fn levels(r: &Report) -> String {
    let mut t = table(&["ESCALATIONS opened at or raised to", "old", "new", "difference"]);
    for row in &r.escalations {
        t.add_row(counts(row.level.as_str(), row.counts));
    }
    let mut out = shown(t);
    let mut t = table(&[
        "ENTERPRISES at or above, at any time",
        "old",
        "new",
        "difference",
        "only in old",
        "only in new",
    ]);
    for row in &r.enterprises {
        let mut cells = counts(row.level.as_str(), row.counts);
        cells.extend([row.only_old.to_string(), row.only_new.to_string()]);
        t.add_row(cells);
    }
    let _ = write!(out, "\n{}", shown(t));
    let mut t = table(&["DAYS of enterprises at", "old", "new", "difference"]);
    for row in &r.level_days {
        t.add_row(counts(row.level.as_str(), row.counts));
    }
    let _ = write!(out, "\n{}", shown(t));
    out
}

/// A row for each area, a pair for each level; those that change most come first.
fn townships(r: &Report) -> String {
    let mut header = vec!["TOWNSHIPS opened at or raised to, old > new"];
    header.extend(Level::ALL.iter().map(|l| l.as_str()));
    header.push("difference");
    let mut t = table(&header);
    let mut by_area: BTreeMap<&str, BTreeMap<Level, Counts>> = BTreeMap::new();
    for row in &r.areas {
        by_area.entry(&row.area).or_default().insert(row.level, row.counts);
    }
    let difference = |levels: &BTreeMap<Level, Counts>| levels.values().map(|c| c.difference).sum::<i64>();
    let moved = |levels: &BTreeMap<Level, Counts>| levels.values().map(|c| c.difference.abs()).sum::<i64>();
    let mut rows: Vec<_> = by_area.into_iter().collect();
    rows.sort_by_key(|(area, levels)| (std::cmp::Reverse(moved(levels)), *area));
    let more = rows.len().saturating_sub(ROWS);
    for (area, levels) in rows.into_iter().take(ROWS) {
        let mut cells = vec![match (area, areas::area(area)) {
            ("", _) => "unknown".to_owned(),
            (code, Some(known)) => format!("{code} {}", known.name),
            (code, None) => code.to_owned(),
        }];
        cells.extend(Level::ALL.iter().map(|level| {
            levels.get(level).map_or_else(|| "-".to_owned(), |c| format!("{} > {}", c.old, c.new))
        }));
        cells.push(signed(difference(&levels)));
        t.add_row(cells);
    }
    ending(t, more)
}

fn ending(mut t: Sheet, more: usize) -> String {
    if more > 0 {
        t.add_row(vec![format!("and {more} more, see --json")]);
    } else if t.0.is_empty() {
        t.add_row(vec!["none"]);
    }
    shown(t)
}

/// Who is on the lists of a year.
fn lists(r: &Report) -> String {
    let header = ["ENTERPRISES on the list of", "old", "new", "difference", "only in old", "only in new"];
    let mut t = table(&header);
    for row in &r.lists {
        let mut cells = counts(&format!("{} {}", row.year, row.class), row.counts);
        cells.extend([row.only_old.to_string(), row.only_new.to_string()]);
        t.add_row(cells);
    }
    ending(t, 0)
}

fn messages(r: &Report) -> String {
    let (old, new) = (&r.messages.old, &r.messages.new);
    let mut t = table(&["MESSAGES", "old", "new", "difference"]);
    t.add_row(counts("all", Counts::new(old.messages, new.messages)));
    let mean = |what: &str, a: Option<f64>, b: Option<f64>| {
        let difference = a.zip(b).map(|(a, b)| b - a);
        let difference = match difference.map(|d| format!("{d:+.1}")) {
            None => "-".to_owned(),
            Some(none) if none == "+0.0" || none == "-0.0" => "0.0".to_owned(),
            Some(some) => some,
        };
        vec![what.to_owned(), number(a), number(b), difference]
    };
    t.add_row(mean("a day, mean", Some(old.a_day), Some(new.a_day)));
    let most = |m: &Messages| m.busiest.map_or(0, |b| b.messages);
    t.add_row(counts("the busiest day", Counts::new(most(old), most(new))));
    let day = |m: &Messages| m.busiest.map_or_else(|| "-".to_owned(), |b| b.on.to_string());
    t.add_row(vec!["  which is".to_owned(), day(old), day(new)]);
    let (Some(a), Some(b)) = (&old.phones, &new.phones) else {
        return shown(t) + "No contacts in the history: messages are not counted by phone.\n";
    };
    let phones = |what: &str, of: fn(&Phones) -> u64| counts(what, Counts::new(of(a), of(b)));
    t.add_row(phones("to nobody who can be reached", |p| p.nobody));
    t.add_row(phones("left out, the same words to the same person", |p| p.same_person));
    t.add_row(phones("to phones", |p| p.messages));
    t.add_row(phones("phones that ring", |p| p.phones));
    t.add_row(phones("the most to one phone", |p| p.most));
    t.add_row(phones("the most to one phone on one day", |p| p.most_on_a_day));
    t.add_row(mean("to one phone, mean", a.mean, b.mean));
    shown(t)
}

fn not_due(r: &Report) -> String {
    let mut t = table(&["INCIDENTS that nobody is told of", "old", "new", "difference"]);
    for row in &r.not_due {
        t.add_row(counts(row.reason.as_str(), row.counts));
    }
    ending(t, 0)
}

fn by_chance(name: &str, c: &Chance) -> String {
    let heading = format!("ENTERPRISES at or above, on one day, under {name}");
    let mut t = table(&[&heading, "from", "by chance alone", "stood"]);
    for row in &c.levels {
        let from = format!("{} in {} days", row.count, c.window_days);
        t.add_row(vec![row.level.to_string(), from, rare(row.by_chance), rare(row.stood)]);
    }
    let rate = c.per_thousand_a_year.map_or_else(
        || "no rate of the city can be computed: no headcount".to_owned(),
        |rate| format!("{rate:.2} incidents a year for 1,000 insured"),
    );
    let full = c.full_from.map_or_else(
        || "no day compared has a whole window behind it".to_owned(),
        |day| format!("stood: mean of the evenings from {day} on"),
    );
    shown(t)
        + &format!(
            "{rate}: {} incidents ({} severe) at {} enterprises with {:.0} insured; {full}\n",
            c.incidents, c.severe, c.enterprises, c.insured
        )
        + &c.note.as_ref().map(|note| format!("note: {note}\n")).unwrap_or_default()
}

fn differences(all: &[Difference]) -> String {
    let mut t = table(&["DIFFERENCES, first of all days", "enterprise", "old", "new"]);
    for d in all.iter().take(ROWS) {
        let said = |what: &[Times]| {
            let words: Vec<String> = what.iter().map(words).collect();
            if words.is_empty() { "-".to_owned() } else { words.join(", ") }
        };
        t.add_row(vec![d.on.to_string(), d.uscc.to_string(), said(&d.old), said(&d.new)]);
    }
    left(t, all.len())
}

/// A table of words, of which the first rows of so many are there.
fn left(mut t: Sheet, all: usize) -> String {
    for column in t.0.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Left);
    }
    let more = all.saturating_sub(ROWS);
    if more > 0 {
        t.add_row(vec![format!("and {more} more, see --json")]);
    } else if all == 0 {
        t.add_row(vec!["none"]);
    }
    let lines: Vec<String> = t.0.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

fn list_differences(all: &[ListDifference]) -> String {
    let mut t = table(&["LISTS, where they differ", "enterprise", "old", "new"]);
    for d in all.iter().take(ROWS) {
        let words = |on: &Option<OnList>| {
            let Some(on) = on else { return "-".to_owned() };
            let reasons: Vec<&str> = on.reasons.iter().map(|reason| reason.as_str()).collect();
            let persistent = if on.persistent { ", persistent" } else { "" };
            format!("{} ({}{persistent})", on.class, reasons.join(", "))
        };
        t.add_row(vec![d.year.to_string(), d.uscc.to_string(), words(&d.old), words(&d.new)]);
    }
    left(t, all.len())
}

/// `2 x escalation raised yellow`.
fn words(t: &Times) -> String {
    let s = &t.said;
    let mut words = format!("{} {}", s.rule, s.change);
    let grade = s.level.map(|l| l.as_str()).or(s.severity.map(|s| s.as_str()));
    if let Some(grade) = grade {
        let _ = write!(words, " {grade}");
    }
    if let Some(reason) = s.reason {
        let _ = write!(words, " ({reason})");
    }
    if t.times > 1 { format!("{} x {words}", t.times) } else { words }
}

fn foot() -> String {
    "\
Two alerts are the same if the same was said of the same enterprise on the same day to the same roles: rule, change,
level or severity, and reason. Numbers of incidents and of alerts are not compared, since they depend on what was merged.
By chance alone: every enterprise has the city's own rate of the days compared for its mean headcount; incidents are
independent of each other (Poisson), severe ones among them the city's share; one whole window, seen on any one day. These
are the false alarms to expect when nothing is wrong: only what stands beyond them says something of the enterprises.
Messages by phone are for the contacts at the end of the history. What delivery does later (retries, fallbacks, messages
that a newer one overtakes) is not counted.
"
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::chance::LevelChance;
    use super::*;

    #[test]
    fn what_is_rare_is_not_shown_as_never() {
        let level = |by_chance, stood| LevelChance { level: Level::Red, count: 5, by_chance, stood };
        let chance = Chance {
            window_days: 365,
            enterprises: 2,
            insured: 400.0,
            incidents: 8,
            severe: 0,
            without_headcount: 0,
            per_thousand_a_year: None,
            full_from: None,
            levels: vec![
                level(Some(0.04), Some(12.34)),
                level(Some(0.0), Some(0.00021)),
                level(None, Some(0.1)),
            ],
            note: None,
        };
        let text = by_chance("OLD", &chance);
        let ends: Vec<Vec<&str>> =
            text.lines().skip(1).take(3).map(|l| l.split_whitespace().skip(5).collect()).collect();
        assert_eq!(ends, [["0.040", "12.3"], ["0.0", "2.1e-4"], ["-", "0.1"]], "{text}");
    }

    /// An area may be a zone's own code, which is free text.
    #[test]
    fn a_text_of_a_record_stays_in_its_cell() {
        let mut sheet = table(&["TOWNSHIPS", "blue"]);
        sheet.add_row(vec!["zone\nforged  9\u{1b}[2J", "1"]);
        let text = shown(sheet);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("zone?forged  9?[2J") && !text.contains('\u{1b}'), "{text}");
        let mut out = String::new();
        line(&mut out, "OLD:      a.toml\nNEW:      b.toml");
        assert_eq!(out.lines().count(), 1);
    }
}
