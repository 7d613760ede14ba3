//! What makes the difference, as lines: each cause with what it changed and the incidents that it moved; then the sum.

use std::fmt::Write as _;

use tocsin_pipeline::known::{
    Because, Belongs, Comparison, Difference, Effect, How, Moved, Picture, ReportDid, Row, Side, Transition,
};
use tocsin_schemas::records::Window;

use super::{Page, listed, number, signed};
use crate::why::{place_name, said, value};

/// Both parts.
pub fn of(page: &mut Page, c: &Comparison) {
    page.line(0, "What makes the difference, in the order in which it was taken in");
    if c.differences.is_empty() {
        page.line(2, "nothing: no record that was taken in since changed anything here");
    }
    for difference in &c.differences {
        let (head, below) = head(difference);
        page.line(2, head);
        below.into_iter().chain(effects(&difference.effect)).for_each(|line| page.line(6, line));
        if let Some(row) = difference.row {
            let text = match row {
                Row::Appeared => "from here on there is a row",
                Row::Vanished => "from here on there is no row",
            };
            page.line(6, text);
        }
        difference.incidents.iter().flat_map(transition).for_each(|line| page.line(6, line));
        difference.lists.iter().for_each(|moved| page.line(6, listed::moved(moved)));
    }
    if c.without_effect > 0 {
        let others = c.without_effect;
        page.line(2, format!("{others} other records were taken in since and changed nothing here"));
    }
    page.line(0, "");
    page.line(0, "Does it add up");
    sums(page, c);
}

/// What happened, and the lines that belong to it.
fn head(difference: &Difference) -> (String, Vec<String>) {
    let late = |arrived_at| match difference.taken_in_at {
        Some(at) if at != arrived_at => format!(" (taken in at {at})"),
        _ => String::new(),
    };
    let mut below = Vec::new();
    let head = match &difference.cause {
        Because::Policy { from, to } => {
            let nothing = difference.effect.is_empty() && difference.incidents.is_empty();
            let nothing = nothing && difference.lists.is_empty();
            let changed = if nothing { ", which changes nothing here" } else { "" };
            format!("policy {from} -> {to}{changed}")
        }
        Because::ComparedWith { lists } => {
            below.extend(lists.iter().map(listed::compared));
            "lists compared with what the end of the day would take from the records as known now".to_owned()
        }
        Because::Report { report, version, arrived_at, verdict, status, did, fields } => {
            let late = late(*arrived_at);
            let mut text = format!(
                "{arrived_at}{late} report {report} version {version}{}, {status}: {}",
                door(verdict),
                word(*did)
            );
            // Of what is new, what it says; the status stands before.
            let told = fields.iter().filter(|(f, ..)| *did != ReportDid::Arrived || *f != "status");
            for (place, (field, before, since)) in told.enumerate() {
                let side = |side: &Option<String>| said(field, side.as_deref());
                let start = if place == 0 { "; " } else { ", " };
                let _ = match did {
                    ReportDid::Arrived => write!(text, "{start}{field} {}", side(since)),
                    _ => write!(text, "{start}{field} {} -> {}", side(before), side(since)),
                };
            }
            text
        }
        Because::Headcount { uscc, read_as, month, version, arrived_at, verdict, before, insured } => {
            let before = before.map_or("unknown".to_owned(), |n| n.to_string());
            let read = read_as.map(|other| format!(", read as {other}'s")).unwrap_or_default();
            format!(
                "{arrived_at}{} headcount {uscc} {month} version {version}{}: {before} -> {insured}{read}",
                late(*arrived_at),
                door(verdict)
            )
        }
        Because::Register {
            uscc,
            version,
            arrived_at,
            verdict,
            name,
            area,
            industry,
            valid_from,
            status,
            successor_of,
            moved,
        } => {
            let took = successor_of.map(|before| format!(", took over {before}")).unwrap_or_default();
            below.extend(moved.iter().map(who_moved));
            format!(
                "{arrived_at}{} register {uscc} version {version}{}: {name}, area {}, industry {industry}, {status}, \
                 from {valid_from}{took}",
                late(*arrived_at),
                door(verdict),
                place_name(area)
            )
        }
    };
    (head, below)
}

/// What the door said, where it did not just accept.
fn door(verdict: &str) -> String {
    if verdict == "accepted" { String::new() } else { format!(" ({verdict})") }
}

fn word(did: ReportDid) -> &'static str {
    match did {
        ReportDid::Arrived => "nothing was known of it",
        ReportDid::Refused => "it does not count any more",
        ReportDid::Admitted => "it counts now",
        ReportDid::Withdrawn => "its source took it back",
        ReportDid::Restored => "it had been taken back and stands again",
        ReportDid::Replaced => "it says something else",
    }
}

fn who_moved(moved: &Moved) -> String {
    let place = |place: &Option<Belongs>| match place {
        None => "not registered".to_owned(),
        Some(Belongs { read_as: Some(other), .. }) => format!("read as {other}'s"),
        Some(Belongs { area, industry, tags, .. }) => {
            let mut text = format!(
                "area {}, industry {}",
                area.as_deref().map_or("unknown".to_owned(), place_name),
                industry.as_deref().unwrap_or("unknown")
            );
            if !tags.is_empty() {
                let _ = write!(text, ", tags {}", tags.join(" "));
            }
            text
        }
    };
    let here = match moved.here {
        (false, true) => "comes in: ",
        (true, false) => "goes out: ",
        (true, true) => "stays in: ",
        (false, false) => "is not here: ",
    };
    format!("{} {here}{} -> {}", moved.uscc, place(&moved.before), place(&moved.since))
}

