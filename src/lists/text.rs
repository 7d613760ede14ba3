//! The pages for people. Pure: a list in, text out.

use std::fmt::Write as _;

use tocsin_pipeline::lists::{Hazards, Industries, Industry, RefusedReports, Streaks, YearFigures};
use tocsin_pipeline::policy::Lists as Limits;
use tocsin_schemas::codes::{FreezeRefusal, IndustryVerdict, ListClass, StreakSince};
use tocsin_schemas::records::{Member, Reference, Window};

use super::Annual;
use super::annual::{Lists, OfYear, Row};
use super::table::{Rows, adjusted, area, chance, clean, counts, industry, number};
use crate::output::digits;

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

/// What came of an event whose list was not frozen. One that names no year has 0 for it.
fn not_frozen(list: &OfYear, refused: FreezeRefusal) -> String {
    let event = list.event_id.as_deref().map_or_else(|| "of unknown id".to_owned(), clean);
    let what = match list.year {
        0 => "a list".to_owned(),
        year => format!("the list of {year}"),
    };
    format!("Event {event} asked to freeze {what}: not frozen ({refused}), decided at {}\n", list.decided_at)
}

fn year(list: &OfYear, top: usize) -> String {
    let s = &list.sizes;
    if let Some(refused) = s.refused {
        return not_frozen(list, refused);
    }
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
            "  compared with the city at the midnight of {}: {} incidents in the rate, {} insured, {} per 1,000\n  {model}",
            r.taken_on,
            r.incidents,
            number(r.headcount, 0),
            number(r.per_thousand, 3)
        );
    }
    let taken = |r: &Option<Reference>| r.as_ref().map(|r| (r.taken_on, r.modelled_on));
    let otherwise = list.members.iter().filter(|row| taken(&row.reference) != taken(&list.reference)).count();
    if otherwise > 0 {
        let all = list.members.len();
        let _ = writeln!(
            out,
            "  {otherwise} of {all} entries were compared with the city or the model of another midnight: each has its own in \
             --json"
        );
    }
    let headings = [
        "<CLASS",
        "~ENTERPRISE\nUSCC",
        "<AREA",
        "INCI-\nDENTS",
        "SEVERE",
        "INSURED",
        "PER\n1,000",
        "KEY\nYEARS",
        "~WHY",
    ];
    let mut rows = Rows::new(&headings, top);
    list.members.iter().for_each(|row| rows.add(member(row), row.member.class == ListClass::Key));
    let _ = write!(out, "\n{}", rows.shown());
    out += "Persons, the shrunken rate, both chances and why a rate cannot be computed are in --json.\n";
    out
}

fn member(row: &Row) -> Vec<String> {
    let m: &Member = &row.member;
    let class = match m.class {
        ListClass::Key => "重点\nkey",
        ListClass::General => "一般\ngeneral",
    };
    // A reason a line: they are long words.
    let mut why: Vec<String> = m.reasons.iter().map(ToString::to_string).collect();
    why.extend(m.persistent.then(|| "persistent".to_owned()));
    if !m.undetermined.is_empty() {
        why.push("not determined:".to_owned());
    }
    why.extend(m.undetermined.iter().flat_map(|(test, why)| [format!(" {test}:"), format!("  {why}")]));
    let name = row.name.as_deref().map_or_else(|| "-".to_owned(), clean);
    vec![
        class.to_owned(),
        format!("{name}\n{}", m.uscc),
        row.area.as_deref().map_or_else(|| "-".to_owned(), |code| area(code).replacen(' ', "\n", 1)),
        m.incidents.to_string(),
        m.severe.to_string(),
        number(m.headcount, 1),
        number(m.per_thousand, 2),
        m.key_years.to_string(),
        why.join("\n"),
    ]
}

/// Streaks without injury.
pub fn streaks(list: &Streaks, limits: &Limits, top: usize) -> String {
    let headings =
        ["DAYS", "<SINCE", "<COUNTED FROM", "~ENTERPRISE\nUSCC", "<AREA", "INSURED", "<IN QUARANTINE"];
    let mut rows = Rows::new(&headings, top);
    for s in &list.streaks {
        let from = match s.since_by {
            StreakSince::LastIncident => "last incident",
            StreakSince::FirstHeadcount => "first headcount",
        };
        let cells = vec![
            s.days.to_string(),
            s.since.to_string(),
            from.to_owned(),
            format!("{}\n{}", clean(&s.name), s.uscc),
            area(&s.area),
            number(Some(s.headcount), 1),
            s.refused_reports.map(|r| refused(&r)).unwrap_or_default(),
        ];
        rows.add(cells, false);
    }
    let unsure = list.streaks.iter().filter(|s| s.refused_reports.is_some()).count();
    let unsure = match unsure {
        0 => String::new(),
        n => format!(
            "In quarantine: of {n} of them reports that name the enterprise were refused at the door, and not accepted under \
             the same\nid. Nobody knows whether one is an injury that ends the streak: see the topic quarantine, or \
             `tocsin why USCC`.\n"
        ),
    };
    format!(
        "STREAKS WITHOUT PRODUCTION INCIDENT: {} enterprises of {} or more insured persons\n\n{}\nLeft out: {}\nFrom the first \
         headcount on where no production incident is known. Sudden illness, commuting and occupational\ndisease end no streak, nor \
         does what is only suspected: `tocsin why` of an enterprise shows them. What names none that\nis registered is nobody's.\n\
         {unsure}For officers: taking part is voluntary. A small enterprise has a long streak by chance; read the insured beside \
         the days.\n",
        list.streaks.len(),
        limits.streak_headcount,
        rows.shown(),
        counts(&list.left_out)
    )
}

