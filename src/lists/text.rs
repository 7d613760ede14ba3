//! The pages for people. Pure: a list in, text out.

use std::fmt::Write as _;

use tocsin_pipeline::lists::{Hazards, Industries, Industry, Streaks};
use tocsin_pipeline::policy::Lists as Limits;
use tocsin_schemas::codes::{IndustryVerdict, ListClass, StreakSince};
use tocsin_schemas::records::{Member, Window};

use super::Annual;
use super::annual::{Lists, OfYear, Row};
use super::table::{Rows, area, chance, clean, counts, industry, number};

/// The list of a year, or those that were frozen.
pub fn annual(lists: &Lists, args: &Annual, top: usize) -> String {
    let mut out = String::new();
    for list in &lists.lists {
        if !out.is_empty() {
            out.push('\n');
        }
        out += &year(list, top);
    }
    if lists.lists.is_empty() {
        let what = if args.frozen { "No list was frozen" } else { "There is no list of this year yet" };
        let _ = writeln!(out, "{what}.");
    }
    out
}

fn year(list: &OfYear, top: usize) -> String {
    let s = &list.sizes;
    let hash: String = list.policy_hash.chars().take(12).collect();
    let mut out = match &list.event_id {
        None => format!("LIST OF {}, decided at {}\n", list.year, list.decided_at),
        Some(event) => format!(
            "LIST OF {}, frozen by event {} at {} under policy {hash}…; approved by {}\n",
            list.year,
            clean(event),
            list.decided_at,
            s.approver.as_deref().map_or_else(|| "nobody".to_owned(), clean)
        ),
    };
    if let Some(refused) = s.refused {
        let _ = writeln!(out, "  not frozen: {refused}");
        return out;
    }
    if let Some(event) = &s.same_as {
        let _ = writeln!(out, "  the same as event {} froze", clean(event));
    }
    let _ = writeln!(
        out,
        "  on it: {} key (重点), {} of them for years running (持续多发); {} general (一般)",
        s.key, s.persistent, s.general
    );
    if let Some(r) = &list.reference {
        let model = match (&r.model, r.modelled_on) {
            (Some(m), _) => format!("model of {} enterprises, fitted {}", m.firms, m.taken_on),
            (None, Some(day)) => format!("no model could be fitted on {day}"),
            (None, None) => "no model yet".to_owned(),
        };
        let _ = writeln!(
            out,
            "  compared with the city at the midnight of {}: {} incidents, {} insured, {} per 1,000; {model}",
            r.taken_on,
            r.incidents,
            number(r.headcount, 0),
            number(r.per_thousand, 3)
        );
    }
    let headings = [
        "<CLASS",
        "<ENTERPRISE",
        "<USCC",
        "<AREA",
        "INCIDENTS",
        "PERSONS",
        "SEVERE",
        "INSURED",
        "PER 1,000",
        "SHRUNKEN",
        "KEY YEARS",
        "<WHY",
        "<NOT DETERMINED",
    ];
    let mut rows = Rows::new(&headings, top);
    list.members.iter().for_each(|row| rows.add(member(row), row.member.class == ListClass::Key));
    let _ = write!(out, "\n{}", rows.shown());
    out
}

fn member(row: &Row) -> Vec<String> {
    let m: &Member = &row.member;
    let class = match m.class {
        ListClass::Key => "重点 key",
        ListClass::General => "一般 general",
    };
    let why: Vec<&str> = m.reasons.iter().map(|r| r.as_str()).collect();
    let open: Vec<String> = m.undetermined.iter().map(|(test, why)| format!("{test}: {why}")).collect();
    vec![
        class.to_owned(),
        row.name.as_deref().map_or_else(|| "-".to_owned(), clean),
        m.uscc.to_string(),
        row.area.as_deref().map_or_else(|| "-".to_owned(), area),
        m.incidents.to_string(),
        m.persons.to_string(),
        m.severe.to_string(),
        number(m.headcount, 1),
        m.reason.map_or_else(|| number(m.per_thousand, 2), |reason| reason.to_string()),
        number(m.shrunken_per_thousand, 2),
        format!("{}{}", m.key_years, if m.persistent { " persistent" } else { "" }),
        why.join(", "),
        open.join(", "),
    ]
}

/// Streaks without injury.
pub fn streaks(list: &Streaks, limits: &Limits, top: usize) -> String {
    let headings = ["DAYS", "<SINCE", "<COUNTED FROM", "<ENTERPRISE", "<USCC", "<AREA", "INSURED"];
    let mut rows = Rows::new(&headings, top);
    for s in &list.streaks {
        let from = match s.since_by {
            StreakSince::LastIncident => "last incident",
            StreakSince::FirstHeadcount => "first headcount: no incident known",
        };
        let cells = vec![
            s.days.to_string(),
            s.since.to_string(),
            from.to_owned(),
            clean(&s.name),
            s.uscc.to_string(),
            area(&s.area),
            number(Some(s.headcount), 1),
        ];
        rows.add(cells, false);
    }
    format!(
        "STREAKS WITHOUT INJURY: {} enterprises of {} or more insured persons\n\n{}\nLeft out: {}\nFor officers: taking part \
         is voluntary. A small enterprise has a long streak by chance; read the insured beside the days.\n",
        list.streaks.len(),
        limits.streak_headcount,
        rows.shown(),
        counts(&list.left_out)
    )
}