fn effects(effects: &[Effect]) -> Vec<String> {
    let lines = shared(effects.iter().map(|effect| (effect.window, effect_text(effect))));
    lines.into_iter().map(|(windows, text)| format!("{text} in {windows}")).collect()
}

fn effect_text(e: &Effect) -> String {
    let counts = [
        ("incidents", e.incidents as f64),
        ("persons", e.persons as f64),
        ("incidents_with_headcount", e.incidents_with_headcount as f64),
        ("headcount", e.headcount),
        ("enterprises with a known headcount", e.known_headcounts as f64),
    ];
    let named = counts.into_iter().filter(|(_, n)| *n != 0.0);
    let mut parts: Vec<String> = named.map(|(what, n)| format!("{what} {}", signed(n))).collect();
    parts.extend(e.other.iter().map(|(category, n)| format!("{category} {}", signed(*n as f64))));
    parts.join(", ")
}

fn transition(t: &Transition) -> Vec<String> {
    let words: Vec<&str> = t.how.iter().map(|how| how_word(*how)).collect();
    let mut lines = vec![format!("incident: {}", words.join(", "))];
    lines.extend(t.before.iter().map(|p| format!("  before  {}", picture(p))));
    lines.extend(t.after.iter().map(|p| format!("  since   {}", picture(p))));
    lines
}

fn how_word(how: How) -> &'static str {
    match how {
        How::Came => "came",
        How::Went => "went",
        How::Merged => "merged with another",
        How::Split => "split",
        How::State => "counts otherwise",
        How::Enterprise => "moved to another enterprise",
        How::ReadAs => "is read as another enterprise's",
        How::Day => "moved to another day",
        How::Category => "another category",
        How::Severity => "another severity",
        How::Persons => "other persons",
        How::Circumstances => "another cause or time",
    }
}

fn picture(p: &Picture) -> String {
    let mut text = p.occurred_on.to_string();
    if let Some(time) = p.occurred_time {
        let _ = write!(text, " {time}");
    }
    let at = p.uscc.map_or_else(|| "an unknown enterprise".to_owned(), |u| u.to_string());
    let _ = write!(text, " at {at}");
    if let Some(other) = p.read_as {
        let _ = write!(text, " (read as {other}'s)");
    }
    if let Some(cause) = p.cause {
        let _ = write!(text, ", cause {}", value("cause", &cause.to_string()));
    }
    let reports: Vec<String> = p.reports.iter().map(ToString::to_string).collect();
    let here = if p.here { "" } else { ", not counted here" };
    let _ = write!(
        text,
        ", {}, {}, persons {}, {}{here}; {}",
        p.category,
        p.severity,
        p.persons,
        p.state,
        reports.join(", ")
    );
    text
}

fn sums(page: &mut Page, c: &Comparison) {
    if !c.adds_up() {
        page.line(2, "IT DOES NOT ADD UP. This is a defect of Tocsin: report it with this page.");
        for gap in &c.unexplained {
            let (then, explained, now) = (number(gap.then), signed(gap.explained), number(gap.now));
            let (window, figure) = (gap.window, &gap.figure);
            page.line(2, format!("{window} {figure}: {then} then, {explained} explained, {now} now"));
        }
        for gap in &c.lists_unexplained {
            page.line(2, format!("explained, and now: {}", listed::moved(gap)));
        }
        return;
    }
    page.line(2, "yes: in every window what was known then and the differences give what is known now");
    for (windows, sum) in shared(c.explained.iter().map(|effect| (effect.window, sum(c, effect)))) {
        page.line(2, format!("{windows}: {sum}"));
    }
}

/// What was known then, what was added, and what is known now: of one window.
fn sum(c: &Comparison, effect: &Effect) -> String {
    let (was, is) = (figures(&c.then, effect.window), figures(&c.now, effect.window));
    let added = [effect.incidents as f64, effect.persons as f64, effect.headcount];
    let each = ["incidents", "persons", "headcount"].iter().enumerate();
    let some = each.filter(|(i, _)| was[*i] != 0.0 || added[*i] != 0.0 || is[*i] != 0.0);
    let parts: Vec<String> = some
        .map(|(i, what)| format!("{what} {} {} = {}", number(was[i]), plus(added[i]), number(is[i])))
        .collect();
    parts.join(", ")
}

/// Windows with the same text share a line.
fn shared(lines: impl Iterator<Item = (Window, String)>) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for (window, text) in lines {
        match all.iter_mut().find(|(_, other)| *other == text) {
            Some((windows, _)) => {
                let _ = write!(windows, ", {window}");
            }
            None => all.push((window.to_string(), text)),
        }
    }
    all
}

/// `+ 2`, `- 2`.
fn plus(n: f64) -> String {
    if n < 0.0 { format!("- {}", number(-n)) } else { format!("+ {}", number(n)) }
}

/// Incidents, persons and headcount; 0 of what is not known.
fn figures(side: &Side, window: Window) -> [f64; 3] {
    let row = side.windows.iter().flatten().find(|row| row.window == window);
    row.map_or([0.0; 3], |row| [row.incidents.into(), row.persons.into(), row.headcount.unwrap_or(0.0)])
}