/// `2 since 2025-01-05`, when the first one arrived, and the day of the latest accident that can be read in them.
fn refused(r: &RefusedReports) -> String {
    let hurt = r.last_occurred_on.map(|day| format!("\naccident on {day}")).unwrap_or_default();
    format!("{} since {}{hurt}", r.reports, r.first_arrived_on)
}

/// The industries of a year, and their candidates.
pub fn industries(list: &Industries, limits: &Limits, top: usize) -> String {
    let named = list.industries.iter().filter(|i| i.verdict == IndustryVerdict::High);
    let mut out = format!(
        "INDUSTRIES OF {}: {} to {}, against {} to {}\n  {} of {} have many incidents and a high rate\n  the city: {} incidents, {} of \
         them in the rate, {} insured, {} per 1,000\n  before: {} incidents, {} in the rate, {} per 1,000\n\n",
        list.year,
        list.from,
        list.to,
        list.before_from,
        list.before_to,
        named.clone().count(),
        list.industries.len(),
        list.city.incidents,
        list.city.incidents_with_headcount,
        number(list.city.headcount, 0),
        number(list.city.per_thousand, 3),
        list.city_before.incidents,
        list.city_before.incidents_with_headcount,
        number(list.city_before.per_thousand, 3)
    );
    if !list.years.contains(&list.year) {
        let years: Vec<String> = list.years.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            out,
            "Of {} nothing is known: no incident and no insured persons. There are some of: {}\n",
            list.year,
            if years.is_empty() { "no year".to_owned() } else { years.join(", ") }
        );
    }
    let headings = [
        "~INDUSTRY",
        "ENTER-\nPRISES",
        "YEAR",
        "INCI-\nDENTS",
        "IN THE\nRATE",
        "SEVERE",
        "INSURED",
        "PER\n1,000",
        "EXPECTED",
        "P",
        "ADJUSTED",
        "<VERDICT",
    ];
    let mut rows = Rows::new(&headings, top);
    let years = format!("{}\n{}", list.year, list.before_from.year());
    for i in &list.industries {
        let both =
            |figure: fn(&YearFigures) -> String| format!("{}\n{}", figure(&i.figures), figure(&i.before));
        let cells = vec![
            industry(&i.industry),
            i.enterprises.to_string(),
            years.clone(),
            both(|f| f.incidents.to_string()),
            both(|f| f.incidents_with_headcount.to_string()),
            both(|f| f.severe.to_string()),
            both(|f| number(f.headcount, 0)),
            both(|f| number(f.per_thousand, 3)),
            number(i.expected, 2),
            chance(i.chance_of_as_many),
            adjusted(i.adjusted),
            i.verdict.to_string(),
        ];
        rows.add(cells, i.verdict == IndustryVerdict::High);
    }
    out += &rows.shown();
    let _ = writeln!(
        out,
        "\nIn the rate: those of the incidents that happened at enterprises with insured persons; rate, expected and p count\n\
         only these. The others are at enterprises of which no headcount is known.\n\
         High: {} incidents in the rate or more, and chance at the city's rate gives as many so seldom that of all industries\n\
         named at most {} % are innocent on average (adjusted p).",
        limits.industry_incidents,
        digits(limits.industry_innocent * 100.0)
    );
    for i in named {
        let _ = write!(out, "\n{}", candidates(i, &years, limits, top));
    }
    out
}

fn candidates(of: &Industry, years: &str, limits: &Limits, top: usize) -> String {
    let Limits { benchmark_least: least, benchmark_most: most, .. } = *limits;
    let n = of.candidates.len();
    let enough = match n < least as usize {
        true => format!("fewer than the {least} that are to be chosen"),
        false => format!("{least} to {most} are to be chosen, by people"),
    };
    let headings =
        ["~ENTERPRISE\nUSCC", "<AREA", "YEAR", "INCIDENTS", "INSURED", "PER 1,000", "FALL %", "P", "~NOTE"];
    let mut rows = Rows::new(&headings, top);
    for c in &of.candidates {
        let note = if c.few_before { "few before: the fall may be chance" } else { "" };
        let cells = vec![
            format!("{}\n{}", clean(&c.name), c.uscc),
            area(&c.area),
            years.to_owned(),
            format!("{}\n{}", c.incidents, c.incidents_before),
            format!("{:.1}\n{:.1}", c.headcount, c.headcount_before),
            format!("{:.2}\n{:.2}", c.per_thousand, c.per_thousand_before),
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
        "~POST",
        "~PROCESS",
        "~EQUIPMENT",
        "INCIDENTS",
        "PERSONS",
        "SEVERE",
        "LOST DAYS",
        "NOT KNOWN",
        "~NOTE",
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