/// The industries of a year, and their candidates.
pub fn industries(list: &Industries, limits: &Limits, top: usize) -> String {
    let named = list.industries.iter().filter(|i| i.verdict == IndustryVerdict::High);
    let mut out = format!(
        "INDUSTRIES OF {}: {} to {}, against {} to {}\n  {} of {} have many incidents and a high rate; the city: {} incidents, \
         {} insured, {} per 1,000 (before: {} incidents, {} per 1,000)\n\n",
        list.year,
        list.from,
        list.to,
        list.before_from,
        list.before_to,
        named.clone().count(),
        list.industries.len(),
        list.city.incidents,
        number(list.city.headcount, 0),
        number(list.city.per_thousand, 3),
        list.city_before.incidents,
        number(list.city_before.per_thousand, 3)
    );
    let headings = [
        "<INDUSTRY",
        "ENTERPRISES",
        "INCIDENTS",
        "SEVERE",
        "BEFORE",
        "INSURED",
        "PER 1,000",
        "BEFORE",
        "EXPECTED",
        "P",
        "ADJUSTED",
        "<VERDICT",
    ];
    let mut rows = Rows::new(&headings, top);
    for i in &list.industries {
        let cells = vec![
            industry(&i.industry),
            i.enterprises.to_string(),
            i.figures.incidents.to_string(),
            i.figures.severe.to_string(),
            i.before.incidents.to_string(),
            number(i.figures.headcount, 0),
            number(i.figures.per_thousand, 3),
            number(i.before.per_thousand, 3),
            number(i.expected, 2),
            chance(i.chance_of_as_many),
            chance(i.adjusted),
            i.verdict.to_string(),
        ];
        rows.add(cells, i.verdict == IndustryVerdict::High);
    }
    out += &rows.shown();
    let _ = writeln!(
        out,
        "\nHigh: {} incidents or more, and chance at the city's rate gives as many so seldom that of all industries named at\n\
         most {:.1} % are innocent on average (adjusted p).",
        limits.industry_incidents,
        limits.industry_innocent * 100.0
    );
    for i in named {
        let _ = write!(out, "\n{}", candidates(i, limits, top));
    }
    out
}

fn candidates(of: &Industry, limits: &Limits, top: usize) -> String {
    let Limits { benchmark_least: least, benchmark_most: most, .. } = *limits;
    let n = of.candidates.len();
    let enough = match n < least as usize {
        true => format!("fewer than the {least} that are to be chosen"),
        false => format!("{least} to {most} are to be chosen, by people"),
    };
    let headings = [
        "<ENTERPRISE",
        "<USCC",
        "<AREA",
        "INCIDENTS",
        "BEFORE",
        "INSURED",
        "PER 1,000",
        "BEFORE",
        "FALL %",
        "P",
        "<NOTE",
    ];
    let mut rows = Rows::new(&headings, top);
    for c in &of.candidates {
        let note = if c.few_before { "few before: the fall may be chance" } else { "" };
        let cells = vec![
            clean(&c.name),
            c.uscc.to_string(),
            area(&c.area),
            c.incidents.to_string(),
            c.incidents_before.to_string(),
            number(Some(c.headcount), 1),
            number(Some(c.per_thousand), 2),
            number(Some(c.per_thousand_before), 2),
            number(Some(c.fall_percent), 1),
            chance(c.conditional_p),
            note.to_owned(),
        ];
        rows.add(cells, false);
    }
    format!(
        "BENCHMARK CANDIDATES of {}: {n}; {enough}\n{}Passed over: {}\n",
        industry(&of.industry),
        rows.shown(),
        counts(&of.passed_over)
    )
}

/// The ranking of post x process x equipment.
pub fn hazards(list: &Hazards, window: Window, limits: &Limits, top: usize) -> String {
    let mut out =
        format!("POST x PROCESS x EQUIPMENT: {window}, {} to {}, production incidents\n", list.from, list.to);
    let headings = [
        "<POST",
        "<PROCESS",
        "<EQUIPMENT",
        "INCIDENTS",
        "PERSONS",
        "SEVERE",
        "LOST DAYS",
        "NOT KNOWN",
        "<NOTE",
    ];
    for group in list.hazards.chunk_by(|a, b| (a.scope, &a.key) == (b.scope, &b.key)) {
        let mut rows = Rows::new(&headings, top);
        for h in group {
            let cells = vec![
                clean(&h.post),
                clean(&h.process),
                clean(&h.equipment),
                h.incidents.to_string(),
                h.persons.to_string(),
                h.severe.to_string(),
                h.lost_days.to_string(),
                h.persons_without_lost_days.to_string(),
                if h.few { "few" } else { "" }.to_owned(),
            ];
            rows.add(cells, false);
        }
        let _ = write!(out, "\n{}\n{}", industry(&group[0].key), rows.shown());
    }
    if list.hazards.is_empty() {
        out += "\nnone\n";
    }
    let _ = writeln!(
        out,
        "\nfew: under {} incidents, which may be chance and points at persons: not to be passed on. Not known: persons whose lost\n\
         days nobody has reported, the dead among them.",
        limits.hazard_incidents
    );
    out
}
